"""The accounts of a rehearsal: bootstrapped from the repository's own templates before, read after."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from .result import Deployment, RehearsalError

FOLDER = Path("infrastructure", "dpra")


class Environment(Protocol):
    """The part of the spec's environment that a rehearsal needs."""

    @property
    def account(self) -> str: ...
    @property
    def regions(self) -> tuple[str, ...]: ...


class Spec(Protocol):
    """The part of the spec that a rehearsal needs."""

    @property
    def name(self) -> str: ...
    @property
    def repository(self) -> str: ...
    @property
    def repository_id(self) -> int: ...
    @property
    def owner_id(self) -> int: ...
    @property
    def trunk(self) -> str: ...
    @property
    def regions(self) -> tuple[str, ...]: ...
    @property
    def environments(self) -> Mapping[str, Any]: ...


def regions(spec: Spec, environment: Environment) -> tuple[str, ...]:
    in_waves = tuple(region for wave in getattr(environment, "waves", ()) for region in wave)
    return tuple(environment.regions or in_waves or spec.regions)


def bootstrap(root: Path, spec: Spec) -> None:
    """What an administrator does once in each account: provider and roles, and a store in each region."""
    providers, stores = set(), set()
    for name, environment in spec.environments.items():
        account, places = environment.account, regions(spec, environment)
        first = "true" if account not in providers else "false"  # an account has one provider of an address
        providers.add(account)
        create(root, FOLDER / f"{name}.yml", account, places[0], f"dpra-{spec.name}-{name}", {"CreateProvider": first})
        for region in places:
            if (account, region) not in stores:
                stores.add((account, region))
                store = "artifacts" if name == "build" else "store"
                create(root, FOLDER / f"{store}.yml", account, region, f"dpra-{spec.name}-{store}", {})


def create(root: Path, path: Path, account: str, region: str, stack: str, parameters: dict[str, str]) -> None:
    from moto.cloudformation.models import Stack, cloudformation_backends

    if not (root / path).is_file():
        raise RehearsalError(f"{path}: there is no such file; dpra generate makes it")
    template = (root / path).read_text(encoding="utf-8")
    try:
        declared = Stack.parse_template(template).get("Parameters") or {}
        given = {name: value for name, value in parameters.items() if name in declared}
        cloudformation_backends[account][region].create_stack(stack, template, given)
    except Exception as error:  # whatever moto raises, the template is what does not work
        reason = getattr(error, "message", "") or str(error) or type(error).__name__
        raise RehearsalError(f"{path}: stack {stack} in {account} {region}: {reason}") from error


def deployments(spec: Spec) -> list[Deployment]:
    """What runs where: the stacks that carry a release's digest."""
    from moto.cloudformation.models import cloudformation_backends

    found: dict[tuple[str, str, str], Deployment] = {}
    for name, environment in spec.environments.items():
        for region in regions(spec, environment):
            for stack in cloudformation_backends[environment.account][region].stacks.values():
                if "dpra:digest" in stack.tags and stack.parameters.get("Environment", name) == name:
                    found[environment.account, region, stack.name] = Deployment(
                        environment=name,
                        account=environment.account,
                        region=region,
                        stack=stack.name,
                        status=stack.status,
                        digest=stack.tags["dpra:digest"],
                        commit=stack.tags.get("dpra:commit", ""),
                    )
    return list(found.values())


def forget_production(spec: Spec) -> None:
    """As if nothing had ever been released to production."""
    from moto.cloudformation.models import cloudformation_backends
    from moto.s3.models import s3_backends

    environment = spec.environments["prod"]
    for region in regions(spec, environment):
        backend = cloudformation_backends[environment.account][region]
        for stack in [stack for stack in backend.stacks.values() if "dpra:digest" in stack.tags]:
            backend.delete_stack(stack.name)
            backend.stacks.pop(stack.stack_id, None)
            backend.deleted_stacks.pop(stack.stack_id, None)
    for bucket in s3_backends[environment.account]["aws"].buckets.values():
        if (record := f"{spec.name}/record.json") in bucket.keys:
            bucket.keys.pop(record)
