"""What is vendored is what dpra made, and CODEOWNERS protects it: what both checks say, dpra's and a pull request's."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dpra import names, resources

VENDORED = ".github/actions/dpra"
_check = resources.lib("check")


def test_the_pull_requests_check_and_dpra_mean_the_same_folder() -> None:
    assert _check.VENDORED == names.VENDORED == VENDORED


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def holds(dpra: Any, own_check: Any, root: Path) -> tuple[bool, bool]:
    """What dpra check and the pull request's check say."""
    return dpra("check", cwd=root).returncode == 0, own_check(root).returncode == 0


# ---- What dpra did not make


@pytest.mark.parametrize(
    "path",
    [
        "_lib/json.py",  # found before the standard library's
        "_lib/runner/__init__.py",  # found before runner.py
        "_lib/runner.cpython-311-x86_64-linux-gnu.so",  # and so is this
        "_lib/base64.pyc",
        "_lib/__pycache__/runner.cpython-311.pyc",
        "check/__pycache__/gate.cpython-312.opt-1.pyc",
        "check/tools/mine.sh",
        "mine/action.yml",
        "notify/action.yaml",
        ".hidden",
        "-e.txt",
        "two\nlines.py",
        "_lib/::error file=x,line=1::y.py",
    ],
)
def test_what_is_added_among_the_vendored_actions_fails(dpra, own_check, repository, snapshot, path: str) -> None:
    stray = repository / VENDORED / path
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"\x00harmless")
    before = snapshot(repository)
    for tracked in (False, True):
        if tracked:
            git(repository, "add", "--force", "--all")
        shown = f"{VENDORED}/{path}"
        done = dpra("check", cwd=repository)
        assert done.returncode == 1
        assert f"{shown if shown.isprintable() else ascii(shown)}: not made by dpra" in done.stderr
        own = own_check(repository)
        assert own.returncode == 1
        [line] = own.stdout.splitlines()
        assert line == f"::error file={_check.escaped(shown)}::{line.rpartition('::')[2]}"
        assert dpra("generate", cwd=repository).returncode == 1  # it deletes nothing that it did not make
        assert snapshot(repository) == before
    assert dpra("generate", "--force", cwd=repository).returncode == 0
    assert not stray.exists()
    assert holds(dpra, own_check, repository) == (True, True)


def test_what_git_ignores_is_found_too(dpra, own_check, repository) -> None:
    stray = repository / VENDORED / "_lib/__pycache__/aws.cpython-311.pyc"
    stray.parent.mkdir()
    stray.write_bytes(b"")
    (repository / ".gitignore").write_text("*.pyc\n.github/actions/dpra/_lib/__pycache__\n")
    git(repository, "add", "--all")
    assert "pyc" not in git(repository, "status", "--porcelain", "--untracked-files=all")
    assert holds(dpra, own_check, repository) == (False, False)


@pytest.mark.parametrize("target", ["../../../../elsewhere.py", "/nowhere/x.py", "../../../../src"])
def test_a_link_among_the_vendored_actions_fails(dpra, own_check, repository, target: str) -> None:
    (repository / "src").mkdir(exist_ok=True)
    (repository / "elsewhere.py").write_text("")
    (repository / VENDORED / "_lib/mine").symlink_to(target)
    assert holds(dpra, own_check, repository) == (False, False)
    assert dpra("generate", "--force", cwd=repository).returncode == 0
    assert not os.path.lexists(repository / VENDORED / "_lib/mine")
    assert (repository / "elsewhere.py").exists()
    assert (repository / "src").is_dir()


def test_a_vendored_file_that_became_a_link_fails(dpra, own_check, repository) -> None:
    """It has the right content today; what it points to has another owner."""
    file = repository / VENDORED / "_lib/runner.py"
    content = file.read_bytes()
    (repository / "mine.py").write_bytes(content)
    file.unlink()
    file.symlink_to("../../../../mine.py")
    assert holds(dpra, own_check, repository) == (False, False)
    assert dpra("generate", "--force", cwd=repository).returncode == 0
    assert (file.is_symlink(), file.read_bytes()) == (False, content)
    assert holds(dpra, own_check, repository) == (True, True)


def test_what_a_killed_run_left_is_taken_away(dpra, own_check, repository) -> None:
    left = repository / VENDORED / "_lib/.dpra-tmp-x-runner.py"
    left.write_text("half")
    assert holds(dpra, own_check, repository) == (False, False)
    assert dpra("generate", cwd=repository).returncode == 0
    assert not left.exists()


def test_a_vendored_file_that_is_unmanaged_is_the_users(dpra, own_check, repository) -> None:
    with (repository / "dpra.yml").open("a") as file:
        file.write(f"unmanaged: [{VENDORED}/_lib/runner.py]\n")
    (repository / VENDORED / "_lib/runner.py").write_text("mine = 1\n")
    assert dpra("generate", cwd=repository).returncode == 0
    assert json.loads((repository / ".github/dpra.lock").read_text())["unmanaged"] == [f"{VENDORED}/_lib/runner.py"]
    assert holds(dpra, own_check, repository) == (True, True)


def test_the_action_that_a_pull_request_runs_says_it(repository, tmp_path) -> None:
    """As the job has it: the action's own step."""
    (repository / VENDORED / "_lib/json.py").write_text("raise SystemExit(0)")
    action = resources.content(resources.PACK / "generated-files/action.yml").decode()
    [run] = [line.partition("run: ")[2] for line in action.splitlines() if "run: " in line]
    env = {**os.environ, "GITHUB_ACTION_PATH": str(repository / VENDORED / "generated-files")}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(["bash", "-ec", run], cwd=repository, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "_lib/json.py::not made by dpra" in done.stdout) == (1, True)


