"""What StackSets do in accounts: operations that take time, one group of accounts after another, and really make the
stacks there. What is asked for is in `stack_sets`.

An operation goes on when somebody looks: all that AWS would have done until then is done at once, in AWS's order.
Sources: the texts of botocore's model, and
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stacksets-orgs-manage-auto-deployment.html."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from moto.cloudformation.models import cloudformation_backends
from moto.organizations.models import OrganizationsBackend, organizations_backends

from dpra.dataclasses import dataclass

from . import organizations, stack_accounts
from .protocol import now

Said = dict[str, Any]
Place = tuple[str, str]  # account and region

GROUP = 0.5  # seconds that the stacks of a group of accounts take
MAKES = ("TemplateBody", "Parameters", "Tags")  # what a stack is made of: where that changes all are outdated
FAILING: dict[str, str] = {}  # id of an account -> why no stack can be made or changed in it, as long as it stands here
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass
class Instance:
    """A stack instance."""

    account: str
    region: str
    unit: str
    overrides: dict[str, str] = field(default_factory=dict)
    stack: str = ""  # its id
    status: str = "OUTDATED"
    detailed: str = "PENDING"
    reason: str = ""
    last: str = ""  # id of its last operation
    drift: str = "NOT_CHECKED"
    checked: float = 0.0  # when drift was looked for
    made: Mapping[str, str] = field(default_factory=dict)  # logical id -> how it was when it was deployed


@dataclass
class Result:
    """What an operation does in one place."""

    account: str
    region: str
    unit: str
    status: str = "PENDING"
    reason: str = ""


@dataclass
class Run:
    """An operation of a stack set."""

    id: str
    action: str
    lanes: list[list[Result]]  # the places, by region, in their order
    preferences: Said = field(default_factory=dict)
    targets: Said = field(default_factory=dict)
    becomes: Said = field(default_factory=dict)  # what the stack set is from its beginning on
    overrides: dict[str, str] | None = None
    retain: bool = False
    automatic: bool = False  # nobody asked for it: an account came or went
    after: list["Run"] = field(default_factory=list)  # those that must have succeeded
    created: float = 0.0
    started: float = 0.0
    due: float = 0.0  # when the group is done
    ended: float = 0.0
    status: str = "QUEUED"
    reason: str = ""
    stopped: float = 0.0  # when somebody asked for it
    group: list[Result] = field(default_factory=list)
    drifted: Said = field(default_factory=dict)

    @property
    def results(self) -> Iterator[Result]:
        return (result for lane in self.lanes for result in lane)


@dataclass
class StackSet:
    id: str
    name: str
    account: str
    region: str
    said: Said  # what was asked for: TemplateBody, Parameters, Tags, AutoDeployment, …
    status: str = "ACTIVE"
    instances: dict[Place, Instance] = field(default_factory=dict)
    targets: dict[str, set[str]] = field(default_factory=dict)  # unit -> regions: for accounts that come
    runs: list[Run] = field(default_factory=list)
    drift: Said = field(default_factory=dict)

    @property
    def automatic(self) -> bool:
        return bool(self.said.get("AutoDeployment", {}).get("Enabled"))

    @property
    def open(self) -> list[Run]:
        return [run for run in self.runs if run.status not in ENDED]


def sets_of(account: str, region: str) -> dict[str, StackSet]:
    """The stack sets of an account and region by their ids, the oldest first."""
    found: dict[str, StackSet] = cloudformation_backends[account][region].__dict__.setdefault("dpra_stack_sets", {})
    return found


def all_sets(account: str) -> Iterator[StackSet]:
    """The stack sets of all regions of an account."""
    if account in cloudformation_backends.keys():  # noqa: SIM118 - moto makes what is asked for
        for region in list(cloudformation_backends[account].keys()):
            yield from sets_of(account, region).values()


def organisation(account: str, within: str) -> OrganizationsBackend | None:
    """moto's backend of the organisation that an account manages."""
    backend = organizations_backends[account][within]
    return backend if backend.org else None


# ---- Time


def settle(account: str, within: str) -> None:
    """Do all that AWS has done meanwhile in the stack sets of an account."""
    if backend := organisation(account, within):
        organizations.settle(backend)
    while any([go_on(one) for one in all_sets(account)]):  # each of them goes on
        pass


def go_on(one: StackSet) -> bool:
    """Whether something has happened to the oldest operation that is not at its end."""
    runs = one.open
    if not runs:
        return False
    run = runs[0]
    if not run.started:
        return begin(one, run)
    if now() < run.due:
        return False
    for result in run.group:
        perform(one, run, result)
    run.group = []
    go_further(one, run, run.due)
    return True


