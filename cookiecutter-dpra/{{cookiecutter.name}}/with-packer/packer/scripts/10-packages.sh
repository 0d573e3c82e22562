#!/usr/bin/env bash
# Newer packages, with each build and so each night.
set -euo pipefail
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get upgrade --yes
apt-get clean
rm -rf /var/lib/apt/lists/*
