"""`pack: OWNER/REPO@SHA`: the actions by reference, and nothing vendored."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dpra import resources
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
PIPELINE = ".github/workflows/pipeline.yml"
OLD, NEW, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40, "e" * 40
CHECK = f"acme/dpra/.github/actions/check@{OLD} # v0.1.0"


def load(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def by_reference(dpra: Any, root: Path, commit: str = OLD) -> Any:
    spec = root / "dpra.yml"
    kept = [line for line in spec.read_text().splitlines() if not line.startswith("pack:")]
    spec.write_text("\n".join([*kept, f"pack: acme/dpra@{commit}"]) + "\n")
    done = dpra("generate", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def referred(dpra: Any, repository: Path) -> Path:
    by_reference(dpra, repository)
    return repository


def hook(name: str) -> Path:
    [said] = [one for one in load(ROOT / ".pre-commit-hooks.yaml") if one["id"] == name]
    assert said["language"] == "script"
    return ROOT / said["entry"]


def generated_files(root: Path) -> subprocess.CompletedProcess[str]:
    """The pull request's check, as the pack has it: run as pre-commit runs a script."""
    return subprocess.run([hook("generated-files")], cwd=root, capture_output=True, text=True, check=False)


def test_nothing_is_vendored_and_both_ways_are_told(dpra, repository) -> None:
    assert (repository / ".github/actions/dpra").is_dir()
    done = by_reference(dpra, repository)
    assert not (repository / ".github/actions").exists()
    assert f"Here: pack acme/dpra@{OLD}." in done.stdout
    assert dpra("check", cwd=repository).returncode == generated_files(repository).returncode == 0
    assert f"actions: acme/dpra@{OLD}" in dpra("plan", cwd=repository).stdout
    assert json.loads(dpra("plan", "--format", "json", cwd=repository).stdout)["pack"] == f"acme/dpra@{OLD}"
    lines = (repository / "dpra.yml").read_text().replace(f"pack: acme/dpra@{OLD}\n", "")
    (repository / "dpra.yml").write_text(lines)  # and back
    assert dpra("generate", cwd=repository).stdout.splitlines()[-1].endswith("Here: vendored.")
    assert dpra("check", cwd=repository).returncode == 0


def test_a_check_before_says_what_goes_without_its_text_and_knows_the_pins_that_go(dpra, repository) -> None:
    spec = repository / "dpra.yml"
    spec.write_text(f"pack: acme/dpra@{OLD}\n{spec.read_text()}")
    ran = dpra("check", cwd=repository)
    assert ran.returncode == 1
    assert ".github/actions/dpra/check/scan.py: orphan" in ran.stderr
    assert "def main" not in ran.stdout
    assert "unverified" not in "".join(line for line in ran.stderr.splitlines() if "acme/dpra@" not in line)


def test_no_generated_file_names_a_vendored_one(referred) -> None:
    """But for the pin that a change moves, a change has no say in what judges it."""
    lock = json.loads((referred / ".github/dpra.lock").read_text())
    for path in lock["files"]:
        assert "actions/dpra" not in (referred / path).read_text().replace("acme/dpra/.github/actions/", ""), path
    assert load(referred / ".github/zizmor.yml")["rules"]["self-repository"] == {"disable": False}
    assert load(referred / ".github/dependabot.yml")["updates"][0]["directory"] == "/"


def test_every_step_uses_an_action_of_the_pack_and_inputs_that_it_has(referred) -> None:
    found = set()
    for path in (referred / ".github/workflows").glob("*.yml"):
        for job in load(path)["jobs"].values():
            steps = [step for step in job["steps"] if "uses" in step]
            assert not [step for step in steps if step["uses"].startswith("./")]
            assert not [step for step in job["steps"] if "dpra" in step.get("run", "")]
            checks_out = any(step["uses"].startswith("actions/checkout@") for step in steps)
            compares = any(name in job["steps"][0]["name"] for name in ("Manual approval", "Resume"))
            assert job["permissions"]["contents"] == ("read" if checks_out or compares else "none")
            for step in steps:
                repository, _, ref = step["uses"].partition("@")
                if repository.startswith("acme/dpra/"):
                    assert ref == OLD
                    action = repository.removeprefix("acme/dpra/.github/actions/")
                    given = load(resources.PACK / action / "action.yml").get("inputs", {})
                    assert set(step.get("with", {})) <= set(given)
                    found.add(action)
    assert {"build", "check", "deploy", "generated-files", "release", "report", "test"} <= found


@pytest.mark.parametrize("said", ["acme/dpra", "acme/dpra@v1", f"acme/dpra@{OLD[1:]}", f"dpra@{OLD}", f"a/b/c@{OLD}",
                                  f"acme/..@{OLD}", f"acme/dpra@{OLD.upper()}", f"'acme/dpra@{OLD} # v1'"])  # fmt: skip
