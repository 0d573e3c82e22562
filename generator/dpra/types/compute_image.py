"""The compute image pipeline: what of `image` is looked at by nothing, or can be nowhere."""

import re
from pathlib import PurePosixPath

from dpra.plan import Plan
from dpra.spec.models import Image

# By these names the checks find Dockerfiles: check/files.py of the pack.
NAME = re.compile(r"(docker|container)file(\.(?!dockerignore$).+)?|.+\.(docker|container)file", re.IGNORECASE)


def problems(plan: Plan) -> dict[str, str]:
    """What is wrong with `image`: a file that no check finds, a product where no image goes, a template of none."""
    said, where = plan.spec.image, plan.production
    there = where.regions if where else ()
    found = {
        f"image.products.{region}": f"no image goes to {region}; production has {', '.join(there)}"
        for region in said.products
        if region not in there
    }
    if not NAME.fullmatch(PurePosixPath(said.file).name):
        found["image.file"] = (
            "no check would look at it: call it Dockerfile, Containerfile, NAME.Dockerfile, Dockerfile.NAME or the like"
        )
    if said.template != Image().template and not said.products:
        found["image.template"] = "goes together with image.products"
    return found
