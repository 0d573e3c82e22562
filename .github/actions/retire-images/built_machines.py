"""The versions of a machine image that EC2 Image Builder built, in the account and region where they are tested.

Which they are Image Builder says itself; a copy that somebody made is none, whatever its tags. The mark is a tag of its
image, which goes last, with the recipe and the components that bake made for the version. A build that failed has no
AMI, and goes the same way.
Source: https://docs.aws.amazon.com/imagebuilder/latest/APIReference/API_ImageSummary.html, and there
API_DeleteComponent.html
"""

import datetime
from collections.abc import Mapping
from typing import Any

import aws
import images_in_use
import labels
import machines
import runner
import versions
from labels import COMPONENT, VERSION
from versions import MARK, Place, Version, when

LOOKED_AT = "launched"
ENDED = ("AVAILABLE", "CANCELLED", "FAILED", "DEPRECATED", "DISABLED")
GONE, NEEDED = "ResourceNotFoundException", "ResourceDependencyException"


def uses(place: Place, fixed: images_in_use.Fixed) -> list[images_in_use.Use]:
    return machines.uses(place, fixed)


def used(_: Place, use: images_in_use.Use) -> set[str]:
    """The AMI that something uses, also a parameter of the component: that is published."""
    return {use.image}


def look(place: Place) -> tuple[list[Version], set[str]]:
    """Every build that has ended, the newest first; none is the latest here."""
    asked = {"filters": [{"name": "name", "values": [recipe_of(place)]}]}
    builds = aws.call(place.region, "imagebuilder", "list-image-build-versions", **asked)["imageSummaryList"]
    ended = [one for one in builds if is_ours(place, "image", one["arn"]) and one["state"]["status"] in ENDED]
    made = {one["arn"]: made_by(place, one) for one in ended}
    there = machines.amis(place, made.values())
    found = [version(place, one, made[one["arn"]], there.get(made[one["arn"]], {})) for one in ended]
    return versions.newest_first(found), set()


def recipe_of(place: Place) -> str:
    """The name of the component's recipe and images."""
    return f"dpra-{place.component}"


def is_ours(place: Place, kind: str, arn: str) -> bool:
    return f":{place.region}:{place.account}:{kind}/{recipe_of(place)}/" in arn


def made_by(place: Place, build: Mapping[str, Any]) -> str:
    """The id of the AMI that a build made here; empty where it made none."""
    for ami in build.get("outputResources", {}).get("amis", []):
        if (ami.get("accountId"), ami.get("region")) == (place.account, place.region):
            return str(ami["image"])
    return ""


def version(place: Place, build: Mapping[str, Any], image: str, ami: Mapping[str, Any]) -> Version:
    """One of them, of its build, the id of its AMI, and the AMI; nothing where that is gone."""
    own = labels.of(ami)
    _, number, count = build["arn"].rsplit("/", 2)
    name = own.get(VERSION) or number
    strange = ""
    if ami and (own.get(COMPONENT) != place.component or not own.get(VERSION)):
        strange, image = f"its AMI, {image}, is not tagged as a version of {place.component}", ""
    return Version(
        name=name if count == "1" else f"{name} (build {count})",
        handle=build["arn"],
        image=image,
        names=frozenset([image] if image else []),
        alone=(),
        at=max(when(build["dateCreated"]), when(ami.get("CreationDate"))),
        last=when(ami.get("LastLaunchedTime")),
        release=(),
        tags=build.get("tags", {}),
        strange=strange,
        held=machines.held(ami),
    )


# ---- What changes something


def deprecate(place: Place, one: Version, since: datetime.date) -> None:
    if one.image:
        machines.expire(place, one.image)
    tags = {MARK: since.isoformat()}
    aws.call(place.region, "imagebuilder", "tag-resource", resourceArn=one.handle, tags=tags)


def restore(place: Place, one: Version) -> None:
    machines.revive(place, one.image)
    aws.call(place.region, "imagebuilder", "untag-resource", resourceArn=one.handle, tagKeys=[MARK])


def delete(place: Place, one: Version) -> None:
    """The AMI, then the recipe with its components, then the image: by that the next run finds what is left.

    Another build of the same version, as a run that is started again makes one, has the same recipe: that stays.

    Raises:
        runner.Failed: something else of Image Builder needs the image."""
    if one.image:
        machines.deregister(place, one.image)
    image = {"imageBuildVersionArn": one.handle}
    asked = {"imageVersionArn": one.handle.rpartition("/")[0]}
    builds = aws.call(place.region, "imagebuilder", "list-image-build-versions", **asked)["imageSummaryList"]
    if len(builds) == 1:
        recipe = aws.call(place.region, "imagebuilder", "get-image", **image)["image"].get("imageRecipe", {})
        if not erase_recipe(place, recipe) and erase(place, "delete-image", **image):
            erase_recipe(place, recipe)
    if not erase(place, "delete-image", **image):
        raise runner.Failed(f"something else of Image Builder needs {one.handle}", "error")


def erase_recipe(place: Place, recipe: Mapping[str, Any]) -> bool:
    """Delete a recipe and the components that were made for it; whether nothing needs it. It may be the image's."""
    if not is_ours(place, "image-recipe", recipe.get("arn", "")):
        return True
    if not erase(place, "delete-image-recipe", imageRecipeArn=recipe["arn"]):
        return False
    for part in recipe.get("components", []):
        if f":{place.account}:component/{recipe_of(place)}-" in part["componentArn"]:  # and not one of AWS's
            erase(place, "delete-component", componentBuildVersionArn=part["componentArn"])
    return True


def erase(place: Place, operation: str, **named: str) -> bool:
    """Delete something of Image Builder; whether it is gone, and not needed by something else."""
    try:
        aws.call(place.region, "imagebuilder", operation, **named)
    except aws.Refused as refused:
        if refused.code == NEEDED:
            runner.say(f"{next(iter(named.values()))} stays: something else of Image Builder needs it")
        elif refused.code != GONE:
            raise
        return refused.code == GONE
    return True
