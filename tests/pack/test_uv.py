"""uv comes from PyPI, and only as the lock file has it."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github/actions/uv"
WANTED = re.findall(r"^uv==([\d.]+)", (FOLDER / "requirements.txt").read_text())[0]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PATH with what an ubuntu runner has and this test's Python, without uv."""
    found = tmp_path / "bin"
    found.mkdir()
    for tool in ("bash", "cut", "dirname", "sed", "sort"):
        (found / tool).symlink_to(shutil.which(tool) or tool)
    (found / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (found / "python3").chmod(0o755)
    return found


def install(machine: Path, folder: Path = FOLDER) -> tuple[int, str, str]:
    """Exit code, what was said, and the folder that was added to PATH."""
    added = machine.parent / "path"
    added.touch()
    env = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_CERT", "REQUESTS_CA"))}
    env |= {"PATH": str(machine), "RUNNER_TEMP": str(machine.parent), "GITHUB_PATH": str(added)}
    env |= {"HOME": str(Path.home())}
    done = subprocess.run(["bash", folder / "install.sh"], env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr, added.read_text().strip()


def version(of: str, machine: Path) -> None:
    (machine / "uv").write_text(f"#!/bin/sh\necho 'uv {of} (x86_64-unknown-linux-gnu)'\n")
    (machine / "uv").chmod(0o755 | stat.S_IXUSR)


def test_the_lock_is_the_one_that_dpra_itself_uses() -> None:
    assert (FOLDER / "requirements.txt").read_bytes() == (ROOT / "requirements/uv.txt").read_bytes()


def test_the_locked_uv_is_installed(machine: Path) -> None:
    code, said, added = install(machine)
    assert code == 0, said
    assert added == str(machine.parent / "uv/bin")
    ran = subprocess.run([f"{added}/uv", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.split()[1] == WANTED


def test_an_older_uv_of_the_machine_is_not_used(machine: Path) -> None:
    version("0.9.30", machine)
    assert install(machine)[2] == str(machine.parent / "uv/bin")


@pytest.mark.parametrize("present", [WANTED, "0.99.0", "1.0.0"])
def test_a_uv_of_the_machine_that_is_not_older_stays(machine: Path, present: str) -> None:
    version(present, machine)
    assert install(machine) == (0, f"uv {present} is on this machine.\n", "")


@pytest.mark.parametrize("lines", [1, 0])
def test_a_uv_whose_hash_the_lock_does_not_have_is_not_installed(machine: Path, tmp_path: Path, lines: int) -> None:
    """Another hash, and none at all."""
    folder = tmp_path / "uv-of-others"
    shutil.copytree(FOLDER, folder)
    hashes = [" \\\n    --hash=sha256:" + "0" * 64] * lines
    (folder / "requirements.txt").write_text(f"uv=={WANTED}{''.join(hashes)}\n")
    code, said, added = install(machine, folder)
    assert code != 0
    assert "hash" in said.lower()
    assert (added, (tmp_path / "uv").exists()) == ("", False)
