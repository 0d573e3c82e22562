"""The state is what the jobs say; the message gets there or warns; the webhook's URL is never shown."""

import json
from typing import Any

import pytest

GOOD = {"build": {"result": "success", "outputs": {}}, "beta": {"result": "success", "outputs": {}}}
SECRET = "/services/T000/B000/xyzzy"


def notify(job: Any, needs: Any, webhook: str = "", **inputs: str) -> Any:
    ran = job.use("notify", needs=json.dumps(needs), webhook=webhook, **{"subject": "Mainline"} | inputs)
    assert "xyzzy" not in ran.out + ran.summary
    assert b"xyzzy" not in job.everything_written()
    return ran


@pytest.mark.parametrize(
    ("results", "state"),
    [
        (["success", "success"], "healthy"),
        (["success", "failure"], "broken"),
        (["cancelled", "success"], "broken"),
        (["success", "skipped"], "broken"),
        (["success", "something new"], "broken"),
        ([], "unknown"),
    ],
)
def test_the_state(job: Any, results: list[str], state: str) -> None:
    ran = notify(job, {f"job{number}": {"result": result} for number, result in enumerate(results)})
    assert (ran.code, ran.outputs["state"]) == (0, state)
    for result in set(results) - {"success"}:
        assert f" {result}" in ran.out
    assert ran.record["action"] == "notify"


def test_a_failure_is_told(job: Any, web: Any) -> None:
    ran = notify(job, GOOD | {"gamma": {"result": "failure"}}, web.url + SECRET, action="mainline-state")
    assert (ran.code, ran.commands) == (0, [])
    [(method, path, body)] = web.requests
    assert (method, path) == ("POST", SECRET)
    run_url = "https://github.com/acme/shop/actions/runs/7"
    assert json.loads(body) == {
        "text": f"Mainline: broken (gamma failure) {run_url}",
        "subject": "Mainline",
        "state": "broken",
        "repository": "acme/shop",
        "commit": "c0ffee" + "0" * 34,
        "run_url": run_url,
        "jobs": {"build": "success", "beta": "success", "gamma": "failure"},
    }
    assert ran.record["action"] == "mainline-state"


@pytest.mark.parametrize(
    ("needs", "when", "told"), [(GOOD, "failure", 0), (GOOD, "always", 1), ({}, "failure", 1), ({}, "always", 1)]
)
def test_when_it_is_told(job: Any, web: Any, needs: Any, when: str, told: int) -> None:
    assert notify(job, needs, web.url, when=when).code == 0
    assert len(web.requests) == told


def test_without_a_webhook_nobody_is_told(job: Any) -> None:
    ran = notify(job, {}, "")
    assert (ran.code, ran.commands) == (0, [])
    assert "no webhook is set, so no notification is sent" in ran.out


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_webhook_is_tried_again(job: Any, web: Any, code: int) -> None:
    web.answers = [(code, {"Retry-After": "0"}, b""), (200, {}, b"ok")]
    ran = notify(job, {}, web.url + SECRET)
    assert (ran.code, ran.commands, len(web.requests)) == (0, [], 2)


def test_a_webhook_that_stays_broken_is_a_warning(job: Any, web: Any) -> None:
    web.answers = [(500, {"Retry-After": "0"}, b"xyzzy")]
    ran = notify(job, {}, web.url + SECRET)
    assert (ran.code, len(web.requests)) == (0, 3)
    assert ran.commands == [
        ("warning", "", "the webhook did not accept the notification: it answered 500; check its URL")
    ]


def test_how_long_it_waits(monkeypatch: pytest.MonkeyPatch, web: Any, job: Any) -> None:
    import runpy

    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    for name, value in job.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INPUT_ACTION", "notify")
    monkeypatch.setenv("INPUT_SUBJECT", "Mainline")
    monkeypatch.setenv("INPUT_WEBHOOK", web.url)
    web.answers = [
        (429, {"Retry-After": "3600"}, b""),
        (503, {"Retry-After": "Sun, 22 Nov 2026 23:00:00 GMT"}, b""),
        (500, {}, b""),
    ]
    runpy.run_path(str(job.pack / "notify" / "notify.py"))
    assert waited == [30, 2]


@pytest.mark.parametrize("code", [301, 302, 307, 400, 404, 410])
def test_a_webhook_that_refuses_is_not_asked_again(job: Any, web: Any, code: int) -> None:
    web.answers = [(code, {"Location": web.url + "/elsewhere"}, b"")]
    ran = notify(job, {}, web.url + SECRET)
    assert (ran.code, len(web.requests)) == (0, 1)
    assert ran.commands == [
        ("warning", "", f"the webhook did not accept the notification: it answered {code}; check its URL")
    ]


@pytest.mark.parametrize(
    "url", ["http://example.com/xyzzy", "file:///xyzzy", "xyzzy", "http://127.0.0.1:1@example.com/xyzzy"]
)
def test_a_webhook_is_https(job: Any, url: str) -> None:
    ran = notify(job, {}, url)
    assert ran.code == 0
    assert ran.commands == [
        ("warning", "", "the webhook did not accept the notification: its URL is not https; check its URL")
    ]


def test_a_webhook_that_is_not_there_is_a_warning(hurried: Any) -> None:
    ran = notify(hurried, {}, "http://127.0.0.1:9" + SECRET)
    assert ran.commands == [("warning", "", "the webhook did not accept the notification: URLError; check its URL")]


@pytest.mark.parametrize(
    ("url", "problem"), [("http://127.0.0.1:9/xyzzy with blanks", "InvalidURL"), ("http://[xyzzy", "ValueError")]
)
def test_a_webhook_that_python_would_quote_is_not_shown(hurried: Any, url: str, problem: str) -> None:
    ran = notify(hurried, {}, url)
    assert ran.commands == [("warning", "", f"the webhook did not accept the notification: {problem}; check its URL")]


@pytest.mark.parametrize("needs", ["[]", "{", '{"build": "success"}', '{"build": {}}'])
def test_needs_that_are_none_fail(job: Any, needs: str) -> None:
    ran = job.use("notify", needs=needs)
    assert (ran.code, ran.record["result"]) == (1, "error")


@pytest.mark.parametrize("subject", ["commands", "markdown", "long"])
def test_hostile_text_stays_data(job: Any, web: Any, hostile: dict[str, str], subject: str, inert: Any) -> None:
    ran = notify(job, {text: {"result": text} for text in hostile.values()}, web.url, subject=hostile[subject])
    assert ran.code == 0
    inert(job, ran)
    body = json.loads(web.requests[0][2])
    assert body["jobs"] == {text: text for text in hostile.values()}
    assert "<" not in body["text"]
    assert "\n" not in body["text"]
