"""Only alarms that are all OK let a release go on; what is not known is not OK."""

import json
import os
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from .conftest import REGION


def stack_has(aws: Any, *names: str, **more: str) -> None:
    kinds = {name: "AWS::CloudWatch::Alarm" for name in names} | more
    aws.will(
        "cloudformation list-stack-resources",
        {
            "StackResourceSummaries": [
                {
                    "LogicalResourceId": "L",
                    "PhysicalResourceId": name,
                    "ResourceType": kind,
                    "ResourceStatus": "DELETE_COMPLETE" if name == "gone" else "CREATE_COMPLETE",
                    "LastUpdatedTimestamp": "2026-01-01T00:00:00Z",
                }
                for name, kind in kinds.items()
            ]
        },
    )


def states_are(aws: Any, **states: str) -> None:
    alarms = [{"AlarmName": name, "StateValue": state} for name, state in states.items()]
    aws.will("cloudwatch describe-alarms", {"MetricAlarms": alarms, "CompositeAlarms": []})


def bake(job: Any, **inputs: str) -> Any:
    return job.use("bake", **{"stack": "shop", "region": "eu-west-1", "account": "123456789012"} | inputs)


def test_alarms_that_are_ok_pass(job: Any, aws: Any) -> None:
    stack_has(aws, "errors", "latency", "gone", queue="AWS::SQS::Queue")
    states_are(aws, errors="OK", latency="OK")
    ran = bake(job)
    assert (ran.code, ran.errors) == (0, [])
    assert aws.calls("cloudformation list-stack-resources")[0][1] == {"StackName": "shop"}
    asked = {"AlarmNames": ["errors", "latency"], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
    assert aws.calls("cloudwatch describe-alarms")[0][1] == asked
    assert (ran.record["action"], ran.record["region"], ran.record["result"]) == (
        "progressive-deployment",
        "eu-west-1",
        "pass",
    )
    assert "| `errors` | OK |" in ran.summary


@pytest.mark.parametrize(
    ("states", "result", "says"),
    [
        ({"errors": "ALARM", "latency": "OK"}, "fail", ["errors: in ALARM"]),
        ({"errors": "INSUFFICIENT_DATA", "latency": "OK"}, "error", ["errors: inconclusive: INSUFFICIENT_DATA"]),
        ({"latency": "OK"}, "error", ["errors: inconclusive: gone"]),
        ({"errors": "ALARM"}, "fail", ["errors: in ALARM", "latency: inconclusive: gone"]),
        ({}, "error", ["errors: inconclusive: gone", "latency: inconclusive: gone"]),
    ],
)
def test_any_other_state_fails(job: Any, aws: Any, states: dict[str, str], result: str, says: list[str]) -> None:
    stack_has(aws, "errors", "latency")
    states_are(aws, **states)
    ran = bake(job, action="monitoring-and-logging")
    assert (ran.code, ran.record["result"], ran.record["action"]) == (1, result, "monitoring-and-logging")
    assert len(ran.errors) == len(says)
    for text, error in zip(says, ran.errors, strict=True):
        assert text in error


def test_a_stack_without_alarms_is_inconclusive(job: Any, aws: Any) -> None:
    stack_has(aws, queue="AWS::SQS::Queue")
    ran = bake(job)
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "inconclusive: the stack shop has no AWS::CloudWatch::Alarm" in ran.errors[0]


def test_more_alarms_than_one_call_takes(job: Any, aws: Any) -> None:
    names = [f"alarm-{number}" for number in range(150)]
    stack_has(aws, *names)
    states = [{"AlarmName": name, "StateValue": "OK"} for name in names]
    aws.will("cloudwatch describe-alarms", {"MetricAlarms": states[:100]}, {"MetricAlarms": states[100:]})
    assert bake(job).code == 0
    asked = [parameters["AlarmNames"] for _, parameters in aws.calls("cloudwatch describe-alarms")]
    assert asked == [names[:100], names[100:]]


def test_the_wrong_account_is_not_looked_at(job: Any, aws: Any) -> None:
    aws.will("sts get-caller-identity", {"Account": "000000000001"})
    ran = bake(job)
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert len(aws.calls()) == 1


def test_a_stack_that_is_not_there_fails(job: Any, aws: Any) -> None:
    aws.will("cloudformation list-stack-resources", "ValidationError: Stack with id shop does not exist")
    ran = bake(job)
    assert (ran.code, ran.record["result"]) == (1, "error")


def test_with_a_role_credentials_are_taken_first(job: Any) -> None:
    """What a session is: tests/rehearsal/test_session.py."""
    ran = bake(job, role="arn:aws:iam::123456789012:role/bake")
    assert (ran.code, ran.steps) == (1, ["credentials"])
    assert ran.errors == ["title=credentials::GitHub gives this job no token: it needs the permission id-token: write"]


def test_hostile_names_stay_data(job: Any, aws: Any, hostile: dict[str, str], inert: Any) -> None:
    names = list(hostile.values())
    stack_has(aws, *names)
    states_are(aws, **dict.fromkeys(names, "ALARM"))
    ran = bake(job, stack=hostile["commands"])
    assert (ran.code, len(ran.errors)) == (1, len(names))
    inert(job, ran)


def test_what_rang_before_the_deployment_ended_in_the_same_second_is_no_news(cloud: Any) -> None:
    """CloudWatch is asked by whole seconds."""
    import alarms

    cloudwatch = cloud("cloudwatch")
    about = {"MetricName": "Errors", "Namespace": "shop", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1}
    cloudwatch.put_metric_alarm(AlarmName="errors", ComparisonOperator="GreaterThanThreshold", Statistic="Sum", **about)
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="a test")
    [item] = cloudwatch.describe_alarm_history(AlarmName="errors")["AlarmHistoryItems"]
    at = item["Timestamp"].timestamp()
    assert alarms.fired(cloudwatch.meta.region_name, ["errors"], at) == ["errors"]
    assert alarms.fired(cloudwatch.meta.region_name, ["errors"], at + 0.001) == []


