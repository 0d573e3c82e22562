"""What the commands share: from dpra.yml to a plan, and how a difference is shown."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from dpra.plan import Plan
    from dpra.problems import PlanError
    from dpra.spec.reader import Problems
    from dpra.tree import Change

DOES_NOT_HOLD, WRONG_INPUT, OUTSIDE_WORLD = 1, 2, 3
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def fail(message: str, code: int) -> NoReturn:
    """End the command with a message."""
    click.echo(message, err=True)
    sys.exit(code)


def plan(root: Path) -> "tuple[Plan, bytes]":
    """The plan of the spec in `root`, and the spec's bytes.

    Raises:
        Problems: with every problem that it has, each with its place.
    """
    from dpra import catalogue, problems
    from dpra.spec import reader

    data = reader.read_bytes(root / "dpra.yml", root)
    spec = reader.read(data, catalogue.words())
    try:
        return problems.planned(spec, root), data
    except problems.PlanError as error:
        raise positioned(error, data) from None


def positioned(error: "PlanError", data: bytes) -> "Problems":
    """What is wrong with a plan, at the places of the spec that say it."""
    from dpra.spec import reader

    found = [reader.Problem(*reader.where(data, key), f"{key}: {text}") for key, text in error.problems.items()]
    return reader.Problems("dpra.yml", found)


def show_diff(change: "Change") -> None:
    """The difference that a change makes, in colour on a terminal."""
    from dpra import tree

    if change.new is None:  # that it goes is said, and git has what it was
        return
    for line in tree.diff(change):
        click.secho(line, fg=COLOURS.get(line[:1]))
