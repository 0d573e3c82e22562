"""Systems Manager: instances that it manages, commands that are run in their files, and parameters that name an AMI.

Each function replaces the one of moto that its docstring begins with, or adds it."""

# mypy: disable-error-code="assignment, attr-defined, method-assign"
import datetime
import re
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.s3.models import s3_backends
from moto.ssm.models import Command, Parameter, SimpleSystemManagerBackend
from moto.ssm.responses import SimpleSystemManagerResponse

from dpra.names import domain, partition

from .. import permissions, roots
from . import instances, machines
from .protocol import at, now

DOCUMENT = "AWS-RunShellScript"
PLUGIN = "awsrunShellScript"
AGENT = "3.3.2299.0"
NEEDS = "ssm:UpdateInstanceInformation"  # what the agent of an instance needs first
EXECUTION = "3600"  # seconds that a script may take, by default
MOST = {"StandardOutputContent": 24_000, "StandardErrorContent": 8_000}  # characters
FILTERS = ("InstanceIds", "PingStatus", "PlatformTypes", "ResourceType", "AgentVersion")
PAGE = 10

_put_parameter = SimpleSystemManagerBackend.put_parameter
_send_command = SimpleSystemManagerBackend.send_command
_get_invocation = Command.get_invocation


# ---- Instances


def managed(account: str, region: str) -> dict[str, Any]:
    """The running instances whose role lets their agent report, by their ids."""
    ec2, found = ec2_backends[account][region], {}
    for instance in ec2.all_instances():
        profile = ec2.iam_instance_profile_associations.get(instance.id)
        if profile is None or instance.state != "running":
            continue
        if any(not permissions.refusal(role, NEEDS, "*", {}) for role in profile.iam_instance_profile.roles):
            found[instance.id] = instance
    return found


def registered(instance: Any) -> bool:
    """An agent reports a while after its instance runs: from the second look on."""
    instance.dpra_looks = getattr(instance, "dpra_looks", 0) + 1
    return bool(instance.dpra_looks > 1)


def describe_instance_information(self: SimpleSystemManagerResponse) -> ActionResult:
    """SimpleSystemManagerResponse.describe_instance_information: page by page."""
    filters = {one["Key"]: one["Values"] for one in self._get_param("Filters") or ()}
    filters |= {one["key"]: one["valueSet"] for one in self._get_param("InstanceInformationFilterList") or ()}
    if strange := [key for key in filters if key not in FILTERS and not key.startswith("tag")]:
        raise JsonRESTError("InvalidFilterKey", f"the rehearsal knows no filter {', '.join(strange)}")
    found = []
    for instance in managed(self.current_account, self.region).values():
        said = information(instance)
        about = {"InstanceIds": said["InstanceId"], "PlatformTypes": said["PlatformType"], **said}
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        about |= {f"tag:{key}": value for key, value in tags.items()}
        if registered(instance) and all(about.get(key) in values for key, values in filters.items()):
            found.append(said)
    start, most = int(self._get_param("NextToken") or 0), int(self._get_param("MaxResults") or PAGE)
    more = {"NextToken": str(start + most)} if len(found) > start + most else {}
    return ActionResult({"InstanceInformationList": found[start : start + most], **more})


def information(instance: Any) -> dict[str, Any]:
    moment = datetime.datetime.fromtimestamp(now(), datetime.UTC)
    return {
        "InstanceId": instance.id,
        "PingStatus": "Online",
        "LastPingDateTime": moment,
        "AgentVersion": AGENT,
        "IsLatestVersion": True,
        "PlatformType": "Linux",
        "PlatformName": "Amazon Linux",
        "PlatformVersion": "2023",
        "ResourceType": "EC2Instance",
        "IPAddress": instance.private_ip,
        "ComputerName": instance.private_dns_name,
        "SourceId": instance.id,
        "SourceType": "AWS::EC2::Instance",
    }


# ---- Commands


def send_command(self: SimpleSystemManagerBackend, **asked: Any) -> Command:
    """SimpleSystemManagerBackend.send_command: a shell script, run in the files of each instance."""
    named = str(asked["document_name"]).rpartition("/")[2]
    if named != DOCUMENT:
        raise JsonRESTError("InvalidDocument", f"the rehearsal runs {DOCUMENT} only, not {named}")
    parameters = asked["parameters"]
    if strange := set(parameters) - {"commands", "workingDirectory", "executionTimeout"}:
        raise JsonRESTError("InvalidParameters", f"{DOCUMENT} has no parameter {', '.join(sorted(strange))}")
    if not parameters.get("commands"):
        raise JsonRESTError("InvalidParameters", f"{DOCUMENT} needs the parameter commands")
    there = managed(self.account_id, self.region_name)
    ready = {name for name, instance in there.items() if getattr(instance, "dpra_looks", 0) > 1}
    if away := [name for name in asked["instance_ids"] if name not in ready]:
        message = f"Instances [[{', '.join(away)}]] not in a valid state for account {self.account_id}"
        raise JsonRESTError("InvalidInstanceId", message)
    command = _send_command(self, **asked)
    command.invocations = [one for one in command.invocations if one["InstanceId"] in ready]
    for invocation in command.invocations:
        instance = there[invocation["InstanceId"]]
        invocation["dpra_looked"], instance.dpra_told = getattr(instance, "dpra_told", False), True
        invocation["dpra_done"] = invoked(instance, parameters, command)
    command.status = command.status_details = "Pending"
    return command


