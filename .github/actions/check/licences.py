"""How severe licences are, in trivy's classes: its {"package", "version", "licence"} lines become findings' lines.

Forbidden is critical, restricted is high, reciprocal is medium, permissive is low; what nobody can name is medium.
"""

import json
import re
import sys

CLASSES = {  # the first that matches
    "critical": r"AGPL|Affero|SSPL|Server Side Public|Commons Clause|BUSL|Business Source|NonCommercial|CC-BY-NC",
    "high": r"GPL|General Public|OSL|Open Software|QPL|Sleepycat|CC-BY-ND|CC-BY-SA|NPL",
    "medium": r"MPL|Mozilla|EPL|Eclipse|CDDL|APSL|CPL|IPL|Ruby",
    "low": r"MIT|BSD|Apache|ISC|PSF|Python|Unlicense|0BSD|CC0|CC-BY|Zlib|BSL|Boost|Artistic|Public Domain|WTFPL|UPL",
}
ORDER = ("low", "medium", "high", "critical")


def severity(licence: str) -> str:
    """Of an expression: with `OR` one may choose the mildest, otherwise all hold."""
    choices = re.split(r"\s+OR\s+|\s*;\s*", licence.strip("() "), flags=re.IGNORECASE)
    return ORDER[min(max(_one(name) for name in re.split(r"\s+AND\s+|,", choice)) for choice in choices)]


def _one(name: str) -> int:
    for level, pattern in CLASSES.items():
        if re.search(rf"\b(?:{pattern})", name, re.IGNORECASE):
            return ORDER.index(level)
    return ORDER.index("medium")


def main() -> None:
    for line in sys.stdin:
        one = json.loads(line)
        if "looked" in one:  # what was looked at, for sarif.py
            print(line, end="")
            continue
        rule = re.sub(r"\s+", "-", f"{one['package']}:{one['licence']}")
        text = f"{one['package']} {one['version']} is under {one['licence']}"
        print(json.dumps({"rule": rule, "severity": severity(one["licence"]), "text": text}))


main()
