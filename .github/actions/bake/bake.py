"""Watches the alarms of a deployed stack for the bake time: each must be OK at its start, during it and at its end.

Where the environment's wait timer is the bake time, it checks once: the states, and what they were meanwhile. Where
there is none and the bake is long, `hold` looks now and then until it is over, and no runner waits between.
"""

import datetime
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import alarms
import aws
import evidence
import record
import runner

PAUSE = 30  # seconds between two checks


def alarm_names(region: str, stack: str) -> list[str]:
    """The alarms to watch: those that were named, else those of the stack or stacks."""
    names = alarms.named()
    if not names:
        if not stack:
            raise runner.Failed("one of the inputs 'stack' and 'alarms' is required", "error")
        names = [name for one in stack.split() for name in alarms.of_stack(region, one)]
    if not names:
        raise runner.Failed(
            f"inconclusive: the stack {stack} has no AWS::CloudWatch::Alarm; add one, or name alarms", "error"
        )
    return names


def deployment(region: str, kept: record.Record) -> dict[str, Any]:
    """The region's deployment in the release record: when it ended, the alarms that fired before it."""
    now: dict[str, Any] | None = (kept["regions"].get(region) or {}).get("now")
    if not now or now["state"] != "deployed":
        raise runner.Failed(
            f"the release record has no finished deployment in {region}: run its deployment job again",
            "error",
        )
    return now


def check(region: str, stack: str, names: list[str], forgiven: Collection[str] = ()) -> dict[str, str]:
    """The states; fails where one is not OK, but for those of `forgiven` in ALARM."""
    seen = alarms.states(region, names)
    bad = {name: state for name, state in seen.items() if state != "OK" and (name not in forgiven or state != "ALARM")}
    for name, state in bad.items():
        runner.error(f"{name}: {alarms.MEANING.get(state, state)}", title=stack)
    if bad:
        show(stack, seen)
        raise runner.Failed(result="fail" if "ALARM" in bad.values() else "error")
    return seen


def show(stack: str, seen: dict[str, str]) -> None:
    rows = [(runner.code(name), state) for name, state in seen.items()]
    runner.summary(f"alarms of {runner.code(stack)}", ("alarm", "state"), rows)
    for name, state in seen.items():
        runner.say(f"{state}  {name}")


def rang(region: str, stack: str, names: list[str], since: float) -> list[str]:
    """The alarms that went to ALARM since then; each is told."""
    fired = alarms.fired(region, names, since)
    for name in fired:
        runner.error(f"{name}: was in ALARM since the deployment", title=stack)
    return fired


def in_wave(kept: record.Record, region: str) -> int:
    """The wave in which the region was changed; 0: in none."""
    now = (kept["regions"].get(region) or {}).get("now")
    return int(now["wave"]) if now else 0


def bake() -> None:
    """Look until the bake is over, and at what was meanwhile."""
    region = runner.given("REGION")
    stack = runner.given("STACK").replace("{region}", region)
    with evidence.recorded(runner.given("ACTION"), region=region, tool="cloudwatch") as facts:
        aws.expect_account(runner.required("REGION"), runner.required("ACCOUNT"))
        names = alarm_names(region, stack)
        deployed = deployment(region, record.read(record.given())[0]) if runner.given("RECORD") else {"at": time.time()}
        since, before = float(deployed["at"]), deployed.get("firing", [])  # what fired before may mend itself meanwhile
        until = since + 60 * float(runner.given("MINUTES") or 0)
        facts["findings"] = {"ok": 0, "not ok": len(names)}
        while (left := until - time.time()) > 0:
            check(region, stack, names, before)
            time.sleep(min(PAUSE, left))
        seen = check(region, stack, names)
        facts["findings"] = {"ok": len(seen), "not ok": 0}
        show(stack, seen)
        if fired := rang(region, stack, names, since) if runner.given("RECORD") else []:
            facts["findings"] = {"ok": len(seen) - len(fired), "not ok": len(fired)}
            raise runner.Failed


def hold() -> None:
    """Look once: say until when it bakes, or nothing where it has baked. An alarm that is not OK, or rang, ends it."""
    aws.expect_account(runner.required("RECORD_REGION"), runner.required("ACCOUNT"))
    kept, _ = record.read(record.given())
    holder = (kept["lock"] or {}).get("run", "nobody")
    if holder != (run := runner.given("RUN_ID") or record.run()):
        raise runner.Failed(f"run {run} does not hold the release lock any more, {holder} does: nothing of it bakes")
    wanted = runner.required("REGIONS").split()
    if runner.given("RUN_ID"):  # the wave that it has come to
        last = max(in_wave(kept, region) for region in wanted)
        wanted = [region for region in wanted if in_wave(kept, region) == last]
    until = 0.0
    for region in wanted:
        deployed, stack = deployment(region, kept), runner.given("STACK").replace("{region}", region)
        names = alarm_names(region, stack)
        show(stack, check(region, stack, names, deployed.get("firing", [])))
        if rang(region, stack, names, float(deployed["at"])):
            raise runner.Failed
        until = max(until, float(deployed["at"]) + 60 * float(runner.required("MINUTES")))
    if until > time.time():
        end = datetime.datetime.fromtimestamp(until, datetime.UTC)
        raise runner.Held(f"it bakes until {end:%Y-%m-%d %H:%M} UTC; the next look of the workflow Resume goes on then")


DUTIES = {"bake": bake, "hold": hold, "look": hold}


def main() -> None:
    try:
        runner.duty(DUTIES)()
    except runner.Held as held:
        why = runner.inert(str(held))
        runner.output("held", why)
        runner.warning(why, title="held")
    except runner.Failed as failed:
        if str(failed):  # else it has been told
            runner.error(str(failed), title="bake")
        sys.exit(1)


main()
