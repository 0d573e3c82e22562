#!/usr/bin/env bash
# Licences of the npm packages in the package.
# serves licence-policy: node
# version: 4.4.2
# version-command: license-checker-rseidelsohn --version
# ok-exit-codes: 0
# npm: license-checker-rseidelsohn@4.4.2
set -euo pipefail
cd "$TARGET"
if [[ ! -d node_modules ]]; then
  echo "There is no node_modules to check." >&2
  exit 65
fi
license-checker-rseidelsohn --start . --json --out "$TMPDIR/found.json" > /dev/null
python3 -I - "$TMPDIR/found.json" <<'PYTHON' | python3 -I -B "$CHECK/licences.py" | python3 -I -B "$CHECK/sarif.py" license-checker
import json, os, sys
found = json.load(open(sys.argv[1], encoding="utf-8"))
packages = {key: one for key, one in found.items() if "node_modules" in one["path"]}
if not packages:
    sys.exit("license-checker found no package")
for key, one in packages.items():
    name, _, version = key.rpartition("@")
    licences = one["licenses"]
    licence = " AND ".join(licences) if isinstance(licences, list) else licences
    print(json.dumps({"package": name, "version": version, "licence": licence}))
PYTHON
