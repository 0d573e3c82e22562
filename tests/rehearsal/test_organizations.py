"""An organisation in the rehearsal's AWS, asked for by the real AWS CLI and boto3."""

import json
import time

import pytest
from botocore.exceptions import ClientError
from dpra.rehearsal import permissions
from dpra.rehearsal.mends import organization_policies, organization_tags, organizations, protocol
from dpra.rehearsal.mends.controltower import store
from moto.iam.models import iam_backends

HERE = "111111111111"
DENY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "ec2:*", "Resource": "*"}]}
SCP, RCP, TAGS = "SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY", "TAG_POLICY"


def refusal(code, match=""):
    return pytest.raises(ClientError, match=f"\\({code}\\).*{match}")


def reason(error):
    return error.value.response["Reason"]


@pytest.fixture
def org(client):
    made = client("organizations", "us-east-1")
    made.create_organization(FeatureSet="ALL")
    return made


@pytest.fixture
def root(org):
    return org.list_roots()["Roots"][0]["Id"]


@pytest.fixture
def unit(org):
    def unit(name, parent):
        return org.create_organizational_unit(ParentId=parent, Name=name)["OrganizationalUnit"]["Id"]

    return unit


@pytest.fixture
def account(org):
    def account(name, **more):
        asked = org.create_account(AccountName=name, Email=f"{name}@example.org", **more)["CreateAccountStatus"]
        pass_seconds(organizations.CREATION)
        found = org.describe_create_account_status(CreateAccountRequestId=asked["Id"])["CreateAccountStatus"]
        assert found["State"] == "SUCCEEDED"
        return found["AccountId"]

    return account


@pytest.fixture
def policy(org):
    def policy(name, kind=SCP, content=None):
        text = json.dumps(DENY if content is None else content)
        return org.create_policy(Name=name, Type=kind, Description="", Content=text)["Policy"]["PolicySummary"]["Id"]

    return policy


def pass_seconds(seconds):
    protocol.pass_until(protocol.now() + seconds)


def attached(org, target, kind=SCP):
    return [one["Name"] for one in org.list_policies_for_target(TargetId=target, Filter=kind)["Policies"]]


# ---- Accounts


def test_an_account_is_there_when_aws_has_made_it(org, root):
    asked = org.create_account(AccountName="shop", Email="shop@example.org", Tags=[{"Key": "a", "Value": "b"}])
    said = asked["CreateAccountStatus"]
    assert said["State"] == "IN_PROGRESS"
    assert "AccountId" not in said
    assert len(org.list_accounts()["Accounts"]) == 1
    assert [one["Id"] for one in org.list_create_account_status(States=["IN_PROGRESS"])["CreateAccountStatuses"]] == [
        said["Id"]
    ]
    pass_seconds(organizations.CREATION)
    done = org.describe_create_account_status(CreateAccountRequestId=said["Id"])["CreateAccountStatus"]
    assert (done["State"], done["AccountName"]) == ("SUCCEEDED", "shop")
    assert done["CompletedTimestamp"] > done["RequestedTimestamp"]
    assert not org.list_create_account_status(States=["IN_PROGRESS"])["CreateAccountStatuses"]
    [found] = [one for one in org.list_accounts()["Accounts"] if one["Name"] == "shop"]
    assert (found["Id"], found["State"], found["JoinedMethod"]) == (done["AccountId"], "ACTIVE", "CREATED")
    assert "Status" not in found
    assert found["Paths"][0].endswith(f"/{root}/{found['Id']}/")
    assert org.list_parents(ChildId=found["Id"])["Parents"] == [{"Id": root, "Type": "ROOT"}]
    assert org.list_tags_for_resource(ResourceId=found["Id"])["Tags"] == [{"Key": "a", "Value": "b"}]


