"""What a request about machines needs: actions of EC2 on images, instances and snapshots, and commands and sessions on
instances.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html, as cfn-lint has it, and
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dpra.names import arn, partition

Context = dict[str, str | list[str]]
Needed = Iterator[tuple[str, str, Context]]
KINDS = {
    "ami": "image", "i": "instance", "lt": "launch-template", "sg": "security-group", "snap": "snapshot",
    "subnet": "subnet", "vol": "volume",
}  # fmt: skip
IDS = re.compile(
    r"((Image|Instance|LaunchTemplate|Resource|SecurityGroup|Snapshot|Subnet|Volume)Id(\.\d+)?"
    r"|BlockDeviceMapping\.\d+\.Ebs\.SnapshotId)"
)
SHARED = ("image", "snapshot")  # whose ARNs have no account
# Of an instance that is to be started: what it always has.
STARTED = ("instance/*", "network-interface/*", "volume/*")


def ec2(action: str, region: str, account: str, form: Mapping[str, str]) -> Needed:
    """Each resource that a request of EC2 names. What only looks is allowed on all resources, as with most of it."""
    said: Context = {}
    if action == "RunInstances" and (template := launch_template(region, account, form)):
        form = {**written(template.data), **form, "LaunchTemplateId": template.template.id}
        said["ec2:LaunchTemplate"] = f"{base(region, account, 'launch-template')}launch-template/{template.template.id}"
    if action == "ModifySnapshotAttribute":  # of images there is no such condition
        said |= lending(form)
    tags = requested(form)
    targets = list(named(action, region, account, form))
    for target in targets or ["*"]:
        kind = target.rpartition("/")[0].rpartition(":")[2]
        yield f"ec2:{action}", target, {**said, **tagging(tags, kind), **tagged(region, account, target)}
    for kind in filter(None, tags):
        target = f"{base(region, account, kind)}{kind}/*"
        yield "ec2:CreateTags", target, {**said, **tagging(tags, kind), "ec2:CreateAction": action}
    for role in roles(region, account, form):
        yield "iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}


def requested(form: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The tags that a request gives: by the kind of what is to have them; at "" where it does not say that."""
    found: dict[str, dict[str, str]] = {}
    for key in form:
        if of := re.fullmatch(r"(TagSpecification\.\d+\.)?Tag\.\d+\.Key", key):
            kind = form.get(f"{of[1]}ResourceType", "") if of[1] else ""
            found.setdefault(kind, {})[form[key]] = form.get(key.replace("Key", "Value"), "")
    return found


def tagging(tags: Mapping[str, Mapping[str, str]], kind: str) -> Context:
    """What conditions know of them: of what is to have some, its own; of anything else, all."""
    of_all = {key: value for those in tags.values() for key, value in those.items()}
    own = tags.get(kind, of_all)
    found: Context = {f"aws:RequestTag/{key}": value for key, value in own.items()}
    return {**found, "aws:TagKeys": sorted(own)} if own else found


