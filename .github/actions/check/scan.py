"""Runs the tools that do a DPRA action and lets the one gate judge their reports."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
sys.path.insert(1, str(Path(__file__).resolve().parent))
import clean
import evidence
import files
import gate
import green
import head
import install
import made_of
import policy
import release
import runner

TOOLS = Path(__file__).resolve().parent / "tools"


def choose(action: str, names: list[str], languages: list[str]) -> list[tuple[Path, head.Header]]:
    """The tools that were asked for, or else the one default tool for the action in each language."""
    headers = {script: head.header(script) for script in sorted(TOOLS.glob("*.sh"))}
    serving = {script: head.served(data).get(action, ([], [])) for script, data in headers.items()}
    chosen = []
    for name in names:
        chosen += [script for script, (served, _) in serving.items() if script.stem == name and served]
    if not names:
        for language in languages or ["any"]:
            fitting = [
                script
                for script, (_, default) in serving.items()
                if {"any", language} & set(default) or (default and not languages)
            ]
            chosen += fitting if len(fitting) == 1 else []
    if not chosen or len(chosen) != len(names or languages or [""]):
        there = ", ".join(script.stem for script, (served, _) in serving.items() if served) or "none"
        asked = f"tool '{' '.join(names)}'" if names else f"one default tool, language '{' '.join(languages)}'"
        raise runner.Failed(f"{asked}: not found for {action}; choose one of: {there}", "error")
    return [(script, headers[script]) for script in dict.fromkeys(chosen)]


def run(script: Path, data: head.Header, private: Path, path: Path | None, **variables: str) -> int:
    """The tool's exit code. What it prints quotes the repository, so the runner must obey none of it.

    It starts in an empty directory, with an empty HOME and only the variables that clean.environment lets through and
    the head of its file names: neither the repository nor what ran before tells it what to look at."""
    home, empty = private / "home", private / "empty"
    for folder in (home, empty):
        folder.mkdir()
    given = clean.environment(*data.get("environment", [""])[0].split())
    given |= {**variables, "SARIF": str(private / "report.sarif"), "CHECK": str(TOOLS.parent)}
    given |= {"TMPDIR": str(private), "HOME": str(home)}
    given |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    if path:
        given |= {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "TOOL_HOME": str(path.parent)}
    token = os.urandom(16).hex()
    print(f"::stop-commands::{token}", flush=True)
    try:
        return subprocess.run(["bash", str(script)], cwd=empty, env=given, check=False).returncode
    finally:
        print(f"\n::{token}::", flush=True)


def inline_suppressions(words: str, target: Path, fail_on: str) -> list[gate.Finding]:
    """Comments that would let findings through, where the tool cannot be set to ignore them; several words by blanks.

    They are looked for in the bytes of all that the tool may read: no encoding and no ignore file hides one."""
    names = files.listed(target)
    if file := runner.given("FILE"):  # such as a folder that git ignores, of what was built
        inside = target / file
        names += [f"{file}/{name}" for name in files.listed(inside)] if inside.is_dir() else [file]
    found = []
    for name in dict.fromkeys(os.path.normpath(name) for name in names):
        try:
            content = (target / name).read_bytes()
        except OSError:
            continue  # a tool cannot read it either
        for word in words.split():
            if (said := word.encode()) not in content:
                continue
            text = f"the suppression '{word}' has no effect: waive the finding in dpra.yml, with reason and expiry date"
            found += [
                gate.Finding("high", "inline-suppression", text, name, number, fail_on != "critical")
                for number, line in enumerate(content.split(b"\n"), 1)
                if said in line
            ]
    return found


def unpack(target: str, private: Path) -> str:
    """What to check: the content of a release that dpra package made, or else the place itself."""
    archive = Path(target) / "package.zip"
    if not archive.is_file():
        if not Path(target).exists():
            raise runner.Failed(f"the target '{target}' does not exist", "error")
        return target
    content = private / "package"
    content.mkdir()
    release.extract(archive, content)
    return str(content)


def there(settings: Mapping[str, str], target: Path) -> None:
    """Fail where what an image is made of is missing: a tool could only say that it saw nothing."""
    file = settings.get("file")
    if file and not (target / file).is_file():
        raise runner.Failed(f"{file} does not exist: create it, or say image.file in dpra.yml", "error")
    for source in made_of.SOURCES.values():
        folder = settings.get(source.setting)
        if folder and not made_of.there(source, target / folder):
            text = f"There is no {source.words} in {folder}: create one, or say image.components in dpra.yml"
            raise runner.Failed(text, "error")


def deployment_variables() -> dict[str, str]:
    """What a tool needs that tests what is deployed."""
    text = runner.deployment_outputs()
    urls = [value for value in json.loads(text).values() if str(value).startswith(("https://", "http://"))]
    found = {"DEPLOYMENT_OUTPUTS": text, "URL": urls[0] if len(urls) == 1 else ""}
    found |= {"HISTORY": runner.given("HISTORY"), "REGRESSION": runner.given("REGRESSION")}
    if region := runner.given("REGION"):
        found |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    return found


def scan(
    action: str, script: Path, data: head.Header, kept: Path, given: list[policy.Waiver], before: list[str]
) -> set[policy.Waiver]:
    """Run one tool and publish its verdict; the waivers that it used.

    Args:
        before: the tools that looked at the same before it.
    """
    used: set[policy.Waiver] = set()
    with evidence.recorded(action, tool=script.stem, region=runner.given("REGION")) as facts:
        fail_on = runner.given("FAIL_ON") or "medium"
        if fail_on not in gate.THRESHOLDS:
            raise runner.Failed(
                f"the input 'fail-on' is '{fail_on}': choose one of {', '.join(gate.THRESHOLDS)}", "error"
            )
        there(json.loads(runner.given("SETTINGS") or "{}"), Path(runner.given("TARGET") or "."))
        path, facts["version"] = install.ensure(script, data)
        known = policy.baseline(Path(file), action) if (file := runner.given("BASELINE")) else Counter[str]()
        private = Path(tempfile.mkdtemp(dir=runner.temp()))  # the report as the tool wrote it may quote a secret
        target = unpack(runner.given("TARGET") or ".", private)
        outputs = {"TARGET": str(Path.cwd() / target), "ACTION": action, "EVIDENCE": str(evidence.directory())}
        outputs |= {"PACKED": "no" if target == (runner.given("TARGET") or ".") else "yes"}
        outputs |= {"DEVELOPMENT": "true" if runner.given("DEVELOPMENT") == "true" else "false"}
        outputs |= {"TOOL_FILE": runner.given("FILE"), "DPRA_LANGUAGE": runner.given("LANGUAGE")}
        outputs |= {"SETTINGS": runner.given("SETTINGS") or "{}", "BUILT": str(runner.temp() / "dpra-built")}
        outputs |= {"SUMMARY": str(private / "summary.md"), "BEFORE": " ".join(before)}
        code = run(script, data, private, path, **outputs, **deployment_variables())
        ok_codes = [int(number) for number in data["ok-exit-codes"][0].split()]
        secrets = action == "secrets-detection"
        category = f"dpra/{os.environ.get('GITHUB_JOB', '')}/{action}/{script.stem}"
        runner.shown(private / "summary.md")
        verdict = gate.sarif(private / "report.sarif", code, ok_codes, fail_on, kept, secrets, category)
        if words := data.get(f"suppressed in {action}"):
            verdict = gate.with_more(verdict, inline_suppressions(words[0], Path(target), fail_on))
        shutil.rmtree(private, ignore_errors=True)
        judged = policy.judge(verdict, given, known)
        used = set(judged.used)
        if (
            judged.verdict.result == "fail"
            and (job := runner.given("GREEN_BEFORE"))
            and (pull := green.passed_in_pull_request(job))
        ):
            judged = policy.excused(judged, f"new since pull request {pull}")
            for one in judged.verdict.findings[: gate.SHOWN]:
                runner.warning(f"{one.rule}: {one.text}", one.file, one.line, title=f"{action}: {one.excuse}")
            facts["override"] = f"passed in pull request {pull}: what is found now was not known then"
        if action == "sbom" and outputs["PACKED"] == "yes" and judged.verdict.result == "pass":
            for name in release.SBOMS:  # they go with what they describe
                shutil.copyfile(evidence.directory() / name, Path(runner.given("TARGET")) / name)
        facts |= {"findings": verdict.counts, **policy.facts(judged)}
        if kept.exists():
            facts["where"] = kept.name
            runner.output("report", str(kept))
        with kept.with_suffix(".findings.json").open("w", encoding="utf-8") as file:
            listed = policy.listed(action, script.stem, judged)
            file.write("[" + ",\n".join(map(json.dumps, listed)) + "]\n")
        gate.publish(action, f"{script.stem} {facts['version']}", judged.verdict, bool(runner.given("ADVISORY")))
        if judged.verdict.result != "pass":
            raise runner.Failed(result=judged.verdict.result)
        runner.say(f"{action}: {script.stem} {facts['version']} has no new findings at or above {fail_on}")
    return used


def main() -> None:
    action = runner.given("ACTION")
    try:
        chosen = choose(action, runner.given("TOOL").split(), runner.given("LANGUAGE").split())
        given = policy.waivers(runner.given("WAIVERS") or "[]")
    except runner.Failed as failed:
        with evidence.recorded(action, region=runner.given("REGION")):
            raise failed
    used: set[policy.Waiver] = set()
    stopped = False
    for number, (script, data) in enumerate(chosen):
        name = action if len(chosen) == 1 else f"{action}.{script.stem}"
        kept = evidence.directory() / f"{name}.sarif"
        kept.unlink(missing_ok=True)
        try:
            used |= scan(action, script, data, kept, given, [one.stem for one, _ in chosen[:number]])
        except SystemExit:
            stopped = True  # the other tools run, too
    for waiver in given:
        if not waiver.expired and waiver not in used and not stopped:
            runner.warning(f"{waiver} matches no finding: remove it", title=action)
    sys.exit(1 if stopped else 0)


main()
