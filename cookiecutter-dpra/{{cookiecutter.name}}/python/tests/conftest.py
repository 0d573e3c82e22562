"""What the tests of a deployed stage share: a call of the deployed HTTP API."""

import json
import os
from collections.abc import Callable
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

Call = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session")
def call() -> Call:
    """call(method, path, body) -> status, answer."""
    url = urlsplit(json.loads(os.environ["DEPLOYMENT_OUTPUTS"])["ApiUrl"])
    connect = HTTPSConnection if url.scheme == "https" else HTTPConnection

    def call(method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        connection = connect(url.netloc, timeout=20)
        connection.request(method, url.path + path, json.dumps(body), {"content-type": "application/json"})
        reply = connection.getresponse()
        return reply.status, json.load(reply)

    return call
