"""From a Spec and its catalogue to a Plan: which DPRA action runs where, with what, and why. Pure."""

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from dpra import catalogue, cron, resources
from dpra.catalogue import Catalogue, Stage
from dpra.spec.models import READ_ONLY, Action, Deploy, Job, Spec, Step, Waiver, name_of

catalogue_tools = catalogue.tools  # in Plan, `catalogue` is the pipeline type's
Known = catalogue.Action  # what the catalogue knows of a DPRA action; spec.models.Action is what the spec says of it
STATUSES = ("blocks", "advisory", "outside-pipeline", "left-out")
UNTOUCHED = ("security",)  # jobs that run no code of the repository
STACKS = ("cloudformation", "sam", "cdk")  # deploy tools that make stacks; so the pack's deployment.py
SOFTWARE_ONLY = ("ecs", "lambda", "s3")  # those that deploy into infrastructure that is there
DEPLOY_TOOLS = next(field for field in fields(Deploy) if field.name == "with_").metadata["kind"].of
TEMPLATES = {  # what describes a deployment, of the tools that take one
    "cloudformation": "infrastructure/template.yml",
    "sam": "infrastructure/template.yml",
    "ecs": "infrastructure/task-definition.json",
}
LONGEST_SHIFT = 50  # minutes; AWS's credentials and the job live for an hour
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
class Wave:
    """Regions that are deployed to at the same time, then bake together."""

    number: int  # from 1
    regions: tuple[str, ...]


@dataclass(frozen=True)
class PlannedJob:
    """One job of the workflow."""

    stage: str
    template: str  # jobs/<template>.yml
    regions: tuple[str, ...]  # it runs once in each; none: it runs once
    needs: tuple[str, ...]  # the ids of the jobs of DPRA's stages that it waits for


