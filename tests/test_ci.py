"""CI's machines side by side run what `.ci/run` runs one after the other."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
JOBS: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / ".github/workflows/ci.yml")["jobs"]
PARTS = JOBS["end-to-end"]["strategy"]["matrix"]["part"]


def made(*words: str) -> subprocess.CompletedProcess[str]:
    """What `make …` would run."""
    command = ["make", "--dry-run", "--assume-old=.venv/ready", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def pytest_of(*words: str) -> list[str]:
    """What is given to pytest beyond what it always gets."""
    [line] = [line for line in made(*words).stdout.splitlines() if "-m pytest" in line]
    return shlex.split(line.partition("worksteal")[2])


def test_the_parts_together_are_every_slow_test() -> None:
    assert pytest_of("end-to-end") == ["-m", "slow"]
    named = [file for part in PARTS[:-1] for file in pytest_of("end-to-end", f"PART={part}")[2:]]
    assert all((ROOT / file).is_file() for file in named)
    assert len(set(named)) == len(named)
    assert pytest_of("end-to-end", f"PART={PARTS[-1]}") == ["-m", "slow", *(f"--ignore={file}" for file in named)]
    assert "there is no part nothing but" in made("end-to-end", "PART=nothing").stderr


def test_one_run_is_all_of_it() -> None:
    assert pytest_of("test") == ["-m", "not slow"]
    assert pytest_of("all") == []
    assert 'exec make "${@:-all}"' in (ROOT / ".ci/run").read_text()
    commands = {name: job["steps"][-1].get("run") for name, job in JOBS.items()}
    assert commands["lint"] == "make lint"
    assert commands["test"] == "bash .ci/run test"
    assert commands["end-to-end"] == "bash .ci/run end-to-end"


@pytest.mark.parametrize("name", JOBS)
def test_a_job_of_ci_may_read_and_ends_in_time(name: str) -> None:
    assert JOBS[name]["permissions"] == {"contents": "read"}
    assert JOBS[name]["timeout-minutes"] <= 25
    assert all(
        re.fullmatch(r"\./|[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in JOBS[name]["steps"] if "uses" in step
    )


# A test that needs what is not there is skipped, by name and with the way to get it; in CI it fails.
LACKING = """
import pytest
from pathlib import Path

@pytest.mark.needs("no-such-program")
def test_mark(): pass

def test_fixture(needs): needs("go", Path("/nowhere/libfaketime.so.1"))

@pytest.mark.needs("git")
def test_there(): pass
"""


@pytest.mark.parametrize("ci", ["", "true"])
def test_what_is_not_there_is_named_with_the_command_that_brings_it(
    ci: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    (tmp_path / "test_lacking.py").write_text(LACKING)
    (tmp_path / "conftest.py").symlink_to(ROOT / "tests/conftest.py")
    monkeypatch.setenv("CI", ci)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml"]
    command += ["--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    for said in (
        "not there: no-such-program; apt-get install no-such-program, or .ci/run installs all of .ci/packages",
        "not there: /nowhere/libfaketime.so.1; apt-get install faketime, or .ci/run installs all of .ci/packages",
    ):
        assert said in done.stdout, done.stdout + done.stderr
    assert ("1 failed, 1 passed, 1 error" if ci else "1 passed, 2 skipped") in done.stdout
