"""Service-managed StackSets in the rehearsal's AWS, asked for by the real AWS CLI and boto3."""

import json
import time

import pytest
from botocore.exceptions import ClientError
from dpra.rehearsal.mends import organizations, protocol, stack_operations
from moto.iam.models import iam_backends

HERE, REGION, OTHER = "111111111111", "eu-west-1", "us-east-1"


def template(name="dpra-probe", session=3600, **more):
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = {
        "RoleName": name,
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        "MaxSessionDuration": session,
    }
    return json.dumps({"Resources": {"Probe": {"Type": "AWS::IAM::Role", "Properties": role}}, **more})


PLAIN = json.dumps(
    {
        "Parameters": {"Value": {"Type": "String", "Default": "one"}},
        "Resources": {
            "Known": {
                "Type": "AWS::SSM::Parameter",
                "Properties": {"Name": "/known", "Type": "String", "Value": {"Ref": "Value"}},
            }
        },
    }
)


def refusal(code, match=""):
    return pytest.raises(ClientError, match=f"\\({code}\\).*{match}")


def pass_seconds(seconds):
    protocol.pass_until(protocol.now() + seconds)


class Sets:
    """An organisation with the units one and two, and their accounts a, b, c and d, e; and its StackSets."""

    def __init__(self, client):
        self.client = client
        self.org = client("organizations", "us-east-1")
        self.org.create_organization()
        self.org.enable_aws_service_access(ServicePrincipal="member.org.stacksets.cloudformation.amazonaws.com")
        self.backend = organizations.home(HERE, "aws")
        self.root = self.org.list_roots()["Roots"][0]["Id"]
        self.one, self.two = self.unit("one"), self.unit("two")
        for name, unit in (("a", self.one), ("b", self.one), ("c", self.one), ("d", self.two), ("e", self.two)):
            setattr(self, name, self.account(name, unit))
        self.cloud = client("cloudformation")

    def unit(self, name, parent=""):
        made = self.org.create_organizational_unit(ParentId=parent or self.root, Name=name)
        return made["OrganizationalUnit"]["Id"]

    def account(self, name, unit):
        made = organizations.join(self.backend, {"AccountName": name, "Email": f"{name}@example.org"}).id
        self.move(made, self.root, unit)
        return made

    def move(self, account, before, after):
        self.org.move_account(AccountId=account, SourceParentId=before, DestinationParentId=after)

    def make(self, name="base", body="", **more):
        self.cloud.create_stack_set(
            **{
                "StackSetName": name,
                "TemplateBody": body or template(),
                "Capabilities": ["CAPABILITY_NAMED_IAM"],
                "PermissionModel": "SERVICE_MANAGED",
                "AutoDeployment": {"Enabled": True, "RetainStacksOnAccountRemoval": False},
                **more,
            }
        )
        return self.cloud.describe_stack_set(StackSetName=name)["StackSet"]["StackSetARN"]

    def create(self, *units, name="base", regions=(REGION,), wait=True, filter=None, **more):
        targets = {"OrganizationalUnitIds": list(units), **(filter or {})}
        asked = {"StackSetName": name, "DeploymentTargets": targets, "Regions": list(regions)}
        number = self.cloud.create_stack_instances(**asked, **more)["OperationId"]
        return self.end(number, name) if wait else number

    def delete(self, *units, name="base", regions=(REGION,), retain=False, **more):
        asked = {"StackSetName": name, "DeploymentTargets": {"OrganizationalUnitIds": list(units)}}
        made = self.cloud.delete_stack_instances(**asked, Regions=list(regions), RetainStacks=retain, **more)
        return self.end(made["OperationId"], name)

    def update(self, body, name="base", wait=True, **more):
        asked = {"StackSetName": name, "TemplateBody": body, "Capabilities": ["CAPABILITY_NAMED_IAM"]}
        number = self.cloud.update_stack_set(**asked, **more)["OperationId"]
        return self.end(number, name) if wait else number

    def look(self, number, name="base"):
        return self.cloud.describe_stack_set_operation(StackSetName=name, OperationId=number)["StackSetOperation"]

    def end(self, number, name="base"):
        for _ in range(100):
            if (found := self.look(number, name))["Status"] in ("SUCCEEDED", "FAILED", "STOPPED"):
                return found
            pass_seconds(stack_operations.GROUP)
        raise AssertionError(found)

    def settle(self, name="base"):
        """All operations of a stack set end; what they did, the oldest first."""
        found = self.cloud.list_stack_set_operations(StackSetName=name)["Summaries"]
        return [(one["Action"], self.end(one["OperationId"], name)["Status"]) for one in reversed(found)]

    def results(self, number, name="base"):
        found = self.cloud.list_stack_set_operation_results(StackSetName=name, OperationId=number)["Summaries"]
        return [(one["Account"], one["Region"], one["Status"]) for one in found]

    def states(self, name="base"):
        found = self.cloud.list_stack_instances(StackSetName=name)["Summaries"]
        return {one["Account"]: (one["Status"], one["StackInstanceStatus"]["DetailedStatus"]) for one in found}


