"""The one client of GitHub's API, against a server on this machine."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from dpra.errors import OutsideError
from dpra.github import client, tags

TOKEN = "t0ken"
Answer = tuple[int, dict[str, str], bytes]


class Web:
    """A server: `answers` by path, each a list of which the last stays; and the requests that it got."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                left = web.answers.get(self.path, [(404, {}, b"{}")])
                status, headers, body = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def says(self, path: str, *answers: Answer) -> None:
        self.answers[path] = list(answers)

    def asked(self, header: str) -> list[str | None]:
        return [headers.get(header) for _, headers in self.requests]


def ok(data: Any, **headers: str) -> Answer:
    return 200, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(data).encode()


@pytest.fixture
def webs() -> Iterator[Callable[[], Web]]:
    started: list[tuple[Web, Thread]] = []

    def start() -> Web:
        web = Web()
        thread = Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((web, thread))
        return web

    yield start
    for web, thread in started:
        web.server.shutdown()
        thread.join()
        web.server.server_close()


@pytest.fixture
def web(webs: Callable[[], Web]) -> Web:
    return webs()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(client.time, "sleep", found.append)
    return found


def github(web: Web, **environment: str) -> client.Client:
    return client.client({"GITHUB_API_URL": web.url, **environment})


def test_the_token_is_that_of_the_environment(web) -> None:
    web.says("/a", ok({"b": 1}))
    for environment in ({}, {"GH_TOKEN": "two"}, {"GITHUB_TOKEN": f"{TOKEN}\n", "GH_TOKEN": "two"}):
        assert client.get(github(web, **environment), "/a") == {"b": 1}
    assert web.asked("authorization") == [None, "Bearer two", f"Bearer {TOKEN}"]
    assert set(web.asked("user-agent")) == {"dpra"}


def test_a_password_in_netrc_does_not_take_the_tokens_place(web, tmp_path, monkeypatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    web.says("/a", ok({}))
    client.get(github(web, GITHUB_TOKEN=TOKEN), "/a")
    client.get(github(web), "/a")
    assert web.asked("authorization") == [f"Bearer {TOKEN}", None]


def test_a_token_that_is_none_is_told_without_being_shown(web) -> None:
    with pytest.raises(client.GitHubError) as told:
        github(web, GH_TOKEN="sec\nret")
    assert str(told.value) == "GH_TOKEN has characters that no token has"
    assert TOKEN not in repr(github(web, GH_TOKEN=TOKEN))


def test_a_list_of_several_pages_is_one(web) -> None:
    web.says("/a?per_page=100&state=all", ok([1, 2], Link=f'<{web.url}/a?page=2>; rel="next", <{web.url}/a>; rel="x"'))
    web.says("/a?page=2", ok([3], Link=f'<{web.url}/a>; rel="prev"'))
    assert list(client.pages(github(web), "/a", state="all")) == [1, 2, 3]
    web.says("/b?per_page=100", ok({"total_count": 1, "secrets": [{"name": "X"}]}))
    assert list(client.pages(github(web), "/b", "secrets")) == [{"name": "X"}]
    with pytest.raises(client.GitHubError, match="something else than a list for /b"):
        list(client.pages(github(web), "/b"))


def test_pages_end(web, monkeypatch) -> None:
    monkeypatch.setattr(client, "MOST_PAGES", 3)
    web.says("/a?per_page=100", ok([1], Link=f'<{web.url}/a?per_page=100>; rel="next"'))
    with pytest.raises(client.GitHubError, match="more than 3 pages for /a"):
        list(client.pages(github(web), "/a"))
    assert len(web.requests) == 3


def test_a_next_page_on_another_host_is_not_asked_for(web, webs) -> None:
    other = webs()
    web.says("/a?per_page=100", ok([1], Link=f'<{other.url}/a>; rel="next"'))
    with pytest.raises(client.GitHubError, match="on another host"):
        list(client.pages(github(web, GH_TOKEN=TOKEN), "/a"))
    assert other.requests == []


def test_what_did_not_change_is_not_sent_again(web) -> None:
    one = github(web)
    web.says("/a", ok({"b": [1]}, ETag='"x"'), (304, {}, b""))
    first = client.get(one, "/a")
    first["b"].append(2)
    assert client.get(one, "/a") == {"b": [1]}
    assert web.asked("if-none-match") == [None, '"x"']
    web.says("/a", ok({"b": [3]}, ETag='"y"'))
    assert client.get(one, "/a") == {"b": [3]}
    client.get(github(web), "/a")
    assert web.asked("if-none-match")[-1] is None


def test_pages_that_did_not_change_keep_what_comes_next(web) -> None:
    one = github(web)
    web.says("/a?per_page=100", ok([1], ETag='"x"', Link=f'<{web.url}/a?page=2>; rel="next"'), (304, {}, b""))
    web.says("/a?page=2", ok([2], ETag='"y"'), (304, {}, b""))
    assert list(client.pages(one, "/a")) == list(client.pages(one, "/a")) == [1, 2]


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        (403, {"Retry-After": "7"}, 7),
        (429, {"Retry-After": "0"}, 1),
        (429, {}, 60),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "+20"}, 20),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "-20"}, 1),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, 60),
    ],
)
def test_the_rate_limit_is_waited_for(web, slept, status: int, headers: dict[str, str], waits: int) -> None:
    if headers.get("X-RateLimit-Reset", "soon") != "soon":
        headers = headers | {"X-RateLimit-Reset": str(int(time.time() + 0.5) + int(headers["X-RateLimit-Reset"]))}
    web.says("/a", (status, headers, b"{}"), ok({"b": 1}))
    assert client.get(github(web), "/a") == {"b": 1}
    assert slept == [pytest.approx(waits, abs=1.5)]


