"""Golden trees: what is generated, to read in a review; and every linter over it, over our own workflows and the pack.

`make golden` writes them anew. Of a spec that says nothing but its language, the build job alone is kept.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems, render, tree
from dpra.rehearsal import dialect
from dpra.spec import reader
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
SPECS = sorted((Path(__file__).parent / "specs").glob("*.yml"))
GOLDEN = Path(__file__).parent / "golden"
PIPELINE = ".github/workflows/pipeline.yml"
LEFT_OUT = (render.VENDORED, render.SCHEMA)  # copies of the pack; the schema has a test of its own
SAID = {path.stem: YAML(typ="safe", pure=True).load(path) for path in SPECS}
LANGUAGES = {name for name, said in SAID.items() if SAID["minimal"] | {"language": said.get("language")} == said}


def generate(spec: Path, root: Path) -> dict[str, render.File]:
    root.mkdir(exist_ok=True)
    shutil.copy(spec, root / "dpra.yml")
    data = spec.read_bytes()
    files = rendered(data)
    tree.write(root, tree.compare(root, files), files, data)
    return files


def rendered(data: bytes) -> dict[str, render.File]:
    return render.files(problems.planned(reader.read(data, catalogue.words())))


@pytest.fixture(scope="session")
def trees(once: Callable[..., Path]) -> dict[str, Path]:
    """Every spec's tree, each in a repository of its own."""

    def fill(folder: Path) -> None:
        for spec in SPECS:
            generate(spec, folder / spec.stem)
            subprocess.run(["git", "init", "--quiet"], cwd=folder / spec.stem, check=True)

    folder = once("trees", fill)
    return {spec.stem: folder / spec.stem for spec in SPECS}


@pytest.fixture(params=SPECS, ids=lambda path: path.stem)
def generated(request: pytest.FixtureRequest, trees: dict[str, Path]) -> Path:
    return trees[request.param.stem]


def golden_of(name: str, files: dict[str, render.File]) -> dict[str, str]:
    """What of a tree is kept to be compared."""
    if name in LANGUAGES:
        return {"build.yml": build_job(files[PIPELINE].content.decode())}
    return {path: file.content.decode() for path, file in files.items() if not path.startswith(LEFT_OUT)}


def build_job(workflow: str) -> str:
    """The text of the job, as it stands in the workflow."""
    [text] = re.findall(r"^  build:\n(?:(?:    .*)?\n)+", workflow.partition("\njobs:\n")[2], re.MULTILINE)
    return str(text)


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_the_generated_tree_is_the_golden_one(spec: Path) -> None:
    made = golden_of(spec.stem, rendered(spec.read_bytes()))
    golden = GOLDEN / spec.stem
    if os.environ.get("DPRA_GOLDEN") == "write":
        shutil.rmtree(golden, ignore_errors=True)
        for path, text in made.items():
            (golden / path).parent.mkdir(parents=True, exist_ok=True)
            (golden / path).write_text(text, encoding="utf-8")
    there = {p.relative_to(golden).as_posix(): p.read_text("utf-8") for p in golden.rglob("*") if p.is_file()}
    assert there == made


def test_only_specs_that_differ_in_nothing_but_their_language_are_kept_by_their_build_job() -> None:
    assert {"container", "dotnet", "go", "java", "node"} == LANGUAGES
    assert {path.name for path in GOLDEN.iterdir()} == SAID.keys()


