"""What goes wrong in a rehearsal: said by the user, made to happen at its moment, and seen to have happened."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from dpra.dataclasses import dataclass
from dpra.graph import Job
from dpra.plan import Plan

from . import flags
from .oidc import Refused
from .result import RehearsalError

PLACE = re.compile(
    r"(?P<job>[a-z][a-z-]*)(?:\.(?P<wave>[0-9]+))?(?:\.(?P<step>[a-z][a-z0-9-]*))?(?:/(?P<region>[a-z0-9-]+))?"
)
ALARM = re.compile(r"(?P<place>[^:@=]+):(?P<name>[^@=]+)(?:=(?P<state>\w+))?@(?P<moment>\w+)")
THROTTLED = re.compile(r"(?P<place>[^:@=]+):(?P<service>[a-z0-9-]+):(?P<operation>\w+)=(?P<times>[1-9][0-9]*)")
# What a service says to whom it is asked too often by, where it is not ThrottlingException: code and HTTP status.
TOO_OFTEN = {
    **dict.fromkeys(("cloudformation", "ec2", "iam", "sqs", "sts"), ("Throttling", 400)),
    "account": ("TooManyRequestsException", 429),
    "lambda": ("TooManyRequestsException", 429),
    "organizations": ("TooManyRequestsException", 400),
}
# What an alarm may say; RANG: it was in ALARM meanwhile and is quiet again. GONE: there is no such alarm any more.
STATES = ("ALARM", "OK", "INSUFFICIENT_DATA", "RANG", "GONE")
READS = re.compile("(BatchGet|Describe|Get|Head|List|Lookup|Assume)")
# What a job with a duty does about machines: where it fails, and where its runner dies, so that an instance is left.
MACHINES = {
    "bake": ("CreateImage", "RunInstances"),
    "look": ("RunInstances", "RunInstances"),
    "packer": ("StartSession", "RunInstances"),
    "try": ("SendCommand", "SendCommand"),
}
MOMENTS = ("before", "deploy", "bake")  # before the region is deployed to, while it is, while it bakes
KINDS = {
    "fail": "a step fails: gamma.synthetic-tests, prod.1.synthetic-tests; a deployment: prod.2/us-east-1; "
    "a rollback: rollback/us-east-1; a machine's build: build, or bake with Packer; its instance is lost: image-tests",
    "alarm": "an alarm fires: prod/us-east-1:shop-errors@bake; or @before, @deploy; or NAME=OK, RANG, GONE, ...",
    "deny": "a role trusts another environment than its own: beta, prod, prod-bake, ...",
    "slow": "AWS takes so many minutes for a change: prod.2/us-east-1=90, rollback/us-east-1=90",
    "crash": "the runner dies in mid-deployment: prod.2/us-west-2; or at its third change: prod.2/us-west-2=3",
    "lose": "the whole run dies there, and no job of it runs any more: prod.2/us-west-2, prod.2/us-west-2=3",
    "throttle": "AWS says so many times that it is asked too often: prod/us-east-1:organizations:CreateAccount=3",
    "closed": "the flags that a job's gates read have the other state: gamma, prod.2/us-east-1",
    "tamper": "somebody changes a stored release: artifact (the build's), or prod/us-east-1 (the approved copy)",
    "freeze": "no window is open today",
    "unapproved": "nobody approved it: the branch of what is approved does not contain the commit",
    "slow-approval": "a newer commit is released before this one is approved",
}


class FaultError(RehearsalError):
    """The fault names what is not there. `str()` says what is."""

    exit_code = 2


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
    minutes: int = 0
    times: int = 1  # that AWS refuses it; or which change it is that a runner dies at
    bakes: bool = False  # the job looks at alarms, and changes nothing

    def __str__(self) -> str:
        return f"{self.kind} {self.said}".strip()


def parse(kind: str, said: str, plan: Plan, workflow: str, loaded: Mapping[str, Any]) -> Fault:
    """The fault that a user names.

    Args:
        workflow: the workflow in which it is to happen.
        loaded: that workflow, as it lies in the repository.
    Raises:
        FaultError: there is no such job, step, region or moment in the workflow.
    """
    jobs = plan.workflows[workflow].jobs
    if kind in ("freeze", "unapproved", "slow-approval"):
        if not any(job.kind == "approve" for job in jobs.values()):
            raise FaultError(f"--{kind}: nothing is approved in {workflow}")
        if kind == "unapproved" and not plan.approval_branch:
            raise FaultError(
                "--unapproved: the environment's reviewers approve here, and a rehearsal passes them at once"
            )
        return Fault(kind, "")
    if kind == "deny":
        if said not in (known := {role.id for where in plan.environments.values() for role in where.roles.values()}):
            raise FaultError(f"--deny {said}: there is no such role; there is {', '.join(sorted(known))}")
        return Fault(kind, said, name=said)
    if kind == "tamper" and said == "artifact":
        first = next((job.id for job in plan.jobs.values() if job.kind in ("deploy", "approve")), "")
        if not (plan.store and first):
            raise FaultError("--tamper artifact: this pipeline stores none")
        return Fault(kind, said, job=first)
    if kind == "alarm":
        if not (match := ALARM.fullmatch(said)) or match["moment"] not in MOMENTS:
            raise FaultError(f"--alarm {said}: is no PLACE:NAME@MOMENT; a moment is {', '.join(MOMENTS)}")
        if (state := match["state"] or "ALARM") not in STATES:
            raise FaultError(f"--alarm {said}: no state {state}; there is {', '.join(STATES)}")
        place = _place(kind, match["place"], jobs, loaded, bakes=match["moment"] == "bake")
        return replace(place, said=said, name=match["name"], state=state, moment=match["moment"])
    if kind == "slow":
        where, _, minutes = said.partition("=")
        if not minutes.isdecimal():
            raise FaultError(f"--slow {said}: is no PLACE=MINUTES")
        return replace(_place(kind, where, jobs, loaded), said=said, minutes=int(minutes))
    if kind == "throttle":
        if not (match := THROTTLED.fullmatch(said)):
            raise FaultError(f"--throttle {said}: is no PLACE:SERVICE:OPERATION=TIMES")
        place = _place(kind, match["place"], jobs, loaded)
        times = int(match["times"])
        return replace(place, said=said, state=match["service"], name=match["operation"], times=times)
    if kind in ("crash", "lose") and "=" in said:
        where, _, count = said.partition("=")
        if not count.isdecimal() or not int(count):
            raise FaultError(f"--{kind} {said}: is no PLACE=NUMBER")
        return replace(_place(kind, where, jobs, loaded), said=said, times=int(count))
    place = _place(kind, said, jobs, loaded)
    if kind == "closed" and not any(plan.gates_in(jobs[place.job], step) for step in jobs[place.job].steps):
        raise FaultError(f"--closed {said}: no gate by a flag stands in {place.job}")
    return place


def _place(kind: str, said: str, jobs: Mapping[str, Job], loaded: Mapping[str, Any], bakes: bool = False) -> Fault:
    if not (match := PLACE.fullmatch(said)):
        raise FaultError(f"--{kind} {said}: is no JOB, JOB.STEP, JOB.WAVE or JOB/REGION")
    name, wave, step, region = match["job"], int(match["wave"] or 0), match["step"] or "", match["region"] or ""
    found = [job for job in jobs.values() if name in (job.template, job.id)]
    if bakes:
        beside = {(job.stage, job.wave) for job in found}
        found = [job for job in jobs.values() if job.kind == "bake" and (job.stage, job.wave) in beside] or found
    if wave:
        found = [job for job in found if job.wave == wave]
    if step:  # a stage's tests have a job of their own: its step may be said of any job of the stage
        beside = {(job.stage, job.wave) for job in found}
        doing = [job for job in jobs.values() if (job.stage, job.wave) in beside and step in job.steps]
        found = [job for job in found if step in job.steps] or doing or found
    if region:  # a rollback does all regions in one job
        found = [job for job in found if region in job.legs or (job.on_failure and job.at and region in job.at.regions)]
    if not found:
        there = ", ".join(f"{job.id}{'/' + '|'.join(job.legs) if job.legs else ''}" for job in jobs.values())
        raise FaultError(f"--{kind} {said}: there is no such place; there is {there}")
    first = found[0]
    ids = [str(step["id"]) for step in loaded["jobs"].get(first.id, {}).get("steps", ()) if "id" in step]
    if step and step not in ids:
        raise FaultError(f"--{kind} {said}: {first.id} has no step {step}; it has {', '.join(ids)}")
    return Fault(kind, said, job=first.id, region=region, step=step, bakes=first.kind == "bake")


# ---- In the workflow: steps that fail


def edit(jobs: MutableMapping[str, Any], faults: Iterable[Fault], today: str) -> None:
    """Put into a workflow's jobs, in place, what fails by itself; a step that runs a command really runs one."""
    for fault in faults:
        if fault.kind == "freeze":
            for step in (step for job in jobs.values() for step in job.get("steps", ())):
                if step.get("with", {}).get("do") == "promote":
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
                [key] = jobs[fault.job]["strategy"]["matrix"]
                failing["if"] = f"matrix.{key} == '{fault.region}'"
            steps.insert(index, failing)


