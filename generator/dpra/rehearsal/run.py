"""The rehearsal itself: what is played, in which order, and what is told of it."""

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from dpra import __version__
from dpra.catalogue import PIPELINE
from dpra.plan import Plan

from . import bases, deployers, faults, flags, workflow
from .accounts import deployments
from .result import Deployment, Played, Result
from .world import Run, World, committed, opened, play


def rehearse(
    root: Path,
    plan: Plan,
    *,
    only: Collection[str] = (),
    offline: bool = False,
    keep: Path | None = None,
    asked: Sequence[tuple[str, str]] = (),
    reason: str = "",
    real: str | None = None,
    show: Callable[[str], None] = lambda line: None,
) -> Result:
    """Run the repository's generated pipeline on this machine.

    Args:
        root: the repository; it is only read.
        plan: what is delivered, and where to.
        only: stages or jobs to run, with all that they need; empty for everything.
        offline: fetch nothing; what is installed beside dpra counts as installed.
        keep: a folder that does not exist yet, for the run's artifacts.
        asked: faults, as (kind, what the user said). Where one concerns production, an older release runs there before.
        reason: started by hand, with this reason to set rules aside.
        real: take real third-party actions, from this folder of clones; empty: from GitHub. None: stand-ins.
        show: is given progress, a line at a time.

    Raises:
        RehearsalError: it cannot be played: a tool is missing, or the repository holds what has no stand-in.
    """
    with opened(root, plan, only, offline, show, real) as here:
        wanted = tuple(faults.parse(kind, said, plan, PIPELINE, here.workflow()) for kind, said in asked)
        if wanted or reason:
            runs, before = troubled(here, wanted, reason, only)
        else:
            runs, before = [play(here, Run(1, "this", only=only))], []
        last = next(run for run in reversed(runs) if run.workflow == PIPELINE)
        if keep:
            shutil.copytree(last.artifacts, keep)
        return result(here, runs, last, only, before)


def troubled(
    here: World, wanted: tuple[faults.Fault, ...], reason: str, only: Collection[str]
) -> tuple[list[Played], list[Deployment]]:
    """The runs of a rehearsal with faults, the troubled one last; and what ran where before that."""
    here.commits = {"old": here.commits["this"], "new": committed(here, "new")}
    plan = here.plan
    slow = any(fault.kind == "slow-approval" for fault in wanted)
    runs: list[Played] = []
    kept = None
    if reason or any(concerns_production(plan, fault) for fault in wanted):
        here.show("releasing the commit before")
        runs.append(play(here, Run(1, "old")))
    if slow:
        tested = before_production(plan)
        kept = play(here, Run(2, "new", only=tested))
        here.commits["newer"] = committed(here, "newer")
        runs += [kept, play(here, Run(3, "newer"))]
    faults.deny(wanted, plan)
    inputs = {"reason": reason} if reason else {}
    event = "workflow_dispatch" if reason else "push"
    before = deployments(here.plan) if here.accounts else []
    runs.append(play(here, Run(4, "new", PIPELINE, event, inputs, only, wanted, kept)))
    return runs, before


def before_production(plan: Plan) -> list[str]:
    """The jobs of the stages before the environment that is released to last."""
    last = plan.production.id if plan.production else ""
    return [job for job, stage in plan.stage_of.items() if stage != last]


def concerns_production(plan: Plan, fault: faults.Fault) -> bool:
    """Whether what ran before in production tells what the fault did."""
    early = before_production(plan)
    if fault.kind == "deny":
        return plan.production is not None and fault.name in plan.production.roles
    return fault.kind in ("freeze", "unapproved", "slow-approval") or (bool(fault.job) and fault.job not in early)


