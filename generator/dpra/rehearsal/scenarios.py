"""Scenarios: what is promised of deliveries, each proved by a fault at its moment and by what runs where at the end."""

import json
import os
import pickle
import re
import signal
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

from dpra import resources
from dpra.catalogue import PIPELINE
from dpra.dataclasses import dataclass
from dpra.plan import Plan

from . import bases, buildah, deployers, faults, workflow
from .accounts import deployments, forget_releases
from .checkout import uncommit
from .faults import Fault, FaultError
from .promises import problems
from .result import Played, RehearsalError, Result
from .run import before_production, result, waves
from .world import Run, World, committed, forked, hours_pass, minutes_pass, opened, play

ALARMS = {"alarm-ends": "OK", "alarm-fires": "ALARM", "alarm-rings": "RANG"}
NUMBERS = {1: "one", 2: "two", 3: "three"}
OPTIONS = ("fail", "alarm", "deny", "slow", "crash", "lose", "closed", "tamper", "freeze", "unapproved", "throttle")


@dataclass(frozen=True)
class Proof:
    """What became of a scenario. `problems` is empty where the promise was kept."""

    id: str
    promise: str
    fault: str
    when: str
    problems: tuple[str, ...]
    result: Result | None
    log: tuple[str, ...] = ()
    needs: str = ""  # what this repository has not, so that it does not apply

    @property
    def failures(self) -> list[str]:
        """What was said of its runs, but for what began or went well."""
        return [line for line in self.log if not re.search(r": (started|success)( \([0-9.]+ s\))?$", line)]

    def as_json(self) -> dict[str, Any]:
        about = {"id": self.id, "promise": self.promise, "fault": self.fault, "when": self.when}
        if self.needs:
            return {**about, "applicable": False, "needs": self.needs}
        return {**about, "applicable": True, "kept": not self.problems, "problems": list(self.problems)} | (
            {"result": self.result.as_json()} if self.result else {}
        )


def table(pipeline: str) -> tuple[dict[str, Any], ...]:
    """Every scenario of a pipeline type, as its scenarios.yml says it; none where it has no such file."""
    path = f"{pipeline}/scenarios.yml"
    return tuple(resources.data(path)) if (resources.TEMPLATES / path).is_file() else ()


def prove(
    root: Path,
    plan: Plan,
    *,
    wanted: Collection[str] = (),
    offline: bool = False,
    workers: int = 2,
    real: str | None = None,
    show: Callable[[str], None] = lambda line: None,
    tell: Callable[[Proof], None] = lambda proof: None,
) -> list[Proof]:
    """Play scenarios: each proves a promise by a fault. `tell` is given each proof as it comes.

    One that needs what this repository has not is not played, and its proof says so.

    Raises:
        FaultError: an unknown scenario.
        RehearsalError: the pipeline does not pass without a fault.
    """
    rows = table(plan.spec.pipeline)
    if unknown := sorted(set(wanted) - {row["id"] for row in rows}):
        raise FaultError(f"--scenario: no {', '.join(unknown)}; list them: dpra rehearse --scenario list")
    rows = tuple(row for row in rows if not wanted or row["id"] in wanted)
    found = {row["id"]: Proof(*about(row), (), None, needs=lack) for row in rows if (lack := lacks(row, plan))}
    for proof in found.values():
        tell(proof)
    if playable := [row for row in rows if row["id"] not in found]:
        with opened(root, plan, (), offline, show, real) as here:
            found |= _proofs(here, playable, workers, tell)
    return [found[row["id"]] for row in rows]


