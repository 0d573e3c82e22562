"""Runs a command in a container of the image that was built; the repository lies in /repository, to read, and the
command runs in the folder of it in which in-image does.

in-image COMMAND...      the command's exit code is ours
in-image --each FOLDER   each executable file of the folder is a test: it passes where it exits with 0; their JUnit
                         report becomes $JUNIT_FILE
"""

import os
import subprocess
import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import inside

CONTAINER = "dpra-image"


def run(words: list[str], wanted: bool) -> tuple[int, bytes]:
    report = os.environ.get("JUNIT_FILE", "")
    root, folder_there = inside.place()
    options = ["--workingdir", folder_there, "--volume", f"{root}:{inside.REPOSITORY}:ro"]
    if report:  # a folder of its own, in which a user of the image may write, too
        folder = Path(report).parent / "in-image"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        options += ["--volume", f"{folder}:/junit", "--env", "JUNIT_FILE=/junit/report.xml"]
    out, err = (subprocess.PIPE, subprocess.STDOUT) if wanted else (None, None)
    ran = subprocess.run(["buildah", "run", *options, CONTAINER, "--", *words], check=False, stdout=out, stderr=err)
    if report and (written := folder / "report.xml").is_file() and not written.is_symlink():
        written.rename(report)
    return ran.returncode, ran.stdout or b""


if __name__ == "__main__":
    sys.exit(inside.main(__doc__, run, sys.argv[1:]))