@pytest.fixture
def sets(client):
    return Sets(client)


def roles(account):
    names = {one.name for one in iam_backends[account]["aws"].roles.values()} - {organizations.ROLE}
    return {name for name in names if not name.startswith("stacksets-exec-")}


CURRENT = ("CURRENT", "SUCCEEDED")


def test_the_stacks_are_made_in_the_accounts_of_a_unit_and_below_in_a_while(sets):
    inner = sets.account("inner", sets.unit("inner", sets.one))
    sets.make()
    number = sets.create(sets.one, wait=False, OperationPreferences={"MaxConcurrentPercentage": 100})
    assert sets.look(number)["Status"] == "RUNNING"
    assert roles(sets.a) == set()
    done = sets.end(number)
    assert (done["Action"], done["Status"]) == ("CREATE", "SUCCEEDED")
    assert done["EndTimestamp"] > done["CreationTimestamp"]
    assert sets.states() == dict.fromkeys((sets.a, sets.b, sets.c, inner), CURRENT)
    assert {one: roles(one) for one in (sets.a, inner, sets.d)} == {
        sets.a: {"dpra-probe"}, inner: {"dpra-probe"}, sets.d: set()
    }  # fmt: skip
    instance = sets.cloud.describe_stack_instance(
        StackSetName="base", StackInstanceAccount=sets.a, StackInstanceRegion=REGION
    )["StackInstance"]
    assert (instance["OrganizationalUnitId"], instance["LastOperationId"]) == (sets.one, number)
    [stack] = sets.client("cloudformation", REGION, sets.a).describe_stacks()["Stacks"]
    assert (stack["StackId"], stack["StackStatus"]) == (instance["StackId"], "CREATE_COMPLETE")
    assert sets.cloud.list_stack_set_auto_deployment_targets(StackSetName="base")["Summaries"] == [
        {"OrganizationalUnitId": sets.one, "Regions": [REGION]}
    ]


def test_the_management_account_has_no_stack(sets):
    sets.make()
    sets.create(sets.root)
    assert set(sets.states()) == {sets.a, sets.b, sets.c, sets.d, sets.e}


def test_a_second_operation_is_refused_or_queued_where_execution_is_managed(sets):
    sets.make()
    sets.create(sets.one, wait=False)
    with refusal("OperationInProgressException"):
        sets.create(sets.two)
    with refusal("OperationInProgressException"):
        sets.update(template(session=7200))
    sets.make("queue", template("dpra-queue"), ManagedExecution={"Active": True})
    first = sets.create(sets.one, name="queue", wait=False)
    second = sets.update(template("dpra-queue", session=7200), "queue", wait=False)
    assert [sets.look(number, "queue")["Status"] for number in (first, second)] == ["RUNNING", "QUEUED"]
    with refusal("InvalidOperationException"):
        sets.update(template("dpra-queue"), "queue", ManagedExecution={"Active": False})
    assert sets.end(second, "queue")["Status"] == "SUCCEEDED"
    assert sets.look(first, "queue")["EndTimestamp"] <= sets.look(second, "queue")["EndTimestamp"]
    [role] = [one for one in iam_backends[sets.a]["aws"].roles.values() if one.name == "dpra-queue"]
    assert role.max_session_duration == 7200


def test_an_operation_has_the_id_that_was_asked_for_once(sets):
    sets.make()
    assert sets.create(sets.one, OperationId="release-7")["OperationId"] == "release-7"
    with refusal("OperationIdAlreadyExistsException"):
        sets.create(sets.two, OperationId="release-7")
    with refusal("OperationNotFoundException"):
        sets.look("release-8")


