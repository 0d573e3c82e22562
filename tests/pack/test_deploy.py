"""A deployment shows its changes first, executes them, and says what failed and what to do."""

import json
from typing import Any

import pytest

TEMPLATE = """
Parameters:
  ArtifactKey: {Type: String}
  Environment: {Type: String}
Resources:
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: !Ref Environment}}
"""
STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1"
CHANGE_SET = "arn:aws:cloudformation:eu-west-1:123456789012:changeSet/dpra-7-1/1"
ABSENT = "ValidationError: Stack with id shop does not exist"
ADD = {"Action": "Add", "LogicalResourceId": "Topic", "ResourceType": "AWS::SNS::Topic"}
REPLACE = {"Action": "Modify", "LogicalResourceId": "Db", "ResourceType": "AWS::RDS::DBInstance", "Replacement": "True"}


def stack(status: str, **outputs: str) -> dict[str, Any]:
    listed = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    one = {"StackName": "shop", "StackId": STACK, "StackStatus": status, "CreationTime": "2026-01-01T00:00:00Z"}
    return {"Stacks": [one | ({"Outputs": listed} if listed else {})]}


def event(number: int, status: str, resource: str, reason: str = "") -> dict[str, Any]:
    said = {"ResourceStatusReason": reason} if reason else {}
    return {
        "StackId": STACK,
        "StackName": "shop",
        "Timestamp": "2026-01-01T00:00:00Z",
        "EventId": str(number),
        "ResourceStatus": status,
        "LogicalResourceId": resource,
    } | said


