"""What a rehearsal plays in: a copy of the repository, the accounts, and runs of its workflows, one after another, at
once, or from a point at which an earlier one stopped."""

import json
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dpra import resources, types
from dpra.catalogue import PIPELINE
from dpra.dataclasses import dataclass
from dpra.plan import Plan

from . import (
    accounts,
    act,
    advisories,
    aws_cli,
    bases,
    buildah,
    checkout,
    deployers,
    dialect,
    faults,
    needs,
    packer,
    workflow,
)
from .aws import Cloud
from .faults import Fault
from .github import GitHub
from .oidc import Issuer
from .real_actions import RealActions, real_actions
from .record import Record
from .result import Happened, Played, RehearsalError
from .third_party import mappings

SILENCE = 3.0  # seconds
HOURS = 12  # that pass at once
LIMIT = 30 * 60.0  # seconds for a run; a rehearsal of all scenarios has many
# Where no job gets a token of GitHub's there is no account to prepare, and nothing answers for AWS.
NOWHERE = SimpleNamespace(
    url="http://127.0.0.1:9", token_url="", attest_url="", refusals=[], faults={}, github=SimpleNamespace(runs={})
)


@dataclass
class World:
    """A repository and its accounts."""

    plan: Plan
    offline: bool
    show: Callable[[str], None]
    work: Path
    repository: Path
    cloud: Any
    steps: Path  # what stands first in the jobs' PATH
    accounts: bool  # whether a job asks for credentials
    commits: dict[str, str]  # in a word -> SHA, on the trunk: old, new, newer
    real: RealActions | None = None
    began: float = field(default_factory=time.monotonic)
    played: Iterator[int] = field(default_factory=count)

    def workflow(self, name: str = PIPELINE) -> Any:
        return workflow.load(self.repository / workflow.FOLDER / f"{name}.yml")


@dataclass(frozen=True)
class Run:
    """One run of a workflow, to be played."""

    number: int  # GitHub's run id; a further attempt has the same
    release: str  # whose commit it is of, in a word
    workflow: str = PIPELINE
    event: str = "push"
    inputs: Mapping[str, str] = field(default_factory=dict)
    only: Collection[str] = ()  # stages or jobs, with all that they need; empty for everything
    faults: tuple[Fault, ...] = ()
    kept: Played | None = None  # an earlier attempt: what it has done is not done again
    again: str = ""  # but for this job and those that wait for it
    held: bool = False  # time does not pass by itself: a bake for which no runner waits is held


@contextmanager
def opened(
    root: Path, plan: Plan, only: Collection[str], offline: bool, show: Callable[[str], None], real: str | None = None
) -> Iterator[World]:
    """Check the repository out and prepare the accounts, in memory if there is enough.

    Args:
        real: take real third-party actions, from this folder of clones; empty: from GitHub. None: stand-ins.

    Raises:
        RehearsalError: it cannot be played: a tool is missing, or the repository holds what has no stand-in.
    """
    began = time.monotonic()
    for tool in ("act", "aws"):  # the deploy action calls aws
        act.find(tool)
    with folder(memory()) as work, interruptible():
        repository = work / "repository"
        (work / "caches").mkdir()  # what a run saves, a later one finds
        show("checking out a copy of the working tree")
        spec = plan.spec
        sha = checkout.clone(root.resolve(), spec.trunk, repository)
        pipeline = workflow.load(repository / workflow.FOLDER / f"{PIPELINE}.yml")
        workflow.refuse_unplayable(pipeline)
        chosen = workflow.selected(pipeline["jobs"], plan.stage_of, only)
        needs.checked(plan, chosen, offline)
        issuer = Issuer(spec.repository, spec.trunk, sha, spec.repository_id or 0, spec.owner_id or 0)
        asks = any(workflow.may_write("id-token", pipeline, pipeline["jobs"][job]) for job in chosen)
        if asks:
            show("preparing the accounts")
        actions = nullcontext() if real is None else real_actions(real, offline, work / "real", spec.repository, show)
        with actions as taken, Cloud(issuer) if asks else nullcontext(NOWHERE) as cloud:
            mappings(repository, pipeline, spec.pack, resources.ROOT, *([taken.take] if taken else []))
            steps = act.shell(work)
            if plan.deployer and plan.deployer.kind:
                buildah.install(steps, work)
            if asks:
                accounts.prepare(repository, plan)
                bases.provide(plan, repository)
                watch(cloud.github, repository, plan)
                cloud.sigstore.install(steps)
                cloud.registry.install(steps, cloud.url)
            with aws_cli.started(steps) if asks else nullcontext(), packer.opened(plan, steps, cloud):
                commits = {"this": sha}
                yield World(plan, offline, show, work, repository, cloud, steps, asks, commits, taken, began)


