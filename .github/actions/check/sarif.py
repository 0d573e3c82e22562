"""SARIF for tools that do not write it: findings as JSON lines on standard input become the report at $SARIF.

sarif.py TOOL [LIST]. A line has rule, severity (critical, high, medium or low) and text and, where known, file, line
and column. LIST is a file of names, each ended by a zero byte, of what was to be looked at: the tool says
`{"looked": NAME}` of each that it did look at, and every other one is a finding. Names may begin with $TARGET.
"""

import json
import os
import sys
import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.0", "low": "2.0"}  # security-severity, as gate.py reads it
UNSEEN = "the tool did not look at this file: mend what hides it, or waive not-checked with this path in dpra.yml"


def relative(name: str) -> str:
    """The name as the repository has it."""
    target = os.environ.get("TARGET", ".")
    for beginning in dict.fromkeys((target, os.path.realpath(target))):
        name = name.removeprefix(f"{beginning.rstrip('/')}/")
    return name.removeprefix("./")


def result(found: dict[str, Any]) -> dict[str, Any]:
    region = {"startLine": max(1, int(found.get("line") or 1))}
    if column := int(found.get("column") or 0):
        region["startColumn"] = column
    place = {
        "artifactLocation": {"uri": urllib.parse.quote(relative(found.get("file") or ""), errors="replace")},
        "region": region,
    }
    return {
        "ruleId": found["rule"],
        "message": {"text": found["text"]},
        "properties": {"security-severity": SCORES[found["severity"]]},
        "locations": [{"physicalLocation": place}] if found.get("file") else [],
    }


def unseen(path: str, looked: set[str]) -> Iterable[dict[str, Any]]:
    """A finding for each file that was to be looked at and was not."""
    wanted = [relative(name) for name in os.fsdecode(Path(path).read_bytes()).split("\0") if name]
    if not wanted:
        sys.exit("There is no file to check.")
    if looked.isdisjoint(wanted):
        sys.exit(f"The tool looked at none of the {len(wanted)} files.")
    for name in sorted(set(wanted) - looked):
        yield {"rule": "not-checked", "severity": "high", "text": UNSEEN, "file": name}


def main() -> None:
    lines = [json.loads(line) for line in sys.stdin if line.strip()]
    found = [line for line in lines if "looked" not in line]
    for path in sys.argv[2:]:
        told = {one.get("file", "") for one in found if one["rule"] == "not-checked"}  # with a better reason
        told |= {line["looked"] for line in lines if "looked" in line}
        found += unseen(path, {relative(name) for name in told})
    run = {"tool": {"driver": {"name": sys.argv[1]}}, "results": [result(one) for one in found]}
    Path(os.environ["SARIF"]).write_text(json.dumps({"version": "2.1.0", "runs": [run]}), encoding="utf-8")


if __name__ == "__main__":
    main()
