#!/usr/bin/env bash
# Secrets in the files that git knows: not in the history, where gitleaks looks, nor in lock files and files that are no text
# by their endings. Besides its arguments it reads no configuration (.secrets.baseline only where it is told one), and the
# list of files by git.
# serves secrets-detection: any
# version: 1.5.0
# version-command: detect-secrets --version
# ok-exit-codes: 0
# pip: detect-secrets==1.5.0
set -euo pipefail
cd "$TARGET"
git rev-parse --verify HEAD >/dev/null # no repository: nothing would be checked
detect-secrets scan --no-verify --disable-filter detect_secrets.filters.allowlist.is_line_allowlisted > "$TMPDIR/found.json"
python3 -I -B -c '
import json, sys
for file, found in json.load(open(sys.argv[1], encoding="utf-8"))["results"].items():
    for one in found:
        print(json.dumps({"rule": one["type"], "severity": "critical", "text": one["type"], "file": file,
                          "line": one["line_number"]}))
' "$TMPDIR/found.json" | python3 -I -B "$CHECK/sarif.py" detect-secrets
