"""What the rehearsal's tests share: a component to rehearse, and accounts to try things in."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, deployers, graph, rehearsal
from dpra.plan import Plan
from dpra.rehearsal.accounts import prepare
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer
from dpra.spec import models

COMPONENT = Path(__file__).parent / "repository"
BUCKET = "dpra-demo-{}-{{region}}"


def git(folder: Path, *arguments: str) -> str:
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def planned() -> Plan:
    """The plan of the component, whose pipeline is written by hand: two environments, one in two regions."""
    where = {"beta": ("111111111111", ("eu-west-1", "us-east-1")), "prod": ("222222222222", ("eu-west-1",))}
    said = {name: models.Environment(account=account) for name, (account, _) in where.items()}
    spec = models.Spec(name="demo", repository="acme/demo", regions=("eu-west-1",), environments=said)
    environments, jobs = {}, {}
    for name, role in (("beta", "beta"), ("prod", "prod-1")):
        account, regions = where[name]
        arn = f"arn:aws:iam::{account}:role/dpra-demo-{role}"
        made = graph.Role(role, "deploy", f"dpra-demo-{role}", arn, (role,), ())
        environments[name] = graph.Environment(
            id=name, account=account, regions=regions, waves=(), bake=0, alarms=(), boundary="", roles={role: made},
            stacks=("demo",), bucket=BUCKET.format(account), execution_role="", infrastructure=("store",),
            promotes=False, records=False,
        )  # fmt: skip
    for name, needs in (("build", ()), ("beta", ("build",)), ("prod", ("build", "beta")), ("report", ("beta", "prod"))):
        at = environments.get(name)
        jobs[name] = graph.Job(
            id=name, template=name, stage="" if name == "report" else name, name=name, limit=0, needs=needs, wave=0,
            key="region" if name == "beta" else "", legs=at.regions if at and name == "beta" else (),
            environment=name, role=next(iter(at.roles.values())) if at else None, at=at, steps=(), trusted=False,
            on_failure=False,
        )  # fmt: skip
    return Plan(
        spec=spec, catalogue=catalogue.load("application"), environments=environments,
        workflows={"pipeline": graph.Workflow("pipeline", jobs, (), frozenset(), ())}, store=None, record=None,
        deployer=deployers.every()["cloudformation"], language={}, package_manager="", manager={}, commands={},
        tools={},
    )  # fmt: skip


@pytest.fixture
def plan() -> Plan:
    return planned()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A user's checkout of the component, with one commit."""
    root = tmp_path / "checkout"
    shutil.copytree(COMPONENT, root)
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "All of it")
    return root


@pytest.fixture
def rehearse(repository: Path, plan: Plan) -> Callable[..., rehearsal.Result]:
    """Rehearse the component, or a workflow of one's own in its place."""

    def rehearse(workflow: str = "", **options: Any) -> rehearsal.Result:
        if workflow:
            (repository / ".github/workflows/pipeline.yml").write_text(workflow)
        return rehearsal.rehearse(repository, plan, **{"offline": True, "show": print, **options})

    return rehearse


@pytest.fixture
def cloud(plan: Plan) -> Iterator[Cloud]:
    with Cloud(Issuer("acme/demo", "main", "a" * 40)) as cloud:
        prepare(COMPONENT, plan)
        yield cloud


@pytest.fixture
def client(cloud: Cloud) -> Callable[..., Any]:
    """A boto3 client of an account, with credentials that the front gave out."""
    import boto3

    def client(service: str, *, account: str = "111111111111", key: str = "") -> Any:
        session = cloud.give(f"arn:aws:iam::{account}:role/dpra-demo-beta", "test")
        return boto3.client(
            service,
            region_name="eu-west-1",
            endpoint_url=cloud.url,
            aws_access_key_id=key or session.access_key_id,
            aws_secret_access_key=session.secret_access_key,
            aws_session_token=session.session_token,
        )

    return client
