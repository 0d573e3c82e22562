#!/usr/bin/env bash
# Weaknesses by dpra's own rules (check/rules/semgrep), and by those that a repository has in policies/semgrep/. Nothing is
# fetched. A file that cannot be parsed is a finding; `nosemgrep` lets nothing through: waive it in dpra.yml.
# default for sast: node java go cdk
# serves sast: python
# Besides its arguments it reads .semgrepignore and .gitignore at and below what it looks at (copies of code only, beside an
# empty .semgrepignore), ~/.semgrep (an empty HOME) and SEMGREP_* (none reach it).
# version: 1.182.0
# version-command: semgrep --version
# environment: JAVA_HOME GOROOT
# ok-exit-codes: 0
# pip: semgrep==1.182.0
set -euo pipefail
python3 -I -B "$CHECK/sast.py" "$CHECK/rules/semgrep" "$CHECK/parse.mjs" semgrep --metrics off | python3 -I -B "$CHECK/sarif.py" semgrep
