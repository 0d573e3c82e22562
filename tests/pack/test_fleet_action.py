"""The action fleet: the plan of a release, a look at a part, drift; by the real AWS CLI against the rehearsal's AWS."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from .conftest import ACCOUNT, ONE, REGION, Bench
from .test_fleet_apply import DENY, Organisation, account, baseline, fleet, policy

COMMON = {"component": "shop", "account": ACCOUNT, "region": REGION}
BUILT = ".github/workflows/pipeline.yml@refs/heads/main"


@pytest.fixture
def org(
    bench: Bench, cloud: Callable[..., Any], server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Organisation:
    bench.job.env |= server | {"GITHUB_REPOSITORY_ID": "1"}
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
    ran = bench.job.use("fleet", do="plan", release=digest, **COMMON)
    assert (ran.code, ran.errors) == (0, []), ran.out
    assert (ran.record["action"], ran.record["findings"]) == ("saved-plan", {"steps": 6, "refused": 0})
    assert (bench.job.workspace / digest / "plan.json").read_text() == fleet_plan.plan(wants, org.seen()).text
    assert "The fleet's plan" in ran.summary
    assert "root: an account is created: account:one" in ran.out
    bench.deploy(digest)
    assert org.left(wants) == []


def test_what_cannot_be_planned_fails_with_the_place(org: Organisation, bench: Bench) -> None:
    org.org.create_policy(Name="deny", Type="SERVICE_CONTROL_POLICY", Description="", Content=json.dumps(DENY))
    digest = bench.release(ONE, {"fleet/fleet.json": fleet(policies=[policy("deny", "A")]).text})
    ran = bench.job.use("fleet", do="plan", release=digest, **COMMON)
    assert (ran.code, ran.record["result"], ran.record["findings"]["refused"]) == (1, "fail", 1)
    assert any("file=policies/deny.yml,line=1" in error and "is not dpra's" in error for error in ran.errors), (
        ran.errors
    )
    assert not (bench.job.workspace / digest / "plan.json").exists()


def test_another_account_than_the_management_account_plans_nothing(org: Organisation, bench: Bench) -> None:
    digest = bench.release(ONE, {"fleet/fleet.json": fleet().text})
    ran = bench.job.use("fleet", do="plan", release=digest, **{**COMMON, "account": "1" * 12})
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert f"the credentials are of account {ACCOUNT}" in ran.out


def test_a_change_is_shown_without_any_rights(bench: Bench) -> None:
    """What is not changed is in no step, of any kind of thing."""
    before = fleet(
        [account("one", tags={"team": "a"}, budget=5), account("two", "A")],
        [policy("deny", "A", "account:two")],
        baselines=(baseline("base", "A"), baseline("alone", "account:two")),
    )
    after = fleet(
        [account("one", "A", tags={"team": "a"}, budget=5), account("two", "A")],
        [policy("deny", "A", "account:two")],
        baselines=(baseline("base", "A"), baseline("alone", "account:two")),
    )
    for name, one in (("before", before), ("after", after)):
        bench.job.write(f"{name}/fleet/fleet.json", one.text)
    ran = bench.job.use("fleet", do="show", component="shop", release="before", before="before")
    assert (ran.code, ran.record["findings"]) == (0, {"steps": 0, "refused": 0}), ran.out
    ran = bench.job.use("fleet", do="show", component="shop", release="after", before="before")
    assert (ran.code, ran.record["findings"]) == (0, {"steps": 1, "refused": 0}), ran.out
    assert "root: an account moves: account:one" in ran.out


def test_a_part_is_looked_at_and_its_accounts_are_really_asked(org: Organisation, bench: Bench) -> None:
    rows = (
        row("sts:GetCallerIdentity", "allow", service="sts", operation="get-caller-identity"),
        row("s3:ListAllMyBuckets", "allow", "account:one", service="s3api", operation="list-buckets"),
        row("ec2:RunInstances", "deny", "C", service="ec2", operation="run-instances"),  # nobody is there
        row("iam:GetUser", "deny"),  # not tried
    )
    wants = fleet([account("one"), account("two", "A")], [policy("deny", "A")], units=("A", "A/B", "C"), requests=rows)
    digest = released(org, wants)
    about = {"do": "verify", "release": digest, "unit": "root", **COMMON}
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
    ran = bench.job.use("fleet", **{**about, "release": one})
    assert (ran.code, ran.record["findings"]["rows"]) == (1, 2)
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


def test_drift_is_told_by_an_issue_for_each_thing_and_closed_when_it_is_gone(
    org: Organisation, bench: Bench, web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import record
    import release
    import signature
    import store

    key = boto3.client("kms", REGION).create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    monkeypatch.setenv("GITHUB_REPOSITORY_ID", "1")
    monkeypatch.setenv("GITHUB_WORKFLOW_REF", f"acme/shop/{BUILT}")
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
    wants = fleet([account("one")], [policy("deny", "A")])
    digest = released(org, wants)
    folder: Path = bench.job.workspace / digest
    (folder / "provenance.json").write_text(json.dumps(release.statement(folder, digest)))
    assert "plan.json" in (folder / "provenance.json").read_text()
    signature.sign(folder, key)
    store.put(REGION, "packages", ACCOUNT, "shop", digest, folder)
    kept = record.empty() | {"current": {"digest": digest, "commit": ONE, "run": "1"}}
    place = record.Place(REGION, "packages", "shop/record.json", ACCOUNT)
    record.change(place, lambda document: document.update(kept))
    bench.job.env["GITHUB_API_URL"] = web.url
    about = {"do": "drift", "bucket": "packages", "signing_key": key, "built_by": BUILT, **COMMON}
    about |= {"record": "s3://packages/shop/record.json", "record_region": REGION}

    def answers(*some: Any) -> None:
        web.requests.clear()
        web.answers[:] = [(200, {}, json.dumps(one).encode()) for one in some]

    answers([])
    ran = bench.job.use("fleet", **about)
    assert (ran.code, ran.record["findings"]) == (0, {"drift": 0}), ran.out
    [deny] = [one for one in org.seen().policies if one.name == "deny"]
    org.org.detach_policy(PolicyId=deny.id, TargetId=deny.attachments[0])
    there = {"number": 3, "title": "Drift: x: an account moves", "body": "-"}
    answers([there], [there], {}, [], {"number": 4})
    ran = bench.job.use("fleet", **about)
    assert (ran.code, ran.record["result"], ran.record["findings"]) == (1, "fail", {"drift": 1}), ran.out
    asked = [(method, path.partition("?")[0], json.loads(body or "{}")) for method, path, body in web.requests]
    closed = ("PATCH", "/repos/acme/shop/issues/3", {"state": "closed", "state_reason": "completed"})
    assert closed in asked
    assert asked[-1][2]["title"] == "Drift: deny: a policy is attached"
    assert asked[-1][2]["labels"] == ["dpra-drift"]
    record.change(place, lambda document: document.update({"lock": {"run": "2"}}))
    answers([])
    assert "a release is under way" in bench.job.use("fleet", **about).out
    assert web.requests == []
