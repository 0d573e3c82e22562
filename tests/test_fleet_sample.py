"""The fleet that `dpra new` makes: its files have no problem, its rows hold, its templates pass the checks."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter
from dpra import resources

resources.lib("runner")  # then the pack's modules find each other
(
    desired,
    fleet_files,
    fleet_inheritance,
    fleet_lockouts,
    fleet_plan,
    fleet_policies,
    fleet_rules,
    fleet_seen,
    parsers,
) = (
    importlib.import_module(name)
    for name in (
        *("fleet", "fleet_files", "fleet_inheritance", "fleet_lockouts", "fleet_plan", "fleet_policies", "fleet_rules"),
        *("fleet_seen", "configuration_parsers"),
    )
)
PARTS = ("Sandbox", "Canary", "Workloads/Dev", "Workloads/Prod", "root")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample as the template has it, before its hook moves it."""
    chosen = {"name": "org", "pipeline": "account-fleet", "waves": "2"}
    made = cookiecutter(
        str(resources.BOOTSTRAP),
        no_input=True,
        extra_context=chosen,
        output_dir=str(tmp_path_factory.mktemp("new")),
        default_config=True,
        accept_hooks=False,
    )
    return Path(made) / "account-fleet"


def built(files: dict[str, bytes]) -> Any:
    return fleet_files.build(files, "org", parsers.events, PARTS)


@pytest.fixture
def files(folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = fleet_files.in_folder(folder)
    return found


def test_the_sample_has_no_problem_and_locks_nobody_out(files: dict[str, bytes]) -> None:
    fleet, problems = built(files)
    assert problems == [] == fleet_rules.problems(fleet)
    organisation = fleet_inheritance.Organisation(fleet)
    assert organisation.problems == [] == fleet_lockouts.lockouts(organisation)
    assert fleet.break_glass == ("role/break-glass",)
    assert {unit.path for unit in fleet.units} >= {*PARTS, "Suspended"}


def test_each_row_of_the_sample_holds_and_needs_its_policies(files: dict[str, bytes]) -> None:
    fleet, _ = built(files)
    rows = fleet_policies.judged(fleet_inheritance.Organisation(fleet))
    assert [one for one in rows if not one.holds] == []
    assert {one.row.expect for one in rows} == {"allow", "deny"}
    assert any(one.row.attempt for one in rows)
    for name in ("guardrails", "regions", "data-perimeter", "suspended"):  # without one of them a row does not hold
        left = {path: text for path, text in files.items() if not path.startswith(f"policies/{name}.")}
        judged = fleet_policies.judged(fleet_inheritance.Organisation(built(left)[0]))
        assert [one for one in judged if not one.holds], name


def test_the_first_plan_of_the_sample_makes_all_of_it_in_its_parts(files: dict[str, bytes]) -> None:
    fleet, _ = built(files)
    kinds = sorted({desired.KINDS[one.type].aws for one in fleet.policies})
    manager = {
        "id": "333333333333",
        "email": "aws@example.com",
        "name": "management",
        "parent": "r-ab12",
        "status": "ACTIVE",
    }
    seen = {"management": "333333333333", "root": {"id": "r-ab12", "types": kinds}, "accounts": [manager]}
    plan = fleet_plan.plan(fleet, fleet_seen.Seen.from_json(seen))
    assert plan.refused == ()
    made = {step.on: step.part for step in plan.steps if step.action == "create-account"}
    assert made == {
        **{"account:sandbox-platform": "Sandbox", "account:canary-batch": "Canary", "account:canary-service": "Canary"},
        **{"account:shop-dev": "Workloads/Dev", "account:shop-prod": "Workloads/Prod"},
    }
    assert {step.part for step in plan.steps} == set(PARTS)


def test_the_templates_of_the_sample_are_right(folder: Path) -> None:
    templates = sorted(folder.glob("baselines/*/template.yml"))
    assert len(templates) == 3
    lint = [Path(sys.executable).parent / "cfn-lint", "--mandatory-checks", "E", "W", "--", *templates]
    subprocess.run(lint, check=True)


def test_what_a_policy_exempts_nobody_may_make(files: dict[str, bytes]) -> None:
    """Each role that a condition leaves out is among those that the guardrails keep from everybody."""
    exempt = set[str]()
    for path, text in files.items():
        if path.startswith("policies/") and path.endswith(".json"):
            for statement in json.loads(text).get("Statement", ()):
                said = statement.get("Condition", {}).get("ArnNotLike", {}).get("aws:PrincipalArn", [])
                exempt |= {one.rpartition("/")[2] for one in said}
    assert exempt == {"OrganizationAccountAccessRole", "break-glass", "dpra-*-*", "stacksets-exec-*"}
    guardrails = json.loads(files["policies/guardrails.json"])["Statement"]
    [kept] = [one for one in guardrails if one["Sid"] == "NobodyMakesThoseRoles"]
    names = {one.rpartition("/")[2] for one in kept["Resource"]}
    assert {"iam:CreateRole", "iam:UpdateAssumeRolePolicy"} <= {*kept["Action"]}
    assert names == {"dpra-*" if one == "dpra-*-*" else one for one in exempt}