# ---- In AWS: at a job's request


@dataclass
class Pending:
    """The faults of one run that AWS's side makes happen, and those that have happened."""

    faults: list[Fault]
    kill: Callable[[Fault], None]  # ends the processes of a job, or the whole run
    plan: Plan
    digest: str = ""  # of the run's release, where an earlier attempt built it
    wait: Callable[[int], None] = lambda minutes: None  # lets time pass
    happened: list[tuple[float, Fault]] = field(default_factory=list)
    wrong: list[FaultError] = field(default_factory=list)  # faults that name what AWS does not have

    def asked(self, job: str, service: str, operation: str, account: str, region: str) -> None:
        """A request has come in, and is not answered yet.

        Raises:
            Refused: it is to fail, and nobody else makes it."""
        for fault in list(self.faults):
            if fault.job == job and fault.region in ("", region) and self.due(fault, job, service, operation):
                self.counts(fault)
                try:
                    act_on(fault, self.plan, account, region, operation, self.digest)
                except FaultError as error:  # this is a thread of the server's
                    self.wrong.append(error)

    def answered(self, job: str, operation: str, region: str) -> None:
        """AWS has done what it was asked to; the answer is not out yet."""
        for fault in list(self.faults):
            here = fault.job == job and fault.region in ("", region)
            if fault.kind == "slow" and here and self.changes(job, operation):
                self.happens(fault)
                self.wait(fault.minutes)
            begun = fault.bakes and operation != "GetCallerIdentity"  # that is how its credentials come
            dies = fault.kind in ("crash", "lose") and here and (begun or self.changes(job, operation, dies=True))
            if dies and self.counts(fault):
                # An organisation is not asked in the region that the job is given.
                units = self.plan.production and self.plan.production.units
                self.kill(fault if units else replace(fault, region=region))

    def due(self, fault: Fault, job: str, service: str, operation: str) -> bool:
        match fault.kind:
            case "fail":
                return not fault.step and self.changes(job, operation)
            case "tamper":
                return service == "s3"
            case "throttle":
                return (service, operation) == (fault.state, fault.name)
            case "closed":
                return operation == "StartConfigurationSession"
            case "alarm" if fault.moment == "bake":
                return operation == "DescribeAlarms"
            case "alarm" if fault.moment == "deploy":
                return self.changes(job, operation)
            case "alarm":
                return True
        return False

    def changes(self, job: str, operation: str, dies: bool = False) -> bool:
        """Whether an operation changes what runs: as the deploy tool says; where there is none, if it does not read.

        Args:
            dies: whether the runner is to die there."""
        if wanted := MACHINES.get(self.duty(job)):
            return operation == wanted[dies]
        if self.plan.deployer:
            return any(one.endswith(f":{operation}") for one in self.plan.deployer.changes)
        return not READS.match(operation)

    def duty(self, job: str) -> str:
        return next((one.jobs[job].duty for one in self.plan.workflows.values() if job in one.jobs), "")

    def counts(self, fault: Fault) -> bool:
        """Whether it is the last time of those that a fault takes; then it has happened."""
        if fault.times == 1:
            self.happens(fault)
            return True
        self.faults[self.faults.index(fault)] = replace(fault, times=fault.times - 1)
        return False

    def happens(self, fault: Fault) -> None:
        self.faults.remove(fault)
        self.happened.append((time.time(), fault))


