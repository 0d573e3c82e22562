"""The main job, executed: what `dpra new` makes goes from a commit to production, or stops where it should."""

import json
import secrets
import string
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dpra import evidence, resources

pytestmark = pytest.mark.slow

SCHEMA = Path(__file__).parents[1] / "docs/evidence.schema.json"
PIPELINE = ".github/workflows/pipeline.yml"


@dataclass
class Rehearsal:
    code: int
    text: str
    result: dict[str, Any]

    def steps(self, job: str) -> list[dict[str, str]]:
        """The results of a job's DPRA actions, for each leg of its matrix."""
        return [
            {step["id"]: step["result"] for step in found["steps"] if not step["id"].isdecimal()}
            for found in self.result["jobs"]
            if found["job"] == job
        ]


def rehearse(dpra, root: Path, *arguments: str) -> Rehearsal:
    out = root.parent / f"{root.name}.json"
    done = dpra("rehearse", "--offline", "--json", out, *arguments, cwd=root)
    return Rehearsal(done.returncode, done.stdout + done.stderr, json.loads(out.read_text()))


def commit(root: Path) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    subprocess.run(["git", "add", "--all"], cwd=root, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "--message", "A change"], cwd=root, check=True)


def test_a_commit_goes_to_production_in_two_regions_and_three_accounts(
    dpra, tmp_path, snapshot, tests_of_rights
) -> None:
    done = dpra("new", "--no-input", "-o", tmp_path, "name=shop", "regions=eu-west-1,us-east-1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "shop"
    text = (root / "dpra.yml").read_text()
    assert text.count("\nactions:\n") == 1
    (root / "dpra.yml").write_text(text.replace("\nactions:\n", "\nactions:\n  integration-tests: {role: read}\n"))
    assert dpra("generate", cwd=root).returncode == 0
    tests_of_rights(root, "integration", "reads")  # by the role that is asked for; its job's real policy decides
    tests_of_rights(root, "synthetic", "nothing")  # in gamma and in production
    before = snapshot(root)
    good = tmp_path / "evidence.json"
    made = rehearse(dpra, root, "--evidence", good)
    assert made.code == 0, made.text
    passed = {(one["job"], one["action"]): one["findings"].get("passed") for one in made.result["evidence"]}
    assert passed["beta-tests", "integration-tests"] == 2 + 2
    assert passed["gamma-tests", "synthetic-tests"] == passed["prod-tests-1", "synthetic-tests"] == 1 + 1
    ran = {(d["environment"], d["account"], d["region"]): d for d in made.result["deployments"]}
    assert set(ran) == {
        ("beta", "111111111111", "eu-west-1"),
        *((name, account, region) for name, account in (("gamma", "222222222222"), ("prod", "333333333333"))
          for region in ("eu-west-1", "us-east-1")),
    }  # fmt: skip
    assert {d["status"] for d in ran.values()} == {"CREATE_COMPLETE"}
    assert len({d["digest"] for d in ran.values()}) == 1  # built once
    plan = json.loads(dpra("plan", "--format", "json", cwd=root).stdout)
    for action in plan["actions"]:
        if action["status"] == "blocks":
            legs = [leg for job in action["jobs"] for leg in made.steps(job)]
            assert legs
            assert {leg[action["step"]] for leg in legs} == {"success"}, action
    assert any("simulated" in line for line in made.text.splitlines())
    assert snapshot(root) == before  # the user's checkout is not touched
    complete(dpra, good)


def complete(dpra, good: Path) -> None:
    """The evidence of a good rehearsal is; without any of it, it is not."""
    done = dpra("evidence", good, "--require", "required", cwd=good.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "22 of 22 required actions ran and blocked." in done.stdout
    assert "Security controls automated: 100 % (5 of 5)." in done.stdout
    document = json.loads(good.read_text())
    checked = subprocess.run(
        ["check-jsonschema", "--schemafile", SCHEMA, good], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    required = [number for number, one in enumerate(document["actions"]) if one["level"] == "required"]
    assert {document["actions"][number]["action"] for number in required} >= {"sast", "acceptance-tests"}
    lesser = good.with_name("lesser.json")
    for number in required:
        said = document["actions"][number]
        for change in ("gone", "unpromised, too", "failed", "only warned"):
            less = json.loads(good.read_text())
            if change == "failed":
                less["actions"][number]["result"] = "fail"
            elif change == "only warned":
                less["actions"][number]["gate"] = "advisory"
            else:
                less["actions"] = [one for one in less["actions"] if one["action"] != said["action"]]
                if "unpromised" in change:
                    less["expected"] = [one for one in less["expected"] if one["action"] != said["action"]]
            lesser.write_text(json.dumps(less))
            assert list(evidence.lacking(evidence.read(lesser), "required")), (said["action"], change)


def test_a_failing_unit_test_stops_the_pipeline_and_nothing_is_deployed(dpra, copy) -> None:
    with (copy / "tests/unit/test_app.py").open("a") as file:
        file.write("\n\ndef test_that_fails():\n    assert app.quote(order((1, 1)))['total'] == 2\n")
    made = rehearse(dpra, copy)
    assert made.code == 1
    assert made.result["stopped_at"] == "build / unit-tests"
    assert "The pipeline stopped at: build / unit-tests" in made.text
    assert "test_that_fails" in made.text
    assert made.steps("build") == [
        {"build-code": "success", "unit-tests": "failure", "package-and-store-artifacts": "skipped"}
    ]
    assert made.result["deployments"] == []
    assert {job["job"]: job["result"] for job in made.result["jobs"]}["beta"] in ("skipped", "not run")


def test_what_security_finds_stops_the_pipeline_and_a_key_is_named_by_file_and_line_and_not_printed(dpra, copy) -> None:
    letters = string.ascii_uppercase + "234567"
    identifier = "AKIA" + "".join(secrets.choice(letters) for _ in range(16))
    secret = "".join(secrets.choice(string.ascii_letters + string.digits + "+/") for _ in range(40))
    (copy / "src/settings.py").write_text(
        f'REGION = "eu-west-1"\nACCESS_KEY = "{identifier}"\naws_secret_access_key = "{secret}"\n'
    )
    (copy / "src/find.py").write_text(
        "import subprocess\n\n\ndef find(name: str) -> bytes:\n"
        '    return subprocess.check_output(f"ls {name}", shell=True)\n'
    )
    commit(copy)
    made = rehearse(dpra, copy)
    assert made.code == 1
    assert made.result["stopped_at"] == "security / secrets-detection"
    [steps] = made.steps("security")
    assert {name for name, result in steps.items() if result == "failure"} == {"secrets-detection", "sast"}
    assert "src/settings.py:2: aws-access-token" in made.text
    assert "src/find.py:5" in made.text
    assert made.result["deployments"] == []
    done = dpra("cleanse", cwd=copy)
    assert done.returncode == 1
    assert "src/settings.py:2  aws-access-token" in done.stdout
    assert "git filter-repo --invert-paths --path src/settings.py" in done.stdout
    for text in (made.text, json.dumps(made.result), done.stdout + done.stderr):
        assert identifier not in text
        assert secret not in text


def test_a_job_of_the_wrong_environment_is_refused_by_the_emitted_trust(dpra, copy, unscanned) -> None:
    """Beta's job names gamma's environment: its token says so, and beta's role does not admit it."""
    text = (copy / PIPELINE).read_text()
    assert text.count("environment: beta\n    concurrency") == 1
    (copy / PIPELINE).write_text(
        text.replace("environment: beta\n    concurrency", "environment: gamma\n    concurrency")
    )
    unscanned(copy)
    made = rehearse(dpra, copy, "--only", "beta")
    assert made.code == 1
    assert made.result["stopped_at"] == "beta (eu-west-1) / deploy-software"
    assert "AssumeRoleWithWebIdentity" in made.text
    assert made.result["deployments"] == []


def test_what_the_emitted_role_does_not_allow_is_refused(dpra, copy, unscanned) -> None:
    """That the pipeline succeeds proves that its roles may do enough; this, that the rehearsal asks them."""
    roles = copy / "infrastructure/dpra/beta.yml"
    text = roles.read_text()
    assert text.count("                  - cloudformation:ExecuteChangeSet\n") == 1
    roles.write_text(text.replace("                  - cloudformation:ExecuteChangeSet\n", ""))
    unscanned(copy)
    made = rehearse(dpra, copy, "--only", "beta")
    assert made.code == 1
    assert made.result["stopped_at"] == "beta (eu-west-1) / deploy-software"
    assert "role/dpra-shop-beta is not authorized to perform: cloudformation:ExecuteChangeSet" in made.text


def test_only_stages_and_what_they_need_run_and_the_evidence_says_what_did_not(dpra, copy, tmp_path) -> None:
    text = (copy / PIPELINE).read_text()
    begin, end = text.index("      - id: sast\n"), text.index("      - id: sca\n")
    (copy / PIPELINE).write_text(text[:begin] + text[end:])
    lesser = tmp_path / "lesser.json"
    made = rehearse(dpra, copy, "--only", "artifacts", "--evidence", lesser)
    assert made.code == 0, made.text
    ran = {job["job"] for job in made.result["jobs"] if job["result"] != "not run"}
    assert ran == {"build", "security", "scan", "artifacts"}
    done = dpra("evidence", lesser, "--require", "required", cwd=tmp_path)
    assert done.returncode == 1
    assert "sast (security): not run" in done.stderr
    assert "secrets-detection" not in done.stderr


def in_its_place(root: Path, text: str) -> None:
    """A workflow of pull requests as the pipeline: a rehearsal plays a push."""
    (root / PIPELINE).write_text(text.replace("\n  pull_request:\n", "\n  push:\n"))
    lock = json.loads((root / ".github/dpra.lock").read_text())
    lock["files"][PIPELINE] = {"sha256": resources.lib("check").digest((root / PIPELINE).read_bytes())}
    (root / ".github/dpra.lock").write_text(json.dumps(lock))


def test_the_gates_of_a_pull_request_are_executed_too(dpra, copy) -> None:
    """Its workflow in the pipeline's place: build, security, scan, and the comparison with dpra.yml."""
    text = (copy / ".github/workflows/pull-request.yml").read_text()
    assert text.count("\n  pull_request:\n") == 1
    in_its_place(copy, text)
    made = rehearse(dpra, copy)
    assert made.code == 0, made.text
    assert {job["job"]: job["result"] for job in made.result["jobs"]} == {
        "build": "success",
        "security": "success",
        "scan": "success",
        "generated-files": "success",
    }
    in_its_place(copy, text[: text.index("\n  build:\n")] + text[text.index("\n  generated-files:\n") :])
    (copy / ".github/dependabot.yml").write_text("version: 2\nupdates: []\n")
    made = rehearse(dpra, copy)
    assert made.code == 1
    assert made.result["stopped_at"].startswith("generated-files")
    assert ".github/dependabot.yml: edited by hand" in made.text


def test_an_installed_hook_finds_a_staged_secret(copy) -> None:
    """The generated pre-commit hook's own command, as pre-commit runs it."""
    from ruamel.yaml import YAML

    hooks = YAML(typ="safe").load(copy / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    entries = {hook["id"]: hook["entry"].split() for hook in hooks}
    commit(copy)

    def run(hook: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(entries[hook], cwd=copy, capture_output=True, text=True, check=False)

    for hook in entries:
        assert run(hook).returncode == 0, run(hook).stdout + run(hook).stderr
    key = "AKIA" + "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(16))
    (copy / "src/key.py").write_text(f'KEY = "{key}"\n')
    subprocess.run(["git", "add", "--all"], cwd=copy, check=True)
    done = run("secrets-detection")
    assert done.returncode == 1
    assert "src/key.py" in done.stdout + done.stderr
    assert key not in done.stdout + done.stderr
    (copy / "docs/pipeline.md").write_text("mine\n")
    assert run("generated-files").returncode == 1
