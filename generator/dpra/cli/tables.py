"""The tables that people read. Colour only on a terminal; a pipe gets lines wide enough not to be cut."""

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dpra.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dpra.bootstrap import Stack
    from dpra.rehearsal.result import Result
    from dpra.rehearsal.scenarios import Proof

COLOURS = {
    "blocks": "green",
    "left-out": "yellow",
    "success": "green",
    "failure": "red",
    "skipped": "yellow",
    "not run": "yellow",
}


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def _row(table: Table, status: str, *cells: str) -> None:
    table.add_row(*(Text(cell) for cell in cells), style=COLOURS.get(status))


def show_plan(plan: Plan) -> None:
    """Every DPRA action of the pipeline: where, with what, whether it blocks, why."""
    from dpra import cost as costs  # renders; no other table needs that
    from dpra.names import VENDORED

    console, spec = _console(), plan.spec
    console.print(Text(f"{spec.name}: {spec.pipeline} pipeline of {spec.repository}, branch {spec.trunk}"))
    for name, where in plan.environments.items():
        console.print(Text(f"  {name}: account {where.account}, {', '.join(where.regions)}"))
        for number, wave in enumerate(where.waves, 1):
            then = f", then {where.bake} minutes' bake" if where.bake else ""
            console.print(Text(f"    wave {number}: {', '.join(wave)}{then}"))
    if plan.store:
        console.print(Text(f"  releases: in {plan.store.bucket}, signed by {plan.signer}"))
    cost = costs.cost(plan)
    waits = f"runners wait {cost['waiting-minutes']} minutes in bakes" if cost["waiting-minutes"] else "no runner waits"
    waits += (
        " for a bake" if any(where.bake for where in plan.environments.values()) and not cost["waiting-minutes"] else ""
    )
    waits += ": a schedule looks at it every hour" if plan.long_bakes else ""
    console.print(Text(f"  a release: {cost['jobs']} jobs; {waits}; at least {cost['release-minutes']} runner minutes"))
    if longest := cost["longest-wait"]:
        console.print(
            Text(f"  no runner waits longer than {longest} minutes at a time, for a bake or another run's end")
        )
    schedules = f"{cost['scheduled-minutes']} for schedules"
    console.print(
        Text(f"  a month of {costs.RELEASES} releases: at least {cost['month-minutes']} runner minutes, {schedules}")
    )
    console.print(Text(f"  actions: {spec.pack or f'vendored in {VENDORED}'}"))
    for path in spec.unmanaged:
        console.print(Text(f"  unmanaged: {path}"))
    table = Table("stage", "action", "level", "status", "job", "tool", "reason")
    for a in plan.actions:
        tool = a.tool.splitlines()[0] if a.tool else ""
        _row(table, a.status, a.stage, a.action, a.level, a.status, a.job, tool, a.reason)
    console.print(table)
    if plan.missing:
        names = ", ".join(f"{one.stage}.{one.action}" for one in plan.missing)
        console.print(Text(f"DPRA-partial: of what DPRA requires, this does not block on: {names}"), soft_wrap=True)


def show_evidence(name: str, document: dict[str, Any]) -> None:
    """What a run proves."""
    console, figures = _console(), document["figures"]
    console.print(Text(f"{name}: {document.get('repository', '')} {str(document.get('commit', ''))[:12]}".rstrip()))
    table = Table("action", "job", "level", "result", "tool", "waived", "found")
    for one in document["actions"]:
        job = f"{one['job']} {one.get('region', '')}".strip()
        waived = sum(waiver["findings"] for waiver in one.get("waivers") or ()) + one.get("baseline", 0)
        tool = f"{one.get('tool', '')} {one.get('version', '')}".strip()
        result = f"{one['result']}, advisory" if one["gate"] == "advisory" else one["result"]
        found = _counts(one.get("findings") or {}).strip(" ()")
        colour = {"pass": "success", "not applicable": ""}.get(one["result"], "failure")
        _row(table, colour, one["action"], job, one["level"], result, tool, str(waived or ""), found)
    console.print(table)
    console.print(f"{figures['required-passed']} of {figures['required']} required actions ran and blocked.")
    controls, automated = figures["security-controls"], figures["security-controls-automated"]
    share = figures["security-control-automation"]
    said = "not measured" if share is None else f"{share:g} % ({automated} of {controls})"
    console.print(f"Security controls automated: {said}.")
    for line in figures["exceptions"]:
        console.print(Text(f"exception: {line}"), soft_wrap=True)


