#!/usr/bin/env bash
# Node.js packages with known vulnerabilities, by package-lock.json, as npm's registry knows them.
# Besides its arguments npm reads .npmrc where it starts (a private directory with copies of package.json and the lock), in
# HOME (an empty one) and globally (told not to), and NPM_CONFIG_* (none reaches it). The input `development` decides
# whether what is for development counts.
# serves sca: node
# version: 9.0.0
# version-command: npm --version
# on-path: the job's Node.js (actions/setup-node)
# ok-exit-codes: 0
set -euo pipefail
for lock in npm-shrinkwrap.json package-lock.json ''; do # npm prefers the first
  [[ -n $lock ]] || { echo "There is no package-lock.json to check." >&2; exit 65; }
  [[ ! -f $TARGET/$lock ]] || break
done
# Nothing of the repository but these two: no .npmrc that names another registry, no workspace, no script.
mkdir "$TMPDIR/private"
cp -- "$TARGET/$lock" "$TMPDIR/private/"
[[ ! -f $TARGET/package.json ]] || cp -- "$TARGET/package.json" "$TMPDIR/private/"
cd "$TMPDIR/private"
omit=()
[[ $DEVELOPMENT == true ]] || omit=(--omit dev)
# 1 for findings as for its own errors: those are in the JSON
npm audit --json --package-lock-only --ignore-scripts --userconfig "$TMPDIR/none" --globalconfig "$TMPDIR/nothing" "${omit[@]}" \
  --registry "${DPRA_NPM_REGISTRY:-https://registry.npmjs.org}" > "$TMPDIR/found.json" || true
python3 -I -B -c '
import json, sys
found = json.load(open(sys.argv[1], encoding="utf-8"))
if "vulnerabilities" not in found: sys.exit(str(found.get("message") or found.get("error") or "no answer"))
severities = {"critical": "critical", "high": "high", "moderate": "medium"}
for name, one in found["vulnerabilities"].items():
    for via in one["via"]:
        if isinstance(via, dict):
            print(json.dumps({"rule": via["url"].rsplit("/", 1)[-1], "severity": severities.get(via["severity"], "low"),
                              "text": f"{name} {via['"'range'"']}: {via['"'title'"']}", "file": sys.argv[2]}))
' "$TMPDIR/found.json" "$lock" | python3 -I -B "$CHECK/sarif.py" "npm audit"
