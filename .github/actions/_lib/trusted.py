"""A stored release, fetched and verified: the only way by which one gets to a deployment."""

import tempfile
from pathlib import Path

import attestation
import release
import runner
import signature
import store


def fetch(region: str, bucket: str, digest: str, commit: str, *, whole: bool = False) -> Path:
    """The release of that digest and commit. The inputs say its component and who must have signed it.

    Args:
        whole: with its SBOMs, which nobody needs to deploy it.

    Raises:
        runner.Failed: it is not what was built from this commit for this component and signed.
    """
    directory = Path(tempfile.mkdtemp(dir=runner.temp())) / "release"
    component, workflows = runner.required("COMPONENT"), runner.required("BUILT_BY")
    store.get(region, bucket, component, digest, directory, whole=whole)
    if key := runner.given("SIGNING_KEY"):
        signature.verify(directory, key)
        release.verify_statement(directory, digest, commit, workflows)
    else:
        attestation.verify(directory, workflows, commit)
    release.verify(directory, digest, component, commit)
    return directory
