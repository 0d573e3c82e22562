"""The roles of the component's own template: named, with their line, before AWS refuses them."""

from pathlib import Path

import pytest

BOUNDARY = "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/dpra-shop-boundary"
BOTH = f"Path: /shop/, PermissionsBoundary: !Sub '{BOUNDARY}'"
SAID = f"PermissionsBoundary: !Sub {BOUNDARY}"


def with_role(root: Path, properties: str, kind: str = "AWS::IAM::Role", more: str = "") -> None:
    (root / "infrastructure").mkdir(exist_ok=True)
    api = f"  Api:\n    Type: {kind}\n    Properties: {{{properties}}}\n"
    text = f"{more}Resources:\n  Topic: {{Type: AWS::SNS::Topic}}\n{api}"
    (root / "infrastructure/template.yml").write_text(text)


@pytest.mark.parametrize(
    ("properties", "missing"),
    [
        ("", f"Path: /shop/ and {SAID}"),
        ("Path: /shop/", SAID),
        (f"PermissionsBoundary: !Sub '{BOUNDARY}'", "Path: /shop/"),
        (BOTH.replace("/shop/", "/shop-x/"), "Path: /shop/"),
        (BOTH.replace("/shop/", "/shop"), "Path: /shop/"),
        (BOTH.replace("dpra-shop-", "dpra-shop-x-"), SAID),
        ("Path: /shop/, PermissionsBoundary: 'arn:aws:iam::aws:policy/AdministratorAccess'", SAID),
        (
            "Path: /shop/, PermissionsBoundary: 'arn:aws:iam::111111111111:policy/dpra-shop-boundary'",
            SAID,
        ),  # not gamma's
        ("Path: /shop/, PermissionsBoundary: {'Fn::Sub': 'arn:aws:iam::aws:policy/PowerUserAccess'}", SAID),
    ],
)
def test_a_role_that_aws_would_refuse_is_a_problem_with_both_lines(dpra, repository: Path, properties, missing) -> None:
    with_role(repository, properties)
    done = dpra("check", cwd=repository)
    assert done.returncode == 2
    assert done.stderr.startswith("dpra.yml:")
    assert "deploy.template: infrastructure/template.yml:3: AWS does not let Api make a role in " in done.stderr
    assert done.stderr.endswith(f" without {missing}\n")


@pytest.mark.parametrize(
    "properties",
    [
        BOTH,
        f"Path: /shop/jobs/, PermissionsBoundary: {{'Fn::Sub': '{BOUNDARY}'}}",
        "Path: !Ref Path, PermissionsBoundary: !Ref Boundary",
        "Path: /shop/, PermissionsBoundary: !If [Prod, a, b]",
        "Path: !Sub '/${Name}/', PermissionsBoundary: !Sub 'arn:${AWS::Partition}:iam::${Owner}:policy/x'",
        "Path: /shop/, PermissionsBoundary: {Ref: Boundary}",
    ],
)
def test_one_that_is_right_or_that_cannot_be_known_passes(dpra, repository: Path, properties: str) -> None:
    with_role(repository, properties)
    done = dpra("plan", cwd=repository)
    assert done.returncode == 0, done.stderr


SAM = BOTH.replace("Path:", "RolePath:")


@pytest.mark.parametrize(
    ("kind", "properties", "more", "missing"),
    [
        ("AWS::Serverless::Function", "", "", f"RolePath: /shop/ and {SAID}"),
        ("AWS::Serverless::Function", SAM, "", ""),
        ("AWS::Serverless::Function", "", f"Globals: {{Function: {{{SAM}}}}}\n", ""),
        ("AWS::Serverless::Function", "RolePath: /x/", f"Globals: {{Function: {{{SAM}}}}}\n", "RolePath: /shop/"),
        ("AWS::Serverless::Function", "Role: !Ref Mine", "", ""),
        ("AWS::Serverless::StateMachine", "", f"Globals: {{Function: {{{SAM}}}}}\n", f"RolePath: /shop/ and {SAID}"),
    ],
)
def test_a_role_that_sam_makes_counts_too(dpra, repository: Path, kind, properties, more, missing) -> None:
    with_role(repository, properties, kind, more)
    with (repository / "dpra.yml").open("a") as file:
        file.write("deploy: {with: sam}\n")
    done = dpra("plan", cwd=repository)
    assert (done.returncode, done.stderr.endswith(f" without {missing}\n")) == ((2, True) if missing else (0, False))


def test_the_boundary_of_ones_own_is_asked_for_where_it_is_said(dpra, repository: Path) -> None:
    own = "arn:aws:iam::033333333333:policy/platform"
    spec = (repository / "dpra.yml").read_text()
    old = 'prod: {account: "033333333333"'
    assert old in spec
    (repository / "dpra.yml").write_text(spec.replace(old, f"{old}, permissions-boundary: '{own}'"))
    with_role(repository, BOTH)
    assert f"make a role in prod without PermissionsBoundary: {own}\n" in dpra("plan", cwd=repository).stderr
    with_role(repository, "Path: /shop/, PermissionsBoundary: !FindInMap [Boundaries, !Ref AWS::AccountId, arn]")
    assert dpra("plan", cwd=repository).returncode == 0


def test_accounts_that_are_not_dpras_ask_for_nothing(dpra, repository: Path) -> None:
    with (repository / "dpra.yml").open("a") as file:
        file.write(
            "unmanaged: [infrastructure/dpra/beta.yml, infrastructure/dpra/gamma.yml, infrastructure/dpra/prod.yml]\n"
        )
    with_role(repository, "")
    assert dpra("plan", cwd=repository).returncode == 0


@pytest.mark.parametrize(
    "text", ["AWS::IAM::Role: [\n", "- AWS::IAM::Role\n", "Resources: AWS::IAM::Role\n", "AWS::IAM::Role"]
)
def test_a_template_that_is_none_is_left_to_cfn_lint(dpra, repository: Path, text: str) -> None:
    (repository / "infrastructure").mkdir(exist_ok=True)
    (repository / "infrastructure/template.yml").write_text(text)
    assert dpra("plan", cwd=repository).returncode == 0
