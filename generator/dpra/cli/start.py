"""new, init, completion: where it begins."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dpra.cli import common

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.option("--no-input", is_flag=True, help="Ask nothing; take the defaults for what is not given.")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where to make it.")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
def new(no_input: bool, output: Path, values: tuple[str, ...]) -> None:
    """Makes a repository: a small service, its tests and infrastructure, dpra.yml and the pipeline.

    \b
    dpra new                                    asks
    dpra new --no-input -o /tmp name=shop       asks nothing
    """
    from dpra.adopt import new as making

    given = dict(value.partition("=")[::2] for value in values)
    made = making.new(output, given, ask=not no_input)
    click.echo(f"{made} is ready. Next: cd {made} && dpra rehearse --offline")


@click.command()
@click.option("--no-input", is_flag=True, help="Ask nothing; of several plausible answers take the first.")
@click.option("--force", is_flag=True, help="Replace a dpra.yml that is there; the difference is shown.")
@click.option("--dry-run", is_flag=True, help="Show the dpra.yml; write nothing.")
@click.option(
    "--from-organisation", is_flag=True, help="An account fleet: the files of the AWS organisation that is there."
)
@click.option(
    "--seen",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --from-organisation: a saved organisation (seen.json) in place of AWS.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def init(
    root: Path, no_input: bool, force: bool, dry_run: bool, from_organisation: bool, seen: Path | None, form: str
) -> None:
    """Writes a first dpra.yml for the repository that is here, from the files that say what it is made of.

    \b
    dpra init --dry-run              what it would say
    dpra init                        asks where several answers are plausible
    dpra init --no-input             asks nothing
    dpra init --from-organisation    accounts, units and policies of an AWS organisation, with your credentials
    """
    import os

    if seen and not from_organisation:
        common.fail("--seen: goes together with --from-organisation", common.WRONG_INPUT)
    if from_organisation:
        if force:
            common.fail("--force: --from-organisation writes over nothing", common.WRONG_INPUT)
        from dpra.cli import organisation

        organisation.init(root, seen, dry_run, form)
        return

    from dpra import tree
    from dpra.adopt import detect, initial

    there = tree.read(root, "dpra.yml")
    if there is not None and not (force or dry_run):
        common.fail(
            "dpra.yml: exists. See what init would say: dpra init --dry-run; replace it: --force", common.DOES_NOT_HOLD
        )
    asks = not no_input and form == "text" and sys.stdin.isatty()
    chosen: list[str] = []

    def choose(question: str, answers: "Sequence[str]") -> int:
        if not asks:
            chosen.append(f"{question} {answers[0]}, the first of: {', '.join(answers)}")
            return 0
        for number, answer in enumerate(answers, 1):
            click.echo(f"  {number}  {answer}")
        return int(click.prompt(question, type=click.IntRange(1, len(answers)), default=1)) - 1

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    made = initial.make(detect.detect(root), region, choose, lambda paths: tree.ignored(root, paths))
    files = {"dpra.yml": made.text.encode()}
    if made.starter:
        files[initial.STARTER] = made.starter
    if form == "text" and dry_run:
        click.echo(made.text, nl=False)
    if form == "text" and there is not None:
        common.show_diff(tree.Change("dpra.yml", "edited", there, files["dpra.yml"]))
    if not dry_run:
        tree.put(root, files)
    if form == "json":
        keys = [{"key": key, "value": value, "why": why} for key, value, why in made.assumed]
        notes = [*chosen, *made.notes]
        written = [] if dry_run else list(files)
        click.echo(
            json.dumps(
                {"spec": made.text, "assumed": keys, "unknown": made.unknown, "notes": notes, "written": written}
            )
        )
        return
    click.echo("Assumed:", err=dry_run)
    for key, value, why in made.assumed:
        click.echo(
            f"  {key}: {value.splitlines()[0]}{' …' if chr(10) in value else ''}{f'  ({why})' if why else ''}",
            err=dry_run,
        )
    for title, lines in (("Not known:", made.unknown), ("Note:", [*chosen, *made.notes])):
        for line in lines:
            click.echo(f"{title} {line}", err=dry_run)
    if not dry_run:
        click.echo(f"{' and '.join(files)} written. Next: fill in what is not known, then dpra plan and dpra generate")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Prints the shell's completion script.

    \b
    eval "$(dpra completion bash)"
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        common.fail(f"{shell}: no completion", common.WRONG_INPUT)
    from dpra.cli import main

    click.echo(kind(main, {}, "dpra", "_DPRA_COMPLETE").source())
