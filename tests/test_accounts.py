"""What the accounts' templates say: the permissions boundary, what a store lets expire, who may retire a release."""

from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems, render
from dpra.rehearsal import permissions
from dpra.spec import reader
from moto.cloudformation.models import Stack

SPECS = Path(__file__).parent / "specs"
BOUNDARY = "arn:aws:iam::333333333333:policy/platform/Boundary"


def resources(spec: str, template: str) -> dict[str, Any]:
    plan = problems.planned(reader.read((SPECS / spec).read_bytes(), catalogue.words()))
    found: dict[str, Any] = Stack.parse_template(render.infrastructure(plan)[f"infrastructure/dpra/{template}.yml"])
    return {name: one["Properties"] for name, one in found["Resources"].items()}


def roles(spec: str, template: str) -> dict[str, Any]:
    return {name: one for name, one in resources(spec, template).items() if "RoleName" in one}


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    return [statement for policy in role["Policies"] for statement in policy["PolicyDocument"]["Statement"]]


# ---- Permissions boundary


def test_every_role_of_the_account_has_the_boundary_and_the_tags_that_say_whose_it_is() -> None:
    found = roles("full.yml", "prod")
    assert set(found) == {"ProdApproveRole", "ProdRole", "ProdTestsRole", "ProdBakeRole", "ExecutionRole"}
    for role in found.values():
        assert role["PermissionsBoundary"] == BOUNDARY
        assert role["MaxSessionDuration"] == 3600
        assert {tag["Key"]: tag["Value"] for tag in role["Tags"]} == {
            "dpra:component": "order-api",
            "dpra:environment": "prod",
        }


def test_dpras_own_boundary_is_on_what_deploys_and_on_tests_and_on_no_other_role_of_a_job() -> None:
    """Which has its few rights written out, and these are of the pipeline; tests may be given a policy."""
    found = roles("full.yml", "beta")
    bounded = {name: role["PermissionsBoundary"] for name, role in found.items() if "PermissionsBoundary" in role}
    assert bounded == {name: {"Ref": "Boundary"} for name in ("BetaTestsRole", "ExecutionRole")}
    assert resources("full.yml", "beta")["Boundary"]["ManagedPolicyName"] == "dpra-order-api-boundary"
    assert "Boundary" not in resources("full.yml", "prod")
    assert "Boundary" not in resources("ecs.yml", "prod")  # its deployments make no roles


@pytest.mark.parametrize("action", ["CreateRole", "PutRolePolicy", "AttachRolePolicy", "PutRolePermissionsBoundary"])
def test_the_execution_role_gives_rights_only_to_roles_within_the_boundary(action: str) -> None:
    execution = roles("full.yml", "prod")["ExecutionRole"]
    granting = [one for one in statements(execution) if f"iam:{action}" in one.get("Action", ())]
    assert [one["Condition"] for one in granting] == [{"StringEquals": {"iam:PermissionsBoundary": BOUNDARY}}]
    assert not any("iam:DeleteRolePermissionsBoundary" in one.get("Action", ()) for one in statements(execution))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ('"333333333333", p', '"333333333334", p'),
            "environments.prod.permissions-boundary: a policy of another account",
        ),
        (
            ("stack: OrderApi", "stack: dpra-order-api-prod"),
            "deploy.stack: dpra- is how dpra's own stacks, roles and buckets begin",
        ),
        (("stack: OrderApi", "stack: dpra"), "deploy.stack: dpra- is how dpra's own stacks, roles and buckets begin"),
        (("policy/platform", "role/platform"), "must be the ARN of an IAM policy"),
    ],
)
def test_what_would_bound_nothing_or_reach_the_pipelines_own_roles_is_refused(dpra, tmp_path, change, problem) -> None:
    """The execution role changes what begins with the stack's name, the deploying roles the stack itself."""
    (tmp_path / "dpra.yml").write_text((SPECS / "full.yml").read_text().replace(*change))
    done = dpra("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert problem in done.stderr


# ---- Stores


def rules(spec: str, template: str) -> list[dict[str, Any]]:
    return list(resources(spec, template)["Store"]["LifecycleConfiguration"]["Rules"])


def test_a_store_of_an_environment_lets_expire_only_what_the_pipeline_retired() -> None:
    """So that the last good release, and one that waits for its approval, stay for whatever time."""
    expiring = [rule for rule in rules("minimal.yml", "store") if "ExpirationInDays" in rule]
    assert [(rule["TagFilters"], rule["ExpirationInDays"]) for rule in expiring] == [
        ([{"Key": "dpra-retired", "Value": "true"}], 30)
    ]


def test_the_store_of_the_tools_keeps_a_release_far_longer_than_an_approval_waits() -> None:
    expiring = [rule for rule in rules("minimal.yml", "artifacts") if "ExpirationInDays" in rule]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in expiring] == [("shop/", 180)]


@pytest.mark.parametrize("template", ["store", "artifacts"])
def test_leftovers_go(template: str) -> None:
    [rule] = [rule for rule in rules("minimal.yml", template) if rule["Id"] == "Leftovers"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}


def may(role: dict[str, Any], action: str, target: str) -> bool:
    """Whether the role's policies allow an action, in production's account."""

    def text(value: Any) -> Any:
        if isinstance(value, list):
            return [text(one) for one in value]
        if isinstance(value, dict) and "Fn::Sub" in value:
            return value["Fn::Sub"].replace("${AWS::Partition}", "aws").replace("${AWS::AccountId}", "033333333333")
        return value

    of = ("Resource", "NotResource")
    said = [{**one, **{key: text(one[key]) for key in of if key in one}} for one in statements(role)]
    return permissions.allows([{"Statement": said}], action, target, {})


def test_only_the_deploying_role_of_production_retires_a_release_and_never_the_record() -> None:
    store = "arn:aws:s3:::dpra-shop-033333333333-eu-west-1"
    release, record = f"{store}/shop/{'a' * 64}/package.zip", f"{store}/shop/record.json"
    retiring = {
        name: (may(role, "s3:PutObjectTagging", release), may(role, "s3:PutObjectTagging", record))
        for template in ("build", "beta", "gamma", "prod")
        for name, role in roles("minimal.yml", template).items()
    }
    assert {name for name, answers in retiring.items() if any(answers)} == {"ProdRole"}
    assert retiring["ProdRole"] == (True, False)
    assert not any(may(role, "s3:DeleteObject", release) for role in roles("minimal.yml", "prod").values())
