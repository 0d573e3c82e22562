#!/usr/bin/env bash
# Tests of an organisation's policies: each row of policies/tests/ against the service and resource control policies of its unit
# or account, over the whole inheritance, as AWS decides it. Nothing is asked of AWS. $SETTINGS is as for fleet.
# default for unit-tests: fleet
# version: 6.0.3
# version-command: python3 -I -c "import yaml; print(yaml.__version__ if yaml.CSafeLoader else '')"
# ok-exit-codes: 0
# pip: pyyaml==6.0.3
#
# PyYAML is asked for libyaml's events only, as for configuration.
set -euo pipefail
python3 -I -B "$CHECK/fleet.py" test "$TMPDIR/files" \
  | python3 -I -B "$CHECK/sarif.py" policy-tests "$TMPDIR/files"