def test_a_new_account_has_a_role_that_trusts_the_management_account(account):
    made = account("shop")
    [role] = iam_backends[made]["aws"].roles.values()
    trust = json.loads(role.assume_role_policy_document)["Statement"]
    assert role.arn == f"arn:aws:iam::{made}:role/OrganizationAccountAccessRole"
    assert [one["Principal"] for one in trust] == [{"AWS": f"arn:aws:iam::{HERE}:root"}]
    assert permissions.attached(role) == ["arn:aws:iam::aws:policy/AdministratorAccess"]
    own = account("other", RoleName="breakglass")
    assert [one.name for one in iam_backends[own]["aws"].roles.values()] == ["breakglass"]


def test_an_e_mail_is_of_one_account(org, account):
    account("shop")
    again = org.create_account(AccountName="second", Email="shop@example.org")["CreateAccountStatus"]
    assert again["State"] == "IN_PROGRESS"
    pass_seconds(organizations.CREATION)
    [failed] = org.list_create_account_status(States=["FAILED"])["CreateAccountStatuses"]
    assert (failed["Id"], failed["FailureReason"]) == (again["Id"], "EMAIL_ALREADY_EXISTS")
    assert "AccountId" not in failed
    assert len(org.list_accounts()["Accounts"]) == 2


def test_the_rehearsal_lets_an_account_fail_once(org, account):
    organizations.FAILING["shop@example.org"] = "INTERNAL_FAILURE"
    org.create_account(AccountName="shop", Email="shop@example.org")
    pass_seconds(organizations.CREATION)
    [failed] = org.list_create_account_status()["CreateAccountStatuses"]
    assert (failed["State"], failed["FailureReason"]) == ("FAILED", "INTERNAL_FAILURE")
    assert account("shop")


def test_five_accounts_are_in_the_making_at_most(org):
    for number in range(5):
        org.create_account(AccountName=f"a{number}", Email=f"a{number}@example.org")
    with refusal("ConstraintViolationException") as error:
        org.create_account(AccountName="a5", Email="a5@example.org")
    assert reason(error) == "ACCOUNT_CREATION_RATE_LIMIT_EXCEEDED"
    pass_seconds(organizations.CREATION)
    org.create_account(AccountName="a5", Email="a5@example.org")


def test_lists_come_in_pages_of_twenty(org, root, account, unit):
    made = {account(f"a{number}") for number in range(21)}
    first = org.list_accounts()
    assert len(first["Accounts"]) == 20
    second = org.list_accounts(NextToken=first["NextToken"])
    assert len(second["Accounts"]) == 2
    assert "NextToken" not in second
    assert {one["Id"] for one in (*first["Accounts"], *second["Accounts"])} == made | {HERE}
    pages = org.get_paginator("list_accounts_for_parent").paginate(ParentId=root, PaginationConfig={"PageSize": 3})
    assert [len(one["Accounts"]) for one in pages] == [3] * 7 + [1]
    pages = list(org.get_paginator("list_create_account_status").paginate())
    assert [len(one["CreateAccountStatuses"]) for one in pages] == [20, 1]
    for number in range(21):
        unit(f"u{number}", root)
    pages = list(org.get_paginator("list_organizational_units_for_parent").paginate(ParentId=root))
    assert [len(one["OrganizationalUnits"]) for one in pages] == [20, 1]
    with refusal("InvalidInputException"):
        org.list_accounts(MaxResults=21)
    with refusal("InvalidInputException") as error:
        org.list_accounts(NextToken="nonsense!")
    assert reason(error) == "INVALID_PAGINATION_TOKEN"


