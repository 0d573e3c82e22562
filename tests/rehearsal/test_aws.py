"""What moto is mended to do, asked for as a pipeline asks for it."""

import json
import textwrap
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError
from dpra.rehearsal.accounts import deployments

BUCKET = "dpra-demo-111111111111-eu-west-1"
EXECUTION_ROLE = "arn:aws:iam::111111111111:role/dpra-demo-beta-execution"

FUNCTION = textwrap.dedent("""
    Parameters:
      Key: {Type: String}
      Say: {Type: String, Default: hello}
      More: {Type: String, Default: "no"}
    Conditions:
      More: !Equals [!Ref More, "yes"]
    Resources:
      Role:
        Type: AWS::IAM::Role
        Properties:
          AssumeRolePolicyDocument: {Statement: []}
      Function:
        Type: AWS::Lambda::Function
        Properties:
          FunctionName: demo
          Runtime: python3.13
          Handler: app.handler
          Timeout: 1
          Role: !GetAtt Role.Arn
          Code: {S3Bucket: BUCKET, S3Key: !Sub "release/${Key}.zip"}
          Environment: {Variables: {SAY: !Ref Say}}
      Topic:
        Type: AWS::SNS::Topic
        Condition: More
    Outputs:
      Name: {Value: !Ref Function}
      Say: {Value: !Ref Say}
""").replace("BUCKET", BUCKET)


@pytest.fixture
def invoke(client):
    def invoke(event):
        answer = client("lambda").invoke(FunctionName="demo", Payload=json.dumps(event))
        return answer.get("FunctionError", ""), json.load(answer["Payload"])

    return invoke


SPEAKER = """
    import os
    def handler(event, context):
        print("asked")
        return {"say": os.environ["SAY"], "version": VERSION, **event}
"""

# ---- CloudFormation


def test_a_first_release_and_an_update_go_by_change_sets_with_outputs(stack, put, invoke, client):
    put("one", SPEAKER.replace("VERSION", "1"))
    put("two", SPEAKER.replace("VERSION", "2"))
    assert stack.change(FUNCTION, Key="one") == ("CREATE_COMPLETE", {"Role": "Add", "Function": "Add"})
    assert stack.execute() == "CREATE_COMPLETE"
    assert stack.outputs() == {"Name": "demo", "Say": "hello"}
    assert invoke({"a": 1}) == ("", {"say": "hello", "version": 1, "a": 1})

    changes = stack.change(FUNCTION, Key="two", Say="servus", More="yes")
    assert changes == ("CREATE_COMPLETE", {"Function": "Modify", "Topic": "Add"})
    assert stack.execute() == "UPDATE_COMPLETE"
    assert stack.outputs() == {"Name": "demo", "Say": "servus"}
    assert invoke({}) == ("", {"say": "servus", "version": 2})

    assert stack.change(FUNCTION, Key="two", Say="servus")[1] == {"Topic": "Remove"}
    assert stack.execute() == "UPDATE_COMPLETE"
    assert client("sns").list_topics()["Topics"] == []
    listed = client("cloudformation").list_stack_resources(StackName="demo")["StackResourceSummaries"]
    assert {item["LogicalResourceId"] for item in listed} == {"Role", "Function"}


def test_no_change_makes_a_failed_change_set_and_new_tags_are_a_change(stack, put):
    put("one", SPEAKER)
    stack.deploy(FUNCTION, Key="one", tags={"dpra:commit": "a"})
    assert stack.change(FUNCTION, Key="one", tags={"dpra:commit": "a"}) == ("FAILED", {})
    with pytest.raises(ClientError, match="InvalidChangeSetStatus"):
        stack.execute()
    assert stack.change(FUNCTION, Key="one", tags={"dpra:commit": "b"})[0] == "CREATE_COMPLETE"


def test_a_failed_creation_rolls_back_and_says_why(stack, put):
    assert stack.deploy(FUNCTION, Key="missing") == "ROLLBACK_COMPLETE"
    assert "NoSuchKey" in stack.failures()["Function"]
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        stack.change(FUNCTION, Key="missing")


