"""The store of releases: a bucket in which each release lies under its digest, written once."""

import base64
import hashlib
import re
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aws
import release
import runner

# In bytes. S3 takes 5 GB in one request, and 10,000 parts of a larger file, each of 5 MiB at least but the last.
# Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
AT_ONCE, PART = 5 * 10**9, 128 * 2**20


def put(region: str, bucket: str, owner: str, component: str, digest: str, directory: Path) -> None:
    """Store every file of the release."""
    with ThreadPoolExecutor(8) as pool:  # each call of the CLI takes most of a second to start
        puts = [
            pool.submit(put_once, region, bucket, owner, f"{component}/{digest}/{path.name}", path)
            for path in sorted(directory.iterdir())
        ]
        for put in puts:
            put.result()


def put_once(region: str, bucket: str, owner: str, key: str, path: Path) -> None:
    """Store a file in a bucket of that owner. What is there already stays: the same digest has the same content.

    The roles' policies ask for the condition: without it S3 refuses to write (the key s3:if-none-match)."""
    place = {"Bucket": bucket, "Key": key, "ExpectedBucketOwner": owner}
    try:
        if path.stat().st_size > AT_ONCE:
            _put_in_parts(region, place, path)
        else:
            aws.call(region, "s3api", "put-object", "--body", str(path), **place, IfNoneMatch="*")
    except aws.Refused as refused:
        if refused.code not in ("PreconditionFailed", "412"):
            raise
        runner.say(f"{path.name} is stored already")


def _put_in_parts(region: str, place: Mapping[str, str], path: Path) -> None:
    """The same of a file that S3 does not take in one request: it is there once all of its parts are, or not at all.

    What a runner leaves that dies meanwhile, the bucket's lifecycle removes."""
    size = path.stat().st_size
    upload = str(aws.call(region, "s3api", "create-multipart-upload", **place, ChecksumAlgorithm="SHA256")["UploadId"])
    pool = ThreadPoolExecutor(4)
    try:
        numbers = range(1, -(-size // PART) + 1)
        parts = list(pool.map(lambda number: _put_part(region, place, upload, number, path), numbers))
        about = {"UploadId": upload, "MultipartUpload": {"Parts": parts}, "MpuObjectSize": size, "IfNoneMatch": "*"}
        aws.call(region, "s3api", "complete-multipart-upload", **place, **about)
    except BaseException:
        pool.shutdown(cancel_futures=True)  # a part that comes after the end would stay
        try:
            aws.call(region, "s3api", "abort-multipart-upload", **place, UploadId=upload)
        except runner.Failed as problem:
            runner.warning(f"{problem}: the parts of {path.name} stay until the bucket's lifecycle removes them")
        raise
    finally:
        pool.shutdown()


def _put_part(region: str, place: Mapping[str, str], upload: str, number: int, path: Path) -> dict[str, Any]:
    """Upload a part of a file, which S3 holds against its SHA-256; what it is known by in the whole."""
    with tempfile.NamedTemporaryFile(dir=runner.temp()) as part:  # the CLI takes a file from its beginning to its end
        digest, left = hashlib.sha256(), PART
        with path.open("rb") as whole:
            whole.seek((number - 1) * PART)
            while piece := whole.read(min(left, 2**20)):
                part.write(piece)
                digest.update(piece)
                left -= len(piece)
        part.flush()
        checksum = base64.b64encode(digest.digest()).decode()
        about = {**place, "UploadId": upload, "PartNumber": number, "ChecksumSHA256": checksum}
        said = aws.call(region, "s3api", "upload-part", "--body", part.name, **about)
    return {"PartNumber": number, "ETag": said["ETag"], "ChecksumSHA256": checksum}


def newest(region: str, bucket: str, component: str, name: str) -> str:
    """The digest of the release that was stored last with a file of this name; empty where there is none."""
    listed = aws.call(region, "s3api", "list-objects-v2", Bucket=bucket, Prefix=f"{component}/").get("Contents", [])
    there = [one for one in listed if str(one["Key"]).endswith(f"/{name}")]
    return str(max(there, key=lambda one: str(one["LastModified"]))["Key"]).split("/")[1] if there else ""


def retire(region: str, bucket: str, component: str, digest: str) -> None:
    """Tag a release that nobody can go back to any more: the bucket's lifecycle lets it expire, and no other."""
    listed = aws.call(region, "s3api", "list-objects-v2", Bucket=bucket, Prefix=f"{component}/{digest}/")
    for key in (item["Key"] for item in listed.get("Contents", [])):
        tags = {"TagSet": [{"Key": "dpra-retired", "Value": "true"}]}
        aws.call(region, "s3api", "put-object-tagging", Bucket=bucket, Key=key, Tagging=tags)


def fetch(region: str, bucket: str, component: str, digest: str, name: str, directory: Path) -> None:
    """Fetch one file of a release into a directory."""
    words = ("--bucket", bucket, "--key", f"{component}/{digest}/{name}", str(directory / name))
    aws.call(region, "s3api", "get-object", *words)


def get(region: str, bucket: str, component: str, digest: str, directory: Path, *, whole: bool = False) -> None:
    """Fetch the release into an empty directory; what is missing is told by its verification.

    Args:
        whole: with its SBOMs, which nobody needs to deploy it.
    """
    # The CLI takes these as words only; it would fetch one that is `file://...`.
    if strange := [value for value in (bucket, component, digest) if not re.fullmatch(r"[\w.-]+", value)]:
        raise runner.Failed(
            f"'{strange[0]}' is not a bucket, component or digest: it may have letters, digits and . _ - only", "error"
        )
    directory.mkdir(parents=True)
    names = (
        release.MANIFEST,
        *release.FILES,
        release.PROVENANCE,
        release.SIGNATURE,
        release.ATTESTATION,
        release.IMAGE,
        release.BASE,
        *(release.SBOMS if whole else ()),
    )
    only = [word for name in names for word in ("--include", name)]
    place = f"s3://{bucket}/{component}/{digest}/"
    # One call for all of them: each takes most of a second to start.
    aws.call(
        *(region, "s3", "cp", place, str(directory), "--recursive", "--only-show-errors"),
        *("--exclude", "*", *only),
    )
