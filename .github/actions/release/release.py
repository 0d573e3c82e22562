"""Leads a release through production by its record: promote, finish, rollback, recover.

Beside it, for a deploy tool with flags: switch-off and drift."""

import datetime
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import approval
import aws
import deployment
import evidence
import order
import record
import runner
import store
import trusted
import windows

PAUSE = 15  # seconds between two checks of another run's lock
T = TypeVar("T")


def regions() -> list[str]:
    return runner.required("REGIONS").split()


def places() -> list[str]:
    """What the record has an entry of: organisational units, else regions."""
    units: list[str] = json.loads(runner.given("UNITS") or "[]")
    return units or regions()


def target(place: str) -> deployment.Target:
    """A region, or a unit, which the first region's services are asked about."""
    region = place if place in regions() else regions()[0]
    return replace(deployment.target(region, bucket(region)), unit="" if place == region else place)


def bucket(region: str) -> str:
    return runner.required("BUCKET").replace("{region}", region)


def promote() -> None:
    """Copy the approved release to production's store, and take the lock: first approve, then lock."""
    branch = runner.given("APPROVAL_BRANCH")
    tool = f"pull request into {branch}" if branch else "GitHub environment"
    with evidence.recorded("manual-approval", tool=tool) as facts:
        if reason := runner.given("REASON"):
            facts["override"] = reason
        if waits_for := [*filter(None, (window(reason), missing_approval(branch)))]:
            hold(waits_for)
        digest, commit, account = runner.required("DIGEST"), os.environ["GITHUB_SHA"], runner.required("ACCOUNT")
        aws.expect_account(runner.required("RECORD_REGION"), account)
        release = trusted.fetch(runner.required("STORE_REGION"), runner.required("STORE"), digest, commit, whole=True)
        with ThreadPoolExecutor(4) as pool:
            puts = [
                pool.submit(store.put, region, bucket(region), account, runner.required("COMPONENT"), digest, release)
                for region in regions()
            ]
            for put in puts:
                put.result()
        lock({"digest": digest, "commit": commit}, bool(reason))
        runner.output("locked", "true")


def window(reason: str) -> str:
    """Why no window lets the release out now; nothing where one is open, or there is a reason to go outside."""
    why = windows.closed(json.loads(runner.given("WINDOWS") or "{}"), datetime.datetime.now(datetime.UTC))
    if why and reason:
        runner.warning(f"{why}; override: {reason}", title="deployment window")
    return "" if reason else why


def missing_approval(branch: str) -> str:
    """What is missing for the approval, where a pull request into the branch is one; no reason stands in for it."""
    if not branch:
        return ""
    commit = os.environ["GITHUB_SHA"]
    approval.require_review(branch)
    if approval.approved(branch, commit):
        return ""
    return f"merge {commit} into {branch} by a reviewed pull request, with a merge commit: a squash is another commit"


def hold(waits_for: list[str]) -> None:
    """End without a release and without a failure: it goes on later."""
    why = runner.inert("; ".join(waits_for))
    runner.output("locked", "false")
    runner.output("held", why)
    runner.summary("held: not released yet", ("what is missing",), [[runner.code(one)] for one in waits_for])
    raise runner.Held(why)


def lock(release: record.Release, force: bool) -> None:
    """Take the release lock; wait for an older release that is under way, or be held until it has ended."""
    waits = 60 * float(runner.required("WAIT_MINUTES"))
    until = time.monotonic() + waits
    while True:
        now = time.time()
        answer = record.change(
            record.given(),
            lambda kept: record.acquire_lock(kept, record.run(), release, order.compare, now, record.lease(), force),  # noqa: B023
        )
        if answer == "locked":
            runner.say(f"run {record.run()} holds the release lock and releases {release['commit'][:12]}")
            return
        if not waits:
            hold([f"another release is under way: {release['commit'][:12]} goes on when that has ended"])
        if time.monotonic() > until:
            raise runner.Failed("another release still holds the release lock: run this job again when it has ended")
        runner.say("another release holds the release lock; waiting for it")
        time.sleep(PAUSE)


