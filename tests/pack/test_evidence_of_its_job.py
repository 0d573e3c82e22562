"""Evidence comes from the job that it tells of: what a test writes beside its own job's records proves nothing.

A whole run of the pipeline with two regions, judged by the report action and then by `dpra evidence`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "full" / ".github" / "dpra.expected.json"
PROMISE = json.loads(GOLDEN.read_text())["pipeline"]
Record = dict[str, Any]


def legs(job_id: str) -> list[str]:
    """The regions of a job in the order of its matrix; one without a name where it has none."""
    return list(dict.fromkeys(one.get("region", "") for one in PROMISE if one["job"] == job_id))


def record(job_id: str, action: str, region: str = "", result: str = "pass", **more: Any) -> Record:
    return {
        "schema": 1,
        "action": action,
        "job": job_id,
        "region": region,
        "gate": "blocks",
        "result": result,
        "commit": "c0ffee" + "0" * 34,
        "run": "7",
        "attempt": "1",
    } | more


class Evidence:
    """The artifacts of a run, as they were downloaded."""

    def __init__(self, job: Any) -> None:
        self.job = job
        self.folder = job.workspace / "evidence"

    def add(self, artifact: str, *records: Record) -> None:
        (self.folder / artifact).mkdir(parents=True, exist_ok=True)
        with open(self.folder / artifact / "evidence.jsonl", "a") as file:
            file.writelines(json.dumps(one) + "\n" for one in records)

    def of_all(self, *, but: tuple[str, ...] = ()) -> None:
        """What each leg of each job keeps where all passes."""
        for one in PROMISE:
            if one["job"] not in but:
                region = one.get("region", "")
                name = f"evidence-{one['job']}-{legs(one['job']).index(region)}-1"
                gate = "advisory" if one["status"] == "advisory" else "blocks"
                self.add(name, record(one["job"], one["action"], region, gate=gate))

    def report(self, promise: list[Record] = PROMISE, **inputs: str) -> Any:
        path = self.job.write("expected.json", json.dumps({"pipeline": promise}))
        return self.job.use("report", expected=str(path), **({"needs": "{}"} | inputs))

    def required(self) -> int:
        """The exit code of `dpra evidence --require required`."""
        command = [sys.executable, "-m", "dpra", "evidence", str(self.job.evidence / "evidence.json")]
        return subprocess.run([*command, "--require", "required"], check=False, capture_output=True).returncode


@pytest.fixture
def kept(job: Any) -> Evidence:
    return Evidence(job)


def lacking(ran: Any) -> list[str]:
    """The required actions that the report misses: action (job region)."""
    return [line.split(": ", 1)[1] for line in ran.errors if "::required, but not run: " in line]


def warnings(ran: Any) -> str:
    return "\n".join(text for name, _, text in ran.commands if name == "warning")


def required_of(*jobs: str) -> list[str]:
    return [
        f"{one['action']} ({one['job']}{' ' + one['region'] if one.get('region') else ''})"
        for one in PROMISE
        if one["job"] in jobs and one["level"] == "required" and one["status"] == "blocks"
    ]


def test_a_whole_run_is_proven(kept: Evidence) -> None:
    kept.of_all()
    ran = kept.report()
    assert (ran.code, ran.outputs["result"], warnings(ran), kept.required()) == (0, "pass", "", 0)


def test_a_unit_test_proves_no_other_job(kept: Evidence) -> None:
    others = ("security", "prod-approve", "prod-1")
    kept.of_all(but=others)
    forged = [one for one in PROMISE if one["job"] in others]
    kept.add(
        "evidence-build-0-1", *[record(one["job"], one["action"], one.get("region", "")) for one in forged]
    )  # as a test appends to $RUNNER_TEMP/dpra/evidence.jsonl
    ran = kept.report()
    assert ran.code == 1
    assert lacking(ran) == required_of(*others)
    for one in forged:
        assert f"evidence-build-0-1: a record tells of {one['action']} ({one['job']}" in warnings(ran)
    assert kept.required() == 1


def test_a_held_run_is_not_whole_whatever_a_test_wrote(kept: Evidence) -> None:
    kept.of_all(but=("prod-approve", "prod-1", "prod-bake-1"))
    kept.add("evidence-prod-approve-0-1", record("prod-approve", "manual-approval", result="held"))
    forged = [one for one in PROMISE if one["job"].startswith("prod")]
    later = [record(one["job"], one["action"], one.get("region", ""), attempt="2") for one in forged]
    kept.add("evidence-build-0-1", *later)  # it would replace what the approval said itself
    needs = {"prod-approve": {"result": "success"}, "prod-1": {"result": "skipped"}}
    needs |= {"prod-bake-1": {"result": "skipped"}}
    ran = kept.report(needs=json.dumps(needs), held="no window is open")
    assert (ran.code, ran.outputs["result"]) == (0, "held")
    assert kept.required() == 1


# One leg is taken away and its records are put where they do not belong: artifact -> fields that differ.
ELSEWHERE: dict[str, tuple[str, Record]] = {
    "another job's artifact": ("evidence-build-0-1", {}),
    "another leg's artifact": ("evidence-beta-tests-0-1", {}),
    "a wrong attempt in the right artifact": ("evidence-beta-tests-1-1", {"attempt": "2"}),
    "a region that the leg is not": ("evidence-beta-tests-1-1", {"region": "us-west-2"}),
    "a region that nobody promised": ("evidence-beta-tests-1-1", {"region": "eu-west-2"}),
    "no region": ("evidence-beta-tests-1-1", {"region": ""}),
    "a leg that the job does not have": ("evidence-beta-tests-2-1", {}),
    "an attempt that the run does not have": ("evidence-beta-tests-1-2", {"attempt": "2"}),
    "a job of a strange name": ("evidence-beta-tests.x-1-1", {}),
    "a job of no name": ("evidence--1-1", {}),
    "numbers written otherwise": ("evidence-beta-tests-01-1", {}),
    "no numbers": ("evidence-beta-tests", {}),
    "an artifact of something else": ("reports-beta-tests-1-1", {}),
    "a folder in the artifact of another job": ("evidence-build-0-1/evidence-beta-tests-1-1", {}),
    "a folder in a folder of that": ("evidence-build-0-1/evidence/evidence-beta-tests-1-1", {}),
    "a folder in its own artifact": ("evidence-beta-tests-1-1/evidence-beta-tests-1-1", {}),
}


@pytest.mark.parametrize(("artifact", "changed"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_record_elsewhere_counts_for_nothing(kept: Evidence, artifact: str, changed: Record) -> None:
    assert legs("beta-tests") == ["us-west-2", "eu-west-1"]
    kept.of_all()
    (kept.folder / "evidence-beta-tests-1-1" / "evidence.jsonl").unlink()
    there = [one["action"] for one in PROMISE if (one["job"], one.get("region")) == ("beta-tests", "eu-west-1")]
    kept.add(artifact, *[record("beta-tests", action, "eu-west-1") | changed for action in there])
    ran = kept.report()
    assert ran.code == 1
    assert lacking(ran) == [one for one in required_of("beta-tests") if "eu-west-1" in one]
    assert artifact in warnings(ran)
    assert kept.required() == 1


@pytest.mark.parametrize(
    ("forger", "victim"), [("prod", "prod-1"), ("prod-1", "prod"), ("prod-1-0", "prod-1"), ("prod-1", "prod-1-0")]
)
def test_a_job_whose_name_begins_as_another_s_is_not_that_other(kept: Evidence, forger: str, victim: str) -> None:
    promise = [
        {"job": one, "action": "deploy-software", "level": "required", "status": "blocks"} for one in (forger, victim)
    ]
    kept.add(f"evidence-{forger}-0-1", record(forger, "deploy-software"), record(victim, "deploy-software"))
    ran = kept.report(promise)
    assert (ran.code, lacking(ran)) == (1, [f"deploy-software ({victim})"])
    kept.add(f"evidence-{victim}-0-1", record(victim, "deploy-software"))
    assert kept.report(promise).code == 0


def test_an_action_of_another_job_is_not_done_by_saying_so_in_one_s_own_name(kept: Evidence) -> None:
    kept.of_all(but=("security",))
    kept.add("evidence-build-0-1", *[record("build", one["action"]) for one in PROMISE if one["job"] == "security"])
    ran = kept.report()
    assert (ran.code, lacking(ran)) == (1, required_of("security"))
    assert kept.required() == 1


@pytest.mark.parametrize("first", ["pass", "fail"])
@pytest.mark.parametrize("region", ["", "eu-west-1"])
def test_of_two_records_of_one_action_the_worst_counts(kept: Evidence, first: str, region: str) -> None:
    """Before or behind the real one, in a region or in none: that of unit tests cannot be bettered."""
    promise = [{"job": "build", "action": "unit-tests", "level": "required", "status": "blocks"}]
    second = "fail" if first == "pass" else "pass"
    kept.add("evidence-build-0-1", record("build", "unit-tests", "", first))
    kept.add("evidence-build-0-1", record("build", "unit-tests", region, second))
    ran = kept.report(promise)
    figures = json.loads((kept.job.evidence / "evidence.json").read_text())["figures"]
    assert (ran.code, figures["required"], figures["required-passed"]) == (1, 1, 0)
    assert kept.required() == 1


def test_a_second_record_makes_no_second_action(kept: Evidence) -> None:
    kept.of_all()
    count = sum(one["level"] == "required" for one in PROMISE)
    kept.add("evidence-build-0-1", record("build", "unit-tests"), record("build", "unit-tests", "eu-west-1"))
    assert f" of {count} required actions ran and passed" in kept.report().summary


def test_an_earlier_attempt_proves_nothing_of_a_leg_that_ran_again(kept: Evidence) -> None:
    """Of the first attempt, a record in a region of its own invention: it would be the newest there is of it."""
    kept.job.env["GITHUB_RUN_ATTEMPT"] = "2"
    kept.of_all()
    kept.add("evidence-build-0-1", record("build", "unit-tests", "nowhere"))
    kept.add("evidence-build-0-2", record("build", "build-code", attempt="2", result="fail"))
    ran = kept.report()
    assert ran.code == 1
    assert "unit-tests (build)" in lacking(ran)


def test_a_job_that_github_skipped_left_no_evidence(kept: Evidence) -> None:
    """Who has the job's token can upload an artifact in the name of a job that will not run."""
    kept.of_all()
    ran = kept.report(needs=json.dumps({"prod-1": {"result": "skipped"}}), held="no window is open")
    assert (ran.code, ran.outputs["result"]) == (0, "held")
    assert "evidence-prod-1-0-1: " in warnings(ran)
    assert kept.required() == 1


def test_the_artifacts_of_a_run_are_judged_the_same_without_its_report(kept: Evidence) -> None:
    """As `dpra rehearse --evidence` does where the run stopped before its report."""
    from dpra import evidence

    kept.of_all(but=("security",))
    kept.add("evidence-build-0-1", *[record("security", one["action"]) for one in PROMISE if one["job"] == "security"])
    merged = evidence.merged(kept.folder, PROMISE, "application")
    missing = evidence.lacking(merged, "required")
    assert {f"{one}: not run" for one in required_of("security")} <= {*missing}


def test_what_the_workflow_gives_an_artifact_is_the_name_that_is_read() -> None:
    from dpra import resources

    text = (resources.TEMPLATES / "steps" / "keep-evidence.yml").read_text()
    name = next(line.split("name: ")[1] for line in text.splitlines() if line.strip().startswith("name: evidence"))
    for expression, value in (("github.job", "prod-bake-1"), ("strategy.job-index", "3"), ("github.run_attempt", "12")):
        name = name.replace(f"${{{{ {expression} }}}}", value)
    named = resources.lib("merge").ARTIFACT.fullmatch(name)
    assert named
    assert named.groups() == ("prod-bake-1", "3", "12")
