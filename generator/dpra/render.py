"""From a Plan to the text of every generated file.

A template is valid YAML with holes: `#%` line statements, `<%= … %>` for a whole scalar, and
`#% include "jobs/build.yml"`, which puts a file in at the indentation of the line. Comments with `##` are for the
reader of the template, those with `#` for the reader of the workflow, too.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from dpra import catalogue, resources, scalar
from dpra import plan as planning
from dpra.plan import Plan
from dpra.spec.schema import schema

HEADER = "Made by dpra from dpra.yml. To change it, change dpra.yml and run: dpra generate"
VENDORED = ".github/actions/dpra"
SCHEMA = ".github/dpra.schema.json"


@dataclass(frozen=True)
class File:
    """A generated file. `block`: only the part between dpra's two marker lines is dpra's, the rest is the user's."""

    content: bytes
    block: bool = False


def files(plan: Plan) -> dict[str, File]:
    """Every generated file of a plan, by its path in the repository."""
    found = {}
    for template, target in _templates(plan):
        text = _render(plan, template)
        found[target] = File(_with_header(target, text).encode())
    if plan.spec.owners:
        found[".github/CODEOWNERS"] = File(_code_owners(plan).encode(), block=True)
    found[SCHEMA] = File((json.dumps(schema(catalogue.words()[plan.spec.pipeline]), indent=2) + "\n").encode())
    used = {name for file in found.values() for name in re.findall(rf"{VENDORED}/([a-z-]+)", file.content.decode())}
    for name in sorted(used | {"_lib"}):
        folder = resources.PACK / name
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                target = f"{VENDORED}/{path.relative_to(resources.PACK).as_posix()}"
                found[target] = File(path.read_bytes())
    return dict(sorted(found.items()))


def _templates(plan: Plan) -> Iterator[tuple[str, str]]:
    """Each template with the path of the file that it makes."""
    for name in ("pipeline.yml", "pull-request.yml"):
        yield f"{plan.spec.pipeline}/{name}", f".github/workflows/{name}"
    for stage in plan.catalogue.environments:
        yield f"infrastructure/roles.yml:{stage}", f"infrastructure/dpra/{stage}.yml"
    yield "infrastructure/store.yml", "infrastructure/dpra/store.yml"
    # templates/repository/ lies as the repository does.
    for path in sorted((resources.TEMPLATES / "repository").rglob("*")):
        if path.is_file():
            name = path.relative_to(resources.TEMPLATES / "repository").as_posix()
            yield f"repository/{name}", name


def _with_header(path: str, text: str) -> str:
    if path.endswith(".md"):
        return f"<!-- {HEADER} -->\n{text}"
    return text if path.endswith(".json") else f"# {HEADER}\n{text}"


def _code_owners(plan: Plan) -> str:
    owners = " ".join(plan.spec.owners)
    deciding = ("/dpra.yml", "/.github/", "/.gitleaksignore", "/infrastructure/dpra/")
    return "# What decides is not editable by what it judges.\n" + "".join(f"{path} {owners}\n" for path in deciding)


# ---- Jinja2


class _Loader(jinja2.BaseLoader):
    """Templates by their path in `templates/`, with includes put in place before Jinja2 sees them."""

    def __init__(self, language: str) -> None:
        self.language = language

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Any]:
        path = resources.TEMPLATES / template
        return self._text(path, path.parent), str(path), lambda: True

    def _text(self, path: Path, folder: Path) -> str:
        def put(match: re.Match[str]) -> str:
            indent, name = match[1], match[2].replace("<language>", self.language)
            source = next(p for p in (folder / name, resources.TEMPLATES / name) if p.is_file())
            lines = self._text(source, folder).splitlines()
            return "\n".join(indent + line if line else line for line in lines)

        text = path.read_text(encoding="utf-8")
        if path.suffix == ".yml":
            text = re.sub(r"^ *##.*\n", "", text, flags=re.MULTILINE)
        return re.sub(r'^( *)#% include "([^"]+)"$', put, text, flags=re.MULTILINE)


@cache
def _environment(finalize: Any, language: str) -> jinja2.Environment:
    # Not HTML: `finalize` makes each value a YAML scalar or inert Markdown.
    return jinja2.Environment(
        loader=_Loader(language),
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
        return f"\0{json.dumps(value)}\0"  # _lines knows the indentation
    return value if isinstance(value, (_Hole, jinja2.Undefined)) else scalar.yaml(value)


def _lines(text: str) -> str:
    """Gives each value of several lines its place: a block literal where that is safe, else a quoted scalar."""

    def put(match: re.Match[str]) -> str:
        value = json.loads(match[4])
        indent = match[1] + " " * len(match[2] or "")
        block = scalar.block(indent, scalar.github(value))
        return f"{match[1]}{match[2] or ''}{match[3]}{block or scalar.yaml(value)}"

    return re.sub(r"^( *)(- )?([^\0\n]*)\0(.*)\0$", put, text, flags=re.MULTILINE)


def _markdown(value: Any) -> Any:
    return value if isinstance(value, (_Hole, jinja2.Undefined)) else scalar.markdown(value)


def _pin(action: str) -> _Hole:
    pin = resources.data("pins.yml")[action]
    return _Hole(f"{action}@{pin['sha']} # {pin['tag']}")


def _render(plan: Plan, template: str) -> str:
    name, _, stage = template.partition(":")
    environment = _environment(_markdown if name.endswith(".md") else _yaml, plan.spec.language)
    values: dict[str, Any] = {
        "plan": plan,
        "spec": plan.spec,
        "stage": plan.catalogue.stage(stage) if stage else None,
        "pin": _pin,
        "limit": lambda stage: plan.catalogue.stage(stage).limit,
        "account": lambda stage: plan.spec.environments[stage].account,
        "regions": plan.regions,
        "role": lambda stage, environment: planning.role_arn(plan, stage, environment),
        "role_name": lambda environment: planning.role_name(plan, environment),
        "execution_role": lambda stage: planning.role_arn(plan, stage, f"{stage}-execution"),
        "bucket": lambda stage: scalar.Raw(planning.bucket_name(plan, stage, "${{ matrix.region }}")),
        "logical_id": lambda environment: environment.title().replace("-", "") + "Role",
        "sub": lambda text: _Hole(f"!Sub {scalar.yaml(text)}"),
        "subjects": lambda environment: planning.subjects(plan.spec, environment),
        "expected": _expected(plan),
        "mermaid": _Hole(planning.mermaid(plan)),
    }
    return _lines(environment.get_template(name).render(values))


def _expected(plan: Plan) -> str:
    """What the report expects, a line each: job, action, level and, where it runs once in each region, region."""
    lines = []
    for stage in plan.catalogue.stages:
        levels = {action.id: action.level for action in stage.actions}
        for job in stage.jobs:
            regions = plan.regions(stage.id) if job in plan.catalogue.by_region else ("",)
            steps = [step for step in plan.catalogue.steps[job] if step in levels]
            lines += [f"{job} {step} {levels[step]} {region}".rstrip() for step in steps for region in regions]
    return "".join(f"{line}\n" for line in lines)
