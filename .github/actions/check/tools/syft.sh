#!/usr/bin/env bash
# SBOMs, as CycloneDX and SPDX. Besides its arguments it reads .syft.yaml and .syft/ where it starts (an empty directory),
# in HOME and XDG (empty) and SYFT_* (none reaches it).
# serves sbom: any
# version: 1.54.0
# oldest: 1.18.1
# version-command: syft version
# ok-exit-codes: 0
# source linux-x64: https://github.com/anchore/syft/releases/download/v1.54.0/syft_1.54.0_linux_amd64.tar.gz sha256: 54a87372498168b2d033e876fd41fa4e8035b872699e525a57046e1f2f09c860
# source linux-arm64: https://github.com/anchore/syft/releases/download/v1.54.0/syft_1.54.0_linux_arm64.tar.gz sha256: ee6d4566373a05b344bc6b5f1706f14419bf9338ba39ff686e247deefe9b8818
set -euo pipefail
export SYFT_CHECK_FOR_APP_UPDATE=false
syft scan "dir:$TARGET" --quiet --exclude './.github/actions/dpra/**' \
  --output "cyclonedx-json=$EVIDENCE/sbom.cdx.json" --output "spdx-json=$EVIDENCE/sbom.spdx.json"
cd "$TARGET" # what it told is held against what lies there
python3 -I -B "$CHECK/sbom.py" | python3 -I -B "$CHECK/sarif.py" syft
