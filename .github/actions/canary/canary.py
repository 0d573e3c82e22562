"""Lets a canary of CloudWatch Synthetics run, and judges its runs since the deployment.

Source: https://docs.aws.amazon.com/AmazonSynthetics/latest/APIReference/API_CanaryRun.html
"""

import datetime
import sys
import time
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import evidence
import record
import runner

PAUSE = 10.0  # seconds between two looks
REST = ("READY", "STOPPED")  # it does not run, and may be started
BROKEN = ("ERROR", "DELETING")


def found(region: str, name: str) -> dict[str, Any]:
    """The canary. One that is not there, or that AWS could not make, never runs."""
    try:
        canary: dict[str, Any] = aws.call(region, "synthetics", "get-canary", Name=name)["Canary"]
    except aws.Refused as refused:
        if refused.code == "ResourceNotFoundException":
            said = f"there is no canary {name} in {region}: make it in the component's template, or name another"
            raise runner.Failed(f"{said} in actions.synthetic-tests.canary", "error") from refused
        raise
    if canary["Status"]["State"] in BROKEN:
        raise runner.Failed(
            f"the canary {name} is in {canary['Status']['State']}: {canary['Status'].get('StateReason', '')}", "error"
        )
    return canary


def runs(region: str, name: str, since: float) -> list[dict[str, Any]]:
    """Its runs that began since then; of one that was tried again, the last try."""
    last: dict[str, dict[str, Any]] = {}
    token: dict[str, str] = {}
    while True:
        page = aws.call(region, "synthetics", "get-canary-runs", "--no-paginate", Name=name, MaxResults=100, **token)
        every = page.get("CanaryRuns", [])
        for run in (run for run in every if began(run) >= since):
            known = run.get("ScheduledRunId") or run["Id"]
            if known not in last or run.get("RetryAttempt", 0) > last[known].get("RetryAttempt", 0):
                last[known] = run
        # The newest come first: a page that ends before that time is the last one that matters.
        if not page.get("NextToken") or (every and began(every[-1]) < since):
            return list(last.values())
        token = {"NextToken": page["NextToken"]}


def began(run: dict[str, Any]) -> float:
    """Seconds since 1970; the AWS CLI prints a stamp as text or as a number."""
    stamp = run["Timeline"]["Started"]
    return datetime.datetime.fromisoformat(stamp).timestamp() if isinstance(stamp, str) else float(stamp)


def deployed(region: str) -> float:
    """When the deployment ended, by the release record; without one, now."""
    if not runner.given("RECORD"):
        return time.time()
    kept, _ = record.read(record.given())
    now = (kept["regions"].get(region) or {}).get("now")
    if not now or now["state"] != "deployed":
        said = f"the release record has no finished deployment in {region}: run its deployment job again"
        raise runner.Failed(said, "error")
    return float(now["at"])


def judged(region: str, name: str, since: float, wanted: int, until: float) -> list[dict[str, Any]]:
    """The runs that passed; it fails with the first that did not, and where they are too few in time."""
    while True:
        canary = found(region, name)
        retries = ((canary.get("Schedule") or {}).get("RetryConfig") or {}).get("MaxRetries", 0)
        seen = runs(region, name, since)
        for run in seen:
            if run["Status"]["State"] == "FAILED" and run.get("RetryAttempt", 0) >= retries:
                raise runner.Failed(f"the canary {name} failed: {run['Status'].get('StateReason', 'no reason given')}")
        passed = [run for run in seen if run["Status"]["State"] == "PASSED"]
        if len(passed) >= wanted:
            return passed
        if canary["Status"]["State"] in REST:  # also one whose schedule is a single run
            aws.call(region, "synthetics", "start-canary", Name=name)
            runner.say(f"the canary {name} is started")
        if time.time() + PAUSE > until:
            said = f"inconclusive: {len(passed)} of {wanted} runs of the canary {name} passed in time"
            raise runner.Failed(f"{said}; let it run more often, such as rate(1 minute)", "error")
        time.sleep(PAUSE)


def main() -> None:
    region = runner.given("REGION")
    with evidence.recorded(runner.given("ACTION"), region=region, tool="cloudwatch-synthetics") as facts:
        aws.expect_account(runner.required("REGION"), runner.required("ACCOUNT"))
        name, wanted = runner.required("CANARY"), int(runner.given("RUNS") or 2)
        until = time.time() + 60 * float(runner.given("MINUTES") or 20)
        facts["where"] = name
        passed = judged(region, name, deployed(region), wanted, until)
        facts["findings"] = {"passed": len(passed)}
        runner.say(f"{len(passed)} runs of the canary {name} passed since the deployment, and none failed")


main()
