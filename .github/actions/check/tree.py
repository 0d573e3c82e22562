"""What gitleaks passes over by its name, such as a lock file, an image or vendor/, in the tree.

`tree.py copy COPIES [SINCE]` copies the files of the repository (those that changed since a commit) under names that
say nothing; `tree.py add COPIES REPORT` adds what was found to $SARIF, by their own names, where it is not there.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent))
import files


def copy(target: Path, copies: Path, since: str) -> None:
    names = files.listed(target)
    if since:
        command = ("git", "diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--relative", since, "HEAD")
        ran = subprocess.run(command, cwd=target, check=True, capture_output=True)
        changed = {os.fsdecode(name) for name in ran.stdout.split(b"\0")}
        names = [name for name in names if name in changed]
    copies.mkdir()
    for number, name in enumerate(names):
        shutil.copyfile(target / name, copies / f"file-{number}")
    copies.with_suffix(".json").write_text(json.dumps(names), encoding="utf-8")


def add(copies: Path, report: Path) -> None:
    names = json.loads(copies.with_suffix(".json").read_bytes())
    whole = Path(os.environ["SARIF"])
    document = json.loads(whole.read_bytes())
    [run] = document["runs"]

    def place(result: dict) -> dict:  # type: ignore[type-arg]
        found: dict = result["locations"][0]["physicalLocation"]  # type: ignore[type-arg]
        return found

    known = {(one["ruleId"], urllib.parse.unquote(place(one)["artifactLocation"]["uri"])) for one in run["results"]}
    for one in json.loads(report.read_bytes())["runs"][0]["results"]:
        name = names[int(place(one)["artifactLocation"]["uri"].rpartition("file-")[2])]
        place(one)["artifactLocation"]["uri"] = urllib.parse.quote(name, errors="replace")
        if (one["ruleId"], name) not in known:
            run["results"].append(one)
    whole.write_text(json.dumps(document), encoding="utf-8")


def main() -> None:
    what, copies, *more = sys.argv[1:]
    if what == "copy":
        copy(Path(os.environ["TARGET"]), Path(copies), "".join(more))
    else:
        add(Path(copies), Path(*more))


main()
