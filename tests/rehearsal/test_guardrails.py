"""What an organisation's policies forbid to roles of its member accounts, as the front refuses it."""

import json

import pytest
from botocore.exceptions import ClientError
from dpra.rehearsal import guardrails, permissions
from dpra.rehearsal.mends import organizations
from moto.iam.models import iam_backends

HERE = "111111111111"
SCP, RCP = "SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"
DENIED = "with an explicit deny in a service control policy"


def statement(action, effect="Deny", **more):
    return {"Effect": effect, "Action": action, "Resource": "*", **more}


class Fleet:
    """An organisation with the unit Workloads, in it an account, and a role in that account that may do everything."""

    def __init__(self, cloud, client):
        self.cloud, self.client = cloud, client
        self.org = client("organizations", "us-east-1")
        self.org.create_organization()
        self.root = self.org.list_roots()["Roots"][0]["Id"]
        for kind in (SCP, RCP):
            self.org.enable_policy_type(RootId=self.root, PolicyType=kind)
        made = self.org.create_organizational_unit(ParentId=self.root, Name="Workloads")
        self.unit = made["OrganizationalUnit"]["Id"]
        self.backend = organizations.home(HERE, "aws")
        self.account = self.member("shop")
        self.org.move_account(AccountId=self.account, SourceParentId=self.root, DestinationParentId=self.unit)

    def member(self, name):
        return organizations.join(self.backend, {"AccountName": name, "Email": f"{name}@example.org"}).id

    def role(self, account="", name="worker", path="/"):
        account = account or self.account
        iam = iam_backends[account]["aws"]
        made = iam.create_role(name, json.dumps({"Statement": []}), path, None, "", [], "3600")
        made.policies["all"] = json.dumps({"Statement": [statement("*", "Allow")]})
        return made.arn

    def acts(self, service, region="eu-west-1", role="", **more):
        """A client with the credentials of a role of the pipeline, or of one that it took."""
        import boto3

        arn = role or self.role(**more)
        session = self.cloud.give(arn, "test")
        self.cloud.roles[session.access_key_id] = arn
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.cloud.url,
            aws_access_key_id=session.access_key_id,
            aws_secret_access_key=session.secret_access_key,
            aws_session_token=session.session_token,
        )

    def attach(self, target, *statements, kind=SCP, name="mine"):
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        made = self.org.create_policy(Name=name, Type=kind, Description="", Content=json.dumps(document))
        number = made["Policy"]["PolicySummary"]["Id"]
        self.org.attach_policy(PolicyId=number, TargetId=target)
        return number


@pytest.fixture
def fleet(cloud, client):
    return Fleet(cloud, client)


def test_a_policy_binds_the_accounts_below_where_it_is_attached(fleet):
    sqs, role = fleet.acts("sqs"), fleet.role(name="other")
    sqs.list_queues()
    for target in (fleet.root, fleet.unit, fleet.account):
        number = fleet.attach(target, statement("sqs:*"))
        with pytest.raises(ClientError, match=rf"AccessDenied.*{fleet.account}.*sqs:ListQueues.*{DENIED}"):
            sqs.list_queues()
        fleet.acts("ssm", role=role).describe_parameters()
        fleet.org.detach_policy(PolicyId=number, TargetId=target)
        fleet.org.delete_policy(PolicyId=number)
        sqs.list_queues()


def test_it_does_not_bind_the_management_account_nor_other_units(fleet):
    fleet.attach(fleet.root, statement("sqs:*"))
    fleet.acts("sqs", account=HERE).list_queues()
    inner = fleet.org.create_organizational_unit(ParentId=fleet.root, Name="Other")["OrganizationalUnit"]["Id"]
    fleet.attach(inner, statement("sns:*"), name="second")
    fleet.acts("sns", name="second").list_topics()


def test_it_does_not_bind_roles_of_services(fleet):
    fleet.attach(fleet.unit, statement("sqs:*"))
    fleet.acts("sqs", path="/aws-service-role/x.amazonaws.com/").list_queues()


