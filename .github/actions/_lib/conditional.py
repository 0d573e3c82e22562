"""A JSON object in S3 that several jobs change: each write is of what was read, or it is made anew of what is there."""

import copy
import json
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aws
import runner

Document = dict[str, Any]
T = TypeVar("T")
ATTEMPTS = 40  # at a conditional write; every failed one means that another job's succeeded


@dataclass(frozen=True)
class Place:
    """Where the object lies: a bucket of the account `owner`, and nobody else's of that name."""

    region: str
    bucket: str
    key: str
    owner: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def read(place: Place) -> tuple[Document | None, str]:
    """The object and its ETag; None and no ETag where there is none yet."""
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        path = Path(folder, "document.json")
        words = ("--bucket", place.bucket, "--key", place.key, "--expected-bucket-owner", place.owner, str(path))
        try:
            answer = aws.call(place.region, "s3api", "get-object", *words)
        except aws.Refused as refused:
            if refused.code == "NoSuchKey":
                return None, ""
            raise
        return json.loads(path.read_bytes()), str(answer["ETag"])


def write(place: Place, document: Document, etag: str) -> str:
    """Write it, if what is there is still what was read; its new ETag, empty where it is not."""
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        path = Path(folder, "document.json")
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        about = {"Bucket": place.bucket, "Key": place.key, "ExpectedBucketOwner": place.owner, **condition}
        try:
            return str(aws.call(place.region, "s3api", "put-object", "--body", str(path), **about)["ETag"])
        except aws.Refused as refused:
            if refused.code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                return ""
            raise


def change(place: Place, transition: Callable[[Document], T], empty: Callable[[], Document], name: str) -> T:
    """Apply a change to the object as it is then, however often others change it meanwhile.

    Args:
        empty: what it is where there is none yet.
        name: what it is called.
    """
    for attempt in range(ATTEMPTS):
        kept, etag = read(place)
        document = empty() if kept is None else kept
        before = copy.deepcopy(document)
        answer = transition(document)
        if document == before or write(place, document, etag):
            return answer
        time.sleep(random.uniform(0, min(2.0, 0.1 * 2**attempt)))  # noqa: S311 - to meet less often
    raise runner.Failed(
        f"the {name} {place} changed {ATTEMPTS} times while this job tried to write it: run the job again", "error"
    )
