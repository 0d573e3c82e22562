"""What a component's pipeline costs: jobs and runner minutes, of a release and of a month."""

from dpra import cron
from dpra.catalogue import PIPELINE
from dpra.graph import Job
from dpra.plan import Plan

RELEASES = 20  # a month: one each working day
LOOKS = 60  # minutes between two looks of the schedule at a bake for which no runner waits
LOCK = 50  # minutes that an approved release waits for one before it: the release action's wait-minutes
RUN = 10  # minutes that the workflow Resume waits for a run's end: the resume action's wait-minutes
TESTS = 20  # minutes that a deployment waits for the tests of another run: the await-tests action's minutes
CANARY = 20  # minutes that are waited for a canary's runs: the canary action's minutes
AGAIN = 2  # jobs that run again when it is over: the one that held it, and the report


def cost(plan: Plan) -> dict[str, int]:
    """Jobs and minutes; the minutes are what is certain, so at least that many.

    A job takes a whole minute, however short it is. Of a release are `jobs`, `waiting-minutes`, in which runners poll
    alarms as there are no wait timers, and `release-minutes`, both and the looks at bakes for which no runner waits.
    `scheduled-minutes` are a month's without any release, `month-minutes` with `RELEASES` of them. No runner waits
    longer than `longest-wait` minutes at a time, be it for a bake, a canary or another run.

    Source: https://docs.github.com/actions/monitoring-and-troubleshooting-workflows/viewing-job-execution-time"""
    jobs = sum(_legs(job) for job in plan.jobs.values() if not job.on_failure)
    baking = [(job, job.at.bake) for job in plan.jobs.values() if job.at and job.kind in ("bake", "hold")]
    held = [bake for job, bake in baking if job.kind == "hold"]
    polled = [] if plan.protects or held else [bake for job, bake in baking for _ in range(_legs(job))]
    waiting = sum(polled)
    release = jobs + waiting + sum(-(-bake // LOOKS) + AGAIN for bake in held)
    waits = [
        LOCK if plan.approves and not held else 0,
        RUN if plan.resumes else 0,
        TESTS if any(one.tests_of(job) for one in plan.workflows.values() for job in one.jobs.values()) else 0,
        CANARY if any(said.canary for said in plan.spec.actions.values()) else 0,
    ]
    scheduled = 0.0
    for workflow in plan.workflows.values():
        own = [job for job in workflow.jobs.values() if job.kind != "hold"]  # it looks only while something bakes
        each = release if workflow.id == PIPELINE else sum(map(_legs, own))
        scheduled += sum(each * cron.starts(time) / 12 for time in workflow.schedules)
    return {
        "jobs": jobs,
        "waiting-minutes": waiting,
        "longest-wait": max(*polled, *waits),
        "release-minutes": release,
        "scheduled-minutes": round(scheduled),
        "month-minutes": round(scheduled) + RELEASES * release,
    }


def _legs(job: Job) -> int:
    """How often a job runs: once, or for each value of its matrix."""
    return len(job.legs) or 1
