"""The versions of a machine image that are published: AMIs of the account, each with its parameter.

Its mark is a tag of its parameter; EC2 itself deprecates the AMI, which then is in nobody's lists but its owner's.
Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Image.html, and there API_DeregisterImage.html and
API_EnableImageDeprecation.html
"""

import datetime
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import aws
import images_in_use
import labels
import runner
import versions
from image import AMI, LATEST
from labels import COMPONENT, PARENT, RELEASED, VERSION
from versions import Place, Version, when

LOOKED_AT = "launched"
BUILDER = "Ec2ImageBuilderArn"  # Image Builder's own tag of an AMI
AT_ONCE = 100  # ids of one call
SOON = 86400  # seconds until EC2 deprecates an AMI: it takes moments to come only
GONE = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable")  # answers of EC2 about an AMI that is not there
DELETED = ("success", "skipped")  # what became of a snapshot; skipped if another AMI has it, too


def uses(place: Place, _: images_in_use.Fixed) -> list[images_in_use.Use]:
    return images_in_use.machine_images_in_use(place.region)


def used(place: Place, use: images_in_use.Use) -> set[str]:
    """The AMI that something uses; the component's own parameters are no use."""
    own = f":{place.account}:parameter{place.parameters}/"
    return set() if use.kind == "parameter" and own in use.by else {use.image}


def look(place: Place) -> tuple[list[Version], set[str]]:
    """Every version that has a parameter, the newest first; and the AMI that `latest` names: one or none."""
    named = versions.parameters(place)
    latest = {*AMI.findall(named.pop(LATEST, {}).get("Value", ""))}
    there = amis(place, (one["Value"] for one in named.values()))
    tags = versions.tags(place, named)
    found = [version(place, name, named[name], tags[name], there.get(named[name]["Value"], {})) for name in named]
    return versions.newest_first(found), latest


def amis(place: Place, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Those that the account sees of these, by their ids."""
    wanted = sorted({one for one in ids if AMI.fullmatch(one)})
    found: dict[str, dict[str, Any]] = {}
    for at in range(0, len(wanted), AT_ONCE):
        about = {"Filters": [{"Name": "image-id", "Values": wanted[at : at + AT_ONCE]}]}
        every = aws.call(place.region, "ec2", "describe-images", **about, IncludeDeprecated=True, IncludeDisabled=True)
        found |= {one["ImageId"]: one for one in every["Images"]}
    return found


def version(
    place: Place, name: str, parameter: Mapping[str, Any], tags: Mapping[str, str], ami: Mapping[str, Any]
) -> Version:
    """One of them, of its parameter, that one's tags, and its AMI; nothing where that is gone."""
    value, own = parameter["Value"], labels.of(ami)
    release, _, commit = tags.get(RELEASED, "").partition("/")
    strange, image = "", value
    if not AMI.fullmatch(value):
        strange, image = f"its parameter is {value}, no AMI", ""
    elif ami and ami["OwnerId"] != place.account:
        strange, image = f"its parameter names {value}, of {ami['OwnerId']}", ""
    elif ami and (own.get(COMPONENT), own.get(VERSION)) != (place.component, name):
        strange, image = f"its parameter names {value}, which is not tagged as this version", ""
    elif not release or not commit:
        strange = "which release brought it, its parameter does not say"
    return Version(
        name=name,
        handle=parameter["Name"],
        image=image,
        names=frozenset([image] if image else []),
        alone=(),
        at=max(when(parameter["LastModifiedDate"]), when(ami.get("CreationDate"))),
        last=when(ami.get("LastLaunchedTime")),
        release=(release, commit),
        tags=tags,
        strange=strange,
        held=held(ami),
    )


def held(ami: Mapping[str, Any]) -> str:
    """Why EC2 lets nobody deregister it; empty where it does."""
    protected = ami.get("DeregistrationProtection", "disabled")
    return "" if protected == "disabled" else f"{ami['ImageId']} is protected against deregistration ({protected})"


# ---- What changes something


def deprecate(place: Place, one: Version, since: datetime.date) -> None:
    """EC2 first: the mark says that it is done."""
    expire(place, one.image)
    versions.mark(place, one, since)


def restore(place: Place, one: Version) -> None:
    revive(place, one.image)
    versions.unmark(place, one)


def delete(place: Place, one: Version) -> None:
    """The parameter goes last: as long as something is left, the next run finds it by that and goes on.

    Where the image was built in the same account and region its AMI is the built one: that goes as such do."""
    for ami in amis(place, [one.image]).values():
        tags = labels.of(ami)
        if PARENT in tags or f":image/dpra-{place.component}/" in tags.get(BUILDER, ""):
            runner.say(f"{one.image} was built here, and stays until it is retired as what was built")
        else:
            deregister(place, one.image)
    versions.drop(place, one)


def expire(place: Place, ami: str) -> None:
    """Have EC2 deprecate an AMI, unless it is gone."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + SOON))
    unless_gone(place, "enable-image-deprecation", ImageId=ami, DeprecateAt=moment)


def revive(place: Place, ami: str) -> None:
    unless_gone(place, "disable-image-deprecation", ImageId=ami)


def deregister(place: Place, ami: str) -> None:
    """Delete an AMI with its snapshots, unless it is gone.

    Raises:
        runner.Failed: it is protected, or a snapshot is left."""
    for one in left(unless_gone(place, "deregister-image", ImageId=ami, DeleteAssociatedSnapshots=True)):
        raise runner.Failed(f"{ami} is deregistered, and its snapshot is left: {one}", "error")


def left(answer: Mapping[str, Any]) -> Iterator[str]:
    for one in answer.get("DeleteSnapshotResults", []):
        if one.get("ReturnCode") not in DELETED:
            yield f"{one.get('SnapshotId')}, {one.get('ReturnCode')}"


def unless_gone(place: Place, operation: str, **asked: Any) -> dict[str, Any]:
    try:
        return aws.call(place.region, "ec2", operation, **asked)
    except aws.Refused as refused:
        if refused.code in GONE:
            return {}
        raise
