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
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

from . import faults, stage
from .accounts import Spec, deployments, forget_production
from .faults import Fault, FaultError
from .result import Played, RehearsalError, Result
from .run import result, waves
from .world import Run, World, forked, hours_pass, opened, play, released

OPTIONS = ("fail", "alarm", "deny", "crash", "lose", "tamper", "freeze", "unapproved")


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

    def as_json(self) -> dict[str, Any]:
        about = {"id": self.id, "promise": self.promise, "fault": self.fault, "when": self.when}
        return {**about, "kept": not self.problems, "problems": list(self.problems)} | (
            {"result": self.result.as_json()} if self.result else {}
        )


@cache
def table() -> tuple[dict[str, Any], ...]:
    """Every scenario, as scenarios.yml says it."""
    from ruamel.yaml import YAML

    rows = YAML(typ="safe").load(Path(__file__).with_name("scenarios.yml"))
    return tuple(rows)


def prove(
    root: Path,
    spec: Spec,
    stages: Mapping[str, str],
    *,
    wanted: Collection[str] = (),
    offline: bool = False,
    workers: int = 2,
    show: Callable[[str], None] = lambda line: None,
    tell: Callable[[Proof], None] = lambda proof: None,
) -> list[Proof]:
    """Play scenarios: each proves a promise by a fault. `tell` is given each proof as it comes.

    Raises:
        FaultError: an unknown scenario.
        RehearsalError: the pipeline does not pass without a fault.
    """
    known = [row["id"] for row in table()]
    if unknown := sorted(set(wanted) - set(known)):
        raise FaultError(f"--scenario: no {', '.join(unknown)}; list them: dpra rehearse --scenario list")
    with opened(root, spec, stages, (), offline, show) as here:
        return _proofs(here, list(wanted) or playable(here), workers, tell)


def playable(here: World) -> list[str]:
    """The scenarios that this repository can play.

    Where GitHub's reviewers approve, no approval can be missing; in a stage that the profile leaves out nothing fails.
    """
    workflow = here.workflow()
    never = [] if stage.approval_branch(workflow) else ['"unapproved"']
    never += [f'"{name}.' for name in ("beta", "gamma") if name not in workflow["jobs"]]
    return [row["id"] for row in table() if not any(word in json.dumps(row["plays"]) for word in never)]


def _proofs(here: World, wanted: Sequence[str], workers: int, tell: Callable[[Proof], None]) -> list[Proof]:
    """Play scenarios, each in a copy of the accounts, some at once; their proofs in the table's order.

    Raises:
        RehearsalError: what all of them begin with failed: without faults the pipeline does not pass.
    """
    rows = [row for row in table() if row["id"] in wanted]
    proofs: dict[str, Proof] = {}
    here.commits = {"old": here.commits["this"]}
    for word in ("new", "newer"):
        here.commits[word] = stage.commit(here.repository, f"The commit that is called {word}")
    workflow = here.workflow()
    built = [job for job, of in here.stages.items() if of == "build" and job in workflow["jobs"]]
    tested = [job for job, of in here.stages.items() if of != "prod" and job in workflow["jobs"]]
    here.show("releasing the commit that is called old, and building the next two")
    first = (Run(1, "old"), Run(2, "new", only=built), Run(3, "newer", only=built))
    base = {run.release: ready(run) for run in at_once(here, first)}
    with Pool(here, base, workers, tell, proofs) as pool:
        pool.play([row for row in rows if begins(row) == "build"])
        base["new"] = ready(play(here, Run(2, "new", only=tested, kept=base["new"])))
        pool.play([row for row in rows if begins(row) == "prod"])
        if later := [row for row in rows if begins(row) == "newer"]:
            base["newer"] = ready(play(here, Run(3, "newer", only=tested, kept=base["newer"])))
            pool.play(later)
    return [proofs[row["id"]] for row in rows]


def ready(played: Played) -> Played:
    if not played.ok:
        raise RehearsalError(
            f"without a fault the pipeline stops at {played.stopped_at}: {'; '.join(played.annotations[:3])}"
        )
    return played