def test_an_operation_stops_where_more_accounts_fail_than_tolerated(sets):
    sets.make()
    stack_operations.FAILING |= {sets.b: "the rehearsal says so"}
    failed = sets.create(sets.one, regions=(REGION, OTHER))
    assert failed["Status"] == "FAILED"
    assert failed["StatusDetails"]["FailedStackInstancesCount"] == 1
    assert sets.results(failed["OperationId"]) == [
        (sets.a, REGION, "SUCCEEDED"), (sets.b, REGION, "FAILED"), (sets.c, REGION, "CANCELLED"),
        (sets.a, OTHER, "CANCELLED"), (sets.b, OTHER, "CANCELLED"), (sets.c, OTHER, "CANCELLED"),
    ]  # fmt: skip
    [wrong] = sets.cloud.list_stack_set_operation_results(
        StackSetName="base",
        OperationId=failed["OperationId"],
        Filters=[{"Name": "OPERATION_RESULT_STATUS", "Values": "FAILED"}],
    )["Summaries"]
    assert (wrong["Account"], wrong["StatusReason"]) == (sets.b, "the rehearsal says so")
    found = sets.cloud.list_stack_instances(StackSetName="base", StackInstanceRegion=REGION)["Summaries"]
    assert {one["Account"]: one["Status"] for one in found} == {
        sets.a: "CURRENT", sets.b: "OUTDATED", sets.c: "OUTDATED"
    }  # fmt: skip
    assert roles(sets.c) == set()
    tolerant = sets.create(sets.one, OperationPreferences={"FailureToleranceCount": 1})
    assert tolerant["Status"] == "SUCCEEDED"
    assert [state for *_, state in sets.results(tolerant["OperationId"])] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    stack_operations.FAILING.clear()
    assert sets.create(sets.one)["Status"] == "SUCCEEDED"
    found = sets.cloud.list_stack_instances(StackSetName="base", StackInstanceRegion=REGION)["Summaries"]
    assert {one["Status"] for one in found} == {"CURRENT"}


def test_accounts_go_on_in_groups(sets):
    sets.make()
    preferences = {"MaxConcurrentCount": 2, "ConcurrencyMode": "SOFT_FAILURE_TOLERANCE"}
    number = sets.create(sets.one, wait=False, OperationPreferences=preferences)
    assert [state for *_, state in sets.results(number)] == ["RUNNING", "RUNNING", "PENDING"]
    pass_seconds(stack_operations.GROUP)
    assert [state for *_, state in sets.results(number)] == ["SUCCEEDED", "SUCCEEDED", "RUNNING"]
    pass_seconds(stack_operations.GROUP)
    assert sets.look(number)["Status"] == "SUCCEEDED"
    strict = {"MaxConcurrentCount": 2, "FailureToleranceCount": 0}
    sets.make("strict", template("dpra-strict"))
    number = sets.create(sets.one, name="strict", wait=False, OperationPreferences=strict)
    assert [state for *_, state in sets.results(number, "strict")] == ["RUNNING", "PENDING", "PENDING"]


def test_an_operation_is_stopped(sets):
    sets.make()
    number = sets.create(sets.one, wait=False)
    sets.cloud.stop_stack_set_operation(StackSetName="base", OperationId=number)
    assert sets.look(number)["Status"] == "STOPPING"
    assert sets.end(number)["Status"] == "STOPPED"
    assert [state for *_, state in sets.results(number)] == ["SUCCEEDED", "CANCELLED", "CANCELLED"]
    with refusal("InvalidOperationException"):
        sets.cloud.stop_stack_set_operation(StackSetName="base", OperationId=number)


def test_a_template_that_does_not_work_in_an_account_fails_there(sets):
    client = sets.client("iam", "us-east-1", sets.b)
    client.create_role(RoleName="dpra-probe", AssumeRolePolicyDocument="{}")
    sets.make()
    done = sets.create(sets.one, OperationPreferences={"FailureToleranceCount": 2})
    assert [state for *_, state in sets.results(done["OperationId"])] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    [reason] = [
        one["StatusReason"]
        for one in sets.cloud.list_stack_instances(StackSetName="base")["Summaries"]
        if one["Account"] == sets.b
    ]
    assert "already exists" in reason
    client.delete_role(RoleName="dpra-probe")
    assert sets.create(sets.one)["Status"] == "SUCCEEDED"
    assert set(sets.states().values()) == {CURRENT}


