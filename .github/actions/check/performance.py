"""A summary as k6 writes it -> findings: thresholds that were crossed, a 95th percentile worse than before.

The last good run's figures lie in the file $HISTORY; where there is none, there is nothing to compare with. A run
without findings leaves its own among the evidence. Who keeps them is no matter of this job, which has no rights in AWS.
"""

import json
import os
import sys
from pathlib import Path


def last_good(path: str) -> float | None:
    if not path or not Path(path).is_file():
        return None
    try:
        return float(json.loads(Path(path).read_bytes())["p95"])
    except (ValueError, LookupError, TypeError) as problem:
        sys.exit(f"{path} is no history: {type(problem).__name__}")


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
    most, before = float(os.environ.get("REGRESSION") or 20), last_good(os.environ.get("HISTORY", ""))
    if before is not None and p95 > before * (1 + most / 100):
        text = f"95 % of requests took up to {p95:.1f} ms; in the last good run {before:.1f} ms"
        findings.append(
            {"rule": "regression", "severity": "high", "text": f"{text}; at most {most:g} % more is allowed"}
        )
    if not findings:
        kept = Path(os.environ["EVIDENCE"], "performance.json")
        kept.write_text(json.dumps({"p95": p95, "commit": os.environ.get("GITHUB_SHA", "")}), encoding="utf-8")
    for finding in findings:
        print(json.dumps(finding))


main()
