"""Fails unless the release is what was built from this commit, and signed, before anything is changed in AWS."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import attestation
import evidence
import release
import runner
import signature
import store


def fetched(digest: str, component: str) -> Path:
    """The stored release, its signature verified."""
    directory = Path(tempfile.mkdtemp(dir=runner.temp())) / "release"
    workflow = runner.given("ATTESTED_BY")
    key = workflow or runner.required("SIGNING_KEY")
    store.get(runner.required("STORE_REGION"), runner.given("STORE"), component, digest, directory)
    if workflow:
        attestation.verify(directory, workflow)
    else:
        signature.verify(directory, key)
        release.verify_statement(directory, digest)
    return directory


def main() -> None:
    action, region = runner.given("ACTION"), runner.given("REGION")
    try:
        digest, component = runner.required("DIGEST"), runner.required("COMPONENT")
        directory = fetched(digest, component) if runner.given("STORE") else Path(runner.required("RELEASE"))
        release.verify(directory, digest, component)
    except (runner.Failed, OSError) as failed:  # deploy.py records what comes after
        with evidence.recorded(action, region=region, tool="cloudformation"):
            raise failed
    runner.output("release", str(directory))
    runner.say(f"release {digest} is what was built")


main()
