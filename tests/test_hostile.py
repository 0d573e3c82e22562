"""Any spec is either refused with a position or becomes a tree that lints clean; hostile text arrives as inert data."""

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, deployers, problems, render
from dpra.spec import models, reader
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

HOSTILE = [
    "'; touch canary; '",
    '"; touch canary; "',
    "$(touch canary) `touch canary` ${HOME} $HOME",
    "${{ github.token }} ${{ secrets.GITHUB_TOKEN }}",
    "${{ '${{' }} }} ${{ toJSON(github) }}",
    "a\nb\n  c\n\n- d: e #f",
    "::set-output name=digest::x\n::error::x\n::stop-commands::x",
    "!!python/object/apply:os.system ['touch canary'] &a *a <<",
    "line\u2028paragraph\u2029next\x85end",
    "\U0001f600 é ع \u202e reversed",
    "%0A::error::x",
    "<%= spec %> {{ 7 * 7 }} {% raw %} #% if",
    "trailing space \n tab\t",
    "x" * 10_000,
]


@pytest.mark.slow
def test_hostile_text_reaches_a_command_and_a_file_name_as_it_is(dpra, new_repository, tmp_path) -> None:
    root = tmp_path / "shop"
    shutil.copytree(new_repository, root)
    text = "\n".join(HOSTILE)
    (root / "expected.json").write_text(json.dumps(text))
    (root / "compare.py").write_text(
        "import json\nimport sys\nfrom pathlib import Path\n\n"
        'assert sys.argv[1] == json.loads(Path("expected.json").read_text())\n'
        'assert not Path("canary").exists()\n'
        'print("the same")\n'
    )
    name = 'infrastructure/it\'s "${{ github.token }}" `touch canary` $(touch canary) \u2028;.yml'
    shutil.move(root / "infrastructure/template.yml", root / name)
    yaml = YAML()
    spec = yaml.load(root / "dpra.yml")
    spec["actions"] = {"build-code": {"command": f"python compare.py {shlex.quote(text)}"}}
    spec["deploy"] = {"template": name}
    yaml.dump(spec, root / "dpra.yml")
    assert dpra("generate", cwd=root).returncode == 0
    subprocess.run(["actionlint"], cwd=root, check=True)
    done = dpra("rehearse", "--offline", "--only", "build", "--json", tmp_path / "out.json", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    [job] = [job for job in json.loads((tmp_path / "out.json").read_text())["jobs"] if job["job"] == "build"]
    results = {step["id"]: step["result"] for step in job["steps"]}
    assert results["build-code"] == results["package-and-store-artifacts"] == "success"


# ---- Random specs: any value of each kind, as the models name them

Words = Mapping[str, Mapping[str, Any]]  # those of a pipeline type
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(HOSTILE)
# What is the user's to get right, and actionlint's to judge.
GOOD = {
    models.CRON: st.sampled_from(["0 4 * * 1-5", "*/15 8-18 * * MON", "59 23 31 12 *"]),
    models.TIMEZONE: st.sampled_from(["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"]),
    models.EXPRESSION: texts.filter(lambda text: "${{" not in text)
    | st.sampled_from(["${{ github.sha }}", "a ${{ runner.os }}: b # c", "${{ secrets.TOKEN }}\n${{ env.HOME }}"]),
    models.COMMAND: texts,
    models.PATH: texts | st.from_regex(models.PATH.pattern, fullmatch=True),
    models.LINE: texts,
    models.LABEL: st.sampled_from(["ubuntu-24.04", "ubuntu-24.04-arm", "self-hosted", "our big runner"]),
    models.OWNER: texts | st.from_regex(models.OWNER.pattern, fullmatch=True),
    models.REPOSITORY: st.from_regex(r"[A-Za-z0-9]{1,10}/[A-Za-z0-9._-]{3,20}", fullmatch=True),
    models.NAME: st.from_regex(r"[a-z][a-z0-9]{1,10}(-[a-z0-9]{1,5}){0,2}", fullmatch=True),
    models.TOOL: st.sampled_from(["bandit", "gitleaks", "npm", "pip"]),
}
IF = st.sampled_from(["always()", "failure() && github.ref_name == 'main'", "${{ !cancelled() }}"])
regions = st.lists(st.sampled_from(models.PARTITIONS["aws"]), min_size=1, max_size=4, unique=True)


def values(kind: object, words: Words, takes: tuple[str, ...] | None = None) -> st.SearchStrategy:
    """Any value of a kind, in a type's words; of a model with `takes` only those keys."""
    match kind:
        case models.Text():
            if kind in GOOD:
                return GOOD[kind]
            return st.from_regex(kind.pattern, fullmatch=True).filter(lambda text: len(text) <= kind.longest)
        case models.Number(least, most):
            return st.integers(least, most or 10**12)
        case models.Flag():
            return st.booleans()
        case models.Choice(of):
            return regions.map(lambda some: some[0]) if of is models.REGIONS else st.sampled_from(of)
        case models.Target():
            return values(models.TARGETS["region"], words)
        case models.Word(name):
            return st.sampled_from(sorted(words[name]))
        case models.ListOf(item, least, or_one):
            found = st.lists(values(item, words), min_size=least, max_size=3, unique_by=json.dumps)
            return found | values(item, words) if or_one else found
        case models.MapOf(models.Text() as key, item):
            return st.dictionaries(values(key, words), values(item, words), max_size=2)
        case models.MapOf(str() as name, item, all_required):
            each = {word: values(item, words, of) for word, of in words[name].items()}
            if all_required:
                return st.fixed_dictionaries(each)
            return st.lists(st.sampled_from(sorted(each)), max_size=2, unique=True).flatmap(
                lambda some: st.fixed_dictionaries({word: each[word] for word in some})
            )
        case models.Model(models.Step):
            return any_step
        case models.Model(models.Deploy):
            return st.sampled_from([*words["deployers"]]).flatmap(lambda tool: deploys(tool, words))
        case models.Model(model):
            return keys(model, words, takes)
    raise TypeError(kind)


def keys(
    model: type, words: Words, takes: tuple[str, ...] | None = None, without: tuple[str, ...] = ()
) -> st.SearchStrategy:
    required, optional = {}, {}
    for field in dataclasses.fields(model):
        name = models.name_of(field)
        if name in without or (takes is not None and name not in takes):
            continue
        if field.metadata["by_type"] and name not in words["keys"]:
            continue
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        (required if needed else optional)[name] = IF if name == "if" else values(field.metadata["kind"], words)
    return st.fixed_dictionaries(required, optional=optional)


any_step = st.one_of(
    st.tuples(keys(models.Step, {}, without=("uses", "run", "with")), values(models.COMMAND, {})).map(
        lambda parts: {**parts[0], "run": parts[1]}
    ),
    st.tuples(keys(models.Step, {}, without=("uses", "run", "working-directory")), values(models.USES, {})).map(
        lambda parts: {**parts[0], "uses": parts[1]}
    ),
)


def deploys(tool: str, words: Words) -> st.SearchStrategy:
    """How a tool deploys: with its own settings, not another's."""
    others = [word for word in deployers.every() if word != tool] + ["with", tool]
    optional = ("template",) if not deployers.every()[tool].template else ()
    optional += ("stack",) if deployers.every()[tool].deploys != "stacks" or tool == "cdk" else ()
    said = keys(models.Deploy, words, without=(*others, *optional)).map(lambda found: {**found, "with": tool})
    own = {models.name_of(field): field.metadata["kind"] for field in dataclasses.fields(models.Deploy)}
    if tool not in own:
        return said
    return st.tuples(said, values(own[tool], words)).map(lambda both: {**both[0], tool: both[1]})


TESTS = ("integration-tests", "acceptance-tests", "synthetic-tests")
ALARMS = ["shop-errors", "it's ${{ github.token }} `touch canary` $(touch canary)"]


def fitting(spec: dict) -> dict:
    """The spec with one account each, alarms where some are looked at, an image where ECS deploys, commands where no
    language brings them, and nothing of what its profile leaves out."""
    pipeline, of = spec["pipeline"], {}
    words = catalogue.words()[pipeline]
    tool = spec.get("deploy", {}).get("with", next(iter(words["deployers"])))
    without = words["profiles"][spec.get("profile", "standard")]
    spec = {**spec, "environments": {name: one for name, one in spec["environments"].items() if name not in without}}
    stages = catalogue.load(pipeline, spec.get("profile", "standard")).actions
    never = {one.id for one in stages if one.left_out} - {one.id for one in stages if not one.left_out}
    for key in {"jobs", "actions"} & spec.keys():
        spec[key] = {name: one for name, one in spec[key].items() if name not in {*without, *never}}
    for number, (name, one) in enumerate(spec["environments"].items(), 1):
        asked = name in ("gamma", "prod") and (deployers.every()[tool].deploys != "stacks" or "alarms" in one)
        kept = {key: value for key, value in one.items() if key != "alarms"}
        of[name] = {**kept, "account": f"{number}{one['account'][1:]}", **({"alarms": ALARMS} if asked else {})}
    if spec.get("language", next(iter(words["languages"]))) == "none":
        said = spec.get("actions", {})
        spec["actions"] = {**said, **{name: {"command": "./test", **said.get(name, {})} for name in TESTS}}
    return {**spec, "environments": of, **({"language": "container"} if tool == "ecs" else {})}


def good_specs(pipeline: str) -> st.SearchStrategy:
    said = keys(
        models.Spec, catalogue.words()[pipeline], without=("pipeline", "unmanaged", "repository-id", "owner-id")
    )
    return said.map(lambda spec: fitting({**spec, "pipeline": pipeline}))


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def read(spec: object) -> models.Spec | list[str]:
    """The spec, or its problems."""
    text = json.dumps(spec, ensure_ascii=True)
    text = re.sub(r"(\\ud[89ab]..)(\\ud[c-f]..)", lambda m: json.loads(f'"{m[0]}"'), text)  # YAML joins no halves
    try:
        return reader.read(text.encode("utf-8"), catalogue.words())
    except reader.Problems as wrong:
        return str(wrong).splitlines()


@pytest.mark.parametrize(
    "pipeline",
    [pytest.param(name, marks=() if name == "application" else pytest.mark.slow) for name in catalogue.types()],
)
@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_spec_is_refused_with_a_position_or_its_tree_lints_clean(pipeline: str, data: st.DataObject) -> None:
    """`make thorough` runs it with 10,000 specs; CONTRIBUTING.md says what the last such run found."""
    spec = data.draw(good_specs(pipeline))
    made = read(spec)
    if isinstance(made, list):
        event("refused by the reader")
        assert made
        assert all(re.match(r"dpra\.yml:\d+:\d+: .", line) for line in made), made
        return
    wrong: Mapping[str, str] = {}
    try:
        files = render.files(problems.planned(made))
    except problems.PlanError as error:
        wrong = error.problems
    if wrong:
        event("refused by the plan")
        assert all(reader.where(json.dumps(spec).encode(), key) for key in wrong)
        return
    event("generated")
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for path in (".github/workflows/pipeline.yml", ".github/workflows/pull-request.yml"):
            text = files[path].content.decode()
            paths.append(Path(folder) / Path(path).name)
            paths[-1].write_text(text, encoding="utf-8")
            says_what_the_spec_says(made, text)
        done = subprocess.run(LINT + paths, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


# What a user's own words may do wrong is not what is looked for here: labels and local actions that nobody has.
LINT: list[str | Path] = ["actionlint", "-ignore", "could not read", "-ignore", 'label ".+" is unknown']


def says_what_the_spec_says(spec: models.Spec, workflow: str) -> None:
    """Every text of the spec, as GitHub would hand it over: to a command, a variable, an input or a step's name."""
    for job in YAML(typ="safe", pure=True).load(workflow)["jobs"].values():
        for index, step in enumerate(job["steps"]):
            action = spec.actions.get(step.get("id", ""), models.Action())
            if action.command:
                assert arrives(step["with"]["command"]) == action.command
                assert step.get("env", {}) == {**spec.env, **action.env}
            own = [*zip(job["steps"][index - len(action.before) : index], action.before, strict=True)]
            own += zip(job["steps"][index + 1 : index + 1 + len(action.after)], action.after, strict=True)
            for made, said in own:
                env = made.get("env", {})
                assert arrives(made["name"]) == said.name
                assert arrives(env.pop("DPRA_COMMAND", "")) == said.run
                assert env == ({**spec.env, **said.env} if said.run else said.env)
                assert made.get("with", {}) == said.with_
                assert made.get("if", "") == said.if_
                assert arrives(made.get("working-directory", "")) == said.working_directory


def arrives(text: str) -> str:
    """A text without expressions, as it is after GitHub evaluated those that stand for its own `${{`."""
    return text.replace("${{ '${{' }}", "${{")


@given(
    junk
    | st.sampled_from(catalogue.types())
    .flatmap(good_specs)
    .flatmap(lambda spec: junk.map(lambda value: {**spec, "deploy": value}))
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_junk_is_refused_with_positions_and_never_with_a_crash(spec: object) -> None:
    made = read(spec)
    assert isinstance(made, models.Spec) or all(re.match(r"dpra\.yml:\d+:\d+: .", line) for line in made)


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_bytes_are_refused_with_positions_and_never_with_a_crash(data: bytes) -> None:
    with pytest.raises(reader.Problems) as caught:
        reader.read(data, catalogue.words())
    assert all(re.match(r"dpra\.yml:\d+:\d+: .", line) for line in str(caught.value).splitlines())
