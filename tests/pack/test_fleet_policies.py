"""Guardrails of an account fleet: rows of policy tests by inheritance, and policies that would lock somebody out.

The files are read by the real parser, and what decides is the evaluator that tests/pack/test_policies.py holds against
AWS's pages.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

LIB = Path(__file__).parents[2] / ".github" / "actions" / "_lib"
sys.dont_write_bytecode = True
sys.path.insert(0, str(LIB))
import fleet as desired  # noqa: E402
import fleet_files  # noqa: E402
import fleet_inheritance  # noqa: E402
import fleet_lockouts  # noqa: E402
import fleet_policies  # noqa: E402
import policies  # noqa: E402
from configuration_parsers import events  # noqa: E402

ORGANISATION = """break-glass: [role/break-glass, role/emergency/*]
units:
  Sandbox: {}
  Workloads: {units: {Prod: {}, Dev: {}}}
"""
ACCOUNTS = """unit: Workloads/Prod
accounts:
  shop: {email: shop@example.com, id: "111111111111"}
  bank: {email: bank@example.com, id: "222222222222"}
  new: {email: new@example.com}
  play: {email: play@example.com, unit: Sandbox, id: "333333333333"}
"""
REGIONS = """{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Deny", "Action": "s3:PutBucketAcl", "Resource": "*",
     "Condition": {"ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::*:role/dpra-*", "arn:aws:iam::*:role/b*"]}}},
    {
      "Sid": "OnlyEurope", "Effect": "Deny", "NotAction": ["iam:*", "organizations:*", "sts:*"], "Resource": "*",
      "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1", "eu-central-1"]}}
    }
  ]
}
"""
BASELINE = {
    "baselines/base/baseline.yml": "targets: [root]\nregions: [eu-west-1]\n",
    "baselines/base/template.yml": "Resources: {}\n",
}
SCP, RCP = "service-control-policy", "resource-control-policy"
ADMIN = "arn:aws:iam::{account}:role/admin"


def files(*rows: str, on: str = "unit: Workloads/Prod", **more: str) -> dict[str, str]:
    """A fleet with the regions' policy on Workloads, and rows of a test."""
    found = {"organisation.yml": ORGANISATION, "accounts/a.yml": ACCOUNTS, **BASELINE}
    found |= {"policies/regions.yml": f"type: {SCP}\nattach: [Workloads]\n", "policies/regions.json": REGIONS}
    if rows:
        found["policies/tests/t.yml"] = f"{on}\nrows:\n" + "".join(f"  - {row}\n" for row in rows)
    return found | more


def policy(name: str, attach: str, *statements: Any, kind: str = SCP, more: str = "") -> dict[str, str]:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return {
        f"policies/{name}.yml": f"type: {kind}\nattach: {attach}\n{more}",
        f"policies/{name}.json": json.dumps(document, indent=1),
    }


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def row(action: str, expect: str, principal: str = ADMIN, resource: str = "*", **conditions: Any) -> str:
    said = {"principal": principal, "action": action, "resource": resource, "expect": expect, "with": conditions}
    return json.dumps(said)


def read(written: dict[str, str]) -> Any:
    given = {name: text.encode() for name, text in written.items()}
    fleet, problems = fleet_files.build(given, "org", events)
    assert problems == []
    fleet = desired.Fleet.from_json(json.loads(fleet.text))  # as a job with a role has it
    return fleet, fleet_inheritance.statement_lines(given, fleet)


def judge(written: dict[str, str], **more: Any) -> list[Any]:
    fleet, lines = read(written)
    organisation = fleet_inheritance.Organisation(fleet, lines, **more)
    return fleet_policies.problems(fleet_policies.judged(organisation), organisation)


def locked(written: dict[str, str], **more: Any) -> list[Any]:
    fleet, lines = read(written)
    organisation = fleet_inheritance.Organisation(fleet, lines, **more)
    assert organisation.problems == []
    return fleet_lockouts.lockouts(organisation)


# ---- Rows


def test_a_row_that_fails_names_policy_statement_place_and_the_path_of_inheritance() -> None:
    """Must-show 4."""
    [problem] = judge(
        files(
            row("ec2:RunInstances", "deny", **{"aws:RequestedRegion": "us-west-1"}),
            row("ec2:RunInstances", "allow", **{"aws:RequestedRegion": "eu-west-1"}),
            row("ec2:RunInstances", "allow", **{"aws:RequestedRegion": "us-east-2"}),
        )
    )
    assert (problem.file, problem.line, problem.rule) == ("policies/tests/t.yml", 5, "policy-test")
    for part in (
        "expected allow, found deny",
        "service-control-policy regions, statement OnlyEurope (policies/regions.json:6)",
        "inherited by root > Workloads, so by root > Workloads > Workloads/Prod > account:",
        "ec2:RunInstances by arn:aws:iam::{account}:role/admin",
    ):
        assert part in problem.message


def test_a_statement_without_a_sid_is_told_by_its_number_and_line() -> None:
    [problem] = judge(files(row("s3:PutBucketAcl", "allow", resource="arn:aws:s3:::any")))
    assert "statement 1 (policies/regions.json:4)" in problem.message


def test_a_row_that_should_be_denied_says_what_there_is_and_that_none_denies_it() -> None:
    [problem] = judge(files(row("ec2:RunInstances", "deny", **{"aws:RequestedRegion": "eu-west-1"})))
    assert "expected deny, found allow: none of regions (Workloads) denies it on the way root > Work" in problem.message
    [problem] = judge(files(row("ec2:RunInstances", "deny"), on="unit: Sandbox"))
    assert "there is no policy that denies it on the way root > Sandbox > account:play" in problem.message


def test_a_row_of_a_unit_is_about_what_lies_below_it_and_an_empty_unit_counts() -> None:
    below = policy("dev", "[Workloads/Dev]", deny("sqs:*"))
    asked = row("sqs:SendMessage", "allow", **{"aws:RequestedRegion": "eu-west-1"})
    [problem] = judge(files(asked, on="unit: Workloads", **below))
    assert "found deny" in problem.message
    assert "inherited by root > Workloads > Workloads/Dev; for Workloads/Dev:" in problem.message
    assert judge(files(asked, **below)) == []
    [problem] = judge(files(row("sqs:SendMessage", "allow"), **below))  # no region is said
    assert "OnlyEurope" in problem.message


def test_a_policy_on_an_account_or_about_one_is_held_against_that_account() -> None:
    rows = [row("sqs:SendMessage", "allow", **{"aws:RequestedRegion": "eu-west-1"})]
    [problem] = judge(files(*rows, **policy("own", "[account:bank]", deny("sqs:*"))))
    assert "root > Workloads > Workloads/Prod > account:bank" in problem.message
    for name, number in (("bank", "222222222222"), ("shop", "111111111111")):
        about = deny("sqs:*", Condition={"StringEquals": {"aws:PrincipalAccount": number}})
        [problem] = judge(files(*rows, **policy("one", "[root]", about)))
        assert f"for account:{name}:" in problem.message
    some = deny("sqs:*", Condition={"StringLike": {"aws:PrincipalAccount": "22*"}})
    assert len(judge(files(*rows, **policy("some", "[root]", some)))) == 1
    assert judge(files(*rows, on="account: shop", **policy("some", "[root]", some))) == []


def test_full_access_counts_at_every_level_unless_the_files_or_the_organisation_say_otherwise() -> None:
    rows = [row("sqs:SendMessage", "allow"), row("s3:GetObject", "allow", resource="arn:aws:s3:::any/x")]
    allow = policy("list", "[Sandbox]", {"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    assert judge(files(*rows, on="unit: Sandbox", **allow)) == []

    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    adopted = policy("FullAWSAccess", '[root, "account:play"]', everything, more="id: p-FullAWSAccess\n")
    [problem] = judge(files(*rows, on="unit: Sandbox", **allow, **adopted))
    assert problem.line == 3
    assert "no service-control-policy at the level root > Sandbox allows it (there: list)" in problem.message
    [problem] = judge(files(*rows, on="unit: Sandbox", **allow), full={"root", "account:play"})
    assert "at the level root > Sandbox allows it" in problem.message
    here = row("sqs:SendMessage", "allow", **{"aws:RequestedRegion": "eu-west-1"})
    both = judge(files(here, on="unit: root"), full={"root", "Workloads", "Workloads/Dev", "account:play"})
    assert "at the level root > Sandbox allows it" in both[0].message
    assert (
        "; for account:play, and 3 other inheritances" in both[0].message
    )  # of Prod; not Dev, which has it on every level
    told = judge(files(*rows, on="unit: Sandbox"), full={"root", "account:play"})
    assert len(told) == 2
    assert "(there: none at all)" in told[0].message


PERIMETER = {
    "Sid": "OnlyOurs",
    "Effect": "Deny",
    "Principal": "*",
    "Action": ["s3:*", "sqs:*", "sts:AssumeRole"],
    "Resource": "*",
    "Condition": {
        "StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-ours"},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
    },
}


def test_resource_control_policies_bind_the_resource_s_account_whoever_asks() -> None:
    there = policy("perimeter", "[Workloads/Prod]", PERIMETER, kind=RCP)
    stranger, bucket = "arn:aws:iam::999999999999:role/x", "arn:aws:s3:::any/x"
    ours = {"aws:PrincipalOrgID": "o-ours", "aws:RequestedRegion": "eu-west-1"}
    good = files(
        row("s3:GetObject", "deny", stranger, bucket),
        row("s3:GetObject", "deny", "*", bucket),
        row("s3:GetObject", "allow", "cloudtrail.amazonaws.com", bucket),
        row("s3:GetObject", "allow", ADMIN, bucket, **ours),
        row("s3:GetObject", "allow", ADMIN, bucket, **ours, **{"aws:ResourceAccount": "333333333333"}),
        row("s3:GetObject", "allow", stranger, bucket, **{"aws:ResourceAccount": "333333333333"}),
        row("sqs:SendMessage", "deny", stranger, "arn:aws:sqs:eu-west-1:{account}:q"),
        row("sqs:SendMessage", "allow", stranger, "arn:aws:sqs:eu-west-1:333333333333:q"),
        row("sqs:SendMessage", "allow", stranger, "arn:aws:sqs:eu-west-1:{account:play}:q"),
        row("sqs:SendMessage", "deny", stranger, "arn:aws:sqs:eu-west-1:{account:new}:q"),
        row("ec2:RunInstances", "deny", "arn:aws:iam::{account:new}:role/x", **{"aws:RequestedRegion": "us-west-2"}),
        row("ec2:RunInstances", "allow", "arn:aws:iam::{account:play}:role/x"),
        **there,
    )
    assert judge(good) == []
    [problem] = judge(files(row("s3:GetObject", "allow", stranger, bucket), **there))
    for part in ("resource-control-policy perimeter, statement OnlyOurs (policies/perimeter.json:4)", "Workloads/Prod"):
        assert part in problem.message


def test_a_perimeter_that_compares_the_two_organisations_knows_who_is_of_ours() -> None:
    statement = json.loads(json.dumps(PERIMETER).replace("o-ours", "${aws:ResourceOrgID}"))
    there = policy("perimeter", "[root]", statement, kind=RCP)
    stranger, bucket = "arn:aws:iam::999999999999:role/x", "arn:aws:s3:::any/x"
    rows = [
        row("s3:GetObject", "allow", ADMIN, bucket),
        row("s3:GetObject", "allow", "arn:aws:iam::333333333333:role/x", bucket),
        row("s3:GetObject", "deny", stranger, bucket),
        row("s3:GetObject", "deny", stranger, bucket, **{"aws:PrincipalOrgID": "o-theirs"}),
        row("s3:GetObject", "deny", ADMIN, bucket, **{"aws:principalorgid": None}),
    ]
    assert judge(files(*rows, on="unit: Sandbox", **there)) == []
    assert locked(files(**there)) == []


def test_an_account_without_an_id_is_itself_and_nobody_else() -> None:
    other = deny("sqs:*", Condition={"StringNotEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}})
    who, queue = "arn:aws:iam::{account:new}:role/x", "arn:aws:sqs:eu-west-1:{account}:q"
    written = files(row("sqs:SendMessage", "deny", who, queue), **policy("own", "[root]", other))
    same = written["policies/tests/t.yml"].replace("unit: Workloads/Prod", "account: new").replace('"deny"', '"allow"')
    assert judge(written | {"policies/tests/u.yml": same}) == []


def test_what_aws_puts_into_each_request_is_there_and_the_row_has_the_last_word() -> None:
    said = {
        "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/admin"},
        "Bool": {"aws:SecureTransport": "true", "aws:ViaAWSService": "false"},
        "StringEquals": {"aws:RequestedRegion": "eu-west-1", "aws:PrincipalType": "AssumedRole"},
    }
    same = "arn:aws:iam::{account}:role/admin", "arn:aws:sts::{account}:assumed-role/admin/run-1"
    queue = "arn:aws:sqs:eu-west-1:{account}:q"
    denied = [row("sqs:SendMessage", "deny", who, queue) for who in same]
    allowed = [
        row("sqs:SendMessage", "allow", ADMIN, queue, **{"aws:securetransport": value}) for value in (False, None)
    ]
    assert (
        judge(files(*denied, *allowed, on="unit: Sandbox", **policy("p", "[root]", deny("sqs:*", Condition=said))))
        == []
    )
    first = deny("iam:*", Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}})
    assert judge(files(row("iam:CreateUser", "deny"), on="unit: Sandbox", **policy("p", "[root]", first))) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (row("RunInstances", "deny"), "'RunInstances' is no action"),
        (row("ec2:*", "deny"), "'ec2:*' is no action"),
        (row("ec2:RunInstances", "deny", "role/admin"), "'role/admin' is no principal"),
        (row("ec2:RunInstances", "deny", resource="bucket/*"), "'bucket/*' is no resource"),
        (row("ec2:RunInstances", "deny", "arn:aws:iam::{account:nobody}:role/x"), "there is no account 'nobody'"),
    ],
)
def test_a_row_that_is_no_request_fails_whatever_it_expects(wrong: str, says: str) -> None:
    for said in (wrong, wrong.replace('"deny"', '"allow"')):
        [problem] = judge(files(said))
        assert (problem.rule, says in problem.message) == ("policy-row", True)


@pytest.mark.parametrize(
    ("kind", "statement", "line", "says"),
    [
        (SCP, {"Effect": "Deny", "Action": "s3"}, 9, "statement 2: Resource is missing"),
        (SCP, deny("s3:*", Condition={"StringEqual": {"a:b": "c"}}), 9, "StringEqual is no condition operator"),
        (SCP, deny("s3:*", Condition={"StringEquals": "x"}), 1, "it is no policy"),
        (SCP, deny("s3:*", Condition=["x"]), 1, "it is no policy"),
        (RCP, deny("s3:*"), 4, "statement 1: Principal is missing"),
    ],
)
def test_a_policy_that_aws_would_refuse_is_told_with_its_place(kind: str, statement: Any, line: int, says: str) -> None:
    [problem] = judge(files(**policy("bad", "[root]", deny("sqs:*"), statement, kind=kind)))
    assert (problem.file, problem.line, problem.rule) == ("policies/bad.json", line, "policy")
    assert says in problem.message


def test_the_management_account_is_bound_by_nothing() -> None:
    rows = files(row("sqs:SendMessage", "deny"), on="account: play", **policy("p", "[root]", deny("sqs:*")))
    assert judge(rows) == []
    assert len(judge(rows, management="333333333333")) == 1


# ---- Speed


def large(rows: int, same: int) -> Any:
    """5,000 accounts in 200 units with 40 policies, and rows of which every `same` is about the root."""
    paths = [path for top in range(10) for path in (f"W{top}", *(f"W{top}/U{inner}" for inner in range(19)))]
    found = [
        desired.Policy(
            *(f"p{number}", SCP, {"Version": "2012-10-17", "Statement": [
                deny([f"s{number}{one}:*", f"ec2:Run{one}"], Sid=f"S{one}",
                     Condition={"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1"]}}) for one in range(6)
            ]}, "p.yml", 1),
            attach=("root",) if number < 4 else (paths[number * 5 % 200],),
        )
        for number in range(40)
    ]  # fmt: skip
    return desired.Fleet(
        "org",
        units=(desired.Unit("root", "o", 1), *(desired.Unit(path, "o", 1) for path in paths)),
        accounts=tuple(
            desired.Account(f"a{one}", f"a{one}@x.com", paths[one % 200], "a", one, id=f"{200_000_000_000 + one}")
            for one in range(5000)
        ),
        policies=tuple(found),
        requests=tuple(
            desired.Request(
                *("root" if one % same == 0 else paths[one % 200], ADMIN, f"ec2:Run{one % 97}", "*", "allow", "t", one),
                {"aws:RequestedRegion": f"eu-west-{one % 3}"},
            )
            for one in range(rows)
        ),
    )


def test_ten_thousand_rows_are_judged_in_seconds() -> None:
    """Must-show 2: under 10 s; it takes half of one."""
    fleet = large(10_000, 10)
    begun = time.process_time()
    organisation = fleet_inheritance.Organisation(fleet)
    found = fleet_policies.judged(organisation)
    assert time.process_time() - begun < 10
    assert len(found) == 10_000
    assert 0 < sum(not one.holds for one in found) < 10_000


def test_a_policy_is_compiled_once_and_asked_once_for_each_distinct_request(monkeypatch: pytest.MonkeyPatch) -> None:
    work = {"compiled": 0, "decided": 0, "asked": 0}

    def counting(owner: Any, name: str, what: str) -> None:
        real = getattr(owner, name)

        def counted(*given: Any, **more: Any) -> Any:
            work[what] += 1
            return real(*given, **more)

        monkeypatch.setattr(owner, name, counted)

    counting(policies.Policy, "__init__", "compiled")
    counting(policies.Policy, "denying", "asked")
    counting(policies, "decide", "decided")
    for rows in (1000, 2000):
        work.update(compiled=0, decided=0, asked=0)
        organisation = fleet_inheritance.Organisation(large(rows, 10))
        found = fleet_policies.judged(organisation)
        distinct = {(one.row.action, tuple(one.row.conditions.values())) for one in found}
        classes = len(organisation.bounds("root"))
        assert classes < 60  # of 200 units and 5,000 accounts
        assert work["compiled"] == 40
        assert work["decided"] <= len(distinct) * classes
        assert work["asked"] <= len(distinct) * classes * 41
    before = dict(work)
    twice = large(2000, 10)
    doubled = desired.Fleet.from_json(twice.as_json() | {"requests": [*twice.as_json()["requests"]] * 2})
    work.update(compiled=0, decided=0, asked=0)
    fleet_policies.judged(fleet_inheritance.Organisation(doubled))
    assert work == before  # the same rows again: no more work


# ---- Lock-outs


def places(problems: list[Any]) -> list[str]:
    return [f"{one.rule} {one.file}:{one.line}" for one in problems]


def test_a_fleet_with_the_usual_guardrails_locks_nobody_out() -> None:
    usual = policy(
        *("usual", "[root]"),
        deny(
            ["organizations:LeaveOrganization", "cloudtrail:StopLogging", "kms:ScheduleKeyDeletion", "iam:CreateUser"]
        ),
        deny("*", Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:root"}}),
        deny("s3:*", Condition={"Bool": {"aws:SecureTransport": "false"}}),
        deny("*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-other"}, "Bool": {"aws:ViaAWSService": "true"}}),
    )
    perimeter = policy("perimeter", "[root]", PERIMETER, kind=RCP)
    assert locked(files(**usual, **perimeter)) == []
    assert locked(files(**{"organisation.yml": ORGANISATION.partition("\n")[2]})) == []


@pytest.mark.parametrize(
    ("statement", "who"),
    [
        (deny("sts:AssumeRole"), {"dpra's own", "role/break-glass", "role/emergency/*"}),
        (deny("*"), {"dpra's own", "role/break-glass", "role/emergency/*"}),
        (deny("cloudformation:*ChangeSet*"), {"dpra's own"}),
        (deny("kms:*", "arn:aws:kms:*:*:key/*"), {"dpra's own", "role/break-glass", "role/emergency/*"}),
        (deny("*", Condition={"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/dpra-*"}}),
         {"role/break-glass", "role/emergency/*"}),
        (deny("*", Condition={"ArnNotLike": {"aws:PrincipalArn": [
            f"arn:aws:iam::*:role/{name}" for name in ("break-glass", "emergency/admin", "dpra-shop-*")]}}),
         {"dpra's own", "role/emergency/*"}),
        (deny("*", Condition={"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}), {"dpra's own"}),
        (deny("*", Condition={"Bool": {"aws:MultiFactorAuthPresent": "false"}}), {"dpra's own"}),
        (deny("*", Condition={"NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24"]}}), {"dpra's own"}),
        (deny("*", Condition={"StringNotEquals": {"aws:PrincipalTag/team": "x"}}),
         {"dpra's own", "role/break-glass", "role/emergency/*"}),
        # The first region of the partition is where IAM is: who is kept from it is kept from IAM.
        ({"Effect": "Deny", "NotAction": "sts:*", "Resource": "*",
          "Condition": {"StringNotEquals": {"aws:RequestedRegion": "eu-west-1"}}},
         {"dpra's own", "role/break-glass", "role/emergency/*"}),
    ],
)  # fmt: skip
def test_a_policy_that_denies_what_these_roles_need_is_told_at_its_statement(statement: Any, who: set[str]) -> None:
    """Must-show 4."""
    found = locked(files(**policy("lock", "[Sandbox]", deny("sqs:*"), statement)))
    assert set(places(found)) == {"lock-out policies/lock.json:9"}
    assert {next(name for name in ("dpra's own", "role/break-glass", "role/emergency/*") if name in one.message)
            for one in found} == who  # fmt: skip
    assert len(found) == len(who)
    assert all("lock, statement 2 (policies/lock.json:9), inherited by root > Sandbox" in one.message for one in found)


def test_who_is_exempt_by_the_principal_s_arn_is_not_locked_out() -> None:
    names = ["dpra-*-*", "break-glass", "emergency/*"]  # dpra-probe, which tries guardrails, is bound as everybody
    exempt = {"ArnNotLike": {"aws:PrincipalArn": [f"arn:aws:iam::*:role/{name}" for name in names]}}
    assert locked(files(**policy("p", '[Sandbox, "account:bank"]', deny("*", Condition=exempt)))) == []
    left = {"ArnNotLike": {"aws:PrincipalArn": [f"arn:aws:iam::*:role/{name}" for name in names[1:]]}}
    [problem] = locked(files(**policy("p", '["account:bank"]', deny("*", Condition=left))))
    for part in ("dpra's own roles (role/dpra-*-*)", "account:bank", "exempt it: ArnNotLike of aws:PrincipalArn"):
        assert part in problem.message


def test_all_policies_that_lock_out_are_told_in_one_run_and_so_are_two_that_do_it_together() -> None:
    both = policy("a", "[root]", deny("sts:AssumeRole")) | policy("b", "[Sandbox]", deny("sts:*"))
    assert {one.partition(" ")[2] for one in places(locked(files(**both)))} == {
        "policies/a.json:4", "policies/b.json:4",
    }  # fmt: skip

    def outside(region: str) -> Any:
        return deny("ec2:*", Condition={"StringNotEquals": {"aws:RequestedRegion": region}})

    together = policy("c", "[Sandbox]", outside("eu-west-1")) | policy("d", "[Sandbox]", outside("eu-west-2"))
    found = locked(files(**together))
    assert {one.file for one in found} == {"policies/c.json", "policies/d.json"}
    assert locked(files(**policy("c", "[root]", outside("eu-west-1")))) == []


def test_a_resource_control_policy_that_keeps_github_or_the_organisation_out_is_told() -> None:
    claims = {"StringNotLikeIfExists": {"token.actions.githubusercontent.com:sub": "repo:acme/*"}}
    web = {**deny("sts:AssumeRoleWithWebIdentity"), "Principal": "*"}
    assert locked(files(**policy("w", "[root]", web | {"Condition": claims}, kind=RCP))) == []
    ours = {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-ours"}}  # who comes by OIDC is of no organisation
    [problem] = locked(files(**policy("w", "[root]", web | {"Condition": ours}, kind=RCP)))
    assert (problem.file, problem.line, "dpra's own" in problem.message) == ("policies/w.json", 4, True)
    entered = {**deny("sts:AssumeRole"), "Principal": "*"}
    found = locked(files(**policy("w", "[Workloads/Prod]", entered, kind=RCP)))
    assert {one.message.partition(" could")[0] for one in found} == {
        "dpra's own roles (role/dpra-*-*)", "the break-glass role (role/break-glass)",
        "the break-glass role (role/emergency/*)",
    }  # fmt: skip


def test_a_list_of_what_is_allowed_that_forgets_them_locks_out_where_full_access_is_gone() -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    allow = policy("list", "[Sandbox]", {"Effect": "Allow", "Action": ["s3:*", "sts:*"], "Resource": "*"})
    assert locked(files(**allow)) == []
    adopted = policy("FullAWSAccess", '[root, "account:play"]', everything, more="id: p-FullAWSAccess\n")
    found = locked(
        files(**allow, **adopted) | {"accounts/a.yml": "unit: Sandbox\naccounts: {play: {email: p@x.org}}\n"}
    )
    assert places(found)[0].startswith("lock-out policies/FullAWSAccess.yml:")
    assert any(
        "no service-control-policy at the level root > Sandbox allows it (there: list)" in one.message for one in found
    )
    seen = locked(files(**allow), full={"root", "Workloads", "Workloads/Prod", "Workloads/Dev", "account:play",
                                        "account:shop", "account:bank", "account:new"})  # fmt: skip
    assert set(places(seen)) == {"lock-out policies/list.yml:2"}


def test_a_list_that_denies_as_well_is_told_at_what_it_denies() -> None:
    allow = policy("list", "[Sandbox]", {"Effect": "Allow", "Action": "*", "Resource": "*"}, deny("sts:AssumeRole"))
    full = {
        "root",
        "Workloads",
        "Workloads/Prod",
        "Workloads/Dev",
        *(f"account:{one}" for one in "play shop bank new".split()),
    }
    assert set(places(locked(files(**allow), full=full))) == {"lock-out policies/list.json:9"}


def test_a_hundred_policies_in_two_hundred_units_are_looked_at_in_seconds() -> None:
    fleet = large(0, 1)
    begun = time.process_time()
    assert fleet_lockouts.lockouts(fleet_inheritance.Organisation(fleet)) == []
    assert time.process_time() - begun < 5


HOSTILE = "x` | <b>::error::y</b>\u202e%0A" + "A" * 10_000


def test_hostile_names_and_rows_are_data() -> None:
    rows = row(
        "ec2:RunInstances", "allow", **{"aws:RequestedRegion": HOSTILE, HOSTILE[:900]: [HOSTILE, 1, None, {"a": 1}]}
    )
    long = row("ec2:RunInstances", "allow", f"arn:aws:iam::{{account}}:role/{'A' * 10_000}", HOSTILE)
    found = judge(files(rows, long))
    assert [one.rule for one in found] == ["policy-test", "policy-row"]
    assert all(len(one.message) < 1500 for one in found)
    units = ORGANISATION.partition("\n")[2]
    named = {"organisation.yml": f'break-glass: ["role/{"A" * 500}"]\n{units}'}
    lock = policy(
        "lock", "[Sandbox]", deny("*", Sid="A" * 10_000, Condition={"StringEquals": {"aws:PrincipalOrgID": HOSTILE}})
    )
    assert len(locked(files(**named, **lock))) == 2
