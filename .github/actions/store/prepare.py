"""Fails unless the release is what was built from this commit, and pushes its image: what is signed after that."""

import json
import os
import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import evidence
import image
import images
import release
import runner


def main() -> None:
    try:
        directory, digest = Path(runner.required("RELEASE")), runner.required("DIGEST")
        release.verify(directory, digest, runner.required("COMPONENT"), os.environ["GITHUB_SHA"])
        if repository := runner.given("REPOSITORY"):
            region, account = runner.required("REGION"), runner.required("ACCOUNT")
            aws.expect_account(region, account)
            uri = images.push(directory / "package.zip", region, account, repository, digest)
            (directory / release.IMAGE).write_text(json.dumps({"uri": uri}) + "\n", encoding="utf-8")
            runner.say(f"the image is {uri}")
        elif (directory / release.IMAGE).exists():
            image.verify(directory, runner.required("COMPONENT"))
    except (runner.Failed, OSError) as failed:  # store.py records what comes after
        with evidence.recorded("package-and-store-artifacts"):
            raise failed
    names = [name for name in (release.MANIFEST, *release.BESIDE) if (directory / name).exists()]
    runner.output("subjects", ",".join(str(directory / name) for name in names))


main()
