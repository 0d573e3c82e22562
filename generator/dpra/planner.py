"""Makes the Plan of a spec: what becomes of each DPRA action, with which tool, whether it blocks, and why."""

from dataclasses import replace

from dpra import actions, catalogue, deployers, graph, resources
from dpra.actions import PlannedAction
from dpra.catalogue import PIPELINE
from dpra.plan import Plan
from dpra.spec.models import Spec


def make(spec: Spec) -> Plan:
    """The plan of a spec, whatever may be wrong with it: `problems.of` says that."""
    types = catalogue.load(catalogue.folder(spec.pipeline, spec.image.kind, spec.image.with_), spec.profile)
    language = resources.data("languages.yml")[actions.language(spec, types)]
    managers = language.get("package-managers", {})
    manager = spec.setup.package_manager or next(iter(managers), "")
    own = managers.get(manager, {})
    commands = {**(types.commands or {**language.get("commands", {}), **own.get("commands", {})})}
    commands |= {name: action.command for name, action in spec.actions.items() if action.command}
    deployer = deployers.of_spec(spec, types.takes)
    environments = graph.environments(spec, types, deployer)
    tools = {action.id: actions.tools(spec, types, action) for action in types.actions if action.of}
    plan = Plan(
        spec=spec,
        catalogue=types,
        environments=environments,
        workflows={},
        store=graph.store(spec, environments.values()),
        record=graph.record(spec, environments.values()),
        base=graph.base(spec, environments.values()),
        deployer=deployer,
        language=language,
        package_manager=manager,
        manager=own,
        commands=commands,
        tools=tools,
    )
    holds = graph.holds(spec, deployer) | {
        "": True,
        "acts": True,
        "long-bakes": plan.long_bakes,
        "resumes": plan.resumes,
    }
    schedules = {PIPELINE: [one.cron for one in spec.schedules], "resumes": [*filter(None, [plan.resume_schedule])]}
    done = {job.id: actions.done_by(spec, types, tools, commands, job) for job in types.jobs.values()}
    plan = replace(plan, workflows=graph.workflows(spec, types, environments, holds, schedules, done))
    return replace(plan, actions=tuple(planned(plan, action) for action in types.actions))


def planned(plan: Plan, action: catalogue.Action) -> PlannedAction:
    """What becomes of a DPRA action, and why."""

    def made(status: str, reason: str, job: str = "", step: str = "", tool: str = "") -> PlannedAction:
        return PlannedAction(action.stage, action.id, action.level, job, step, tool, status, reason)

    unsaid = _unsaid(plan.spec, action.asks) if action.asks else ""
    if action.outside and unsaid:
        return made("left-out", unsaid)
    if action.outside:
        return made("outside-pipeline", action.outside, tool=_tool(plan, action))
    step = action.by or action.id
    there = [job.id for job in plan.catalogue.jobs_of(action.stage) if step in job.steps]
    doing = [job.template for job in plan.jobs.values() if job.stage == action.stage and step in job.steps]
    job = next(iter((*doing, *there)), "")
    if not job:
        return made("left-out", action.left_out)
    if actions.idle(plan.spec, plan.catalogue, action):
        return made("not-applicable", _idle(action))
    if action.by and plan.deployer and plan.deployer.deploys == "software":
        return made("outside-pipeline", f"{plan.deployer.name} deploys into infrastructure that is there")
    if unsaid:
        return made("left-out", unsaid)
    if action.by:
        return made(
            "blocks", f"done by {action.by}: {action.because}" if action.because else f"done by {action.by}", job, step
        )
    tool, reason = _tool(plan, action), "DPRA's gate: a failure stops the pipeline here"
    if action.tool == "<tool>" and (lacking := _cannot(plan, action.stage)):
        reason += f"; not with {tool}: {', '.join(lacking)}"
    if action.optional and action.id not in plan.spec.actions:
        return made("left-out", "on demand: name it in `actions`")
    if step in plan.tools:
        tool = ", ".join(plan.tools[step])
        of = plan.languages(step)
        bare = [language for language in of if not actions.fitting(step, language)]
        if not tool:
            return made("left-out", f"no tool for {' or '.join(bare)}" if of else _bare(plan, step))
        reason = f"fails on {_and_worse(plan.fail_on(step))} findings, on an error of the tool and on a missing report"
        reason += f"; no tool for {bare[0]}" if bare else ""
        if "command" in action.takes and step in plan.commands:
            reason += f"; and {plan.commands[step].strip()}"
    elif "command" in action.takes:
        canary = f"canary {said}" if (said := plan.canary(action.stage)) else ""
        own = {"your command": plan.action(step).command.strip(), "your canary": canary}
        if asked := {whose: what for whose, what in own.items() if what}:
            tool, reason = "; ".join(asked.values()), ", and ".join(asked)
        elif step in plan.commands:
            tool = plan.commands[step].strip()
            own_kind = f"{plan.spec.language} ({plan.package_manager})"
            reason = f"the default command for {'images' if plan.catalogue.commands else own_kind}"
        else:
            reason = f"and nothing else: for more say `actions.{step}.command`"
    if flags := [f"{one.flag} of {one.of} is {one.is_} in {one.environment}" for one in plan.gates(step, action.stage)]:
        reason += f"; only while {' and '.join(flags)}"
    if plan.action(step).advisory:
        return made("advisory", f"only warns: {plan.action(step).reason}", job, step, tool)
    return made("blocks", reason, job, step, tool)


