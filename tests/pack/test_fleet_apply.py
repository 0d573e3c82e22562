"""A fleet's plan, applied to the rehearsal's organisation by the real AWS CLI: there and, wherever it dies, on from
there. No account, unit or policy is made twice."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from .conftest import ACCOUNT, ONE, REGION, TWO, Bench, failed
from .test_deploy_appconfig import given

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
        self.org = boto3.Session().client("organizations", region_name="us-east-1")
        self.org.create_organization(FeatureSet="ALL")
        self.root = self.org.list_roots()["Roots"][0]["Id"]
        self.org.enable_policy_type(RootId=self.root, PolicyType=SCP)
        self.org.enable_aws_service_access(ServicePrincipal="account.amazonaws.com")
        self.org.enable_aws_service_access(ServicePrincipal="member.org.stacksets.cloudformation.amazonaws.com")
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
        import release

        folder = self.bench.job.workspace / self.bench.release(commit, {"fleet/fleet.json": fleet.text})
        (folder / "plan.json").write_text(fleet_plan.plan(fleet, seen or self.seen()).text)
        digest = str(release.describe(folder, "shop"))
        folder.rename(folder.with_name(digest))
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
def org(bench: Bench, cloud: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Organisation:
    return Organisation(bench, monkeypatch)


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


@pytest.mark.slow
def test_wherever_it_dies_the_next_run_goes_on_and_nothing_is_made_twice(
    bench: Bench, cloud: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each call that changes something, the journal's with them: right before it, and before its answer."""
    import fleet_accounts
    from dpra.rehearsal import mends
    from dpra.rehearsal.mends import organization_tags, organizations, stack_operations

    monkeypatch.setattr(organization_tags, "LAG", 3600.0)
    monkeypatch.setattr(organizations, "CREATION", 0.05)
    monkeypatch.setattr(fleet_accounts, "SETTLES", 0.5)
    monkeypatch.setattr(stack_operations, "GROUP", 0.01)
    accounts = [account("one", budget=5), account("two")]
    wants = fleet(accounts, [policy("deny", "A")], baselines=(baseline("base", "A"),))
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
                    assert deaths == 2 * (number - 1) > 30
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


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("heard", [True, False])
def test_an_account_that_is_in_the_making_is_waited_for(
    org: Organisation, bench: Bench, monkeypatch: pytest.MonkeyPatch, when: str, heard: bool
) -> None:
    """The run died right before it wrote the request's name down, or asked; AWS's list may hear of it late."""
    import fleet_accounts
    from dpra.rehearsal.mends import organizations

    monkeypatch.setattr(organizations, "CREATION", 6.0)
    monkeypatch.setattr(fleet_accounts, "SETTLES", 0 if heard else 2 if when == "before" else 600)
    wants = fleet([account("one")])
    digest = org.release(ONE, wants)
    org.dies = lambda number, call: when if call.endswith("create-account") else ""
    with pytest.raises(Died):
        bench.deploy(digest)
    org.dead, org.dies = False, lambda number, call: ""
    real, asked = fleet_accounts.requests, []

    def requests(calls: Any, step: Any) -> Any:
        asked.append(step.on)
        return real(calls, step) if heard or len(asked) > 2 else []

    monkeypatch.setattr(fleet_accounts, "requests", requests)
    bench.deploy(digest)
    assert org.left(wants) == []
    assert org.accounts()["A/B"] == ["one"]
    assert len(org.org.list_create_account_status()["CreateAccountStatuses"]) == 1
    assert org.asked("create-account") == (1 if when == "after" else 2)
    assert len(asked) <= 1 or not heard


SAME = {
    "create-organizational-unit": "the unit A is there, ou-.*, and is not dpra's. Of 6 steps 0 are done",
    "create-policy": "the policy deny is there, p-.*, and is not dpra's. Of 6 steps 2 are done",
    "create-account": "an account with the e-mail of account:one is there, [0-9]{12}, and is not dpra's. Of 6 steps 3",
}


