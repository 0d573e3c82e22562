"""What a component's pipeline costs: jobs and runner minutes, of a release and of a month."""

import re

from dpra import cron, render
from dpra.plan import Plan

RELEASES = 20  # a month: one each working day


def cost(plan: Plan) -> dict[str, int]:
    """Jobs and minutes; the minutes are what is certain, so at least that many.

    A job takes a whole minute, however short it is. `jobs` and `waiting-minutes`, in which runners poll alarms as there
    are no wait timers, are those of a release, `release-minutes` both; `scheduled-minutes` are a month's without any
    release, `month-minutes` with `RELEASES` of them.

    Source: https://docs.github.com/actions/monitoring-and-troubleshooting-workflows/viewing-job-execution-time"""
    workflows = render.workflows(plan)
    # A good release needs no way back.
    jobs = sum(_legs(plan, job) for job in _jobs(workflows["pipeline"]) if job != "rollback")
    stages = [stage.id for stage in plan.catalogue.stages if stage.by_wave]
    polled = sum(plan.bake(stage) * len(wave.regions) for stage in stages for wave in plan.waves(stage))
    waiting = 0 if plan.protects else polled
    scheduled = 0.0
    for name, text in workflows.items():
        each = jobs + waiting if name == "pipeline" else len(_jobs(text))
        times = re.findall(r"^ +- cron: [\"']?([^\"'#\n]+?)[\"']?(?: #.*)?$", text, re.MULTILINE)
        scheduled += sum(each * cron.starts(time) / 12 for time in times)
    return {
        "jobs": jobs,
        "waiting-minutes": waiting,
        "release-minutes": jobs + waiting,
        "scheduled-minutes": round(scheduled),
        "month-minutes": round(scheduled) + RELEASES * (jobs + waiting),
    }


def _legs(plan: Plan, job: str) -> int:
    """How often a job runs: once, or in each of its regions."""
    return len(plan.jobs[job].regions) or 1 if job in plan.jobs else 1


def _jobs(workflow: str) -> list[str]:
    """The ids of a workflow's jobs."""
    return re.findall(r"^  ([\w-]+):\n    name:", workflow, re.MULTILINE)
