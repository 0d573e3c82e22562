"""From a Plan to the text of every generated file.

A template is valid YAML with holes: `#%` line statements, `<%= … %>` for a whole scalar, and
`#% include "jobs/build.yml"`, which puts a file in at the indentation of the line; in what it puts in, `<language>`,
`<tool>` (the deploy tool), `<job>` and `<action>` stand for those of the place. Comments with `##` are for the reader
of the template, those with `#` for the reader of the workflow, too.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from dpra import catalogue, resources, scalar
from dpra import plan as planning
from dpra.plan import Plan, PlanError
from dpra.spec.models import Expression, Permission, Waiver, Windows
from dpra.spec.schema import schema

HEADER = "Made by dpra from dpra.yml. To change it, change dpra.yml and run: dpra generate"
HOTFIX = "hotfix"  # the workflow that skips
RESUME = "resume"  # the one for what may be held
APPROVAL = "approval"  # the ruleset of the branch that approves
VENDORED = ".github/actions/dpra"
# The checks of a pull request, as GitHub shows them: the names of its jobs.
NAMED = {"build": "Build", "security": "Security", "generated-files": "Generated files"}
SCHEMA = ".github/dpra.schema.json"


@dataclass(frozen=True)
class File:
    """A generated file. `block`: only the part between dpra's two marker lines is dpra's, the rest is the user's."""

    content: bytes
    block: bool = False


def files(plan: Plan) -> dict[str, File]:
    """Every generated file of a plan, by its path in the repository.

    Raises:
        PlanError: `unmanaged` names a file that is not generated.
    """
    found = {}
    for template, target in _templates(plan):
        text = _render(plan, template)
        found[target] = File(_with_header(target, text).encode())
    if plan.spec.owners:
        found[".github/CODEOWNERS"] = File(_code_owners(plan).encode(), block=True)
    found[SCHEMA] = File(_schema(plan.spec.pipeline))
    used = {name for file in found.values() for name in re.findall(rf"{VENDORED}/([a-z-]+)", file.content.decode())}
    for name in sorted(used | {"_lib"}):
        folder = resources.PACK / name
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and _needed(plan, path):
                target = f"{VENDORED}/{path.relative_to(resources.PACK).as_posix()}"
                found[target] = File(path.read_bytes())
    if strange := [path for path in plan.spec.unmanaged if path not in found]:
        raise PlanError({"unmanaged": f"dpra does not generate {', '.join(strange)}"})
    return {path: file for path, file in sorted(found.items()) if path not in plan.spec.unmanaged}


def workflows(plan: Plan) -> dict[str, str]:
    """The workflows by their names; the unmanaged ones, too."""
    templates = [name for name, target in _templates(plan) if target.startswith(".github/workflows/")]
    return {Path(name).stem: _render(plan, name) for name in templates}


def infrastructure(plan: Plan) -> dict[str, str]:
    """The CloudFormation templates of the accounts, by their path in the repository; the unmanaged ones, too."""
    templates = [pair for pair in _templates(plan) if pair[0].startswith("infrastructure/")]
    return {target: _with_header(target, _render(plan, template)) for template, target in templates}


def _needed(plan: Plan, path: Path) -> bool:
    """Of the checks' tools, their locks and the deploy tools only those that this plan uses."""
    parts = path.relative_to(resources.PACK).parts
    if parts[:2] == ("_lib", "deployers"):
        return path.stem in plan.deployers
    if parts[:2] not in (("check", "tools"), ("check", "locks")):
        return True
    return parts[2].partition(".")[0] in {tool for tools in plan.tools.values() for tool in tools}


@cache
def _schema(pipeline: str) -> bytes:
    return (json.dumps(schema(catalogue.words()[pipeline]), indent=2) + "\n").encode()


