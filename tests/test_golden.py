"""Golden trees: what is generated, to read in a review; and every linter over it, over our own workflows and the pack.

`make golden` writes them anew.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dpra import catalogue, plan, render, tree
from dpra.rehearsal import dialect
from dpra.spec import reader

ROOT = Path(__file__).parent.parent
SPECS = sorted((Path(__file__).parent / "specs").glob("*.yml"))
GOLDEN = Path(__file__).parent / "golden"
LEFT_OUT = (render.VENDORED, render.SCHEMA)  # copies of the pack; the schema has a test of its own


def generate(spec: Path, root: Path) -> dict[str, render.File]:
    root.mkdir(exist_ok=True)
    shutil.copy(spec, root / "dpra.yml")
    data = spec.read_bytes()
    files = render.files(plan.make(reader.read(data, catalogue.words())))
    tree.write(root, tree.compare(root, files), files, data)
    return files


@pytest.fixture(scope="module", params=SPECS, ids=lambda path: path.stem)
def generated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("golden") / request.param.stem
    generate(request.param, root)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_the_generated_tree_is_the_golden_one(spec: Path, tmp_path: Path) -> None:
    files = generate(spec, tmp_path / "root")
    made = {path: file.content.decode() for path, file in files.items() if not path.startswith(LEFT_OUT)}
    golden = GOLDEN / spec.stem
    if os.environ.get("DPRA_GOLDEN") == "write":
        shutil.rmtree(golden, ignore_errors=True)
        for path, text in made.items():
            (golden / path).parent.mkdir(parents=True, exist_ok=True)
            (golden / path).write_text(text, encoding="utf-8")
    there = {p.relative_to(golden).as_posix(): p.read_text("utf-8") for p in golden.rglob("*") if p.is_file()}
    assert there == made


def lint(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def workflows(root: Path) -> list[Path]:
    return sorted((root / ".github/workflows").glob("*.yml"))


def test_actionlint_with_shellcheck_is_content(generated: Path) -> None:
    lint("actionlint", *workflows(generated), cwd=generated)


def test_zizmor_the_auditor_is_content(generated: Path) -> None:
    lint("zizmor", "--persona", "auditor", "--offline", "--quiet", ".", cwd=generated)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every spec's tree, for linters that take longer to start than to lint."""
    folder = tmp_path_factory.mktemp("trees")
    for spec in SPECS:
        generate(spec, folder / spec.stem)
    return [folder / spec.stem for spec in SPECS]


def test_the_schemas_of_github_are_content(trees: list[Path]) -> None:
    root = trees[0].parent
    found = [path for tree in trees for path in workflows(lowered(tree))]
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *found, cwd=root)
    bots = [tree / ".github/dependabot.yml" for tree in trees]
    lint("check-jsonschema", "--builtin-schema", "vendor.dependabot", *bots, cwd=root)


def test_the_actions_of_a_tree_are_the_packs(generated: Path) -> None:
    """Which lint clean there."""
    for path in (generated / render.VENDORED).glob("*/action.yml"):
        assert path.read_bytes() == (ROOT / ".github/actions" / path.parent.name / "action.yml").read_bytes()


def lowered(root: Path) -> Path:
    """The workflows without the keys that older schemas and act do not know."""
    copy = root.parent / f"{root.name}-lowered"
    for path in workflows(root):
        target = copy / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dialect.lower_text(path.read_text("utf-8")), encoding="utf-8")
    return copy


def test_act_validates_the_lowered_copy_strictly(generated: Path) -> None:
    for path in workflows(lowered(generated)):
        lint("act", "--validate", "--strict", "--workflows", path, cwd=generated)


def test_cfn_lint_is_content_with_the_trust(trees: list[Path]) -> None:
    found = [path for tree in trees for path in sorted((tree / "infrastructure/dpra").glob("*.yml"))]
    lint("cfn-lint", *found, cwd=trees[0].parent)


def test_the_schema_that_is_generated_accepts_every_spec_and_refuses_what_the_reader_refuses(
    trees: list[Path], tmp_path: Path
) -> None:
    [schema] = {(tree / render.SCHEMA).read_bytes() for tree in trees}  # of the pipeline type
    (tmp_path / "schema.json").write_bytes(schema)
    command = ("check-jsonschema", "--schemafile", tmp_path / "schema.json")
    lint(*command, *(tree / "dpra.yml" for tree in trees), cwd=tmp_path)
    bad = tmp_path / "dpra.yml"
    bad.write_text((trees[0] / "dpra.yml").read_text() + "colour: red\n")
    assert subprocess.run([*command, bad], check=False).returncode == 1


def test_our_own_workflows_and_the_pack_lint_clean() -> None:
    lint("actionlint", *workflows(ROOT), cwd=ROOT)
    lint("zizmor", "--persona", "auditor", "--offline", "--quiet", ".github", "action.yml", cwd=ROOT)
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows(ROOT), cwd=ROOT)
    pack = [ROOT / "action.yml", *sorted((ROOT / ".github/actions").glob("*/action.yml"))]
    assert len(pack) > 13
    lint("check-jsonschema", "--builtin-schema", "vendor.github-actions", *pack, cwd=ROOT)


def test_a_job_has_a_timeout_and_its_own_permissions(generated: Path) -> None:
    from ruamel.yaml import YAML

    for path in workflows(generated):
        workflow = YAML(typ="safe", pure=True).load(path)
        assert workflow["permissions"] == {}
        for name, job in workflow["jobs"].items():
            assert job["timeout-minutes"] > 0, name
            own = {"packages"} if generated.name == "outlets" else set()
            assert set(job["permissions"]) - own <= {
                "contents",
                "id-token",
                *(["security-events"] if name in ("build", "security") else []),
                *(["attestations"] if name == "artifacts" else []),
                *(["issues"] if name == "follow-up" else []),
                *(["actions"] if name == "resume" else []),
                *(["checks", "pull-requests"] if (generated.name, name) == ("waves", "security") else []),
            }, name
            assumes = any("role" in step.get("with", {}) for step in job["steps"])
            assert assumes == ("id-token" in job["permissions"]), name
            for step in job["steps"]:
                if "checkout" in step.get("uses", ""):
                    assert step["with"]["persist-credentials"] is False


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
