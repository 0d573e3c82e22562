"""The steps of a plan for baselines, by CloudFormation's service-managed StackSets.

Each operation has an id that is made of its step, by which CloudFormation does it once. Where one failed, the next try
has another id. Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackInstances.html
and there API_StackSetOperationPreferences.html, API_DeploymentTargets.html
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import aws
import fleet as desired
import runner
from deployment import polls
from fleet import COMPONENT
from organisation import SELF, call, labels_of

GOES_ON = ("RUNNING", "STOPPING", "QUEUED")
TRIES = 20  # of an operation, by all runs of a release
BUSY = 4 * 3600  # seconds for which another operation of the stack set is waited for
NONE_THERE = "StackInstanceNotFoundException"
ARRIVES = 900  # seconds that automatic deployment takes to begin with an account that has come
TOLD = 10  # accounts that failed
Targets = Mapping[str, Any]


def create(region: str, key: str, name: str, template: str, says: Mapping[str, Any]) -> None:
    """Create a stack set that goes nowhere yet."""
    about = {
        **described(region, template, says),
        "Tags": [{"Key": one, "Value": value} for one, value in says["tags"].items()],
        "PermissionModel": "SERVICE_MANAGED",
        "ManagedExecution": {"Active": True},
        "ClientRequestToken": token(key),
    }
    try:
        call(region, "cloudformation", "create-stack-set", StackSetName=name, **about, **SELF)
    except aws.Refused as refused:
        if refused.code != "NameAlreadyExistsException":
            raise
        there = look(region, name)
        ours = labels_of(there.get("Tags", ())).get(COMPONENT) == says["tags"][COMPONENT]
        if not ours or desired.digest(there.get("TemplateBody", "")) != says["template"]:
            raise runner.Failed(f"there is a stack set {name} that is not the one of this plan") from refused


def update(region: str, key: str, name: str, template: str, says: Mapping[str, Any], targets: Targets | None) -> None:
    """Make a stack set what the plan says, and update its stacks in the targets; without any, it has none."""
    there = look(region, name)
    about = {**described(region, template, says), "OperationPreferences": preferences(says)}
    if targets:
        about |= {"DeploymentTargets": targets, "Regions": there.get("Regions", [])}
    # What an earlier part has put is not named again: all stacks would count as outdated anew.
    if not says.get("put", True) or desired.digest(there.get("TemplateBody", "")) == says["template"]:
        del about["TemplateBody"]
        about["UsePreviousTemplate"] = True
    if not says.get("put", True):
        about["Parameters"] = [{"ParameterKey": one, "UsePreviousValue": True} for one in says["parameters"]]
    try:
        operation(region, key, name, "update-stack-set", **about)
    except aws.Refused as refused:
        if refused.code != NONE_THERE or stacks(region, name):
            raise
        about = {word: value for word, value in about.items() if word not in ("DeploymentTargets", "Regions")}
        operation(region, key, name, "update-stack-set", **about)


def stacks(region: str, name: str) -> list[dict[str, Any]]:
    """All stacks of a stack set, as list-stack-instances says it."""
    asked = {"StackSetName": name, **SELF}
    return list(call(region, "cloudformation", "list-stack-instances", **asked)["Summaries"])


def described(region: str, template: str, says: Mapping[str, Any]) -> dict[str, Any]:
    if desired.digest(template) != says["template"]:
        raise runner.Failed("the fleet's template is not the one of the plan", "error")
    auto: dict[str, Any] = {"Enabled": bool(says["auto-deploy"])}
    if auto["Enabled"]:
        auto["RetainStacksOnAccountRemoval"] = False
        auto["DependsOn"] = [str(look(region, other)["StackSetARN"]) for other in says["depends-on"]]
    parameters = [{"ParameterKey": one, "ParameterValue": value} for one, value in says["parameters"].items()]
    return {
        "TemplateBody": template,
        "Parameters": parameters,
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "AutoDeployment": auto,
    }


def look(region: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = call(region, "cloudformation", "describe-stack-set", StackSetName=name, **SELF)["StackSet"]
    return found


def deploy(region: str, key: str, name: str, targets: Targets, regions: Sequence[str], says: Mapping[str, Any]) -> None:
    """Deploy a stack set to more."""
    about = {"DeploymentTargets": targets, "Regions": list(regions), "OperationPreferences": preferences(says)}
    operation(region, key, name, "create-stack-instances", **about)


def remove(region: str, key: str, name: str, targets: Targets, regions: Sequence[str], says: Mapping[str, Any]) -> None:
    """Delete the stacks of a stack set there."""
    about = {"DeploymentTargets": targets, "Regions": list(regions), "OperationPreferences": preferences(says)}
    try:
        operation(region, key, name, "delete-stack-instances", **about, RetainStacks=False)
    except aws.Refused as refused:
        if refused.code != NONE_THERE:
            raise


def whole(units: Iterable[str], without: Sequence[str] = ()) -> Targets:
    """All accounts of units, but for some."""
    found: dict[str, Any] = {"OrganizationalUnitIds": list(units)}
    return found | ({"Accounts": list(without), "AccountFilterType": "DIFFERENCE"} if without else {})


def single(accounts: Mapping[str, str]) -> Targets:
    """Some accounts, by the unit that each is in."""
    units = sorted(set(accounts.values()))
    return {"OrganizationalUnitIds": units, "Accounts": sorted(accounts), "AccountFilterType": "INTERSECTION"}


def preferences(says: Mapping[str, Any]) -> dict[str, Any]:
    """How an operation goes about it, region by region. What is a percentage here is one there.

    SOFT_FAILURE_TOLERANCE: else CloudFormation takes one account at a time where no failure is tolerated."""
    found: dict[str, Any] = {"RegionConcurrencyType": "SEQUENTIAL", "ConcurrencyMode": "SOFT_FAILURE_TOLERANCE"}
    for word, name in (("concurrency", "MaxConcurrent"), ("failure-tolerance", "FailureTolerance")):
        if said := str(says.get(word, "")):
            found[f"{name}{'Percentage' if said.endswith('%') else 'Count'}"] = int(said.removesuffix("%"))
    return found


# ---- Operations


def token(key: str) -> str:
    """What CloudFormation takes of a step's key."""
    return f"dpra-{key.removeprefix('sha256:')}"[:100]