@pytest.mark.parametrize("operation", SAME)
def test_what_somebody_else_makes_at_that_very_moment_is_not_taken(
    org: Organisation, bench: Bench, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    from dpra.rehearsal.mends import organizations

    does = {
        "create-organizational-unit": lambda: org.org.create_organizational_unit(ParentId=org.root, Name="A"),
        "create-policy": lambda: org.org.create_policy(Name="deny", Type=SCP, Description="", Content=json.dumps(DENY)),
        "create-account": lambda: organizations.join(
            organizations.home(ACCOUNT, "aws"), {"AccountName": "x", "Email": "One@example.com"}
        ),
    }

    def dies(number: int, call: str) -> str:
        if call.endswith(f" {operation}") and org.asked(operation) == 1:
            does[operation]()
        return ""

    digest = org.release(ONE, fleet([account("one")], [policy("deny", "A")]))
    org.dies = dies
    with failed(SAME[operation]):
        bench.deploy(digest)


# ---- Baselines

TOPIC = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "base"}}}})
QUEUE = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "base"}}}})


def baseline(name: str, *targets: str, **more: Any) -> Any:
    from fleet import Baseline

    about = {"template": TOPIC, "regions": (REGION,), "targets": targets} | more
    return Baseline(name=name, file=f"baselines/{name}/baseline.yml", line=1, **about)


def stacks(name: str) -> list[tuple[str, str, str]]:
    listed = boto3.client("cloudformation", REGION).list_stack_instances(StackSetName=f"shop-{name}")["Summaries"]
    return sorted((one["Account"], one["Region"], one["Status"]) for one in listed)


