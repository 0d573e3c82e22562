#!/usr/bin/env bash
# Python packages with known vulnerabilities, by requirements.txt and, transitively, what it asks for.
# serves sca: python
# version: 2.10.1
# version-command: pip-audit --version
# ok-exit-codes: 0
# pip: pip-audit==2.10.1
set -euo pipefail
cd "$TARGET"
if [[ ! -f requirements.txt ]]; then
  echo "There is no requirements.txt to check." >&2
  exit 65
fi
code=0
read -ra options <<< "${DPRA_PIP_AUDIT:-}" # such as another advisory service
# --strict: a package that the index does not have is an error, not a pass.
pip-audit --strict --progress-spinner off --requirement requirements.txt "${options[@]}" \
  --format json --output "$TMPDIR/found.json" || code=$?
((code <= 1)) && [[ -s $TMPDIR/found.json ]] || exit 70
python3 -I -c '
import json, sys
for one in json.load(open(sys.argv[1], encoding="utf-8"))["dependencies"]:
    for found in one["vulns"]:
        fix = ", ".join(found["fix_versions"]) or "none"
        text = f"{one['"'name'"']} {one['"'version'"']}: {found['"'id'"']}; mended in: {fix}"
        print(json.dumps({"rule": found["id"], "severity": "high", "text": text, "file": "requirements.txt"}))
' "$TMPDIR/found.json" | python3 -I -B "$CHECK/sarif.py" pip-audit
