"""The gate believes no tool: what cannot be read, or did not look, does not pass."""

import json
from pathlib import Path
from typing import Any

import pytest

LIAR = """#!/usr/bin/env bash
# default for lies: any
# version: 1.0
# version-command: echo 1.0
# ok-exit-codes: 0 4
"""
CLEAN: dict[str, Any] = {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": []}]}


def report(*results: Any, **run: Any) -> dict[str, Any]:
    return {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": list(results)} | run]}


def result(**more: Any) -> dict[str, Any]:
    return {"ruleId": "R1", "message": {"text": "bad"}} | more


def notified(level: str) -> dict[str, Any]:
    return report(
        invocations=[
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [{"level": level, "message": {"text": "could not read it"}}],
            }
        ]
    )


# ---- Through the action: what the tool does -> what becomes of the job


def lie(job: Any, script: str, **inputs: str) -> Any:
    (job.own_pack() / "check" / "tools" / "liar.sh").write_text(LIAR + script)
    return job.use("check", action="lies", **inputs)


def test_an_honest_tool_passes(job: Any) -> None:
    ran = lie(job, f"echo '{json.dumps(CLEAN)}' > \"$SARIF\"; exit 4")
    assert (ran.code, ran.errors, ran.record["result"]) == (0, [], "pass")
    assert (ran.record["tool"], ran.record["version"]) == ("liar", "1.0")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 0", "the tool wrote no SARIF report"),
        (': > "$SARIF"', "not SARIF that can be judged"),
        ('echo "[]" > "$SARIF"', "not SARIF that can be judged"),
        ('echo \'{"runs": []}\' > "$SARIF"', "not SARIF that can be judged"),
        ('mkdir "$SARIF"', "not SARIF that can be judged"),
        (f"echo '{json.dumps(CLEAN)}' > \"$SARIF\"; exit 3", "the tool failed with exit code 3"),
        (f"echo '{json.dumps(CLEAN)}' > \"$SARIF\"; kill -9 $$", "the tool failed with signal 9"),
        (f"echo '{json.dumps(CLEAN)[:-3]}' > \"$SARIF\"", "not SARIF that can be judged"),
    ],
    ids=["nothing", "empty", "list", "no runs", "directory", "unknown code", "killed", "cut off"],
)
def test_a_tool_that_lies_or_fails_is_an_error(job: Any, script: str, says: str) -> None:
    ran = lie(job, script)
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert any(says in error for error in ran.errors)


def test_what_a_tool_prints_is_no_command(job: Any) -> None:
    ran = lie(job, f"echo '::error::forged'; echo '##[set-output name=x]y'; echo '{json.dumps(CLEAN)}' > \"$SARIF\"")
    assert "::error::forged" in ran.out
    assert ran.commands == []


def test_the_report_of_an_earlier_run_does_not_count(job: Any) -> None:
    job.evidence.mkdir()
    (job.evidence / "lies.sarif").write_text(json.dumps(CLEAN))
    ran = lie(job, "exit 0")
    assert (ran.code, ran.record["where"]) == (1, "")


@pytest.mark.parametrize(
    "inputs",
    [
        {"action": "lies"},
        {"action": "sast", "language": "cobol"},
        {"action": "sast", "tool": "gitleaks"},
        {"action": "sast", "tool": "../tools/bandit"},
        {"action": "sast", "fail_on": "never"},
        {"action": "../sast"},
        {"action": ""},
    ],
)
def test_a_check_that_cannot_be_made_fails(job: Any, inputs: dict[str, str]) -> None:
    ran = job.use("check", **inputs)
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert all(record["result"] == "error" for record in ran.records)


# ---- SARIF -> verdict


@pytest.fixture
def judge(tmp_path: Path) -> Any:
    import gate

    def judged(document: Any, fail_on: str = "medium", secrets: bool = False) -> Any:
        path = tmp_path / "report.sarif"
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return gate.sarif(path, 0, [0], fail_on, tmp_path / "kept.sarif", secrets)

    return judged


