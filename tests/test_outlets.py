"""The outlets of the spec: what a component adds is refused where it must not be, and executed where it may."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

PIPELINE = ".github/workflows/pipeline.yml"
SHA = "0123456789abcdef0123456789abcdef01234567"


def say(root: Path, text: str) -> None:
    """More of the spec; the sample's own `actions` make room."""
    spec = re.sub(r"^actions:\n(  .*\n)+", "", (root / "dpra.yml").read_text(), flags=re.MULTILINE)
    (root / "dpra.yml").write_text(spec + text, encoding="utf-8")


def rehearsed(dpra: Any, root: Path, *options: str) -> tuple[int, dict[str, list[dict[str, str]]], str]:
    """Exit code, the steps of each job, and what was printed."""
    assert dpra("generate", cwd=root).returncode == 0
    report = root.parent / "result.json"
    done = dpra("rehearse", "--offline", "--json", report, *options, cwd=root)
    jobs = {job["job"]: job["steps"] for job in json.loads(report.read_text())["jobs"]}
    return done.returncode, jobs, done.stdout + done.stderr


# ---- Refused


@pytest.mark.parametrize(
    ("said", "key", "problem"),
    [
        (
            "actions: {sast: {after: [{name: a, run: make}]}}",
            "actions.sast.after",
            "only pinned actions may stand there",
        ),
        (
            "actions: {secrets-detection: {before: [{name: a, uses: ./.github/actions/mine}]}}",
            "actions.secrets-detection.before",
            "only pinned actions may stand there",
        ),
        ("actions: {unit-tests: {before: [{name: a}]}}", "actions.unit-tests.before", "needs either uses or run"),
        (
            f"actions: {{unit-tests: {{before: [{{name: a, run: make, uses: a/b@{SHA}}}]}}}}",
            "actions.unit-tests.before",
            "needs either uses or run",
        ),
        (
            "actions: {unit-tests: {after: [{name: a, run: make, with: {b: c}}]}}",
            "actions.unit-tests.after",
            "with goes together with uses",
        ),
        (
            f"actions: {{unit-tests: {{after: [{{name: a, uses: a/b@{SHA}, working-directory: c}}]}}}}",
            "actions.unit-tests.after",
            "working-directory goes together with run",
        ),
        (
            f"jobs: {{security: {{services: {{db: {{image: 'postgres:17@sha256:{'0' * 64}'}}}}}}}}",
            "jobs.security.services",
            "no command of yours runs in this job",
        ),
        (
            "jobs: {build: {permissions: {models: {access: write, reason: ours}}}}",
            "jobs.build.permissions.models.access",
            "GitHub gives read only",
        ),
        ("unmanaged: [src/shop.py]", "unmanaged", "dpra does not generate src/shop.py"),
        (
            "actions: {unit-tests: {before: [{name: a, uses: a/b@v1}]}}",
            "actions.unit-tests.before[0].uses",
            "full commit SHA",
        ),
        (
            "jobs: {build: {permissions: {contents: {access: write, reason: x}}}}",
            "jobs.build.permissions",
            "unknown scope",
        ),
        ("jobs: {build: {permissions: {packages: {access: read}}}}", "jobs.build.permissions", "'reason' is missing"),
        ("jobs: {build: {permissions: {packages: write}}}", "jobs.build.permissions.packages", "must be a mapping"),
        ("env: {GITHUB_TOKEN: a}", "env.GITHUB_TOKEN", "none of GitHub's or the actions' own"),
        ("env: {BASH_ENV: a}", "env.BASH_ENV", "none of GitHub's or the actions' own"),
    ],
)
def test_what_would_weaken_the_pipeline_is_refused_with_its_position(
    dpra, repository, snapshot, said: str, key: str, problem: str
) -> None:
    say(repository, said + "\n")
    before = snapshot(repository)
    done = dpra("generate", cwd=repository)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("dpra.yml:9:")
    assert f": {key}" in line
    assert problem in line
    assert snapshot(repository) == before


# ---- Executed


OWN = """
env: {COLOUR: "${{ github.ref_name }} green"}
actions:
  unit-tests:
    env: {SIZE: large}
    before:
      - name: Write
        run: |
          test "$COLOUR" = 'main green'  # the component's
          test -z "${SIZE-}"  # the action's own, and its alone
          echo "$MINE"': it is ${{ github.token }}' > note.txt
        env: {MINE: "${{ github.ref_name }}"}
        working-directory: src
      - {name: Greet, uses: ./.github/actions/greet, with: {whom: "${{ github.ref_name }} & $(id)"}}
    after:
      - {name: Only if it failed, run: exit 1, if: failure()}
      - {name: Always, run: test -f src/note.txt, if: always()}
  build-code:
    command: test "$COLOUR ${SIZE-}" = 'main green '
    after: [{name: Nothing to see, run: "true"}]
"""
GREET = """
name: greet
description: says whom it greets
inputs: {whom: {description: whom, required: true}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {WHOM: "${{ inputs.whom }}"}
      run: echo "$WHOM" > whom.txt
"""