@dataclass(frozen=True)
class Plan:
    """What will be generated, and why."""

    spec: Spec
    catalogue: Catalogue
    actions: tuple[PlannedAction, ...]
    tools: Mapping[str, tuple[str, ...]]  # DPRA action -> tools of the check action; none: it is left out
    commands: Mapping[str, str]  # DPRA action -> shell command
    package_manager: str
    manager: Mapping[str, Any]  # its defaults: a row of languages.yml

    @property
    def stage_of(self) -> dict[str, str]:
        """Job id -> stage id."""
        return {name: job.stage for name, job in self.jobs.items()}

    @property
    def jobs(self) -> dict[str, PlannedJob]:
        """The jobs of DPRA's stages by their ids, in order; those of a wave stand together."""
        found: dict[str, PlannedJob] = {}
        for stage in self.catalogue.stages:
            waves = self.waves(stage.id) if stage.by_wave else ()
            for template in stage.jobs:
                if template not in stage.by_wave:
                    found[template] = self._job(stage, template, None)
                elif template == stage.by_wave[0]:
                    for wave in waves:
                        found |= {f"{name}-{wave.number}": self._job(stage, name, wave) for name in stage.by_wave}
        return found

    def _job(self, stage: Stage, template: str, wave: Wave | None) -> PlannedJob:
        regions = wave.regions if wave else self.regions(stage.id) if template in self.catalogue.by_region else ()
        return PlannedJob(stage.id, template, regions, self.needs(template, self.catalogue.needs[template], wave))

    def needs(self, template: str, needed: Iterable[str], wave: Wave | None) -> tuple[str, ...]:
        """The ids of the jobs that a job waits for, by the templates that it needs.

        A job of a wave waits for those before it in the same wave and for those behind it in the wave before; one
        that is in no wave, for those of all waves."""
        order = [name for stage in self.catalogue.stages for name in stage.by_wave]
        numbers = [one.number for stage in self.catalogue.stages if stage.by_wave for one in self.waves(stage.id)]
        found: list[str] = []
        for name in dict.fromkeys(self.catalogue.profile.without.get(name, name) for name in needed):
            if name not in order:
                found.append(name)
            elif wave is None:
                found += [f"{name}-{number}" for number in numbers]
            elif order.index(name) < order.index(template):
                found.append(f"{name}-{wave.number}")
            elif wave.number > 1:
                found.append(f"{name}-{wave.number - 1}")
        return tuple(found)

    def regions(self, environment: str) -> tuple[str, ...]:
        """The regions of an environment: its own, or the component's as its stage takes them."""
        said = self.spec.environments[environment]
        own = said.regions or tuple(region for wave in said.waves for region in wave)
        return own or self.spec.regions[: self.catalogue.stage(environment).most_regions]

    def waves(self, environment: str) -> tuple[Wave, ...]:
        """The waves of an environment, in order; one of all its regions unless the spec says more."""
        waves = self.spec.environments[environment].waves or (self.regions(environment),)
        return tuple(Wave(number, regions) for number, regions in enumerate(waves, 1))

    def bake(self, environment: str) -> int:
        """How long each wave of the environment bakes, in minutes."""
        return self.spec.environments[environment].bake

    @property
    def missing(self) -> tuple[PlannedAction, ...]:
        """What DPRA requires and this pipeline does not do, or only warns about: with any of it, it is DPRA-partial."""
        return tuple(one for one in self.actions if one.level == "required" and one.status in ("left-out", "advisory"))

    @property
    def protects(self) -> bool:
        """Whether GitHub offers reviewers, wait timers and attestations for this repository.

        Source: https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments"""
        return self.spec.github.visibility == "public" or self.spec.github.plan == "enterprise"

    @property
    def approval_branch(self) -> str:
        """Where GitHub offers no reviewers, the branch into which a reviewed pull request merges what is approved."""
        return "" if self.protects else self.spec.github.approval_branch

    @property
    def resumes(self) -> bool:
        """Whether a release may be held that goes on later by itself: outside its windows, or not approved yet."""
        return bool(self.approval_branch or said_of(self.spec.windows))

    @property
    def looks_at(self) -> str:
        """When a look is worth while for what may go on: every hour while a window is open, as a cron expression.

        Empty where a release waits for no window."""
        said = self.spec.windows
        if not said_of(said):
            return ""
        begin, _, end = (said.hours or "00:00-24:00").partition("-")
        minute = (int(begin[3:]) + 7) % 60  # GitHub's schedules are late at full hours
        hours = [hour for hour in range(24) if begin < f"{hour:02}:{minute:02}" < end] or [int(begin[:2])]
        last = f"-{hours[-1]}" if len(hours) > 1 else ""
        days = ",".join(day.upper() for day in said.days) or "*"
        return f"{minute} {hours[0]}{last} * * {days}"

    @property
    def deploys_with(self) -> str:
        """The deploy tool."""
        return self.spec.deploy.with_

    @property
    def settings(self) -> Mapping[str, Any]:
        """The deploy tool's own settings."""
        return {name: value for name, value in said_of(_own(self.spec)).items() if name not in ("roles", "version")}

    @property
    def template(self) -> str:
        """What describes the deployment; empty where the tool takes none."""
        return self.spec.deploy.template or TEMPLATES.get(self.deploys_with, "")

    @property
    def stack(self) -> str:
        return self.spec.deploy.stack or self.spec.name

    def stacks(self, environment: str) -> tuple[str, ...]:
        """The names of the stacks that are deployed to an environment, {region} left as it is."""
        if self.deploys_with == "cdk" and self.spec.deploy.cdk:
            return tuple(self.filled(name, environment) for name in self.spec.deploy.cdk.stacks)
        return (self.stack,) if self.deploys_with in STACKS else ()

    def filled(self, text: str, environment: str) -> str:
        """A text of the spec that differs by environment, {region} left as it is."""
        account = self.spec.environments[environment].account
        return text.replace("{environment}", environment).replace("{account}", account)

    @property
    def executes(self) -> str:
        """Who acts with the execution role: CloudFormation, the deploying role itself, or nobody, as there is none."""
        if self.deploys_with in STACKS:
            return "cloudformation"
        return "" if self.deploys_with in SOFTWARE_ONLY else "role"

    @property
    def deployers(self) -> tuple[str, ...]:
        """The files of the pack that deploy: the tool's own, and what it stands on."""
        return (self.deploys_with, "cloudformation") if self.deploys_with in STACKS else (self.deploys_with,)

    @property
    def storing(self) -> str:
        """The stage in whose account the release is stored and signed; empty where the pipeline type has none."""
        return next((stage.id for stage in self.catalogue.stages if "store" in stage.roles.values()), "")

    @property
    def store(self) -> str:
        """The bucket in which the release is stored, once."""
        return bucket_name(self, self.storing, self.regions(self.storing)[0])

    @property
    def images(self) -> str:
        """The ECR repository of the component's images, beside the store; empty where it has none."""
        return f"dpra-{self.spec.name}" if self.spec.language == "container" else ""

    @property
    def attests(self) -> bool:
        """Whether GitHub attests the release; else a KMS key signs it.

        Source: https://docs.github.com/actions/concepts/security/artifact-attestations"""
        return self.protects

    def asks_pull_request(self, job: str) -> bool:
        """Whether a check of the job asks if the commit was green in its pull request."""
        return any(
            self.runs(action) and self.action(action).new_on_trunk == "notify" for action in self.catalogue.steps[job]
        )

    @property
    def signing_key(self) -> str:
        """The ARN of the alias of the key that signs the release."""
        account, region = self.spec.environments[self.storing].account, self.regions(self.storing)[0]
        return f"arn:aws:kms:{region}:{account}:{key_alias(self)}"

    @property
    def signer(self) -> str:
        """Who signs the release."""
        return "GitHub's attestation" if self.attests else self.signing_key

    @property
    def language(self) -> Mapping[str, Any]:
        """The language's defaults."""
        row: Mapping[str, Any] = resources.data("languages.yml")[self.spec.language]
        return row

    @property
    def version(self) -> str:
        """The toolchain's version, where the spec gives it."""
        return self.spec.setup.version

    @property
    def version_file(self) -> str:
        """Else the file that says it, seen from the repository's root."""
        return self._inside(self.spec.setup.version_file or self.language.get("version-file", ""))

    @property
    def lock_file(self) -> str:
        """What keys the cache of the package manager's downloads; empty for no cache."""
        return self._inside(self.manager.get("lock-file", "")) if self.spec.setup.cache else ""

    @property
    def install(self) -> str:
        """The command that installs dependencies; empty where there is nothing to install."""
        return self.spec.setup.install or str(self.manager.get("install", ""))

    def _inside(self, path: str) -> str:
        return f"{self.spec.working_directory.rstrip('/')}/{path}" if path and self.spec.working_directory else path

    def action(self, name: str) -> Action:
        """What the spec says about a DPRA action, and the profile."""
        said = self.spec.actions.get(name, Action())
        profile, known = self.catalogue.profile, [one for one in self.catalogue.actions if one.id == name]
        advises = all(one.level in profile.advises and "advisory" in one.takes for one in known)
        if said.advisory or not known or not advises:
            return said
        return replace(said, advisory=True, reason=f"profile {profile.name}, as DPRA does not require it")

    def env(self, action: str) -> Mapping[str, str]:
        """The environment variables of an action's command."""
        return {**self.spec.env, **self.action(action).env}

    def env_of(self, step: Step) -> Mapping[str, str]:
        """The environment variables of a step of the component's own: a command has the component's, too."""
        return {**self.spec.env, **step.env} if step.run else step.env

    def languages(self, action: Known) -> tuple[str, ...]:
        """What a check looks at: the component's language, its infrastructure, or both."""
        return _languages(self.spec, action)

    def check(self, name: str) -> Known:
        """A check, by its DPRA action."""
        return next(action for action in self.catalogue.actions if action.id == name)

    def fail_on(self, action: str) -> str:
        """The lowest severity that fails a check."""
        return self.action(action).fail_on or self.check(action).fail_on

    def file(self, action: str) -> str:
        """What a check's tool looks at: the spec's, or else the template that is deployed."""
        deploy = self.spec.deploy
        code = {"terraform": deploy.terraform.folder if deploy.terraform else ""}.get(self.deploys_with, self.template)
        own = self.action(action).file
        return own or (code if self.check(action).of != "language" and _infrastructure(self.spec, action) else "")

    def waivers(self, check: str) -> tuple[Waiver, ...]:
        """What may pass a check for some time."""
        return tuple(waiver for waiver in self.spec.waivers if waiver.check == check)

    @property
    def hooks(self) -> list[tuple[str, str, str]]:
        """The checks that are fast enough for a pre-commit hook: DPRA action, tool, and which files start it."""
        heads = {tool.name: tool.head for tool in catalogue_tools()}
        return [
            (action, tool, heads[tool]["hook"])
            for action in ("code-quality", "sast")
            for tool in self.tools.get(action, ())
            if "hook" in heads[tool]
        ]

    def hook(self, action: str, tool: str) -> str:
        """The command of a pre-commit hook."""
        return f"bash .github/actions/dpra/check/hook.sh {action} {tool}"

    def runs(self, action: str) -> bool:
        """Whether a step does the action; the catalogue's optional ones run where the spec names them."""
        return any(one.action == action and one.status in ("blocks", "advisory") for one in self.actions)

    def working_directory(self, action: str) -> str:
        """Where an action's command runs; empty for the repository's root."""
        return self.action(action).working_directory or self.spec.working_directory

    def reports(self, action: str) -> str:
        """Where a test command leaves its JUnit reports, if not in $JUNIT_FILE."""
        own = self.action(action)
        tests = any(known.id == action and "reports" in known.takes for known in self.catalogue.actions)
        return own.reports or ("" if own.command or not tests else str(self.manager.get("reports", "")))

    def job(self, name: str) -> Job:
        """What the spec says about a job."""
        return self.spec.jobs.get(name, Job())

    def runs_on(self, job: str) -> str | tuple[str, ...]:
        """The label of a job's runner, or all of its labels."""
        labels = self.job(job).runs_on or self.spec.runs_on
        return labels[0] if len(labels) == 1 else labels


