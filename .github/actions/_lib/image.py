"""A golden image: an OCI archive with all of its platforms, and `image.json` beside it, which says what it is.

The archive is image.tar in the release's package, image.json lies beside that and is signed with it: name, version,
digest (of the index, or of the only manifest), platforms (platform -> digest of its manifest) and base (image, digest).
Of a machine the archive holds the files that were looked at, and image.json says two more: ami (id, region, account)
and recipe, the digest of what it is made from; the digest of its base is the id of the parent's AMI. Where Amazon
Inspector scanned it, the package has inspector.json, too: see image_findings.py.
Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import datetime
import hashlib
import json
import os
import re
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import image_findings
import release
import runner

# The day, the run (of a hotfix, whose runs are counted apart, with that word) and, but for its first, the attempt.
VERSION = re.compile(r"(\d{4}\.\d{2}\.\d{2})-((?:hotfix-)?\d+)(?:\.(\d+))?", re.ASCII)
DIGEST, PLATFORM = re.compile(r"sha256:[0-9a-f]{64}"), re.compile(r"[a-z0-9_.]+(/[a-z0-9_.]+){1,2}")
AMI = re.compile(r"ami-(?:[0-9a-f]{17}|[0-9a-f]{8})")
ACCOUNT, REGION = re.compile(r"[0-9]{12}"), re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
LATEST = "latest"  # the parameter beside those of the versions, which names one of them
DAY = "%Y.%m.%d"
APART = 500_000  # what is added to the runs of a hotfix where versions are numbers
INDEX = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


def layout(archive: Path) -> tuple[str, dict[str, str]]:
    """The digest of an OCI archive's only image, and those of its platforms' manifests.

    Raises:
        runner.Failed: it is no such archive, or a blob is not what its digest says.
    """
    try:
        with tarfile.open(archive) as tar:
            [top] = json.loads(_read(tar, "index.json"))["manifests"]
            digest = str(top["digest"])
            if top["mediaType"] not in INDEX:
                config = json.loads(_blob(tar, json.loads(_blob(tar, digest))["config"]["digest"]))
                return digest, {_platform(config): digest}
            manifests = json.loads(_blob(tar, digest))["manifests"]
            found = {_platform(one["platform"]): str(one["digest"]) for one in manifests}
            if len(found) != len(manifests):
                raise ValueError("a platform is there twice")  # each runtime would take another one
            return digest, found
    except (tarfile.TarError, LookupError, TypeError, ValueError, AttributeError) as problem:
        raise runner.Failed(f"{archive.name} is no OCI archive with one image ({type(problem).__name__})") from problem


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(name)
    return file.read()


def _blob(tar: tarfile.TarFile, digest: str) -> bytes:
    content = _read(tar, f"blobs/{digest.replace(':', '/', 1)}")
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise ValueError(digest)
    return content


def _platform(said: dict[str, Any]) -> str:
    return f"{said['os']}/{said['architecture']}"


def read(directory: Path) -> dict[str, Any]:
    """What image.json of a release says.

    Raises:
        runner.Failed: it says nothing, or something else.
    """
    try:
        said: dict[str, Any] = json.loads((directory / release.IMAGE).read_bytes())
        digests, machine = [said["digest"], *said["platforms"].values()], "ami" in said
        digests += [said["base"]["digest"]] if said.get("base") and not machine else []
        digests += [said["recipe"]] if machine or "recipe" in said else []
        wrong = [one for one in digests if not DIGEST.fullmatch(one)]
        wrong += [one for one in said["platforms"] if not PLATFORM.fullmatch(one)]
        if VERSION.fullmatch(said["version"]) and said["platforms"] and not wrong and (not machine or _ami(said)):
            return said
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    raise runner.Failed(f"the release's {release.IMAGE} does not say what image it is")


def _ami(said: dict[str, Any]) -> bool:
    """Whether it says of a machine what it should."""
    ami, base = said["ami"], said["base"]
    known = {"id": AMI, "region": REGION, "account": ACCOUNT}
    right = ami.keys() == known.keys() and all(pattern.fullmatch(ami[name]) for name, pattern in known.items())
    return bool(right and isinstance(base["image"], str) and base["image"] and AMI.fullmatch(base["digest"]))


def semantic(version: str) -> str:
    """A version as EC2 Image Builder has it, three numbers: of 2026.11.28-42.2 it is 2026.1128.4202.

    Raises:
        runner.Failed: it is none.
    """
    match = VERSION.fullmatch(version)
    if not match:
        raise runner.Failed(f"'{version}' is no version of an image")
    year, month, day = match[1].split(".")
    run = int(match[2].removeprefix("hotfix-")) + (APART if match[2].startswith("hotfix-") else 0)
    attempt = int(match[3] or 1)
    if attempt > 99:  # it would be another run's
        raise runner.Failed(f"{version}: EC2 Image Builder's versions have room for 99 attempts: start a new run")
    return f"{int(year)}.{int(month + day)}.{run * 100 + attempt}"


def version() -> str:
    """The version of what this run builds."""
    day, attempt = datetime.datetime.now(datetime.UTC).strftime(DAY), os.environ["GITHUB_RUN_ATTEMPT"]
    return f"{day}-{_run()}{'' if attempt == '1' else f'.{attempt}'}"


def _run() -> str:
    """The run's number, which each workflow counts by itself."""
    workflow = os.environ.get("GITHUB_WORKFLOW_REF", "").partition("@")[0]
    return f"{'hotfix-' if workflow.endswith('/hotfix.yml') else ''}{os.environ['GITHUB_RUN_NUMBER']}"


def run_of(directory: Path) -> str:
    """The run that built the image of a release, whichever its attempt."""
    match = VERSION.fullmatch(read(directory)["version"])
    return match[2] if match else ""


def verify(directory: Path, component: str) -> None:
    """Fail unless image.json says what the release's package is, and a version of this run.

    The job that built it runs the repository's own commands, and the digest of the release is none of image.json: what
    it says is believed from here on, and where a version is published already nothing else is looked at."""
    said = read(directory)
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        with zipfile.ZipFile(directory / release.PACKAGE) as package:
            names = package.namelist()
            if names == [release.ARCHIVE, release.INSPECTOR] and "ami" in said:
                with package.open(release.INSPECTOR) as file:
                    image_findings.read(file, said["ami"]["id"])
            elif names != [release.ARCHIVE]:
                raise runner.Failed(f"the package of an image has {release.ARCHIVE} and nothing else")
        digest, platforms = layout(release.image_archive(directory / release.PACKAGE, Path(folder)))
    match = VERSION.fullmatch(said["version"])
    day, run, attempt = match.groups() if match else ("", "", "")
    pairs = {
        "name": (said.get("name"), component),
        "digest": (said["digest"], digest),
        "platforms": (said["platforms"], platforms),
        "run": (run, _run()),
    }
    for what, (told, true) in pairs.items():
        if told != true:
            raise runner.Failed(f"{release.IMAGE} says {what} {told}, and the image's is {true}")
    now = datetime.datetime.now(datetime.UTC).strftime(DAY)
    if day > now or int(attempt or 1) > int(os.environ["GITHUB_RUN_ATTEMPT"]):
        raise runner.Failed(f"{release.IMAGE} says version {said['version']}, which is none of this run")
