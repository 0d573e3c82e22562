"""The command. One short function for each subcommand.

What it needs is imported inside, behind the reading of the spec, so that it starts at once and a wrong spec is told at
once; tests/test_imports.py holds that.
"""

import atexit
import gc
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dpra import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dpra.bootstrap import Stack
    from dpra.plan import Plan
    from dpra.problems import PlanError
    from dpra.tree import Change

DOES_NOT_HOLD, WRONG_INPUT, OUTSIDE_WORLD = 1, 2, 3
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def _fail(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


def _plan(root: Path) -> "tuple[Plan, bytes]":
    """The plan of the spec in `root`, and the spec's bytes; ends the command with every problem it has."""
    from dpra import catalogue, problems
    from dpra.spec import reader

    try:
        data = reader.read_bytes(root / "dpra.yml", root)
        return problems.planned(reader.read(data, catalogue.words()), root), data
    except reader.Problems as error:
        _fail(str(error), WRONG_INPUT)
    except problems.PlanError as error:
        _fail(_with_positions(error, data), WRONG_INPUT)


def _with_positions(error: "PlanError", data: bytes) -> str:
    from dpra.spec import reader

    found = [reader.Problem(*reader.where(data, key), f"{key}: {text}") for key, text in error.problems.items()]
    return str(reader.Problems("dpra.yml", found))


def _compare(root: Path) -> "tuple[list[Change], dict[str, Any], bytes]":
    plan, data = _plan(root)

    from dpra import problems as planning
    from dpra import render, tree

    try:
        files = render.files(plan)
    except planning.PlanError as error:
        _fail(_with_positions(error, data), WRONG_INPUT)
    try:
        return tree.compare(root, files, plan.spec.unmanaged), files, data
    except tree.TreeError as error:
        _fail(str(error), WRONG_INPUT)


def _show_diff(change: "Change") -> None:
    from dpra import tree

    for line in tree.diff(change):
        click.secho(line, fg=COLOURS.get(line[:1]))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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


@main.command()
@click.option("--diff", "show_diff", is_flag=True, help="Show what would change; write nothing.")
@click.option("--force", is_flag=True, help="Take back hand edits and replace files that dpra did not make.")
@click.pass_obj
def generate(root: Path, show_diff: bool, force: bool) -> None:
    """Writes the workflows and all that goes with them.

    \b
    dpra generate --diff     what would change
    dpra generate            change it
    """
    changes, files, data = _compare(root)

    from dpra import tree

    refused = [] if force else [change for change in changes if change.refused]
    for change in changes if show_diff else refused:
        _show_diff(change)
    for change in refused:
        _say_refused(change)
    if refused:
        _fail("Nothing was written. With --force dpra's version replaces what is there.", DOES_NOT_HOLD)
    if show_diff:
        return
    try:
        tree.write(root, changes, files, data)
    except tree.TreeError as error:
        _fail(f"{error}; run dpra generate again when that is mended", OUTSIDE_WORLD)
    written = [change for change in changes if change.new != change.old]
    for change in written:
        click.echo(f"{'removed' if change.new is None else 'written'}  {change.path}")
    click.echo(f"{len(files)} files are what dpra.yml says; {len(written)} changed.")
    _say_ignored(root, files)


def _say_ignored(root: Path, files: "Iterable[str]") -> bool:
    """Names the files that git would not commit; whether there are any."""
    from dpra import tree

    found = tree.ignored(root, [*files, tree.LOCK])
    for path, rule in found.items():
        click.echo(f"{path}: git ignores it ({rule}); git add --force it, or list it under unmanaged", err=True)
    return bool(found)


def _say_refused(change: "Change") -> None:
    from dpra import tree

    if change.state == "foreign":
        click.echo(f"{change.path}: exists, and was not made by dpra", err=True)
    else:
        keys = tree.spec_keys(change)
        hint = f"; dpra.yml says it with {', '.join(keys)}" if keys else ""
        click.echo(f"{change.path}: edited by hand{hint}", err=True)


@main.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def check(root: Path, form: str) -> None:
    """Tells whether the generated files are what dpra.yml says; shows the difference.

    \b
    dpra check                  for people
    dpra check --format json    for machines
    """
    changes, files, _ = _compare(root)
    off = [change for change in changes if change.state != "current"]
    if form == "json":
        click.echo(json.dumps({"holds": not off, "files": {change.path: change.state for change in changes}}, indent=2))
        sys.exit(DOES_NOT_HOLD if off else 0)
    for change in off:
        _show_diff(change)
    for change in off:
        if change.refused:
            _say_refused(change)
        else:
            click.echo(f"{change.path}: {change.state}; run: dpra generate", err=True)
    if _say_ignored(root, files) or off:
        sys.exit(DOES_NOT_HOLD)
    click.echo(f"{len(files)} files are what dpra.yml says.")


@main.command()
@click.option("--format", "form", type=click.Choice(["table", "json", "mermaid"]), default="table")
@click.pass_obj
def plan(root: Path, form: str) -> None:
    """Shows every DPRA action: where it runs, with what, whether it blocks, and why.

    \b
    dpra plan                     a table
    dpra plan --format mermaid    the job graph, for a README
    """
    made, _ = _plan(root)

    from dpra import describe as planning

    if form == "json":
        from dpra import cost as costs

        click.echo(json.dumps({**planning.as_json(made), "cost": costs.cost(made)}, indent=2))
    elif form == "mermaid":
        click.echo(planning.mermaid(made), nl=False)
    else:
        from dpra import tables

        tables.show_plan(made)


@main.command()
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

    words = catalogue.words()
    if pipeline not in words:
        _fail(f"--pipeline: there is {', '.join(words)}", WRONG_INPUT)
    if form == "markdown":
        click.echo(reference(words[pipeline]), nl=False)
    else:
        click.echo(json.dumps(made(words[pipeline]), indent=2))


@main.command()
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
    try:
        made = making.new(output, given, ask=not no_input)
    except making.NewError as error:
        _fail(str(error), WRONG_INPUT)
    click.echo(f"{made} is ready. Next: cd {made} && dpra rehearse --offline")


@main.command()
@click.option("--no-input", is_flag=True, help="Ask nothing; of several plausible answers take the first.")
@click.option("--force", is_flag=True, help="Replace a dpra.yml that is there; the difference is shown.")
@click.option("--dry-run", is_flag=True, help="Show the dpra.yml; write nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def init(root: Path, no_input: bool, force: bool, dry_run: bool, form: str) -> None:
    """Writes a first dpra.yml for the repository that is here, by reading the files that say what it is made of.

    \b
    dpra init --dry-run      what it would say
    dpra init                asks where several answers are plausible
    dpra init --no-input     asks nothing
    """
    import os

    from dpra import tree
    from dpra.adopt import detect, initial

    there = tree.read(root, "dpra.yml")
    if there is not None and not (force or dry_run):
        _fail("dpra.yml: exists. See what init would say: dpra init --dry-run; replace it: --force", DOES_NOT_HOLD)
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
    made = initial.make(detect.detect(root), region, choose, tree.ignored(root, initial.FIXED))
    files = {"dpra.yml": made.text.encode()}
    if made.starter:
        files[initial.STARTER] = made.starter
    if form == "text" and dry_run:
        click.echo(made.text, nl=False)
    if form == "text" and there is not None:
        _show_diff(tree.Change("dpra.yml", "edited", there, files["dpra.yml"]))
    if not dry_run:
        try:
            tree.put(root, files)
        except tree.TreeError as error:
            _fail(str(error), OUTSIDE_WORLD)
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


@main.command()
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
    """Prepares the AWS accounts: GitHub's OIDC provider, the roles of the pipeline, the stores of releases.

    \b
    dpra bootstrap                                   what belongs where
    dpra bootstrap --print prod                      its template, to be deployed by other means
    dpra bootstrap --print prod --stack dpra-shop-store
    dpra bootstrap --deploy --profile admin-{environment}
    """
    if show + compare + deploy > 1:
        _fail("--print, --diff, --deploy: one at a time", WRONG_INPUT)
    if form == "json" and (show or compare or deploy):
        _fail("--format json: goes together with none of --print, --diff, --deploy", WRONG_INPUT)
    if deploy and not yes and not sys.stdin.isatty():
        _fail("--deploy: there is nobody to ask here; with --yes it does not ask", WRONG_INPUT)
    stacks, profile_of = _accounts(root, environments, profiles)

    from dpra import bootstrap as accounts

    if unknown := sorted(set(names) - {stack.name for stack in stacks}):
        there = ", ".join(dict.fromkeys(stack.name for stack in stacks))
        _fail(f"no stack {', '.join(unknown)}; there is {there}", WRONG_INPUT)
    others = dict.fromkeys(stack.name for stack in stacks if not stack.trust)
    stacks = [stack for stack in stacks if (stack.name in names if names else stack.trust or not show)]
    if show:
        click.echo(accounts.printed(stacks), nl=False)
        if not names:
            click.echo(f"Printed is the trust. The stores of releases: --stack {' --stack '.join(others)}", err=True)
    elif form == "json":
        click.echo(json.dumps([accounts.as_json(stack) for stack in stacks], indent=2))
    elif compare or deploy:
        try:
            accounts.expect_accounts(stacks, profile_of)
            sys.exit(_deploy(stacks, profile_of, yes) if deploy else _differ(stacks, profile_of))
        except accounts.BootstrapError as error:
            _fail(str(error), OUTSIDE_WORLD)
    else:
        from dpra import tables

        tables.show_stacks(stacks)


def _accounts(
    root: Path, environments: "Sequence[str]", given: "Iterable[str]"
) -> "tuple[list[Stack], dict[str, str]]":
    """The stacks of some environments, or of all, and the profile for each. What the repository lacks is told."""
    plan, data = _plan(root)

    from dpra import bootstrap, render, tree
    from dpra import problems as planning

    if unknown := sorted(set(environments) - set(plan.spec.environments)):
        _fail(f"no environment {', '.join(unknown)}; there is {', '.join(plan.spec.environments)}", WRONG_INPUT)
    try:
        profile_of = bootstrap.profiles(given, {name: one.account for name, one in plan.spec.environments.items()})
        if not plan.spec.repository_id:
            plan = _identified(plan)
        own = {path: tree.read(root, path) for path in plan.spec.unmanaged if path.startswith("infrastructure/dpra/")}
        texts = {path: (text or b"").decode() for path, text in own.items()}
        stacks = bootstrap.stacks(plan, {**render.infrastructure(plan), **texts})
        stacks = [stack for stack in stacks if not environments or stack.environment in environments]
        for path, template in {stack.path: stack.template for stack in stacks}.items():
            if path in own and not own[path]:
                _fail(f"{path}: is unmanaged, and not there", WRONG_INPUT)
            if tree.read(root, path) != template.encode():
                click.echo(f"{path}: is not what dpra.yml and GitHub say; run: dpra generate", err=True)
    except planning.PlanError as error:
        _fail(_with_positions(error, data), WRONG_INPUT)
    except (bootstrap.ProfileError, tree.TreeError, UnicodeDecodeError) as error:
        _fail(str(error), WRONG_INPUT)
    return stacks, profile_of


def _identified(plan: "Plan") -> "Plan":
    """The plan with the ids of the repository, if GitHub says them; what that means for the trust is told."""
    from dpra import bootstrap
    from dpra import problems as planning

    try:
        found = bootstrap.identity(plan.spec.repository)
    except bootstrap.BootstrapError as error:
        click.echo(f"{error}.\n{bootstrap.by_name(plan.spec)}", err=True)
        return plan
    plan = planning.planned(bootstrap.known_to(plan.spec, found))
    click.echo(bootstrap.advice(found), err=True)
    return plan


def _differ(stacks: "Sequence[Stack]", profile_of: "Mapping[str, str]") -> int:
    from dpra import bootstrap

    different = 0
    for stack in stacks:
        click.secho(f"{stack.environment}, {stack.account}, {stack.region}: {stack.name}", bold=True)
        different += bootstrap.differs(stack, profile_of[stack.environment])
    click.echo(f"{different} of {len(stacks)} stacks are not what dpra.yml says; nothing was changed.")
    return DOES_NOT_HOLD if different else 0


def _deploy(stacks: "Sequence[Stack]", profile_of: "Mapping[str, str]", yes: bool) -> int:
    from dpra import bootstrap

    changed = 0
    for stack in stacks:
        click.secho(f"{stack.environment}, {stack.account}, {stack.region}: {stack.name}", bold=True)
        confirm = (lambda _: True) if yes else click.confirm
        done = bootstrap.deploy(stack, profile_of[stack.environment], confirm)
        if done == "declined":
            click.echo(f"{stack.name} was left as it is, and so are those behind it.")
            return DOES_NOT_HOLD
        changed += done == "deployed"
    click.echo(f"{len(stacks)} stacks are what dpra.yml says; {changed} changed.")
    return 0


@main.command()
@click.option("--only", metavar="STAGE,...", default="", help="Only these stages or jobs, and what they need.")
@click.option("--offline", is_flag=True, help="Install nothing from PyPI: use what dpra's own environment has.")
@click.option("--fail", multiple=True, metavar="PLACE", help="A step fails, a deployment, or a region's way back.")
@click.option("--alarm", multiple=True, metavar="PLACE:NAME@MOMENT", help="An alarm fires: before, deploy or bake.")
@click.option("--deny", multiple=True, metavar="ROLE", help="A role trusts another environment than its own.")
@click.option("--crash", multiple=True, metavar="PLACE", help="The runner dies in mid-deployment.")
@click.option("--lose", multiple=True, metavar="PLACE", help="The whole run dies there.")
@click.option("--tamper", multiple=True, metavar="artifact|PLACE", help="Somebody changes a stored release.")
@click.option("--freeze", is_flag=True, help="No deployment window is open today.")
@click.option("--unapproved", is_flag=True, help="Nobody approved it by a pull request into the approval branch.")
@click.option("--slow-approval", is_flag=True, help="A newer commit is released before this one is approved.")
@click.option("--reason", default="", help="Start the pipeline by hand, with this reason to set rules aside.")
@click.option("--scenario", multiple=True, metavar="ID|all|list", help="Prove what is promised, a fault at a time.")
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="Write what happened there, as HTML.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the result there.")
@click.option(
    "--evidence", "evidence_file", type=click.Path(dir_okay=False, path_type=Path), help="Write evidence.json there."
)
@click.pass_obj
def rehearse(
    root: Path,
    /,
    only: str,
    offline: bool,
    reason: str,
    scenario: tuple[str, ...],
    page: Path | None,
    json_file: Path | None,
    evidence_file: Path | None,
    **faults: "tuple[str, ...] | bool",
) -> None:
    """Runs the generated pipeline here: no Docker, no GitHub, no AWS account.

    With a fault that concerns production the commit before is released first, so that there is something to go back to.

    \b
    dpra rehearse --only build,security --offline
    dpra rehearse --offline --json result.json
    dpra rehearse --offline --fail gamma.synthetic-tests
    dpra rehearse --offline --alarm prod/eu-west-1:shop-errors@bake --page result.html
    dpra rehearse --offline --crash prod.1/eu-west-1 --fail rollback/eu-west-1
    dpra rehearse --offline --scenario all --page result.html
    dpra rehearse --offline --evidence evidence.json && dpra evidence evidence.json --require required
    """
    if sys.platform == "win32":
        _fail("A rehearsal runs on Linux, macOS and WSL: its steps are bash, as the runner's are.", OUTSIDE_WORLD)
    made, _ = _plan(root)

    import tempfile

    from dpra import rehearsal, tables

    known = {*made.stage_of, *made.stage_of.values()}
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := sorted(set(wanted) - known):
        _fail(f"--only: unknown {', '.join(unknown)}; there is {', '.join(sorted(known))}", WRONG_INPUT)
    if scenario:
        _prove(root, made, scenario, offline, page, json_file)
    asked = [(kind.replace("_", "-"), said) for kind, given in faults.items() for said in _each(given)]
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "artifacts" if evidence_file else None
        try:
            result = rehearsal.rehearse(
                root,
                made,
                only=wanted,
                offline=offline,
                keep=kept,
                asked=asked,
                reason=reason,
                show=click.echo,
            )
        except rehearsal.FaultError as error:
            _fail(str(error), WRONG_INPUT)
        except rehearsal.RehearsalError as error:
            _fail(str(error), OUTSIDE_WORLD)
        if evidence_file and kept:
            from dpra import evidence

            merged = evidence.merged(kept, evidence.expected(made)["pipeline"], made.spec.pipeline)
            evidence_file.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
    if json_file:
        json_file.write_text(json.dumps(result.as_json(), indent=2) + "\n", encoding="utf-8")
    if page:
        _write_page(page, result.as_json())
    tables.show_result(result)
    sys.exit(0 if result.ok else DOES_NOT_HOLD)


def _each(given: "tuple[str, ...] | bool") -> "tuple[str, ...]":
    """What was said of a fault; a flag has one empty word."""
    return given if isinstance(given, tuple) else ("",) * given


def _write_page(path: Path, document: "dict[str, Any]") -> None:
    from dpra.rehearsal import page

    path.write_text(page.html(document), encoding="utf-8")
    click.echo(f"{path} written")


def _prove(
    root: Path, made: "Plan", wanted: tuple[str, ...], offline: bool, page: Path | None, json_file: Path | None
) -> NoReturn:
    """Plays scenarios and tells which promise each proved; ends the command."""
    from dpra import rehearsal, tables
    from dpra.rehearsal import scenarios

    if "list" in wanted:
        tables.show_scenarios(scenarios.table(made.spec.pipeline))
        sys.exit(0)
    chosen = () if "all" in wanted else wanted
    try:
        proofs = rehearsal.prove(
            root,
            made,
            wanted=chosen,
            offline=offline,
            show=lambda line: click.echo(line) if "/" not in line else None,
            tell=tables.show_proof,
        )
    except rehearsal.FaultError as error:
        _fail(str(error), WRONG_INPUT)
    except rehearsal.RehearsalError as error:
        _fail(str(error), OUTSIDE_WORLD)
    document = {"scenarios": [proof.as_json() for proof in proofs]}
    if json_file:
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if page:
        _write_page(page, document)
    broken = [proof for proof in proofs if proof.problems]
    for proof in broken:
        for problem in proof.problems:
            click.echo(f"{proof.id}: {problem}", err=True)
    click.echo(f"{len(proofs) - len(broken)} of {len(proofs)} promises were kept.")
    sys.exit(DOES_NOT_HOLD if broken else 0)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE...")
@click.option(
    "--require",
    type=click.Choice(["required", "recommended", "listed"]),
    help="Fail unless every action of this level, and of those above it, ran and passed.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def evidence(files: tuple[Path, ...], require: str | None, form: str) -> None:
    """Shows what a run's evidence.json proves: the actions of DPRA that ran, what they found, and the exceptions.

    \b
    dpra evidence evidence.json
    dpra evidence */evidence.json --require required    fails where a required action is missing
    """
    from dpra import evidence as proven
    from dpra import tables

    try:
        documents = {str(path): proven.read(path) for path in files}
    except proven.EvidenceError as error:
        _fail(str(error), WRONG_INPUT)
    if form == "json":
        click.echo(json.dumps(documents, indent=1))
    else:
        for name, document in documents.items():
            tables.show_evidence(name, document)
    missing = [f"{name}: {line}" for name, one in documents.items() if require for line in proven.lacking(one, require)]
    for line in missing:
        click.echo(line, err=True)
    sys.exit(DOES_NOT_HOLD if missing else 0)


@main.command()
@click.option("--offline", is_flag=True, help="Install nothing: use what is here.")
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the findings of a run from its downloaded artifacts, instead of running the checks here.",
)
@click.option("--dry-run", is_flag=True, help="Say what the baseline would have; write nothing.")
@click.pass_obj
def baseline(root: Path, offline: bool, folder: Path | None, dry_run: bool) -> None:
    """Writes a baseline: what the checks find today does not fail, what is new does. For those who adopt dpra late.

    \b
    dpra baseline --dry-run
    dpra baseline                       runs the checks here
    gh run download ID -D run && dpra baseline --from run
    """
    made, _ = _plan(root)

    import tempfile
    from collections import Counter

    from dpra import checks, rehearsal, tree

    with tempfile.TemporaryDirectory() as temp:
        if folder is None:
            folder = Path(temp) / "artifacts"
            try:
                rehearsal.rehearse(
                    root,
                    made,
                    only=list(made.scanning),
                    offline=offline,
                    keep=folder,
                    show=lambda line: click.echo(line, err=True),
                )
            except rehearsal.RehearsalError as error:
                _fail(str(error), OUTSIDE_WORLD)
        found = checks.baseline(folder)
    name = made.spec.baseline or ".github/dpra-baseline.json"
    for (action, severity), count in sorted(Counter((x["action"], x["severity"]) for x in found["findings"]).items()):
        click.echo(f"{action}: {count} {severity}")
    if any(one["action"] == "secrets-detection" for one in found["findings"]):
        click.echo("Revoke the secrets among them: a baseline lets them pass, it does not make them safe.", err=True)
    if dry_run:
        return
    try:
        tree.put(root, {name: (json.dumps(found, indent=1) + "\n").encode()})
    except tree.TreeError as error:
        _fail(str(error), OUTSIDE_WORLD)
    click.echo(f"{name} written, {len(found['findings'])} findings")
    if not made.spec.baseline:
        click.echo(f"Next: say `baseline: {name}` in dpra.yml, then dpra generate")


@main.command()
@click.option("--install", is_flag=True, help="Install the tools that dpra.yml uses, verified, into ~/.cache/dpra.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@click.pass_obj
def tools(root: Path, install: bool, form: str) -> None:
    """Lists the tools of the checks: what each serves, its version and where it comes from.

    \b
    dpra tools
    dpra tools --install      then rehearsals with --offline and pre-commit hooks need no network
    """
    from dpra import catalogue, checks

    if install:
        made, _ = _plan(root)
        results = dict(checks.install(checks.used(made.tools.values())))
        for name, said in results.items():
            click.echo(f"{name}  {said}")
        sys.exit(OUTSIDE_WORLD if any(said.startswith("failed") for said in results.values()) else 0)
    listed = [
        {
            "name": tool.name,
            "version": tool.head["version"],
            "serves": {action: list(languages) for action, languages in tool.serves.items()},
            "default-for": {action: list(languages) for action, languages in tool.default_for.items()},
            "sources": checks.sources(tool),
        }
        for tool in catalogue.tools()
    ]
    if form == "json":
        click.echo(json.dumps(listed, indent=1))
    else:
        from dpra import tables

        tables.show_tools(listed)


@main.command()
@click.pass_obj
def cleanse(root: Path) -> None:
    """Shows which secrets are in the repository's history and how to purge them. It purges nothing itself.

    \b
    dpra cleanse      exits 1 where there is something to purge
    """
    import shlex

    from dpra import checks

    if not checks.has_history(root):
        click.echo("There is no commit yet: nothing to purge.")
        return
    found, problem = checks.secrets(root)
    if problem:
        _fail(problem.strip(), OUTSIDE_WORLD)
    if not found:
        click.echo("No secret in the whole history.")
        return
    for rule, file, line, commit in found:
        held = ", ".join(checks.branches(root, commit)) or "no branch"
        click.echo(f"{file}:{line}  {rule}  commit {commit}, in {held}")
    files = sorted({file for _, file, _, _ in found})
    click.echo(
        "\n1. Revoke each of them where it was given out. Whoever cloned has it: purging comes second.\n"
        "2. Tell everybody to push what they have; after the purge all clones are made anew.\n"
        "3. In a fresh clone (git clone --mirror), write each secret on a line of ../secrets.txt, then:\n"
        "     git filter-repo --replace-text ../secrets.txt\n"
        "   or, where a whole file should never have been there:"
    )
    for file in files:
        click.echo(f"     git filter-repo --invert-paths --path {shlex.quote(file)}")
    click.echo(
        "4. git push --force --mirror; ask GitHub's support to drop what its caches and forks keep.\n"
        "5. dpra cleanse, again: it should find nothing."
    )
    if not checks.has_filter_repo():
        click.echo("git filter-repo is not here: pip install git-filter-repo", err=True)
    sys.exit(DOES_NOT_HOLD)


@main.command()
@click.option("--reason", required=True, help="Why; the record keeps it.")
@click.option("--profile", default="", help="The AWS CLI's profile for production's account.")
@click.pass_obj
def unlock(root: Path, reason: str, profile: str) -> None:
    """Breaks the release lock of a run that will not give it back. What it touched is the rollback workflow's to end.

    \b
    dpra unlock --reason "its runner is gone, and it had touched nothing"
    """
    made, _ = _plan(root)

    import os
    import tempfile
    import time

    from dpra import resources

    if made.record is None:
        _fail(f"the pipeline type {made.spec.pipeline} keeps no release record: there is no lock", WRONG_INPUT)
    record, said = resources.lib("record"), made.record
    place = record.Place(said.region, said.bucket, said.key, said.account)
    if profile:
        os.environ["AWS_PROFILE"] = profile
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RUNNER_TEMP"] = folder
        try:
            lock = record.change(place, lambda kept: record.unlock(kept, reason, time.time()))
        except record.runner.Failed as failed:
            _fail(str(failed), OUTSIDE_WORLD if failed.result == "error" else DOES_NOT_HOLD)
    click.echo(f"The lock of run {lock['run']} is broken." if lock else "Nobody held the lock.")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Prints the shell's completion script.

    \b
    eval "$(dpra completion bash)"
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        _fail(f"{shell}: no completion", WRONG_INPUT)
    click.echo(kind(main, {}, "dpra", "_DPRA_COMPLETE").source())