def lint(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def workflows(root: Path) -> list[Path]:
    return sorted((root / ".github/workflows").glob("*.yml"))


def all_of(trees: dict[str, Path], pattern: str = ".github/workflows/*.yml") -> list[Path]:
    return [path for root in trees.values() for path in sorted(root.glob(pattern))]


def test_actionlint_with_shellcheck_is_content(trees: dict[str, Path], tmp_path: Path) -> None:
    lint("actionlint", *all_of(trees), cwd=tmp_path)


def test_zizmor_the_auditor_is_content(trees: dict[str, Path], tmp_path: Path) -> None:
    lint("zizmor", "--persona", "auditor", "--offline", "--quiet", *trees.values(), cwd=tmp_path)


def test_the_schemas_of_github_are_content(trees: dict[str, Path], lowered: Path) -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows(lowered), cwd=lowered)
    bots = all_of(trees, ".github/dependabot.yml")
    assert len(bots) == len(trees)
    lint("check-jsonschema", "--builtin-schema", "vendor.dependabot", *bots, cwd=lowered)


def test_the_actions_of_a_tree_are_the_packs(generated: Path) -> None:
    """Which lint clean there."""
    for path in (generated / render.VENDORED).glob("*/action.yml"):
        assert path.read_bytes() == (ROOT / ".github/actions" / path.parent.name / "action.yml").read_bytes()


@pytest.fixture(scope="session")
def lowered(once: Callable[..., Path], trees: dict[str, Path]) -> Path:
    """All workflows in one folder, without the keys that older schemas and act do not know."""

    def fill(folder: Path) -> None:
        place = folder / ".github/workflows"
        place.mkdir(parents=True)
        for name, root in trees.items():
            for path in workflows(root):
                text = dialect.lower_text(path.read_text("utf-8"))
                (place / f"{name}-{path.name}").write_text(text, encoding="utf-8")

    return once("lowered", fill)


def test_act_validates_the_lowered_copies_strictly(lowered: Path, tmp_path: Path) -> None:
    validate = ("act", "--validate", "--strict", "--workflows")
    lint(*validate, lowered / ".github/workflows", cwd=lowered)
    bad = tmp_path / "workflows"
    shutil.copytree(lowered / ".github/workflows", bad)
    (bad / "full-pipeline.yml").write_text((bad / "full-pipeline.yml").read_text() + "colour: red\n")
    assert subprocess.run([*validate, bad], cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_cfn_lint_is_content_with_the_trust(trees: dict[str, Path], tmp_path: Path) -> None:
    lint("cfn-lint", *all_of(trees, "infrastructure/dpra/*.yml"), cwd=tmp_path)


def test_githubs_language_service_is_content(trees: dict[str, Path], language_service: Any) -> None:
    assert language_service(*all_of(trees)) == []


DEAD = "if: github.event.pull_request.draft"


@pytest.mark.parametrize(
    ("old", "new", "severity", "says"),
    [
        ("run: make", "run: make ${{ nowhere.name }}", "error", "Unrecognized named-value: 'nowhere'"),
        ("run: make", f"run: make\n        {DEAD}", "warning", "Context access might be invalid: pull_request"),
        ("uses: $/.github/actions/greet", "uses: $/.github/actions/part", "error", "Unable to resolve action"),
        ("name: me", "nom: me", "error", "Invalid action input 'nom'"),
        ("using: composite", "using: hope", "error", "Unexpected value 'hope'"),
    ],
    ids=["undefined", "dead", "missing", "input", "action"],
)
def test_githubs_language_service_finds_what_is_wrong(
    language_service: Any, tmp_path: Path, old: str, new: str, severity: str, says: str
) -> None:
    sources = {
        tmp_path / ".github/workflows/sample.yml": """\
on: push
jobs:
  sample:
    runs-on: ubuntu-24.04
    steps:
      - run: make
      - uses: $/.github/actions/greet
        with:
          name: me
""",
        tmp_path / ".github/actions/greet/action.yml": """\
name: Greet
description: Says hello
inputs:
  name: {description: Whom, required: true}
runs:
  using: composite
  steps: []
""",
    }
    for path, text in sources.items():
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert language_service(*sources) == []
    for path, text in sources.items():
        path.write_text(text.replace(old, new))
    assert any(one["severity"] == severity and says in one["message"] for one in language_service(*sources))


def test_the_schema_that_is_generated_accepts_every_spec_and_refuses_what_the_reader_refuses(
    trees: dict[str, Path], tmp_path: Path
) -> None:
    def of(said: dict[str, Any]) -> tuple[str, ...]:
        """The pipeline type, the kind of its image, and what makes that: each may have jobs of its own."""
        image = said.get("image", {})
        return said.get("pipeline", "application"), image.get("kind", "container"), image.get("with", "")

    for kind in {of(said) for said in SAID.values()}:
        there = [tree for name, tree in trees.items() if of(SAID[name]) == kind]
        [schema] = {(tree / render.SCHEMA).read_bytes() for tree in there}
        (tmp_path / "schema.json").write_bytes(schema)
        command = ("check-jsonschema", "--schemafile", tmp_path / "schema.json")
        lint(*command, *(tree / "dpra.yml" for tree in there), cwd=tmp_path)
        bad = tmp_path / "dpra.yml"
        bad.write_text((there[0] / "dpra.yml").read_text() + "colour: red\n")
        assert subprocess.run([*command, bad], check=False).returncode == 1


OWN_ACTIONS = [ROOT / "action.yml", *sorted((ROOT / ".github/actions").glob("*/action.yml"))]


def test_githubs_language_service_is_content_with_our_own_workflows_and_the_pack(language_service: Any) -> None:
    assert language_service(*workflows(ROOT), *OWN_ACTIONS) == []


def test_our_own_workflows_and_the_pack_lint_clean() -> None:
    lint("actionlint", *workflows(ROOT), cwd=ROOT)
    lint("zizmor", "--persona", "auditor", "--offline", "--quiet", ".github", "action.yml", cwd=ROOT)
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows(ROOT), cwd=ROOT)
    assert len(OWN_ACTIONS) > 13
    lint("check-jsonschema", "--builtin-schema", "vendor.github-actions", *OWN_ACTIONS, cwd=ROOT)


