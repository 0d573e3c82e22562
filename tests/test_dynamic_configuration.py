"""The type dynamic-configuration, as a new user meets it: what `dpra new` makes, what stops it, what is promised."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dpra.rehearsal import scenarios
from ruamel.yaml import YAML

ROWS = scenarios.table("dynamic-configuration")
# DPRA.md's list of the type: docs/dynamic-configuration-pipeline/index.md of AWS's repository.
DPRA = {
    "local": {"pre-commit-hooks": "required", "ide-plugins": "recommended"},
    "source": {
        "infrastructure-source": "required",
        "feature-flag-definitions": "required",
        "operational-configuration": "required",
    },
    "build": {
        "build-code": "required",
        "unit-tests": "required",
        "code-quality": "required",
        "secrets-detection": "required",
        "sast": "required",
        "sca": "recommended",
        "sbom": "recommended",
    },
    "beta": {
        "deploy-feature-flags": "required",
        "deploy-operational-configuration": "required",
        "integration-tests": "required",
        "acceptance-tests": "recommended",
    },
    "gamma": {
        "deploy-feature-flags": "required",
        "deploy-operational-configuration": "required",
        "integration-tests": "required",
        "acceptance-tests": "required",
        "monitoring-and-logging": "required",
        "synthetic-tests": "required",
        "performance-tests": "recommended",
        "resilience-tests": "recommended",
        "dast": "recommended",
    },
    "prod": {
        "manual-approval": "recommended",
        "progressive-deployment": "required",
        "acceptance-tests": "required",
        "synthetic-tests": "required",
        "monitoring-and-logging": "required",
    },
}


@pytest.fixture
def switches(dpra: Any, tmp_path: Path) -> Path:
    done = dpra("new", "--no-input", "-o", tmp_path, "name=switches", "pipeline=dynamic-configuration", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "switches"


def commit(root: Path, message: str) -> None:
    for words in (["add", "--all"], ["-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-qm", message]):
        subprocess.run(["git", *words], cwd=root, check=True)


def test_what_is_new_is_checked_linted_and_planned_without_a_gap(dpra: Any, switches: Path) -> None:
    assert dpra("check", cwd=switches).returncode == 0
    assert dpra("configuration", "check", cwd=switches).returncode == 0
    templates = sorted(switches.glob("infrastructure/**/*.yml"))
    for words in (
        ["actionlint"],
        ["zizmor", "--persona", "auditor", "--offline", "--quiet", "."],
        ["cfn-lint", *templates],
        ["check-jsonschema", "--schemafile", ".github/dpra.schema.json", "dpra.yml"],
        ["ruff", "check", "--isolated", "tests"],
    ):
        done = subprocess.run(words, cwd=switches, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    actions = json.loads(dpra("plan", "--format", "json", cwd=switches).stdout)["actions"]
    found: dict[str, dict[str, str]] = {}
    for one in actions:
        found.setdefault(one["stage"], {})[one["action"]] = one["level"]
    for stage, levels in DPRA.items():
        assert found[stage].items() >= levels.items(), stage
        listed = {name: level for name, level in found[stage].items() if name not in levels}
        assert set(listed.values()) <= {"listed"}, listed
    missing = {one["action"]: one["status"] for one in actions if one["level"] == "required"}
    assert {name for name, status in missing.items() if status in ("left-out", "advisory")} == set()
    assert {name for name, status in missing.items() if status == "not-applicable"} == {"sast"}


@pytest.mark.slow
def test_what_is_wrong_stops_the_build_with_its_place_all_in_one_run(dpra: Any, switches: Path) -> None:
    """A flag without a value in gamma, a value out of bounds, an expired flag, a removed flag that code names."""
    spec, flags = switches / "dpra.yml", switches / "flags.yml"
    spec.write_text(spec.read_text() + "configuration: {references: [src/**]}\n")
    text = flags.read_text()
    flags.write_text(
        text + "\nremoved:\n  values: {beta: {enabled: true}, gamma: {enabled: true}, prod: {enabled: true}}\n"
    )
    (switches / "src").mkdir()
    (switches / "src/shop.py").write_text("import flags\n\nNEW = flags.get('removed')\n")
    assert dpra("generate", cwd=switches).returncode == 0
    commit(switches, "A flag that code names")
    text = text.replace("until: 2027-12-31", "until: 2026-01-31")
    text = text.replace("limit: 100}", "limit: 101}").replace("    gamma: {enabled: true, limit: 50}\n", "")
    flags.write_text(text)
    done = dpra("rehearse", "--offline", "--only", "build,security", cwd=switches)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    for place, says in {
        "flags.yml:5:10": "expired-flag",
        "flags.yml:8:3": "missing-value",
        "flags.yml:9:34": "out-of-bounds",
        "src/shop.py:3:18": "removed-flag",
    }.items():
        file, line, column = place.split(":")
        assert re.search(rf"{re.escape(file)}:{line}(:{column})?: .*{says}", told), (place, told[-6000:])
    here = dpra("configuration", "check", cwd=switches)
    assert here.returncode == 1
    assert [line.partition(": ")[0] for line in here.stdout.splitlines()[:4]] == [
        "flags.yml:5:10",
        "flags.yml:8:3",
        "flags.yml:9:34",
        "src/shop.py:3:18",
    ]


@pytest.mark.slow
def test_every_promise_is_kept_and_the_page_shows_it(
    dpra: Any, tmp_path: Path, page_text: Callable[[Path], str]
) -> None:
    """They are played once, in two waves of a region; each says what runs in every environment and region."""
    assert len(ROWS) >= 12
    said = ("name=switches", "pipeline=dynamic-configuration", "waves=2", f"regions={','.join(REGIONS)}")
    assert dpra("new", "--no-input", "-o", tmp_path, *said, cwd=tmp_path).returncode == 0
    out, page = tmp_path / "scenarios.json", tmp_path / "scenarios.html"
    words = ("rehearse", "--offline", "--scenario", "all", "--json", out, "--page", page)
    done = dpra(*words, cwd=tmp_path / "switches")
    assert done.returncode == 0, done.stdout + done.stderr
    proofs = {one["id"]: one for one in json.loads(out.read_text())["scenarios"]}
    assert list(proofs) == [row["id"] for row in ROWS]
    assert all(one["applicable"] and one["kept"] and not one["problems"] for one in proofs.values())
    places = {("beta", "eu-west-1"), *(("gamma", r) for r in REGIONS), *(("prod", r) for r in REGIONS)}
    for name, one in proofs.items():
        there = {(d["environment"], d["region"]) for d in one["result"]["deployments"]}
        assert there == places or name == "a-first-release", name
    text = page_text(page)
    assert "rolled back" in text


REGIONS = ("eu-west-1", "us-east-1")


def test_each_promise_has_one_scenario_of_its_own() -> None:
    for keys in (["id"], ["promise"], ["plays", "first"]):
        assert len({json.dumps([row.get(key) for key in keys]) for row in ROWS}) == len(ROWS), keys
    for row in ROWS:
        assert row["ends"].keys() >= {"beta", "gamma"}
        assert {place.partition(".")[0] for place in row["ends"]} >= {"prod"}


def test_a_run_that_deploys_for_hours_is_not_taken_for_dead(switches: Path) -> None:
    """AppConfig may take 290 minutes: no job is cut off meanwhile, and the lease of the release lock lasts."""
    jobs = YAML(typ="safe", pure=True).load(switches / ".github/workflows/pipeline.yml")["jobs"]
    assert (jobs["prod-1"]["timeout-minutes"], jobs["rollback"]["timeout-minutes"]) == (300, 300)
    leases = {
        name: step["with"]["bake-minutes"]
        for name, job in jobs.items()
        for step in job["steps"]
        if "bake-minutes" in step.get("with", {})
    }
    assert leases == dict.fromkeys(("prod-approve", "prod-1", "finish", "rollback"), 15 + 300 - 60)
