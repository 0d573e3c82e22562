"""A release: a directory with package.zip, template.yml where the deploy tool takes one, of a fleet plan.json, and
release.json, which says what they are.

The SHA-256 of release.json is the digest by which the release is known from build to production. Beside it lie its
SBOMs, the address of its container image and, once it is stored, its provenance: a statement of digest, commit and
repository id, and its signature; or GitHub's attestation of the same.
"""

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import runner

MANIFEST = "release.json"
PACKAGE, TEMPLATE = "package.zip", "template.yml"  # the second where the deploy tool takes one
PLAN = "plan.json"  # of a fleet: the steps from the organisation as it was to what the package wants
FILES = (PACKAGE, TEMPLATE, PLAN)
SBOMS = ("sbom.cdx.json", "sbom.spdx.json")
IMAGE = "image.json"  # {"uri": the container image's address by digest}; of a golden image, what it is
ARCHIVE = "image.tar"  # in the package: a container image, as `docker save` writes it or an OCI archive
INSPECTOR = "inspector.json"  # beside it, where Amazon Inspector scanned a machine: what that found
BASE = "base.json"  # the golden image that it is made on: {"image", "version", "amis": {region: id}}
BESIDE = (*SBOMS, IMAGE, BASE)  # what comes after the build, and is signed with it
PROVENANCE, SIGNATURE = "provenance.json", "provenance.sig"
ATTESTATION = "attestation.json"


def describe(directory: Path, component: str) -> str:
    """Write release.json for the files in the directory; the digest."""
    manifest = {
        "schema": 1,
        "component": component,
        "commit": os.environ["GITHUB_SHA"],
        "files": {name: sha256(directory / name) for name in FILES if (directory / name).exists()},
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, sort_keys=True) + "\n", encoding="utf-8")
    return sha256(directory / MANIFEST)


def verify(directory: Path, digest: str, component: str, commit: str) -> None:
    """Fail unless this is the release of that digest, built from the commit for this component, and nothing else."""
    names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    own = set(names) - {*BESIDE, PROVENANCE, SIGNATURE, ATTESTATION}
    if not {MANIFEST, PACKAGE} <= own <= {MANIFEST, *FILES}:
        raise runner.Failed(
            f"the release should be {MANIFEST}, {PACKAGE} and perhaps {TEMPLATE}, but is {', '.join(names) or 'empty'}"
        )
    for name in names:
        if (directory / name).is_symlink() or not (directory / name).is_file():
            raise runner.Failed(f"{name} in the release is not a file")
    if (got := sha256(directory / MANIFEST)) != digest:
        raise runner.Failed(f"the release has the digest {got}, not {digest}")
    manifest = json.loads((directory / MANIFEST).read_bytes())  # as trustworthy as the digest
    if own != {MANIFEST, *manifest["files"]}:
        raise runner.Failed(
            f"the release should be {MANIFEST}, {', '.join(manifest['files'])}, but is {', '.join(names)}"
        )
    for name in manifest["files"]:
        if (got := sha256(directory / name)) != manifest["files"][name]:
            raise runner.Failed(f"{name} has the SHA-256 {got}, not {manifest['files'][name]} as {MANIFEST} says")
    if manifest["commit"] != commit:
        raise runner.Failed(f"the release is of commit {manifest['commit']}, not of {commit}")
    if manifest["component"] != component:
        raise runner.Failed(f"the release is of component '{manifest['component']}', not '{component}'")


def statement(directory: Path, digest: str) -> dict[str, Any]:
    """What is signed: an in-toto statement with SLSA provenance (https://slsa.dev/spec/v1.0/provenance)."""
    server, repository = os.environ.get("GITHUB_SERVER_URL", ""), os.environ["GITHUB_REPOSITORY"]
    workflow, _, ref = os.environ.get("GITHUB_WORKFLOW_REF", "").removeprefix(f"{repository}/").partition("@")
    beside = [
        {"name": name, "digest": {"sha256": sha256(directory / name)}} for name in BESIDE if (directory / name).exists()
    ]
    source = {"uri": _source(os.environ.get("GITHUB_REF", "")), "digest": {"gitCommit": os.environ["GITHUB_SHA"]}}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": MANIFEST, "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": {
                    "workflow": {"repository": f"{server}/{repository}", "ref": ref, "path": workflow}
                },
                "internalParameters": {"github": {"repository_id": os.environ.get("GITHUB_REPOSITORY_ID", "")}},
                "resolvedDependencies": [source],
            },
            "runDetails": {
                "builder": {"id": f"{server}/actions/runner/{os.environ.get('RUNNER_ENVIRONMENT', '')}"},
                "metadata": {
                    "invocationId": f"{server}/{repository}/actions/runs/{os.environ['GITHUB_RUN_ID']}"
                    f"/attempts/{os.environ['GITHUB_RUN_ATTEMPT']}"
                },
                "byproducts": beside,
            },
        },
    }


