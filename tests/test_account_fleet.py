"""The type account-fleet, as a new user meets it: what `dpra new` makes, what stops it, what is promised."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dpra.rehearsal import scenarios
from ruamel.yaml import YAML

ROWS = scenarios.table("account-fleet")
# DPRA.md's list of the type: docs/account-fleet-management-pipeline/index.md of AWS's repository, which gives no marks,
# and whose gamma stage is a TODO.
DPRA = {
    "local": {"pre-commit-hooks", "ide-plugins"},
    "source": {"test-source", "infrastructure-source", "dependency-libraries", "configuration"},
    # The product is DPRA's in Prod; here teams ask in the account of the tools, far from the management account.
    "alpha": {"policy-as-code", "secrets-detection", "iac-unit-tests", "service-catalog-product"},
    "beta": {"provision-resources", "integration-tests"},
    "prod": {"manual-approval"},
}
UNITS = {"beta": ["Sandbox"], "gamma": ["Canary"], "prod": ["Workloads/Dev", "Workloads/Prod", "root"]}
SAID = ("name=landing-zone", "pipeline=account-fleet")


@pytest.fixture
def landing_zone(dpra: Any, tmp_path: Path) -> Path:
    done = dpra("new", "--no-input", "-o", tmp_path, *SAID, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "landing-zone"


def test_what_is_new_is_checked_linted_and_planned_without_a_gap(dpra: Any, landing_zone: Path) -> None:
    assert dpra("check", cwd=landing_zone).returncode == 0
    templates = sorted((*landing_zone.glob("infrastructure/**/*.yml"), *landing_zone.glob("baselines/*/template.yml")))
    for words in (
        ["actionlint"],
        ["zizmor", "--persona", "auditor", "--offline", "--quiet", "."],
        ["cfn-lint", *templates],
        ["check-jsonschema", "--schemafile", ".github/dpra.schema.json", "dpra.yml"],
        ["ruff", "check", "--isolated", "tests"],
    ):
        done = subprocess.run(words, cwd=landing_zone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    actions = json.loads(dpra("plan", "--format", "json", cwd=landing_zone).stdout)["actions"]
    for stage, names in DPRA.items():
        assert {one["action"] for one in actions if one["stage"] == stage} >= names, stage
    assert not [one for one in actions if one["level"] == "required" and one["status"] in ("left-out", "advisory")]
    assert {one["action"] for one in actions if one["stage"] == "gamma"}, "dpra defines it"


def test_its_policies_are_tested_and_each_account_explained_here(dpra: Any, landing_zone: Path) -> None:
    done = dpra("fleet", "test", cwd=landing_zone)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(dpra("fleet", "explain", "shop-prod", "--format", "json", cwd=landing_zone).stdout)
    assert told["unit"] == "Workloads/Prod"
    path = landing_zone / "policies/tests/workloads.yml"
    path.write_text(path.read_text().replace("expect: deny, why: records go on", "expect: allow, why: records go on"))
    done = dpra("fleet", "test", cwd=landing_zone)
    assert done.returncode == 1
    assert re.search(r"policies/tests/workloads\.yml:\d+", done.stdout), done.stdout
    assert "policies/guardrails.json:" in done.stdout, "the policy, and its statement"
    assert "root > Workloads > Workloads/Prod" in done.stdout, "the path of inheritance"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('"333333333333", waves: [[Canary]]', '"222222222222", waves: [[Canary]]'), "environments.gamma.account"),
        (("[[Canary]]", "[[Sandbox]]"), "environments.gamma.waves: Sandbox is delivered in beta"),
        (("      - [root]\n", ""), "environments.prod.waves: the last unit is root"),
        (("[[Sandbox]]", "[[root]]"), "environments.prod.waves: root is delivered in beta"),
        (("bake: 15", "bake: 61"), "environments.prod.bake: no runner waits"),
    ],
)
def test_units_are_delivered_once_and_the_root_last(
    dpra: Any, landing_zone: Path, change: tuple[str, str], problem: str
) -> None:
    spec = landing_zone / "dpra.yml"
    assert change[0] in spec.read_text()
    spec.write_text(spec.read_text().replace(*change))
    done = dpra("check", cwd=landing_zone)
    assert done.returncode == 2
    assert problem in done.stderr


def test_workflows_are_as_large_for_five_thousand_accounts(dpra: Any, landing_zone: Path) -> None:
    def made() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (landing_zone / ".github/workflows").glob("*.yml")}

    before = made()
    lines = [f"  many-{number}: {{email: aws+many-{number}@example.com}}" for number in range(5000)]
    (landing_zone / "accounts/many.yml").write_text("\n".join(["unit: Workloads/Prod", "accounts:", *lines, ""]))
    assert dpra("generate", cwd=landing_zone).returncode == 0
    assert made() == before


def test_a_run_that_deploys_for_hours_is_not_taken_for_dead(landing_zone: Path) -> None:
    """A stack set may take hours: no job is cut off meanwhile, and the lease of the release lock lasts."""
    jobs = YAML(typ="safe", pure=True).load(landing_zone / ".github/workflows/pipeline.yml")["jobs"]
    assert (jobs["prod-1"]["timeout-minutes"], jobs["rollback"]["timeout-minutes"]) == (350, 350)
    leases = {
        name: step["with"]["bake-minutes"]
        for name, job in jobs.items()
        for step in job["steps"]
        if "bake-minutes" in step.get("with", {})
    }
    assert {*leases.values()} == {15 + 350 - 60}


def test_an_organisation_takes_one_change_at_a_time(landing_zone: Path) -> None:
    jobs = YAML(typ="safe", pure=True).load(landing_zone / ".github/workflows/pipeline.yml")["jobs"]
    changing = [job for job in jobs.values() if any("dpra/deploy" in str(step.get("uses")) for step in job["steps"])]
    assert len(changing) == 5
    assert {(job["concurrency"]["group"], job["strategy"]["max-parallel"]) for job in changing} == {
        ("deploy-organisation", 1)
    }


@pytest.mark.slow
def test_every_promise_is_kept_and_the_page_shows_it(
    dpra: Any, landing_zone: Path, tmp_path: Path, page_text: Callable[[Path], str]
) -> None:
    """They are played once; each says which release every unit has, and which accounts there are."""
    assert len(ROWS) >= 15
    out, page = tmp_path / "scenarios.json", tmp_path / "scenarios.html"
    words = ("rehearse", "--offline", "--scenario", "all", "--json", out, "--page", page)
    done = dpra(*words, cwd=landing_zone)
    assert done.returncode == 0, done.stdout + done.stderr
    proofs = {one["id"]: one for one in json.loads(out.read_text())["scenarios"]}
    assert list(proofs) == [row["id"] for row in ROWS]
    assert all(one["applicable"] and one["kept"] and not one["problems"] for one in proofs.values())
    places = {(environment, unit) for environment, units in UNITS.items() for unit in units}
    for name, one in proofs.items():
        there = {(d["environment"], d["region"]) for d in one["result"]["deployments"]}
        assert there == places or name == "a-first-release", name
    assert "rolled back" in page_text(page)


def test_each_promise_has_one_scenario_of_its_own() -> None:
    for keys in (["id"], ["promise"], ["plays", "first"]):
        assert len({json.dumps([row.get(key) for key in keys]) for row in ROWS}) == len(ROWS), keys
    for row in ROWS:
        assert row["ends"].keys() >= {"beta", "gamma"}
        assert {place.partition(".")[0] for place in row["ends"]} >= {"prod"}
