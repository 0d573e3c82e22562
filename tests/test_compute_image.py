"""The type compute-image, as a new user meets it: what `dpra new` makes, what stops it, what is promised."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems
from dpra.rehearsal import scenarios
from dpra.spec import reader
from ruamel.yaml import YAML

ROWS = scenarios.table("compute-image")


@pytest.fixture
def base(dpra: Any, needs: Any, tmp_path: Path) -> Path:
    needs("buildah", "busybox", "skopeo")
    done = dpra("new", "--no-input", "-o", tmp_path, "name=base", "pipeline=compute-image", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "base"


def test_what_is_new_is_checked_linted_and_planned_with_every_action_of_dpra(
    dpra: Any, base: Path, compute_image: Any
) -> None:
    assert dpra("check", cwd=base).returncode == 0
    templates = sorted(base.glob("infrastructure/**/*.yml"))
    for words in (
        ["actionlint"],
        ["zizmor", "--persona", "auditor", "--offline", "--quiet", "."],
        ["cfn-lint", *templates],
        ["check-jsonschema", "--schemafile", ".github/dpra.schema.json", "dpra.yml"],
        ["hadolint", "Dockerfile"],
    ):
        done = subprocess.run(words, cwd=base, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    actions = json.loads(dpra("plan", "--format", "json", cwd=base).stdout)["actions"]
    found: dict[str, set[str]] = {}
    for one in actions:
        found.setdefault(one["stage"], set()).add(one["action"])
        assert one["status"] != "left-out" or one["reason"].startswith("on demand"), one
        assert one["status"] != "left-out" or one["level"] != "required", one
    for stage, names in compute_image.items():
        assert names <= found[stage], stage
    hooks = (base / ".pre-commit-config.yaml").read_text()
    assert "secrets" in hooks
    assert "hadolint" in hooks
    assert "docker" in (base / ".github/dependabot.yml").read_text()  # the base's new digest comes as a pull request


def test_the_schema_tells_of_the_jobs_that_only_a_machine_has_and_says_so(dpra: Any, tmp_path: Path) -> None:
    words = ("schema", "--pipeline", "compute-image")
    jobs = json.loads(dpra(*words, cwd=tmp_path).stdout)["properties"]["jobs"]["properties"]
    for kinds in (("container",), ("machine",), ("machine", "packer")):
        of_kind = catalogue.words()[catalogue.folder("compute-image", *kinds)]["jobs"]
        assert set(of_kind) <= set(jobs), kinds
    [row] = re.findall(r"^\| `jobs` .*", dpra(*words, "--format", "markdown", cwd=tmp_path).stdout, re.MULTILINE)
    assert "`retire`, `sweep` where `kind` is `machine`, `retire-built` where `kind` is `machine`, " in row
    assert "`bake` where `with` is `packer`)" in row


MISSING = {
    "container": ("Dockerfile", "image.file: Dockerfile does not exist: create it, or say here which file it is"),
    "machine": (
        "components",
        "image.components: there is no component document (*.yml) in components: create one, or say here in which "
        "folder they are",
    ),
    "machine with=packer": (
        "packer",
        "image.components: there is no Packer template (*.pkr.hcl) in packer: create one, or say here in which folder "
        "they are",
    ),
}


@pytest.mark.parametrize("kind", MISSING)
def test_what_the_image_is_made_of_and_is_not_there_is_told_in_one_line(dpra: Any, tmp_path: Path, kind: str) -> None:
    values = ("name=base", "pipeline=compute-image", *f"kind={kind}".split())
    made = dpra("new", "--no-input", "-o", tmp_path, *values, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    root, (name, told) = tmp_path / "base", MISSING[kind]
    (root / name).rename(root / "other")
    for words in (["check"], ["generate"], ["rehearse", "--offline", "--only", "build"]):
        done = dpra(*words, cwd=root)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert re.fullmatch(rf"dpra\.yml:\d+:\d+: {re.escape(told)}\n", done.stderr), done.stderr


def test_no_job_that_runs_code_of_the_repository_comes_between_scan_and_store() -> None:
    """It could upload another release, or another SBOM, in place of what is scanned and signed."""
    said = reader.read((Path(__file__).parent / "specs/image.yml").read_bytes(), catalogue.words())
    for workflow in problems.planned(said).workflows.values():
        jobs = workflow.jobs

        def before(name: str, jobs: Any = jobs) -> set[str]:
            return {one for need in jobs[name].needs for one in (need, *before(need))}

        if "artifacts" in jobs:
            own = {name for name in before("artifacts") if not jobs[name].trusted}
            assert own
            assert own <= before("scan")


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (
            "products: {us-east-1: prod-abcd1234efgh5}",
            "20:14: image.products.us-east-1: no image goes to us-east-1; production has eu-west-1",
        ),
        ("file: images/base.img", "20:3: image.file: no check would look at it: call it Dockerfile"),
        ("file: Dockerfile.dockerignore", "20:3: image.file: no check would look at it"),
        ("template: infrastructure/offer.yml", "20:3: image.template: goes together with image.products"),
        ("parent: ami-0a1b2c3d", "20:3: image.parent: goes together with kind: machine"),
    ],
)
def test_what_of_an_image_nothing_would_ever_use_is_told_with_its_line(
    dpra: Any, base: Path, image: str, told: str
) -> None:
    with (base / "dpra.yml").open("a", encoding="utf-8") as spec:
        spec.write(f"  {image}\n")
    done = dpra("plan", cwd=base)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.parametrize(("said", "status"), [("", "outside-pipeline"), ("approval: false\n", "left-out")])
def test_the_approval_of_the_test_stage_is_that_of_production(dpra: Any, base: Path, said: str, status: str) -> None:
    with (base / "dpra.yml").open("a", encoding="utf-8") as spec:
        spec.write(said)
    actions = json.loads(dpra("plan", "--format", "json", cwd=base).stdout)["actions"]
    [test], [prod] = ([one for one in actions if one["action"] == name] for name in ("approval", "manual-approval"))
    assert test["status"] == status
    assert test["tool"] == prod["tool"]
    assert "<" not in test["tool"]
    assert (prod["status"], prod["reason"]) == (test["status"], test["reason"]) or not said


def test_an_image_in_a_folder_has_its_bases_moved_and_its_lines_checked_there(dpra: Any, base: Path) -> None:
    with (base / "dpra.yml").open("a", encoding="utf-8") as spec:
        spec.write("  file: images/base/Containerfile\n")
    (base / "images/base").mkdir(parents=True)
    (base / "Dockerfile").rename(base / "images/base/Containerfile")
    assert dpra("generate", cwd=base).returncode == 0
    bot = YAML(typ="safe").load(base / ".github/dependabot.yml")
    [folder] = [one["directory"] for one in bot["updates"] if one["package-ecosystem"] == "docker"]
    assert folder == "/images/base"
    hooks = YAML(typ="safe").load(base / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    [files] = [one["files"] for one in hooks if "hadolint" in one["id"]]
    assert re.search(files, "images/base/Containerfile")
    assert not re.search(files, "images/base/Containerfile.d/notes")


@pytest.mark.slow
def test_each_gate_of_the_image_blocks_by_itself(dpra: Any, base: Path) -> None:
    """A vulnerable package, a setuid file, a failing test, a base without its digest."""
    text = (base / "Dockerfile").read_text()
    before, _, user = text.rpartition("USER")
    for name, replaced, stopped in (
        ("hardening-check", f"{before}RUN chmod u+s /bin/busybox\nUSER{user}", "scan / hardening-check"),
        ("build-environment", text.replace("@sha256:7c7b", "@md5:7c7b"), "build / build-environment"),
    ):
        (base / "Dockerfile").write_text(replaced)
        done = dpra("rehearse", "--offline", "--only", "scan,image-tests", cwd=base)
        assert done.returncode == 1, name
        assert f"The pipeline stopped at: {stopped}" in done.stdout + done.stderr
    (base / "Dockerfile").write_text(text)
    (base / "tests/integration/fails").write_text("#!/bin/sh\nexit 1\n")
    (base / "tests/integration/fails").chmod(0o755)
    done = dpra("rehearse", "--offline", "--only", "image-tests", cwd=base)
    assert done.returncode == 1
    assert "The pipeline stopped at: image-tests / integration-tests" in done.stdout + done.stderr


def test_the_promises_are_those_of_images() -> None:
    assert len(ROWS) >= 12
    for keys in (["id"], ["promise"], ["plays", "first"]):
        assert len({json.dumps([row.get(key) for key in keys]) for row in ROWS}) == len(ROWS), keys
    assert all({place.partition(".")[0].partition("/")[0] for place in row["ends"]} == {"prod"} for row in ROWS)


@pytest.mark.slow
def test_every_promise_is_kept_in_every_region_of_every_wave(dpra: Any, needs: Any, tmp_path: Path) -> None:
    needs("buildah", "busybox", "skopeo")
    values = ("name=base", "pipeline=compute-image", "waves=3", "regions=eu-west-1,us-east-1,us-west-2")
    assert dpra("new", "--no-input", "-o", tmp_path, *values, cwd=tmp_path).returncode == 0
    out = tmp_path / "scenarios.json"
    done = dpra("rehearse", "--offline", "--scenario", "all", "--json", out, cwd=tmp_path / "base")
    assert done.returncode == 0, done.stdout + done.stderr
    proofs = {one["id"]: one for one in json.loads(out.read_text())["scenarios"]}
    assert list(proofs) == [row["id"] for row in ROWS]
    of_machines = {row["id"] for row in ROWS if row.get("needs", {}).get("kind") == "machine"}
    assert {name for name, one in proofs.items() if not one["applicable"]} == of_machines
    assert all(one["kept"] and not one["problems"] for one in proofs.values() if one["applicable"])
    rebuilt = proofs["a-rebuild-with-news"]["result"]
    assert len({run["commit"] for run in rebuilt["runs"]}) == 1
    assert len({run["outputs"]["build"]["digest"] for run in rebuilt["runs"]}) == 2
    same = proofs["a-rebuild-without-news"]["result"]
    assert not any(job["began"] for job in same["runs"][-1]["jobs"] if job["kind"] in ("approve", "deploy"))
