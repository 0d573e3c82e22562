#!/usr/bin/env bash
# semgrep.sh ENGINE OPTION...: semgrep or its fork over the files of the languages, with dpra's rules and the repository's,
# which only add.
set -euo pipefail
python3 -I -B "$CHECK/sast.py" "$CHECK/rules/semgrep" "$CHECK/parse.mjs" "$@" | python3 -I -B "$CHECK/sarif.py" "$1"