def make(spec: Spec) -> Plan:
    """The plan of a spec.

    Raises:
        PlanError: an unknown tool, an account of two environments, a stack named like dpra's own, or more regions than
            a job graph should have.
    """
    types = catalogue.load(spec.pipeline, spec.profile)
    problems: dict[str, str] = {}
    language = resources.data("languages.yml")[spec.language]
    managers = language["package-managers"]
    name = spec.setup.package_manager or next(iter(managers))
    if name not in managers:
        there = ", ".join(managers)
        problems["setup.package-manager"] = f"no '{name}' for {spec.language}; there is {there}"
    manager = managers.get(name, {})
    commands = {**language.get("commands", {}), **manager.get("commands", {})}
    commands |= {name: action.command for name, action in spec.actions.items() if action.command}
    tools = {action.id: _tools(spec, action, problems) for action in types.actions if action.of}
    plan = Plan(spec, types, (), tools, commands, name, manager)
    problems |= _outlets(plan) | _exceptions(plan) | _deployment(spec)
    if plan.attests and "self-hosted" in plan.runs_on("artifacts"):
        problems["jobs.artifacts.runs-on"] = "GitHub's attestations are believed of GitHub's own runners only"
    if spec.github.plan == "free" and spec.github.visibility != "public":
        # https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments
        problems["github.plan"] = "free has neither environments nor protected branches for a private repository"
    for job, steps in types.steps.items():
        asks = any(spec.actions[name].new_on_trunk == "notify" for name in steps if name in spec.actions)
        for scope in {"checks", "pull-requests"} & set(plan.job(job).permissions) if asks else ():
            problems[f"jobs.{job}.permissions.{scope}"] = "dpra gives it already"
    if plan.attests and "attestations" in plan.job("artifacts").permissions:
        problems["jobs.artifacts.permissions.attestations"] = "dpra gives it already"
    for number, schedule in enumerate(spec.schedules):
        try:
            cron.starts(schedule.cron)
        except ValueError as error:
            problems[f"schedules[{number}].cron"] = str(error)
    if plan.approval_branch == spec.trunk:
        problems["github.approval-branch"] = "is the trunk: every commit of it would be approved"
    if f"{plan.stack}-".startswith("dpra-"):
        key = "deploy.stack" if spec.deploy.stack else "name"
        problems[key] = "dpra- is how dpra's own stacks and roles begin; give deploy.stack a name that does not"
    accounts: dict[str, str] = {}
    for environment in types.environments:
        if (first := accounts.setdefault(spec.environments[environment].account, environment)) != environment:
            problems[f"environments.{environment}.account"] = f"{first} has this account; DPRA asks for one each"
        said, stage = spec.environments[environment], types.stage(environment)
        watched = stage.by_wave or any(action.id == "monitoring-and-logging" for action in stage.actions)
        if said.waves and not stage.by_wave:
            problems[f"environments.{environment}.waves"] = "only production has it"
        if said.alarms and not watched:
            problems[f"environments.{environment}.alarms"] = "no alarm is looked at here"
        if watched and not said.alarms and spec.deploy.with_ not in STACKS:
            problems[f"environments.{environment}.alarms"] = f"is missing: {spec.deploy.with_} has no stack with alarms"
        if said.permissions_boundary and said.permissions_boundary.split(":")[4] not in ("aws", said.account):
            problems[f"environments.{environment}.permissions-boundary"] = "a policy of another account"
        flat = [region for wave in said.waves for region in wave]
        if said.waves and said.regions:
            problems[f"environments.{environment}.regions"] = "the waves say the regions"
        elif len(flat) != len(set(flat)):
            problems[f"environments.{environment}.waves"] = "a region stands in two waves"
        if (count := len(plan.regions(environment))) > MOST_REGIONS:
            problems[f"environments.{environment}"] = f"{count} regions; an environment has at most {MOST_REGIONS}"
    if problems:
        raise PlanError(problems)
    return replace(plan, actions=tuple(_planned(plan, action) for action in types.actions))