def invoked(instance: Any, parameters: dict[str, list[str]], command: Command) -> dict[str, Any]:
    """What a script did on an instance, as GetCommandInvocation says it."""
    limit, folder = parameters.get("executionTimeout", [EXECUTION])[0], parameters.get("workingDirectory", [""])[0]
    if not re.fullmatch(r"[1-9][0-9]{0,5}", str(limit)):
        raise JsonRESTError("InvalidParameters", f"executionTimeout is {limit}: must be a number of seconds")
    script = "\n".join(parameters["commands"])
    words = ["sh", "-c", 'cd "$1" && exec sh -c "$2"', "sh", folder or "/usr/bin", script]
    began = now()
    try:
        done = roots.run(instances.files(instance), words, float(limit))
    except roots.Unavailable as error:
        done = roots.Done(1, "", str(error))
    status, detail = ("Success", "Success") if not done.code else ("Failed", "Failed")
    err = done.err
    if not done.in_time:
        status, detail = "TimedOut", "ExecutionTimedOut"
    elif done.code:
        err += f"failed to run commands: exit status {done.code}"
    said: dict[str, Any] = {
        "Status": status,
        "StatusDetails": detail,
        "ResponseCode": done.code if done.in_time else -1,
        "StandardOutputContent": done.out,
        "StandardErrorContent": err,
        "ExecutionStartDateTime": at(began),
        "ExecutionEndDateTime": at(now()),
        "ExecutionElapsedTime": f"PT{now() - began:.3f}S",
    }
    if command.output_s3_bucket_name:
        said["StandardOutputUrl"] = uploaded(instance, command, "stdout", done.raw)
        said["StandardErrorUrl"] = uploaded(instance, command, "stderr", err.encode())
    return {key: value[: MOST[key]] if key in MOST else value for key, value in said.items()}


def uploaded(instance: Any, command: Command, name: str, content: bytes) -> str:
    """The address of what a script printed: the agent puts all of it into a bucket, if the instance's role may.

    Otherwise it is not there, and nobody says so."""
    path = (command.command_id, instance.id, PLUGIN, f"0.{PLUGIN}", name)
    key = "/".join(filter(None, (command.output_s3_key_prefix.strip("/"), *path)))
    bucket, region = command.output_s3_bucket_name, instance.ec2_backend.region_name
    target = f"arn:{partition(region)}:s3:::{bucket}/{key}"
    profile = instance.ec2_backend.iam_instance_profile_associations[instance.id].iam_instance_profile
    if content and not any(permissions.refusal(role, "s3:PutObject", target, {}) for role in profile.roles):
        for regions in list(s3_backends.values()):
            if bucket in regions[partition(region)].buckets:
                regions[partition(region)].put_object(bucket, key, content)
    return f"https://s3.{region}.{domain(region)}/{bucket}/{key}"


def get_invocation(self: Command, instance_id: str, plugin_name: str | None) -> dict[str, Any]:
    """Command.get_invocation: an instance's first command is in progress at the first look; then as it ended."""
    if all(one["InstanceId"] != instance_id for one in self.invocations):
        raise JsonRESTError("InvocationDoesNotExist", "")
    found = _get_invocation(self, instance_id, plugin_name)
    said = {key: value for key, value in found.items() if not key.startswith("dpra_")}
    if "dpra_done" not in found:
        return said
    done = found["dpra_done"]
    if not found.get("dpra_looked"):
        found["dpra_looked"] = True
        empty = dict.fromkeys(("StandardOutputContent", "StandardErrorContent", "ExecutionEndDateTime"), "")
        return {**said, **empty, "Status": "InProgress", "StatusDetails": "InProgress", "ResponseCode": -1}
    ended = [one["dpra_done"]["Status"] for one in self.invocations]
    self.status = self.status_details = next((one for one in ended if one != "Success"), "Success")
    self.error_count = len([one for one in ended if one != "Success"])
    return {**said, **done}


# ---- Parameters


def put_parameter(self: SimpleSystemManagerBackend, name: str, *arguments: Any, **more: Any) -> Parameter:
    """SimpleSystemManagerBackend.put_parameter: one of an AMI that is not there is answered, and not kept.

    Source: the text of PutParameter's DataType in botocore's model"""
    made = _put_parameter(self, name, *arguments, **more)
    if made.data_type == "aws:ec2:image" and not machines.visible(self.account_id, self.region_name, made.value):
        self._parameters[name].pop()
        if not self._parameters[name]:
            self._parameters.pop(name)
    return made


def mend() -> None:
    """Put them in place."""
    SimpleSystemManagerResponse.describe_instance_information = describe_instance_information
    SimpleSystemManagerBackend.send_command = send_command
    SimpleSystemManagerBackend.put_parameter = put_parameter
    Command.get_invocation = get_invocation
