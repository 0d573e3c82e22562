"""Amazon ECR: which image the parameter `latest` of each region names, and what somebody does to it by hand."""

from collections.abc import Iterator
from typing import Any

from dpra import names
from dpra.graph import Environment
from dpra.plan import Plan

from ..result import Deployment

OURS = "dpra:released"  # the tag of a version's parameter, as the deploy tool writes it


def provide(plan: Plan) -> None:
    """The products of Service Catalog that the spec names, each in a portfolio."""
    from moto.servicecatalog.models import servicecatalog_backends

    from ..mends import service_catalog

    for where in _deployed(plan):
        for region, number in plan.spec.image.products.items():
            service_catalog.offer(servicecatalog_backends[where.account][region], number, plan.spec.name)


def running(plan: Plan) -> list[Deployment]:
    """The image that `latest` names, by its release; one of no release is `foreign`."""
    found = (_running(plan, where, region) for where in _deployed(plan) for region in where.regions)
    return [one for one in found if one]


def simulated(plan: Plan) -> tuple[str, ...]:
    """What of images a rehearsal only plays."""
    said = "Amazon ECR's registry, and offline the images that a Dockerfile begins with: a small Debian of dpra's own"
    if not (products := [f"{number} in {region}" for region, number in plan.spec.image.products.items()]):
        return (said,)
    return said, f"Service Catalog's products, each in a portfolio, without a version yet: {', '.join(products)}"


def _deployed(plan: Plan) -> Iterator[Environment]:
    return (where for where in plan.environments.values() if where.deploying)


def _running(plan: Plan, where: Environment, region: str) -> Deployment | None:
    path = f"/{names.image_repository(plan.spec)}"
    values = parameters(where.account, region)
    if not (latest := values.get(f"{path}/latest")):
        return None
    found = next(
        (
            tags(where.account, region, name)
            for name, value in values.items()
            if value == latest and OURS in tags(where.account, region, name)
        ),
        {},
    )
    digest, _, commit = found.get(OURS, "").partition("/")
    there = held(where.account, region, names.image_repository(plan.spec), latest.partition("@")[2])
    return Deployment(
        environment=where.id,
        account=where.account,
        region=region,
        stack=f"{path}/latest",
        status="COMPLETE" if there else "the image is not in the repository",
        digest=digest,
        commit=commit or "foreign",
    )


def parameters(account: str, region: str) -> dict[str, str]:
    """The parameters of a region and their values."""
    from moto.ssm.models import ssm_backends

    there = ssm_backends[account][region]._parameters
    return {name: versions[-1].value for name, versions in there.items() if name.startswith("/images/")}


def tags(account: str, region: str, name: str) -> dict[str, str]:
    from moto.ssm.models import ssm_backends

    found: dict[str, str] = ssm_backends[account][region].list_tags_for_resource("Parameter", name)
    return dict(found)


def held(account: str, region: str, repository: str, digest: str) -> bool:
    """Whether the repository holds an image of this digest."""
    from moto.ecr.models import ecr_backends

    there: Any = ecr_backends[account][region].repositories.get(repository)
    return any(one.get_image_digest() == digest for one in there.images) if there else False


def forget(plan: Plan, where: Environment) -> None:
    """As if nothing had ever been published."""
    from moto.ssm.models import ssm_backends

    for region in where.regions:
        for name in parameters(where.account, region):
            ssm_backends[where.account][region]._parameters.pop(name)


def console(plan: Plan, region: str, state: str) -> None:
    """Somebody moves production's `latest` by hand, to an image of no release."""
    from moto.ssm.models import ssm_backends

    where = plan.production
    if where:
        name = f"/{names.image_repository(plan.spec)}/latest"
        ssm_backends[where.account][region].put_parameter(
            name, "", state, "String", "", "", True, [], "text", "Standard", ""
        )
