"""Runs a test command and lets the gate judge its JUnit report."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import evidence
import gate
import runner


def main() -> None:
    action, region = runner.given("ACTION"), runner.given("REGION")
    with evidence.recorded(action, region=region, tool="bash") as facts:
        report = evidence.directory() / f"{action}.junit.xml"
        report.unlink(missing_ok=True)
        variables = {
            "JUNIT_FILE": str(report),
            "DEPLOYMENT_OUTPUTS": runner.given("DEPLOYMENT_OUTPUTS") or "{}",
        }
        if region:
            variables |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}  # boto3 reads the second only
        code = runner.bash(runner.required("COMMAND"), runner.given("WORKING_DIRECTORY") or ".", **variables)
        verdict = gate.junit(report, code)
        facts["findings"] = verdict.counts
        if report.exists():
            facts["where"] = report.name
            runner.output("report", str(report))
        gate.publish(action, "", verdict)
        if verdict.result != "pass":
            raise runner.Failed(result=verdict.result)


main()