def lacks(row: Mapping[str, Any], plan: Plan) -> str:
    """What a scenario needs and this repository has not, in words; empty where it can be played."""
    needs, count = row.get("needs", {}), len(waves(plan))
    if plan.deployer and not deployers.readable(plan):
        return f"needs to know what runs where, and no rehearsal knows what {plan.deployer.name} deployed"
    for name, value in needs.items():
        if name == "waves" and count < value:
            return f"needs {NUMBERS[value]} waves"
        if name == "stage" and value not in plan.environments:
            return f"needs the stage {value}, which profile {plan.catalogue.profile.id} leaves out"
        stage, _, action = str(value).partition(".")
        if name == "does" and action not in plan.done_in(stage):
            return f"needs {action} in {stage}"
        if name == "long-bake" and not (plan.long_bakes and count == 1):
            return "needs one wave with a bake that no runner waits for"
        if name == "base" and not plan.base:
            return "needs a base image: say base"
        if name == "kind" and plan.spec.image.kind != value:
            return f"needs kind: {value}"
        if name == "with" and plan.spec.image.with_ != value:
            return f"needs with: {value}"
        if name == "approval-branch" and not plan.approval_branch:
            return "needs an approval branch, and here GitHub's reviewers approve"
    return ""


def _proofs(
    here: World, rows: Sequence[Mapping[str, Any]], workers: int, tell: Callable[[Proof], None]
) -> dict[str, Proof]:
    """Play scenarios, each in a copy of the accounts, some at once; their proofs.

    Raises:
        RehearsalError: what all of them begin with failed: without faults the pipeline does not pass.
    """
    proofs: dict[str, Proof] = {}
    here.commits = {"old": here.commits["this"]}
    for word in ("new", "newer"):
        here.commits[word] = committed(here, word)
    for row in rows:  # scenarios share the repository: none of them commits by itself
        for word in row.get("commits", ()):
            here.commits[word] = committed(here, word)
            uncommit(here.repository)
    stages, jobs = here.plan.stage_of, here.workflow()["jobs"]
    built = [job for job, stage in stages.items() if stage == next(iter(stages.values()))]
    tested = before_production(here.plan)
    # What is built by what is there is built later.
    next_two: tuple[Run, ...] = (Run(2, "new", only=built), Run(3, "newer", only=built))
    next_two = next_two if {*built} == {*workflow.selected(jobs, stages, built)} else ()
    here.show(f"releasing the commit that is called old{', and building the next two' if next_two else ''}")
    base = {run.release: ready(run) for run in at_once(here, (Run(1, "old"), *next_two))}
    with Pool(here, base, workers, tell, proofs) as pool:
        pool.play([row for row in rows if begins(here, row) == "early"])
        base["new"] = ready(play(here, Run(2, "new", only=tested, kept=base.get("new"))))
        pool.play([row for row in rows if begins(here, row) == "late"])
        if later := [row for row in rows if begins(here, row) == "newer"]:
            base["newer"] = ready(play(here, Run(3, "newer", only=tested, kept=base.get("newer"))))
            pool.play(later)
    return proofs


def ready(played: Played) -> Played:
    if not played.ok:
        raise RehearsalError(
            f"without a fault the pipeline stops at {played.stopped_at}: {'; '.join(played.annotations[:3])}"
        )
    return played


def begins(here: World, row: Mapping[str, Any]) -> str:
    """Before which part of the pipeline the accounts are copied for a scenario: early, late (production) or newer."""
    plays = [one for one in row["plays"] if isinstance(one, dict)]
    if row.get("commits"):
        return "early"
    if any("newer" in (one.get("run"), *one.get("at-once", ())) for one in plays):
        return "newer"
    return "early" if any(early(here, one) for one in plays) else "late"


def early(here: World, one: Any) -> bool:
    """Whether something of a step happens before production: a fault, or a workflow that builds anew."""
    if not isinstance(one, dict):
        return False
    name = one.get("start", PIPELINE)
    if "start" in one:
        return any(job.duty == "store" for job in here.plan.workflows[name].jobs.values())
    soon, production = before_production(here.plan), here.plan.production
    for fault in parsed(here, filled(one, here), name):
        denied = fault.kind == "deny" and not (production and fault.name in production.roles)
        if denied or fault.job in soon:
            return True
    return False


