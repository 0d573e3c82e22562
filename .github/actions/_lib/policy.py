"""What lets a finding through: a waiver, until its last day, or the baseline of a repository that adopted dpra late.

A waiver is one object of the input `waivers`: rule, reason, owner, until (its last day, UTC), and a path where it
helps. The baseline is a file that `dpra baseline` writes: the findings there were. Both stand in files with an owner; a
comment in the code that is judged lets nothing through.
"""

import datetime
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import changes
import gate
import runner

LARGEST = 2**26  # bytes of a file whose lines are looked up


@dataclass(frozen=True)
class Waiver:
    rule: str
    reason: str
    owner: str
    until: datetime.date
    path: str = ""  # a pattern with * and **; empty for every path

    @property
    def expired(self) -> bool:
        return self.until < datetime.datetime.now(datetime.UTC).date()

    def __str__(self) -> str:
        place = f" in {self.path}" if self.path else ""
        return f"the waiver of {self.rule}{place} ({self.owner}: {self.reason}), until {self.until}"

    def covers(self, finding: gate.Finding) -> bool:
        same = self.rule == finding.rule and not self.expired
        return same and (not self.path or bool(changes.pattern(self.path).fullmatch(finding.file)))


@dataclass(frozen=True)
class Judged:
    """A verdict with what was let through."""

    verdict: gate.Verdict
    used: dict[Waiver, int]  # findings that each waiver let through
    known: int  # findings that the baseline let through


def waivers(text: str) -> list[Waiver]:
    """The input `waivers`, a JSON list."""
    try:
        return [Waiver(**{**one, "until": datetime.date.fromisoformat(one["until"])}) for one in json.loads(text)]
    except (ValueError, TypeError, KeyError) as problem:
        raise runner.Failed(f"the input 'waivers' is not a list of waivers: {problem}", "error") from problem


def baseline(path: Path, action: str) -> Counter[str]:
    """The fingerprints that a baseline has for an action, each with how often."""
    try:
        document = json.loads(path.read_bytes())
        return Counter(one["fingerprint"] for one in document["findings"] if one["action"] == action)
    except (OSError, ValueError, TypeError, LookupError) as problem:
        raise runner.Failed(f"the baseline '{path}' cannot be read: {problem}; make it with dpra baseline") from problem


def fingerprints(findings: Iterable[gate.Finding]) -> dict[gate.Finding, str]:
    """The same for the same finding after lines above it came or went; another as soon as its own line changes.

    A file is read once, whatever is found in it, and one file at a time."""
    places: dict[str, list[gate.Finding]] = {}
    for finding in findings:
        places.setdefault(finding.file, []).append(finding)
    marks = {}
    for file, found in places.items():
        lines = _lines(Path(file)) if any(map(_quotes, found)) else []
        for one in found:
            # In an artifact, or in a file that went: its message must do.
            said = lines[one.line - 1].strip() if _quotes(one) and one.line <= len(lines) else one.text
            marks[one] = hashlib.sha256(json.dumps([one.rule, file, said]).encode()).hexdigest()[:32]
    return marks


def _quotes(finding: gate.Finding) -> bool:
    """Whether its own line may stand for it."""
    return finding.line > 0 and finding.severity != "error" and not finding.secret


def _lines(file: Path) -> list[str]:
    with suppress(OSError, ValueError):
        if file.is_file() and file.stat().st_size <= LARGEST:  # a pipe never ends
            return file.read_text(encoding="utf-8").splitlines()
    return []


def judge(verdict: gate.Verdict, given: Sequence[Waiver], known: Counter[str]) -> Judged:
    """Let through what is covered; an expired waiver fails, whether or not it would have covered anything."""
    used: Counter[Waiver] = Counter()
    left = known.copy()
    findings = []
    marks = fingerprints(one for one in verdict.findings if one.severity in gate.SEVERITIES)
    by_rule: dict[str, list[Waiver]] = {}
    for one in given:
        if not one.expired:
            by_rule.setdefault(one.rule, []).append(one)
    for finding in verdict.findings:
        excuse = ""
        mark = marks.get(finding, "")
        if mark:
            if waiver := next((one for one in by_rule.get(finding.rule, ()) if one.covers(finding)), None):
                used[waiver] += 1
                excuse = "waived"
            elif left[mark] > 0:
                left[mark] -= 1
                excuse = "baseline"
        findings.append(replace(finding, blocks=finding.blocks and not excuse, excuse=excuse, mark=mark))
    late = [gate.Finding("error", "", f"{waiver} has expired") for waiver in given if waiver.expired]
    result = verdict.result
    if result != "error":
        result = "fail" if late or any(finding.blocks for finding in findings) else "pass"
    return Judged(gate.Verdict(result, verdict.counts, (*late, *findings)), dict(used), (known - left).total())


def excused(judged: Judged, why: str) -> Judged:
    """Let every finding through; an error of the tool and an expired waiver still fail."""
    verdict = judged.verdict
    findings = tuple(
        replace(one, blocks=False, excuse=why) if one.blocks and one.severity in gate.SEVERITIES else one
        for one in verdict.findings
    )
    result = "fail" if any(one.blocks for one in findings) else "pass"
    return replace(judged, verdict=gate.Verdict(result, verdict.counts, findings))


def facts(judged: Judged) -> dict[str, Any]:
    """What the evidence says of it."""
    found: dict[str, Any] = {}
    if judged.used:
        found["waivers"] = [
            {
                "rule": waiver.rule,
                "path": waiver.path,
                "owner": waiver.owner,
                "reason": waiver.reason,
                "until": waiver.until.isoformat(),
                "findings": count,
            }
            for waiver, count in judged.used.items()
        ]
    if judged.known:
        found["baseline"] = judged.known
    return found


def listed(action: str, tool: str, judged: Judged) -> Iterator[dict[str, Any]]:
    """What a baseline could take: every finding, by its fingerprint."""
    return (
        {
            "action": action,
            "tool": tool,
            "severity": finding.severity,
            "rule": finding.rule,
            "file": finding.file,
            "line": finding.line,
            "fingerprint": finding.mark,
        }
        for finding in judged.verdict.findings
        if finding.severity in gate.SEVERITIES and finding.excuse != "waived"
    )
