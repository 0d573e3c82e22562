#!/usr/bin/env bash
# CloudFormation templates: what the input `file` names, else those below infrastructure/ and the stacks of cdk.out.
# default for code-quality: cloudformation
# version: 1.58.0
# version-command: cfn-lint --version
# hook: ^infrastructure/[^/]+\.(ya?ml|json)$
# ok-exit-codes: 0
# pip: cfn-lint[sarif]==1.58.0
#
# Every error and warning is mandatory: what a template's Metadata ignores is found all the same.
#
# It reads besides: .cfnlintrc, .cfnlintrc.yaml and .cfnlintrc.yml in the working directory (which is empty) and in HOME
# (empty, too), whose append_rules are code; --config-file names an empty one. No variable but Python's and AWS's.
set -euo pipefail
python3 -I -B "$CHECK/templates.py" > "$TMPDIR/files"
: > "$TMPDIR/empty.yaml"
python3 -I -B - "$TMPDIR/files" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" cfn-lint "$TMPDIR/files"
import glob, json, os, subprocess, sys

names = [os.fsdecode(name) for name in open(sys.argv[1], "rb").read().split(b"\0") if name]
severities = {"Error": "high", "Warning": "medium"}
words = ["cfn-lint", "--config-file", os.path.join(os.environ["TMPDIR"], "empty.yaml")]
for start in range(0, len(names), 500):
    templates = ["--", *(glob.escape(os.path.join(os.environ["TARGET"], name)) for name in names[start : start + 500])]
    ran = subprocess.run([*words, "--list-templates", *templates], stdout=subprocess.PIPE)
    for name in os.fsdecode(ran.stdout).splitlines():
        print(json.dumps({"looked": name}))
    ran = subprocess.run([*words, "--mandatory-checks", "E", "W", "--format", "json", *templates], stdout=subprocess.PIPE)
    if ran.returncode not in range(0, 16, 2):
        sys.exit(f"cfn-lint failed with exit code {ran.returncode}")
    for one in json.loads(ran.stdout or "[]"):
        print(json.dumps({"rule": one["Rule"]["Id"], "severity": severities.get(one["Level"], "low"),
                          "text": one["Message"], "file": one["Filename"], "line": one["Location"]["Start"]["LineNumber"]}))
PYTHON