def test_what_no_policy_of_a_level_allows_is_refused(fleet):
    fleet.attach(fleet.account, statement("sqs:*", "Allow"))
    fleet.org.detach_policy(PolicyId="p-FullAWSAccess", TargetId=fleet.account)
    fleet.acts("sqs").list_queues()
    with pytest.raises(ClientError, match="because no service control policy allows the sns:ListTopics action"):
        fleet.acts("sns", name="second").list_topics()


def test_nothing_is_refused_where_the_type_is_not_enabled(fleet):
    fleet.attach(fleet.unit, statement("sqs:*"))
    fleet.org.disable_policy_type(RootId=fleet.root, PolicyType=SCP)
    fleet.acts("sqs").list_queues()


def test_conditions_know_region_role_and_organisation(fleet):
    regions = {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}}
    exempt = {"ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::*:role/break-glass"]}}
    number = fleet.attach(fleet.unit, statement("sqs:*", Condition={**regions, **exempt}))
    role = fleet.role()
    fleet.acts("sqs", role=role).list_queues()
    with pytest.raises(ClientError, match=DENIED):
        fleet.acts("sqs", "eu-north-1", role).list_queues()
    fleet.acts("sqs", "eu-north-1", name="break-glass").list_queues()
    fleet.org.detach_policy(PolicyId=number, TargetId=fleet.unit)
    other = {"StringNotEquals": {"aws:PrincipalOrgID": "o-other"}}
    fleet.attach(fleet.unit, statement("sns:*", Condition=other), name="strange")
    own = {"StringNotEquals": {"aws:PrincipalOrgID": fleet.backend.org.id}}
    fleet.attach(fleet.unit, statement("ssm:*", Condition=own), name="own")
    with pytest.raises(ClientError, match=DENIED):
        fleet.acts("sns", role=role).list_topics()
    fleet.acts("ssm", role=role).describe_parameters()


def test_a_resource_control_policy_guards_a_member_s_resources(fleet):
    fleet.client("s3", "us-east-1", fleet.account).create_bucket(Bucket="guarded")
    s3 = fleet.acts("s3", "us-east-1")
    s3.list_objects_v2(Bucket="guarded")
    outside = {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-other"}}
    fleet.attach(fleet.unit, statement("s3:*", Principal="*", Condition=outside), kind=RCP)
    with pytest.raises(ClientError, match="with an explicit deny in a resource control policy"):
        s3.list_objects_v2(Bucket="guarded")
    fleet.client("s3", "us-east-1").create_bucket(Bucket="managed")
    fleet.acts("s3", "us-east-1", account=HERE).list_objects_v2(Bucket="managed")
    fleet.acts("sns", name="second").list_topics()  # it does not reach the service


def test_a_role_that_another_account_takes_is_bound_too(fleet):
    trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"{HERE}"}}]}
    worker = fleet.role()
    iam_backends[fleet.account]["aws"].get_role_by_arn(worker).assume_role_policy_document = json.dumps(
        {"Statement": [{**trust["Statement"][0], "Principal": {"AWS": f"arn:aws:iam::{HERE}:root"}}]}
    )
    fleet.attach(fleet.unit, statement("sqs:*"))
    taken = fleet.acts("sts", account=HERE).assume_role(RoleArn=worker, RoleSessionName="try")["Credentials"]
    import boto3

    sqs = boto3.client(
        "sqs", "eu-west-1", endpoint_url=fleet.cloud.url, aws_access_key_id=taken["AccessKeyId"],
        aws_secret_access_key=taken["SecretAccessKey"], aws_session_token=taken["SessionToken"],
    )  # fmt: skip
    with pytest.raises(ClientError, match=DENIED):
        sqs.list_queues()


def test_where_there_is_no_organisation_nothing_is_asked(cloud, monkeypatch):
    monkeypatch.setattr(guardrails, "owner_of", None)
    monkeypatch.setattr(guardrails, "home", None)
    context = {"x": "y"}
    assert guardrails.placed(context, "eu-west-1") is context
    [role] = [one for one in iam_backends[HERE]["aws"].get_roles() if one.name == "dpra-demo-beta"]
    assert permissions.refusal(role, "sqs:ListQueues", "*", {}) == ""
