"""What a spec, a component and its roles reach in an account: nothing of the pipeline's, nor of another component's."""

import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, names, planner, problems, render
from dpra.plan import Plan
from dpra.rehearsal import permissions
from dpra.spec import models, reader
from dpra.spec.models import ListOf, MapOf, Model, Spec, Text
from moto.cloudformation.models import Stack
from ruamel.yaml import YAML

SPECS = Path(__file__).parent / "specs"
MINIMAL = YAML(typ="safe", pure=True).load(SPECS / "minimal.yml")
OWN = "dpra- is how dpra's own stacks, roles and buckets begin"

# ---- Names

# What the spec says that names nothing in AWS which a policy or a deployment could take for the pipeline's own.
ELSEWHERE = (
    "ACCOUNT BRANCH COMMAND CRON DATE DATES ENV_NAME EXPRESSION FILLED FILLED_PATH FILLED_URL FLAG GLOB HOURS IMAGE "
    "INPUT INSTANCE_TYPE JDBC LABEL LINE NAME ORGANIZATION OWNER PACK PARENT PATH POLICY PORT PRODUCT REGION "
    "REPOSITORY RULE TEST_ROLE TIMEZONE TOOL UNIT USES VERSION"
).split()


def test_every_kind_of_text_says_whether_it_names_something_in_aws() -> None:
    kinds = {name: kind for name, kind in vars(models).items() if isinstance(kind, Text)}
    assert {name for name, kind in kinds.items() if not kind.aws} == set(ELSEWHERE)


