"""How a plan is shown: for machines, and as a picture of its job graph."""

from dataclasses import asdict
from typing import Any

from dpra.plan import Plan


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for machines."""
    return {
        "name": plan.spec.name,
        "pipeline": plan.spec.pipeline,
        "profile": plan.spec.profile,
        "trunk": plan.spec.trunk,
        "environments": {
            name: {"account": where.account, "regions": list(where.regions)}
            | ({"waves": [list(wave) for wave in where.waves]} if where.waves else {})
            for name, where in plan.environments.items()
        },
        "releases": {"store": plan.store.bucket, "signer": plan.signer} if plan.store else None,
        "dpra-partial": bool(plan.missing),
        "missing": [f"{one.stage}.{one.action}" for one in plan.missing],
        "actions": [
            asdict(action) | {"jobs": [job.id for job in plan.jobs.values() if job.template == action.job]}
            for action in plan.actions
        ],
        "pack": plan.spec.pack,
        "unmanaged": list(plan.spec.unmanaged),
    }


def mermaid(plan: Plan) -> str:
    """The job graph as a Mermaid flowchart."""
    lines = ["flowchart LR"]
    done = {(action.job, action.step) for action in plan.actions}
    done |= {  # a check of two jobs: the project's command in one, the tool in the other
        (job.template, step)
        for job in plan.jobs.values()
        for step in job.steps
        if any(step == known for _, known in done) and plan.tools.get(step) and plan.tools_in(job, step)
    }
    jobs = [job for job in plan.jobs.values() if job.stage]
    for stage in plan.catalogue.stages:
        own = [job for job in jobs if job.stage == stage.id]
        if not own:
            continue
        lines.append(f"  subgraph {stage.id}-stage [{stage.name.replace('(', '').replace(')', '')}]")
        for job in own:
            steps = "<br/>".join(step for step in job.steps if (job.template, step) in done)
            where = f"<br/>{', '.join(job.legs)}" if job.wave and job.legs else ""
            lines.append(f'    {job.id}["<b>{job.id}</b>{where}{"<br/>" if steps else ""}{steps}"]')
        lines.append("  end")
    for job in jobs:
        lines += [f"  {need} --> {job.id}" for need in job.needs]
    return "\n".join(lines) + "\n"
