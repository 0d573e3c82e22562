"""Amazon EC2: which AMI the parameter `latest` of each region names, the AMIs that others made before, and what
somebody does to `latest` by hand."""

import datetime
from typing import Any

from dpra.graph import Environment
from dpra.plan import Plan

from .. import roots
from ..result import Deployment
from . import published
from .published import forget as forget

OWNER, ALIAS = "137112412989", "amazon"  # of AWS's own AMIs, and here of all that others made
LOOKING = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"  # by architecture
ARCHITECTURES = ("x86_64", "arm64")
KIND = "aws:ec2:image"
PACKER = (
    "Packer's version and its plugins: Debian's Packer 1.6.6, and of a template what that knows (not metadata_options)",
    "Session Manager's plugin, and the SSH server of an instance: dpra's own; sudo asks for no password",
)


def provide(plan: Plan) -> None:
    """The AMIs that images are made from and looked at by, with the parameters that name them; products."""
    published.products(plan)
    parent = plan.spec.image.parent
    for account, region in sorted({(where.account, region) for where in plan.environments.values()
                                   for region in where.regions} | _built(plan)):  # fmt: skip
        for architecture in ARCHITECTURES:
            named(account, region, LOOKING.format(architecture), architecture)
        architecture = "arm64" if "arm64" in parent or "aarch64" in parent else "x86_64"
        if parent.startswith("/"):
            named(account, region, parent, architecture)
        elif parent and (account, region) in _built(plan):
            register(account, region, parent, architecture)
    if plan.spec.image.inspector:
        from ..mends.imagebuilder import scans

        for account, region in _built(plan):
            scans.enable(account, region)


def _built(plan: Plan) -> set[tuple[str, str]]:
    """Where images are built: account and region."""
    return {(plan.store.account, plan.store.region)} if plan.store else set()


def named(account: str, region: str, parameter: str, architecture: str) -> None:
    """Make a parameter that names an AMI, and that AMI, where they are not there yet."""
    from moto.ec2.models import ec2_backends
    from moto.ssm.models import ssm_backends

    found = ssm_backends[account][region].get_parameter(parameter)
    if found is None:
        published.put(account, region, parameter, register(account, region, "", architecture), KIND)
    elif found.value not in ec2_backends[account][region].amis:
        register(account, region, found.value, architecture)


def register(account: str, region: str, ami: str, architecture: str) -> str:
    """Make an AMI of AWS's own that an account sees; its id.

    Args:
        ami: the id that it is to have; empty for any."""
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.amis import Ami
    from moto.ec2.utils import random_ami_id

    ec2 = ec2_backends[account][region]
    ami = ami or random_ami_id()
    ec2.amis[ami] = Ami(
        ec2, ami, name=f"parent-{ami}", description="An AMI that was there before", owner_id=OWNER, owner_alias=ALIAS,
        public=True, architecture=architecture, virtualization_type="hvm", hypervisor="xen", root_device_type="ebs",
        root_device_name="/dev/xvda",
    )  # fmt: skip
    return ami


def running(plan: Plan) -> list[Deployment]:
    """The AMI that `latest` names, by its release; one of no release is `foreign`."""

    def wrong(account: str, region: str, latest: str) -> str:
        from moto.ec2.models import ec2_backends

        ami = ec2_backends[account][region].amis.get(latest)
        if ami is None or ami.owner_id != account:
            return "the AMI is not there"
        return "" if ami.state == "available" else f"the AMI is {ami.state}"

    return published.running(plan, wrong)


def simulated(plan: Plan) -> tuple[str, ...]:
    """What of machines' images a rehearsal only plays."""
    inspector = "Amazon Inspector: the rehearsal's few advisories, held against the packages of the image"
    by_packer = plan.spec.image.with_ == "packer"
    return (
        *(PACKER if by_packer else ()),
        f"{'' if by_packer else 'EC2 Image Builder, '}AMIs and instances: dpra's own. Their files are a small Debian "
        "in a folder, where commands run really, without a network or a kernel of their own; the minutes of a build "
        "pass at once",
        *([inspector] if plan.spec.image.inspector else ()),
        f"the parent {plan.spec.image.parent}, and AWS's own AMI that looks into a new one: the same small Debian",
        *published.simulated(plan),
    )


def console(plan: Plan, region: str, state: str) -> None:
    """Somebody moves production's `latest` by hand, to an AMI of no release.

    Args:
        state: an AMI's id, or what one is called that somebody made; or else `takes-no-copy`: the region refuses the
            next AMI, as where a quota is reached; `has-an-instance`: somebody's own, where images are built;
            `has-a-newer-parent`: the parameter of the parent names another AMI there."""
    from moto.ec2.models import ec2_backends

    from ..mends import machines
    from ..mends.imagebuilder import distribution

    if not plan.production or not plan.store:
        return
    if state == "takes-no-copy":
        distribution.REFUSING.add((plan.production.account, region))
        return
    if state == "has-an-instance":
        ec2 = ec2_backends[plan.store.account][region]
        image = register(plan.store.account, region, "", "x86_64")
        made = ec2.run_instances(image, 1, None, [], is_instance_type_default=True, tags={}).instances[0]
        made.add_tags({"dpra:component": f"{plan.spec.name}-two", "dpra:for": "tests"})
        return
    if state == "has-a-newer-parent":
        newer = register(plan.store.account, region, "", "x86_64")
        roots.KEPT[newer] = roots.copy(roots.of_image(newer))
        (roots.KEPT[newer] / "etc/motd").write_text("A newer parent\n", encoding="utf-8")
        published.put(plan.store.account, region, plan.spec.image.parent, newer, KIND)
        return
    ec2 = ec2_backends[plan.production.account][region]
    if not state.startswith("ami-"):
        there = [ami.id for ami in ec2.amis.values() if (ami.name, ami.owner_id) == (state, plan.production.account)]
        state = there[0] if there else machines.register(ec2, state, "Made by hand", None).id
    published.move(plan, region, state, KIND)


# ---- What is left in an account


def left(plan: Plan, where: Environment) -> dict[str, list[str]]:
    """The instances that are not terminated, and the AMIs that the account owns, in all regions."""
    there = instances(where.account)
    return {"instances": [one.id for one in there], "amis": [one.id for one in amis(where.account)]}


def hours_pass(plan: Plan, hours: int) -> None:
    """The instances of its accounts have been started so much earlier."""
    for account in {where.account for where in plan.environments.values()}:
        for one in instances(account):
            one.launch_time -= datetime.timedelta(hours=hours)


def instances(account: str) -> list[Any]:
    """moto's instances of an account that are not terminated."""
    from moto.ec2.models import ec2_backends

    found = []
    for region in list(ec2_backends[account].keys()):
        found += [one for one in ec2_backends[account][region].all_instances() if one.state != "terminated"]
    return found


def amis(account: str) -> list[Any]:
    """moto's AMIs that an account owns."""
    from moto.ec2.models import ec2_backends

    regions = [ec2_backends[account][region] for region in list(ec2_backends[account].keys())]
    return [ami for ec2 in regions for ami in ec2.amis.values() if ami.owner_id == account]
