"""A test action passes if tests ran and none failed; anything else blocks."""

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest

GOOD = '<testsuite tests="2"><testcase classname="a" name="b"/><testcase name="c"><skipped/></testcase></testsuite>'


def junit(xml: str, code: int = 0) -> str:
    return f"cat > \"$JUNIT_FILE\" <<'END'\n{xml}\nEND\nexit {code}"


def test_passing_tests_pass(job: Any) -> None:
    ran = job.use("test", command=junit(GOOD))
    assert (ran.code, ran.errors) == (0, [])
    assert ran.record["action"] == "unit-tests"
    assert ran.record["result"] == "pass"
    assert ran.record["findings"] == {"passed": 1, "failed": 0, "skipped": 1}
    assert ran.outputs["report"] == str(job.evidence / "unit-tests.junit.xml")
    assert "| 1 | 0 | 1 |" in ran.summary


def test_pytest_is_understood(job: Any) -> None:
    job.write("test_it.py", "def test_good():\n    pass\n\n\ndef test_bad():\n    assert 1 == 2, 'no way'\n")
    ran = job.use("test", command='python3 -B -m pytest -q -p no:cacheprovider --junitxml "$JUNIT_FILE"')
    assert (ran.code, ran.record["result"]) == (1, "fail")
    assert ran.record["findings"] == {"passed": 1, "failed": 1, "skipped": 0}
    assert ran.errors == ["title=unit-tests%3A failed::test_it.test_bad: AssertionError: no way assert 1 == 2"]


@pytest.mark.parametrize(
    ("command", "result", "says"),
    [
        (junit("<testsuite><testcase name='t'><failure message='m'/></testcase></testsuite>"), "fail", "t: m"),
        (junit("<testsuite><testcase name='t'><error>e</error></testcase></testsuite>", 1), "fail", "t: e"),
        (junit("<testsuite errors='1'><testcase name='t'/></testsuite>"), "fail", "declares 1"),
        (junit("<s:testsuite xmlns:s='u'><s:testcase name='t'><s:failure/></s:testcase></s:testsuite>"), "fail", "t"),
        (junit(GOOD, 1), "error", "the command failed with exit code 1"),
        (junit("<testsuites/>"), "error", "no test was executed"),
        (junit("<testsuite tests='9'/>"), "error", "no test was executed"),
        (junit("<testsuite><testcase name='t'><skipped/></testcase></testsuite>"), "error", "no test was executed"),
        (junit(GOOD[:-5]), "error", "cannot be read"),
        (junit("<testsuite failures='some'><testcase name='t'/></testsuite>"), "error", "cannot be read"),
        (junit("<?xml version='1.0' encoding='klingon'?><testsuite/>"), "error", "cannot be read"),
        ("true", "error", "no JUnit report"),
        ("exit 5", "error", "the command failed with exit code 5"),
        (': > "$JUNIT_FILE"', "error", "cannot be read"),
        ("false | true\n" + junit(GOOD), "error", "the command failed"),
        ("echo $NOT_SET\n" + junit(GOOD), "error", "the command failed"),
        (" ", "error", "the input 'command' is required"),
    ],
)
def test_everything_else_blocks(job: Any, command: str, result: str, says: str) -> None:
    ran = job.use("test", command=command)
    assert (ran.code, ran.record["result"]) == (1, result)
    assert any(says in error for error in ran.errors)


def test_the_report_of_an_earlier_run_does_not_count(job: Any) -> None:
    assert job.use("test", command=junit(GOOD)).code == 0
    assert job.use("test", command="true").code == 1


def test_what_the_command_finds(job: Any) -> None:
    job.write("sub/here", "")
    outputs = json.dumps({"Url": 'https://x/?a=1&b="2"'})
    ran = job.use(
        "test",
        action="integration-tests",
        command='ls here; echo "$AWS_REGION/$AWS_DEFAULT_REGION" "$DEPLOYMENT_OUTPUTS"\n' + junit(GOOD),
        working_directory="sub",
        deployment_outputs=outputs,
        region="eu-west-1",
    )
    assert ran.code == 0
    assert f"eu-west-1/eu-west-1 {outputs}" in ran.out
    assert (ran.record["action"], ran.record["region"]) == ("integration-tests", "eu-west-1")
    assert (job.evidence / "integration-tests.junit.xml").exists()


