"""Fails unless the release is what was built from this commit, and signed, before anything is changed in AWS."""

import os
import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import deployment
import evidence
import release
import runner
import trusted


def main() -> None:
    action, commit = runner.given("ACTION"), os.environ["GITHUB_SHA"]
    try:
        digest, component = runner.required("DIGEST"), runner.required("COMPONENT")
        if bucket := runner.given("STORE"):
            directory = trusted.fetch(runner.required("STORE_REGION"), bucket, digest, commit)
        else:
            directory = Path(runner.required("RELEASE"))
            release.verify(directory, digest, component, commit)
    except (runner.Failed, OSError) as failed:  # deploy.py records what comes after
        with evidence.recorded(
            action, region=runner.given("UNIT") or runner.given("REGION"), tool=deployment.tool_name()
        ):
            raise failed
    runner.output("release", str(directory))
    runner.say(f"release {digest} is verified")


main()
