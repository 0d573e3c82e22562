"""How consumers find an image: the parameters that a deploy tool of images puts, and Service Catalog's versions.

`/images/NAME/VERSION` names each version for ever, tagged with the release that brought it; `/images/NAME/latest` is
moved, last, and is what says what runs. The data type of the parameters is a fact of the tool.
"""

from collections.abc import Callable
from typing import Any

import aws
import image
import release
import runner
import service_catalog
from deployment import Change, Target, polls
from image import LATEST
from labels import RELEASED

NOTES = 1024  # characters of a parameter's description
TEXT, AMI = "text", "aws:ec2:image"  # data types
LOOKS = 12  # at a parameter that was put: 80 seconds or more


def repository_of(target: Target) -> str:
    return f"images/{target.component}"


def name_of(target: Target, word: str) -> str:
    return f"/images/{target.component}/{word}"


# ---- Releases and their versions


def running(target: Target, version_of: Callable[[Target, str], str]) -> str:
    """The digest of the release whose image `latest` names; empty where that is of no release.

    Args:
        version_of: the version of what a parameter names; empty where it is none of the component's."""
    version = version_of(target, parameter(target, LATEST))
    return released(target, version) if version else ""


def named(target: Target, version: str) -> str:
    """The digest of the release that brought a version; empty where none did, or the word is no version."""
    there = image.VERSION.fullmatch(version) and parameter(target, version)
    return released(target, version) if there else ""


def released(target: Target, version: str) -> str:
    """The digest of the release of a version; empty where it is of none."""
    return tags(target, version).get(RELEASED, "").partition("/")[0]


def ours(change: Change) -> dict[str, str]:
    return {"Key": RELEASED, "Value": f"{change.digest}/{change.commit}"}


def remember(target: Target, change: Change, version: str, value: str, kind: str = TEXT) -> None:
    """Write the version's parameter, once: what is there says the same, or it stays and this fails.

    Args:
        kind: its data type."""
    if there := parameter(target, version):
        if there != value:
            raise runner.Failed(f"{name_of(target, version)} names {there} already, and a version is written once")
    else:
        notes = {"Description": change.notes[:NOTES]} if change.notes else {}  # the images' changelog
        put(target, version, value, kind, Tags=[ours(change)], **notes)
    if kind != TEXT and RELEASED not in tags(target, version):  # such a parameter is made after its request is answered
        tag(target, change, version)


def move(target: Target, change: Change, version: str, value: str, before: tuple[str, str], kind: str = TEXT) -> None:
    """Move `latest` to a version, unless somebody else moved it meanwhile.

    Args:
        before: what it named when the deployment began, and which version that was."""
    was, was_version = before
    if (now := parameter(target, LATEST)) not in (was, value):
        raise runner.Failed(f"somebody moved {name_of(target, LATEST)} meanwhile, to {now}: run this again")
    if change.back:  # first: whoever comes after a lost runner sees by latest that there is something
        take_back(target, version, was_version)
    if now != value:
        put(target, LATEST, value, kind, Overwrite=True)


# ---- Service Catalog


def product_of(target: Target) -> str:
    """The product that Service Catalog has of the image in this region; empty where it has none."""
    return str((target.settings.get("products") or {}).get(target.region) or "")


def offer(target: Target, change: Change, version: str) -> None:
    """Where Service Catalog has a product of the image, offer the version."""
    if not (product := product_of(target)):
        return
    template = service_catalog.filled((change.release / release.TEMPLATE).read_bytes(), target.component, version)
    where = {"bucket": target.bucket, "folder": f"{target.component}/{change.digest}", "account": target.account}
    service_catalog.publish(target.region, product, version, template, **where)


def take_back(target: Target, version: str, before: str) -> None:
    """Where Service Catalog has a product of the image, offer none that went back."""
    if (product := product_of(target)) and before not in ("", version):
        service_catalog.withdraw(target.region, product, before)


# ---- Parameters


def parameter(target: Target, word: str) -> str:
    """The value of a parameter; empty where there is none."""
    try:
        answer = aws.call(target.region, "ssm", "get-parameter", Name=name_of(target, word))
    except aws.Refused as refused:
        if refused.code == "ParameterNotFound":
            return ""
        raise
    return str(answer["Parameter"]["Value"])


def put(target: Target, word: str, value: str, kind: str = TEXT, **more: Any) -> None:
    """Put a parameter; it is there in the end.

    Raises:
        runner.Failed: it is for an AMI, and Systems Manager took it and did not keep it: it answers before it looks
            whether the caller sees that AMI."""
    about = {"Name": name_of(target, word), "Value": value, "Type": "String", "DataType": kind}
    aws.call(target.region, "ssm", "put-parameter", **about, **more)
    if kind == TEXT:
        return
    for _, _ in zip(range(LOOKS), polls(), strict=False):
        if parameter(target, word) == value:
            return
    raise runner.Failed(
        f"Systems Manager did not keep {value} in {name_of(target, word)} ({target.region}): the AMI must be available "
        f"in {target.account}, the role needs ec2:DescribeImages, and a parameter of another data type must be deleted"
    )


def tag(target: Target, change: Change, word: str) -> None:
    about = {"ResourceType": "Parameter", "ResourceId": name_of(target, word)}
    aws.call(target.region, "ssm", "add-tags-to-resource", **about, Tags=[ours(change)])


def tags(target: Target, word: str) -> dict[str, str]:
    """The tags of a parameter; none where there is no such parameter, as its deployment did not get that far."""
    asked = {"ResourceType": "Parameter", "ResourceId": name_of(target, word)}
    try:
        found = aws.call(target.region, "ssm", "list-tags-for-resource", **asked).get("TagList", [])
    except aws.Refused as refused:
        if refused.code == "InvalidResourceId":
            return {}
        raise
    return {str(one["Key"]): str(one["Value"]) for one in found}
