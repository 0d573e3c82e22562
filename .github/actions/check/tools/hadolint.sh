#!/usr/bin/env bash
# Dockerfiles, and the shell in them.
# default for code-quality: container
# version: 2.15.1
# version-command: hadolint --version
# hook: (^|/)([^/]+\.)?(Docker|Container)file(\.[^/]+)?$
# ok-exit-codes: 0
# source linux-x64: https://github.com/hadolint/hadolint/releases/download/v2.15.1/hadolint-linux-x86_64 sha256: c7187db94eeeeca956519a6af171adc31453941a1e777961f6e680f697c8c507
# source linux-arm64: https://github.com/hadolint/hadolint/releases/download/v2.15.1/hadolint-linux-arm64 sha256: f6198ef8090f404dbb771abfee086eb8c48ac177f30da7fd3510aca35b344b5d
#
# It reads besides: .hadolint.yaml in the working directory and in a user's folders, which can switch all of it off
# (--config names an empty one), HADOLINT_* and NO_COLOR (not passed), comments (--disable-ignore-pragma).
set -euo pipefail
python3 -I -B "$CHECK/files.py" container > "$TMPDIR/files"
echo "{}" > "$TMPDIR/empty.yaml"
python3 -I -B - "$TMPDIR/files" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" hadolint "$TMPDIR/files"
import json, os, subprocess, sys

severities = {"error": "high", "warning": "medium"}
words = ["hadolint", "--config", os.path.join(os.environ["TMPDIR"], "empty.yaml"), "--disable-ignore-pragma"]
for name in [os.fsdecode(name) for name in open(sys.argv[1], "rb").read().split(b"\0") if name]:
    path = os.path.join(os.environ["TARGET"], name)
    ran = subprocess.run([*words, "--format", "json", "--", path], stdout=subprocess.PIPE)
    try:
        found = json.loads(ran.stdout)
    except ValueError:
        continue  # not-checked, then
    if ran.returncode not in (0, 1) or not isinstance(found, list):
        sys.exit(f"hadolint failed with exit code {ran.returncode}")
    print(json.dumps({"looked": name}))
    for one in found:
        print(json.dumps({"rule": one["code"], "severity": severities.get(one["level"], "low"), "text": one["message"],
                          "file": name, "line": one["line"]}))
PYTHON
