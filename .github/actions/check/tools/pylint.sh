#!/usr/bin/env bash
# Python code: pylint's errors and warnings, as the project's own configuration chooses them. Conventions are low.
# serves code-quality: python
# version: 4.1.4
# version-command: pylint --version
# ok-exit-codes: 0
# pip: pylint==4.1.4
set -euo pipefail
cd "$TARGET"
mapfile -d '' -t files < <(find . -name '*.py' -not -path './.github/*' -not -path '*/.venv/*' -not -path '*/node_modules/*' -print0)
if ((${#files[@]} == 0)); then
  echo "There is no Python file to check." >&2
  exit 65
fi
code=0
# What it imports is not there: the tool has an environment of its own.
report=$(pylint --disable import-error --output-format json2 "${files[@]}") || code=$?
# Bits: 1 fatal, 2 error, 4 warning, 8 refactor, 16 convention, 32 wrong use. Fatal and wrong use mean it did not look.
if ((code & 33)); then exit 70; fi
python3 -I -c '
import json, sys
severities = {"fatal": "high", "error": "high", "warning": "medium"}
for one in json.load(sys.stdin)["messages"]:
    severity = "high" if one["messageId"] == "E0001" else severities.get(one["type"], "low")
    print(json.dumps({"rule": one["symbol"], "severity": severity, "text": one["message"],
                      "file": one["path"].removeprefix("./"), "line": one["line"]}))
' <<<"$report" | python3 -I -B "$CHECK/sarif.py" pylint
