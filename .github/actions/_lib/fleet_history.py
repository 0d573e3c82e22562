"""The files of a fleet as a commit has them."""

import subprocess
from pathlib import Path

import fleet_files

# Nothing that lies in .git/config may run.
GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "safe.directory=*")


def at_commit(root: Path, commit: str, folder: str = "") -> dict[str, bytes]:
    """The files of a fleet as a commit has them, by their paths in its folder.

    Raises:
        LookupError: git does not know such a commit here.
    """
    if commit.startswith("-"):
        raise LookupError(f"'{commit}' is no commit")
    listed = _git(root, "ls-tree", "-r", "-z", "--full-tree", commit)
    start = f"{folder}/" if folder else ""
    blobs: dict[str, bytes] = {}
    for entry in listed.split(b"\0"):
        head, _, path = entry.partition(b"\t")
        name = path.decode(errors="surrogateescape")
        if head.startswith(b"100") and name.startswith(start):
            blobs[name.removeprefix(start)] = head.split()[2]
    found: dict[str, bytes] = {}
    names = fleet_files.wanted(blobs)
    content = _git(root, "cat-file", "--batch", given=b"".join(blobs[name] + b"\n" for name in names))
    at = 0
    for name in names:
        end = content.index(b"\n", at)
        size = int(content[at:end].split()[2])
        found[name] = content[end + 1 : end + 1 + size]
        at = end + size + 2
    return found


def _git(root: Path, *words: str, given: bytes = b"") -> bytes:
    try:
        ran = subprocess.run((*GIT, *words), cwd=root, input=given, capture_output=True, check=False)
    except OSError as error:
        raise LookupError(f"git cannot be run: {error.strerror}") from None
    if ran.returncode:
        raise LookupError(ran.stderr.decode(errors="replace").strip()[:300] or "git says no")
    return ran.stdout
