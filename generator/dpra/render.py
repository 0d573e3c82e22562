"""From a Plan to the text of every generated file.

A template is valid YAML with holes: `#%` line statements, `<%= … %>` for a whole scalar, and
`#% include "jobs/build.yml"`, which puts a file in at the indentation of the line: the pipeline type's own, or else the
one that all types share. With `#% include "jobs/*.yml" by job.template` it is the one of that name. In what it puts in,
`<language>`, `<tool>` (the deploy tool) and `<action>` stand for those of the place. Comments with `##` are for the
reader of the template, those with `#` for the reader of the workflow, too. `View` has the names that a template knows.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from dpra import actions, catalogue, evidence, pack, resources, scalar
from dpra.dataclasses import dataclass
from dpra.names import EXPECTED, INFRASTRUCTURE, SCHEMA, VENDORED
from dpra.plan import Plan
from dpra.problems import PlanError
from dpra.spec.models import Expression
from dpra.spec.schema import schema
from dpra.view import NAMES, Template, View

HEADER = "Made by dpra from dpra.yml. To change it, change dpra.yml and run: dpra generate"
APPROVAL = "approval"  # the ruleset of the branch that approves


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
    found, used = {}, set[str]()
    for template in _templates(plan):
        text = _render(plan, template, used)
        found[template.target] = File(_with_header(template.target, text).encode())
    if plan.spec.owners:
        found[".github/CODEOWNERS"] = File(_code_owners(plan).encode(), block=True)
    found[SCHEMA] = File(_schema(plan.catalogue.folder))
    found[EXPECTED] = File(_promised(evidence.expected(plan)).encode())
    tools = {tool for chosen in plan.tools.values() for tool in chosen}
    if not plan.spec.pack:
        for path, content in pack.files(used, tools, plan.deploy_files, plan.commands.values()).items():
            found[f"{VENDORED}/{path}"] = File(content)
    if strange := [path for path in plan.spec.unmanaged if path not in found]:
        raise PlanError({"unmanaged": f"dpra does not generate {', '.join(strange)}"})
    return {path: file for path, file in sorted(found.items()) if path not in plan.spec.unmanaged}


def infrastructure(plan: Plan) -> dict[str, str]:
    """The CloudFormation templates of the accounts, by their path in the repository; the unmanaged ones, too."""
    return {
        template.target: _with_header(template.target, _render(plan, template, set()))
        for template in _infrastructure(plan)
    }


def targets(plan: Plan) -> dict[str, bool]:
    """Where the templates' files go: each path, and whether a component may have its own there."""
    return {
        one.target: one.path.endswith(f"repository/{one.target}") and not one.target.startswith(f"{VENDORED}/")
        for one in _templates(plan)
    }


def _promised(expected: Mapping[str, Iterable[Any]]) -> str:
    """JSON with a line for each action: with an indentation Python would write it in Python, and slowly."""
    parts = []
    for name, those in expected.items():
        lines = ",\n".join(map(json.dumps, those))
        parts.append(f"{json.dumps(name)}: [\n{lines}\n]")
    return "{" + ",\n".join(parts) + "}\n"


@cache
def _schema(folder: str) -> bytes:
    found = schema(catalogue.words()[folder])
    name = f"{hashlib.sha256(json.dumps(found).encode()).hexdigest()}-indented.json"
    return resources.once(name, lambda: (json.dumps(found, indent=2) + "\n").encode())  # in pure Python, and so slow


def _templates(plan: Plan) -> Iterator[Template]:
    for workflow in plan.workflows.values():
        path = catalogue.found(plan.catalogue.folder, f"workflows/{workflow.id}.yml")
        yield Template(path, f".github/workflows/{workflow.id}.yml", workflow=workflow)
    yield from _infrastructure(plan)
    for folder in ("repository", f"{plan.spec.pipeline}/repository"):  # they lie as the repository does
        for name in resources.below(resources.TEMPLATES / folder):
            left_out = plan.spec.pack and name.startswith(f"{VENDORED}/")
            if not left_out and (plan.approval_branch or Path(name).stem != APPROVAL):
                yield Template(f"{folder}/{name}", name)


