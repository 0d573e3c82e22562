"""A release that may not go on yet is held: no failure, and no pass. Nothing but a protected branch approves."""

import json
from typing import Any

import pytest

COMMIT = "c0ffee" + "0" * 34
FROZEN = json.dumps({"freeze": ["2000-01-01/2999-12-31"]})
PROTECTED = {"protected": True, "protection": {"enabled": True}}
BY_RULES = {"protected": True, "protection": {"enabled": False}}
REVIEWED = [{"type": "deletion"}, {"type": "pull_request", "parameters": {"required_approving_review_count": 1}}]
PROMOTION = {
    "do": "promote",
    "component": "shop",
    "account": "123456789012",
    "regions": "eu-west-1",
    "bucket": "releases-{region}",
    "record": "s3://releases-eu-west-1/shop/record.json",
    "record_region": "eu-west-1",
    "token": "ghs_secret",
}


def answers(web: Any, *said: Any) -> None:
    web.answers = [(one, {}, b"{}") if isinstance(one, int) else (200, {}, json.dumps(one).encode()) for one in said]


def promote(job: Any, web: Any, *said: Any, **inputs: str) -> Any:
    """A promotion that goes on stops at once, as it is told of no release: `digest` is required."""
    answers(web, *said)
    job.env["GITHUB_API_URL"] = web.url
    return job.use("release", **PROMOTION | inputs)


def paths(web: Any) -> list[str]:
    return [f"{method} {path.removeprefix('/repos/acme/shop/')}" for method, path, _ in web.requests]


def went_on(ran: Any) -> bool:
    return ran.code == 1 and ran.errors == ["title=manual-approval::the input 'digest' is required"]


def held(ran: Any) -> str:
    """Why, as the output, the annotation and the summary say it; nothing of AWS was asked."""
    assert (ran.code, ran.errors, ran.outputs["locked"]) == (0, [], "false")
    assert (ran.record["action"], ran.record["result"], ran.record["gate"]) == ("manual-approval", "held", "blocks")
    [(name, properties, text)] = ran.commands
    assert (name, properties) == ("warning", "title=held")
    assert text == ran.outputs["held"]
    assert "held: not released yet" in ran.summary
    return str(text)


def test_a_closed_window_holds_and_says_when_it_opens(job: Any, web: Any) -> None:
    assert "2000-01-01/2999-12-31 is frozen" in held(promote(job, web, windows=FROZEN))
    assert web.requests == []


def test_a_reason_opens_the_window(job: Any, web: Any) -> None:
    ran = promote(job, web, windows=FROZEN, reason="the law changes")
    assert went_on(ran)
    assert ran.record["override"] == "the law changes"


def test_a_commit_that_is_not_in_the_approval_branch_is_held(job: Any, web: Any) -> None:
    for status in ("behind", "diverged"):
        web.requests.clear()
        ran = promote(job, web, PROTECTED, {"status": status}, approval_branch="production")
        assert f"merge {COMMIT} into production by a reviewed pull request, with a merge commit: a squash" in held(ran)
        assert paths(web) == ["GET branches/production", f"GET compare/{COMMIT}...production?per_page=1"]
        assert "ghs_secret" not in ran.out


def test_no_reason_stands_in_for_an_approval(job: Any, web: Any) -> None:
    said = (PROTECTED, {"status": "behind"})
    ran = promote(job, web, *said, approval_branch="production", reason="now", windows=FROZEN)
    assert (ran.code, ran.outputs["locked"], ran.record["result"]) == (0, "false", "held")
    assert "is frozen" not in ran.outputs["held"]


def test_both_are_told(job: Any, web: Any) -> None:
    why = held(promote(job, web, PROTECTED, {"status": "behind"}, approval_branch="production", windows=FROZEN))
    assert "is frozen" in why
    assert "merge" in why


