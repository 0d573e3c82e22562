# deploys: images
# pipelines: compute-image
# kind: container
# changes: ssm:PutParameter
"""Amazon ECR: a container image by digest in the region's repository, and the parameters by which consumers find it."""

import aws
import deployment
import image
import images
import published
import release
import runner
from deployment import Change, Done, Target
from image import LATEST
from labels import RELEASED
from published import named as named


def deploy(target: Target, change: Change) -> Done:
    """Push the release's image, unless it is there, and move the parameter `latest` to it."""
    said = image.read(change.release)
    version, repository = said["version"], published.repository_of(target)
    before, latest = published.parameter(target, LATEST), published.name_of(target, LATEST)
    registry = aws.registry(target.region, target.account)
    uri, was = f"{registry}/{repository}@{said['digest']}", version_of(target, before)
    deployment.show(latest, ("what", "now", "then"), [("latest", before or "-", uri), ("version", was or "-", version)])
    started = deployment.timestamp()
    change.before()
    pushed = images.push(change.release / release.PACKAGE, target.region, target.account, repository, version)
    if pushed != uri:
        raise runner.Failed(
            f"{repository}:{version} is {pushed.partition('@')[2]}, and the release's is {said['digest']}"
        )
    published.remember(target, change, version, uri)
    published.move(target, change, version, uri, (before, was))
    if len(versions_of(target, uri)) > 1:  # the same image, built twice of one commit
        published.tag(target, change, LATEST)
    runner.say(f"{latest} names {version}, {said['digest']}")
    published.offer(target, change, version)
    outputs = {"ImageUri": uri, "ImageVersion": version, "Parameter": latest}
    return Done(f"{target.region} {published.name_of(target, version)}", started, outputs)


def settled(target: Target) -> None:
    """Nothing goes on here by itself."""


def running(target: Target) -> str:
    """The digest of the release whose image `latest` names; empty where that is of no release."""
    return published.running(target, version_of)


def version_of(target: Target, uri: str) -> str:
    """The version of what `latest` names; empty where it is none of this repository's.

    Of an image with several it is that of the release that moved `latest`."""
    found = versions_of(target, uri)
    if len(found) > 1:
        moved = published.tags(target, LATEST).get(RELEASED, "")
        return next((one for one in found if moved and published.tags(target, one).get(RELEASED) == moved), found[0])
    return found[0] if found else ""


def versions_of(target: Target, uri: str) -> list[str]:
    """The versions of an image, which are its tags; none where it is no image of this repository."""
    place, _, digest = uri.partition("@")
    repository = published.repository_of(target)
    if not digest or not place.endswith(f"/{repository}"):
        return []
    asked = {"registryId": target.account, "repositoryName": repository, "imageIds": [{"imageDigest": digest}]}
    try:
        found = aws.call(target.region, "ecr", "describe-images", **asked)["imageDetails"]
    except aws.Refused as refused:
        if refused.code == "ImageNotFoundException":
            return []
        raise
    return sorted(str(tag) for one in found for tag in one.get("imageTags", ()))
