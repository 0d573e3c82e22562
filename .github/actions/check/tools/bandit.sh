#!/usr/bin/env bash
# Python code with known weaknesses, the project's tests included. A file that cannot be parsed fails the gate: bandit
# exits 0 on it, but says so in the report. Neither `# nosec` nor a .bandit file lets anything through: waive it in dpra.yml.
# Besides its arguments it reads a .bandit below what it looks at (it looks at copies of Python files only) and its plugins'
# entry points (of its own environment); PYTHON* reach it no more.
# default for sast: python
# version: 1.9.4
# version-command: bandit --version
# hook: \.py$
# ok-exit-codes: 0 1
# pip: bandit[sarif]==1.9.4
set -euo pipefail
python3 -I -B "$CHECK/bandit.py"