@pytest.mark.parametrize("status", ["ahead", "identical"])
@pytest.mark.parametrize("said", [[PROTECTED], [BY_RULES, REVIEWED]])
def test_a_commit_that_is_there_goes_on(job: Any, web: Any, status: str, said: list[Any]) -> None:
    ran = promote(job, web, *said, {"status": status}, approval_branch="release/live")
    assert went_on(ran)
    assert ran.record["tool"] == "pull request into release/live"
    assert paths(web)[0] == "GET branches/release%2Flive"
    assert paths(web)[-1] == f"GET compare/{COMMIT}...release%2Flive?per_page=1"


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (
            [{"protected": False, "protection": {"enabled": False}}],
            "what is merged into it needs no review. Protect it",
        ),
        ([{}], "is not protected"),
        ([404], "there is no approval branch production: create it from the trunk and protect it"),
        ([BY_RULES, []], "requires an approving review"),
        ([BY_RULES, [{"type": "branch_name_pattern", "parameters": {}}]], "requires an approving review"),
        (
            [BY_RULES, [{"type": "pull_request", "parameters": {"required_approving_review_count": 0}}]],
            "requires an approving review",
        ),
        ([500], "GitHub refused branches/production: 500"),
        ([PROTECTED, 404], "GitHub refused compare/"),
    ],
)
def test_what_is_no_approval_fails(job: Any, web: Any, said: list[Any], says: str) -> None:
    ran = promote(job, web, *said, approval_branch="production", reason="now")
    assert (ran.code, ran.outputs["locked"], ran.outputs["held"]) == (1, "", "")
    assert says in ran.errors[0]
    assert ran.record["result"] in ("fail", "error")


# ---- Held is not failed, and not passed


def test_the_report_of_a_held_release_passes_and_proves_nothing(job: Any) -> None:
    promises = {"prod-approve": "manual-approval", "prod-1": "progressive-deployment"}
    said = [{"job": name, "action": one, "level": "required", "status": "blocks"} for name, one in promises.items()]
    expected = str(job.write("expected.json", json.dumps({"pipeline": said})))
    needs = {"prod-approve": "success", "prod-1": "skipped", "finish": "skipped", "rollback": "skipped"}
    about = {"GITHUB_JOB": "prod-approve", "RUNNER_TEMP": str(job.workspace / "evidence")}
    before = dict(job.env)
    (job.workspace / "evidence").mkdir()
    job.env |= about
    assert job.use("release", **PROMOTION, windows=FROZEN).code == 0
    job.env = before
    (job.workspace / "evidence/dpra").rename(job.workspace / "evidence/evidence-prod-approve-0-1")
    given = {"expected": expected, "needs": json.dumps({job: {"result": result} for job, result in needs.items()})}
    ran = job.use("report", **given, may_be_skipped="rollback", held="merge it")
    assert (ran.code, ran.outputs["result"], ran.errors, ran.record["result"]) == (0, "held", [], "pass")
    assert "the release is held" in ran.summary
    document = json.loads((job.evidence / "evidence.json").read_text())
    assert [one["result"] for one in document["actions"]] == ["held", "not run"]
    assert document["figures"]["required-passed"] == 0
    assert job.use("report", **given, may_be_skipped="rollback").code == 1  # nobody said that it is held
    told = job.use("notify", needs=given["needs"], held="merge it", webhook="http://127.0.0.1:1/")
    assert (told.outputs["state"], told.commands) == ("held", [])


@pytest.mark.parametrize(("name", "result"), [("gamma", "failure"), ("prod-approve", "failure"), ("beta", "cancelled")])
def test_a_failure_beside_it_stays_one(job: Any, name: str, result: str) -> None:
    needs = json.dumps({name: {"result": result}, "prod-1": {"result": "skipped"}})
    said = {"job": name, "action": "sast", "level": "required", "status": "blocks"}
    expected = str(job.write("expected.json", json.dumps({"pipeline": [said]})))
    (job.workspace / "evidence").mkdir()
    ran = job.use("report", expected=expected, needs=needs, held="merge it")
    assert (ran.code, ran.outputs["result"]) == (1, "fail")
    assert len(ran.errors) == 2
    assert job.use("notify", needs=needs, held="merge it").outputs["state"] == "broken"