def keys(kind: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the spec names something in AWS: the way there, with models and lists on it."""
    match kind:
        case Text() if kind.aws:
            yield path
        case ListOf():
            yield from keys(kind.kind, (*path, ListOf))
        case MapOf():
            one = {"environments": "prod", "actions": "synthetic-tests"}.get(str(kind.keys), "one")
            yield from keys(kind.kind, (*path, one))
        case Model():
            for field in fields(kind.model):
                yield from keys(field.metadata["kind"], (*path, models.name_of(field)))


KEYS = {".".join(str(part) for part in path if part is not ListOf): path for path in keys(Model(Spec))}


def test_these_are_the_keys() -> None:
    assert KEYS.keys() == {
        *("name", "environments.prod.alarms", "deploy.stack", "deploy.cdk.stacks", "deploy.terraform.bucket"),
        *("deploy.ecs.cluster", "deploy.ecs.service", "deploy.ecs.roles", "deploy.lambda.function", "deploy.s3.bucket"),
        *("base.image", "deploy.database.user", "deploy.database.secret", "actions.synthetic-tests.canary"),
    }


def said(path: tuple[Any, ...], value: str) -> dict[str, Any]:
    """The minimal spec with a value at that place, and what the models around it need besides."""
    spec: Any = json.loads(json.dumps(MINIMAL))
    place, kind = spec, Model(Spec)
    for part, then in itertools.pairwise((*path, None)):
        if isinstance(kind, Model):
            known = {models.name_of(field): field for field in fields(kind.model)}
            for name, field in known.items():
                required = field.default is field.default_factory is models.MISSING
                if required and kind.model not in (Spec, models.Environment) and name not in place:
                    place[name] = YAML(typ="safe").load(field.metadata["example"] or "command")
            kind = known[part].metadata["kind"]
        elif isinstance(kind, MapOf):
            kind = kind.kind
        if then is ListOf:
            place[part] = [value]
            return spec  # type: ignore[no-any-return]
        place = place if then is None else place.setdefault(part, {})
        if then is None:
            place[part] = value
    return spec  # type: ignore[no-any-return]


def plan_of(spec: Any) -> Plan:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(spec, stream)
    return planner.make(reader.read(stream.getvalue().encode(), catalogue.words()))


HOSTILE = [
    *(
        "dpra",
        "dpra-shop-prod",
        "DPRA-shop-prod",
        "dpra-{account}",
        "dpra-*",
        "*",
        "d*",
        "?pra-x",
        "d?r*",
        "**a-x",
        "dpr*",
    ),
    *("*-execution", "dpra-{environment}"),
]


@pytest.mark.parametrize("key", KEYS)
def test_no_name_reaches_what_is_the_pipelines(key: str) -> None:
    """By whatever kind of name, whether its kind allows the characters or not."""
    refused = 0
    for name in HOSTILE:
        try:
            found = problems.of(plan_of(said(KEYS[key], name)))
        except reader.Problems:
            continue  # its form is wrong already
        refused += 1
        assert any(at.partition("[")[0] == key and OWN in text for at, text in found.items()), (name, found)
    assert refused >= 2
    good = problems.of(plan_of(said(KEYS[key], "depra" if key == "name" else "sdpra-x")))
    assert not any(OWN in text for text in good.values())


@pytest.mark.parametrize(
    ("name", "reserved"),
    [
        *(
            (name, True)
            for name in ("dpra", "dpra-", "dpra-x", "DpRa-x", "d*", "*", "?????x", "dpr?", "*a-*", "d*a-x", "dp*z")
        ),
        *((name, False) for name in ("dpr", "dprax", "d-pra", "shop-*", "shop/dpra-x", "xdpra-", "d?r", "dp-*")),
    ],
)
def test_what_a_pattern_can_name(name: str, reserved: bool) -> None:
    assert names.reserved(name) is reserved


def test_a_boundary_of_ones_own_is_none_of_dpras(dpra, tmp_path) -> None:
    text = (SPECS / "full.yml").read_text().replace("policy/platform/Boundary", "policy/dpra-other-boundary")
    (tmp_path / "dpra.yml").write_text(text)
    said = dpra("plan", cwd=tmp_path)
    assert (said.returncode, "environments.prod.permissions-boundary: is one of dpra's own" in said.stderr) == (2, True)


# ---- Components beside each other


@pytest.mark.parametrize("pipeline", catalogue.words())
def test_no_two_components_have_a_role_or_a_stack_of_one_name(pipeline: str) -> None:
    """`shop` with `x-prod` would have what `shop-x` has with `prod`."""
    types = catalogue.load(pipeline)
    places = [stage.id for stage in types.stages if stage.environment]
    roles = {name for stage in types.stages for name in stage.roles} | {names.execution_role(one) for one in places}
    stacks = {*places, *(name for stage in types.stages for name in stage.infrastructure)}
    for kinds in (roles, stacks):
        assert not [(one, other) for one, other in itertools.permutations(kinds, 2) if one.endswith(f"-{other}")]


@pytest.mark.parametrize("name", ["shop-033333333333", "shop-033333333333-eu", "a-033333333333"])
def test_a_components_name_has_no_account_in_it(name: str) -> None:
    """Or its bucket, dpra-NAME-ACCOUNT-REGION, would be one of the component that is called like its beginning."""
    assert "account's id" in problems.of(plan_of({**MINIMAL, "name": name}))["name"]
    assert "name" not in problems.of(plan_of({**MINIMAL, "name": "shop-0333333333333"}))


def test_a_name_with_a_region_in_it_is_no_pattern() -> None:
    """`Shop-*` would be the stack `Shop-X`, too."""
    spec = {**MINIMAL, "regions": ["eu-west-1", "us-west-2"]}
    spec["deploy"] = {"with": "cdk", "cdk": {"stacks": ["Shop-{region}"]}}
    text = render.infrastructure(plan_of(spec))["infrastructure/dpra/prod.yml"]
    assert "stack/Shop-*" not in text
    assert "stack/Shop-eu-west-1/*" in text
    assert "stack/Shop-us-west-2/*" in text


# ---- The boundary


def policies(spec: Any, environment: str) -> dict[str, list[dict[str, Any]]]:
    """A role's or a managed policy's logical name -> its policies, as CloudFormation makes them in the account."""
    plan = plan_of(spec)
    template = Stack.parse_template(render.infrastructure(plan)[f"infrastructure/dpra/{environment}.yml"])
    account = plan.environments[environment].account

    def made(value: Any) -> Any:
        if isinstance(value, dict):
            if "Fn::Sub" in value:
                return value["Fn::Sub"].replace("${AWS::Partition}", "aws").replace("${AWS::AccountId}", account)
            return account if value == {"Ref": "AWS::AccountId"} else {name: made(one) for name, one in value.items()}
        return [made(one) for one in value] if isinstance(value, list) else value

    found = {}
    for name, resource in template["Resources"].items():
        properties = made(resource["Properties"])
        inline = [one["PolicyDocument"] for one in properties.get("Policies", [])]
        managed = [permissions.managed()[arn.rpartition("/")[2]] for arn in properties.get("ManagedPolicyArns", [])]
        whole = [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
        if inline or managed or whole:
            found[name] = [*inline, *managed, *whole]
    return found


ACCOUNT = "arn:aws:iam::033333333333:"
BOUNDARY = f"{ACCOUNT}policy/dpra-shop-boundary"
BOUND = {"iam:PermissionsBoundary": BOUNDARY}
OTHER = {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}
OURS, THEIRS = f"{ACCOUNT}role/shop/api", f"{ACCOUNT}role/shop-x/api"
HERE, THERE = {"aws:ResourceAccount": "033333333333"}, {"aws:ResourceAccount": "999999999999"}
STORE = "arn:aws:s3:::dpra-shop-033333333333-eu-west-1"
STACK = "arn:aws:cloudformation:eu-west-1:033333333333:stack"
KEY = "arn:aws:kms:eu-west-1:033333333333:key/1"

ROWS = [
    ("iam:CreateRole", OURS, BOUND, True),
    ("iam:CreateRole", OURS, {}, False),
    ("iam:CreateRole", OURS, OTHER, False),
    ("iam:CreateRole", THEIRS, BOUND, False),
    ("iam:CreateRole", f"{ACCOUNT}role/shop", BOUND, False),
    ("iam:CreateRole", f"{ACCOUNT}role/shop-api", BOUND, False),
    ("iam:CreateRole", f"{ACCOUNT}role/dpra-shop-x", BOUND, False),
    *((f"iam:{action}", OURS, BOUND, True) for action in ("AttachRolePolicy", "PutRolePolicy", "DetachRolePolicy")),
    *((f"iam:{action}", OURS, {}, False) for action in ("AttachRolePolicy", "PutRolePolicy", "UpdateAssumeRolePolicy")),
    *((f"iam:{action}", THEIRS, BOUND, False) for action in ("AttachRolePolicy", "PutRolePolicy", "DeleteRolePolicy")),
    ("iam:PutRolePermissionsBoundary", OURS, BOUND, True),
    ("iam:PutRolePermissionsBoundary", OURS, OTHER, False),
    ("iam:DeleteRolePermissionsBoundary", OURS, BOUND, False),
    *((f"iam:{action}", OURS, {}, True) for action in ("PassRole", "DeleteRole", "TagRole", "GetRole")),
    *((f"iam:{action}", THEIRS, {}, False) for action in ("PassRole", "DeleteRole", "TagRole", "UpdateRole")),
    ("iam:PassRole", f"{ACCOUNT}role/admin", {}, False),
    ("iam:PassRole", f"{ACCOUNT}role/dpra-shop-prod-execution", {}, False),
    ("iam:UpdateAssumeRolePolicy", f"{ACCOUNT}role/dpra-shop-prod", BOUND, False),
    ("iam:CreatePolicyVersion", BOUNDARY, {}, False),
    ("iam:DeletePolicy", BOUNDARY, {}, False),
    ("iam:CreateUser", f"{ACCOUNT}user/x", {}, False),
    ("iam:CreateAccessKey", f"{ACCOUNT}user/x", {}, False),
    ("iam:CreateOpenIDConnectProvider", f"{ACCOUNT}oidc-provider/x", {}, False),
    (
        "iam:AddClientIDToOpenIDConnectProvider",
        f"{ACCOUNT}oidc-provider/token.actions.githubusercontent.com",
        {},
        False,
    ),
    ("organizations:LeaveOrganization", "*", {}, False),
    ("account:CloseAccount", "*", {}, False),
    ("sts:AssumeRole", OURS, HERE, True),
    ("sts:AssumeRole", THEIRS, HERE, False),
    ("sts:AssumeRole", f"{ACCOUNT}role/cdk-hnb659fds-deploy-role-033333333333-eu-west-1", HERE, False),
    ("sts:AssumeRole", f"{ACCOUNT}role/dpra-shop-prod", HERE, False),
    ("sts:AssumeRole", "arn:aws:iam::999999999999:role/partner", THERE, True),
    ("sts:AssumeRole", "arn:aws:iam::999999999999:role/dpra-shop-build", THERE, False),
    ("s3:GetObject", f"{STORE}/shop/d/package.zip", {}, True),
    ("s3:PutObject", f"{STORE}/shop/d/package.zip", {"s3:if-none-match": "*"}, False),
    ("s3:PutObject", f"{STORE}/shop/record.json", {"s3:if-match": "x"}, False),
    ("s3:DeleteObject", f"{STORE}/shop/record.json", {}, False),
    ("s3:PutBucketPolicy", STORE, {}, False),
    ("s3:DeleteBucket", "arn:aws:s3:::dpra-shop-x-033333333333-eu-west-1", {}, False),
    ("s3:PutObject", "arn:aws:s3:::shop-site/index.html", {}, True),
    ("s3:CreateBucket", "arn:aws:s3:::shop-site", {}, True),
    ("cloudformation:UpdateStack", f"{STACK}/dpra-shop-prod/id", {}, False),
    ("cloudformation:DeleteStack", f"{STACK}/dpra-shop-x-store/id", {}, False),
    ("cloudformation:CreateStack", f"{STACK}/shop-nested/id", {}, True),
    ("ecr:BatchGetImage", "arn:aws:ecr:eu-west-1:444444444444:repository/dpra-shop", {}, True),
    ("ecr:PutImage", "arn:aws:ecr:eu-west-1:444444444444:repository/dpra-shop", {}, False),
    ("kms:Sign", KEY, {"kms:ResourceAliases": ["alias/dpra-shop"]}, False),
    ("kms:ScheduleKeyDeletion", KEY, {"kms:ResourceAliases": ["alias/x", "alias/dpra-shop/store"]}, False),
    ("kms:ScheduleKeyDeletion", KEY, {"kms:ResourceAliases": ["alias/shop"]}, True),
    ("kms:Decrypt", KEY, {}, True),
    ("kms:UpdateAlias", "arn:aws:kms:eu-west-1:033333333333:alias/dpra-shop", {}, False),
    ("lambda:CreateFunction", "arn:aws:lambda:eu-west-1:033333333333:function:shop", {}, True),
]


@pytest.mark.parametrize(("action", "target", "context", "allowed"), ROWS)
@pytest.mark.parametrize("who", ["ExecutionRole", "Boundary"])
def test_the_boundary_and_the_execution_role_reach_the_component_and_nothing_of_the_pipeline(
    who: str, action: str, target: str, context: dict[str, str], allowed: bool
) -> None:
    """What the boundary does not allow, no role of the component has, whatever its template gives it."""
    found = policies(MINIMAL, "prod")[who]
    assert permissions.allows(found, action, target, context) is allowed


@pytest.mark.parametrize(("action", "target", "context", "allowed"), [row for row in ROWS if not row[3]])
def test_with_a_boundary_of_ones_own_the_execution_role_reaches_no_more(action, target, context, allowed) -> None:
    own = f"{ACCOUNT}policy/platform"
    spec = json.loads(json.dumps(MINIMAL))
    spec["environments"]["prod"]["permissions-boundary"] = own
    found = policies(spec, "prod")
    assert "Boundary" not in found
    assert not permissions.allows(found["ExecutionRole"], action, target, context)
    assert permissions.allows(found["ExecutionRole"], "iam:CreateRole", OURS, {"iam:PermissionsBoundary": own})


ONCE = {"s3:if-none-match": "*"}
BUILT = f"arn:aws:s3:::dpra-shop-444444444444-eu-west-1/shop/{'d' * 64}/package.zip"
RELEASE, RECORD = f"{STORE}/shop/{'d' * 64}/package.zip", f"{STORE}/shop/record.json"
BETA = RELEASE.replace("033333333333", "111111111111")


@pytest.mark.parametrize(
    ("environment", "role", "target", "context", "allowed"),
    [
        ("build", "ArtifactsRole", BUILT, ONCE, True),
        ("build", "ArtifactsRole", BUILT, {}, False),
        ("build", "ArtifactsRole", BUILT, {"s3:if-match": "etag"}, False),
        ("beta", "BetaRole", BETA, ONCE, True),
        ("beta", "BetaRole", BETA, {}, False),
        ("beta", "BetaRole", BETA.replace("/shop/", "/other/"), ONCE, False),
        ("prod", "ProdApproveRole", RELEASE, ONCE, True),
        ("prod", "ProdApproveRole", RELEASE, {}, False),
        ("prod", "ProdApproveRole", RECORD, ONCE, True),
        ("prod", "ProdApproveRole", RECORD, {"s3:if-match": "etag"}, True),
        ("prod", "ProdApproveRole", RECORD, {}, False),
        ("prod", "ProdRole", RECORD, {"s3:if-match": "etag"}, True),
        ("prod", "ProdRole", RECORD, {}, False),
        ("prod", "ProdRole", RELEASE, ONCE, False),
        ("prod", "ProdBakeRole", RECORD, {"s3:if-match": "etag"}, False),
    ],
)
def test_what_is_stored_is_written_once_and_the_record_as_it_was_read(
    environment, role, target, context, allowed
) -> None:
    found = policies(MINIMAL, environment)[role]
    assert permissions.allows(found, "s3:PutObject", target, context) is allowed


@pytest.mark.parametrize(
    ("environment", "role", "target", "allowed"),
    [
        ("build", "ArtifactsRole", BUILT, True),
        ("beta", "BetaRole", BETA, False),  # functions' code, of which AWS takes less
        ("prod", "ProdApproveRole", RELEASE, True),
        ("prod", "ProdApproveRole", RELEASE.replace("/shop/", "/other/"), False),
        ("prod", "ProdApproveRole", RECORD, False),
        ("prod", "ProdRole", RELEASE, False),
    ],
)
def test_what_is_too_large_for_one_request_goes_in_parts_and_they_become_a_file_once(
    environment: str, role: str, target: str, allowed: bool
) -> None:
    found = policies(MINIMAL, environment)[role]

    def may(action: str, **context: str) -> bool:
        return permissions.allows(found, action, target, {f"s3:{name}": said for name, said in context.items()})

    assert may("s3:PutObject", ObjectCreationOperation="false") is allowed  # begins, and a part
    assert may("s3:AbortMultipartUpload") is allowed
    assert not may("s3:PutObject", ObjectCreationOperation="true")  # what puts them together without the condition


# ---- Sizes: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html


@pytest.mark.parametrize("tool", ["cloudformation", "cdk"])
def test_policies_are_within_iams_quotas_with_the_longest_names_and_all_regions(tool: str) -> None:
    spec = {**MINIMAL, "name": "a" * 24, "regions": [*models.PARTITIONS["aws"][:20]]}
    if tool == "cdk":
        stacks = [f"{letter * 30}-{{environment}}-{{region}}" for letter in "ab"]
        spec["deploy"] = {"with": "cdk", "cdk": {"stacks": stacks}}
    for environment in ("beta", "gamma", "prod"):
        for name, found in policies(spec, environment).items():
            size = len("".join(json.dumps(found[0]).split()))
            assert size <= (6_144 if name == "Boundary" else 10_240), (environment, name, size)
