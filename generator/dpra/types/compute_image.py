"""The compute image pipeline: what of `image` is looked at by nothing, can be nowhere, or belongs to another kind."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path, PurePosixPath

from dpra import resources
from dpra.plan import Plan
from dpra.spec.models import Image, name_of

# By these names the checks find Dockerfiles: check/files.py of the pack.
NAME = re.compile(r"(docker|container)file(\.(?!dockerignore$).+)?|.+\.(docker|container)file", re.IGNORECASE)
# The keys that only one kind has.
OF_KIND = {
    "container": ("file", "platforms"),
    "machine": ("with_", "parent", "components", "instance_type", "size", "vpc", "subnet", "inspector"),
}
# And those that only what makes a machine's image has: with Packer the template says how large a volume is.
OF_WITH = {"image-builder": ("size", "inspector")}


def problems(plan: Plan) -> dict[str, str]:
    """What is wrong with `image`: a file that no check finds, a product where no image goes, a template of none."""
    said, where = plan.spec.image, plan.production
    there = where.regions if where else ()
    found = {
        f"image.products.{region}": f"no image goes to {region}; production has {', '.join(there)}"
        for region in said.products
        if region not in there
    }
    found |= dict(_of_other_kinds(said))
    if said.kind == "machine":
        return found | dict(_machine(said)) | _partition(plan) | _template(said)
    if not NAME.fullmatch(PurePosixPath(said.file).name):
        found["image.file"] = (
            "no check would look at it: call it Dockerfile, Containerfile, NAME.Dockerfile, Dockerfile.NAME or the like"
        )
    return found | _template(said)


def missing(plan: Plan, root: Path) -> dict[str, str]:
    """What an image is made of, and the repository has not."""
    said = plan.spec.image
    if said.kind == "machine":
        made_of = resources.lib("made_of")
        source = made_of.SOURCES[said.with_]
        if made_of.there(source, root / said.components):
            return {}
        where = f"there is no {source.words} in {said.components}"
        return {"image.components": f"{where}: create one, or say here in which folder they are"}
    if (root / said.file).is_file():
        return {}
    return {"image.file": f"{said.file} does not exist: create it, or say here which file it is"}


def _template(said: Image) -> dict[str, str]:
    alone = said.template != Image().template and not said.products
    return {"image.template": "goes together with image.products"} if alone else {}


def _partition(plan: Plan) -> dict[str, str]:
    """Packer does not tag there what it makes as it makes it, and its role makes nothing without the tags."""
    untagged = plan.spec.image.with_ == "packer" and plan.partition == "aws-cn"
    return {"image.with": "Packer cannot make images in China: say image-builder"} if untagged else {}


def _of_other_kinds(said: Image) -> Iterator[tuple[str, str]]:
    for field in fields(Image):
        for kind, names in OF_KIND.items():
            if field.name in names and kind != said.kind and getattr(said, field.name) != getattr(Image(), field.name):
                yield f"image.{name_of(field)}", f"goes together with kind: {kind}"


def _machine(said: Image) -> Iterator[tuple[str, str]]:
    for with_, names in OF_WITH.items():
        for name in names:
            if with_ != said.with_ and getattr(said, name) != getattr(Image(), name):
                yield f"image.{name}", f"goes together with: with: {with_}"
    if not said.parent:
        yield "image.parent", "a machine's image is made from an AMI: say its id, or the parameter that names it"
    if bool(said.vpc) != bool(said.subnet):
        yield "image.subnet" if said.subnet else "image.vpc", "vpc and subnet go together"
    if said.organization and not said.organization.startswith("arn:"):
        yield "image.organization", "AMIs are shared with an organization by its ARN: arn:aws:organizations::…"
