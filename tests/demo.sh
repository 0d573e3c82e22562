#!/usr/bin/env bash
# The main job on this machine: a new repository, its pipeline, executed from commit to production. No account, no Docker.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "1. A new repository: dpra new --no-input name=shop"
dpra new --no-input -o "$folder" name=shop
echo "2. Its pipeline, executed: dpra rehearse --offline"
cd "$folder/shop"
dpra rehearse --offline
