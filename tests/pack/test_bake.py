"""Only alarms that are all OK let a release go on; what is not known is not OK."""

from typing import Any

import pytest


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


def test_with_a_role_credentials_are_taken_first(job: Any, aws: Any) -> None:
    stack_has(aws, "errors")
    states_are(aws, errors="OK")
    ran = bake(job, role="arn:aws:iam::123456789012:role/bake")
    assert ran.code == 0
    assert "role/bake" in ran.steps[0]
    assert ran.steps[1] == "bake"


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
