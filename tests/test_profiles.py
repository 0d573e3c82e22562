"""Profile small: beta and production, and everywhere it says that this is not all of DPRA."""

import json
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems
from dpra.rehearsal import scenarios
from dpra.spec import reader

SPECS = Path(__file__).parent / "specs"
SMALL = (SPECS / "small.yml").read_text()
MISSING = ["gamma.launch-environment", "gamma.deploy-software", "gamma.monitoring-and-logging", "gamma.synthetic-tests"]


def planned(dpra: Any, root: Path, text: str) -> dict[str, Any]:
    (root / "dpra.yml").write_text(text)
    done = dpra("plan", "--format", "json", cwd=root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_dpra_requires_and_is_not_done_is_told_in_the_plan_and_in_the_documents(dpra, tmp_path) -> None:
    plan = planned(dpra, tmp_path, SMALL)
    assert (plan["profile"], plan["dpra-partial"], plan["missing"]) == ("small", True, MISSING)
    assert list(plan["environments"]) == ["build", "beta", "prod"]
    assert f"DPRA-partial: of what DPRA requires, this does not block on: {', '.join(MISSING)}" in dpra(
        "plan", cwd=tmp_path
    ).stdout.replace("\n", " ")
    assert dpra("generate", cwd=tmp_path).returncode == 0
    text = (tmp_path / "docs/pipeline.md").read_text()
    assert "**DPRA-partial**" in text
    assert "- gamma: synthetic-tests (profile small has no gamma)" in text


def test_what_blocks_on_all_that_is_required_is_not_partial_whatever_its_profile_is_called(dpra, tmp_path) -> None:
    standard = SMALL.replace("small\n", "standard\n").replace("  prod:", '  gamma: {account: "222222222222"}\n  prod:')
    plan = planned(dpra, tmp_path, standard)
    assert (plan["dpra-partial"], plan["missing"]) == (False, [])
    warns = standard + "actions: {sast: {advisory: true, reason: for now}}\n"
    assert planned(dpra, tmp_path, warns)["missing"] == ["build.sast"]


def test_what_dpra_does_not_require_only_warns(dpra, tmp_path) -> None:
    more = SMALL + "actions: {licence-policy: {fail-on: medium}, iac-unit-tests: {command: make}}\n"
    status = {one["action"]: one["status"] for one in planned(dpra, tmp_path, more)["actions"] if one["job"]}
    warns = {"policy-as-code", "licence-policy", "iac-unit-tests"}
    assert {action for action, said in status.items() if said == "advisory"} == warns


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (SMALL.replace("profile: small", "profile: tiny"), "5:10: profile: "),
        (SMALL.replace("profile: small\n", ""), "6:3: environments: 'gamma' is missing"),
        (
            SMALL.replace("  prod:", '  gamma: {account: "222222222222"}\n  prod:'),
            "9:3: environments.gamma: profile small",
        ),
        (SMALL + "jobs: {gamma: {runs-on: large}}\n", "10:8: jobs.gamma: profile small has no gamma"),
        (SMALL + "jobs: {gamma-tests: {runs-on: large}}\n", "10:8: jobs.gamma-tests: profile small has no gamma-tests"),
        (SMALL + "actions: {dast: {tool: schemathesis}}\n", "10:11: actions.dast: profile small has no gamma"),
        (SMALL + "actions: {resilience-tests: {}}\n", "10:11: actions.resilience-tests: profile small"),
    ],
)
def test_what_the_profile_does_not_have_is_refused_with_its_place(dpra, tmp_path, said: str, problem: str) -> None:
    (tmp_path / "dpra.yml").write_text(said)
    done = dpra("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert f"dpra.yml:{problem}" in done.stderr


def test_synthetic_tests_of_production_block_where_they_are_the_only_ones() -> None:
    """DPRA recommends them there, which else only warns here; it requires them in gamma, which is not there."""
    plan = problems.planned(reader.read((SPECS / "small.yml").read_bytes(), catalogue.words()))
    [said] = [one for one in plan.actions if (one.stage, one.action) == ("prod", "synthetic-tests")]
    assert (said.status, said.job, said.level) == ("blocks", "prod-tests", "recommended")
    assert plan.jobs["prod-bake-1"].needs == ("prod-tests-1",)
    assert "prod-tests-1" not in plan.workflows["hotfix"].jobs


def test_scenarios_that_need_gamma_are_not_applicable_without_it() -> None:
    standard, small = (
        problems.planned(reader.read((SPECS / f"{name}.yml").read_bytes(), catalogue.words()))
        for name in ("minimal", "small")
    )
    rows = scenarios.table("application")
    lacking = {row["id"]: scenarios.lacks(row, small) for row in rows if not scenarios.lacks(row, standard)}
    found = {name: why for name, why in lacking.items() if why}
    assert found == {"a-failing-test-in-gamma": "needs the stage gamma, which profile small leaves out"}


BASE = "needs a base image: say base"
LONG = "needs one wave with a bake that no runner waits for"


def test_scenarios_that_need_waves_or_a_branch_that_approves_say_so() -> None:
    one = reader.read((SPECS / "minimal.yml").read_bytes(), catalogue.words())
    said = {scenarios.lacks(row, problems.planned(one)) for row in scenarios.table("application")}
    assert said == {"", "needs two waves", BASE, LONG}
    waves = problems.planned(reader.read((SPECS / "waves.yml").read_bytes(), catalogue.words()))
    said = {scenarios.lacks(row, waves) for row in scenarios.table("application")}
    assert said == {"", "needs an approval branch, and here GitHub's reviewers approve", BASE, LONG}


@pytest.mark.slow
def test_a_commit_goes_from_beta_to_production_and_an_extra_only_warns(dpra, tmp_path, tests_of_rights) -> None:
    done = dpra("new", "--no-input", "-o", tmp_path, "name=shop", "profile=small", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    root, result, evidence = tmp_path / "shop", tmp_path / "result.json", tmp_path / "evidence.json"
    template = root / "infrastructure/template.yml"
    # An open bucket is what policy as code blocks in profile standard: test_gates_block.
    template.write_text(
        template.read_text().replace("Resources:\n", "Resources:\n  Open: {Type: AWS::S3::Bucket}\n", 1)
    )
    tests_of_rights(root, "integration", "nothing")  # in beta
    done = dpra("rehearse", "--offline", "--json", result, "--evidence", evidence, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = [one["environment"] for one in json.loads(result.read_text())["deployments"]]
    assert ran == ["beta", "prod"]
    found = {(one["action"], one["job"]): one for one in json.loads(evidence.read_text())["actions"]}
    policy = found["policy-as-code", "security"]
    assert (policy["gate"], policy["result"]) == ("advisory", "fail")
    assert policy["findings"]["high"]
    done = dpra("evidence", evidence, "--require", "required", cwd=root)
    assert done.returncode == 1
    assert "synthetic-tests (gamma): left out" in done.stderr
