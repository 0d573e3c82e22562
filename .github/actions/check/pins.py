"""pip-audit over the exact versions of all requirements files: pins.py OPTION... prints lines for sarif.py.

pip-audit gets only `name==version` lines of ours, and no pip: it would build what a requirements file names, such as
`./evil`. What has no exact version is a finding.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent))
import files
import manifests


def main() -> None:
    target, private = Path(os.environ["TARGET"]), Path(os.environ["TMPDIR"])
    names = [
        one for one in files.listed(target) if re.search(manifests.REQUIREMENTS, one) and "node_modules/" not in one
    ]
    if not names:
        print("There is no requirements.txt to check.", file=sys.stderr)
        sys.exit(65)
    places: dict[str, dict[str, str]] = {}  # package -> version -> file
    for name in names:
        for line, package, version, wrong in manifests.requirements(target, name, set(names)):
            if wrong:
                print(
                    json.dumps({"rule": "not-checked", "severity": "high", "text": wrong, "file": name, "line": line})
                )
            else:
                places.setdefault(manifests.canonical(package), {}).setdefault(version, name)
    rounds = max((len(versions) for versions in places.values()), default=0)  # one version of a package at a time
    for number in range(rounds):
        pins, found = private / f"pins-{number}.txt", private / f"found-{number}.json"
        chosen = {name: list(versions)[number] for name, versions in places.items() if number < len(versions)}
        pins.write_text("".join(f"{name}=={version}\n" for name, version in chosen.items()), encoding="utf-8")
        ran = subprocess.run(
            (
                *("pip-audit", "--strict", "--no-deps", "--disable-pip", "--progress-spinner", "off"),
                *("--cache-dir", f"{private}/cache", "--requirement", str(pins), *sys.argv[1:]),
                *("--format", "json", "--output", str(found)),
            ),
            stdout=sys.stderr,
            check=False,
        )
        # --strict: a package that the index does not have is an error, not a pass.
        if ran.returncode > 1 or not found.is_file() or not found.stat().st_size:
            sys.exit(70)
        for one in json.loads(found.read_bytes())["dependencies"]:
            for weak in one["vulns"]:
                fix = ", ".join(weak["fix_versions"]) or "none"
                text = f"{one['name']} {one['version']}: {weak['id']}; mended in: {fix}"
                file = places.get(manifests.canonical(one["name"]), {}).get(one["version"], names[0])
                print(json.dumps({"rule": weak["id"], "severity": "high", "text": text, "file": file}))


main()
