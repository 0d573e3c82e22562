# deploys: images
# pipelines: compute-image
# kind: machine
# changes: ssm:PutParameter
# execution-role: imagebuilder
"""Amazon EC2: production's own copy of the AMI that was tested, in each region, and the parameters that name it.

The AMI was built in another account, mostly, and is lent to this one. EC2 Image Builder copies it, from its own region;
from then on this region needs nothing of there: to go back to a version its copy is enough.
Source: https://docs.aws.amazon.com/imagebuilder/latest/APIReference/API_DistributeImage.html
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws
import deployment
import image
import labels
import published
import runner
from deployment import Change, Done, Target, polls
from image import AMI, LATEST
from labels import COMPONENT, VERSION
from published import named as named

REGION = "dpra:region"  # the tag of a copy's making
UNDER_WAY = ("PENDING", "CREATING", "BUILDING", "TESTING", "DISTRIBUTING", "INTEGRATING")  # states of its making
TOKEN = 36  # characters that every version of the API takes
COPIES = 4  # of a copy of a copy, at most


@dataclass(frozen=True)
class Source:
    """The AMI that was built and tested."""

    id: str
    region: str
    account: str


def deploy(target: Target, change: Change) -> Done:
    """Have the region's own copy of the release's AMI, and move the parameter `latest` to it.

    The region is about to be changed from before the copy on: whoever looks for AMIs by their name or tags, and not by
    the parameters, finds the copy as soon as Image Builder has made it."""
    version, source = image.read(change.release)["version"], source_of(change.release)
    before, latest = published.parameter(target, LATEST), published.name_of(target, LATEST)
    was, there = version_of(target, before), found(target, source, version)
    what = there or f"a copy of {source.id} of {source.account} in {source.region}"
    deployment.show(latest, ("what", "now", "then"), [(LATEST, before or "-", what), ("version", was or "-", version)])
    started = deployment.timestamp()
    change.before()
    ami = settle(target, source, version, there or copy(target, change, source, version))
    share(target, ami)
    published.remember(target, change, version, ami, published.AMI)
    published.move(target, change, version, ami, (before, was), published.AMI)
    runner.say(f"{latest} names {version}, {ami}")
    published.offer(target, change, version)
    outputs = {"ImageId": ami, "ImageVersion": version, "Parameter": latest}
    return Done(f"{target.region} {published.name_of(target, version)}", started, outputs)


def settled(target: Target) -> None:
    """Nothing goes on here by itself: a copy that a lost runner began moves no parameter."""


def running(target: Target) -> str:
    """The digest of the release whose AMI `latest` names; empty where that is of no release."""
    return published.running(target, version_of)


def version_of(target: Target, ami: str) -> str:
    """The version of an AMI of this component; empty where it is none, or no version's parameter names it."""
    own = described(target.region, ami, Owners=["self"]) if AMI.fullmatch(ami) else []
    version = next((labels.of(one).get(VERSION, "") for one in own if is_ours(target, one)), "")
    known = image.VERSION.fullmatch(version) and published.parameter(target, version) == ami
    return version if known else ""


def source_of(directory: Path) -> Source:
    """The AMI that image.json of a release names."""
    said = image.read(directory)
    if "ami" not in said:
        raise runner.Failed("the release's image.json names no AMI")
    return Source(**said["ami"])


# ---- AMIs


def found(target: Target, source: Source, version: str) -> str:
    """The AMI that this version has in the region already; empty where there is none.

    Raises:
        runner.Failed: the version's parameter names one that is not there any more, or is of something else."""
    if (source.account, source.region) == (target.account, target.region):
        there = described(source.region, source.id, Owners=["self"])
    else:
        filters = [{"Name": f"tag:{COMPONENT}", "Values": [target.component]}]
        filters += [{"Name": f"tag:{VERSION}", "Values": [version]}]
        there = aws.call(target.region, "ec2", "describe-images", Owners=["self"], Filters=filters)["Images"]
    usable = [one for one in there if one["State"] in ("available", "pending") and comes_from(target, one, source)]
    ids = [one["ImageId"] for one in sorted(usable, key=lambda one: (one["State"], one.get("CreationDate", "")))]
    if (named_by := published.parameter(target, version)) and named_by not in ids:
        name = published.name_of(target, version)
        raise runner.Failed(f"{name} names {named_by}, and that is no AMI of this release here: choose another version")
    return named_by or next(iter(ids), "")


