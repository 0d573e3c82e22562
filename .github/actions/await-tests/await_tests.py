"""Waits until no other run tests what it deployed to this region: the next deployment would be tested in its place."""

import json
import os
import sys
import time
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import github
import runner

PAUSE = 15  # seconds between two looks


def open_runs(workflow: str) -> list[int]:
    """The other runs that have not ended, of the newest hundred: a state tells no more, as a run has many jobs."""
    newest = github.call(f"actions/workflows/{workflow}/runs?per_page=100")["workflow_runs"]
    others = [run for run in newest if run["id"] != int(os.environ["GITHUB_RUN_ID"])]
    return [int(run["id"]) for run in others if run["status"] != "completed"]


def tests(run: int, job: str, names: list[str], region: str) -> bool:
    """Whether a run has deployed here, and its tests have not ended.

    A job that is skipped has its matrix in its name as it is written; one that is not there yet will be: GitHub makes a
    job when those that it waits for have ended.
    """
    there = {one["name"]: one for one in github.pages(f"actions/runs/{run}/jobs", "jobs")}
    if there.get(job, {}).get("conclusion") != "success":
        return False

    def ended(name: str) -> bool:
        written = name.replace(region, "${{ matrix.region }}")
        return any(there.get(one, {}).get("status") == "completed" for one in (name, written))

    return not all(map(ended, names)) and github.call(f"actions/runs/{run}")["status"] != "completed"


def wait() -> None:
    job, region = runner.required("JOB"), runner.required("REGION")
    names = json.loads(runner.required("TESTS"))
    until, told = time.monotonic() + 60 * float(runner.given("MINUTES") or "20"), 0
    # Who deploys here has this job's slot: no run begins to test meanwhile, so only those that do are asked again.
    busy = open_runs(runner.required("WORKFLOW"))
    while busy := [run for run in busy if tests(run, job, names, region)]:
        if time.monotonic() > until:
            how = "run this job again when it has ended"
            raise runner.Failed(f"run {busy[0]} still tests in {region} what it deployed: {how}", "error")
        if told != busy[0]:
            told = busy[0]
            runner.say(f"waiting for the tests of run {told} in {region}")
        time.sleep(PAUSE)


def main() -> None:
    with github.read("run this job again"):
        wait()


main()