# ---- A bake for which no runner waits


def now(minutes_ago: float, wave: int = 1, state: str = "deployed", **more: Any) -> dict[str, Any]:
    return {"now": {"state": state, "wave": wave, "at": time.time() - 60 * minutes_ago, "digest": "d", **more}}


@pytest.fixture
def hold(cloud: Any, bench: Any) -> Any:
    """`do: hold` or `look`, with what the release record says; alarms of moto's, one in each region."""
    import boto3

    def alarm(region: str) -> Any:
        client = boto3.client("cloudwatch", region_name=region)
        about = {"MetricName": "Errors", "Namespace": "shop", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1}
        about |= {"ComparisonOperator": "GreaterThanThreshold", "Statistic": "Sum", "TreatMissingData": "notBreaching"}
        client.put_metric_alarm(AlarmName="errors", **about)
        client.set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="a test")
        return client

    def hold(regions: dict[str, Any], run: str = "7", of: str = "", **inputs: str) -> Any:
        said = {"schema": 1, "lock": {"run": run} if run else None, "regions": regions}
        cloud("s3").put_object(Bucket="packages", Key="shop/record.json", Body=json.dumps(said).encode())
        bench.job.env |= {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
        bench.job.env["PATH"] = os.environ["PATH"]
        about = {
            "record": "s3://packages/shop/record.json",
            "record_region": REGION,
            "minutes": "180",
            "alarms": '["errors"]',
        }
        about |= {"do": "hold", "regions": " ".join(regions), "run_id": of} | inputs
        return bake(bench.job, **about)

    hold.alarms = {region: alarm(region) for region in (REGION, "us-east-1")}  # type: ignore[attr-defined]
    return hold


@pytest.mark.parametrize(("ago", "held"), [(0, True), (60, True), (179, True), (180.1, False), (500, False)])
def test_it_is_held_until_its_time(hold: Any, ago: float, held: bool) -> None:
    ran = hold({REGION: now(ago)})
    assert (ran.code, ran.errors, ran.records) == (0, [], [])
    assert bool(ran.outputs["held"]) == held
    end = datetime.fromtimestamp(time.time() + 60 * (180 - ago), UTC)
    if held:
        assert ran.outputs["held"].startswith(f"it bakes until {end:%Y-%m-%d %H:}")
        assert [name for name, _, _ in ran.commands] == ["warning"]


def test_the_last_region_of_a_wave_says_when(hold: Any) -> None:
    assert hold({REGION: now(200), "us-east-1": now(170)}).outputs["held"]
    assert not hold({REGION: now(200), "us-east-1": now(190)}).outputs["held"]


@pytest.mark.parametrize("state", ["ALARM", "INSUFFICIENT_DATA"])
def test_an_alarm_ends_it_at_once(hold: Any, state: str) -> None:
    hold.alarms[REGION].set_alarm_state(AlarmName="errors", StateValue=state, StateReason="a test")
    ran = hold({REGION: now(1)})
    assert (ran.code, ran.outputs["held"]) == (1, "")
    assert "errors: in" in ran.errors[0]


def test_an_alarm_that_rang_since_the_last_look_ends_it(hold: Any) -> None:
    for state in ("ALARM", "OK"):
        hold.alarms["us-east-1"].set_alarm_state(AlarmName="errors", StateValue=state, StateReason="a test")
    ran = hold({REGION: now(1), "us-east-1": now(1)})
    assert (ran.code, ran.outputs["held"]) == (1, "")
    assert ran.errors == ["title=shop::errors: was in ALARM since the deployment"]


def test_an_alarm_that_the_release_is_to_mend_has_its_time(hold: Any) -> None:
    hold.alarms[REGION].set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="a test")
    ran = hold({REGION: now(-0.1, firing=["errors"])})  # it rang before that
    assert (ran.code, bool(ran.outputs["held"])) == (0, True)
    assert hold({REGION: now(-0.1)}).code == 1


@pytest.mark.parametrize("state", ["deploying", "failed", "rolling-back", "rollback-failed"])
def test_a_region_that_is_not_deployed_does_not_bake(hold: Any, state: str) -> None:
    ran = hold({REGION: now(1), "us-east-1": now(1, state=state)})
    assert (ran.code, ran.outputs["held"]) == (1, "")
    assert "no finished deployment in us-east-1" in ran.errors[0]


@pytest.mark.parametrize(("run", "says"), [("8", "8 does"), ("", "nobody does")])
def test_a_run_that_lost_the_lock_holds_nothing(hold: Any, run: str, says: str) -> None:
    """Somebody rolled back by hand meanwhile."""
    ran = hold({REGION: now(1)}, run=run)
    assert (ran.code, ran.outputs["held"]) == (1, "")
    assert f"run 7 does not hold the release lock any more, {says}" in ran.errors[0]


def test_a_look_from_outside_is_at_the_wave_that_the_run_has_come_to(hold: Any) -> None:
    rest = {"us-west-2": {"now": None}}  # no alarm is there
    hold.alarms[REGION].set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="a test")
    for ago, held in ((1, True), (181, False)):
        ran = hold({REGION: now(500, 1), "us-east-1": now(ago, 2), **rest}, "70", do="look", of="70")
        assert (ran.code, bool(ran.outputs["held"])) == (0, held), ran.out
