"""What the kinds of images have in common: where versions are, what one is, and its parameter.

A kind is a module with these:

LOOKED_AT              what an image that is used has been lately, in a word
uses(place, fixed)     what uses images in the region
look(place)            every version, the newest first; and the images that `latest` names: one or none
used(place, use)       the names by which something uses an image that may be of this component; else nothing
deprecate, restore     mark one, and take the mark back
delete(place, version) what there is of it; what the next run finds it by goes last
"""

import datetime
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import aws
import images_in_use
import service_catalog

MARK = "dpra:deprecated"  # the tag that says since when a version is deprecated, YYYY-MM-DD


@dataclass(frozen=True)
class Place:
    """The images of a component in a region; `repository` of containers, `parameters` of those that are published, and
    `product` where Service Catalog has one of them."""

    account: str
    region: str
    component: str
    repository: str = ""
    parameters: str = ""
    product: str = ""


@dataclass(frozen=True)
class Version:
    """One version in one region.

    name: as its parameter or its AMI says it.
    handle: what has its mark and goes last: the name of its parameter, or the ARN of Image Builder's image.
    image: the digest of its image or index, or the id of its AMI; empty where it has none that is dpra's.
    names: by which something may use it: digests, also of platforms, tags, and ids of AMIs.
    alone: the digests of platforms that nothing else in the repository needs: they go with it.
    at, last: when it was made, and last pulled or launched, in seconds since 1970; 0.0 for never.
    release: digest and commit of the release that brought it.
    tags: of its handle.
    strange: why it is not dpra's to delete; empty if it is.
    held: why somebody keeps it; empty if nobody does.
    """

    name: str
    handle: str
    image: str
    names: frozenset[str]
    alone: Sequence[str]
    at: float
    last: float
    release: Sequence[str]
    tags: Mapping[str, str]
    strange: str = ""
    held: str = ""

    @property
    def deprecated(self) -> datetime.date | None:
        """Since when it is deprecated; None where it is not, or somebody wrote something else."""
        try:
            return datetime.date.fromisoformat(self.tags.get(MARK, ""))
        except ValueError:
            return None


class Kind(Protocol):
    LOOKED_AT: str

    def uses(self, place: Place, fixed: images_in_use.Fixed) -> list[images_in_use.Use]: ...
    def look(self, place: Place) -> tuple[list[Version], set[str]]: ...
    def used(self, place: Place, use: images_in_use.Use) -> set[str]: ...
    def deprecate(self, place: Place, one: Version, since: datetime.date) -> None: ...
    def restore(self, place: Place, one: Version) -> None: ...
    def delete(self, place: Place, one: Version) -> None: ...


def newest_first(versions: Sequence[Version]) -> list[Version]:
    return sorted(versions, key=lambda one: (one.at, one.name), reverse=True)


def when(stamp: Any) -> float:
    """Seconds since 1970; the AWS CLI prints a stamp as text or as a number."""
    return datetime.datetime.fromisoformat(stamp).timestamp() if isinstance(stamp, str) else float(stamp or 0)


# ---- Parameters


def parameters(place: Place) -> dict[str, dict[str, Any]]:
    """Those of the versions, and `latest`, by the last part of their names."""
    below = {"Path": place.parameters, "Recursive": False}
    given = aws.call(place.region, "ssm", "get-parameters-by-path", **below)["Parameters"]
    return {one["Name"].rpartition("/")[2]: one for one in given}


def tags(place: Place, named: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The tags of each of these parameters."""

    def of(parameter: Mapping[str, Any]) -> dict[str, str]:
        asked = {"ResourceType": "Parameter", "ResourceId": parameter["Name"]}
        answer = aws.call(place.region, "ssm", "list-tags-for-resource", **asked)
        return {tag["Key"]: tag["Value"] for tag in answer.get("TagList", [])}

    with ThreadPoolExecutor(images_in_use.AT_ONCE) as pool:
        return dict(zip(named, pool.map(of, named.values()), strict=True))


def mark(place: Place, one: Version, since: datetime.date) -> None:
    tags = [{"Key": MARK, "Value": since.isoformat()}]
    aws.call(place.region, "ssm", "add-tags-to-resource", ResourceType="Parameter", ResourceId=one.handle, Tags=tags)


def unmark(place: Place, one: Version) -> None:
    about = {"ResourceType": "Parameter", "ResourceId": one.handle, "TagKeys": [MARK]}
    aws.call(place.region, "ssm", "remove-tags-from-resource", **about)


def drop(place: Place, one: Version) -> None:
    """Delete its parameter, unless that is gone."""
    try:
        aws.call(place.region, "ssm", "delete-parameter", Name=one.handle)
    except aws.Refused as refused:
        if refused.code != "ParameterNotFound":
            raise


# ---- Service Catalog


def withdraw(place: Place, one: Version) -> None:
    """Where Service Catalog has a product of the images, offer the version no more.

    It stays so where its mark is taken back: it may have gone back before. A deployment of it offers it again."""
    if place.product:
        service_catalog.withdraw(place.region, place.product, one.name)