@pytest.mark.parametrize(
    ("found", "severity"),
    [
        (result(level="error"), "high"),
        (result(level="warning"), "medium"),
        (result(level="note"), "low"),
        (result(level="none"), "low"),
        (result(), "medium"),
        (result(properties={"security-severity": "9.0"}), "critical"),
        (result(properties={"security-severity": "8.9"}, level="note"), "high"),
        (result(properties={"security-severity": "6.9"}, level="error"), "medium"),
        (result(properties={"security-severity": "3.9"}, level="error"), "low"),
        (result(properties={"security-severity": "NaN"}, level="error"), "high"),
        (result(properties={"security-severity": "much"}, level="error"), "high"),
        (result(ruleId="RATED"), "critical"),
        (result(ruleId="NOTED"), "low"),
        (result(ruleId=None, ruleIndex=1), "low"),
        (result(ruleId="NOTED", level="error"), "high"),
    ],
)
def test_severities(judge: Any, found: dict[str, Any], severity: str) -> None:
    rules = [
        {"id": "RATED", "properties": {"security-severity": "9.8"}},
        {"id": "NOTED", "defaultConfiguration": {"level": "note"}},
    ]
    verdict = judge(report(found, tool={"driver": {"name": "t", "rules": rules}}))
    assert {name for name, count in verdict.counts.items() if count} == {severity}


@pytest.mark.parametrize("fail_on", ["critical", "high", "medium", "low", "any"])
def test_findings_at_or_above_the_threshold_fail(judge: Any, fail_on: str) -> None:
    scores = {"critical": "9.5", "high": "7.5", "medium": "5", "low": "1"}
    for severity, score in scores.items():
        verdict = judge(report(result(properties={"security-severity": score})), fail_on)
        above = ["critical", "high", "medium", "low", "any"].index(fail_on) >= list(scores).index(severity)
        assert verdict.result == ("fail" if above else "pass"), severity


@pytest.mark.parametrize(
    "document",
    [
        "null",
        "[" * 100_000,
        '{"runs": {"results": []}}',
        report(result(level="worst")),
        report(result(ruleIndex="first", ruleId="")),
        report(result(message=None)),
        report("a finding"),
        report(result(locations=[{"physicalLocation": {"region": {"startLine": "Infinity"}}}])),
        '{"runs": [{"tool": {"driver": {}}, "results": [{"message": {}, "ruleIndex": Infinity, "ruleId": []}]}]}',
        report(results=None),
        report(results={}),
        {"runs": [{"tool": {"driver": {"name": "t"}}}]},
        {"runs": [{"results": []}]},
        {"runs": [None]},
        notified("error"),
        report(invocations=[{"executionSuccessful": False}]),
        {"runs": [*CLEAN["runs"], {"tool": {"driver": {"name": "t"}}, "results": None}]},
    ],
)
def test_a_report_that_does_not_say_what_was_found_is_an_error(judge: Any, document: Any) -> None:
    assert judge(document).result == "error"


@pytest.mark.parametrize(
    "document", [CLEAN, "\ufeff" + json.dumps(CLEAN), notified("warning"), report(invocations=None)]
)
def test_a_report_that_found_nothing_passes(judge: Any, document: Any) -> None:
    assert judge(document).result == "pass"


def test_every_secret_is_critical_and_only_its_place_is_kept(judge: Any, tmp_path: Path) -> None:
    region = {"startLine": 3, "snippet": {"text": "hunter2"}}
    place = {"physicalLocation": {"artifactLocation": {"uri": "a%20b.ini"}, "region": region}}
    prints = {"commitSha": "ab" * 20, "commitMessage": "hunter2"}
    found = result(
        level="note",
        message={"text": "hunter2"},
        locations=[place],
        partialFingerprints=prints,
        fingerprints={"s": "hunter2"},
    )
    error = [{"level": "error", "message": {"text": "cannot decode hunter2"}}]
    document = report(found, invocations=[{"executionSuccessful": True, "toolConfigurationNotifications": error}])

    verdict = judge(document, "critical", secrets=True)

    assert verdict.counts["critical"] == 1
    assert (verdict.findings[1].file, verdict.findings[1].line) == ("a b.ini", 3)
    assert "hunter2" not in repr(verdict) + (tmp_path / "kept.sarif").read_text()
    assert "abababababab" in verdict.findings[1].text


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("src/a%20b.py", "src/a b.py"),
        ("{cwd}/src/a.py", "src/a.py"),
        ("file://{cwd}/src/a.py", "src/a.py"),
        ("file:///elsewhere/a.py", "/elsewhere/a.py"),
    ],
)
def test_files_are_named_as_in_the_repository(judge: Any, uri: str, file: str) -> None:
    place = {"physicalLocation": {"artifactLocation": {"uri": uri.format(cwd=Path.cwd())}, "region": {"startLine": 3}}}
    [found] = judge(report(result(locations=[place]))).findings
    assert (found.file, found.line) == (file, 3)