def described(region: str, ami: str, **more: Any) -> list[dict[str, Any]]:
    """One AMI that the account sees, or none."""
    filters = [{"Name": "image-id", "Values": [ami]}]
    return list(aws.call(region, "ec2", "describe-images", Filters=filters, **more)["Images"])


def is_ours(target: Target, ami: Mapping[str, Any]) -> bool:
    return labels.of(ami).get(COMPONENT) == target.component


def comes_from(target: Target, ami: Mapping[str, Any], source: Source) -> bool:
    """Whether it is the AMI that was tested, its copy, or a copy of one that is still there."""
    region = target.region
    for _ in range(COPIES):
        origin = ami.get("SourceImageId", "")
        if source.id in (ami["ImageId"], origin):
            return True
        region = ami.get("SourceImageRegion") or region
        there = described(region, origin) if origin else []
        if not there:
            return False
        ami = there[0]
    return False


def settle(target: Target, source: Source, version: str, ami: str) -> str:
    """Wait until the AMI is available; its id.

    Raises:
        runner.Failed: it does not become that, or it is not the account's own AMI of this version."""
    for _ in polls():
        there = described(target.region, ami, Owners=["self"])
        if not there or there[0]["State"] != "pending":
            break
    if not there or there[0]["State"] != "available":
        why = there[0].get("StateReason", {}).get("Message", there[0]["State"]) if there else "it is not there"
        raise runner.Failed(f"{ami} in {target.region} did not become available: {why}")
    [own] = there
    tags = {name: labels.of(own).get(name, "") for name in (COMPONENT, VERSION)}
    pairs = {
        "owner": (own["OwnerId"], target.account),
        COMPONENT: (tags[COMPONENT], target.component),
        VERSION: (tags[VERSION], version),
    }
    for what, (told, true) in pairs.items():
        if told != true:
            raise runner.Failed(f"{ami} in {target.region} has the {what} '{told}', and it must be {true}")
    if not comes_from(target, own, source):
        raise runner.Failed(f"{ami} in {target.region} is no copy of {source.id}, which was tested")
    return ami


def share(target: Target, ami: str) -> None:
    """Let those use the AMI whom the settings name. Image Builder does it where it makes the copy, and only there."""
    wanted = permissions(target)
    if not wanted:
        return
    asked = {"ImageId": ami, "Attribute": "launchPermission"}
    there = aws.call(target.region, "ec2", "describe-image-attribute", **asked).get("LaunchPermissions", [])
    if missing := [one for one in wanted if one not in there]:
        aws.call(target.region, "ec2", "modify-image-attribute", ImageId=ami, LaunchPermission={"Add": missing})
        runner.say(f"{ami} may be used by {', '.join(value for one in missing for value in one.values())}")


def permissions(target: Target) -> list[dict[str, str]]:
    found = [{"UserId": account} for account in accounts(target)]
    return found + [{"OrganizationArn": one} for one in organizations(target)]


def accounts(target: Target) -> Sequence[str]:
    return [str(one) for one in target.settings.get("accounts") or () if str(one) != target.account]


def organizations(target: Target) -> Sequence[str]:
    return [str(one)] if (one := target.settings.get("organization")) else []


# ---- Image Builder


