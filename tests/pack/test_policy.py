"""What lets a finding through: a waiver until its day, a baseline, and a check that only warns."""

import json
from pathlib import Path
from typing import Any

import pytest

INJECTION = "def find(cursor, name):\n    return cursor.execute(\"SELECT * FROM users WHERE name = '%s'\" % name)\n"
WAIVER = {
    "rule": "B608",
    "path": "src/**",
    "reason": "only our own names",
    "owner": "@acme/shop",
    "until": "2030-06-30",
}
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def sast(job: Any, *waivers: dict[str, str], **inputs: str) -> Any:
    return job.use("check", action="sast", language="python", tool="bandit", waivers=json.dumps(waivers), **inputs)


@pytest.fixture
def job(job: Any) -> Any:
    job.write("src/app.py", INJECTION)
    return job


@pytest.fixture
def clock(job: Any, needs: Any) -> Any:
    """Moves the clock of everything that the job runs."""
    needs("", FAKETIME)

    def move(to: str) -> None:
        job.env |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME": to, "TZ": "UTC", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    return move


def test_a_waiver_lets_one_through_until_its_day_and_not_a_day_longer(job: Any, clock: Any) -> None:
    assert sast(job).code == 1

    clock("2030-06-30 23:59:00")
    ran = sast(job, WAIVER)
    assert (ran.code, ran.errors, ran.record["result"]) == (0, [], "pass")
    assert ran.record["waivers"] == [WAIVER | {"findings": 1}]
    assert "| medium | waived | `B608` |" in ran.summary

    clock("2030-07-01 00:00:00")
    ran = sast(job, WAIVER)
    assert (ran.code, ran.record["result"]) == (1, "fail")
    assert (
        "the waiver of B608 in src/** (@acme/shop: only our own names), until 2030-06-30 has expired" in ran.errors[0]
    )
    assert "waivers" not in ran.record or ran.record["waivers"] == []


def test_an_expired_waiver_fails_even_where_it_would_cover_nothing(job: Any) -> None:
    job.write("src/app.py", "x = 1\n")
    ran = sast(job, WAIVER | {"until": "2020-01-01"})
    assert (ran.code, ran.record["result"]) == (1, "fail")
    assert "has expired" in ran.errors[0]


@pytest.mark.parametrize("change", [{"rule": "B607"}, {"path": "tests/**"}, {"path": "src"}])
def test_a_waiver_of_something_else_covers_nothing_and_is_warned_of(job: Any, change: dict[str, str]) -> None:
    ran = sast(job, WAIVER | change)
    assert ran.code == 1
    job.write("src/app.py", "x = 1\n")
    ran = sast(job, WAIVER | change)
    assert ran.code == 0
    [(_, _, text)] = [one for one in ran.commands if one[0] == "warning"]
    assert "matches no finding: remove it" in text


@pytest.mark.parametrize("text", ["{", '["x"]', '[{"rule": "B608"}]', '[{"until": "never"}]', "{}x"])
def test_waivers_that_cannot_be_read_are_an_error(job: Any, text: str) -> None:
    ran = job.use("check", action="sast", tool="bandit", waivers=text)
    assert (ran.code, ran.record["result"]) == (1, "error")


def test_hostile_waivers_stay_data(job: Any, hostile: dict[str, str], inert: Any) -> None:
    for text in hostile.values():
        ran = sast(job, {"rule": text, "path": text, "reason": text, "owner": text, "until": "2020-01-01"})
        assert ran.code == 1
        inert(job, ran)


def test_an_advisory_check_warns_records_and_does_not_fail(job: Any) -> None:
    ran = sast(job, advisory="we are learning")
    assert (ran.code, ran.errors) == (0, [])
    assert (ran.record["gate"], ran.record["reason"], ran.record["result"]) == ("advisory", "we are learning", "fail")
    assert [name for name, _, text in ran.commands if "B608" in text] == ["warning"]


def baseline_of(job: Any) -> str:
    found = json.loads((job.evidence / "sast.findings.json").read_text())
    job.write(".github/dpra-baseline.json", json.dumps({"schema": 1, "findings": found}))
    return ".github/dpra-baseline.json"


def test_a_baseline_lets_the_old_through_wherever_it_moves_and_blocks_the_new(job: Any) -> None:
    assert sast(job).code == 1
    baseline = baseline_of(job)

    job.write("src/app.py", "# a line above it\n" + INJECTION)
    ran = sast(job, baseline=baseline)
    assert (ran.code, ran.record["result"], ran.record["baseline"]) == (0, "pass", 1)
    assert "| medium | baseline | `B608` |" in ran.summary

    job.write("src/app.py", INJECTION + INJECTION.replace("find", "find_again"))  # once more the same line
    ran = sast(job, baseline=baseline)
    assert (ran.code, len(ran.errors), ran.record["baseline"]) == (1, 1, 1)

    job.write("src/app.py", INJECTION.replace("users", "customers"))
    assert sast(job, baseline=baseline).code == 1

    job.write("src/app.py", "x = 1\n")
    job.write("src/other.py", INJECTION)
    assert sast(job, baseline=baseline).code == 1


@pytest.mark.parametrize("content", [None, "", "[]", '{"findings": [{}]}'])
def test_a_baseline_that_cannot_be_read_fails(job: Any, content: str | None) -> None:
    if content is not None:
        job.write("baseline.json", content)
    ran = sast(job, baseline="baseline.json")
    assert ran.code == 1
    assert "the baseline 'baseline.json' cannot be read" in ran.errors[0]


def test_a_baseline_of_secrets_repeats_none(job: Any) -> None:
    import base64
    import os

    key = "AKIA" + base64.b32encode(os.urandom(10)).decode()
    job.write("settings.ini", f"key = {key}\n")
    job.git("init", "--quiet")
    job.git("add", ".")
    job.git("commit", "--quiet", "--message", "Begin")
    assert job.use("check", action="secrets-detection").code == 1
    found = (job.evidence / "secrets-detection.findings.json").read_text()
    assert "settings.ini" in found
    assert key not in found
    job.write("baseline.json", json.dumps({"schema": 1, "findings": json.loads(found)}))
    assert job.use("check", action="secrets-detection", baseline="baseline.json").code == 0
