"""The golden image that a component is made on: another component's, in its own account, as its pipeline left it."""

import re
from pathlib import Path

from dpra import catalogue, problems, render, resources
from dpra.plan import Plan
from dpra.spec import reader

from .accounts import create
from .deployers.published import put

VERSIONS = ("2026.01.05-1", "2026.01.12-2")  # what is there from the beginning, and what comes
TESTS = "999999999999"  # its other account
# The spec of that component: whoever is in `accounts` may read its parameters.
SPEC = """name: {image}
repository: acme/{image}
pipeline: compute-image
regions: [{region}]
image: {{kind: machine, parent: /debian, accounts: ["{consumer}"]}}
environments: {{test: {{account: "{tests}"}}, prod: {{account: "{account}", regions: [{regions}]}}}}
"""


def provide(plan: Plan, repository: Path) -> None:
    """Let that component have published its first version to this one's account, by the templates of its own."""
    said, store = plan.base, plan.store
    if not said or store is None:
        return
    every = ", ".join(dict.fromkeys((said["region"], *said.get("regions", "").split())))
    text = SPEC.format(**{**said, "regions": every}, consumer=store.account, tests=TESTS)
    own = problems.planned(reader.read(text.encode(), catalogue.words()))
    path = f"infrastructure/dpra/{own.production.id if own.production else ''}.yml"
    template = render.infrastructure(own)[path]
    create(path, template, said["account"], said["region"], f"dpra-{said['image']}-prod", {"CreateProvider": "true"})
    publish(plan, repository, VERSIONS[0])


def simulated(plan: Plan) -> tuple[str, ...]:
    """What of it a rehearsal only plays."""
    said = plan.base
    return (f"the image {said['image']} in {said['account']}: version {VERSIONS[0]} of nothing",) if said else ()


def publish(plan: Plan, repository: Path, version: str) -> None:
    """Let it publish a version: an AMI in each region, or an image of which the first is the Dockerfile's."""
    said = plan.base
    for region in dict.fromkeys((said["region"], *said.get("regions", "").split())):
        value = _container(said["file"], repository, version) if "file" in said else _machine(plan, region, version)
        put(said["account"], region, f"/images/{said['image']}/{version}", value)
        put(said["account"], region, f"/images/{said['image']}/latest", value)


def _machine(plan: Plan, region: str, version: str) -> str:
    from moto.ec2.models import ec2_backends

    from .mends.machines import register

    said = plan.base
    ami = register(ec2_backends[said["account"]][region], f"{said['image']}-{version}", "a golden image", None)
    ami.launch_permissions = [{"UserId": where.account} for where in plan.environments.values()]
    return str(ami.id)


def _container(file: str, repository: Path, version: str) -> str:
    bases = resources.lib("dockerfile").bases((repository / file).read_text("utf-8", "replace"))
    named = next(name for _, name in bases if "/images/" in name)
    return named if version == VERSIONS[0] else re.sub(r"sha256:.*", f"sha256:{version.encode().hex():0>64}", named)
