"""Images go to ECR once, by the real skopeo: whom ECR gave no token, or IAM no permission, the registry refuses."""

import hashlib
import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer

ACCOUNT, REGION, TAG = "444444444444", "eu-west-1", "0" * 64


def archive(content: bytes) -> bytes:
    """An image of one layer, as `docker save` writes it."""

    def tar(files: dict[str, bytes]) -> bytes:
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w") as packed:
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                packed.addfile(entry, io.BytesIO(data))
        return held.getvalue()

    layer = tar({"content": content})
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": ["shop:1"], "Layers": ["layer.tar"]}]).encode()
    return tar({"manifest.json": manifest, "config.json": config, "layer.tar": layer})


def package(folder: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "package.zip", "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return folder / "package.zip"


def policy(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def cloud(needs: Any, tmp_path: Path, acting: Any) -> Iterator[Cloud]:
    """A rehearsal's AWS with a repository, and a job's environment in which a role may push."""
    from moto.iam.models import iam_backends

    needs("skopeo")
    with Cloud(Issuer("acme/shop", "main", "a" * 40)) as cloud:
        statement = {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}
        iam = iam_backends[ACCOUNT]["aws"]
        iam.create_role("store", policy(), "/", None, "", [], "3600")
        iam.put_role_policy("store", "push", policy(statement))
        (tmp_path / "bin").mkdir()
        cloud.registry.install(tmp_path / "bin", cloud.url)
        acting(cloud, f"arn:aws:iam::{ACCOUNT}:role/store", tmp_path / "bin")
        ecr: Any = boto3.Session().client("ecr", region_name=REGION)
        ecr.create_repository(repositoryName="dpra-shop", imageTagMutability="IMMUTABLE")
        yield cloud


def push(files: dict[str, bytes], folder: Path) -> str:
    import images

    return images.push(package(folder, files), REGION, ACCOUNT, "dpra-shop", TAG)


def allow(*actions: str) -> None:
    from moto.iam.models import iam_backends

    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    iam_backends[ACCOUNT]["aws"].put_role_policy("store", "push", policy(statement))


def test_an_image_is_pushed_once_and_known_by_its_digest(cloud: Cloud, tmp_path: Path) -> None:
    uri = push({"image.tar": archive(b"one")}, tmp_path)
    name, _, digest = uri.partition("@")
    assert name == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/dpra-shop"
    manifest = cloud.registry.blobs[digest]
    assert f"sha256:{hashlib.sha256(manifest).hexdigest()}" == digest
    client: Any = boto3.Session().client("ecr", region_name=REGION, endpoint_url=cloud.url)
    found = client.describe_images(repositoryName="dpra-shop")["imageDetails"]
    assert [(one["imageDigest"], one["imageTags"]) for one in found] == [(digest, [TAG])]
    assert push({"image.tar": archive(b"another")}, tmp_path) == uri  # what is there stays


def test_a_package_without_an_image_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    import runner

    with pytest.raises(runner.Failed, match=r"the package has no image\.tar: the package command must save"):
        push({"other.tar": archive(b"one")}, tmp_path)


@pytest.mark.parametrize("lacking", ["ecr:GetAuthorizationToken", "ecr:PutImage", "ecr:UploadLayerPart"])
def test_who_may_not_push_does_not(cloud: Cloud, tmp_path: Path, lacking: str) -> None:
    import runner

    every = ("GetAuthorizationToken", "BatchCheckLayerAvailability", "CompleteLayerUpload", "DescribeImages")
    every += ("InitiateLayerUpload", "PutImage", "UploadLayerPart")
    allow(*{f"ecr:{action}" for action in every} - {lacking})
    with pytest.raises(runner.Failed):
        push({"image.tar": archive(b"one")}, tmp_path)
    assert any(f"is not authorized to perform: {lacking}" in line for line in cloud.refusals)


def test_a_repository_of_another_rehearsal_that_skopeo_remembers_is_no_refusal(cloud: Cloud) -> None:
    [login] = [cloud.registry.log_in(key)["authorizationData"][0]["authorizationToken"] for key in [*cloud.roles][-1:]]
    host = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"

    def asked(repository: str) -> int:
        path = f"/v2/{repository}/blobs/sha256:{'0' * 64}"
        try:
            return cloud.registry.answer("HEAD", host, path, {}, f"Basic {login}", b"")[0]
        except Exception as refused:
            return refused.status  # type: ignore[attr-defined]

    allow("ecr:PutImage")
    assert asked("images/other") == 404
    assert cloud.refusals == []
    assert asked("dpra-shop") == 403
    assert len(cloud.refusals) == 1


def test_without_a_token_of_ecr_nothing_is_pushed(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(archive(b"one"))
    to = f"docker://{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/dpra-shop:1"
    words = ["skopeo", "--insecure-policy", "copy", "--quiet", f"docker-archive:{tmp_path / 'image.tar'}", to]
    assert subprocess.run([*words, "--dest-creds", "AWS:guess"], check=False).returncode != 0
    assert cloud.registry.blobs == {}