def test_an_account_is_moved_from_where_it_is(org, root, account, unit):
    made, one, two = account("shop"), unit("one", root), unit("two", root)

    def move(before, after):
        org.move_account(AccountId=made, SourceParentId=before, DestinationParentId=after)

    with refusal("SourceParentNotFoundException"):
        move(one, two)
    with refusal("DuplicateAccountException"):
        move(root, root)
    with refusal("DestinationParentNotFoundException"):
        move(root, "ou-none-12345678")
    move(root, one)
    assert [found["Id"] for found in org.list_accounts_for_parent(ParentId=one)["Accounts"]] == [made]
    assert org.list_children(ParentId=one, ChildType="ACCOUNT")["Children"] == [{"Id": made, "Type": "ACCOUNT"}]
    with refusal("AccountNotFoundException"):
        org.move_account(AccountId="999999999999", SourceParentId=root, DestinationParentId=one)


def test_an_account_is_closed_in_a_while(org, account):
    made = [account(f"a{number}") for number in range(4)]
    for one in made[:3]:
        org.close_account(AccountId=one)
    assert org.describe_account(AccountId=made[0])["Account"]["State"] == "PENDING_CLOSURE"
    with refusal("ConstraintViolationException") as error:
        org.close_account(AccountId=made[3])
    assert reason(error) == "CLOSE_ACCOUNT_REQUESTS_LIMIT_EXCEEDED"
    with refusal("ConflictException"):
        org.close_account(AccountId=made[0])
    pass_seconds(organizations.CLOSURE)
    assert org.describe_account(AccountId=made[0])["Account"]["State"] == "CLOSED"
    with refusal("AccountAlreadyClosedException"):
        org.close_account(AccountId=made[0])
    with refusal("ConstraintViolationException") as error:
        org.close_account(AccountId=HERE)
    assert reason(error) == "CANNOT_CLOSE_MANAGEMENT_ACCOUNT"


def test_who_is_no_member_or_does_not_manage_it_is_refused(org, account, client):
    made = account("shop")
    member = client("organizations", "us-east-1", made)
    assert member.describe_organization()["Organization"]["MasterAccountId"] == HERE
    with refusal("AccessDeniedException"):
        member.list_accounts()
    with refusal("AWSOrganizationsNotInUseException"):
        client("organizations", "us-east-1", "222222222222").list_accounts()
    org.register_delegated_administrator(AccountId=made, ServicePrincipal="ssm.amazonaws.com")
    assert len(member.list_accounts()["Accounts"]) == 2
    with refusal("AccessDeniedException"):
        member.create_account(AccountName="x", Email="x@example.org")


# ---- Units


def test_units_have_names_of_their_own_and_are_five_deep(org, root, unit, account):
    one = unit("one", root)
    with refusal("DuplicateOrganizationalUnitException"):
        unit("one", root)
    deepest = one
    for name in ("one", "two", "three", "four"):
        deepest = unit(name, deepest)
    with refusal("ConstraintViolationException") as error:
        unit("six", deepest)
    assert reason(error) == "OU_DEPTH_LIMIT_EXCEEDED"
    two = unit("two", root)
    with refusal("DuplicateOrganizationalUnitException"):
        org.update_organizational_unit(OrganizationalUnitId=two, Name="one")
    org.update_organizational_unit(OrganizationalUnitId=two, Name="two")
    with refusal("OrganizationalUnitNotEmptyException"):
        org.delete_organizational_unit(OrganizationalUnitId=one)
    made = account("shop")
    org.move_account(AccountId=made, SourceParentId=root, DestinationParentId=two)
    with refusal("OrganizationalUnitNotEmptyException"):
        org.delete_organizational_unit(OrganizationalUnitId=two)
    org.delete_organizational_unit(OrganizationalUnitId=deepest)
    with refusal("OrganizationalUnitNotFoundException"):
        org.describe_organizational_unit(OrganizationalUnitId=deepest)
    with refusal("ParentNotFoundException"):
        unit("x", deepest)


# ---- Policies


