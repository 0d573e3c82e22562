"""rehearse: the pipeline on this machine."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dpra.cli import common

if TYPE_CHECKING:
    from dpra.plan import Plan


@click.command()
@click.option("--only", metavar="STAGE,...", default="", help="Only these stages or jobs, and what they need.")
@click.option("--offline", is_flag=True, help="Install nothing from PyPI: use what dpra's own environment has.")
@click.option(
    "--real-actions",
    "real",
    is_flag=False,
    flag_value="",
    metavar="[DIR]",
    help="Run the real third-party actions at their pinned commits, from GitHub or from clones in DIR.",
)
@click.option("--fail", multiple=True, metavar="PLACE", help="A step fails, a deployment, or a region's rollback.")
@click.option("--alarm", multiple=True, metavar="PLACE:NAME@MOMENT", help="An alarm fires: before, deploy or bake.")
@click.option("--deny", multiple=True, metavar="ROLE", help="A role trusts another environment than its own.")
@click.option("--slow", multiple=True, metavar="PLACE=MINUTES", help="AWS takes so many minutes for a change.")
@click.option("--crash", multiple=True, metavar="PLACE", help="The runner dies in mid-deployment.")
@click.option("--lose", multiple=True, metavar="PLACE", help="The whole run dies there.")
@click.option("--throttle", multiple=True, metavar="PLACE:OPERATION=TIMES", help="AWS says it is asked too often.")
@click.option("--closed", multiple=True, metavar="PLACE", help="A gate by a flag is closed: it has the other state.")
@click.option("--tamper", multiple=True, metavar="artifact|PLACE", help="Somebody changes a stored release.")
@click.option("--freeze", is_flag=True, help="No deployment window is open today.")
@click.option("--unapproved", is_flag=True, help="Nobody approved it by a pull request into the approval branch.")
@click.option("--slow-approval", is_flag=True, help="A newer commit is released before this one is approved.")
@click.option("--reason", default="", help="Start the pipeline by hand, with this override reason.")
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
    real: str | None,
    scenario: tuple[str, ...],
    page: Path | None,
    json_file: Path | None,
    evidence_file: Path | None,
    **faults: "tuple[str, ...] | bool",
) -> None:
    """Runs the generated pipeline here: no Docker, no GitHub, no AWS account.

    With a fault that concerns production the commit before is released first, so that there is something to go back to.

    \b
    dpra rehearse --only build,security,scan --offline
    dpra rehearse --offline --json result.json
    dpra rehearse --offline --fail gamma.synthetic-tests
    dpra rehearse --offline --alarm prod/eu-west-1:shop-errors@bake --page result.html
    dpra rehearse --offline --crash prod.1/eu-west-1 --fail rollback/eu-west-1
    dpra rehearse --offline --scenario all --page result.html
    dpra rehearse --offline --real-actions ~/clones
    dpra rehearse --offline --evidence evidence.json && dpra evidence evidence.json --require required
    """
    if sys.platform == "win32":
        common.fail(
            "A rehearsal runs on Linux, macOS and WSL: its steps are bash, as the runner's are.", common.OUTSIDE_WORLD
        )
    made, _ = common.plan(root)

    import tempfile

    from dpra import rehearsal
    from dpra.cli import tables

    known = {*made.stage_of, *made.stage_of.values()}
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := sorted(set(wanted) - known):
        common.fail(f"--only: unknown {', '.join(unknown)}; there is {', '.join(sorted(known))}", common.WRONG_INPUT)
    if scenario:
        _prove(root, made, scenario, offline, real, page, json_file)
    asked = [(kind.replace("_", "-"), said) for kind, given in faults.items() for said in _each(given)]
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "uploads" if evidence_file else None
        result = rehearsal.rehearse(
            root,
            made,
            only=wanted,
            offline=offline,
            keep=kept,
            asked=asked,
            reason=reason,
            real=real,
            show=click.echo,
        )
        if evidence_file and kept:
            from dpra import evidence

            merged = evidence.merged(kept, evidence.expected(made)["pipeline"], made.spec.pipeline)
            evidence_file.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
    if json_file:
        json_file.write_text(json.dumps(result.as_json(), indent=2) + "\n", encoding="utf-8")
    if page:
        _write_page(page, result.as_json())
    tables.show_result(result)
    sys.exit(0 if result.ok else common.DOES_NOT_HOLD)


def _each(given: "tuple[str, ...] | bool") -> "tuple[str, ...]":
    """What was said of a fault; a flag has one empty word."""
    return given if isinstance(given, tuple) else ("",) * given


def _write_page(path: Path, document: "dict[str, Any]") -> None:
    from dpra.rehearsal import page

    path.write_text(page.html(document), encoding="utf-8")
    click.echo(f"{path} written")


def _prove(
    root: Path,
    made: "Plan",
    wanted: tuple[str, ...],
    offline: bool,
    real: str | None,
    page: Path | None,
    json_file: Path | None,
) -> NoReturn:
    """Plays scenarios and tells which promise each proved; ends the command."""
    from dpra import rehearsal
    from dpra.cli import tables
    from dpra.rehearsal import scenarios

    if "list" in wanted:
        tables.show_scenarios(scenarios.table(made.spec.pipeline))
        sys.exit(0)
    chosen = () if "all" in wanted else wanted
    proofs = rehearsal.prove(
        root,
        made,
        wanted=chosen,
        offline=offline,
        real=real,
        show=lambda line: click.echo(line) if " / " not in line else None,
        tell=tables.show_proof,
    )
    document = {"scenarios": [proof.as_json() for proof in proofs]}
    if json_file:
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if page:
        _write_page(page, document)
    broken = [proof for proof in proofs if proof.problems]
    for proof in broken:
        for problem in proof.problems:
            click.echo(f"{proof.id}: {problem}", err=True)
        for line in proof.failures:
            click.echo(f"{proof.id} | {line}", err=True)
    played = [proof for proof in proofs if not proof.needs]
    others = f"; {len(proofs) - len(played)} are not applicable here" if len(played) < len(proofs) else ""
    click.echo(f"{len(played) - len(broken)} of {len(played)} promises were kept{others}.")
    sys.exit(common.DOES_NOT_HOLD if broken else 0)
