"""Who is let in: tokens, and trust policies as IAM evaluates them."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from copy import deepcopy

import pytest
from dpra.rehearsal.oidc import ISSUER, Issuer, Refused, admits, sign, verify

KEY = "token.actions.githubusercontent.com"
PROVIDER = f"arn:aws:iam::111111111111:oidc-provider/{KEY}"
STATEMENT = {
    "Effect": "Allow",
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Principal": {"Federated": PROVIDER},
    "Condition": {
        "StringEquals": {f"{KEY}:aud": "sts.amazonaws.com", f"{KEY}:sub": ["repo:a/b:environment:beta", "repo:a/b:x"]}
    },
}
CLAIMS = {"aud": "sts.amazonaws.com", "sub": "repo:a/b:environment:beta", "ref": "refs/heads/main"}
ROLE = "arn:aws:iam::111111111111:role/dpra-demo-beta"


def verdict(*statements, **claims):
    return admits({"Statement": list(statements)}, CLAIMS | claims, PROVIDER)


def changed(**changes):
    return deepcopy(STATEMENT) | changes


def with_condition(operator, key, value):
    statement = deepcopy(STATEMENT)
    statement["Condition"].setdefault(operator, {})[f"{KEY}:{key}"] = value
    return statement


def test_the_right_job_is_admitted():
    assert verdict(STATEMENT) is None


@pytest.mark.parametrize(
    "statement",
    [
        changed(Principal={"Federated": PROVIDER.replace("111111111111", "222222222222")}),
        changed(Principal={"Service": "lambda.amazonaws.com"}),
        changed(Action="sts:AssumeRole"),
        with_condition("StringEquals", "ref", "refs/heads/release"),
        with_condition("StringEquals", "ref", ["refs/heads/Main", "refs/heads/*"]),
        with_condition("StringLike", "ref", "refs/heads/release-?"),
        with_condition("StringEquals", "actor_id", "1"),  # a claim that the token does not have
        with_condition("StringNotEquals", "ref", "refs/heads/main"),  # an operator not known here
        with_condition("ForAllValues:StringEquals", "ref", "refs/heads/main"),
        changed(NotAction="sts:TagSession"),
        changed(Effect="Deny"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(statement):
    assert verdict(statement)


@pytest.mark.parametrize(
    "statement",
    [
        changed(Principal={"Federated": ["arn:aws:iam::111111111111:oidc-provider/other", PROVIDER]}),
        changed(Action=["sts:TagSession", "sts:AssumeRoleWithWebIdentity"]),
        with_condition("StringLike", "ref", ["refs/tags/*", "refs/heads/mai?"]),
        with_condition("StringEqualsIgnoreCase", "ref", "refs/heads/MAIN"),
        with_condition("ForAnyValue:StringEquals", "ref", ["refs/heads/x", "refs/heads/main"]),
    ],
)
def test_what_fits_is_admitted(statement):
    assert verdict(statement) is None


def test_one_matching_statement_is_enough_and_a_deny_wins():
    other = with_condition("StringEquals", "ref", "refs/heads/other")
    assert verdict(other, STATEMENT) is None
    assert "Deny" in verdict(STATEMENT, changed(Effect="Deny"))
    assert verdict(STATEMENT, changed(Effect="Deny") | {"Condition": other["Condition"]}) is None


def test_a_deny_that_is_not_understood_refuses():
    deny = with_condition("StringNotLike", "ref", "refs/heads/main") | {"Effect": "Deny"}
    assert "StringNotLike" in verdict(STATEMENT, deny)


@pytest.mark.parametrize("subject", [None, "*", ["repo:a/b:environment:beta", "*"]])
def test_a_trust_without_a_subject_is_refused_as_iam_refuses_it(subject):
    condition = {f"{KEY}:sub": subject} if subject else {f"{KEY}:aud": "sts.amazonaws.com"}
    assert "subject" in verdict(changed(Condition={"StringLike": condition}))


# ---- Tokens


def test_a_token_carries_the_immutable_subject_where_the_ids_are_known():
    old, new = Issuer("acme/shop", "main", "a" * 40), Issuer("acme/shop", "main", "a" * 40, 456, 123)
    assert old.claims("prod-1", "refs/heads/main", "x")["sub"] == "repo:acme/shop:environment:prod-1"
    assert new.claims("prod-1", "refs/heads/main", "x")["sub"] == "repo:acme@123/shop@456:environment:prod-1"
    assert new.claims("a:b", "refs/heads/main", "x")["sub"].endswith(":environment:a%3Ab")
    assert new.claims("", "refs/heads/main", "x")["sub"] == "repo:acme@123/shop@456:ref:refs/heads/main"
    assert new.claims("", "refs/heads/main", "x")["repository_id"] == "456"


@pytest.mark.parametrize(
    "change", [{"exp": int(time.time()) - 1}, {"nbf": int(time.time()) + 3600}, {"iss": "https://evil.example"}]
)
def test_a_token_that_is_not_of_now_and_of_github_is_refused(change):
    claims = {"iss": ISSUER, "nbf": 0, "exp": int(time.time()) + 7200, "aud": "x"}
    assert verify(sign(claims, b"key"), b"key") == claims
    with pytest.raises(Refused):
        verify(sign(claims | change, b"key"), b"key")


@pytest.mark.parametrize("token", ["", "a.b.c", "...", "é.é.é", sign({"iss": ISSUER}, b"another key")])
def test_a_forged_token_is_refused(token):
    with pytest.raises(Refused, match="not one that GitHub issued"):
        verify(token, b"key")


def test_a_branch_other_than_the_trunk_gets_no_token_for_an_environment():
    issuer = Issuer("acme/shop", "main", "a" * 40)
    bearer = issuer.admit("beta", "beta", ref="refs/heads/feature")
    with pytest.raises(Refused, match="branch policy"):
        issuer.token(bearer, "sts.amazonaws.com")


# ---- Through the front, over HTTP


def post(url: str, form: dict[str, str]) -> tuple[int, str]:
    return call(urllib.request.Request(url, data=urllib.parse.urlencode(form).encode()))  # noqa: S310


def call(request: urllib.request.Request) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def assume(cloud, token: str, role: str = ROLE, name: str = "run-1") -> tuple[int, str]:
    form = {"Action": "AssumeRoleWithWebIdentity", "RoleArn": role, "RoleSessionName": name, "WebIdentityToken": token}
    return post(cloud.url, form)


def get_token(cloud, bearer: str, audience: str = "sts.amazonaws.com") -> tuple[int, str]:
    request = urllib.request.Request(f"{cloud.token_url}&audience={audience}")  # noqa: S310
    request.add_header("Authorization", f"Bearer {bearer}")
    return call(request)


def test_the_exchange_gives_credentials_of_the_roles_account(cloud):
    status, answer = get_token(cloud, cloud.issuer.admit("beta", "beta"))
    assert status == 200
    status, answer = assume(cloud, json.loads(answer)["value"])
    assert status == 200
    assert "arn:aws:sts::111111111111:assumed-role/dpra-demo-beta/run-1" in answer
    assert [account for account, _ in cloud.keys.values()] == ["111111111111"]


def test_a_bearer_that_no_job_was_given_gets_no_token(cloud):
    status, answer = get_token(cloud, "0" * 40)
    assert status == 401
    assert "value" not in answer


@pytest.mark.parametrize(
    ("environment", "audience", "role", "code"),
    [
        ("prod-1", "sts.amazonaws.com", ROLE, "AccessDenied"),
        ("", "sts.amazonaws.com", ROLE, "AccessDenied"),
        ("beta", "another", ROLE, "InvalidIdentityToken"),
        ("beta", "sts.amazonaws.com", ROLE + "-gone", "AccessDenied"),
        ("beta", "sts.amazonaws.com", ROLE + "-execution", "AccessDenied"),
        ("beta", "sts.amazonaws.com", ROLE.replace("1" * 12, "9" * 12), "InvalidIdentityToken"),  # no provider there
        ("beta", "sts.amazonaws.com", "dpra-demo-beta", "ValidationError"),
    ],
)
def test_the_front_refuses_what_aws_refuses(cloud, environment, audience, role, code):
    _, answer = get_token(cloud, cloud.issuer.admit("job", environment), audience)
    status, answer = assume(cloud, json.loads(answer)["value"], role)
    assert status in (400, 403)
    assert f"<Code>{code}</Code>" in answer
    assert cloud.keys == {}
    assert cloud.refusals


def test_a_forged_token_gets_no_credentials(cloud):
    claims = cloud.issuer.claims("beta", "refs/heads/main", "sts.amazonaws.com")
    status, answer = assume(cloud, sign(claims, b"not the key of this run"))
    assert status == 400
    assert "<Code>InvalidIdentityToken</Code>" in answer


def test_a_request_without_credentials_is_refused(cloud):
    status, answer = post(cloud.url, {"Action": "ListUsers", "Version": "2010-05-08"})
    assert status == 403
    assert "MissingAuthenticationToken" in answer


def test_who_is_no_role_of_the_pipeline_takes_none(client):
    with pytest.raises(Exception, match="AccessDenied"):
        client("sts").assume_role(RoleArn=ROLE, RoleSessionName="chained")


# A role of the pipeline takes another one, as a script's execution role is taken.
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html


MAY = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::111111111111:role/taken"}
CALLER = "arn:aws:iam::111111111111:role/caller"
TRUSTS = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": CALLER}}


@pytest.fixture
def taking(cloud, client):
    """A client of STS for a role that may do what is said, beside one that trusts whom it says."""

    def taking(may, trust):
        iam, clean = client("iam"), {"Version": "2012-10-17"}
        iam.create_role(RoleName="caller", AssumeRolePolicyDocument="{}")
        iam.put_role_policy(RoleName="caller", PolicyName="may", PolicyDocument=json.dumps(clean | {"Statement": may}))
        iam.create_role(RoleName="taken", AssumeRolePolicyDocument=json.dumps(clean | {"Statement": trust}))
        reads = {"Effect": "Allow", "Action": "cloudformation:DescribeStacks", "Resource": "*"}
        iam.put_role_policy(RoleName="taken", PolicyName="may", PolicyDocument=json.dumps(clean | {"Statement": reads}))
        before = {*cloud.keys}
        sts = client("sts")
        [key] = {*cloud.keys} - before
        cloud.roles[key], cloud.callers[key] = CALLER, {"job": "beta"}
        return sts

    return taking


def test_a_role_takes_another_one_that_trusts_it_and_has_its_rights_only(cloud, taking):
    import boto3

    sts = taking([MAY], [TRUSTS])
    given = sts.assume_role(RoleArn=MAY["Resource"], RoleSessionName="dpra-7", DurationSeconds=3600)
    assert given["AssumedRoleUser"]["Arn"] == "arn:aws:sts::111111111111:assumed-role/taken/dpra-7"
    key = given["Credentials"]["AccessKeyId"]
    assert (cloud.roles[key], cloud.callers[key]) == (MAY["Resource"], {"job": "beta"})
    session = boto3.Session(key, given["Credentials"]["SecretAccessKey"], given["Credentials"]["SessionToken"])
    about = {"region_name": "eu-west-1", "endpoint_url": cloud.url}
    assert session.client("cloudformation", **about).describe_stacks()["Stacks"]
    with pytest.raises(Exception, match="AccessDenied"):
        session.client("sqs", **about).list_queues()
    for seconds, says in ((3601, "exceeds"), (899, "900")):
        with pytest.raises(Exception, match=says):
            sts.assume_role(RoleArn=MAY["Resource"], RoleSessionName="dpra-7", DurationSeconds=seconds)


@pytest.mark.parametrize(
    ("may", "trust"),
    [
        ([MAY | {"Resource": CALLER}], [TRUSTS]),
        ([MAY | {"Effect": "Deny"}], [TRUSTS]),
        ([MAY], []),
        ([MAY], [TRUSTS | {"Principal": {"AWS": CALLER + "-other"}}]),
        ([MAY], [TRUSTS | {"Principal": {"Service": "cloudformation.amazonaws.com"}}]),
        ([MAY], [TRUSTS | {"Action": "sts:TagSession"}]),
        ([MAY], [TRUSTS, TRUSTS | {"Effect": "Deny"}]),
        ([MAY], [TRUSTS | {"Condition": {"StringEquals": {"sts:ExternalId": "x"}}}]),  # no condition is known here
    ],
)
def test_a_role_that_may_not_or_is_not_trusted_takes_none(cloud, taking, may, trust):
    sts = taking(may, trust)
    with pytest.raises(Exception, match="AccessDenied"):
        sts.assume_role(RoleArn=MAY["Resource"], RoleSessionName="dpra-7")
    assert cloud.refusals


@pytest.mark.parametrize("service", ["s3", "lambda", "cloudformation", "dynamodb"])
def test_keys_that_were_not_given_out_open_nothing(client, service):
    calls = {
        "s3": "list_buckets",
        "lambda": "list_functions",
        "cloudformation": "list_stacks",
        "dynamodb": "list_tables",
    }
    with pytest.raises(Exception, match="InvalidClientTokenId"):
        getattr(client(service, key="AKIAIOSFODNN7EXAMPLE"), calls[service])()


def test_credentials_end_when_their_time_is_over(cloud, client, monkeypatch):
    import botocore.exceptions

    sts, s3 = client("sts"), client("s3")
    assert s3.list_buckets()["Buckets"]
    now = time.time()
    monkeypatch.setattr("dpra.rehearsal.aws.time.time", lambda: now + 3601)
    with pytest.raises(botocore.exceptions.ClientError, match="ExpiredToken"):
        s3.list_buckets()
    assert sts.get_caller_identity()["Account"] == "111111111111"


@pytest.mark.parametrize(
    ("minutes", "duration", "ends"), [("50", 3600, False), ("60", 3600, True), ("90", 6000, False)]
)
def test_a_bake_that_passes_at_once_is_as_long_as_it_is_for_its_credentials(cloud, client, minutes, duration, ends):
    session = cloud.give("arn:aws:iam::111111111111:role/dpra-demo-beta", "test", duration)
    cloud.callers[session.access_key_id] = {"bakes": minutes}
    if ends:
        with pytest.raises(Refused, match="expired"):
            cloud.expire(session.access_key_id)
    else:
        cloud.expire(session.access_key_id)
