"""The release record: one object in production's store that says who is releasing, and what runs in each region.

It is only ever changed conditionally (S3's If-Match), by a job that says first what it is about to do and afterwards
what happened. So whoever comes after a lost runner knows which regions were touched. What a change makes of a record is
pure.

    lock     the run that is releasing, with its release, since when and the end of its lease
    waiting  the newest run that was approved meanwhile, with its release
    current  the release that all regions last ended with; history has those before it
    regions  region -> good, the release to go back to, and now, what a run did since, with its state and its wave
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import conditional
import runner
from conditional import Place as Place

Record = dict[str, Any]
Release = dict[str, str]  # digest, commit
Order = Callable[
    [str, str], str
]  # of two commits: is the second ahead of the first, identical, behind, diverged, unknown?
KEPT = 20  # releases in the history
LEAST = 7  # characters by which a release is named
T = TypeVar("T")
GRACE = 2 * 3600  # seconds of a lease, besides the bake: for so long a run that is silent is taken to live


def empty() -> Record:
    return {"schema": 1, "lock": None, "waiting": None, "current": None, "history": [], "regions": {}}


# ---- What a change makes of a record. Each can be done again: a write may have succeeded that seemed to fail.


def acquire_lock(
    record: Record, run: str, release: Release, order: Order, now: float, lease: float, force: bool
) -> str:
    """Take the lock for a run: `locked`, or `wait` while an older release is under way.

    The newest approved commit wins; one that waited learns it when it asks again. `force` lets a commit in that is no
    descendant of what is there.

    Raises:
        runner.Failed: a newer commit was released, is being released or waits; or the order is not known.
    """
    lock, waiting = record["lock"], record["waiting"]
    if lock and lock["run"] == run:
        return "locked"
    for what, known in (("was released", record["current"]), ("is being released", lock), ("waits", waiting)):
        if known and known["run"] != run:
            _in_order(what, known["commit"], release["commit"], order, force)
    if lock and lock["until"] < now and not touched(record):
        lock = None  # it died before it changed anything
    if lock and lock["until"] < now:
        raise runner.Failed(f"run {lock['run']} died while it held the release lock: run the rollback workflow first")
    if lock:
        record["waiting"] = {"run": run, **release}
        return "wait"
    record["lock"], record["waiting"] = {"run": run, **release, "since": now, "until": now + lease}, None
    return "locked"


def _in_order(what: str, known: str, commit: str, order: Order, force: bool) -> None:
    found = order(known, commit)
    if found in ("ahead", "identical") or force:
        return
    if found == "behind":
        raise runner.Failed(
            f"{known[:12]}, which is newer than {commit[:12]}, {what}: it is not replaced by an older one. "
            "To go back, use the rollback workflow"
        )
    raise runner.Failed(
        f"{known[:12]} {what}, and {commit[:12]} is no descendant of it ({found}): "
        "rebase it, or run the pipeline by hand with a reason"
    )


def _holding(record: Record, run: str) -> Record:
    lock: Record | None = record["lock"]
    if not lock or lock["run"] != run:
        raise runner.Failed(
            f"this run does not hold the release lock; {lock['run'] if lock else 'nobody'} does: start a new run",
            "error",
        )
    return lock


def begin_region(
    record: Record,
    run: str,
    region: str,
    wave: int,
    release: Release,
    now: float,
    lease: float,
    firing: Sequence[str] = (),
    irreversible: bool = False,
) -> None:
    """Record that the run is about to change a region; `firing` are the alarms that it is to mend.

    irreversible: its database is about to be changed so that the release before does not run with it. That stays so,
    whatever is deployed there next, until a release is the good one."""
    _holding(record, run)["until"] = now + lease
    entry = record["regions"].setdefault(region, {"good": None, "now": None})
    before = entry["now"] or {}
    entry["now"] = {**release, "state": "deploying", "wave": wave, "began": now, "at": now, "firing": [*firing]}
    if irreversible or before.get("irreversible"):
        entry["now"] |= {"irreversible": True, "database": release["commit"] if irreversible else before["database"]}


def set_region_state(record: Record, run: str, region: str, state: str, now: float, lease: float = 0) -> None:
    """Record a region's state: `deployed`, `failed`, `rolling-back`, `rollback-failed`, or `good` as before.

    lease: for how long from now on, at least, the run is taken to live: from the deployment's end it bakes."""
    lock = _holding(record, run)
    lock["until"] = max(lock["until"], now + lease)
    entry = record["regions"][region]
    if state == "good":
        entry["now"] = None
    elif entry["now"]:
        entry["now"] |= {"state": state, "at": now}


