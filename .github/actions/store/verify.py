"""Fails unless the release is what was built from this commit: nothing else is signed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import evidence
import release
import runner


def main() -> None:
    directory, digest = Path(runner.required("RELEASE")), runner.required("DIGEST")
    try:
        release.verify(directory, digest, runner.required("COMPONENT"))
    except (runner.Failed, OSError) as failed:  # store.py records what comes after
        with evidence.recorded("package-and-store-artifacts"):
            raise failed
    names = [name for name in (release.MANIFEST, *release.SBOMS) if (directory / name).exists()]
    runner.output("subjects", ",".join(str(directory / name) for name in names))


main()
