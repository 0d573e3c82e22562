#!/usr/bin/env bash
# Weaknesses by the same rules as semgrep's, with its open fork.
# serves sast: python node java go cdk
# Besides its arguments it reads .semgrepignore and .gitignore at and below what it looks at (copies of code only, beside an
# empty .semgrepignore), ~/.semgrep (an empty HOME) and SEMGREP_* (none reach it).
# version: 1.30.0
# version-command: opengrep --version
# environment: JAVA_HOME GOROOT
# ok-exit-codes: 0
# source linux-x64: https://github.com/opengrep/opengrep/releases/download/v1.30.0/opengrep_manylinux_x86 sha256: 35779bdd72e92129c8df2a77f0c55e8c08356801ea92591ef32108d6b28d564c
# source linux-arm64: https://github.com/opengrep/opengrep/releases/download/v1.30.0/opengrep_manylinux_aarch64 sha256: a5d5a4a58ba5d46ff51e921663da1c2bba38f4b03987f4aeec87f16c6ad3ecae
set -euo pipefail
python3 -I -B "$CHECK/sast.py" "$CHECK/rules/semgrep" "$CHECK/parse.mjs" opengrep | python3 -I -B "$CHECK/sarif.py" opengrep
