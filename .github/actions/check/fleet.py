"""An account fleet: a JSON line for each problem of its files, and one for each file that was looked at.

fleet.py DUTY LIST: the names of the files that are to be looked at go to LIST. $SETTINGS is what dpra.yml says, a JSON
object. `compile` writes the compiled fleet, fleet.json, to $BUILT/fleet, and to $SUMMARY what is in it and what this
commit changes; `test` holds the rows of the policy tests against the policies, and tells them by unit there.
"""

import gc
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import fleet_checks
import yaml

SECONDS = 120  # for all of it; 5,000 accounts take three


def events(text: str) -> Iterator[Any]:
    found: Iterator[Any] = yaml.parse(text, yaml.CSafeLoader)
    return found


def too_long(*_: object) -> None:
    sys.exit(f"This takes more than {SECONDS} seconds: there are too many files, or too large ones")


def compiled(listed: str) -> fleet_checks.Compiled:
    """The fleet of $SETTINGS in $TARGET, its files listed and said to be looked at."""
    try:
        settings = fleet_checks.settings(os.environ["SETTINGS"])
    except ValueError as error:
        sys.exit(f"The input 'settings': {error}")
    try:
        found = fleet_checks.compiled(Path(os.environ["TARGET"]), settings, events)
    except LookupError as error:
        sys.exit(str(error))
    Path(listed).write_bytes(b"".join(os.fsencode(name) + b"\0" for name in found.names))
    for name in found.names:  # what cannot be read is a finding itself
        print(json.dumps({"looked": name}))
    return found


def write(found: fleet_checks.Compiled) -> tuple[list[fleet_checks.Problem], str]:
    folder = Path(os.environ["BUILT"]) / "fleet"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "fleet.json").write_text(found.fleet.text, encoding="utf-8")
    text, meant = fleet_checks.change(Path(os.environ["TARGET"]), found, events)
    return [*found.problems(), *meant], f"{fleet_checks.summary(found.fleet)}\n{text}"


def test(found: fleet_checks.Compiled) -> tuple[list[fleet_checks.Problem], str]:
    rows, problems = found.tested()
    kept = Path(os.environ["EVIDENCE"]) / "policy-tests.json"
    kept.write_text(json.dumps(fleet_checks.evidence(rows)), encoding="utf-8")
    return problems, fleet_checks.results(rows, found)


def main() -> None:
    gc.disable()  # a short run makes no cycles that are worth a search: half of its time
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    duty = {"compile": write, "test": test}[sys.argv[1]]
    problems, text = duty(compiled(sys.argv[2]))
    for one in problems:
        print(fleet_checks.line(one))
    Path(os.environ["SUMMARY"]).write_text(text, encoding="utf-8")


main()
