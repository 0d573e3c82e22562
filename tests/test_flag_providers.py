"""Another provider than AppConfig, by `deploy.with: script`: the example of docs/other-flag-providers.md.

What it delivers is evaluated by OpenFeature's own client, with flagd's provider for files."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dpra.plan import Plan
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests/examples/flagd"
PAGE = (ROOT / "docs/other-flag-providers.md").read_text("utf-8")
ACCOUNTS = {"beta": "1" * 12, "gamma": "2" * 12, "prod": "3" * 12}
STAFF, SOMEBODY = EvaluationContext("a", {"group": "staff"}), EvaluationContext("b", {"group": "customers"})

ABOUT = {"DPRA_COMPONENT": "switches", "DPRA_ENVIRONMENT": "prod", "DPRA_ACCOUNT": ACCOUNTS["prod"]}
ABOUT |= dict.fromkeys(("DPRA_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"), "eu-west-1")

Evaluate = Callable[[str], OpenFeatureClient]


@pytest.fixture
def evaluate(tmp_path: Path) -> Iterator[Evaluate]:
    """A client of OpenFeature for a document of flagd's."""
    made: list[FlagdProvider] = []

    def evaluate(document: str) -> OpenFeatureClient:
        path = tmp_path / f"flagd-{len(made)}.json"
        path.write_text(document, encoding="utf-8")
        made.append(FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(path)))
        api.set_provider_and_wait(made[-1], domain=path.name)
        return api.get_client(domain=path.name)

    yield evaluate
    api.clear_providers()


@pytest.fixture
def repository(tmp_path: Path, dpra: Any, git: Callable[..., str]) -> Path:
    """The example, as its team has it: generated, and in git."""
    root = Path(shutil.copytree(EXAMPLE, tmp_path / "switches", ignore=shutil.ignore_patterns("__pycache__")))
    git("init", "--quiet", "--initial-branch", "main", cwd=root)
    done = dpra("generate", cwd=root)
    assert done.returncode == 0, done.stderr
    git("add", "--all", cwd=root)
    git("commit", "--quiet", "--message", "The first", cwd=root)
    return root


# ---- The page


def test_what_the_page_shows_is_a_part_of_the_example() -> None:
    files = [path.read_text("utf-8") for path in sorted(EXAMPLE.rglob("*")) if path.suffix in (".py", ".yml")]
    shown = re.findall(r"^```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert shown
    assert [block for block in shown if not any(block in text for text in files)] == []


def test_the_page_names_every_file_of_the_example() -> None:
    there = {path.relative_to(EXAMPLE).as_posix() for path in EXAMPLE.rglob("*") if path.suffix in (".py", ".yml")}
    assert set(re.findall(r"\(\.\./tests/examples/flagd/([\w./-]+)\)", PAGE)) == there


def test_the_example_passes_the_linters_of_a_repository(repository: Path, dpra: Any) -> None:
    assert dpra("check", cwd=repository).returncode == 0
    tools = Path(sys.executable).parent
    for words in (["cfn-lint", "infrastructure/template.yml"], ["actionlint"], ["ruff", "check", "provider", "tests"]):
        subprocess.run([tools / words[0], *words[1:]], cwd=repository, check=True)


# ---- Rules


def compiled(folder: Path, values: dict[str, Any]) -> None:
    """Put flags of production into a package's folder."""
    profile = {"name": "flags", "type": "AWS.AppConfig.FeatureFlags", "content-type": "application/json"}
    place = folder / "configuration/prod"
    place.mkdir(parents=True, exist_ok=True)
    (place.parent / "index.json").write_text(json.dumps({"schema": 1, "profiles": [{**profile, "file": "flags.json"}]}))
    (place / "flags.json").write_text(json.dumps({"version": "1", "flags": {}, "values": values}))


def converted(folder: Path, rules: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """flagd's document of a flag for each rule, which turns it on."""
    off = {"name": "default", "enabled": False}
    on = {"name": "on", "enabled": True}
    compiled(folder, {name: {"_variants": [{**on, "rule": rule}, off]} for name, rule in rules.items()})
    env = {**os.environ, **ABOUT, "PYTHONPATH": f"{EXAMPLE}/provider"}
    words = [sys.executable, "-B", "-c", "import flagd; print(flagd.document())"]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)


YES = {"group": "staff", "country": "DE", "age": 20, "mail": "a@b.example"}
NO = {"group": "customers", "country": "US", "age": 2, "mail": "z"}
RULES = {
    "eq": '(eq $group "staff")',
    "in": '(in $country ["DE", "FR"])',
    "gt": "(gt $age 19)",
    "gte": "(gte $age 20)",
    "begins": '(begins_with $mail "a@")',
    "ends": '(ends_with $mail ".example")',
    "contains": '(contains $mail "@")',
    "and": '(and (eq $group "staff") (gt $age 3) (not (lt $age 4)))',
    "or": '(or (eq $group "nobody") (eq $country "DE"))',
    "lt": "(not (lt $age 20))",
    "young": "(lte $age 20)",
}


def test_appconfigs_rules_decide_in_flagd_as_they_do_there(tmp_path: Path, evaluate: Evaluate) -> None:
    done = converted(tmp_path, RULES)
    assert done.returncode == 0, done.stderr
    client = evaluate(done.stdout)

    def on(**attributes: Any) -> set[str]:
        found = {name: client.get_boolean_details(name, False, EvaluationContext("a", attributes)) for name in RULES}
        assert not [name for name, one in found.items() if one.error_code]
        return {name for name, one in found.items() if one.value}

    assert on(**YES) == {*RULES}
    assert on(**NO) == {"young"}
    assert on() == {"lt"}  # of whom nothing is known is not younger


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ('(split pct::10 by::$userId seed::"x")', "flagd has no rule (split ...)"),
        ('(and (eq $a 1) (matches in::$mail pattern::"a+"))', "flagd has no rule (matches ...)"),
        ('(exists key::"a")', "flagd has no rule (exists ...)"),
        ("(gt $now 2026-11-28T00:00:00Z)", "flagd has no value like 2026-11-28T00:00:00Z"),
    ],
)
def test_what_flagd_cannot_say_is_refused(tmp_path: Path, rule: str, says: str) -> None:
    done = converted(tmp_path, {"a": rule})
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr


