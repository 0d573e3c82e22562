"""Gates by a flag: where a dpra.yml may say them, and what the plan, the workflows and the roles have of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems, render
from dpra.plan import Plan
from dpra.rehearsal import faults
from dpra.spec import reader
from ruamel.yaml import YAML

MINIMAL = (Path(__file__).parent / "specs/minimal.yml").read_text("utf-8")
WAVES = MINIMAL.replace('"033333333333"', '"033333333333", waves: [[eu-west-1], [us-east-1]]')
OFF, ON = "{flag: checkout, of: switches, is: off}", "{flag: search-2, of: shop-flags, is: on, profile: own}"
DATABASE = "deploy: {database: {with: command, preview: a, command: b, secret: c, reversible: true}}\n"
RIGHTS = {"appconfig:GetLatestConfiguration", "appconfig:StartConfigurationSession"}


def gated(more: str = "", **gates: str) -> str:
    said = ", ".join(f"{action.replace('_', '-')}: {{gates: [{those}]}}" for action, those in gates.items())
    return f"{WAVES}{more}actions: {{{said}}}\n"


def planned(text: str) -> Plan:
    return problems.planned(reader.read(text.encode(), catalogue.words()))


def made(plan: Plan, path: str) -> Any:
    return YAML(typ="safe", pure=True).load(render.files(plan)[path].content)


# ---- What may be said


def test_off_without_quotes_is_the_word() -> None:
    """In YAML 1.1 it was false."""
    [gate] = planned(gated(deploy_software=OFF)).action("deploy-software").gates
    assert (gate.flag, gate.of, gate.is_, gate.profile) == ("checkout", "switches", "off", "flags")


@pytest.mark.parametrize("action", ["unit-tests", "sast", "integration-tests", "manual-approval", "synthetic-tests"])
def test_an_action_that_is_done_without_a_role_or_by_code_of_the_repository_takes_none(action: str) -> None:
    with pytest.raises(reader.Problems) as caught:
        planned(gated(**{action: OFF}))
    assert re.fullmatch(rf"dpra.yml:9:11: actions.{action}.gates: this action takes .*", str(caught.value))


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        (
            "{flag: checkout, of: switches}",
            "9:37: actions.deploy-software.gates[0]: 'is' is missing; for example is: off",
        ),
        (
            "{flag: checkout, is: on}",
            "9:37: actions.deploy-software.gates[0]: 'of' is missing; for example of: switches",
        ),
        ("{of: switches, is: on}", "9:37: actions.deploy-software.gates[0]: 'flag' is missing"),
        (
            "{flag: Checkout, of: a, is: on}",
            "9:44: actions.deploy-software.gates[0].flag: must be a flag's key: letters",
        ),
        ("{flag: a, of: '*', is: on}", "9:51: actions.deploy-software.gates[0].of: must be letters, digits and"),
        ("{flag: a, of: b, is: maybe}", "9:58: actions.deploy-software.gates[0].is: unknown value 'maybe'"),
        ("{flag: a, of: b, is: false}", "9:58: actions.deploy-software.gates[0].is: unknown value 'false'"),
        ("{flag: a, of: b, is: on, region: c}", "9:62: actions.deploy-software.gates[0].region: unknown key"),
        (f"{OFF}, {OFF}", "9:78: actions.deploy-software.gates[1]: \"Gate(flag='checkout'"),
    ],
)
def test_what_is_wrong_with_a_gate_is_told_with_its_position(gate: str, says: str) -> None:
    with pytest.raises(reader.Problems) as caught:
        planned(gated(deploy_software=gate))
    assert f"dpra.yml:{says}" in str(caught.value)


def test_a_gate_of_an_action_that_is_left_out_is_refused_with_its_position(dpra: Any, repository: Path) -> None:
    (repository / "dpra.yml").write_text(gated(database_deploy=OFF))
    done = dpra("generate", cwd=repository)
    says = "actions.database-deploy.gates: database-deploy is left out, on demand: say `deploy.database`"
    assert (done.returncode, done.stderr) == (2, f"dpra.yml:9:29: {says}\n")
    assert planned(gated(DATABASE, database_deploy=OFF)).runs("database-deploy")


def test_without_the_stage_there_is_no_gate() -> None:
    small = re.sub(r"  gamma: .*\n", "", gated(monitoring_and_logging=OFF)) + "profile: small\n"
    with pytest.raises(problems.PlanError, match=r"actions\.monitoring-and-logging: profile small has"):
        planned(small)


# ---- What becomes of it

EVERY = {
    "deploy_software": OFF,
    "database_deploy": '{flag: schema, of: "switches-{account}", is: on, environment: "{environment}-{region}"}',
    "progressive_deployment": f"{OFF}, {ON}",
    "monitoring_and_logging": ON,
}


def test_the_plan_and_its_documents_say_it_in_the_actions_reason(dpra: Any, repository: Path) -> None:
    (repository / "dpra.yml").write_text(gated(DATABASE, **EVERY))
    assert dpra("generate", cwd=repository).returncode == 0
    said = json.loads(dpra("plan", "--format", "json", cwd=repository).stdout)["actions"]
    reasons = {(one["stage"], one["action"]): one["reason"].partition("; only while ")[2] for one in said}
    assert {place: reason for place, reason in reasons.items() if reason} == {
        ("beta", "deploy-software"): "checkout of switches is off in beta",
        ("gamma", "deploy-software"): "checkout of switches is off in gamma",
        ("beta", "database-deploy"): "schema of switches-111111111111 is on in beta-{region}",
        ("gamma", "database-deploy"): "schema of switches-222222222222 is on in gamma-{region}",
        ("prod", "database-deploy"): "schema of switches-033333333333 is on in prod-{region}",
        ("gamma", "monitoring-and-logging"): "search-2 of shop-flags is on in gamma",
        (
            "prod",
            "progressive-deployment",
        ): "checkout of switches is off in prod and search-2 of shop-flags is on in prod",
    }
    assert "; only while checkout of switches is off in gamma |" in (repository / "docs/pipeline.md").read_text()


@pytest.mark.parametrize("workflow", ["pipeline", "hotfix"])
def test_the_gate_stands_right_before_the_action_where_it_begins(workflow: str) -> None:
    """Also in a hotfix, and in every wave; not in a bake, and never in a rollback."""
    jobs = made(planned(gated(DATABASE, **EVERY)), f".github/workflows/{workflow}.yml")["jobs"]
    found: dict[str, list[str]] = {}
    for name, job in jobs.items():
        ids = [step["with"]["flag"] if "/flag" in step.get("uses", "") else step.get("id") for step in job["steps"]]
        if gates := {"checkout", "search-2", "schema"} & {*ids}:
            found[name] = [one for one in ids if one in gates or "deploy" in str(one) or "monitor" in str(one)]
    prod = ["schema", "database-deploy", "checkout", "search-2", "progressive-deployment"]
    stage = ["schema", "database-deploy", "checkout", "deploy-software"]
    wanted = {"beta": stage, "gamma": stage, "gamma-monitor": ["search-2", "monitoring-and-logging"]}
    assert found == (wanted if workflow == "pipeline" else {}) | {"prod-1": prod, "prod-2": prod}


def test_the_gate_reads_in_the_jobs_own_account_and_region_with_its_role() -> None:
    jobs = made(planned(gated(DATABASE, **EVERY)), ".github/workflows/pipeline.yml")["jobs"]
    schema, checkout = (
        step["with"] for step in jobs["beta"]["steps"] if step.get("uses") == "./.github/actions/dpra/flag"
    )
    here = {"account": "${{ env.DPRA_ACCOUNT }}", "region": "${{ matrix.region }}", "role": "${{ env.DPRA_ROLE }}"}
    assert checkout == {
        "flag": "checkout", "is": "off", "application": "switches", "environment": "beta", "profile": "flags", **here
    }  # fmt: skip
    assert (schema["application"], schema["environment"]) == ("switches-111111111111", "beta-${{ matrix.region }}")


def test_only_the_role_that_reads_a_flag_may_read_and_nothing_more() -> None:
    plan = planned(gated(monitoring_and_logging=OFF, progressive_deployment=OFF))
    found = {}
    for stage in plan.environments:
        for resource in made_roles(plan, stage):
            for policy in resource.get("Policies", ()):
                for statement in policy["PolicyDocument"]["Statement"]:
                    if RIGHTS & {*statement.get("Action", ())}:
                        assert ({*statement["Action"]}, statement["Effect"]) == (RIGHTS, "Allow")
                        found[resource["RoleName"]] = statement["Resource"]
    ends = ":${AWS::AccountId}:application/*/environment/*/configuration/*"
    arns = {region: f"arn:${{AWS::Partition}}:appconfig:{region}{ends}" for region in ("eu-west-1", "us-east-1")}
    assert found == {"dpra-shop-gamma-monitor": arns["eu-west-1"], "dpra-shop-prod": [*arns.values()]}


def made_roles(plan: Plan, stage: str) -> list[Any]:
    text = render.files(plan)[f"infrastructure/dpra/{stage}.yml"].content.decode()
    resources = YAML(typ="safe", pure=True).load(re.sub(r"!\w+ ", "", text))["Resources"]
    return [one["Properties"] for one in resources.values() if one["Type"] == "AWS::IAM::Role"]


def test_without_a_gate_nothing_of_it_is_there() -> None:
    files = render.files(planned(WAVES))
    assert not [path for path in files if "/flag/" in path]
    assert not [path for path, file in files.items() if "/dpra/" in path and b"appconfig:" in file.content]
    assert ".github/actions/dpra/flag/flag.py" in render.files(planned(gated(progressive_deployment=OFF)))


# ---- Executed


def test_a_gate_is_closed_in_a_job_that_has_one() -> None:
    plan = planned(gated(monitoring_and_logging=OFF, progressive_deployment=OFF))
    loaded = made(plan, ".github/workflows/pipeline.yml")
    fault = faults.parse("closed", "prod.2/us-east-1", plan, "pipeline", loaded)
    assert (fault.job, fault.region) == ("prod-2", "us-east-1")
    for job in ("gamma", "prod-bake.1"):
        with pytest.raises(
            faults.FaultError, match=f"--closed {job}: no gate by a flag stands in {job.replace('.', '-')}"
        ):
            faults.parse("closed", job, plan, "pipeline", loaded)


def rehearsed(dpra: Any, root: Path, *options: str) -> tuple[int, Any, str]:
    report = root.parent / "result.json"
    done = dpra("rehearse", "--offline", "--json", report, *options, cwd=root)
    return done.returncode, json.loads(report.read_text()), done.stdout + done.stderr


@pytest.mark.slow
def test_a_closed_gate_stops_before_the_deployment_and_an_open_one_lets_it_go_on(
    dpra: Any, copy: Path, unscanned: Any
) -> None:
    text = (copy / "dpra.yml").read_text()
    assert text.count("\nactions:\n") == 1
    gates = "  deploy-software: {gates: [{flag: checkout, of: switches, is: off}]}\n"
    (copy / "dpra.yml").write_text(text.replace("\nactions:\n", f"\nactions:\n{gates}"))
    assert dpra("generate", cwd=copy).returncode == 0
    unscanned(copy)

    code, result, said = rehearsed(dpra, copy, "--only", "beta")
    assert code == 0, said
    assert [one["environment"] for one in result["deployments"]] == ["beta"]
    read = [(one["action"], one["job"], one["result"]) for one in result["evidence"] if one["job"] == "beta"]
    assert read == [("flag-gate", "beta", "pass"), ("deploy-software", "beta", "pass")]
    assert "checkout of switches" in said

    code, result, said = rehearsed(dpra, copy, "--only", "beta", "--closed", "beta")
    assert (code, result["deployments"]) == (1, [])
    assert "the flag checkout is on in beta, eu-west-1, and must be off" in said
    read = [(one["action"], one["job"], one["result"]) for one in result["evidence"] if one["job"] == "beta"]
    assert read == [("flag-gate", "beta", "fail")]
