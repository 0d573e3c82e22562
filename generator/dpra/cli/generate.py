"""generate, check, plan, schema: what dpra.yml leads to."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dpra.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dpra.github.tags import Pin
    from dpra.plan import Plan
    from dpra.render import File
    from dpra.tree import Change


def _compare(root: Path) -> "tuple[list[Change], Mapping[str, File], bytes, Plan]":
    """What is generated against what is there, the spec's bytes, and the plan."""
    plan, data = common.plan(root)

    from dpra import problems, render, tree

    try:
        files = tree.placed(root, render.files(plan))
    except problems.PlanError as error:
        raise common.positioned(error, data) from None
    return tree.compare(root, files, plan.spec.unmanaged), files, data, plan


@click.command()
@click.option("--diff", "show_diff", is_flag=True, help="Show what would change; write nothing.")
@click.option("--force", is_flag=True, help="Revert manual edits, and replace files that dpra did not make.")
@click.pass_obj
def generate(root: Path, show_diff: bool, force: bool) -> None:
    """Writes the workflows and all that goes with them.

    \b
    dpra generate --diff     what would change
    dpra generate            change it
    """
    changes, files, data, plan = _compare(root)

    from dpra import tree

    refused = [] if force else [change for change in changes if change.refused]
    for change in changes if show_diff else refused:
        common.show_diff(change)
    for change in refused:
        _say_refused(change)
    if refused:
        common.fail("Nothing was written. With --force dpra's version replaces what is there.", common.DOES_NOT_HOLD)
    if show_diff:
        return
    tree.write(root, changes, files, data, plan.spec.unmanaged)
    written = [change for change in changes if change.new != change.old]
    for change in written:
        click.echo(f"{'removed' if change.new is None else 'written'}  {change.path}")
        for wrong in change.pins:
            click.echo(f"{change.path}: {wrong}; taken back", err=True)
    click.echo(f"{len(files)} files are what dpra.yml says; {len(written)} changed.")
    if any(None in (change.old, change.new) for change in written):
        click.echo(_trade(plan.spec.pack))
    _say_ignored(root, files)
    _say_unowned(root, files)


def _say_ignored(root: Path, files: "Iterable[str]") -> bool:
    """Names the files that git would not commit; whether there are any."""
    from dpra import tree

    found = tree.ignored(root, [*files, tree.LOCK])
    for path, rule in found.items():
        click.echo(f"{path}: git ignores it ({rule}); git add --force it, or list it under unmanaged", err=True)
    return bool(found)


def _trade(pack: str) -> str:
    """Both ways of having the actions, and what each costs."""
    from dpra.names import VENDORED

    vendored = f"vendored in {VENDORED}, no other repository is needed, but a change can touch what judges it"
    other = "by `pack` no change here touches it, but every run needs that repository"
    return f"The actions: {vendored}; {other}. Here: {f'pack {pack}' if pack else 'vendored'}."


def _say_unowned(root: Path, files: "Iterable[str]") -> bool:
    """Names what takes the protection of dpra's lines in CODEOWNERS away; whether there is any."""
    from dpra import resources

    found = list(resources.lib("check").unowned(root, set(files)))
    for path, text in found:
        click.echo(f"{path}: {text}", err=True)
    return bool(found)


def _asked(changes: "list[Change]", files: "Mapping[str, File]", pack: str) -> "list[tuple[Pin, str, str]]":
    """The pins that pins.yml does not know, and the pack's: what GitHub says of each."""
    from dpra import tree

    if not (found := tree.unverified(changes, files, pack)):
        return []

    from dpra.github.tags import Pin, verified

    return list(verified(Pin(*name.partition("@")[::2], commit) for name, commit in found.items()))


def _say_refused(change: "Change") -> None:
    from dpra import tree

    for wrong in change.pins:
        click.echo(f"{change.path}: {wrong}", err=True)
    if change.state == "pin":
        return
    if change.state == "stray":
        path = change.path if change.path.isprintable() else ascii(change.path)
        click.echo(f"{path}: not made by dpra, and runs beside what is; delete it, or move it elsewhere", err=True)
    elif change.state == "foreign":
        click.echo(f"{change.path}: exists, and was not made by dpra", err=True)
    else:
        keys = tree.spec_keys(change)
        hint = f"; dpra.yml says it with {', '.join(keys)}" if keys else ""
        click.echo(f"{change.path}: edited by hand{hint}", err=True)


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def check(root: Path, form: str) -> None:
    """Tells whether the generated files are what dpra.yml says; shows the difference.

    \b
    dpra check                  for people
    dpra check --format json    for machines
    """
    changes, files, _, plan = _compare(root)
    off = [change for change in changes if change.state != "current"]
    pins = _asked(changes, files, plan.spec.pack.partition("@")[0])
    wrong = [pin for pin, state, _ in pins if state == "wrong"]
    if form == "json":
        holds = not off and not wrong and not _say_unowned(root, files)
        states = {"files": {change.path: change.state for change in changes}}
        states["pins"] = {str(pin): state for pin, state, _ in pins}
        click.echo(json.dumps({"holds": holds, **states}, indent=2))
        sys.exit(0 if holds else common.DOES_NOT_HOLD)
    for change in off:
        common.show_diff(change)
    for change in off:
        if change.refused:
            _say_refused(change)
        else:
            for said in change.pins:
                click.echo(f"{change.path}: {said}", err=True)
            click.echo(f"{change.path}: {change.state}; run: dpra generate", err=True)
    for pin, state, why in pins:
        if state != "verified":
            click.echo(f"{pin}: {state}{': ' if why else ''}{why}", err=True)
    bad = [_say_ignored(root, files), _say_unowned(root, files), off, wrong]
    if any(bad):
        sys.exit(common.DOES_NOT_HOLD)
    click.echo(f"{len(files)} files are what dpra.yml says.")


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json", "mermaid"]), default="table")
@click.pass_obj
def plan(root: Path, form: str) -> None:
    """Shows every DPRA action: where it runs, with what, whether it blocks, and why.

    \b
    dpra plan                     a table
    dpra plan --format mermaid    the job graph, for a README
    """
    made, _ = common.plan(root)

    from dpra import describe as planning

    if form == "json":
        from dpra import cost as costs

        click.echo(json.dumps({**planning.as_json(made), "cost": costs.cost(made)}, indent=2))
    elif form == "mermaid":
        click.echo(planning.mermaid(made), nl=False)
    else:
        from dpra.cli import tables

        tables.show_plan(made)


@click.command()
@click.option("--pipeline", default="application", help="The pipeline type.")
@click.option("--format", "form", type=click.Choice(["json", "markdown"]), default="json")
def schema(pipeline: str, form: str) -> None:
    """Prints the JSON Schema of dpra.yml, for editors; or its reference, for people.

    \b
    dpra schema > dpra.schema.json
    dpra schema --format markdown
    """
    from dpra import catalogue
    from dpra.spec.reference import reference
    from dpra.spec.schema import schema as made
    from dpra.spec.schema import together

    words = catalogue.words()
    if pipeline not in words:
        common.fail(f"--pipeline: there is {', '.join(words)}", common.WRONG_INPUT)
    its = together(words, catalogue.folders(pipeline))
    if form == "markdown":
        click.echo(reference(its), nl=False)
    else:
        click.echo(json.dumps(made(its), indent=2))
