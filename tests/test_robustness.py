"""Places where a file tool breaks: two runs at once, read-only files, a full disk, odd repositories."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SPEC = (Path(__file__).parent / "specs/minimal.yml").read_text()


@pytest.fixture(scope="session")
def dpra(process):
    """The command itself is what is tested here."""
    return process


def test_two_runs_at_once_leave_one_whole_tree(dpra, repository) -> None:
    (repository / "dpra.yml").write_text(SPEC.replace("name: shop", "name: store"))
    runs = [
        subprocess.Popen([sys.executable, "-m", "dpra", "generate"], cwd=repository, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for run in runs:
        _, error = run.communicate()
        assert run.returncode == 0, error
    assert dpra("check", cwd=repository).returncode == 0
    assert not list(repository.rglob(".dpra-tmp-*"))


def test_the_leftover_of_a_killed_run_is_tidied_and_that_of_a_running_one_is_not(dpra, repository) -> None:
    workflows = repository / ".github/workflows"
    dead = subprocess.Popen(["true"])
    dead.wait()
    (workflows / f".dpra-tmp-{dead.pid}-pipeline.yml").write_text("half")
    (workflows / f".dpra-tmp-{os.getpid()}-pipeline.yml").write_text("half")
    (repository / "dpra.yml").write_text(SPEC.replace("name: shop", "name: store"))
    assert dpra("generate", cwd=repository).returncode == 0
    assert [path.name for path in workflows.glob(".dpra-tmp-*")] == [f".dpra-tmp-{os.getpid()}-pipeline.yml"]


def test_a_read_only_file_is_replaced_and_stays_read_only(dpra, repository) -> None:
    target = repository / "docs/pipeline.md"
    target.chmod(0o444)
    (repository / "dpra.yml").write_text(SPEC.replace("name: shop", "name: store"))
    assert dpra("generate", cwd=repository).returncode == 0
    assert "How store is delivered" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o444


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a small disk needs mount, mount needs root")
def test_a_full_disk_is_told_and_whole_files_stay(dpra, tmp_path, snapshot) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", disk], check=False).returncode:
        pytest.skip("mount is not permitted here")
    try:
        (disk / "dpra.yml").write_text(SPEC)
        done = dpra("generate", cwd=disk)
        assert done.returncode == 3
        assert "No space left on device" in done.stderr
        assert not (disk / ".github/dpra.lock").exists()
        written = snapshot(disk)
        assert not [name for name in written if ".dpra-tmp" in name]
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        assert dpra("generate", cwd=disk).returncode == 0
        assert dpra("check", cwd=disk).returncode == 0
        assert written.items() <= snapshot(disk).items()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_what_is_kept_for_the_next_run_may_be_damaged_foreign_or_impossible(
    dpra, repository, snapshot, tmp_path
) -> None:
    made, kept = snapshot(repository), tmp_path / "cache/dpra/generate"

    def generated_the_same() -> None:
        for name in made:
            (repository / name).unlink() if name != "dpra.yml" else None
        done = dpra("generate", cwd=repository, XDG_CACHE_HOME=str(tmp_path / "cache"))
        assert done.returncode == 0, done.stderr
        assert snapshot(repository) == made

    generated_the_same()
    names = sorted(path.name for path in kept.iterdir())
    assert len(names) > 10
    assert kept.stat().st_mode & 0o777 == 0o700
    for damage in (b"", b"{}", b"\0" * 100, None):
        for path in kept.iterdir():  # None: half of it
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if damage is None else damage)
        generated_the_same()
        assert sorted(path.name for path in kept.iterdir()) == names
    kept.chmod(0o777)  # others could put code there
    for path in kept.iterdir():
        path.write_bytes(b"theirs")
    generated_the_same()
    assert all(path.read_bytes() == b"theirs" for path in kept.iterdir())
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("a file")
    generated_the_same()


def test_a_folder_without_git_is_as_good(dpra, tmp_path) -> None:
    (tmp_path / "dpra.yml").write_text(SPEC)
    assert dpra("generate", cwd=tmp_path).returncode == 0
    assert dpra("check", cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_an_odd_repository_is_generated_and_rehearsed(dpra, git, copy, tmp_path) -> None:
    """A worktree, with a submodule, and a file whose name is not UTF-8."""
    git("add", "--all", cwd=copy)
    git("commit", "--quiet", "--message", "x", cwd=copy)
    root, library = tmp_path / "tree", tmp_path / "library"
    git("worktree", "add", "--quiet", root, "-b", "other", cwd=copy)
    library.mkdir()
    git("init", "--quiet", cwd=library)
    git("commit", "--quiet", "--allow-empty", "--message", "x", cwd=library)
    git("submodule", "--quiet", "add", library, "library", cwd=root)
    (root / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    assert dpra("generate", cwd=root).returncode == 0
    assert dpra("check", cwd=root).returncode == 0
    done = dpra("rehearse", "--offline", "--only", "build,security,scan", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
