"""What the accounts refuse, by the policies that are emitted: the front to a job, and CloudFormation to a template."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dpra import catalogue, problems, render
from dpra.rehearsal.accounts import prepare
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer
from dpra.spec import reader

SPEC = (Path(__file__).parents[1] / "specs/minimal.yml").read_bytes()
BETA, PROD = "111111111111", "033333333333"
BOUNDARY = "!Sub 'arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/dpra-shop-boundary'"
ROLE = """
  Role:
    Type: AWS::IAM::Role
    Properties: {{{properties}AssumeRolePolicyDocument: {{Statement: []}}}}
"""
GOOD = f"Path: /shop/, PermissionsBoundary: {BOUNDARY}, "


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The accounts of the minimal spec as `dpra bootstrap` prepares them."""
    plan, root = problems.planned(reader.read(SPEC, catalogue.words())), tmp_path_factory.mktemp("accounts")
    for path, text in render.infrastructure(plan).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    with Cloud(Issuer("acme/shop", "main", "a" * 40)) as cloud:
        prepare(root, plan)
        yield cloud


Client = Callable[..., Any]


@pytest.fixture
def client(cloud: Cloud) -> Client:
    """A client with the credentials of a role of the pipeline."""
    import boto3

    def client(service: str, account: str, role: str) -> Any:
        arn = f"arn:aws:iam::{account}:role/dpra-shop-{role}"
        session = cloud.give(arn, "test")
        cloud.roles[session.access_key_id] = arn
        return boto3.client(
            service,
            region_name="eu-west-1",
            endpoint_url=cloud.url,
            aws_access_key_id=session.access_key_id,
            aws_secret_access_key=session.secret_access_key,
            aws_session_token=session.session_token,
        )

    return client


# ---- Objects that are written once, and the record


