"""Runs a test command and lets the gate judge its JUnit report."""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import coverage
import evidence
import gate
import runner


def found(directory: str, pattern: str) -> list[Path]:
    """The reports that a build tool leaves in folders of its own."""
    if not pattern:
        return []
    return sorted(path for path in Path(directory).glob(pattern) if path.is_file() and not path.is_symlink())


def merge(reports: list[Path], report: Path) -> None:
    """One report of several. One that cannot be read makes the whole one unreadable: its results are unknown."""
    if not reports or report.exists():
        return
    suites = []
    for path in reports:
        text = path.read_bytes()
        try:
            suite = ElementTree.fromstring(text)  # noqa: S314 - written by the tests that ran a moment ago
        except (ValueError, ElementTree.ParseError):
            report.write_bytes(text)
            return
        for properties in suite.findall("properties"):  # of the machine, passwords perhaps among them
            suite.remove(properties)
        suites.append(suite)
    whole = ElementTree.Element("testsuites")
    whole.extend(suites)
    ElementTree.ElementTree(whole).write(report, encoding="utf-8")


def covered(verdict: gate.Verdict, wanted: float, report: Path) -> tuple[gate.Verdict, float]:
    """The verdict with that on the coverage, and the coverage in percent."""
    try:
        found = coverage.percent(report)
    except runner.Failed as failed:
        return gate.Verdict(
            "error", verdict.counts, (*verdict.findings, gate.Finding("error", "coverage", str(failed)))
        ), 0
    runner.summary("line coverage", ("covered", "required"), [(f"{found:.1f} %", f"{wanted:g} %")])
    runner.say(f"line coverage: {found:.1f} %")
    if found >= wanted:
        return verdict, round(found, 1)
    low = gate.Finding("failed", "coverage", f"{found:.1f} % of lines are covered, {wanted:g} % are required")
    result = "fail" if verdict.result == "pass" else verdict.result
    return gate.Verdict(result, verdict.counts, (*verdict.findings, low)), round(found, 1)


def main() -> None:
    action, region = runner.given("ACTION"), runner.given("REGION")
    with evidence.recorded(action, region=runner.given("UNIT") or region, tool="bash") as facts:
        report = evidence.directory() / f"{action}.junit.xml"
        report.unlink(missing_ok=True)
        covering = evidence.directory() / f"{action}.coverage"
        covering.unlink(missing_ok=True)
        directory, pattern = runner.given("WORKING_DIRECTORY") or ".", runner.given("REPORTS")
        for stale in found(directory, pattern):
            stale.unlink()
        variables = {
            "JUNIT_FILE": str(report),
            "COVERAGE_REPORT": str(covering),
            "DEPLOYMENT_OUTPUTS": runner.deployment_outputs(),
        }
        if region:
            variables |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}  # boto3 reads the second only
        code = runner.bash(runner.required("COMMAND"), directory, **variables)
        merge(found(directory, pattern), report)
        verdict = gate.junit(report, code)
        facts["findings"] = verdict.counts
        if report.exists():
            facts["where"] = report.name
            runner.output("report", str(report))
        if wanted := runner.given("COVERAGE"):
            verdict, facts["coverage"] = covered(verdict, float(wanted), covering)
        gate.publish(action, "", verdict, bool(runner.given("ADVISORY")))
        if verdict.result != "pass":
            raise runner.Failed(result=verdict.result)


main()
