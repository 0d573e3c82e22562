# deploys: stacks
# pipelines: application
# default-for: application
# template: infrastructure/template.yml
# execution-role: cloudformation
# infrastructure: cloudformation
# changes: cloudformation:ExecuteChangeSet
# base: the parameter BaseImage
"""CloudFormation: a change set is made, shown, executed and waited for."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import aws
import deployment
import runner
from deployment import Change, Done, Target, polls
from stacks import describe

READY = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
}
REMEDIES = {
    "ROLLBACK_COMPLETE": "its creation failed; delete it (aws cloudformation delete-stack) and run again",
    "UPDATE_ROLLBACK_FAILED": "repair what its events name, then aws cloudformation continue-update-rollback",
    "IN_PROGRESS": "something else is changing it; wait for its end and run again",
    "FAILED": "repair what its events name, or delete it, and run again",
}
MOST_TRIGGERS = 5  # that CloudFormation takes
PLAIN = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM")


def deploy(target: Target, change: Change, capabilities: Sequence[str] = PLAIN) -> Done:
    """Make the stack what the release's template says."""
    kind = change_set_type(target.region, target.stack)
    offered = package_parameters(target, change)
    body = {"TemplateBody": (change.release / "template.yml").read_text(encoding="utf-8")}
    planned = plan(target, change, target.stack, kind, body, offered, capabilities=capabilities)
    started = deployment.timestamp()
    change.before()
    return Done(planned.change_set, started, outputs(execute(target.region, target.stack, planned)))


def settled(target: Target) -> None:
    settle(target.region, target.stack)


def running(target: Target) -> str:
    return tags(describe(target.region, target.stack)).get("dpra:digest", "")


def package_parameters(target: Target, change: Change) -> dict[str, str]:
    """What a template may declare as parameters; the package lies in the bucket then."""
    key = deployment.store_package(target, change)
    offered = {"ArtifactBucket": target.bucket, "ArtifactKey": key, "Environment": target.environment}
    images = {"ImageUri": change.image, "BaseImage": change.base_image(target.region)}
    return offered | {name: value for name, value in images.items() if value}


# ---- Stacks, for all tools that make some


@dataclass(frozen=True)
class Planned:
    """A change set that was shown; where it would change nothing, not even outputs or tags, it is deleted again."""

    change_set: str
    changes: Sequence[Mapping[str, Any]]  # of resources: there may be none where it is to be executed
    differs: bool


def plan(
    target: Target,
    change: Change,
    stack: str,
    kind: str,
    template: Mapping[str, str],
    offered: Mapping[str, str],
    *,
    more_tags: Mapping[str, str] = MappingProxyType({}),
    capabilities: Sequence[str] = PLAIN,
) -> Planned:
    """Make a change set and show it.

    Args:
        kind: CREATE or UPDATE.
        template: TemplateBody or TemplateURL.
        offered: parameters; the template gets those that it declares.
    """
    region = target.region
    summary = aws.call(region, "cloudformation", "get-template-summary", **template)
    declared = {parameter["ParameterKey"] for parameter in summary.get("Parameters", [])}
    tagged = {"dpra:component": target.component, "dpra:commit": change.commit, "dpra:digest": change.digest}
    run = f"{os.environ['GITHUB_RUN_ID']}-{os.environ['GITHUB_RUN_ATTEMPT']}"
    request: dict[str, Any] = {
        "StackName": stack,
        "ChangeSetName": f"dpra-{run}-{change.digest[:12]}",
        "ChangeSetType": kind,
        **template,
        "Capabilities": [*capabilities],
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value} for name, value in offered.items() if name in declared
        ],
        "Tags": [{"Key": name, "Value": value} for name, value in {**more_tags, **tagged}.items()],
    }
    if change.triggers:
        watched = [{"Arn": arn, "Type": "AWS::CloudWatch::Alarm"} for arn in change.triggers[:MOST_TRIGGERS]]
        # 0 minutes: they are watched while the stack changes; the bake watches them afterwards.
        request["RollbackConfiguration"] = {"RollbackTriggers": watched, "MonitoringTimeInMinutes": 0}
    if target.execution_role:
        request["RoleARN"] = target.execution_role
    planned = created(region, stack, request)
    show(stack, planned)
    return planned


def outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}


def tags(stack: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}


def change_set_type(region: str, stack: str) -> str:
    """CREATE or UPDATE; fails, with the remedy, where CloudFormation would refuse the stack as it is."""
    status = describe(region, stack).get("StackStatus", "REVIEW_IN_PROGRESS")
    if status == "REVIEW_IN_PROGRESS":  # a change set made it, and none was executed
        return "CREATE"
    if status in READY:
        return "UPDATE"
    remedy = next((one for ending, one in REMEDIES.items() if status.endswith(ending)), "read its events")
    raise runner.Failed(f"the stack {stack} is {status}: {remedy}", "error")


def settle(region: str, stack: str) -> dict[str, Any]:
    """The stack, once nothing changes it any more; a lost runner may have left CloudFormation at work."""
    for _ in polls():
        found = describe(region, stack)
        if not found.get("StackStatus", "").endswith("_IN_PROGRESS") or found["StackStatus"] == "REVIEW_IN_PROGRESS":
            return found
    raise AssertionError("polls has no end")


def created(region: str, stack: str, request: Mapping[str, Any]) -> Planned:
    """The change set, once it is made. Its status says whether it changes something: outputs are no resources."""
    change_set = aws.call(region, "cloudformation", "create-change-set", **request)["Id"]
    for _ in polls():
        made = aws.call(region, "cloudformation", "describe-change-set", ChangeSetName=change_set)
        if made["Status"] == "CREATE_COMPLETE":
            return Planned(change_set, made.get("Changes", []), differs=True)
        if made["Status"] == "FAILED":
            aws.call(region, "cloudformation", "delete-change-set", ChangeSetName=change_set)
            reason = made.get("StatusReason", "")
            if "didn't contain changes" in reason or "No updates are to be performed" in reason:
                return Planned(change_set, [], differs=False)
            raise runner.Failed(f"the change set for {stack} failed: {reason}", "error")
    raise AssertionError("polls has no end")


def show(stack: str, planned: Planned) -> None:
    if planned.differs and not planned.changes:
        runner.say(f"{stack}: no resource changes, but outputs, parameters or tags do")
        return
    found = [item["ResourceChange"] for item in planned.changes]
    rows = [(c["Action"], c["LogicalResourceId"], c["ResourceType"], c.get("Replacement", "-")) for c in found]
    deployment.show(stack, ("change", "resource", "type", "replacement"), rows)


def execute(region: str, stack: str, planned: Planned) -> dict[str, Any]:
    """The stack as it is at the end; its events are shown on the way."""
    if not planned.differs:
        return describe(region, stack)
    before = {event["EventId"] for event in latest_events(region, stack)}
    aws.call(region, "cloudformation", "execute-change-set", ChangeSetName=planned.change_set)
    failures: list[str] = []
    for _ in polls():
        now = describe(region, stack)  # before the events, so that the last of them are seen
        status = now["StackStatus"]
        for event in reversed(latest_events(region, stack)):
            if event["EventId"] not in before:
                before.add(event["EventId"])
                reason = event.get("ResourceStatusReason", "")
                line = f"{event['ResourceStatus']}  {event['LogicalResourceId']}  {reason}"
                runner.say(line)
                if event["ResourceStatus"].endswith(("_FAILED", "ROLLBACK_IN_PROGRESS")):
                    failures.append(line)
        if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            return now
        if not status.endswith("_IN_PROGRESS"):
            for line in failures:
                runner.error(line, title=stack)
            raise runner.Failed(f"the deployment of {stack} failed: the stack is {status}; repair what its events name")
    raise AssertionError("polls has no end")


def latest_events(region: str, stack: str) -> list[dict[str, Any]]:
    answer = aws.call(region, "cloudformation", "describe-stack-events", "--no-paginate", StackName=stack)
    return list(answer.get("StackEvents", []))