@pytest.mark.parametrize(
    ("account", "role"),
    [("444444444444", "artifacts"), (BETA, "beta"), (PROD, "prod-approve")],
    ids=["store", "deploy", "promote"],
)
def test_a_release_is_not_written_without_the_condition_nor_twice_with_it(
    client: Client, account: str, role: str
) -> None:
    s3 = client("s3", account, role)
    where = {"Bucket": f"dpra-shop-{account}-eu-west-1", "Key": f"shop/{role}/package.zip", "Body": b"one"}
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(**where)
    s3.put_object(**where, IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(**where, IfNoneMatch="*")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(**where, IfMatch='"x"')
    place = {"Bucket": where["Bucket"], "Key": where["Key"]}
    if role == "beta":  # whose packages are small
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.create_multipart_upload(**place)
        return
    place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": s3.upload_part(**place, PartNumber=1, Body=b"two")["ETag"]}]}
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.complete_multipart_upload(**place, MultipartUpload=parts)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.complete_multipart_upload(**place, MultipartUpload=parts, IfNoneMatch="*")
    s3.abort_multipart_upload(**place)


def test_the_record_is_written_as_it_was_read(client: Client) -> None:
    s3 = client("s3", PROD, "prod")
    where = {"Bucket": f"dpra-shop-{PROD}-eu-west-1", "Key": "shop/record.json", "Body": b"{}"}
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(**where)
    made = s3.put_object(**where, IfNoneMatch="*")
    s3.put_object(**where, IfMatch=made["ETag"])


def test_a_release_is_retired_by_its_tag_and_the_record_is_not(client: Client) -> None:
    approve, prod = client("s3", PROD, "prod-approve"), client("s3", PROD, "prod")
    bucket, key = f"dpra-shop-{PROD}-eu-west-1", "shop/old/package.zip"
    approve.put_object(Bucket=bucket, Key=key, Body=b"x", IfNoneMatch="*")
    tags = {"TagSet": [{"Key": "dpra-retired", "Value": "true"}]}
    prod.put_object_tagging(Bucket=bucket, Key=key, Tagging=tags)
    for s3, other in ((prod, "shop/record.json"), (approve, key)):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object_tagging(Bucket=bucket, Key=other, Tagging=tags)


# ---- What a template makes


class Stack:
    """The component's stack in beta, as the deploy action handles it."""

    def __init__(self, client: Client) -> None:
        self.cloud = client("cloudformation", BETA, "beta")
        self.count = 0

    def deploy(self, template: str) -> str:
        self.count += 1
        names = {"StackName": "shop", "ChangeSetName": f"release-{self.count}"}
        there = self.status()
        self.cloud.create_change_set(
            **names,
            TemplateBody=f"Resources:\n{template}",
            ChangeSetType="UPDATE" if there else "CREATE",
            Capabilities=["CAPABILITY_NAMED_IAM"],
            RoleARN=f"arn:aws:iam::{BETA}:role/dpra-shop-beta-execution",
        )
        self.cloud.execute_change_set(**names)
        return self.status()

    def status(self) -> str:
        try:
            (stack,) = self.cloud.describe_stacks(StackName="shop")["Stacks"]
        except ClientError:
            return ""
        return str(stack["StackStatus"])

    def why(self) -> str:
        """What CloudFormation says of the latest resource that failed."""
        events = self.cloud.describe_stack_events(StackName="shop")["StackEvents"]
        return next(
            e["ResourceStatusReason"]
            for e in events
            if e["ResourceStatus"].endswith("_FAILED") and "ResourceStatusReason" in e
        )


@pytest.fixture
def stack(client: Client, cloud: Cloud) -> Iterator[Stack]:
    from moto.cloudformation.models import cloudformation_backends

    yield Stack(client)
    backend = cloudformation_backends[BETA]["eu-west-1"]
    for one in [one for one in backend.stacks.values() if one.name == "shop"]:
        backend.delete_stack(one.name)
        backend.stacks.pop(one.stack_id, None)
        backend.deleted_stacks.pop(one.stack_id, None)


def test_a_role_with_path_and_boundary_is_made(stack: Stack) -> None:
    assert stack.deploy(ROLE.format(properties=GOOD)) == "CREATE_COMPLETE"


NAMED = f"arn:aws:iam::{BETA}:"
WRONG = {
    "nothing": ("", "iam:CreateRole"),
    "no boundary": ("Path: /shop/, ", "iam:CreateRole"),
    "no path": (f"PermissionsBoundary: {BOUNDARY}, ", "iam:CreateRole"),
    "another's path": (GOOD.replace("/shop/", "/shop-x/"), "iam:CreateRole"),
    "another boundary": (GOOD.replace(BOUNDARY, "arn:aws:iam::aws:policy/AdministratorAccess"), "iam:CreateRole"),
    "another's boundary": (GOOD.replace("dpra-shop-", "dpra-shop-x-"), "iam:CreateRole"),
    "a role of the pipeline": (f"RoleName: dpra-shop-x, PermissionsBoundary: {BOUNDARY}, ", "iam:CreateRole"),
}


@pytest.mark.parametrize("what", WRONG)
def test_any_other_role_fails_the_stack_with_aws_s_words(stack: Stack, what: str) -> None:
    """A template that gives itself more than the pipeline has gets nothing."""
    properties, action = WRONG[what]
    assert stack.deploy(ROLE.format(properties=properties)) == "ROLLBACK_COMPLETE"
    said = stack.why()
    acting = f"arn:aws:sts::{BETA}:assumed-role/dpra-shop-beta-execution/AWSCloudFormation"
    assert said.startswith(f"User: {acting} is not authorized to perform: {action} on resource: {NAMED}role/")
    assert "because no identity-based policy allows it" in said


OTHERS = {
    "a user": "{Type: AWS::IAM::User}",
    "an access key": "{Type: AWS::IAM::AccessKey, Properties: {UserName: x}}",
    "a policy": "{Type: AWS::IAM::ManagedPolicy, Properties: {PolicyDocument: {Version: '2012-10-17', Statement: []}}}",
    "rights for the pipeline's role": (
        "{Type: AWS::IAM::Policy, Properties: {PolicyName: x, Roles: [dpra-shop-beta-execution], "
        "PolicyDocument: {Version: '2012-10-17', Statement: []}}}"
    ),
    "a trust": "{Type: AWS::IAM::OIDCProvider, Properties: {Url: https://example.com}}",
    "a function with the pipeline's role": (
        "{Type: AWS::Lambda::Function, Properties: {Runtime: python3.13, Handler: a.b, Code: {ZipFile: x}, "
        f"Role: 'arn:aws:iam::{BETA}:role/dpra-shop-beta'}}}}"
    ),
    "a bucket of the pipeline's": "{Type: AWS::S3::Bucket, Properties: {BucketName: dpra-x-111111111111-eu-west-1}}",
    "the store's policy": (
        f"{{Type: AWS::S3::BucketPolicy, Properties: {{Bucket: dpra-shop-{BETA}-eu-west-1, PolicyDocument: {{}}}}}}"
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_nothing_else_that_gives_rights_or_reaches_the_pipeline_is_made(stack: Stack, what: str) -> None:
    assert stack.deploy(f"  Thing: {OTHERS[what]}\n") == "ROLLBACK_COMPLETE"
    assert "dpra-shop-beta-execution/AWSCloudFormation is not authorized to perform: " in stack.why()


@pytest.mark.parametrize(
    ("then", "action"),
    [
        ("Path: /shop/, RoleName: api, ", "iam:DeleteRolePermissionsBoundary"),
        (
            "Path: /shop/, RoleName: api, PermissionsBoundary: 'arn:aws:iam::aws:policy/AdministratorAccess', ",
            "iam:PutRolePermissionsBoundary",
        ),
    ],
)
def test_an_update_does_not_take_the_boundary_away(stack: Stack, then: str, action: str) -> None:
    assert stack.deploy(ROLE.format(properties=f"{GOOD}RoleName: api, ")) == "CREATE_COMPLETE"
    assert stack.deploy(ROLE.format(properties=then)) == "UPDATE_ROLLBACK_COMPLETE"
    assert f"is not authorized to perform: {action} on resource: {NAMED}role/shop/api" in stack.why()


def test_an_update_gives_a_bounded_role_rights(stack: Stack) -> None:
    from moto.iam.models import iam_backends

    rights = "Policies: [{PolicyName: all, PolicyDocument: {Statement: {Effect: Allow, Action: '*', Resource: '*'}}}], "
    assert stack.deploy(ROLE.format(properties=f"{GOOD}RoleName: api, ")) == "CREATE_COMPLETE"
    assert stack.deploy(ROLE.format(properties=f"{GOOD}{rights}RoleName: api, ")) == "UPDATE_COMPLETE"
    assert set(iam_backends[BETA]["aws"].get_role("api").policies) == {"all"}


def test_a_role_that_its_template_made_administrator_still_reaches_nothing_of_the_pipeline(
    stack: Stack, client: Client, cloud: Cloud
) -> None:
    """The boundary, as AWS evaluates it with what the role was given."""
    rights = "Policies: [{PolicyName: all, PolicyDocument: {Statement: {Effect: Allow, Action: '*', Resource: '*'}}}], "
    assert stack.deploy(ROLE.format(properties=f"{GOOD}{rights}RoleName: admin, ")) == "CREATE_COMPLETE"
    import boto3

    arn = f"{NAMED}role/shop/admin"
    session = cloud.give(arn, "test")
    cloud.roles[session.access_key_id] = arn
    s3 = boto3.client(
        "s3",
        region_name="eu-west-1",
        endpoint_url=cloud.url,
        aws_access_key_id=session.access_key_id,
        aws_secret_access_key=session.secret_access_key,
        aws_session_token=session.session_token,
    )
    with pytest.raises(ClientError, match="because no permissions boundary allows it"):
        s3.put_object(Bucket=f"dpra-shop-{BETA}-eu-west-1", Key="shop/x/package.zip", Body=b"", IfNoneMatch="*")
    s3.create_bucket(Bucket="shop-own", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="shop-own", Key="x", Body=b"")
