#!/usr/bin/env bash
# Performance under load: a k6 script of the project (the input `file`, else tests/performance.js) against $URL. Its own
# thresholds decide, and the 95th percentile of the last good run.
# default for performance-tests: any
# version: 1.4.2
# oldest: 1.1.0
# version-command: k6 version
# environment: AWS_*
# ok-exit-codes: 0
# source linux-x64: https://github.com/grafana/k6/releases/download/v1.4.2/k6-v1.4.2-linux-amd64.tar.gz sha256: c827501f510265db9c3313e4164d2585a97c7a3485ed440b93f7b1cfe6facd28
# source linux-arm64: https://github.com/grafana/k6/releases/download/v1.4.2/k6-v1.4.2-linux-arm64.tar.gz sha256: 0e9515502f80edb562f12c0b12a59085c0b113c6416d728e3c2a9e5a7506cc5c
set -euo pipefail
code=0
k6 run --quiet --no-usage-report --summary-export "$TMPDIR/k6.json" --env URL="$URL" \
  "$TARGET/${TOOL_FILE:-tests/performance.js}" >&2 || code=$?
((code == 0 || code == 99)) || exit 70 # 99: a threshold was crossed, as the summary says, too
python3 -I -B "$CHECK/performance.py" "$TMPDIR/k6.json" | python3 -I -B "$CHECK/sarif.py" k6
