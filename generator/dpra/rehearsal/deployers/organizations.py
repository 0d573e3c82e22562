"""AWS Organizations: which release each unit has, and what somebody does to an organisation by hand."""

from collections.abc import Iterator
from typing import Any

from dpra import resources
from dpra.graph import Environment
from dpra.plan import Plan

from ..result import Deployment

RELEASED = "dpra:release"  # the tag of a unit, as the deploy tool writes it
REHEARSED = "rehearsed-"  # how the accounts begin that a rehearsal's commits ask for
TRUSTED = "member.org.stacksets.cloudformation.amazonaws.com"  # who deploys stack sets into member accounts


def organisation(account: str, partition: str) -> Any:
    """moto's Organizations, as the management account sees it."""
    from moto.organizations.models import organizations_backends

    return organizations_backends[account][partition]


def provide(plan: Plan) -> None:
    """The organisation, with every policy type that a fleet may have, and StackSets trusted."""
    account = next(iter(where.account for where in plan.environments.values() if where.deploying))
    backend = organisation(account, plan.partition)
    backend.create_organization("us-east-1", FeatureSet="ALL")
    root = backend.list_roots()["Roots"][0]["Id"]
    for kind in resources.lib("fleet").KINDS.values():
        if not any(one["Type"] == kind.aws for one in backend.list_roots()["Roots"][0]["PolicyTypes"]):
            backend.enable_policy_type(RootId=root, PolicyType=kind.aws)
    backend.enable_aws_service_access(ServicePrincipal=TRUSTED)


def running(plan: Plan) -> list[Deployment]:
    """The release of each unit, by the tag that the deploy tool puts there last."""
    return [one for where in plan.environments.values() if where.deploying for one in _running(plan, where)]


def _running(plan: Plan, where: Environment) -> Iterator[Deployment]:
    backend = organisation(where.account, plan.partition)
    paths = units(backend)
    for unit in where.units:
        if unit in paths and (said := tags(backend, paths[unit]).get(RELEASED)):
            digest, _, commit = said.partition("/")
            yield Deployment(where.id, where.account, unit, paths[unit], "COMPLETE", digest, commit)


def forget(plan: Plan, where: Environment) -> None:
    """No unit has a release; what is there stays."""
    backend = organisation(where.account, plan.partition)
    for identifier in units(backend).values():
        backend.untag_resource(ResourceId=identifier, TagKeys=[RELEASED])


def console(plan: Plan, region: str, state: str) -> None:
    """Somebody makes an account (`account`), moves one to the root (`moved`), or detaches a guardrail (`detached`).

    Args:
        region: the unit in which."""
    where = plan.production
    if where is None:
        return
    backend = organisation(where.account, plan.partition)
    unit = units(backend)[region]
    root = units(backend)["root"]
    there = backend.list_accounts_for_parent(unit)
    if state == "account":
        from ..mends import organizations

        organizations.made_by_hand(backend, "by-hand", "by-hand@example.com", unit)
    elif state == "moved":
        backend.move_account(AccountId=there[0].id, SourceParentId=unit, DestinationParentId=root)
    else:
        attached = (one for one in backend.policies if unit in {each.id for each in one.attachments})
        policy = next(one for one in attached if not one.aws_managed)
        backend.detach_policy(PolicyId=policy.id, TargetId=unit)


def left(plan: Plan, where: Environment) -> dict[str, list[str]]:
    """The accounts that a rehearsal's commits ask for, in an environment's units: as often as they are there."""
    backend = organisation(where.account, plan.partition)
    paths = units(backend)
    there = [one for unit in where.units if unit in paths for one in backend.list_accounts_for_parent(paths[unit])]
    return {"accounts": [one.name for one in there if one.name.startswith(REHEARSED)]}


def simulated(plan: Plan) -> tuple[str, ...]:
    """What of an organisation a rehearsal only plays."""
    return ("the organisation: AWS Organizations, StackSets and the accounts that are created",)


def units(backend: Any) -> dict[str, str]:
    """The id of each unit, by its path; the root is one, too."""
    found = {one.id: one for one in backend.ou}
    root = backend.list_roots()["Roots"][0]["Id"]

    def path(identifier: str) -> str:
        one = found[identifier]
        return one.name if one.parent_id == root else f"{path(one.parent_id)}/{one.name}"

    return {"root": root} | {path(one.id): one.id for one in backend.ou if one.id != root}


def tags(backend: Any, identifier: str) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in backend.list_tags_for_resource(ResourceId=identifier)["Tags"]}
