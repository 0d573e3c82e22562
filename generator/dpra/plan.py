"""From a Spec and its catalogue to a Plan: what runs where, in which order, with what, and why.

A Plan is data: `planner.make` makes it once, whole, and after that it is only read. `problems.planned` is the way to
one that can be delivered.
"""

from collections.abc import Mapping
from dataclasses import field, fields, replace
from pathlib import PurePosixPath
from typing import Any

from dpra import actions as doing
from dpra import check_tools, documents, graph, names
from dpra.actions import PlannedAction
from dpra.catalogue import PIPELINE, PULL_REQUEST, Catalogue
from dpra.dataclasses import dataclass
from dpra.deployers import Deployer
from dpra.graph import Environment, Job, Record, Role, Store, Workflow
from dpra.spec import models
from dpra.spec.models import Action, Gate, Spec, Step, Waiver, Windows, name_of

UNSAID = Action()  # what the spec says about an action that it does not name
HOUR = 60  # minutes
WAITS = 60  # minutes of a bake for which a runner waits, at most, where GitHub has no wait timers


@dataclass(frozen=True)
class Plan:
    """What will be generated, and why."""

    spec: Spec
    catalogue: Catalogue
    environments: Mapping[str, Environment]
    workflows: Mapping[str, Workflow]
    store: Store | None  # None: the pipeline type stores nothing
    record: Record | None
    deployer: Deployer | None  # None: the pipeline type deploys by its own means
    language: Mapping[str, Any]  # a row of languages.yml
    package_manager: str
    manager: Mapping[str, Any]  # its defaults, of that row
    commands: Mapping[str, str]  # DPRA action -> shell command
    tools: Mapping[str, tuple[str, ...]]  # DPRA action -> tools of the check action; none: it is left out
    base: Mapping[str, str] = field(default_factory=dict)  # see graph.base
    actions: tuple[PlannedAction, ...] = ()

    # ---- What runs where

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs of the pipeline, by their ids."""
        return self.workflows[PIPELINE].jobs

    @property
    def production(self) -> Environment | None:
        """Where a release ends: the environment that keeps the record, else the last one; None where there is none."""
        keeps = self.record.environment if self.record else next(reversed([*self.environments]), "")
        return self.environments.get(keeps)

    @property
    def stage_of(self) -> dict[str, str]:
        """Job id -> stage id, of the pipeline's jobs that belong to one."""
        return {job.id: job.stage for job in self.jobs.values() if job.stage}

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that a change of the trunk needs, by GitHub's names."""
        jobs = self.workflows[PULL_REQUEST].jobs.values()
        return tuple(context for job in jobs for context in job.contexts)

    @property
    def scanning(self) -> tuple[str, ...]:
        """The jobs with checks that a pull request runs, too, and those that they need: none needs an AWS account."""
        checks = {action.id for action in self.catalogue.actions if action.of}
        jobs = [job for job in self.workflows[PULL_REQUEST].jobs.values() if checks & {*job.steps}]
        needed = {name for job in jobs for name in job.needs}
        return (*(name for name in self.jobs if name in needed), *(job.id for job in jobs))

    def waived(self, audit: str) -> list[str]:
        """The files of the workflows that an audit of zizmor's does not fit."""
        return [f"{one.id}.yml" for one in self.workflows.values() if audit in one.waives]

    @property
    def partition(self) -> str:
        """Of AWS."""
        return names.partition(self.spec.regions[0])

    def roles(self, *duties: str) -> tuple[Role, ...]:
        """The roles of all environments with one of these duties, in order."""
        return tuple(
            role for where in self.environments.values() for role in where.roles.values() if role.duty in duties
        )

    @property
    def reading_roles(self) -> list[str]:
        """The ARNs of the roles that read a release in the store: what was promoted is read where it was copied to."""
        some = [(where, "promote" if where.promotes else "deploy") for where in self.environments.values()]
        return [role.arn for where, duty in some for role in where.roles.values() if role.duty == duty]

    @property
    def verifying_roles(self) -> list[str]:
        """The ARNs of the roles that verify a release's signature."""
        return [role.arn for role in self.roles("promote", "deploy", "drift", "close-request", "close")]

    @property
    def reading_accounts(self) -> list[str]:
        """The accounts of these roles."""
        return list(dict.fromkeys(arn.split(":")[4] for arn in self.reading_roles))

    @property
    def signing_workflows(self) -> list[str]:
        """The workflows whose jobs store and sign releases: the pipeline, then the others."""
        found = [one.id for one in self.workflows.values() if any(job.duty == "store" for job in one.jobs.values())]
        return sorted(found, key=lambda name: name != PIPELINE)

    @property
    def protections(self) -> list[tuple[str, str]]:
        """Every GitHub environment, and how it is to be protected besides its branch policy: the trunk for all."""
        found: dict[str, str] = {}
        for where in self.environments.values():
            for role in where.roles.values():
                found |= dict.fromkeys(role.environments, self._protection(role, where))
        for workflow in self.workflows.values():
            for environment in workflow.environments:
                found.setdefault(environment, self.catalogue.github_environments.get(environment, ""))
        return list(found.items())

    def _protection(self, role: Role, where: Environment) -> str:
        timer = f"wait timer: {where.bake} minutes, the bake time" if where.bake else ""
        closing = f"other reviewers; wait timer: {self.spec.fleet.closing_days * 24 * HOUR} minutes"
        return {
            "promote": self._approval,
            "observe": timer if self.protects else "",
            "deploy": "neither reviewers nor a wait timer: a rollback never waits" if where.waves else "",
            "close-request": "reviewers" if self.protects else "",
            "close": closing if self.protects else "",
        }.get(role.duty, "")

    @property
    def _approval(self) -> str:
        if not self.spec.approval:
            return "no reviewers: the spec asks for no approval"
        return "reviewers" if self.protects else f"a pull request into {self.approval_branch} approves"

    # ---- What GitHub offers

    @property
    def protects(self) -> bool:
        """Whether GitHub offers reviewers, wait timers and attestations for this repository.

        Source: https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments"""
        return self.spec.github.visibility == "public" or self.spec.github.plan == "enterprise"

    @property
    def long_bakes(self) -> bool:
        """Whether a wave bakes for so long that no runner waits for it: it is held, and a schedule goes on with it."""
        return not self.protects and any(where.bake > WAITS for where in self.environments.values())

    @property
    def attests(self) -> bool:
        """Whether GitHub attests the release; else a KMS key signs it.

        Source: https://docs.github.com/actions/concepts/security/artifact-attestations"""
        return self.protects

    @property
    def signer(self) -> str:
        """Who signs the release; empty where there is none."""
        return "" if self.store is None else "GitHub's attestation" if self.attests else self.store.signing_key

    @property
    def approval_branch(self) -> str:
        """Where GitHub offers no reviewers, the branch into which a reviewed pull request merges what is approved."""
        asked = self.approves and self.spec.approval and not self.protects
        return self.spec.github.approval_branch if asked else ""

    @property
    def approves(self) -> str:
        """The GitHub environment in which a release is approved; empty where nothing asks for it."""
        return next((name for role in self.roles("promote") for name in role.environments), "")

    @property
    def resumes(self) -> bool:
        """Whether a release may be held that goes on later by itself: outside its windows, not approved yet, baking."""
        return bool(self.approves) and bool(self.approval_branch or values_of(self.spec.windows) or self.long_bakes)

    @property
    def resume_schedule(self) -> str:
        """When held releases are resumed, as a cron expression; empty where none waits for a window or for its bake."""
        return "7 * * * *" if self.long_bakes else resume_schedule(self.spec.windows)

    def lease(self, where: Environment) -> int:
        """By how many minutes the lease of the release lock is longer: a bake, and deployments of more than an hour."""
        limits = [job.limit for job in self.jobs.values() if job.at is where and job.kind == "deploy"]
        return where.bake + max([limit - HOUR for limit in limits if limit > HOUR], default=0)

    # ---- How it is deployed

    @property
    def settings(self) -> Mapping[str, Any]:
        """The deploy tool's own settings."""
        own = values_of(own_settings(self.spec))
        if "fleet" in self.catalogue.takes:
            own = {"control-tower": True} if self.spec.fleet.control_tower else {}
        if "image" in self.catalogue.takes:
            said = self.spec.image
            own = {"products": said.products} if said.products else {}
            if said.kind == "machine":  # a registry's own policy says it of containers
                shared = {"accounts": said.accounts, "organization": said.organization}
                own |= {name: value for name, value in shared.items() if value}
        return {name: value for name, value in own.items() if name not in ("roles", "version")}

    @property
    def image_repository(self) -> str:
        """The ECR repository of a golden image, in each of production's regions; consumers know its name."""
        return names.image_repository(self.spec)

    @property
    def template(self) -> str:
        """What describes the deployment, or what Service Catalog has of it; empty where there is nothing."""
        if "image" in self.catalogue.takes:
            return self.spec.image.template if self.spec.image.products else ""
        return self.spec.deploy.template or (self.deployer.template if self.deployer else "")

    @property
    def deploy_files(self) -> tuple[str, ...]:
        """The deploy tools of the pack that this pipeline needs: its own, and what that stands on."""
        return (self.deployer.name, *self.deployer.needs) if self.deployer else ()

    def filled(self, text: str, environment: str) -> str:
        """A text of the spec that differs by environment, {region} left as it is."""
        return graph.filled(self.spec, text, environment)

    # ---- The language

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
    def manifests(self) -> str:
        """The folder of what names the dependencies, seen from the repository's root; empty for that."""
        if "image" in self.catalogue.takes:
            return PurePosixPath(self.spec.image.file).parent.as_posix().removeprefix(".")
        return self.spec.working_directory

    @property
    def install(self) -> str:
        """The command that installs dependencies; empty where there is nothing to install."""
        return self.spec.setup.install or str(self.manager.get("install", ""))

    def _inside(self, path: str) -> str:
        return f"{self.spec.working_directory.rstrip('/')}/{path}" if path and self.spec.working_directory else path

    # ---- How a DPRA action is done

    def action(self, name: str) -> Action:
        """What the spec says about a DPRA action, and the profile."""
        said = self.spec.actions.get(name, UNSAID)
        profile, known = self.catalogue.profile, self.catalogue.named.get(name, ())
        advises = all(one.level in profile.advises and "advisory" in one.takes for one in known)
        if said.advisory or not known or not advises:
            return said
        return replace(said, advisory=True, reason=f"profile {profile.id}, as DPRA does not require it")

    def runs(self, action: str) -> bool:
        """Whether a step does the action; the catalogue's optional ones run where the spec names them."""
        return any(one.action == action and one.status in ("blocks", "advisory") for one in self.actions)

    @property
    def idle(self) -> frozenset[str]:
        """The DPRA actions that are not applicable, as there is no program: no job has their steps."""
        return frozenset(one.action for one in self.actions if one.status == "not-applicable")

    def env(self, action: str) -> Mapping[str, str]:
        """The environment variables of an action's command."""
        return {**self.spec.env, **self.action(action).env}

    def env_of(self, step: Step) -> Mapping[str, str]:
        """The environment variables of a step of the component's own: a command has the component's, too."""
        return {**self.spec.env, **step.env} if step.run else step.env

    def working_directory(self, action: str) -> str:
        """Where an action's command runs; empty for the repository's root."""
        return self.action(action).working_directory or self.spec.working_directory

    def reports(self, action: str) -> str:
        """Where a test command leaves its JUnit reports, if not in $JUNIT_FILE."""
        own = self.action(action)
        tests = any("reports" in known.takes for known in self.catalogue.named.get(action, ()))
        return own.reports or ("" if own.command or not tests else str(self.manager.get("reports", "")))

    def languages(self, action: str) -> tuple[str, ...]:
        """What a check looks at: the component's language, its infrastructure, or both."""
        return doing.languages(self.spec, self.catalogue, self.catalogue.action(action))

    def fail_on(self, action: str) -> str:
        """The lowest severity that fails a check."""
        return self.action(action).fail_on or self.catalogue.action(action).fail_on

    def file(self, action: str) -> str:
        """What a check's tool looks at: the spec's, or else the template that is deployed."""
        own, deploy = self.action(action).file, self.spec.deploy
        folder = deploy.terraform.folder if deploy.terraform else ""
        code = folder if self.deployer and self.deployer.infrastructure == "terraform" else self.template
        code = documents.templates(self.spec) if "fleet" in self.catalogue.takes else code
        of_code = self.catalogue.action(action).of in ("infrastructure", "both")
        return own or (code if of_code and doing.infrastructure(self.spec, self.catalogue, action) else "")

    def check_settings(self, action: str) -> Mapping[str, Any]:
        """What a check's tool is told besides: what an image is made of; of documents where they lie, and who has
        them."""
        if setting := check_tools.said(self.tools.get(action, ()), "folder"):
            return {setting: self.spec.image.components}
        if self.deployer and self.deployer.kind == "container" and self.catalogue.action(action).of == "both":
            return {"file": self.spec.image.file}
        if doing.FLEET in self.languages(action):
            return documents.fleet(self.spec, self.environments.values())
        return self.configuration if doing.CONFIGURATION in self.languages(action) else {}

    @property
    def configuration(self) -> Mapping[str, Any]:
        """Flags and operational configuration: where they lie, and which environments have them in which regions."""
        return documents.configuration(self.spec, self.environments.values(), self.template)

    def waivers(self, check: str) -> tuple[Waiver, ...]:
        """What may pass a check for some time."""
        return tuple(waiver for waiver in self.spec.waivers if waiver.check == check)

    def asks_pull_request(self, job: Job) -> bool:
        """Whether a check of the job asks if the commit was green in its pull request."""
        return any(self.runs(action) and self.action(action).new_on_trunk == "notify" for action in job.steps)

    def tools_of(self, environment: str) -> frozenset[str]:
        """The tools of the checks that run against what is deployed to an environment."""
        stage = self.catalogue.stage(environment)
        return frozenset(tool for action in stage.actions for tool in self.tools.get(action.id, ()))

    def tools_in(self, job: Job, action: str) -> tuple[str, ...]:
        """The tools of a check that run in a job."""
        return doing.tools_in(self.catalogue.jobs[job.template], self.tools[action])

    def done_in(self, environment: str) -> frozenset[str]:
        """The DPRA actions that are done in an environment."""
        there = [one for one in self.actions if one.stage == environment]
        return frozenset(one.action for one in there if one.status in ("blocks", "advisory"))

    def canary(self, environment: str) -> str:
        """The canary of CloudWatch Synthetics that is a gate in an environment, {region} left as it is; empty: none."""
        taking = [one.id for one in self.catalogue.stage(environment).actions if "canary" in one.takes]
        return next((self.filled(said, environment) for one in taking if (said := self.action(one).canary)), "")

    def opens(self, action: str) -> bool:
        """Whether the repository's own code may run where an action is done."""
        return any(not job.trusted for job in self.jobs.values() if action in job.steps)

    def own_steps(self, job: Job, action: str, where: str) -> tuple[Step, ...]:
        """The component's own steps around an action: where its code may run, if that is anywhere."""
        said: tuple[Step, ...] = getattr(self.action(action), where)
        return () if job.trusted and self.opens(action) else said

    def gates(self, action: str, environment: str) -> tuple[Gate, ...]:
        """The flags without whose state an action does not go on in an environment, {region} left as it is."""

        def filled(text: str) -> str:
            return self.filled(text, environment)

        return tuple(
            replace(gate, of=filled(gate.of), profile=filled(gate.profile), environment=filled(gate.environment))
            for gate in self.action(action).gates
        )

    def gates_in(self, job: Job, action: str) -> tuple[Gate, ...]:
        """The same for a job: where the action begins. What goes on with it, such as a bake, waits for no flag."""
        first = next(one.id for one in self.catalogue.jobs_of(job.stage) if action in one.steps)
        return self.gates(action, job.stage) if job.template == first else ()

    def gated(self, role: Role) -> bool:
        """Whether such a flag is read with a role."""
        jobs = [job for workflow in self.workflows.values() for job in workflow.jobs.values() if job.role is role]
        return any(self.gates_in(job, step) for job in jobs for step in job.steps)

    @property
    def lint(self) -> str:
        """The project's own linter, where its configuration is code, which no gate runs; empty where there is none."""
        return str(self.language.get("lint", ""))

    @property
    def hooks(self) -> list[tuple[str, str, str]]:
        """The checks that are fast enough for a pre-commit hook: DPRA action, tool, and which files start it."""
        files = check_tools.hooks(self.spec.image.components)
        return [
            (action, tool, files[tool])
            for action in ("code-quality", "sast")
            for tool in self.tools.get(action, ())
            if tool in files
        ]

    @property
    def missing(self) -> tuple[PlannedAction, ...]:
        """What DPRA requires and this pipeline does not do, or only warns about: with any of it, it is DPRA-partial."""
        return tuple(one for one in self.actions if one.level == "required" and one.status in ("left-out", "advisory"))

    # ---- What the spec says about jobs

    def job(self, name: str) -> models.Job:
        """What the spec says about a job, by its template."""
        return self.spec.jobs.get(name, models.Job())

    def runs_on(self, job: str) -> str | tuple[str, ...]:
        """The label of a job's runner, or all of its labels."""
        labels = self.job(job).runs_on or self.spec.runs_on
        return labels[0] if len(labels) == 1 else labels


def resume_schedule(windows: Windows) -> str:
    """Every hour while a window is open, as a cron expression; empty without windows."""
    if not values_of(windows):
        return ""
    begin, _, end = (windows.hours or "00:00-24:00").partition("-")
    minute = (int(begin[3:]) + 7) % 60  # GitHub's schedules are late at full hours
    hours = [hour for hour in range(24) if begin < f"{hour:02}:{minute:02}" < end] or [int(begin[:2])]
    last = f"-{hours[-1]}" if len(hours) > 1 else ""
    days = ",".join(day.upper() for day in windows.days) or "*"
    return f"{minute} {hours[0]}{last} * * {days}"


# ---- Parts of the spec


def own_settings(spec: Spec) -> Any:
    """What the spec says of its deploy tool's own settings; None where that has none."""
    return getattr(spec.deploy, {"lambda": "lambda_"}.get(spec.deploy.with_, spec.deploy.with_), None)


def values_of(model: Any) -> dict[str, Any]:
    """A part of the spec as a mapping of its keys, without those that are empty."""
    values = {name_of(field): getattr(model, field.name) for field in fields(model)} if model else {}
    return {name: value for name, value in values.items() if value not in ("", ())}
