# deploys: software
# pipelines: application
"""Amazon S3: the package's files as a site. A marker in the bucket says which release and which files there are."""

import fnmatch
import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import aws
import deployment
import runner
from deployment import Change, Done, Target, polls

MARKER = ".dpra.json"
FOR_A_YEAR = "public, max-age=31536000, immutable"
ASK = "public, max-age=0, must-revalidate"
AT_ONCE = 1_000  # objects that one call deletes


def deploy(target: Target, change: Change) -> Done:
    """Upload what differs: first what pages refer to, then pages, at last what is gone is deleted."""
    bucket, folder = target.text("bucket"), deployment.unpack(change)
    distribution = distribution_id(target)
    marker = read(target)
    if marker.get("state") == "deploying":
        runner.warning(f"a deployment of {str(marker.get('digest'))[:12]} did not end; this one replaces it")
    old: dict[str, str] = marker.get("files", {})
    new = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if MARKER in new:
        raise runner.Failed(f"the package has a file {MARKER}, a name that dpra uses itself: rename it")
    changed = [name for name, digest in new.items() if old.get(name) != digest]
    gone = [name for name in old if name not in new]
    rows = [("change" if name in old else "add", name) for name in changed] + [("delete", name) for name in gone]
    deployment.show(bucket, ("change", "file"), rows)
    started = deployment.timestamp()
    change.before()
    # What a run leaves that dies here: every file that may be there is known to the next one.
    write(target, "deploying", change, {**old, **{name: "" for name in changed}, **{name: "" for name in gone}})
    upload(target, folder, changed)
    write(target, "deploying", change, {**new, **{name: "" for name in gone}})
    invalidation = invalidate(target, distribution, change) if rows else ""
    for start in range(0, len(gone), AT_ONCE):
        keys = [{"Key": key(target, name)} for name in gone[start : start + AT_ONCE]]
        about = {"Bucket": bucket, "Delete": {"Objects": keys, "Quiet": True}, "ExpectedBucketOwner": target.account}
        if errors := aws.call(target.region, "s3api", "delete-objects", **about).get("Errors"):
            raise runner.Failed(f"{errors[0].get('Key')} cannot be deleted: {errors[0].get('Message')}", "error")
    write(target, "deployed", change, new)
    outputs = {"Bucket": bucket} | ({"Url": url} if (url := target.text("url")) else {})
    return Done(invalidation or f"s3://{bucket}/{prefix(target)}", started, outputs)


def settled(target: Target) -> None:
    """What uploads is the runner itself: nothing goes on without it."""


def running(target: Target) -> str:
    marker = read(target)
    return str(marker.get("digest", "")) if marker.get("state") == "deployed" else ""


def prefix(target: Target) -> str:
    text = target.text("prefix").strip("/")
    return f"{text}/" if text else ""


def key(target: Target, name: str) -> str:
    return prefix(target) + name


def read(target: Target) -> dict[str, Any]:
    """The marker; empty where nothing was deployed yet."""
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        path = Path(folder, "marker")
        words = ("--bucket", word(target.text("bucket")), "--key", word(key(target, MARKER)))
        try:
            aws.call(target.region, "s3api", "get-object", *words, "--expected-bucket-owner", target.account, str(path))
            found: dict[str, Any] = json.loads(path.read_bytes())
        except aws.Refused as refused:
            if refused.code == "NoSuchKey":
                return {}
            if refused.code == "NoSuchBucket":
                raise runner.Failed(
                    f"there is no bucket {target.text('bucket')}: create it first, this tool only deploys to it",
                    "error",
                ) from refused
            raise
        except ValueError as problem:
            raise runner.Failed(
                f"{MARKER} in {target.text('bucket')} cannot be read: delete it and run again", "error"
            ) from problem
        return found


def word(text: str) -> str:
    """A value that the CLI takes as a word only; it would fetch one that is `file://...`."""
    if not re.fullmatch(r"[\w./-]+", text) or text.startswith("-"):
        raise runner.Failed(f"'{text}' is not a bucket, key or prefix of letters, digits and _ . / -", "error")
    return text


def write(target: Target, state: str, change: Change, files: dict[str, str]) -> None:
    said = {"schema": 1, "state": state, "digest": change.digest, "commit": change.commit, "files": files}
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        path = Path(folder, "marker")
        path.write_text(json.dumps(said, sort_keys=True) + "\n", encoding="utf-8")
        aws.call(
            *(target.region, "s3api", "put-object", "--body", str(path)),
            Bucket=target.text("bucket"),
            Key=key(target, MARKER),
            ContentType="application/json",
            CacheControl=ASK,
            ExpectedBucketOwner=target.account,
        )


def upload(target: Target, folder: Path, names: list[str]) -> None:
    """One call for all files of a kind: each takes most of a second to start. Pages come last."""
    patterns = [str(pattern) for pattern in target.settings.get("immutable", [])]
    kinds: dict[str, list[str]] = {FOR_A_YEAR: [], ASK: [], "page": []}
    for name in names:
        kept = any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        page = name.endswith((".html", ".htm"))
        kinds["page" if page and not kept else FOR_A_YEAR if kept else ASK].append(name)
    place = f"s3://{word(target.text('bucket'))}/{word(prefix(target)) if prefix(target) else ''}"
    for kind, files in kinds.items():
        if files:
            with tempfile.TemporaryDirectory(dir=runner.temp()) as chosen:
                for name in files:
                    path = Path(chosen, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    os.link(folder / name, path)
                aws.call(
                    *(target.region, "s3", "cp", chosen, place, "--recursive", "--only-show-errors"),
                    *("--cache-control", ASK if kind == "page" else kind),
                )


def distribution_id(target: Target) -> str:
    """The id of the distribution, which is named by it or by one of its domain names; empty where none is."""
    name = target.text("distribution")
    if not name or re.fullmatch(r"E[0-9A-Z]{8,}", name):
        return name
    listed = aws.call(target.region, "cloudfront", "list-distributions")["DistributionList"].get("Items", [])
    for one in listed:
        if name in (one["DomainName"], *one.get("Aliases", {}).get("Items", [])):
            return str(one["Id"])
    raise runner.Failed(
        f"no CloudFront distribution has the domain name {name}: correct deploy.s3.distribution", "error"
    )


def invalidate(target: Target, distribution: str, change: Change) -> str:
    """Have CloudFront forget what it keeps, and wait until it did; the invalidation's id."""
    if not distribution:
        return ""
    run = f"{os.environ['GITHUB_RUN_ID']}-{os.environ['GITHUB_RUN_ATTEMPT']}"
    batch = {
        "Paths": {"Quantity": 1, "Items": [f"/{prefix(target)}*"]},
        "CallerReference": f"{run}-{change.digest[:12]}",
    }
    about = {"DistributionId": distribution, "InvalidationBatch": batch}
    made = aws.call(target.region, "cloudfront", "create-invalidation", **about)["Invalidation"]
    for _ in polls():
        now = aws.call(target.region, "cloudfront", "get-invalidation", DistributionId=distribution, Id=made["Id"])
        if str(now["Invalidation"]["Status"]).lower() == "completed":
            return str(made["Id"])
    raise AssertionError("polls has no end")
