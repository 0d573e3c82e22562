"""Runs the project's build command."""

import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import evidence
import runner


def main() -> None:
    with evidence.recorded("build-code", tool="bash"):
        code = runner.bash(runner.required("COMMAND"), runner.given("WORKING_DIRECTORY") or ".")
        if code:
            raise runner.Failed(f"the build command failed with {runner.ended(code)}")


main()
