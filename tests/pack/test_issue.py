"""The follow-up of a hotfix: an issue, whose text is data."""

import json
from typing import Any


def test_an_issue_is_opened_with_what_it_is_told(job: Any, web: Any) -> None:
    web.answers = [(201, {}, b'{"number": 7}')]
    job.env["GITHUB_API_URL"] = web.url
    hostile = "customers `cannot` pay\n::error::$(id) ${{ secrets.X }}"
    ran = job.use("issue", title="Hotfix\n::error::x", body=hostile, label="hotfix", token="ghs_secret")
    assert (ran.code, ran.outputs, ran.errors) == (0, {"number": "7"}, [])
    [(method, path, body)] = web.requests
    assert (method, path) == ("POST", "/repos/acme/shop/issues")
    assert json.loads(body) == {"title": "Hotfix ::error::x", "body": hostile, "labels": ["hotfix"]}
    assert "ghs_secret" not in ran.out


def test_a_refusal_fails_and_says_so(job: Any, web: Any) -> None:
    web.answers = [(403, {}, b"{}")]
    job.env["GITHUB_API_URL"] = web.url
    ran = job.use("issue", title="Hotfix", token="t")
    assert ran.code == 1
    assert "GitHub refused issues: 403" in ran.errors[0]
