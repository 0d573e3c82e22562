"""`language: none`: infrastructure without a program. What looks for one is not applicable, and all else is as ever."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, evidence, problems
from dpra.plan import Plan
from dpra.rehearsal import scenarios
from dpra.spec import reader

SPECS = Path(__file__).parent / "specs"
NONE = (SPECS / "none.yml").read_text("utf-8")
SMALL = (SPECS / "small.yml").read_text("utf-8") + "language: none\n"
WITHOUT = {
    "build.build-code": ".command",
    "build.unit-tests": ".command",
    "build.sast": "",
    "build.sca": ".tool",
    "build.sbom": ".tool",
    "build.vulnerability-assessment": "",
    "build.licence-policy": ".tool",
    "beta.integration-tests": ".command",
    "beta.acceptance-tests": ".command",
    "gamma.synthetic-tests": ".command",
    "prod.synthetic-tests": ".command",
}
TEMPLATE = """Resources:
  Range:
    Type: AWS::SSM::Parameter
    Properties: {Name: !Sub "/${AWS::StackName}/range", Type: String, Value: 10.0.0.0/16}
  Alarms:
    Type: AWS::SNS::Topic
    Properties: {KmsMasterKeyId: alias/aws/sns}
  Traffic:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: !Sub ${AWS::StackName}-traffic
      Namespace: AWS/NATGateway
      MetricName: ErrorPortAllocation
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: notBreaching
      AlarmActions: [!Ref Alarms]
Outputs:
  Range: {Value: !Ref Range}
