#!/usr/bin/env bash
# One check on a developer's machine, as a pre-commit hook: hook.sh ACTION TOOL [FILE...]. It judges what is staged: of the
# files that are named, or, without any, of what the tool finds by itself. Tools are kept in ~/.cache/dpra.
set -euo pipefail

RUNNER_TEMP=$(mktemp -d)
trap 'rm -rf "$RUNNER_TEMP"' EXIT
action=$1 tool=$2
shift 2
export RUNNER_TEMP DPRA_TOOLS="${XDG_CACHE_HOME:-$HOME/.cache}" DPRA_STAGED=yes
export INPUT_ACTION=$action INPUT_TOOL=$tool INPUT_FAIL_ON="${DPRA_FAIL_ON:-medium}"
if (($# > 0)); then
  # Linters ask the project's own configuration.
  configuration=$(git ls-files -- '*pyproject.toml' '*ruff.toml' '*.cfnlintrc' '*.hadolint.yaml' 'config/checkstyle/*')
  mapfile -t files <<< "$configuration"
  for file in "${files[@]}" "$@"; do
    [[ -z $file ]] || git checkout-index --force --quiet --prefix="$RUNNER_TEMP/staged/" -- "$file"
  done
  export INPUT_TARGET=$RUNNER_TEMP/staged
fi
python3 -I -B "$(dirname "${BASH_SOURCE[0]}")/scan.py"
