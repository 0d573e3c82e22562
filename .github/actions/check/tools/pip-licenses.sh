#!/usr/bin/env bash
# Licences of the Python distributions in the package.
# serves licence-policy: python
# version: 5.5.5
# version-command: pip-licenses --version
# ok-exit-codes: 0
# pip: pip-licenses==5.5.5
set -euo pipefail
cd "$TARGET"
mapfile -t names < <(find . -path '*.dist-info/METADATA' -exec sed -n 's/^Name: *//p' {} + | tr -d '\r' | sort -u)
if ((${#names[@]} == 0)); then
  echo "There is no Python distribution (*.dist-info) to check." >&2
  exit 65
fi
places=$(find "$PWD" -path '*.dist-info/METADATA' -printf '%h\n' | sed 's,/[^/]*$,,' | sort -u | paste -sd:)
PYTHONPATH=$places pip-licenses --from mixed --format json --packages "${names[@]}" > "$TMPDIR/found.json"
python3 -I - "$TMPDIR/found.json" "${#names[@]}" <<'PYTHON' | python3 -I -B "$CHECK/licences.py" | python3 -I -B "$CHECK/sarif.py" pip-licenses
import json, sys
found = json.load(open(sys.argv[1], encoding="utf-8"))
if len(found) < int(sys.argv[2]):
    sys.exit(f"pip-licenses read {len(found)} of {sys.argv[2]} distributions")
for one in found:
    print(json.dumps({"package": one["Name"], "version": one["Version"], "licence": one["License"]}))
PYTHON