def test_the_outputs_of_a_deployment_may_lie_in_a_file(job: Any, tmp_path: Path) -> None:
    file = tmp_path / "outputs.json"
    command = 'echo "found $DEPLOYMENT_OUTPUTS"\n' + junit(GOOD)
    file.write_text('{"Url": "https://x"}')
    assert 'found {"Url": "https://x"}' in job.use("test", command=command, deployment_outputs=str(file)).out
    for broken in ("[1]", "{", ""):
        file.write_text(broken)
        ran = job.use("test", command=command, deployment_outputs=str(file))
        assert (ran.code, ran.record["result"]) == (1, "error")
        assert "neither a JSON object nor a file with one" in ran.errors[0]
    assert job.use("test", command=command, deployment_outputs=str(tmp_path / "gone")).code == 1


def test_without_a_region_none_is_set(job: Any) -> None:
    ran = job.use("test", command='echo "region ${AWS_REGION-unset} $DEPLOYMENT_OUTPUTS"\n' + junit(GOOD))
    assert "region unset {}" in ran.out


def test_an_action_is_no_path(job: Any) -> None:
    ran = job.use("test", action="unit-tests/../../../x", command="touch ran; " + junit(GOOD))
    assert (ran.code, ran.records, (job.workspace / "ran").exists()) == (1, [], False)
    assert "is not the id of a DPRA action" in ran.errors[0]


def test_a_working_directory_that_is_not_there_blocks(job: Any) -> None:
    ran = job.use("test", command=junit(GOOD), working_directory="nowhere")
    assert (ran.code, ran.record["result"]) == (1, "error")


def test_hostile_test_names_stay_data(job: Any, hostile: dict[str, str], inert: Any) -> None:
    cases = ""
    for text in hostile.values():
        quoted = quoteattr("".join(c for c in text if c not in "\x0b\x0c"))  # which XML cannot hold
        cases += f"<testcase name={quoted} file={quoted}><failure message={quoted}/></testcase>"
    job.write("hostile.xml", f"<testsuite>{cases}</testsuite>")
    ran = job.use("test", command='cp hostile.xml "$JUNIT_FILE"')
    assert (ran.code, ran.record["result"], len(ran.errors)) == (1, "fail", len(hostile))
    inert(job, ran)


# ---- build


def test_a_line_that_a_command_left_open_swallows_no_annotation(job: Any) -> None:
    ran = job.use("build", command="printf 'no end'; exit 1")
    assert len(ran.errors) == 1


def test_a_build_passes(job: Any) -> None:
    ran = job.use("build", command="pwd; echo built", working_directory=".")
    assert (ran.code, ran.record["action"], ran.record["result"]) == (0, "build-code", "pass")
    assert "built" in ran.out


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("exit 3", "the build command failed with exit code 3"),
        ("false\necho on", "the build command failed with exit code 1"),
        ("false | cat", "the build command failed with exit code 1"),
        ("echo $NOT_SET", "the build command failed with exit code"),
        ("kill -9 $$", "the build command failed with signal 9"),
    ],
)
def test_a_build_that_fails_blocks(job: Any, command: str, says: str) -> None:
    ran = job.use("build", command=command)
    assert (ran.code, ran.record["result"]) == (1, "fail")
    assert says in ran.errors[0]


def test_a_command_is_run_as_it_is(job: Any) -> None:
    command = "cat <<'END' | tee \"it's\"\n`a` $(b) ${c} | \\ %0A ::d::\nEND"
    assert job.use("build", command=command).code == 0
    assert (job.workspace / "it's").read_text() == "`a` $(b) ${c} | \\ %0A ::d::\n"


@pytest.mark.parametrize("kind", ["commands", "shell", "long"])
def test_a_hostile_working_directory_stays_data(job: Any, hostile: dict[str, str], kind: str, inert: Any) -> None:
    ran = job.use("build", command="touch ran", working_directory=hostile[kind])
    assert (ran.code, (job.workspace / "ran").exists()) == (1, False)
    inert(job, ran)


# ---- reports that a build tool leaves in folders of its own


REPORTS = "**/target/surefire-reports/TEST-*.xml"


def left(name: str, xml: str) -> str:
    folder = f"{name}/target/surefire-reports"
    return f"mkdir -p {folder}; cat > {folder}/TEST-{name}.xml <<'END'\n{xml}\nEND\n"


