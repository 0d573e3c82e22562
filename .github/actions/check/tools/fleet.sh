#!/usr/bin/env bash
# An account fleet: organisation.yml, accounts, policies and baselines against each other, AWS's quotas, and the roles that no
# policy may lock out (docs/account-fleet.md). What is compiled of them goes to $BUILT/fleet/fleet.json.
# $SETTINGS is a JSON object: component, parts (paths of units, in the order of their delivery) and folder, where the files lie.
# default for build-code: fleet
# version: 6.0.3
# version-command: python3 -I -c "import yaml; print(yaml.__version__ if yaml.CSafeLoader else '')"
# ok-exit-codes: 0
# pip: pyyaml==6.0.3
#
# PyYAML is asked for libyaml's events only, as for configuration.
set -euo pipefail
python3 -I -B "$CHECK/fleet.py" compile "$TMPDIR/files" \
  | python3 -I -B "$CHECK/sarif.py" fleet "$TMPDIR/files"
