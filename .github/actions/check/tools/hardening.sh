#!/usr/bin/env bash
# Hardening of images: a container's (every *.tar, for every platform in it), or a machine's root file system. The rules are
# data, $CHECK/rules/hardening.toml, after the CIS benchmarks; they are decided from the files and the configuration, and
# nothing of the image is run or extracted. A machine's file system is in image.tar, or the target, or the folder `file` in it.
# default for hardening-check: container machine
# version: 3.11
# on-path: Python, which GitHub's runners have
# version-command: python3 --version
# ok-exit-codes: 0
set -euo pipefail
python3 -I -B "$CHECK/hardening.py" "$CHECK/rules/hardening.toml" | python3 -I -B "$CHECK/sarif.py" hardening
