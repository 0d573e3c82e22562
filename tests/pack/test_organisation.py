"""An organisation is read whole, in few calls, by the real AWS CLI; what AWS says late does not mislead."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from .conftest import ACCOUNT, REGION, Bench
from .test_fleet_apply import DENY, SCP, TOPIC, Organisation

OURS = [{"Key": "dpra:component", "Value": "shop"}]


class Calls(Organisation):
    """The organisation, and how often each operation is asked for."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(bench, monkeypatch)
        import aws

        real, self.count = aws.call_as, Counter[str]()

        def call_as(env: Any, region: str, service: str, operation: str, /, *options: str, **given: Any) -> Any:
            self.count[operation] += 1
            return real(env, region, service, operation, *options, **given)

        monkeypatch.setattr(aws, "call_as", call_as)

    def unit(self, name: str, parent: str = "") -> str:
        made = self.org.create_organizational_unit(ParentId=parent or self.root, Name=name, Tags=OURS)
        return str(made["OrganizationalUnit"]["Id"])

    def account(self, name: str, unit: str, **more: Any) -> str:
        from dpra.rehearsal.mends import organizations

        asked = {"AccountName": name, "Email": f"{name}@example.com", "Tags": OURS, **more}
        made = str(organizations.join(organizations.home(ACCOUNT, "aws"), asked).id)
        self.org.move_account(AccountId=made, SourceParentId=self.root, DestinationParentId=unit)
        return made