def _templates(plan: Plan) -> Iterator[tuple[str, str]]:
    """Each template with the path of the file that it makes."""
    for path in sorted((resources.TEMPLATES / plan.spec.pipeline).glob("*.yml")):
        if path.name != "catalogue.yml" and (plan.resumes or path.stem != RESUME):
            yield f"{plan.spec.pipeline}/{path.name}", f".github/workflows/{path.name}"
    for stage in plan.catalogue.environments:
        yield f"infrastructure/roles.yml:{stage}", f"infrastructure/dpra/{stage}.yml"
    for name in ("store", "artifacts") if plan.storing else ("store",):
        yield f"infrastructure/{name}.yml", f"infrastructure/dpra/{name}.yml"
    # templates/repository/ lies as the repository does.
    for path in sorted((resources.TEMPLATES / "repository").rglob("*")):
        if path.is_file() and (plan.approval_branch or path.stem != APPROVAL):
            name = path.relative_to(resources.TEMPLATES / "repository").as_posix()
            yield f"repository/{name}", name


def _with_header(path: str, text: str) -> str:
    if path.endswith(".md"):
        return f"<!-- {HEADER} -->\n{text}"
    return text if path.endswith(".json") else f"# {HEADER}\n{text}"


def _code_owners(plan: Plan) -> str:
    owners = " ".join(plan.spec.owners)
    deciding = ["/dpra.yml", "/.github/", "/infrastructure/dpra/"]
    if plan.spec.baseline and not plan.spec.baseline.startswith(".github/"):
        deciding.append(f"/{plan.spec.baseline.replace(' ', chr(92) + ' ')}")
    return "# What decides is not editable by what it judges.\n" + "".join(f"{path} {owners}\n" for path in deciding)


# ---- Jinja2


class _Loader(jinja2.BaseLoader):
    """Templates by their path in `templates/`, with includes put in place before Jinja2 sees them.

    `own`: where the component has steps of its own, as (DPRA action, before or after).
    `skipped`: DPRA actions whose steps are left out.
    """

    def __init__(self, language: str, tool: str, own: frozenset[tuple[str, str]], skipped: frozenset[str]) -> None:
        self.words = {"<language>": language, "<tool>": tool}
        self.own = own
        self.skipped = skipped

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Any]:
        path = resources.TEMPLATES / template
        return self._text(path, path.parent), str(path), lambda: True

    def _text(self, path: Path, folder: Path) -> str:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".yml":
            text = re.sub(r"^ *##.*\n", "", text, flags=re.MULTILINE)
        if path.parent.name == "jobs":
            text = _STEP.sub(self._own_steps, text)

        def put(match: re.Match[str]) -> str:
            indent, name = match[1], match[2]
            for word, value in self.words.items():
                name = name.replace(word, value)
            source = next(p for p in (folder / name, resources.TEMPLATES / name) if p.is_file())
            lines = self._text(source, folder).splitlines()
            return "\n".join(indent + line if line else line for line in lines)

        text = re.sub(r'^( *)#% include "([^"]+)"$', put, text, flags=re.MULTILINE)
        if path.parent.name == "jobs":
            text = _STEP.sub(lambda step: step[0].replace("<action>", step["action"]), text)
            text = text.replace("<job>", path.stem)
        return text

    def _own_steps(self, step: re.Match[str]) -> str:
        """The step, and around it those of the component's own."""

        if step["action"] in self.skipped:
            return ""

        def own(where: str) -> str:
            if (step["action"], where) not in self.own:
                return ""
            loop = f'#% for step in plan.action("{step["action"]}").{where}', '#% include "steps/own.yml"', "#% endfor"
            return "".join(f"{step['indent']}{line}\n" for line in loop)

        return f"{own('before')}{step[0]}{own('after')}"


# A step that does a DPRA action, with the comments above it.
_STEP = re.compile(
    r"^(?P<indent> *)(?:# .*\n(?P=indent))*- id: (?P<action>\S+)\n(?:(?P=indent)  .*\n|\n)*", re.MULTILINE
)


class _Compiled(jinja2.BytecodeCache):
    """Templates as an earlier run compiled them. Jinja2 compares the source; the name stands for all else."""

    def __init__(self, *others: str) -> None:
        code = b"".join(Path(module.__file__ or "").read_bytes() for module in (scalar, sys.modules[__name__]))
        self.others = hashlib.sha256(repr((others, jinja2.__version__)).encode() + code).hexdigest()

    def _name(self, bucket: jinja2.bccache.Bucket) -> str:
        return f"{self.others[:16]}-{bucket.key}"

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        if content := resources.kept(self._name(bucket)):
            bucket.bytecode_from_string(content)

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        resources.keep(self._name(bucket), bucket.bytecode_to_string())


