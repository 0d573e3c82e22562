"""AWS in other partitions: GovCloud, China and the European Sovereign Cloud have ARNs and hosts of their own."""

import io
import json
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dpra import names
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import PROVIDER, Issuer

ACCOUNT, OTHER = "111111111111", "222222222222"
REGIONS = ("us-gov-west-1", "cn-north-1", "eusc-de-east-1", "eu-west-1")
BUCKET = "dpra-demo-store"

# As the emitted templates have it: every ARN begins with the partition that CloudFormation knows.
TRUST = """
Resources:
  Provider:
    Type: AWS::IAM::OIDCProvider
    Properties: {Url: "https://token.actions.githubusercontent.com", ClientIdList: [sts.amazonaws.com]}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: dpra-demo-beta
      AssumeRolePolicyDocument:
        Statement:
          - Effect: Allow
            Action: sts:AssumeRoleWithWebIdentity
            Principal:
              Federated: !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:oidc-provider/GITHUB
            Condition:
              StringEquals:
                token.actions.githubusercontent.com:aud: sts.amazonaws.com
                token.actions.githubusercontent.com:sub: repo:acme/demo:environment:beta
      Policies:
        - PolicyName: own
          PolicyDocument:
            Statement:
              - Effect: Allow
                Action: "s3:GetObject"
                Resource: !Sub "arn:${AWS::Partition}:s3:::dpra-demo-*/release/*"
              - Effect: Allow
                Action: "kms:Sign"
                Resource: !Sub "arn:${AWS::Partition}:kms:${AWS::Region}:*:key/*"
              - Effect: Allow
                Action: "ecr:*"
                Resource: !Sub "arn:${AWS::Partition}:ecr:*:*:repository/dpra-demo"
              - Effect: Allow
                Action: "ecr:GetAuthorizationToken"
                Resource: "*"
              - Effect: Allow
                Action: "cloudformation:*"
                Resource: !Sub "arn:${AWS::Partition}:cloudformation:*:*:stack/demo/*"
              - Effect: Allow
                Action: "lambda:InvokeFunction"
                Resource: !Sub "arn:${AWS::Partition}:lambda:*:*:function:demo"
              - Effect: Allow
                Action: "iam:PassRole"
                Resource: !GetAtt Execution.Arn
  Elsewhere: # as a template that was written for one partition only
    Type: AWS::IAM::Role
    Properties:
      RoleName: elsewhere
      AssumeRolePolicyDocument: {Statement: []}
      Policies:
        - PolicyName: own
          PolicyDocument: {Statement: [{Effect: Allow, Action: "*", Resource: "arn:WRONG:s3:::*"}]}
  Execution:
    Type: AWS::IAM::Role
    Properties:
      RoleName: dpra-demo-beta-execution
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Action: "sts:AssumeRole", Principal: {Service: cloudformation.amazonaws.com}}]
      Policies:
        - PolicyName: own
          PolicyDocument:
            Statement:
              - Effect: Allow
                Action: ["iam:CreateRole", "iam:PassRole", "iam:TagRole"]
                Resource: !Sub "arn:${AWS::Partition}:iam::*:role/demo-*"
  Store:
    Type: AWS::S3::Bucket
    Properties: {BucketName: dpra-demo-store}
  StorePolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Store
      PolicyDocument:
        Statement:
          - Effect: Deny
            Action: s3:GetObject
            Principal: {AWS: !Sub "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}
            Resource: !Sub "arn:${AWS::Partition}:s3:::dpra-demo-store/release/withdrawn*"
          - Effect: Allow
            Action: s3:GetObject
            Principal: {AWS: !Sub "arn:${AWS::Partition}:iam::222222222222:root"}
            Resource: !Sub "arn:${AWS::Partition}:s3:::dpra-demo-store/release/shared*"
  Key:
    Type: AWS::KMS::Key
    Properties: {KeyUsage: SIGN_VERIFY, KeySpec: ECC_NIST_P256}
  Alias:
    Type: AWS::KMS::Alias
    Properties: {AliasName: alias/dpra-demo, TargetKeyId: !Ref Key}
Outputs:
  Host: {Value: !Sub "s3.${AWS::Region}.${AWS::URLSuffix}"}
"""
FUNCTION = """
Resources:
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Statement: []}}}
  Function:
    Type: AWS::Lambda::Function
    Properties:
      {FunctionName: demo, Runtime: python3.13, Handler: app.handler, Role: !GetAtt Role.Arn,
       Code: {S3Bucket: dpra-demo-store, S3Key: release/app.zip}, Timeout: 20}
Outputs:
  Arn: {Value: !GetAtt Function.Arn}
"""