def test_a_package_in_a_bucket_of_another_region_fails_as_lambda_fails(stack, client):
    elsewhere = BUCKET.replace("eu-west-1", "us-east-1")
    client("s3").put_object(Bucket=elsewhere, Key="release/one.zip", Body=b"PK\5\6" + bytes(18))
    assert stack.deploy(FUNCTION.replace(BUCKET, elsewhere), Key="one") == "ROLLBACK_COMPLETE"
    assert "The bucket is in this region: us-east-1" in stack.failures()["Function"]


def test_a_failed_update_goes_back_to_what_was_there(stack, put, invoke):
    put("one", SPEAKER.replace("VERSION", "1"))
    put("two", SPEAKER.replace("VERSION", "2"))
    stack.deploy(FUNCTION, Key="one")
    broken = FUNCTION.replace("Outputs:", "  Wrong: {Type: AWS::Madeup::Thing}\nOutputs:")
    assert stack.deploy(broken, Key="two") == "UPDATE_ROLLBACK_COMPLETE"
    assert "AWS::Madeup::Thing" in stack.failures()["Wrong"]
    assert invoke({})[1]["version"] == 1
    assert stack.deploy(FUNCTION, Key="two") == "UPDATE_COMPLETE"
    assert invoke({})[1]["version"] == 2


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("{Type: AWS::Madeup::Thing}", "AWS::Madeup::Thing"),
        (
            "{Type: AWS::SNS::Topic, Properties: {TopicName: !Ref Nowhere}}",
            "Unresolved resource dependencies [Nowhere]",
        ),
        ("{Type: AWS::SNS::Topic, Properties: {TopicName: !GetAtt Alarm.Nothing}}", "Nothing"),
    ],
)
def test_what_the_rehearsal_does_not_know_fails_the_stack(stack, resource, reason):
    alarm = "  Alarm: {Type: AWS::CloudWatch::Alarm, Properties: {EvaluationPeriods: 1, ComparisonOperator: x}}"
    assert stack.deploy(f"Resources:\n{alarm}\n  Thing: {resource}\n") == "ROLLBACK_COMPLETE"
    assert reason in stack.failures()["Thing"]


def test_a_request_that_aws_refuses_is_refused(stack, client):
    with pytest.raises(ClientError, match="CAPABILITY_IAM"):
        stack.change(FUNCTION, Key="one", capabilities=())
    named = FUNCTION.replace("AssumeRolePolicyDocument", "RoleName: mine\n      AssumeRolePolicyDocument")
    with pytest.raises(ClientError, match="CAPABILITY_NAMED_IAM"):
        stack.change(named, Key="one")
    with pytest.raises(ClientError, match=r"Parameters: \[Other\] do not exist"):
        stack.change(FUNCTION, Key="one", Other="x")
    with pytest.raises(ClientError, match="Missing parameter Key"):
        stack.change(FUNCTION)
    with pytest.raises(ClientError, match="ChangeSetNotFound"):
        client("cloudformation").describe_change_set(StackName="other", ChangeSetName="release-1")


@pytest.mark.parametrize(
    ("role", "passes"), [(EXECUTION_ROLE, True), (EXECUTION_ROLE[:-10], False), (EXECUTION_ROLE + "er", False)]
)
def test_cloudformation_takes_only_a_role_that_trusts_it(client, role, passes):
    make = client("cloudformation").create_change_set
    options = {"TemplateBody": "Resources: {T: {Type: AWS::SNS::Topic}}", "ChangeSetType": "CREATE", "RoleARN": role}
    if passes:
        make(StackName="demo", ChangeSetName="one", **options)
    else:
        with pytest.raises(ClientError, match="cannot be assumed"):
            make(StackName="demo", ChangeSetName="one", **options)


def test_the_parameters_of_a_template_are_told(client):
    summary = client("cloudformation").get_template_summary(TemplateBody=FUNCTION)
    assert [parameter["ParameterKey"] for parameter in summary["Parameters"]] == ["Key", "Say", "More"]