def lending(form: Mapping[str, str]) -> Context:
    """Whom a snapshot is lent to, or not any more, in either wording."""
    found: dict[str, list[str]] = {}
    for key, value in form.items():
        if of := re.fullmatch(r"CreateVolumePermission\.(Add|Remove)\.\d+\.(UserId|Group)", key):
            found.setdefault(f"ec2:{of[1]}/{of[2][0].lower()}{of[2][1:]}", []).append(value)
        elif of := re.fullmatch(r"User(Id|Group)\.\d+", key):
            verb = form.get("OperationType", "").capitalize()
            found.setdefault(f"ec2:{verb}/{'userId' if of[1] == 'Id' else 'group'}", []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def named(action: str, region: str, account: str, form: Mapping[str, str]) -> Iterator[str]:
    if action.startswith(("Describe", "Get", "Search")):
        return
    if action == "CopyImage":
        yield from (f"{base(region, account, kind)}{kind}/*" for kind in SHARED)
    if action in ("CreateImage", "RegisterImage"):
        yield f"{base(region, account, 'image')}image/*"
    if action == "CreateImage":
        yield f"{base(region, account, 'snapshot')}snapshot/*"
    if "KeyName" in form:
        yield f"{base(region, account, 'key-pair')}key-pair/{form['KeyName']}"
    if action == "RunInstances":
        yield from (f"{base(region, account, 'instance')}{path}" for path in STARTED)
        for key, kind in (("SubnetId", "subnet"), ("SecurityGroupId.1", "security-group")):
            if key not in form:
                yield f"{base(region, account, kind)}{kind}/*"
    for key, value in form.items():
        kind = KINDS.get(value.partition("-")[0], "")
        if kind and IDS.fullmatch(key):
            yield f"{base(region, account, kind)}{kind}/{value}"


def base(region: str, account: str, kind: str) -> str:
    return arn(region, "ec2", "" if kind in SHARED else account, "")


def tagged(region: str, account: str, target: str) -> Context:
    """The tags of what is there already, and who owns an image."""
    from moto.ec2.models import ec2_backends

    from .mends import machines

    name = target.rpartition("/")[2]
    if name.partition("-")[0] not in KINDS:
        return {}
    tags = ec2_backends[account][region].tags.get(name, {})
    found: Context = {f"{prefix}:ResourceTag/{key}": value for key, value in tags.items() for prefix in ("aws", "ec2")}
    if ami := machines.visible(account, region, name):
        found["ec2:Owner"] = ami.owner_alias or ami.owner_id
    return found


def launch_template(region: str, account: str, form: Mapping[str, str]) -> Any:
    """moto's version of the launch template that an instance is started by; None where there is none."""
    from moto.ec2.exceptions import EC2ClientError
    from moto.ec2.models import ec2_backends

    words = ("LaunchTemplateId", "LaunchTemplateName", "Version")
    asked = {word: form[f"LaunchTemplate.{word}"] for word in words if f"LaunchTemplate.{word}" in form}
    try:
        return ec2_backends[account][region]._get_template_from_args(asked) if asked else None
    except EC2ClientError:  # which is told those only who may ask
        return None


def written(said: Mapping[str, Any]) -> dict[str, str]:
    """What a launch template says that needs permissions, in the words of a request."""
    found = {key: said[key] for key in ("ImageId",) if key in said}
    found |= {f"IamInstanceProfile.{key}": value for key, value in (said.get("IamInstanceProfile") or {}).items()}
    found |= {f"SecurityGroupId.{n}": name for n, name in enumerate(said.get("SecurityGroupIds", ()), 1)}
    for network in said.get("NetworkInterfaces", ()):
        found |= {f"SecurityGroupId.{n}": name for n, name in enumerate(network.get("Groups", ()), 1)}
        found |= {"SubnetId": network["SubnetId"]} if "SubnetId" in network else {}
    for n, one in enumerate(said.get("TagSpecifications", ()), 101):  # the request's are there, too
        found[f"TagSpecification.{n}.ResourceType"] = one["ResourceType"]
        for m, tag in enumerate(one["Tags"], 1):
            found |= {
                f"TagSpecification.{n}.Tag.{m}.Key": tag["Key"],
                f"TagSpecification.{n}.Tag.{m}.Value": tag["Value"],
            }
    for n, one in enumerate(said.get("BlockDeviceMappings", ()), 101):
        if snapshot := (one.get("Ebs") or {}).get("SnapshotId"):
            found[f"BlockDeviceMapping.{n}.Ebs.SnapshotId"] = snapshot
    return found


def roles(region: str, account: str, form: Mapping[str, str]) -> Iterator[str]:
    """The roles that an instance gets."""
    from moto.iam.models import iam_backends

    name = form.get("IamInstanceProfile.Name") or form.get("IamInstanceProfile.Arn", "").rpartition("/")[2]
    for profile in iam_backends[account][partition(region)].instance_profiles.values():
        if name and profile.name == name:
            yield from (role.arn for role in profile.roles)


def profile(region: str, account: str, form: Mapping[str, str]) -> str:
    """The ARN of the instance profile that a request names."""
    from moto.iam.models import iam_backends

    name, within = form.get("InstanceProfileName", ""), partition(region)
    for one in iam_backends[account][within].instance_profiles.values():
        if one.name == name:
            return str(one.arn)
    return f"arn:{within}:iam::{account}:instance-profile/{name}"


def of_managed(action: str, region: str, account: str, environ: Mapping[str, Any]) -> Needed:
    """What the actions of MANAGED need."""
    try:
        said = json.loads(environ["wsgi.input"].getvalue() or b"{}")
    except ValueError:
        said = {}
    yield from MANAGED[action](region, account, said)


def start_session(region: str, account: str, said: Mapping[str, Any]) -> Needed:
    """The document that is named, and the instance. A policy may want the former to be looked at, as it always is here.

    Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-specify-session-document.html"""
    checked: Context = {"ssm:SessionDocumentAccessCheck": "true"}
    target = arn(region, "ec2", account, f"instance/{said.get('Target', '*')}")
    tags = tagged(region, account, target)
    ours = {key.replace("ec2:ResourceTag", "ssm:resourceTag"): value for key, value in tags.items()}
    yield "ssm:StartSession", target, {**ours, **checked}
    if document := str(said.get("DocumentName", "")).rpartition("/")[2]:
        owner = "" if document.startswith("AWS-") else account
        yield "ssm:StartSession", arn(region, "ssm", owner, f"document/{document}"), checked


def terminate_session(region: str, account: str, said: Mapping[str, Any]) -> Needed:
    yield "ssm:TerminateSession", arn(region, "ssm", account, f"session/{said.get('SessionId', '*')}"), {}


def send_command(region: str, account: str, said: Mapping[str, Any]) -> Needed:
    """The document, and each instance that is named; all of them where tags name some."""
    document = str(said.get("DocumentName", "*")).rpartition("/")[2]
    owner = "" if document.startswith("AWS-") else account
    yield "ssm:SendCommand", arn(region, "ssm", owner, f"document/{document}"), {}
    for instance in said.get("InstanceIds") or ["*"]:
        target = arn(region, "ec2", account, f"instance/{instance}")
        tags = {key.replace("ec2:", "ssm:"): value for key, value in tagged(region, account, target).items()}
        yield "ssm:SendCommand", target, tags


MANAGED = {
    "ssm:SendCommand": send_command,
    "ssm:StartSession": start_session,
    "ssm:TerminateSession": terminate_session,
}
