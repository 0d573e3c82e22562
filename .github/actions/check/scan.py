"""Runs the tool that does a DPRA action and lets the gate judge its report."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import evidence
import gate
import install
import runner

TOOLS = Path(__file__).resolve().parent / "tools"


def choose(action: str, tool: str, language: str) -> tuple[Path, install.Header]:
    """The tool that was asked for, or else the one default tool for the action and the language."""
    headers = {script: install.header(script) for script in sorted(TOOLS.glob("*.sh"))}
    serving = {script: data for script, data in headers.items() if data["action"] == [action]}
    if tool:
        fitting = [script for script in serving if script.stem == tool]
    else:
        fitting = [script for script, data in serving.items() if "default" in data and _fits(data, language)]
    if len(fitting) != 1:
        names = ", ".join(script.stem for script in serving) or "none"
        asked = f"tool '{tool}'" if tool else f"one default tool, language '{language}'"
        raise runner.Failed(f"{asked}: not found for {action}; there are: {names}", "error")
    return fitting[0], serving[fitting[0]]


def _fits(data: install.Header, language: str) -> bool:
    languages = data["languages"][0].split()
    return not language or "any" in languages or language in languages


def run(script: Path, report: Path, path: Path | None) -> int:
    """The tool's exit code. What it prints quotes the repository, so the runner is told to obey none of it."""
    variables = {**os.environ, "SARIF": str(report)}
    if path:
        variables["PATH"] = f"{path}{os.pathsep}{os.environ['PATH']}"
    token = os.urandom(16).hex()
    print(f"::stop-commands::{token}", flush=True)
    try:
        return subprocess.run(["bash", str(script)], env=variables, check=False).returncode
    finally:
        print(f"\n::{token}::", flush=True)


def main() -> None:
    action = runner.given("ACTION")
    with evidence.recorded(action) as facts:
        fail_on = runner.given("FAIL_ON") or "medium"
        if fail_on not in gate.THRESHOLDS:
            raise runner.Failed(f"fail-on is one of {', '.join(gate.THRESHOLDS)}, not '{fail_on}'", "error")
        script, data = choose(action, runner.given("TOOL"), runner.given("LANGUAGE"))
        facts["tool"] = script.stem
        path, facts["version"] = install.ensure(script.stem, data)
        kept = evidence.directory() / f"{action}.sarif"
        kept.unlink(missing_ok=True)
        private = Path(tempfile.mkdtemp(dir=runner.temp()))  # the report as the tool wrote it may quote a secret
        code = run(script, private / "report.sarif", path)
        ok_codes = [int(number) for number in data["ok-exit-codes"][0].split()]
        verdict = gate.sarif(
            private / "report.sarif", code, ok_codes, fail_on, kept, secrets=action == "secrets-detection"
        )
        shutil.rmtree(private)
        facts["findings"] = verdict.counts
        if kept.exists():
            facts["where"] = kept.name
            runner.output("report", str(kept))
        gate.publish(action, f"{script.stem} {facts['version']}", verdict)
        if verdict.result != "pass":
            raise runner.Failed(result=verdict.result)
        runner.say(f"{action}: {script.stem} {facts['version']} found nothing at or above {fail_on}")


main()
