"""StackSets: what is told of them; see `stack_sets`."""

from collections.abc import Iterable
from datetime import UTC, datetime

from . import stack_operations
from .stack_operations import Instance, Place, Result, Run, Said, StackSet, arn
from .stack_sets import Caller, found, invalid, managed, refuse, run_of, serves

PAGE = 100


def page(items: Iterable[Said], asked: Said) -> Said:
    every, token = list(items), asked.get("NextToken", "0")
    if not token.isdecimal() or (int(token) and int(token) >= len(every)):
        invalid("The NextToken is of no page.")
    end = int(token) + int(asked.get("MaxResults", PAGE))
    return {"Summaries": every[int(token) : end], **({"NextToken": str(end)} if end < len(every) else {})}


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# ---- Stack sets


@serves
def describe_stack_set(caller: Caller, asked: Said) -> Said:
    one = found(caller, asked)
    about = summary(one)
    for name in ("DriftStatus", "LastDriftCheckTimestamp"):
        about.pop(name, None)
    about |= {
        name: one.said[name] for name in ("TemplateBody", "Parameters", "Tags", "Capabilities") if name in one.said
    }
    about |= {"StackSetARN": arn(one), "Regions": sorted({region for _, region in one.instances})}
    if one.said["PermissionModel"] == "SERVICE_MANAGED":
        about["OrganizationalUnitIds"] = sorted(one.targets)
    about["StackSetDriftDetectionDetails"] = dated(one.drift) or {"DriftStatus": "NOT_CHECKED"}
    return {"StackSet": about}


def summary(one: StackSet) -> Said:
    names = ("Description", "AutoDeployment", "PermissionModel")
    about = {"StackSetName": one.name, "StackSetId": one.id, "Status": one.status}
    about |= {name: one.said[name] for name in names if name in one.said}
    drift = dated({name: one.drift[name] for name in ("DriftStatus", "LastDriftCheckTimestamp") if one.drift})
    return {**about, "ManagedExecution": {"Active": managed(one)}, "DriftStatus": "NOT_CHECKED", **drift}


def dated(said: Said) -> Said:
    return {name: moment(value) if name.endswith("Timestamp") else value for name, value in said.items()}


@serves
def list_stack_sets(caller: Caller, asked: Said) -> Said:
    return page([summary(one) for one in caller.sets.values() if asked.get("Status", one.status) == one.status], asked)


@serves
def list_stack_set_auto_deployment_targets(caller: Caller, asked: Said) -> Said:
    one = found(caller, asked)
    targets = one.targets if one.automatic else {}
    return page([{"OrganizationalUnitId": unit, "Regions": sorted(targets[unit])} for unit in sorted(targets)], asked)


# ---- Operations


def told_run(run: Run) -> Said:
    about: Said = {"OperationId": run.id, "Action": run.action, "Status": run.status}
    about |= {"CreationTimestamp": moment(run.created), "OperationPreferences": run.preferences}
    about |= {"EndTimestamp": moment(run.ended)} if run.ended else {}
    about |= {"StatusReason": run.reason} if run.reason else {}
    return {**about, "StatusDetails": {"FailedStackInstancesCount": stack_operations.failures(run.results)}}


@serves
def describe_stack_set_operation(caller: Caller, asked: Said) -> Said:
    one = found(caller, asked)
    run = run_of(one, asked)
    about = {**told_run(run), "StackSetId": one.id, "DeploymentTargets": run.targets}
    about |= {"RetainStacks": run.retain} if run.action == "DELETE" else {}
    about |= {"StackSetDriftDetectionDetails": dated(run.drifted)} if run.drifted else {}
    return {"StackSetOperation": about}


@serves
def list_stack_set_operations(caller: Caller, asked: Said) -> Said:
    """The newest first."""
    return page([told_run(run) for run in reversed(found(caller, asked).runs)], asked)


@serves
def list_stack_set_operation_results(caller: Caller, asked: Said) -> Said:
    run = run_of(found(caller, asked), asked)
    states = {one["Values"] for one in asked.get("Filters", ())}
    listed = [result for result in run.results if not states or result.status in states]
    return page([told_result(result) for result in listed], asked)


def told_result(result: Result) -> Said:
    about = {"Account": result.account, "Region": result.region, "Status": result.status}
    about |= {"StatusReason": result.reason} if result.reason else {}
    return about | ({"OrganizationalUnitId": result.unit} if result.unit else {})


# ---- Instances


def told_instance(one: StackSet, instance: Instance) -> Said:
    said: Said = {"StackSetId": one.id, "Region": instance.region, "Account": instance.account}
    said |= {"Status": instance.status, "StackInstanceStatus": {"DetailedStatus": instance.detailed}}
    optional = {"StackId": instance.stack, "StatusReason": instance.reason, "OrganizationalUnitId": instance.unit}
    said |= {name: value for name, value in optional.items() if value}
    said |= {"DriftStatus": instance.drift, "LastOperationId": instance.last}
    return said | ({"LastDriftCheckTimestamp": moment(instance.checked)} if instance.checked else {})


@serves
def describe_stack_instance(caller: Caller, asked: Said) -> Said:
    one = found(caller, asked)
    place: Place = asked["StackInstanceAccount"], asked["StackInstanceRegion"]
    if place not in one.instances:
        refuse("StackInstanceNotFoundException", "The specified stack instance doesn't exist.")
    overrides = one.instances[place].overrides.items()
    listed = [{"ParameterKey": name, "ParameterValue": value} for name, value in overrides]
    return {"StackInstance": {**told_instance(one, one.instances[place]), "ParameterOverrides": listed}}


@serves
def list_stack_instances(caller: Caller, asked: Said) -> Said:
    one = found(caller, asked)
    account, region = asked.get("StackInstanceAccount", ""), asked.get("StackInstanceRegion", "")
    filters = {filter["Name"]: filter["Values"] for filter in asked.get("Filters", ())}
    listed = [
        told_instance(one, instance)
        for instance in one.instances.values()
        if account in ("", instance.account)
        and region in ("", instance.region)
        and filters.get("DETAILED_STATUS", instance.detailed) == instance.detailed
        and filters.get("LAST_OPERATION_ID", instance.last) == instance.last
        and filters.get("DRIFT_STATUS", instance.drift) == instance.drift
    ]
    return page(listed, asked)
