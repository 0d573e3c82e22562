"""All that is wrong with a spec beyond its form: the one door from a Spec to a Plan that can be delivered."""

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from dpra import actions, alarms, check_tools, cron, deployers, names, planner, roles, types
from dpra.errors import InputError
from dpra.plan import Plan, own_settings
from dpra.spec.models import READ, READ_ONLY, Action, Deploy, ListOf, MapOf, Model, Spec, Step, Text, name_of

# Days in which all waves have to bake, and why: without wait timers jobs run again, with them one run lives so long.
# Sources: https://docs.github.com/actions/how-tos/manage-workflow-runs/re-run-workflows-and-jobs,
# https://docs.github.com/actions/reference/limits
AGAIN = (29, "GitHub runs nothing again that is 30 days old")
LIVES = (34, "a run of GitHub lives 35 days")
MOST = 20  # regions or other targets of a wave's environment; keeps the job graph far from GitHub's silent limits


class PlanError(InputError):
    """The spec is well-formed, but cannot be delivered as it asks: `problems` has what is wrong at which key."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{key}: {problem}" for key, problem in problems.items()))


def planned(spec: Spec, root: Path | None = None) -> Plan:
    """The plan of a spec.

    Args:
        root: the repository; with it what is there counts, too: the alarms and roles of its template, what its image is
            made of.
    Raises:
        PlanError: the spec cannot be delivered as it asks.
    """
    made = planner.make(spec)
    if found := of(made):
        raise PlanError(found)
    if root is None:
        return made
    if found := {**alarms.late(root, made), **roles.unbound(root, made), **types.call("missing", made, {}, root)}:
        raise PlanError(found)
    return made


def of(plan: Plan) -> dict[str, str]:
    """What is wrong with a plan, by the keys of its spec."""
    parts = (
        _tools(plan),
        _deploy(plan),
        _steps(plan),
        _jobs(plan),
        _exceptions(plan),
        _github(plan),
        _environments(plan),
        _names(plan),
    )
    found: dict[str, str] = {}
    for part in parts:
        found |= dict(part)
    return found | dict(types.call("problems", plan, {}))


def _tools(plan: Plan) -> Iterator[tuple[str, str]]:
    spec = plan.spec
    if spec.setup.package_manager and not plan.manager:
        there = ", ".join(plan.language.get("package-managers", ())) or "none"
        yield "setup.package-manager", f"no '{spec.setup.package_manager}' for {spec.language}; there is {there}"
    for action in plan.catalogue.actions:
        asked = spec.actions[action.id].tool if action.id in spec.actions and action.of else ()
        of = plan.languages(action.id) if asked else ()
        for name in asked:
            key = check_tools.said([name], "by-key")
            if key and not actions.says(spec, key):
                yield f"actions.{action.id}.tool", f"{name} goes together with {key}: true"
            elif name not in plan.tools[action.id]:
                there = ", ".join(dict.fromkeys(tool.name for one in of for tool in actions.fitting(action.id, one)))
                for_ = " and ".join(of) or spec.deploy.with_
                yield f"actions.{action.id}.tool", f"no tool '{name}' for {for_}; there is {there or 'none'}"
        found = [one for one in plan.actions if one.action == action.id]
        if "command" in action.takes and any(one.step and not one.tool for one in found):
            yield f"actions.{action.id}", "needs a command"
        if action.id in spec.actions and "command" in action.takes and action.id not in plan.commands:
            yield from _without_command(f"actions.{action.id}", spec.actions[action.id])
        if action.id in spec.actions and (reasons := [one.reason for one in found if one.status == "not-applicable"]):
            yield f"actions.{action.id}", reasons[0]


def _without_command(key: str, said: Action) -> Iterator[tuple[str, str]]:
    """What only a command needs; a canary takes none of it."""
    for name in ("coverage", "env", "reports", "working_directory"):
        if getattr(said, name):
            yield f"{key}.{name.replace('_', '-')}", "goes together with a command"


def _deploy(plan: Plan) -> Iterator[tuple[str, str]]:
    """Settings of another deploy tool, or missing ones; a database where nothing is done to one."""
    spec, deploy, tool = plan.spec, plan.spec.deploy, plan.spec.deploy.with_
    tools = {name_of(field): field.name for field in fields(Deploy) if name_of(field) in deployers.every()}
    for name, attribute in tools.items():
        if getattr(deploy, attribute) and name != tool:
            yield f"deploy.{name}", f"goes together with `with: {name}`"
    if tool in tools and not own_settings(spec):
        yield "deploy.with", f"{tool} needs its settings: deploy.{tool}"
    if deploy.template and not (plan.deployer and plan.deployer.template):
        yield "deploy.template", f"{tool} takes none"
    if deploy.stack and (tool in tools or not (plan.deployer and plan.deployer.deploys == "stacks")):
        yield "deploy.stack", f"{tool} takes none"
    if deploy.database and not any(action.asks == "deploy.database" for action in plan.catalogue.actions):
        yield "deploy.database", f"the pipeline type {spec.pipeline} does nothing to a database"


def _steps(plan: Plan) -> Iterator[tuple[str, str]]:
    """What is wrong with the component's own steps."""
    for action, said in plan.spec.actions.items():
        for where, steps in (("before", said.before), ("after", said.after)):
            for step in steps:
                if problem := _step(step, not plan.opens(action)):
                    yield f"actions.{action}.{where}", f"'{step.name}': {problem}"


