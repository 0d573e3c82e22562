"""Amazon Inspector's findings of a machine's image: a JSON line for each, as sarif.py takes it.

What has no fix yet is left out, as Trivy leaves it out; so is what Trivy told of the same package, as bad or worse: its
report lies in $EVIDENCE where it is one of $BEFORE, the tools that looked before.
"""

import json
import os
import re
import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import gate
import image_findings
import release
import runner

# How a report of Trivy's begins to tell of a package.
PACKAGE = re.compile(r"Package: (\S+)\nInstalled Version: (\S+)\n")
MISSING = (
    f"There is no {release.INSPECTOR} in the release, and dpra.yml says image.inspector: run dpra generate, so that "
    "the build has Amazon Inspector scan the image, and build it again."
)


def told() -> dict[tuple[str, str, str], str]:
    """What Trivy told before: id, package and version -> severity. Nothing where it did not look."""
    report = Path(os.environ["EVIDENCE"]) / f"{os.environ['ACTION']}.trivy.sarif"
    found: dict[tuple[str, str, str], str] = {}
    if "trivy" not in os.environ["BEFORE"].split():
        return found
    for one in gate.sarif(report, 0, (0,), "any", Path(os.environ["TMPDIR"]) / "trivy.sarif").findings:
        if one.severity in gate.SEVERITIES and (match := PACKAGE.match(one.text)):
            found[one.rule, match[1], match[2]] = one.severity
    return found


def main() -> None:
    path = Path(os.environ["TARGET"]) / release.INSPECTOR
    if not path.is_file() or path.is_symlink():
        sys.exit(MISSING)
    try:
        with path.open("rb") as file:
            every = image_findings.read(file)
    except runner.Failed as failed:
        sys.exit(str(failed))
    known, left, twice = told(), 0, 0
    for one in every:
        severity = image_findings.SEVERITIES[one.severity]
        before = known.get((one.id, one.package, one.version), "")
        if not one.mendable:
            left += 1
        elif before and gate.SEVERITIES.index(before) <= gate.SEVERITIES.index(severity):
            twice += 1
        else:
            fixed = f"fixed in {one.fixed}" if one.fixed else "a fix is available"
            text = f"{one.package or 'a package'} {one.version}: {one.severity.lower()} for Amazon Inspector, {fixed}"
            found = {"rule": one.id, "severity": severity, "text": text, "file": release.ARCHIVE}
            print(json.dumps(found))
    print(f"findings: {len(every)}; without a fix: {left}; told by Trivy: {twice}", file=sys.stderr)


main()
