"""Faults: what can be asked for, and that what was asked for happens, or is told not to have."""

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError
from dpra import catalogue, problems, render
from dpra.rehearsal import FaultError, faults
from dpra.spec import reader
from ruamel.yaml import YAML

SPEC = """\
name: shop
repository: acme/shop
regions: [eu-west-1, us-east-1]
environments:
  build: {account: "444444444444"}
  beta: {account: "111111111111"}
  gamma: {account: "222222222222"}
  prod: {account: "033333333333", waves: [[eu-west-1], [us-east-1]]}
actions: {dast: {file: openapi.yml}}
"""


def parse(kind: str, said: str, more: str = "") -> faults.Fault:
    plan = problems.planned(reader.read((SPEC + more).encode(), catalogue.words()))
    text = render.files(plan)[".github/workflows/pipeline.yml"].content
    return faults.parse(kind, said, plan, "pipeline", YAML(typ="safe").load(text))


@pytest.mark.parametrize(
    ("kind", "said", "job", "region"),
    [
        ("fail", "gamma.synthetic-tests", "gamma-tests", ""),
        ("fail", "gamma-tests.synthetic-tests", "gamma-tests", ""),
        ("fail", "gamma.synthetic-tests/us-east-1", "gamma-tests", "us-east-1"),
        ("fail", "gamma.deploy-software", "gamma", ""),
        ("fail", "prod.2.synthetic-tests/us-east-1", "prod-tests-2", "us-east-1"),
        ("fail", "prod.2/us-east-1", "prod-2", "us-east-1"),
        ("fail", "rollback/us-east-1", "rollback", "us-east-1"),
        ("crash", "prod/us-east-1", "prod-2", "us-east-1"),
        ("crash", "prod-bake.1/eu-west-1", "prod-bake-1", "eu-west-1"),
        ("lose", "prod.1", "prod-1", ""),
        ("lose", "prod.1=3", "prod-1", ""),
        ("throttle", "prod.2/us-east-1:organizations:CreateAccount=3", "prod-2", "us-east-1"),
        ("tamper", "artifact", "beta", ""),
        ("tamper", "prod/eu-west-1", "prod-1", "eu-west-1"),
        ("alarm", "prod/us-east-1:Errors5xx@bake", "prod-bake-2", "us-east-1"),
        ("alarm", "prod/us-east-1:Errors5xx@deploy", "prod-2", "us-east-1"),
        ("alarm", "prod.1:shop-errors=RANG@bake", "prod-bake-1", ""),
        ("alarm", "gamma/us-east-1:x@bake", "gamma-monitor", "us-east-1"),
    ],
)
def test_a_place_is_a_job_a_step_a_wave_or_a_region(kind: str, said: str, job: str, region: str) -> None:
    fault = parse(kind, said)
    assert (fault.job, fault.region, str(fault)) == (job, region, f"{kind} {said}")


def test_an_approval_is_missing_only_where_a_branch_approves() -> None:
    with pytest.raises(FaultError, match="the environment's reviewers approve here"):
        parse("unapproved", "", "github: {plan: enterprise}\n")
    assert str(parse("unapproved", "")) == "unapproved"


@pytest.mark.parametrize(
    ("kind", "said", "says"),
    [
        (
            "fail",
            "delta.tests",
            "no such place; there is build, security, scan, artifacts, beta/eu-west-1, beta-tests/eu-west-1, gamma/eu-",
        ),
        (
            "fail",
            "gamma.unit-tests",
            "gamma has no step unit-tests; it has deploy-software",
        ),
        ("fail", "prod.3/us-east-1", "no such place"),
        ("crash", "prod.1/us-east-1", "no such place"),
        ("fail", "../x", "is no JOB, JOB.STEP"),
        ("crash", "prod.1=x", "is no PLACE=NUMBER"),
        ("crash", "prod.1=0", "is no PLACE=NUMBER"),
        ("throttle", "prod.1:organizations:CreateAccount", "is no PLACE:SERVICE:OPERATION=TIMES"),
        ("throttle", "prod.3:organizations:CreateAccount=1", "no such place"),
        ("alarm", "prod/us-east-1:x", "a moment is before, deploy, bake"),
        ("alarm", "prod/us-east-1:x@night", "a moment is before, deploy, bake"),
        ("alarm", "prod/us-east-1:x=LOUD@bake", "no state LOUD; there is ALARM, OK"),
    ],
)
def test_a_fault_that_names_what_is_not_there_says_what_is(kind: str, said: str, says: str) -> None:
    with pytest.raises(FaultError, match=says.replace("|", r"\|").replace(".", r"\.")):
        parse(kind, said)


