#!/usr/bin/env -S python3 -I -B
"""Are the generated files what dpra.yml says? Standard library only: a pull request needs no installed dpra for it.

It compares the lock's hashes with dpra.yml and with each generated file, and finds what lies among the vendored actions
beside those. A newer pin of a third-party action (`uses: owner/name@<sha> # v1.2.3`) is nobody's drift: pins belong to
the user. One that went back, or to another commit under its tag, is told, and so is a line of CODEOWNERS that takes
away what dpra's lines protect. Who changes the lock, too, passes: docs/security.md says what is for that.
"""

import fnmatch
import hashlib
import json
import os
import re
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path

SPEC = "dpra.yml"
LOCK = ".github/dpra.lock"
VENDORED = ".github/actions/dpra"
CODEOWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")  # GitHub reads the first that is there
LARGEST = 3_000_000  # bytes of a CODEOWNERS file that GitHub reads
BEGIN, END = "# dpra: begin", "# dpra: end"
BLOCK = re.compile(rb"^%s.*?\n(.*?)^%s$" % (BEGIN.encode(), END.encode()), re.DOTALL | re.MULTILINE)
PIN = re.compile(rb"(uses: ([\w.-]+/[\w./-]+)@)([0-9a-f]{40}) # (v?[0-9][\w.]*)")


def normalised(content: bytes) -> bytes:
    """What counts in a file: neither its pins nor how its lines end."""
    return PIN.sub(rb"\1pin", content.replace(b"\r\n", b"\n"))


def digest(content: bytes) -> str:
    """The hash by which the lock knows a file."""
    return hashlib.sha256(normalised(content)).hexdigest()


def block(content: bytes) -> bytes | None:
    """What stands between dpra's marker lines in a file that is otherwise the user's; None without them."""
    match = BLOCK.search(content.replace(b"\r\n", b"\n"))
    return match[1] if match else None


# ---- Among the vendored actions


def strays(root: Path, made: Container[str]) -> list[str]:
    """What lies among the vendored actions and is not `made`, whatever git thinks of it; and every link there."""
    found, top = [], root / VENDORED
    for place, folders, names in os.walk(top):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in (*names, *links):
            path = f"{VENDORED}/{Path(place, name).relative_to(top).as_posix()}"
            if path not in made or Path(place, name).is_symlink():
                found.append(path)
    return sorted(found)


# ---- Pins


def pins(content: bytes) -> Iterator[tuple[str, str]]:
    """Every pin of a file: `owner/name@tag`, and the commit."""
    for match in PIN.finditer(content):
        yield f"{match[2].decode()}@{match[4].decode()}", match[3].decode()


def version(tag: str) -> tuple[int, ...]:
    """A tag, to be compared with others."""
    return tuple(int(number) for number in re.findall(r"\d{1,18}", tag))


def wrong_pin(pin: str, commit: str, known: Mapping[str, str], *, older: bool = True) -> str:
    """What is wrong with a pin against those that are known; empty if it is one of them, or newer.

    Args:
        older: an older version than the newest known one is wrong, too.
    """
    action, _, tag = pin.rpartition("@")
    tags = [one.rpartition("@")[2] for one in known if one.rpartition("@")[0] == action]
    newest = max(tags, key=version, default="")
    if known.get(pin) == commit or not newest:
        return ""
    if same := [one for one in tags if version(one) == version(tag)]:
        return f"{action}: {commit} is another commit under the tag {tag} than {known[f'{action}@{same[0]}']}"
    if older and version(tag) < version(newest):
        return f"{action}: went back from {newest} to {tag}"
    return ""


# ---- CODEOWNERS


def owners_read(root: Path) -> str:
    """The CODEOWNERS file that GitHub reads."""
    return next((path for path in CODEOWNERS if (root / path).is_file()), CODEOWNERS[0])


def _owned(lines: bytes) -> Iterator[tuple[str, list[str]]]:
    """Each line's pattern, and its owners."""
    for line in lines.decode("utf-8", "replace").splitlines():
        pattern, *owners = re.findall(r"(?:\\.|\S)+", line) or ["#"]
        if pattern[0] not in "#!" and "[" not in pattern:  # GitHub knows neither negation nor ranges
            yield pattern, [owner.lower() for owner in takewhile(lambda word: word[0] != "#", owners)]


