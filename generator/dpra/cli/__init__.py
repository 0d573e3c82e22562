"""The command. A file for each family of subcommands, which is imported when one of them is asked for.

What a subcommand needs is imported inside it, behind the reading of the spec, so that it starts at once and a wrong
spec is told at once; tests/test_imports.py holds that.
"""

import atexit
import gc
import importlib
import io
import sys
from pathlib import Path
from typing import Any

import click

from dpra import __version__
from dpra.errors import DpraError

gc.set_threshold(100_000)  # a short run makes no cycles that are worth a search: a tenth of its time

COMMANDS = {  # subcommand -> its module here, and the first line of its help
    "generate": ("generate", "Writes the workflows and all that goes with them."),
    "check": ("generate", "Tells whether the generated files are what dpra.yml says; shows the difference."),
    "plan": ("generate", "Shows every DPRA action: where it runs, with what, whether it blocks, and why."),
    "schema": ("generate", "Prints the JSON Schema of dpra.yml, for editors; or its reference, for people."),
    "new": ("start", "Makes a repository: a small service, its tests and infrastructure, dpra.yml and the pipeline."),
    "init": ("start", "Writes a first dpra.yml for the repository that is here."),
    "bootstrap": ("accounts", "Prepares the AWS accounts: GitHub's OIDC provider, the pipeline's roles, the stores."),
    "unlock": ("accounts", "Breaks the release lock of a run that does not release it."),
    "rehearse": ("rehearse", "Runs the generated pipeline here: no Docker, no GitHub, no AWS account."),
    "evidence": ("checks", "Shows what a run's evidence.json proves."),
    "baseline": ("checks", "Writes a baseline: what the checks find today does not fail, what is new does."),
    "tools": ("checks", "Lists the tools of the checks: what each serves, its version and where it comes from."),
    "configuration": ("configuration", "Dynamic configuration: checked, compared, listed; a flag switched off."),
    "fleet": ("fleet", "An account fleet: its policies tested, an account explained, the plan of a change."),
    "cleanse": ("checks", "Shows which secrets are in the repository's history and how to purge them."),
    "completion": ("start", "Prints the shell's completion script."),
}


class Commands(click.Group):
    """The subcommands, each imported when it is run; and one place where errors become messages and exit codes."""

    def __init__(self, **options: Any) -> None:
        stubs = [click.Command(name, help=text) for name, (_, text) in COMMANDS.items()]
        super().__init__(commands=stubs, **options)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, stub, rest = super().resolve_command(context, args)
        return name, real(name) if name and stub else stub, rest

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except DpraError as error:
            click.echo(error.told, err=True)
            sys.exit(error.exit_code)


def real(name: str) -> click.Command:
    """A subcommand, from its module."""
    found: click.Command = getattr(importlib.import_module(f"dpra.cli.{COMMANDS[name][0]}"), name)
    return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
@click.option(
    "-C",
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="The repository.",
)
@click.pass_context
def main(context: click.Context, directory: Path) -> None:
    """Delivers a component through AWS's Deployment Pipeline Reference Architecture: dpra.yml in, pipeline out.

    \b
    Start:   dpra new name=shop      or, in a repository that is there: dpra init
    Change:  edit dpra.yml, then: dpra generate
    Try:     dpra rehearse --offline

    Exit codes: 0 done or holds, 1 does not hold (drift, a failed gate), 2 wrong input, 3 the outside world failed.
    """
    context.obj = directory
    atexit.register(gc.freeze)  # no search for cycles in what ends with the process anyway: an eighth of a short run
    for stream in (sys.stdout, sys.stderr):  # a console that cannot show a character shows its number
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
