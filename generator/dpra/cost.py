"""What a component's pipeline costs: jobs and runner minutes, of a release and of a month."""

from dpra import cron
from dpra.catalogue import PIPELINE
from dpra.graph import Job
from dpra.plan import Plan

RELEASES = 20  # a month: one each working day


def cost(plan: Plan) -> dict[str, int]:
    """Jobs and minutes; the minutes are what is certain, so at least that many.

    A job takes a whole minute, however short it is. `jobs` and `waiting-minutes`, in which runners poll alarms as there
    are no wait timers, are those of a release, `release-minutes` both; `scheduled-minutes` are a month's without any
    release, `month-minutes` with `RELEASES` of them.

    Source: https://docs.github.com/actions/monitoring-and-troubleshooting-workflows/viewing-job-execution-time"""
    jobs = sum(_legs(job) for job in plan.jobs.values() if not job.on_failure)
    bakes = [job for job in plan.jobs.values() if job.duty == "observe" and job.at]
    waiting = 0 if plan.protects else sum(job.at.bake * _legs(job) for job in bakes if job.at)
    scheduled = 0.0
    for workflow in plan.workflows.values():
        each = jobs + waiting if workflow.id == PIPELINE else sum(map(_legs, workflow.jobs.values()))
        scheduled += sum(each * cron.starts(time) / 12 for time in workflow.schedules)
    return {
        "jobs": jobs,
        "waiting-minutes": waiting,
        "release-minutes": jobs + waiting,
        "scheduled-minutes": round(scheduled),
        "month-minutes": round(scheduled) + RELEASES * (jobs + waiting),
    }


def _legs(job: Job) -> int:
    """How often a job runs: once, or for each value of its matrix."""
    return len(job.legs) or 1