def test_a_command_really_fails_and_any_other_step_is_preceded_by_one_that_does() -> None:
    jobs = {"gamma": {"steps": [{"id": "synthetic-tests", "with": {"command": "pytest"}}, {"id": "dast"}]}}
    wanted = [faults.Fault("fail", "a", job="gamma", step="synthetic-tests", region="us-east-1")]
    wanted.append(faults.Fault("fail", "b", job="gamma", step="dast"))
    faults.edit(jobs, wanted, "2026-11-24")
    command, failing, dast = jobs["gamma"]["steps"]
    assert command["with"]["command"].endswith("exit 1")
    assert "= 'us-east-1' ] || exit 0" in command["with"]["command"]
    assert failing["run"].endswith("exit 1")
    assert dast == {"id": "dast"}


def test_a_step_that_is_to_fail_fails(rehearse) -> None:
    result = rehearse(asked=[("fail", "beta.deploy-software/us-east-1")])
    assert not result.ok
    assert result.stopped_at.startswith("beta (")
    assert [run.release for run in result.runs] == ["new"]  # nothing in production to go back to


def test_a_role_that_is_to_be_refused_is_refused_by_the_emitted_trust(rehearse) -> None:
    result = rehearse(asked=[("deny", "beta")])
    assert not result.ok
    assert any("sub is repo:acme/demo:environment:beta, not" in line for line in result.annotations)
    with pytest.raises(FaultError, match="no such role; there is beta, prod-1"):
        rehearse(asked=[("deny", "delta")])


def test_a_fault_that_did_not_happen_is_no_proof(rehearse) -> None:
    with pytest.raises(FaultError, match=r"did not happen: crash beta/us-east-1"):
        rehearse(asked=[("fail", "build.unit-tests"), ("crash", "beta/us-east-1")])


def test_aws_says_so_many_times_that_it_is_asked_too_often(client, cloud, plan) -> None:
    org = client("organizations", "us-east-1")
    org.create_organization()
    key = org._request_signer._credentials.access_key
    cloud.callers[key] = {"run_id": "1", "job": "prod"}
    once = faults.Fault("throttle", "x", job="prod", state="organizations", name="CreatePolicy", times=2)
    cloud.faults["1"] = pending = faults.Pending([once], lambda _: None, plan)
    org.list_accounts()
    assert (once, pending.happened) == (pending.faults[0], [])
    created = org.create_policy(Name="x", Type="TAG_POLICY", Description="", Content="{}")  # botocore tries again
    assert created["ResponseMetadata"]["RetryAttempts"] == 2
    assert [str(fault) for _, fault in pending.happened] == ["throttle x"]
    pending.faults.append(faults.Fault("throttle", "y", job="prod", state="organizations", name="ListRoots", times=99))
    with pytest.raises(ClientError, match=r"\(TooManyRequestsException\)"):
        org.list_roots()
    assert len(pending.happened) == 1
    other = faults.Fault("throttle", "z", job="prod", state="cloudformation", name="ListStackSets", times=99)
    pending.faults[:] = [other]
    stacks = client("cloudformation")
    cloud.callers[stacks._request_signer._credentials.access_key] = cloud.callers[key]
    with pytest.raises(ClientError, match=r"\(Throttling\)"):
        stacks.list_stack_sets()


def test_a_runner_dies_at_its_third_change(client, cloud, plan) -> None:
    tool = replace(plan.deployer, changes=("organizations:CreatePolicy", "organizations:AttachPolicy"))
    org, dead = client("organizations", "us-east-1"), []
    org.create_organization()
    cloud.callers[org._request_signer._credentials.access_key] = {"run_id": "1", "job": "prod"}
    fault = faults.Fault("lose", "prod=3", job="prod", times=3)
    cloud.faults["1"] = pending = faults.Pending([fault], dead.append, replace(plan, deployer=tool))
    for number in range(3):
        assert not dead
        org.list_roots()
        org.create_policy(Name=f"x{number}", Type="TAG_POLICY", Description="", Content="{}")
    assert [str(one) for one in dead] == ["lose prod=3"]
    assert not pending.faults
    assert len(org.list_policies(Filter="TAG_POLICY")["Policies"]) == 3