def begins(row: Mapping[str, Any]) -> str:
    """Before which part of the pipeline the accounts of a scenario have to be copied."""
    text = json.dumps(row["plays"])
    if '"newer"' in text:
        return "newer"
    if '"hotfix"' in text:
        return "build"
    early = re.search(r'"(beta\.|gamma\.|artifact")|"deny": "(beta|gamma)"', text)
    return "build" if early else "prod"


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
    if row.get("first"):
        forget_production(here.spec)
    before = deployments(here.spec)
    runs: list[Played] = []
    kept = dict(base)
    for number, one in enumerate(row["plays"]):
        for played in step(here, one, kept, 10 + number):
            runs.append(played)
            if played.workflow == "pipeline":
                kept[played.release] = before_production(here, played) if played.ok or not early(one) else played
    last = next(run for run in reversed(runs) if run.workflow in ("pipeline", "hotfix"))
    told = result(here, runs, last, (), before)
    return Proof(*about(row), tuple(problems(here, row, runs, told)), told)


def filled(row: Mapping[str, Any], here: World) -> dict[str, Any]:
    """The row, with the repository's own regions and alarm."""
    regions = waves(here.workflow())
    middle, last = regions[min(1, len(regions) - 1)][0], regions[-1][0]
    alarm = alarms(here, regions[0][0])[0]
    text = json.dumps(row)
    for name, value in (("first", regions[0][0]), ("middle", middle), ("last", last), ("alarm", alarm)):
        text = text.replace(f"{{{name}}}", value)
    found: dict[str, Any] = json.loads(text)
    return found


def alarms(here: World, region: str) -> list[str]:
    from moto.cloudwatch.models import cloudwatch_backends

    there = list(cloudwatch_backends[here.spec.environments["prod"].account][region].alarms)
    if not there:
        raise RehearsalError("the deployed stack has no alarm: nothing could bring a bad release back")
    return there


def step(here: World, one: Any, kept: Mapping[str, Played], number: int) -> Iterator[Played]:
    """Play one entry of `plays`."""
    if one == "hours-pass":
        hours_pass(here)
    elif "alarm-ends" in one:
        region, _, name = one["alarm-ends"].partition(":")
        faults.ring(Fault("alarm", "", name=name, state="OK"), here.spec.environments["prod"].account, region)
    elif "at-once" in one:
        yield from at_once(here, [pipeline(here, {"run": word}, kept) for word in one["at-once"]])
    elif "hotfix" in one:
        wanted = told_faults(here, one, "hotfix")
        inputs = {"reason": one["hotfix"]}
        yield play(here, Run(number, "new", "hotfix", "workflow_dispatch", inputs, faults=wanted))
    elif "rollback" in one:
        inputs = dict(one["rollback"])
        if to := inputs.get("to"):
            inputs["to"] = here.commits[to]
        yield play(here, Run(number, "new", "rollback", "workflow_dispatch", inputs))
    elif "resume" in one:
        yield from resumed(here, one, number)
    elif "look" in one:
        yield play(here, Run(number, "new", "rollback", "schedule"))
    else:
        yield play(here, pipeline(here, one, kept))


def pipeline(here: World, one: Mapping[str, Any], kept: Mapping[str, Played]) -> Run:
    """A run of the pipeline, from where an earlier one of the same commit had come to, or from where a fault begins."""
    wanted = told_faults(here, one, "pipeline")
    reason = {"reason": one["reason"]} if "reason" in one else {}
    event = "workflow_dispatch" if reason else "push"
    before = kept[one["run"]]
    return Run(before.run, one["run"], "pipeline", event, reason, faults=wanted, kept=before)


def resumed(here: World, one: Mapping[str, Any], number: int) -> Iterator[Played]:
    """The workflow that goes on with what was held; then the runs of which it asked GitHub to run a job again."""
    yield play(here, Run(number, "new", "resume", faults=told_faults(here, one, "resume")))
    github = here.cloud.github
    for run, job in github.asked:
        before = github.runs[run]
        yield play(here, Run(run, before.release, before.workflow, kept=before, again=job))
    github.asked.clear()


def told_faults(here: World, one: Mapping[str, Any], name: str) -> tuple[Fault, ...]:
    """The faults of a step; what is to be wrong before it begins is wrong now."""
    said = [(kind, text) for kind in OPTIONS if kind in one for text in listed(one[kind])]
    wanted = tuple(faults.parse(kind, text, here.workflow(name)) for kind, text in said)
    faults.deny(wanted, here.spec)
    return wanted


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def early(one: Any) -> bool:
    return isinstance(one, dict) and begins({"plays": [one]}) == "build"


