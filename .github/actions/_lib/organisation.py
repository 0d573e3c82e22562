"""An organisation as it is: what fleet_seen says of seen.json, read in as few calls as can be.

The AWS CLI takes most of a second to start: there is one call for all accounts, one for the tags of everything, and one
for each unit; none for an account, but for one so young that the tags may not have it yet.
Sources: https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html (State, Paths),
https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html and
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackInstanceSummary.html
"""

import datetime
import json
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aws
import fleet as desired
from fleet import COMPONENT
from partitions import partition

WORKERS = 8  # calls at once
YOUNG = 3600  # seconds after which the tags of all have a new account, at the latest
# Where Organizations and the tags of what is in it are, in each partition but the main one.
HOMES = {"aws-cn": "cn-northwest-1", "aws-us-gov": "us-gov-west-1", "aws-eusc": "eusc-de-east-1"}
# How the AWS CLI itself calls again: after a lost connection, too, so only what can be done twice.
AGAIN = {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "5"}
ONCE = {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "1"}
# AWS did nothing of what was asked, and will when it is asked later.
LATER = (
    *("TooManyRequestsException", "ThrottlingException", "Throttling", "ThrottledException", "RequestLimitExceeded"),
    *("ConcurrentModificationException", "PolicyChangesInProgressException", "FinalizingOrganizationException"),
    *("OperationInProgressException", "StaleRequestException"),
)
PATIENCE = 900  # seconds for which a call is made again and again
LONGEST = 20  # seconds between two of them
SELF = {"CallAs": "SELF"}


def home(region: str) -> str:
    """The region of Organizations in the partition of a region."""
    return HOMES.get(partition(region), "us-east-1")


def call(
    region: str,
    service: str,
    operation: str,
    /,
    *options: str,
    again: bool = True,
    later: Collection[str] = LATER,
    patience: float = PATIENCE,
    **parameters: Any,
) -> dict[str, Any]:
    """A call of AWS, made again while AWS says that it comes too early.

    Args:
        again: it can be done twice: it is made again as well where the answer was lost.
        later: what AWS says then.
        patience: seconds after which AWS's answer is the answer.
    """
    pause, until = 1.0, time.monotonic() + patience
    while True:
        try:
            return aws.call_as(AGAIN if again else ONCE, region, service, operation, *options, **parameters)
        except aws.Refused as refused:
            if refused.code not in later or patience <= 0:
                raise
            patience = min(patience, until - time.monotonic()) - pause
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)


def read(region: str, component: str) -> dict[str, Any]:
    """What fleet_seen.Seen.from_json takes.

    Args:
        region: where the stack sets are.
        component: whose units and stack sets are looked at more closely.
    """
    near = home(region)
    with ThreadPoolExecutor(WORKERS) as pool:
        about = pool.submit(call, near, "organizations", "describe-organization")
        roots = pool.submit(call, near, "organizations", "list-roots")
        tagged = pool.submit(tags, near)
        listed = pool.submit(call, near, "organizations", "list-accounts")
        sets = pool.submit(call, region, "cloudformation", "list-stack-sets", Status="ACTIVE", **SELF)
        root = roots.result()["Roots"][0]
        types = sorted(one["Type"] for one in root.get("PolicyTypes", ()) if one["Status"] == "ENABLED")
        policies = [pool.submit(call, near, "organizations", "list-policies", Filter=kind) for kind in types]
        units = units_below(pool, near, root["Id"])
        accounts = listed.result()["Accounts"]
        parents = parents_of(pool, near, accounts, [root["Id"], *(unit["id"] for unit in units)])
        management = str(about.result()["Organization"]["MasterAccountId"])
        everybody = [account(one, parents[one["Id"]], {}) for one in accounts]
        members = members_of(units, everybody, management)
        closed = {one["id"] for one in everybody if one["status"] != "ACTIVE"}  # no stack gets there
        known = tagged.result()
        found = [policy(pool, near, one) for some in policies for one in some.result()["Policies"]]
        stack_sets = [
            pool.submit(stack_set, region, one["StackSetName"], component, members, closed)
            for one in sets.result()["Summaries"]
            if one["Status"] == "ACTIVE"
        ]
        made = [{**one, "content": text.result(), "attachments": targets.result()} for one, text, targets in found]
        missing = [unit["id"] for unit in units] + [one["id"] for one in made if not one["aws-managed"]]
        missing = [one for one in missing if not known.get(one)] + [one["Id"] for one in accounts if is_young(one)]
        known |= dict(zip(missing, pool.map(lambda one: tags_of(near, one), missing), strict=True))
        return {
            "management": management,
            "root": {"id": root["Id"], "types": types},
            "units": [{**unit, "tags": known.get(unit["id"], {})} for unit in units],
            "accounts": [account(one, parents[one["Id"]], known.get(one["Id"], {})) for one in accounts],
            "policies": [{**one, "tags": known.get(one["id"], {})} for one in made],
            "stack-sets": [one.result() for one in stack_sets],
        }


