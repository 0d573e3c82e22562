#!/usr/bin/env bash
# Policies for infrastructure code; what the input `file` names, else all that there is. Without an account it knows no
# severities: every failed check is high.
# serves policy-as-code: cloudformation cdk terraform container
# version: 3.3.30
# version-command: checkov --version
# ok-exit-codes: 0
# pip: checkov==3.3.30
#
# It looks at copies: no .checkov.yaml lies beside them (its external-checks-dir is code), and what a comment or Metadata
# skips is found all the same. What checkov did not read is not-checked: check/infrastructure.py adds something to find to
# each copy. Only of Dockerfiles it does not say which it read without finding anything in them.
#
# It reads besides: .checkov.yaml and .checkov.yml in the working directory (empty), in HOME (empty) and in the folder
# that it looks at; CKV_*, CHECKOV_*, BC_*, PRISMA_* (not passed). Modules of Terraform are not downloaded.
# check/infrastructure.py asks $CHECK/files.py and $CHECK/templates.py what there is.
set -euo pipefail
framework=$(python3 -I -B "$CHECK/infrastructure.py" --canary)
echo "compact: true" > "$TMPDIR/empty.yaml"
checkov --directory "$TMPDIR/code" --config-file "$TMPDIR/empty.yaml" --framework "$framework" --skip-download \
  --soft-fail --output json > "$TMPDIR/found.json"
python3 -I -B - "$TMPDIR/found.json" "$framework" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" checkov "$TMPDIR/files"
import json, os, sys

said = json.load(open(sys.argv[1], encoding="utf-8"))
places = json.load(open(os.path.join(os.environ["TMPDIR"], "places.json"), encoding="utf-8"))
if "results" not in said or not said["summary"]["resource_count"]:
    sys.exit("There is nothing to check, or it cannot be parsed.")
results = said["results"]
broken = {os.path.realpath(path) for path in results.get("parsing_errors") or []}
looked = set()
for one in results["failed_checks"] + results["skipped_checks"]:
    path = one["file_abs_path"]
    name, after = places[path]
    if ".dpra_canary_" in one["resource"] or one["resource"].endswith(".DpraCanary"):
        looked.add(path)
    else:
        print(json.dumps({"rule": one["check_id"], "severity": "high", "text": f"{one['check_name']} ({one['resource']})",
                          "file": name, "line": one["file_line_range"][0] - bool(0 < after < one["file_line_range"][0])}))
if sys.argv[2] == "dockerfile":
    looked = set(places)
for path in looked:
    if os.path.realpath(path) not in broken:
        print(json.dumps({"looked": places[path][0]}))
PYTHON
