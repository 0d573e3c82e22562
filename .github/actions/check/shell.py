"""Shell in what an image is made of: what shellcheck finds in it, and text held against patterns."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

SEVERITY = {"error": "high", "warning": "medium"}  # shellcheck's levels; the others are low


def checked(script: str) -> Iterator[tuple[dict[str, Any], str, int]]:
    """What shellcheck finds in a script: rule and severity for sarif.py, the message, and the line from 1."""
    words = ["shellcheck", "--norc", "--shell", "bash", "--format", "json", "-"]
    ran = subprocess.run(words, input=script.encode(), stdout=subprocess.PIPE, check=False)
    if ran.returncode not in (0, 1):
        sys.exit(f"shellcheck failed with exit code {ran.returncode}")
    for one in json.loads(ran.stdout):
        rule = {"rule": f"SC{one['code']}", "severity": SEVERITY.get(one["level"], "low")}
        yield rule, one["message"], one["line"]


def matches(text: str, pattern: str) -> Iterator[tuple[str, int]]:
    """Where a pattern matches commands, with the line from 1; breaks that a backslash makes none of are none."""
    for match in re.finditer(pattern, text.replace("\\\n", "  ")):
        yield match[0][:100], text.count("\n", 0, match.start()) + 1
