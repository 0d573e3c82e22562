#!/usr/bin/env bash
# Licences of the npm packages in the package.
# serves licence-policy: node
# version: 4.4.2
# version-command: license-checker-rseidelsohn --version
# ok-exit-codes: 0
# npm: license-checker-rseidelsohn@4.4.2
#
# Every package.json in a node_modules must be in its report. It reads besides: nothing; NPM_CONFIG_* is not passed.
set -euo pipefail
if [[ ! -d $TARGET/node_modules ]]; then
  echo "There is no node_modules to check." >&2
  exit 65
fi
license-checker-rseidelsohn --start "$TARGET" --json --out "$TMPDIR/found.json" > /dev/null
python3 -I -B - "$TMPDIR/found.json" "$TMPDIR/files" <<'PYTHON' > "$TMPDIR/lines"
import json, os, sys
from pathlib import Path

found = json.load(open(sys.argv[1], encoding="utf-8"))
packages = {key: one for key, one in found.items() if "node_modules" in one["path"]}
if not packages:
    sys.exit("license-checker found no package")
target, wanted = Path(os.environ["TARGET"]), []
for path in sorted(target.rglob("package.json")):
    parts = path.relative_to(target).parts[:-1]
    if parts[-2:-1] != ("node_modules",) and not (parts[-3:-2] == ("node_modules",) and parts[-2].startswith("@")):
        continue  # not a package itself, but inside of one
    name = str(path.relative_to(target))
    wanted.append(name)
    try:
        said = json.loads(path.read_bytes())
        if f"{said['name']}@{said['version']}" in packages:
            print(json.dumps({"looked": name}))
    except (OSError, ValueError, TypeError, LookupError):
        continue  # not-checked, then
Path(sys.argv[2]).write_bytes(b"".join(os.fsencode(name) + b"\0" for name in wanted))
for key, one in packages.items():
    name, _, version = key.rpartition("@")
    licences = one["licenses"]
    licence = " AND ".join(licences) if isinstance(licences, list) else licences
    print(json.dumps({"package": name, "version": version, "licence": licence}))
PYTHON
python3 -I -B "$CHECK/licences.py" < "$TMPDIR/lines" | python3 -I -B "$CHECK/sarif.py" license-checker "$TMPDIR/files"
