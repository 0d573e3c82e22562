"""The versions of a container image in ECR: which there are, what else there is of each, and how one goes.

look(place)            every version
used(place, use)       the digest and the tag by which something uses an image of this repository
deprecate, restore     mark one, and take the mark back: a tag of its parameter, for ECR tags repositories only
delete(place, version) its image, what of its platforms nothing else needs, then its parameter

Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html, and there
API_BatchDeleteImage.html
"""

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import aws
import images_in_use
import runner

MARK = "dpra:deprecated"  # the tag of a version's parameter: since when, YYYY-MM-DD
RELEASED = "dpra:released"  # the tag that its deployment wrote: DIGEST/COMMIT of the release that brought it
LATEST = "latest"  # the parameter beside the versions, which names one of them
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
DIGEST = r"sha256:[0-9a-f]{64}"
GONE = ("ImageNotFound",)  # answers of ECR to a deletion that are none of a failure
SHARED = (*GONE, "ImageReferencedByManifestList")  # and of a platform's image


@dataclass(frozen=True)
class Place:
    account: str
    region: str
    repository: str
    parameters: str


@dataclass(frozen=True)
class Version:
    """One version in one region.

    name, parameter: the last part of the parameter's name, and all of it.
    digest: of its image or index, as its parameter says; empty where that says something else.
    names: the digests and tags by which something may use it: also those of its platforms.
    alone: the digests of its platforms that nothing else in the repository needs.
    at, pulled: when it was pushed, and last pulled, in seconds since 1970; 0.0 for never.
    release: digest and commit of the release that brought it.
    tags: of its parameter.
    strange: why it is not dpra's to delete; empty if it is.
    """

    name: str
    parameter: str
    digest: str
    names: frozenset[str]
    alone: Sequence[str]
    at: float
    pulled: float
    release: Sequence[str]
    tags: Mapping[str, str]
    strange: str

    @property
    def deprecated(self) -> datetime.date | None:
        """Since when it is deprecated; None where it is not, or somebody wrote something else."""
        try:
            return datetime.date.fromisoformat(self.tags.get(MARK, ""))
        except ValueError:
            return None


def look(place: Place) -> tuple[list[Version], set[str]]:
    """Every version that has a parameter, the newest first; and the digests that `latest` names: one or none."""
    below = {"Path": place.parameters, "Recursive": False}
    given = aws.call(place.region, "ssm", "get-parameters-by-path", **below)["Parameters"]
    named = {one["Name"].rpartition("/")[2]: one for one in given}
    within = {"registryId": place.account, "repositoryName": place.repository}
    details = aws.call(place.region, "ecr", "describe-images", **within)["imageDetails"]
    images = {one["imageDigest"]: one for one in details}
    platforms = indexed(place, [one["imageDigest"] for one in details if one.get("imageManifestMediaType") in INDEXES])
    latest = {*re.findall(DIGEST, named.pop(LATEST, {}).get("Value", ""))}
    with ThreadPoolExecutor(images_in_use.AT_ONCE) as pool:
        tags = dict(zip(named, pool.map(lambda one: tags_of(place, one["Name"]), named.values()), strict=True))
    versions = [version(place, name, named, tags[name], images, platforms) for name in named]
    return sorted(versions, key=lambda one: (one.at, one.name), reverse=True), latest


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
        parameter=parameter["Name"],
        digest=digest,
        names=frozenset(filter(None, (name, digest, *parts, *image.get("imageTags", ())))),
        alone=[one for one in parts if one not in others],
        at=max(when(parameter["LastModifiedDate"]), when(image.get("imagePushedAt"))),
        pulled=max(map(when, pulls)),
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


def tags_of(place: Place, parameter: str) -> dict[str, str]:
    asked = {"ResourceType": "Parameter", "ResourceId": parameter}
    answer = aws.call(place.region, "ssm", "list-tags-for-resource", **asked)
    return {tag["Key"]: tag["Value"] for tag in answer.get("TagList", [])}


def when(stamp: Any) -> float:
    """Seconds since 1970; the AWS CLI prints a stamp as text or as a number."""
    return datetime.datetime.fromisoformat(stamp).timestamp() if isinstance(stamp, str) else float(stamp or 0)


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
    tags = [{"Key": MARK, "Value": since.isoformat()}]
    aws.call(place.region, "ssm", "add-tags-to-resource", ResourceType="Parameter", ResourceId=one.parameter, Tags=tags)


def restore(place: Place, one: Version) -> None:
    about = {"ResourceType": "Parameter", "ResourceId": one.parameter, "TagKeys": [MARK]}
    aws.call(place.region, "ssm", "remove-tags-from-resource", **about)


def delete(place: Place, one: Version) -> None:
    """The parameter goes last: as long as something is left, the next run finds it by that and goes on."""
    erase(place, [one.digest], GONE)  # the index first, for ECR keeps what one names
    if one.alone:
        erase(place, one.alone, SHARED)
    try:
        aws.call(place.region, "ssm", "delete-parameter", Name=one.parameter)
    except aws.Refused as refused:
        if refused.code != "ParameterNotFound":
            raise


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
