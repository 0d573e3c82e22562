"""Credentials for as long as the work takes: a session of a role is taken when one is needed, and anew before it ends.

As a step it makes the role the job's AWS profile. The profile names this file as its `credential_process`: the AWS CLI,
the SDKs and Terraform ask for credentials themselves, and no key of the role stands in the environment.
Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

import datetime
import json
import os
import re
import shlex
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent))
import aws
import runner

LIVES = 3600  # seconds: as long as every role allows, and the most that AWS gives a role that another one takes
PAUSES = (1, 2, 4, 8)  # seconds between tries
FINAL = ("AccessDenied", "ValidationError")  # AWS's answers that the next try would not change
AUDIENCE = "sts.amazonaws.com"
CONFIGURED = ("AWS_CONFIG_FILE", "AWS_PROFILE")
KEYS = tuple(aws.KEYS.values())  # where there are any, they go before a profile
ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII)
REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")


class NoPermissionError(runner.Failed):
    """The job may not ask for a token: no further try would help."""


def begin() -> None:
    """Make the role of the inputs the profile of the job, for its steps from now on.

    Raises:
        runner.Failed: GitHub or AWS refuses it, or it is of another account.
    """
    role, account = runner.required("ROLE"), runner.required("ACCOUNT")
    region = runner.given("REGION") or runner.required("RECORD_REGION")
    variables = profile(aws.PROFILE, role, region) | {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    variables |= {name: "" for name in KEYS if os.environ.get(name)}
    for name in (*CONFIGURED, *KEYS):
        os.environ.pop(name, None)
    given = credentials(aws.PROFILE, role, region)
    runner.mask(given["SecretAccessKey"], given["SessionToken"])
    os.environ.update(variables)
    aws.expect_account(region, account)
    runner.environment(variables)
    runner.say(f"acting as {role}")


def profile(name: str, role: str, region: str, source: str = "") -> dict[str, str]:
    """The environment of a program that acts with a role, taken by GitHub's token or, with `source`, from that profile.

    Raises:
        runner.Failed: it is no ARN of a role, or no region.
    """
    if not ROLE.fullmatch(role) or not REGION.fullmatch(region):
        raise runner.Failed(f"'{role}' in '{region}': needs the ARN of a role and a region", "error")
    words = [sys.executable, "-I", "-B", str(Path(__file__).resolve()), name, role, region, source]
    command = " ".join(map(shlex.quote, words))  # SDKs hand it to a shell, or split it as one does
    config = aws.session_file(name, "config")
    config.write_text(f"[profile {name}]\nregion = {region}\ncredential_process = {command}\n", encoding="utf-8")
    return {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": name}


def chained(name: str, role: str, region: str) -> dict[str, str]:
    """The environment of a program that acts with another role, which ours takes.

    Where we took a role ourselves the program gets sessions for as long as it works, else one of an hour."""
    if os.environ.get("AWS_PROFILE") == aws.PROFILE:
        return profile(f"{aws.PROFILE}-{name}", role, region, aws.PROFILE)
    given = _chained(role, region)
    runner.mask(given["SecretAccessKey"], given["SessionToken"])
    return {variable: given[key] for key, variable in aws.KEYS.items()}


def credentials(name: str, role: str, region: str, source: str = "") -> dict[str, Any]:
    """A session of the role, as a credential_process prints it: the one that is there, or a new one if that ends soon.

    Raises:
        runner.Failed: there is none to be had.
    """
    path = aws.session_file(name, "json")
    whose, given = aws.kept_session(path)
    if whose == role:
        return given
    until = time.time() + LIVES  # by the clock of this machine, to which whoever uses it compares it: AWS's may differ
    taken = _taken(role, region, source)
    given = {"Version": 1, **{key: taken[key] for key in aws.KEYS}}
    given["Expiration"] = datetime.datetime.fromtimestamp(until, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:  # which nobody else may read
        json.dump({"role": role, "until": until, "given": given}, file)
    Path(file.name).replace(path)  # another process may be doing the same
    return given


def _taken(role: str, region: str, source: str) -> dict[str, Any]:
    """A new session; asked for again where GitHub or AWS does not answer as it should."""
    for pause in PAUSES:
        try:
            return _chained(role, region, source) if source else _by_token(role, region)
        except runner.Failed as failed:
            if isinstance(failed, NoPermissionError) or getattr(failed, "code", "") in FINAL:
                raise
            print(f"{runner.inert(str(failed))}; again in {pause} s", file=sys.stderr, flush=True)
            time.sleep(pause)
    return _chained(role, region, source) if source else _by_token(role, region)


def _by_token(role: str, region: str) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", dir=runner.temp()) as file:  # not in the list of processes, for all to read
        file.write(_token())
        file.flush()
        token = ("--web-identity-token", f"file://{file.name}")
        answer = aws.call(region, "sts", "assume-role-with-web-identity", *token, **_about(role))
    return dict(answer["Credentials"])


def _chained(role: str, region: str, source: str = "") -> dict[str, Any]:
    env = {"AWS_CONFIG_FILE": str(aws.session_file(source, "config")), "AWS_PROFILE": source} if source else {}
    return dict(aws.call_as(env, region, "sts", "assume-role", **_about(role))["Credentials"])


def _about(role: str) -> dict[str, Any]:
    return {"RoleArn": role, "RoleSessionName": f"dpra-{os.environ['GITHUB_RUN_ID']}", "DurationSeconds": LIVES}


def _token() -> str:
    """GitHub's word for which job this is.

    Source: https://docs.github.com/actions/reference/security/oidc#methods-for-requesting-the-oidc-token"""
    url, bearer = (os.environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}", "") for name in ("URL", "TOKEN"))
    if not url or not bearer:
        raise NoPermissionError("GitHub gives this job no token: it needs the permission id-token: write", "error")
    asked = urllib.request.Request(f"{url}&audience={AUDIENCE}", headers={"Authorization": f"Bearer {bearer}"})  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - the runner says where
            return str(json.loads(answer.read())["value"])
    except (OSError, ValueError, LookupError, TypeError) as problem:
        raise runner.Failed(f"GitHub gives no token: {problem}", "error") from problem


def main() -> None:
    words = sys.argv[1:]
    try:
        if not words:
            begin()
            return
        for name in (*CONFIGURED, *KEYS):  # those of the program that asks
            os.environ.pop(name, None)
        json.dump(credentials(*words), sys.stdout)
    except runner.Failed as failed:
        if words:  # what the program then says
            sys.exit(runner.inert(str(failed)))
        runner.error(str(failed), title="credentials")
        sys.exit(1)


if __name__ == "__main__":
    main()
