"""A secret in the history blocks, and nobody sees it again. The tool is the real one."""

import base64
import json
import os
import secrets
from typing import Any

import pytest


@pytest.fixture
def key() -> str:
    """An AWS access key of the right form, never the same: gitleaks passes over those of AWS's documentation."""
    return "AKIA" + base64.b32encode(os.urandom(10)).decode()


def commit(job: Any, message: str) -> str:
    job.git("add", ".")
    job.git("commit", "--quiet", "--message", message)
    return str(job.git("rev-parse", "HEAD"))


def test_a_secret_that_was_ever_committed_blocks_and_is_never_shown(job: Any, key: str) -> None:
    job.git("init", "--quiet")
    job.write("README.md", "shop\n")
    job.write(".gitleaks.toml", "[allowlist]\npaths = ['.*']\n")
    commit(job, "Begin")
    job.write("settings/prod.ini", f"[aws]\nkey = {key}  # gitleaks:allow\n")
    bad = commit(job, f"Use {key}")  # a commit's message may quote it too
    job.write("settings/prod.ini", "[aws]\n")
    commit(job, "Take it away")

    ran = job.use("check", action="secrets-detection", fail_on="critical")

    assert ran.code == 1
    assert ran.errors == [
        "file=settings/prod.ini,line=2,title=secrets-detection%3A critical"
        f"::aws-access-token: a secret in commit {bad[:12]}: revoke it, then remove it"
    ]
    assert ran.record["result"] == "fail"
    assert ran.record["findings"] == {"critical": 1, "high": 0, "medium": 0, "low": 0}
    assert (ran.record["tool"], ran.record["version"]) == ("gitleaks", "8.30.1")
    assert "`settings/prod.ini:2`" in ran.summary
    assert b"settings/prod.ini" in (job.evidence / "secrets-detection.sarif").read_bytes()
    assert key not in ran.out + ran.summary
    assert key.encode() not in job.everything_written()

    job.write(".gitleaksignore", f"{bad}:settings/prod.ini:aws-access-token:2\n")
    assert job.use("check", action="secrets-detection").code == 1  # what is judged does not decide
    waiver = {"rule": "aws-access-token", "path": "settings/*", "reason": "revoked", "owner": "@acme/shop"}
    waived = json.dumps([waiver | {"until": "2999-01-01"}])
    assert job.use("check", action="secrets-detection", waivers=waived).code == 0


def test_a_history_without_secrets_passes(job: Any) -> None:
    job.git("init", "--quiet")
    job.write("app.py", f"token_count = {secrets.randbelow(1000)}\n")
    commit(job, "Begin")

    ran = job.use("check", action="secrets-detection")

    assert (ran.code, ran.errors, ran.record["result"]) == (0, [], "pass")
    assert ran.outputs["report"] == str(job.evidence / "secrets-detection.sarif")


def test_half_a_history_is_an_error(job: Any, key: str) -> None:
    origin = job.root / "origin"
    origin.mkdir()
    job.git("init", "--quiet", directory=origin)
    for number in range(2):
        job.git("commit", "--quiet", "--allow-empty", "--message", str(number), directory=origin)
    job.git("clone", "--quiet", "--depth", "1", f"file://{origin}", ".")

    ran = job.use("check", action="secrets-detection")

    assert ran.code == 1
    assert ran.record["result"] == "error"
    assert "check out with fetch-depth: 0" in ran.out


def test_no_history_at_all_is_an_error(job: Any) -> None:
    ran = job.use("check", action="secrets-detection")
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "the tool wrote no SARIF report" in ran.errors[1]


def test_git_failing_under_the_tool_is_an_error(job: Any) -> None:
    """gitleaks itself exits 0 then: it saw no commit and found no leak."""
    job.git("init", "--quiet")
    job.git("commit", "--quiet", "--allow-empty", "--message", "Begin")
    fake = job.root / "bin" / "git"
    fake.write_text(
        '#!/bin/sh\ncase "$*" in *log*) echo "fatal: broken" >&2; exit 128;; esac\nexec /usr/bin/git "$@"\n'
    )
    fake.chmod(0o755)

    ran = job.use("check", action="secrets-detection")

    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "fatal: broken" in ran.out


@pytest.mark.parametrize("event", ["push", "pull_request", "schedule"])
def test_a_push_and_a_pull_request_are_judged_by_their_own_commits_and_the_night_by_all(
    job: Any, key: str, event: str
) -> None:
    job.git("init", "--quiet")
    job.write("settings.ini", f"key = {key}\n")
    commit(job, "Long ago")
    job.write("settings.ini", "\n")
    before = commit(job, "Mend it")
    job.write("app.py", "x = 1\n")
    commit(job, "Today")
    if event == "pull_request":
        job.git("checkout", "--quiet", "-b", "merge", before)
        job.git("merge", "--quiet", "--no-ff", "--message", "GitHub's merge", "main")
    job.env |= {"GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": str(job.root / "event.json")}
    (job.root / "event.json").write_text(json.dumps({"before": before}))
    assert job.use("check", action="secrets-detection").code == (1 if event == "schedule" else 0)

    job.write("app.py", f"key = '{key}'\n")
    commit(job, "A new one")
    if event == "pull_request":
        job.git("checkout", "--quiet", "-b", "topic")
        job.git("checkout", "--quiet", "-b", "merge-again", before)
        job.git("merge", "--quiet", "--no-ff", "--message", "GitHub's merge", "topic")
    assert job.use("check", action="secrets-detection").code == 1


def test_a_pull_request_that_is_not_checked_out_as_its_merge_is_judged_by_the_whole_history(job: Any, key: str) -> None:
    job.git("init", "--quiet")
    for number, content in enumerate((f"key = {key}\n", "x = 1\n", "x = 2\n")):
        job.write("settings.ini", content)
        commit(job, str(number))
    job.env["GITHUB_EVENT_NAME"] = "pull_request"
    assert job.use("check", action="secrets-detection").code == 1


@pytest.mark.parametrize("before", ["0" * 40, "d" * 40, "", "--all"])
def test_a_push_whose_beginning_is_not_known_is_judged_by_the_whole_history(job: Any, key: str, before: str) -> None:
    job.git("init", "--quiet")
    job.write("settings.ini", f"key = {key}\n")
    commit(job, "Long ago")
    job.env |= {"GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": str(job.root / "event.json")}
    (job.root / "event.json").write_text(json.dumps({"before": before}))
    assert job.use("check", action="secrets-detection").code == 1


def test_detect_secrets_is_an_alternative(job: Any, key: str) -> None:
    job.git("init", "--quiet")
    job.write("app.py", "x = 1\n")
    commit(job, "Begin")
    assert job.use("check", action="secrets-detection", tool="detect-secrets").code == 0
    job.write("app.py", f"key = '{key}'  # pragma: allowlist secret\n")
    commit(job, "Go on")
    ran = job.use("check", action="secrets-detection", tool="detect-secrets")
    assert (ran.code, ran.record["result"]) == (1, "fail")
    assert key not in ran.out
    assert key.encode() not in job.everything_written()
