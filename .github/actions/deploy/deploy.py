"""Deploys a verified release. In production the release record has the region's state before and after."""

import json
import os
import sys
import time
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import alarms
import aws
import deployment
import evidence
import record
import runner


def main() -> None:
    region = runner.given("REGION")
    with evidence.recorded(
        runner.given("ACTION"), region=runner.given("UNIT") or region, tool=deployment.tool_name()
    ) as facts:
        tool = deployment.tool()
        target = deployment.target(runner.required("REGION"), runner.required("BUCKET"))
        place = target.unit or region  # what the record has an entry of
        digest, commit, wave = runner.required("DIGEST"), os.environ["GITHUB_SHA"], runner.given("WAVE")
        aws.expect_account(region, target.account)
        watched = alarms.check_before(region, target.stack, target.component) if wave else {}
        firing = [name for name, alarm in watched.items() if alarm["StateValue"] == "ALARM"]
        reason = runner.given("OVERRIDE")
        if reason:
            facts["override"] = reason

        def begin_region() -> None:
            if wave:
                release = {"digest": digest, "commit": commit}
                record.change(
                    record.given(),
                    lambda kept: record.begin_region(
                        kept, record.run(), place, int(wave), release, time.time(), record.lease(), firing
                    ),
                )
                begun.append(place)

        def set_region_state(state: str) -> None:
            if begun:
                record.change(
                    record.given(),
                    lambda kept: record.set_region_state(
                        kept, record.run(), place, state, time.time(), record.lease() if state == "deployed" else 0
                    ),
                )

        begun: list[str] = []
        stored = runner.given("STORE") == target.bucket
        triggers = [str(alarm["AlarmArn"]) for name, alarm in watched.items() if name not in firing]
        path, notes = Path(runner.required("RELEASE")), runner.given("NOTES")
        told = {"override": reason, "notes": notes}
        change = deployment.Change(path, digest, commit, begin_region, stored, triggers, not wave, **told)
        try:
            done = tool.deploy(target, change)
        except BaseException:
            set_region_state("failed")
            raise
        set_region_state("deployed")
        facts["where"] = done.change
        runner.output("started", done.started)
        text = json.dumps(dict(done.outputs))
        runner.output("deployment-outputs", text)
        kept = runner.temp() / "deployed" / "outputs.json"
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(text, encoding="utf-8")


main()