def _infrastructure(plan: Plan) -> Iterator[Template]:
    """The trust of each environment, and what stands in its regions."""
    for where in plan.environments.values():
        yield Template("infrastructure/roles.yml", infrastructure_file(where.id), environment=where)
    for name in dict.fromkeys(name for where in plan.environments.values() for name in where.infrastructure):
        yield Template(f"infrastructure/{name}.yml", infrastructure_file(name))


def infrastructure_file(name: str) -> str:
    """The path of the template of an environment's trust, or of what stands in its regions."""
    return f"{INFRASTRUCTURE}/{name}.yml"


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


class _Names(jinja2.runtime.Context):
    """Looks a name up in the View when a template asks for it."""

    def resolve_or_missing(self, key: str) -> Any:
        if key in NAMES and key not in self.vars:
            return getattr(self.parent["view"], key)
        return super().resolve_or_missing(key)

    @staticmethod
    def call(function: Any, /, *given: Any, _loop_vars: Any = None, _block_vars: Any = None, **named: Any) -> Any:
        """A call as it is: no function here asks for Jinja2's context, and looking for one took a tenth of a spec."""
        return function(*given, **named)


@dataclass(frozen=True)
class _Place:
    """What decides how a template's text is put together."""

    folder: str
    language: str
    tool: str
    own: tuple[tuple[str, str], ...]  # what the component has around a step, as (DPRA action, before, gates or after)
    skipped: tuple[str, ...]  # DPRA actions whose steps are left out
    jobs: tuple[str, ...]  # of the workflow
    duties: tuple[str, ...]  # of the environment's roles


class _Loader(jinja2.BaseLoader):
    """Templates by their path in `templates/`, with includes put in place before Jinja2 sees them."""

    def __init__(self, place: _Place) -> None:
        self.place = place

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Any]:
        path = catalogue.found(self.place.folder, template) or template
        return self._text(path), path, lambda: True

    def _text(self, path: str) -> str:
        text = _source(path)
        job = "jobs/" in path
        if job:
            text = _STEP.sub(self._own_steps, text)
        text = _INCLUDE.sub(self._included, text)
        return _STEP.sub(lambda step: step[0].replace("<action>", step["action"]), text) if job else text

    def _included(self, line: re.Match[str]) -> str:
        indent, name, by = line["indent"], line["name"], line["by"]
        for word, value in (("<language>", self.place.language), ("<tool>", self.place.tool)):
            name = name.replace(word, value)
        if not by:
            return self._put(indent, name)
        # One of several files, by a value: a condition for each.
        among = {"jobs": self.place.jobs, "infrastructure/duties": self.place.duties}[name.partition("/*")[0]]
        conditions = [f'{indent}#% {"elif" if count else "if"} {by} == "{one}"' for count, one in enumerate(among)]
        bodies = [self._put(indent, name.replace("*", one)) for one in among]
        parts = [part for pair in zip(conditions, bodies, strict=True) for part in pair]
        return "\n".join([*parts, f"{indent}#% endif"]) if parts else ""

    def _put(self, indent: str, name: str) -> str:
        source = catalogue.found(self.place.folder, name)
        if not source:
            raise jinja2.TemplateNotFound(name)
        return "\n".join(indent + line if line else line for line in self._text(source).splitlines())

    def _own_steps(self, step: re.Match[str]) -> str:
        """The step, and around it those of the component's own and the gates."""
        if step["action"] in self.place.skipped:
            return ""

        def own(where: str) -> str:
            if (step["action"], where) not in self.place.own:
                return ""
            gates = f'#% for gate in plan.gates_in(job, "{step["action"]}")', '#% include "steps/flag.yml"'
            steps = f'#% for step in plan.own_steps(job, "{step["action"]}", "{where}")', '#% include "steps/own.yml"'
            loop = (*(gates if where == "gates" else steps), "#% endfor")
            return "".join(f"{step['indent']}{line}\n" for line in loop)

        return f"{own('before')}{own('gates')}{step[0]}{own('after')}"