ISSUES = ("base", "close", "close-request", "drift")  # jobs that tell by one


def test_a_job_has_a_timeout_and_its_own_permissions(generated: Path) -> None:
    for path in workflows(generated):
        workflow = YAML(typ="safe", pure=True).load(path)
        assert workflow["permissions"] == {}
        for name, job in workflow["jobs"].items():
            assert job["timeout-minutes"] > 0, name
            own = {"packages"} if generated.name == "outlets" else set()
            assert set(job["permissions"]) - own <= {
                "contents",
                "id-token",
                *(["security-events", "actions"] if "upload-sarif" in str(job["steps"]) else []),
                *(["attestations"] if name == "artifacts" else []),
                *(["issues"] if name.endswith("follow-up") or name in ISSUES else []),
                *(["pull-requests"] if name == "requests" else []),
                *(["actions"] if name in ("beta", "gamma", "resume", "resume-bake") else []),
                *(["checks", "pull-requests"] if (generated.name, name) == ("waves", "security") else []),
            }, name
            assumes = any({"role", "role-to-assume"} & step.get("with", {}).keys() for step in job["steps"])
            assert assumes == ("id-token" in job["permissions"]), name
            for step in job["steps"]:
                if "checkout" in step.get("uses", ""):
                    assert step["with"]["persist-credentials"] in (False, "false")  # a step of the spec's has texts


def test_a_pull_request_needs_no_secret_and_no_token(generated: Path) -> None:
    text = (generated / ".github/workflows/pull-request.yml").read_text()
    assert "secrets." not in text
    assert "id-token" not in text
    assert "environment:" not in text


def test_every_generated_file_that_can_says_what_made_it(generated: Path) -> None:
    lock = json.loads((generated / ".github/dpra.lock").read_text())
    for path, entry in lock["files"].items():
        if not path.startswith(render.VENDORED) and not path.endswith(".json") and not entry.get("block"):
            assert render.HEADER in (generated / path).read_text("utf-8").splitlines()[0], path
