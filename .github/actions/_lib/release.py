"""A release: a directory with package.zip, template.yml and release.json, which says what the other two are.

The SHA-256 of release.json is the digest by which the release is known from build to production.
"""

import hashlib
import json
import os
from pathlib import Path

import runner

MANIFEST = "release.json"
FILES = ("package.zip", "template.yml")


def describe(directory: Path, component: str) -> str:
    """Write release.json for the files in the directory; the digest."""
    manifest = {
        "schema": 1,
        "component": component,
        "commit": os.environ["GITHUB_SHA"],
        "files": {name: _sha256(directory / name) for name in FILES},
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, sort_keys=True) + "\n", encoding="utf-8")
    return _sha256(directory / MANIFEST)


def verify(directory: Path, digest: str, component: str) -> None:
    """Fail unless this is the release of that digest, built from this commit for this component, and nothing else."""
    names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    if names != sorted((MANIFEST, *FILES)):
        raise runner.Failed(
            f"the release should be {MANIFEST}, {', '.join(FILES)}, but is {', '.join(names) or 'empty'}"
        )
    for name in names:
        if (directory / name).is_symlink() or not (directory / name).is_file():
            raise runner.Failed(f"{name} in the release is not a file")
    if (got := _sha256(directory / MANIFEST)) != digest:
        raise runner.Failed(f"the release has the digest {got}, not {digest}")
    manifest = json.loads((directory / MANIFEST).read_bytes())  # as trustworthy as the digest
    for name in FILES:
        if (got := _sha256(directory / name)) != manifest["files"][name]:
            raise runner.Failed(f"{name} has the SHA-256 {got}, not {manifest['files'][name]} as {MANIFEST} says")
    if manifest["commit"] != os.environ["GITHUB_SHA"]:
        raise runner.Failed(f"the release is of commit {manifest['commit']}, this run is of {os.environ['GITHUB_SHA']}")
    if manifest["component"] != component:
        raise runner.Failed(f"the release is of component '{manifest['component']}', not '{component}'")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
