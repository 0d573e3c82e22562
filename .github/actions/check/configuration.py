"""Dynamic configuration: a JSON line for each finding of $ACTION, and one for each file that was looked at.

configuration.py LIST: the names of the files that are to be looked at go to LIST. $SETTINGS is what dpra.yml says, a
JSON object; with build-code the documents go to $BUILT/configuration. $SUMMARY gets what a change does, or the flags.
"""

import datetime
import gc
import json
import os
import shutil
import signal
import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import configuration_build as build
import configuration_history as history
import configuration_profiles as operational
import configuration_report as report
from configuration_nodes import Problem
from configuration_parsers import events, validate

SECONDS = 120  # for all of it; 5,000 flags take three


def quality(built: build.Built, root: Path) -> list[Problem]:
    """What code-quality finds; which flags there are goes into the summary."""
    settings, today = built.settings, datetime.datetime.now(datetime.UTC).date()
    found = build.quality(built, today)
    seen = history.seen(root, settings.flags)
    if settings.references:
        unread = any(one.rule == "syntax" and one.file.startswith(settings.flags) for one in built.problems)
        if seen is None:
            says = "which flags there were is not known: check the whole history out (fetch-depth: 0)"
            found.append(Problem("no-history", built.files[0] if built.files else settings.flags, 1, 1, says))
        removed = {} if seen is None or unread else {name: 0 for name in seen if name not in built.flags}
        found += history.references(root, settings.references, removed, built.files)
    tables = [report.report_table(report.rows(built, today, seen), settings.environments)]
    Path(os.environ["SUMMARY"]).write_text(report.markdown("Flags", tables), encoding="utf-8")
    return found


def compiled(built: build.Built, root: Path, files: dict[str, bytes]) -> list[Problem]:
    """Write the documents. What the change does to them goes into the summary."""
    documents = built.documents()
    folder = Path(os.environ["BUILT"]) / "configuration"
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    title = "What this change does, by environment"
    try:
        old = build.at_commit(root, "HEAD^1", built.settings)
    except LookupError:
        text = f"### {title}\n\nThe commit before is not here (fetch-depth: 2), so nothing is compared.\n"
    else:
        before = documents if old == files else build.build(old, built.settings, events).documents()
        found = report.differences(before, documents, built.settings.regions)
        text = report.markdown(title, report.difference_tables(found))
        kept = Path(os.environ["EVIDENCE"]) / "configuration-difference.json"
        kept.write_text(json.dumps([one.data() for one in found]), encoding="utf-8")
    Path(os.environ["SUMMARY"]).write_text(text, encoding="utf-8")
    return build.sizes(built, documents)


def too_long(*_: object) -> None:
    sys.exit(f"This takes more than {SECONDS} seconds: a pattern in it may take for ever, such as (a+)+b")


def main() -> None:
    gc.disable()  # a short run makes no cycles that are worth a search: half of its time
    root, action = Path(os.environ["TARGET"]), os.environ["ACTION"]
    try:
        settings = build.settings(os.environ["SETTINGS"])
    except (ValueError, TypeError) as error:
        sys.exit(f"The input 'settings': {error}")
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        files = build.in_folder(root, settings)
    except LookupError as error:
        sys.exit(str(error))
    Path(sys.argv[1]).write_bytes(b"".join(os.fsencode(name) + b"\0" for name in files or [settings.flags]))
    built = build.build(files, settings, events)
    problems = list(built.problems)
    if action == build.BUILD:
        problems += compiled(built, root, files)
    elif action == build.TESTS:
        for profile in built.profiles.values():
            operational.violations(profile, validate, problems)
    else:
        problems += quality(built, root)
    unread = {one.file: one for one in problems if one.rule == "syntax" and action != build.BUILD}
    for name in files or ([settings.flags] if action == build.BUILD else []):
        if name not in unread:
            print(json.dumps({"looked": name}))
    for one in unread.values():
        told = {"rule": "not-checked", "severity": "high", "text": f"cannot be read: {one.text}"}
        print(json.dumps({**told, "file": one.file, "line": one.line, "column": one.column}))
    for one in build.ordered(problems):
        if build.RULES[one.rule].action == action:
            found = {"rule": one.rule, "severity": build.RULES[one.rule].severity, "text": one.text}
            print(json.dumps({**found, "file": one.file, "line": one.line, "column": one.column}))


main()