def test_a_guardrail_refuses_what_a_stack_makes_in_an_account(sets):
    sets.org.enable_policy_type(RootId=sets.root, PolicyType="SERVICE_CONTROL_POLICY")
    statement = {"Effect": "Deny", "Action": "iam:CreateRole", "Resource": "*"}
    content = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    made = sets.org.create_policy(Name="no", Type="SERVICE_CONTROL_POLICY", Description="", Content=content)
    sets.org.attach_policy(PolicyId=made["Policy"]["PolicySummary"]["Id"], TargetId=sets.a)
    sets.make()
    done = sets.create(sets.one, OperationPreferences={"FailureToleranceCount": 1})
    assert [state for *_, state in sets.results(done["OperationId"])] == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
    [said] = [
        one for one in sets.cloud.list_stack_instances(StackSetName="base")["Summaries"] if one["Account"] == sets.a
    ]
    assert "stacksets-exec-" in said["StatusReason"]
    assert "with an explicit deny in a service control policy" in said["StatusReason"]
    assert roles(sets.a) == set()


def test_an_update_of_some_leaves_the_others_outdated(sets):
    sets.make()
    sets.create(sets.one, sets.two)
    targets = {"OrganizationalUnitIds": [sets.one]}
    done = sets.update(template(session=7200), DeploymentTargets=targets, Regions=[REGION])
    assert {account for account, *_ in sets.results(done["OperationId"])} == {sets.a, sets.b, sets.c}
    outdated = ("OUTDATED", "SUCCEEDED")
    assert sets.states() == {
        **dict.fromkeys((sets.a, sets.b, sets.c), CURRENT), **dict.fromkeys((sets.d, sets.e), outdated)
    }  # fmt: skip

    def session(account):
        return next(
            o.max_session_duration for o in iam_backends[account]["aws"].roles.values() if o.name in "dpra-probe"
        )

    assert (session(sets.a), session(sets.d)) == (7200, 3600)
    sets.update(template(session=7200))
    assert set(sets.states().values()) == {CURRENT}
    assert session(sets.d) == 7200
    with refusal("StackInstanceNotFoundException"):
        sets.update(template(), DeploymentTargets=targets, Regions=["eu-north-1"])
    with refusal("ValidationError"):
        sets.update(template(), DeploymentTargets=targets)


def test_targets_are_some_accounts_of_a_unit_or_all_but_some(sets):
    sets.make()
    some = {"Accounts": [sets.a, sets.d], "AccountFilterType": "INTERSECTION"}
    sets.create(sets.one, filter=some)
    assert set(sets.states()) == {sets.a}
    sets.create(sets.one, filter={"Accounts": [sets.b], "AccountFilterType": "DIFFERENCE"})
    assert set(sets.states()) == {sets.a, sets.c}
    for wrong in ({"Accounts": [sets.b]}, {"Accounts": [sets.b], "AccountFilterType": "UNION"}):
        with refusal("ValidationError"):
            sets.create(sets.one, filter=wrong)
    with refusal("ValidationError"):
        sets.cloud.create_stack_instances(StackSetName="base", Accounts=[sets.a], Regions=[REGION])
    targets = {"Accounts": [sets.c]}
    number = sets.cloud.delete_stack_instances(
        StackSetName="base", DeploymentTargets=targets, Regions=[REGION], RetainStacks=False
    )["OperationId"]
    sets.end(number)
    assert set(sets.states()) == {sets.a}


def test_stacks_are_deleted_or_retained(sets):
    sets.make()
    sets.create(sets.one, sets.two)
    with refusal("StackSetNotEmptyException"):
        sets.cloud.delete_stack_set(StackSetName="base")
    sets.delete(sets.one)
    assert roles(sets.a) == set()
    sets.delete(sets.two, retain=True)
    assert roles(sets.d) == {"dpra-probe"}
    assert sets.states() == {}
    assert not sets.cloud.list_stack_set_auto_deployment_targets(StackSetName="base")["Summaries"]
    sets.cloud.delete_stack_set(StackSetName="base")
    with refusal("StackSetNotFoundException"):
        sets.states()
    [gone] = sets.cloud.list_stack_sets(Status="DELETED")["Summaries"]
    assert gone["StackSetName"] == "base"


