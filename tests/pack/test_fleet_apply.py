"""A fleet's plan, applied to the rehearsal's organisation by the real AWS CLI: there and, wherever it dies, on from
there. No account, unit or policy is made twice."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from .conftest import ACCOUNT, ONE, REGION, TWO, Bench, failed

SCP = "SERVICE_CONTROL_POLICY"
DENY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "ec2:*", "Resource": "*"}]}
DENIES = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
# Calls that change something, but for what is written into buckets.
READS = ("list-", "describe-", "get-")


class Died(BaseException):
    """The runner is gone: nothing that comes after it is done."""


@cache
def client_of(service: str, region: str) -> Any:
    return boto3.client(service, region_name=region)  # type: ignore[call-overload]


def direct(env: Any, region: str, service: str, operation: str, /, *options: str, **given: Any) -> Any:
    """aws.call_as without the CLI, which takes a hundred times as long: all pages of an answer, as JSON has it."""
    import aws

    client = client_of("s3" if service == "s3api" else service, region)
    words = list(options)
    if operation == "get-object":
        given = {"Bucket": words[1], "Key": words[3], "ExpectedBucketOwner": words[5]}
    if operation == "put-object":
        given = {**given, "Body": Path(words[1]).read_bytes()}
    method = operation.replace("-", "_")
    try:
        if client.can_paginate(method):
            answer = client.get_paginator(method).paginate(**given).build_full_result()
        else:
            answer = getattr(client, method)(**given)
    except client.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        raise aws.Refused(operation, f"An error occurred ({code}) when calling the X operation: {error}") from None
    if operation == "get-object":
        Path(words[-1]).write_bytes(answer.pop("Body").read())
    return json.loads(json.dumps(answer, default=lambda one: one.isoformat()))


class Organisation:
    """The organisation of the rehearsal, with whoever does something in it besides dpra."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench, self.monkeypatch = bench, monkeypatch
        self.org = boto3.client("organizations", region_name="us-east-1")
        self.org.create_organization(FeatureSet="ALL")
        self.root = self.org.list_roots()["Roots"][0]["Id"]
        self.org.enable_policy_type(RootId=self.root, PolicyType=SCP)
        self.org.enable_aws_service_access(ServicePrincipal="account.amazonaws.com")
        bench.use("organizations")
        bench.given(unit="root")
        self.calls: list[str] = []
        self.dies: Callable[[int, str], str] = lambda number, call: ""
        self.dead = False
        self.watch()

    def watch(self) -> None:
        """Keep the calls that change something; where `dies` says before or after, the run dies there."""
        import aws

        real = aws.call_as

        def call_as(env: Any, region: str, service: str, operation: str, /, *options: str, **given: Any) -> Any:
            if self.dead:
                raise Died
            if operation.startswith(READS):
                return real(env, region, service, operation, *options, **given)
            self.calls.append(f"{service} {operation}")
            dies = self.dies(len(self.calls), self.calls[-1])
            self.dead = dies == "before"
            if self.dead:
                raise Died
            answer = real(env, region, service, operation, *options, **given)
            self.dead = dies == "after"
            if self.dead:
                raise Died
            return answer

        self.monkeypatch.setattr(aws, "call_as", call_as)

    def asked(self, operation: str) -> int:
        return sum(call.endswith(f" {operation}") for call in self.calls)

    def seen(self) -> Any:
        import fleet_seen
        import organisation

        return fleet_seen.Seen.from_json(organisation.read(REGION, "shop"))

    def release(self, commit: str, fleet: Any, seen: Any = None) -> str:
        """A release of a fleet, with the plan for the organisation as it is."""
        import fleet_plan

        digest = self.bench.release(commit, {"fleet.json": fleet.text})
        plan = fleet_plan.plan(fleet, seen or self.seen())
        (self.bench.job.workspace / digest / "plan.json").write_text(plan.text)
        return digest

    def accounts(self) -> dict[str, list[str]]:
        """Names of all accounts by the unit that they are in."""
        seen, found = self.seen(), {}
        for one in seen.accounts:
            found.setdefault(seen.unit(one), []).append(one.name)
        return {unit: sorted(names) for unit, names in found.items()}

    def left(self, fleet: Any) -> list[str]:
        """What a new plan of the fleet would do."""
        import fleet_plan

        return [f"{step.action} {step.on}" for step in fleet_plan.plan(fleet, self.seen()).steps]


@pytest.fixture
def org(bench: Bench, cloud: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Organisation]:
    yield Organisation(bench, monkeypatch)


