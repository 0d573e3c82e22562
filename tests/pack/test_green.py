"""What a scanner learned since the pull request was green can warn; what it should have found then still blocks."""

import json
from typing import Any

import pytest

HEAD = "#!/usr/bin/env bash\n# A scanner that finds one thing.\n# serves sca: python\n# version: 1.0\n"
HEAD += "# version-command: echo 1.0\n# ok-exit-codes: {codes}\n"
FINDING = {"ruleId": "CVE-2026-1", "level": "error", "message": {"text": "an old pin"}}
COMMIT = "c0ffee" + "0" * 34


def check_of(job: Any, results: list[Any], code: int = 0) -> None:
    report = {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}, "results": results}]}
    script = HEAD.format(codes="0") + f"cat > \"$SARIF\" <<'E'\n{json.dumps(report)}\nE\nexit {code}\n"
    (job.own_pack() / "check" / "tools" / "scanner.sh").write_text(script)


def pulls(merged: str = COMMIT, at: str | None = "2026-11-24T10:00:00Z") -> bytes:
    return json.dumps([{"number": 12, "merged_at": at, "merge_commit_sha": merged, "head": {"sha": "a" * 40}}]).encode()


def runs(*conclusions: str, app: str = "github-actions") -> bytes:
    return json.dumps({"check_runs": [{"app": {"slug": app}, "conclusion": one} for one in conclusions]}).encode()


def scan(job: Any, web: Any, *answers: bytes, **inputs: str) -> Any:
    web.answers = [(200, {}, answer) for answer in answers] or [(500, {}, b"")]
    job.env["GITHUB_API_URL"] = web.url
    given = {"action": "sca", "tool": "scanner", "language": "python", "fail_on": "high", "token": "t"}
    return job.use("check", **given | {"green_before": "Security"} | inputs)


def test_what_is_new_since_a_green_pull_request_warns_and_is_told(job: Any, web: Any) -> None:
    check_of(job, [FINDING])
    ran = scan(job, web, pulls(), runs("success"))
    assert (ran.code, ran.errors, ran.record["result"], ran.record["gate"]) == (0, [], "pass", "blocks")
    assert ran.record["override"] == "passed in pull request 12: what is found now was not known then"
    assert ran.record["findings"]["high"] == 1
    assert any(name == "warning" and "CVE-2026-1" in data for name, _, data in ran.commands)
    assert [path for _, path, _ in web.requests] == [
        f"/repos/acme/shop/commits/{COMMIT}/pulls",
        f"/repos/acme/shop/commits/{'a' * 40}/check-runs?check_name=Security&filter=latest",
    ]


@pytest.mark.parametrize(
    "answers",
    [
        [b"[]"],  # pushed, without a pull request
        [pulls(merged="b" * 40)],
        [pulls(at=None)],
        [pulls(), runs()],
        [pulls(), runs("failure")],
        [pulls(), runs("success", "failure")],
        [pulls(), runs("neutral")],
        [pulls(), runs("success", app="somebody-else")],
        [b"{}"],
        [],  # GitHub does not answer
    ],
)
def test_it_blocks_where_the_pull_request_was_not_green(job: Any, web: Any, answers: list[bytes]) -> None:
    check_of(job, [FINDING])
    ran = scan(job, web, *answers)
    assert (ran.code, ran.record["result"]) == (1, "fail")
    assert "CVE-2026-1" in ran.errors[0]


def test_it_blocks_where_nobody_asked_for_it(job: Any, web: Any) -> None:
    check_of(job, [FINDING])
    assert scan(job, web, pulls(), runs("success"), green_before="").code == 1
    assert web.requests == []


def test_a_tool_that_fails_and_an_expired_waiver_still_block(job: Any, web: Any) -> None:
    check_of(job, [FINDING], code=3)
    assert scan(job, web, pulls(), runs("success")).record["result"] == "error"
    check_of_again = json.dumps([{"rule": "CVE-2026-1", "reason": "x", "owner": "y", "until": "2020-01-01"}])
    (job.pack / "check" / "tools" / "scanner.sh").write_text(
        (job.pack / "check" / "tools" / "scanner.sh").read_text().replace("exit 3", "exit 0")
    )
    ran = scan(job, web, pulls(), runs("success"), waivers=check_of_again)
    assert (ran.code, ran.record["result"]) == (1, "fail")
    assert "has expired" in "".join(ran.errors)