def watch(github: GitHub, repository: Path, plan: Plan) -> None:
    """Tell GitHub's API of the repository. The branch of what is approved, if any, is protected and has all commits."""
    github.order = partial(checkout.order, repository)
    github.head = partial(checkout.head, repository)
    github.file = partial(checkout.file, repository)
    github.approving = plan.approval_branch
    for path in sorted((repository / workflow.FOLDER).glob("*.yml")):
        jobs = workflow.load(path)["jobs"]
        github.names[path.stem] = {job: str(said.get("name", job)) for job, said in jobs.items()}


def forked(here: World, name: str) -> None:
    """In a forked process: make the world its own. The accounts are as they were."""
    before = here.work
    here.work = before / name
    here.work.mkdir()
    shutil.copytree(before / "caches", here.work / "caches")
    steps = act.shell(here.work)
    shutil.copy2(here.steps / "aws", steps / "aws")
    if here.plan.deployer and here.plan.deployer.kind:
        shutil.copy2(before / buildah.ARCHIVE, here.work / buildah.ARCHIVE)
        buildah.install(steps, here.work)
    here.steps = steps
    here.cloud.fork()
    packer.forked(here.plan, steps, here.cloud)
    if here.real:
        here.real.services.fork()
    here.cloud.sigstore.install(steps)
    here.cloud.registry.install(steps, here.cloud.url)


