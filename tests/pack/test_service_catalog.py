"""Versions of a Service Catalog product: the real AWS CLI against the rehearsal's AWS, by a role with the statements of
templates/compute-image/infrastructure/service-catalog.yml."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import jinja2
import pytest
from botocore.exceptions import ClientError
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
ACCOUNT, REGION = "111111111111", "eu-west-1"
BUCKET, FOLDER = f"dpra-shop-{ACCOUNT}-{REGION}", f"shop/{'a' * 64}"
PUBLISHER = f"arn:aws:iam::{ACCOUNT}:role/publisher"
TEMPLATE = b"""
Resources:
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      ContainerDefinitions: [{Name: shop, Image: "{{resolve:ssm:/images/shop/1.0}}"}]
"""
OTHER = TEMPLATE + b"# another one\n"


@pytest.fixture(scope="module")
def front() -> Iterator[Cloud]:
    with Cloud(Issuer("acme/shop", "main", "a" * 40)) as cloud:
        yield cloud


def statements(product: str) -> list[dict[str, Any]]:
    """What the role of a deployment may do: the template's statements, and to read what lies in the bucket."""
    environment = jinja2.Environment(  # noqa: S701 - as render.py has it
        variable_start_string="<%=",
        variable_end_string="%>",
        line_statement_prefix="#%",
        undefined=jinja2.StrictUndefined,
    )

    def sub(text: str) -> str:
        return json.dumps(text.replace("${AWS::Partition}", "aws").replace("${AWS::AccountId}", ACCOUNT))

    text = (ROOT / "templates/compute-image/infrastructure/service-catalog.yml").read_text("utf-8")
    spec = SimpleNamespace(name="shop", image=SimpleNamespace(products={REGION: product}))
    made = YAML(typ="safe").load(environment.from_string(text).render(spec=spec, sub=sub))
    return [*made, {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}]


