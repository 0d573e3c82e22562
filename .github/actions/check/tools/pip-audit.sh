#!/usr/bin/env bash
# Python packages with known vulnerabilities, by the exact versions in requirements files: each line counts. Nothing is
# resolved, built or run: what a package asks for must stand there, too (pip-compile, pip freeze and uv export write it).
# Besides its arguments it reads pip's configuration and cache by way of pip (which it is told not to use), ~/.netrc (an
# empty HOME) and PIP_AUDIT_* (none reaches it).
# serves sca: python
# version: 2.10.1
# version-command: pip-audit --version
# ok-exit-codes: 0
# pip: pip-audit==2.10.1
set -euo pipefail
read -ra options <<< "${DPRA_PIP_AUDIT:-}" # such as another advisory service
python3 -I -B "$CHECK/pins.py" "${options[@]}" > "$TMPDIR/lines"
python3 -I -B "$CHECK/sarif.py" pip-audit < "$TMPDIR/lines"