def test_a_limit_that_lasts_is_an_error_with_a_way_out(web, slept) -> None:
    reset = str(int(time.time()) + 1800)
    web.says("/a", (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, b"{}"))
    for environment in ({}, {"GH_TOKEN": TOKEN}):
        with pytest.raises(client.RateLimited) as told:
            client.get(github(web, **environment), "/a")
        assert str(told.value) == f"{web.url} limits the rate of /a"
        assert told.value.hint.startswith("ask again in 30 min")
        assert ("a token in GITHUB_TOKEN" in told.value.hint) == (not environment)
    assert slept == []
    web.says("/a", (429, {"Retry-After": "25"}, b"{}"))
    with pytest.raises(client.RateLimited):
        client.get(github(web), "/a")
    assert slept == [25, 25]


def test_a_redirect_to_another_host_carries_no_token(web, webs) -> None:
    other = webs()
    other.says("/b", ok({"c": 1}))
    web.says("/a", (302, {"Location": f"{other.url}/b"}, b""))
    assert client.get(github(web, GH_TOKEN=TOKEN), "/a") == {"c": 1}
    assert web.asked("authorization") == [f"Bearer {TOKEN}"]
    assert other.asked("authorization") == [None]


def test_a_redirect_on_the_same_host_carries_it(web) -> None:
    """GitHub's own, from a repository's former name."""
    web.says("/repos/a/b", (301, {"Location": "/repositories/1"}, b"{}"))
    web.says("/repositories/1", ok({"id": 1}))
    assert client.get(github(web, GH_TOKEN=TOKEN), "/repos/a/b") == {"id": 1}
    assert web.asked("authorization") == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize(
    ("to", "said"),
    [("http://localhost.example/b", "to where there is no https"), ("file:///etc/passwd", "no https"), ("/a", "often")],
)
def test_a_redirect_that_is_wrong_is_refused(web, to: str, said: str) -> None:
    web.says("/a", (302, {"Location": to}, b""))
    with pytest.raises(client.GitHubError, match=said):
        client.get(github(web), "/a")


