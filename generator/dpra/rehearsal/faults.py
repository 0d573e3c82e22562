"""What goes wrong in a rehearsal: said by the user, made to happen at its moment, and seen to have happened."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .accounts import Spec
from .result import RehearsalError
from .stage import approval_branch

PLACE = re.compile(r"(?P<job>[a-z][a-z-]*)(?:\.(?P<part>[a-z0-9-]+))?(?:/(?P<region>[a-z0-9-]+))?")
ALARM = re.compile(r"(?P<place>[^:@=]+):(?P<name>[^@=]+)(?:=(?P<state>\w+))?@(?P<moment>\w+)")
# What an alarm may say; RANG: it was in ALARM meanwhile and is quiet again. GONE: there is no such alarm any more.
STATES = ("ALARM", "OK", "INSUFFICIENT_DATA", "RANG", "GONE")
MOMENTS = ("before", "deploy", "bake")  # before the region is deployed to, while it is, while it bakes
KINDS = {
    "fail": "a step fails: gamma.synthetic-tests; a deployment: prod.2/us-east-1; a way back: rollback/us-east-1",
    "alarm": "an alarm fires: prod/us-east-1:shop-errors@bake; or @before, @deploy; or NAME=OK, RANG, GONE, ...",
    "deny": "a role trusts another environment than its own: beta, prod, prod-bake, ...",
    "crash": "the runner dies in mid-deployment: prod.2/us-west-2",
    "lose": "the whole run dies there, and no job of it runs any more: prod.2/us-west-2",
    "tamper": "somebody changes a stored release: artifact (the build's), or prod/us-east-1 (the approved copy)",
    "freeze": "no window is open today",
    "unapproved": "nobody approved it: the branch of what is approved does not contain the commit",
    "slow-approval": "a newer commit is released before this one is approved",
}


class FaultError(RehearsalError):
    """The fault names what is not there. `str()` says what is."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, at the moment of a job in a region."""

    kind: str
    said: str
    job: str = ""
    region: str = ""
    step: str = ""
    name: str = ""
    state: str = ""
    moment: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.said}".strip()


def parse(kind: str, said: str, workflow: Mapping[str, Any]) -> Fault:
    """The fault that a user names.

    Raises:
        FaultError: there is no such job, step, region or moment in the workflow.
    """
    if kind == "unapproved" and not approval_branch(workflow):
        raise FaultError("--unapproved: the environment's reviewers approve here, and a rehearsal passes them at once")
    if kind in ("freeze", "unapproved", "slow-approval"):
        return Fault(kind, "")
    if kind == "deny":
        return Fault(kind, said, name=said)
    if kind == "tamper" and said == "artifact":
        return Fault(kind, said, job="beta")
    if kind == "alarm":
        if not (match := ALARM.fullmatch(said)) or match["moment"] not in MOMENTS:
            raise FaultError(f"--alarm {said}: is no PLACE:NAME@MOMENT; a moment is {', '.join(MOMENTS)}")
        if (state := match["state"] or "ALARM") not in STATES:
            raise FaultError(f"--alarm {said}: no state {state}; there is {', '.join(STATES)}")
        place = _place(kind, match["place"], workflow, bakes=match["moment"] == "bake")
        return replace(place, said=said, name=match["name"], state=state, moment=match["moment"])
    return _place(kind, said, workflow)


def _place(kind: str, said: str, workflow: Mapping[str, Any], bakes: bool = False) -> Fault:
    jobs = workflow["jobs"]
    if not (match := PLACE.fullmatch(said)):
        raise FaultError(f"--{kind} {said}: is no JOB, JOB.STEP, JOB.WAVE or JOB/REGION")
    name, part, region = match["job"], match["part"] or "", match["region"] or ""
    stem = f"{name}-bake" if bakes and any(job.startswith(f"{name}-bake") for job in jobs) else name
    waves: list[str] = [job for job in jobs if re.fullmatch(rf"{stem}(-\d+)?", job)]
    if part.isdigit():
        waves, part = [job for job in waves if job == f"{stem}-{part}"], ""
    if region and name != "rollback":
        waves = [job for job in waves if region in legs(jobs[job])]
    if not waves:
        there = ", ".join(f"{job}{'/' + '|'.join(legs(jobs[job])) if legs(jobs[job]) else ''}" for job in jobs)
        raise FaultError(f"--{kind} {said}: there is no such place; there is {there}")
    ids = [str(step["id"]) for step in jobs[waves[0]]["steps"] if "id" in step]
    if part and part not in ids:
        raise FaultError(f"--{kind} {said}: {waves[0]} has no step {part}; it has {', '.join(ids)}")
    return Fault(kind, said, job=waves[0], region=region, step=part)


def legs(job: Mapping[str, Any]) -> list[str]:
    """The regions that a job runs in; none: once."""
    return [str(region) for region in ((job.get("strategy") or {}).get("matrix") or {}).get("region", ())]


# ---- In the workflow: steps that fail


def edit(jobs: MutableMapping[str, Any], faults: Iterable[Fault], today: str) -> None:
    """Put into a workflow's jobs, in place, what fails by itself; a step that runs a command really runs one."""
    for fault in faults:
        if fault.kind == "freeze":
            for step in jobs["prod-approve"]["steps"]:
                if "windows" in step.get("with", {}) or step.get("id") == "manual-approval":
                    step["with"]["windows"] = f'{{"freeze": ["{today}"]}}'
        if fault.kind != "fail" or not fault.step or fault.job not in jobs:
            continue
        steps = jobs[fault.job]["steps"]
        index = next(number for number, step in enumerate(steps) if step.get("id") == fault.step)
        only = f"[ -z '{fault.region}' ] || [ \"$INPUT_REGION\" = '{fault.region}' ] || exit 0; "
        said = f"echo 'the rehearsal lets it fail: {fault.said}'; exit 1"
        if "command" in steps[index].get("with", {}):
            steps[index]["with"]["command"] = (only if fault.region else "") + said
        else:
            failing: dict[str, Any] = {"name": f"The rehearsal lets {fault.step} fail", "run": said}
            if fault.region:
                failing["if"] = f"matrix.region == '{fault.region}'"
            steps.insert(index, failing)


