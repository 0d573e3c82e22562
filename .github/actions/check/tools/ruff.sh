#!/usr/bin/env bash
# Python code: ruff's lint rules, as the project's own configuration chooses them, and its format.
# default for code-quality: python
# version: 0.17.6
# version-command: ruff --version
# hook: \.py$
# ok-exit-codes: 0 1
# pip: ruff==0.17.6
set -euo pipefail
cd "$TARGET"
if [[ -z $(find . -name '*.py' -not -path './.github/actions/dpra/*' -print -quit) ]]; then
  echo "There is no Python file to check." >&2
  exit 65
fi
lint=0 format=0
ruff check --no-cache --extend-exclude .github/actions/dpra --output-format sarif --output-file "$SARIF" . || lint=$?
unformatted=$(ruff format --no-cache --check --quiet --extend-exclude .github/actions/dpra \
  --output-format json --preview . ) || format=$?
((lint <= 1 && format <= 1)) || exit 70
# Two tools in one report: what is not formatted becomes a run of its own.
UNFORMATTED=$unformatted python3 -I - <<'PYTHON'
import json, os
from pathlib import Path
path = Path(os.environ["SARIF"])
report = json.loads(path.read_bytes())
results = [
    {
        "ruleId": "unformatted",
        "level": "note",
        "message": {"text": "not formatted: run ruff format"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": one["filename"]}, "region": {"startLine": 1}}}],
    }
    for one in json.loads(os.environ["UNFORMATTED"] or "[]")
]
report["runs"].append({"tool": {"driver": {"name": "ruff format"}}, "results": results})
path.write_text(json.dumps(report))
PYTHON
