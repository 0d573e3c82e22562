"""The compute image pipeline: what of `image` can be nowhere."""

from dpra.plan import Plan
from dpra.spec.models import Image


def problems(plan: Plan) -> dict[str, str]:
    """What is wrong with `image`: a product where no image goes, and a template of no product."""
    said, where = plan.spec.image, plan.production
    there = where.regions if where else ()
    found = {
        f"image.products.{region}": f"no image goes to {region}; production has {', '.join(there)}"
        for region in said.products
        if region not in there
    }
    if said.template != Image().template and not said.products:
        found["image.template"] = "goes together with image.products"
    return found