def play(here: World, run: Run) -> Played:
    """Play one run to its end.

    Raises:
        RehearsalError: act could not run a job.
    """
    work, spec, cloud = here.work / f"run-{next(here.played)}", here.plan.spec, here.cloud
    work.mkdir()
    attempt = run.kept.attempt + 1 if run.kept else 1
    sha = here.commits[run.release]
    checkout.check_out(here.repository, sha, spec.trunk, work / "repository")
    checkout.serve(work / "repository", spec.trunk, work / "served.git")
    source = work / "repository" / workflow.FOLDER / f"{run.workflow}.yml"
    loaded = workflow.load(source)
    planned = here.plan.workflows[run.workflow].jobs if run.workflow in here.plan.workflows else {}
    chosen = workflow.selected(loaded["jobs"], here.plan.stage_of, run.only)
    again = workflow.waiting(loaded["jobs"], run.again) if run.again else set()
    done = passed(run.kept, [job for job in chosen if job not in again])
    bearer = {"run_id": str(run.number), "sha": sha, "workflow": f".github/workflows/{run.workflow}.yml"}

    def prepare(copy: Any) -> None:
        faults.edit(copy["jobs"], run.faults, f"{datetime.now(UTC):%Y-%m-%d}")
        admit = partial(cloud.issuer.admit, ref=None, **bearer) if here.accounts else lambda job, environment, bakes: ""
        workflow.prepare(copy, chosen, done, admit, cloud, work, run.held)
        if here.real:
            here.real.edit(copy, run.number)
        workflow.tell_outputs(copy, work / "outputs.json")

    if run.kept:  # what its jobs left is there
        shutil.copytree(run.kept.artifacts, work / "uploads")
    else:
        (work / "uploads").mkdir()
    if spec.pack:  # the pack alone: act copies the checkout for each step
        shutil.copytree(resources.PACK, work / "pack/.github/actions", ignore=shutil.ignore_patterns("__pycache__"))
    taken = [here.real.take] if here.real else []
    stand_ins = mappings(work / "repository", loaded, spec.pack, work / "pack", *taken)
    token = here.real.begin(work, run.number) if here.real else ""
    text = dialect.edited(source.read_text(encoding="utf-8"), prepare)
    (work / "pipeline.yml").write_text(text, encoding="utf-8")
    (work / "event.json").write_text(json.dumps(event(spec, sha, run)), encoding="utf-8")
    (work / "cache").mkdir()
    record = Record(loaded, here.show, done)
    labels = workflow.runner_labels(loaded)
    arguments = act.command(
        work, labels, stand_ins, spec.repository, spec.repository_id or 1, run.event, run.number, attempt, token
    )
    arguments += ["--env", f"GITHUB_WORKFLOW_REF={spec.repository}/{bearer['workflow']}@refs/heads/{spec.trunk}"]
    env = act.environment(work, here.steps, cloud.url, here.offline)
    env[f"{act.MARK}_CACHES"] = str(here.work / "caches")
    if here.real:
        env = here.real.environment(env)
    refused = len(cloud.refusals)
    if here.accounts:
        arguments += ["--env", f"GITHUB_API_URL={cloud.github_url}"]
        cloud.faults[str(run.number)] = pending(here, run, env[act.MARK])
    if here.offline:
        env |= advisories.write(work / "trivy")
    if here.accounts and any(fault.kind == "unapproved" for fault in run.faults):
        cloud.github.unapproved.add(sha)
    code, said = act.play(arguments, env, work, record.hear, LIMIT)
    if here.accounts:
        cloud.github.unapproved.discard(sha)
    left = cloud.faults.pop(str(run.number), None)
    lost = left is not None and any(fault.kind == "lose" for _, fault in left.happened)
    finished = code in (0, 1)
    jobs = record.result(planned, chosen, finished, run.kept.jobs if run.kept else ())
    why = f"cut off after {LIMIT:.0f} seconds" if code < 0 else f"act ended with {code}: {said or 'it said nothing'}"
    if not record.legs:
        raise RehearsalError(f"no job ran: {why}")
    notes = [*record.annotations, *cloud.refusals[refused:]]
    if not finished and not lost:
        notes.append(why)
    if left and left.wrong:
        raise left.wrong[0]
    if left and left.faults:
        raise faults.FaultError(f"did not happen: {', '.join(map(str, left.faults))}; the run had ended before")
    played = Played(
        run=run.number,
        attempt=attempt,
        artifacts=str(work / "uploads"),
        release=run.release,
        commit=sha,
        workflow=run.workflow,
        ok=code == 0 and not any(job.result == "failure" for job in jobs),
        stopped_at=record.stopped_at,
        jobs=jobs,
        annotations=tuple(notes),
        notes=tuple(record.notes),
        happened=tuple(
            Happened(at, str(fault), fault.job, fault.region) for at, fault in (left.happened if left else ())
        ),
        outputs=done | outputs(work / "outputs.json"),
        evidence=evidence(work / "uploads"),
    )
    cloud.github.runs[run.number] = played
    return played


def passed(before: Played | None, chosen: Collection[str]) -> dict[str, dict[str, str]]:
    """The jobs of an earlier attempt that are not done again, with their outputs: those that passed."""
    if before is None:
        return {}
    legs = [job for job in before.jobs if job.job in chosen and job.result != "not run"]
    failed = {job.job for job in legs if job.result != "success"}
    return {job.job: before.outputs.get(job.job, {}) for job in legs if job.job not in failed}


def outputs(path: Path) -> dict[str, dict[str, str]]:
    """What the jobs of a run gave out; nothing where the run died before it was written down."""
    if not path.is_file():
        return {}
    return {job: dict(said["outputs"] or {}) for job, said in json.loads(path.read_text(encoding="utf-8")).items()}