def test_an_account_that_comes_gets_its_stack_and_one_that_goes_loses_it(sets):
    sets.make()
    sets.create(sets.one)
    new = sets.account("new", sets.one)
    assert sets.settle() == [("CREATE", "SUCCEEDED")] * 2
    assert roles(new) == {"dpra-probe"}
    sets.move(new, sets.one, sets.two)
    assert sets.settle()[-1] == ("DELETE", "SUCCEEDED")
    assert roles(new) == set()
    assert new not in sets.states()
    sets.create(sets.two)
    before = len(sets.settle())
    sets.move(new, sets.two, sets.one)  # it is covered there, too
    assert len(sets.settle()) == before
    assert sets.states()[new] == CURRENT


def test_an_account_that_goes_keeps_its_stack_where_that_was_asked_for(sets):
    sets.make(AutoDeployment={"Enabled": True, "RetainStacksOnAccountRemoval": True})
    sets.create(sets.one)
    sets.move(sets.a, sets.one, sets.two)
    assert sets.settle()[-1] == ("DELETE", "SUCCEEDED")
    assert roles(sets.a) == {"dpra-probe"}
    assert sets.a not in sets.states()


def test_nothing_comes_by_itself_where_that_is_off(sets):
    sets.make(AutoDeployment={"Enabled": False})
    sets.create(sets.one)
    new = sets.account("new", sets.one)
    assert sets.settle() == [("CREATE", "SUCCEEDED")]
    assert roles(new) == set()


def test_a_new_account_of_the_root_gets_its_stack_when_it_is_made(sets):
    sets.make()
    sets.create(sets.root)
    asked = sets.org.create_account(AccountName="new", Email="new@example.org")["CreateAccountStatus"]
    pass_seconds(organizations.CREATION)
    assert sets.settle() == [("CREATE", "SUCCEEDED")] * 2
    found = sets.org.describe_create_account_status(CreateAccountRequestId=asked["Id"])["CreateAccountStatus"]
    assert roles(found["AccountId"]) == {"dpra-probe"}


def test_stack_sets_go_after_those_that_they_depend_on(sets):
    base = sets.make("zbase")
    late = {"Enabled": True, "RetainStacksOnAccountRemoval": False, "DependsOn": [base]}
    sets.make("app", template("dpra-app"), AutoDeployment=late)
    for name in ("zbase", "app"):
        sets.create(sets.one, name=name)
    sets.account("new", sets.one)

    def last(name):
        return sets.cloud.list_stack_set_operations(StackSetName=name)["Summaries"][0]

    assert (last("zbase")["Status"], last("app")["Status"]) == ("RUNNING", "QUEUED")
    pass_seconds(stack_operations.GROUP)
    assert (last("zbase")["Status"], last("app")["Status"]) == ("SUCCEEDED", "RUNNING")
    pass_seconds(stack_operations.GROUP)
    assert last("app")["Status"] == "SUCCEEDED"
    next_one = organizations.join(sets.backend, {"AccountName": "n", "Email": "n@example.org"}).id
    stack_operations.FAILING[next_one] = "no"
    sets.move(next_one, sets.root, sets.one)
    pass_seconds(stack_operations.GROUP)
    assert (last("zbase")["Status"], last("app")["Status"]) == ("FAILED", "FAILED")
    assert "dpra-app" not in roles(next_one)
    with refusal("ValidationError", "cycle"):
        app = sets.cloud.describe_stack_set(StackSetName="app")["StackSet"]["StackSetARN"]
        sets.update(template(), "zbase", AutoDeployment={"Enabled": True, "DependsOn": [app]})
    with refusal("ValidationError", "does not exist"):
        sets.make("other", AutoDeployment={"Enabled": True, "DependsOn": [f"{base}x"]})


def test_parameters_are_overridden_in_an_account(sets):
    sets.make(body=PLAIN, Parameters=[{"ParameterKey": "Value", "ParameterValue": "two"}])
    sets.create(sets.one)
    number = sets.cloud.update_stack_instances(
        StackSetName="base",
        DeploymentTargets={"Accounts": [sets.b]},
        Regions=[REGION],
        ParameterOverrides=[{"ParameterKey": "Value", "ParameterValue": "three"}],
    )["OperationId"]
    assert sets.end(number)["Status"] == "SUCCEEDED"

    def value(account):
        return sets.client("ssm", REGION, account).get_parameter(Name="/known")["Parameter"]["Value"]

    assert [value(account) for account in (sets.a, sets.b)] == ["two", "three"]
    sets.update(PLAIN, Parameters=[{"ParameterKey": "Value", "UsePreviousValue": True}])
    assert [value(account) for account in (sets.a, sets.b)] == ["two", "three"]
    with refusal("ValidationError", "do not exist"):
        sets.update(PLAIN, Parameters=[{"ParameterKey": "Other", "ParameterValue": "x"}])