# ---- Units and accounts


def units_below(pool: ThreadPoolExecutor, near: str, root: str) -> list[dict[str, Any]]:
    """All units, level by level."""

    def below(parent: str) -> list[dict[str, Any]]:
        answer = call(near, "organizations", "list-organizational-units-for-parent", ParentId=parent)
        return [{"id": one["Id"], "name": one["Name"], "parent": parent} for one in answer["OrganizationalUnits"]]

    found: list[dict[str, Any]] = []
    level = [root]
    while level:
        units = [one for some in pool.map(below, level) for one in some]
        found += units
        level = [one["id"] for one in units]
    return found


def parents_of(
    pool: ThreadPoolExecutor, near: str, accounts: Iterable[Mapping[str, Any]], units: list[str]
) -> dict[str, str]:
    """The unit of each account: as its path says, or as each unit says where the CLI is too old for paths."""
    known = set(units)
    found = {one["Id"]: last for one in accounts if (last := last_unit(one.get("Paths", ()), known))}
    if any(one["Id"] not in found for one in accounts):

        def of(unit: str) -> list[str]:
            answer = call(near, "organizations", "list-accounts-for-parent", ParentId=unit)
            return [str(one["Id"]) for one in answer["Accounts"]]

        found |= {one: unit for unit, ids in zip(units, pool.map(of, units), strict=True) for one in ids}
    return found


def members_of(
    units: Iterable[Mapping[str, Any]], accounts: Iterable[Mapping[str, Any]], without: str
) -> dict[str, set[str]]:
    """The accounts in each unit and below it."""
    above = {unit["id"]: str(unit["parent"]) for unit in units}
    found: dict[str, set[str]] = defaultdict(set)
    for one in accounts:
        unit = one["parent"]
        while unit and one["id"] != without:
            found[unit].add(one["id"])
            unit = above.get(unit, "")
    return found


def last_unit(paths: Iterable[str], known: Collection[str]) -> str:
    return next((part for path in paths for part in reversed(path.split("/")) if part in known), "")


def account(one: Mapping[str, Any], parent: str, known: Mapping[str, str]) -> dict[str, Any]:
    about = {"id": one["Id"], "email": one["Email"], "name": one["Name"], "parent": parent}
    return about | {"status": one.get("State") or one["Status"], "tags": dict(known)}


def is_young(one: Mapping[str, Any]) -> bool:
    """Whether an account came so lately that the tags may not have it yet."""
    joined = one.get("JoinedTimestamp", 0)
    at = datetime.datetime.fromisoformat(joined).timestamp() if isinstance(joined, str) else float(joined)
    return at > time.time() - YOUNG


# ---- Tags


def tags(near: str) -> dict[str, dict[str, str]]:
    """The tags of everything in the organisation that has or had some, by id. What is new may be missing yet."""
    asked, page = {"ResourceTypeFilters": ["organizations"]}, ("--page-size", "100")
    found = call(near, "resourcegroupstaggingapi", "get-resources", *page, **asked)["ResourceTagMappingList"]
    return {one["ResourceARN"].rpartition("/")[2]: labels_of(one["Tags"]) for one in found}


def tags_of(near: str, one: str) -> dict[str, str]:
    """The tags of the root, a unit, an account or a policy, as they are now."""
    return labels_of(call(near, "organizations", "list-tags-for-resource", ResourceId=one)["Tags"])


def refused_creations(region: str) -> dict[str, str]:
    """The accounts that AWS was asked for and did not make, by their names, with why."""
    asked = {"States": ["FAILED"]}
    listed = call(home(region), "organizations", "list-create-account-status", **asked)["CreateAccountStatuses"]
    ordered = sorted(listed, key=lambda one: str(one["RequestedTimestamp"]))
    return {str(one.get("AccountName", "")): str(one.get("FailureReason", "")) for one in ordered}


