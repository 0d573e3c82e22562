"""Watches the alarms of a deployed stack for the bake time: each must be OK at its start, during it and at its end.

Where the environment's wait timer is the bake time, it looks once: at the states, and at what they were meanwhile.
"""

import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import evidence
import record
import runner

ASKED_AT_ONCE = 100  # names that describe-alarms takes
PAUSE = 30  # seconds between two looks


def alarm_names(region: str, stack: str) -> list[str]:
    answer = aws.call(region, "cloudformation", "list-stack-resources", StackName=stack)
    return [
        resource["PhysicalResourceId"]
        for resource in answer.get("StackResourceSummaries", [])
        if resource["ResourceType"] == "AWS::CloudWatch::Alarm" and resource["ResourceStatus"] != "DELETE_COMPLETE"
    ]


def states(region: str, names: list[str]) -> dict[str, str]:
    alarms: list[dict[str, Any]] = []
    for start in range(0, len(names), ASKED_AT_ONCE):
        some = names[start : start + ASKED_AT_ONCE]
        alarms += aws.call(region, "cloudwatch", "describe-alarms", AlarmNames=some).get("MetricAlarms", [])
    found = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
    return {name: found.get(name, "missing") for name in names}


def asked(region: str, stack: str) -> list[str]:
    """The alarms to look at: those that were named, else those of the stack."""
    try:
        names = [str(name) for name in json.loads(runner.given("ALARMS") or "[]")]
    except (ValueError, TypeError) as problem:
        raise runner.Failed("the input 'alarms' is no JSON list of names", "error") from problem
    if not names and not (names := alarm_names(region, stack)):
        raise runner.Failed(f"inconclusive: the stack {stack} has no AWS::CloudWatch::Alarm", "error")
    return names


def deployed(region: str) -> float:
    """When the region's deployment ended, seconds since 1970; now where there is no record."""
    if not runner.given("RECORD"):
        return time.time()
    kept, _ = record.read(record.given())
    now = (kept["regions"].get(region) or {}).get("now")
    if not now or now["state"] != "deployed":
        raise runner.Failed(f"the record does not say that {region} was deployed to", "error")
    return float(now["at"])


def rang(region: str, names: list[str], since: float) -> list[str]:
    """The alarms that were in ALARM at some time since then, though they may be OK again."""
    start = datetime.datetime.fromtimestamp(since, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = []
    for name in names:
        about = {"AlarmName": name, "HistoryItemType": "StateUpdate", "StartDate": start}
        about["AlarmTypes"] = ["MetricAlarm", "CompositeAlarm"]
        items = aws.call(region, "cloudwatch", "describe-alarm-history", **about).get("AlarmHistoryItems", [])
        if any("to ALARM" in item.get("HistorySummary", "") for item in items):
            found.append(name)
    return found


def look(region: str, stack: str, names: list[str]) -> dict[str, str]:
    """The states; fails where one is not OK."""
    seen = states(region, names)
    for state, meaning in (
        ("ALARM", "in ALARM"),
        ("missing", "inconclusive: gone from CloudWatch, though it is to be looked at"),
        ("INSUFFICIENT_DATA", "inconclusive: INSUFFICIENT_DATA, nothing was measured"),
    ):
        for name in (name for name in seen if seen[name] == state):
            runner.error(f"{name}: {meaning}", title=stack)
    if set(seen.values()) != {"OK"}:
        show(stack, seen)
        raise runner.Failed(result="fail" if "ALARM" in seen.values() else "error")
    return seen


def show(stack: str, seen: dict[str, str]) -> None:
    rows = [(runner.code(name), state) for name, state in seen.items()]
    runner.summary(f"alarms of {runner.code(stack)}", ("alarm", "state"), rows)
    for name, state in seen.items():
        runner.say(f"{state}  {name}")


def main() -> None:
    region, stack = runner.given("REGION"), runner.given("STACK")
    with evidence.recorded(runner.given("ACTION"), region=region, tool="cloudwatch") as facts:
        aws.expect_account(runner.required("REGION"), runner.required("ACCOUNT"))
        names = asked(region, runner.required("STACK"))
        since = deployed(region)
        until = since + 60 * float(runner.given("MINUTES") or 0)
        facts["findings"] = {"ok": 0, "not ok": len(names)}
        seen = look(region, stack, names)
        while time.time() < until:
            time.sleep(min(PAUSE, max(0.0, until - time.time())))
            seen = look(region, stack, names)
        facts["findings"] = {"ok": len(seen), "not ok": 0}
        show(stack, seen)
        for name in (ringing := rang(region, names, since) if runner.given("RECORD") else []):
            runner.error(f"{name}: was in ALARM since the deployment", title=stack)
        if ringing:
            facts["findings"] = {"ok": len(seen) - len(ringing), "not ok": len(ringing)}
            raise runner.Failed


main()
