"""The rehearsal itself: what is played, in which order, and what is told of it."""

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import faults, stage
from .accounts import Spec, deployments
from .result import Deployment, Played, Result
from .world import Run, World, opened, play


def rehearse(
    root: Path,
    spec: Spec,
    stages: Mapping[str, str],
    *,
    only: Collection[str] = (),
    offline: bool = False,
    keep: Path | None = None,
    asked: Sequence[tuple[str, str]] = (),
    reason: str = "",
    show: Callable[[str], None] = lambda line: None,
) -> Result:
    """Run the repository's generated pipeline on this machine.

    Args:
        root: the repository; it is only read.
        spec: what is delivered, and where to.
        stages: job id -> DPRA stage.
        only: stages or jobs to run, with all that they need; empty for everything.
        offline: fetch nothing; what is installed beside dpra counts as installed.
        keep: a folder that does not exist yet, for the run's artifacts.
        asked: faults, as (kind, what the user said). Where one concerns production, an older release runs there before.
        reason: started by hand, with this reason to set rules aside.
        show: is given progress, a line at a time.

    Raises:
        RehearsalError: it cannot be played: a tool is missing, or the repository holds what has no stand-in.
    """
    with opened(root, spec, stages, only, offline, show) as here:
        wanted = tuple(faults.parse(kind, said, here.workflow()) for kind, said in asked)
        if wanted or reason:
            runs, before = troubled(here, wanted, reason, only)
        else:
            runs, before = [play(here, Run(1, "this", only=only))], []
        last = next(run for run in reversed(runs) if run.workflow == "pipeline")
        if keep:
            shutil.copytree(last.artifacts, keep)
        return result(here, runs, last, only, before)


def troubled(
    here: World, wanted: tuple[faults.Fault, ...], reason: str, only: Collection[str]
) -> tuple[list[Played], list[Deployment]]:
    """The runs of a rehearsal with faults, the troubled one last; and what ran where before that."""
    here.commits = {"old": here.commits["this"], "new": stage.commit(here.repository, "The change that is rehearsed")}
    slow = any(fault.kind == "slow-approval" for fault in wanted)
    runs: list[Played] = []
    kept = None
    if reason or any(concerns_production(fault) for fault in wanted):
        here.show("releasing the commit before")
        runs.append(play(here, Run(1, "old")))
    if slow:
        tested = [job for job, of in here.stages.items() if of != "prod"]
        kept = play(here, Run(2, "new", only=tested))
        here.commits["newer"] = stage.commit(here.repository, "A newer change")
        runs += [kept, play(here, Run(3, "newer"))]
    faults.deny(wanted, here.spec)
    inputs = {"reason": reason} if reason else {}
    event = "workflow_dispatch" if reason else "push"
    before = deployments(here.spec) if here.accounts else []
    runs.append(play(here, Run(4, "new", "pipeline", event, inputs, only, wanted, kept)))
    return runs, before


def concerns_production(fault: faults.Fault) -> bool:
    """Whether what ran before in production tells what the fault did."""
    return (
        fault.kind in ("freeze", "unapproved", "slow-approval")
        or fault.job.startswith(("prod", "rollback"))
        or (fault.kind == "deny" and fault.name.startswith("prod"))
    )


def result(
    here: World, runs: Sequence[Played], last: Played, only: Collection[str], before: Sequence[Deployment] = ()
) -> Result:
    """What is told of the runs."""
    workflow = here.workflow()
    chosen = stage.selected(workflow["jobs"], here.stages, only)
    return Result(
        ok=last.ok,
        seconds=round(time.monotonic() - here.began, 1),
        jobs=last.jobs,
        annotations=last.annotations,
        notes=last.notes,
        deployments=tuple(deployments(here.spec) if here.accounts else ()),
        evidence=last.evidence,
        simulated=simulated(workflow, chosen, here.spec, here.offline),
        stopped_at=last.stopped_at,
        runs=tuple(runs),
        before=tuple(before),
        waves=waves(workflow),
    )


def waves(workflow: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Production's regions, wave by wave."""
    return tuple(
        tuple(faults.legs(job)) for name, job in workflow["jobs"].items() if name.removeprefix("prod-").isdigit()
    )


def simulated(workflow: Mapping[str, Any], selected: list[str], spec: Spec, offline: bool) -> tuple[str, ...]:
    """What GitHub and AWS do and this run only played, or left out."""
    found = [f"the push of this working tree to {spec.trunk}; this machine instead of {label}"
             for label in stage.runner_labels(workflow)]  # fmt: skip
    found += [
        "actions/checkout: the whole commit with its history, whatever fetch-depth and sparse-checkout ask for",
        "concurrency: one run, so no queue",
        "permissions of GITHUB_TOKEN other than id-token and attestations",
    ]
    environments = dict.fromkeys(filter(None, (stage.environment(workflow["jobs"][job]) for job in selected)))
    if names := ", ".join(environments):
        found += [
            f"branch policy of the environments ({names}): {spec.trunk} only",
            f"reviewers and wait timers of the environments ({names}): passed at once, as if approved",
            "the bake time: it passes at once, and the alarms are looked at",
            "permission policies of CloudFormation's and the functions' roles: those of the pipeline's are evaluated",
            "CloudWatch alarms: no data, so each says what its TreatMissingData makes of that",
            "functions run as processes of this machine",
        ]
    if "prod-approve" in selected and (branch := stage.approval_branch(workflow)):
        found.append(f"the approval: the branch {branch} is protected and contains {spec.trunk}; not with --unapproved")
    for job in selected:
        if services := workflow["jobs"][job].get("services"):
            found.append(f"services of {job} ({', '.join(services)}): not started; this machine's own are used")
    if offline:
        found.append("pip: what is installed beside dpra counts as installed")
        found.append("trivy's database of vulnerabilities: the few advisories of dpra's own, not today's")
    else:
        found.append("the network is open to the jobs, by the proxy and registry settings of your environment")
    return tuple(found)
