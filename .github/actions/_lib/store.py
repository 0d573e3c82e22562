"""The store of releases: a bucket in which each release lies under its digest, written once."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aws
import release
import runner


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
    try:
        aws.call(
            *(region, "s3api", "put-object", "--body", str(path)),
            Bucket=bucket,
            Key=key,
            IfNoneMatch="*",
            ExpectedBucketOwner=owner,
        )
    except aws.Refused as refused:
        if refused.code not in ("PreconditionFailed", "412"):
            raise
        runner.say(f"{path.name} is stored already")


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
        *(release.SBOMS if whole else ()),
    )
    only = [word for name in names for word in ("--include", name)]
    place = f"s3://{bucket}/{component}/{digest}/"
    # One call for all of them: each takes most of a second to start.
    aws.call(
        *(region, "s3", "cp", place, str(directory), "--recursive", "--only-show-errors"),
        *("--exclude", "*", *only),
    )