def result(
    here: World, runs: Sequence[Played], last: Played, only: Collection[str], before: Sequence[Deployment] = ()
) -> Result:
    """What is told of the runs."""
    loaded, production = here.workflow(), here.plan.production
    chosen = workflow.selected(loaded["jobs"], here.plan.stage_of, only)
    return Result(
        ok=last.ok,
        seconds=round(time.monotonic() - here.began, 1),
        jobs=last.jobs,
        annotations=last.annotations,
        notes=last.notes,
        deployments=tuple(deployments(here.plan) if here.accounts else ()),
        evidence=last.evidence,
        simulated=simulated(here, loaded, chosen),
        real_actions=here.real.real if here.real else (),
        stopped_at=last.stopped_at,
        runs=tuple(runs),
        before=tuple(before),
        production=production.id if production else "",
        waves=waves(here.plan),
    )


def waves(plan: Plan) -> tuple[tuple[str, ...], ...]:
    """What production is made of, one after another: its waves, or all of its regions at once."""
    where = plan.production
    return (where.waves or (where.regions,)) if where else ()


def simulated(here: World, loaded: Mapping[str, Any], selected: Collection[str]) -> tuple[str, ...]:
    """What GitHub and AWS do and this run only played, or left out."""
    trunk, offline = here.plan.spec.trunk, here.offline
    found = [f"the push of this working tree to {trunk}; this machine instead of {label}"
             for label in workflow.runner_labels(loaded)]  # fmt: skip
    if pack := here.plan.spec.pack:
        found.append(f"{pack}: the pack of dpra {__version__}, which rehearses")
    found += [
        "actions/checkout: from a copy of the repository on this machine; no submodules, no large files",
        "actions/cache: what a run saves, later runs of this rehearsal find; nothing is kept after it",
        *(here.real.stand_ins if here.real else ()),
        "concurrency: one run, so no queue",
        "permissions of GITHUB_TOKEN other than those that actions are refused without: "
        "actions, attestations, id-token, security-events",
    ]
    jobs = [job for job in here.plan.jobs.values() if job.id in selected]
    environments = dict.fromkeys(filter(None, (workflow.environment(loaded["jobs"][job]) for job in selected)))
    if names := ", ".join(environments):
        found += [
            f"branch policy of the environments ({names}): {trunk} only",
            f"reviewers and wait timers of the environments ({names}): passed at once, as if approved",
        ]
    if any(job.kind == "bake" and job.at and job.at.bake for job in jobs):
        found.append("the bake time: it passes at once, and the alarms are looked at")
    if any(job.role for job in jobs):
        found += [
            "permission policies of the functions' roles, and of CloudFormation's but for roles and buckets: what the "
            "pipeline's roles may do, and which roles a template may make, is evaluated",
            "CloudWatch alarms: no data, so each says what its TreatMissingData makes of that",
            "functions run as processes of this machine; the code of canaries does not run, and they pass",
            *deployers.call("simulated", here.plan, ()),
            *bases.simulated(here.plan),
        ]
    if yours := dict.fromkeys(one for job in jobs if job.role for one in job.role.policies):
        found.append(f"policies of yours that tests have ({', '.join(yours)}): not known here, so they allow nothing")
    if read := dict.fromkeys(f"{gate.flag} of {gate.of}" for job in jobs for _, gate in flags.read(here.plan, job)):
        found.append(f"flags that are gates ({', '.join(read)}): nobody delivers them here; each has its state")
    if any(job.kind == "approve" for job in jobs) and (branch := here.plan.approval_branch):
        found.append(f"the approval: the branch {branch} is protected and contains {trunk}; not with --unapproved")
    for job in selected:
        if services := loaded["jobs"][job].get("services"):
            found.append(f"services of {job} ({', '.join(services)}): not started; this machine's own are used")
    if offline:
        found.append("pip: what is installed beside dpra counts as installed")
        found.append("trivy's database of vulnerabilities: the few advisories of dpra's own, not today's")
    else:
        found.append("the network is open to the jobs, by the proxy and registry settings of your environment")
    return tuple(found)
