"""The accounts of a rehearsal: prepared as by `dpra bootstrap`, from the repository's own templates; read after."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpra import bootstrap
from dpra.graph import Environment
from dpra.plan import Plan

from . import deployers, flags
from .result import Deployment, RehearsalError


def prepare(root: Path, plan: Plan) -> None:
    """What an administrator does once in each account: exactly the stacks that `dpra bootstrap` lists."""
    folder, providers = root / "infrastructure" / "dpra", set()
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in folder.glob("*.yml")}
    for stack in bootstrap.stacks(plan, texts):
        given = dict(stack.parameters)
        if "CreateProvider" in given:
            given["CreateProvider"] = (
                "false" if stack.account in providers else "true"
            )  # an account has one of an address
            providers.add(stack.account)
        if not (root / stack.path).is_file():
            raise RehearsalError(f"{stack.path}: there is no such file; dpra generate makes it")
        template = (root / stack.path).read_text(encoding="utf-8")
        create(stack.path, template, stack.account, stack.region, stack.name, given)
    flags.deliver(plan)
    deployers.call("provide", plan, None)


def create(path: str, template: str, account: str, region: str, stack: str, parameters: dict[str, str]) -> None:
    """Make a stack of a template, the file of this path."""
    from moto.cloudformation.models import Stack, cloudformation_backends

    try:
        declared = Stack.parse_template(template).get("Parameters") or {}
        given = {name: value for name, value in parameters.items() if name in declared}
        cloudformation_backends[account][region].create_stack(stack, template, given)
    except Exception as error:  # whatever moto raises, the template is what does not work
        reason = getattr(error, "message", "") or str(error) or type(error).__name__
        raise RehearsalError(f"{path}: stack {stack} in {account} {region}: {reason}") from error


def deployments(plan: Plan) -> list[Deployment]:
    """What runs where: as the deploy tool knows, or else the stacks that carry a release's digest."""
    found = deployers.call("running", plan, None)
    return list(stacks(plan) if found is None else found)


def stacks(plan: Plan) -> Iterator[Deployment]:
    """The stacks that carry a release's digest, each once."""
    for where in plan.environments.values():
        for region in where.regions:
            for stack in released(where, region):
                if stack.parameters.get("Environment", where.id) == where.id:
                    yield Deployment(
                        environment=where.id,
                        account=where.account,
                        region=region,
                        stack=stack.name,
                        status=stack.status,
                        digest=stack.tags["dpra:digest"],
                        commit=stack.tags.get("dpra:commit", ""),
                    )


def released(where: Environment, region: str) -> list[Any]:
    """moto's stacks of a region that carry a release's digest."""
    from moto.cloudformation.models import cloudformation_backends

    there = cloudformation_backends[where.account][region].stacks.values()
    return [stack for stack in there if "dpra:digest" in stack.tags]


def records(plan: Plan) -> Iterator[Any]:
    """moto's object of the release record, if there is one."""
    from moto.s3.models import s3_backends

    if plan.record and (bucket := s3_backends[plan.record.account][plan.partition].buckets.get(plan.record.bucket)):
        yield from (key for key in bucket.keys.values() if key.name == plan.record.key)


def forget_releases(plan: Plan, where: Environment) -> None:
    """As if nothing had ever been released to an environment."""
    from moto.cloudformation.models import cloudformation_backends
    from moto.s3.models import s3_backends

    deployers.call("forget", plan, None, where)
    for region in where.regions:
        backend = cloudformation_backends[where.account][region]
        for stack in released(where, region):
            backend.delete_stack(stack.name)
            backend.stacks.pop(stack.stack_id, None)
            backend.deleted_stacks.pop(stack.stack_id, None)
    if plan.record and where.records:
        keys = s3_backends[where.account][plan.partition].buckets[plan.record.bucket].keys
        if plan.record.key in keys:
            keys.pop(plan.record.key)
