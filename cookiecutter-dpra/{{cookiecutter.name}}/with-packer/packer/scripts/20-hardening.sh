#!/usr/bin/env bash
# Who takes a service over does not have the machine.
set -euo pipefail
mkdir -p /etc/ssh/sshd_config.d
printf 'PasswordAuthentication no\nPermitRootLogin no\n' > /etc/ssh/sshd_config.d/00-hardening.conf
# The last of all that is done: from here on there is no sudo.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
