#!/usr/bin/env -S python3 -I -B
"""Runs a command in a container of the image that was built; the repository lies in /repository, to read, and the
command runs in the folder of it in which in-image does.

in-image COMMAND...      the command's exit code is ours
in-image --each FOLDER   each executable file of the folder is a test: it passes where it exits with 0; their JUnit
                         report becomes $JUNIT_FILE
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

CONTAINER, REPOSITORY = "dpra-image", "/repository"
LONGEST = 20_000  # characters of a test's output that the report keeps


def place() -> tuple[Path, str]:
    """The repository, and how the folder of it in which we are is called in the container."""
    here = Path.cwd()
    root = Path(os.environ.get("GITHUB_WORKSPACE") or here).resolve()
    if not here.is_relative_to(root):
        root = here
    return root, Path(REPOSITORY, here.relative_to(root)).as_posix()


def run(words: list[str], **more: int) -> "subprocess.CompletedProcess[bytes]":
    report = os.environ.get("JUNIT_FILE", "")
    root, folder_there = place()
    options = ["--workingdir", folder_there, "--volume", f"{root}:{REPOSITORY}:ro"]
    if report:  # a folder of its own, in which a user of the image may write, too
        folder = Path(report).parent / "in-image"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        options += ["--volume", f"{folder}:/junit", "--env", "JUNIT_FILE=/junit/report.xml"]
    ran = subprocess.run(["buildah", "run", *options, CONTAINER, "--", *words], check=False, **more)
    if report and (written := folder / "report.xml").is_file() and not written.is_symlink():
        written.rename(report)
    return ran


def each(folder: Path) -> int:
    tests = sorted(path for path in folder.glob("*") if path.is_file() and os.access(path, os.X_OK))
    if not tests:
        print(f"in-image: {folder} has no executable file: there is nothing to test", file=sys.stderr)
        return 1
    suite, failed = ElementTree.Element("testsuite", name=folder.as_posix(), tests=str(len(tests))), 0
    for test in tests:
        began = time.monotonic()
        ran = run([f"{place()[1]}/{test.as_posix()}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = ran.stdout.decode(errors="replace")
        print(f"{'ok  ' if not ran.returncode else 'FAIL'} {test.name}", said.strip(), sep="\n", flush=True)
        case = ElementTree.SubElement(suite, "testcase", name=test.name, time=f"{time.monotonic() - began:.3f}")
        if ran.returncode:
            failed += 1
            inert = "".join(letter for letter in said[-LONGEST:] if letter.isprintable() or letter in "\n\t")
            ElementTree.SubElement(case, "failure", message=f"exit code {ran.returncode}").text = inert
    suite.set("failures", str(failed))
    if report := os.environ.get("JUNIT_FILE"):
        ElementTree.ElementTree(suite).write(report, encoding="utf-8", xml_declaration=True)
    return int(bool(failed))


def main() -> None:
    match sys.argv[1:]:
        case ["--each", folder] if folder and not Path(folder).is_absolute():
            sys.exit(each(Path(folder)))
        case ["-h" | "--help"] | []:
            print(__doc__)
        case ["--", *words] | words:
            sys.exit(run(words).returncode)


if __name__ == "__main__":
    main()
