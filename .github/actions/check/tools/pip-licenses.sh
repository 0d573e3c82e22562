#!/usr/bin/env bash
# Licences of the Python distributions in the package.
# serves licence-policy: python
# version: 5.5.5
# version-command: pip-licenses --version
# ok-exit-codes: 0
# pip: pip-licenses==5.5.5
#
# It gets copies of the METADATA files alone: what it has on its path to find them would run in its place otherwise.
#
# It reads besides: pyproject.toml in the working directory (empty), PYTHON* (not passed but for that path).
set -euo pipefail
python3 -I -B - <<'PYTHON' > "$TMPDIR/count"
import os, re, sys
from pathlib import Path

target, site, names = Path(os.environ["TARGET"]), Path(os.environ["TMPDIR"], "site"), set()
for number, metadata in enumerate(sorted(target.rglob("*.dist-info/METADATA"))):
    content = metadata.read_bytes()
    name = re.search(rb"^Name:[ \t]*(\S+)", content, re.MULTILINE)
    if not name:
        sys.exit(f"{metadata} names no distribution")
    copy = site / str(number) / metadata.parent.name
    copy.mkdir(parents=True)
    (copy / "METADATA").write_bytes(content)
    names.add(name[1].decode(errors="replace"))
if not names:
    sys.exit("There is no Python distribution (*.dist-info) to check.")
print("\n".join(sorted(names)))
PYTHON
mapfile -t names < "$TMPDIR/count"
places=$(find "$TMPDIR/site" -mindepth 1 -maxdepth 1 | sort | paste -sd:)
PYTHONPATH=$places PYTHONSAFEPATH=1 pip-licenses --from mixed --format json --packages "${names[@]}" > "$TMPDIR/found.json"
python3 -I -B - "$TMPDIR/found.json" "${#names[@]}" <<'PYTHON' | python3 -I -B "$CHECK/licences.py" | python3 -I -B "$CHECK/sarif.py" pip-licenses
import json, sys
found = json.load(open(sys.argv[1], encoding="utf-8"))
if len(found) < int(sys.argv[2]):
    sys.exit(f"pip-licenses read {len(found)} of {sys.argv[2]} distributions")
for one in found:
    print(json.dumps({"package": one["Name"], "version": one["Version"], "licence": one["License"]}))
PYTHON