def finish() -> None:
    """Every wave is deployed and baked: from now on this is the release to go back to."""
    dropped = record.change(record.given(), lambda kept: record.finish_release(kept, record.run(), places()))
    runner.say("the release is finished: from now on it is the last good one")
    for region in regions() if dropped else ():
        for digest in dropped:
            store.retire(region, bucket(region), runner.required("COMPONENT"), digest)


def recover() -> None:
    """Roll back what a run that died left half done: one whose lease has expired."""
    kept, _ = record.read(record.given())
    if record.lease_expired(kept, time.time()):
        runner.warning(
            f"run {kept['lock']['run']} died while it held the release lock, and its lease has expired: rollback"
        )
        rollback()
    else:
        runner.say("no lease has expired: nothing to recover")


def rollback() -> None:
    """Roll back every region that was touched, the last wave first. What one region does stops no other.

    With a reason it is by hand: it waits for nobody, and `to` may name the release."""
    with evidence.recorded("rollback", tool=deployment.tool_name()) as facts:
        reason = runner.given("REASON")
        if reason:
            facts["override"] = reason
        aws.expect_account(runner.required("RECORD_REGION"), runner.required("ACCOUNT"))
        to = deployment.release_named(runner.given("TO"), regions()[0], bucket(regions()[0]))
        now = time.time()

        def take_lock(kept: record.Record) -> bool:
            taken = record.take_lock(kept, record.run(), now, record.lease(), bool(reason))
            if taken and to:
                record.choose_release(kept, record.run(), record.find_release(kept, to), places(), now)
            return taken

        if not record.change(record.given(), take_lock):
            runner.say("another run holds the release lock and does the rollback")
            return
        kept, _ = record.read(record.given())
        waves = record.touched(kept)
        if not waves:
            runner.say("no region was touched: nothing to roll back")
        results: dict[str, str] = {}
        for wave in waves:
            # An organisation takes one change at a time.
            with ThreadPoolExecutor(len(wave) if {*wave} <= {*regions()} else 1) as pool:
                results |= dict(zip(wave, pool.map(lambda region: roll_back(kept, region), wave), strict=True))
        record.change(record.given(), lambda kept: record.release_lock(kept, record.run()))
        facts["findings"] = {
            "rolled back": list(results.values()).count(""),
            "failed": len(list(filter(None, results.values()))),
        }
        rows = [(runner.code(region), runner.code(problem or "rolled back")) for region, problem in results.items()]
        if rows:
            runner.summary("rollback", ("region", "result"), rows)
        for region, problem in results.items():
            if problem:
                runner.error(f"{region}: {problem}", title="rollback")
        if any(results.values()):
            raise runner.Failed("not every region is back")


def roll_back(kept: record.Record, region: str) -> str:
    """Roll one region back to its last good release; why it is not, or nothing."""
    good = kept["regions"][region]["good"]
    if not good:
        return "nothing to go back to: this was its first release; release a fix"
    now = kept["regions"][region]["now"]
    if now.get("irreversible") and not runner.given("REASON"):
        set_region_state(region, "rollback-failed")
        return (
            f"the database change of {now['database'][:12]} is irreversible, so there is no automatic rollback: "
            "release a fix, or roll back by hand with a reason if the release before runs with that database"
        )
    try:
        set_region_state(region, "rolling-back")
        tool, there = deployment.tool(), target(region)
        tool.settled(there)
        release = trusted.fetch(there.region, there.bucket, good["digest"], good["commit"])
        tool.deploy(
            there,
            deployment.Change(release, good["digest"], good["commit"], lambda: None, True, at_once=True, back=True),
        )
        if (running := tool.running(there)) != good["digest"]:
            raise runner.Failed(f"after the rollback it runs {running or 'an unknown release'}, not {good['digest']}")
        set_region_state(region, "good")
        runner.say(f"{region} is rolled back to {good['digest'][:12]}, commit {good['commit'][:12]}")
    except (runner.Failed, OSError) as failed:
        set_region_state(region, "rollback-failed")
        return str(failed) or type(failed).__name__
    return ""


def set_region_state(region: str, state: str) -> None:
    record.change(record.given(), lambda kept: record.set_region_state(kept, record.run(), region, state, time.time()))


