"""Fails unless the release is the one that was built, before there are any credentials."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import evidence
import release
import runner


def main() -> None:
    action, region = runner.given("ACTION"), runner.given("REGION")
    try:
        release.verify(Path(runner.required("RELEASE")), runner.required("DIGEST"), runner.required("COMPONENT"))
    except (runner.Failed, OSError) as failed:  # deploy.py records what comes after
        with evidence.recorded(action, region=region, tool="cloudformation"):
            raise failed
    runner.say(f"release {runner.given('DIGEST')} is what was built")


main()
