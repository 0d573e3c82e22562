"""SARIF for tools that do not write it: findings as JSON lines on standard input become the report at $SARIF.

A line has rule, severity (critical, high, medium or low) and text and, where known, file and line.
"""

import json
import os
import sys
import urllib.parse
from pathlib import Path
from typing import Any

SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.0", "low": "2.0"}  # security-severity, as gate.py reads it


def result(found: dict[str, Any]) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": urllib.parse.quote(found.get("file") or "", errors="replace")},
        "region": {"startLine": max(1, int(found.get("line") or 1))},
    }
    return {
        "ruleId": found["rule"],
        "message": {"text": found["text"]},
        "properties": {"security-severity": SCORES[found["severity"]]},
        "locations": [{"physicalLocation": place}] if found.get("file") else [],
    }


def main() -> None:
    results = [result(json.loads(line)) for line in sys.stdin if line.strip()]
    run = {"tool": {"driver": {"name": sys.argv[1]}}, "results": results}
    Path(os.environ["SARIF"]).write_text(json.dumps({"version": "2.1.0", "runs": [run]}), encoding="utf-8")


if __name__ == "__main__":
    main()