def finish_release(record: Record, run: str, wanted: list[str]) -> list[str]:
    """All waves are deployed and baked: the release is what every region goes back to from now on.

    The digests of releases that nobody can go back to any more."""
    if not record["lock"] and record["current"] and record["current"].get("run") == run:
        return []  # done already
    lock = _holding(record, run)
    release = {"digest": lock["digest"], "commit": lock["commit"]}
    for region in wanted:
        state = (record["regions"].get(region) or {}).get("now")
        if not state or state["state"] != "deployed" or state["digest"] != release["digest"]:
            raise runner.Failed(
                f"{region} does not run the release, the record says {state or 'nothing'}: deploy it there first"
            )
    for region in wanted:
        record["regions"][region] = {"good": release, "now": None}
    before = _remembered(record)
    if record["current"]:
        record["history"] = [record["current"], *record["history"]][:KEPT]
    record["current"] = {**release, "run": run}
    record["lock"] = None
    return sorted(before - _remembered(record))


def _remembered(record: Record) -> set[str]:
    """The digests of all releases that the record knows."""
    regions = [entry[key] for entry in record["regions"].values() for key in ("good", "now")]
    known = [record["lock"], record["waiting"], record["current"], *record["history"], *regions]
    return {one["digest"] for one in known if one}


def touched(record: Record) -> list[list[str]]:
    """The regions that have to go back, wave by wave, the last one first."""
    waves: dict[int, list[str]] = {}
    for region, entry in sorted(record["regions"].items()):
        if entry["now"]:
            waves.setdefault(entry["now"]["wave"], []).append(region)
    return [waves[wave] for wave in sorted(waves, reverse=True)]


def take_lock(record: Record, run: str, now: float, lease: float, by_hand: bool = False) -> bool:
    """Become the run that holds the lock, to roll back what is touched; whether it is.

    By hand it waits for nobody. Else another run that lives keeps the lock: it does the rollback."""
    lock = record["lock"] or {"run": run, "digest": "", "commit": "", "until": 0.0}
    if lock["run"] != run and lock["until"] >= now and not by_hand:
        return False
    record["lock"] = {**lock, "run": run, "since": now, "until": now + lease}
    return True


def lease_expired(record: Record, now: float) -> bool:
    """Whether a run holds the lock whose lease has expired."""
    return bool(record["lock"]) and record["lock"]["until"] < now


def find_release(record: Record, word: str) -> Release:
    """The release whose digest or commit begins with the word, of those that once ran everywhere."""
    known = [record["current"], *record["history"]] if record["current"] else []
    releases = [{"digest": one["digest"], "commit": one["commit"]} for one in known]
    for one in releases:
        if len(word) >= LEAST and (one["digest"].startswith(word) or one["commit"].startswith(word)):
            return one
    names = ", ".join(dict.fromkeys(one["commit"][:12] for one in releases)) or "none"
    raise runner.Failed(f"'{word}' names no release that ran in every region: choose one of the commits {names}")


def choose_release(record: Record, run: str, release: Release, wanted: list[str], now: float) -> None:
    """Choose by hand what every region is to run from now on; each counts as touched until it does."""
    _holding(record, run)
    record["history"] = [record["current"], *record["history"]][:KEPT]
    record["current"] = {**release, "run": run}
    for region in wanted:
        entry = {**release, "state": "rolling-back", "wave": 1, "began": now, "at": now}
        record["regions"][region] = {"good": release, "now": entry}


def break_lock(record: Record, reason: str, now: float) -> Record | None:
    """Break the lock; whose it was. The reason stays. Not while it is needed to know what a run touched."""
    lock: Record | None = record["lock"]
    if lock and touched(record):
        regions = ", ".join(region for wave in touched(record) for region in wave)
        raise runner.Failed(
            f"run {lock['run']} changed {regions}, and its rollback needs the lock: "
            "run the rollback workflow, which releases it"
        )
    record["lock"] = record["waiting"] = None
    if lock:
        record["unlocked"] = {"run": lock["run"], "reason": reason, "at": now}
    return lock


def release_lock(record: Record, run: str) -> None:
    """Release the lock, if the run holds it."""
    if record["lock"] and record["lock"]["run"] == run:
        record["lock"] = None


# ---- The object


def read(place: Place) -> tuple[Record, str]:
    """The record and its ETag; an empty one and no ETag where there is none yet."""
    kept, etag = conditional.read(place)
    return (empty() if kept is None else kept), etag


def change(place: Place, transition: Callable[[Record], T]) -> T:
    """Apply a change to the record as it is then, however often others change it meanwhile."""
    return conditional.change(place, transition, empty, "release record")


def given() -> Place:
    """The record that the input `record` names, s3://BUCKET/KEY, in `record-region`; it belongs to `account`."""
    bucket, separator, key = runner.required("RECORD").removeprefix("s3://").partition("/")
    if not separator:
        raise runner.Failed(
            f"the input 'record' is '{runner.given('RECORD')}', not an address s3://BUCKET/KEY", "error"
        )
    return Place(runner.required("RECORD_REGION"), bucket, key, runner.required("ACCOUNT"))


def lease() -> float:
    """Seconds that this run's lease lasts from now on."""
    return GRACE + 60 * float(runner.given("BAKE_MINUTES") or 0)


def run() -> str:
    return os.environ["GITHUB_RUN_ID"]
