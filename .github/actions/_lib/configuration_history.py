"""What git and the code know of flags: since when there is one, which there were, and where code still names one.

A flag is a key at the start of a line of the flags' files: that is how their differences are read.
"""

import datetime
import os
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import changes
from configuration_nodes import Problem
from sources import GIT, git

KEY = re.compile(
    rb"""^[-+](?:([a-z][a-zA-Z\d_-]{0,63})|"([a-z][a-zA-Z\d_-]{0,63})"|'([a-z][a-zA-Z\d_-]{0,63})')\s*:(?:\s|$)"""
)
WORD = re.compile(rb"(?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9_-]*")
LOG = (
    "log",
    "--first-parent",
    "-m",
    "--patch",
    "--unified=0",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-show-signature",
)
LARGEST = 2**22  # bytes of a file in which flags are looked for; code that people write is smaller


def seen(root: Path, path: str) -> dict[str, datetime.datetime] | None:
    """Every flag that the history of the flags' files knows, with when it came first; one pass of git's log.

    None where there is no history, or a part of it only."""
    shallow = git(root, "rev-parse", "--is-shallow-repository")
    if shallow is None or shallow.strip() != b"false":
        return None
    words = (*GIT, *LOG, "--no-renames", "--format=%x00%ct", "--", f":(top,literal){path}")
    found: dict[str, datetime.datetime] = {}
    when = datetime.datetime.now(datetime.UTC)
    with subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        for line in running.stdout or ():  # the newest commit first
            if line[:1] == b"\0":
                when = datetime.datetime.fromtimestamp(int(line[1:]), datetime.UTC)
            elif (match := KEY.match(line)) and (line[:1] == b"+" or _name(match) not in found):
                found[_name(match)] = when
    return found if running.returncode == 0 else None


def _name(match: re.Match[bytes]) -> str:
    return (match[1] or match[2] or match[3]).decode()


def listed(root: Path) -> list[str]:
    """The paths of the files in a checkout, or in a folder: what git tracks and what it does not ignore. What lies in
    a checkout of another repository within it, too."""
    names = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-per-directory=.gitignore")
    if names:
        own = {os.fsdecode(name) for name in names.split(b"\0") if name}
        others = {name for name in own if name.endswith("/")}  # git says no more of them than that they are there
        return sorted({*(own - others), *(f"{other}{name}" for other in others for name in listed(root / other))})
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def references(
    code: Path,
    globs: Sequence[str],
    removed: Mapping[str, object] | Collection[str],
    own: Iterable[str],
    prefix: str = "",
) -> list[Problem]:
    """Where code names a flag that is not defined any more, as a whole word.

    Args:
        code: the checkout that is looked at; `prefix` stands before its paths in what is told.
        globs: the paths of code, with * and **.
        own: paths that are not looked at: the configuration itself.
    """
    problems, looked, left_out = [], listed(code), set(own)
    names = {name.encode() for name in removed}
    for glob in globs:
        pattern = changes.pattern(glob)
        matched = [name for name in looked if pattern.fullmatch(name)]
        if not matched:
            says = f"the pattern {glob!r} of references matches no file"
            problems.append(Problem("no-references", "dpra.yml", 1, 1, says))
        for name in matched if names else ():
            if name not in left_out:
                left_out.add(name)  # once, whatever patterns match it
                problems += _named(code / name, prefix + name, names)
    return problems


def _named(path: Path, name: str, names: set[bytes]) -> Iterator[Problem]:
    try:
        if not path.is_file() or path.is_symlink() or path.stat().st_size > LARGEST:
            return
        content = path.read_bytes()
    except OSError:
        return
    if names.isdisjoint(WORD.findall(content)):
        return
    for number, line in enumerate(content.split(b"\n"), 1):
        for found in WORD.finditer(line):
            if found[0] in names:
                column = len(line[: found.start()].decode(errors="replace")) + 1
                says = f"names the flag {found[0].decode()}, not defined any more: define it, or remove this"
                yield Problem("removed-flag", name, number, column, says)
