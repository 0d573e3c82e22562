"""Signs a release, or takes GitHub's attestation of it, and stores it."""

import json
import shutil
import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import evidence
import release
import runner
import signature
import store


def main() -> None:
    key = runner.given("SIGNING_KEY")
    with evidence.recorded("package-and-store-artifacts", tool="kms, s3" if key else "attest, s3") as facts:
        directory, digest, component = (
            Path(runner.required("RELEASE")),
            runner.required("DIGEST"),
            runner.required("COMPONENT"),
        )
        region, account, bucket = runner.required("REGION"), runner.required("ACCOUNT"), runner.required("BUCKET")
        aws.expect_account(region, account)
        if key:
            said = json.dumps(release.statement(directory, digest), sort_keys=True)
            (directory / release.PROVENANCE).write_text(said + "\n", encoding="utf-8")
            signature.sign(directory, key)
        else:
            shutil.copyfile(runner.required("ATTESTATION"), directory / release.ATTESTATION)
        store.put(region, bucket, account, component, digest, directory)
        facts["where"] = f"s3://{bucket}/{component}/{digest}/"
        runner.say(f"release {digest} is signed by {key or 'GitHub'} and stored at {facts['where']}")


main()
