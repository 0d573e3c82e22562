"""Merges the evidence of all jobs and compares it with the pipeline's promise. Absent is never counted as passed."""

import json
import os
import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import evidence
import merge
import runner


def main() -> None:
    with evidence.recorded("report") as facts:
        try:
            expected = merge.promised(Path(runner.required("EXPECTED")), runner.given("WORKFLOW") or "pipeline")
        except ValueError as problem:
            raise runner.Failed(f"expected: {problem}", "error") from problem
        this = {"schema": 1, "run": os.environ["GITHUB_RUN_ID"], "commit": os.environ["GITHUB_SHA"]}
        folder = Path(runner.given("EVIDENCE") or "evidence")
        attempts, never = int(os.environ["GITHUB_RUN_ATTEMPT"]), runner.skipped_jobs(every=True)
        found = merge.records(folder, this, expected, runner.warning, attempts=attempts, skipped=never)
        actions = merge.judged(found, expected)
        merged = {
            **this,
            "repository": os.environ["GITHUB_REPOSITORY"],
            "pipeline": runner.given("PIPELINE"),
            "expected": expected,
            "actions": actions,
            "figures": merge.figures(actions, expected),
        }
        path = evidence.directory() / "evidence.json"
        path.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
        facts["where"] = path.name
        held = runner.given("HELD")
        waiting = runner.skipped_jobs() if held else set()
        lacking = [one for one in merge.lacking(actions) if not (held and waits(one, waiting))]
        facts["findings"] = {"required": merged["figures"]["required"], "lacking": len(lacking)}
        unsuccessful = {job: result for job, result in runner.job_results().items() if result != "success"}
        runner.output("result", "fail" if lacking or unsuccessful else "held" if held else "pass")
        if held:
            runner.summary("the release is held", ("what is missing",), [[runner.code(held)]])
        publish(actions, merged["figures"])
        for record in lacking:
            where = f"{record['job']} {record['region']}".strip()
            runner.error(f"required, but {record['result']}: {record['action']} ({where})", title="report")
        for job, result in unsuccessful.items():
            runner.error(f"the job {job} ended as {result}", title="report")
        if lacking or unsuccessful:
            raise runner.Failed()


def waits(record: merge.Record, waiting: set[str]) -> bool:
    """Whether a required action lacks its pass only because the release is held: it is no failure, and no pass."""
    return record["result"] == "held" or (record["result"] == "not run" and record["job"] in waiting)


def counts(record: merge.Record) -> str:
    return runner.code(", ".join(f"{count} {kind}" for kind, count in record.get("findings", {}).items() if count))


def publish(actions: list[merge.Record], figures: merge.Record) -> None:
    columns = ("action", "job", "region", "level", "result", "tool")
    runner.summary(
        f"{figures['required-passed']} of {figures['required']} required actions ran and passed",
        (*columns, "found"),
        [[runner.code(str(record.get(column, ""))) for column in columns] + [counts(record)] for record in actions],
    )
    of = f"{figures['security-controls-automated']} of {figures['security-controls']}"
    runner.summary(f"security controls automated: {of}")
    if figures["exceptions"]:
        runner.summary("exceptions", ("what",), [[runner.code(one)] for one in figures["exceptions"]])


main()
