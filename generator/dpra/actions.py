"""How each DPRA action is done: by which job, with which tool or command, whether it blocks, and why."""

from typing import TYPE_CHECKING

from dpra import catalogue, deployers
from dpra.catalogue import Catalogue
from dpra.dataclasses import dataclass
from dpra.spec.models import Action, Spec

if TYPE_CHECKING:
    from dpra.plan import Plan

STATUSES = ("blocks", "advisory", "outside-pipeline", "left-out")
NONE = "none"  # the language of what has no program


@dataclass(frozen=True)
class PlannedAction:
    """One DPRA action in this pipeline."""

    stage: str
    action: str
    level: str
    job: str  # its template
    step: str
    tool: str
    status: str  # one of STATUSES
    reason: str


# ---- What a check looks at, and with what


def languages(spec: Spec, types: Catalogue, action: catalogue.Action) -> tuple[str, ...]:
    """What a check looks at: languages, the component's first."""
    own = spec.language if "language" in types.takes else NONE
    code = infrastructure(spec, types, action.id)
    return {"language": (own,), "infrastructure": code, "both": (own, *code)}[action.of]


def infrastructure(spec: Spec, types: Catalogue, action: str) -> tuple[str, ...]:
    """The language of the infrastructure code, where there is any to look at.

    An assembly of CDK is there after the build only: a check looks at CDK where the spec says with what, or at what."""
    if "deploy" not in types.takes:
        return ()
    said, found = spec.actions.get(action, Action()), deployers.every()[spec.deploy.with_].infrastructure
    return (found,) if found and (found != "cdk" or said.file or said.tool) else ()


def tools(spec: Spec, types: Catalogue, action: catalogue.Action) -> tuple[str, ...]:
    """The tools of a check: for each language the one that was asked for, else the default one."""
    if action.optional and action.id not in spec.actions:
        return ()
    asked = spec.actions[action.id].tool if action.id in spec.actions else ()
    chosen: dict[str, None] = {}
    for language in languages(spec, types, action):
        there = fitting(action.id, language)
        own = [tool.name for tool in there if tool.name in asked]
        default = [tool.name for tool in there if tool.fits(action.id, language, default=True)]
        chosen |= dict.fromkeys(own or default)
    return tuple(chosen)


def fitting(action: str, language: str) -> list[catalogue.Tool]:
    """The tools that do an action for a language."""
    return [tool for tool in catalogue.tools() if tool.fits(action, language)]


# ---- What becomes of an action


def planned(plan: "Plan", action: catalogue.Action) -> PlannedAction:
    """What becomes of a DPRA action, and why."""

    def made(status: str, reason: str, job: str = "", step: str = "", tool: str = "") -> PlannedAction:
        return PlannedAction(action.stage, action.id, action.level, job, step, tool, status, reason)

    if action.outside:
        return made("outside-pipeline", action.outside, tool=action.tool)
    step = action.by or action.id
    job = next((job.id for job in plan.catalogue.jobs_of(action.stage) if step in job.steps), "")
    if not job:
        return made("left-out", action.left_out)
    if action.by and plan.deployer and plan.deployer.deploys == "software":
        return made("outside-pipeline", f"{plan.deployer.name} deploys into infrastructure that is there")
    if action.asks and not _said(plan.spec, action.asks):
        return made("left-out", f"on demand: say `{action.asks}`")
    if action.by:
        return made(
            "blocks", f"done by {action.by}: {action.because}" if action.because else f"done by {action.by}", job, step
        )
    tool, reason = _tool(plan, action), "DPRA's gate: a failure stops the pipeline here"
    if action.optional and action.id not in plan.spec.actions:
        return made("left-out", "on demand: name it in `actions`")
    if step in plan.tools:
        tool = ", ".join(plan.tools[step])
        of = plan.languages(step)
        bare = [language for language in of if not fitting(step, language)]
        if not tool:
            return made("left-out", f"no tool for {' or '.join(bare)}" if of else _bare(plan, step))
        reason = f"fails on {_and_worse(plan.fail_on(step))} findings, on an error of the tool and on a missing report"
        reason += f"; no tool for {bare[0]}" if bare else ""
    elif "command" in action.takes and step in plan.commands:
        tool = plan.commands[step].strip()
        default = f"the default command for {plan.spec.language} ({plan.package_manager})"
        reason = "your command" if plan.action(step).command else default
    if plan.action(step).advisory:
        return made("advisory", f"only warns: {plan.action(step).reason}", job, step, tool)
    return made("blocks", reason, job, step, tool)


def _said(spec: Spec, key: str) -> bool:
    """Whether the spec says a key, such as deploy.database."""
    value: object = spec
    for part in key.split("."):
        value = getattr(value, part.replace("-", "_"), None)
    return bool(value)


def _tool(plan: "Plan", action: catalogue.Action) -> str:
    """What does an action that is neither a check nor a command."""
    database, branch = plan.spec.deploy.database, plan.approval_branch
    words = {
        "<tool>": plan.deployer.name if plan.deployer else "",
        "<database>": database.with_ if database else "",
        "<approval>": f"reviewed pull request into {branch}" if branch else f"GitHub environment {plan.approves}",
    }
    tool = action.tool
    for word, value in words.items():
        tool = tool.replace(word, value)
    return tool


def _bare(plan: "Plan", check: str) -> str:
    """Why there is no infrastructure code to look at."""
    if plan.deployer is None:
        return "there is no infrastructure code that dpra knows"
    if plan.deployer.infrastructure == "cdk":
        return f"the assembly is there after the build only: say actions.{check}.file or use cdk-nag in the build"
    return f"{plan.deployer.name} has no infrastructure code that dpra knows"


def _and_worse(severity: str) -> str:
    return severity if severity in ("any", "critical") else f"{severity} and worse"
