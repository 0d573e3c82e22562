"""From a Spec and its catalogue to a Plan: which DPRA action runs where, with what, and why. Pure."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dpra import catalogue, resources
from dpra.catalogue import Catalogue
from dpra.spec.models import Spec

STATUSES = ("blocks", "advisory", "outside-pipeline", "left-out")
MOST_REGIONS = 20  # of an environment; keeps the job graph far from GitHub's silent limits (256 matrix jobs a run)


class PlanError(Exception):
    """The spec is well-formed, but cannot be delivered as it asks: `problems` has what is wrong at which key."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{key}: {problem}" for key, problem in problems.items()))


@dataclass(frozen=True)
class PlannedAction:
    """One DPRA action in this pipeline."""

    stage: str
    action: str
    level: str
    job: str
    step: str
    tool: str
    status: str  # one of STATUSES
    reason: str


@dataclass(frozen=True)
class Plan:
    """What will be generated, and why."""

    spec: Spec
    catalogue: Catalogue
    actions: tuple[PlannedAction, ...]
    tools: Mapping[str, str]  # DPRA action -> tool of the check action
    commands: Mapping[str, str]  # DPRA action -> shell command

    @property
    def stage_of(self) -> dict[str, str]:
        """Job id -> stage id."""
        return {job: stage.id for stage in self.catalogue.stages for job in stage.jobs}

    def regions(self, environment: str) -> tuple[str, ...]:
        """The regions of an environment: its own, or the component's as its stage takes them."""
        own = self.spec.environments[environment].regions
        return own or self.spec.regions[: self.catalogue.stage(environment).most_regions]

    @property
    def stack(self) -> str:
        return self.spec.deploy.stack or self.spec.name


def make(spec: Spec) -> Plan:
    """The plan of a spec.

    Raises:
        PlanError: an unknown tool, an account of two environments, or more regions than a job graph should have.
    """
    types = catalogue.load(spec.pipeline)
    commands = dict(resources.data("languages.yml")[spec.language])
    commands |= {name: action.command for name, action in spec.actions.items() if action.command}
    problems: dict[str, str] = {}
    tools = {action.id: _tool(spec, action.id, problems) for action in types.actions if "tool" in action.takes}
    plan = Plan(spec, types, (), tools, commands)
    accounts: dict[str, str] = {}
    for environment in types.environments:
        if (first := accounts.setdefault(spec.environments[environment].account, environment)) != environment:
            problems[f"environments.{environment}.account"] = f"{first} has this account; DPRA asks for one each"
        if (count := len(plan.regions(environment))) > MOST_REGIONS:
            problems[f"environments.{environment}"] = f"{count} regions; an environment has at most {MOST_REGIONS}"
    if problems:
        raise PlanError(problems)
    return Plan(spec, types, tuple(_planned(plan, action) for action in types.actions), tools, commands)


def _tool(spec: Spec, action: str, problems: dict[str, str]) -> str:
    fitting = [t for t in catalogue.tools() if t.action == action and {"any", spec.language} & set(t.languages)]
    asked = spec.actions[action].tool if action in spec.actions else ""
    for tool in fitting:
        if tool.name == asked or (not asked and tool.default):
            return tool.name
    there = ", ".join(tool.name for tool in fitting)
    problems[f"actions.{action}.tool"] = f"no tool '{asked}' for {spec.language}; there is {there}"
    return ""


def _planned(plan: Plan, action: catalogue.Action) -> PlannedAction:
    def made(status: str, reason: str, job: str = "", step: str = "", tool: str = "") -> PlannedAction:
        return PlannedAction(action.stage, action.id, action.level, job, step, tool, status, reason)

    if action.outside:
        return made("outside-pipeline", action.outside, tool=action.tool)
    step = action.by or action.id
    job = next((job for job in plan.catalogue.stage(action.stage).jobs if step in plan.catalogue.steps[job]), "")
    if not job:
        return made("left-out", action.left_out)
    if action.by:
        return made("blocks", f"done by {action.by}: infrastructure and software are one stack", job, step)
    tool, reason = action.tool, "DPRA's gate: a failure stops the pipeline here"
    if step in plan.tools:
        tool = plan.tools[step]
        reason = f"the gate fails on findings, on an error of {tool} and on a missing report"
    elif "command" in action.takes:
        tool = plan.commands[step].strip()
        reason = "your command" if step in plan.spec.actions else f"the default command for {plan.spec.language}"
    return made("blocks", reason, job, step, tool)


# ---- Names in GitHub and AWS: each is made here and nowhere else


def role_name(plan: Plan, environment: str) -> str:
    """The name of the role that a job of this GitHub environment assumes."""
    return f"dpra-{plan.spec.name}-{environment}"


def role_arn(plan: Plan, stage: str, environment: str) -> str:
    """The ARN of the role that a job of this GitHub environment assumes in the stage's account."""
    return f"arn:aws:iam::{plan.spec.environments[stage].account}:role/{role_name(plan, environment)}"


def bucket_name(plan: Plan, stage: str, region: str) -> str:
    """The bucket from which CloudFormation takes the release in one account and region."""
    return f"dpra-{plan.spec.name}-{plan.spec.environments[stage].account}-{region}"


def subjects(spec: Spec, environment: str) -> list[str]:
    """The OIDC subjects that a job of this GitHub environment may send.

    Repositories made, renamed or moved after 2026-07-15 send the ids, older ones the names alone (GitHub's changelog:
    immutable subject claims). Both are admitted where the ids are known, since the trust policy then asks for
    `repository_id`, too.
    """
    owner, name = spec.repository.split("/")
    found = [f"repo:{owner}/{name}:environment:{environment}"]
    if spec.repository_id:
        found.insert(0, f"repo:{owner}@{spec.owner_id}/{name}@{spec.repository_id}:environment:{environment}")
    return found


# ---- How the plan is shown


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for machines."""
    return {
        "name": plan.spec.name,
        "pipeline": plan.spec.pipeline,
        "trunk": plan.spec.trunk,
        "environments": {
            name: {"account": plan.spec.environments[name].account, "regions": list(plan.regions(name))}
            for name in plan.catalogue.environments
        },
        "actions": [asdict(action) for action in plan.actions],
    }


def mermaid(plan: Plan) -> str:
    """The job graph as a Mermaid flowchart."""
    lines = ["flowchart LR"]
    stages = [stage for stage in plan.catalogue.stages if stage.jobs]
    for stage in stages:
        lines.append(f"  subgraph {stage.id}-stage [{stage.name.replace('(', '').replace(')', '')}]")
        for job in stage.jobs:
            steps = "<br/>".join(plan.catalogue.steps[job])
            lines.append(f'    {job}["<b>{job}</b>{"<br/>" if steps else ""}{steps}"]')
        lines.append("  end")
    for job, needs in _needs(plan).items():
        lines += [f"  {need} --> {job}" for need in needs]
    return "\n".join(lines) + "\n"


def _needs(plan: Plan) -> dict[str, list[str]]:
    found = {}
    for job in plan.stage_of:
        path = resources.TEMPLATES / plan.spec.pipeline / "jobs" / f"{job}.yml"
        match = re.search(r"^  needs: \[(.*)\]$", path.read_text(encoding="utf-8"), re.MULTILINE)
        found[job] = match[1].split(", ") if match else []
    return found
