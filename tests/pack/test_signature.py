"""A release is stored once, signed by a key that never leaves KMS, and verified first: by the real CLI."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest

COMMIT = "c0ffee" + "0" * 34
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_REPOSITORY_ID": "456",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_RUN_ID": "7",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_SHA": COMMIT,
    "GITHUB_WORKFLOW_REF": "acme/shop/.github/workflows/pipeline.yml@refs/heads/main",
}


@pytest.fixture(scope="module")
def cloud() -> Any:
    """AWS on this machine, with two keys that sign and a bucket: the ARN of the keys' aliases, and S3."""
    from dpra.rehearsal import mends
    from moto.server import ThreadedMotoServer

    mends.forget()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    about = {"endpoint_url": url, "region_name": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    kms, s3 = boto3.client("kms", **about), boto3.client("s3", **about)
    aliases = []
    for name in ("alias/dpra-shop", "alias/another"):
        key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]
        kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
        aliases.append(f"arn:aws:kms:eu-west-1:{key['AWSAccountId']}:{name}")
    s3.create_bucket(Bucket="store", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield url, *aliases, s3
    server.stop()


@pytest.fixture
def signed(cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A signed release; its directory, its digest and the key."""
    import release
    import signature

    url, key, _, _ = cloud
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": url, "RUNNER_TEMP": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "release"
    folder.mkdir()
    for name in ("package.zip", "template.yml", "sbom.cdx.json", "sbom.spdx.json"):
        (folder / name).write_text(f"the content of {name}\n")
    digest = release.describe(folder, "shop")
    (folder / "provenance.json").write_text(json.dumps(release.statement(folder, digest)))
    signature.sign(folder, key)
    return folder, digest, key


WORKFLOWS = ".github/workflows/pipeline.yml@refs/heads/main .github/workflows/hotfix.yml@refs/heads/main"


def verify(folder: Path, digest: str, key: str, workflows: str = WORKFLOWS) -> None:
    """As deploy/verify.py does it."""
    import release
    import signature

    commit = os.environ["GITHUB_SHA"]
    signature.verify(folder, key)
    release.verify_statement(folder, digest, commit, workflows)
    release.verify(folder, digest, "shop", commit)


def test_what_was_signed_is_let_through(signed: Any) -> None:
    verify(*signed)
    said = json.loads((signed[0] / "provenance.json").read_text())
    assert said["subject"] == [{"name": "release.json", "digest": {"sha256": signed[1]}}]
    build = said["predicate"]["buildDefinition"]
    assert build["externalParameters"]["workflow"]["path"] == ".github/workflows/pipeline.yml"
    assert build["internalParameters"] == {"github": {"repository_id": "456"}}


@pytest.mark.parametrize(
    "name", ["package.zip", "template.yml", "release.json", "sbom.cdx.json", "provenance.json", "provenance.sig"]
)
def test_one_flipped_byte_stops_it(signed: Any, name: str) -> None:
    import runner

    path = signed[0] / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(runner.Failed):
        verify(*signed)


@pytest.mark.parametrize("content", [None, "", "!", "bm90IGEgc2lnbmF0dXJl"])
def test_without_a_signature_it_stops(signed: Any, content: str | None) -> None:
    import runner

    path = signed[0] / "provenance.sig"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(runner.Failed, match=r"not signed|signature"):
        verify(*signed)


def test_the_signature_of_another_key_stops_it(signed: Any, cloud: Any) -> None:
    import runner
    import signature

    folder, digest, key = signed
    signature.sign(folder, cloud[2])
    with pytest.raises(runner.Failed, match=r"the release's signature is not by .*dpra-shop"):
        verify(folder, digest, key)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("GITHUB_SHA", "d" * 40, "of commit"),
        ("GITHUB_REPOSITORY", "evil/shop", "of repository"),
        ("GITHUB_REPOSITORY_ID", "457", "of repository id"),
    ],
)
def test_what_was_signed_elsewhere_stops(
    signed: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    """By the right key: an artifact of another commit, or of a repository that took the name."""
    import runner

    monkeypatch.setenv(variable, value)
    with pytest.raises(runner.Failed, match=says):
        verify(*signed)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GITHUB_WORKFLOW_REF", "acme/shop/.github/workflows/nightly.yml@refs/heads/main"),
        ("GITHUB_WORKFLOW_REF", "acme/shop/.github/workflows/pipeline.yml@refs/heads/feature"),
        ("GITHUB_WORKFLOW_REF", "acme/shop/.github/workflows/pipeline.yml@refs/tags/main"),
        ("GITHUB_WORKFLOW_REF", "acme/other/.github/workflows/pipeline.yml@refs/heads/main"),
        ("GITHUB_WORKFLOW_REF", "acme/shop/.github/workflows/pipeline.yml"),
        ("GITHUB_WORKFLOW_REF", ""),
        ("GITHUB_REF", "refs/heads/feature"),
        ("GITHUB_REF", ""),
    ],
)
def test_what_another_workflow_or_branch_signed_stops(
    cloud: Any, signed: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """By the right key, as with an attestation: the deployment's own variables count for nothing."""
    import release
    import runner
    import signature

    folder, digest, key = signed
    monkeypatch.setenv(variable, value)
    (folder / "provenance.json").write_text(json.dumps(release.statement(folder, digest)))
    signature.sign(folder, key)
    monkeypatch.setenv(variable, ENVIRONMENT[variable])
    with pytest.raises(runner.Failed, match=r"the release's provenance is of (workflow|source) "):
        verify(folder, digest, key)


@pytest.mark.parametrize("workflows", ["", ".github/workflows/hotfix.yml@refs/heads/main", "pipeline.yml"])
def test_a_workflow_that_is_not_asked_for_is_not_let_through(signed: Any, workflows: str) -> None:
    import runner

    with pytest.raises(runner.Failed, match=r"of workflow '.github/workflows/pipeline.yml@refs/heads/main', not"):
        verify(*signed, workflows)


def test_what_was_signed_with_it_and_is_gone_stops_it(signed: Any) -> None:
    """A deployment without the image would run another one; the SBOMs it does not need, and does not fetch."""
    import release
    import runner
    import signature

    folder, digest, key = signed
    (folder / "image.json").write_text('{"uri": "1.dkr.ecr/shop@sha256:0"}\n')
    (folder / "provenance.json").write_text(json.dumps(release.statement(folder, digest)))
    signature.sign(folder, key)
    for name in release.SBOMS:
        (folder / name).unlink()
    verify(folder, digest, key)
    (folder / "image.json").unlink()
    with pytest.raises(runner.Failed, match=r"^image.json was signed with the release, and is missing$"):
        verify(folder, digest, key)


def test_another_release_that_was_signed_stops(signed: Any) -> None:
    import runner

    folder, _, key = signed
    with pytest.raises(runner.Failed, match="of digest"):
        verify(folder, "0" * 64, key)


def test_the_store_keeps_what_it_has_and_gives_it_back(signed: Any, cloud: Any, tmp_path: Path) -> None:
    import store

    folder, digest, key = signed
    owner, s3 = key.split(":")[4], cloud[3]
    store.put("eu-west-1", "store", owner, "shop", digest, folder)
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    (changed / "package.zip").write_text("something else")
    store.put("eu-west-1", "store", owner, "shop", digest, changed)  # written once
    kept = s3.get_object(Bucket="store", Key=f"shop/{digest}/package.zip")["Body"].read()
    assert kept == (folder / "package.zip").read_bytes()
    fetched = tmp_path / "fetched"
    store.get("eu-west-1", "store", "shop", digest, fetched)
    verify(fetched, digest, key)


@pytest.mark.parametrize(
    ("bucket", "component"), [("file:///etc", "shop"), ("store", "file:///etc/passwd"), ("store", "$(id)")]
)
def test_a_strange_place_in_the_store_is_refused(signed: Any, tmp_path: Path, bucket: str, component: str) -> None:
    import runner
    import store

    with pytest.raises(runner.Failed, match="is not a bucket, component or digest"):
        store.get("eu-west-1", bucket, component, "0" * 64, tmp_path / "fetched")


@pytest.mark.parametrize("key", ["", "alias/dpra-shop", "arn:aws:s3:::store", "arn:aws:kms:x"])
def test_a_key_that_is_no_arn_is_refused(signed: Any, key: str) -> None:
    import runner
    import signature

    with pytest.raises(runner.Failed, match="is not the ARN of a KMS key"):
        signature.verify(signed[0], key)
