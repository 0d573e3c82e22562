"""The AWS CLI, one call at a time: parameters go in as JSON and the answer comes out as JSON."""

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import runner
from partitions import partition

PROFILE = "dpra"  # of the role that session.py took
FOLDER = "dpra-session"  # what it keeps
EARLY = 900  # seconds before its end that a session is taken anew: from then on SDKs ask for it
KEYS = {
    "AccessKeyId": "AWS_ACCESS_KEY_ID",
    "SecretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "SessionToken": "AWS_SESSION_TOKEN",
}
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")


class Refused(runner.Failed):
    """AWS said no; `code` is its error code, such as ValidationError."""

    def __init__(self, call: str, stderr: str) -> None:
        said = re.search(r"\(([\w.]+)\) when calling", stderr)
        self.code = said[1] if said else ""
        super().__init__(f"aws {call}: {stderr.strip() or 'failed without a message'}", "error")


def call(region: str, service: str, operation: str, /, *options: str, **parameters: Any) -> dict[str, Any]:
    """`aws SERVICE OPERATION`. JSON keeps values as they are: the CLI would fetch a parameter that is `file://...`."""
    return call_as({}, region, service, operation, *options, **parameters)


def call_as(
    env: Mapping[str, str], region: str, service: str, operation: str, /, *options: str, **parameters: Any
) -> dict[str, Any]:
    """The same with more environment, such as the credentials of another role."""
    if parameters:
        options += ("--cli-input-json", json.dumps(parameters, ensure_ascii=False))
    answer: dict[str, Any] = json.loads(text(region, service, operation, *options, "--output", "json", env=env) or "{}")
    return answer


def text(
    region: str, service: str, operation: str, *options: str, env: Mapping[str, str] = MappingProxyType({})
) -> str:
    """What the CLI prints; for the few operations that answer without JSON."""
    words = ["aws", service, operation, *options, "--region", region]
    variables = {**os.environ, **env, "AWS_PAGER": ""}
    ran = _run(words, variables | _session(variables))
    said = ran.stderr.decode(errors="replace")
    ended = ran.returncode and any(f"({code})" in said for code in EXPIRED)
    if ended and variables.get("AWS_PROFILE") == PROFILE and (kept := _kept(variables)):
        # It ended before its time: the machine slept, or somebody ended it. AWS has done nothing of what was asked.
        kept.unlink(missing_ok=True)
        ran = _run(words, variables)
    if ran.returncode:
        raise Refused(f"{service} {operation}", ran.stderr.decode(errors="replace"))
    return ran.stdout.decode()


def _session(variables: Mapping[str, str]) -> dict[str, str]:
    """The keys of the profile's session, where there is one: else each call starts session.py to ask for them."""
    _, given = kept_session(kept) if (kept := _kept(variables)) else ("", {})
    return {variable: given[name] for name, variable in KEYS.items()} if given else {}


def _kept(variables: Mapping[str, str]) -> Path | None:
    """Where session.py keeps the session of the profile; None for a profile that it did not make."""
    profile, config = variables.get("AWS_PROFILE", ""), Path(variables.get("AWS_CONFIG_FILE", ""))
    made = config.parent.name == FOLDER and config.name == f"{profile}.config"
    return config.with_name(f"{profile}.json") if made else None


def _run(words: list[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(words, env=variables, capture_output=True, check=False)
    except OSError as problem:
        raise runner.Failed(f"the AWS CLI cannot be run: {problem.strerror}", "error") from problem


def session_file(profile: str, kind: str) -> Path:
    """Where session.py keeps what it has of a profile, for this job alone and never in what is uploaded."""
    folder = runner.temp() / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{profile}.{kind}"


def kept_session(path: Path) -> tuple[str, dict[str, Any]]:
    """The role and the session that session.py keeps there; both empty where there is none, or it ends soon."""
    try:
        kept = json.loads(path.read_bytes())
        if kept["until"] - EARLY > time.time() and kept["given"].keys() >= KEYS.keys():
            return str(kept["role"]), dict(kept["given"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # there is none yet
    return "", {}


def domain(region: str) -> str:
    """Where AWS's services of a region are."""
    return {"aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu"}.get(partition(region), "amazonaws.com")


def registry(region: str, account: str) -> str:
    """Where the account's images of a region are, in Amazon ECR."""
    return f"{account}.dkr.ecr.{region}.{domain(region)}"


def expect_account(region: str, account: str) -> None:
    """Fail unless the credentials are of this account: the last chance before anything is touched."""
    caller = call(region, "sts", "get-caller-identity")["Account"]
    if caller != account:
        raise runner.Failed(f"the credentials are of account {caller}, not {account}", "error")
