"""What a run deployed is tested before the next one deploys to the same region."""

import json
from typing import Any

import pytest

DEPLOY, TEST, MONITOR = "Deploy to gamma in eu-west-1", "Test (Gamma) in eu-west-1", "Monitor gamma in eu-west-1"
DEPLOYED = (DEPLOY, "completed", "success")
TESTED = (TEST, "completed", "failure")
MONITORED = (MONITOR, "completed", "success")


def jobs(*those: tuple[str, str, str | None]) -> dict[str, Any]:
    return {"jobs": [{"name": name, "status": status, "conclusion": how} for name, status, how in those]}


def runs(*numbers: int, status: str = "in_progress") -> dict[str, Any]:
    """What GitHub lists: this run, those, and one that has ended."""
    listed = [{"id": number, "status": status} for number in numbers]
    return {"workflow_runs": [{"id": 7, "status": "in_progress"}, *listed, {"id": 1, "status": "completed"}]}


OPEN, ENDED = {"status": "in_progress"}, {"status": "completed"}


@pytest.fixture
def wait(hurried: Any, web: Any) -> Any:
    def use(*answers: Any, **inputs: str) -> tuple[Any, list[str]]:
        """What came of it, and what GitHub was asked."""
        web.answers = [
            (one, {}, b"{}") if isinstance(one, int) else (200, {}, json.dumps(one).encode()) for one in answers
        ]
        hurried.env |= {"GITHUB_API_URL": web.url, "GITHUB_RUN_ID": "7"}
        given = {"job": DEPLOY, "tests": json.dumps([TEST, MONITOR]), "region": "eu-west-1", "token": "ghs_secret"}
        ran = hurried.use("await-tests", **given | inputs)
        return ran, [path.removeprefix("/repos/acme/shop/actions/").partition("?")[0] for _, path, _ in web.requests]

    return use


def test_with_no_other_run_it_asks_once(wait: Any) -> None:
    ran, asked = wait(runs())
    assert (ran.code, asked) == (0, ["workflows/pipeline.yml/runs"]), ran.out


@pytest.mark.parametrize(
    "state",
    [
        jobs(),
        jobs((DEPLOY, "in_progress", None)),
        jobs((DEPLOY, "queued", None)),
        jobs((DEPLOY, "completed", "failure")),
        jobs((DEPLOY, "completed", "cancelled"), (TEST, "queued", None)),
        jobs((DEPLOY.replace("eu-west-1", "us-east-1"), "completed", "success")),
        jobs(DEPLOYED, TESTED, MONITORED),
        jobs(DEPLOYED, (TEST, "completed", "cancelled"), (MONITOR, "completed", "skipped")),
        # As GitHub names jobs that are skipped: their matrix was never made.
        jobs(DEPLOYED, *((f"{one[:-9]}${{{{ matrix.region }}}}", "completed", "skipped") for one in (TEST, MONITOR))),
    ],
)
def test_a_run_that_tests_nothing_here_keeps_nobody_waiting(wait: Any, state: Any) -> None:
    ran, asked = wait(runs(6), state)
    assert (ran.code, asked[1:]) == (0, ["runs/6/jobs"]), ran.out


@pytest.mark.parametrize(
    "busy",
    [
        jobs(DEPLOYED),  # GitHub makes the others when every region has the release
        jobs(DEPLOYED, (TEST, "queued", None)),
        jobs(DEPLOYED, (TEST, "in_progress", None)),
        jobs(DEPLOYED, TESTED),
        jobs(DEPLOYED, TESTED, (MONITOR, "waiting", None)),
        jobs(DEPLOYED, (TEST.replace("eu-west-1", "us-east-1"), "completed", "success"), MONITORED),
    ],
)
def test_what_is_tested_here_is_waited_for(wait: Any, busy: Any) -> None:
    ran, asked = wait(runs(6), busy, OPEN, busy, OPEN, jobs(DEPLOYED, TESTED, MONITORED))
    assert (ran.code, asked[1:]) == (0, ["runs/6/jobs", "runs/6"] * 2 + ["runs/6/jobs"]), ran.out
    assert ran.out.count("waiting for the tests of run 6 in eu-west-1") == 1


def test_a_run_that_has_ended_tests_no_more_whatever_its_jobs_say(wait: Any) -> None:
    ran, _ = wait(runs(6), jobs(DEPLOYED, (TEST, "in_progress", None)), ENDED)
    assert ran.code == 0, ran.out


def test_an_older_and_a_newer_run_are_both_waited_for_and_no_other_again(wait: Any) -> None:
    done, busy = jobs(DEPLOYED, TESTED, MONITORED), jobs(DEPLOYED, TESTED)
    ran, asked = wait(runs(9, 6, 5), busy, OPEN, done, busy, OPEN, busy, OPEN, done, done)
    assert ran.code == 0, ran.out
    assert asked[1:] == [
        *("runs/9/jobs", "runs/9", "runs/6/jobs", "runs/5/jobs", "runs/5"),
        *("runs/9/jobs", "runs/9", "runs/5/jobs"),
        "runs/9/jobs",
    ]


def test_who_waits_too_long_fails_and_says_for_whom(wait: Any) -> None:
    ran, _ = wait(runs(6), jobs(DEPLOYED), OPEN, minutes="-1")
    assert ran.code == 1
    assert "run 6 still tests in eu-west-1 what it deployed: run this job again when it has ended" in ran.errors[0]


@pytest.mark.parametrize("answer", [500, 403, {}, {"workflow_runs": None}, []])
def test_who_cannot_see_does_not_deploy(wait: Any, answer: Any) -> None:
    ran, _ = wait(answer)
    assert ran.code == 1
    assert ran.errors
