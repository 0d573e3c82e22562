#!/usr/bin/env bash
# Dynamic configuration: flags.yml and configuration/<profile>/ against what AppConfig takes, their schemas, and the code that
# names flags. One tool for three actions, each with its own rules (docs/configuration.md lists them); with build-code the
# compiled documents of every environment go to $BUILT/configuration.
# $SETTINGS is a JSON object: environments and, where they are not the defaults, flags, operational, references, template, regions.
# default for build-code: configuration
# default for unit-tests: configuration
# default for code-quality: configuration
# version: 6.0.3
# version-command: python3 -I -c "import jsonschema, referencing, yaml; print(yaml.__version__ if yaml.CSafeLoader else '')"
# ok-exit-codes: 0
# pip: pyyaml==6.0.3 jsonschema==4.26.0
#
# PyYAML is asked for libyaml's events only: they come in a fortieth of the time that a parser in Python takes, and what they
# mean is told by YAML 1.2 here. No configuration file of it lies anywhere.
set -euo pipefail
python3 -I -B "$CHECK/configuration.py" "$TMPDIR/files" \
  | python3 -I -B "$CHECK/sarif.py" configuration "$TMPDIR/files"
