"""Resumes a release that was held: runs its approval again, or what holds its bake, and so all that waits for it."""

import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import approval
import github
import runner
import windows

PAUSE = 15  # seconds between two checks of a run that has not ended
DAYS = 29  # GitHub runs nothing again that is 30 days old
MOST = 30  # runs of a workflow that are considered
# Source: https://docs.github.com/rest/actions/workflow-runs#re-run-a-job-from-a-workflow-run


def resume() -> None:
    now = datetime.datetime.now(datetime.UTC)
    branch, wanted = runner.given("APPROVAL_BRANCH"), runner.given("ANYTIME").split()
    if runner.given("BAKES") == "true":
        for run in newest([*runner.required("WORKFLOWS").split(), *wanted], now - datetime.timedelta(days=DAYS)):
            if holding(run["id"]):
                runner.output("baking", str(run["id"]))
                runner.say(f"run {run['id']} of {run['head_sha'][:12]} bakes: nothing else is resumed before its end")
                return
            if release_state(run["id"])[0] == "released":
                break
    if why := windows.closed(json.loads(runner.given("WINDOWS") or "{}"), now):
        runner.say(why)
    else:
        wanted += runner.required("WORKFLOWS").split()
    until = time.monotonic() + 60 * float(runner.required("WAIT_MINUTES"))
    for run in newest(wanted, now - datetime.timedelta(days=DAYS)):
        state, job = release_state(run["id"])
        while state == "ending" and time.monotonic() < until:
            time.sleep(PAUSE)
            state, job = release_state(run["id"])
        name = f"run {run['id']} of {run['head_sha'][:12]}"
        if state == "released":
            runner.say(f"{name} was released: no older one is resumed")
            return
        if state == "ending":
            runner.warning(
                f"{name} has not ended yet: if it is held, run this workflow again when it has", title="resume"
            )
            return
        if state == "held" and branch and not approval.approved(branch, run["head_sha"]):
            runner.say(f"{name} is held: its commit is not in {branch} yet")
        elif state == "held":
            github.call(f"actions/jobs/{job}/rerun", {})
            runner.output("run", str(run["id"]))
            runner.say(f"{name} is resumed")
            runner.summary(
                "a held release is resumed", ("run", "commit"), [(str(run["id"]), runner.code(run["head_sha"]))]
            )
            return
    runner.say("no held release can be resumed now")


def resume_bake() -> None:
    """Run the job again that holds a run's bake."""
    run = int(runner.required("RUN_ID"))
    if not (job := holding(run)):
        runner.say(f"run {run} holds no bake any more")
        return
    github.call(f"actions/jobs/{job}/rerun", {})
    runner.output("run", str(run))
    runner.say(f"the bake of run {run} goes on")


def holding(run: int) -> int:
    """The id of the job that holds the run's bake; 0 where none does, or the run has not ended yet."""
    if github.call(f"actions/runs/{run}")["status"] != "completed":
        return 0
    jobs = github.call(f"actions/runs/{run}/jobs?per_page=100")["jobs"]
    hold, bake = runner.required("HOLD_JOB"), runner.required("BAKE_JOB")
    held = {
        job["name"].removeprefix(hold): job["id"]
        for job in jobs
        if job["name"].startswith(hold) and job["conclusion"] == "success"
    }
    skipped = [
        job["name"].removeprefix(bake)
        for job in jobs
        if job["conclusion"] == "skipped" and job["name"].startswith(bake)
    ]
    # The job behind it has its matrix in its name: `Bake wave 1 in ${{ matrix.region }}`.
    return next(
        (number for wave, number in held.items() if any(f"{one} ".startswith(f"{wave} ") for one in skipped)), 0
    )


def newest(workflows: list[str], since: datetime.datetime) -> list[dict[str, Any]]:
    """The runs of workflows on the trunk, the newest first."""
    about = {"branch": runner.required("BRANCH"), "per_page": MOST, "created": f">={since:%Y-%m-%d}"}
    found: list[dict[str, Any]] = []
    for name in workflows:
        found += github.call(f"actions/workflows/{name}/runs?{urlencode(about)}")["workflow_runs"]
    return sorted(found, key=lambda run: int(run["id"]), reverse=True)


def release_state(run: int) -> tuple[str, int]:
    """The state of a run's release, and the id of the job that approves it.

    `held`; `released`, or being released; `ending` where it may be held and has not ended; else empty.
    """
    status = github.call(f"actions/runs/{run}")["status"]  # before the jobs, which are of no older moment then
    jobs = github.call(f"actions/runs/{run}/jobs?per_page=100")["jobs"]
    approving = [job for job in jobs if job["name"] == runner.required("APPROVE_JOB")]
    # A job that is skipped has its matrix in its name as it is written: `Prod, wave 1 in ${{ matrix.region }}`.
    waves = [job for job in jobs if job["name"].startswith(runner.required("FIRST_JOB"))]
    for job in approving:
        if job["status"] == "in_progress":
            return "ending", job["id"]
        if job["conclusion"] == "success":
            if any(wave["conclusion"] != "skipped" for wave in waves):
                return "released", job["id"]
            return ("held" if waves and status == "completed" else "ending"), job["id"]
    return "", 0


def main() -> None:
    with github.read("run the workflow again"):
        resume_bake() if runner.given("RUN_ID") else resume()


main()
