"""A golden image: an OCI archive with all of its platforms, and `image.json` beside it, which says what it is.

The archive is image.tar in the release's package, image.json lies beside that and is signed with it: name, version,
digest (of the index, or of the only manifest), platforms (platform -> digest of its manifest) and base (image, digest).
Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import hashlib
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import release
import runner

VERSION = re.compile(r"\d{4}\.\d{2}\.\d{2}-\d+(\.\d+)?")  # the day, the run and, but for its first, the attempt
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
            return digest, {_platform(one["platform"]): str(one["digest"]) for one in manifests}
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
        if VERSION.fullmatch(said["version"]) and isinstance(said["digest"], str) and said["platforms"]:
            return said
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise runner.Failed(f"the release's {release.IMAGE} does not say what image it is")