# ---- CODEOWNERS

OWNERS = "['@acme/platform', '@acme/Security']"


@pytest.fixture
def owned(dpra: Any, repository: Path) -> Path:
    with (repository / "dpra.yml").open("a") as file:
        file.write(f"owners: {OWNERS}\nbaseline: quality/base line.json\n")
    assert dpra("generate", cwd=repository).returncode == 0
    return repository


TAKES = [
    "* @acme/everybody",
    "*",
    "** @acme/everybody",
    "*.yml @acme/yaml",
    "/.github/",
    "/.github",
    ".github/ @mallory",
    ".github/** @mallory",
    "/.github/* @mallory",
    "/.github/workflows/new.yml @mallory",
    "**/workflows @mallory",
    "/.g*/ @mallory",
    "dpra.yml",
    "/dpra.yml # nobody",
    "/dpra.y?l @mallory",
    "/* @mallory",
    "/infrastructure @mallory",
    "/infrastructure/dpra/prod.yml @mallory",
    "infrastructure/** mallory@example.com",
    "*.py @acme/pythonistas",
    "/dpra.yml @acme/platform @mallory",
    r"/quality/base\ line.json @mallory",
    "/quality/ @mallory",
]
LEAVES = [
    "# * @mallory",
    "",
    "/src/ @mallory",
    "src/*.py @mallory",
    "/.GitHub/ @mallory",
    "/DPRA.yml @mallory",
    "!/.github/ @mallory",
    "/dpra.ym[l] @mallory",
    "/infrastructure/* @mallory",
    "/infrastructure/template.yml @mallory",
    "/docs/dpra.yml @mallory",
    "* @acme/platform",
    "/.github/ @ACME/Platform @acme/security # both",
]


@pytest.mark.parametrize("line", TAKES)
def test_a_line_that_takes_the_protection_away_fails(dpra, own_check, owned, line: str) -> None:
    file = owned / ".github/CODEOWNERS"
    file.write_text(f"{line}\n{file.read_text()}")
    assert holds(dpra, own_check, owned) == (True, True)  # above ours it takes nothing
    file.write_text(f"{file.read_text()}\n/src/ @acme/shop\n{line}\n")
    done, own = dpra("check", cwd=owned), own_check(owned)
    assert (done.returncode, own.returncode) == (1, 1)
    pattern = line.replace("\\ ", "\0").split()[0].replace("\0", "\\ ")
    assert f".github/CODEOWNERS: '{pattern}' below dpra's lines takes their protection away" in done.stderr
    assert f"::error file=.github/CODEOWNERS::'{pattern}' below" in own.stdout
    done = dpra("generate", cwd=owned)
    assert (done.returncode, f"'{pattern}' below" in done.stderr) == (0, True)


@pytest.mark.parametrize("line", LEAVES)
def test_a_line_that_takes_nothing_away_passes(dpra, own_check, owned, line: str) -> None:
    with (owned / ".github/CODEOWNERS").open("a") as file:
        file.write(f"{line}\n")
    assert holds(dpra, own_check, owned) == (True, True)


@pytest.mark.parametrize("place", ["CODEOWNERS", "docs/CODEOWNERS"])
def test_the_lines_go_into_the_file_that_github_reads(dpra, own_check, repository, place: str) -> None:
    (repository / place).write_text("* @acme/everybody\n")
    with (repository / "dpra.yml").open("a") as file:
        file.write(f"owners: {OWNERS}\n")
    assert dpra("generate", cwd=repository).returncode == 0
    assert not (repository / ".github/CODEOWNERS").exists()
    text = (repository / place).read_text()
    assert text.startswith("* @acme/everybody\n# dpra: begin")
    assert f"\n/{place} @acme/platform @acme/Security\n# dpra: end" in text  # which no other line protects
    assert holds(dpra, own_check, repository) == (True, True)
    for nothing in ("", "\n"):  # GitHub would read this one from now on
        (repository / ".github/CODEOWNERS").write_text(nothing)
        assert holds(dpra, own_check, repository) == (False, False)
        assert dpra("generate", cwd=repository).returncode == 0
        assert holds(dpra, own_check, repository) == (True, True)
        assert (repository / place).read_text() == text
    (repository / ".github/CODEOWNERS").write_text("# mine\n")
    done, own = dpra("check", cwd=repository), own_check(repository)
    assert (done.returncode, own.returncode) == (1, 1)
    assert f"::error file=.github/CODEOWNERS::GitHub reads this file and not {place}" in own.stdout
    assert dpra("generate", cwd=repository).returncode == 0
    assert "/dpra.yml @acme/platform" in (repository / ".github/CODEOWNERS").read_text()
    assert (repository / place).read_text() == "* @acme/everybody\n"
    assert holds(dpra, own_check, repository) == (True, True)


def test_a_file_of_ours_that_shut_the_users_out_is_given_up(dpra, own_check, owned) -> None:
    (owned / "CODEOWNERS").write_text("* @acme/everybody\n")
    assert dpra("check", cwd=owned).returncode == 1
    assert dpra("generate", cwd=owned).returncode == 0
    assert not (owned / ".github/CODEOWNERS").exists()
    assert "/CODEOWNERS @acme/platform" in (owned / "CODEOWNERS").read_text()
    assert holds(dpra, own_check, owned) == (True, True)


def test_a_file_that_github_does_not_read_fails(dpra, own_check, owned) -> None:
    file = owned / ".github/CODEOWNERS"
    text = file.read_text()
    file.write_text(text + "# " + "x" * 3_000_000)
    assert holds(dpra, own_check, owned) == (False, False)
    (owned / "owners").write_text(text)
    file.unlink()
    file.symlink_to("../owners")
    assert holds(dpra, own_check, owned) == (False, False)
