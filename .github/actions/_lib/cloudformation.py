"""Deploys a verified release with CloudFormation: upload, change set, show it, execute it, wait."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws
import runner

READY = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
}
WAY_OUT = {
    "ROLLBACK_COMPLETE": "its creation failed; delete it (aws cloudformation delete-stack) and run again",
    "UPDATE_ROLLBACK_FAILED": "repair what its events name, then aws cloudformation continue-update-rollback",
    "IN_PROGRESS": "something else is changing it; wait for its end and run again",
    "FAILED": "repair what its events name, or delete it, and run again",
}
MOST_TRIGGERS = 5  # that CloudFormation takes
LONGEST_PAUSE = 10  # seconds between two looks


@dataclass(frozen=True)
class Target:
    """Where to: the stack of a component in one account and region, and the bucket it is taken from."""

    component: str
    environment: str
    account: str
    region: str
    stack: str
    bucket: str
    execution_role: str = ""


def deploy(
    target: Target,
    release: Path,
    digest: str,
    commit: str,
    before: Callable[[], None],
    stored: bool,
    triggers: Sequence[str] = (),
) -> "Done":
    """Make the stack what the release says.

    Args:
        before: is called right before anything is changed; where it fails, nothing is.
        stored: the release lies in the target's bucket already.
        triggers: ARNs of alarms; where one fires meanwhile CloudFormation itself takes the change back. A rollback has
            none: the alarm that fires would undo it.
    """
    region = target.region
    kind = change_set_type(region, target.stack)
    key = f"{target.component}/{digest}/package.zip"
    if not stored:
        upload(region, release / "package.zip", target.bucket, key, target.account)
    offered = {"ArtifactBucket": target.bucket, "ArtifactKey": key, "Environment": target.environment}
    if (image := release / "image.json").is_file():  # signed with the release
        offered["ImageUri"] = json.loads(image.read_bytes())["uri"]
    template = (release / "template.yml").read_text(encoding="utf-8")
    tags = {"dpra:component": target.component, "dpra:commit": commit, "dpra:digest": digest}
    change_set, changes = create_change_set(target, kind, template, offered, tags, triggers)
    show(target.stack, changes)
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    before()
    deployed = execute(region, target.stack, change_set) if changes else describe(region, target.stack)
    outputs = {item["OutputKey"]: item["OutputValue"] for item in deployed.get("Outputs", [])}
    return Done(change_set, started, outputs)


@dataclass(frozen=True)
class Done:
    """What a deployment left: its change set, when the change began (UTC, ISO 8601), the stack's outputs."""

    change_set: str
    started: str
    outputs: dict[str, str]


def describe(region: str, stack: str) -> dict[str, Any]:
    try:
        [found] = aws.call(region, "cloudformation", "describe-stacks", StackName=stack)["Stacks"]
    except aws.Refused as refused:
        if refused.code == "ValidationError" and "does not exist" in str(refused):
            return {}
        raise
    return dict(found)


def change_set_type(region: str, stack: str) -> str:
    """CREATE or UPDATE; fails, with the way out, where CloudFormation would refuse the stack as it is."""
    status = describe(region, stack).get("StackStatus", "REVIEW_IN_PROGRESS")
    if status == "REVIEW_IN_PROGRESS":  # a change set made it, and none was executed
        return "CREATE"
    if status in READY:
        return "UPDATE"
    way_out = next((way for ending, way in WAY_OUT.items() if status.endswith(ending)), "look at its events")
    raise runner.Failed(f"the stack {stack} is {status}: {way_out}", "error")


def settled(region: str, stack: str) -> dict[str, Any]:
    """The stack, once nothing changes it any more; a lost runner may have left CloudFormation at work."""
    for _ in looks():
        found = describe(region, stack)
        if not found.get("StackStatus", "").endswith("_IN_PROGRESS") or found["StackStatus"] == "REVIEW_IN_PROGRESS":
            return found
    raise AssertionError("looks has no end")


def upload(region: str, package: Path, bucket: str, key: str, owner: str) -> None:
    aws.call(
        *(region, "s3api", "put-object", "--body", str(package)),
        Bucket=bucket,
        Key=key,
        ExpectedBucketOwner=owner,  # nobody else's bucket of that name
    )


