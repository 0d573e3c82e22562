"""Amazon ECR: which image the parameter `latest` of each region names, and what somebody does to it by hand."""

from typing import Any

from dpra import names
from dpra.plan import Plan

from ..result import Deployment
from . import published
from .published import forget as forget


def provide(plan: Plan) -> None:
    """The products of Service Catalog that the spec names."""
    published.products(plan)


def running(plan: Plan) -> list[Deployment]:
    """The image that `latest` names, by its release; one of no release is `foreign`."""

    def wrong(account: str, region: str, latest: str) -> str:
        there = held(account, region, names.image_repository(plan.spec), latest.partition("@")[2])
        return "" if there else "the image is not in the repository"

    return published.running(plan, wrong)


def simulated(plan: Plan) -> tuple[str, ...]:
    """What of images a rehearsal only plays."""
    said = "Amazon ECR's registry, and offline the images that a Dockerfile begins with: a small Debian of dpra's own"
    return said, *published.simulated(plan)


def held(account: str, region: str, repository: str, digest: str) -> bool:
    """Whether the repository holds an image of this digest."""
    from moto.ecr.models import ecr_backends

    there: Any = ecr_backends[account][region].repositories.get(repository)
    return any(one.get_image_digest() == digest for one in there.images) if there else False


def console(plan: Plan, region: str, state: str) -> None:
    """Somebody moves production's `latest` by hand, to an image of no release."""
    published.move(plan, region, state)