@cache
def _environment(
    finalize: Any, language: str, tool: str, own: frozenset[tuple[str, str]], skipped: frozenset[str]
) -> jinja2.Environment:
    # Not HTML: `finalize` makes each value a YAML scalar or inert Markdown.
    return jinja2.Environment(
        loader=_Loader(language, tool, own, skipped),
        bytecode_cache=_Compiled(finalize.__name__, language, tool),
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
        line_statement_prefix="#%",
        variable_start_string="<%=",
        variable_end_string="%>",
        block_start_string="<%#",
        block_end_string="#%>",
        comment_start_string="<#",
        comment_end_string="#>",
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )


class _Hole(str):
    """Already a scalar, perhaps with a comment behind it."""


def _yaml(value: Any) -> Any:
    if isinstance(value, str) and "\n" in value and not isinstance(value, _Hole):
        kind = "E" if isinstance(value, Expression) else "T"
        return f"\0{kind}{json.dumps(value)}\0"  # _lines knows the indentation
    return value if isinstance(value, (_Hole, jinja2.Undefined)) else scalar.yaml(value)


def _lines(text: str) -> str:
    """Gives each value of several lines its place: a block literal where that is safe, else a quoted scalar."""

    def put(match: re.Match[str]) -> str:
        value = json.loads(match[5])
        value = Expression(value) if match[4] == "E" else scalar.github(value)
        indent = match[1] + " " * len(match[2] or "")
        block = scalar.block(indent, value)
        return f"{match[1]}{match[2] or ''}{match[3]}{block or scalar.yaml(scalar.Raw(value))}"

    return re.sub(r"^( *)(- )?([^\0\n]*)\0([ET])(.*)\0$", put, text, flags=re.MULTILINE)


def _markdown(value: Any) -> Any:
    return value if isinstance(value, (_Hole, jinja2.Undefined)) else scalar.markdown(value)


def _json(value: Any) -> Any:
    return value if isinstance(value, jinja2.Undefined) else json.dumps(value)


_FINALIZE = {".md": _markdown, ".json": _json}


def _granted(permission: Permission) -> _Hole:
    return _Hole(f"{permission.access} # {scalar.comment(permission.reason)}")


def _pin(action: str) -> _Hole:
    pin = resources.data("pins.yml")[action]
    return _Hole(f"{action}@{pin['sha']} # {pin['tag']}")


def _logical_id(role: str) -> str:
    return role.title().replace("-", "") + "Role"


def _deploying(plan: Plan, stage: str) -> str:
    """The role that deploys in a stage's account; empty where none does."""
    return next((role for role, duty in plan.catalogue.stage(stage).roles.items() if duty == "deploy"), "")


def _arns(plan: Plan, stage: str, start: str, names: Iterable[str], end: str = "") -> _Hole:
    """The ARNs of what has these names in a stage's account; in IAM one of any region is one of all of them."""
    filled = [plan.filled(name, stage).replace("{region}", "*") for name in names]
    subs = [f"!Sub {scalar.yaml(f'arn:${{AWS::Partition}}:{start}{name}{end}')}" for name in filled]
    return _Hole(subs[0] if len(subs) == 1 else f"[{', '.join(subs)}]")