def test_accounts_are_kept_apart(stack, put, client):
    put("one", SPEAKER)
    stack.deploy(FUNCTION, Key="one")
    elsewhere = client("cloudformation", account="222222222222").list_stacks()["StackSummaries"]
    assert {summary["StackName"] for summary in elsewhere} == {"dpra-demo-prod", "dpra-demo-store"}
    assert client("sts", account="222222222222").get_caller_identity()["Account"] == "222222222222"


def test_deployments_tell_what_runs_where(stack, put, plan):
    put("one", SPEAKER)
    stack.deploy(FUNCTION, Key="one", tags={"dpra:digest": "d" * 64, "dpra:commit": "c" * 40})
    (found,) = deployments(plan)
    assert (found.environment, found.region, found.digest) == ("beta", "eu-west-1", "d" * 64)


@pytest.mark.parametrize(
    ("missing", "state"),
    [("notBreaching", "OK"), ("breaching", "ALARM"), ("missing", "INSUFFICIENT_DATA"), ("", "INSUFFICIENT_DATA")],
)
def test_an_alarm_without_data_says_what_its_treatment_of_missing_data_makes_of_it(stack, client, missing, state):
    treat = f", TreatMissingData: {missing}" if missing else ""
    alarm = f"{{AlarmName: errors, EvaluationPeriods: 1, ComparisonOperator: LessThanThreshold, Threshold: 1{treat}}}"
    stack.deploy(f"Resources: {{Alarm: {{Type: AWS::CloudWatch::Alarm, Properties: {alarm}}}}}")
    (found,) = client("cloudwatch").describe_alarms(AlarmNames=["errors"])["MetricAlarms"]
    assert found["StateValue"] == state


# ---- Functions


def test_a_function_that_raises_or_takes_too_long_says_so(stack, put, invoke):
    put("bad", "import time\ndef handler(event, context):\n    time.sleep(event['nap'])\n    raise KeyError('oh')\n")
    stack.deploy(FUNCTION, Key="bad")
    error, answer = invoke({"nap": 0})
    assert error == "Unhandled"
    assert answer["errorType"] == "KeyError"
    error, answer = invoke({"nap": 30})
    assert error == "Unhandled"
    assert answer["errorMessage"] == "Task timed out after 1.00 seconds"


def test_a_library_that_is_not_in_the_package_is_not_there(stack, put, invoke):
    put("one", "import boto3\ndef handler(event, context):\n    import pytest\n")
    stack.deploy(FUNCTION.replace("Timeout: 1", "Timeout: 20"), Key="one")
    _, answer = invoke({})
    assert answer["errorType"] == "ModuleNotFoundError"
    assert "pytest" in answer["errorMessage"]


def test_a_function_works_with_the_credentials_of_its_role(stack, put, invoke):
    put(
        "one",
        "import boto3\ndef handler(event, context):\n    return boto3.client('sts').get_caller_identity()['Arn']\n",
    )
    stack.deploy(FUNCTION.replace("Timeout: 1", "Timeout: 20"), Key="one")
    error, answer = invoke({})
    assert not error
    assert "assumed-role/demo-Role" in answer


API = """
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: demo, ProtocolType: HTTP, Target: !GetAtt Function.Arn}}
"""
MAY_INVOKE = """
  MayInvoke:
    Type: AWS::Lambda::Permission
    Properties: {Action: lambda:InvokeFunction, FunctionName: !Ref Function, Principal: apigateway.amazonaws.com}
"""


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_an_api_answers_by_its_function_if_it_may_invoke_it(stack, put):
    put("one", "def handler(event, context):\n    return {'statusCode': 418, 'body': event['rawPath']}\n")
    outputs = "Outputs:\n  Url: {Value: !GetAtt Api.ApiEndpoint}\n"
    assert stack.deploy(FUNCTION.replace("Outputs:", API + outputs), Key="one") == "CREATE_COMPLETE"
    assert fetch(stack.outputs()["Url"] + "/tea") == (500, '{"message": "Internal Server Error"}')
    assert stack.deploy(FUNCTION.replace("Outputs:", API + MAY_INVOKE + outputs), Key="one") == "UPDATE_COMPLETE"
    assert fetch(stack.outputs()["Url"] + "/tea") == (418, "/tea")