class Catalog:
    """Service Catalog with the products mine and theirs, and the pack's module with the role of mine."""

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.monkeypatch = cloud, monkeypatch
        s3 = self.admin("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.iam = self.admin("iam")
        self.iam.create_role(RoleName="publisher", AssumeRolePolicyDocument='{"Statement": []}')
        self.api = self.admin("servicecatalog")
        self.mine, self.theirs = self.product("shop"), self.product("other")
        self.may(statements(self.mine))

    def admin(self, service: str) -> Any:
        """A client with all rights."""
        given = {name.lower(): value for name, value in self.keys("role/admin").items()}
        return boto3.client(service, region_name=REGION, endpoint_url=self.cloud.url, **given)

    def keys(self, role: str) -> dict[str, str]:
        session = self.cloud.give(f"arn:aws:iam::{ACCOUNT}:{role}", "test")
        if role == "role/publisher":
            self.cloud.roles[session.access_key_id] = PUBLISHER
        return {
            "AWS_ACCESS_KEY_ID": session.access_key_id,
            "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
            "AWS_SESSION_TOKEN": session.session_token,
        }

    def may(self, said: list[dict[str, Any]]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": said})
        self.iam.put_role_policy(RoleName="publisher", PolicyName="all", PolicyDocument=document)

    def product(self, name: str) -> str:
        made = self.api.create_product(Name=name, Owner="us", ProductType="CLOUD_FORMATION_TEMPLATE")
        return str(made["ProductViewDetail"]["ProductViewSummary"]["ProductId"])

    def run(self, number: str) -> None:
        """What follows is another run."""
        self.monkeypatch.setenv("GITHUB_RUN_ID", number)

    def publish(self, version: str = "1.0", template: bytes = TEMPLATE, product: str = "", folder: str = FOLDER) -> str:
        import service_catalog

        return str(
            service_catalog.publish(
                REGION, product or self.mine, version, template, bucket=BUCKET, folder=folder, account=ACCOUNT
            )
        )

    def versions(self, product: str = "") -> list[dict[str, Any]]:
        return list(self.api.list_provisioning_artifacts(ProductId=product or self.mine)["ProvisioningArtifactDetails"])

    def offered(self) -> list[str]:
        """The versions that users see."""
        return [one["Name"] for one in self.api.describe_product(Id=self.mine)["ProvisioningArtifacts"]]

    def by_hand(self, version: str, **more: Any) -> str:
        """A version that somebody makes in the console."""
        self.admin("s3").put_object(Bucket=BUCKET, Key="hand.yml", Body=TEMPLATE)
        info = {"LoadTemplateFromURL": f"https://{BUCKET}.s3.{REGION}.amazonaws.com/hand.yml"}
        made = self.api.create_provisioning_artifact(
            ProductId=self.mine, Parameters={"Name": version, "Info": info, **more}
        )
        return str(made["ProvisioningArtifactDetail"]["Id"])


@pytest.fixture
def catalog(job: Any, server: dict[str, str], front: Cloud, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    from dpra.rehearsal import mends

    mends.forget()
    made = Catalog(front, monkeypatch)
    for name, value in {**job.env, **server, **made.keys("role/publisher"), "AWS_ENDPOINT_URL": front.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that the module asks AWS for."""
    import aws

    found: list[str] = []
    text = aws.text

    def noted(region: str, service: str, operation: str, *options: str, **more: Any) -> str:
        found.append(operation)
        return str(text(region, service, operation, *options, **more))

    monkeypatch.setattr(aws, "text", noted)
    return found


def failed(says: str) -> Any:
    import runner

    return pytest.raises(runner.Failed, match=says)


def module() -> Any:
    import service_catalog

    return service_catalog


# ---- Templates


@pytest.mark.parametrize(
    "text",
    [
        'Image: "{{resolve:ssm:@}}" # é',
        "Default: @\r\nX: @",
        '{"Default":"@"}',
        "{{resolve:ssm:@:1}} VERSION",
        "@ @S @/x /x@ /images/shopx/VERSION",
    ],
)
def test_a_template_gets_the_parameter_of_the_version_and_nothing_else_changes(text: str) -> None:
    """Where the word goes on, before it or behind it, it is another one."""
    given = text.replace("@", "/images/team/shop/VERSION")
    wanted = re.sub(r"@(?![S/])(?<!/x@)", "/images/team/shop/2.0-rc.1_a", text)
    made = module().filled(given.encode(), "team/shop", "2.0-rc.1_a").decode()
    assert made == wanted.replace("@", "/images/team/shop/VERSION")


@pytest.mark.parametrize("text", ["", "/images/shop/latest", "/images/shopVERSION", "/images/other/VERSION"])
def test_a_template_that_does_not_name_the_image_is_refused(text: str) -> None:
    with failed("does not name the image: refer to {{resolve:ssm:/images/shop/VERSION}}"):
        module().filled(text.encode(), "shop", "1.0")


@pytest.mark.parametrize("version", ["", "1 0", '1"', "1\n", "1}}", "1:2", "/1", "1/2", "${x}", "\\1"])
def test_a_version_that_would_say_more_than_a_path_is_refused(version: str) -> None:
    with failed("cannot be in the path of a parameter"):
        module().filled(b"/images/shop/VERSION", "shop", version)


# ---- Versions


def test_a_version_is_made_of_the_template_and_offered(catalog: Catalog) -> None:
    made = catalog.publish()
    [version] = catalog.versions()
    assert (version["Id"], version["Name"], version["Active"]) == (made, "1.0", True)
    assert catalog.offered() == ["1.0"]
    info = catalog.api.describe_provisioning_artifact(ProductId=catalog.mine, ProvisioningArtifactId=made)["Info"]
    start = f"https://{BUCKET}.s3.{REGION}.amazonaws.com/"
    kept = catalog.admin("s3").get_object(Bucket=BUCKET, Key=info["TemplateUrl"].removeprefix(start))
    assert kept["Body"].read() == TEMPLATE


def test_published_twice_it_is_one_version_and_nothing_is_written(catalog: Catalog, asked: list[str]) -> None:
    first = catalog.publish()
    assert asked == [
        *("list-provisioning-artifacts", "put-object"),
        *("create-provisioning-artifact", "describe-provisioning-artifact"),
    ]
    asked.clear()
    catalog.run("8")
    assert catalog.publish() == first
    assert asked == ["list-provisioning-artifacts", "describe-provisioning-artifact"]
    assert len(catalog.versions()) == 1


def test_another_version_is_one_more(catalog: Catalog) -> None:
    first, second = catalog.publish(), catalog.publish("1.1", OTHER)
    assert first != second
    assert catalog.offered() == ["1.0", "1.1"]


@pytest.mark.parametrize("after", ["put-object", "create-provisioning-artifact"])
def test_after_a_lost_runner_the_next_one_finds_what_is_there(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    import aws

    text = aws.text

    def lost(region: str, service: str, operation: str, *options: str, **more: Any) -> str:
        answer = str(text(region, service, operation, *options, **more))
        if operation == after:
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(aws, "text", lost)
        with pytest.raises(KeyboardInterrupt):
            catalog.publish()
    catalog.run("8")
    made = catalog.publish()
    assert [one["Id"] for one in catalog.versions()] == [made]
    assert catalog.offered() == ["1.0"]


def test_while_the_list_is_behind_a_run_makes_one_version_all_the_same(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module(), "_find", lambda *_: None)
    assert catalog.publish() == catalog.publish()
    assert len(catalog.versions()) == 1


def test_a_version_of_that_name_with_another_template_is_refused(catalog: Catalog) -> None:
    made = catalog.publish()
    with failed(f"the version 1.0 of {catalog.mine} in {REGION} was made of another template: .*{made}"):
        catalog.publish(template=OTHER)
    assert [one["Id"] for one in catalog.versions()] == [made]


@pytest.mark.parametrize("more", [{}, {"Description": "by Ada"}, {"Description": "sha256:0123"}])
def test_a_version_of_that_name_that_somebody_made_is_refused(catalog: Catalog, more: dict[str, str]) -> None:
    """Also one with the same template: nobody knows that it has."""
    catalog.by_hand("1.0", **more)
    with failed("was not made by dpra: give this one another name, or delete that one"):
        catalog.publish()


def test_of_two_versions_of_one_name_none_is_taken(catalog: Catalog) -> None:
    catalog.publish()
    catalog.by_hand("1.0")
    for do in (catalog.publish, lambda: module().withdraw(REGION, catalog.mine, "1.0")):
        with failed("has 2 versions 1.0 in eu-west-1: delete all but one of pa-"):
            do()


def test_what_lies_under_another_template_s_key_is_never_what_a_version_is_made_of(catalog: Catalog) -> None:
    """The same folder, as of a run that was repeated with another template: each has a key of its own."""
    catalog.publish("1.0", TEMPLATE)
    made = catalog.publish("1.1", OTHER)
    found = catalog.api.describe_provisioning_artifact(ProductId=catalog.mine, ProvisioningArtifactId=made)
    key = found["Info"]["TemplateUrl"].partition(".com/")[2]
    assert catalog.admin("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read() == OTHER


def test_withdrawn_it_is_hidden_and_restored_it_is_back(
    catalog: Catalog, capsys: pytest.CaptureFixture[str], asked: list[str]
) -> None:
    catalog.publish()
    catalog.publish("1.1", OTHER)
    module().withdraw(REGION, catalog.mine, "1.0")
    assert catalog.offered() == ["1.1"]
    assert f"{catalog.mine}, version 1.0 in {REGION}: cannot be launched from now on" in capsys.readouterr().out
    asked.clear()
    module().withdraw(REGION, catalog.mine, "1.0")
    assert asked == ["list-provisioning-artifacts"]
    module().restore(REGION, catalog.mine, "1.0")
    assert catalog.offered() == ["1.0", "1.1"]
    assert len(catalog.versions()) == 2


def test_what_was_withdrawn_is_active_when_it_is_published_again(catalog: Catalog) -> None:
    made = catalog.publish()
    module().withdraw(REGION, catalog.mine, "1.0")
    assert catalog.publish() == made
    assert catalog.offered() == ["1.0"]


def test_what_is_not_there_cannot_be_taken_back_nor_restored(
    catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rollback may come before anything was published."""
    module().withdraw(REGION, catalog.mine, "1.0")
    assert "there is nothing to take back" in capsys.readouterr().out
    with failed(f"{catalog.mine} has no version 1.0 in {REGION}: publish it"):
        module().restore(REGION, catalog.mine, "1.0")


# ---- What goes wrong


def test_a_product_that_is_not_there_is_told_with_what_to_do(catalog: Catalog) -> None:
    catalog.may([{"Effect": "Allow", "Action": "*", "Resource": "*"}])
    for do in (
        lambda: catalog.publish(product="prod-gone"),
        lambda: module().withdraw(REGION, "prod-gone", "1.0"),
        lambda: module().restore(REGION, "prod-gone", "1.0"),
    ):
        with failed(f"there is no product prod-gone in {REGION}: make one in Service Catalog of this account") as said:
            do()
        assert said.value.result == "error"


def test_a_template_that_is_none_makes_no_version(catalog: Catalog) -> None:
    with failed("Invalid templateBody"):
        catalog.publish(template=b"Resources: {}")
    assert catalog.versions() == []


def test_a_version_that_could_not_be_made_is_told_and_made_anew_once_it_is_deleted(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpra.rehearsal.mends import service_catalog

    make = service_catalog.made

    def fails(*arguments: Any) -> Any:
        version = make(*arguments)
        version.status = "FAILED"
        return version

    with monkeypatch.context() as patch:
        patch.setattr(service_catalog, "made", fails)
        with failed("could not make the version 1.0 of .*: mend the template, delete the version"):
            catalog.publish()
    with failed("could not make the version 1.0"):
        catalog.publish()
    [version] = catalog.versions()
    catalog.api.delete_provisioning_artifact(ProductId=catalog.mine, ProvisioningArtifactId=version["Id"])
    catalog.run("8")
    assert catalog.publish() != version["Id"]


def test_the_most_versions_of_a_product_are_told(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpra.rehearsal.mends import service_catalog
    from moto.core.exceptions import JsonRESTError

    def full(*_: Any) -> Any:
        raise JsonRESTError("LimitExceededException", "the limit is reached")

    monkeypatch.setattr(service_catalog, "made", full)
    with failed("has as many versions in eu-west-1 as Service Catalog keeps: delete some"):
        catalog.publish()


# ---- Rights


def test_a_role_of_one_product_is_refused_another(catalog: Catalog) -> None:
    refused = (
        f"AccessDenied.*servicecatalog:.* on resource: arn:aws:catalog:{REGION}:{ACCOUNT}:product/{catalog.theirs}"
    )
    for do in (
        lambda: catalog.publish(product=catalog.theirs),
        lambda: module().withdraw(REGION, catalog.theirs, "1.0"),
        lambda: module().restore(REGION, catalog.theirs, "1.0"),
    ):
        with failed(refused):
            do()
    assert catalog.versions(catalog.theirs) == []


@pytest.mark.parametrize("folder", ["other/release", "shop-x/release", "shop"])
def test_a_template_is_stored_in_the_component_s_own_folders_only(catalog: Catalog, folder: str) -> None:
    with failed("AccessDenied.*s3:PutObject"):
        catalog.publish(folder=folder)


def test_the_role_may_store_nothing_but_templates(catalog: Catalog) -> None:
    given = {name.lower(): value for name, value in catalog.keys("role/publisher").items()}
    s3 = boto3.client("s3", region_name=REGION, endpoint_url=catalog.cloud.url, **given)
    for key in (f"{FOLDER}/package.zip", "shop/record.json"):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"x", IfNoneMatch="*")
    s3.put_object(Bucket=BUCKET, Key=f"{FOLDER}/x.template", Body=b"x", IfNoneMatch="*")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=BUCKET, Key=f"{FOLDER}/x.template", Body=b"y")


RIGHTS = [
    (number, action)
    for number, one in enumerate(statements("prod-x"))
    for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
]


@pytest.mark.parametrize(("number", "action"), RIGHTS, ids=[action for _, action in RIGHTS])
def test_the_role_has_no_right_that_it_does_not_need(catalog: Catalog, number: int, action: str) -> None:
    def all_of_it() -> None:
        catalog.publish()
        module().withdraw(REGION, catalog.mine, "1.0")

    given = statements(catalog.mine)
    fewer = copy.deepcopy(given)
    actions = [one for one in [given[number]["Action"]] if isinstance(one, str)] or given[number]["Action"]
    fewer[number]["Action"] = [one for one in actions if one != action] or ["s3:ListAllMyBuckets"]
    catalog.may(fewer)
    with failed(f"AccessDenied.*{action}"):
        all_of_it()
    catalog.may(given)
    all_of_it()
    assert catalog.offered() == []
