"""What a role of the pipeline may do is decided by its policies, as IAM decides it."""

import json
from types import SimpleNamespace

import pytest
from dpra.rehearsal import permissions

STACK = "arn:aws:cloudformation:eu-west-1:111111111111:stack/shop/id"
OWN = {"Effect": "Allow", "Action": "cloudformation:*ChangeSet", "Resource": "arn:aws:cloudformation:*:*:stack/shop/*"}
PASS = {
    "Effect": "Allow",
    "Action": "iam:PassRole",
    "Resource": "arn:aws:iam::111111111111:role/x",
    "Condition": {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
}
TO_CLOUDFORMATION = {"iam:PassedToService": "cloudformation.amazonaws.com"}


@pytest.mark.parametrize(
    ("statements", "action", "target", "context", "verdict"),
    [
        ([OWN], "cloudformation:CreateChangeSet", STACK, {}, True),
        ([OWN], "CloudFormation:createchangeset", STACK, {}, True),
        ([], "cloudformation:CreateChangeSet", STACK, {}, False),
        ([OWN], "cloudformation:DeleteStack", STACK, {}, False),
        ([OWN], "cloudformation:CreateChangeSet", STACK.replace("/shop/", "/shop-2/"), {}, False),
        ([OWN], "cloudformation:CreateChangeSet", "*", {}, False),
        ([OWN, {**OWN, "Effect": "Deny"}], "cloudformation:CreateChangeSet", STACK, {}, False),
        ([PASS], "iam:PassRole", PASS["Resource"], TO_CLOUDFORMATION, True),
        ([PASS], "iam:PassRole", PASS["Resource"], {"iam:PassedToService": "ec2.amazonaws.com"}, False),
        ([PASS], "iam:PassRole", PASS["Resource"], {}, False),
        ([{**PASS, "Condition": {"Bool": {"x": "true"}}}], "iam:PassRole", PASS["Resource"], {}, False),
        ([PASS, {**PASS, "Effect": "Deny", "Condition": {"Bool": {"x": "true"}}}], "iam:PassRole", PASS["Resource"],
         TO_CLOUDFORMATION, False),
    ],
)  # fmt: skip
def test_policies_are_evaluated(statements, action, target, context, verdict) -> None:
    assert permissions.allows([{"Statement": statements}], action, target, context) is verdict


@pytest.mark.parametrize(
    ("action", "tags", "allowed"),
    [
        ("imagebuilder:DeleteImage", {"aws:ResourceTag/owner": "us"}, True),
        ("imagebuilder:DeleteImage", {"aws:ResourceTag/owner": "them"}, False),
        ("imagebuilder:DeleteImage", {}, True),  # it is gone, or has no tags
        ("s3:GetObject", {}, False),  # whose tags are not known here
    ],
)
def test_a_condition_that_is_asked_if_its_key_exists(action: str, tags: dict[str, str], allowed: bool) -> None:
    asks = {"StringEqualsIfExists": {"aws:ResourceTag/owner": "us"}}
    statement = {"Effect": "Allow", "Action": action, "Resource": "*", "Condition": asks}
    assert permissions.allows([{"Statement": [statement]}], action, "arn:x", tags) is allowed


@pytest.mark.parametrize(("said", "allowed"), [(True, True), ("true", True), (False, False), (["false", True], True)])
def test_a_policy_may_leave_out_the_quotation_marks_of_a_boolean(said: object, allowed: bool) -> None:
    asks = {"Bool": {"AWS:securetransport": said}}
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": asks}
    found = permissions.allows([{"Statement": [statement]}], "s3:GetObject", "*", {"aws:SecureTransport": "true"})
    assert found is allowed


@pytest.mark.parametrize(
    ("owner", "effect", "principal", "allowed"),
    [
        ("111111111111", None, None, True),
        ("111111111111", "Deny", {"Principal": "*"}, False),
        ("111111111111", "Deny", {"Principal": {"AWS": "arn:aws:iam::111111111111:role/path/x"}}, False),
        ("111111111111", "Deny", {"Principal": {"AWS": "111111111111"}}, False),
        ("111111111111", "Deny", {"Principal": {"AWS": "arn:aws:iam::111111111111:role/path/other"}}, True),
        ("111111111111", "Deny", {"NotPrincipal": {"AWS": "arn:aws:iam::222222222222:root"}}, False),
        ("222222222222", None, None, False),
        ("222222222222", "Allow", {"Principal": {"AWS": "arn:aws:iam::111111111111:root"}}, True),
        ("222222222222", "Allow", {"Principal": {"AWS": "arn:aws:iam::111111111111:role/path/x"}}, True),
        ("222222222222", "Allow", {"Principal": {"AWS": "arn:aws:iam::333333333333:root"}}, False),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_a_resource_s_policy_only_takes_from_what_the_role_s_own_allow(own, owner, effect, principal, allowed) -> None:
    """Whomever it names, and however. What it gives beyond the role's own policies, no role of the pipeline uses."""
    from moto.s3.models import s3_backends

    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    arn = "arn:aws:iam::111111111111:role/path/x"
    role = SimpleNamespace(
        arn=arn,
        account_id="111111111111",
        partition="aws",
        policies={"own": {"Statement": [statement]}} if own else {},
        managed_policies={},
        permissions_boundary_arn=None,
    )
    backend = s3_backends[owner]["aws"]
    bucket = backend.create_bucket("of-the-evaluator", "eu-west-1")
    try:
        if effect:
            bucket.policy = json.dumps({"Statement": [{**statement, "Effect": effect, **principal}]})
        reason = permissions.refusal(role, "s3:GetObject", "arn:aws:s3:::of-the-evaluator/k", {})
    finally:
        backend.delete_bucket("of-the-evaluator")
    assert (reason == "") is (own and allowed)


def request(method: str, path: str, **more: str) -> dict[str, str]:
    return {"REQUEST_METHOD": method, "PATH_INFO": path, **more}


@pytest.mark.parametrize(
    ("service", "environ", "form", "expected"),
    [
        ("cloudformation", request("POST", "/"), {"Action": "DescribeStacks", "StackName": "shop"},
         ("cloudformation:DescribeStacks", STACK)),
        ("cloudformation", request("POST", "/"), {"Action": "GetTemplateSummary"},
         ("cloudformation:GetTemplateSummary", "*")),
        ("s3", request("PUT", "/store/shop/a%20b.zip"), {}, ("s3:PutObject", "arn:aws:s3:::store/shop/a b.zip")),
        ("s3", request("DELETE", "/store/a.zip", QUERY_STRING="uploadId=x"), {},
         ("s3:AbortMultipartUpload", "arn:aws:s3:::store/a.zip")),
        ("s3", request("GET", "/store", QUERY_STRING="uploads"), {},
         ("s3:ListBucketMultipartUploads", "arn:aws:s3:::store")),
        ("s3", request("GET", "/store"), {}, ("s3:ListBucket", "arn:aws:s3:::store")),
        ("lambda", request("POST", "/2015-03-31/functions/shop-api/invocations"), {},
         ("lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:111111111111:function:shop-api")),
        ("lambda", request("GET", "/2015-03-31/functions/shop-api"), {},
         ("lambda:GetFunction", "arn:aws:lambda:eu-west-1:111111111111:function:shop-api")),
        ("monitoring", request("POST", "/", HTTP_X_AMZ_TARGET="GraniteServiceVersion20100801.DescribeAlarms"), {},
         ("cloudwatch:DescribeAlarms", "*")),
        ("monitoring", request("POST", "/service/GraniteServiceVersion20100801/operation/DescribeAlarms"), {},
         ("cloudwatch:DescribeAlarms", "*")),
        ("dynamodb", request("POST", "/", HTTP_X_AMZ_TARGET="DynamoDB_20120810.PutItem"), {},
         ("dynamodb:PutItem", "*")),
    ],
)  # fmt: skip
def test_a_request_is_known_by_action_and_resource(service, environ, form, expected) -> None:
    [(action, target, _)] = permissions.asked(service, "eu-west-1", "111111111111", environ, form)
    assert (action, target) == expected


@pytest.mark.parametrize(
    ("method", "query", "creates"),
    [
        ("PUT", "", "true"),
        ("POST", "uploads", "false"),
        ("PUT", "partNumber=1&uploadId=x", "false"),
        ("POST", "uploadId=x", "true"),
    ],
)
def test_a_part_is_no_object_yet(method: str, query: str, creates: str) -> None:
    environ = request(method, "/store/a.zip", QUERY_STRING=query, HTTP_IF_NONE_MATCH="*")
    [(action, _, context)] = permissions.asked("s3", "eu-west-1", "111111111111", environ, {})
    assert (action, context) == ("s3:PutObject", {"s3:ObjectCreationOperation": creates, "s3:if-none-match": "*"})


def test_a_role_that_is_handed_to_cloudformation_must_be_passable() -> None:
    form = {"Action": "CreateChangeSet", "StackName": "shop", "RoleARN": "arn:aws:iam::111111111111:role/x"}
    asked = permissions.asked("cloudformation", "eu-west-1", "111111111111", request("POST", "/"), form)
    assert list(asked)[1] == ("iam:PassRole", form["RoleARN"], TO_CLOUDFORMATION)
