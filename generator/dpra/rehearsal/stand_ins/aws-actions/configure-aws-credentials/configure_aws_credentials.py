"""Gets credentials the one way the pipeline may: GitHub's token, exchanged at STS. Speaks as the real action does."""

import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from typing import NoReturn

INPUTS = {name: str(value) for name, value in json.loads(os.environ["INPUTS"]).items()}
# The real action's words.
NO_CREDENTIALS = (
    "Credentials could not be loaded, please check your action inputs: Could not load credentials from any providers"
)
NO_PERMISSION = (
    "It looks like you might be trying to authenticate with OIDC. Did you mean to set the `id-token` permission?"
)
WRONG_ACCOUNT = "The account ID of the provided credentials ({}) does not match any of the expected account IDs: {}"
UNSUPPORTED = ("aws-access-key-id", "aws-profile", "force-skip-oidc", "role-chaining", "web-identity-token-file")


def fail(message: str) -> NoReturn:
    print(f"::error::{message}")
    sys.exit(1)


def get(request: urllib.request.Request) -> bytes:
    # No proxy: the request stays on this machine.
    answer: bytes = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).read()
    return answer


def github_token() -> str:
    url, bearer = (os.environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}") for name in ("URL", "TOKEN"))
    if not url or not bearer:
        print(NO_PERMISSION)
        fail(NO_CREDENTIALS)
    audience = urllib.parse.quote(INPUTS["audience"], safe="")
    request = urllib.request.Request(f"{url}&audience={audience}", headers={"Authorization": f"Bearer {bearer}"})  # noqa: S310
    try:
        token: str = json.loads(get(request))["value"]
    except urllib.error.HTTPError as error:
        fail(f"getIDToken call failed: {error.code} {error.read().decode(errors='replace')}")
    return token


def exchange(token: str) -> ElementTree.Element:
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": INPUTS["role-to-assume"],
        "RoleSessionName": INPUTS["role-session-name"] or "GitHubActions",
        "DurationSeconds": INPUTS["role-duration-seconds"] or "3600",
        "WebIdentityToken": token,
    }
    data = urllib.parse.urlencode(form).encode()
    try:
        answer = get(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], data=data))  # noqa: S310
    except urllib.error.HTTPError as error:
        message = ElementTree.fromstring(error.read()).findtext("Error/Message")  # noqa: S314
        fail(f"Could not assume role with OIDC: {message}")
    return ElementTree.fromstring(answer)  # noqa: S314


def export(**variables: str) -> None:
    with open(os.environ["GITHUB_ENV"], "a") as env:
        env.writelines(f"{name}={value}\n" for name, value in variables.items())


def caller(key: str, token: str, region: str) -> str:
    """The account that AWS says the new credentials are of: they are tried before anything else has them."""
    day = f"{datetime.now(UTC):%Y%m%d}"
    signed = f"AWS4-HMAC-SHA256 Credential={key}/{day}/{region}/sts/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"Authorization": signed, "X-Amz-Security-Token": token}
    request = urllib.request.Request(  # noqa: S310
        os.environ["AWS_ENDPOINT_URL"], data=b"Action=GetCallerIdentity&Version=2011-06-15", headers=headers
    )
    try:
        answer = ElementTree.fromstring(get(request))  # noqa: S314
    except urllib.error.HTTPError as error:
        message = ElementTree.fromstring(error.read()).findtext("Error/Message")  # noqa: S314
        fail(f"Credentials could not be loaded, please check your action inputs: {message}")
    return next((element.text or "" for element in answer.iter() if element.tag.endswith("Account")), "")


region = INPUTS["aws-region"]
if not region:
    fail("Input required and not supplied: aws-region")
if not re.fullmatch(r"[a-z]{2,}(-[a-z]+)+-[0-9]+", region):
    fail(f"Region is not valid: {region}")
for name in UNSUPPORTED:
    if INPUTS[name] not in ("", "false"):
        fail(f"The rehearsal knows OpenID Connect only, not {name}.")
if not INPUTS["role-to-assume"]:
    fail(NO_CREDENTIALS)
if not INPUTS["role-to-assume"].startswith("arn:aws"):
    fail("Source Account ID is needed if the Role Name is provided and not the Role Arn.")

name = INPUTS["role-session-name"] or "GitHubActions"
if not 2 <= len(name) <= 64:
    fail(f"Role session name must be between 2 and 64 characters, got {len(name)}: '{name}'")
if not re.fullmatch(r"[\w+=,.@-]*", name, re.ASCII):
    fail(f"Role session name is not valid: '{name}'. Must satisfy regular expression pattern: [\\w+=,.@-]*")
exports = INPUTS["output-env-credentials"] != "false"
if exports:
    export(AWS_REGION=region, AWS_DEFAULT_REGION=region)

answer = exchange(github_token())
found = {element.tag.rpartition("}")[2]: element.text or "" for element in answer.iter()}
secrets = {
    "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
    "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
    "AWS_SESSION_TOKEN": found["SessionToken"],
}
for value in secrets.values():
    print(f"::add-mask::{value}")
if exports:
    export(**secrets)
with open(os.environ["GITHUB_OUTPUT"], "a") as out:
    out.write(f"aws-expiration={found['Expiration']}\n")
    if INPUTS["output-credentials"] == "true":
        out.writelines(f"{k.lower().replace('_', '-')}={v}\n" for k, v in secrets.items())
account = caller(found["AccessKeyId"], found["SessionToken"], region)
allowed = [item.strip() for item in INPUTS["allowed-account-ids"].split(",")]
if allowed != [""] and account not in allowed:
    fail(WRONG_ACCOUNT.format(account, ", ".join(allowed)))
with open(os.environ["GITHUB_OUTPUT"], "a") as out:
    out.write(f"aws-account-id={account}\n")
print(f"Authenticated as {found['Arn']}")
