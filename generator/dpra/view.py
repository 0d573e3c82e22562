"""What a template sees: `View`, each of whose public names is a name in the template."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dpra import __version__, describe, names, resources, scalar
from dpra.catalogue import PULL_REQUEST
from dpra.dataclasses import dataclass
from dpra.graph import Environment, Job, Workflow
from dpra.names import EXPECTED, VENDORED
from dpra.plan import Plan, values_of
from dpra.spec.models import Permission, Waiver


@dataclass(frozen=True)
class Template:
    """A template, what it is for, and the file that it makes."""

    path: str  # in templates/
    target: str  # in the repository
    workflow: Workflow | None = None
    environment: Environment | None = None


@dataclass(frozen=True)
class View:
    """What a template sees: each public name here is a name there."""

    plan: Plan
    template: Template
    used: set[str]  # of the pack, as far as it was rendered

    @property
    def spec(self) -> Any:
        """The spec."""
        return self.plan.spec

    @property
    def workflow(self) -> Workflow | None:
        """The workflow that the template makes."""
        return self.template.workflow

    @property
    def environment(self) -> Environment | None:
        """The environment whose trust the template makes."""
        return self.template.environment

    @property
    def name(self) -> str:
        """The template's own, without its ending."""
        return Path(self.template.path).stem

    # Actions

    def pin(self, action: str) -> str:
        """A third-party action at the commit of pins.yml, with its tag behind it."""
        pin = resources.data("pins.yml")[action]
        return scalar.Written(f"{action}@{pin['sha']} # {pin['tag']}")

    def pack(self, action: str) -> str:
        """An action of the pack."""
        self.used.add(action)
        if by_reference := self.plan.spec.pack:
            repository, _, commit = by_reference.partition("@")
            return scalar.Written(f"{repository}/.github/actions/{action}@{commit} # v{__version__}")
        return scalar.Written(f"./{VENDORED}/{action}")

    @property
    def pack_version(self) -> str:
        """The tag of dpra's own release."""
        return f"v{__version__}"

    def run(self, script: str) -> str:
        """The command that runs a vendored script of the pack from the repository's root."""
        self.used.add(script)
        return f"{'bash' if script.endswith('.sh') else 'python3 -I -B'} {VENDORED}/{script}"

    def granted(self, permission: Permission) -> str:
        """A permission, with its reason behind it."""
        return scalar.Written(f"{permission.access} # {scalar.comment(permission.reason)}")

    def tests_of(self, job: Job) -> list[str]:
        """The names of the jobs that test what a job deploys, each in the same leg."""
        return self.workflow.tests_of(job) if self.workflow else []

    # Values

    def raw(self, text: str) -> str:
        """Text of our own that holds a GitHub expression."""
        return scalar.Raw(text)

    def in_region(self, text: str) -> str:
        """A name with {region} in it, for the region of the job's leg."""
        return scalar.Raw(text.replace("{region}", "${{ matrix.region }}"))

    def json(self, value: Any) -> str:
        """A value as JSON."""
        return json.dumps(value)

    @property
    def windows(self) -> str:
        """When a release may start, as the release action reads it; empty where at any time."""
        said = values_of(self.plan.spec.windows)
        return json.dumps(said) if said else ""

    @property
    def built_by(self) -> str:
        """The workflows on the trunk that may have built a release, as the deploy action reads it."""
        return " ".join(self._signing_workflows)

    @property
    def signing_workflow_refs(self) -> list[str]:
        """The same, as a job's token of GitHub's names its workflow."""
        return [f"{self.plan.spec.repository}/{workflow}" for workflow in self._signing_workflows]

    @property
    def _signing_workflows(self) -> list[str]:
        trunk = self.plan.spec.trunk
        return [f".github/workflows/{name}.yml@refs/heads/{trunk}" for name in self.plan.signing_workflows]

    @property
    def rebuilds(self) -> bool:
        """Whether the workflow builds an image anew on its schedule, which may be the one that is there."""
        return "image" in self.plan.catalogue.takes and bool(self.workflow and self.workflow.schedules)

    @property
    def tested(self) -> str:
        """The condition that what the mainline job looks at last went well: else that has told of it."""
        last = self.plan.jobs["mainline"].needs[-1]
        return scalar.Written(f"always() && needs.{last}.result == 'success'")

    @property
    def held(self) -> str:
        """The expression for why the jobs that hold a bake hold it; empty where no job of the workflow does."""
        jobs = self.workflow.jobs.values() if self.workflow else ()
        return " || ".join(f"needs.{job.id}.outputs.held" for job in jobs if job.kind == "hold")

    @property
    def database(self) -> str:
        """What is done to the database, as the database action reads it."""
        said = values_of(self.plan.spec.deploy.database)
        return json.dumps({name: value for name, value in said.items() if name != "with"})

    @property
    def paths(self) -> list[str]:
        """What of the repository is the component's; empty: all of it."""
        return [*self.plan.spec.paths, "dpra.yml", ".github/**"] if self.plan.spec.paths else []

    @property
    def expected(self) -> str:
        """The file with what the workflows promise."""
        return scalar.Written(EXPECTED)

    def waivers(self, check: str) -> str:
        """What may pass a check, as the check action reads it."""
        return json.dumps([_waiver(waiver) for waiver in self.plan.waivers(check)], indent=1)

    def reported(self, job: Job) -> str:
        """The condition of a step that takes the reports of the job's checks: that there is one, and not of a fork's
        change. Empty where the job makes no checks."""
        checks = [one.id for one in self.plan.catalogue.actions if one.of and one.id in job.steps]
        left_out = self.workflow.skipped if self.workflow else ()
        there = [check for check in checks if self.plan.runs(check) and check not in left_out]
        found = " || ".join(f"steps.{check}.outputs.report" for check in there)
        condition = f"always() && ({found})" if found else ""
        if found and self.workflow and self.workflow.id == PULL_REQUEST:
            same = "github.event.pull_request.head.repo.full_name == github.repository"
            condition += f" && (github.event_name != 'pull_request' || {same})"
        return condition

    @property
    def mermaid(self) -> str:
        """The picture of the job graph."""
        return scalar.Written(describe.mermaid(self.plan))

    # CloudFormation

    @property
    def machine(self) -> str:
        """How what makes and tests a machine's image is called in Image Builder and EC2."""
        return names.machine(self.plan.spec)

    @property
    def readers(self) -> str:
        """The name of the role by which others see which golden images there are."""
        return names.readers(self.plan.spec.name)

    def logical_id(self, role: str) -> str:
        """A role's name in its template."""
        return role.title().replace("-", "") + "Role"

    @property
    def deploying_role(self) -> str:
        """The ARN of the role that deploys, in the template that makes it."""
        role = self.environment.deploying if self.environment else None
        return scalar.Written(f"!GetAtt {self.logical_id(role.id)}.Arn") if role else ""

    @property
    def own_boundary(self) -> str:
        """The ARN of the policy that the spec brings to bound every role of the account; empty: dpra makes one."""
        return self.plan.spec.environments[self.environment.id].permissions_boundary if self.environment else ""

    @property
    def boundary_name(self) -> str:
        """The name of the policy that dpra makes for that."""
        return names.boundary(self.plan.spec)

    @property
    def component_roles(self) -> str:
        """The path and name of every role that the component makes, as IAM reads it."""
        return f"{names.path(self.plan.spec)[1:]}*"

    def execution_role(self) -> str:
        """The name of the role that the environment's deployments act with."""
        return names.role(self.plan.spec, names.execution_role(self.environment.id)) if self.environment else ""

    def sub(self, text: str) -> str:
        """A text in which CloudFormation fills in its own parameters."""
        return scalar.Written(f"!Sub {scalar.yaml(text)}")

    def arns(self, start: str, named: Iterable[str], end: str = "") -> str:
        """The ARNs of what has these names in the account: in each region, and never by a pattern for all of them,
        which other names would fit, too."""
        if self.environment is None:
            return ""
        filled = [
            self.plan.filled(name, self.environment.id).replace("{region}", region)
            for name in named
            for region in self.environment.regions
        ]
        places = [f"arn:${{AWS::Partition}}:{start}{name}{end}" for name in dict.fromkeys(filled)]
        subs = [f"!Sub {scalar.yaml(place)}" for place in places]
        return scalar.Written(subs[0] if len(subs) == 1 else f"[{', '.join(subs)}]")


NAMES = tuple(name for name in (*View.__dataclass_fields__, *vars(View)) if not name.startswith("_"))


def _waiver(waiver: Waiver) -> dict[str, str]:
    said = {"rule": waiver.rule, "path": waiver.path, "reason": waiver.reason, "owner": waiver.owner}
    return {key: value for key, value in said.items() if value} | {"until": waiver.until}
