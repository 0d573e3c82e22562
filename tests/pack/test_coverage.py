"""Too little coverage blocks, by the report that each language's own tool writes; and so does none."""

from typing import Any

import pytest

PYTHON = {
    "src/shop.py": "def a():\n    return 1\n\n\ndef b():\n    return 2\n",
    "tests/test_shop.py": "import sys\n\nsys.path.insert(0, 'src')\nimport shop\n\n\n"
    "def test_a():\n    assert shop.a() == 1\n",
}
NODE = {
    "shop.js": "exports.a = () => 1;\nexports.b = () => {\n  return 2;\n};\n",
    "shop.test.js": "const test = require('node:test');\nconst shop = require('./shop.js');\n"
    "test('a', () => { if (shop.a() !== 1) throw new Error('a'); });\n",
}
GO = {
    "go.mod": "module shop\n\ngo 1.21\n",
    "shop.go": "package shop\n\nfunc A() int {\n\treturn 1\n}\n\nfunc B() int {\n\treturn 2\n}\n",
    "shop_test.go": 'package shop\n\nimport "testing"\n\n'
    "func TestA(t *testing.T) {\n\tif A() != 1 {\n\t\tt.Fatal()\n\t}\n}\n",
}
COMMANDS = {
    "python": 'python -m pytest -q tests --junitxml "$JUNIT_FILE" --cov src --cov-report "xml:$COVERAGE_REPORT"',
    "node": "node --test --experimental-test-coverage --test-reporter=junit "
    '--test-reporter-destination="$JUNIT_FILE" --test-reporter=lcov --test-reporter-destination="$COVERAGE_REPORT" .',
    "go": 'go test -json -coverprofile "$COVERAGE_REPORT" ./... | python3 -I -B "$GITHUB_ACTION_PATH/go_junit.py"',
}
NEEDS = {"python": "", "node": "node", "go": "go"}
SAMPLES = {"python": PYTHON, "node": NODE, "go": GO}


@pytest.mark.parametrize("language", COMMANDS)
def test_coverage_below_the_threshold_blocks_and_above_it_passes(job: Any, needs: Any, language: str) -> None:
    needs(NEEDS[language])
    for name, content in SAMPLES[language].items():
        job.write(name, content)

    ran = job.use("test", command=COMMANDS[language], coverage="90")

    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert "of lines are covered, 90 %25 are required" in ran.errors[0]
    assert 40 < ran.record["coverage"] < 90

    ran = job.use("test", command=COMMANDS[language], coverage="40")

    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out
    assert "line coverage" in ran.summary


JUNIT = """echo '<testsuite><testcase name="a"/></testsuite>' > "$JUNIT_FILE"; """
JACOCO = (
    '<report name="shop"><counter type="INSTRUCTION" missed="1" covered="1"/>'
    '<counter type="LINE" missed="{}" covered="{}"/></report>'
)


@pytest.mark.parametrize(("missed", "covered", "code"), [(3, 7, 1), (1, 9, 0)])
def test_a_report_of_jacoco_is_read(job: Any, missed: int, covered: int, code: int) -> None:
    """Of its format: JaCoCo itself could not be had for the Java that is here."""
    job.write("jacoco.xml", JACOCO.format(missed, covered))
    ran = job.use("test", command=JUNIT + 'cp jacoco.xml "$COVERAGE_REPORT"', coverage="80")
    assert (ran.code, ran.record["coverage"]) == (code, covered * 10)


@pytest.mark.parametrize("report", [None, "", "<x/>", "<report/>", "mode: set\n", "SF:a.js\nend_of_record\n", "{}"])
def test_a_coverage_report_that_says_nothing_is_an_error(job: Any, report: str | None) -> None:
    command = JUNIT
    if report is not None:
        job.write("report", report)
        command += 'cp report "$COVERAGE_REPORT"'
    ran = job.use("test", command=command, coverage="1")
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out
