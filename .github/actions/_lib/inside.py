"""in-image, whatever the image is of: which words it takes, and what it reports of each test.

Who runs commands in an image gives `main` a function: of the words, and whether what they say is wanted, it makes
their exit code, and that.
"""

import os
import shlex
import stat
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import runner

REPOSITORY = "/repository"  # where the repository lies in there
LONGEST = 20_000  # characters of a test's output that the report keeps
Run = Callable[[list[str], bool], tuple[int, bytes]]


def place() -> tuple[Path, str]:
    """The repository, and how the folder of it in which we are is called in there."""
    here = Path.cwd()
    root = Path(os.environ.get("GITHUB_WORKSPACE") or here).resolve()
    if not here.is_relative_to(root):
        root = here
    return root, Path(REPOSITORY, here.relative_to(root)).as_posix()


def each(folder: Path, run: Run) -> int:
    """Run each executable file of a folder; what went wrong is told, and stands in the report."""
    tests = sorted(path for path in folder.glob("*") if path.is_file() and os.access(path, os.X_OK))
    if not tests:
        print(f"in-image: {folder} has no executable file: there is nothing to test", file=sys.stderr)
        return 1
    suite, failed = ElementTree.Element("testsuite", name=folder.as_posix(), tests=str(len(tests))), 0
    for test in tests:
        began = time.monotonic()
        code, output = run([f"{place()[1]}/{test.as_posix()}"], True)
        said = output.decode(errors="replace")
        print(f"{'ok  ' if not code else 'FAIL'} {test.name}", said.strip(), sep="\n", flush=True)
        case = ElementTree.SubElement(suite, "testcase", name=test.name, time=f"{time.monotonic() - began:.3f}")
        if code:
            failed += 1
            inert = "".join(letter for letter in said[-LONGEST:] if letter.isprintable() or letter in "\n\t")
            ElementTree.SubElement(case, "failure", message=f"exit code {code}").text = inert
    suite.set("failures", str(failed))
    if report := os.environ.get("JUNIT_FILE"):
        ElementTree.ElementTree(suite).write(report, encoding="utf-8", xml_declaration=True)
    return int(bool(failed))


def main(usage: str, run: Run, words: list[str]) -> int:
    """Do what the words say; the exit code."""
    match words:
        case ["--each", folder] if folder and not Path(folder).is_absolute():
            return each(Path(folder), run)
        case ["-h" | "--help"] | []:
            print(usage)
            return 0
        case ["--", *command] | command:
            return run(command, False)[0]


def install(script: Path) -> None:
    """Put in-image into PATH for the steps that follow: that script."""
    folder = runner.temp() / "dpra-bin"
    folder.mkdir(exist_ok=True)
    program = folder / "in-image"
    text = f'#!/bin/sh\nexec python3 -I -B {shlex.quote(str(script.resolve()))} "$@"\n'
    program.write_text(text, encoding="utf-8")
    program.chmod(stat.S_IRWXU)
    with Path(os.environ["GITHUB_PATH"]).open("a", encoding="utf-8") as paths:
        paths.write(f"{folder}\n")
