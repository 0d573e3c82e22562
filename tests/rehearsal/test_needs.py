"""What a rehearsal of images takes of a machine is told before it begins."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dpra.rehearsal import needs


@pytest.fixture
def without(tmp_path: Path) -> Callable[..., str]:
    """A PATH in which all is but these programs."""

    def without(*programs: str) -> str:
        folder = tmp_path / "bin"
        folder.mkdir()
        for path in os.environ["PATH"].split(os.pathsep):
            for name in {one.name for one in Path(path).glob("*")} - {*programs}:
                if not (folder / name).is_symlink():
                    (folder / name).symlink_to(Path(path) / name)
        return str(folder)

    return without


@pytest.mark.parametrize(
    ("kind", "lacking", "words", "told"),
    [
        (
            "container",
            ("buildah", "busybox", "skopeo"),
            ["--offline"],
            "buildah, busybox, skopeo are not installed: apt-get install buildah busybox-static skopeo",
        ),
        (
            "container",
            ("busybox", "skopeo"),
            ["--offline", "--only", "build"],
            "busybox is not installed: apt-get install busybox-static",
        ),
        ("container", ("skopeo",), ["--offline"], "skopeo is not installed: apt-get install skopeo"),
        pytest.param(
            "machine",
            ("busybox", "setpriv", "unshare"),
            ["--offline"],
            "busybox, setpriv, unshare are not installed: apt-get install busybox-static util-linux",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="without root that is told, too"),
        ),
        pytest.param(
            "machine with=packer",
            ("packer", "scp"),
            ["--offline"],
            "packer, scp are not installed: apt-get install packer openssh-client",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="without root that is told, too"),
        ),
    ],
)
def test_a_missing_tool_is_told_before_anything_is_played(
    dpra: Any, tmp_path: Path, without: Any, kind: str, lacking: Any, words: list[str], told: str
) -> None:
    said = ("name=base", "pipeline=compute-image", *f"kind={kind}".split())
    made = dpra("new", "--no-input", "-o", tmp_path, *said, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    done = dpra("rehearse", *words, cwd=tmp_path / "base", PATH=without(*lacking))
    assert (done.returncode, done.stderr) == (3, f"{told}\n")
    assert done.stdout == "checking out a copy of the working tree\n"


def test_what_no_chosen_job_takes_is_not_asked_for(dpra: Any, tmp_path: Path, without: Any) -> None:
    made = dpra("new", "--no-input", "-o", tmp_path, "name=base", "pipeline=compute-image", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    path = without("buildah", "busybox", "skopeo")
    done = dpra("rehearse", "--offline", "--only", "security", cwd=tmp_path / "base", PATH=path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_root_a_machine_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert needs.machine().startswith(
        "a machine's commands are run in a chroot, which only root can enter: rehearse as root"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gets so far")
def test_a_kernel_that_gives_no_namespaces_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "NAMESPACES", ("--no-such-namespace",))
    assert "cannot be run here, without namespaces of their own: unshare: unrecognized option" in needs.machine()
