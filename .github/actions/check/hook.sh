#!/usr/bin/env bash
# One check on a developer's machine, as a pre-commit hook: hook.sh ACTION. It judges what is staged.
set -euo pipefail

RUNNER_TEMP=$(mktemp -d)
trap 'rm -rf "$RUNNER_TEMP"' EXIT
export RUNNER_TEMP RUNNER_TOOL_CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
INPUT_ACTION=$1 INPUT_FAIL_ON=any DPRA_STAGED=yes python3 -B "$(dirname "${BASH_SOURCE[0]}")/scan.py"
