#!/usr/bin/env bash
# Resilience: an experiment of the Chaos Toolkit (the input `file`, else tests/resilience.json) against $URL. Its steady
# state must hold before the faults, and after them.
# default for resilience-tests: any
# version: 1.19.0
# version-command: chaos --version
# environment: AWS_*
# ok-exit-codes: 0
# pip: chaostoolkit==1.19.0
set -euo pipefail
cd "$TARGET"
code=0
chaos --no-version-check --no-log-file run --journal-path "$TMPDIR/journal.json" "${TOOL_FILE:-tests/resilience.json}" >&2 || code=$?
((code <= 1)) && [[ -s $TMPDIR/journal.json ]] || exit 70
# Its exit code is 0 even where the steady state was not met at the beginning: the journal says it.
python3 -I -B - "$TMPDIR/journal.json" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" chaostoolkit
import json, sys
journal = json.load(open(sys.argv[1], encoding="utf-8"))
states = journal.get("steady_states") or {}
before, after = states.get("before") or {}, states.get("after") or {}
if before.get("steady_state_met") is not True:
    text = "the steady state was not met before the experiment: it proves nothing"
    print(json.dumps({"rule": "not-steady", "severity": "high", "text": text}))
elif journal.get("deviated") is not False or journal.get("status") != "completed" or after.get("steady_state_met") is not True:
    text = f"the steady state did not hold under faults: {journal.get('status')}"
    print(json.dumps({"rule": "deviated", "severity": "high", "text": text}))
if not journal.get("run"):
    print(json.dumps({"rule": "no-faults", "severity": "high", "text": "the experiment's method did nothing"}))
PYTHON