def before_production(here: World, played: Played) -> Played:
    """What a run has done before production: with that it may be run again."""
    jobs = tuple(job for job in played.jobs if here.stages.get(job.job) not in ("prod", None))
    return replace(played, jobs=jobs)


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


# ---- What is asserted


def problems(here: World, row: Mapping[str, Any], runs: Sequence[Played], told: Result) -> Iterator[str]:
    """In which way the end is not the promised one."""
    words = {sha: word for word, sha in here.commits.items()}
    ran = {(d.environment, d.region): d for d in told.deployments}
    for environment, region, wanted in ends(row["ends"], told):
        found = ran.get((environment, region))
        word = words.get(found.commit, found.commit[:12]) if found else "none"
        if word != wanted:
            yield f"{environment} {region} runs {word}, not {wanted}"
        elif found and not found.status.endswith(("CREATE_COMPLETE", "UPDATE_COMPLETE", "ROLLBACK_COMPLETE")):
            yield f"{environment} {region} is {found.status}"
    last = runs[-1]
    if "passes" in row and last.ok != row["passes"]:
        yield f"the last run {'passed' if last.ok else f'stopped at {last.stopped_at}'}"
    if "passes" not in row and "at-once" not in row["plays"][-1] and last.ok:
        yield "the last run passed, although it had to fail"
    if len(runs) != row.get("runs", len(runs)):
        yield f"{len(runs)} runs were played, not {row['runs']}"
    text = "\n".join(line for run in runs for line in (*run.annotations, *run.notes, run.stopped_at))
    if "says" in row and not re.search(row["says"], text):
        yield f"nothing said {row['says']!r}, but: {text}"
    record = released(here)
    if record.get("lock"):
        yield f"run {record['lock']['run']} still holds the release lock"
    good = row.get("good", "old")
    if (current := words.get((record.get("current") or {}).get("commit", ""), "none")) != good:
        yield f"the release to go back to is {current}, not {good}"
    left = sorted(region for region, said in record.get("regions", {}).items() if said["now"])
    if left != sorted(row.get("left", ())):
        yield f"the record says that {', '.join(left) or 'no region'} is not as it should be"
    touched = {job.job for run in runs for job in run.jobs if job.result != "skipped" and job.result != "not run"}
    for wave in row.get("untouched", ()):
        if f"prod-{wave}" in touched:
            yield f"wave {wave} was touched"
    yield from order(here, row.get("back", ()), told)
    if "issue" in row and not any(row["issue"] in json.dumps(issue) for issue in here.cloud.github.issues):
        yield f"no issue says {row['issue']!r}"
    for key, value in row.get("evidence", {}).items():
        if not any(record.get(key) == value for run in runs for record in run.evidence):
            yield f"no evidence has {key} {value!r}"


def order(here: World, wanted: Sequence[int], told: Result) -> Iterator[str]:
    """Whether the waves went back in this order: by the times at which their stacks last changed."""
    from moto.cloudformation.models import cloudformation_backends

    account, ended = here.spec.environments["prod"].account, 0.0
    for wave in wanted if len(told.waves) >= len(wanted) else ():
        stacks = [
            stack
            for region in told.waves[wave - 1]
            for stack in cloudformation_backends[account][region].stacks.values()
            if "dpra:digest" in stack.tags
        ]
        times = [stack.events[-1].timestamp.timestamp() for stack in stacks]
        if min(times) < ended:
            yield f"wave {wave} went back before the one behind it"
        ended = max(times)


def ends(said: Mapping[str, str], told: Result) -> Iterator[tuple[str, str, str]]:
    """Environment, region and the word of the release that is to run there. The narrower of two words counts."""
    environments = {d.environment: [] for d in told.deployments} | {"prod": []}  # type: ignore[var-annotated]
    for d in (*told.before, *told.deployments):
        if d.region not in environments.setdefault(d.environment, []):
            environments[d.environment].append(d.region)
    environments["prod"] = [region for wave in told.waves for region in wave]
    for environment, regions in environments.items():
        for region in regions:
            wave = next((f"prod.{n}" for n, of in enumerate(told.waves, 1) if region in of), "")
            for key in (f"{environment}/{region}", wave if environment == "prod" else "", environment):
                if key in said:
                    yield environment, region, said[key]
                    break