def begin(one: StackSet, run: Run) -> bool:
    if run.stopped:
        cancel(one, run)
        finish(run, "STOPPED", run.stopped, "")
        return True
    if any(other.status not in ENDED for other in run.after):
        return False
    before = [other.ended for other in one.runs if other is not run and other.ended]
    run.started = max([run.created, *before, *(other.ended for other in run.after)])
    if any(other.status != "SUCCEEDED" for other in run.after):
        cancel(one, run)
        finish(run, "FAILED", run.started, "A StackSet that this StackSet depends on has failed.")
        return True
    run.status = "RUNNING"
    if run.becomes:
        about = {(result.account, result.region) for result in run.results}
        same = all(one.said.get(name) == run.becomes[name] for name in MAKES if name in run.becomes)
        one.said.update(run.becomes)
        for place, instance in one.instances.items():
            if not same or place in about:
                instance.status = "OUTDATED"
    for result in run.results:
        if run.action == "CREATE":
            place = (result.account, result.region)
            one.instances.setdefault(place, Instance(*place, result.unit))
        if there := one.instances.get((result.account, result.region)):
            there.last, there.detailed = run.id, "PENDING" if run.action != "DETECT_DRIFT" else there.detailed
    go_further(one, run, run.started)
    return True


def go_further(one: StackSet, run: Run, moment: float) -> None:
    """The next group, or the end."""
    broken = any(failures(lane) > tolerated(run, lane) for lane in run.lanes)
    if run.stopped and run.stopped <= moment:
        cancel(one, run)
        finish(run, "STOPPED", moment, "")
    elif broken or not (group := next_group(run)):
        cancel(one, run)
        finish(run, "FAILED" if broken else "SUCCEEDED", moment, "")
    else:
        run.group, run.due = group, moment + GROUP
        for result in group:
            result.status = "RUNNING"
    if run.ended:
        check_end(one, run)


def next_group(run: Run) -> list[Result]:
    """The accounts of the next step: of the first region that is not done, or of all of them."""
    waiting = [[result for result in lane if result.status == "PENDING"] for lane in run.lanes]
    lanes = [(lane, rest) for lane, rest in zip(run.lanes, waiting, strict=True) if rest]
    if run.preferences.get("RegionConcurrencyType") != "PARALLEL":
        lanes = lanes[:1]
    return [result for lane, rest in lanes for result in rest[: at_once(run, lane)]]


