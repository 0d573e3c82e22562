"""Service Catalog in the rehearsal's AWS: the versions of products, asked for by boto3 and the real AWS CLI."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from dpra import catalogue, problems
from dpra.rehearsal import deployers
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.mends import service_catalog
from dpra.rehearsal.mends.protocol import beyond, service
from dpra.spec import reader

ROOT = Path(__file__).parents[2]
ACCOUNT, REGION, BUCKET = "111111111111", "eu-west-1", "templates"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/publisher"
TEMPLATE = "Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n    Properties: {TopicName: !Sub '${AWS::StackName}-x'}\n"
ADDRESS = f"https://{BUCKET}.s3.{REGION}.amazonaws.com/"

Made = Callable[..., Any]


def fits(http_response: Any, parsed: dict[str, Any], model: Any, **_: Any) -> None:
    """What an operation answers is what its model says."""
    if "Error" in parsed or model.output_shape is None:
        return
    said = {key: value for key, value in parsed.items() if key != "ResponseMetadata"}
    wrong = ParamValidator().validate(said, model.output_shape).generate_report().splitlines()
    readable = {key: value for key, value in said.items() if key != "Tags"}
    assert not [*wrong, *beyond(readable, model.output_shape, "")]
    assert http_response.status_code == 200


def refusal(code: str, match: str = "") -> Any:
    return pytest.raises(ClientError, match=f"\\({code}\\).*{match}")


@pytest.fixture
def api(client: Made) -> Any:
    """Service Catalog, and a bucket with a template."""
    s3 = client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=BUCKET, Key="one.yml", Body=TEMPLATE.encode())
    s3.put_object(Bucket=BUCKET, Key="broken.yml", Body=b"Resources: {}")
    made = client("servicecatalog")
    made.meta.events.register("after-call.*.*", fits)
    return made


def product(api: Any, name: str = "shop", **more: Any) -> str:
    said = {"Name": name, "Owner": "us", "ProductType": "CLOUD_FORMATION_TEMPLATE", **more}
    return str(api.create_product(**said)["ProductViewDetail"]["ProductViewSummary"]["ProductId"])


def version(api: Any, of: str, name: str = "1.0", key: str = "one.yml", **more: Any) -> Any:
    said = {"Name": name, "Info": {"LoadTemplateFromURL": f"{ADDRESS}{key}"}, **more.pop("said", {})}
    return api.create_provisioning_artifact(ProductId=of, Parameters=said, **more)


def test_the_products_that_a_spec_names_are_there_without_versions_in_a_portfolio(client: Made) -> None:
    plan = problems.planned(reader.read((ROOT / "tests/specs/image-full.yml").read_bytes(), catalogue.words()))
    deployers.call("provide", plan, None)
    [(region, number)] = plan.spec.image.products.items()
    assert region == REGION
    api = client("servicecatalog", account="333333333333")
    [portfolio] = api.list_portfolios_for_product(ProductId=number)["PortfolioDetails"]
    assert portfolio["DisplayName"] == plan.spec.name
    assert api.describe_product_as_admin(Id=number)["ProvisioningArtifactSummaries"] == []
    assert any(number in line for line in deployers.call("simulated", plan, ()))


def test_a_version_is_made_found_and_hidden_from_users_while_it_is_not_active(api: Any) -> None:
    shop = product(api)
    made = version(api, shop, said={"Description": "first"})
    assert shop.startswith("prod-")
    assert made["Status"] == "CREATING"
    assert made["Info"] == {"TemplateUrl": f"{ADDRESS}one.yml"}
    detail = made["ProvisioningArtifactDetail"]
    assert detail["Id"].startswith("pa-")
    assert (detail["Active"], detail["Guidance"]) == (True, "DEFAULT")
    at = {"ProductId": shop, "ProvisioningArtifactId": detail["Id"]}
    assert api.describe_provisioning_artifact(**at)["Status"] == "AVAILABLE"
    by_name = api.describe_provisioning_artifact(ProductName="shop", ProvisioningArtifactName="1.0")
    assert by_name["ProvisioningArtifactDetail"] == detail
    assert api.list_provisioning_artifacts(ProductId=shop)["ProvisioningArtifactDetails"] == [detail]
    assert [one["Id"] for one in api.describe_product(Id=shop)["ProvisioningArtifacts"]] == [detail["Id"]]
    changed = api.update_provisioning_artifact(**at, Active=False, Guidance="DEPRECATED")["ProvisioningArtifactDetail"]
    assert changed == {**detail, "Active": False, "Guidance": "DEPRECATED"}
    assert api.describe_product(Name="shop")["ProvisioningArtifacts"] == []
    assert [one["Name"] for one in api.describe_product_as_admin(Id=shop)["ProvisioningArtifactSummaries"]] == ["1.0"]


def test_a_product_is_made_with_its_first_version_and_tags_and_offered_by_a_portfolio(api: Any) -> None:
    first = {"Name": "0", "Info": {"LoadTemplateFromURL": f"https://s3.{REGION}.amazonaws.com/{BUCKET}/one.yml"}}
    shop = product(api, ProvisioningArtifactParameters=first, Tags=[{"Key": "of", "Value": "us"}])
    assert [one["Name"] for one in api.describe_product(Id=shop)["ProvisioningArtifacts"]] == ["0"]
    assert api.describe_product_as_admin(Name="shop")["Tags"] == [{"Key": "of", "Value": "us"}]
    portfolio = api.create_portfolio(DisplayName="all", ProviderName="us")["PortfolioDetail"]["Id"]
    api.associate_product_with_portfolio(ProductId=shop, PortfolioId=portfolio)
    api.associate_product_with_portfolio(ProductId=shop, PortfolioId=portfolio)
    [offering] = api.list_portfolios_for_product(ProductId=shop)["PortfolioDetails"]
    assert offering["Id"] == portfolio
    with refusal("ResourceNotFoundException", "Portfolio port-gone"):
        api.associate_product_with_portfolio(ProductId=shop, PortfolioId="port-gone")


def test_a_request_that_is_repeated_makes_one_version_and_names_need_not_differ(api: Any) -> None:
    shop = product(api)
    ids = [version(api, shop, IdempotencyToken=token)["ProvisioningArtifactDetail"]["Id"] for token in ("a", "a", "b")]
    assert ids[0] == ids[1] != ids[2]
    assert len(api.list_provisioning_artifacts(ProductId=shop)["ProvisioningArtifactDetails"]) == 2
    with refusal("InvalidParametersException", "used with other parameters"):
        version(api, shop, "2.0", IdempotencyToken="a")
    api.delete_provisioning_artifact(ProductId=shop, ProvisioningArtifactId=ids[0])
    with refusal("ResourceNotFoundException"):
        api.describe_provisioning_artifact(ProductId=shop, ProvisioningArtifactId=ids[0])


WRONG = {
    "a key that is not there": ({"key": "gone.yml"}, "S3 has no object"),
    "a template without resources": ({"key": "broken.yml"}, "Invalid templateBody"),
    "a name with a blank": ({"name": "1 0"}, "no spaces are allowed"),
    "a page": ({"said": {"Info": {"LoadTemplateFromURL": "https://example.com/one.yml"}}}, "not the URL of an object"),
    "no encryption": ({"said": {"Info": {"LoadTemplateFromURL": f"http{ADDRESS[5:]}one.yml"}}}, "not the URL of"),
    "no source": ({"said": {"Info": {"URL": f"{ADDRESS}one.yml"}}}, "Info must have"),
    "a stack that is not there": ({"said": {"Info": {"ImportFromPhysicalId": "arn:x"}}}, "does not exist"),
    "a type that is none": ({"said": {"Type": "YAML"}}, "must be one of CLOUD_FORMATION_TEMPLATE"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_the_reference_does_not_take_is_refused_and_makes_nothing(api: Any, what: str) -> None:
    more, says = WRONG[what]
    shop = product(api)
    with refusal("InvalidParametersException", says):
        version(api, shop, **more)
    assert api.list_provisioning_artifacts(ProductId=shop)["ProvisioningArtifactDetails"] == []


def test_a_template_that_is_not_to_be_validated_is_not(api: Any) -> None:
    assert version(api, product(api), key="broken.yml", said={"DisableTemplateValidation": True})


def test_a_version_is_imported_from_a_stack(api: Any, client: Made) -> None:
    stack = client("cloudformation").create_stack(StackName="demo", TemplateBody=TEMPLATE)["StackId"]
    made = version(api, product(api), said={"Info": {"ImportFromPhysicalId": stack}})
    assert made["ProvisioningArtifactDetail"]["Name"] == "1.0"


@pytest.mark.parametrize("operation", ["create", "list", "describe", "update"])
def test_of_a_product_that_is_not_there_there_is_nothing(api: Any, operation: str) -> None:
    at = {"ProductId": "prod-gone"}
    calls: dict[str, Callable[[], Any]] = {
        "create": lambda: version(api, "prod-gone"),
        "list": lambda: api.list_provisioning_artifacts(**at),
        "describe": lambda: api.describe_provisioning_artifact(**at, ProvisioningArtifactId="pa-x"),
        "update": lambda: api.update_provisioning_artifact(**at, ProvisioningArtifactId="pa-x", Active=True),
    }
    with refusal("ResourceNotFoundException", "Product prod-gone not found"):
        calls[operation]()


# ---- Rights


@pytest.fixture
def publisher(api: Any, cloud: Cloud) -> Made:
    """Service Catalog, asked by a role that has these statements."""
    import boto3

    def publisher(*statements: dict[str, Any]) -> Any:
        keys = [cloud.give(role, "test") for role in (ROLE.replace("publisher", "admin"), ROLE)]
        cloud.roles[keys[1].access_key_id] = ROLE
        iam, asking = (
            boto3.client(
                service,
                region_name=REGION,
                endpoint_url=cloud.url,
                aws_access_key_id=key.access_key_id,
                aws_secret_access_key=key.secret_access_key,
                aws_session_token=key.session_token,
            )
            for service, key in zip(("iam", "servicecatalog"), keys, strict=True)
        )
        iam.create_role(RoleName="publisher", AssumeRolePolicyDocument='{"Statement": []}')
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
        iam.put_role_policy(RoleName="publisher", PolicyName="all", PolicyDocument=json.dumps(policy))
        return asking

    return publisher


READ = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/one.yml"}
VALIDATE = {"Action": "cloudformation:ValidateTemplate", "Resource": "*"}


def all_of(number: str) -> dict[str, Any]:
    return {"Action": "servicecatalog:*", "Resource": f"arn:aws:catalog:{REGION}:{ACCOUNT}:product/{number}"}


def test_a_role_may_touch_the_product_that_its_policy_names_and_no_other(api: Any, publisher: Made) -> None:
    mine, other = product(api), product(api, "other")
    theirs = version(api, other)["ProvisioningArtifactDetail"]["Id"]
    asking = publisher(all_of(mine), READ, VALIDATE)
    made = version(asking, mine)["ProvisioningArtifactDetail"]["Id"]
    asking.update_provisioning_artifact(ProductId=mine, ProvisioningArtifactId=made, Active=False)
    at = {"ProductId": other, "ProvisioningArtifactId": theirs}
    for ask in (
        lambda: version(asking, other, "2.0"),
        lambda: asking.list_provisioning_artifacts(ProductId=other),
        lambda: asking.describe_provisioning_artifact(**at),
        lambda: asking.describe_provisioning_artifact(ProductName="other", ProvisioningArtifactId=theirs),
        lambda: asking.update_provisioning_artifact(**at, Active=False),
        lambda: asking.delete_provisioning_artifact(**at),
        lambda: asking.describe_product_as_admin(Id=other),
    ):
        with refusal("AccessDenied", f"on resource: arn:aws:catalog:{REGION}:{ACCOUNT}:product/{other}"):
            ask()
    for ask in (lambda: product(asking, "third"), lambda: asking.list_portfolios()):
        with refusal("AccessDenied", r"on resource: \*"):
            ask()
    [kept] = api.list_provisioning_artifacts(ProductId=other)["ProvisioningArtifactDetails"]
    assert kept["Active"] is True


@pytest.mark.parametrize(("given", "lacks"), [(VALIDATE, "s3:GetObject"), (READ, "cloudformation:ValidateTemplate")])
def test_who_makes_a_version_must_be_allowed_to_read_and_validate_the_template(
    api: Any, publisher: Made, given: dict[str, Any], lacks: str
) -> None:
    shop = product(api)
    with refusal("AccessDenied", lacks):
        version(publisher(all_of(shop), given), shop)


def test_the_tags_of_a_product_give_rights(api: Any, publisher: Made) -> None:
    mine, other = product(api, Tags=[{"Key": "of", "Value": "us"}]), product(api, "other")
    asking = publisher({**all_of("*"), "Condition": {"StringEquals": {"aws:ResourceTag/of": "us"}}})
    assert asking.list_provisioning_artifacts(ProductId=mine)["ProvisioningArtifactDetails"] == []
    with refusal("AccessDenied"):
        asking.list_provisioning_artifacts(ProductId=other)


# ---- The AWS CLI


def test_the_aws_cli_makes_a_version_and_takes_it_back(api: Any, cloud: Cloud) -> None:
    session = cloud.give(ROLE.replace("publisher", "admin"), "test")
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_DEFAULT_REGION": REGION,
    }

    def aws(operation: str, **asked: Any) -> Any:
        words = [sys.executable, "-m", "awscli", "servicecatalog", operation, "--cli-input-json", json.dumps(asked)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        return json.loads(done.stdout)

    shop = product(api)
    parameters = {"Name": "1.0", "Info": {"LoadTemplateFromURL": f"{ADDRESS}one.yml"}}
    made = aws("create-provisioning-artifact", ProductId=shop, Parameters=parameters)["ProvisioningArtifactDetail"]
    taken = aws("update-provisioning-artifact", ProductId=shop, ProvisioningArtifactId=made["Id"], Active=False)
    assert taken["ProvisioningArtifactDetail"]["Active"] is False
    assert aws("list-provisioning-artifacts", ProductId=shop)["ProvisioningArtifactDetails"][0]["Id"] == made["Id"]


def test_every_operation_that_is_served_is_one_of_the_model() -> None:
    names = {name.title().replace("_", "") for name in service_catalog.OPERATIONS}
    assert names <= {*service("servicecatalog").operation_names}
    assert {*service_catalog.OF_PRODUCT} <= {*service("servicecatalog").operation_names}
