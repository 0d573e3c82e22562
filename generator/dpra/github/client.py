"""The one way to GitHub's REST API: reads JSON, with bounds, and gives the token to nobody else.

Source: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import requests

from dpra.dataclasses import dataclass
from dpra.errors import OutsideError

HEADERS = {
    "Accept": "application/vnd.github+json",
    "User-Agent": "dpra",
    "X-GitHub-Api-Version": "2022-11-28",
}
TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
TIMEOUT = 5  # seconds without a byte
LARGEST = 10_000_000  # bytes of an answer, unpacked
MOST_PAGES = 100
MOST_REDIRECTS = 5
LONGEST_WAIT = 60  # seconds that a request waits for its rate limit, in all
LIMITED = 60  # seconds to wait where GitHub does not say how many
LOCAL = ("http", "127.0.0.1")  # which needs no https
REDIRECTS = (301, 302, 303, 307, 308)


class GitHubError(OutsideError):
    """GitHub refused, or could not be asked."""


class Refused(GitHubError):
    """GitHub answered with a status that is no success: `status`."""

    def __init__(self, message: str, status: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class RateLimited(Refused):
    """GitHub answers no more for longer than one can wait."""


@dataclass(frozen=True)
class _Answer:
    body: bytes
    following: str  # URL of the next page
    etag: str


@dataclass(frozen=True)
class Client:
    """Where to ask, as whom, and what was answered before."""

    api: str
    token: str = field(default="", repr=False)
    token_from: str = TOKENS[0]  # the variable that has it
    session: requests.Session = field(default_factory=requests.Session, repr=False)
    kept: dict[str, _Answer] = field(default_factory=dict, repr=False)  # by URL; a 304 costs nothing of the limit


def client(environment: Mapping[str, str] = os.environ) -> Client:
    """A client for GITHUB_API_URL, with the token of GITHUB_TOKEN or GH_TOKEN.

    Raises:
        GitHubError: neither https nor this machine, or the token is none.
    """
    api = (environment.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/")
    if not _safe(api):
        raise GitHubError(f"GITHUB_API_URL is {api}; GitHub is asked by https only")
    name = next((name for name in TOKENS if environment.get(name)), TOKENS[0])
    token = environment.get(name, "").strip()
    if not (token.isascii() and token.isprintable()):  # else the error of what sends it would show it
        raise GitHubError(f"{name} has characters that no token has")
    return Client(api, token, name)


def get(one: Client, path: str, **query: str) -> Any:
    """What GitHub says at a path, as data.

    Raises:
        GitHubError: it refused, could not be asked, or says something that is no JSON.
    """
    return _data(one, path, _asked(one, path, _url(one, path, query)))


def pages(one: Client, path: str, key: str = "", **query: str) -> Iterator[Any]:
    """The items of a list, page by page; `key` has it where the answer is an object.

    Raises:
        GitHubError: as `get`, or what it says is no list.
    """
    url = _url(one, path, {"per_page": "100", **query})
    for _ in range(MOST_PAGES):
        answer = _asked(one, path, url)
        data = _data(one, path, answer)
        items = data.get(key) if key and isinstance(data, dict) else data
        if not isinstance(items, list):
            raise GitHubError(f"{one.api} answers something else than a list for {path}")
        yield from items
        if not answer.following:
            return
        url = urljoin(url, answer.following)
        if not _same(url, one.api):
            raise GitHubError(f"{one.api} has the next page of {path} on another host")
    raise GitHubError(f"{one.api} has more than {MOST_PAGES} pages for {path}")


def _url(one: Client, path: str, query: Mapping[str, str]) -> str:
    return f"{one.api}{path}{'?' if query else ''}{urlencode(query)}"


def _safe(url: str) -> bool:
    """Nobody on the way reads what is sent there."""
    try:
        place = urlsplit(url)
        return bool(place.hostname) and (place.scheme == "https" or (place.scheme, place.hostname) == LOCAL)
    except ValueError:
        return False


def _same(url: str, other: str) -> bool:
    """Both are of one origin; only there the token belongs."""
    try:
        a, b = urlsplit(url), urlsplit(other)
        return (a.scheme, a.hostname, a.port) == (b.scheme, b.hostname, b.port)
    except ValueError:
        return False


def _data(one: Client, path: str, answer: _Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise GitHubError(f"{one.api} answers something else than JSON for {path}") from None


def _asked(one: Client, path: str, url: str) -> _Answer:
    """The answer to a request: waits for the rate limit, follows redirects, and takes a kept one if it still holds."""
    redirects, waited = 0, 0.0
    while True:
        kept = one.kept.get(url)
        response, body = _sent(one, path, url, kept.etag if kept else "")
        status, said = response.status_code, response.headers
        if status == 304 and kept:
            return kept
        if status in REDIRECTS and "location" in said:
            redirects, url = redirects + 1, urljoin(url, said["location"])
            if redirects > MOST_REDIRECTS or not _safe(url):
                what = "too often" if redirects > MOST_REDIRECTS else "to where there is no https"
                raise GitHubError(f"{one.api} redirects {path} {what}")
            continue
        if (wait := _wait(status, said)) is not None:
            if waited + wait > LONGEST_WAIT:
                raise RateLimited(f"{one.api} limits the rate of {path}", status, hint=_limit_hint(one, wait))
            time.sleep(wait)
            waited += wait
            continue
        if status != 200:
            raise Refused(f"{one.api} answers {status} for {path}{_message(body)}", status, hint=_hint(one, status))
        answer = _Answer(body, response.links.get("next", {}).get("url", ""), said.get("etag", ""))
        if answer.etag:
            one.kept[url] = answer
        return answer


def _sent(one: Client, path: str, url: str, etag: str) -> tuple[requests.Response, bytes]:
    """One request, and its answer's body."""

    def authorised(request: requests.PreparedRequest) -> requests.PreparedRequest:  # in place of what ~/.netrc says
        if one.token and _same(url, one.api):
            request.headers["Authorization"] = f"Bearer {one.token}"
        return request

    headers = HEADERS | ({"If-None-Match": etag} if etag else {})
    try:
        with one.session.get(
            url, headers=headers, auth=authorised, timeout=TIMEOUT, allow_redirects=False, stream=True
        ) as response:
            body = b""
            for chunk in response.iter_content(65_536):
                body += chunk
                if len(body) > LARGEST:
                    raise GitHubError(f"{one.api} answers more than {LARGEST:,} bytes for {path}")
            return response, body
    except (requests.RequestException, OSError, ValueError) as error:
        raise GitHubError(f"{one.api} cannot be asked: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """What stands at the beginning of a chain of errors."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error) or type(error).__name__


def _wait(status: int, said: Mapping[str, str]) -> float | None:
    """Seconds until the rate limit lets a request through; None where it is not what refused.

    Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
    """
    if status not in (403, 429):
        return None
    if "retry-after" in said:
        seconds = _number(said["retry-after"], LIMITED)
    elif said.get("x-ratelimit-remaining") == "0":
        seconds = _number(said.get("x-ratelimit-reset", ""), time.time() + LIMITED) - time.time()
    elif status == 429:
        seconds = LIMITED
    else:
        return None
    return max(seconds, 1)


def _number(text: str, otherwise: float) -> float:
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 12 else otherwise


def _limit_hint(one: Client, wait: float) -> str:
    again = f"ask again in {max(round(wait / 60), 1)} min"
    return again if one.token else f"{again}, or with a token in {one.token_from}, which has a limit of its own"


def _hint(one: Client, status: int) -> str:
    if status not in (401, 403, 404):
        return ""
    if not one.token:
        return f"it shows a private one only to a token in {one.token_from}"
    return f"the token in {one.token_from} may be {'wrong or too old' if status == 401 else 'one that must not see it'}"


def _message(body: bytes) -> str:
    """What GitHub says about its refusal."""
    try:
        said = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f" ({said[:200]})" if isinstance(said, str) and said.isprintable() else ""
