#!/usr/bin/env bash
# Who takes a service over does not have the machine; more of that is in 90-last.sh.
set -euo pipefail
mkdir -p /etc/ssh/sshd_config.d
printf 'PasswordAuthentication no\nPermitRootLogin no\n' > /etc/ssh/sshd_config.d/00-hardening.conf
