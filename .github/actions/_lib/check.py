#!/usr/bin/env python3
"""Are the generated files what dpra.yml says? Standard library only: a pull request needs no installed dpra for it.

It compares the lock's hashes with dpra.yml and with each generated file. A changed pin of a third-party action
(`uses: owner/name@<sha> # v1.2.3`) is nobody's drift: pins belong to the user.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

SPEC = "dpra.yml"
LOCK = ".github/dpra.lock"
BEGIN, END = "# dpra: begin", "# dpra: end"
PIN = re.compile(rb"(uses: [\w.-]+/[\w./-]+@)([0-9a-f]{40}) # v?([0-9][\w.]*)")


def normalised(content: bytes) -> bytes:
    """What counts in a file: neither its pins nor how its lines end."""
    return PIN.sub(rb"\1pin", content.replace(b"\r\n", b"\n"))


def digest(content: bytes) -> str:
    """The hash by which the lock knows a file."""
    return hashlib.sha256(normalised(content)).hexdigest()


def block(content: bytes) -> bytes | None:
    """What stands between dpra's marker lines in a file that is otherwise the user's; None without them."""
    match = re.search(
        rb"^%s.*?\n(.*?)^%s$" % (BEGIN.encode(), END.encode()),
        content.replace(b"\r\n", b"\n"),
        re.DOTALL | re.MULTILINE,
    )
    return match[1] if match else None


def problems(root: Path) -> list[str]:
    """What does not hold, a line each; none if the files are what dpra.yml says."""
    lock = json.loads((root / LOCK).read_text(encoding="utf-8"))
    found = []
    if digest((root / SPEC).read_bytes()) != lock["spec"]:
        found.append(f"{SPEC}: changed since the files were generated; run: dpra generate")
    for name, entry in lock["files"].items():
        try:
            content = (root / name).read_bytes()
        except OSError:
            found.append(f"{name}: missing; run: dpra generate")
            continue
        part = block(content) if entry.get("block") else content
        if part is None or digest(part) != entry["sha256"]:
            found.append(f"{name}: edited by hand; change {SPEC} instead, or take it back with: dpra generate --force")
    return found


def main() -> int:
    root = Path.cwd()
    try:
        found = problems(root)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"::error::{LOCK} or {SPEC} cannot be read: {type(error).__name__}. Run: dpra generate")
        return 2
    for problem in found:
        name, _, text = problem.partition(": ")
        print(f"::error file={name}::{text}")
    if not found:
        print("The generated files are what dpra.yml says.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
