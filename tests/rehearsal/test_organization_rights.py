"""What a role of the pipeline needs to be allowed to change an organisation, as AWS's service authorization has it."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from dpra.rehearsal.mends import organizations, stack_sets
from moto.iam.models import iam_backends

HERE = "111111111111"
ORG = f"arn:aws:organizations::{HERE}"
OURS = [{"Key": "dpra:component", "Value": "fleet"}]
TAG = {"StringEquals": {"aws:RequestTag/dpra:component": "fleet"}}
OWN = {"StringEquals": {"aws:ResourceTag/dpra:component": "fleet"}}
BODY = json.dumps({"Resources": {"Known": {"Type": "AWS::SNS::Topic"}}})


class Fleet:
    def __init__(self, cloud, client):
        self.cloud, self.org = cloud, client("organizations", "us-east-1")
        self.org.create_organization()
        for service in (stack_sets.TRUSTED, "account.amazonaws.com"):
            self.org.enable_aws_service_access(ServicePrincipal=service)
        self.backend = organizations.home(HERE, "aws")
        self.root = self.backend.org.root_id
        self.unit = self.org.create_organizational_unit(ParentId=self.root, Name="one")["OrganizationalUnit"]["Id"]
        self.account = organizations.join(self.backend, {"AccountName": "a", "Email": "a@example.org"}).id
        self.count = 0

    def may(self, service, *statements, region="us-east-1"):
        """A client of a role that may do this, and nothing else."""
        self.count += 1
        role = iam_backends[HERE]["aws"].create_role(f"r{self.count}", "{}", "/", None, "", [], "3600")
        said = [{"Effect": "Allow", "Action": a, "Resource": r, "Condition": c} for a, r, c in statements]
        role.policies["own"] = json.dumps({"Version": "2012-10-17", "Statement": said})
        session = self.cloud.give(role.arn, "test")
        self.cloud.roles[session.access_key_id] = role.arn
        return boto3.client(
            service, region_name=region, endpoint_url=self.cloud.url, aws_access_key_id=session.access_key_id,
            aws_secret_access_key=session.secret_access_key, aws_session_token=session.session_token,
        )  # fmt: skip


@pytest.fixture
def fleet(cloud, client):
    return Fleet(cloud, client)


def refused(action, target=""):
    return pytest.raises(ClientError, match=f"AccessDenied.*{action} on resource: {target}.*no identity-based")


def test_an_account_is_made_with_the_tag_that_is_asked_for(fleet):
    create = ("organizations:CreateAccount", "*", TAG)
    named = {"AccountName": "b", "Email": "b@example.org"}
    org = fleet.may("organizations", create, ("organizations:TagResource", f"{ORG}:account/*", {}))
    with refused("organizations:CreateAccount"):
        org.create_account(**named)
    org.create_account(**named, Tags=OURS)
    with refused("organizations:TagResource", f"{ORG}:account/o-"):
        fleet.may("organizations", create).create_account(**named, Tags=OURS)


def test_a_policy_is_changed_where_it_is_the_component_s(fleet):
    making = {"Type": "TAG_POLICY", "Description": "", "Content": "{}"}
    policies = f"{ORG}:policy/*"
    tagged = ("organizations:TagResource", policies, {})
    org = fleet.may(
        "organizations", ("organizations:CreatePolicy", "*", TAG), tagged, ("organizations:UpdatePolicy", policies, OWN)
    )
    ours = org.create_policy(Name="ours", **making, Tags=OURS)["Policy"]["PolicySummary"]["Id"]
    theirs = fleet.org.create_policy(Name="theirs", **making)["Policy"]["PolicySummary"]["Id"]
    org.update_policy(PolicyId=ours, Description="changed")
    with refused("organizations:UpdatePolicy", f"{ORG}:policy/{fleet.backend.org.id}/tag_policy/{theirs}"):
        org.update_policy(PolicyId=theirs, Description="changed")
    kind = {"StringEquals": {"organizations:PolicyType": "TAG_POLICY"}}
    fleet.may("organizations", ("organizations:UpdatePolicy", policies, kind)).update_policy(PolicyId=theirs, Name="x")


def test_what_is_attached_and_moved_is_allowed_with_its_target(fleet):
    fleet.org.enable_policy_type(RootId=fleet.root, PolicyType="TAG_POLICY")
    made = fleet.org.create_policy(Name="x", Type="TAG_POLICY", Description="", Content="{}")
    number = made["Policy"]["PolicySummary"]["Id"]
    attach = "organizations:AttachPolicy"
    with refused(attach, f"{ORG}:ou/"):
        fleet.may("organizations", (attach, f"{ORG}:policy/*", {})).attach_policy(PolicyId=number, TargetId=fleet.unit)
    both = [f"{ORG}:policy/*", f"{ORG}:ou/*"]
    fleet.may("organizations", (attach, both, {})).attach_policy(PolicyId=number, TargetId=fleet.unit)
    move = {"AccountId": fleet.account, "SourceParentId": fleet.root, "DestinationParentId": fleet.unit}
    with refused("organizations:MoveAccount", f"{ORG}:root/"):
        fleet.may("organizations", ("organizations:MoveAccount", [f"{ORG}:ou/*", f"{ORG}:account/*"], {})).move_account(
            **move
        )
    fleet.may("organizations", ("organizations:MoveAccount", f"{ORG}:*", {})).move_account(**move)
    fleet.may("organizations", ("organizations:List*", "*", {})).list_accounts()


def test_contacts_and_budgets_have_resources(fleet):
    contact = {"AlternateContactType": "SECURITY", "Name": "Ada", "Title": "x"}
    contact |= {"EmailAddress": "a@example.org", "PhoneNumber": "1"}
    put = "account:PutAlternateContact"
    with refused(put, f"arn:aws:account::{HERE}:account/{fleet.backend.org.id}/{fleet.account}"):
        fleet.may("account", (put, f"arn:aws:account::{HERE}:account", {})).put_alternate_contact(
            AccountId=fleet.account, **contact
        )
    account = fleet.may("account", (put, f"arn:aws:account::{HERE}:account/*", {}))
    account.put_alternate_contact(AccountId=fleet.account, **contact)
    budgets = fleet.may("budgets", ("budgets:ModifyBudget", f"arn:aws:budgets::{HERE}:budget/dpra-fleet-*", {}))
    budget = {"BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": "1", "Unit": "USD"}}
    budgets.create_budget(AccountId=HERE, Budget={**budget, "BudgetName": "dpra-fleet-a"})
    with refused("budgets:ModifyBudget"):
        budgets.create_budget(AccountId=HERE, Budget={**budget, "BudgetName": "other"})
    with refused("budgets:ViewBudget"):
        budgets.describe_budget(AccountId=HERE, BudgetName="dpra-fleet-a")


def test_tags_are_read_by_an_action_of_their_own(fleet):
    fleet.may("resourcegroupstaggingapi", ("tag:GetResources", "*", {})).get_resources()
    with refused("tag:GetResources"):
        fleet.may("resourcegroupstaggingapi").get_resources()


def test_stack_sets_are_the_component_s(fleet):
    at = f"arn:aws:cloudformation:*:{HERE}"
    asked = {"StackSetName": "fleet-base", "TemplateBody": BODY, "PermissionModel": "SERVICE_MANAGED"}
    create = "cloudformation:CreateStackSet"
    with refused(create):  # it takes no resource
        fleet.may("cloudformation", (create, f"{at}:stackset/fleet-*", {}), region="eu-west-1").create_stack_set(
            **asked
        )
    fleet.may("cloudformation", (create, "*", {}), region="eu-west-1").create_stack_set(**asked)
    where = {"DeploymentTargets": {"OrganizationalUnitIds": [fleet.unit]}, "Regions": ["eu-west-1"]}
    instances = "cloudformation:CreateStackInstances"
    needed = [f"{at}:stackset/fleet-*", f"{at}:stackset-target/*", "arn:aws:cloudformation:*:*:type/resource/*"]
    for missing in needed:
        left = [one for one in needed if one != missing]
        cloud = fleet.may("cloudformation", (instances, left, {}), region="eu-west-1")
        with refused(instances):
            cloud.create_stack_instances(StackSetName="fleet-base", **where)
    cloud = fleet.may("cloudformation", (instances, needed, {}), region="eu-west-1")
    cloud.create_stack_instances(StackSetName="fleet-base", **where)
    described = ("cloudformation:DescribeStackSet", f"{at}:stackset/fleet-*", {})
    fleet.may("cloudformation", described, region="eu-west-1").describe_stack_set(StackSetName="fleet-base")
