"""bootstrap, unlock: what an administrator does in the accounts."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dpra.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dpra.bootstrap import Stack
    from dpra.plan import Plan


@click.command()
@click.argument("environments", nargs=-1, metavar="[ENVIRONMENT]...")
@click.option("--print", "show", is_flag=True, help="Print the template of each account's trust, or of --stack.")
@click.option("--stack", "names", metavar="NAME", multiple=True, help="Only the stack of this name.")
@click.option("--diff", "compare", is_flag=True, help="Show what --deploy would change; change nothing.")
@click.option("--deploy", is_flag=True, help="Show what would change, ask, and change it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--profile",
    "profiles",
    metavar="[ENVIRONMENT=]NAME",
    multiple=True,
    help="The AWS CLI's profile with an administrator of the account; {environment} and {account} stand for theirs.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@click.pass_obj
def bootstrap(
    root: Path,
    environments: tuple[str, ...],
    show: bool,
    names: tuple[str, ...],
    compare: bool,
    deploy: bool,
    yes: bool,
    profiles: tuple[str, ...],
    form: str,
) -> None:
    """Prepares the AWS accounts: GitHub's OIDC provider, the pipeline's roles, the stores of releases.

    \b
    dpra bootstrap                                   what belongs where
    dpra bootstrap --print prod                      its template, to be deployed by other means
    dpra bootstrap --print prod --stack dpra-shop-store
    dpra bootstrap --deploy --profile admin-{environment}
    """
    if show + compare + deploy > 1:
        common.fail("--print, --diff, --deploy: one at a time", common.WRONG_INPUT)
    if form == "json" and (show or compare or deploy):
        common.fail("--format json: goes together with none of --print, --diff, --deploy", common.WRONG_INPUT)
    if deploy and not yes and not sys.stdin.isatty():
        common.fail("--deploy: there is nobody to ask here; with --yes it does not ask", common.WRONG_INPUT)
    stacks, profile_of = _accounts(root, environments, profiles)

    from dpra import bootstrap as accounts

    if unknown := sorted(set(names) - {stack.name for stack in stacks}):
        there = ", ".join(dict.fromkeys(stack.name for stack in stacks))
        common.fail(f"no stack {', '.join(unknown)}; there is {there}", common.WRONG_INPUT)
    others = dict.fromkeys(stack.name for stack in stacks if not stack.trust)
    stacks = [stack for stack in stacks if (stack.name in names if names else stack.trust or not show)]
    if show:
        click.echo(accounts.printed(stacks), nl=False)
        if others and not names:
            click.echo(f"Printed is the trust. The stores of releases: --stack {' --stack '.join(others)}", err=True)
    elif form == "json":
        click.echo(json.dumps([accounts.as_json(stack) for stack in stacks], indent=2))
    elif compare or deploy:
        accounts.expect_accounts(stacks, profile_of)
        sys.exit(_deploy(stacks, profile_of, yes) if deploy else _differ(stacks, profile_of))
    else:
        from dpra.cli import tables

        tables.show_stacks(stacks)


def _accounts(
    root: Path, environments: "Sequence[str]", given: "Iterable[str]"
) -> "tuple[list[Stack], dict[str, str]]":
    """The stacks of some environments, or of all, and the profile for each. What the repository lacks is told."""
    plan, data = common.plan(root)

    from dpra import bootstrap, render, tree

    if unknown := sorted(set(environments) - set(plan.spec.environments)):
        common.fail(
            f"no environment {', '.join(unknown)}; there is {', '.join(plan.spec.environments)}", common.WRONG_INPUT
        )
    profile_of = bootstrap.profiles(given, {name: one.account for name, one in plan.spec.environments.items()})
    if not plan.spec.repository_id:
        plan = _identified(plan, data)
    own = {path: tree.read(root, path) for path in plan.spec.unmanaged if path.startswith("infrastructure/dpra/")}
    texts = {path: (text or b"").decode("utf-8", "replace") for path, text in own.items()}
    stacks = bootstrap.stacks(plan, {**render.infrastructure(plan), **texts})
    stacks = [stack for stack in stacks if not environments or stack.environment in environments]
    for path, template in {stack.path: stack.template for stack in stacks}.items():
        if path in own and not own[path]:
            common.fail(f"{path}: is unmanaged, and not there", common.WRONG_INPUT)
        if tree.read(root, path) != template.encode():
            click.echo(f"{path}: is not what dpra.yml and GitHub say; run: dpra generate", err=True)
    return stacks, profile_of


def _identified(plan: "Plan", data: bytes) -> "Plan":
    """The plan with the ids of the repository, if GitHub says them; what that means for the trust is told."""
    from dpra import bootstrap, problems
    from dpra.github import client, identity

    try:
        found = identity.identity(client.client(), plan.spec.repository)
    except client.GitHubError as error:
        click.echo(f"{error.told}.\n{identity.by_name(plan.spec)}", err=True)
        return plan
    try:
        plan = problems.planned(bootstrap.known_to(plan.spec, found))
    except problems.PlanError as error:
        raise common.positioned(error, data) from None
    click.echo(identity.advice(found), err=True)
    return plan


def _differ(stacks: "Sequence[Stack]", profile_of: "Mapping[str, str]") -> int:
    from dpra import bootstrap

    different = 0
    for stack in stacks:
        click.secho(f"{stack.environment}, {stack.account}, {stack.region}: {stack.name}", bold=True)
        different += bootstrap.differs(stack, profile_of[stack.environment])
    click.echo(f"{different} of {len(stacks)} stacks are not what dpra.yml says; nothing was changed.")
    return common.DOES_NOT_HOLD if different else 0


def _deploy(stacks: "Sequence[Stack]", profile_of: "Mapping[str, str]", yes: bool) -> int:
    from dpra import bootstrap

    changed = 0
    for stack in stacks:
        click.secho(f"{stack.environment}, {stack.account}, {stack.region}: {stack.name}", bold=True)
        confirm = (lambda _: True) if yes else click.confirm
        done = bootstrap.deploy(stack, profile_of[stack.environment], confirm)
        if done == "declined":
            click.echo(f"{stack.name} was left as it is, and so are those behind it.")
            return common.DOES_NOT_HOLD
        changed += done == "deployed"
    click.echo(f"{len(stacks)} stacks are what dpra.yml says; {changed} changed.")
    return 0


@click.command()
@click.option("--reason", required=True, help="Why; the record keeps it.")
@click.option("--profile", default="", help="The AWS CLI's profile for production's account.")
@click.pass_obj
def unlock(root: Path, reason: str, profile: str) -> None:
    """Breaks the release lock of a run that does not release it. Regions that it touched the rollback workflow ends.

    \b
    dpra unlock --reason "its runner is gone, and it had touched nothing"
    """
    made, _ = common.plan(root)

    import os
    import tempfile
    import time

    from dpra import resources

    if made.record is None:
        common.fail(
            f"the pipeline type {made.spec.pipeline} keeps no release record: there is no lock", common.WRONG_INPUT
        )
    record, said = resources.lib("record"), made.record
    place = record.Place(said.region, said.bucket, said.key, said.account)
    if profile:
        os.environ["AWS_PROFILE"] = profile
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RUNNER_TEMP"] = folder
        try:
            lock = record.change(place, lambda kept: record.break_lock(kept, reason, time.time()))
        except record.runner.Failed as failed:
            common.fail(str(failed), common.OUTSIDE_WORLD if failed.result == "error" else common.DOES_NOT_HOLD)
    click.echo(f"The lock of run {lock['run']} is broken." if lock else "Nobody held the lock.")