def evidence(artifacts: Path) -> tuple[dict[str, Any], ...]:
    """The records that the jobs' actions left."""
    return tuple(
        json.loads(line)
        for path in sorted(artifacts.glob("evidence-*/evidence.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    )


def pending(here: World, run: Run, mark: str) -> faults.Pending:
    """The faults that AWS's side makes happen."""

    def kill(fault: Fault) -> None:
        if fault.kind == "lose":
            act.end(mark)
        else:
            faults.kill_job(f"{act.MARK}={mark}".encode(), fault)

    by_aws = ("alarm", "closed", "crash", "lose", "slow", "tamper", "throttle")
    waiting = [fault for fault in run.faults if fault.kind in by_aws]
    waiting += [fault for fault in run.faults if fault.kind == "fail" and not fault.step]
    # What an earlier attempt built.
    digests = [said["digest"] for said in run.kept.outputs.values() if "digest" in said] if run.kept else []
    return faults.Pending(waiting, kill, here.plan, next(iter(digests), ""), partial(pass_time, here))


def event(spec: Any, sha: str, run: Run) -> dict[str, Any]:
    """What starts the run."""
    owner, name = spec.repository.split("/")
    about = {
        "repository": {
            "id": spec.repository_id or 1,
            "name": name,
            "full_name": spec.repository,
            "default_branch": spec.trunk,
            "private": spec.github.visibility != "public",
            "owner": {"id": spec.owner_id or 1, "login": owner},
        },
        "sender": {"login": owner},
    }
    if run.event == "workflow_dispatch":
        return {"ref": f"refs/heads/{spec.trunk}", "inputs": dict(run.inputs), **about}
    message = "The working tree, as it is rehearsed"
    push = {"before": "0" * 40, "after": sha, "head_commit": {"id": sha, "message": message}}
    return {"ref": f"refs/heads/{spec.trunk}", **push, **about}


def memory() -> str | None:
    """A folder in memory: act copies the repository for each job, which costs a disk much. None without."""
    place = "/dev/shm"  # noqa: S108 - a private folder is made in it
    if "TMPDIR" in os.environ or not os.access(place, os.W_OK):
        return None
    state = os.statvfs(place)
    enough = state.f_bavail * state.f_frsize >= 4 << 30
    return place if enough and not state.f_flag & os.ST_NOEXEC else None


@contextmanager
def folder(place: str | None = None) -> Iterator[Path]:
    """A private folder, gone afterwards, also where a job left read-only folders in it."""
    work = Path(tempfile.mkdtemp(prefix="dpra-rehearsal-", dir=place))
    mine = os.getpid()
    try:
        yield work
    finally:
        if os.getpid() == mine:
            for path in work.rglob("*"):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(stat.S_IRWXU)
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends a rehearsal as Ctrl-C does: in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def committed(here: World, word: str) -> str:
    """One commit more on the trunk, called so; its SHA. The pipeline type says how a release of it is another one."""
    types.call("edit", here.plan, None, here.repository, word)
    return checkout.commit(here.repository, f"The commit that is called {word}")


def pass_time(here: World, minutes: int) -> None:
    """Let credentials grow older."""
    here.cloud.ahead += 60 * minutes


def minutes_pass(here: World, minutes: int) -> None:
    """Let time pass between runs: all that the release record tells of is so much longer ago."""
    pass_time(here, minutes)
    for key in accounts.records(here.plan):
        record = json.loads(key.value)
        regions = [entry["now"] for entry in record["regions"].values() if entry["now"]]
        for said, names in ((record["lock"], ("since", "until")), *((now, ("began", "at")) for now in regions)):
            for name in names if said else ():
                said[name] -= 60 * minutes
        faults.put(key, json.dumps(record).encode())


def hours_pass(here: World) -> None:
    """As if nobody had been heard of for hours: the release lock's lease has expired, and instances still run."""
    while time.monotonic() - here.cloud.asked_at < SILENCE:  # what was on its way when its job was lost still comes
        time.sleep(SILENCE / 10)
    for key in accounts.records(here.plan):
        record = json.loads(key.value)
        if record["lock"]:
            record["lock"]["until"] = 0.0
        faults.put(key, json.dumps(record).encode())
    deployers.call("hours_pass", here.plan, None, HOURS)


def released(here: World) -> dict[str, Any]:
    """The release record, as it lies in production's store; empty where there is none."""
    return next((json.loads(key.value) for key in accounts.records(here.plan)), {})