def show_tools(tools: list[dict[str, Any]]) -> None:
    """The tools of the checks."""
    table = Table("tool", "version", "does", "from")
    for one in tools:
        does = []
        for action, languages in one["serves"].items():
            default = one["default-for"].get(action, ())
            does.append(f"{action}: {' '.join(f'{x}*' if x in default else x for x in dict.fromkeys(languages))}")
        _row(table, "", one["name"], one["version"], "\n".join(does), "\n".join(one["sources"]))
    console = _console()
    console.print(table)
    console.print("* by default")


def show_stacks(stacks: "list[Stack]") -> None:
    """What is to be deployed in the accounts, and how."""
    table = Table("environment", "account", "region", "stack", "template")
    for one in stacks:
        _row(table, "", one.environment, one.account, one.region, one.name, one.path)
    console = _console()
    console.print(table)
    console.print("Once, and again when dpra generate changes them; an administrator of each account, by either:")
    console.print("  dpra bootstrap --deploy --profile NAME-OF-{environment}", markup=False)
    console.print("  dpra bootstrap --print ENVIRONMENT      for those who deploy by other means", markup=False)


def _counts(findings: dict[str, int]) -> str:
    said = ", ".join(f"{count} {kind}" for kind, count in findings.items() if count)
    return f" ({said})" if said else ""


def show_result(result: "Result") -> None:
    """A rehearsal: each job's steps that are DPRA actions, what runs where, and what was only simulated."""
    console = _console()
    found = {
        (record["job"], record["region"], record["action"]): _counts(record["findings"]) for record in result.evidence
    }
    table = Table("stage", "job", "action", "result", "seconds")
    for job in result.jobs:
        name = f"{job.job} {job.region}".strip()
        _row(table, job.result, job.stage, name, "", job.result, f"{job.seconds:.1f}")
        for step in job.steps:
            if step.id and not step.id.isdecimal():
                counts = found.get((job.job, job.region, step.id)) or found.get((job.job, "", step.id), "")
                _row(table, step.result, "", "", step.id, f"{step.result}{counts}", f"{step.seconds:.1f}")
    console.print(table)
    for d in result.deployments:
        console.print(
            Text(f"{d.environment} {d.account} {d.region}: stack {d.stack} {d.status}, release {d.digest[:12]}")
        )
    if not result.deployments:
        deployed = any(job.kind == "deploy" and job.result == "success" for job in result.jobs)
        console.print("Deployed; what runs where is not read here." if deployed else "Nothing was deployed.")
    for line in result.simulated:
        console.print(Text(f"simulated: {line}", style="dim"), soft_wrap=True)
    for line in result.notes:
        console.print(Text(f"warning: {line}", style="yellow"), soft_wrap=True)
    if result.ok:
        console.print(Text(f"The pipeline succeeded in {result.seconds:.0f} s."), style="green")
    else:
        console.print(Text(f"The pipeline stopped at: {result.stopped_at}"), style="red")
        # The report job repeats what the others said.
        for line in [line for line in result.annotations if not line.startswith("report: ")] or result.annotations:
            console.print(Text(f"  {line}"), soft_wrap=True)


def show_scenarios(rows: "Sequence[Mapping[str, Any]]") -> None:
    """What is promised of deliveries, and the fault that proves it."""
    table = Table("scenario", "promise", "fault", "when")
    for row in rows:
        table.add_row(*(Text(row[key]) for key in ("id", "promise", "fault", "when")))
    _console().print(table)


def show_proof(proof: "Proof") -> None:
    """A scenario that has been played."""
    if proof.needs:
        _console().print(Text(f"not applicable  {proof.id}: {proof.needs}", style="dim"), soft_wrap=True)
        return
    style = "red" if proof.problems else "green"
    word = "broken" if proof.problems else "kept"
    _console().print(Text(f"{word}  {proof.id}: {proof.promise}", style=style), soft_wrap=True)


def show_configuration(made: "Sequence[Any]") -> None:
    """The tables of the pack's configuration_report."""
    console = _console()
    for one in made:
        console.print(Text(one.title, style="bold"))
        if one.head:
            table = Table(*one.head)
            for row in one.rows:
                expired = any(cell.endswith(" EXPIRED") for cell in row)
                table.add_row(
                    *(Text(ascii(cell)[1:-1] if not cell.isprintable() else cell) for cell in row),
                    style="red" if expired else None,
                )
            console.print(table)
