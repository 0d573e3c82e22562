"""Dynamic configuration: the check of its files through the gate, with the real parser; must-show 3 and its speed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SETTINGS = {"environments": ["beta", "gamma", "prod"], "template": ""}
GOOD = """# What is switched here.
new-checkout:
  description: The checkout in one page
  owner: "@acme/checkout"
  until: 2099-03-31 # then it is removed
  attributes: {limit: {type: number, minimum: 0, maximum: 100, required: true}}
  values:
    beta: {enabled: true, limit: 100}
    gamma: {enabled: true, limit: 50}
    prod: {enabled: false, limit: 10, variants: [{name: staff, rule: '(eq $group "staff")', enabled: true}]}
"""
BAD = """new-checkout:
  description: The checkout in one page
  owner: "@acme/checkout"
  attributes: {limit: {type: number, minimum: 0, maximum: 100, required: true}}
  values:
    beta: {enabled: true, limit: 100}
    prod: {enabled: false, limit: 1000}
old-banner:
  description: The banner of the summer
  owner: "@acme/shop"
  until: 2020-08-31
  values:
    beta: {enabled: true}
    gamma: {enabled: true}
    prod: {enabled: true}
"""
SCHEMA = '{"type": "object", "required": ["rate"], "properties": {"rate": {"type": "integer", "maximum": 100}}}\n'


def check(job: Any, action: str, **settings: Any) -> Any:
    said = json.dumps(SETTINGS | settings)
    return job.use("check", action=action, tool="configuration", language="configuration", settings=said)


def commit(job: Any, message: str = "A change") -> None:
    if not (job.workspace / ".git").exists():
        job.git("init", "--quiet")
    job.git("add", "--all")
    job.git("commit", "--quiet", "--message", message)


def places(ran: Any) -> list[str]:
    """`rule file:line:column` of each annotation."""
    found = []
    for _, properties, data in ran.commands:
        said = dict(pair.split("=", 1) for pair in properties.split(",") if "=" in pair)
        place = ":".join(said[name] for name in ("file", "line", "col") if name in said)
        found.append(f"{data.partition(':')[0].partition('%3A')[0]} {place}")
    return found


def test_every_problem_of_a_change_is_told_with_file_line_and_column_by_the_three_actions_of_one_run(job: Any) -> None:
    """Must-show 3: a value missing in gamma, one out of bounds, an expired flag, a removed flag that code names."""
    job.write("flags.yml", GOOD.replace("new-checkout", "one-click") + GOOD.partition("\n")[2])
    commit(job)
    job.write("flags.yml", BAD)
    job.write("src/shop.py", "def pay(flags):\n    return flags['one-click'] and not flags['one-click-2']\n")
    commit(job)

    built = check(job, "build-code", references=["src/**"])
    quality = check(job, "code-quality", references=["src/**"])

    assert (built.code, quality.code) == (1, 1), built.out + quality.out
    assert places(built) == ["missing-value flags.yml:5:3", "out-of-bounds flags.yml:7:35"]
    assert sorted(places(quality)) == ["expired-flag flags.yml:11:10", "removed-flag src/shop.py:2:19"]
    report = json.loads((job.evidence / "code-quality.sarif").read_text())
    regions = [one["locations"][0]["physicalLocation"]["region"] for one in report["runs"][0]["results"]]
    assert {"startLine": 2, "startColumn": 19} in regions


def test_what_is_good_passes_and_its_documents_are_those_that_appconfig_takes(job: Any) -> None:
    job.write("flags.yml", GOOD)
    job.write("configuration/limits/default.yml", "rate: 10\nburst: {size: 5, when: on}\n")
    job.write("configuration/limits/prod.json", '{"burst": {"size": 50}}\n')
    job.write("configuration/limits/schema.json", SCHEMA)
    job.write("configuration/motd/default.txt", "Welcome\n")
    commit(job)

    for action in ("build-code", "unit-tests", "code-quality"):
        ran = check(job, action)
        assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out
        if action == "build-code":
            built = job.temp / "dpra-built" / "configuration"
            before = {path.relative_to(built).as_posix(): path.read_bytes() for path in built.rglob("*.*")}
    index = json.loads(before["index.json"])
    assert [entry["name"] for entry in index["profiles"]] == ["flags", "limits", "motd"]
    assert json.loads(before["prod/limits.json"]) == {"burst": {"size": 50, "when": "on"}, "rate": 10}
    assert before["gamma/motd.txt"] == b"Welcome\n"
    flags = json.loads(before["prod/flags.json"])
    assert flags["values"]["new-checkout"] == {
        "_variants": [
            {"name": "staff", "enabled": True, "attributeValues": {"limit": 10}, "rule": '(eq $group "staff")'},
            {"name": "default", "enabled": False, "attributeValues": {"limit": 10}},
        ]
    }
    assert flags["flags"]["new-checkout"]["_deprecation"] == {"status": "planned", "date": "2099-03-31"}
    check(job, "build-code")
    assert before == {path.relative_to(built).as_posix(): path.read_bytes() for path in built.rglob("*.*")}


def test_a_document_that_breaks_its_schema_is_told_where_the_value_is_said(job: Any) -> None:
    job.write("configuration/limits/default.yml", "burst: 1\nrate: 500\n")
    job.write("configuration/limits/prod.json", '{\n  "rate":\n    "much"\n}\n')
    job.write("configuration/limits/schema.json", SCHEMA)

    ran = check(job, "unit-tests")

    assert sorted(places(ran)) == [
        "schema configuration/limits/default.yml:2:7",
        "schema configuration/limits/prod.json:3:5",
    ]
    assert "beta, gamma" in ran.out


def test_a_schema_that_is_none_or_that_is_elsewhere_is_told(job: Any) -> None:
    job.write("configuration/limits/default.json", "{}")
    for schema in ('{"type": "thing"}', '{"$ref": "https://example.com/schema.json"}', '{"$ref": "#/nowhere"}', "[]"):
        job.write("configuration/limits/schema.json", schema)
        assert places(check(job, "unit-tests")) == ["bad-schema configuration/limits/schema.json:1:1"]


def test_a_file_that_cannot_be_read_does_not_pass_the_tests(job: Any) -> None:
    job.write("configuration/limits/default.json", '{"rate": 1,}\n')

    assert places(check(job, "unit-tests")) == ["not-checked configuration/limits/default.json:1:12"]
    assert places(check(job, "build-code")) == ["syntax configuration/limits/default.json:1:12"]


def test_nothing_to_check_is_a_problem(job: Any) -> None:
    ran = check(job, "build-code")
    assert (ran.code, ran.record["result"], places(ran)) == (1, "fail", ["no-configuration flags.yml:1:1"])
    assert [check(job, action).record["result"] for action in ("unit-tests", "code-quality")] == ["error", "error"]


def test_settings_that_are_wrong_are_an_error(job: Any) -> None:
    job.write("flags.yml", GOOD)
    for wrong in ({"environment": ["prod"]}, {"environments": []}):
        ran = check(job, "build-code", **wrong)
        assert (ran.code, ran.record["result"]) == (1, "error")
        assert "The input 'settings'" in ran.out


def test_without_the_history_a_removed_flag_cannot_be_told_and_that_is_said(job: Any, tmp_path: Path) -> None:
    job.write("src/shop.py", "flags['new-checkout']\n")
    job.write("flags.yml", GOOD)
    commit(job)
    job.write("flags.yml", GOOD + GOOD.replace("new-checkout", "other").partition("\n")[2])
    commit(job)
    job.git("clone", "--quiet", "--depth", "1", f"file://{job.workspace}", str(tmp_path / "shallow"))
    job.workspace = tmp_path / "shallow"

    assert places(check(job, "code-quality", references=["src/**"])) == ["no-history flags.yml:1:1"]


def test_a_pattern_of_references_that_matches_nothing_is_told(job: Any) -> None:
    job.write("flags.yml", GOOD)
    commit(job)
    assert places(check(job, "code-quality", references=["source/**"])) == ["no-references dpra.yml:1:1"]


def test_the_code_of_another_repository_that_a_step_has_checked_out_counts(job: Any) -> None:
    job.write("flags.yml", GOOD.replace("new-checkout", "old-checkout"))
    commit(job)
    job.write("flags.yml", GOOD)
    job.write(".references/shop/src/app.py", "import flags\n\nNEW = flags.get('old-checkout')\n")
    job.write(".references/shop/docs/app.md", "old-checkout\n")
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Theirs"]):
        job.git("-C", ".references/shop", *words)
    ran = check(job, "code-quality", references=[".references/shop/src/**"])
    assert places(ran) == ["removed-flag .references/shop/src/app.py:3:18"]


def test_a_waiver_lets_a_finding_pass_by_its_rule(job: Any) -> None:
    job.write("flags.yml", GOOD.replace("2099", "2020"))
    commit(job)
    waiver = {"rule": "expired-flag", "reason": "next week", "owner": "@acme/checkout", "until": "2099-01-01"}
    said = {"action": "code-quality", "tool": "configuration", "settings": json.dumps(SETTINGS)}
    assert job.use("check", **said).code == 1
    assert job.use("check", **said, waivers=json.dumps([waiver])).code == 0


def test_the_summary_shows_what_a_change_does_and_its_text_is_inert(
    job: Any, hostile: dict[str, str], inert: Any
) -> None:
    job.write("flags.yml", GOOD)
    job.write("configuration/motd/default.json", "{}")
    commit(job)
    job.write("flags.yml", GOOD.replace("prod: {enabled: false, limit: 10", "prod: {enabled: true, limit: 20"))
    job.write("configuration/motd/default.json", json.dumps(hostile))
    commit(job)

    ran = check(job, "build-code", regions={"prod": ["eu-west-1"]})

    assert ran.code == 0
    assert "#### `prod (eu-west-1): turns on`\n\n| flag | before | after |" in ran.summary
    assert "| `new-checkout` | `for some` | `on` |" in ran.summary
    assert "| `new-checkout limit` | `10` | `20` |" in ran.summary
    assert "`beta: turns on`" not in ran.summary
    inert(job, ran)
    ran = check(job, "code-quality")
    assert "| `new-checkout` | `@acme/checkout` | `0 d` | `2099-03-31` | `on` | `on` | `on` |" in ran.summary


def many(count: int) -> str:
    environments = ("beta", "gamma", "prod", "eu", "us")
    lines = []
    for number in range(count):
        lines.append(
            f"flag-{number}:\n  description: The number {number} of what is switched here\n  owner: '@acme/team'\n"
            "  until: 2099-03-31\n  attributes:\n    limit: {type: number, minimum: 0, maximum: 100, required: true}\n"
            "    colour: {type: string, enum: [red, green, blue]}\n  values:\n"
        )
        variants = (
            ", variants: [{name: staff, rule: '(eq $group \"staff\")', enabled: true}]" if number % 10 == 0 else ""
        )
        lines += [
            f"    {name}: {{enabled: true, limit: {number % 100}, colour: red{variants}}}\n" for name in environments
        ]
    return "".join(lines)


MEASURED = """
import os, runpy, sys, time
start = time.perf_counter()
sys.argv = sys.argv[1:]
out = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
runpy.run_path(sys.argv[0], run_name="__main__")
sys.stdout.flush()
# Not getrusage: its peak begins with that of the process from which this one was forked.
[peak] = [int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM:")]
os.write(out, f"{time.perf_counter() - start:.3f} {time.process_time():.3f} {peak}".encode())
"""


def measured(folder: Path, count: int) -> tuple[float, float, int]:
    """Seconds by the clock and of the processor, and MiB, of the tool's script with build-code."""
    script = Path(__file__).parents[2] / ".github/actions/check/configuration.py"
    work = folder / str(count)
    work.mkdir()
    (work / "flags.yml").write_text(many(count))
    settings = {"environments": ["beta", "gamma", "prod", "eu", "us"], "template": ""}
    environment = {name: str(work / name.lower()) for name in ("BUILT", "SUMMARY", "EVIDENCE")}
    environment |= {
        "TARGET": str(work),
        "ACTION": "build-code",
        "SETTINGS": json.dumps(settings),
        "PATH": "/usr/bin:/bin",
    }
    words = [sys.executable, "-I", "-B", "-c", MEASURED, str(script), str(work / "list")]
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert len(list((work / "built").rglob("flags.json"))) == 5
    clock, processor, peak = ran.stdout.split()
    return float(clock), float(processor), int(peak)


def test_five_thousand_flags_in_five_environments_take_three_seconds_and_300_mib(tmp_path: Path) -> None:
    """Must-show 4. By the processor's time, and by the clock where nothing else runs; growth is a straight line."""
    best = min(measured(tmp_path, count) for count in (5_000, 5_001))
    assert best[1] < 3, best
    assert best[2] < 300, best
    smaller = measured(tmp_path, 1_250)
    assert best[1] - 0.2 < 4 * 1.6 * max(smaller[1] - 0.2, 0.1), (best, smaller)


@pytest.mark.parametrize(
    "content",
    [
        *("a: [1\n", "\x01", "a: &x 1\nb: *x\n", "a: !!python/none x\n", "--- {}\n--- {}\n", "", "- a\n"),
        "a: {attributes: {s: {type: string, pattern: 'a{99999999999}'}}}\n",
        f"a: {{attributes: {{s: {{type: string, pattern: '{'(' * 500}{')' * 500}'}}}}}}\n",
        """a: {values: {beta: {variants: [{rule: '(matches in::$a pattern::"a{99999999999}")'}]}}}\n""",
    ],
)
def test_what_is_no_file_of_flags_is_told_and_never_a_traceback(job: Any, content: str) -> None:
    job.write("flags.yml", content)
    ran = check(job, "build-code")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert "Traceback" not in ran.out


@pytest.mark.parametrize(
    ("schema", "document"),
    [('{"$ref": "#"}', "1"), ('{"$schema": 5}', "1"), ('{"multipleOf": 0.1}', f"0x{'f' * 300}")],
)
def test_a_schema_that_cannot_be_applied_is_told_and_never_a_traceback(job: Any, schema: str, document: str) -> None:
    job.write("configuration/limits/default.yml", f"{document}\n")
    job.write("configuration/limits/schema.json", schema)
    ran = check(job, "unit-tests")
    assert (ran.code, places(ran)) == (1, ["bad-schema configuration/limits/schema.json:1:1"]), ran.out
    assert "Traceback" not in ran.out


@pytest.mark.parametrize("name", ["configuration/limits/prod.yml", "configuration/more", "flags.yml"])
@pytest.mark.parametrize("to", ["/nowhere/prod.yml", "/etc/hostname", "default.yml"])
def test_a_link_is_told_and_never_left_out(job: Any, name: str, to: str) -> None:
    """Left out, production would get the default without a word."""
    job.write("configuration/limits/default.yml", "rate: 10\n")
    (job.workspace / name).symlink_to(to)
    ran = check(job, "build-code")
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out
    assert f"{name} is a link" in ran.out


def test_a_pattern_that_takes_for_ever_is_told(tmp_path: Path) -> None:
    """And not ended by the job's limit, without a word and without evidence."""
    attribute = "attributes: {s: {type: string, pattern: '(a+)+b'}}"
    (tmp_path / "flags.yml").write_text(f"a: {{{attribute}, values: {{beta: {{enabled: true, s: {'a' * 99}}}}}}}\n")
    script = Path(__file__).parents[2] / ".github/actions/check/configuration.py"
    environment = {name: str(tmp_path) for name in ("TARGET", "BUILT", "EVIDENCE")} | {"ACTION": "code-quality"}
    environment |= {"SUMMARY": str(tmp_path / "summary.md"), "SETTINGS": '{"environments": ["beta"], "template": ""}'}
    code = f"import sys; sys.argv[1:] = ['{tmp_path / 'list'}']\n"
    code += f"text = open('{script}').read().replace('SECONDS = 120', 'SECONDS = 1')\n"
    code += f"exec(compile(text, '{script}', 'exec'), {{'__file__': '{script}', '__name__': '__main__'}})"
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert "a pattern in it may take for ever" in ran.stderr
