"""Did trivy see the dependencies? Its answer (JSON) against the manifests that are there.

It passes over a manifest that names no exact version, and over a repository in which it finds none, and says nothing.
"""

import json
import os
import sys
from pathlib import Path

# Files from which trivy takes exact versions. What has nothing in it has no dependency.
LOCKS = (
    "package-lock.json yarn.lock pnpm-lock.yaml bun.lock poetry.lock uv.lock Pipfile.lock pdm.lock pom.xml "
    "gradle.lockfile go.mod packages.lock.json packages.config Gemfile.lock composer.lock Cargo.lock"
).split()


def main() -> None:
    found = json.loads(Path(sys.argv[1]).read_bytes()).get("Results") or []
    seen = {result["Target"] for result in found}
    here = [path for path in Path().rglob("*") if not {".git", "node_modules", ".github", ".venv"} & set(path.parts)]
    unseen = []
    for path in here:
        if path.name == "requirements.txt" and path.as_posix() not in seen:
            lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
            unseen += [str(path)] if any(line and not line.startswith("--hash") for line in lines) else []
    if unseen:
        sys.exit(f"{', '.join(unseen)}: no exact version (name==1.2.3), so nothing was checked: pin the versions.")
    manifests = [path for path in here if path.name in (*LOCKS, "requirements.txt")]
    image = "container" in os.environ["DPRA_LANGUAGE"].split()  # its content is checked where it was built
    if not found and not manifests and not image:
        sys.exit("There is no manifest or lock file that names exact versions: commit one.")
    print(f"{len(manifests)} manifests; dependencies in {len(seen)}")


main()