def test_a_type_is_enabled_before_its_policies_are_attached(org, root, policy, account, unit):
    made, one = account("shop"), unit("one", root)
    mine = policy("mine")
    assert attached(org, root) == attached(org, made) == []
    with refusal("PolicyTypeNotEnabledException"):
        org.attach_policy(PolicyId=mine, TargetId=root)
    org.enable_policy_type(RootId=root, PolicyType=SCP)
    with refusal("PolicyTypeAlreadyEnabledException"):
        org.enable_policy_type(RootId=root, PolicyType=SCP)
    assert org.list_roots()["Roots"][0]["PolicyTypes"] == [{"Type": SCP, "Status": "ENABLED"}]
    later = account("later")
    assert {tuple(attached(org, at)) for at in (root, one, made, later, unit("two", root))} == {("FullAWSAccess",)}
    org.attach_policy(PolicyId=mine, TargetId=one)
    with refusal("DuplicatePolicyAttachmentException"):
        org.attach_policy(PolicyId=mine, TargetId=one)
    with refusal("PolicyInUseException"):
        org.delete_policy(PolicyId=mine)
    assert [one["TargetId"] for one in org.list_targets_for_policy(PolicyId=mine)["Targets"]] == [one]
    org.disable_policy_type(RootId=root, PolicyType=SCP)
    assert attached(org, one) == []
    org.enable_policy_type(RootId=root, PolicyType=SCP)
    assert attached(org, one) == ["FullAWSAccess"]
    org.delete_policy(PolicyId=mine)


def test_a_target_has_ten_scps_and_five_rcps_and_never_none(org, root, policy):
    rcp = {**DENY, "Statement": [{**DENY["Statement"][0], "Action": "s3:*", "Principal": "*"}]}
    for kind, most, content in ((SCP, 10, DENY), (RCP, 5, rcp)):
        org.enable_policy_type(RootId=root, PolicyType=kind)
        made = [policy(f"{kind}{number}", kind, content) for number in range(most)]
        for one in made[:-1]:
            org.attach_policy(PolicyId=one, TargetId=root)
        with refusal("ConstraintViolationException") as error:
            org.attach_policy(PolicyId=made[-1], TargetId=root)
        assert reason(error) == "MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED"
        for one in made[:-1]:
            org.detach_policy(PolicyId=one, TargetId=root)
    with refusal("PolicyNotAttachedException"):
        org.detach_policy(PolicyId=made[0], TargetId=root)
    with refusal("ConstraintViolationException") as error:
        org.detach_policy(PolicyId="p-FullAWSAccess", TargetId=root)
    assert reason(error) == "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED"
    with refusal("InvalidInputException") as error:
        org.detach_policy(PolicyId="p-RCPFullAWSAccess", TargetId=root)
    assert reason(error) == "NON_DETACHABLE_POLICY"


def test_policies_of_every_type_of_the_model_are_made(org, root, policy):
    for kind in protocol.service("organizations").shape_for("PolicyType").enum:
        assert kind in organization_policies.KINDS
        org.enable_policy_type(RootId=root, PolicyType=kind)
        content = DENY
        if kind == RCP:
            content = {**DENY, "Statement": [{**DENY["Statement"][0], "Action": "s3:*", "Principal": "*"}]}
        made = policy(kind, kind, content)
        org.attach_policy(PolicyId=made, TargetId=root)
        [found] = [one for one in org.list_policies(Filter=kind)["Policies"] if not one["AwsManaged"]]
        assert found["Arn"].split("/")[-2:] == [kind.lower(), made]