def test_drift_is_found(sets):
    sets.make()
    sets.create(sets.one)

    def detect():
        number = sets.cloud.detect_stack_set_drift(StackSetName="base")["OperationId"]
        assert sets.end(number)["Action"] == "DETECT_DRIFT"
        found = sets.cloud.list_stack_instances(StackSetName="base")["Summaries"]
        details = sets.look(number)["StackSetDriftDetectionDetails"]
        return details["DriftedStackInstancesCount"], {
            one["Account"] for one in found if one["DriftStatus"] == "DRIFTED"
        }

    assert detect() == (0, set())
    sets.client("iam", "us-east-1", sets.a).update_role(RoleName="dpra-probe", MaxSessionDuration=7200)
    sets.client("iam", "us-east-1", sets.b).delete_role(RoleName="dpra-probe")
    assert detect() == (2, {sets.a, sets.b})
    described = sets.cloud.describe_stack_set(StackSetName="base")["StackSet"]["StackSetDriftDetectionDetails"]
    assert (described["DriftStatus"], described["TotalStackInstancesCount"]) == ("DRIFTED", 3)
    [stack] = sets.client("cloudformation", REGION, sets.c).describe_stacks()["Stacks"]
    sets.client("cloudformation", REGION, sets.c).delete_stack(StackName=stack["StackName"])
    assert detect() == (3, {sets.a, sets.b, sets.c})


def test_what_aws_refuses_of_a_stack_set_is_refused(sets, client):
    sets.make()
    with refusal("NameAlreadyExistsException"):
        sets.make()
    with refusal("ValidationError"):
        sets.make("1x")
    with refusal("InsufficientCapabilitiesException"):
        sets.make("other", Capabilities=[])
    with refusal("ValidationError"):
        sets.make("other", "nonsense")
    with refusal("ValidationError"):
        sets.make("other", PermissionModel="SELF_MANAGED")
    with refusal("ValidationError"):
        sets.create("ou-none-12345678")
    with refusal("ValidationError"):
        sets.cloud.update_stack_set(StackSetName="base")
    sets.org.disable_aws_service_access(ServicePrincipal="member.org.stacksets.cloudformation.amazonaws.com")
    with refusal("ValidationError", "enable organizations access"):
        sets.make("other")


def test_the_aws_cli_makes_a_stack_set(sets, aws, tmp_path):
    (tmp_path / "t.json").write_text(template())
    aws(
        "cloudformation", "create-stack-set", "--stack-set-name", "base", "--template-body", "file://t.json",
        "--capabilities", "CAPABILITY_NAMED_IAM", "--permission-model", "SERVICE_MANAGED", "--auto-deployment",
        "Enabled=true,RetainStacksOnAccountRemoval=false", "--managed-execution", "Active=true", "--tags",
        "Key=dpra:component,Value=fleet",
    )  # fmt: skip
    at = ("--stack-set-name", "base")
    number = aws(
        "cloudformation", "create-stack-instances", *at, "--deployment-targets", f"OrganizationalUnitIds={sets.two}",
        "--regions", REGION, "--operation-preferences", "MaxConcurrentPercentage=50,FailureTolerancePercentage=10",
    )["OperationId"]  # fmt: skip
    for _ in range(20):
        time.sleep(stack_operations.GROUP)
        found = aws("cloudformation", "describe-stack-set-operation", *at, "--operation-id", number)
        if found["StackSetOperation"]["Status"] != "RUNNING":
            break
    assert found["StackSetOperation"]["Status"] == "SUCCEEDED"
    described = aws("cloudformation", "describe-stack-set", *at)["StackSet"]
    assert described["AutoDeployment"] == {"Enabled": True, "RetainStacksOnAccountRemoval": False}
    assert described["ManagedExecution"] == {"Active": True}
    assert described["Tags"] == [{"Key": "dpra:component", "Value": "fleet"}]
    assert described["OrganizationalUnitIds"] == [sets.two]
    assert json.loads(described["TemplateBody"]) == json.loads(template())