def _render(plan: Plan, template: str) -> str:
    name, _, stage = template.partition(":")
    finalize = _FINALIZE.get(Path(name).suffix, _yaml)
    own = {
        (name, where) for name, of in plan.spec.actions.items() for where in ("before", "after") if getattr(of, where)
    }
    workflow = Path(name).stem
    skipped = plan.spec.hotfix.skip if workflow == HOTFIX else ()
    environment = _environment(finalize, plan.spec.language, plan.deploys_with, frozenset(own), frozenset(skipped))
    values: dict[str, Any] = {
        "plan": plan,
        "spec": plan.spec,
        "stage": plan.catalogue.stage(stage) if stage else None,
        "workflow": workflow,
        "pin": _pin,
        "granted": _granted,
        "limit": lambda stage: plan.catalogue.stage(stage).limit,
        "account": lambda stage: plan.spec.environments[stage].account,
        "boundary": lambda stage: plan.spec.environments[stage].permissions_boundary,
        "regions": plan.regions,
        "role": lambda stage, environment: planning.role_arn(plan, stage, environment),
        "role_name": lambda environment: planning.role_name(plan, environment),
        "execution_role": lambda stage: planning.role_arn(plan, stage, f"{stage}-execution"),
        "key_alias": planning.key_alias(plan),
        "reading_roles": planning.reading_roles(plan),
        "verifying_roles": planning.verifying_roles(plan),
        "deploying_accounts": list(dict.fromkeys(role.split(":")[4] for role in planning.reading_roles(plan))),
        "reads_store": planning.reads_store,
        "record": planning.record(plan) if plan.storing else "",
        "buckets": lambda stage: planning.bucket_name(plan, stage, "{region}"),
        "wave": None,
        "in_region": lambda text: scalar.Raw(f"{text} in ${{{{ matrix.region }}}}"),
        "needs": lambda job, templates, wave=None: list(
            plan.needs(job, templates if workflow != HOTFIX else _hastily(job, templates), wave)
        ),
        "bucket": lambda stage: scalar.Raw(planning.bucket_name(plan, stage, "${{ matrix.region }}")),
        "history": lambda stage: scalar.Raw(
            f"s3://{planning.bucket_name(plan, stage, '${{ matrix.region }}')}/{plan.spec.name}/performance.json"
        ),
        "logical_id": _logical_id,
        "sub": lambda text: _Hole(f"!Sub {scalar.yaml(text)}"),
        "arns": lambda start, names, end="": _arns(plan, stage, start, names, end),
        "deploying_role": _Hole(f"!GetAtt {_logical_id(_deploying(plan, stage))}.Arn") if stage else "",
        "subjects": lambda stage, role: [
            subject
            for environment in planning.github_environments(plan, stage, role)
            for subject in planning.subjects(plan.spec, environment)
        ],
        "windows": _windows(plan.spec.windows),
        "named": NAMED,
        "protections": planning.protections(plan),
        "expected": expected(plan, workflow),
        "json": json.dumps,
        "database": {k: v for k, v in planning.said_of(plan.spec.deploy.database).items() if k != "with"},
        "waivers": lambda check: json.dumps([_waiver(waiver) for waiver in plan.waivers(check)], indent=1),
        "paths": [*plan.spec.paths, "dpra.yml", ".github/**"] if plan.spec.paths else [],
        "mermaid": _Hole(planning.mermaid(plan)),
    }
    return _lines(environment.get_template(name).render(values))


def _windows(windows: Windows) -> str:
    said = {name: value for name, value in asdict(windows).items() if value}
    return json.dumps(said) if said else ""


def _waiver(waiver: Waiver) -> dict[str, str]:
    said = {"rule": waiver.rule, "path": waiver.path, "reason": waiver.reason, "owner": waiver.owner}
    return {key: value for key, value in said.items() if value} | {"until": waiver.until}


def _hastily(job: str, templates: Iterable[str]) -> list[str]:
    """What a job of the hotfix workflow waits for: no test stage and no bake is there."""
    found = ["prod" if name == "prod-bake" else name for name in templates if name not in ("beta", "gamma", "mainline")]
    return list(dict.fromkeys(found))


def expected(plan: Plan, workflow: str = "pipeline") -> str:
    """What the report expects of each action that a step does or should do, as `_lib/merge.py` reads it."""
    lines = []
    known = {action.id: action for action in plan.catalogue.actions}
    for action in plan.actions:
        if action.status == "outside-pipeline" or action.step not in ("", action.action):
            continue
        if action.status == "left-out" and action.level != "required":
            continue
        stage = plan.catalogue.stage(action.stage)
        doing = {
            name: job.regions or ("",)
            for name, job in plan.jobs.items()
            if job.stage == stage.id and action.action in plan.catalogue.steps[job.template] and action.job
        }
        for job, regions in (doing or {stage.id: ("",)}).items():
            said: dict[str, Any] = {"job": job, "action": action.action, "level": action.level}
            haste = job.startswith(("beta", "gamma", "prod-bake")) or action.action in plan.spec.hotfix.skip
            said |= {"status": "left-out" if workflow == HOTFIX and haste else action.status}
            said |= {"security": True} if known[action.action].security else {}
            for region in regions:
                lines.append(json.dumps({**said, "region": region} if region else said))
    return "".join(f"{line}\n" for line in lines)