def test_documents_and_names_that_aws_refuses_are_refused(org, policy):
    first = policy("mine")
    with refusal("DuplicatePolicyException"):
        policy("mine")
    second = policy("second")
    with refusal("DuplicatePolicyException"):
        org.update_policy(PolicyId=second, Name="mine")
    org.update_policy(PolicyId=first, Name="mine", Description="still")
    with refusal("MalformedPolicyDocumentException"):
        policy("bad", content={"Version": "2012-10-17", "Statement": [{"Effect": "Maybe"}]})
    with refusal("MalformedPolicyDocumentException"):
        org.update_policy(PolicyId=first, Content="{")
    long = {**DENY, "Statement": [{**DENY["Statement"][0], "Action": [f"ec2:{'x' * 100}{n}" for n in range(110)]}]}
    with refusal("ConstraintViolationException") as error:
        org.update_policy(PolicyId=first, Content=json.dumps(long))
    assert reason(error) == "POLICY_CONTENT_LIMIT_EXCEEDED"
    assert json.loads(org.describe_policy(PolicyId=first)["Policy"]["Content"]) == DENY
    with refusal("InvalidInputException") as error:
        org.update_policy(PolicyId="p-FullAWSAccess", Content=json.dumps(DENY))
    assert reason(error) == "IMMUTABLE_POLICY"
    with refusal("PolicyNotFoundException"):
        org.describe_policy(PolicyId="p-12345678")
    with refusal("InvalidInputException"):
        org.describe_policy(PolicyId="mine")


def test_what_policies_of_a_type_say_together(org, root, policy, account, unit):
    org.enable_policy_type(RootId=root, PolicyType=TAGS)
    made, one = account("shop"), unit("one", root)
    org.move_account(AccountId=made, SourceParentId=root, DestinationParentId=one)
    with refusal("EffectivePolicyNotFoundException"):
        org.describe_effective_policy(PolicyType=TAGS, TargetId=made)
    above = {"tags": {"team": {"tag_key": {"@@assign": "Team"}, "tag_value": {"@@assign": ["a", "b"]}}}}
    below = {"tags": {"team": {"tag_value": {"@@append": ["c"], "@@remove": ["a"]}}}}
    org.attach_policy(PolicyId=policy("above", TAGS, above), TargetId=root)
    org.attach_policy(PolicyId=policy("below", TAGS, below), TargetId=one)
    found = org.describe_effective_policy(PolicyType=TAGS, TargetId=made)["EffectivePolicy"]["PolicyContent"]
    assert json.loads(found) == {"tags": {"team": {"tag_key": "Team", "tag_value": ["b", "c"]}}}


# ---- Tags


def test_tags_of_everything_are_read_at_once(org, root, account, unit, policy, client):
    made, one, mine = account("shop"), unit("one", root), policy("mine")
    for number in (made, one, mine, root):
        org.tag_resource(ResourceId=number, Tags=[{"Key": "dpra:component", "Value": number}])
    api = client("resourcegroupstaggingapi", "us-east-1")

    def read(*kinds, **more):
        found = api.get_resources(ResourceTypeFilters=[f"organizations:{kind}" for kind in kinds], **more)
        return {one["ResourceARN"].rpartition("/")[2]: one["Tags"] for one in found["ResourceTagMappingList"]}

    for kind, number in (("account", made), ("ou", one), ("policy", mine), ("root", root)):
        assert read(kind) == {number: [{"Key": "dpra:component", "Value": number}]}
    assert set(read("account", "ou", TagFilters=[{"Key": "dpra:component", "Values": [one]}])) == {one}
    org.untag_resource(ResourceId=made, TagKeys=["dpra:component"])
    assert read("account") == {made: []}
    assert not client("resourcegroupstaggingapi").get_resources()["ResourceTagMappingList"]


def test_the_tagging_api_hears_of_a_change_a_little_later(org, root, unit, client, monkeypatch):
    monkeypatch.setattr(organization_tags, "LAG", 5.0)
    one, api = unit("one", root), client("resourcegroupstaggingapi", "us-east-1")
    old, new = [{"Key": "team", "Value": "a"}], [{"Key": "team", "Value": "b"}]

    def told():
        return [found["Tags"] for found in api.get_resources()["ResourceTagMappingList"]]

    org.tag_resource(ResourceId=one, Tags=old)
    assert told() == []
    pass_seconds(5)
    assert told() == [old]
    org.tag_resource(ResourceId=one, Tags=new)
    assert (told(), org.list_tags_for_resource(ResourceId=one)["Tags"]) == ([old], new)
    pass_seconds(5)
    assert told() == [new]


