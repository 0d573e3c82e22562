"""Merges the evidence of all jobs and compares it with the pipeline's promise. Absent is never counted as passed."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import evidence
import runner

LEVELS = ("required", "recommended", "listed")
Record = dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """A line of the input `expected`; the region is given where a job is run in several."""

    job: str
    action: str
    level: str
    region: str = ""

    def matches(self, record: Record) -> bool:
        same = (record["job"], record["action"]) == (self.job, self.action)
        return same and self.region in ("", record["region"])


def records(directory: Path) -> Iterator[Record]:
    """Every record of this run and commit. A line that is none counts for nothing: its action has not run."""
    this = {"schema": 1, "run": os.environ["GITHUB_RUN_ID"], "commit": os.environ["GITHUB_SHA"]}
    for path in sorted(directory.rglob("evidence.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                record = json.loads(line)
                record["attempt"] = int(record["attempt"])
                whole = all(isinstance(record[key], str) for key in ("job", "action", "region", "result"))
                ours = {key: record[key] for key in this} == this
            except (ValueError, TypeError, LookupError):
                whole = ours = False
            if whole and ours:
                yield record
            else:
                runner.warning(f"{path.parent.name}: a line is no record of this run and commit")


def newest(found: list[Record]) -> list[Record]:
    """A job that was run again replaces what it said before."""

    def key(record: Record) -> tuple[str, str]:
        return record["job"], record["region"]

    last: dict[tuple[str, str], int] = {}
    for record in found:
        last[key(record)] = max(last.get(key(record), 0), record["attempt"])
    return [record for record in found if record["attempt"] == last[key(record)]]


def expectations(lines: str) -> list[Expected]:
    expected = []
    for line in filter(str.strip, lines.splitlines()):
        words = line.split()
        if len(words) not in (3, 4) or words[2] not in LEVELS:
            raise runner.Failed(
                f"expected: '{line}' is not 'job action {'|'.join(LEVELS)}', with or without a region", "error"
            )
        expected.append(Expected(*words))
    return expected


def judged(found: list[Record], expected: list[Expected]) -> list[Record]:
    """The records with their levels, in the order of what was expected; what is absent is `not run`."""
    actions: list[Record] = []
    for one in expected:
        absent = {"job": one.job, "action": one.action, "region": one.region, "result": "not run"}
        matching = [record for record in found if one.matches(record)] or [absent]
        actions += [{**record, "level": one.level} for record in matching]
    others = [record for record in found if not any(one.matches(record) for one in expected)]
    return actions + [{**record, "level": ""} for record in others]


def main() -> None:
    with evidence.recorded("report") as facts:
        expected = expectations(runner.required("EXPECTED"))
        actions = judged(newest(list(records(Path(runner.given("EVIDENCE") or "evidence")))), expected)
        merged = {
            "schema": 1,
            "repository": os.environ["GITHUB_REPOSITORY"],
            "commit": os.environ["GITHUB_SHA"],
            "run": os.environ["GITHUB_RUN_ID"],
            "actions": actions,
        }
        path = evidence.directory() / "evidence.json"
        path.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
        facts["where"] = path.name
        required = [record for record in actions if record["level"] == "required"]
        lacking = [record for record in required if record["result"] != "pass"]
        facts["findings"] = {"required": len(required), "lacking": len(lacking)}
        unsuccessful = {job: result for job, result in runner.job_results().items() if result != "success"}
        runner.output("result", "fail" if lacking or unsuccessful else "pass")
        publish(actions, len(required), len(required) - len(lacking))
        for record in lacking:
            where = f"{record['job']} {record['region']}".strip()
            runner.error(f"required, but {record['result']}: {record['action']} ({where})", title="report")
        for job, result in unsuccessful.items():
            runner.error(f"the job {job} ended as {result}", title="report")
        if lacking or unsuccessful:
            raise runner.Failed()


def counts(record: Record) -> str:
    return runner.code(", ".join(f"{count} {kind}" for kind, count in record.get("findings", {}).items() if count))


def publish(actions: list[Record], required: int, passed: int) -> None:
    columns = ("action", "job", "region", "level", "result", "tool")
    runner.summary(
        f"{passed} of {required} required actions ran and passed",
        (*columns, "found"),
        [[runner.code(str(record.get(column, ""))) for column in columns] + [counts(record)] for record in actions],
    )


main()