def _source(ref: str) -> str:
    return f"git+{os.environ.get('GITHUB_SERVER_URL', '')}/{os.environ['GITHUB_REPOSITORY']}@{ref}"


def verify_statement(directory: Path, digest: str, commit: str, workflows: str) -> None:
    """Fail unless the provenance is of this digest, commit and repository, and of what lies beside it.

    Its signature has been verified: what it says is what the signing job said.

    Args:
        workflows: the only ones that are accepted, as for an attestation: `PATH@REF`, with blanks between.
    """
    try:
        said = json.loads((directory / PROVENANCE).read_bytes())
        build = said["predicate"]["buildDefinition"]
        [subject], [source] = said["subject"], build["resolvedDependencies"]
        workflow = build["externalParameters"]["workflow"]
        beside = {one["name"]: one["digest"]["sha256"] for one in said["predicate"]["runDetails"]["byproducts"]}
        built = f"{workflow['path']}@{workflow['ref']}"
        pairs = {
            "digest": (subject["digest"]["sha256"], digest),
            "commit": (source["digest"]["gitCommit"], commit),
            "repository": (
                workflow["repository"].removeprefix(os.environ.get("GITHUB_SERVER_URL", "") + "/"),
                os.environ["GITHUB_REPOSITORY"],
            ),
            "repository id": (
                build["internalParameters"]["github"]["repository_id"],
                os.environ.get("GITHUB_REPOSITORY_ID", ""),
            ),
            "workflow": (built, built if built in workflows.split() else " or ".join(workflows.split())),
            "source": (source["uri"], _source(workflow["ref"])),
        }
    except (OSError, ValueError, LookupError, TypeError) as problem:
        raise runner.Failed(f"the release's provenance.json cannot be read ({type(problem).__name__})") from problem
    for what, (got, wanted) in pairs.items():
        if got != wanted:
            raise runner.Failed(f"the release's provenance is of {what} '{got}', not '{wanted}'")
    verify_beside(directory, beside)


def verify_beside(directory: Path, signed: Mapping[str, str]) -> None:
    """Fail unless what lies beside the release is what was signed with it: name -> SHA-256. SBOMs may stay away."""
    for name in BESIDE:
        if (directory / name).exists() and sha256(directory / name) != signed.get(name):
            raise runner.Failed(f"{name} is not the one that was signed")
        if name in signed and name not in SBOMS and not (directory / name).exists():
            raise runner.Failed(f"{name} was signed with the release, and is missing")


def unpack(directory: Path, folder: Path) -> None:
    """Put the files of the release's package into the folder, all of them plain ones."""
    for path, entry in extract(directory / PACKAGE, folder):
        if not entry.is_dir():
            path.chmod(0o755 if entry.external_attr >> 16 & stat.S_IXUSR else 0o644)


def extract(package: Path, folder: Path) -> list[tuple[Path, zipfile.ZipInfo]]:
    """Put what is in a package into the folder; each path, and what the package says of it.

    Raises:
        runner.Failed: two entries have one place there: who takes one by its name could get another than who looks.
    """
    found: dict[Path, zipfile.ZipInfo] = {}
    with zipfile.ZipFile(package) as packed:
        for entry in packed.infolist():
            path = Path(packed.extract(entry, folder))  # keeps to the folder, whatever the entry is called
            if path in found and not (entry.is_dir() and path.is_dir()):
                raise runner.Failed(f"'{entry.filename}' has the place of another file of the package", "error")
            found[path] = entry
    return list(found.items())


def image_archive(package: Path, folder: Path) -> Path:
    """Put the container image of a package into the folder; its path.

    Raises:
        runner.Failed: the package has none.
    """
    with zipfile.ZipFile(package) as packed:
        if ARCHIVE not in packed.namelist():
            raise runner.Failed(f"the package has no {ARCHIVE}: the package command must save the image there")
        return Path(packed.extract(ARCHIVE, folder))


def sha256(path: Path) -> str:
    with path.open("rb") as file:  # an image is larger than memory
        return hashlib.file_digest(file, "sha256").hexdigest()