def operation(region: str, key: str, name: str, verb: str, **about: Any) -> None:
    """Have an operation done, and wait for its end; one that an earlier run of the release began is taken up."""
    for number in range(1, TRIES + 1):
        named = f"{token(key)}-{number}"
        try:
            call(
                *(region, "cloudformation", verb),
                **{"patience": BUSY, "StackSetName": name, "OperationId": named, **about, **SELF},
            )
        except aws.Refused as refused:
            if refused.code != "OperationIdAlreadyExistsException":
                raise
            if wait(region, name, named) == "SUCCEEDED":
                return
            continue
        if (ended := wait(region, name, named)) != "SUCCEEDED":
            raise runner.Failed(f"the stack set {name} ended as {ended}: {failures(region, name, named)}")
        return
    raise runner.Failed(f"{TRIES} operations of the stack set {name} failed for this step: see CloudFormation", "error")


def wait(region: str, name: str, named: str) -> str:
    """How an operation ended."""
    state = ""
    for _ in polls():
        about = {"StackSetName": name, "OperationId": named, **SELF}
        said = call(region, "cloudformation", "describe-stack-set-operation", **about)["StackSetOperation"]
        if said["Status"] != state:
            state = str(said["Status"])
            runner.say(f"  {name}: {state}")
        if state not in GOES_ON:
            return state
    raise AssertionError("polls do not end")


def failures(region: str, name: str, named: str) -> str:
    """The accounts that failed, with their reasons."""
    about = {"StackSetName": name, "OperationId": named, **SELF}
    listed = call(region, "cloudformation", "list-stack-set-operation-results", **about)["Summaries"]
    found = [
        f"{one['Account']} in {one['Region']}: {one.get('StatusReason') or one['Status']}"
        for one in listed
        if one["Status"] in ("FAILED", "CANCELLED")
    ]
    said = call(region, "cloudformation", "describe-stack-set-operation", **about)["StackSetOperation"]
    more = f"; and {len(found) - TOLD} more" if len(found) > TOLD else ""
    return "; ".join(found[:TOLD]) + more or str(said.get("StatusReason") or "CloudFormation does not say why")


def settle(region: str, name: str) -> None:
    """Wait until no operation of a stack set goes on."""
    for _ in polls():
        listed = call(region, "cloudformation", "list-stack-set-operations", StackSetName=name, **SELF)["Summaries"]
        if not any(one["Status"] in GOES_ON for one in listed):
            return


def failed_since(region: str, name: str, since: str) -> str:
    """Why an operation of a stack set failed that began since then; empty where none did, or one goes on."""
    listed = call(region, "cloudformation", "list-stack-set-operations", StackSetName=name, **SELF)["Summaries"]
    if any(one["Status"] in GOES_ON for one in listed):
        return ""
    failed = [one for one in listed if one["Status"] == "FAILED" and one["CreationTimestamp"][:19] >= since[:19]]
    return failures(region, name, failed[0]["OperationId"]) if failed else ""


def arrived(region: str, name: str, accounts: Collection[str], since: str) -> None:
    """Wait until automatic deployment has stacks in accounts that have come, has failed, or gives up.

    Args:
        since: when the accounts began to come, UTC, ISO 8601; an operation that failed before is not about them.
    """
    until = time.monotonic() + ARRIVES
    for _ in polls():
        missing = {*accounts} - {one["Account"] for one in stacks(region, name)}
        if not missing:
            settle(region, name)
            return
        if failed := failed_since(region, name, since):
            some = ", ".join(sorted(missing)[:TOLD])
            runner.warning(f"the stack set {name} has no stacks in {some}: automatic deployment failed: {failed}")
            return
        if time.monotonic() > until:
            some = ", ".join(sorted(missing)[:TOLD])
            runner.warning(f"the stack set {name} has no stacks in {some} yet; automatic deployment is late")
            return
