"""Fetches the figures of the last good performance tests, or keeps those of this run."""

import json
import math
import os
import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import runner


def fetch(region: str, bucket: str, key: str, file: Path) -> None:
    """Into the file; without one there is nothing to compare with."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        aws.call(region, "s3api", "get-object", "--bucket", bucket, "--key", key, str(file))
    except aws.Refused as refused:
        # Who may not list a bucket hears AccessDenied of an object that is not there; writing would tell.
        if refused.code not in ("NoSuchKey", "AccessDenied"):
            raise
        runner.say("no figures of a run before: there is nothing to compare with")


def keep(region: str, bucket: str, key: str, file: Path) -> None:
    """From the file, if the tests left one."""
    if not file.is_file():
        runner.say("the tests left no figures: those of the run before stay")
        return
    try:
        p95 = float(json.loads(file.read_bytes())["p95"])
    except (ValueError, LookupError, TypeError) as problem:
        raise runner.Failed("what the tests left are no figures") from problem
    if not (math.isfinite(p95) and p95 > 0):
        raise runner.Failed("what the tests left are no figures")
    file.write_text(json.dumps({"p95": p95, "commit": os.environ.get("GITHUB_SHA", "")}), encoding="utf-8")
    aws.call(region, "s3api", "put-object", "--body", str(file), Bucket=bucket, Key=key)


def main() -> None:
    try:
        bucket, _, key = runner.required("FIGURES").removeprefix("s3://").partition("/")
        do = {"fetch": fetch, "keep": keep}.get(runner.required("DO"))
        if do is None:
            raise runner.Failed("the input 'do' is neither fetch nor keep", "error")
        do(runner.required("REGION"), bucket, key, Path(runner.required("FILE")))
    except runner.Failed as failed:
        runner.error(str(failed))
        sys.exit(1)


main()
