#!/usr/bin/env bash
# Policies for infrastructure code; what the input `file` names, else all that there is. Without an account it knows no
# severities: every failed check is high.
# serves policy-as-code: cloudformation cdk terraform container
# version: 3.3.30
# version-command: checkov --version
# ok-exit-codes: 0
# pip: checkov==3.3.30
set -euo pipefail
cd "$TARGET"
case " $DPRA_LANGUAGE " in
  *" terraform "*) framework=terraform ;;
  *" container "*) framework=dockerfile ;;
  *) framework=cloudformation ;;
esac
where=(--directory .)
[[ -z ${TOOL_FILE:-} ]] || where=(--file "$TOOL_FILE")
echo "compact: true" > "$TMPDIR/empty.yaml" # a .checkov.yaml of the repository could switch all of it off
checkov "${where[@]}" --config-file "$TMPDIR/empty.yaml" --framework "$framework" --skip-download \
  --soft-fail --skip-path .github/actions --output json > "$TMPDIR/found.json"
python3 -I -c '
import json, sys
said = json.load(open(sys.argv[1], encoding="utf-8"))
if "results" not in said: sys.exit("There is nothing to check, or it cannot be parsed.")
summary = said["summary"]
if summary["parsing_errors"]: sys.exit(f"{summary['"'parsing_errors'"']} files cannot be parsed: " + ", ".join(said["results"].get("parsing_errors") or []))
results = said["results"]  # what a comment or metadata skips is found all the same
for one in results["failed_checks"] + results["skipped_checks"]:
    print(json.dumps({"rule": one["check_id"], "severity": "high", "text": f"{one['"'check_name'"']} ({one['"'resource'"']})",
                      "file": one["file_path"].lstrip("/"), "line": one["file_line_range"][0]}))
' "$TMPDIR/found.json" | python3 -I -B "$CHECK/sarif.py" checkov