def _own(spec: Spec) -> Any:
    """What the spec says of its deploy tool's own settings."""
    return getattr(spec.deploy, {"lambda": "lambda_"}.get(spec.deploy.with_, spec.deploy.with_), None)


def said_of(model: Any) -> dict[str, Any]:
    """A part of the spec as a mapping of its keys, without those that are empty."""
    values = {name_of(field): getattr(model, field.name) for field in fields(model)} if model else {}
    return {name: value for name, value in values.items() if value not in ("", ())}


def _deployment(spec: Spec) -> dict[str, str]:
    """What is wrong with how the component is deployed."""
    deploy, tool, problems = spec.deploy, spec.deploy.with_, {}
    tools = {name_of(field): field.name for field in fields(deploy) if name_of(field) in DEPLOY_TOOLS}
    for name, attribute in tools.items():
        if getattr(deploy, attribute) and name != tool:
            problems[f"deploy.{name}"] = f"goes together with `with: {name}`"
    if tool in tools and not _own(spec):
        problems["deploy.with"] = f"{tool} needs its settings: deploy.{tool}"
    if deploy.template and tool not in TEMPLATES:
        problems["deploy.template"] = f"{tool} takes none"
    if deploy.stack and tool not in ("cloudformation", "sam"):
        problems["deploy.stack"] = f"{tool} takes none"
    if deploy.ecs and spec.language != "container":
        problems["deploy.with"] = "ecs deploys container images: say language: container"
    for name, minutes in (("ecs", _shift(deploy.ecs)), ("lambda", _shift(deploy.lambda_))):
        if minutes > LONGEST_SHIFT:
            problems[f"deploy.{name}.pause"] = f"the shift takes {minutes} minutes; a job has time for {LONGEST_SHIFT}"
    if database := deploy.database:
        own = database.with_ == "command"
        for name, wanted in (("command", own), ("preview", own), ("url", not own)):
            if bool(getattr(database, name)) != wanted:
                problems[f"deploy.database.{name}"] = (
                    f"{'is missing' if wanted else 'goes not together'} with {database.with_}"
                )
        if database.user and database.secret:
            problems["deploy.database.secret"] = "either user or secret"
        elif not own and not (database.user or database.secret):
            problems["deploy.database"] = "needs user or secret"
    return problems


