"""Deploys a verified release with CloudFormation: upload, change set, show it, execute it, wait."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import evidence
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
LONGEST_PAUSE = 10  # seconds between two looks


def main() -> None:
    with evidence.recorded(runner.given("ACTION"), region=runner.given("REGION"), tool="cloudformation") as facts:
        region, stack, bucket = runner.required("REGION"), runner.required("STACK"), runner.required("BUCKET")
        key = f"{runner.required('COMPONENT')}/{runner.required('DIGEST')}/package.zip"
        environment = runner.required("ENVIRONMENT")
        aws.expect_account(region, runner.required("ACCOUNT"))
        kind = change_set_type(region, stack)
        release = Path(runner.required("RELEASE"))
        upload(region, release / "package.zip", bucket, key)
        offered = {"ArtifactBucket": bucket, "ArtifactKey": key, "Environment": environment}
        if (image := release / "image.json").is_file():  # signed with the release
            offered["ImageUri"] = json.loads(image.read_bytes())["uri"]
        template = (release / "template.yml").read_text(encoding="utf-8")
        change_set, changes = create_change_set(region, stack, kind, template, offered)
        facts["where"] = change_set
        show(stack, changes)
        runner.output("started", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        deployed = execute(region, stack, change_set) if changes else describe(region, stack)
        outputs = {item["OutputKey"]: item["OutputValue"] for item in deployed.get("Outputs", [])}
        runner.output("deployment-outputs", json.dumps(outputs))


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


def upload(region: str, package: Path, bucket: str, key: str) -> None:
    owner = runner.given("ACCOUNT")  # nobody else's bucket of that name
    aws.call(
        *(region, "s3api", "put-object", "--body", str(package)),
        Bucket=bucket,
        Key=key,
        ExpectedBucketOwner=owner,
    )


def create_change_set(
    region: str, stack: str, kind: str, template: str, offered: dict[str, str]
) -> tuple[str, list[dict[str, Any]]]:
    """The change set's id and its changes. One without changes is deleted."""
    summary = aws.call(region, "cloudformation", "get-template-summary", TemplateBody=template)
    declared = {parameter["ParameterKey"] for parameter in summary.get("Parameters", [])}
    request: dict[str, Any] = {
        "StackName": stack,
        "ChangeSetName": f"dpra-{os.environ['GITHUB_RUN_ID']}-{os.environ['GITHUB_RUN_ATTEMPT']}",
        "ChangeSetType": kind,
        "TemplateBody": template,
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value} for name, value in offered.items() if name in declared
        ],
        "Tags": [
            {"Key": "dpra:component", "Value": runner.given("COMPONENT")},
            {"Key": "dpra:commit", "Value": os.environ["GITHUB_SHA"]},
            {"Key": "dpra:digest", "Value": runner.given("DIGEST")},
        ],
    }
    if role := runner.given("EXECUTION_ROLE"):
        request["RoleARN"] = role
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


main()