def _step(step: Step, trusted: bool) -> str:
    if bool(step.uses) == bool(step.run):
        return "needs either uses or run"
    if step.with_ and not step.uses:
        return "with goes together with uses"
    if step.uses and step.working_directory:
        return "working-directory goes together with run"
    if trusted and (step.run or step.uses.startswith("./")):
        return (
            "the job of this action runs no code of the repository, or a change could replace the scanners that judge "
            "it, or use a role of AWS; only pinned actions may stand there"
        )
    return ""


def _jobs(plan: Plan) -> Iterator[tuple[str, str]]:
    """What is wrong with runners, services and permissions."""
    for name, said in plan.spec.jobs.items():
        steps = plan.catalogue.jobs[name].steps
        if said.services and not {*steps} & {*plan.commands}:
            yield f"jobs.{name}.services", "no command of yours runs in this job"
        for scope in READ_ONLY:
            if scope in said.permissions and said.permissions[scope].access == "write":
                yield f"jobs.{name}.permissions.{scope}.access", "GitHub gives read only"
        asks = any(plan.spec.actions[step].new_on_trunk == "notify" for step in steps if step in plan.spec.actions)
        for scope in {"checks", "pull-requests"} & {*said.permissions} if asks else ():
            yield f"jobs.{name}.permissions.{scope}", "dpra gives it already"
        if plan.spec.code_scanning and name in plan.scanning and "security-events" in said.permissions:
            yield f"jobs.{name}.permissions.security-events", "dpra gives it already"
    for job in plan.jobs.values() if plan.attests else ():
        if job.duty != "store":
            continue
        if "self-hosted" in plan.runs_on(job.template):
            yield (
                f"jobs.{job.template}.runs-on",
                "attestations need a hosted runner, as deployments verify; it is self-hosted",
            )
        if "attestations" in plan.job(job.template).permissions:
            yield f"jobs.{job.template}.permissions.attestations", "dpra gives it already"


def _exceptions(plan: Plan) -> Iterator[tuple[str, str]]:
    """What is wrong with what may pass."""
    for name, action in plan.spec.actions.items():
        left_out = [one.left_out for one in plan.catalogue.named.get(name, ())]
        if all(left_out):
            yield f"actions.{name}", left_out[0]
        elif action.gates and not plan.runs(name):
            why = next(one.reason for one in plan.actions if one.action == name)
            yield f"actions.{name}.gates", f"{name} is left out, {why}"
        for where in plan.environments.values() if action.role not in ("", READ) else ():
            if any(name in job.steps and job.role in where.roles for job in plan.catalogue.jobs.values()):
                yield from _policy(f"actions.{name}.role", plan, plan.filled(action.role, where.id), where.account)
        if action.advisory and not action.reason:
            yield f"actions.{name}.advisory", "needs a reason"
        if action.reason and not action.advisory:
            yield f"actions.{name}.reason", "goes together with advisory: true"
    for number, waiver in enumerate(plan.spec.waivers):
        key = f"waivers[{number}]"
        if not plan.tools.get(waiver.check):
            yield f"{key}.check", f"{waiver.check} is left out: there is no tool for it"
        if waiver.check == "secrets-detection" and not waiver.path:
            yield f"{key}.path", "is missing; without it this kind of secret could pass anywhere"
        try:
            datetime.date.fromisoformat(waiver.until)
        except ValueError:
            yield f"{key}.until", f"there is no day {waiver.until}"


