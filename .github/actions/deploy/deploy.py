"""Deploys a verified release. In production the record says before and after it what is done to the region."""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import cloudformation
import evidence
import record
import runner


def main() -> None:
    region = runner.given("REGION")
    with evidence.recorded(runner.given("ACTION"), region=region, tool="cloudformation") as facts:
        target = cloudformation.Target(
            component=runner.required("COMPONENT"),
            environment=runner.required("ENVIRONMENT"),
            account=runner.required("ACCOUNT"),
            region=runner.required("REGION"),
            stack=runner.required("STACK"),
            bucket=runner.required("BUCKET"),
            execution_role=runner.given("EXECUTION_ROLE"),
        )
        digest, commit, wave = runner.required("DIGEST"), os.environ["GITHUB_SHA"], runner.given("WAVE")
        aws.expect_account(region, target.account)

        def intend() -> None:
            if wave:
                release = {"digest": digest, "commit": commit}
                record.change(
                    record.given(),
                    lambda kept: record.intend(
                        kept, record.run(), region, int(wave), release, time.time(), record.lease()
                    ),
                )
                begun.append(region)

        def became(state: str) -> None:
            if begun:
                record.change(
                    record.given(), lambda kept: record.became(kept, record.run(), region, state, time.time())
                )

        begun: list[str] = []
        stored = runner.given("STORE") == target.bucket
        try:
            done = cloudformation.deploy(target, Path(runner.required("RELEASE")), digest, commit, intend, stored)
        except BaseException:
            became("failed")
            raise
        became("deployed")
        facts["where"] = done.change_set
        runner.output("started", done.started)
        runner.output("deployment-outputs", json.dumps(done.outputs))


main()
