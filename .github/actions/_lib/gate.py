"""The one gate: a tool's report and exit code -> a verdict. What cannot be read, or says nothing, does not pass.

Tools lie: some exit 0 with findings, some exit 0 without having looked. So the exit code only says whether the tool
ran, the report says what it found, and a report that is missing or empty is an error.
"""

import json
import math
import re
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import runner

SEVERITIES = ("critical", "high", "medium", "low")
THRESHOLDS = (*SEVERITIES, "any")
LEVELS = {"error": "high", "warning": "medium", "note": "low", "none": "low"}
SHOWN = 10  # GitHub shows ten annotations a step
UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError, OSError)


@dataclass(frozen=True)
class Finding:
    severity: str  # one of SEVERITIES; "error" where the tool itself failed; "failed" for a test
    rule: str
    text: str
    file: str = ""
    line: int = 0
    blocks: bool = True
    secret: bool = False  # neither its text nor its line may be repeated
    excuse: str = ""  # why it does not block though it is at the threshold: waived, baseline


@dataclass(frozen=True)
class Verdict:
    result: str  # of the evidence: pass, fail, error
    counts: dict[str, int]
    findings: tuple[Finding, ...]  # worst first


def sarif(
    report: Path,
    exit_code: int,
    ok_codes: Container[int],
    fail_on: str,
    keep: Path,
    secrets: bool = False,
    category: str = "",
) -> Verdict:
    """Judge a SARIF report, and keep a copy of it as evidence without the source text it quotes.

    Each run that is kept is of the `category`, by which code scanning tells it from every other upload of the commit.

    Of a report about `secrets` only rule, file, line and commit are shown and kept: a message may quote the secret, and
    so may the commit's message. Every secret is critical."""
    errors = [] if exit_code in ok_codes else [_error(f"the tool failed with {runner.ended(exit_code)}")]
    found: list[Finding] = []
    try:
        document = json.loads(report.read_bytes())
        runs = document["runs"]
        if not runs:
            raise ValueError("it has no runs")
        for run in runs:
            errors += _tool_errors(run, secrets)
            found += _results(run, fail_on, secrets)
        kept = _without_text(found) if secrets else _without_source(document)
        if category:
            _categorise(kept["runs"], category)
        keep.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    except FileNotFoundError:
        errors.append(_error("the tool wrote no SARIF report"))
    except UNREADABLE as problem:
        errors.append(_error(f"the tool's report is not SARIF that can be judged ({type(problem).__name__})"))
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    count = Counter(finding.severity for finding in found)
    blocked = any(finding.blocks for finding in found)
    return Verdict(
        "error" if errors else "fail" if blocked else "pass",
        {severity: count[severity] for severity in SEVERITIES},
        (*errors, *found),
    )


def with_more(verdict: Verdict, found: list[Finding]) -> Verdict:
    """The verdict with findings that its report does not have."""
    counts = Counter(verdict.counts) + Counter(finding.severity for finding in found)
    blocked = any(finding.blocks for finding in found) and verdict.result == "pass"
    counted = {severity: counts[severity] for severity in SEVERITIES}
    return Verdict("fail" if blocked else verdict.result, counted, (*verdict.findings, *found))


def junit(report: Path, exit_code: int) -> Verdict:
    """Judge a JUnit report: tests must have run, and none may have failed."""
    errors = []
    found = []
    count = Counter[str]()
    try:
        elements = [(element.tag.rpartition("}")[2], element) for element in _parsed(report).iter()]
        for tag, element in elements:
            if tag != "testcase":
                continue
            outcome = _outcome(element)
            count[outcome] += 1
            if outcome == "failed":
                found.append(_failed_test(element))
        # A suite may declare a failure that belongs to no test: a broken fixture, a file that cannot be imported.
        declared = max(
            (
                int(element.get("failures") or 0) + int(element.get("errors") or 0)
                for tag, element in elements
                if tag in ("testsuite", "testsuites")
            ),
            default=0,
        )
        if declared > count["failed"]:
            found.append(Finding("failed", "suite", f"the report declares {declared} failures and errors"))
            count["failed"] = declared
        if not count["passed"] + count["failed"]:
            errors.append(_error("no test was executed"))
    except FileNotFoundError:
        errors.append(_error('no JUnit report: the command must write one to "$JUNIT_FILE"'))
    except (ElementTree.ParseError, *UNREADABLE) as problem:
        errors.append(_error(f"the JUnit report cannot be read ({type(problem).__name__})"))
    if exit_code and not found:
        errors.insert(0, _error(f"the command failed with {runner.ended(exit_code)}"))
    return Verdict(
        "error" if errors else "fail" if found else "pass",
        {outcome: count[outcome] for outcome in ("passed", "failed", "skipped")},
        (*errors, *found),
    )


def publish(action: str, tool: str, verdict: Verdict, advisory: bool = False) -> None:
    """Annotations for what blocks, and the summary's tables. An advisory check warns of what would."""
    blocking = [finding for finding in verdict.findings if finding.blocks]
    for finding in blocking[:SHOWN]:
        (runner.warning if advisory else runner.error)(
            f"{finding.rule}: {finding.text}" if finding.rule else finding.text,
            finding.file,
            finding.line,
            title=f"{action}: {finding.severity}",
        )
    if len(blocking) > SHOWN:
        runner.say(f"and {len(blocking) - SHOWN} more: see the report among the job's evidence")
    runner.summary(
        f"{action}: {verdict.result}{f' ({tool})' if tool else ''}",
        list(verdict.counts),
        [[str(number) for number in verdict.counts.values()]],
    )
    if verdict.findings:
        runner.summary(
            f"{action}: the first {min(SHOWN, len(verdict.findings))} of {len(verdict.findings)}",
            ("severity", "blocks", "rule", "where", "what"),
            [
                (
                    finding.severity,
                    finding.excuse or ("advisory" if advisory else "yes" if finding.blocks else "no"),
                    runner.code(finding.rule),
                    runner.code(f"{finding.file}:{finding.line}" if finding.line else finding.file),
                    runner.code(finding.text),
                )
                for finding in verdict.findings[:SHOWN]
            ],
        )