def test_baselines_come_change_and_go(org: Organisation, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    accounts = [account("one", "A"), account("two", "B")]
    wants = fleet(accounts, baselines=(baseline("base", "A", "B", auto_deploy=True),), units=("A", "B"))
    bench.deploy(org.release(ONE, wants))
    assert org.left(wants) == []
    one, two = (org.seen().by_email[f"{name}@example.com"].id for name in ("one", "two"))
    assert stacks("base") == sorted([(one, REGION, "CURRENT"), (two, REGION, "CURRENT")])
    [made] = org.seen().stack_sets
    assert (len(made.units), made.accounts, made.auto_deploy, made.outdated, made.missing) == (2, (), True, (), {})

    wants = fleet(
        [*accounts, account("three", "A")],
        baselines=(
            baseline("base", "A", template=QUEUE, regions=(REGION, "us-east-1")),
            baseline("more", "A", depends_on=("base",), auto_deploy=True),
        ),
        units=("A", "B"),
    )
    bench.deploy(org.release(TWO, wants), TWO)
    assert org.left(wants) == []
    three = org.seen().by_email["three@example.com"].id
    assert stacks("base") == sorted(
        (number, region, "CURRENT") for number in (one, three) for region in (REGION, "us-east-1")
    )
    base, more = org.seen().stack_sets
    assert more.depends_on == ("shop-base",)
    assert base.regions == (REGION, "us-east-1")


def test_an_operation_that_failed_names_accounts_and_reasons_and_is_tried_again(
    org: Organisation, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpra.rehearsal.mends import stack_operations

    wants = fleet([account("one", "A"), account("two", "A")], units=("A",))
    bench.deploy(org.release(ONE, wants))
    one = org.seen().by_email["one@example.com"].id
    monkeypatch.setitem(stack_operations.FAILING, one, "a guardrail denies it")
    wants = fleet(wants.accounts, baselines=(baseline("base", "A"),), units=("A",))
    digest = org.release(TWO, wants)
    with failed(f"shop-base ended as FAILED: {one} in {REGION}: a guardrail denies it.*1 are done, 1 are not: run the"):
        bench.deploy(digest, TWO)
    monkeypatch.delitem(stack_operations.FAILING, one)
    bench.deploy(digest, TWO)
    assert [state for _, _, state in stacks("base")] == ["CURRENT", "CURRENT"]
    assert org.left(wants) == []


# ---- What it does not do


def test_back_again_policies_and_baselines_only(org: Organisation, bench: Bench) -> None:
    before = fleet([account("one")], [policy("deny", "A")], units=("A", "A/B"), baselines=(baseline("base", "A"),))
    one = org.release(ONE, before)
    bench.deploy(one)
    after = fleet(
        [account("one", "A", tags={"team": "b"}), account("two")],
        [policy("deny", "A", content=DENIES)],
        baselines=(baseline("base", "A", template=QUEUE),),
    )
    two = org.release(TWO, after)
    bench.deploy(two, TWO)
    assert (bench.running, org.left(after)) == (two, [])
    bench.back(one)
    assert bench.running == one
    seen = org.seen()
    [content] = [one.content for one in seen.policies if one.name == "deny"]
    assert content == DENY
    assert seen.by_email["one@example.com"].tags["team"] == "b"
    assert org.accounts() == {"root": ["master"], "A": ["one"], "A/B": ["two"]}


def test_what_somebody_else_did_meanwhile_stops_it(org: Organisation, bench: Bench) -> None:
    wants = fleet([account("one")], [policy("deny", "A")])
    bench.deploy(org.release(ONE, wants))
    wants = fleet([account("one"), account("two")], [policy("deny", "A")])
    digest = org.release(TWO, wants)
    [one] = [one for one in org.seen().policies if one.name == "deny"]
    org.org.detach_policy(PolicyId=one.id, TargetId=one.attachments[0])
    before = len(org.calls)
    with failed("the organisation is not as the plan knows it, nothing is applied"):
        bench.deploy(digest, TWO)
    assert org.calls[before:] == []
    assert "before" not in bench.happened[-1:]


def test_of_two_runs_at_once_one_stops(org: Organisation, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import fleet_calls
    import fleet_journal

    wants = fleet([account("one")])
    digest = org.release(ONE, wants)
    real, other = fleet_calls.Calls.create_unit, []

    def create_unit(self: Any, on: str, says: Any) -> None:
        real(self, on, says)
        if not other:
            other.append(
                fleet_journal.Journal(fleet_journal.Place(REGION, "packages", f"shop/{digest}/journal.json", ACCOUNT))
            )
            other[0].begin(["sha256:other"])

    monkeypatch.setattr(fleet_calls.Calls, "create_unit", create_unit)
    with failed("another run writes the journal s3://packages/shop/.*: it applies the same release. This one stops"):
        bench.deploy(digest)
    assert org.asked("create-account") == 0


def test_a_write_of_the_journal_whose_answer_was_lost_is_no_other_run(
    org: Organisation, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import conditional

    real = conditional.write
    monkeypatch.setattr(conditional, "write", lambda *given: real(*given) and "")
    bench.deploy(org.release(ONE, fleet([account("one")])))
    assert org.accounts()["A/B"] == ["one"]


@pytest.mark.parametrize("code", ["TooManyRequestsException", "ConcurrentModificationException"])
def test_what_aws_puts_off_is_asked_again(
    org: Organisation, bench: Bench, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    import aws

    real, refused = aws.call_as, dict[str, int]()

    def call_as(env: Any, region: str, service: str, operation: str, /, *options: str, **given: Any) -> Any:
        refused[operation] = refused.get(operation, 0) + 1
        if refused[operation] in (1, 2) and service == "organizations":
            raise aws.Refused(operation, f"An error occurred ({code}) when calling the X operation: later")
        return real(env, region, service, operation, *options, **given)

    monkeypatch.setattr(aws, "call_as", call_as)
    wants = fleet([account("one")], [policy("deny", "A")])
    bench.deploy(org.release(ONE, wants))
    assert org.left(wants) == []
    assert org.asked("create-account") == 1
    assert "slept 2.0" in bench.happened


def test_what_is_put_off_for_too_long_fails(org: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    import aws
    import organisation

    def refuse(*given: Any, **more: Any) -> Any:
        raise aws.Refused("x", "An error occurred (TooManyRequestsException) when calling the X operation: later")

    monkeypatch.setattr(aws, "call_as", refuse)
    with failed("TooManyRequests"):
        organisation.call(REGION, "organizations", "list-roots")
    assert 40 < len(org.bench.happened) < 60  # a quarter of an hour


def test_an_account_that_aws_does_not_make_is_told_with_what_helps_and_the_others_are_there(
    org: Organisation, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpra.rehearsal.mends import organizations

    monkeypatch.setitem(organizations.FAILING, "two@example.com", "ACCOUNT_LIMIT_EXCEEDED")
    wants = fleet([account(name) for name in ("one", "two", "three")])
    digest = org.release(ONE, wants)
    with failed(
        "account:two: AWS does not make it, ACCOUNT_LIMIT_EXCEEDED: ask AWS for a higher quota.*Of 8 steps 2 are"
    ):
        bench.deploy(digest)
    assert org.accounts() == {"root": ["master", "one", "three"]}
    bench.deploy(digest)
    assert org.asked("create-account") == 4
    assert org.left(wants) == []


def test_ten_accounts_are_made_five_at_once(org: Organisation, bench: Bench) -> None:
    wants = fleet([account(f"a{number}") for number in range(10)])
    bench.deploy(org.release(ONE, wants))
    assert (org.left(wants), org.asked("create-account")) == ([], 10)


def test_a_fleet_that_was_not_signed_with_this_plan_is_refused(org: Organisation, bench: Bench) -> None:
    digest = org.release(ONE, fleet([account("one")]))
    other = org.release(TWO, fleet([account("two")]))
    folder = bench.job.workspace
    (folder / digest / "plan.json").write_bytes((folder / other / "plan.json").read_bytes())
    with failed("the release's plan.json is of another fleet"):
        bench.deploy(digest)
    bench.given(unit="A")
    with failed("the input 'unit' is 'A', and no part of the fleet: choose one of root"):
        bench.deploy(digest)
    assert org.calls == []


# ---- Parts


def test_a_part_gets_what_is_its_and_no_more_and_the_last_one_gets_the_rest(org: Organisation, bench: Bench) -> None:
    accounts = [account("one", "A"), account("two", "C")]
    about = {"units": ("A", "C"), "parts": ("A", "root")}
    wants = fleet(accounts, [policy("deny", "C")], baselines=(baseline("base", "A", "C"),), **about)
    digest = org.release(ONE, wants)
    bench.given(unit="A")
    bench.deploy(digest)
    assert (bench.running, org.accounts()) == (digest, {"root": ["master"], "A": ["one"]})
    bench.given(unit="root")
    assert bench.running == ""
    bench.deploy(digest)
    assert (bench.running, org.left(wants)) == (digest, [])

    after = fleet(
        accounts,
        [policy("deny", "A", "C", content=DENIES)],
        baselines=(baseline("base", "A", "C", template=QUEUE),),
        **about,
    )
    digest = org.release(TWO, after)
    bench.given(unit="A")
    bench.deploy(digest, TWO)
    staged = {one.name: one.content for one in org.seen().policies if one.name.startswith("deny")}
    assert (staged.pop("deny"), list(staged.values())) == (DENY, [DENIES])
    assert sorted(state for _, _, state in stacks("base")) == ["CURRENT", "OUTDATED"]
    bench.given(unit="root")
    bench.deploy(digest, TWO)
    assert org.left(after) == []
    assert [one.content for one in org.seen().policies if one.name.startswith("deny")] == [DENIES]
    assert [state for _, _, state in stacks("base")] == ["CURRENT", "CURRENT"]

    bench.back(org.release("3" * 40, wants), "3" * 40)
    assert [one.content for one in org.seen().policies if one.name.startswith("deny")] == [DENY]


def test_control_tower_enrols_what_comes_into_its_units_and_that_is_waited_for(
    bench: Bench, server: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dpra.rehearsal.aws import Cloud
    from dpra.rehearsal.mends.controltower import store
    from dpra.rehearsal.oidc import Issuer

    with Cloud(Issuer("acme/shop", "main", ONE)) as cloud:
        for name, value in given(cloud, server, "root").items():
            monkeypatch.setenv(name, value)
        where = {"LocationConstraint": REGION}
        boto3.Session().client("s3", REGION).create_bucket(Bucket="packages", CreateBucketConfiguration=where)
        org = Organisation(bench, monkeypatch)
        unit = org.org.create_organizational_unit(
            ParentId=org.root, Name="A", Tags=[{"Key": "dpra:component", "Value": "shop"}]
        )["OrganizationalUnit"]["Id"]
        store.govern(ACCOUNT, REGION, unit)
        bench.use("organizations", **{"control-tower": True})
        bench.deploy(org.release(ONE, fleet([account("one", "A"), account("two", "B")], units=("A", "B"))))
        seen = org.seen()
        one, two = (seen.by_email[f"{name}@example.com"].id for name in ("one", "two"))
        said = bench.says(capsys)
        assert f"Control Tower has enrolled {one}" in said
        assert two not in said.partition("Control Tower")[2]
        store.FAILING.add(two)
        store.FAILING.add(one)
        org.org.move_account(AccountId=one, SourceParentId=unit, DestinationParentId=org.root)
        with failed(f"Control Tower could not enrol {one}: see it there"):
            bench.deploy(org.release(TWO, fleet([account("one", "A"), account("two", "B")], units=("A", "B"))), TWO)
        store.FAILING.clear()
