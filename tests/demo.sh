#!/usr/bin/env bash
# The main job on this machine: a new repository, its pipeline, executed from commit to production. No account, no Docker.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "1. A new repository: dpra new --no-input name=shop"
dpra new --no-input -o "$folder" name=shop
cd "$folder/shop"
echo "2. The scanners, pinned and verified: dpra tools --install"
dpra tools --install
echo "3. Its pipeline, executed: dpra rehearse --offline"
dpra rehearse --offline --evidence evidence.json
echo "4. What it proves: dpra evidence evidence.json --require required"
dpra evidence evidence.json --require required