def _error(text: str) -> Finding:
    return Finding("error", "", text)


# ---- SARIF


def _tool_errors(run: dict[str, Any], secrets: bool) -> Iterator[Finding]:
    for invocation in run.get("invocations") or []:
        if invocation.get("executionSuccessful") is False:
            yield _error("the tool reports that its execution was not successful")
        for kind in ("toolExecutionNotifications", "toolConfigurationNotifications"):
            for notification in invocation.get(kind) or []:
                if notification.get("level") == "error":
                    file, line = _place(notification)
                    text = "" if secrets else str(notification["message"].get("text", ""))
                    yield Finding("error", "", text or "the tool reports an error", file, line)


def _results(run: dict[str, Any], fail_on: str, secrets: bool) -> Iterator[Finding]:
    driver = run["tool"]["driver"]
    rules = driver.get("rules") or []
    by_id = {rule["id"]: rule for rule in rules}
    results = run["results"]
    if not isinstance(results, list):  # null: the tool did not look
        raise TypeError("results is no list")
    for result in results:
        index = result.get("ruleIndex", -1)
        rule = by_id.get(result.get("ruleId")) or (rules[index] if 0 <= index < len(rules) else {})
        name = str(result.get("ruleId") or rule.get("id") or "no rule")
        file, line = _place(result)
        if secrets:
            severity, text = "critical", f"a secret{_commit(result)}: revoke it, then remove it"
        else:
            severity, text = _severity(result, rule), str(result["message"].get("text", ""))
        yield Finding(severity, name, text, file, line, _at_least(severity, fail_on), secrets)


def _severity(result: dict[str, Any], rule: dict[str, Any]) -> str:
    for properties in (result.get("properties") or {}, rule.get("properties") or {}):
        score = _number(properties.get("security-severity"))
        if not math.isnan(score):
            return "critical" if score >= 9 else "high" if score >= 7 else "medium" if score >= 4 else "low"
    level = result.get("level") or (rule.get("defaultConfiguration") or {}).get("level") or "warning"
    return LEVELS[level]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _at_least(severity: str, threshold: str) -> bool:
    return SEVERITIES.index(severity) <= THRESHOLDS.index(threshold)


def _place(located: dict[str, Any]) -> tuple[str, int]:
    for location in located.get("locations") or []:
        place = location.get("physicalLocation") or {}
        uri = str((place.get("artifactLocation") or {}).get("uri", ""))
        path = urllib.parse.unquote(uri.removeprefix("file://"))
        return path.removeprefix(f"{Path.cwd()}/").removeprefix("./"), int(
            (place.get("region") or {}).get("startLine", 0)
        )
    return "", 0


def _commit(result: dict[str, Any]) -> str:
    commit = str((result.get("partialFingerprints") or {}).get("commitSha", ""))
    return f" in commit {commit[:12]}" if re.fullmatch(r"[0-9a-f]{40,64}", commit) else ""


def _categorise(runs: list[dict[str, Any]], category: str) -> None:
    """Code scanning takes one run of a category and tool: a second one of the same report gets its number, too."""
    for number, run in enumerate(runs, 1):
        run["automationDetails"] = {"id": f"{category}/{number}/" if number > 1 else f"{category}/"}


def _without_source(value: Any) -> Any:
    if isinstance(value, dict):
        quotes = ("snippet", "contextRegion", "contents")
        return {key: _without_source(inner) for key, inner in value.items() if key not in quotes}
    return [_without_source(inner) for inner in value] if isinstance(value, list) else value


def _without_text(findings: list[Finding]) -> dict[str, Any]:
    results = [
        {
            "ruleId": finding.rule,
            "level": "error",
            "message": {"text": finding.text},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": urllib.parse.quote(finding.file, errors="replace")},
                        "region": {"startLine": finding.line or 1},
                    }
                }
            ],
        }
        for finding in findings
    ]
    return {
        "version": "2.1.0",
        "runs": [{"tool": {"driver": {"name": "secrets detection"}}, "results": results}],
    }


# ---- JUnit


def _parsed(report: Path) -> ElementTree.Element:
    return ElementTree.fromstring(report.read_bytes())  # noqa: S314 - written by the tests that ran a moment ago


def _outcome(testcase: ElementTree.Element) -> str:
    inside = {child.tag.rpartition("}")[2] for child in testcase}
    return "failed" if inside & {"failure", "error"} else "skipped" if "skipped" in inside else "passed"


def _failed_test(testcase: ElementTree.Element) -> Finding:
    name = ".".join(filter(None, (testcase.get("classname"), testcase.get("name"))))
    reasons = [child for child in testcase if child.tag.rpartition("}")[2] in ("failure", "error")]
    text = reasons[0].get("message") or (reasons[0].text or "").strip() or "failed"
    line = testcase.get("line") or ""
    return Finding("failed", name, text, testcase.get("file") or "", int(line) if line.isdecimal() else 0)
