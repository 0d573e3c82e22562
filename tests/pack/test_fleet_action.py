"""The action fleet: the plan of a release, a look at a part, drift; by the real AWS CLI against the rehearsal's AWS."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from .conftest import ACCOUNT, ONE, REGION, Bench
from .test_fleet_apply import DENY, Organisation, account, fleet, policy

COMMON = {"component": "shop", "account": ACCOUNT, "region": REGION}
BUILT = ".github/workflows/pipeline.yml@refs/heads/main"


@pytest.fixture
def org(
    bench: Bench, cloud: Callable[..., Any], server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Organisation:
    bench.job.env |= server | {"GITHUB_REPOSITORY_ID": "1", "GITHUB_SHA": ONE}
    return Organisation(bench, monkeypatch)


def row(action: str, expect: str, on: str = "A", **attempt: Any) -> Any:
    from fleet import Request

    principal = "arn:aws:iam::{account}:role/dpra-probe"
    return Request(on, principal, action, "*", expect, "policies/tests/a.yml", 3, attempt=attempt)


def released(org: Organisation, wants: Any, commit: str = ONE) -> str:
    """A release of a fleet that runs."""
    digest = org.release(commit, wants)
    org.bench.deploy(digest, commit)
    return digest


def test_the_plan_lies_beside_the_release_and_is_shown(org: Organisation, bench: Bench) -> None:
    import fleet_plan

    wants = fleet([account("one")], [policy("deny", "A")])
    digest = bench.release(ONE, {"fleet/fleet.json": wants.text})
    ran = bench.job.use("fleet", do="plan", release=digest, digest=digest, **COMMON)
    assert (ran.code, ran.errors) == (0, []), ran.out
    assert (ran.record["action"], ran.record["findings"]) == ("saved-plan", {"steps": 6, "refused": 0})
    assert (bench.job.workspace / digest / "plan.json").read_text() == fleet_plan.plan(wants, org.seen()).text
    assert "The fleet's plan" in ran.summary
    assert "root: an account is created: account:one" in ran.out
    planned = ran.outputs["digest"]
    assert planned != digest, "another plan is another release"
    (bench.job.workspace / digest).rename(bench.job.workspace / planned)
    bench.deploy(planned)
    assert org.left(wants) == []
    ran = bench.job.use("fleet", do="plan", release=planned, digest=digest, **COMMON)
    assert (ran.code, "the release has the digest" in ran.out) == (1, True), "somebody handed on another one"


def test_what_cannot_be_planned_fails_with_the_place(org: Organisation, bench: Bench) -> None:
    org.org.create_policy(Name="deny", Type="SERVICE_CONTROL_POLICY", Description="", Content=json.dumps(DENY))
    digest = bench.release(ONE, {"fleet/fleet.json": fleet(policies=[policy("deny", "A")]).text})
    ran = bench.job.use("fleet", do="plan", release=digest, digest=digest, **COMMON)
    assert (ran.code, ran.record["result"], ran.record["findings"]["refused"]) == (1, "fail", 1)
    assert any("file=policies/deny.yml,line=1" in error and "is not dpra's" in error for error in ran.errors), (
        ran.errors
    )
    assert not (bench.job.workspace / digest / "plan.json").exists()


def test_another_account_than_the_management_account_plans_nothing(org: Organisation, bench: Bench) -> None:
    digest = bench.release(ONE, {"fleet/fleet.json": fleet().text})
    ran = bench.job.use("fleet", do="plan", release=digest, digest=digest, **{**COMMON, "account": "1" * 12})
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert f"the credentials are of account {ACCOUNT}" in ran.out


def test_a_part_is_looked_at_and_its_accounts_are_really_asked(org: Organisation, bench: Bench) -> None:
    rows = (
        row("sts:GetCallerIdentity", "allow", service="sts", operation="get-caller-identity"),
        row("s3:ListAllMyBuckets", "allow", "account:one", service="s3api", operation="list-buckets"),
        row("ec2:RunInstances", "deny", "C", service="ec2", operation="run-instances"),  # nobody is there
        row("iam:GetUser", "deny"),  # not tried
    )
    wants = fleet([account("one"), account("two", "A")], [policy("deny", "A")], units=("A", "A/B", "C"), requests=rows)
    digest = released(org, wants)
    about = {"do": "verify", "release": digest, "digest": digest, "unit": "root", **COMMON}
    ran = bench.job.use("fleet", **about)
    assert (ran.code, ran.errors) == (0, []), ran.out
    assert (ran.record["action"], ran.record["findings"]) == (
        "guardrail-tests",
        {"different": 0, "rows": 0, "tried": 3},
    )
    wants = fleet(wants.accounts, wants.policies, units=("A", "A/B", "C"), requests=(
        row("sts:GetCallerIdentity", "deny", service="sts", operation="get-caller-identity"),
    ))  # fmt: skip
    one = released(org, wants, "2" * 40)
    bench.job.env["GITHUB_SHA"] = "2" * 40
    ran = bench.job.use("fleet", **{**about, "release": one, "digest": one})
    assert (ran.code, ran.record["findings"]["rows"]) == (1, 2)
    bench.job.env["GITHUB_SHA"] = ONE
    assert "sts get-caller-identity: it was allowed" in ran.out
    [deny] = [policy for policy in org.seen().policies if policy.name == "deny"]
    org.org.detach_policy(PolicyId=deny.id, TargetId=deny.attachments[0])
    ran = bench.job.use("fleet", **about)
    assert (ran.code, ran.record["findings"]["different"]) == (1, 1)
    assert "root is not as the release wants it: deny: a policy is attached" in ran.out
    ran = bench.job.use("fleet", **{**about, "unit": "B"})
    assert "'B' is no part of the fleet" in ran.out


@pytest.mark.parametrize(
    ("expect", "code", "says", "found"),
    [
        ("deny", "AccessDenied", "with an explicit deny in a service control policy", "as expected"),
        ("deny", "UnauthorizedOperation", "You are not authorized to perform this operation.", "as expected"),
        ("deny", "AccessDenied", "because no identity-based policy allows the x action", "it proves nothing"),
        ("deny", "DryRunOperation", "Request would have succeeded", "it was not denied, DryRunOperation"),
        ("deny", "ExpiredToken", "", "it could not be asked"),
        ("deny", "", "Could not connect", "it could not be asked"),
        ("allow", "DryRunOperation", "", "as expected"),
        ("allow", "AccessDeniedException", "explicit deny", "it was denied"),
    ],
)
def test_what_an_answer_means(expect: str, code: str, says: str, found: str) -> None:
    import fleet_look

    assert fleet_look.judged(expect, code, says).startswith(found)


@pytest.fixture
def stored(org: Organisation, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, str]]:
    """Sign a release, and store it; what an action needs to take it from there."""
    key = boto3.client("kms", REGION).create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    monkeypatch.setenv("GITHUB_REPOSITORY_ID", "1")
    monkeypatch.setenv("GITHUB_WORKFLOW_REF", f"acme/shop/{BUILT}")
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")

    def stored(digest: str) -> dict[str, str]:
        import release
        import signature
        import store

        folder: Path = bench.job.workspace / digest
        (folder / "provenance.json").write_text(json.dumps(release.statement(folder, digest)))
        signature.sign(folder, key)
        store.put(REGION, "packages", ACCOUNT, "shop", digest, folder)
        about = {"bucket": "packages", "signing_key": key, "built_by": BUILT, **COMMON}
        return about | {"record": "s3://packages/shop/record.json", "record_region": REGION}

    return stored


def test_a_part_by_the_action_and_its_unit_is_the_place_of_the_record(
    org: Organisation, bench: Bench, stored: Callable[[str], dict[str, str]]
) -> None:
    import record

    wants = fleet([account("one")], units=("A", "A/B"), parts=("A", "root"))
    digest = org.release(ONE, wants)
    about = {**stored(digest), "store": "packages", "store_region": REGION, "digest": digest, "environment": "prod"}
    about |= {"tool": "organizations", "unit": "A", "wave": "1"}
    place = record.Place(REGION, "packages", "shop/record.json", ACCOUNT)
    release = {"digest": digest, "commit": ONE}
    record.change(place, lambda kept: record.acquire_lock(kept, "7", release, lambda *_: "ahead", 1e12, 100.0, False))
    bench.job.env["GITHUB_SHA"] = ONE
    ran = bench.job.use("deploy", **about)
    assert (ran.code, ran.errors) == (0, []), ran.out
    kept = record.read(place)[0]["regions"]
    assert {name: entry["now"]["state"] for name, entry in kept.items()} == {"A": "deployed"}
    folder = bench.job.workspace / digest
    (folder / "plan.json").write_text((folder / "plan.json").read_text().replace("A/B", "A/C"))
    boto3.client("s3", REGION).upload_file(str(folder / "plan.json"), "packages", f"shop/{digest}/plan.json")
    ran = bench.job.use("deploy", **{**about, "unit": "root"})
    assert (ran.code, "plan.json has the SHA-256" in ran.out) == (1, True), ran.out


def test_drift_is_told_by_an_issue_for_each_thing_and_closed_when_it_is_gone(
    org: Organisation, bench: Bench, web: Any, stored: Callable[[str], dict[str, str]]
) -> None:
    import record

    wants = fleet([account("one")], [policy("deny", "A")])
    digest = released(org, wants)
    about = {"do": "drift", **stored(digest)}
    kept = record.empty() | {"current": {"digest": digest, "commit": ONE, "run": "1"}}
    place = record.Place(REGION, "packages", "shop/record.json", ACCOUNT)
    record.change(place, lambda document: document.update(kept))
    bench.job.env["GITHUB_API_URL"] = web.url

    def answers(*some: Any) -> None:
        web.requests.clear()
        web.answers[:] = [(200, {}, json.dumps(one).encode()) for one in some]

    answers([])
    ran = bench.job.use("fleet", **about)
    assert (ran.code, ran.record["findings"]) == (0, {"drift": 0}), ran.out
    [deny] = [one for one in org.seen().policies if one.name == "deny"]
    org.org.detach_policy(PolicyId=deny.id, TargetId=deny.attachments[0])
    there = {"number": 3, "title": "Drift: x: an account moves", "body": "-"}
    answers([there], {}, {"number": 4})
    ran = bench.job.use("fleet", **about)
    assert (ran.code, ran.record["result"], ran.record["findings"]) == (1, "fail", {"drift": 1}), ran.out
    asked = [(method, path.partition("?")[0], json.loads(body or "{}")) for method, path, body in web.requests]
    assert [method for method, *_ in asked] == ["GET", "PATCH", "POST"]  # listed once, however much differs
    closed = ("PATCH", "/repos/acme/shop/issues/3", {"state": "closed", "state_reason": "completed"})
    assert closed in asked
    assert asked[-1][2]["title"] == "Drift: deny: a policy is attached"
    assert asked[-1][2]["labels"] == ["dpra-drift"]
    record.change(place, lambda document: document.update({"lock": {"run": "2"}}))
    answers([])
    assert "a release is under way" in bench.job.use("fleet", **about).out
    assert web.requests == []