def act_on(fault: Fault, plan: Plan, account: str, region: str, operation: str, digest: str) -> None:
    """Do to moto what the fault says."""
    from .mends import change_sets, instances
    from .mends.appconfig import deployments
    from .mends.imagebuilder import images

    # CloudFormation, AppConfig and Image Builder take it, and fail later.
    later = {
        "CreateImage": images.DOOMED,
        "ExecuteChangeSet": change_sets.DOOMED,
        "StartDeployment": deployments.DOOMED,
    }
    if fault.kind == "fail" and operation in later:
        later[operation].add((account, region))
    elif fault.kind == "fail" and operation == "StartSession":
        from . import ssh

        ssh.DOOMED.add((account, region))
    elif fault.kind == "fail" and operation == "SendCommand":
        instances.lose(account, region)
    elif fault.kind == "fail":
        raise Refused("InternalFailure", "the rehearsal lets it fail", 500)
    elif fault.kind == "throttle":
        code, status = TOO_OFTEN.get(fault.state, ("ThrottlingException", 400))
        raise Refused(code, "Rate exceeded", status)
    elif fault.kind == "alarm":
        ring(fault, account, region)
    elif fault.kind == "closed":
        flags.close(plan, fault.job, account, region)
    elif fault.said == "artifact" and plan.store:
        flip(plan, plan.store.account, plan.store.bucket, digest)
    else:
        where = next(where for where in plan.environments.values() if where.account == account)
        flip(plan, account, where.bucket.replace("{region}", region), digest)


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


