#!/usr/bin/env bash
# What Amazon Inspector found in a machine's image as EC2 Image Builder tested it: the build brings it, as inspector.json in the
# release. What has no fix yet counts as little as it does for Trivy; what Trivy told is not told again.
# serves vulnerability-assessment: machine
# by-key: image.inspector
# version: 3.11
# on-path: Python, which GitHub's runners have
# version-command: python3 --version
# ok-exit-codes: 0
set -euo pipefail
python3 -I -B "$CHECK/inspector.py" | python3 -I -B "$CHECK/sarif.py" inspector
