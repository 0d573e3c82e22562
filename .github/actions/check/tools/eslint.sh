#!/usr/bin/env bash
# JavaScript: ESLint, by the project's own configuration and plugins where it has them, else by ESLint's recommended rules.
# default for code-quality: node cdk
# version: 10.15.0
# version-command: none; the formatter for SARIF comes along
# ok-exit-codes: 0 1
# npm: eslint@10.15.0 @eslint/js@10.0.1 @microsoft/eslint-formatter-sarif@3.1.0
# npm-overrides: jschardet@4.0.0
set -euo pipefail
cd "$TARGET"
formatter=$(cd "$TOOL_HOME/node_modules/@microsoft/eslint-formatter-sarif" && pwd)/sarif.js
own=$(find . -maxdepth 1 -name 'eslint.config.*' -print -quit)
options=(--format "$formatter" --output-file "$SARIF" --no-error-on-unmatched-pattern)
if [[ -n $own ]]; then
  if [[ -x node_modules/.bin/eslint ]]; then PATH=$PWD/node_modules/.bin:$PATH; fi
else
  config=$TMPDIR/eslint.config.mjs
  cat > "$config" <<CONFIG
import js from "$TOOL_HOME/node_modules/@eslint/js/src/index.js";
export default [
  js.configs.recommended,
  { languageOptions: { globals: Object.fromEntries([...Object.getOwnPropertyNames(globalThis), "exports", "module",
    "require", "__dirname", "__filename"].map((name) => [name, "readonly"])) } },
];
CONFIG
  options+=(--config "$config" --no-inline-config --ignore-pattern '.github/actions/dpra/**' --ignore-pattern 'cdk.out/**')
fi
if [[ -z $(find . \( -name '*.js' -o -name '*.mjs' -o -name '*.cjs' -o -name '*.ts' \) -not -path '*/node_modules/*' \
  -not -path './.github/*' -print -quit) ]]; then
  echo "There is no JavaScript file to check." >&2
  exit 65
fi
eslint "${options[@]}" .
