"""configuration: flags and operational configuration on this machine, by the pack's own rules."""

import datetime
import gc
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from dpra.cli import common

FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
BLOCKING = ("critical", "high", "medium")


@click.group()
def configuration() -> None:
    """Dynamic configuration: checked, compared, listed; a flag switched off.

    \b
    dpra configuration check                                     every problem, with its place
    dpra configuration diff                                      what this branch would change, for whom
    dpra configuration report                                    the flags there are, expired ones first
    dpra configuration off new-checkout --environment ENV
    dpra configuration import --flags ENV=flags.json             flags.yml from what AppConfig has
    """


class _Pack:
    """The pack's modules, and what a repository has written, read by them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plan, _ = common.plan(root)
        if "configuration" not in self.plan.catalogue.takes:
            spec = self.plan.spec
            common.fail(f"{spec.name} is of type {spec.pipeline}, which has no configuration", common.WRONG_INPUT)

        from dpra import resources

        gc.disable()  # a short run makes no cycles that are worth a search: half of its time
        resources.lib("runner")  # then the pack's modules find each other, by their own names
        self.build, self.flags, self.history, self.nodes, self.parsers, self.profiles, self.report = (
            importlib.import_module(f"configuration_{name}")
            for name in "build flags history nodes parsers profiles report".split()
        )
        self.settings = self.build.settings(json.dumps(dict(self.plan.configuration)))

    def built(self, files: dict[str, bytes]) -> Any:
        return self.build.build(files, self.settings, self.parsers.events)

    def here(self) -> Any:
        try:
            return self.built(self.build.in_folder(self.root, self.settings))
        except LookupError as error:
            common.fail(str(error), common.WRONG_INPUT)


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


@configuration.command()
@click.option(
    "--references",
    "code",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another checkout, in which code names flags. Left out: this one.",
)
@FORMAT
@click.pass_obj
def check(root: Path, code: Path | None, form: str) -> None:
    """Tells every problem, a line each: file, line, column.

    \b
    dpra configuration check
    dpra configuration check --references ../shop     the code of the application

    Exit codes: 1 where a problem is medium or worse, 2 where a file cannot be read.
    """
    pack = _Pack(root)
    build, built, seen = pack.build, pack.here(), pack.history.seen(root, pack.settings.flags)
    found = [*built.problems, *build.sizes(built, built.documents()), *build.quality(built, _today())]
    for profile in built.profiles.values():
        pack.profiles.violations(profile, pack.parsers.validate, found)
    unread = any(problem.rule == "syntax" for problem in found)
    globs = pack.settings.references or (("**",) if code else ())
    if globs and seen is not None and not unread:
        removed = {name for name in seen if name not in built.flags}
        prefix = f"{code.as_posix()}/" if code else ""
        found += pack.history.references(code or root, globs, removed, () if code else built.files, prefix)
    found = build.ordered(found)
    if form == "json":
        told = [{**one._asdict(), "severity": build.RULES[one.rule].severity} for one in found]
        click.echo(json.dumps(told, indent=1))
    else:
        for one in found:
            line = f"{one.file}:{one.line}:{one.column}: {one.text} ({one.rule}, {build.RULES[one.rule].severity})"
            click.echo(line if line.isprintable() else ascii(line)[1:-1])
        if globs and seen is None:
            click.echo("Which flags there were is not known: there is no git history, or a part of it only.", err=True)
        flags, profiles = _many(len(built.flags), "flag"), _many(len(built.profiles), "profile")
        click.echo(f"{flags}, {profiles}: {_many(len(found), 'problem')}.")
    if unread:
        sys.exit(common.WRONG_INPUT)
    sys.exit(common.DOES_NOT_HOLD if any(build.RULES[one.rule].severity in BLOCKING for one in found) else 0)


@configuration.command()
@click.option("--from", "ref", help="The commit with which it is compared. Left out: where this branch left the trunk.")
@FORMAT
@click.pass_obj
def diff(root: Path, ref: str | None, form: str) -> None:
    """Shows what the files here would change, by environment: flags, variants, operational configuration.

    \b
    dpra configuration diff
    dpra configuration diff --from v1.4.0 --format json
    """
    pack = _Pack(root)
    before = ref or _left(root, pack.plan.spec.trunk)
    try:
        files = pack.build.at_commit(root, before, pack.settings) if before else {}
    except LookupError:
        says = f"git does not know '{before}' here; fetch it, or name another with --from"
        common.fail(says, common.WRONG_INPUT)
    new = pack.here()
    found = pack.report.differences(pack.built(files).documents(), new.documents(), pack.settings.regions)
    if form == "json":
        click.echo(json.dumps({"environments": [one.data() for one in found]}, indent=1))
        return

    from dpra.cli import tables

    tables.show_configuration(pack.report.difference_tables(found))
    if not before:
        click.echo("All of it is new: there is no commit yet with which it could be compared.", err=True)
    if new.problems:
        click.echo(f"{_many(len(new.problems), 'problem')}: dpra configuration check", err=True)


def _left(root: Path, trunk: str) -> str:
    """The commit at which this branch left the trunk; on the trunk, the one that is checked out; empty: none."""
    for name in (f"origin/{trunk}", trunk):
        words = ["git", "merge-base", "HEAD", name]
        ran = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
        if ran.returncode == 0:
            return ran.stdout.strip()
    words = ["git", "rev-parse", "--quiet", "--verify", "HEAD"]
    return "HEAD" if subprocess.run(words, cwd=root, capture_output=True, check=False).returncode == 0 else ""


@configuration.command()
@FORMAT
@click.pass_obj
def report(root: Path, form: str) -> None:
    """Lists the flags: owner, age, when they are to go, their state by environment; expired ones first.

    \b
    dpra configuration report
    dpra configuration report --format json
    """
    pack = _Pack(root)
    built = pack.here()
    found = pack.report.rows(built, _today(), pack.history.seen(root, pack.settings.flags))
    if form == "json":
        click.echo(json.dumps([row.data() for row in found], indent=1))
        return

    from dpra.cli import tables

    tables.show_configuration([pack.report.report_table(found, pack.settings.environments)])
    if built.problems:
        click.echo(f"{_many(len(built.problems), 'problem')}: dpra configuration check", err=True)


@configuration.command()
@click.argument("flag")
@click.option("--environment", required=True, help="Where it goes off.")
@click.option("--dry-run", is_flag=True, help="Show the change; write nothing.")
@click.pass_obj
def off(root: Path, flag: str, environment: str, dry_run: bool) -> None:
    """Switches a flag off for everybody in an environment: in the file, with its comments kept. Deploys nothing.

    \b
    dpra configuration off new-checkout --environment ENV --dry-run
    dpra configuration off new-checkout --environment ENV
    """
    pack = _Pack(root)
    built = pack.here()
    if environment not in pack.settings.environments:
        common.fail(f"there is no environment '{environment}'; there are {', '.join(pack.settings.environments)}", 2)
    if flag not in built.flags:
        more = pack.nodes.meant(flag, built.flags)
        common.fail(f"there is no flag '{flag}' in {pack.settings.flags}{more}", common.WRONG_INPUT)
    file = built.flags[flag].file
    content = (root / file).read_bytes()
    mark, data = (content[:3], content[3:]) if content.startswith(b"\xef\xbb\xbf") else (b"", content)
    try:
        node = pack.nodes.read(data, file, pack.parsers.events, [])
        text = pack.flags.off(data.decode(), node, flag, environment)
    except LookupError as error:
        common.fail(f"{file}: {error}", common.WRONG_INPUT)

    from dpra import tree

    change = tree.Change(file, "stale", content, mark + text.encode())
    if change.old == change.new:
        click.echo(f"{flag} is off in {environment} already")
        return
    common.show_diff(change)
    if not dry_run:
        tree.put(root, {file: mark + text.encode()})
        click.echo(f"{file} written: {flag} is off in {environment} from the next release on")


@configuration.command("import")
@click.option("--flags", "said", multiple=True, required=True, metavar="ENVIRONMENT=FILE", help="A document of flags.")
@click.option("--dry-run", is_flag=True, help="Show the file; write nothing.")
@click.option("--force", is_flag=True, help="Replace a file that is there; the difference is shown.")
@click.pass_obj
def import_(root: Path, said: tuple[str, ...], dry_run: bool, force: bool) -> None:
    """Writes the flags' file from documents of AppConfig, as its console or the AWS CLI gives them.

    \b
    dpra configuration import --flags beta=beta.json --flags prod=prod.json --dry-run
    """
    from dpra import tree
    from dpra.adopt import flags

    pack = _Pack(root)
    path, documents = pack.settings.flags, dict[str, bytes]()
    for one in said:
        environment, _, name = one.partition("=")
        if environment not in pack.settings.environments:
            there = ", ".join(pack.settings.environments)
            common.fail(f"--flags {one}: there is no environment '{environment}'; there are {there}", 2)
        try:
            documents[environment] = Path(name).read_bytes()
        except OSError as error:
            common.fail(f"--flags {one}: {error.strerror}", common.WRONG_INPUT)
    if (root / path).is_dir():
        common.fail(f"{path} is a folder: name a file as configuration.flags in dpra.yml first", common.WRONG_INPUT)
    text, notes = flags.from_documents(documents)
    before = tree.read(root, path)
    if before is not None and not (force or dry_run):
        common.fail(f"{path}: exists. See the change: --dry-run; replace it: --force", common.DOES_NOT_HOLD)
    common.show_diff(tree.Change(path, "stale", before or b"", text.encode()))
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    if not dry_run:
        tree.put(root, {path: text.encode()})
        click.echo(f"{path} written. Next: dpra configuration check")
