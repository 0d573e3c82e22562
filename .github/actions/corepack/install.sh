#!/usr/bin/env bash
# Corepack, by its lock file; it brings the version of pnpm or Yarn that package.json names, and checks its signature.
set -euo pipefail

home="$RUNNER_TEMP/corepack"
mkdir -p "$home"
cp "$(dirname "${BASH_SOURCE[0]}")/package.json" "$(dirname "${BASH_SOURCE[0]}")/package-lock.json" "$home"
npm ci --silent --prefix "$home"
mkdir -p "$home/bin"
"$home/node_modules/.bin/corepack" enable --install-directory "$home/bin"
echo "$home/bin" >> "$GITHUB_PATH"
