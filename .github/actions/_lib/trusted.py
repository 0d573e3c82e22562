"""A stored release, fetched and verified: the only way by which one gets to a deployment."""

import tempfile
from pathlib import Path

import attestation
import release
import runner
import signature
import store


def fetch(region: str, bucket: str, digest: str, commit: str) -> Path:
    """The release of that digest and commit. The inputs say its component and who must have signed it.

    Raises:
        runner.Failed: it is not what was built from this commit for this component and signed.
    """
    directory = Path(tempfile.mkdtemp(dir=runner.temp())) / "release"
    component, workflow = runner.required("COMPONENT"), runner.given("ATTESTED_BY")
    key = workflow or runner.required("SIGNING_KEY")
    store.get(region, bucket, component, digest, directory)
    if workflow:
        attestation.verify(directory, workflow, commit)
    else:
        signature.verify(directory, key)
        release.verify_statement(directory, digest, commit)
    release.verify(directory, digest, component, commit)
    return directory
