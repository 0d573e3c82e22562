"""dpra configuration: what a developer sees of flags and operational configuration, before the build does."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dpra.cli import common

SPECS = Path(__file__).parent / "specs"
FLAGS = """# What is switched here.
new-checkout: # since summer
  description: The checkout in one page
  owner: "@acme/checkout"
  until: 2099-03-31
  attributes: {limit: {type: number, minimum: 0, maximum: 100}}
  values:
    beta: {enabled: true, limit: 100} # all of it
    gamma: {enabled: true, limit: 50}
    prod:
      enabled: false
      variants:
        - {name: staff, rule: '(eq $group "staff")', enabled: true} # us
old-banner:
  description: The banner
  owner: "@acme/shop"
  values: {beta: {enabled: true}, gamma: {enabled: true}, prod: {enabled: true}}
"""
TEMPLATE = """Resources:
  Flags:
    Type: AWS::AppConfig::ConfigurationProfile
    Properties: {Name: flags, Type: AWS.AppConfig.FeatureFlags, LocationUri: hosted, ApplicationId: !Ref Application}
"""


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def switches(tmp_path: Path) -> Path:
    """A repository with flags, in its first commit."""
    (tmp_path / "dpra.yml").write_text((SPECS / "configuration.yml").read_text("utf-8"))
    (tmp_path / "flags.yml").write_text(FLAGS)
    (tmp_path / "infrastructure").mkdir()
    (tmp_path / "infrastructure/template.yml").write_text(TEMPLATE)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "The first")
    return tmp_path


def change(folder: Path, *replaced: tuple[str, str]) -> None:
    text = (folder / "flags.yml").read_text()
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    (folder / "flags.yml").write_text(text)


def test_what_is_good_is_told_to_be(dpra: Any, switches: Path) -> None:
    done = dpra("configuration", "check", cwd=switches)
    assert (done.returncode, done.stdout) == (0, "2 flags, 0 profiles: 0 problems.\n"), done.stderr


def test_every_problem_is_told_by_file_line_and_column_in_one_run(
    dpra: Any, switches: Path, tmp_path_factory: Any
) -> None:
    """Must-show 3, with the code in another checkout."""
    code = tmp_path_factory.mktemp("shop")
    (code / "shop.py").write_text("if flags['old-banner']:\n    pass\n")
    change(
        *(switches, ("    gamma: {enabled: true, limit: 50}\n", ""), ("limit: 100}", "limit: 1000}"), ("2099", "2020")),
        (FLAGS[FLAGS.index("old-banner") :], ""),
    )

    done = dpra("configuration", "check", "--references", code, cwd=switches)

    assert done.returncode == 1
    places = [line.partition(": ")[0] for line in done.stdout.splitlines()[:-1]]
    assert places == [f"{code}/shop.py:1:11", "flags.yml:5:10", "flags.yml:7:3", "flags.yml:8:34"]
    told = json.loads(dpra("configuration", "check", "--format", "json", cwd=switches).stdout)
    assert [one["rule"] for one in told] == ["expired-flag", "missing-value", "out-of-bounds"]


def test_a_flag_without_owner_is_told_and_fails_nothing_and_a_broken_file_is_wrong_input(
    dpra: Any, switches: Path
) -> None:
    change(switches, ('  owner: "@acme/shop"\n', ""))
    done = dpra("configuration", "check", cwd=switches)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "flags.yml:14:1: old-banner: no owner (no-owner, low)")
    change(switches, ("values: {beta", "values: {{beta"))
    assert dpra("configuration", "check", cwd=switches).returncode == 2


def test_the_difference_is_told_from_where_the_branch_left_the_trunk(dpra: Any, switches: Path) -> None:
    git(switches, "checkout", "--quiet", "-b", "on-for-all")
    change(switches, ("      enabled: false\n", "      enabled: true\n      limit: 10\n"))
    git(switches, "commit", "--quiet", "--all", "--message", "On")

    done = dpra("configuration", "diff", "--format", "json", cwd=switches)

    [beta, gamma, last] = json.loads(done.stdout)["environments"]
    assert (beta["changes"], gamma["changes"]) == ([], [])
    assert last["turns-on"] == [{"flag": "new-checkout", "before": "for some", "after": "on"}]
    assert last["regions"] == ["eu-west-1"]
    assert {"profile": "flags", "flag": "new-checkout", "path": "enabled", "before": False, "after": True} in last[
        "changes"
    ]
    shown = dpra("configuration", "diff", cwd=switches).stdout
    assert "prod (eu-west-1): turns on" in shown
    assert "beta (eu-west-1): nothing changes" in shown
    assert "\x1b" not in shown
    none = dpra("configuration", "diff", "--from", "HEAD", cwd=switches).stdout
    assert none.count("nothing changes") == 3
    done = dpra("configuration", "diff", "--from", "nowhere", cwd=switches)
    assert (done.returncode, "git does not know 'nowhere'" in done.stderr) == (2, True)


def test_flags_are_listed_with_owner_age_and_state(dpra: Any, switches: Path) -> None:
    [banner, checkout] = json.loads(dpra("configuration", "report", "--format", "json", cwd=switches).stdout)[::-1]
    assert (checkout["flag"], checkout["owner"], checkout["age-days"]) == ("new-checkout", "@acme/checkout", 0)
    assert list(checkout["environments"].values()) == ["on", "on", "for some"]
    assert banner["until"] == ""
    change(switches, ("2099", "2020"))
    shown = dpra("configuration", "report", cwd=switches).stdout
    assert "2 flags, 1 expired" in shown
    assert "2020-03-31 EXPIRED" in shown


def test_a_flag_goes_off_in_its_file_with_the_comments_kept(dpra: Any, switches: Path) -> None:
    off = ("configuration", "off", "new-checkout", "--environment", "prod")
    done = dpra(*off, "--dry-run", cwd=switches)
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line[:1] in "+-"][2:] == [
        "-        - {name: staff, rule: '(eq $group \"staff\")', enabled: true} # us",
        "+        - {name: staff, rule: '(eq $group \"staff\")', enabled: false} # us",
    ]
    assert (switches / "flags.yml").read_text() == FLAGS
    dpra(*off, cwd=switches)
    assert (switches / "flags.yml").read_text() == FLAGS.replace("enabled: true} # us", "enabled: false} # us")
    assert "off in prod already" in dpra(*off, cwd=switches).stdout


@pytest.mark.parametrize(
    ("flag", "environment", "says"),
    [
        ("new-checkot", "prod", "did you mean 'new-checkout'?"),
        ("new-checkout", "production", "there are beta, gamma, prod"),
    ],
)
def test_a_flag_or_an_environment_that_is_not_there_is_told(
    dpra: Any, switches: Path, flag: str, environment: str, says: str
) -> None:
    done = dpra("configuration", "off", flag, "--environment", environment, cwd=switches)
    assert done.returncode == 2
    assert says in done.stderr


def test_the_settings_of_the_check_are_those_of_the_spec(switches: Path) -> None:
    plan, _ = common.plan(switches)
    assert json.loads(json.dumps(dict(plan.configuration))) == {
        "flags": "flags.yml",
        "operational": "configuration",
        "environments": ["beta", "gamma", "prod"],
        "regions": {"beta": ["eu-west-1"], "gamma": ["eu-west-1"], "prod": ["eu-west-1"]},
        "references": [],
        "template": "infrastructure/template.yml",
    }


def test_a_link_among_the_files_is_told(dpra: Any, switches: Path) -> None:
    (switches / "configuration/limits").mkdir(parents=True, exist_ok=True)
    (switches / "configuration/limits/prod.txt").symlink_to("/nowhere")
    done = dpra("configuration", "check", cwd=switches)
    assert (done.returncode, done.stdout) == (2, "")
    assert "configuration/limits/prod.txt is a link" in done.stderr


def test_a_component_of_another_type_has_no_configuration(dpra: Any, switches: Path) -> None:
    (switches / "dpra.yml").write_text((SPECS / "minimal.yml").read_text("utf-8"))
    for words in (["check"], ["diff"], ["report"], ["off", "new-checkout", "--environment", "prod"]):
        done = dpra("configuration", *words, cwd=switches)
        assert (done.returncode, done.stdout) == (2, "")
        assert "shop is of type application, which has no configuration" in done.stderr


def test_before_the_first_commit_all_of_it_is_new_and_the_difference_says_so(dpra: Any, switches: Path) -> None:
    git(switches, "update-ref", "-d", "HEAD")
    done = dpra("configuration", "diff", cwd=switches)
    assert done.returncode == 0
    assert "beta (eu-west-1): turns on" in done.stdout
    assert "there is no commit yet with which it could be compared" in done.stderr


def test_a_path_is_the_same_however_it_is_written(dpra: Any, switches: Path) -> None:
    spec = switches / "dpra.yml"
    spec.write_text(spec.read_text() + "configuration: {flags: ./flags.yml, operational: configuration/}\n")
    assert dpra("configuration", "check", cwd=switches).stdout == "2 flags, 0 profiles: 0 problems.\n"
    assert dpra("configuration", "diff", cwd=switches).stdout.count("nothing changes") == 3


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("language: container", "language: a release of configuration has no container image"),
        ("configuration: {flags: ./configuration}", "configuration.operational: flags lie there"),
        ("configuration: {flags: .}", "configuration.operational: flags lie there"),
        ("configuration: {flags: all, operational: all/else/}", "configuration.operational: flags lie there"),
        ("configuration: {operational: .}", "configuration.flags: operational configuration lies there"),
        ("configuration: {flags: configuration/flags}", "configuration.flags: operational configuration lies there"),
        ("  unit-tests: {coverage: 80}", "actions.unit-tests.coverage: goes together with a command"),
        ("  build-code: {working-directory: a}", "actions.build-code.working-directory: goes together with a command"),
        ("  package-and-store-artifacts: {env: {A: b}}", "actions.package-and-store-artifacts.env: goes together"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(dpra: Any, switches: Path, said: str, problem: str) -> None:
    spec = switches / "dpra.yml"
    spec.write_text(spec.read_text() + said + "\n")
    done = dpra("configuration", "check", cwd=switches)
    assert done.returncode == 2
    assert re.match(rf"dpra\.yml:15:\d+: {problem}", done.stderr), done.stderr
