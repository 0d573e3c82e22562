"""Looks once at the alarms of a stack: every one must be OK. The waiting before it is the environment's wait timer."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import evidence
import runner

ASKED_AT_ONCE = 100  # names that describe-alarms takes


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


def main() -> None:
    region, stack = runner.given("REGION"), runner.given("STACK")
    with evidence.recorded(runner.given("ACTION"), region=region, tool="cloudwatch") as facts:
        aws.expect_account(runner.required("REGION"), runner.required("ACCOUNT"))
        names = alarm_names(region, runner.required("STACK"))
        if not names:
            raise runner.Failed(f"inconclusive: the stack {stack} has no AWS::CloudWatch::Alarm", "error")
        seen = states(region, names)
        ok = list(seen.values()).count("OK")
        facts["findings"] = {"ok": ok, "not ok": len(seen) - ok}
        runner.summary(
            f"alarms of {runner.code(stack)}",
            ("alarm", "state"),
            [(runner.code(name), state) for name, state in seen.items()],
        )
        for name, state in seen.items():
            runner.say(f"{state}  {name}")
        for state, meaning in (
            ("ALARM", "in ALARM"),
            ("missing", "inconclusive: gone from CloudWatch, though the stack made it"),
            ("INSUFFICIENT_DATA", "inconclusive: INSUFFICIENT_DATA, nothing was measured"),
        ):
            for name in (name for name in seen if seen[name] == state):
                runner.error(f"{name}: {meaning}", title=stack)
        if set(seen.values()) != {"OK"}:
            raise runner.Failed(result="fail" if "ALARM" in seen.values() else "error")


main()
