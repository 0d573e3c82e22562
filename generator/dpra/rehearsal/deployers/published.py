"""What consumers find an image by: parameters of Systems Manager, whichever deploy tool put them."""

import datetime
from collections.abc import Callable, Iterator

from dpra import names
from dpra.graph import Environment
from dpra.plan import Plan

from ..result import Deployment

OURS = "dpra:released"  # the tag of a version's parameter, as the deploy tools write it


def deployed(plan: Plan) -> Iterator[Environment]:
    return (where for where in plan.environments.values() if where.deploying)


def products(plan: Plan) -> None:
    """Make the products of Service Catalog that the spec names, each in a portfolio."""
    from moto.servicecatalog.models import servicecatalog_backends

    from ..mends import service_catalog

    for where in deployed(plan):
        for region, number in plan.spec.image.products.items():
            service_catalog.offer(servicecatalog_backends[where.account][region], number, plan.spec.name)


def simulated(plan: Plan) -> tuple[str, ...]:
    """What of products a rehearsal only plays."""
    if not (said := [f"{number} in {region}" for region, number in plan.spec.image.products.items()]):
        return ()
    return (f"Service Catalog's products, each in a portfolio, without a version yet: {', '.join(said)}",)


def running(plan: Plan, wrong: Callable[[str, str, str], str]) -> list[Deployment]:
    """The image that `latest` names, by its release; one of no release is `foreign`.

    Args:
        wrong: what is wrong with an image, by account, region and the parameter's value; empty where nothing is."""
    found = (_running(plan, where, region, wrong) for where in deployed(plan) for region in where.regions)
    return [one for one in found if one]


def _running(plan: Plan, where: Environment, region: str, wrong: Callable[[str, str, str], str]) -> Deployment | None:
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
    return Deployment(
        environment=where.id,
        account=where.account,
        region=region,
        stack=f"{path}/latest",
        status=wrong(where.account, region, latest) or "COMPLETE",
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


def forget(plan: Plan, where: Environment) -> None:
    """As if nothing had ever been published."""
    from moto.ssm.models import ssm_backends

    for region in where.regions:
        for name in parameters(where.account, region):
            ssm_backends[where.account][region]._parameters.pop(name)


def put(account: str, region: str, name: str, value: str, kind: str = "text") -> None:
    """Write a parameter, whoever's its path is.

    Args:
        kind: its data type."""
    from moto.ssm.models import Parameter, ssm_backends

    moment = datetime.datetime.now(datetime.UTC)
    made = Parameter(account, name, value, "String", "", "", None, moment, 1, kind)  # type: ignore[abstract]
    ssm_backends[account][region]._parameters[name].append(made)


def move(plan: Plan, region: str, value: str, kind: str = "text") -> None:
    """Somebody moves production's `latest` by hand, to an image of no release."""
    from moto.ssm.models import ssm_backends

    if plan.production:
        name = f"/{names.image_repository(plan.spec)}/latest"
        ssm_backends[plan.production.account][region].put_parameter(
            name, "", value, "String", "", "", True, [], kind, "Standard", ""
        )