"""
OPEN = "  Site:\n    Type: AWS::S3::Bucket\n    Properties: {AccessControl: PublicRead}\n"


def planned(text: str) -> Plan:
    return problems.planned(reader.read(text.encode(), catalogue.words()))


def test_the_plan_says_what_is_not_applicable_and_why_and_it_is_no_gap() -> None:
    plan = planned(NONE)
    found = {f"{one.stage}.{one.action}": one for one in plan.actions if one.status == "not-applicable"}
    assert found.keys() == WITHOUT.keys()
    for name, key in WITHOUT.items():
        more = f"; on demand: say `actions.{found[name].action}{key}`" if key else ""
        assert (found[name].reason, found[name].job) == (f"there is no program{more}", "")
    levels = {name: one.level for name, one in found.items()}
    assert levels["build.sast"] == levels["gamma.synthetic-tests"] == "required"
    assert plan.missing == ()
    looking = {name for name, tools in plan.tools.items() if tools}  # what is vendored, and runs on this machine
    assert looking == {"secrets-detection", "code-quality", "policy-as-code"}
    done = {f"{one.stage}.{one.action}" for one in plan.actions if one.status == "blocks"}
    assert done >= {"build.secrets-detection", "build.code-quality", "build.policy-as-code", "beta.deploy-software"}


def test_a_job_without_an_action_is_not_there() -> None:
    plan = planned(NONE)
    assert not {"scan", "beta-tests", "gamma-tests", "prod-tests-1"} & plan.jobs.keys()
    assert set(plan.jobs["build"].steps) == {"package-and-store-artifacts"}
    assert plan.jobs["artifacts"].needs == ("build", "security")
    assert plan.jobs["prod-bake-1"].needs == ("prod-1",)


ASKED = {
    "a test of what is deployed": ("integration-tests: {command: ./test}", "beta-tests", "beta.integration-tests"),
    "a canary": ("synthetic-tests: {canary: way}", "gamma-monitor", "gamma.synthetic-tests"),
    "unit tests": ("unit-tests: {command: ./test}", "build", "build.unit-tests"),
    "a check that serves all": ("sca: {tool: trivy}", "security", "build.sca"),
    "a check of the release": ("sbom: {tool: syft}", "scan", "build.sbom"),
}


@pytest.mark.parametrize("case", ASKED)
@pytest.mark.parametrize("profile", ["standard", "small"])
def test_what_the_spec_names_is_done_all_the_same(dpra: Any, tmp_path: Path, case: str, profile: str) -> None:
    said, job, name = ASKED[case]
    text = f"{NONE if profile == 'standard' else SMALL}actions: {{{said}}}\n"
    if (name.partition(".")[0], profile) == ("gamma", "small"):
        job, name = "prod-bake", "prod.synthetic-tests"
    plan = planned(text)
    [one] = [one for one in plan.actions if f"{one.stage}.{one.action}" == name]
    assert (one.status, one.job) == ("blocks", job)
    assert ("scan" in plan.jobs) is (job == "scan")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "dpra.yml").write_text(text)
    assert dpra("generate", cwd=tmp_path).returncode == 0
    subprocess.run(["actionlint"], cwd=tmp_path, check=True)
    workflow = (tmp_path / ".github/workflows/pipeline.yml").read_text()
    assert [action for action in ("sca", "sbom", "integration-tests", "acceptance-tests", "unit-tests")
            if f"- id: {action}\n" in workflow] == [one.action] * (one.action != "synthetic-tests")  # fmt: skip


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("actions:\n  sast: {tool: bandit}\n", "13:10: actions.sast.tool: no tool 'bandit' for none; there is none"),
        ("actions:\n  sca: {fail-on: low}\n", "13:3: actions.sca: there is no program; on demand: say `actions.sca.to"),
        ("actions:\n  unit-tests: {coverage: 80}\n", "13:3: actions.unit-tests: there is no program; on demand: say"),
        ("setup: {package-manager: pip}\n", "12:9: setup.package-manager: no 'pip' for none; there is none"),
    ],
)
def test_what_would_be_ignored_is_refused_with_its_place(dpra: Any, tmp_path: Path, said: str, problem: str) -> None:
    (tmp_path / "dpra.yml").write_text(NONE + said)
    done = dpra("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"dpra.yml:{problem}")


def test_what_is_deployed_without_a_template_must_be_packed() -> None:
    text = NONE.replace("deploy: {stack: network-base}", "deploy: {with: s3, s3: {bucket: site-x}}")
    text = text.replace('{account: "222222222222"}', '{account: "222222222222", alarms: [a]}')
    text = text.replace('{account: "033333333333"}', '{account: "033333333333", alarms: [a]}')
    with pytest.raises(problems.PlanError) as refused:
        planned(text)
    assert refused.value.problems == {"actions.package-and-store-artifacts": "needs a command"}
    planned(text + "actions: {package-and-store-artifacts: {command: 'cp -R site/. \"$PACKAGE_DIR\"'}}\n")


def test_evidence_expects_nothing_of_it_and_does_not_believe_it_of_anything_else(tmp_path: Path) -> None:
    promised = evidence.expected(planned(NONE))["pipeline"]
    ran = [{"region": "", **one, "gate": "blocks", "result": "pass"} for one in promised if one["status"] == "blocks"]

    def read(promised: list[dict[str, Any]], ran: list[dict[str, Any]]) -> dict[str, Any]:
        path = tmp_path / "evidence.json"
        path.write_text(json.dumps({"pipeline": "application", "expected": promised, "actions": ran}))
        return evidence.read(path)

    document = read(promised, ran)
    figures, required = document["figures"], [one for one in ran if one["level"] == "required"]
    assert evidence.lacking(document, "required") == []
    assert figures["required"] == figures["required-passed"] == len(required)
    assert (figures["security-controls"], figures["security-control-automation"]) == (2, 100.0)
    assert figures["exceptions"] == []
    absent = {one["action"] for one in document["actions"] if one["result"] == "not applicable"}
    assert absent >= {"sast", "sca", "unit-tests", "integration-tests"}
    forged = [one | {"status": "not-applicable"} if one["action"] == "secrets-detection" else one for one in promised]
    document = read(forged, [one for one in ran if one["action"] != "secrets-detection"])
    assert evidence.lacking(document, "required") == ["secrets-detection (-): not run"]


def test_scenarios_that_need_tests_are_not_applicable() -> None:
    plan, with_tests = planned(NONE), planned(NONE.replace("none", "python"))
    lacks = {row["id"]: scenarios.lacks(row, plan) for row in scenarios.table("application")}
    found = {name: why for name, why in lacks.items() if "-tests in " in why}
    assert found == {
        "a-failing-test-in-beta": "needs integration-tests in beta",
        "a-failing-test-in-gamma": "needs synthetic-tests in gamma",
    }
    assert not any("-tests in " in scenarios.lacks(row, with_tests) for row in scenarios.table("application"))


@pytest.mark.slow
def test_infrastructure_only_goes_to_production_and_an_open_bucket_does_not(dpra: Any, tmp_path: Path) -> None:
    root, result, proof = tmp_path / "network", tmp_path / "result.json", tmp_path / "evidence.json"
    (root / "infrastructure").mkdir(parents=True)
    (root / "dpra.yml").write_text(NONE)
    template = root / "infrastructure/template.yml"
    template.write_text(TEMPLATE)
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=root, check=True)
    assert dpra("generate", cwd=root).returncode == 0
    rehearse = ("rehearse", "--offline", "--json", result)
    done = dpra(*rehearse, "--evidence", proof, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(result.read_text())
    assert [(one["environment"], one["region"]) for one in told["deployments"]] == [
        ("beta", "eu-west-1"),
        *((name, region) for name in ("gamma", "prod") for region in ("eu-west-1", "us-east-1")),
    ]
    [build] = [job for job in told["jobs"] if job["job"] == "build"]
    assert [step["id"] for step in build["steps"] if not step["id"].isdecimal()] == ["package-and-store-artifacts"]
    done = dpra("evidence", proof, "--require", "required", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not applicable" in done.stdout
    document = (SPECS.parents[1] / "docs/languages.md").read_text("utf-8").partition("## No program")[2]
    asked = document.partition("language: none\n")[2].partition("```")[0]
    (root / "dpra.yml").write_text(NONE + asked)  # what is named is done all the same
    (root / "requirements.txt").write_text("attrs==25.1.0\n")
    assert dpra("generate", cwd=root).returncode == 0
    done = dpra(*rehearse, "--only", "beta-tests", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {one["action"]: one for one in json.loads(result.read_text())["evidence"]}
    assert found["integration-tests"]["findings"]["passed"] == 1
    assert found["sca"]["tool"] == "trivy"
    assert "acceptance-tests" not in found
    template.write_text(TEMPLATE.replace("Outputs:\n", f"{OPEN}Outputs:\n"))
    done = dpra(*rehearse, cwd=root)
    assert done.returncode == 1
    told = json.loads(result.read_text())
    assert (told["stopped_at"], told["deployments"]) == ("security / policy-as-code", [])
