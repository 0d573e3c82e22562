"""`go test -json` on standard input -> a JUnit report at $JUNIT_FILE, and the tests' own output on standard output.

A package that does not build, or that fails outside of its tests, is a failed test case of its own.
"""

import json
import os
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from typing import Any

RESULTS = ("pass", "fail", "skip")
Key = tuple[str, str]  # package, test; the package itself has no test


def read(lines: Any) -> tuple[dict[Key, dict[str, Any]], dict[Key, list[str]]]:
    """The result of each test and package, and what each printed."""
    results: dict[Key, dict[str, Any]] = {}
    printed: dict[Key, list[str]] = defaultdict(list)
    for line in lines:
        try:
            event = json.loads(line)
            action = event["Action"]
        except (ValueError, TypeError, KeyError):
            print(line, end="")  # of the compiler, or of the test itself
            continue
        key = (event.get("Package") or event.get("ImportPath") or "", event.get("Test", ""))
        if action in ("output", "build-output"):
            print(event["Output"], end="")
            printed[key].append(event["Output"])
        elif action in RESULTS:
            results[key] = event
        elif action == "build-fail":
            results[key] = {**event, "Action": "fail"}
        elif action == "run":
            results.setdefault(key, {"Action": "fail"})  # until it says otherwise: it may have been killed
    return results, printed


def report(results: dict[Key, dict[str, Any]], printed: dict[Key, list[str]]) -> ElementTree.Element:
    suites = ElementTree.Element("testsuites")
    failed = {package for (package, test), event in results.items() if test and event["Action"] == "fail"}
    for (package, test), event in results.items():
        if not test and (event["Action"] != "fail" or package in failed):
            continue  # its tests say it all
        case = ElementTree.SubElement(suites, "testcase", classname=package, name=test or "package")
        case.set("time", str(event.get("Elapsed", 0)))
        if event["Action"] != "pass":
            what = ElementTree.SubElement(case, {"fail": "failure", "skip": "skipped"}[event["Action"]])
            text = "".join(printed[package, test])
            what.text = "".join(character for character in text if character.isprintable() or character in "\n\t")
    return suites


if __name__ == "__main__":
    ElementTree.ElementTree(report(*read(sys.stdin))).write(os.environ["JUNIT_FILE"], encoding="utf-8")