def create_change_set(
    target: Target,
    kind: str,
    template: str,
    offered: dict[str, str],
    tags: dict[str, str],
    triggers: Sequence[str],
) -> tuple[str, list[dict[str, Any]]]:
    """The change set's id and its changes. One without changes is deleted."""
    region, stack = target.region, target.stack
    summary = aws.call(region, "cloudformation", "get-template-summary", TemplateBody=template)
    declared = {parameter["ParameterKey"] for parameter in summary.get("Parameters", [])}
    run = f"{os.environ['GITHUB_RUN_ID']}-{os.environ['GITHUB_RUN_ATTEMPT']}"
    request: dict[str, Any] = {
        "StackName": stack,
        "ChangeSetName": f"dpra-{run}-{tags['dpra:digest'][:12]}",
        "ChangeSetType": kind,
        "TemplateBody": template,
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value} for name, value in offered.items() if name in declared
        ],
        "Tags": [{"Key": name, "Value": value} for name, value in tags.items()],
    }
    if triggers:
        kinds = {arn: "AWS::CloudWatch::Alarm" for arn in triggers[:MOST_TRIGGERS]}
        watched = [{"Arn": arn, "Type": kind} for arn, kind in kinds.items()]
        # 0 minutes: they are watched while the stack changes; the bake watches them afterwards.
        request["RollbackConfiguration"] = {"RollbackTriggers": watched, "MonitoringTimeInMinutes": 0}
    if target.execution_role:
        request["RoleARN"] = target.execution_role
    return propose(region, request)


def propose(region: str, request: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Ask for a change set and wait for it: its id and its changes. One without changes is deleted."""
    stack = request["StackName"]
    change_set = aws.call(region, "cloudformation", "create-change-set", **request)["Id"]
    for _ in looks():
        made = aws.call(region, "cloudformation", "describe-change-set", ChangeSetName=change_set)
        if made["Status"] == "CREATE_COMPLETE":
            return change_set, made.get("Changes", [])
        if made["Status"] == "FAILED":
            aws.call(region, "cloudformation", "delete-change-set", ChangeSetName=change_set)
            reason = made.get("StatusReason", "")
            if "didn't contain changes" in reason or "No updates are to be performed" in reason:
                return change_set, []
            raise runner.Failed(f"the change set for {stack} failed: {reason}", "error")
    raise AssertionError("looks has no end")


def show(stack: str, changes: list[dict[str, Any]]) -> None:
    rows = [
        (
            change["Action"],
            change["LogicalResourceId"],
            change["ResourceType"],
            change.get("Replacement", "-"),
        )
        for change in (item["ResourceChange"] for item in changes)
    ]
    for row in rows:
        runner.say("  ".join(row))
    if rows:
        head = ("change", "resource", "type", "replacement")
        runner.summary(f"changes of {runner.code(stack)}", head, [[runner.code(cell) for cell in row] for row in rows])
    else:
        runner.say(f"{stack}: no changes")


def execute(region: str, stack: str, change_set: str) -> dict[str, Any]:
    """The stack as it is at the end; its events are shown on the way."""
    before = {event["EventId"] for event in latest_events(region, stack)}
    aws.call(region, "cloudformation", "execute-change-set", ChangeSetName=change_set)
    failures: list[str] = []
    for _ in looks():
        now = describe(region, stack)  # before the events, so that the last of them are seen
        status = now["StackStatus"]
        for event in reversed(latest_events(region, stack)):
            if event["EventId"] not in before:
                before.add(event["EventId"])
                reason = event.get("ResourceStatusReason", "")
                line = f"{event['ResourceStatus']}  {event['LogicalResourceId']}  {reason}"
                runner.say(line)
                if event["ResourceStatus"].endswith("_FAILED"):
                    failures.append(line)
        if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            return now
        if not status.endswith("_IN_PROGRESS"):
            for line in failures:
                runner.error(line, title=stack)
            raise runner.Failed(f"the deployment of {stack} failed: the stack is {status}")
    raise AssertionError("looks has no end")


def latest_events(region: str, stack: str) -> list[dict[str, Any]]:
    answer = aws.call(region, "cloudformation", "describe-stack-events", "--no-paginate", StackName=stack)
    return list(answer.get("StackEvents", []))


def looks() -> Iterator[None]:
    """Now, and again after longer and longer pauses. CloudFormation ends by itself; not to look would not stop it."""
    pause = 1
    while True:
        yield
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
