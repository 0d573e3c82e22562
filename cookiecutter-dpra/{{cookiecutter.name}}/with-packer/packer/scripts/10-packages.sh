#!/usr/bin/env bash
# Newer packages, with each build and so each night.
set -euo pipefail
# What the parent does as it starts has ended; 2: with warnings.
if command -v cloud-init > /dev/null; then
  cloud-init status --wait > /dev/null || [ $? -eq 2 ]
fi
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get upgrade --yes
apt-get clean
rm -rf /var/lib/apt/lists/*
