#!/usr/bin/env bash
# Terraform: is it valid, and formatted? Without its backend; the providers come by its own lock file.
# default for code-quality: terraform
# version: 1.5.0
# version-command: terraform version
# on-path: the job's Terraform (hashicorp/setup-terraform)
# ok-exit-codes: 0
set -euo pipefail
cd "$TARGET/${TOOL_FILE:-.}"
if [[ -z $(find . -maxdepth 1 -name '*.tf' -print -quit) ]]; then
  echo "There is no Terraform file to check." >&2
  exit 65
fi
export TF_DATA_DIR=$TMPDIR/terraform TF_IN_AUTOMATION=1
terraform fmt -check -recursive . > "$TMPDIR/unformatted" 2> "$TMPDIR/fmt.log" || true # what it cannot read, validate says
terraform init -backend=false -input=false -no-color >&2 || true # the same
terraform validate -json -no-color > "$TMPDIR/validate.json" || true # its answer is in the JSON
python3 -I - "$TMPDIR/validate.json" "$TMPDIR/unformatted" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" terraform
import json, sys
said = json.load(open(sys.argv[1], encoding="utf-8"))
severities = {"error": "high", "warning": "medium"}
for one in said["diagnostics"]:
    place = one.get("range") or {}
    text = f"{one['summary']}: {one.get('detail', '')}"
    print(json.dumps({"rule": one["severity"], "severity": severities[one["severity"]], "text": text,
                      "file": place.get("filename"), "line": place.get("start", {}).get("line")}))
if not said["valid"] and not said["diagnostics"]:
    sys.exit("invalid, and no reason given")
for file in open(sys.argv[2], encoding="utf-8").read().splitlines():
    print(json.dumps({"rule": "fmt", "severity": "medium", "text": "not formatted: run terraform fmt", "file": file}))
PYTHON
