"""What differs on the machines of developers: line ends, encodings, symbolic links, signals.

Windows itself is not here; what it does otherwise is.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dpra import tree

ROOT = Path(__file__).parent.parent
PACK = ".github/actions/dpra"


@pytest.fixture
def windows_checkout(git, repository: Path, tmp_path: Path) -> Path:
    """The repository as Git for Windows checks it out."""
    git("add", "--all", cwd=repository)
    git("commit", "--quiet", "--message", "x", cwd=repository)
    git("clone", "--quiet", "-c", "core.autocrlf=true", repository, tmp_path / "windows", cwd=tmp_path)
    return tmp_path / "windows"


def test_a_checkout_with_autocrlf_holds_and_commits_nothing(dpra, own_check, windows_checkout, snapshot) -> None:
    assert b"\r\n" in (windows_checkout / "dpra.yml").read_bytes()
    assert b"\r\n" in (windows_checkout / ".github/workflows/pipeline.yml").read_bytes()
    before = snapshot(windows_checkout)
    assert dpra("check", cwd=windows_checkout).returncode == 0
    assert dpra("generate", cwd=windows_checkout).stdout.endswith("; 0 changed.\n")
    assert snapshot(windows_checkout) == before
    assert own_check(windows_checkout).returncode == 0


def test_the_scripts_of_the_pack_keep_their_line_ends_in_a_checkout_with_autocrlf(windows_checkout) -> None:
    """A bash script with CRLF does not run; the pack's .gitattributes keeps them."""
    scripts = [path for path in (windows_checkout / PACK).rglob("*") if path.suffix in (".sh", ".py", ".yml")]
    assert len(scripts) > 20
    assert not [path for path in scripts if b"\r" in path.read_bytes()]


def test_what_is_generated_on_windows_is_what_is_generated_elsewhere(dpra, git, windows_checkout, repository) -> None:
    """A spec with CRLF, edited and generated: git has the same to commit as on Linux."""
    for root, end in ((windows_checkout, b"\r\n"), (repository, b"\n")):
        text = (root / "dpra.yml").read_bytes()
        command = end.join(
            [b"actions:", b"  build-code:", b"    command: |", b"      make one", b"      make two", b""]
        )
        (root / "dpra.yml").write_bytes(text.replace(b"name: shop", b"name: store") + command)
        assert dpra("generate", cwd=root).returncode == 0
        git("add", "--all", cwd=root)
    trees = [git("write-tree", cwd=root) for root in (windows_checkout, repository)]
    assert trees[0] == trees[1]
    assert b"make one\r\n" not in git("show", ":.github/workflows/pipeline.yml", cwd=windows_checkout).encode()


def test_our_own_checkout_with_autocrlf_generates_the_same(git, repository, snapshot, tmp_path) -> None:
    """Templates and pack come from this repository, whose .gitattributes keeps them too."""
    git("clone", "--quiet", "-c", "core.autocrlf=true", "--no-hardlinks", ROOT, tmp_path / "dpra", cwd=tmp_path)
    changed = git("ls-files", "--modified", "--others", "--exclude-standard", cwd=ROOT).split()
    for name in changed:  # what is being worked on
        (tmp_path / "dpra" / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            (tmp_path / "dpra" / name).write_bytes((ROOT / name).read_bytes())
    other = tmp_path / "other"
    other.mkdir()
    (other / "dpra.yml").write_bytes((repository / "dpra.yml").read_bytes())
    code = "import dpra, sys; sys.argv = ['dpra', 'generate']; from dpra.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "dpra/generator")}
    subprocess.run([sys.executable, "-c", code], cwd=other, env=environment, check=True, capture_output=True)
    assert snapshot(other) == snapshot(repository)


@pytest.mark.parametrize("command", [("generate",), ("check",), ("plan",), ("schema",), ("init", "--dry-run")])
def test_no_file_and_no_pipe_is_read_in_the_encoding_of_the_machine(repository, command: tuple[str, ...]) -> None:
    """Python names each place that leaves the encoding to the machine: cp1252 on Windows."""
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-W", "error::EncodingWarning", "-m", "dpra", *command],
        cwd=repository,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("command", [("check",), ("generate", "--diff"), ("plan",), ("plan", "--format", "mermaid")])
def test_a_terminal_without_unicode_gets_escapes_and_no_crash(dpra, repository, command: tuple[str, ...]) -> None:
    spec = repository / "dpra.yml"
    spec.write_text(spec.read_text("utf-8") + "actions: {build-code: {command: 'echo 日本 ✓'}}\n", "utf-8")
    done = dpra(*command, cwd=repository, PYTHONIOENCODING="cp1252", PYTHONUTF8="0")
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    if command != ("plan", "--format", "mermaid"):
        assert r"echo \u65e5\u672c \u2713" in done.stdout


def test_a_repository_that_is_reached_by_a_symbolic_link_is_as_good(dpra, repository, tmp_path) -> None:
    """As /tmp is on macOS."""
    (tmp_path / "link").symlink_to(repository)
    assert dpra("check", cwd=tmp_path / "link").returncode == 0
    assert dpra("-C", tmp_path / "link", "generate", cwd=tmp_path).stdout.endswith("; 0 changed.\n")


def test_a_generated_file_that_became_a_link_inside_the_repository_stays_one(dpra, repository) -> None:
    pipeline = repository / "docs/pipeline.md"
    pipeline.rename(repository / "elsewhere.md")
    pipeline.symlink_to("../elsewhere.md")
    spec = repository / "dpra.yml"
    spec.write_text(spec.read_text().replace("name: shop", "name: store"))
    assert dpra("generate", cwd=repository).returncode == 0
    assert pipeline.is_symlink()
    assert "How store is delivered" in (repository / "elsewhere.md").read_text()
    assert dpra("check", cwd=repository).returncode == 0


def test_a_loop_of_links_is_told(dpra, repository) -> None:
    pipeline = repository / "docs/pipeline.md"
    pipeline.unlink()
    pipeline.symlink_to("pipeline.md")
    done = dpra("generate", cwd=repository)
    assert done.returncode == 2
    assert done.stderr.startswith("docs/pipeline.md: ")


def test_on_windows_no_signal_is_sent_to_learn_whether_a_run_goes_on(monkeypatch, tmp_path) -> None:
    """There os.kill(pid, 0) is Ctrl+C for the whole console."""
    monkeypatch.setattr(tree.sys, "platform", "win32")
    monkeypatch.setattr(tree.os, "kill", lambda *_: pytest.fail("a signal was sent"))
    old, young = (tmp_path / f".dpra-tmp-{number}-file" for number in (1, 2))
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (time.time() - 3600, time.time() - 3600))
    tree.put(tmp_path, {"file": b"whole"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "file"]


def test_rehearse_says_where_it_runs(monkeypatch, repository, capsys) -> None:
    from dpra import cli

    monkeypatch.setattr(cli.sys, "platform", "win32")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["-C", str(repository), "rehearse"])
    assert stopped.value.code == 3
    assert "WSL" in capsys.readouterr().err
