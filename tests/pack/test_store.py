"""A release that is too large for one request of S3's is stored in parts, and keeps every promise of the single one."""

import re
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

REGION, ACCOUNT, KEY = "eu-west-1", "123456789012", "shop/d/package.zip"
CONTENT = bytes(range(256)) * 4096 * 13  # 13 MiB: two parts and a rest


@pytest.fixture
def store(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, for which what is large begins at a size that S3's smallest part has."""
    import store

    monkeypatch.setattr(store, "AT_ONCE", 2**20)
    monkeypatch.setattr(store, "PART", 5 * 2**20)
    return store


@pytest.fixture
def s3(cloud: Any, store: Any) -> Any:
    return cloud("s3")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "package.zip").write_bytes(CONTENT)
    return tmp_path / "package.zip"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations of S3 that are called."""
    import aws

    made, call = list[str](), aws.call

    def counted(region: str, service: str, operation: str, *options: str, **parameters: Any) -> Any:
        made.append(operation)
        return call(region, service, operation, *options, **parameters)

    monkeypatch.setattr(aws, "call", counted)
    return made


def left(s3: Any) -> list[Any]:
    return list(s3.list_multipart_uploads(Bucket="packages").get("Uploads", []))


def test_what_is_large_is_stored_in_parts_and_comes_back_whole(
    store: Any, s3: Any, package: Path, calls: list[str], tmp_path: Path
) -> None:
    store.put_once(REGION, "packages", ACCOUNT, KEY, package)
    assert sorted(calls) == ["complete-multipart-upload", "create-multipart-upload", *["upload-part"] * 3]
    assert s3.head_object(Bucket="packages", Key=KEY)["ETag"].endswith('-3"')
    assert not left(s3)
    store.get(REGION, "packages", "shop", "d", tmp_path / "fetched")
    assert (tmp_path / "fetched/package.zip").read_bytes() == CONTENT


def test_what_is_small_is_one_request(store: Any, s3: Any, tmp_path: Path, calls: list[str]) -> None:
    (tmp_path / "release.json").write_bytes(b"x" * 2**20)
    store.put_once(REGION, "packages", ACCOUNT, "shop/d/release.json", tmp_path / "release.json")
    assert calls == ["put-object"]


def test_what_is_there_stays_and_nothing_is_left(
    store: Any, s3: Any, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.put_object(Bucket="packages", Key=KEY, Body=b"first")
    store.put_once(REGION, "packages", ACCOUNT, KEY, package)
    assert "package.zip is stored already" in capsys.readouterr().out
    assert s3.get_object(Bucket="packages", Key=KEY)["Body"].read() == b"first"
    assert not left(s3)


@pytest.mark.parametrize("broken", ["upload-part", "complete-multipart-upload"])
def test_what_fails_leaves_no_part(
    store: Any, s3: Any, package: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second part, and whatever comes last."""
    import aws
    import runner

    call, made = aws.call, list[str]()

    def fails(region: str, service: str, operation: str, *options: str, **parameters: Any) -> Any:
        made.append(operation)
        if operation == broken and parameters.get("PartNumber", 2) == 2:
            raise aws.Refused(f"s3api {operation}", "An error occurred (SlowDown) when calling it: later")
        return call(region, service, operation, *options, **parameters)

    monkeypatch.setattr(aws, "call", fails)
    with pytest.raises(runner.Failed, match="SlowDown"):
        store.put_once(REGION, "packages", ACCOUNT, KEY, package)
    assert made[-1] == "abort-multipart-upload"
    assert not left(s3)
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket="packages", Key=KEY)


def test_parts_that_cannot_be_dropped_are_told_and_the_failure_is_the_first_one(
    store: Any, s3: Any, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import aws
    import runner

    call = aws.call

    def fails(region: str, service: str, operation: str, *options: str, **parameters: Any) -> Any:
        if operation in ("complete-multipart-upload", "abort-multipart-upload"):
            code = "SlowDown" if operation.startswith("complete") else "AccessDenied"
            raise aws.Refused(f"s3api {operation}", f"An error occurred ({code}) when calling it: no")
        return call(region, service, operation, *options, **parameters)

    monkeypatch.setattr(aws, "call", fails)
    with pytest.raises(runner.Failed, match="SlowDown"):
        store.put_once(REGION, "packages", ACCOUNT, KEY, package)
    assert re.search("AccessDenied.*: the parts of package.zip stay until", capsys.readouterr().out)


def test_a_part_that_was_changed_on_its_way_is_refused(
    store: Any, s3: Any, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the CLI sends is not what was read: S3 holds it against the SHA-256."""
    import aws
    import runner

    call = aws.call

    def changed(region: str, service: str, operation: str, *options: str, **parameters: Any) -> Any:
        if operation == "upload-part":
            with open(options[1], "r+b") as part:
                part.write(b"\xff")
        return call(region, service, operation, *options, **parameters)

    monkeypatch.setattr(aws, "call", changed)
    with pytest.raises(runner.Failed, match="BadDigest"):
        store.put_once(REGION, "packages", ACCOUNT, KEY, package)
    assert not left(s3)


def test_s3_takes_5_gb_at_once_and_10_000_parts() -> None:
    import store

    assert store.AT_ONCE <= 5 * 10**9
    assert store.PART >= 5 * 2**20
    assert store.PART * 10_000 > 10**12  # more than a runner's disk has
