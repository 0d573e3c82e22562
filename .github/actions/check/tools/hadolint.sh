#!/usr/bin/env bash
# Dockerfiles, and the shell in them.
# default for code-quality: container
# version: 2.15.1
# version-command: hadolint --version
# hook: (^|/)([^/]+\.)?Dockerfile(\.[^/]+)?$
# ok-exit-codes: 0 1
# source linux-x64: https://github.com/hadolint/hadolint/releases/download/v2.15.1/hadolint-linux-x86_64 sha256: c7187db94eeeeca956519a6af171adc31453941a1e777961f6e680f697c8c507
# source linux-arm64: https://github.com/hadolint/hadolint/releases/download/v2.15.1/hadolint-linux-arm64 sha256: f6198ef8090f404dbb771abfee086eb8c48ac177f30da7fd3510aca35b344b5d
set -euo pipefail
cd "$TARGET"
mapfile -d '' -t files < <(find . \( -name Dockerfile -o -name 'Dockerfile.*' -o -name '*.Dockerfile' \) -not -path './.github/*' -print0)
if ((${#files[@]} == 0)); then
  echo "There is no Dockerfile to check." >&2
  exit 65
fi
hadolint --disable-ignore-pragma --format sarif "${files[@]}" > "$SARIF"
