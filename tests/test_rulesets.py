"""Rulesets: what is merged was reviewed and checked, as GitHub takes them."""

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

SPECS = Path(__file__).parent / "specs"
OPENAPI = "@octokit/openapi@23.0.2"  # GitHub's own description of its API


def rulesets(dpra: Any, root: Path, spec: str) -> dict[str, Any]:
    (root / "dpra.yml").write_text(spec)
    done = dpra("generate", cwd=root)
    assert done.returncode == 0, done.stderr
    return {path.stem: json.loads(path.read_text()) for path in (root / ".github/rulesets").glob("*.json")}


def rule(ruleset: dict[str, Any], kind: str) -> Any:
    [found] = [one.get("parameters") for one in ruleset["rules"] if one["type"] == kind]
    return found


@pytest.mark.parametrize("name", ["minimal", "full", "outlets"])
def test_the_required_checks_are_jobs_of_the_pull_request_workflow(dpra, tmp_path, name: str) -> None:
    """A check that no job reports would be waited for without end; one that is not asked for would not block."""
    trunk = rulesets(dpra, tmp_path, (SPECS / f"{name}.yml").read_text())["trunk"]
    checks = rule(trunk, "required_status_checks")["required_status_checks"]
    jobs = YAML(typ="safe").load(tmp_path / ".github/workflows/pull-request.yml")["jobs"]
    names = [
        job["name"] for job in jobs.values()
    ]  # also the one that tells which others run: where it fails, they do not
    assert [one["context"] for one in checks] == names
    assert {one["integration_id"] for one in checks} == {15368}  # GitHub Actions; another app's check is none


def test_code_owners_review_where_there_are_some(dpra, tmp_path) -> None:
    minimal = (SPECS / "minimal.yml").read_text()
    trunk = rulesets(dpra, tmp_path, minimal + 'trunk: release/1\nowners: ["@acme/platform"]\n')["trunk"]
    assert trunk["conditions"]["ref_name"]["include"] == ["refs/heads/release/1"]
    review = rule(trunk, "pull_request")
    assert (review["required_approving_review_count"], review["require_code_owner_review"]) == (1, True)
    assert trunk["bypass_actors"] == []
    assert not rule(rulesets(dpra, tmp_path, minimal)["trunk"], "pull_request")["require_code_owner_review"]


def test_the_branch_that_approves_takes_reviewed_merge_commits_only(dpra, tmp_path) -> None:
    """Where GitHub's reviewers approve, there is no such branch."""
    minimal = (SPECS / "minimal.yml").read_text()
    review = rule(rulesets(dpra, tmp_path, minimal)["approval"], "pull_request")
    assert (review["allowed_merge_methods"], review["required_approving_review_count"]) == (["merge"], 1)
    assert list(rulesets(dpra, tmp_path, minimal + "github: {plan: enterprise}\n")) == ["trunk"]


@pytest.mark.slow
def test_githubs_api_takes_them(dpra, tmp_path, needs: Any) -> None:
    import jsonschema

    needs("npm")
    done = subprocess.run(
        ["npm", "pack", "--silent", OPENAPI], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    with tarfile.open(tmp_path / done.stdout.strip()) as package:
        member = package.extractfile("package/generated/api.github.com.json")
        assert member
        api = json.load(member)
    asked = api["paths"]["/repos/{owner}/{repo}/rulesets"]["post"]["requestBody"]["content"]["application/json"]
    validator = jsonschema.Draft202012Validator({**asked["schema"], "components": api["components"]})
    made = rulesets(dpra, tmp_path, (SPECS / "minimal.yml").read_text())
    assert set(made) == {"trunk", "approval"}
    for ruleset in made.values():
        validator.validate(ruleset)
    wrong = json.loads(json.dumps(made["trunk"]).replace('"required_approving_review_count": 1', '"reviews": 1'))
    assert not validator.is_valid(wrong)
