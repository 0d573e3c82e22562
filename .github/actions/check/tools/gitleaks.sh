#!/usr/bin/env bash
# Secrets in the whole history, by the default rules. A false finding is waived by its fingerprint in .gitleaksignore;
# a .gitleaks.toml, which could switch all of it off, is not read, nor are comments that allow a line.
# action: secrets-detection
# languages: any
# default: yes
# version: 8.30.1
# version-command: gitleaks version
# ok-exit-codes: 0
# source linux-x64: https://github.com/gitleaks/gitleaks/releases/download/v8.30.1/gitleaks_8.30.1_linux_x64.tar.gz sha256: 551f6fc83ea457d62a0d98237cbad105af8d557003051f41f3e7ca7b3f2470eb
# source linux-arm64: https://github.com/gitleaks/gitleaks/releases/download/v8.30.1/gitleaks_8.30.1_linux_arm64.tar.gz sha256: e4a487ee7ccd7d3a7f7ec08657610aa3606637dab924210b3aee62570fb4b080
set -euo pipefail

scope=(.)
if [[ ${DPRA_STAGED:-} == yes ]]; then
  scope+=(--pre-commit --staged)
else
  git rev-parse --verify HEAD >/dev/null # no repository, or no commit in it: nothing would be looked at
  if [[ $(git rev-parse --is-shallow-repository) == true ]]; then
    echo "The history is cut off: check out with fetch-depth: 0." >&2
    exit 65
  fi
fi

# gitleaks exits 1 for its own errors as for findings: so findings get 0, they are in the report. And it exits 0 when git
# failed under it: so a line that says error is an error.
export GITLEAKS_CONFIG_TOML=$'[extend]\nuseDefault = true'
log="$SARIF.log"
code=0
gitleaks git "${scope[@]}" --redact --no-banner --no-color --ignore-gitleaks-allow \
  --report-format sarif --report-path "$SARIF" --exit-code 0 2> "$log" || code=$?
cat "$log" >&2
if grep -q ' \(ERR\|FTL\) ' "$log"; then exit 70; fi
exit "$code"