@pytest.mark.slow
def test_steps_of_ones_own_run_around_their_action_with_their_words_as_data(dpra, copy) -> None:
    (copy / ".github/actions/greet").mkdir(parents=True)
    (copy / ".github/actions/greet/action.yml").write_text(GREET)
    (copy / "tests/unit/test_own.py").write_text(
        "import os\nfrom pathlib import Path\n\n\n"
        "def test_what_ran_before() -> None:\n"
        "    assert Path('src/note.txt').read_text() == 'main: it is ${{ github.token }}\\n'\n"
        "    assert Path('whom.txt').read_text() == 'main & $(id)\\n'\n"
        "    assert (os.environ['SIZE'], os.environ['COLOUR']) == ('large', 'main green')\n"
    )
    say(copy, OWN)
    code, jobs, text = rehearsed(dpra, copy, "--only", "build")
    assert code == 0, text
    steps = [(step["name"], step["result"]) for step in jobs["build"]]
    wanted = [
        ("Build code", "success"),
        ("Nothing to see", "success"),
        ("Write", "success"),
        ("Greet", "success"),
        ("Unit tests", "success"),
        ("Only if it failed", "skipped"),
        ("Always", "success"),
    ]
    assert [step for step in steps if step in wanted] == wanted


@pytest.mark.slow
def test_a_step_of_ones_own_that_fails_stops_the_job(dpra, copy) -> None:
    say(copy, "actions: {unit-tests: {before: [{name: Fail, run: 'false; true'}]}}\n")
    code, jobs, text = rehearsed(dpra, copy, "--only", "build")
    assert code == 1
    assert {step["id"]: step["result"] for step in jobs["build"]}["unit-tests"] == "skipped"
    assert "The pipeline stopped at: build / Fail" in text


@pytest.mark.slow
def test_a_component_in_a_folder_runs_there_on_runners_with_labels(dpra, new_repository, tmp_path) -> None:
    root = tmp_path / "shop"
    folder = root / "services/shop"
    shutil.copytree(new_repository, folder)
    for name in (".git", ".github", ".vscode", "docs"):
        shutil.rmtree(folder / name)
    for name in ("dpra.yml", "infrastructure"):
        (folder / name).rename(root / name)
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=root, check=True)
    say(
        root,
        "working-directory: services/shop\npaths: [services/shop/**]\nruns-on: ubuntu-24.04-arm\n"
        "jobs: {build: {runs-on: [self-hosted, linux, our big one]}}\n",
    )
    code, jobs, text = rehearsed(dpra, root, "--only", "build")
    assert code == 0, text
    results = {step["id"]: step["result"] for step in jobs["build"]}
    assert results["unit-tests"] == results["package-and-store-artifacts"] == "success"
    assert "this machine instead of self-hosted" in text


def test_an_unmanaged_file_is_neither_written_nor_compared(dpra, own_check, repository) -> None:
    extensions = repository / ".vscode/extensions.json"
    extensions.write_text('{"recommendations": ["mine"]}\n')
    assert dpra("check", cwd=repository).returncode == 1
    say(repository, "unmanaged: [.vscode/extensions.json]\n")
    assert dpra("generate", cwd=repository).returncode == 0
    assert extensions.read_text() == '{"recommendations": ["mine"]}\n'
    assert own_check(repository).returncode == 0
    extensions.unlink()
    assert dpra("check", cwd=repository).returncode == 0
    assert "unmanaged: .vscode/extensions.json" in dpra("plan", cwd=repository).stdout


def test_a_file_that_becomes_unmanaged_stays_where_it_is(dpra, repository) -> None:
    say(repository, "unmanaged: [.vscode/extensions.json]\n")
    assert dpra("generate", cwd=repository).returncode == 0
    assert (repository / ".vscode/extensions.json").is_file()


def test_every_job_has_the_runner_that_the_spec_gives_it(dpra, repository) -> None:
    say(repository, "runs-on: ubuntu-24.04-arm\njobs: {build: {runs-on: [self-hosted, linux]}, prod: {runs-on: big}}\n")
    assert dpra("generate", cwd=repository).returncode == 0
    for name in ("pipeline.yml", "pull-request.yml"):
        jobs = YAML(typ="safe").load(repository / ".github/workflows" / name)["jobs"]
        wanted = {"build": ["self-hosted", "linux"], "prod-1": "big"}
        assert {job: of["runs-on"] for job, of in jobs.items()} == {
            job: wanted.get(job, "ubuntu-24.04-arm") for job in jobs
        }


def test_a_granted_permission_stands_in_its_job_only_with_its_reason(dpra, repository) -> None:
    say(repository, "jobs: {build: {permissions: {packages: {access: read, reason: 'ours: # yes'}}}}\n")
    assert dpra("generate", cwd=repository).returncode == 0
    text = (repository / PIPELINE).read_text()
    assert "packages: read # ours: # yes\n" in text
    jobs = YAML(typ="safe").load(text)["jobs"]
    assert [job for job, of in jobs.items() if "packages" in of["permissions"]] == ["build"]


def test_filtered_paths_stop_a_push_and_never_a_required_check(dpra, repository) -> None:
    """What a filter keeps from starting leaves its required checks pending; a job skipped by `if` has passed."""
    say(repository, "paths: [services/shop/**]\n")
    assert dpra("generate", cwd=repository).returncode == 0
    pipeline, pull_request = (
        YAML(typ="safe").load(repository / ".github/workflows" / name) for name in ("pipeline.yml", "pull-request.yml")
    )
    assert "services/shop/**" in pipeline["on"]["push"]["paths"]
    assert "paths" not in (pull_request["on"]["pull_request"] or {})
    assert "changes" in str(pull_request["jobs"]["build"]["if"])
