"""Line coverage from the report that a language's own tool writes: Cobertura or JaCoCo XML, LCOV, or Go's profile."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import runner


def percent(report: Path) -> float:
    """The covered share of lines, 0 to 100.

    Raises:
        runner.Failed: there is no report, it cannot be read, or it knows of no line.
    """
    try:
        text = report.read_text(encoding="utf-8")
        covered, lines = _counted(text)
    except OSError as problem:
        raise runner.Failed(
            'no coverage report: the command must write one to "$COVERAGE_REPORT"', "error"
        ) from problem
    except (ValueError, TypeError, KeyError, ElementTree.ParseError) as problem:
        raise runner.Failed(f"the coverage report cannot be read ({type(problem).__name__})", "error") from problem
    if not lines:
        raise runner.Failed("the coverage report has no line of code: check what the coverage tool measures", "error")
    return 100 * covered / lines


def _counted(text: str) -> tuple[int, int]:
    """Covered lines, and all lines."""
    if text.startswith("mode: "):  # Go: file:line.column,line.column statements count
        found = re.findall(r"^(\S+:[\d.,]+) (\d+) (\d+)$", text, re.MULTILINE)
        statements = {place: int(number) for place, number, _ in found}
        hit = {place for place, _, count in found if int(count)}
        return sum(statements[place] for place in hit), sum(statements.values())
    if re.search(r"^(TN|SF):", text, re.MULTILINE):  # LCOV
        hits = [int(count) for count in re.findall(r"^DA:\d+,(\d+)", text, re.MULTILINE)]
        return sum(count > 0 for count in hits), len(hits)
    root = ElementTree.fromstring(text)  # noqa: S314 - written by the tests that ran a moment ago
    if root.tag == "report":  # JaCoCo: the last counters are the whole report's
        line = next(counter for counter in root.findall("counter") if counter.get("type") == "LINE")
        missed, covered = int(line.attrib["missed"]), int(line.attrib["covered"])
        return covered, covered + missed
    return int(root.attrib["lines-covered"]), int(root.attrib["lines-valid"])  # Cobertura
