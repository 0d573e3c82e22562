"""What is required and has no passing record fails, however it came to be absent."""

import json
from typing import Any

import pytest


def promise(job: str, action: str, level: str = "required", status: str = "blocks", **more: Any) -> str:
    return json.dumps({"job": job, "action": action, "level": level, "status": status} | more) + "\n"


EXPECTED = promise("build", "unit-tests") + promise("security", "sast") + promise("beta", "dast", "recommended")


def record(job: str, action: str, result: str = "pass", **more: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "action": action,
        "job": job,
        "region": "",
        "tool": "tool",
        "version": "1.0",
        "gate": "blocks",
        "reason": "",
        "result": result,
        "waivers": [],
        "baseline": 0,
        "findings": {"high": 0, "low": 2},
        "seconds": 1.0,
        "commit": "c0ffee" + "0" * 34,
        "run": "7",
        "attempt": "1",
        "where": "",
    } | more


def keep(job: Any, artifact: str, *records: dict[str, Any]) -> None:
    """Lines in an artifact, behind those that are there."""
    path = job.workspace / "evidence" / artifact / "evidence.jsonl"
    before = path.read_text() if path.exists() else ""
    job.write(f"evidence/{artifact}/evidence.jsonl", before + "".join(f"{json.dumps(one)}\n" for one in records))


def report(job: Any, *records: dict[str, Any], expected: str = EXPECTED, needs: Any = None) -> Any:
    """Each record in the artifact of its job's leg; what is promised as lines of JSON: the workflow's list."""
    legs = ("eu-west-1", "us-east-1")
    for one in records:
        leg = legs.index(one["region"]) if one["region"] in legs else 0
        attempt = one["attempt"] if one["attempt"].isdecimal() else "1"
        keep(job, f"evidence-{one['job']}-{leg}-{attempt}", one)
    said = {"pipeline": [json.loads(line) for line in expected.splitlines()], "hotfix": []}
    return job.use("report", expected=str(job.write("expected.json", json.dumps(said))), needs=json.dumps(needs or {}))


def merged(job: Any) -> list[dict[str, Any]]:
    document = json.loads((job.evidence / "evidence.json").read_text())
    facts = {key: document[key] for key in ("schema", "repository", "commit", "run")}
    assert facts == {"schema": 1, "repository": "acme/shop", "commit": "c0ffee" + "0" * 34, "run": "7"}
    return list(document["actions"])


UNIT, SAST = record("build", "unit-tests"), record("security", "sast")


def test_all_that_is_required_passed(job: Any) -> None:
    ran = report(job, UNIT, SAST, needs={"build": {"result": "success"}})
    assert (ran.code, ran.outputs["result"], ran.errors) == (0, "pass", [])
    assert "2 of 2 required actions ran and passed" in ran.summary
    assert "| `sast` | `security` | ` ` | `required` | `pass` | `tool` | `2 low` |" in ran.summary
    assert [(one["action"], one["level"], one["result"]) for one in merged(job)] == [
        ("unit-tests", "required", "pass"),
        ("sast", "required", "pass"),
        ("dast", "recommended", "not run"),
    ]
    assert ran.record["result"] == "pass"


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "not run"),
        ([record("security", "sast", "fail")], "fail"),
        ([record("security", "sast", "error")], "error"),
        ([SAST, record("security", "sast", "fail")], "fail"),
        ([SAST | {"commit": "d" * 40}], "not run"),
        ([SAST | {"run": "6"}], "not run"),
        ([SAST | {"schema": 2}], "not run"),
        ([record("elsewhere", "sast")], "not run"),
        ([record("security", "sca")], "not run"),
        ([SAST | {"attempt": "many"}], "not run"),
        ([SAST | {"region": None}], "not run"),
    ],
)
def test_required_without_a_passing_record_fails(job: Any, records: list[dict[str, Any]], said: str) -> None:
    ran = report(job, UNIT, *records)
    assert (ran.code, ran.outputs["result"], ran.record["result"]) == (1, "fail", "fail")
    assert ran.errors == [f"title=report::required, but {said}: sast (security)"]


def test_no_evidence_at_all_fails(job: Any) -> None:
    ran = report(job)
    assert ran.code == 1
    assert [one["result"] for one in merged(job)] == ["not run"] * 3


@pytest.mark.parametrize(
    "content", [b"not json\n", b"\xff\n", b"[]\n", b'{"action": "sast"}\n', json.dumps(SAST).encode()[:-9]]
)
def test_a_line_that_is_no_record_counts_for_nothing(job: Any, content: bytes) -> None:
    path = job.write("evidence/evidence-security-0-1/evidence.jsonl", "")
    path.write_bytes(content)
    ran = report(job, UNIT)
    assert (ran.code, ran.errors) == (1, ["title=report::required, but not run: sast (security)"])
    assert [name for name, _, _ in ran.commands].count("warning") == 1


def test_a_job_that_was_run_again_replaces_its_evidence(job: Any) -> None:
    job.env["GITHUB_RUN_ATTEMPT"] = "10"
    assert report(job, UNIT, record("security", "sast", "fail"), SAST | {"attempt": "2"}).code == 0
    assert report(job, record("security", "sast", "fail", attempt="10")).code == 1  # not compared as text


def test_what_a_second_attempt_did_not_reach_is_not_run(job: Any) -> None:
    job.env["GITHUB_RUN_ATTEMPT"] = "2"
    lint = record("security", "secrets-detection", "fail", attempt="2")
    ran = report(job, UNIT, SAST, lint)
    assert (ran.code, ran.errors) == (1, ["title=report::required, but not run: sast (security)"])


