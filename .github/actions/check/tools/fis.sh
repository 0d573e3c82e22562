#!/usr/bin/env bash
# Resilience: the experiments of AWS Fault Injection Service that are in the deployed stack, an output each with the template's
# id. One that an alarm of its stop conditions stops, or that has no such alarm, is a finding.
# serves resilience-tests: any
# version: 1.40
# on-path: the AWS CLI, which GitHub's runners have
# version-command: aws --version
# environment: AWS_*
# by-role: it starts what is in the deployed stack, and runs nothing of the repository
# ok-exit-codes: 0
set -euo pipefail
python3 -I -B "$CHECK/fis.py" | python3 -I -B "$CHECK/sarif.py" fis