# ---- The commands


def test_the_commands_show_change_and_tell_as_the_contract_says(tmp_path: Path, moto: dict[str, str]) -> None:
    """The real AWS CLI against moto."""
    from dpra.rehearsal import mends

    mends.forget()
    said = YAML(typ="safe").load(EXAMPLE / "dpra.yml")["deploy"]["script"]
    package = Path(shutil.copytree(EXAMPLE, tmp_path / "package", ignore=shutil.ignore_patterns("__pycache__")))
    outputs = tmp_path / "outputs.json"

    def run(name: str, digest: str = "", folder: Path = package) -> str:
        env = {**os.environ, **moto, **ABOUT, "DPRA_DIGEST": digest, "DPRA_COMMIT": "c", "DPRA_OUTPUTS": str(outputs)}
        env["PATH"] = f"{env['PATH']}:{os.environ['PATH']}"
        words = ["bash", "-euo", "pipefail", "-c", said[name]]
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    compiled(package, {"checkout": {"enabled": False, "limit": 10}})
    shown = run("preview")
    assert '+    "checkout": {' in shown
    assert '+    "checkout.limit": {' in shown
    assert run("running", folder=tmp_path) == ""  # the preview changed nothing
    for _ in range(2):
        run("command", "one")
        assert run("running", folder=tmp_path) == "one"
    assert "checkout" in json.loads(json.loads(outputs.read_text())["Flags"])["flags"]
    assert run("preview") == "no changes"
    compiled(package, {"checkout": {"enabled": True, "limit": 10}})
    changed = [line for line in run("preview").splitlines() if line.startswith(("+ ", "- "))]
    assert [line.split() for line in changed] == [["-", '"default":', "false"], ["+", '"default":', "true"]]
    run("command", "two")
    assert run("running", folder=tmp_path) == "two"


# ---- The pipeline


def delivered(environment: str) -> tuple[str, dict[str, str]]:
    """What lies in the bucket that the provider reads: the document, and what is said of it."""
    from moto.s3.models import s3_backends

    account = ACCOUNTS[environment]
    key = s3_backends[account]["aws"].buckets[f"switches-flags-{account}-eu-west-1"].keys["flags.json"]
    return key.value.decode(), {name.lower().removeprefix("x-amz-meta-"): said for name, said in key.metadata.items()}


def planned(root: Path) -> Plan:
    from dpra.cli import common

    return common.plan(root)[0]


@pytest.mark.slow
def test_a_release_comes_to_flagd_and_goes_back_when_a_test_fails_in_production(
    repository: Path, evaluate: Evaluate
) -> None:
    """A whole rehearsal of the pipeline by its own script, and then one of the next commit."""
    from dpra.catalogue import PIPELINE
    from dpra.rehearsal import faults
    from dpra.rehearsal.world import Run, committed, opened, play

    plan = planned(repository)
    with opened(repository, plan, (), True, print) as here:
        here.commits = {"old": here.commits["this"], "new": committed(here, "new")}
        first = play(here, Run(1, "old"))
        assert first.ok, (first.stopped_at, first.annotations)
        before = {environment: delivered(environment) for environment in ACCOUNTS}
        assert {about["commit"] for _, about in before.values()} == {here.commits["old"]}
        [digest] = {about["digest"] for _, about in before.values()}
        for environment, limit in (("beta", 100), ("gamma", 50)):
            client = evaluate(before[environment][0])
            assert client.get_boolean_value("new-checkout", False, SOMEBODY) is True
            assert client.get_integer_value("new-checkout.limit", 0, SOMEBODY) == limit
        client = evaluate(before["prod"][0])
        assert client.get_boolean_value("new-checkout", True, SOMEBODY) is False
        assert client.get_boolean_details("new-checkout", False, STAFF).variant == "staff"
        assert [client.get_integer_value("new-checkout.limit", 0, one) for one in (SOMEBODY, STAFF)] == [10, 5]
        limits = {"requests-per-second": 200, "retries": {"times": 3, "pause-milliseconds": 200}}
        assert client.get_object_value("limits", {}) == limits

        fault = faults.parse("fail", "prod.1.acceptance-tests", plan, PIPELINE, here.workflow())
        second = play(here, Run(2, "new", faults=(fault,)))
        assert (second.ok, second.stopped_at) == (False, "prod-tests-1 (eu-west-1) / acceptance-tests")
        results = {job.job: job.result for job in second.jobs}
        assert (results["prod-1"], results["rollback"]) == ("success", "success")
        for environment in ("beta", "gamma"):
            text, about = delivered(environment)
            assert about["commit"] == here.commits["new"]
            assert evaluate(text).get_boolean_value("rehearsed-new", False, SOMEBODY) is True
        text, about = delivered("prod")
        assert (text, about["digest"], about["commit"]) == (before["prod"][0], digest, here.commits["old"])