def _unsaid(spec: Spec, key: str) -> str:
    """Why there is nothing to do, as the spec does not say a key, such as deploy.database; empty where it does."""
    value: object = spec
    for part in key.split("."):
        value = getattr(value, part.replace("-", "_"), None)
    return f"dpra.yml says `{key}: false`" if value is False else "" if value else f"on demand: say `{key}`"


def _tool(plan: Plan, action: catalogue.Action) -> str:
    """What does an action that is neither a check nor a command."""
    database, branch = plan.spec.deploy.database, plan.approval_branch
    words = {
        "<tool>": plan.deployer.name if plan.deployer else "",
        "<database>": database.with_ if database else "",
        "<approval>": f"reviewed pull request into {branch}" if branch else f"GitHub environment {plan.approves}",
        "<template>": plan.template,
    }
    tool = action.tool
    for word, value in words.items():
        tool = tool.replace(word, value)
    return tool


def _cannot(plan: Plan, stage: str) -> list[str]:
    """What the type has jobs or a workflow for in a stage, and the deploy tool cannot do."""
    can, jobs = plan.deployer.can if plan.deployer else (), {job.id: job for job in plan.catalogue.jobs_of(stage)}
    asked = {job.when for job in jobs.values()}
    asked |= {one.when for one in plan.catalogue.workflows.values() if jobs.keys() & {*one.jobs}}
    return sorted(asked & {*catalogue.CAN} - {*can})


def _idle(action: catalogue.Action) -> str:
    """Why an action is not applicable where there is no program, and what would run it all the same."""
    key = "command" if not action.of else "tool" if actions.fitting(action.id, actions.NONE) else ""
    return "there is no program" + (f"; on demand: say `actions.{action.id}.{key}`" if key else "")


def _bare(plan: Plan, check: str) -> str:
    """Why there is no infrastructure code to look at."""
    if plan.deployer is None:
        return "there is no infrastructure code that dpra knows"
    if plan.deployer.infrastructure == "cdk":
        return f"the assembly is there after the build only: say actions.{check}.file or use cdk-nag in the build"
    return f"{plan.deployer.name} has no infrastructure code that dpra knows"


def _and_worse(severity: str) -> str:
    return severity if severity in ("any", "critical") else f"{severity} and worse"