def test_tags_come_in_pages_of_a_hundred(org, account, client):
    backend = organizations.home(HERE, "aws")
    for number in range(101):
        organizations.join(backend, {"AccountName": f"a{number}", "Email": f"a{number}@example.org"}).tags = {
            f"key{tag}": "x" for tag in range(20)
        }
    api = client("resourcegroupstaggingapi", "us-east-1")
    asked = {"ResourceTypeFilters": ["organizations:account"], "ResourcesPerPage": 100}
    first = api.get_resources(**asked)
    assert len(first["ResourceTagMappingList"]) == 100
    second = api.get_resources(**asked, PaginationToken=first["PaginationToken"])
    assert (len(second["ResourceTagMappingList"]), second["PaginationToken"]) == (1, "")


def test_tags_that_aws_refuses_are_refused(org, account):
    made = account("shop")
    for tags, code, why in (
        ([{"Key": "aws:x", "Value": ""}], "InvalidInputException", "INVALID_SYSTEM_TAGS_PARAMETER"),
        ([{"Key": "x", "Value": ""}] * 2, "InvalidInputException", "DUPLICATE_TAG_KEY"),
        ([{"Key": f"x{n}", "Value": ""} for n in range(51)], "ConstraintViolationException", "MAX_TAG_LIMIT_EXCEEDED"),
    ):
        with refusal(code) as error:
            org.tag_resource(ResourceId=made, Tags=tags)
        assert reason(error) == why
    with refusal("TargetNotFoundException"):
        org.tag_resource(ResourceId="999999999999", Tags=[{"Key": "x", "Value": ""}])


# ---- Contacts and budgets


def test_the_management_account_sets_contacts_of_its_members(org, account, client):
    made, api = account("shop"), client("account", "us-east-1")
    about = {"Name": "Ada", "Title": "Lead", "EmailAddress": "ada@example.org", "PhoneNumber": "+49 1"}
    contact = {"AlternateContactType": "SECURITY", **about}
    with refusal("AccessDeniedException", "trusted access"):
        api.put_alternate_contact(AccountId=made, **contact)
    org.enable_aws_service_access(ServicePrincipal="account.amazonaws.com")
    api.put_alternate_contact(AccountId=made, **contact)
    which = {"AccountId": made, "AlternateContactType": "SECURITY"}
    assert api.get_alternate_contact(**which)["AlternateContact"] == contact
    own = client("account", "us-east-1", made).get_alternate_contact(AlternateContactType="SECURITY")
    assert own["AlternateContact"] == contact
    for number, where in ((HERE, api), ("999999999999", api), (HERE, client("account", "us-east-1", made))):
        with refusal("AccessDeniedException"):
            where.put_alternate_contact(AccountId=number, **contact)
    with refusal("ValidationException", "EmailAddress"):
        api.put_alternate_contact(AccountId=made, **{**contact, "EmailAddress": "nobody"})
    api.delete_alternate_contact(**which)
    for ask in (api.get_alternate_contact, api.delete_alternate_contact):
        with refusal("ResourceNotFoundException"):
            ask(**which)


