"""The versions of a machine image that Packer made, in the account and region where they are tested.

They are AMIs of the account, which are known by the tags that Packer was told, and have their mark in another one.
"""

import datetime
from collections.abc import Mapping
from typing import Any

import aws
import images_in_use
import labels
import machines
import versions
from labels import COMPONENT, PARENT, VERSION
from versions import MARK, Place, Version, when

LOOKED_AT = "launched"


def uses(place: Place, fixed: images_in_use.Fixed) -> list[images_in_use.Use]:
    return machines.uses(place, fixed)


def used(_: Place, use: images_in_use.Use) -> set[str]:
    """The AMI that something uses, also a parameter of the component: that is published."""
    return {use.image}


def look(place: Place) -> tuple[list[Version], set[str]]:
    """Every one, the newest first; none is the latest here."""
    filters = [{"Name": f"tag:{COMPONENT}", "Values": [place.component]}, {"Name": "tag-key", "Values": [PARENT]}]
    asked = {"Owners": ["self"], "Filters": filters, "IncludeDeprecated": True, "IncludeDisabled": True}
    there = aws.call(place.region, "ec2", "describe-images", **asked)["Images"]
    # The filters are AWS's to obey; what is deleted is looked at once more.
    own = [one for one in there if labels.of(one).get(COMPONENT) == place.component and PARENT in labels.of(one)]
    return versions.newest_first([version(place, one) for one in own]), set()


def version(place: Place, ami: Mapping[str, Any]) -> Version:
    """One of them, of its AMI."""
    own, name = labels.of(ami), ami["ImageId"]
    ours = ami["OwnerId"] == place.account and own.get(VERSION)
    return Version(
        name=own.get(VERSION) or name,
        handle=name,
        image=name,
        names=frozenset([name]),
        alone=(),
        at=when(ami.get("CreationDate")),
        last=when(ami.get("LastLaunchedTime")),
        release=(),
        tags=own,
        strange="" if ours else f"{name} is not tagged as a version of {place.component}, or not the account's",
        held=machines.held(ami),
    )


# ---- What changes something


def deprecate(place: Place, one: Version, since: datetime.date) -> None:
    """EC2 first: the mark says that it is done."""
    machines.expire(place, one.image)
    tags = [{"Key": MARK, "Value": since.isoformat()}]
    machines.unless_gone(place, "create-tags", Resources=[one.handle], Tags=tags)


def restore(place: Place, one: Version) -> None:
    machines.revive(place, one.image)
    machines.unless_gone(place, "delete-tags", Resources=[one.handle], Tags=[{"Key": MARK}])


def delete(place: Place, one: Version) -> None:
    machines.deregister(place, one.image)