def test_reports_of_several_folders_become_one(job: Any) -> None:
    secret = "<properties><property name='password' value='hunter2'/></properties>"
    other = f"<testsuite>{secret}<testcase name='x'/><testcase name='y'/></testsuite>"
    ran = job.use("test", command=left("a", GOOD) + left("b", other), reports=REPORTS)
    assert (ran.code, ran.record["findings"]) == (0, {"passed": 3, "failed": 0, "skipped": 1})
    assert (job.evidence / "unit-tests.junit.xml").read_text().count("<testcase") == 4
    assert "hunter2" not in (job.evidence / "unit-tests.junit.xml").read_text()


@pytest.mark.parametrize(
    ("other", "result", "says"),
    [
        ("<testsuite><testcase name='x'><failure message='m'/></testcase></testsuite>", "fail", "x: m"),
        ("<testsuite errors='1'><testcase name='x'/></testsuite>", "fail", "declares 1"),
        ("<testsuite><testcase", "error", "cannot be read"),
    ],
)
def test_one_bad_report_among_several_blocks(job: Any, other: str, result: str, says: str) -> None:
    ran = job.use("test", command=left("a", GOOD) + left("b", other), reports=REPORTS)
    assert (ran.code, ran.record["result"]) == (1, result)
    assert any(says in error for error in ran.errors)


def test_a_report_left_by_an_earlier_command_does_not_count(job: Any) -> None:
    job.write("a/target/surefire-reports/TEST-a.xml", GOOD)
    ran = job.use("test", command="true", reports=REPORTS)
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "no JUnit report" in ran.errors[0]


def test_a_report_that_is_a_link_is_not_followed(job: Any) -> None:
    job.write("outside.txt", GOOD)
    ran = job.use("test", command="mkdir reports; ln -s ../outside.txt reports/a.xml", reports="reports/*.xml")
    assert (ran.code, (job.workspace / "outside.txt").exists()) == (1, True)


def test_coverage_is_kept_among_the_evidence(job: Any) -> None:
    ran = job.use("test", command='echo covered > "$COVERAGE_REPORT"\n' + junit(GOOD))
    assert ran.code == 0
    assert (job.evidence / "unit-tests.coverage").read_text() == "covered\n"


# ---- Go says what it did in JSON


GO = 'go test -json ./... | python3 -I -B "$GITHUB_ACTION_PATH/go_junit.py"'


@pytest.fixture
def go(job: Any) -> Any:
    job.write("go.mod", "module example.com/shop\n\ngo 1.22\n")
    job.write("shop.go", "package shop\n\nfunc Double(n int) int { return 2 * n }\n")
    job.env["GOFLAGS"] = "-count=1"
    job.env["GOCACHE"] = str(Path.home() / ".cache/dpra/go-build")  # the rehearsal's: compiling takes a while
    return job


def go_test(body: str) -> str:
    return f'package shop\n\nimport "testing"\n\nfunc TestDouble(t *testing.T) {{\n{body}\n}}\n'


def test_go_tests_that_pass_pass(go: Any) -> None:
    go.write("shop_test.go", go_test('t.Run("of two", func(t *testing.T) { if Double(2) != 4 { t.Fail() } })'))
    ran = go.use("test", command=GO)
    assert (ran.code, ran.record["findings"]) == (0, {"passed": 2, "failed": 0, "skipped": 0}), ran.out
    assert "--- PASS: TestDouble" in ran.out


@pytest.mark.parametrize(
    ("body", "result", "says"),
    [
        ('t.Error("no \\x1b way")', "fail", "TestDouble"),
        ('t.Run(`a <b> & "c"`, func(t *testing.T) { t.Fatal(1) })', "fail", "TestDouble/a_&lt;b&gt;"),
        ("panic(1)", "fail", "TestDouble"),
        ("nothing.There()", "fail", "package"),  # it does not compile
        ("t.Skip()", "error", "no test was executed"),
    ],
)
def test_go_tests_that_do_not_pass_block(go: Any, body: str, result: str, says: str) -> None:
    go.write("shop_test.go", go_test(body))
    ran = go.use("test", command=GO)
    assert (ran.code, ran.record["result"]) == (1, result), ran.out
    report = (go.evidence / "unit-tests.junit.xml").read_text()
    assert any(says in error for error in ran.errors) or says in report


def test_a_go_package_without_tests_is_no_proof(go: Any) -> None:
    ran = go.use("test", command=GO)
    assert (ran.code, ran.record["result"]) == (1, "error")
