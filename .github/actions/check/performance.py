"""A summary as k6 writes it -> findings: thresholds that were crossed, a 95th percentile worse than before.

The last good run's figures lie in the environment's own bucket ($HISTORY, an s3:// address; empty: nothing to compare
with). A run without findings becomes the last good one."""

import json
import os
import sys
import tempfile
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import runner


def last_good(region: str, bucket: str, key: str) -> float | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "figures.json")
        try:
            aws.call(region, "s3api", "get-object", "--bucket", bucket, "--key", key, str(path))
        except aws.Refused as refused:
            # Who may not list a bucket hears AccessDenied of an object that is not there; writing would tell.
            if refused.code in ("NoSuchKey", "AccessDenied"):
                return None
            raise
        return float(json.loads(path.read_bytes())["p95"])


def keep(region: str, bucket: str, key: str, p95: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "figures.json")
        path.write_text(json.dumps({"p95": p95, "commit": os.environ.get("GITHUB_SHA", "")}), encoding="utf-8")
        aws.call(region, "s3api", "put-object", "--body", str(path), Bucket=bucket, Key=key)


def found(metrics: dict[str, dict[str, object]]) -> list[dict[str, str]]:
    """The thresholds that were crossed. A script without any would pass whatever happens."""
    crossed, known = [], 0
    for name, metric in metrics.items():
        for threshold, failed in dict(metric.get("thresholds") or {}).items():  # type: ignore[call-overload]
            known += 1
            if failed:
                crossed.append({"rule": name, "severity": "high", "text": f"{name}: {threshold} does not hold"})
    if not known:
        crossed.append({"rule": "no-thresholds", "severity": "high", "text": "the script has no thresholds: add some"})
    return crossed


def main() -> None:
    metrics = json.loads(Path(sys.argv[1]).read_bytes())["metrics"]
    if not metrics.get("http_reqs", {}).get("count"):
        sys.exit("no request was made")
    findings, p95 = found(metrics), float(metrics["http_req_duration"]["p(95)"])
    if place := os.environ.get("HISTORY", "").removeprefix("s3://"):
        bucket, _, key = place.partition("/")
        region, most = os.environ["AWS_REGION"], float(os.environ.get("REGRESSION") or 20)
        try:
            before = last_good(region, bucket, key)
            if before is not None and p95 > before * (1 + most / 100):
                text = f"95 % of requests took up to {p95:.1f} ms; in the last good run {before:.1f} ms"
                findings.append(
                    {"rule": "regression", "severity": "high", "text": f"{text}; at most {most:g} % more is allowed"}
                )
            if not findings:
                keep(region, bucket, key, p95)
        except runner.Failed as failed:
            sys.exit(str(failed))
    for finding in findings:
        print(json.dumps(finding))


main()
