"""Watches the alarms of a deployed stack for the bake time: each must be OK at its start, during it and at its end.

Where the environment's wait timer is the bake time, it checks once: the states, and what they were meanwhile.
"""

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


def deployment(region: str) -> dict[str, Any]:
    """The region's deployment in the release record: when it ended, the alarms that fired before it."""
    if not runner.given("RECORD"):
        return {"at": time.time()}
    kept, _ = record.read(record.given())
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


def main() -> None:
    region = runner.given("REGION")
    stack = runner.given("STACK").replace("{region}", region)
    with evidence.recorded(runner.given("ACTION"), region=region, tool="cloudwatch") as facts:
        aws.expect_account(runner.required("REGION"), runner.required("ACCOUNT"))
        names = alarm_names(region, stack)
        deployed = deployment(region)
        since, before = float(deployed["at"]), deployed.get("firing", [])  # what fired before may mend itself meanwhile
        until = since + 60 * float(runner.given("MINUTES") or 0)
        facts["findings"] = {"ok": 0, "not ok": len(names)}
        while (left := until - time.time()) > 0:
            check(region, stack, names, before)
            time.sleep(min(PAUSE, left))
        seen = check(region, stack, names)
        facts["findings"] = {"ok": len(seen), "not ok": 0}
        show(stack, seen)
        for name in (fired := alarms.fired(region, names, since) if runner.given("RECORD") else []):
            runner.error(f"{name}: was in ALARM since the deployment", title=stack)
        if fired:
            facts["findings"] = {"ok": len(seen) - len(fired), "not ok": len(fired)}
            raise runner.Failed


main()