def labels_of(tags: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {str(one["Key"]): str(one["Value"]) for one in tags}


# ---- Policies


def policy(pool: ThreadPoolExecutor, near: str, one: Mapping[str, Any]) -> tuple[dict[str, Any], Any, Any]:
    """A policy; its document and its targets are on their way."""

    def content() -> Any:
        return json.loads(call(near, "organizations", "describe-policy", PolicyId=one["Id"])["Policy"]["Content"])

    def targets() -> list[str]:
        answer = call(near, "organizations", "list-targets-for-policy", PolicyId=one["Id"])
        return sorted(str(target["TargetId"]) for target in answer["Targets"])

    about = {"id": one["Id"], "name": one["Name"], "type": one["Type"], "description": one.get("Description", "")}
    return about | {"aws-managed": one["AwsManaged"]}, pool.submit(content), pool.submit(targets)


# ---- Stack sets


def stack_set(
    region: str, name: str, component: str, members: Mapping[str, set[str]], closed: set[str]
) -> dict[str, Any]:
    """A stack set and where it goes: units as a whole, and single accounts of others."""
    one = call(region, "cloudformation", "describe-stack-set", StackSetName=name, **SELF)["StackSet"]
    labels, auto, regions = (
        labels_of(one.get("Tags", ())),
        one.get("AutoDeployment", {}),
        sorted(one.get("Regions", ())),
    )
    goes: dict[str, set[str]] = {}
    outdated: set[str] = set()
    managed, ours = one.get("PermissionModel") == "SERVICE_MANAGED", labels.get(COMPONENT) == component
    if managed and (ours or not auto.get("Enabled")):
        there = call(region, "cloudformation", "list-stack-instances", StackSetName=name, **SELF)["Summaries"]
        goes, outdated = targets(there, auto_deployed(region, name), bool(auto.get("Enabled")), members, closed)
    elif managed:
        goes = auto_deployed(region, name)
    regions = sorted({*regions, *(here for some in goes.values() for here in some)})  # one may have no stack yet
    lacks = {here: sorted(target for target in goes if here not in goes[target]) for here in regions}
    return {
        "name": name,
        "tags": labels,
        "template": desired.digest(one.get("TemplateBody", "")),
        "parameters": {p["ParameterKey"]: p.get("ParameterValue", "") for p in one.get("Parameters", ())},
        "regions": regions,
        "units": sorted(target for target in goes if not target.isdigit()),
        "accounts": sorted(target for target in goes if target.isdigit()),
        "depends-on": sorted(other.rpartition("stackset/")[2].partition(":")[0] for other in auto.get("DependsOn", ())),
        "auto-deploy": bool(auto.get("Enabled")),
        "outdated": sorted(outdated),
        "missing": {here: ids for here, ids in lacks.items() if ids},
    }


def auto_deployed(region: str, name: str) -> dict[str, set[str]]:
    """The units that a stack set is deployed to, with their regions; the CLI does not turn these pages itself."""
    found, more = dict[str, set[str]](), dict[str, str]()
    while True:
        asked = {"StackSetName": name, "MaxResults": 100, **SELF, **more}
        answer = call(region, "cloudformation", "list-stack-set-auto-deployment-targets", **asked)
        found |= {str(one["OrganizationalUnitId"]): set(one.get("Regions", ())) for one in answer.get("Summaries", ())}
        if not (token := answer.get("NextToken")):
            return found
        more = {"NextToken": str(token)}


def targets(
    stacks: Iterable[Mapping[str, Any]],
    units: Mapping[str, set[str]],
    auto: bool,
    members: Mapping[str, set[str]],
    closed: set[str],
) -> tuple[dict[str, set[str]], set[str]]:
    """The targets of a stack set with their regions, and those of them that have outdated stacks.

    CloudFormation may say of a stack the unit that was asked for, or the one that its account is in. A unit is a target
    where all its accounts have stacks that are open, or nobody is in it; else some were asked for one by one."""
    by: dict[str, set[str]] = defaultdict(set)  # account -> regions
    old, said = set[str](), set[str]()
    for one in stacks:
        by[one["Account"]].add(one["Region"])
        said.add(one.get("OrganizationalUnitId", ""))
        if one.get("Status") == "OUTDATED":
            old.add(one["Account"])
    goes = {}
    for unit in {*units, *(() if auto else said)}:
        if members.get(unit, set()) - closed <= by.keys() and (unit in units or members.get(unit)):
            goes[unit] = units.get(unit) or set[str]().union(*(by[number] for number in members[unit]))
    inside = {number: unit for unit in goes for number in members.get(unit, ())}
    goes |= {number: regions for number, regions in by.items() if number not in inside}
    return goes, {inside.get(number, number) for number in old}
