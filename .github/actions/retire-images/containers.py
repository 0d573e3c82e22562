"""The versions of a container image in ECR: which there are, what else there is of each, and how one goes.

Its mark is a tag of its parameter, for ECR tags repositories only.
Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html, and there
API_BatchDeleteImage.html
"""

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import aws
import images_in_use
import runner
import versions
from image import LATEST
from labels import RELEASED
from versions import Place, Version, when

LOOKED_AT = "pulled"
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
DIGEST = r"sha256:[0-9a-f]{64}"
GONE = ("ImageNotFound",)  # answers of ECR to a deletion that are none of a failure
SHARED = (*GONE, "ImageReferencedByManifestList")  # and of a platform's image


def uses(place: Place, fixed: images_in_use.Fixed) -> list[images_in_use.Use]:
    return images_in_use.container_images_in_use(place.region, fixed)


def look(place: Place) -> tuple[list[Version], set[str]]:
    """Every version that has a parameter, the newest first; and the digests that `latest` names: one or none."""
    named = versions.parameters(place)
    within = {"registryId": place.account, "repositoryName": place.repository}
    details = aws.call(place.region, "ecr", "describe-images", **within)["imageDetails"]
    images = {one["imageDigest"]: one for one in details}
    platforms = indexed(place, [one["imageDigest"] for one in details if one.get("imageManifestMediaType") in INDEXES])
    latest = {*re.findall(DIGEST, named.pop(LATEST, {}).get("Value", ""))}
    tags = versions.tags(place, named)
    found = [version(place, name, named, tags[name], images, platforms) for name in named]
    return versions.newest_first(found), latest


def version(
    place: Place,
    name: str,
    named: Mapping[str, dict[str, Any]],
    tags: Mapping[str, str],
    images: Mapping[str, dict[str, Any]],
    platforms: Mapping[str, Sequence[str]],
) -> Version:
    """One of them, of all parameters, all images by digest, and what each index names."""
    parameter = named[name]
    registry = aws.registry(place.region, place.account)
    said = re.fullmatch(f"{re.escape(f'{registry}/{place.repository}')}@({DIGEST})", parameter["Value"])
    digest = said[1] if said else ""
    image, parts = images.get(digest, {}), platforms.get(digest, ())
    others = {one for index, many in platforms.items() if index != digest for one in many}
    others |= {one for one in parts if images.get(one, {}).get("imageTags")}
    # ECR counts a pull where it happens: of an index, whoever runs it pulls a platform. The index is read here, too.
    pulls = [images.get(one, {}).get("lastRecordedPullTime") for one in parts or (digest,)]
    release, _, commit = tags.get(RELEASED, "").partition("/")
    strange = ""
    if not digest:
        strange = f"its parameter is {parameter['Value']}, no image of {place.repository} by digest"
    elif not release or not commit:
        strange = "which release brought it, its parameter does not say"
    elif foreign := [tag for tag in image.get("imageTags", ()) if tag not in named]:
        strange = f"somebody gave it the tag {foreign[0]}"
    return Version(
        name=name,
        handle=parameter["Name"],
        image=digest,
        names=frozenset(filter(None, (name, digest, *parts, *image.get("imageTags", ())))),
        alone=[one for one in parts if one not in others],
        at=max(when(parameter["LastModifiedDate"]), when(image.get("imagePushedAt"))),
        last=max(map(when, pulls)),
        release=(release, commit),
        tags=tags,
        strange=strange,
    )


def indexed(place: Place, digests: Sequence[str]) -> dict[str, list[str]]:
    """The digests that each index names."""
    found: dict[str, list[str]] = {}
    for at in range(0, len(digests), 100):
        answer = aws.call(
            *(place.region, "ecr", "batch-get-image"),
            registryId=place.account,
            repositoryName=place.repository,
            imageIds=[{"imageDigest": digest} for digest in digests[at : at + 100]],
            acceptedMediaTypes=[*INDEXES],
        )
        refuse(place, answer, GONE)
        for image in answer["images"]:
            parts = json.loads(image["imageManifest"])["manifests"]
            found[image["imageId"]["imageDigest"]] = [part["digest"] for part in parts]
    return found


def used(place: Place, use: images_in_use.Use) -> set[str]:
    """The digest and the tag by which something uses an image of this repository, in whatever region; else nothing.

    The same version has the same digest and tag in each region, and registries have more than one domain."""
    address, _, digest = use.image.partition("@")
    registry, _, path = images_in_use.repository(use.image).partition("/")
    if path != place.repository or registry.partition(".")[0] != place.account:
        return set()
    tag = address.removeprefix(f"{registry}/{path}").removeprefix(":")
    return {one for one in (digest, tag) if one} or {"latest"}


# ---- What changes something


def deprecate(place: Place, one: Version, since: datetime.date) -> None:
    versions.mark(place, one, since)


def restore(place: Place, one: Version) -> None:
    versions.unmark(place, one)


def delete(place: Place, one: Version) -> None:
    """The parameter goes last: as long as something is left, the next run finds it by that and goes on."""
    erase(place, [one.image], GONE)  # the index first, for ECR keeps what one names
    if one.alone:
        erase(place, one.alone, SHARED)
    versions.drop(place, one)


def erase(place: Place, digests: Sequence[str], but: Sequence[str]) -> None:
    about = {"registryId": place.account, "repositoryName": place.repository}
    ids = [{"imageDigest": digest} for digest in digests]
    refuse(place, aws.call(place.region, "ecr", "batch-delete-image", **about, imageIds=ids), but)


def refuse(place: Place, answer: Mapping[str, Any], but: Sequence[str]) -> None:
    """Fail with the first image for which ECR says that it did not do what was asked."""
    for one in answer.get("failures", ()):
        if one.get("failureCode") not in but:
            image = one.get("imageId", {}).get("imageDigest", "")
            said = f"{one.get('failureCode')}, {one.get('failureReason', '')}"
            raise runner.Failed(f"Amazon ECR, {place.repository}@{image}: {said}", "error")
