"""The head of a tool's file, check/tools/<tool>.sh or _lib/deployers/<tool>.py: the comments at its top are its data.

Standard library only and nothing of its siblings: the check action and the generator both read it here.
"""

import re
from pathlib import Path

Header = dict[str, list[str]]


def header(script: Path) -> Header:
    """The lines `# key: value` above the first line that is no comment."""
    data: Header = {}
    for line in script.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if pair := re.fullmatch(r"# ([a-z][a-z0-9 -]*): +(.+)", line):
            data.setdefault(pair[1], []).append(pair[2])
    return data


def served(data: Header) -> dict[str, tuple[list[str], list[str]]]:
    """DPRA action -> the languages that the tool serves in it, and those for which it is the default."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for key, values in data.items():
        kind, _, action = key.rpartition(" ")
        if kind in ("serves", "default for"):
            languages, default = found.setdefault(action, ([], []))
            languages += values[0].split()
            default += values[0].split() if kind == "default for" else []
    return found