def test_every_region_counts(job: Any) -> None:
    expected = "".join(promise("gamma", "deploy-software", region=region) for region in ("eu-west-1", "us-east-1"))
    here, there = (record("gamma", "deploy-software", region=region) for region in ("eu-west-1", "us-east-1"))
    assert report(job, here, expected=expected).code == 1
    assert report(job, here, there, expected=expected).code == 0
    job.env["GITHUB_RUN_ATTEMPT"] = "2"
    again = there | {"result": "fail", "attempt": "2"}
    ran = report(job, here, there, again, expected=expected)
    assert ran.errors == ["title=report::required, but fail: deploy-software (gamma us-east-1)"]


@pytest.mark.parametrize("result", ["failure", "cancelled"])
def test_a_job_without_success_fails_whatever_its_evidence(job: Any, result: str) -> None:
    ran = report(job, UNIT, SAST, needs={"build": {"result": "success"}, "security": {"result": result}})
    assert (ran.code, ran.outputs["result"]) == (1, "fail")
    assert ran.errors == [f"title=report::the job security ended as {result}"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (None, "cannot be read"),
        ("", "run: dpra generate"),
        ("build unit-tests required", "run: dpra generate"),
        ("[]", "run: dpra generate"),
        ("{}", "says nothing of the workflow pipeline"),
        ('{"hotfix": []}', "says nothing of the workflow pipeline"),
        ('{"pipeline": 1}', "'1' is not a JSON object with job, action"),
        ('{"pipeline": [{"job": "build", "action": "unit-tests"}]}', "is not a JSON object with job, action"),
        (f'{{"pipeline": [{promise("build", "unit-tests", "requird")}]}}', "is not a JSON object with job, action"),
        (f'{{"pipeline": [{promise("build", "unit-tests", "required", "hopes")}]}}', "is not a JSON object with job"),
        (f'{{"pipeline": [{promise("build", 1)}]}}', "is not a JSON object with job, action"),
    ],
)
def test_a_promise_that_cannot_be_read_fails_and_says_the_way_out(job: Any, said: str | None, problem: str) -> None:
    path = job.workspace / "expected.json"
    if said is not None:
        job.write("expected.json", said)
    ran = job.use("report", expected=str(path), needs="{}")
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert any(problem in line and "dpra generate" in line for line in ran.errors), ran.errors


def test_each_workflow_has_a_promise_of_its_own(job: Any) -> None:
    keep(job, "evidence-build-0-1", UNIT)
    said = {
        "pipeline": [json.loads(line) for line in EXPECTED.splitlines()],
        "hotfix": [json.loads(promise("build", "unit-tests"))],
    }
    path = job.write("expected.json", json.dumps(said))
    assert job.use("report", expected=str(path), needs="{}").code == 1
    assert job.use("report", expected=str(path), workflow="hotfix", needs="{}").code == 0


def test_evidence_of_the_pack_itself_is_understood(job: Any) -> None:
    built = job.use("build", command="true")
    assert built.code == 0
    (job.workspace / "evidence").mkdir()
    job.evidence.rename(job.workspace / "evidence" / "evidence-job-0-1")
    assert report(job, expected=promise("job", "build-code")).code == 0


def test_hostile_records_stay_data(job: Any, hostile: dict[str, str], inert: Any) -> None:
    strings = list(hostile.values())
    expected_ones = [record("security", "sast", "fail", tool=text, region=text, findings={text: 1}) for text in strings]
    keep(job, "evidence-build-0-1", *[record("build", text, text) for text in strings])
    keep(job, "evidence-build-0-1", *[record(text, text, text) for text in strings])
    ran = report(job, UNIT, *expected_ones, needs={text: {"result": text} for text in strings})
    assert (ran.code, len(ran.errors)) == (1, 2 * len(strings))
    inert(job, ran)


# ---- evidence.py by hand


def test_evidence_by_hand(job: Any) -> None:
    import subprocess

    script = job.pack / "_lib" / "evidence.py"
    command = ["python3", "-B", str(script), "manual-approval", "pass", "--tool", "GitHub environment"]
    assert subprocess.run(command, env=job.env, check=False).returncode == 0
    [one] = job.records()
    assert set(one) == set(record("a", "b"))
    assert (one["action"], one["result"], one["tool"], one["job"]) == (
        "manual-approval",
        "pass",
        "GitHub environment",
        "job",
    )
    bad = subprocess.run([*command[:4], "perhaps"], env=job.env, check=False, capture_output=True)
    assert bad.returncode == 2


@pytest.mark.parametrize("result", ["pass", "fail", "error"])
def test_what_was_to_block_and_only_warned_fails_whatever_it_found(job: Any, result: str) -> None:
    ran = report(job, UNIT, record("security", "sast", result, gate="advisory", reason="x"))
    assert (ran.code, ran.errors) == (1, ["title=report::required, but only warned: sast (security)"])


@pytest.mark.parametrize("result", ["pass", "fail", "error"])
def test_what_was_to_warn_only_is_an_exception(job: Any, result: str) -> None:
    expected = promise("build", "unit-tests") + promise("security", "sast", "required", "advisory")
    ran = report(job, UNIT, record("security", "sast", result, gate="advisory", reason="new to us"), expected=expected)
    assert ran.code == 0
    figures = json.loads((job.evidence / "evidence.json").read_text())["figures"]
    assert (figures["required"], figures["required-passed"]) == (2, 1)
    assert figures["exceptions"] == ["sast (security): advisory, new to us"]
