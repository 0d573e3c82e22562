#!/usr/bin/env bash
# Performance by the project's own script (the input `file`, else tests/performance.sh), such as one that calls JMeter, against
# $URL. It writes to $PERFORMANCE_REPORT what it measured, in milliseconds, and whether its thresholds held:
# {"requests": 1200, "p95": 83.5, "thresholds": {"fewer than 1 % failed": true}}
# serves performance-tests: any
# version: 4.0
# on-path: bash
# version-command: bash --version
# environment: AWS_*
# ok-exit-codes: 0
set -euo pipefail
cd "$TARGET"
export PERFORMANCE_REPORT=$TMPDIR/performance.json
bash -eo pipefail "${TOOL_FILE:-tests/performance.sh}" >&2 || exit 70
python3 -I -B - "$PERFORMANCE_REPORT" > "$TMPDIR/k6.json" <<'PYTHON'
import json, sys
said = json.load(open(sys.argv[1], encoding="utf-8"))
thresholds = {name: held is not True for name, held in said["thresholds"].items()}  # as k6 says it: whether it was crossed
print(json.dumps({"metrics": {"http_reqs": {"count": said["requests"]}, "thresholds": {"thresholds": thresholds},
                              "http_req_duration": {"p(95)": float(said["p95"])}}}))
PYTHON
python3 -I -B "$CHECK/performance.py" "$TMPDIR/k6.json" | python3 -I -B "$CHECK/sarif.py" project
