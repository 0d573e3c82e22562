#!/usr/bin/env bash
# Dynamic testing of an API: requests made from its OpenAPI document (the input `file`, else openapi.yml) against $URL. A
# server error, or an answer that the document does not know, is a finding.
# default for dast: any
# version: 4.32.5
# version-command: schemathesis --version
# ok-exit-codes: 0
# pip: schemathesis==4.32.5
set -euo pipefail
cd "$TARGET"
code=0
schemathesis run "${TOOL_FILE:-openapi.yml}" --url "$URL" --max-examples 20 --generation-deterministic --exclude-checks unsupported_method --no-color \
  --report junit --report-junit-path "$TMPDIR/found.xml" >&2 || code=$?
((code <= 1)) || exit 70
python3 -I -B - "$TMPDIR/found.xml" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" schemathesis
import json, sys
import xml.etree.ElementTree as ElementTree
cases = list(ElementTree.parse(sys.argv[1]).getroot().iter("testcase"))
if not any(case.find("skipped") is None for case in cases):
    sys.exit("schemathesis tested nothing")
for case in cases:
    for kind in ("failure", "error"):
        for one in case.findall(kind):
            text = " ".join(((one.get("message") or "") + " " + (one.text or "")).split())[:400]
            print(json.dumps({"rule": case.get("name"), "severity": "high", "text": text}))
PYTHON
