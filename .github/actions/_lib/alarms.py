"""CloudWatch alarms: which are watched, their states, and their states meanwhile."""

import datetime
import json
from typing import Any

import aws
import runner

ASKED_AT_ONCE = 100  # names that describe-alarms takes
MEANING = {
    "ALARM": "in ALARM",
    "missing": "inconclusive: gone from CloudWatch; deploy it again, or stop watching it",
    "INSUFFICIENT_DATA": "inconclusive: INSUFFICIENT_DATA, nothing measured; set TreatMissingData if that is normal",
}


def named() -> list[str]:
    """The names that the input `alarms` lists."""
    try:
        return [str(name) for name in json.loads(runner.given("ALARMS") or "[]")]
    except (ValueError, TypeError) as problem:
        raise runner.Failed("the input 'alarms' is not a JSON list of alarm names", "error") from problem


def of_stack(region: str, stack: str) -> list[str]:
    """The names of the stack's own alarms."""
    answer = aws.call(region, "cloudformation", "list-stack-resources", StackName=stack)
    return [
        resource["PhysicalResourceId"]
        for resource in answer.get("StackResourceSummaries", [])
        if resource["ResourceType"] == "AWS::CloudWatch::Alarm" and resource["ResourceStatus"] != "DELETE_COMPLETE"
    ]


def of_stacks(region: str, stacks: list[str]) -> list[str]:
    """The names of the alarms of those of the stacks that are there."""
    found = []
    for stack in stacks:
        try:
            found += of_stack(region, stack)
        except aws.Refused as refused:
            if refused.code != "ValidationError" or "does not exist" not in str(refused):
                raise
    return found


def check_before(region: str, stacks: str, title: str) -> dict[str, dict[str, Any]]:
    """The alarms that are there before anything is changed: those of the input, else of the stacks, blanks between.

    One that fires stops a release that is no fix for it."""
    names = named() or of_stacks(region, stacks.split())
    found = described(region, names) if names else {}
    if firing := [name for name, alarm in found.items() if alarm["StateValue"] == "ALARM"]:
        problem = f"{', '.join(firing)}: in ALARM before the deployment"
        if not runner.given("OVERRIDE"):
            raise runner.Failed(
                f"{problem}. Wait until it is OK; if this release is the fix, "
                "run the pipeline by hand with that as the reason"
            )
        runner.warning(f"{problem}; override: {runner.given('OVERRIDE')}", title=title)
    return found


def described(region: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """What CloudWatch knows of them: those that are there."""
    found: list[dict[str, Any]] = []
    for start in range(0, len(names), ASKED_AT_ONCE):
        about = {"AlarmNames": names[start : start + ASKED_AT_ONCE], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
        answer = aws.call(region, "cloudwatch", "describe-alarms", **about)
        found += [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
    return {str(alarm["AlarmName"]): alarm for alarm in found}


def states(region: str, names: list[str]) -> dict[str, str]:
    """OK, ALARM, INSUFFICIENT_DATA or missing, of each."""
    found = described(region, names)
    return {name: str(found[name]["StateValue"]) if name in found else "missing" for name in names}


def fired(region: str, names: list[str], since: float) -> list[str]:
    """The alarms that went to ALARM since then (seconds since 1970), though they may be OK again."""
    start = datetime.datetime.fromtimestamp(since, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = []
    for name in names:
        about = {"AlarmName": name, "HistoryItemType": "StateUpdate", "StartDate": start}
        about["AlarmTypes"] = ["MetricAlarm", "CompositeAlarm"]
        items = aws.call(region, "cloudwatch", "describe-alarm-history", **about).get("AlarmHistoryItems", [])
        if any("to ALARM" in item.get("HistorySummary", "") and _after(item["Timestamp"], since) for item in items):
            found.append(name)
    return found


def _after(stamp: str | float, since: float) -> bool:
    """CloudWatch is asked by whole seconds; what fired earlier in that one is no news. Without a fraction it counts.

    The AWS CLI prints a stamp as text or as a number."""
    at = datetime.datetime.fromisoformat(stamp).timestamp() if isinstance(stamp, str) else float(stamp)
    return at >= since or (at.is_integer() and at >= int(since))
