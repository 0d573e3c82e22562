"""The container image of a release: pushed once to ECR, from then on known by its digest."""

import base64
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import aws
import release
import runner


def push(package: Path, region: str, account: str, repository: str, tag: str) -> str:
    """Push the package's image; its address by digest. A tag that is there already stays, and is what was pushed."""
    registry = aws.registry(region, account)
    digest = _pushed(region, account, repository, tag)
    if not digest:
        with tempfile.TemporaryDirectory(dir=runner.temp()) as name:
            folder = Path(name)
            archive = release.image_archive(package, folder)
            _log_in(folder / "auth.json", region, account, registry)
            # The policy would be one for signatures of the source, which is our own file.
            words = ["skopeo", "--insecure-policy", "copy", "--quiet", "--authfile", str(folder / "auth.json")]
            words += ["--digestfile", str(folder / "digest"), *_source(archive)]
            try:
                ran = subprocess.run([*words, f"docker://{registry}/{repository}:{tag}"], check=False)
            except OSError as problem:
                raise runner.Failed(
                    f"skopeo cannot be run: {problem.strerror}; install it, or use a hosted Ubuntu runner", "error"
                ) from problem
            if ran.returncode:
                raise runner.Failed(
                    f"skopeo cannot push the image to {registry}/{repository}: its output above says why", "error"
                )
            digest = (folder / "digest").read_text(encoding="ascii").strip()
    return f"{registry}/{repository}@{digest}"


def _source(archive: Path) -> list[str]:
    """What skopeo is told to copy: of an OCI archive all platforms, with their digests; else what Docker saved."""
    with tarfile.open(archive) as tar:
        oci = "oci-layout" in tar.getnames()
    return ["--all", "--preserve-digests", f"oci-archive:{archive}"] if oci else [f"docker-archive:{archive}"]


def _pushed(region: str, account: str, repository: str, tag: str) -> str:
    """The digest of the image with this tag; empty where there is none."""
    asked = {"registryId": account, "repositoryName": repository, "imageIds": [{"imageTag": tag}]}
    try:
        answer = aws.call(region, "ecr", "describe-images", **asked)
    except aws.Refused as refused:
        if refused.code == "ImageNotFoundException":
            return ""
        raise
    return str(answer["imageDetails"][0]["imageDigest"])


def _log_in(authfile: Path, region: str, account: str, registry: str) -> None:
    """Write down for skopeo what ECR says. Nobody else can read it, and it is not among the words of a command."""
    asked = aws.call(region, "ecr", "get-authorization-token", registryIds=[account])
    token = asked["authorizationData"][0]["authorizationToken"]
    runner.mask(token, base64.b64decode(token).decode().partition(":")[2])
    authfile.touch(mode=0o600)
    authfile.write_text(json.dumps({"auths": {registry: {"auth": token}}}), encoding="ascii")
