"""Bandit over the Python files of the repository: bandit.py OPTION... writes the SARIF report.

It looks at copies, by names that it knows: so no configuration of the repository is beside them, and none is excluded.
A file that its metrics do not tell of was not checked.
"""

import json
import os
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent))
import files
import sarif

SECRET = re.compile(r"(Possible hardcoded password: ).*", re.DOTALL)  # the one message that quotes what it found


def mended(value: Any, copies: dict[str, tuple[str, str]]) -> Any:
    """The report with the names of the files in place of their copies', and without what was found."""
    if isinstance(value, list):
        return [mended(inner, copies) for inner in value]
    if not isinstance(value, dict):
        return value
    value = {key: mended(inner, copies) for key, inner in value.items()}
    if isinstance(value.get("uri"), str) and (name := _name(urllib.parse.unquote(value["uri"]), copies)):
        value["uri"] = urllib.parse.quote(name, errors="replace")
    if isinstance(value.get("text"), str):
        value["text"] = SECRET.sub(r"\1it is not shown", value["text"])
    return value


def _name(path: str, copies: dict[str, tuple[str, str]]) -> str:
    return copies.get(path.removeprefix("./"), ("", ""))[0]


def main() -> None:
    target, private, report = Path(os.environ["TARGET"]), Path(os.environ["TMPDIR"]), Path(os.environ["SARIF"])
    copy = private / "files"
    copy.mkdir()
    copies = files.copied(target, copy, {"python": (".py",)})
    if not copies:
        print("There is no Python file to check.", file=sys.stderr)
        sys.exit(65)
    written = private / "found.sarif"  # the report is written when all went well: bandit's exit codes are Python's, too
    (private / "bandit.ini").write_text("[bandit]\n", encoding="utf-8")
    ran = subprocess.run(
        (
            *("bandit", "--quiet", "--ignore-nosec", "--recursive", ".", "--ini", f"{private}/bandit.ini"),
            *("--exclude", f"{private}/none"),  # in place of its own list, such as __pycache__ and .tox
            *("--format", "sarif", "--output", str(written)),
        ),
        cwd=copy,
        check=False,
    )
    said = json.loads(written.read_bytes())
    [run] = said["runs"]
    seen = {_name(path, copies) for path in run["properties"]["metrics"] if path != "_totals"}
    said = mended(said, copies)
    missing = {name for name, _ in copies.values()} - seen
    told = json.dumps(said["runs"][0].get("invocations"))
    for name in sorted(one for one in missing if f'"{urllib.parse.quote(one, errors="replace")}"' not in told):
        found = {"rule": "not-checked", "severity": "high", "text": "bandit did not look at it", "file": name}
        said["runs"][0]["results"].append(sarif.result(found))
    report.write_text(json.dumps(said), encoding="utf-8")
    print(f"{len(copies) - len(missing)} of {len(copies)} files were looked at", file=sys.stderr)
    sys.exit(ran.returncode)


main()
