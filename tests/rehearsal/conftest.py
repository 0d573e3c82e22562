"""What the rehearsal's tests share: a component to rehearse, and accounts to try things in."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dpra import rehearsal
from dpra.rehearsal.accounts import bootstrap
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer

COMPONENT = Path(__file__).parent / "repository"
STAGES = {"build": "build", "beta": "beta", "prod": "prod"}


def git(folder: Path, *arguments: str) -> str:
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def spec() -> SimpleNamespace:
    return SimpleNamespace(
        name="demo",
        repository="acme/demo",
        repository_id=0,
        owner_id=0,
        trunk="main",
        regions=("eu-west-1",),
        environments={
            "beta": SimpleNamespace(account="111111111111", regions=("eu-west-1", "us-east-1")),
            "prod": SimpleNamespace(account="222222222222", regions=()),
        },
    )


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
def rehearse(repository: Path, spec: SimpleNamespace) -> Callable[..., rehearsal.Result]:
    """Rehearse the component, or a workflow of one's own in its place."""

    def rehearse(workflow: str = "", **options: Any) -> rehearsal.Result:
        if workflow:
            (repository / ".github/workflows/pipeline.yml").write_text(workflow)
        return rehearsal.rehearse(repository, spec, STAGES, **{"offline": True, "show": print, **options})

    return rehearse


@pytest.fixture
def cloud(spec: SimpleNamespace) -> Iterator[Cloud]:
    with Cloud(Issuer("acme/demo", "main", "a" * 40)) as cloud:
        bootstrap(COMPONENT, spec)
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