def test_the_form_is_held(dpra, repository, said: str) -> None:
    with (repository / "dpra.yml").open("a") as file:
        file.write(f"pack: {said}\n")
    done = dpra("check", cwd=repository)
    assert done.returncode == 2
    assert "pack: must be a repository at a full commit SHA" in done.stderr


def move(root: Path, old: str, new: str) -> None:
    for path in (root / ".github/workflows").glob("*.yml"):
        path.write_text(path.read_text().replace(old, new))


def test_dependabot_moves_the_pack_and_generate_keeps_it(dpra, referred) -> None:
    move(referred, f"{OLD} # v0.1.0", f"{NEW} # v0.2.0")
    assert dpra("check", cwd=referred).returncode == 0
    own = generated_files(referred)
    assert (own.returncode, f"actions/check@{NEW} # v0.2.0: unverified" in own.stdout) == (0, True)
    (referred / "dpra.yml").write_text((referred / "dpra.yml").read_text().replace("eu-west-1", "us-east-1"))
    assert dpra("generate", cwd=referred).returncode == 0
    assert OLD not in (referred / PIPELINE).read_text()
    assert dpra("check", cwd=referred).returncode == generated_files(referred).returncode == 0


def test_the_spec_moves_the_pack(dpra, referred) -> None:
    spec = referred / "dpra.yml"
    spec.write_text(spec.read_text().replace(OLD, NEW))
    done = dpra("check", cwd=referred)
    assert done.returncode == 1
    assert f"{PIPELINE}: stale" in done.stderr
    assert generated_files(referred).returncode == 1
    assert dpra("generate", cwd=referred).returncode == 0
    assert OLD not in (referred / PIPELINE).read_text()
    assert dpra("check", cwd=referred).returncode == generated_files(referred).returncode == 0


@pytest.mark.parametrize("moved", [f"{OTHER} # v0.1.0", f"{OTHER} # v0.0.9"])
def test_another_commit_of_the_pack_fails(dpra, referred, moved: str) -> None:
    move(referred, f"{OLD} # v0.1.0", moved)
    for command in ("check", "generate"):
        done = dpra(command, cwd=referred)
        assert (done.returncode, "acme/dpra/.github/actions/check: " in done.stderr) == (1, True)
    assert generated_files(referred).returncode == 1
    assert dpra("generate", "--force", cwd=referred).returncode == 0
    assert CHECK in (referred / PIPELINE).read_text()


def test_what_lies_where_vendored_actions_were_fails(dpra, referred) -> None:
    stray = referred / ".github/actions/dpra/check/action.yml"
    stray.parent.mkdir(parents=True)
    stray.write_text("")
    assert dpra("check", cwd=referred).returncode == generated_files(referred).returncode == 1


def test_the_hooks_are_those_that_the_pack_has(referred) -> None:
    [said] = load(referred / ".pre-commit-config.yaml")["repos"]
    assert (said["repo"], said["rev"]) == ("https://github.com/acme/dpra", OLD)
    assert {one["id"] for one in said["hooks"]} == {one["id"] for one in load(ROOT / ".pre-commit-hooks.yaml")}
    listed = subprocess.run(["git", "ls-files", "-s", hook("check"), hook("generated-files")], cwd=ROOT, text=True,
                            capture_output=True, check=True).stdout.splitlines()  # fmt: skip
    assert [line[:6] for line in listed] == ["100755", "100755"]


@pytest.mark.slow
def test_what_dpra_new_makes_is_delivered_by_a_pack(dpra, copy, git, tmp_path) -> None:
    by_reference(dpra, copy)
    assert not (copy / ".github/actions").exists()
    git("add", "--all", cwd=copy)
    git("commit", "--quiet", "-m", "By reference", cwd=copy)
    for command in (["actionlint"], ["zizmor", "--persona", "auditor", "--offline", "--quiet", "."]):
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "result.json"
    done = dpra("rehearse", "--offline", "--json", out, cwd=copy)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert {one["environment"] for one in result["deployments"]} == {"beta", "gamma", "prod"}
    assert any(line.startswith(f"acme/dpra@{OLD}: the pack of dpra") for line in result["simulated"])
    assert not (copy / ".github/actions").exists()
    assert dpra("check", cwd=copy).returncode == generated_files(copy).returncode == 0
    # The hook that looks for secrets, run as pre-commit runs a script of the pack.
    leak = "token = 'ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX'\n"  # gitleaks:allow
    (copy / "config.py").write_text(leak)
    git("add", "--all", cwd=copy)
    [said] = load(copy / ".pre-commit-config.yaml")["repos"]
    [secrets] = [one for one in said["hooks"] if one.get("alias") == "secrets-detection"]
    done = subprocess.run([hook(secrets["id"]), *secrets["args"]], cwd=copy, env=os.environ, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert (done.returncode, "config.py" in done.stdout) == (1, True), done.stdout + done.stderr