@pytest.fixture
def org(bench: Bench, cloud: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(bench, monkeypatch)


def read() -> Any:
    import organisation

    return organisation.read(REGION, "shop")


def test_all_of_it_and_no_call_for_an_account(org: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    a, c = org.unit("A"), org.unit("C")
    b = org.unit("B", a)
    numbers = {
        f"x{number:02}": org.account(f"x{number:02}", (a, b, c)[number % 3]) for number in range(25)
    }  # two pages
    made = org.org.create_policy(Name="deny", Type=SCP, Description="no", Content=json.dumps(DENY), Tags=OURS)
    deny = made["Policy"]["PolicySummary"]["Id"]
    for target in (b, numbers["x07"]):
        org.org.attach_policy(PolicyId=deny, TargetId=target)
    found = read()
    assert (found["management"], found["root"]) == (ACCOUNT, {"id": org.root, "types": [SCP]})
    tags = {"dpra:component": "shop"}
    assert sorted(found["units"], key=lambda one: str(one["name"])) == [
        {"id": a, "name": "A", "parent": org.root, "tags": tags},
        {"id": b, "name": "B", "parent": a, "tags": tags},
        {"id": c, "name": "C", "parent": org.root, "tags": tags},
    ]
    assert len(found["accounts"]) == 26
    [one] = [one for one in found["accounts"] if one["name"] == "x07"]
    about = {"id": numbers["x07"], "email": "x07@example.com", "name": "x07", "parent": b, "status": "ACTIVE"}
    assert one == about | {"tags": tags}
    [one] = [one for one in found["policies"] if one["name"] == "deny"]
    about = {"id": deny, "name": "deny", "type": SCP, "description": "no", "content": DENY, "tags": tags}
    assert one == about | {"attachments": sorted([b, numbers["x07"]]), "aws-managed": False}
    [given] = [one for one in found["policies"] if one["aws-managed"]]
    assert len(given["attachments"]) == 1 + 3 + 26
    assert org.count.pop("list-tags-for-resource") == 26  # as all accounts are young here
    assert org.count == {
        "describe-organization": 1, "list-roots": 1, "list-accounts": 1, "get-resources": 1, "list-stack-sets": 1,
        "list-organizational-units-for-parent": 4, "list-policies": 1, "describe-policy": 2,
        "list-targets-for-policy": 2,
    }  # fmt: skip
    org.count.clear()
    monkeypatch.setattr("organisation.is_young", lambda one: False)
    assert read() == found
    assert org.count["list-tags-for-resource"] == 0


def test_an_older_cli_knows_no_paths(org: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    import aws

    unit = org.unit("A")
    made = org.account("x", unit)
    before, real = read(), aws.call_as

    def call_as(*words: Any, **given: Any) -> Any:
        found = real(*words, **given)
        for one in found.get("Accounts", ()):
            one.pop("Paths")
            one["Status"] = one.pop("State")
        return found

    monkeypatch.setattr(aws, "call_as", call_as)
    assert read() == before
    assert org.count["list-accounts-for-parent"] == 2
    assert {one["id"]: one["parent"] for one in before["accounts"]} == {ACCOUNT: org.root, made: unit}


def test_what_the_tags_of_all_do_not_have_yet_is_asked_for(org: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    import organisation

    unit = org.unit("A")
    young, old = org.account("young", unit), org.account("old", unit)
    monkeypatch.setattr(organisation, "tags", lambda near: {})
    monkeypatch.setattr(organisation, "is_young", lambda one: one["Id"] == young)
    found = read()
    tags = {"dpra:component": "shop"}
    assert {one["id"]: one["tags"] for one in found["accounts"]} == {ACCOUNT: {}, young: tags, old: {}}
    assert found["units"][0]["tags"] == tags
    monkeypatch.undo()
    assert organisation.is_young({"JoinedTimestamp": time.time() - 60})
    assert organisation.is_young({"JoinedTimestamp": "2999-01-01T00:00:00+00:00"})
    assert not organisation.is_young({"JoinedTimestamp": "2026-01-01T00:00:00+00:00"})
    assert not organisation.is_young({})


def test_an_account_that_is_closed_is_there_and_no_stack_is_missed_in_it(org: Calls) -> None:
    unit = org.unit("A")
    _, closed = org.account("x", unit), org.account("closed", unit)
    org.org.close_account(AccountId=closed)
    deploy("base", unit)
    found = read()
    assert {one["name"]: one["status"] for one in found["accounts"]}["closed"] in ("PENDING_CLOSURE", "CLOSED")
    [one] = found["stack-sets"]
    assert (one["units"], one["accounts"]) == ([unit], [])


def deploy(name: str, unit: str, *accounts: str, auto: bool = True, **more: Any) -> None:
    cloud = boto3.client("cloudformation", REGION)
    automatic = {"Enabled": True, "RetainStacksOnAccountRemoval": False} if auto else {"Enabled": False}
    cloud.create_stack_set(
        StackSetName=name, TemplateBody=TOPIC, PermissionModel="SERVICE_MANAGED", AutoDeployment=automatic,
        Tags=OURS, **more,
    )  # fmt: skip
    where: Any = {"OrganizationalUnitIds": [unit]}
    if accounts:
        where |= {"Accounts": list(accounts), "AccountFilterType": "INTERSECTION"}
    cloud.create_stack_instances(StackSetName=name, DeploymentTargets=where, Regions=[REGION])


@pytest.mark.parametrize("auto", [True, False])
def test_a_stack_set_goes_to_units_as_a_whole_and_to_some_accounts_of_others(org: Calls, auto: bool) -> None:
    import fleet as desired

    whole, other = org.unit("A"), org.unit("B")
    below = org.unit("C", whole)
    x, y = org.account("x", below), org.account("y", other)
    org.account("z", other)
    deploy("whole", whole, auto=auto)
    deploy("some", other, y, auto=auto)
    found = {one["name"]: one for one in read()["stack-sets"]}
    assert found["some"]["units"] == []
    assert (found["some"]["accounts"], found["some"]["regions"]) == ([y], [REGION])
    assert found["whole"]["template"] == desired.digest(TOPIC)
    assert found["whole"]["auto-deploy"] is auto
    if auto:
        assert (found["whole"]["units"], found["whole"]["accounts"]) == ([whole], [])
    else:  # CloudFormation says the unit that the account is in: it has the same accounts
        assert (found["whole"]["units"], found["whole"]["accounts"]) == ([below], [])
    assert x not in found["whole"]["accounts"]


HOMES = {
    "eu-west-1": "us-east-1",
    "cn-north-1": "cn-northwest-1",
    "us-gov-east-1": "us-gov-west-1",
    "eusc-de-east-1": "eusc-de-east-1",
}


@pytest.mark.parametrize("region", HOMES)
def test_organizations_is_in_one_region_of_each_partition(region: str) -> None:
    """As botocore knows it, where it does."""
    import botocore.session
    import organisation

    assert organisation.home(region) == HOMES[region]
    session = botocore.session.Session()
    partition = session.get_partition_for_region(region)
    [there] = [one for one in session.get_data("endpoints")["partitions"] if one["partition"] == partition]
    ends = there["services"].get("organizations", {}).get("endpoints", {})
    known = {one["credentialScope"]["region"] for one in ends.values() if "credentialScope" in one}
    assert not known or HOMES[region] in known
