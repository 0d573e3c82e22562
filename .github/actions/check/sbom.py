"""The two SBOMs in $EVIDENCE -> what is wrong with them, as sarif.py takes it.

They must be CycloneDX and SPDX, and list components where packages lie: an SBOM without any is what a scanner writes
that saw nothing.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

EVIDENCE = Path(os.environ["EVIDENCE"])


def read(name: str) -> Any:
    return json.loads((EVIDENCE / name).read_bytes())


def packages() -> list[Path]:
    """What tells without any scanner that there are packages."""
    found = [
        path for pattern in ("*.dist-info/METADATA", "node_modules/*/package.json") for path in Path().rglob(pattern)
    ]
    jars = list(Path().rglob("*.jar"))
    return sorted(found + (jars if len(jars) > 1 else []))  # one alone is the component itself


def main() -> None:
    cyclonedx, spdx = read("sbom.cdx.json"), read("sbom.spdx.json")
    found = []
    if cyclonedx.get("bomFormat") != "CycloneDX" or not str(spdx.get("spdxVersion", "")).startswith("SPDX-"):
        sys.exit("the SBOMs are not CycloneDX and SPDX")
    libraries = [one for one in cyclonedx.get("components") or [] if one.get("type") not in ("file", "application")]
    there = packages()
    if there and not libraries:
        text = f"the SBOM lists no component, but there is {there[0]}"
        found.append({"rule": "no-components", "severity": "high", "text": text})
    if not any(one.get("versionInfo") for one in spdx.get("packages") or []) and libraries:
        found.append({"rule": "no-packages", "severity": "high", "text": "the SPDX document lists no package"})
    for one in libraries:
        if not one.get("version"):
            text = f"{one.get('name')}: no version"
            found.append({"rule": "no-version", "severity": "low", "text": text})
    print(f"{len(libraries)} components", file=sys.stderr)
    for one in found:
        print(json.dumps(one))


main()
