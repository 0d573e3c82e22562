#!/usr/bin/env bash
# Python code with known weaknesses, the project's tests included. A file that cannot be parsed fails the gate: bandit
# exits 0 on it, but says so in the report. Neither `# nosec` nor a .bandit file lets anything through: waive it in dpra.yml.
# default for sast: python
# version: 1.9.4
# version-command: bandit --version
# hook: \.py$
# ok-exit-codes: 0 1
# pip: bandit[sarif]==1.9.4
set -euo pipefail
cd "$TARGET"

if [[ -z $(find . -name '*.py' -not -path './.github/actions/dpra/*' -print -quit) ]]; then
  echo "There is no Python file to check." >&2
  exit 65
fi

code=0
bandit --quiet --ignore-nosec --recursive . --ini <(echo '[bandit]') \
  --exclude '*/.venv/*,*/node_modules/*,./.github/actions/dpra/*' --format sarif --output "$SARIF" || code=$?
# This one message quotes what it found.
[[ ! -f $SARIF ]] || sed -E -i "s/(\"text\": \"Possible hardcoded password: ).*/\1it is not shown\"/" "$SARIF"
exit "$code"