def flip(plan: Plan, account: str, bucket: str, digest: str = "") -> None:
    """Change one byte of a release's package in a bucket. Without a digest, of the newest one."""
    from moto.s3.models import s3_backends

    keys = s3_backends[account][plan.partition].buckets[bucket].keys.values()
    packages = [key for key in keys if key.name.endswith(f"{digest}/package.zip")]
    newest = max(packages, key=lambda key: key.last_modified)
    put(newest, bytes([newest.value[0] ^ 1]) + newest.value[1:])


def put(key: Any, content: bytes) -> None:
    """Store other content in an object of moto's."""
    key.value = content
    key.checksum_value = key.checksum_algorithm = None  # whoever stores an object gives its checksum


def deny(wanted: Iterable[Fault], plan: Plan) -> None:
    """Let the roles of these faults trust the jobs of another environment."""
    from moto.iam.models import iam_backends

    names = {fault.name for fault in wanted if fault.kind == "deny"}
    for where in plan.environments.values():
        for role in (role for role in where.roles.values() if role.id in names):
            there = iam_backends[where.account][plan.partition].get_role(role.name)
            before = there.assume_role_policy_document
            there.assume_role_policy_document = re.sub(r":environment:[\w-]+", ":environment:other", before)


def kill_job(mark: bytes, fault: Fault) -> None:
    """End the processes of a job's leg at once, as a machine that is lost."""
    wanted = {mark, f"GITHUB_JOB={fault.job}".encode()}
    where = {f"INPUT_REGION={fault.region}".encode(), b"INPUT_REGION="} if fault.region else wanted
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ProcessLookupError):
            environment = set((process / "environ").read_bytes().split(b"\0"))
            if wanted <= environment and where & environment:
                os.kill(int(process.name), signal.SIGKILL)
