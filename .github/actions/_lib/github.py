"""GitHub's REST API, of this repository, by the token of the input `token`."""

import json
import os
import urllib.error
import urllib.request
from typing import Any

import runner


def call(path: str, data: dict[str, Any] | None = None) -> Any:
    """GET repos/OWNER/NAME/PATH, or POST with data.

    Raises:
        runner.Failed: GitHub said no, or could not be reached.
    """
    address = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}"
    token = runner.given("TOKEN")
    headers = {"Accept": "application/vnd.github+json", "Authorization": f"Bearer {token}"}
    body = None if data is None else json.dumps(data).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=30) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise runner.Failed(f"GitHub refused {path.partition('?')[0]}: {error.code} {error.reason}", "error") from error
    except (urllib.error.URLError, ValueError, TimeoutError) as error:
        raise runner.Failed(f"GitHub cannot be asked for {path.partition('?')[0]}: {error}", "error") from error
