#!/usr/bin/env bash
# CloudFormation templates: what the input `file` names, else infrastructure/*.yml and the stacks of cdk.out.
# default for code-quality: cloudformation
# version: 1.58.0
# version-command: cfn-lint --version
# hook: ^infrastructure/[^/]+\.(ya?ml|json)$
# ok-exit-codes: 0 2 4 6 8 10 12 14
# pip: cfn-lint[sarif]==1.58.0
set -euo pipefail
cd "$TARGET"
shopt -s nullglob
templates=("${TOOL_FILE:-}")
[[ -n ${TOOL_FILE:-} ]] || templates=(infrastructure/*.y*ml infrastructure/*.json cdk.out/*.template.json)
if ((${#templates[@]} == 0)); then
  echo "There is no template to check." >&2
  exit 65
fi
cfn-lint --format sarif -- "${templates[@]}" > "$SARIF"