def tolerated(run: Run, lane: list[Result]) -> int:
    """In how many accounts of a region it may fail."""
    said = run.preferences
    if run.action == "DETECT_DRIFT":
        return len(lane)
    return int(said.get("FailureToleranceCount", len(lane) * said.get("FailureTolerancePercentage", 0) // 100))


def at_once(run: Run, lane: list[Result]) -> int:
    """In how many accounts of a region it goes on at a time."""
    said = run.preferences
    most = said.get("MaxConcurrentCount", max(1, len(lane) * said.get("MaxConcurrentPercentage", 0) // 100))
    if said.get("ConcurrencyMode") != "SOFT_FAILURE_TOLERANCE":
        most = min(most, tolerated(run, lane) + 1 - failures(lane))
    return int(most)


def failures(lane: Iterable[Result]) -> int:
    return sum(result.status == "FAILED" for result in lane)


def cancel(one: StackSet, run: Run) -> None:
    for result in run.results:
        if result.status in ("PENDING", "RUNNING"):
            result.status = "CANCELLED"
            result.reason = "Cancelled since the operation was stopped or has failed in other accounts."
            if (instance := one.instances.get((result.account, result.region))) and run.action != "DETECT_DRIFT":
                instance.detailed, instance.reason = "CANCELLED", result.reason


def finish(run: Run, status: str, moment: float, reason: str) -> None:
    run.status, run.ended, run.reason, run.group = status, moment, reason, []


# ---- In an account


def perform(one: StackSet, run: Run, result: Result) -> None:
    """Do it in one place, and keep what came of it."""
    place = (result.account, result.region)
    instance = one.instances.get(place)
    if instance is None:  # gone meanwhile
        result.status = "SUCCEEDED"
        return
    if run.action == "DETECT_DRIFT":
        stack_accounts.look(instance)
        result.status = "SUCCEEDED"
        return
    if closed(one, result.account):
        result.status, instance.detailed = "SUCCEEDED", "SKIPPED_SUSPENDED_ACCOUNT"
        return
    if run.action == "DELETE":
        reason = stack_accounts.undeployed(instance, run.retain)
    else:
        reason = FAILING.get(result.account, "") or stack_accounts.deployed(one, run, instance)
    if reason:
        result.status = instance.detailed = "FAILED"
        result.reason = instance.reason = reason
        instance.status = "INOPERABLE" if run.action == "DELETE" else "OUTDATED"
        return
    result.status = "SUCCEEDED"
    if run.action == "DELETE":
        del one.instances[place]
    else:
        instance.status, instance.detailed, instance.reason = "CURRENT", "SUCCEEDED", ""


def closed(one: StackSet, account: str) -> bool:
    members = [member for backend in organizations_backends[one.account].values() for member in backend.accounts]
    return any(member.id == account and member.state != "ACTIVE" for member in members)


# ---- Drift


def check_end(one: StackSet, run: Run) -> None:
    """What is known of drift at the end of an operation that looks for it."""
    if run.action != "DETECT_DRIFT":
        return
    states = [instance.drift for instance in one.instances.values()]
    one.drift = run.drifted = {
        "DriftStatus": "DRIFTED" if "DRIFTED" in states else "IN_SYNC",
        "DriftDetectionStatus": "STOPPED" if run.status == "STOPPED" else "COMPLETED",
        "LastDriftCheckTimestamp": run.ended,
        "TotalStackInstancesCount": len(states),
        "DriftedStackInstancesCount": states.count("DRIFTED"),
        "InSyncStackInstancesCount": states.count("IN_SYNC"),
        "InProgressStackInstancesCount": 0,
        "FailedStackInstancesCount": 0,
    }


# ---- Accounts that come and go


def moved(backend: OrganizationsBackend, account: Any, before: str, after: str) -> None:
    """The operations that an account's new place makes, those of a stack set after those of what it depends on."""
    begun: dict[str, Run] = {}  # ARN of a stack set -> its operation that creates
    waiting = [one for one in all_sets(backend.account_id) if one.status == "ACTIVE" and one.automatic]
    known = {arn(one) for one in waiting}
    while waiting:
        ready = [one for one in waiting if not depends(one) & known]
        for one in ready or waiting[:1]:
            waiting.remove(one)
            known.discard(arn(one))
            if run := arrive(backend, one, account, before, after):
                run.after = [begun[other] for other in sorted(depends(one)) if other in begun]
                begun[arn(one)] = run


def arn(one: StackSet) -> str:
    within = cloudformation_backends[one.account][one.region].partition
    return f"arn:{within}:cloudformation:{one.region}:{one.account}:stackset/{one.id}"


def depends(one: StackSet) -> set[str]:
    return set(one.said.get("AutoDeployment", {}).get("DependsOn", ()))


def covered(backend: OrganizationsBackend, one: StackSet, unit: str) -> set[str]:
    """The regions of a stack set's targets that a unit is in."""
    if not unit:
        return set()
    levels = {level.id for level in organizations.above(backend, organizations.parent(backend, unit))}
    return {region for target, regions in one.targets.items() if target in levels for region in regions}


def arrive(backend: OrganizationsBackend, one: StackSet, account: Any, before: str, after: str) -> Run | None:
    """The operation that makes the stacks of an account in its new place; one that removes its former ones is there,
    too."""
    wanted, former = covered(backend, one, after), covered(backend, one, before)
    there = {instance.region for instance in one.instances.values() if instance.account == account.id}
    for region in there & wanted:
        one.instances[account.id, region].unit = after
    retain = bool(one.said["AutoDeployment"].get("RetainStacksOnAccountRemoval"))
    if gone := sorted(there & (former - wanted)):
        add(one, "DELETE", [Result(account.id, region, before) for region in gone], retain=retain, automatic=True)
    if come := sorted(wanted - there):
        return add(one, "CREATE", [Result(account.id, region, after) for region in come], automatic=True)
    return None


def add(one: StackSet, action: str, results: Iterable[Result], **about: Any) -> Run:
    """A further operation, with its places in the order of their regions."""
    lanes: dict[str, list[Result]] = {}
    order = about.get("preferences", {}).get("RegionOrder", ())
    for result in results:
        lanes.setdefault(result.region, []).append(result)
    regions = sorted(lanes, key=lambda region: order.index(region) if region in order else len(order))
    number = about.pop("id", "") or str(uuid.uuid4())
    run = Run(number, action, [lanes[region] for region in regions], created=now(), **about)
    one.runs.append(run)
    return run


organizations.MOVED.append(moved)
