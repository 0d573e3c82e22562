"""What the tests of a deployed stage share: a call of the deployed function, as the HTTP API makes it."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

Call = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session")
def call() -> Call:
    """call(method, path, body) -> status, answer.

    It goes through Lambda's own API with the credentials of the job, so it needs no way in from the internet.
    """
    import boto3

    function = json.loads(os.environ["DEPLOYMENT_OUTPUTS"])["FunctionName"]
    client = boto3.client("lambda")

    def call(method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        event = {
            "version": "2.0",
            "rawPath": path,
            "requestContext": {"http": {"method": method, "path": path}},
            "body": None if body is None else json.dumps(body),
        }
        reply = client.invoke(FunctionName=function, Payload=json.dumps(event))
        payload = json.loads(reply["Payload"].read())
        assert "FunctionError" not in reply, payload
        return payload["statusCode"], json.loads(payload["body"])

    return call
