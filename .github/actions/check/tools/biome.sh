#!/usr/bin/env bash
# JavaScript and TypeScript: Biome's recommended lint rules, or the project's own configuration.
# serves code-quality: node cdk
# version: 2.5.0
# version-command: biome --version
# ok-exit-codes: 0 1
# npm: @biomejs/biome@2.5.0
set -euo pipefail
cd "$TARGET"
biome lint --reporter=sarif --reporter-file="$SARIF" --max-diagnostics=none .