@pytest.fixture
def deploy(hurried: Any, job: Any, aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Deploys a release to a stack that AWS answers for."""
    import release

    monkeypatch.setenv("GITHUB_SHA", job.env["GITHUB_SHA"])
    job.write("release/template.yml", TEMPLATE)
    job.write("release/package.zip", "zip")
    digest = release.describe(job.workspace / "release", "shop")
    aws.will("sts get-caller-identity", {"Account": "123456789012"})
    aws.will("s3api put-object", {"ETag": '"1"'})
    keys = ("ArtifactKey", "Environment")
    aws.will("cloudformation get-template-summary", {"Parameters": [{"ParameterKey": key} for key in keys]})
    aws.will("cloudformation create-change-set", {"Id": CHANGE_SET, "StackId": STACK})
    aws.will("cloudformation delete-change-set", {})
    aws.will("cloudformation execute-change-set", {})
    changes_are(aws, ADD)

    def use(**inputs: str) -> Any:
        return job.use(
            "deploy",
            **{
                "digest": digest,
                "component": "shop",
                "environment": "beta",
                "account": "123456789012",
                "region": "eu-west-1",
                "stack": "shop",
                "bucket": "packages",
            }
            | inputs,
        )

    use.digest = digest  # type: ignore[attr-defined]
    return use


def changes_are(aws: Any, *changes: dict[str, Any]) -> None:
    done = {"Status": "CREATE_COMPLETE", "Changes": [{"Type": "Resource", "ResourceChange": one} for one in changes]}
    aws.will("cloudformation describe-change-set", {"Status": "CREATE_IN_PROGRESS"}, done)


def operations(aws: Any) -> list[str]:
    return [call.split()[1] for call, _ in aws.calls()]


def test_a_first_deployment(aws: Any, deploy: Any) -> None:
    aws.will(
        "cloudformation describe-stacks", ABSENT, stack("CREATE_IN_PROGRESS"), stack("CREATE_COMPLETE", Url="https://x")
    )
    made, done = event(1, "REVIEW_IN_PROGRESS", "shop"), event(2, "CREATE_COMPLETE", "Topic")
    aws.will("cloudformation describe-stack-events", {"StackEvents": [made]}, {"StackEvents": [done, made]})

    ran = deploy(execution_role="arn:aws:iam::123456789012:role/execution")

    assert (ran.code, ran.errors) == (0, [])
    assert operations(aws) == [
        "get-caller-identity",
        "describe-stacks",
        "put-object",
        "get-template-summary",
        "create-change-set",
        "describe-change-set",
        "describe-change-set",
        "describe-stack-events",
        "execute-change-set",
        "describe-stacks",
        "describe-stack-events",
        "describe-stacks",
        "describe-stack-events",
    ]
    key = f"shop/{deploy.digest}/package.zip"
    [(_, put)] = aws.calls("s3api put-object")
    assert (put["Bucket"], put["Key"], put["ExpectedBucketOwner"]) == ("packages", key, "123456789012")
    [(_, made_set)] = aws.calls("cloudformation create-change-set")
    assert made_set == {
        "StackName": "shop",
        "ChangeSetName": f"dpra-7-1-{deploy.digest[:12]}",
        "ChangeSetType": "CREATE",
        "TemplateBody": TEMPLATE,
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        "Parameters": [  # ArtifactBucket is not declared
            {"ParameterKey": "ArtifactKey", "ParameterValue": key},
            {"ParameterKey": "Environment", "ParameterValue": "beta"},
        ],
        "Tags": [
            {"Key": "dpra:component", "Value": "shop"},
            {"Key": "dpra:commit", "Value": "c0ffee" + "0" * 34},
            {"Key": "dpra:digest", "Value": deploy.digest},
        ],
        "RoleARN": "arn:aws:iam::123456789012:role/execution",
    }
    assert aws.calls("cloudformation execute-change-set")[0][1] == {"ChangeSetName": CHANGE_SET}
    assert ran.out.index("Add Topic AWS::SNS::Topic") < ran.out.index("CREATE_COMPLETE Topic")
    assert "REVIEW_IN_PROGRESS" not in ran.out  # what was before is not told again
    assert "| `Add` | `Topic` | `AWS::SNS::Topic` | `-` |" in ran.summary
    assert json.loads(ran.outputs["deployment-outputs"]) == {"Url": "https://x"}
    assert json.loads((aws.job.temp / "deployed/outputs.json").read_text()) == {"Url": "https://x"}  # for other jobs
    assert ran.outputs["started"].endswith("Z")
    assert (ran.record["result"], ran.record["tool"], ran.record["where"]) == ("pass", "cloudformation", CHANGE_SET)


def test_an_update_with_a_replacement_says_so(aws: Any, deploy: Any) -> None:
    changes_are(aws, REPLACE)
    aws.will("cloudformation describe-stacks", stack("UPDATE_ROLLBACK_COMPLETE"), stack("UPDATE_COMPLETE"))
    aws.will("cloudformation describe-stack-events", {"StackEvents": []})
    ran = deploy()
    assert ran.code == 0
    assert aws.calls("cloudformation create-change-set")[0][1]["ChangeSetType"] == "UPDATE"
    assert "RoleARN" not in aws.calls("cloudformation create-change-set")[0][1]
    assert "| `Modify` | `Db` | `AWS::RDS::DBInstance` | `True` |" in ran.summary
    assert ran.outputs["deployment-outputs"] == "{}"


@pytest.mark.parametrize(
    "reason", ["The submitted information didn't contain changes.", "No updates are to be performed."]
)
def test_no_changes_are_fine(aws: Any, deploy: Any, reason: str) -> None:
    aws.will("cloudformation describe-change-set", {"Status": "FAILED", "StatusReason": reason})
    aws.will("cloudformation describe-stacks", stack("UPDATE_COMPLETE", Url="https://x"))
    ran = deploy()
    assert (ran.code, ran.record["result"]) == (0, "pass")
    assert "shop: no changes" in ran.out
    assert "execute-change-set" not in operations(aws)
    assert "delete-change-set" in operations(aws)
    assert json.loads(ran.outputs["deployment-outputs"]) == {"Url": "https://x"}


def test_a_change_set_that_fails_is_deleted_and_explained(aws: Any, deploy: Any) -> None:
    aws.will("cloudformation describe-stacks", ABSENT)
    aws.will("cloudformation describe-change-set", {"Status": "FAILED", "StatusReason": "Circular dependency"})
    ran = deploy()
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "Circular dependency" in ran.errors[0]
    assert operations(aws)[-1] == "delete-change-set"


def test_a_deployment_that_fails_says_which_resource_and_why(aws: Any, deploy: Any) -> None:
    aws.will(
        "cloudformation describe-stacks",
        stack("UPDATE_COMPLETE"),
        stack("UPDATE_ROLLBACK_IN_PROGRESS"),
        stack("UPDATE_ROLLBACK_COMPLETE"),
    )
    old = event(1, "CREATE_FAILED", "Old", "long ago")
    bad = event(2, "UPDATE_FAILED", "Topic", "::error::forged\n::error::Name | taken")
    back = event(3, "UPDATE_ROLLBACK_COMPLETE", "shop")
    aws.will(
        "cloudformation describe-stack-events",
        {"StackEvents": [old]},
        {"StackEvents": [bad, old]},
        {"StackEvents": [back, bad, old]},
    )
    ran = deploy()
    assert (ran.code, ran.record["result"]) == (1, "fail")
    assert ran.errors == [
        "title=shop::UPDATE_FAILED Topic ::error::forged ::error::Name | taken",
        "title=deploy-software::the deployment of shop failed: the stack is UPDATE_ROLLBACK_COMPLETE; "
        "repair what its events name",
    ]
    assert ran.outputs["deployment-outputs"] == ""


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("ROLLBACK_COMPLETE", "delete it"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("DELETE_FAILED", "repair what its events name, or delete it"),
        ("UPDATE_IN_PROGRESS", "wait for its end"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "wait for its end"),
        ("SOMETHING_NEW", "read its events"),
    ],
)
def test_a_stack_that_cannot_be_changed_is_left_alone(aws: Any, deploy: Any, status: str, says: str) -> None:
    aws.will("cloudformation describe-stacks", stack(status))
    ran = deploy()
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert status in ran.errors[0]
    assert says in ran.errors[0]
    assert operations(aws) == ["get-caller-identity", "describe-stacks"]


def test_a_stack_without_resources_is_made_again(aws: Any, deploy: Any) -> None:
    aws.will("cloudformation describe-stacks", stack("REVIEW_IN_PROGRESS"), stack("CREATE_COMPLETE"))
    aws.will("cloudformation describe-stack-events", {"StackEvents": []})
    assert deploy().code == 0
    assert aws.calls("cloudformation create-change-set")[0][1]["ChangeSetType"] == "CREATE"


@pytest.mark.parametrize("call", ["sts get-caller-identity", "cloudformation describe-stacks", "s3api put-object"])
def test_a_refusal_by_aws_is_told(aws: Any, deploy: Any, call: str) -> None:
    aws.will("cloudformation describe-stacks", ABSENT)
    aws.will(call, "AccessDenied: not for you")
    ran = deploy()
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "not for you" in ran.errors[0]
    assert operations(aws)[-1] == call.split()[1]


def test_the_wrong_account_stops_before_anything(aws: Any, deploy: Any) -> None:
    aws.will("sts get-caller-identity", {"Account": "000000000001"})
    assert deploy().code == 1
    assert operations(aws) == ["get-caller-identity"]


@pytest.mark.parametrize("name", ["account", "region", "stack", "bucket", "environment"])
def test_what_is_required_is_required(aws: Any, deploy: Any, name: str) -> None:
    aws.will("cloudformation describe-stacks", ABSENT)
    ran = deploy(**{name: ""})
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert f"the input '{name}' is required" in ran.errors[0]
    assert aws.calls() == []


def test_hostile_values_stay_data_and_reach_aws_as_they_are(
    job: Any, aws: Any, deploy: Any, hostile: dict[str, str], inert: Any
) -> None:
    aws.will("cloudformation describe-stacks", ABSENT, stack("CREATE_FAILED"))
    failures = [event(n, "CREATE_FAILED", text, text) for n, text in enumerate(hostile.values())]
    aws.will("cloudformation describe-stack-events", {"StackEvents": []}, {"StackEvents": failures})
    changes_are(aws, *[ADD | {"LogicalResourceId": text} for text in hostile.values()])
    values = {"stack": "commands", "environment": "files", "bucket": "shell", "execution_role": "markdown"}

    ran = deploy(**{name: hostile[value] for name, value in values.items()})

    assert (ran.code, len(ran.errors)) == (1, len(hostile) + 1)
    inert(job, ran)
    [(_, made)] = aws.calls("cloudformation create-change-set")
    given = (made["StackName"], made["Parameters"][1]["ParameterValue"], made["RoleARN"])
    assert given == tuple(hostile[value].strip() for value in ("commands", "files", "markdown"))


@pytest.mark.slow
def test_with_the_real_cli_and_a_simulated_aws(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        cloud = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }
        job.env |= cloud
        for name, value in cloud.items():
            monkeypatch.setenv(name, value)
        s3, sns = (boto3.client(service, region_name="eu-west-1") for service in ("s3", "sns"))
        s3.create_bucket(Bucket="packages-of-beta", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        job.write("infrastructure/template.yml", TEMPLATE)
        built = job.use("package", component="shop", command='echo 1 > "$PACKAGE_DIR/app.py"')

        ran = job.use(
            "deploy",
            release=built.outputs["path"],
            digest=built.outputs["digest"],
            component="shop",
            environment="beta",
            account="123456789012",
            region="eu-west-1",
            stack="shop",
            bucket="packages-of-beta",
        )

        assert (ran.code, ran.errors, ran.records[-1]["result"]) == (0, [], "pass")
        [uploaded] = s3.list_objects_v2(Bucket="packages-of-beta")["Contents"]
        assert uploaded["Key"] == f"shop/{built.outputs['digest']}/package.zip"
        topics = [topic["TopicArn"] for topic in sns.list_topics()["Topics"]]
        assert "arn:aws:sns:eu-west-1:123456789012:beta" in topics
    finally:
        server.stop()