_INCLUDE = re.compile(r'^(?P<indent> *)#% include "(?P<name>[^"]+)"(?: by (?P<by>[\w.]+))?$', re.MULTILINE)
# A step that does a DPRA action, with the comments above it.
_STEP = re.compile(
    r"^(?P<indent> *)(?:# .*\n(?P=indent))*- id: (?P<action>\S+)\n(?:(?P=indent)  .*\n|\n)*", re.MULTILINE
)


@cache
def _source(path: str) -> str:
    text = resources.content(resources.TEMPLATES / path).decode()
    return re.sub(r"^ *##.*\n", "", text, flags=re.MULTILINE) if path.endswith(".yml") else text


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
def _environment(finalize: Any, place: _Place) -> jinja2.Environment:
    # Not HTML: `finalize` makes each value a YAML scalar or inert Markdown.
    environment = jinja2.Environment(
        loader=_Loader(place),
        bytecode_cache=_Compiled(finalize.__name__, repr(place)),
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
    environment.context_class = _Names
    return environment


def _yaml(value: Any) -> Any:
    if isinstance(value, str) and "\n" in value and not isinstance(value, scalar.Written):
        kind = "E" if isinstance(value, Expression) else "T"
        return f"\0{kind}{json.dumps(value)}\0"  # _lines knows the indentation
    return value if isinstance(value, (scalar.Written, jinja2.Undefined)) else scalar.yaml(value)


def _lines(text: str) -> str:
    """Gives each value of several lines its place: a block literal where that is safe, else a quoted scalar."""
    if "\0" not in text:
        return text
    return "\n".join(_SEVERAL.sub(_placed, line) if "\0" in line else line for line in text.split("\n"))


_SEVERAL = re.compile(r"^( *)(- )?([^\0]*)\0([ET])(.*)\0$")


def _placed(match: re.Match[str]) -> str:
    value = json.loads(match[5])
    value = Expression(value) if match[4] == "E" else scalar.github(value)
    indent = match[1] + " " * len(match[2] or "")
    block = scalar.block(indent, value)
    return f"{match[1]}{match[2] or ''}{match[3]}{block or scalar.yaml(scalar.Raw(value))}"


def _markdown(value: Any) -> Any:
    return value if isinstance(value, (scalar.Written, jinja2.Undefined)) else scalar.markdown(value)


def _json(value: Any) -> Any:
    return value if isinstance(value, jinja2.Undefined) else json.dumps(value)


_FINALIZE = {".md": _markdown, ".json": _json}


def _render(plan: Plan, template: Template, used: set[str]) -> str:
    """The text that a template makes; what it uses of the pack is added to `used`."""
    of_workflow, of_environment = template.workflow, template.environment
    around = ("before", "gates", "after")
    own = [(name, where) for name, of in plan.spec.actions.items() for where in around if getattr(of, where)]
    place = _Place(
        folder=plan.catalogue.folder,
        language=actions.language(plan.spec, plan.catalogue),
        tool=plan.deployer.name if plan.deployer else "",
        own=tuple(sorted(own)) if of_workflow else (),
        skipped=tuple(sorted(of_workflow.skipped | plan.idle)) if of_workflow else (),
        jobs=tuple(dict.fromkeys(job.template for job in of_workflow.jobs.values())) if of_workflow else (),
        duties=tuple(dict.fromkeys(role.duty for role in of_environment.roles.values())) if of_environment else (),
    )
    environment = _environment(_FINALIZE.get(Path(template.path).suffix, _yaml), place)
    view = View(plan, template, used)
    return _lines(environment.get_template(template.path).render(view=view))