def test_budgets_are_made_changed_and_deleted(client):
    api = client("budgets", "us-east-1")

    def budget(amount, name="shop"):
        about = {"BudgetName": name, "BudgetType": "COST", "TimeUnit": "MONTHLY"}
        return {**about, "BudgetLimit": {"Amount": amount, "Unit": "USD"}}

    def limit():
        return api.describe_budget(AccountId=HERE, BudgetName="shop")["Budget"]["BudgetLimit"]["Amount"]

    with refusal("NotFoundException"):
        api.update_budget(AccountId=HERE, NewBudget=budget("5"))
    notification = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80}
    whom = [{"SubscriptionType": "EMAIL", "Address": "ada@example.org"}]
    told = [{"Notification": notification, "Subscribers": whom}]
    api.create_budget(AccountId=HERE, Budget=budget("5"), NotificationsWithSubscribers=told)
    with refusal("DuplicateRecordException"):
        api.create_budget(AccountId=HERE, Budget=budget("5"))
    assert limit() == "5"
    api.update_budget(AccountId=HERE, NewBudget=budget("7"))
    assert limit() == "7"
    assert len(api.describe_notifications_for_budget(AccountId=HERE, BudgetName="shop")["Notifications"]) == 1
    with refusal("AccessDeniedException"):
        api.create_budget(AccountId="222222222222", Budget=budget("5"))
    with refusal("InvalidParameterException"):
        api.create_budget(AccountId=HERE, Budget=budget("5", "a:b"))
    api.create_budget(AccountId=HERE, Budget=budget("5", "second"))
    pages = api.get_paginator("describe_budgets").paginate(AccountId=HERE, PaginationConfig={"PageSize": 1})
    assert [[one["BudgetName"] for one in page["Budgets"]] for page in pages] == [["shop"], ["second"]]
    api.delete_budget(AccountId=HERE, BudgetName="shop")
    with refusal("NotFoundException"):
        limit()


# ---- Control Tower


def test_control_tower_enrols_an_account_that_comes_to_a_unit_that_it_governs(org, root, account, unit, client):
    tower = client("controltower")
    assert tower.list_enabled_baselines()["enabledBaselines"] == []
    one, first = unit("one", root), account("first")
    org.move_account(AccountId=first, SourceParentId=root, DestinationParentId=one)
    store.govern(HERE, "eu-west-1", one)
    [governed] = tower.list_enabled_baselines()["enabledBaselines"]
    assert governed["targetIdentifier"].endswith(f"/{one}")

    def states():
        asked = {"filter": {"parentIdentifiers": [governed["arn"]]}, "includeChildren": True}
        found = tower.list_enabled_baselines(**asked)["enabledBaselines"]
        return {each["targetIdentifier"].rpartition("/")[2]: each["statusSummary"]["status"] for each in found}

    assert states() == {first: "SUCCEEDED"}
    made, other = account("shop"), account("other")
    for number in (made, other):
        org.move_account(AccountId=number, SourceParentId=root, DestinationParentId=one)
    assert states() == {first: "SUCCEEDED", made: "UNDER_CHANGE", other: "UNDER_CHANGE"}
    store.FAILING.add(other)
    pass_seconds(store.ENROLMENT)
    assert states() == {first: "SUCCEEDED", made: "SUCCEEDED", other: "FAILED"}
    org.move_account(AccountId=made, SourceParentId=one, DestinationParentId=root)
    assert set(states()) == {first, other}
    with refusal("ValidationException"):
        tower.list_enabled_baselines(filter={"statuses": ["SOME"]})


def test_the_aws_cli_makes_an_organisation(aws):
    aws("organizations", "create-organization")
    asked = aws("organizations", "create-account", "--account-name", "shop", "--email", "shop@example.org")
    number = asked["CreateAccountStatus"]["Id"]
    for _ in range(20):
        time.sleep(organizations.CREATION / 4)
        found = aws("organizations", "describe-create-account-status", "--create-account-request-id", number)
        if found["CreateAccountStatus"]["State"] != "IN_PROGRESS":
            break
    assert found["CreateAccountStatus"]["State"] == "SUCCEEDED"
    accounts = aws("organizations", "list-accounts")["Accounts"]
    assert {one["Name"] for one in accounts} == {"master", "shop"}
    told = aws("resourcegroupstaggingapi", "get-resources", "--region", "us-east-1")
    assert told["ResourceTagMappingList"] == []


def test_the_next_rehearsal_begins_without_an_organisation(client):
    with refusal("AWSOrganizationsNotInUseException"):
        client("organizations", "us-east-1").describe_organization()
    assert not organizations.organizations_backends.master_accounts
