"""The one gate: a tool's report and exit code -> a verdict. What cannot be read, or says nothing, does not pass.

Tools lie: some exit 0 with findings, some exit 0 without having looked. So the exit code only says whether the tool
ran, the report says what it found, and a report that is missing or empty is an error.
"""

import codecs
import json
import math
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import runner

SEVERITIES = ("critical", "high", "medium", "low")
THRESHOLDS = (*SEVERITIES, "any")
LEVELS = {"error": "high", "warning": "medium", "note": "low", "none": "low"}
SHOWN = 10  # GitHub shows ten annotations a step
LARGEST = 256  # MiB of a report; no tool says that much of what somebody will read
UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError, OSError)


@dataclass(frozen=True, slots=True)
class Finding:
    severity: str  # one of SEVERITIES; "error" where the tool itself failed; "failed" for a test
    rule: str
    text: str
    file: str = ""
    line: int = 0
    blocks: bool = True
    secret: bool = False  # neither its text nor its line may be repeated
    excuse: str = ""  # why it does not block though it is at the threshold: waived, baseline
    mark: str = ""  # the same in the next run: policy.py gives it
    column: int = 0


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

    Of a report about `secrets` only rule, file, line and commit are shown and kept: a message may quote the secret, and
    so may the commit's message. Every secret is critical. The report is read result by result: it may be large. In the
    copy each run has a `category` of its own, without which GitHub's code scanning takes one run of a tool."""
    errors = [] if exit_code in ok_codes else [_error(f"the tool failed with {runner.ended(exit_code)}")]
    found: list[Finding] = []
    try:
        if (size := report.stat().st_size) > LARGEST * 2**20:
            return _too_large(size, errors)
        document: dict[str, Any] = {}
        deque(_walk(report, document), maxlen=0)  # the rules may stand behind the results
        for run in document["runs"]:
            errors += _tool_errors(run, secrets)
        by_id = [_by_id(run) for run in document["runs"]]

        def judged() -> Iterator[tuple[int, Any]]:
            for number, result in _walk(report, {}):
                if result is not _FIRST:
                    found.append(_finding(result, document["runs"][number], by_id[number], fail_on, secrets))
                yield number, result

        kept = _SECRETS if secrets else document
        runs = [
            {**run, "automationDetails": {"id": f"{category}/{f'{number}/' if number > 1 else ''}"}}
            for number, run in enumerate(kept["runs"], 1)
        ]
        kept = {**kept, "runs": runs} if category else kept
        if secrets:
            deque(judged(), maxlen=0)
            _write(keep, kept, ((0, _without_text(one)) for one in (None, *found)))
        else:
            _write(keep, kept, judged())
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
            column=finding.column,
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
                    runner.code(_where(finding)),
                    runner.code(finding.text),
                )
                for finding in verdict.findings[:SHOWN]
            ],
        )


def _error(text: str) -> Finding:
    return Finding("error", "", text)


def _where(finding: Finding) -> str:
    line, column = (f":{number}" if number else "" for number in (finding.line, finding.column))
    return f"{finding.file}{line}{column if line else ''}"


# ---- SARIF


def _tool_errors(run: dict[str, Any], secrets: bool) -> Iterator[Finding]:
    for invocation in run.get("invocations") or []:
        if invocation.get("executionSuccessful") is False:
            yield _error("the tool reports that its execution was not successful")
        for kind in ("toolExecutionNotifications", "toolConfigurationNotifications"):
            for notification in invocation.get(kind) or []:
                if notification.get("level") == "error":
                    file, line, _ = _place(notification)
                    text = "" if secrets else str(notification["message"].get("text", ""))
                    yield Finding("error", "", text or "the tool reports an error", file, line)


def _too_large(size: int, errors: list[Finding]) -> Verdict:
    text = f"the tool's report has {size >> 20} MiB, at most {LARGEST} MiB are judged: let the tool look at less"
    return Verdict("error", dict.fromkeys(SEVERITIES, 0), (*errors, _error(text)))


def _by_id(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["id"]: rule for rule in run["tool"]["driver"].get("rules") or []}


def _finding(
    result: dict[str, Any], run: dict[str, Any], by_id: dict[str, dict[str, Any]], fail_on: str, secrets: bool
) -> Finding:
    rules = run["tool"]["driver"].get("rules") or []
    index = result.get("ruleIndex", -1)
    rule = by_id.get(result.get("ruleId", "")) or (rules[index] if 0 <= index < len(rules) else {})
    name = sys.intern(str(result.get("ruleId") or rule.get("id") or "no rule"))
    file, line, column = _place(result)
    if secrets:
        severity, text = "critical", f"a secret{_commit(result)}: revoke it, then remove it"
    else:
        severity, text = _severity(result, rule), str(result["message"].get("text", ""))
    blocks = _at_least(severity, fail_on)
    return Finding(severity, name, text, sys.intern(file), line, blocks, secrets, column=column)


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


