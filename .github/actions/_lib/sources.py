"""Files that people wrote, from a folder or a commit: path -> content. For jobs without rights."""

import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

Wanted = Callable[[Iterable[str]], list[str]]  # of paths those that are read, in order

# Nothing that lies in .git/config may run.
GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "safe.directory=*")


def in_folder(root: Path, names: Iterable[str], wanted: Wanted) -> dict[str, bytes]:
    """What lies in a folder.

    Args:
        names: the files and folders below it that are looked at.

    Raises:
        LookupError: there is a link. A commit has its address only, and one that leads nowhere would change what is
            meant.
    """
    found: dict[str, bytes] = {}
    inside = os.path.realpath(root)
    for name in names:
        start = root / name
        for path in [start, *sorted(start.rglob("*"))]:
            relative = path.relative_to(root).as_posix()
            if os.path.realpath(path) != f"{inside}{os.sep}{relative}":
                raise LookupError(f"{relative} is a link, or lies behind one: put the file itself there")
            if path.is_file() and wanted([relative]):
                found[relative] = path.read_bytes()
    return found


def at_commit(root: Path, commit: str, wanted: Wanted, folder: str = "") -> dict[str, bytes]:
    """What a commit has.

    Args:
        folder: paths are seen from here, as git calls it; empty: the repository's root.

    Raises:
        LookupError: git does not know such a commit here.
    """
    if commit.startswith("-"):
        raise LookupError(f"'{commit}' is no commit")
    start = os.fsencode(f"{folder}/" if folder else "")
    blobs: dict[str, bytes] = {}
    for entry in asked(root, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        head, _, path = entry.partition(b"\t")
        if head.startswith(b"100") and path.startswith(start):
            blobs[os.fsdecode(path.removeprefix(start))] = head.split()[2]
    found: dict[str, bytes] = {}
    names, at = wanted(blobs), 0
    content = asked(root, "cat-file", "--batch", stdin=b"".join(blobs[name] + b"\n" for name in names))
    for name in names:
        end = content.index(b"\n", at)
        size = int(content[at:end].split()[2])
        found[name] = content[end + 1 : end + 1 + size]
        at = end + size + 2
    return found


def git(root: Path, *words: str, stdin: bytes = b"") -> bytes | None:
    """What git says; None where it cannot."""
    try:
        return asked(root, *words, stdin=stdin)
    except LookupError:
        return None


def asked(root: Path, *words: str, stdin: bytes = b"") -> bytes:
    """What git says.

    Raises:
        LookupError: it cannot; with its own words.
    """
    try:
        ran = subprocess.run((*GIT, *words), cwd=root, input=stdin, capture_output=True, check=False)
    except OSError as error:
        raise LookupError(f"git cannot be run: {error.strerror}") from None
    if ran.returncode:
        raise LookupError(ran.stderr.decode(errors="replace").strip()[:300] or "git says no")
    return ran.stdout