@dataclass
class Place:
    """A cloud with an account in a region, and what a job there does."""

    cloud: Cloud
    region: str

    @property
    def partition(self) -> str:
        return names.partition(self.region)

    def role(self, name: str = "dpra-demo-beta", account: str = ACCOUNT) -> str:
        return f"arn:{self.partition}:iam::{account}:role/{name}"

    def assume(self, role: str, environment: str = "beta") -> dict[str, str]:
        """What STS answers to a job of this environment, by the names of its elements."""
        token = self.cloud.issuer.token(self.cloud.issuer.admit("job", environment), "sts.amazonaws.com")
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "RoleArn": role,
            "RoleSessionName": "run",
            "WebIdentityToken": token,
        }
        try:
            answer = urllib.request.urlopen(self.cloud.url, urllib.parse.urlencode(form).encode(), 10).read()  # noqa: S310
        except urllib.error.HTTPError as error:
            answer = error.read()
        return {each.tag.rpartition("}")[2]: each.text or "" for each in ElementTree.fromstring(answer).iter()}  # noqa: S314

    def client(self, service: str, keys: dict[str, str], region: str = "") -> Any:
        import boto3

        return boto3.client(
            service,
            region_name=region or self.region,
            endpoint_url=self.cloud.url,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )

    def of(self, role: str) -> Callable[[str], Any]:
        """Clients of a role, whose trust is not asked."""
        session = self.cloud.give(role, "test")
        self.cloud.roles[session.access_key_id] = role
        keys = {"AccessKeyId": session.access_key_id, "SecretAccessKey": session.secret_access_key}
        return lambda service: self.client(service, keys | {"SessionToken": session.session_token})


