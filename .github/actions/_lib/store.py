"""The store of releases: a bucket in which each release lies under its digest, written once."""

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aws
import release
import runner

ALWAYS = (release.MANIFEST, *release.FILES, release.PROVENANCE, release.SIGNATURE)


def put(region: str, bucket: str, owner: str, component: str, digest: str, directory: Path) -> None:
    """Store every file of the release. What is there already stays: the same digest has the same content."""

    def one(path: Path) -> None:
        try:
            aws.call(
                *(region, "s3api", "put-object", "--body", str(path)),
                Bucket=bucket,
                Key=f"{component}/{digest}/{path.name}",
                IfNoneMatch="*",
                ExpectedBucketOwner=owner,
            )
        except aws.Refused as refused:
            if refused.code not in ("PreconditionFailed", "412"):
                raise
            runner.say(f"{path.name} is stored already")

    _each(one, sorted(directory.iterdir()))


def _each(act: Callable[[Any], None], what: Iterable[Any]) -> None:
    """At once: each call of the CLI takes most of a second to start."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, what))


def get(region: str, bucket: str, owner: str, component: str, digest: str, directory: Path) -> None:
    """Fetch the release into an empty directory; what is missing is told by its verification."""
    directory.mkdir(parents=True)

    def one(name: str) -> None:
        # The CLI takes these as words only; it would fetch one that is `file://...`.
        place = {"--bucket": bucket, "--key": f"{component}/{digest}/{name}", "--expected-bucket-owner": owner}
        if strange := [value for value in place.values() if not re.fullmatch(r"[\w./-]+", value)]:
            raise runner.Failed(f"'{strange[0]}' cannot be a place in the store", "error")
        words = [word for pair in place.items() for word in pair]
        try:
            aws.call(region, "s3api", "get-object", *words, str(directory / name))
        except aws.Refused as refused:
            (directory / name).unlink(missing_ok=True)
            # Who may not list a bucket hears AccessDenied of an object that is not there.
            if refused.code not in ("NoSuchKey", "AccessDenied") or name in ALWAYS:
                raise

    _each(one, (*ALWAYS, *release.SBOMS))