def fleet(accounts: Any = (), policies: Any = (), units: Any = ("A", "A/B"), **more: Any) -> Any:
    from fleet import Fleet, Unit

    made = [Unit(path, "organisation.yml", 1) for path in ("root", *units)]
    return Fleet("shop", units=tuple(made), accounts=tuple(accounts), policies=tuple(policies), **more)


def account(name: str, unit: str = "A/B", **more: Any) -> Any:
    from fleet import Account

    return Account(name, f"{name}@example.com", unit, "accounts/a.yml", 1, **more)


def policy(name: str, *attach: str, content: Any = None) -> Any:
    from fleet import Policy

    return Policy(name, "service-control-policy", content or DENY, f"policies/{name}.yml", 1, attach=attach)


CONTACT = {"name": "Ann", "title": "Head", "email": "ann@example.com", "phone": "+49 30 1"}


def test_there(org: Organisation, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    accounts = [account("one", tags={"team": "a"}, budget=500, contacts={"security": CONTACT}), account("two", "A")]
    wants = fleet(accounts, [policy("deny", "A", "account:one")])
    assert bench.running == ""
    digest = org.release(ONE, wants)
    done = bench.deploy(digest)
    assert org.left(wants) == []
    assert org.accounts() == {"root": ["master"], "A/B": ["one"], "A": ["two"]}
    assert (bench.running, done.outputs["Unit"]) == (digest, org.root)
    said = bench.says(capsys)
    assert said.index("a unit is created: A") < said.index("an account is created: account:one")
    number = org.seen().by_email["one@example.com"].id
    contact = boto3.client("account", "us-east-1").get_alternate_contact(
        AccountId=number, AlternateContactType="SECURITY"
    )
    assert contact["AlternateContact"]["EmailAddress"] == "ann@example.com"
    budgets = boto3.client("budgets", "us-east-1").describe_budgets(AccountId=ACCOUNT)["Budgets"]
    assert [(one["BudgetName"], float(one["BudgetLimit"]["Amount"])) for one in budgets] == [
        (f"dpra-shop-{number}", 500.0)
    ]
    journal = boto3.client("s3", REGION).get_object(Bucket="packages", Key=f"shop/{digest}/journal.json")
    steps = json.loads(journal["Body"].read())["steps"]
    assert all(one["ended"] >= one["began"] for one in steps.values())
    assert sum("request" in one for one in steps.values()) == 2

    before = len(org.calls)
    bench.deploy(digest)  # once more: there is nothing to do
    assert org.calls[before:] == ["organizations tag-resource"]


# ---- Wherever it dies


def test_wherever_it_dies_the_next_run_goes_on_and_nothing_is_made_twice(
    bench: Bench, cloud: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each call that changes something, the journal's with them: right before it, and before its answer."""
    import fleet_accounts
    from dpra.rehearsal import mends
    from dpra.rehearsal.mends import organizations

    monkeypatch.setattr(organizations, "CREATION", 0.05)
    monkeypatch.setattr(fleet_accounts, "SETTLES", 0.5)
    wants = fleet([account("one"), account("two")], [policy("deny", "A")], units=("A", "A/B"))
    number, deaths = 0, 0
    while True:
        number += 1
        for when in ("before", "after"):
            mends.forget()
            boto3.client("s3", REGION).create_bucket(
                Bucket="packages", CreateBucketConfiguration={"LocationConstraint": REGION}
            )
            with monkeypatch.context() as patch:
                patch.setattr("aws.call_as", direct)
                org = Organisation(bench, patch)
                digest = org.release(f"{number:039}{len(when)}", wants)
                org.dies = lambda at, call, last=number, when=when: when if at == last else ""
                try:
                    bench.deploy(digest)
                except Died:
                    deaths += 1
                else:
                    assert org.left(wants) == []
                    assert deaths == 2 * (number - 1) > 20
                    return
                org.dead, org.dies = False, lambda at, call: ""
                bench.deploy(digest)
                assert org.left(wants) == []
                assert org.accounts() == {"root": ["master"], "A/B": ["one", "two"]}, org.calls
                made = {"create-account": 2, "create-organizational-unit": 2, "create-policy": 1}
                for operation, times in made.items():
                    again = org.calls[number - 1].endswith(f" {operation}")
                    assert org.asked(operation) - times in ((0, 1) if again else (0,)), (number, when, org.calls)
                if when == "after" and org.calls[number - 1].endswith("create-account"):
                    assert org.asked("create-account") == 2
                statuses = org.org.list_create_account_status()["CreateAccountStatuses"]
                assert len(statuses) == 2
                assert {one["State"] for one in statuses} == {"SUCCEEDED"}