@pytest.mark.parametrize("body", [b"<html>", b"", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_not_json_is_told(web, body: bytes) -> None:
    web.says("/a", (200, {}, body))
    with pytest.raises(client.GitHubError, match="answers something else than JSON for /a"):
        client.get(github(web), "/a")


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_is_too_large_is_not_read(web, monkeypatch, packed: bool) -> None:
    import gzip

    monkeypatch.setattr(client, "LARGEST", 100_000)
    body = b"1" * 3_000_000
    web.says("/a", (200, {"Content-Encoding": "gzip"} if packed else {}, gzip.compress(body) if packed else body))
    with pytest.raises(client.GitHubError, match="answers more than 100,000 bytes for /a"):
        client.get(github(web), "/a")


@pytest.mark.parametrize(
    "url", ["http://api.github.com", "http://localhost", "http://127.0.0.1.example", "ftp://x", "x"]
)
def test_http_is_refused(url: str) -> None:
    with pytest.raises(client.GitHubError, match="GitHub is asked by https only"):
        client.client({"GITHUB_API_URL": url})


@pytest.mark.parametrize(
    ("status", "token", "hint"),
    [
        (404, "", "it shows a private one only to a token in GITHUB_TOKEN"),
        (404, TOKEN, "the token in GH_TOKEN may be one that must not see it"),
        (401, TOKEN, "the token in GH_TOKEN may be wrong or too old"),
        (500, "", ""),
    ],
)
def test_a_refusal_says_which_and_what_to_do(web, status: int, token: str, hint: str) -> None:
    web.says("/a", (status, {}, b'{"message": "Not so"}'))
    with pytest.raises(client.Refused) as told:
        client.get(github(web, GH_TOKEN=token), "/a")
    assert isinstance(told.value, OutsideError)
    assert (str(told.value), told.value.status) == (f"{web.url} answers {status} for /a (Not so)", status)
    assert told.value.hint == hint


def test_nobody_there_is_told_in_a_few_words() -> None:
    with pytest.raises(client.GitHubError) as told:
        client.get(client.client({"GITHUB_API_URL": "http://127.0.0.1:9"}), "/a")
    assert str(told.value) == "http://127.0.0.1:9 cannot be asked: [Errno 111] Connection refused"


def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        one = client.client({"GITHUB_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"})
        with pytest.raises(client.GitHubError, match="cannot be asked: timed out"):
            client.get(one, "/a")


def test_an_answer_that_breaks_off_is_told(web) -> None:
    web.says("/a", (200, {"Content-Length": "9"}, b"{}"))
    with pytest.raises(client.GitHubError, match="cannot be asked"):
        client.get(github(web), "/a")


# ---- Pins

COMMIT, TAG_OBJECT = "0123456789abcdef0123456789abcdef01234567", "a" * 40
LIGHT = ok({"object": {"type": "commit", "sha": COMMIT}})


def test_a_tag_names_its_commit(web) -> None:
    web.says("/repos/acme/dpra/git/ref/tags/v1", LIGHT)
    web.says("/repos/acme/dpra/git/ref/tags/v2", ok({"object": {"type": "tag", "sha": TAG_OBJECT}}))
    web.says(f"/repos/acme/dpra/git/tags/{TAG_OBJECT}", LIGHT)  # an annotated one
    web.says("/repos/acme/dpra", ok({}))
    assert tags.commit_of(github(web), "acme/dpra", "v1") == COMMIT
    assert tags.commit_of(github(web), "acme/dpra", "v2") == COMMIT
    assert tags.commit_of(github(web), "acme/dpra", "v3") == ""
    with pytest.raises(client.Refused):
        tags.commit_of(github(web), "acme/hidden", "v3")


@pytest.mark.parametrize("said", [[], {}, {"object": None}, {"object": {"type": "tag", "sha": TAG_OBJECT}}])
def test_an_odd_answer_about_a_tag_is_told(web, said: Any) -> None:
    web.says("/repos/acme/dpra/git/ref/tags/v1", ok(said))
    web.says(f"/repos/acme/dpra/git/tags/{TAG_OBJECT}", ok({"object": {"type": "tag", "sha": TAG_OBJECT}}))
    with pytest.raises(client.GitHubError, match="does not say what v1 of acme/dpra is"):
        tags.commit_of(github(web), "acme/dpra", "v1")


CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (LIGHT, 0, ""),
        (
            ok({"object": {"type": "commit", "sha": "b" * 40}}),
            1,
            f"wrong: actions/checkout has {'b' * 40} under the tag",
        ),
        ((404, {}, b"{}"), 1, "wrong: actions/checkout has no commit under the tag v7.10.0"),
        ((403, {}, b"{}"), 0, "unverified: "),
        ((500, {}, b"{}"), 0, "unverified: "),
        ((200, {}, b"<html>"), 0, "unverified: "),
    ],
)
def test_check_asks_github_about_a_tag_that_it_does_not_know(
    dpra, repository, web, answer: Answer, code: int, says: str
) -> None:
    workflow = repository / ".github/workflows/pipeline.yml"
    workflow.write_text(workflow.read_text().replace(CHECKOUT, f"actions/checkout@{COMMIT} # v7.10.0"))
    web.says("/repos/actions/checkout/git/ref/tags/v7.10.0", answer)
    web.says("/repos/actions/checkout", ok({}))
    done = dpra("check", cwd=repository, GITHUB_API_URL=web.url)
    assert done.returncode == code, done.stderr
    line = f"actions/checkout@{COMMIT} # v7.10.0: {says}"
    assert (line if says else "") in done.stderr
    assert bool(done.stderr) == bool(says)
    done = dpra("check", "--format", "json", cwd=repository, GITHUB_API_URL=web.url)
    state = says.partition(":")[0] or "verified"
    assert json.loads(done.stdout)["pins"] == {f"actions/checkout@{COMMIT} # v7.10.0": state}
    assert json.loads(done.stdout)["holds"] is (code == 0)


def test_check_asks_github_nothing_where_it_knows_every_pin(dpra, repository, web) -> None:
    assert dpra("check", cwd=repository, GITHUB_API_URL=web.url).returncode == 0
    assert web.requests == []


@pytest.mark.parametrize(("answer", "code"), [(LIGHT, 0), (ok({"object": {"type": "commit", "sha": "b" * 40}}), 1)])
def test_check_verifies_that_the_commit_of_the_pack_is_the_tags(
    dpra, repository, web, answer: Answer, code: int
) -> None:
    with (repository / "dpra.yml").open("a") as file:
        file.write(f"pack: acme/dpra@{COMMIT}\n")
    assert dpra("generate", cwd=repository).returncode == 0
    web.says("/repos/acme/dpra/git/ref/tags/v0.1.0", answer)
    done = dpra("check", cwd=repository, GITHUB_API_URL=web.url)
    assert done.returncode == code, done.stderr
    assert len(web.requests) == 1
    down = dpra("check", cwd=repository, GITHUB_API_URL="http://127.0.0.1:9")
    assert (down.returncode, "unverified" in down.stderr) == (0, True)
