"""bandit over the Python files, in a copy; findings as sarif.py takes them.

It knows files by `.py` only, and passes over what it cannot parse: its report is compared with the list.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import files

TARGET, TMPDIR = (Path(os.environ[name]) for name in ("TARGET", "TMPDIR"))
QUOTES = "Possible hardcoded password: "  # this one message quotes what it found


def main() -> None:
    folder = TMPDIR / "files"
    found = {f"./{path}": name for path, (name, _) in files.copy(TARGET, ["python"], folder).items()}
    if not found:
        sys.exit("There is no Python file to check.")
    (TMPDIR / "empty.ini").write_text(
        "[bandit]\n", encoding="utf-8"
    )  # else a .bandit among the files says what to skip
    report = TMPDIR / "found.json"
    command = ["bandit", "--quiet", "--ignore-nosec", "--recursive", ".", "--ini", str(TMPDIR / "empty.ini")]
    command += ["--exclude", str(TMPDIR / "nothing"), "--format", "json", "--output", str(report)]
    code = subprocess.run(command, cwd=folder, check=False).returncode
    if code not in (0, 1) or not report.is_file():
        sys.exit(f"bandit failed with exit code {code}")
    said = json.loads(report.read_bytes())
    for one in said["results"]:
        text = one["issue_text"]
        text = f"{QUOTES}it is not shown" if text.startswith(QUOTES) else text
        _say(one["test_id"], one["issue_severity"].lower(), text, found[one["filename"]], one["line_number"])
    unread = {found[one["filename"]]: one["reason"] for one in said["errors"]}
    for file, reason in unread.items():
        _say("not-parsed", "high", f"it was not checked: {reason}", file)
    for file in sorted({name for path, name in found.items() if path not in said["metrics"]} - set(unread)):
        _say("not-checked", "high", "bandit did not look at it", file)


def _say(rule: str, severity: str, text: str, file: str, line: int = 1) -> None:
    print(json.dumps({"rule": rule, "severity": severity, "text": text, "file": file, "line": line}))


main()
