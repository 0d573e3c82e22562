"""Findings that become alerts of GitHub's code scanning: what it refuses is not handed to it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems, render
from dpra.problems import PlanError
from dpra.spec import reader
from ruamel.yaml import YAML

SPEC = (Path(__file__).parent / "specs/minimal.yml").read_text("utf-8") + "code-scanning: true\n"
WORKFLOWS = ("pipeline", "pull-request", "hotfix", "nightly")


def generated(more: str = "") -> dict[str, Any]:
    """The jobs of each workflow."""
    files = render.files(problems.planned(reader.read((SPEC + more).encode(), catalogue.words())))
    yaml = YAML(typ="safe", pure=True)
    return {name: yaml.load(files[f".github/workflows/{name}.yml"].content)["jobs"] for name in WORKFLOWS}


def uploads(jobs: dict[str, Any]) -> list[tuple[dict[str, Any], int]]:
    """The jobs that upload, and which of their steps does."""
    return [
        (job, number)
        for job in jobs.values()
        for number, step in enumerate(job["steps"])
        if str(step.get("uses")).startswith("github/codeql-action/upload-sarif@")
    ]


@pytest.mark.parametrize("more", ["", "actions: {licence-policy: {}, vulnerability-assessment: {}}\n"])
def test_an_upload_waits_for_a_report_of_each_check_of_its_job(more: str) -> None:
    for name, jobs in generated(more).items():
        assert uploads(jobs), name
        for job, number in uploads(jobs):
            before = job["steps"][:number]
            checks = [step["id"] for step in before if str(step.get("uses")).endswith("/dpra/check")]
            asked = re.findall(r"steps\.([\w-]+)\.outputs\.report", job["steps"][number]["if"])
            assert sorted(asked) == sorted(checks), name
            assert job["steps"][number]["if"].startswith("always() && (steps.")


@pytest.mark.parametrize(
    ("more", "actions"),
    [
        ("", "read"),
        ("github: {plan: team, visibility: private}\n", "read"),
        ("github: {plan: enterprise, visibility: internal}\n", "read"),
        ("github: {plan: free, visibility: public}\n", None),
        ("jobs: {security: {permissions: {actions: {access: write, reason: ours}}}}\n", "write"),
    ],
)
def test_a_job_that_uploads_has_the_permissions_once(more: str, actions: str | None) -> None:
    for name, jobs in generated(more).items():
        for job, _ in uploads(jobs):
            wanted = "read" if actions == "write" and "sast" not in [one.get("id") for one in job["steps"]] else actions
            assert job["permissions"]["security-events"] == "write"
            assert job["permissions"].get("actions") == wanted, name


@pytest.mark.parametrize("job", ["scan", "security"])
def test_a_permission_that_an_upload_has_is_not_given_twice(job: str) -> None:
    more = f"jobs: {{{job}: {{permissions: {{security-events: {{access: read, reason: ours}}}}}}}}\n"
    with pytest.raises(PlanError) as refused:
        generated(more)
    assert f"jobs.{job}.permissions.security-events" in str(refused.value)


# ---- Executed


def rehearse(dpra: Any, root: Path, *arguments: str) -> tuple[int, str, Any]:
    out = root.parent / "result.json"
    done = dpra("rehearse", "--offline", "--json", out, *arguments, cwd=root)
    return done.returncode, done.stdout + done.stderr, json.loads(out.read_text())


@pytest.mark.slow
@pytest.mark.needs("trivy")
def test_what_one_tool_finds_for_two_checks_of_a_job_is_uploaded(dpra: Any, copy: Path) -> None:
    spec = copy / "dpra.yml"
    both = "code-scanning: true\nactions:\n  sca: {tool: trivy}\n  policy-as-code: {tool: trivy, fail-on: critical}\n"
    spec.write_text(re.sub(r"^actions:\n", both, spec.read_text(), flags=re.MULTILINE))
    assert dpra("generate", cwd=copy).returncode == 0
    code, said, result = rehearse(dpra, copy, "--only", "build,security,scan")
    assert code == 0, said
    ran = ("build", "security", "scan")
    assert [job["result"] for job in result["jobs"] if job["job"] in ran] == ["success"] * 3


@pytest.mark.slow
def test_a_job_that_failed_without_a_report_has_no_second_error(dpra: Any, copy: Path) -> None:
    with (copy / "dpra.yml").open("a") as spec:
        spec.write("\ncode-scanning: true\n")
    assert dpra("generate", cwd=copy).returncode == 0
    tool = copy / ".github/actions/dpra/check/tools/trivy.sh"
    tool.write_text(re.sub(r"^set -euo pipefail$", "exit 70", tool.read_text(), flags=re.MULTILINE))
    code, said, _ = rehearse(dpra, copy, "--only", "build,scan")
    assert code == 1
    assert "No SARIF files" not in said
    assert "scan / Software bill of materials (SBOM): failure" in said
