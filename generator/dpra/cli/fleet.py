"""fleet: the accounts of an organisation, its policies and baselines on this machine, by the pack's own rules."""

import gc
import importlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from dpra.cli import common

BLOCKING = ("critical", "high", "medium")
FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")


@click.group()
def fleet() -> None:
    """An account fleet: its policies tested, an account explained, the plan of a change.

    \b
    dpra fleet test                      every problem of the files, every row that does not hold
    dpra fleet explain shop-prod         what an account has, and from where
    dpra fleet plan --against main       what this branch would change
    dpra fleet plan                      what it would change in the organisation that is there
    """


class _Table(NamedTuple):
    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


class _Pack:
    """The pack's modules, and the fleet of a repository, read by them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plan, _ = common.plan(root)
        if "fleet" not in self.plan.catalogue.takes:
            spec = self.plan.spec
            common.fail(f"{spec.name} is of type {spec.pipeline}, which has no fleet", common.WRONG_INPUT)

        from dpra import documents, resources

        gc.disable()  # a short run makes no cycles that are worth a search: half of its time
        resources.lib("runner")  # then the pack's modules find each other, by their own names
        self.checks, self.files, self.parts, self.plans, self.seen, self.explain, self.parsers = (
            importlib.import_module(name)
            for name in (
                *("fleet_checks", "fleet_files", "fleet_parts", "fleet_plan", "fleet_seen", "fleet_explain"),
                "configuration_parsers",
            )
        )
        said = documents.fleet(self.plan.spec, self.plan.environments.values())
        self.settings = self.checks.settings(json.dumps(dict(said)))

    def here(self) -> Any:
        try:
            return self.checks.compiled(self.root, self.settings, self.parsers.events)
        except LookupError as error:
            common.fail(str(error), common.WRONG_INPUT)

    def blocking(self, problems: Iterable[Any]) -> bool:
        return any(self.checks.RULES[one.rule].severity in BLOCKING for one in problems)

    def show(self, problems: Iterable[Any], *, err: bool = False) -> None:
        for one in problems:
            told = f"{one.file}:{one.line}: {one.message} ({one.rule}, {self.checks.RULES[one.rule].severity})"
            click.echo(_printable(told), err=err)


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@fleet.command()
@FORMAT
@click.pass_obj
def test(root: Path, form: str) -> None:
    """Tells every problem of the files, and every row of the policy tests that does not hold, a line each.

    A row that does not hold says what was expected and found, by which statement of which policy, and from where that
    is inherited. Nothing is asked of AWS.

    \b
    dpra fleet test
    dpra fleet test --format json

    Exit codes: 1 where a row does not hold or a problem is medium or worse, 2 where a file cannot be read.
    """
    pack = _Pack(root)
    found = pack.here()
    rows, problems = found.tested()
    problems = sorted({*problems, *found.problems()})
    if form == "json":
        severity = pack.checks.RULES
        told = [{**one._asdict(), "severity": severity[one.rule].severity} for one in problems]
        click.echo(json.dumps({"problems": told, "rows": pack.checks.evidence(rows)}, indent=1))
    else:
        pack.show(problems)
        wrong = sum(not one.holds for one in rows)
        held = "all hold" if not wrong else f"{wrong:,} do not hold" if wrong > 1 else "1 does not hold"
        accounts, others = _many(len(found.fleet.accounts), "account"), _many(len(problems) - wrong, "other problem")
        click.echo(f"{accounts}, {_many(len(rows), 'row')}: {held if rows else 'none'}; {others}.")
    if found.unread:
        sys.exit(common.WRONG_INPUT)
    sys.exit(common.DOES_NOT_HOLD if pack.blocking(problems) else 0)


@fleet.command()
@click.argument("account")
@FORMAT
@click.pass_obj
def explain(root: Path, account: str, form: str) -> None:
    """Shows what an account has, by its name, id or e-mail: policies, baselines, tags and more, and from where.

    \b
    dpra fleet explain shop-prod
    dpra fleet explain 123456789012 --format json
    """
    pack = _Pack(root)
    found = pack.here()
    told = pack.explain.explained(found.fleet, account, pack.settings.folder)
    if told is None:
        nodes = importlib.import_module("configuration_nodes")
        more = nodes.meant(account, found.fleet.by_name)
        common.fail(f"there is no account '{_printable(account[:120])}' in the files{more}", common.WRONG_INPUT)
    if form == "json":
        click.echo(json.dumps(told, indent=1))
    else:
        from dpra.cli import tables

        tables.show_configuration(_tables(told))
    if found.unread:
        click.echo(f"{_many(len(found.unread), 'problem')}: dpra fleet test", err=True)


def _tables(told: dict[str, Any]) -> list[_Table]:
    number = told["id"] or "no id in the files"
    about = [
        ("e-mail", told["email"]),
        ("unit", " > ".join(told["path"])),
        ("delivered with", told["part"]),
        ("budget", f"{told['budget']:g} US dollars a month" if told["budget"] is not None else "none"),
        ("deletion protection", "yes" if told["deletion-protection"] else "no"),
        ("tags", ", ".join(f"{key}={value}" for key, value in told["tags"].items())),
        *((f"{kind} contact", ", ".join(contact.values())) for kind, contact in told["contacts"].items()),
    ]
    policies = [[one["name"], one["type"], one["from"], one["place"]] for one in told["policies"]]
    baselines = [[one["name"], ", ".join(one["regions"]), one["from"], one["place"]] for one in told["baselines"]]
    title = _printable(f"{told['account']} ({number}), {told['place']}")
    return [
        _Table(title, ("what", "value"), about),
        _Table("Policies" if policies else "No policies", ("policy", "type", "from", "place"), policies),
        _Table("Baselines" if baselines else "No baselines", ("baseline", "regions", "from", "place"), baselines),
    ]


@fleet.command()
@click.option(
    "--seen",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A saved organisation (seen.json) in place of AWS.",
)
@click.option("--against", metavar="REVISION", help="The files of a commit or branch, taken as the organisation.")
@click.option("--format", "form", type=click.Choice(["markdown", "json"]), default="markdown")
@click.pass_obj
def plan(root: Path, seen: Path | None, against: str | None, form: str) -> None:
    """Shows what the files here would change, step by step, and what each account would gain and lose. Changes nothing.

    The organisation is read with your credentials of its management account, which need to read only.

    \b
    dpra fleet plan
    dpra fleet plan --against main --format json
    dpra fleet plan --seen seen.json

    Exit codes: 1 where the plan could not be applied, or the files have problems.
    """
    if seen and against:
        common.fail("--seen and --against: one of them, or none", common.WRONG_INPUT)
    pack = _Pack(root)
    found = pack.here()
    if pack.blocking(problems := found.problems()):
        pack.show(problems, err=True)
        common.fail(f"{_many(len(problems), 'problem')}: nothing is planned", common.DOES_NOT_HOLD)
    made = _against(pack, found, against) if against else _organisation(pack, found, seen)
    text = json.dumps(made.as_json(), indent=1) if form == "json" else pack.plans.summary(made)
    click.echo(text)
    sys.exit(common.DOES_NOT_HOLD if made.refused else 0)


def _against(pack: _Pack, found: Any, revision: str) -> Any:
    try:
        files = pack.files.at_commit(pack.root, revision, pack.settings.folder)
    except LookupError as error:
        common.fail(f"--against {_printable(revision)}: {_printable(str(error))}", common.WRONG_INPUT)
    before = pack.checks.earlier(files, pack.settings, pack.parsers.events)
    if files and not pack.checks.sound(before):
        common.fail(f"--against {_printable(revision)}: its files have problems", common.WRONG_INPUT)
    return pack.parts.change(before.fleet, found.fleet)


def _organisation(pack: _Pack, found: Any, saved: Path | None) -> Any:
    from dpra.cli import organisation

    if saved:
        said = organisation._saved(saved)
    else:
        where = pack.plan.production
        if where is None or not where.regions:
            common.fail("dpra.yml names no environment in which the organisation is", common.WRONG_INPUT)
        said = organisation._read(where.regions[0], pack.settings.component)
        if said["management"] != where.account:
            says = f"the credentials are of the organisation of {said['management']}"
            common.fail(f"{says}; dpra.yml's is that of {where.account}", common.WRONG_INPUT)
    try:
        there = pack.seen.Seen.from_json(said)
    except ValueError as error:
        common.fail(f"{saved or 'AWS'}: {error}", common.WRONG_INPUT)
    if locked := found.locked(there):
        pack.show(locked, err=True)
        common.fail(f"{_many(len(locked), 'problem')}: nothing is planned", common.DOES_NOT_HOLD)
    return pack.plans.plan(found.fleet, there)