def test_a_kept_report_quotes_no_source_but_loses_nothing_else(judge: Any, tmp_path: Path) -> None:
    region = {"startLine": 3, "snippet": {"text": "hunter2"}}
    place = {"physicalLocation": {"region": region, "contextRegion": {"snippet": {"text": "hunter2"}}}}
    document = report(result(locations=[place]), artifacts=[{"contents": {"text": "hunter2"}, "length": 7}])
    judge(document)
    kept = json.loads((tmp_path / "kept.sarif").read_text())
    bare = report(result(locations=[{"physicalLocation": {"region": {"startLine": 3}}}]), artifacts=[{"length": 7}])
    assert kept == bare


@pytest.mark.parametrize("secrets", [False, True])
def test_each_run_that_is_kept_is_of_a_category_of_its_own(tmp_path: Path, secrets: bool) -> None:
    """Code scanning refuses two runs of a tool and category, whatever ids the tool itself gives them."""
    import gate

    runs = [dict(CLEAN["runs"][0], automationDetails={"id": "the tool's own"}) for _ in range(3)]
    (tmp_path / "report").write_text(json.dumps({"version": "2.1.0", "runs": runs}))
    kept = tmp_path / "kept"
    gate.sarif(tmp_path / "report", 0, [0], "any", kept, secrets, "dpra/build/code-quality/ruff")
    found = [run["automationDetails"]["id"] for run in json.loads(kept.read_text())["runs"]]
    rest = [] if secrets else ["dpra/build/code-quality/ruff/2/", "dpra/build/code-quality/ruff/3/"]
    assert found == ["dpra/build/code-quality/ruff/", *rest]


def test_reports_of_a_job_are_told_apart_by_action_and_tool(job: Any) -> None:
    script = LIAR.replace("# version:", "# default for other-lies: any\n# version:", 1)
    tool = job.own_pack() / "check" / "tools" / "liar.sh"
    tool.write_text(f"{script}echo '{json.dumps(CLEAN)}' > \"$SARIF\"")
    assert [job.use("check", action=action).code for action in ("lies", "other-lies")] == [0, 0]
    kept = [json.loads(path.read_text())["runs"] for path in sorted(job.evidence.glob("*.sarif"))]
    assert [run["automationDetails"]["id"] for runs in kept for run in runs] == [
        "dpra/job/lies/liar/",
        "dpra/job/other-lies/liar/",
    ]


def test_only_the_first_ten_are_shown(job: Any) -> None:
    document = report(*[result(level="error", message={"text": str(number)}) for number in range(25)])
    ran = lie(job, f"echo '{json.dumps(document)}' > \"$SARIF\"")
    assert len(ran.errors) == 10
    assert "and 15 more" in ran.out
    assert ran.summary.count("| high | yes |") == 10


@pytest.mark.parametrize("as_notification", [False, True])
def test_hostile_reports_stay_data(job: Any, hostile: dict[str, str], inert: Any, as_notification: bool) -> None:
    said = [
        {
            "ruleId": text,
            "level": "error",
            "message": {"text": text},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": text}, "region": {"startLine": 1}}}],
        }
        for text in hostile.values()
    ]
    invocation = {"executionSuccessful": True, "toolExecutionNotifications": said}
    document = report(invocations=[invocation]) if as_notification else report(*said)
    job.write("hostile.json", json.dumps(document))
    ran = lie(job, 'cp "$TARGET/hostile.json" "$SARIF"')
    assert (ran.code, len(ran.errors)) == (1, len(hostile))
    inert(job, ran)


def test_lone_surrogates_can_be_said(job: Any) -> None:
    document = report(result(level="error", message={"text": "\ud800"}, ruleId="\udcff"))
    job.write("hostile.json", json.dumps(document))
    ran = lie(job, 'cp "$TARGET/hostile.json" "$SARIF"')
    assert (ran.code, len(ran.errors)) == (1, 1)
    assert "Traceback" not in ran.out


@pytest.mark.parametrize("secrets", [False, True])
def test_each_kept_run_has_a_category_of_its_own(tmp_path: Path, secrets: bool) -> None:
    """ruff's report has two runs; trivy serves two actions of a job: code scanning takes neither without."""
    import gate

    run = {"tool": {"driver": {"name": "trivy"}}, "results": []}
    seen = set()
    for action in ("sca", "policy-as-code"):
        (tmp_path / "report.sarif").write_text(json.dumps({"version": "2.1.0", "runs": [run, run]}))
        kept = tmp_path / f"{action}.sarif"
        gate.sarif(tmp_path / "report.sarif", 0, [0], "any", kept, secrets, f"dpra/security/{action}/trivy")
        seen |= {one["automationDetails"]["id"] for one in json.loads(kept.read_text())["runs"]}
    assert len(seen) == (2 if secrets else 4)
    assert all(one.startswith("dpra/security/") and one.endswith("/") for one in seen)
