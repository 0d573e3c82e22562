#!/usr/bin/env bash
# uv from PyPI: pip takes only a file whose SHA-256 stands in requirements.txt. What the machine brings stays, if it is not older.
set -euo pipefail

lock="$(dirname "${BASH_SOURCE[0]}")/requirements.txt"
wanted=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' "$lock")
present=$(uv --version 2> /dev/null | cut -d ' ' -f 2) || present=
if [[ -n $present ]] && printf '%s\n' "$wanted" "$present" | sort --version-sort --check=quiet; then
  echo "uv $present is on this machine."
  exit
fi
python3 -I -B -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
  --target "$RUNNER_TEMP/uv" --requirement "$lock"
echo "$RUNNER_TEMP/uv/bin" >> "$GITHUB_PATH"