def copy(target: Target, change: Change, source: Source, version: str) -> str:
    """Have Image Builder copy the AMI to the region, unless it is at that already; the copy's id."""
    if not described(source.region, source.id):
        raise runner.Failed(
            f"{target.account} sees no {source.id} in {source.region}: {source.account} does not lend it any more, or "
            f"it is gone. Build this release anew, or choose a version that was in {target.region} before"
        )
    making = making_of(target, version) | {REGION: target.region}
    build = under_way(source.region, making) or begin(target, change, source, version, making)
    status = ""
    for _ in polls():
        made = aws.call(source.region, "imagebuilder", "get-image", imageBuildVersionArn=build)["image"]
        if made["state"]["status"] != status:
            status = made["state"]["status"]
            runner.say(f"Image Builder, {build}: {status}")
        if status not in UNDER_WAY:
            break
    if status != "AVAILABLE":
        why = made["state"].get("reason") or status
        raise runner.Failed(f"Image Builder did not copy {source.id} to {target.region}: {why}")
    for ami in made.get("outputResources", {}).get("amis", []):
        if (ami.get("accountId"), ami.get("region")) == (target.account, target.region):
            return str(ami["image"])
    raise runner.Failed(f"Image Builder, {build}, names no AMI of {target.account} in {target.region}")


def making_of(target: Target, version: str) -> dict[str, str]:
    return {COMPONENT: target.component, VERSION: version}


def under_way(region: str, making: Mapping[str, str]) -> str:
    """The ARN of what a lost runner had Image Builder begin; empty where there is nothing."""
    listed = aws.call(region, "imagebuilder", "list-image-build-versions")["imageSummaryList"]
    for one in listed:
        if one["state"]["status"] in UNDER_WAY and making.items() <= one.get("tags", {}).items():
            runner.say(f"{one['arn']} is under way already")
            return str(one["arn"])
    return ""


def begin(target: Target, change: Change, source: Source, version: str, making: Mapping[str, str]) -> str:
    """Ask Image Builder for the copy; the ARN of its image."""
    if not target.execution_role.startswith("arn:"):
        raise runner.Failed("the input 'execution-role' must be an ARN: Image Builder copies the AMI with it", "error")
    # By the token a request that the CLI repeats makes one copy.
    run = f"{os.environ['GITHUB_RUN_ID']}-{os.environ['GITHUB_RUN_ATTEMPT']}"
    token = hashlib.sha256(f"{run} {target.region} {change.digest}".encode()).hexdigest()[:TOKEN]
    asked = {
        "sourceImage": source.id,
        "distributionConfigurationArn": configure(target, source.region, version, token),
        "executionRole": target.execution_role,
        "tags": dict(making),
        "clientToken": token,
    }
    return str(aws.call(source.region, "imagebuilder", "distribute-image", **asked)["imageBuildVersionArn"])


def configure(target: Target, region: str, version: str, token: str) -> str:
    """Say where the copy goes, what it is called, and who may use it; the ARN of that configuration."""
    sharing = {"userIds": accounts(target), "organizationArns": organizations(target)}
    named_only = {key: [*value] for key, value in sharing.items() if value}
    said: dict[str, Any] = {
        "name": f"{target.component} {version} {{{{ imagebuilder:buildDate }}}}",
        "amiTags": making_of(target, version),
        **({"launchPermission": named_only} if named_only else {}),
    }
    asked = {"distributions": [{"region": target.region, "amiDistributionConfiguration": said}], "clientToken": token}
    name = f"dpra-{target.component}-{target.region}"
    try:
        made = aws.call(region, "imagebuilder", "create-distribution-configuration", name=name, **asked)
    except aws.Refused as refused:
        if refused.code != "ResourceAlreadyExistsException":
            raise
        partition = target.execution_role.split(":")[1]
        arn = f"arn:{partition}:imagebuilder:{region}:{target.account}:distribution-configuration/{name}"
        about = {"distributionConfigurationArn": arn, **asked}
        made = aws.call(region, "imagebuilder", "update-distribution-configuration", **about)
    return str(made["distributionConfigurationArn"])