@pytest.fixture(params=REGIONS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    from moto.cloudformation.models import cloudformation_backends
    from moto.s3.models import s3_backends

    with Cloud(Issuer("acme/demo", "main", "a" * 40)) as cloud:
        place = Place(cloud, request.param)
        wrong = "aws-cn" if place.partition == "aws" else "aws"
        stack = cloudformation_backends[ACCOUNT][place.region].create_stack(
            "trust", TRUST.replace("GITHUB", PROVIDER).replace("WRONG", wrong), {}
        )
        assert [output["OutputValue"] for output in stack.outputs or ()] == [
            f"s3.{place.region}.{names.domain(place.region)}"
        ]
        store = s3_backends[ACCOUNT][place.partition]
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("app.py", "import os\ndef handler(event, context):\n    return os.environ['AWS_REGION']\n")
        for key in ("release/app.zip", "release/withdrawn.zip", "release/shared.zip", "record.json"):
            store.put_object(BUCKET, key, package.getvalue())
        yield place


def test_a_role_admits_the_job_that_its_trust_names(place: Place) -> None:
    keys = place.assume(place.role())
    assert keys["Arn"] == f"arn:{place.partition}:sts::{ACCOUNT}:assumed-role/dpra-demo-beta/run"
    assert keys["Provider"].startswith(f"arn:{place.partition}:iam::{ACCOUNT}:oidc-provider/")
    identity = place.client("sts", keys).get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == (ACCOUNT, keys["Arn"])


def test_a_role_refuses_another_job_and_is_in_no_other_partition(place: Place) -> None:
    assert place.assume(place.role(), "prod")["Code"] == "AccessDenied"
    assert place.assume(place.role("dpra-demo-beta-execution"))["Code"] == "AccessDenied"
    elsewhere = "aws" if place.partition != "aws" else "aws-us-gov"
    moved = place.role().replace(f"arn:{place.partition}:", f"arn:{elsewhere}:")
    assert place.assume(moved)["Code"] == "InvalidIdentityToken"  # there is no provider there
    assert (
        place.assume(place.role().replace(f"arn:{place.partition}:", "arn:aws-nowhere:"))["Code"] == "ValidationError"
    )


def test_credentials_are_known_in_their_partition_only(place: Place) -> None:
    keys = place.assume(place.role())
    other = next(region for region in REGIONS if names.partition(region) != place.partition)
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        place.client("sts", keys, other).get_caller_identity()


def test_what_a_policy_allows_is_allowed_and_the_rest_refused(place: Place) -> None:
    s3 = place.client("s3", place.assume(place.role()))
    assert s3.get_object(Bucket=BUCKET, Key="release/app.zip")["Body"].read()[:2] == b"PK"
    with pytest.raises(
        ClientError, match=rf"arn:{place.partition}:s3:::{BUCKET}/record.json because no identity-based"
    ):
        s3.get_object(Bucket=BUCKET, Key="record.json")
    with pytest.raises(ClientError, match="s3:PutObject"):
        s3.put_object(Bucket=BUCKET, Key="release/app.zip", Body=b"")


def test_a_policy_with_the_arns_of_another_partition_allows_nothing(place: Place) -> None:
    with pytest.raises(ClientError, match="no identity-based policy allows it"):
        place.of(place.role("elsewhere"))("s3").get_object(Bucket=BUCKET, Key="release/app.zip")


def test_a_bucket_policy_is_obeyed(place: Place) -> None:
    with pytest.raises(ClientError, match="its resource-based policy does not let it"):
        place.client("s3", place.assume(place.role())).get_object(Bucket=BUCKET, Key="release/withdrawn.zip")


def policy(*statements: dict[str, str]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def test_another_account_reads_what_the_bucket_lets_it(place: Place) -> None:
    from moto.iam.models import iam_backends

    iam = iam_backends[OTHER][place.partition]
    iam.create_role("reader", policy(), "/", None, "", [], "3600")
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:{place.partition}:s3:::*"}
    iam.put_role_policy("reader", "read", policy(statement))
    s3 = place.of(place.role("reader", OTHER))("s3")
    assert s3.get_object(Bucket=BUCKET, Key="release/shared.zip")["Body"].read()[:2] == b"PK"
    with pytest.raises(ClientError, match="its resource-based policy does not let it"):
        s3.get_object(Bucket=BUCKET, Key="release/app.zip")


def test_a_key_signs_by_its_alias(place: Place) -> None:
    kms = place.client("kms", place.assume(place.role()))
    asked: dict[str, Any] = {"KeyId": "alias/dpra-demo", "Message": b"release", "SigningAlgorithm": "ECDSA_SHA_256"}
    signed = kms.sign(**asked)
    assert signed["KeyId"].startswith(f"arn:{place.partition}:kms:{place.region}:{ACCOUNT}:key/")
    assert kms.sign(**asked | {"KeyId": signed["KeyId"]})["Signature"]
    with pytest.raises(ClientError, match="kms:DescribeKey"):
        kms.describe_key(KeyId="alias/dpra-demo")


def test_the_registry_is_at_the_domain_of_its_partition(place: Place) -> None:
    ecr = place.client("ecr", place.assume(place.role()))
    ecr.create_repository(repositoryName="dpra-demo")
    with pytest.raises(ClientError, match=rf"arn:{place.partition}:ecr:{place.region}:{ACCOUNT}:repository/other"):
        ecr.describe_images(repositoryName="other")
    login = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]

    def ask(domain: str) -> int:
        host = f"{ACCOUNT}.dkr.ecr.{place.region}.{domain}"
        return place.cloud.registry.answer("POST", host, "/v2/dpra-demo/blobs/uploads/", {}, f"Basic {login}", b"")[0]

    domains = {"amazonaws.com", "amazonaws.com.cn", "amazonaws.eu"}
    assert {domain: ask(domain) for domain in domains} == {
        domain: 202 if domain == names.domain(place.region) else 404 for domain in domains
    }


def test_a_stack_is_deployed_and_its_function_called(place: Place) -> None:
    keys = place.assume(place.role())
    cloud = place.client("cloudformation", keys)
    about = {"StackName": "demo", "ChangeSetName": "one"}
    made = cloud.create_change_set(
        **about,
        TemplateBody=FUNCTION,
        ChangeSetType="CREATE",
        Capabilities=["CAPABILITY_IAM"],
        RoleARN=place.role("dpra-demo-beta-execution"),
    )
    cloud.execute_change_set(ChangeSetName=made["Id"])  # by its ARN
    (stack,) = cloud.describe_stacks(StackName="demo")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert stack["Outputs"][0]["OutputValue"] == f"arn:{place.partition}:lambda:{place.region}:{ACCOUNT}:function:demo"
    answer = place.client("lambda", keys).invoke(FunctionName="demo")
    assert json.load(answer["Payload"]) == place.region
    with pytest.raises(ClientError, match=rf"arn:{place.partition}:cloudformation:.*stack/trust/id"):
        cloud.describe_stacks(StackName="trust")
