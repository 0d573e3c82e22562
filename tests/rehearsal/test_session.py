"""Credentials last as long as the work: sessions of an hour, taken when they are needed, by whatever asks for them."""

import io
import json
import os
import stat
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dpra.rehearsal.accounts import prepare
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer

from .conftest import COMPONENT, planned

LIBRARY = Path(__file__).parents[2] / ".github/actions/_lib"
sys.path.insert(0, str(LIBRARY))
import aws  # noqa: E402
import deployment  # noqa: E402
import runner  # noqa: E402
import session  # noqa: E402

ROLE, REGION, ACCOUNT = "arn:aws:iam::111111111111:role/dpra-demo-beta", "eu-west-1", "111111111111"


class Job:
    """A job's environment, and what its steps find in it."""

    def __init__(self, cloud: Cloud, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.folder, self.before = cloud, folder, {*cloud.roles}
        for name in [name for name in os.environ if name.startswith(("AWS_", "INPUT_", "GITHUB_", "ACTIONS_"))]:
            monkeypatch.delenv(name)
        said = {
            "HOME": str(folder),
            "RUNNER_TEMP": str(folder),
            "GITHUB_ENV": str(folder / "env"),
            "GITHUB_ACTIONS": "true",
            "GITHUB_RUN_ID": "7",
            "AWS_ENDPOINT_URL": cloud.url,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": cloud.token_url,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": cloud.issuer.admit("beta", "beta"),
            "INPUT_ROLE": ROLE,
            "INPUT_REGION": REGION,
            "INPUT_ACCOUNT": ACCOUNT,
        }
        for name, value in said.items():
            monkeypatch.setenv(name, value)

    def begin(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """The step, as action.yml runs it."""
        words = [sys.executable, "-I", "-B", str(LIBRARY / "session.py")]
        env = {**os.environ, **{f"INPUT_{name}": value for name, value in inputs.items()}}
        return subprocess.run(words, env=env, capture_output=True, text=True, check=False)

    @property
    def given(self) -> dict[str, str]:
        """What the steps after it find in their environment."""
        path = self.folder / "env"
        return dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else {}

    @property
    def taken(self) -> list[str]:
        """The sessions that were taken."""
        return [key for key in self.cloud.roles if key not in self.before]

    @property
    def kept(self) -> Path:
        return self.folder / "dpra-session/dpra.json"

    def ends_in(self, seconds: float) -> None:
        said = json.loads(self.kept.read_text())
        self.kept.write_text(json.dumps(said | {"until": time.time() + seconds}))


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """The accounts of these tests: none of them changes what the next one looks at, but for the time."""
    with Cloud(Issuer("acme/demo", "main", "a" * 40)) as cloud:
        prepare(COMPONENT, planned())
        yield cloud


@pytest.fixture
def job(cloud: Cloud, aws_commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("PATH", f"{aws_commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    cloud.refusals.clear()
    return Job(cloud, tmp_path, monkeypatch)


@pytest.fixture
def begun(job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    done = job.begin()
    assert done.returncode == 0, done.stderr + done.stdout
    for name, value in job.given.items():
        monkeypatch.setenv(name, value)
    return job


def look() -> None:
    """A call of the pack's, which AWS refuses where the session has ended."""
    aws.call(REGION, "cloudwatch", "describe-alarms")


def test_the_step_gives_the_job_a_profile_and_no_key(job: Job) -> None:
    done = job.begin()
    assert (done.returncode, done.stderr) == (0, "")
    [key] = job.taken
    assert set(job.given) == {"AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"}
    secrets = json.loads(job.kept.read_text())["given"]
    assert secrets["AccessKeyId"] == key
    for name in ("SecretAccessKey", "SessionToken"):
        assert f"::add-mask::{secrets[name]}" in done.stdout
        for path in (job.folder / "env", Path(job.given["AWS_CONFIG_FILE"])):
            assert secrets[name] not in path.read_text()
    assert stat.S_IMODE(job.kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(job.kept.parent.stat().st_mode) == 0o700
    assert job.cloud.callers[key]["job"] == "beta"
    assert {path.name for path in job.kept.parent.iterdir()} == {"dpra.config", "dpra.json"}


def test_what_comes_after_it_takes_no_session_of_its_own(begun: Job) -> None:
    for _ in range(3):
        look()
    assert begun.begin().returncode == 0
    assert len(begun.taken) == 1


@pytest.mark.parametrize(("left", "sessions"), [(3599, 1), (960, 1), (899, 2), (60, 2), (0, 2), (-3600, 2)])
def test_a_session_is_taken_anew_before_it_ends(begun: Job, left: int, sessions: int) -> None:
    begun.ends_in(left)
    look()
    look()
    assert len(begun.taken) == sessions


@pytest.mark.parametrize(("minutes", "sessions"), [(1, 1), (59, 1), (60, 2), (61, 2), (90, 2), (119, 2), (1440, 2)])
def test_work_goes_on_after_its_session_has_ended(begun: Job, minutes: int, sessions: int) -> None:
    """By the clock of the rehearsal, which the session's own machine does not have."""
    begun.cloud.ahead += 60 * minutes
    look()
    assert len(begun.taken) == sessions


def test_work_of_six_hours_has_as_many_sessions_as_it_needs(begun: Job) -> None:
    for _ in range(12):
        begun.cloud.ahead += 30 * 60
        look()
    assert len(begun.taken) == 7


def test_credentials_that_nobody_takes_anew_end(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, without the input `role`: what is there is used, and AWS's answer is told."""
    given = session.credentials("dpra", ROLE, REGION)
    for name, key in zip(session.KEYS, ("AccessKeyId", "SecretAccessKey", "SessionToken"), strict=True):
        monkeypatch.setenv(name, given[key])
    look()
    job.cloud.ahead += 3600
    with pytest.raises(aws.Refused, match="ExpiredToken"):
        look()


def test_an_sdk_asks_for_itself(begun: Job) -> None:
    """A program that lives longer than its session, as Terraform or a script of the component's."""
    import boto3

    said = json.loads(begun.kept.read_text())
    soon = time.time() + 14 * 60  # less than fifteen minutes: SDKs ask whether there is a newer one
    said["given"]["Expiration"] = datetime.fromtimestamp(soon, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    begun.kept.write_text(json.dumps(said))
    client = boto3.session.Session(profile_name="dpra").client("cloudwatch", region_name=REGION)
    client.describe_alarms()
    begun.ends_in(14 * 60)
    client.describe_alarms()
    assert len(begun.taken) == 2


def test_terraform_reaches_its_state_by_the_profile(begun: Job) -> None:
    """Its SDK is another one, and it starts the process by a shell."""
    s3 = {"bucket": "state", "key": "shop.tfstate", "region": REGION, "use_path_style": "true"}
    aws.call(REGION, "s3api", "create-bucket", Bucket="state", CreateBucketConfiguration={"LocationConstraint": REGION})
    folder = begun.folder / "module"
    folder.mkdir()
    (folder / "main.tf").write_text('terraform {\n  backend "s3" {}\n}\n')
    words = ["terraform", "init", "-input=false", "-no-color", *(f"-backend-config={k}={v}" for k, v in s3.items())]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    begun.kept.unlink()
    done = subprocess.run(["terraform", "state", "pull"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(begun.taken) == 2


# ---- What goes wrong on the way


class Flaky:
    """GitHub's endpoint for tokens: it fails so often, each time in its own way, and then answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *problems: object) -> None:
        self.left, self.count, really = [*problems], 0, session.urllib.request.urlopen

        def urlopen(asked: Any, timeout: float) -> Any:
            self.count += 1
            match self.left.pop(0) if self.left else None:
                case None:
                    return really(asked, timeout=timeout)
                case int() as code:
                    raise urllib.error.HTTPError(asked.full_url, code, "no", None, io.BytesIO())  # type: ignore[arg-type]
                case bytes() as body:
                    return io.BytesIO(body)
                case problem:
                    raise problem  # type: ignore[misc]

        monkeypatch.setattr("urllib.request.urlopen", urlopen)


@pytest.mark.parametrize(
    "problems",
    [
        (500,),
        (503, 429),
        (TimeoutError("late"), 502, 500),
        (urllib.error.URLError("no route"),),
        (b"<html>", b"{}", b""),
    ],
)
def test_a_token_endpoint_that_fails_is_asked_again(job: Job, monkeypatch: pytest.MonkeyPatch, problems: Any) -> None:
    github = Flaky(monkeypatch, *problems)
    assert session.credentials("dpra", ROLE, REGION)["AccessKeyId"] in job.taken
    assert github.count == len(problems) + 1


def test_it_is_not_asked_for_ever(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    github = Flaky(monkeypatch, *[500] * 99)
    with pytest.raises(runner.Failed, match="GitHub gives no token: HTTP Error 500"):
        session.credentials("dpra", ROLE, REGION)
    assert github.count == len(session.PAUSES) + 1
    assert not job.kept.exists()


@pytest.mark.parametrize("code", ["IDPCommunicationError", "InvalidIdentityToken", "Throttling", "ServiceUnavailable"])
def test_an_sts_that_fails_is_asked_again(job: Job, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """GitHub's keys cannot be fetched, or AWS is busy."""
    really, failures = aws.call, [code, code]

    def call(*words: Any, **about: Any) -> Any:
        if failures:
            raise aws.Refused("sts", f"An error occurred ({failures.pop()}) when calling the X operation: later")
        return really(*words, **about)

    monkeypatch.setattr(aws, "call", call)
    assert session.credentials("dpra", ROLE, REGION)["Version"] == 1
    assert len(job.taken) == 1


def test_a_role_that_does_not_trust_the_job_is_asked_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", job.cloud.issuer.admit("other", "other"))
    done = job.begin()
    assert done.returncode == 1
    assert "::error title=credentials::" in done.stdout
    assert "Not authorized to perform sts:AssumeRoleWithWebIdentity" in done.stdout
    assert len(job.cloud.refusals) == 1
    assert job.given == {}


def test_a_job_without_the_permission_is_told_which(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL")
    done = job.begin()
    assert (done.returncode, job.given) == (1, {})
    assert "it needs the permission id-token: write" in done.stdout


def test_another_account_than_the_one_that_is_meant_is_refused(job: Job) -> None:
    done = job.begin(ACCOUNT="222222222222")
    assert (done.returncode, job.given) == (1, {})
    assert "the credentials are of account 111111111111, not 222222222222" in done.stdout


@pytest.mark.parametrize("skew", [-86400, -1200, 1200, 86400])
def test_the_clock_of_the_machine_counts_and_not_aws(job: Job, monkeypatch: pytest.MonkeyPatch, skew: int) -> None:
    """Whoever uses a session compares its end with this machine's clock, which may be wrong by any amount."""
    end = datetime.fromtimestamp(time.time() + 3600 + skew, UTC).isoformat()
    keys = {"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c", "Expiration": end}
    calls = []
    monkeypatch.setattr(aws, "call", lambda *words, **about: calls.append(about) or {"Credentials": keys})
    given = [session.credentials("dpra", ROLE, REGION) for _ in range(2)]
    assert len(calls) == 1
    left = datetime.fromisoformat(given[1]["Expiration"]).timestamp() - time.time()
    assert 3590 < left <= 3600


@pytest.mark.parametrize(
    ("role", "region"),
    [
        (f"{ROLE}\ncredential_process = touch pwned", REGION),
        (ROLE, f"{REGION}\nPATH=/tmp"),
        (ROLE, "--endpoint-url=http://127.0.0.1"),
        ("file:///etc/passwd", REGION),
        (f"{ROLE} x", REGION),
        ("dpra-demo-beta", REGION),
    ],
)
def test_what_is_no_role_or_region_reaches_no_file(job: Job, role: str, region: str) -> None:
    done = job.begin(ROLE=role, REGION=region)
    assert (done.returncode, job.given, job.taken) == (1, {}, [])
    assert not list(job.folder.rglob("dpra.config"))


def test_keys_of_an_action_before_it_do_not_sign(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in session.KEYS:
        monkeypatch.setenv(name, "old")
    assert job.begin().returncode == 0
    assert {job.given[name] for name in session.KEYS} == {""}
    for name, value in job.given.items():
        monkeypatch.setenv(name, value)
    look()


def test_a_session_of_another_role_is_not_taken_for_this_one(begun: Job) -> None:
    done = begun.begin(ROLE=ROLE.replace("beta", "prod-1"))
    assert done.returncode == 1  # of the same job: it may not take that role
    assert len(begun.taken) == 1


# ---- The role that Terraform or a script acts with


def test_the_execution_role_is_taken_from_the_jobs_own(begun: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    execution = ROLE.replace("beta", "beta-execution")
    target = deployment.Target("demo", "beta", ACCOUNT, REGION, "b", "", {}, execution)
    env = deployment.assume_execution_role(target)
    assert set(env) == {"AWS_CONFIG_FILE", "AWS_PROFILE"}
    config = Path(env["AWS_CONFIG_FILE"]).read_text()
    assert execution in config
    asked = []

    def call_as(acting: dict[str, str], *words: str, **about: Any) -> Any:
        asked.append((acting["AWS_PROFILE"], words[1:3], about["RoleArn"], about["DurationSeconds"]))
        return {"Credentials": {"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c"}}

    monkeypatch.setattr(aws, "call_as", call_as)
    for _ in range(2):
        session.credentials("dpra-execution", execution, REGION, "dpra")
    assert asked == [("dpra", ("sts", "assume-role"), execution, 3600)]
