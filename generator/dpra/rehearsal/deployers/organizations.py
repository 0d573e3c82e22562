"""AWS Organizations: which release each unit has, and what somebody does to an organisation by hand."""

from collections.abc import Iterator
from typing import Any

from dpra import resources
from dpra.graph import Environment
from dpra.plan import Plan

from ..result import Deployment

RELEASED = "dpra:release"  # the tag of a unit, as the deploy tool writes it
REHEARSED = "rehearsed-"  # how the accounts begin that a rehearsal's commits ask for
# What an administrator lets into the organisation: who deploys stack sets into accounts, and who sets their contacts.
TRUSTED = ("member.org.stacksets.cloudformation.amazonaws.com", "account.amazonaws.com")


def organisation(account: str, partition: str) -> Any:
    """moto's Organizations, as the management account has it."""
    from moto.organizations.models import organizations_backends

    return organizations_backends[account][partition]


def provide(plan: Plan) -> None:
    """The organisation, with every policy type that a fleet may have, and the services that it needs."""
    from ..mends import organization_policies

    where = next(where for where in plan.environments.values() if where.deploying)
    backend = organisation(where.account, plan.partition)
    backend.create_organization(where.regions[0], FeatureSet="ALL")
    for kind in resources.lib("fleet").KINDS.values():
        if not organization_policies.enabled(backend, kind.aws):
            asked = {"RootId": backend.org.root_id, "PolicyType": kind.aws}
            organization_policies.enable_policy_type(backend, asked)
    for service in TRUSTED:
        backend.enable_aws_service_access(ServicePrincipal=service)


def running(plan: Plan) -> list[Deployment]:
    """The release of each unit, by the tag that the deploy tool puts there last."""
    return [one for where in plan.environments.values() if where.deploying for one in _running(plan, where)]


def _running(plan: Plan, where: Environment) -> Iterator[Deployment]:
    there = units(organisation(where.account, plan.partition))
    for path in where.units:
        if path in there and (said := there[path].tags.get(RELEASED)):
            digest, _, commit = said.partition("/")
            yield Deployment(where.id, where.account, path, there[path].id, "COMPLETE", digest, commit)


def forget(plan: Plan, where: Environment) -> None:
    """No unit of the environment has a release; what is there stays."""
    there = units(organisation(where.account, plan.partition))
    for path in where.units:
        if path in there:
            there[path].tags.pop(RELEASED, None)


def console(plan: Plan, region: str, state: str) -> None:
    """Somebody makes an account, moves one to the root, detaches the nearest guardrail, or makes that no stack is made
    or changed in the accounts of a unit.

    Args:
        region: the unit in which, or above which.
        state: account, moved, detached or failing."""
    from ..mends import organization_policies, organizations, stack_operations

    where = plan.production
    if where is None:
        return
    backend = organisation(where.account, plan.partition)
    unit = units(backend)[region].id
    if state == "account":
        made = organizations.join(backend, {"AccountName": "by-hand", "Email": "by-hand@example.com"})
        organizations.move_account(backend, _move(made.id, backend.org.root_id, unit))
    elif state == "moved":
        first = next(one for one in backend.accounts if one.parent_id == unit)
        organizations.move_account(backend, _move(first.id, unit, backend.org.root_id))
    elif state == "failing":
        there = [one.id for one in backend.accounts if one.parent_id == unit]
        stack_operations.FAILING.update(dict.fromkeys(there, "the rehearsal lets it fail"))
    else:
        above = [one.id for one in reversed(organizations.above(backend, units(backend)[region]))]
        found = ((one, at) for at in above for one in backend.policies if at in {each.id for each in one.attachments})
        policy, at = next(pair for pair in found if not pair[0].aws_managed)
        organization_policies.detach_policy(backend, {"PolicyId": policy.id, "TargetId": at})


def _move(account: str, source: str, to: str) -> dict[str, str]:
    return {"AccountId": account, "SourceParentId": source, "DestinationParentId": to}


def left(plan: Plan, where: Environment) -> dict[str, list[str]]:
    """The accounts that a rehearsal's commits ask for, in an environment's units: as often as they are there."""
    backend = organisation(where.account, plan.partition)
    there = units(backend)
    ids = {there[path].id for path in where.units if path in there}
    return {
        "accounts": [one.name for one in backend.accounts if one.parent_id in ids and one.name.startswith(REHEARSED)]
    }


def simulated(plan: Plan) -> tuple[str, ...]:
    """What of an organisation a rehearsal only plays."""
    return ("the organisation: AWS Organizations, StackSets and the accounts that are created",)


def units(backend: Any) -> dict[str, Any]:
    """The units by their paths; the root is one, too."""
    from ..mends import organizations

    named = {one.id: [each.name for each in organizations.above(backend, one)[1:]] for one in backend.ou}
    return {"/".join(named[one.id]) or "root": one for one in backend.ou}
