#!/usr/bin/env bash
# Node.js packages with known vulnerabilities, by package-lock.json, as npm's registry knows them.
# serves sca: node
# version: 9.0.0
# version-command: npm --version
# on-path: the job's Node.js (actions/setup-node)
# ok-exit-codes: 0
set -euo pipefail
cd "$TARGET"
if [[ ! -f package-lock.json && ! -f npm-shrinkwrap.json ]]; then
  echo "There is no package-lock.json to check." >&2
  exit 65
fi
npm audit --json --registry "${DPRA_NPM_REGISTRY:-https://registry.npmjs.org}" > "$TMPDIR/found.json" || true # 1 for findings as for its own errors: those are in the JSON
python3 -I -c '
import json, sys
found = json.load(open(sys.argv[1], encoding="utf-8"))
if "vulnerabilities" not in found: sys.exit(str(found.get("message") or found.get("error") or "no answer"))
severities = {"critical": "critical", "high": "high", "moderate": "medium"}
for name, one in found["vulnerabilities"].items():
    for via in one["via"]:
        if isinstance(via, dict):
            print(json.dumps({"rule": via["url"].rsplit("/", 1)[-1], "severity": severities.get(via["severity"], "low"),
                              "text": f"{name} {via['"'range'"']}: {via['"'title'"']}", "file": "package-lock.json"}))
' "$TMPDIR/found.json" | python3 -I -B "$CHECK/sarif.py" "npm audit"