def _shift(how: Any) -> int:
    """How many minutes it takes to send production's traffic to a release."""
    if not how or how.strategy in ("rolling", "all-at-once"):
        return 0
    steps = {"blue-green": 0, "canary": 1, "linear": -(-100 // how.percent) - 1}[how.strategy]
    return int(steps * how.pause + getattr(how, "bake", 0))


def _outlets(plan: Plan) -> dict[str, str]:
    """What is wrong with the component's own steps, services and permissions."""
    problems = {}
    trusted = {step for job in UNTOUCHED for step in plan.catalogue.steps.get(job, ())}
    for action, said in plan.spec.actions.items():
        for where in ("before", "after"):
            for step in getattr(said, where):
                key = f"actions.{action}.{where}"
                if bool(step.uses) == bool(step.run):
                    problems[key] = f"'{step.name}': needs either uses or run"
                elif step.with_ and not step.uses:
                    problems[key] = f"'{step.name}': with goes together with uses"
                elif step.uses and step.working_directory:
                    problems[key] = f"'{step.name}': working-directory goes together with run"
                elif action in trusted and (step.run or step.uses.startswith("./")):
                    problems[key] = (
                        f"'{step.name}': the job of this action runs no code of the repository, or a change could "
                        "replace the scanners that judge it; only pinned actions may stand there"
                    )
    for job, given in plan.spec.jobs.items():
        if given.services and not set(plan.catalogue.steps[job]) & set(plan.commands):
            problems[f"jobs.{job}.services"] = "no command of yours runs in this job"
        for scope in READ_ONLY:
            if scope in given.permissions and given.permissions[scope].access == "write":
                problems[f"jobs.{job}.permissions.{scope}.access"] = "GitHub gives read only"
    return problems


def _exceptions(plan: Plan) -> dict[str, str]:
    """What is wrong with what may pass."""
    problems = {}
    for name, action in plan.spec.actions.items():
        left_out = [one.left_out for one in plan.catalogue.actions if one.id == name]
        if all(left_out):
            problems[f"actions.{name}"] = left_out[0]
        if action.advisory and not action.reason:
            problems[f"actions.{name}.advisory"] = "needs a reason"
        if action.reason and not action.advisory:
            problems[f"actions.{name}.reason"] = "goes together with advisory: true"
        known = plan.check(name)
        if known.optional and not known.of and name not in plan.commands:
            problems[f"actions.{name}"] = "needs a command"
    for number, waiver in enumerate(plan.spec.waivers):
        key = f"waivers[{number}]"
        if not plan.tools.get(waiver.check):
            problems[f"{key}.check"] = f"{waiver.check} is left out: there is no tool for it"
        if waiver.check == "secrets-detection" and not waiver.path:
            problems[f"{key}.path"] = "is missing; without it this kind of secret could pass anywhere"
        try:
            datetime.date.fromisoformat(waiver.until)
        except ValueError:
            problems[f"{key}.until"] = f"there is no day {waiver.until}"
    return problems


def _languages(spec: Spec, action: Known) -> tuple[str, ...]:
    """What the check looks at."""
    code = _infrastructure(spec, action.id)
    of = {"language": (spec.language,), "infrastructure": code, "both": (spec.language, *code)}
    return of[action.of]


def _infrastructure(spec: Spec, action: str) -> tuple[str, ...]:
    """The language of the infrastructure code, where there is any to look at.

    An assembly of CDK is there after the build only: a check looks at CDK where the spec says with what, or at what."""
    said = spec.actions.get(action, Action())
    languages = {"cloudformation": "cloudformation", "sam": "cloudformation", "terraform": "terraform"}
    if said.file or said.tool:
        languages["cdk"] = "cdk"
    return (languages[spec.deploy.with_],) if spec.deploy.with_ in languages else ()


def _tools(spec: Spec, action: Known, problems: dict[str, str]) -> tuple[str, ...]:
    """The tools of a check: for each language the one that was asked for, else the default one."""
    if action.optional and action.id not in spec.actions:
        return ()
    asked = spec.actions[action.id].tool if action.id in spec.actions else ()
    there = [tool for tool in catalogue.tools() if action.id in tool.serves]
    chosen: dict[str, None] = {}
    for language in _languages(spec, action):
        fitting = [tool for tool in there if tool.fits(action.id, language)]
        own = [tool.name for tool in fitting if tool.name in asked]
        default = [tool.name for tool in fitting if tool.fits(action.id, language, default=True)]
        chosen |= dict.fromkeys(own or default)
    for name in asked:
        if name not in chosen:
            names = ", ".join(t.name for t in there if any(t.fits(action.id, x) for x in _languages(spec, action)))
            of = " and ".join(_languages(spec, action)) or spec.deploy.with_
            problems[f"actions.{action.id}.tool"] = f"no tool '{name}' for {of}; there is {names or 'none'}"
    return tuple(chosen)


def _planned(plan: Plan, action: Known) -> PlannedAction:
    def made(status: str, reason: str, job: str = "", step: str = "", tool: str = "") -> PlannedAction:
        return PlannedAction(action.stage, action.id, action.level, job, step, tool, status, reason)

    if action.outside:
        return made("outside-pipeline", action.outside, tool=action.tool)
    step = action.by or action.id
    job = next((job for job in plan.catalogue.stage(action.stage).jobs if step in plan.catalogue.steps[job]), "")
    if not job:
        return made("left-out", action.left_out)
    if action.by and plan.deploys_with in SOFTWARE_ONLY:
        return made("outside-pipeline", f"{plan.deploys_with} deploys into infrastructure that is there")
    if action.id == "database-deploy" and not plan.spec.deploy.database:
        return made("left-out", "on demand: say `deploy.database`")
    if action.by:
        return made("blocks", f"done by {action.by}: infrastructure and software are deployed together", job, step)
    tool, reason = _tool(plan, action), "DPRA's gate: a failure stops the pipeline here"
    if action.optional and action.id not in plan.spec.actions:
        return made("left-out", "on demand: name it in `actions`")
    if step in plan.tools:
        tool = ", ".join(plan.tools[step])
        languages = plan.languages(action)
        bare = [language for language in languages if not _served(step, language)]
        if not tool:
            return made("left-out", f"no tool for {' or '.join(bare)}" if languages else _bare(plan, step))
        reason = f"fails on {_and_worse(plan.fail_on(step))} findings, on an error of the tool and on a missing report"
        reason += f"; no tool for {bare[0]}" if bare else ""
    elif "command" in action.takes:
        tool = plan.commands[step].strip()
        default = f"the default command for {plan.spec.language} ({plan.package_manager})"
        reason = "your command" if plan.action(step).command else default
    if plan.action(step).advisory:
        return made("advisory", f"only warns: {plan.action(step).reason}", job, step, tool)
    return made("blocks", reason, job, step, tool)


def _tool(plan: Plan, action: Known) -> str:
    """What does an action that is neither a check nor a command."""
    database, branch = plan.spec.deploy.database, plan.approval_branch
    words = {
        "<tool>": plan.deploys_with,
        "<database>": database.with_ if database else "",
        "<approval>": f"reviewed pull request into {branch}" if branch else "GitHub environment prod-approve",
    }
    tool = action.tool
    for word, value in words.items():
        tool = tool.replace(word, value)
    return tool


def _bare(plan: Plan, check: str) -> str:
    """Why there is no infrastructure code to look at."""
    if plan.deploys_with == "cdk":
        return f"the assembly is there after the build only: say actions.{check}.file or use cdk-nag in the build"
    return f"{plan.deploys_with} has no infrastructure code that dpra knows"


def _and_worse(severity: str) -> str:
    return severity if severity in ("any", "critical") else f"{severity} and worse"


def _served(action: str, language: str) -> bool:
    return any(tool.fits(action, language) for tool in catalogue.tools())


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


def key_alias(plan: Plan) -> str:
    """The alias of the key that signs the component's releases."""
    return f"alias/dpra-{plan.spec.name}"


def reads_store(stage: Stage, duty: str) -> bool:
    """Whether a role of the stage reads releases in the account of the tools: production's deploy what was promoted."""
    return duty == "promote" or (duty == "deploy" and not stage.by_wave)


def reading_roles(plan: Plan) -> list[str]:
    """The ARNs of the roles that read a release in the account of the tools."""
    return _roles(plan, reads_store)


def verifying_roles(plan: Plan) -> list[str]:
    """The ARNs of the roles that verify a release's signature."""
    return _roles(plan, lambda _, duty: duty in ("promote", "deploy"))


def _roles(plan: Plan, which: Callable[[Stage, str], bool]) -> list[str]:
    return [
        role_arn(plan, stage.id, role)
        for stage in plan.catalogue.stages
        for role, duty in stage.roles.items()
        if which(stage, duty)
    ]


def github_environments(plan: Plan, stage: Stage, role: str) -> list[str]:
    """The GitHub environments whose jobs may assume a role: of its name, or those of the waves and of the way back."""
    if stage.by_wave and stage.roles[role] == "deploy":
        return [*(f"{stage.id}-{wave.number}" for wave in plan.waves(stage.id)), f"{stage.id}-rollback"]
    return [role]


def protections(plan: Plan) -> list[tuple[str, str]]:
    """Every GitHub environment, and how it is to be protected besides its branch policy, which is the trunk for all."""
    found: dict[str, str] = {}
    for stage in plan.catalogue.stages:
        for role, duty in stage.roles.items():
            for environment in github_environments(plan, stage, role):
                found[environment] = {
                    "promote": "reviewers" if plan.protects else f"a pull request into {plan.approval_branch} approves",
                    "observe": f"wait timer: {plan.bake(stage.id)} minutes, the bake time" if plan.protects else "",
                    "deploy": "neither reviewers nor a wait timer: a way back never waits" if stage.by_wave else "",
                }.get(duty, "")
    return [*found.items(), ("notifications", "the secret DPRA_WEBHOOK_URL, where there is a chat to tell")]


def record(plan: Plan) -> str:
    """Where the release record lies: in the first of production's regions."""
    [stage] = [stage.id for stage in plan.catalogue.stages if stage.by_wave]
    return f"s3://{bucket_name(plan, stage, plan.regions(stage)[0])}/{plan.spec.name}/record.json"


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
        "profile": plan.spec.profile,
        "trunk": plan.spec.trunk,
        "environments": {
            name: {"account": plan.spec.environments[name].account, "regions": list(plan.regions(name))}
            | ({"waves": [list(w.regions) for w in plan.waves(name)]} if plan.catalogue.stage(name).by_wave else {})
            for name in plan.catalogue.environments
        },
        "releases": {"store": plan.store, "signer": plan.signer} if plan.storing else None,
        "dpra-partial": bool(plan.missing),
        "missing": [f"{one.stage}.{one.action}" for one in plan.missing],
        "actions": [asdict(action) | {"jobs": _jobs_of(plan, action)} for action in plan.actions],
        "unmanaged": list(plan.spec.unmanaged),
    }


def _jobs_of(plan: Plan, action: PlannedAction) -> list[str]:
    """The ids of the jobs that do an action: of a template that each wave has, several."""
    return [name for name, job in plan.jobs.items() if job.template == action.job]


def mermaid(plan: Plan) -> str:
    """The job graph as a Mermaid flowchart."""
    lines = ["flowchart LR"]
    stages = [stage for stage in plan.catalogue.stages if stage.jobs]
    done = {(action.job, action.step) for action in plan.actions}
    jobs = plan.jobs
    for stage in stages:
        lines.append(f"  subgraph {stage.id}-stage [{stage.name.replace('(', '').replace(')', '')}]")
        for name, job in jobs.items():
            if job.stage == stage.id:
                steps = "<br/>".join(s for s in plan.catalogue.steps[job.template] if (job.template, s) in done)
                where = f"<br/>{', '.join(job.regions)}" if job.template in stage.by_wave else ""
                lines.append(f'    {name}["<b>{name}</b>{where}{"<br/>" if steps else ""}{steps}"]')
        lines.append("  end")
    for name, job in jobs.items():
        lines += [f"  {need} --> {name}" for need in job.needs]
    return "\n".join(lines) + "\n"
