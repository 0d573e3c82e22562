"""A canary of CloudWatch Synthetics as a gate: the real AWS CLI against moto, mended where it has no runs."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

REGION, ACCOUNT = "eu-west-1", "123456789012"


@pytest.fixture
def canary(job: Any) -> Iterator[Any]:
    """A canary that runs, and has no runs but those that a test makes."""
    from dpra.rehearsal import mends
    from dpra.rehearsal.mends import canaries
    from moto.server import ThreadedMotoServer
    from moto.synthetics.models import synthetics_backends

    mends.mend()
    mends.forget()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    each, canaries.EACH = canaries.EACH, 0
    try:
        host, port = server.get_host_and_port()
        job.env |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        rest = dict.fromkeys(("vpc_config", "resources_to_replicate_tags", "provisioned_resource_cleanup"))
        made = synthetics_backends[ACCOUNT][REGION].create_canary(
            name="shop", code={}, artifact_s3_location="s3://x", execution_role_arn="arn:aws:iam::1:role/x",
            schedule={"Expression": "rate(1 minute)"}, run_config={}, success_retention_period_in_days=31,
            failure_retention_period_in_days=31, runtime_version="syn-nodejs-puppeteer-10.0", browser_configs=[],
            tags={}, artifact_config=None, **rest,
        )  # fmt: skip
        made.state = "RUNNING"
        yield made
    finally:
        canaries.EACH = each
        server.stop()


def ran(canary: Any, state: str = "PASSED", seconds: float = 3600, **more: Any) -> None:
    """A run of it that began in so many seconds; the gate looks at those since it began itself."""
    from dpra.rehearsal.mends import canaries

    at = time.time() + seconds
    canaries.happens(canary, state, **{"Timeline": {"Started": at, "Completed": at}, **more})


def gate(job: Any, **inputs: str) -> Any:
    return job.use("canary", **{"canary": "shop", "region": REGION, "account": ACCOUNT, "minutes": "0", **inputs})


def test_runs_since_the_deployment_that_passed_pass(job: Any, canary: Any) -> None:
    ran(canary, "FAILED", -60)  # of the release before
    ran(canary)
    ran(canary)
    done = gate(job)
    assert done.code == 0, done.out
    record = done.record
    assert (record["action"], record["tool"], record["result"]) == ("synthetic-tests", "cloudwatch-synthetics", "pass")
    assert (record["findings"], record["region"], record["where"]) == ({"passed": 2}, REGION, "shop")
    assert canary.state == "RUNNING"  # it goes on


def test_a_run_since_the_deployment_that_failed_fails_with_its_reason(job: Any, canary: Any) -> None:
    ran(canary)
    ran(canary, "FAILED", Status={"State": "FAILED", "StateReason": "expected 200, got 500"})
    ran(canary)
    done = gate(job)
    assert (done.code, done.record["result"]) == (1, "fail")
    assert "the canary shop failed: expected 200, got 500" in done.errors[0]
    assert gate(job, advisory="new").code == 0


@pytest.mark.parametrize("state", ["READY", "STOPPED"])
def test_one_that_does_not_run_is_started(job: Any, canary: Any, state: str) -> None:
    from dpra.rehearsal.mends import canaries

    canary.state = state
    canaries.EACH = 2
    done = gate(job, minutes="1")
    assert (done.code, canary.state) == (0, "RUNNING"), done.out
    assert "the canary shop is started" in done.out


def test_too_few_runs_in_time_are_inconclusive(job: Any, canary: Any) -> None:
    ran(canary)
    ran(canary, "RUNNING")
    done = gate(job)
    assert (done.code, done.record["result"]) == (1, "error")
    assert "inconclusive: 1 of 2 runs of the canary shop passed in time; let it run more often" in done.errors[0]
    assert gate(job, runs="1").code == 0


def test_a_canary_that_is_not_there_or_broken_is_an_error_with_what_to_do(job: Any, canary: Any) -> None:
    done = gate(job, canary="gone")
    assert (done.code, done.record["result"]) == (1, "error")
    assert "there is no canary gone in eu-west-1: make it in the component's template" in done.errors[0]
    canary.state = "ERROR"
    assert "the canary shop is in ERROR" in gate(job).errors[0]


def test_of_a_run_that_is_tried_again_the_last_try_counts(job: Any, canary: Any) -> None:
    canary.schedule["RetryConfig"] = {"MaxRetries": 1}
    ran(canary, "FAILED", ScheduledRunId="one")
    assert gate(job, runs="1").record["result"] == "error"  # it may still pass
    ran(canary, RetryAttempt=1, ScheduledRunId="one")
    assert gate(job, runs="1").code == 0
    ran(canary, "FAILED", ScheduledRunId="two")
    ran(canary, "FAILED", RetryAttempt=1, ScheduledRunId="two")
    assert gate(job, runs="1").record["result"] == "fail"


def test_every_page_of_its_runs_counts(job: Any, canary: Any) -> None:
    ran(canary, "FAILED")
    for _ in range(150):
        ran(canary)
    done = gate(job)
    assert done.record["result"] == "fail", done.out


def test_in_production_runs_count_from_the_recorded_end_of_the_deployment(job: Any, canary: Any) -> None:
    import boto3

    url = job.env["AWS_ENDPOINT_URL"]
    s3 = boto3.client("s3", endpoint_url=url, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
    s3.create_bucket(Bucket="prod", CreateBucketConfiguration={"LocationConstraint": REGION})
    about = {"record": "s3://prod/shop/record.json", "record_region": REGION}

    def deployed(ago: float, state: str = "deployed") -> None:
        now = {"state": state, "at": time.time() - ago, "digest": "d", "commit": "c", "wave": 1}
        kept = {"lock": None, "waiting": None, "current": None, "history": [], "regions": {REGION: {"now": now}}}
        s3.put_object(Bucket="prod", Key="shop/record.json", Body=json.dumps(kept))

    ran(canary, seconds=-30)
    ran(canary, seconds=-20)
    deployed(60)
    done = gate(job, **about)
    assert done.code == 0, done.out
    deployed(25)
    assert gate(job, **about).record["result"] == "error"  # one of them is of the release before
    deployed(60, "failed")
    assert "no finished deployment in eu-west-1" in gate(job, **about).errors[0]