def _policy(key: str, plan: Plan, arn: str, account: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a policy of IAM that a role of an account is to have."""
    _, partition, _, _, owner, _ = arn.split(":", 5)
    if owner not in ("aws", account):
        yield key, "a policy of another account"
    if partition != plan.partition:
        yield key, f"a policy of another partition than {plan.partition}"
    if names.reserved(arn.rpartition("/")[2]):
        yield key, "is one of dpra's own, which needs no key"


def _github(plan: Plan) -> Iterator[tuple[str, str]]:
    spec = plan.spec
    if spec.github.plan == "free" and spec.github.visibility != "public":
        # https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments
        yield "github.plan", "free has neither environments nor protected branches for a private repository"
    for number, schedule in enumerate(spec.schedules):
        try:
            cron.starts(schedule.cron)
        except ValueError as error:
            yield f"schedules[{number}].cron", str(error)
    if plan.approval_branch == spec.trunk:
        yield "github.approval-branch", "is the trunk: every commit of it would be approved"


def _environments(plan: Plan) -> Iterator[tuple[str, str]]:
    spec, accounts = plan.spec, dict[str, str]()
    every = {"regions": spec.regions} | {f"environments.{one.id}": one.regions for one in plan.environments.values()}
    for key, regions in every.items():
        if strange := [region for region in regions if names.partition(region) != plan.partition]:
            yield key, f"{strange[0]} is in another partition of AWS than {spec.regions[0]}, where no role reaches it"
    for name, where in plan.environments.items():
        key, said = f"environments.{name}", spec.environments[name]
        first, together = accounts.setdefault(said.account, name), plan.catalogue.one_account
        if first != name and not {first, name} <= {*together}:
            yield f"{key}.account", f"{first} has this account; DPRA asks for one each"
        if name in together and said.account != (one := spec.environments[together[0]]).account:
            yield f"{key}.account", f"{together[0]} has {one.account}: {' and '.join(together)} are one organisation's"
        by_wave = plan.catalogue.by_wave(name)
        watched = plan.catalogue.stage(name).alarms
        if said.waves and not by_wave:
            yield f"{key}.waves", "only an environment that is deployed to wave by wave has it"
        if by_wave and not where.waves:
            yield f"{key}.waves", "is missing"
        if said.alarms and not watched:
            yield f"{key}.alarms", "no alarm is looked at here"
        if watched and plan.deployer and not said.alarms and not where.stacks:
            yield f"{key}.alarms", f"is missing: {plan.deployer.name} has no stack with alarms"
        days, why = LIVES if plan.protects else AGAIN
        if (bakes := where.bake * len(where.waves)) > days * 24 * 60:
            yield f"{key}.bake", f"{len(where.waves)} waves bake {bakes} minutes; they have {days} days, as {why}"
        if boundary := said.permissions_boundary:
            yield from _policy(f"{key}.permissions-boundary", plan, boundary, said.account)
        flat = [target for wave in said.waves for target in wave]
        if said.waves and said.regions and plan.catalogue.wave_of == "region":
            yield f"{key}.regions", "the waves say the regions"
        elif len(flat) != len({*flat}):
            yield f"{key}.waves", f"a {plan.catalogue.wave_of} stands in two waves"
        if (count := max(len(where.regions), len(flat))) > MOST:
            yield key, f"{count} {plan.catalogue.wave_of or 'region'}s; an environment has at most {MOST}"


def _names(plan: Plan) -> Iterator[tuple[str, str]]:
    """Names that reach what the pipeline itself has in the accounts, or another component's part of it."""
    if re.search(r"(?:^|-)[0-9]{12}(?:-|$)", plan.spec.name):
        yield "name", "has an account's id in it: its bucket could be one of another component"
    for key, text in _in_aws(Model(Spec), plan.spec, ""):
        for where in plan.environments.values():
            filled = plan.filled(text, where.id)
            if any(names.reserved(filled.replace("{region}", region)) for region in where.regions):
                yield key, f"dpra- is how dpra's own stacks, roles and buckets begin, and {text} could be one of them"
                break


def _in_aws(kind: Any, value: Any, key: str) -> Iterator[tuple[str, str]]:
    """What a part of the spec names in AWS, each with its key."""
    match kind:
        case Text() if kind.aws and value:
            yield key, value
        case ListOf():
            for number, one in enumerate(value):
                yield from _in_aws(kind.kind, one, f"{key}[{number}]")
        case MapOf():
            for name, one in value.items():
                yield from _in_aws(kind.kind, one, f"{key}.{name}")
        case Model() if value is not None:
            for field in fields(kind.model):
                said = f"{key}.{name_of(field)}".removeprefix(".")
                yield from _in_aws(field.metadata["kind"], getattr(value, field.name), said)