def _meet(pattern: str, ours: str) -> bool:
    """Whether a pattern can match something of `ours`, which is a folder (/a/b/) or a file (/a/b) by its path.

    Source: https://docs.github.com/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners#codeowners-syntax
    """
    pattern, ours = (re.sub(r"\\(.)", r"\1", one) for one in (pattern, ours))
    if "/" not in pattern.rstrip("/"):
        pattern = f"**/{pattern}"  # one of a single part matches at any depth
    theirs, own, folder = pattern.lstrip("/").split("/"), ours.strip("/").split("/"), ours.endswith("/")
    for part, mine in zip(theirs, own, strict=False):
        if part == "**":
            rest = "/".join(theirs[theirs.index(part) + 1 :])
            return folder or not rest or fnmatch.fnmatchcase(own[-1], rest.rpartition("/")[2])
        if not part:  # what ends with a slash is a folder, and all that is in it
            return True
        if not fnmatch.fnmatchcase(mine, part):
            return False
    if len(theirs) <= len(own):  # it names what we have, or a folder around it; `*` at the end is no folder's content
        return theirs[-1] != "*" or (len(theirs) == len(own) and not folder)
    return folder


def taken_away(content: bytes) -> list[str]:
    """The patterns below dpra's block that give what it protects to nobody, or to somebody else, too.

    The last line that matches decides, and any of its owners may approve.
    """
    content = content.replace(b"\r\n", b"\n")
    if not (match := BLOCK.search(content)):
        return []
    ours = list(_owned(match[1]))
    owners = {owner for _, owners in ours for owner in owners}
    return [
        pattern
        for pattern, theirs in _owned(content[match.end() :])
        if not (theirs and {*theirs} <= owners) and any(_meet(pattern, own) for own, _ in ours)
    ]


def unowned(root: Path, made: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What takes the protection of dpra's lines in CODEOWNERS away: the file, and what is wrong."""
    for path in (path for path in CODEOWNERS if path in made and (root / path).is_file()):
        content = (root / path).read_bytes()
        if (read := owners_read(root)) != path:
            yield read, f"GitHub reads this file and not {path}, where dpra's lines are; run: dpra generate"
        if (root / path).is_symlink() or len(content) > LARGEST:
            yield path, "GitHub reads neither a link nor more than 3 MB"
        for pattern in taken_away(content):
            yield path, f"'{pattern}' below dpra's lines takes their protection away; move the line above them"


# ---- All of it


def problems(root: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """What does not hold: a file, and what is wrong with it. And the pins that the lock does not know."""
    lock = json.loads((root / LOCK).read_text(encoding="utf-8"))
    known, found, unverified = dict(lock.get("pins", {})), [], dict[str, None]()
    if digest((root / SPEC).read_bytes()) != lock["spec"]:
        found.append((SPEC, "changed since the files were generated; run: dpra generate"))
    for name, entry in lock["files"].items():
        try:
            content = (root / name).read_bytes()
        except OSError:
            found.append((name, "missing; run: dpra generate"))
            continue
        part = block(content) if entry.get("block") else content
        if part is None or digest(part) != entry["sha256"]:
            found.append((name, f"edited by hand; change {SPEC} instead, or take it back with: dpra generate --force"))
        for pin, commit in pins(part or b""):
            if wrong := wrong_pin(pin, commit, known):
                found.append((name, f"{wrong}; if that is meant, take it over with: dpra generate --force"))
            elif pin not in known:
                action, _, tag = pin.rpartition("@")
                unverified[f"{action}@{commit} # {tag}"] = None
    for name in strays(root, {*lock["files"], *lock.get("unmanaged", ())}):
        found.append((name, f"not made by dpra, and runs beside what is; delete it, or move it out of {VENDORED}"))
    return [*found, *unowned(root, lock["files"])], list(unverified)


def escaped(text: str) -> str:
    """Text in a log command of GitHub's."""
    codes = {"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"}
    return "".join(codes.get(character, character) for character in text)


def main() -> int:
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        found, unverified = problems(Path.cwd())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"::error::{LOCK} or {SPEC} cannot be read: {type(error).__name__}. Run: dpra generate")
        return 2
    for name, text in found:
        print(f"::error file={escaped(name)}::{text if text.isprintable() else ascii(text)}")
    for pin in unverified:
        print(f"::notice::{pin}: unverified, since {LOCK} does not know this tag; dpra check asks GitHub")
    if not found:
        print("The generated files are what dpra.yml says.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
