"""Signs a release and stores it."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import evidence
import release
import runner
import signature
import store


def main() -> None:
    with evidence.recorded("package-and-store-artifacts", tool="kms, s3") as facts:
        directory, digest = Path(runner.required("RELEASE")), runner.required("DIGEST")
        component, key = runner.required("COMPONENT"), runner.required("SIGNING_KEY")
        region, account, bucket = runner.required("REGION"), runner.required("ACCOUNT"), runner.required("BUCKET")
        release.verify(directory, digest, component)
        aws.expect_account(region, account)
        said = json.dumps(release.statement(directory, digest), sort_keys=True)
        (directory / release.PROVENANCE).write_text(said + "\n", encoding="utf-8")
        signature.sign(directory, key)
        store.put(region, bucket, account, component, digest, directory)
        facts["where"] = f"s3://{bucket}/{component}/{digest}/"
        runner.say(f"release {digest} is signed by {key} and stored at {facts['where']}")


main()