def switch_off() -> None:
    """Switch a flag off in every region, at once: it waits for no lock and no window. The record stays as it is."""
    with evidence.recorded("emergency-off", tool=deployment.tool_name()) as facts:
        tool, flag, reason = with_flags(), runner.required("FLAG"), runner.required("REASON")
        facts["override"] = reason
        aws.expect_account(runner.required("RECORD_REGION"), runner.required("ACCOUNT"))
        kept, _ = record.read(record.given())
        results = everywhere(lambda region: off(tool, kept, region, flag))
        facts["findings"] = {
            "off": list(results.values()).count("off"),
            "failed": len([said for said in results.values() if said not in ("off", NOT_THERE)]),
        }
        runner.summary(f"{runner.code(flag)} off", ("region", "result"), coded(results.items()))
        for region, said in results.items():
            (runner.say if said in ("off", NOT_THERE) else runner.error)(f"{region}: {flag}: {said}")
        if facts["findings"]["failed"]:
            raise runner.Failed(f"{flag} is not off in every region: run this again")
        if not facts["findings"]["off"]:
            raise runner.Failed(f"no region has a flag {flag}: is that its name?")
        runner.warning(f"{flag} stays off until its definition says so, too: change it", title="emergency")


NOT_THERE = "not in what runs there; it stays off when a release brings it"


def off(tool: deployment.WithFlags, kept: record.Record, region: str, flag: str) -> str:
    """Switch the flag off in what runs in one region; what became of it."""
    entry = kept["regions"].get(region) or {"good": None, "now": None}
    deployed = entry["now"] if entry["now"] and entry["now"]["state"] == "deployed" else entry["good"] or entry["now"]
    if not deployed:
        return "no release runs there"
    try:
        target = deployment.target(region, bucket(region))
        release = trusted.fetch(region, target.bucket, deployed["digest"], deployed["commit"])
        change = deployment.Change(release, deployed["digest"], deployed["commit"], lambda: None, True, at_once=True)
        return "off" if tool.switch_off(target, change, flag) else NOT_THERE
    except (runner.Failed, OSError) as failed:
        return str(failed) or type(failed).__name__


def drift() -> None:
    """Fail where somebody else changed in a region what dpra deployed there."""
    with evidence.recorded("configuration-drift", tool=deployment.tool_name()) as facts:
        tool = with_flags()
        aws.expect_account(runner.required("RECORD_REGION"), runner.required("ACCOUNT"))
        found = everywhere(lambda region: tool.drift(deployment.target(region, bucket(region))))
        rows = [(region, *row) for region, drifted in found.items() for row in drifted]
        facts["findings"] = {"changed": len(rows)}
        for region, profile, key, ours, theirs in rows:
            runner.error(f"{region}: {profile} {key}: dpra deployed {ours}, and {theirs} is deployed", title="drift")
        if rows:
            head = ("region", "profile", "what", "as dpra deployed it", "as it is deployed")
            runner.summary("drift", head, coded(rows))
            raise runner.Failed(
                "configuration was changed past the pipeline. Bring it into the repository and release it by hand with "
                "that as the reason, or deploy the earlier version again"
            )
        runner.say("what is deployed is what was released")


def with_flags() -> deployment.WithFlags:
    tool = deployment.tool()
    if not isinstance(tool, deployment.WithFlags):
        raise runner.Failed(f"the deploy tool {deployment.tool_name()} has no flags", "error")
    return tool


def everywhere(look: Callable[[str], T]) -> dict[str, T]:
    """What it gives for each region, all at the same time."""
    with ThreadPoolExecutor(len(regions())) as pool:
        return dict(zip(regions(), pool.map(look, regions()), strict=True))


def coded(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    return [[runner.code(cell) for cell in row] for row in rows]


DUTIES = {
    "promote": promote,
    "finish": finish,
    "rollback": rollback,
    "recover": recover,
    "switch-off": switch_off,
    "drift": drift,
}


def main() -> None:
    try:
        runner.duty(DUTIES)()
    except runner.Failed as failed:
        runner.error(str(failed))
        sys.exit(1)


main()
