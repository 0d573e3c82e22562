"""What the rehearsal's tests share: a component to rehearse, and accounts to try things in."""

import functools
import io
import json
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
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
    """A boto3 client of an account and region, with credentials that the front gave out."""
    import boto3

    def client(
        service: str, region: str = "eu-west-1", account: str = "111111111111", key: str = "", *, hours: int = 1
    ) -> Any:
        session = cloud.give(f"arn:aws:iam::{account}:role/dpra-demo-beta", "test", hours * 3600)
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=cloud.url,
            aws_access_key_id=key or session.access_key_id,
            aws_secret_access_key=session.secret_access_key,
            aws_session_token=session.session_token,
        )

    return client


@pytest.fixture
def aws(cloud: Cloud, tmp_path: Path) -> Callable[..., Any]:
    """The real AWS CLI, of an account."""
    session = cloud.give("arn:aws:iam::111111111111:role/dpra-demo-beta", "test")
    environment = {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_MAX_ATTEMPTS": "1",
        "HOME": str(tmp_path),
    }

    def aws(*words: str) -> Any:
        command = [sys.executable, "-m", "awscli", *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        return json.loads(done.stdout or "{}")

    return aws


@pytest.fixture
def lasting(client: Callable[..., Any]) -> Callable[..., Any]:
    """The same, with credentials that outlive a few builds."""
    return functools.partial(client, hours=12)


class Stack:
    """A stack as the deploy action handles it: by change sets."""

    def __init__(self, client):
        self.cloud = client("cloudformation")
        self.count = 0

    def change(self, template, *, tags=None, capabilities=("CAPABILITY_IAM",), **parameters):
        self.count += 1
        self.names = {"StackName": "demo", "ChangeSetName": f"release-{self.count}"}
        self.cloud.create_change_set(
            **self.names,
            TemplateBody=template,
            ChangeSetType="UPDATE" if self.status() else "CREATE",
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            Capabilities=list(capabilities),
            Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
        )
        described = self.cloud.describe_change_set(**self.names)
        changes = [change["ResourceChange"] for change in described.get("Changes", [])]
        return described["Status"], {change["LogicalResourceId"]: change["Action"] for change in changes}

    def execute(self):
        self.cloud.execute_change_set(**self.names)
        return self.status()

    def deploy(self, template, **options):
        self.change(template, **options)
        return self.execute()

    def status(self):
        try:
            (stack,) = self.cloud.describe_stacks(StackName="demo")["Stacks"]
        except ClientError:
            return ""
        return "" if stack["StackStatus"] == "REVIEW_IN_PROGRESS" else stack["StackStatus"]

    def outputs(self):
        (stack,) = self.cloud.describe_stacks(StackName="demo")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def failures(self):
        events = self.cloud.describe_stack_events(StackName="demo")["StackEvents"]
        return {e["LogicalResourceId"]: e["ResourceStatusReason"] for e in events if "FAILED" in e["ResourceStatus"]}


@pytest.fixture
def stack(client):
    return Stack(client)


@pytest.fixture
def put(client):
    def put(key, code):
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("app.py", textwrap.dedent(code))
        client("s3").put_object(
            Bucket=BUCKET.format("111111111111").format(region="eu-west-1"),
            Key=f"release/{key}.zip",
            Body=package.getvalue(),
        )

    return put
