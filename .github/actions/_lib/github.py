"""GitHub's REST API, of this repository, by the token of the input `token`."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import runner

PAGE = 100  # the most that GitHub lists at once


class Refused(runner.Failed):
    """GitHub said no; `code` is HTTP's."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, "error")
        self.code = code


def call(path: str, data: dict[str, Any] | None = None, method: str | None = None) -> Any:
    """GET repos/OWNER/NAME/PATH, or POST with data; or another method.

    Raises:
        Refused: GitHub said no.
        runner.Failed: it could not be reached.
    """
    address = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}"
    token = runner.given("TOKEN")
    headers = {"Accept": "application/vnd.github+json", "Authorization": f"Bearer {token}"}
    body = None if data is None else json.dumps(data).encode()
    try:
        request = urllib.request.Request(address, body, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read() or "null")
    except urllib.error.HTTPError as error:
        raise Refused(f"GitHub refused {path.partition('?')[0]}: {error.code} {error.reason}", error.code) from error
    except (urllib.error.URLError, ValueError, TimeoutError) as error:
        raise runner.Failed(f"GitHub cannot be asked for {path.partition('?')[0]}: {error}", "error") from error


def pages(path: str, key: str = "") -> Iterator[dict[str, Any]]:
    """All that a list of GitHub's has, a page at a time.

    Args:
        key: of an answer, under which its list is; empty: the answer is the list.

    Raises:
        Refused, runner.Failed: as `call`.
    """
    page, asked = 1, f"{path}{'&' if '?' in path else '?'}per_page={PAGE}"
    while True:
        answer = call(asked if page == 1 else f"{asked}&page={page}")
        found = answer[key] if key else answer
        yield from found
        if len(found) < PAGE:
            return
        page += 1


@contextmanager
def read(out: str) -> Iterator[None]:
    """What a script reads of GitHub: what goes wrong ends it with an error and exit code 1.

    Args:
        out: what to do where an answer cannot be read.
    """
    try:
        yield
    except runner.Failed as failed:
        runner.error(str(failed))
        sys.exit(1)
    except (LookupError, TypeError, ValueError) as problem:
        runner.error(f"GitHub's answer cannot be read: {type(problem).__name__} {problem}; {out}")
        sys.exit(1)
