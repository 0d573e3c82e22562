"""evidence, baseline, tools, cleanse: what was checked, and with what."""

import json
import sys
from pathlib import Path

import click

from dpra.cli import common


@click.command()
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
    from dpra.cli import tables

    documents = {str(path): proven.read(path) for path in files}
    if form == "json":
        click.echo(json.dumps(documents, indent=1))
    else:
        for name, document in documents.items():
            tables.show_evidence(name, document)
    missing = [f"{name}: {line}" for name, one in documents.items() if require for line in proven.lacking(one, require)]
    for line in missing:
        click.echo(line, err=True)
    sys.exit(common.DOES_NOT_HOLD if missing else 0)


@click.command()
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
    made, _ = common.plan(root)

    import tempfile
    from collections import Counter

    from dpra import checks, rehearsal, tree

    with tempfile.TemporaryDirectory() as temp:
        if folder is None:
            folder = Path(temp) / "uploads"
            rehearsal.rehearse(
                root,
                made,
                only=made.scanning,
                offline=offline,
                keep=folder,
                show=lambda line: click.echo(line, err=True),
            )
        found = checks.baseline(folder)
    name = made.spec.baseline or ".github/dpra-baseline.json"
    for (action, severity), count in sorted(Counter((x["action"], x["severity"]) for x in found["findings"]).items()):
        click.echo(f"{action}: {count} {severity}")
    if any(one["action"] == "secrets-detection" for one in found["findings"]):
        click.echo("Revoke the secrets among them: a baseline lets them pass, it does not make them safe.", err=True)
    if dry_run:
        return
    tree.put(root, {name: (json.dumps(found, indent=1) + "\n").encode()})
    click.echo(f"{name} written, {len(found['findings'])} findings")
    if not made.spec.baseline:
        click.echo(f"Next: say `baseline: {name}` in dpra.yml, then dpra generate")


@click.command()
@click.option("--install", is_flag=True, help="Install the tools that dpra.yml uses, verified, into ~/.cache/dpra.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@click.pass_obj
def tools(root: Path, install: bool, form: str) -> None:
    """Lists the tools of the checks: what each serves, its version and where it comes from.

    \b
    dpra tools
    dpra tools --install      then rehearsals with --offline and pre-commit hooks need no network
    """
    from dpra import check_tools, checks

    if install:
        made, _ = common.plan(root)
        results = dict(checks.install(checks.used(made.tools.values())))
        for name, said in results.items():
            click.echo(f"{name}  {said}")
        sys.exit(common.OUTSIDE_WORLD if any(said.startswith("failed") for said in results.values()) else 0)
    listed = [
        {
            "name": tool.name,
            "version": tool.head["version"],
            "serves": {action: list(languages) for action, languages in tool.serves.items()},
            "default-for": {action: list(languages) for action, languages in tool.default_for.items()},
            "sources": checks.sources(tool),
        }
        for tool in check_tools.every()
    ]
    if form == "json":
        click.echo(json.dumps(listed, indent=1))
    else:
        from dpra.cli import tables

        tables.show_tools(listed)


@click.command()
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
        common.fail(problem.strip(), common.OUTSIDE_WORLD)
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
    sys.exit(common.DOES_NOT_HOLD)
