"""Who approves for production: GitHub's reviewers where there are any, else a reviewed pull request into a branch."""

from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems, render
from dpra.plan import Plan
from dpra.spec import reader
from ruamel.yaml import YAML

MINIMAL = (Path(__file__).parent / "specs/minimal.yml").read_text("utf-8")
OFFICE = 'windows: {hours: "09:00-16:00"}\n'


def made(more: str) -> Plan:
    return problems.planned(reader.read((MINIMAL + more).encode(), catalogue.words()))


def workflows(more: str) -> dict[str, Any]:
    load = YAML(typ="safe", pure=True).load
    found = {Path(path): file for path, file in render.files(made(more)).items()}
    return {path.stem: load(file.content) for path, file in found.items() if path.parent.name == "workflows"}


def approving(workflow: Any) -> str:
    [step] = [step for step in workflow["jobs"]["prod-approve"]["steps"] if step.get("id") == "manual-approval"]
    return str(step["with"].get("approval-branch", ""))


@pytest.mark.parametrize(
    ("more", "branch", "triggers"),
    [
        ("", "production", ["push", "workflow_dispatch"]),
        ("github: {plan: team, approval-branch: release/live}\n", "release/live", ["push", "workflow_dispatch"]),
        (OFFICE, "production", ["push", "schedule", "workflow_dispatch"]),
        ("github: {plan: enterprise}\n" + OFFICE, "", ["schedule", "workflow_dispatch"]),
        ("github: {visibility: public}\n", "", []),
    ],
)
def test_a_branch_approves_where_there_are_no_reviewers(more: str, branch: str, triggers: list[str]) -> None:
    found = workflows(more)
    assert approving(found["pipeline"]) == approving(found["hotfix"]) == branch
    resume = found.get("resume", {"on": {}})
    assert list(resume["on"]) == triggers
    if "push" in triggers:
        assert resume["on"]["push"] == {"branches": [branch]}
    [action] = [one for one in made(more).actions if one.action == "manual-approval"]
    assert (branch in action.tool) if branch else (action.tool == "GitHub environment prod-approve")


@pytest.mark.parametrize(
    ("windows", "cron"),
    [
        ('days: [mon, thu], hours: "09:00-16:00"', "7 9-15 * * MON,THU"),
        ('hours: "09:30-11:37"', "37 9-10 * * *"),
        ('hours: "09:55-11:00"', "2 10 * * *"),
        ('hours: "22:00-24:00"', "7 22-23 * * *"),
        ('hours: "09:10-09:15"', "17 9 * * *"),
        ('freeze: ["2026-12-24"]', "7 0-23 * * *"),
    ],
)
def test_nothing_is_looked_at_while_no_window_can_be_open(windows: str, cron: str) -> None:
    schedule = workflows(f"windows: {{{windows}, timezone: Europe/Berlin}}\n")["resume"]["on"]["schedule"]
    assert schedule == [{"cron": cron, "timezone": "Europe/Berlin"}]


def test_the_workflow_that_resumes_has_no_role_and_no_secret() -> None:
    text = str(workflows(OFFICE)["resume"])
    assert "id-token" not in text
    assert "secrets." not in text
    assert "environment" not in text


def test_nothing_of_production_runs_but_with_the_lock() -> None:
    jobs = workflows("")["pipeline"]["jobs"]
    assert jobs["prod-1"]["if"] == "needs.prod-approve.outputs.locked == 'true'"
    assert "needs.prod-approve.outputs.locked == 'true'" in jobs["rollback"]["if"]
    assert not any(word in str(job.get("if")) for job in jobs.values() for word in ("cancelled()", "failure()"))


def test_the_trunk_approves_nothing() -> None:
    with pytest.raises(problems.PlanError, match=r"github.approval-branch: is the trunk"):
        made("github: {approval-branch: main}\n")
    assert made("github: {approval-branch: main, plan: enterprise}\n").approval_branch == ""