# ---- In AWS: at a job's request


@dataclass
class Pending:
    """The faults of one run that AWS's side makes happen, and those that have happened."""

    faults: list[Fault]
    kill: Callable[[Fault], None]  # ends the processes of a job, or the whole run
    store: tuple[str, str] = ("", "")  # account and bucket of the build's releases
    digest: str = ""  # of the run's release, where an earlier attempt built it
    happened: list[tuple[float, Fault]] = field(default_factory=list)
    wrong: list[FaultError] = field(default_factory=list)  # faults that name what AWS does not have

    def asked(self, job: str, service: str, operation: str, account: str, region: str) -> None:
        """A request has come in, and is not answered yet."""
        for fault in list(self.faults):
            if fault.job == job and fault.region in ("", region) and self.due(fault, service, operation):
                self.happens(fault)
                try:
                    act_on(fault, account, region, self.store, self.digest)
                except FaultError as error:  # this is a thread of the server's
                    self.wrong.append(error)

    def answered(self, job: str, operation: str, region: str) -> None:
        """AWS has done what it was asked to; the answer is not out yet."""
        for fault in list(self.faults):
            here = fault.job == job and fault.region in ("", region)
            if fault.kind in ("crash", "lose") and here and (operation == "ExecuteChangeSet" or "bake" in job):
                self.happens(fault)
                self.kill(replace(fault, region=region))

    @staticmethod
    def due(fault: Fault, service: str, operation: str) -> bool:
        match fault.kind:
            case "fail":
                return not fault.step and operation == "ExecuteChangeSet"
            case "tamper":
                return service == "s3"
            case "alarm" if fault.moment == "bake":
                return operation == "DescribeAlarms"
            case "alarm" if fault.moment == "deploy":
                return operation == "ExecuteChangeSet"
            case "alarm":
                return True
        return False

    def happens(self, fault: Fault) -> None:
        self.faults.remove(fault)
        self.happened.append((time.time(), fault))


def act_on(fault: Fault, account: str, region: str, store: tuple[str, str], digest: str) -> None:
    """Do to moto what the fault says."""
    from .mends import change_sets

    if fault.kind == "fail":
        change_sets.DOOMED.add((account, region))
    elif fault.kind == "alarm":
        ring(fault, account, region)
    elif fault.said == "artifact":
        flip(*store, digest=digest)
    else:
        flip(account, "", region, digest)


def ring(fault: Fault, account: str, region: str) -> None:
    from moto.cloudwatch.models import cloudwatch_backends

    backend = cloudwatch_backends[account][region]
    if fault.name not in backend.alarms:
        raise FaultError(f"--alarm {fault.said}: there is {', '.join(backend.alarms) or 'no alarm'} in {region}")
    if fault.state == "GONE":
        del backend.alarms[fault.name]
        return
    for state in {"RANG": ("ALARM", "OK")}.get(fault.state, (fault.state,)):
        backend.set_alarm_state(fault.name, "the rehearsal says so", "{}", state)


def flip(account: str, bucket: str, region: str = "", digest: str = "") -> None:
    """Change one byte of a release's package in a bucket, or in the account's one for releases in a region.

    Without a digest, of the newest one."""
    from moto.s3.models import s3_backends

    buckets = s3_backends[account]["aws"].buckets
    names = [bucket] if bucket else [name for name in buckets if name.endswith(f"{account}-{region}")]
    packages = [key for key in buckets[names[0]].keys.values() if key.name.endswith(f"{digest}/package.zip")]
    newest = max(packages, key=lambda key: key.last_modified)
    put(newest, bytes([newest.value[0] ^ 1]) + newest.value[1:])


def put(key: Any, content: bytes) -> None:
    """Store other content in an object of moto's."""
    key.value = content
    key.checksum_value = key.checksum_algorithm = None  # whoever stores an object gives its checksum


def deny(wanted: Iterable[Fault], spec: Spec) -> None:
    """Let the roles of these faults trust the jobs of another environment.

    Raises:
        FaultError: there is no such role."""
    from moto.iam.models import iam_backends

    accounts = {environment.account for environment in spec.environments.values()}
    roles = {
        role.name.removeprefix(f"dpra-{spec.name}-"): role
        for account in accounts
        for role in iam_backends[account]["aws"].get_roles()
    }
    for fault in wanted:
        if fault.kind != "deny":
            continue
        if not (role := roles.get(fault.name)):
            raise FaultError(f"--deny {fault.name}: there is no such role; there is {', '.join(sorted(roles))}")
        before = role.assume_role_policy_document
        role.assume_role_policy_document = re.sub(r":environment:[\w-]+", ":environment:other", before)


def kill_job(mark: bytes, fault: Fault) -> None:
    """End the processes of a job's leg at once, as a machine that is lost."""
    wanted = {mark, f"GITHUB_JOB={fault.job}".encode()}
    where = {f"INPUT_REGION={fault.region}".encode(), b"INPUT_REGION="}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ProcessLookupError):
            environment = set((process / "environ").read_bytes().split(b"\0"))
            if wanted <= environment and where & environment:
                os.kill(int(process.name), signal.SIGKILL)
