"""Any spec is either refused with a position or becomes a tree that lints clean; hostile text arrives as inert data."""

import json
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from dpra import catalogue, plan, render
from dpra.spec import models, reader
from hypothesis import HealthCheck, given, settings
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
        "import json, os, sys\n"
        "assert sys.argv[1] == json.load(open('expected.json'))\n"
        "assert not os.path.exists('canary')\n"
        "print('the same')\n"
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


# ---- Random specs

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(HOSTILE)
good_regions = st.lists(st.sampled_from(models.REGIONS), min_size=1, max_size=4, unique=True)
environments = st.fixed_dictionaries(
    {"account": st.from_regex(r"[0-9]{12}", fullmatch=True)}, optional={"regions": good_regions}
)
good_specs = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z][a-z0-9]{1,10}(-[a-z0-9]{1,5}){0,2}", fullmatch=True),
        "repository": st.from_regex(r"[A-Za-z0-9]{1,10}/[A-Za-z0-9._-]{3,20}", fullmatch=True),
        "regions": good_regions,
        "environments": st.fixed_dictionaries({"beta": environments, "gamma": environments, "prod": environments}),
    },
    optional={
        "trunk": st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9/_-]{0,10}[A-Za-z0-9])?", fullmatch=True),
        "actions": st.dictionaries(
            st.sampled_from(["build-code", "unit-tests", "integration-tests"]),
            st.fixed_dictionaries({"command": texts}),
        ),
        "deploy": st.fixed_dictionaries({"template": texts}),
        "owners": st.lists(texts, max_size=2),
    },
)
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
    except reader.Problems as problems:
        return str(problems).splitlines()


@given(good_specs)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_spec_is_refused_with_a_position_or_its_tree_lints_clean(spec: dict) -> None:
    made = read(spec)
    if isinstance(made, list):
        assert made
        assert all(re.match(r"dpra\.yml:\d+:\d+: .", line) for line in made), made
        return
    try:
        files = render.files(plan.make(made))
    except plan.PlanError as error:
        told = error.problems
        files = {}
    if not files:
        assert all(reader.where(json.dumps(spec).encode(), key) for key in told)
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for path in (".github/workflows/pipeline.yml", ".github/workflows/pull-request.yml"):
            text = files[path].content.decode()
            paths.append(Path(folder) / Path(path).name)
            paths[-1].write_text(text, encoding="utf-8")
            for name, action in made.actions.items():
                assert commands(text).get(name, action.command) == action.command
        done = subprocess.run(
            ["actionlint", "-ignore", "could not read", *paths], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def commands(workflow: str) -> dict[str, str]:
    """Action -> command, as GitHub would hand it over."""
    jobs = YAML(typ="safe", pure=True).load(workflow)["jobs"].values()
    return {
        step["id"]: step["with"]["command"].replace("${{ '${{' }}", "${{")
        for job in jobs
        for step in job["steps"]
        if "command" in step.get("with", {})
    }


@given(junk | good_specs.flatmap(lambda spec: junk.map(lambda value: {**spec, "deploy": value})))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_junk_is_refused_with_positions_and_never_with_a_crash(spec: object) -> None:
    made = read(spec)
    assert isinstance(made, models.Spec) or all(re.match(r"dpra\.yml:\d+:\d+: .", line) for line in made)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_bytes_are_refused_with_positions_and_never_with_a_crash(data: bytes) -> None:
    with pytest.raises(reader.Problems) as caught:
        reader.read(data, catalogue.words())
    assert all(re.match(r"dpra\.yml:\d+:\d+: .", line) for line in str(caught.value).splitlines())
