"""Refuses what code scanning refuses: no SARIF 2.1.0, two runs of a tool in one category, a right that is missing."""

import json
import os
import sys
from pathlib import Path

INPUTS = json.loads(os.environ["INPUTS"])


def main() -> None:
    place = Path(os.environ.get("GITHUB_WORKSPACE", "."), INPUTS["sarif_file"])
    reports = sorted(place.rglob("*.sarif")) if place.is_dir() else [path for path in [place] if path.is_file()]
    if not reports:
        sys.exit(f"No SARIF files found to upload in {INPUTS['sarif_file']}.")
    seen: dict[tuple[str, str], Path] = {}
    for path in reports:
        document = json.loads(path.read_bytes())
        if document.get("version") != "2.1.0":
            sys.exit(f"{path.name} is no SARIF 2.1.0")
        # As github/codeql-action does it: the input counts for runs that have no category of their own.
        for run in document["runs"]:
            category = (run.get("automationDetails") or {}).get("id") or f"{INPUTS['category']}/"
            key = (category, run["tool"]["driver"]["name"])
            if key in seen:
                sys.exit(f"multiple SARIF runs with the same category: {key[1]} in {seen[key].name} and {path.name}")
            seen[key] = path


main()
