# deploys: images
# pipelines: compute-image
# kind: container
# changes: ssm:PutParameter
"""Amazon ECR: a container image by digest in the region's repository, and the parameters by which consumers find it.

`/images/NAME/VERSION` names each version for ever; `/images/NAME/latest` is moved, last, and is what says what runs.
"""

from typing import Any

import aws
import deployment
import image
import images
import release
import runner
import service_catalog
from deployment import Change, Done, Target

OURS = "dpra:released"  # the tag of a version's parameter: digest/commit of its release


def deploy(target: Target, change: Change) -> Done:
    """Push the release's image, unless it is there, and move the parameter `latest` to it."""
    said = image.read(change.release)
    version, repository, before = said["version"], repository_of(target), parameter(target, "latest")
    registry = aws.registry(target.region, target.account)
    uri, was = f"{registry}/{repository}@{said['digest']}", version_of(target, before)
    rows = [("latest", before or "-", uri), ("version", was or "-", version)]
    deployment.show(name_of(target, "latest"), ("what", "now", "then"), rows)
    started = deployment.timestamp()
    change.before()
    pushed = images.push(change.release / release.PACKAGE, target.region, target.account, repository, version)
    if pushed != uri:
        raise runner.Failed(
            f"{repository}:{version} is {pushed.partition('@')[2]}, and the release's is {said['digest']}"
        )
    remember(target, change, version, uri)
    if (now := parameter(target, "latest")) not in (before, uri):
        raise runner.Failed(f"somebody moved {name_of(target, 'latest')} meanwhile, to {now}: run this again")
    if change.back:  # first: whoever comes after a lost runner sees by latest that there is something
        take_back(target, version, was)
    if now != uri:
        put(target, "latest", uri, Overwrite=True)
    if len(versions_of(target, uri)) > 1:  # the same image, built twice of one commit
        about = {"ResourceType": "Parameter", "ResourceId": name_of(target, "latest")}
        aws.call(target.region, "ssm", "add-tags-to-resource", **about, Tags=[ours(change)])
    runner.say(f"{name_of(target, 'latest')} names {version}, {said['digest']}")
    offer(target, change, version)
    outputs = {"ImageUri": uri, "ImageVersion": version, "Parameter": name_of(target, "latest")}
    return Done(f"{target.region} {name_of(target, version)}", started, outputs)


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


def settled(target: Target) -> None:
    """Nothing goes on here by itself."""


def running(target: Target) -> str:
    """The digest of the release whose image `latest` names; empty where that is of no release."""
    version = version_of(target, parameter(target, "latest"))
    return released(target, version) if version else ""


def named(target: Target, version: str) -> str:
    """The digest of the release that brought a version; empty where none did, or the word is no version."""
    there = image.VERSION.fullmatch(version) and parameter(target, version)
    return released(target, version) if there else ""


def released(target: Target, version: str) -> str:
    """The digest of the release of a version; empty where it is of none."""
    return tags(target, version).get(OURS, "").partition("/")[0]


def version_of(target: Target, uri: str) -> str:
    """The version of what `latest` names; empty where it is none of this repository's.

    Of an image with several it is that of the release that moved `latest`."""
    found = versions_of(target, uri)
    if len(found) > 1:
        moved = tags(target, "latest").get(OURS, "")
        return next((one for one in found if moved and tags(target, one).get(OURS) == moved), found[0])
    return found[0] if found else ""


def versions_of(target: Target, uri: str) -> list[str]:
    """The versions of an image, which are its tags; none where it is no image of this repository."""
    place, _, digest = uri.partition("@")
    if not digest or not place.endswith(f"/{repository_of(target)}"):
        return []
    asked = {
        "registryId": target.account,
        "repositoryName": repository_of(target),
        "imageIds": [{"imageDigest": digest}],
    }
    try:
        found = aws.call(target.region, "ecr", "describe-images", **asked)["imageDetails"]
    except aws.Refused as refused:
        if refused.code == "ImageNotFoundException":
            return []
        raise
    return sorted(str(tag) for one in found for tag in one.get("imageTags", ()))


def remember(target: Target, change: Change, version: str, uri: str) -> None:
    """Write the version's parameter, once: what is there says the same, or it stays and this fails."""
    if there := parameter(target, version):
        if there != uri:
            raise runner.Failed(f"{name_of(target, version)} names {there} already, and a version is written once")
    else:
        put(target, version, uri, Tags=[ours(change)])


def ours(change: Change) -> dict[str, str]:
    return {"Key": OURS, "Value": f"{change.digest}/{change.commit}"}


# ---- Parameters


def repository_of(target: Target) -> str:
    return f"images/{target.component}"


def name_of(target: Target, word: str) -> str:
    return f"/images/{target.component}/{word}"


def parameter(target: Target, word: str) -> str:
    """The value of a parameter; empty where there is none."""
    try:
        answer = aws.call(target.region, "ssm", "get-parameter", Name=name_of(target, word))
    except aws.Refused as refused:
        if refused.code == "ParameterNotFound":
            return ""
        raise
    return str(answer["Parameter"]["Value"])


def put(target: Target, word: str, value: str, **more: Any) -> None:
    aws.call(target.region, "ssm", "put-parameter", Name=name_of(target, word), Value=value, Type="String", **more)


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
