"""Instances of Amazon EC2, started for one purpose and terminated behind it; Systems Manager runs scripts on them.

Each has two tags, by which roles are bound and what was forgotten is found: dpra:component, and dpra:for, the purpose.

Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html, and how the agent
calls what it puts into S3: https://docs.aws.amazon.com/systems-manager/latest/userguide/rc-console.html
"""

import base64
import os
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aws
import runner
from labels import COMPONENT, PURPOSE

MINUTES = 10  # for an instance to start, and its agent to report
PAUSE = 5  # seconds between looks; the first ones are nearer
DELIVERY = 600  # seconds for a command to reach the agent
SECONDS = 3600  # that a script may take
SHOWN = 24_000  # characters of its output that AWS keeps, and a third of them of its errors: the first ones
SCRIPT = 30_000  # bytes of a script, which goes as base64: a document has room for 64 KiB
ALIVE = ("pending", "running", "stopping", "stopped")
MISSING = "InvalidInstanceID.NotFound"
WORD = re.compile(r"[\w.:/+=@%,-]+", re.ASCII)


@dataclass(frozen=True)
class Done:
    """How a script ended: its exit code, and the beginnings of what it said."""

    code: int
    out: str
    err: str
    key: str = ""  # of its whole output in the bucket that was named

    @property
    def cut(self) -> bool:
        """Whether there is more of its output."""
        return len(self.out) >= SHOWN


def start(
    region: str, template: str, image: str, component: str, purpose: str, volumes: Sequence[dict[str, Any]] = ()
) -> str:
    """Start an instance of an AMI by a launch template, which says all the rest; its id.

    Args:
        volumes: more block device mappings.
    """
    tags = [{"Key": COMPONENT, "Value": component}, {"Key": PURPOSE, "Value": purpose}]
    asked: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateName": template, "Version": "$Latest"},
        "ImageId": image,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": os.urandom(16).hex(),  # what is asked for again is not started again
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
    }
    if volumes:
        asked["BlockDeviceMappings"] = list(volumes)
    [made] = aws.call(region, "ec2", "run-instances", **asked)["Instances"]
    runner.say(f"started {made['InstanceId']} of {image} by the launch template {template}, for {purpose}")
    return str(made["InstanceId"])


@contextmanager
def started(
    region: str, template: str, image: str, component: str, purpose: str, volumes: Sequence[dict[str, Any]] = ()
) -> Iterator[str]:
    """An instance that takes commands, for as long as the block goes on."""
    instance = start(region, template, image, component, purpose, volumes)
    try:
        ready(region, instance, template)
        yield instance
    finally:
        end(region, instance)


def described(region: str, instance: str) -> dict[str, Any]:
    """What EC2 says of an instance."""
    [reservation] = aws.call(region, "ec2", "describe-instances", InstanceIds=[instance])["Reservations"]
    return dict(reservation["Instances"][0])


def ready(region: str, instance: str, template: str) -> None:
    """Wait until Systems Manager's agent on an instance takes commands.

    Raises:
        runner.Failed: it does not come; the message says where to look.
    """
    by = [{"Key": "InstanceIds", "Values": [instance]}]
    for number in range(MINUTES * 60 // PAUSE):
        known = aws.call(region, "ssm", "describe-instance-information", Filters=by)["InstanceInformationList"]
        if any(one.get("PingStatus") == "Online" for one in known):
            return
        try:
            there = described(region, instance)
        except aws.Refused as refused:  # EC2 tells of what is new a moment later
            if MISSING not in str(refused):
                raise
        else:
            if there["State"]["Name"] not in ("pending", "running"):
                why = (there.get("StateReason") or {}).get("Message") or "EC2 does not say why"
                raise runner.Failed(f"{instance} is {there['State']['Name']}: {why}", "error")
        time.sleep(min(PAUSE, 1 + number))
    raise runner.Failed(
        f"the SSM agent of {instance} is not there in {MINUTES} minutes: does the AMI have and start it, may it "
        f"report by the instance profile in the launch template {template} (AmazonSSMManagedInstanceCore), and is "
        f"there a way from its subnet to ssm and ssmmessages.{region}.{aws.domain(region)}?",
        "error",
    )


def run(
    region: str,
    instance: str,
    script: str,
    *words: str,
    by: str = "sh",
    seconds: int = SECONDS,
    bucket: str = "",
    prefix: str = "",
) -> Done:
    """Run a script on an instance as root, and wait for its end.

    It goes as base64: Systems Manager would put parameters in place of what looks like `{{ssm:NAME}}`.

    Args:
        words: its arguments, without blanks and quotes.
        by: the shell.
        bucket, prefix: where the agent puts the whole output, if anywhere.

    Raises:
        runner.Failed: it did not come to an end of its own.
    """
    if len(script.encode()) > SCRIPT or not all(map(WORD.fullmatch, words)):
        raise ValueError("a script or a word of it that is none")
    packed = base64.b64encode(script.encode()).decode()
    command = f'exec {by} -c "$(echo {packed} | base64 -d)" dpra {shlex.join(words)}'
    asked: dict[str, Any] = {"OutputS3BucketName": bucket, "OutputS3KeyPrefix": prefix} if bucket else {}
    sent = aws.call(
        *(region, "ssm", "send-command"),
        InstanceIds=[instance],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": [command], "executionTimeout": [str(seconds)]},
        TimeoutSeconds=DELIVERY,
        **asked,
    )["Command"]["CommandId"]
    about = {"CommandId": sent, "InstanceId": instance}
    for number in range((DELIVERY + seconds) // 2 + 60):
        try:
            told = aws.call(region, "ssm", "get-command-invocation", **about)
        except aws.Refused as refused:  # it has not got there yet
            if refused.code != "InvocationDoesNotExist":
                raise
            told = {"Status": "Pending"}
        if told["Status"] in ("Success", "Failed"):
            key = f"{prefix}/{sent}/{instance}/awsrunShellScript/0.awsrunShellScript/stdout"
            said = (told.get("StandardOutputContent") or "", told.get("StandardErrorContent") or "")
            return Done(int(told["ResponseCode"]), *said, key if bucket else "")
        if told["Status"] not in ("Pending", "InProgress", "Delayed"):
            break
        time.sleep(2 if number > 2 else 0.5)
    why = told.get("StatusDetails") or told["Status"]
    raise runner.Failed(f"the command {sent} on {instance} did not end: {why}", "error")


def end(region: str, instance: str) -> None:
    """Terminate an instance; one that cannot be is told, and is the sweep's."""
    try:
        aws.call(region, "ec2", "terminate-instances", InstanceIds=[instance])
        runner.say(f"terminated {instance}")
    except aws.Refused as refused:
        if MISSING not in str(refused):
            runner.warning(f"{instance} is not terminated: {refused}", title="an instance is left")