class Pool:
    """Scenarios in processes of their own, `workers` at the same time."""

    def __init__(
        self,
        here: World,
        base: dict[str, Played],
        workers: int,
        tell: Callable[[Proof], None],
        proofs: dict[str, Proof],
    ) -> None:
        self.here, self.base, self.workers, self.tell, self.proofs = here, base, workers, tell, proofs
        self.running: dict[int, Mapping[str, Any]] = {}

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        while self.running:
            self.wait()

    def play(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Play scenarios that begin from the accounts as they are now, to their end."""
        for row in rows:
            while len(self.running) >= self.workers:
                self.wait()
            if (pid := os.fork()) == 0:
                self.child(row)
            self.running[pid] = row
        while self.running:
            self.wait()

    def wait(self) -> None:
        pid, status = os.wait()
        if row := self.running.pop(pid, None):
            path = self.here.work / f"{row['id']}.proof"
            proof = (
                pickle.loads(path.read_bytes())  # noqa: S301 - our own process wrote it
                if path.exists()
                else Proof(*about(row), (f"its process ended with {status}",), None)
            )
            self.proofs[row["id"]] = proof
            self.tell(proof)

    def child(self, row: Mapping[str, Any]) -> None:
        """One scenario, in a forked process, which this function ends."""
        lines: list[str] = []
        path = self.here.work / f"{row['id']}.proof"
        try:
            forked(self.here, row["id"])
            self.here.show = lines.append
            proof = scenario(self.here, row, self.base)
        except RehearsalError as error:
            proof = Proof(*about(row), (str(error),), None)
        except KeyboardInterrupt:
            os._exit(1)
        except BaseException:
            proof = Proof(*about(row), (traceback.format_exc(),), None)
        temporary = path.with_suffix(".part")
        temporary.write_bytes(pickle.dumps(replace(proof, log=tuple(lines))))
        temporary.rename(path)
        os._exit(0)


def about(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return row["id"], row["promise"], row["fault"], row["when"]


def scenario(here: World, row: Mapping[str, Any], base: Mapping[str, Played]) -> Proof:
    """Play one scenario, and compare what runs where with what is promised."""
    row = filled(row, here)
    if row.get("first") and here.plan.production:
        forget_releases(here.plan, here.plan.production)
    before = deployments(here.plan)
    runs: list[Played] = []
    kept = dict(base)
    for number, one in enumerate(row["plays"]):
        for played in step(here, one, kept, 10 + number):
            runs.append(played)
            if played.workflow == PIPELINE:
                kept[played.release] = tested_only(here, played) if played.ok or not early(here, one) else played
    last = next(run for run in reversed(runs) if any(job.kind == "deploy" for job in run.jobs))
    told = result(here, runs, last, (), before)
    return Proof(*about(row), tuple(problems(here, row, runs, told)), told)


def filled(row: Mapping[str, Any], here: World) -> dict[str, Any]:
    """The row, with the repository's own regions and alarm."""
    text = json.dumps(row)
    regions = waves(here.plan)
    middle, last = regions[min(1, len(regions) - 1)][0], regions[-1][0]
    bake = str(here.plan.production.bake if here.plan.production else 0)
    for name, value in (("first", regions[0][0]), ("middle", middle), ("last", last), ("bake", bake)):
        text = text.replace(f"{{{name}}}", value)
    if "{alarm}" in text:
        text = text.replace("{alarm}", alarms(here, regions[0][0])[0])
    found: dict[str, Any] = json.loads(text)
    return found


def alarms(here: World, region: str) -> list[str]:
    from moto.cloudwatch.models import cloudwatch_backends

    account = here.plan.production.account if here.plan.production else ""
    there = list(cloudwatch_backends[account][region].alarms)
    if not there:
        raise RehearsalError("the deployed stack has no alarm: nothing could bring a bad release back")
    return there


def step(here: World, one: Any, kept: Mapping[str, Played], number: int) -> Iterator[Played]:
    """Play one entry of `plays`."""
    if one == "hours-pass":
        hours_pass(here)
    elif said := one.get("news"):
        buildah.news(here.work, *said.split())
    elif said := one.get("base"):
        bases.publish(here.plan, here.repository, said)
    elif "minutes-pass" in one:
        minutes_pass(here, int(one["minutes-pass"]))
    elif verb := next((verb for verb in ALARMS if verb in one), ""):
        region, _, name = one[verb].partition(":")
        account = here.plan.production.account if here.plan.production else ""
        faults.ring(Fault("alarm", "", name=name, state=ALARMS[verb]), account, region)
    elif "at-once" in one:
        yield from at_once(here, [pipeline(here, {"run": word}, kept) for word in one["at-once"]])
    elif said := one.get("console"):
        region, _, state = said.partition(":")
        deployers.call("console", here.plan, None, region, state)
    elif "start" in one:
        yield from started(here, one, number)
    else:
        yield play(here, pipeline(here, one, kept, number))


def pipeline(here: World, one: Mapping[str, Any], kept: Mapping[str, Played], number: int = 0) -> Run:
    """A run of the pipeline, from where an earlier one of the same commit had come to, or from where a fault begins.

    Of a commit of the scenario's own it is the run of this number."""
    wanted = told_faults(here, one, PIPELINE)
    reason = {"reason": one["reason"]} if "reason" in one else {}
    event = "workflow_dispatch" if reason else "push"
    before = kept.get(one["run"])
    return Run(
        before.run if before else number,
        one["run"],
        PIPELINE,
        event,
        reason,
        faults=wanted,
        kept=before,
        held="held" in one,
    )


def started(here: World, one: Mapping[str, Any], number: int) -> Iterator[Played]:
    """Another workflow, by hand or by its schedule; then the runs of which it asked GitHub to run a job again."""
    inputs = {name: here.commits.get(value, value) for name, value in one.get("with", {}).items()}
    event, wanted = one.get("event", "workflow_dispatch"), told_faults(here, one, one["start"])
    now = tuple(fault for fault in wanted if fault.kind == "unapproved" or releases(here, one["start"]))
    yield play(here, Run(number, "new", one["start"], event, inputs, faults=now, held=True))
    github = here.cloud.github
    for run, job in github.asked:
        before = github.runs[run]
        later = tuple(fault for fault in wanted if fault not in now)
        yield play(here, Run(run, before.release, before.workflow, faults=later, kept=before, again=job, held=True))
    github.asked.clear()


def told_faults(here: World, one: Mapping[str, Any], name: str) -> tuple[Fault, ...]:
    """The faults of a step; what is to be wrong before it begins is wrong now."""
    wanted = parsed(here, one, name)
    faults.deny(wanted, here.plan)
    return wanted


def parsed(here: World, one: Mapping[str, Any], name: str) -> tuple[Fault, ...]:
    """The faults of a step of the workflow of this name."""
    said = [(kind, text) for kind in OPTIONS if kind in one for text in listed(one[kind])]
    if not releases(here, name):
        name = PIPELINE  # it goes on with the pipeline's runs
    return tuple(faults.parse(kind, text, here.plan, name, here.workflow(name)) for kind, text in said)


def releases(here: World, name: str) -> bool:
    """Whether a workflow releases, or brings back; else it may go on with the pipeline's runs."""
    workflow = here.plan.workflows.get(name)
    return workflow is not None and any(job.kind not in ("", "hold") for job in workflow.jobs.values())


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def tested_only(here: World, played: Played) -> Played:
    """What a run has done before production: with that it may be run again."""
    tested = before_production(here.plan)
    return replace(played, jobs=tuple(job for job in played.jobs if job.job in tested))


def at_once(here: World, runs: Sequence[Run]) -> list[Played]:
    """Several runs at the same time."""
    found: dict[int, Played] = {}
    threads = [Thread(target=lambda run=run: found.update({run.number: play(here, run)})) for run in runs]
    for thread in threads:
        thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    return [found[run.number] for run in runs]