def _place(located: dict[str, Any]) -> tuple[str, int, int]:
    """File, line and column; 0 where it does not say one."""
    for location in located.get("locations") or []:
        place = location.get("physicalLocation") or {}
        uri = str((place.get("artifactLocation") or {}).get("uri", ""))
        path = urllib.parse.unquote(uri.removeprefix("file://"))
        region = place.get("region") or {}
        line, column = (int(region.get(name, 0)) for name in ("startLine", "startColumn"))
        return path.removeprefix(f"{Path.cwd()}/").removeprefix("./"), line, column
    return "", 0, 0


def _commit(result: dict[str, Any]) -> str:
    commit = str((result.get("partialFingerprints") or {}).get("commitSha", ""))
    return f" in commit {commit[:12]}" if re.fullmatch(r"[0-9a-f]{40,64}", commit) else ""


_SECRETS = {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "secrets detection"}}}]}


def _without_text(finding: Finding | None) -> Any:
    if finding is None:
        return _FIRST
    return {
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


# ---- SARIF piece by piece: of a report of 100 MB, one result is in memory at a time

QUOTES = ("snippet", "contextRegion", "contents")  # source text
BLOCK = 2**20
_FIRST = object()  # stands before the first result of a run
_WHITE = re.compile(r"[ \t\n\r]*")


def _walk(report: Path, document: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    """The results with the number of their run; what else the report says is put into `document`, without source text.

    Raises:
        ValueError: it is no JSON, or none of SARIF's form.
    """
    with report.open("rb") as file:
        pieces = _Pieces(file)
        for name in _once(pieces.members()):
            if name == "runs":
                document[name] = []
                for number, _ in enumerate(pieces.items()):
                    run: dict[str, Any] = {}
                    document[name].append(run)
                    yield from _walk_run(pieces, number, run)
            else:
                document |= _unquoted([(name, pieces.value())])
        if not document.get("runs") or pieces.next():
            raise ValueError("it has no runs, or something behind them")


def _walk_run(pieces: "_Pieces", number: int, run: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    looked = False
    for name in _once(pieces.members()):
        if name == "results":  # null: the tool did not look
            looked = True
            yield number, _FIRST
            for _ in pieces.items():
                yield number, pieces.value()
        else:
            run |= _unquoted([(name, pieces.value())])
    if not looked:
        raise ValueError("a run has no results")


def _once(names: Iterator[str]) -> Iterator[str]:
    """Readers differ in which of two members of one name they believe."""
    known: set[str] = set()
    for name in names:
        if name in known:
            raise ValueError(f"{name} is there twice")
        known.add(name)
        yield name


def _write(keep: Path, document: dict[str, Any], results: Iterable[tuple[int, Any]]) -> None:
    """A report with these results, a line each; all of it, or nothing."""
    part = keep.with_name(f"{keep.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            head = json.dumps({name: value for name, value in document.items() if name != "runs"})[1:-1]
            file.write(f'{{{head}{", " if head else ""}"runs": [')
            between = end = ""
            for number, result in results:
                if result is _FIRST:
                    run = json.dumps(document["runs"][number])[1:-1]
                    file.write(f'{end}\n{{{run}{", " if run else ""}"results": [')
                    between, end = "\n", "]},"
                else:
                    file.write(between + json.dumps(result))
                    between = ",\n"
            file.write("]}]}\n")
        part.replace(keep)
    finally:
        part.unlink(missing_ok=True)


def _unquoted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if name not in QUOTES}


class _Pieces:
    """JSON that is read a block at a time: who asks for members and items takes the values himself."""

    decode = json.JSONDecoder(object_pairs_hook=_unquoted).raw_decode

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        start = file.read(4)
        self.decoder = codecs.getincrementaldecoder(json.detect_encoding(start))("surrogatepass")
        self.text, self.at, self.ended = self.decoder.decode(start), 0, False

    def more(self) -> None:
        """As much again as there is, so that a value of any size is tried a few times only."""
        self.text = self.text[self.at :]
        block = self.file.read(max(BLOCK, len(self.text)))
        self.text, self.at, self.ended = self.text + self.decoder.decode(block, final=not block), 0, not block

    def next(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            white = _WHITE.match(self.text, self.at)
            self.at = white.end() if white else self.at
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.more()

    def take(self, expected: str) -> str:
        if (found := self.next()) and found in expected:
            self.at += 1
            return found
        raise ValueError(f"'{expected}' is missing")

    def value(self) -> Any:
        self.next()
        while True:
            try:
                found, end = self.decode(self.text, self.at)
                if end < len(self.text) or self.ended:  # else a number may go on
                    self.at = end
                    return found
            except ValueError:
                if self.ended:
                    raise
            self.more()

    def items(self) -> Iterator[None]:
        self.take("[")
        more = self.next() != "]"
        while more:
            yield None
            if self.take(",]") == "]":
                return
        self.take("]")

    def members(self) -> Iterator[str]:
        self.take("{")
        more = self.next() != "}"
        while more:
            if self.next() != '"':
                raise ValueError("a name is missing")
            name = self.value()
            self.take(":")
            yield name
            if self.take(",}") == "}":
                return
        self.take("}")


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
