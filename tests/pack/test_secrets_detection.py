"""A secret in the history blocks, and nobody sees it again. The tool is the real one."""

import base64
import hashlib
import json
import os
import secrets
import shutil
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
        "file=settings/prod.ini,line=2,col=8,title=secrets-detection%3A critical"
        f"::aws-access-token: a secret in commit {bad[:12]}: revoke it, then remove it"
    ]
    assert ran.record["result"] == "fail"
    assert ran.record["findings"] == {"critical": 1, "high": 0, "medium": 0, "low": 0}
    assert (ran.record["tool"], ran.record["version"]) == ("gitleaks", "8.30.1")
    assert "`settings/prod.ini:2:8`" in ran.summary
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


# ---- Nothing hides one


def test_what_only_a_merge_brings_blocks(job: Any, key: str) -> None:
    """It is in no `git log -p`, without asking for merges."""
    for event in ("push", "pull_request", "schedule"):
        shutil.rmtree(job.workspace)
        job.workspace.mkdir()
        job.git("init", "--quiet")
        job.write("a.py", "x = 1\n")
        before = commit(job, "Begin")
        job.git("checkout", "--quiet", "-b", "topic")
        job.write("b.py", "x = 1\n")
        commit(job, "Topic")
        job.git("checkout", "--quiet", "main")
        job.git("merge", "--quiet", "--no-ff", "--no-commit", "topic")
        job.write("c.ini", f"key = {key}\n")
        job.git("add", ".")
        job.git("commit", "--quiet", "--message", "Merge")
        if event == "schedule":  # and is taken away
            job.write("c.ini", "")
            commit(job, "Mend it")
        job.env |= {"GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": str(job.root / "event.json")}
        (job.root / "event.json").write_text(json.dumps({"before": before}))
        ran = job.use("check", action="secrets-detection")
        assert (ran.code, ran.record["result"]) == (1, "fail"), (event, ran.out)
        assert "file=c.ini," in ran.errors[0]


NAMES = (
    "package-lock.json",
    "logo.svg",
    "vendor/github.com/x/x.go",
    "node_modules/x/x.js",
    "go.sum",
    "uv.lock",
    "a.PNG",
)
NAMES += (
    "yarn.lock",
    "pnpm-lock.yaml",
    "gradlew",
    "site-packages/x.py",
    "dist/jquery.min.js",
    "gitleaks.toml",
    "x.ttf",
)


def test_no_name_hides_one(job: Any, key: str) -> None:
    job.git("init", "--quiet")
    commit_all = {"a b/\u00e4.svg", *NAMES}
    for name in commit_all:
        job.write(name, f"key {key}\n")
    job.git("add", "--force", ".")
    job.git("commit", "--quiet", "--message", "Begin")
    ran = job.use("check", action="secrets-detection")
    found = json.loads((job.evidence / "secrets-detection.findings.json").read_text())
    assert {one["file"] for one in found} == commit_all
    assert key not in ran.out
    assert key.encode() not in job.everything_written()


def test_lock_files_without_a_secret_pass(job: Any) -> None:
    job.git("init", "--quiet")

    def sum_of(name: str) -> str:
        return base64.b64encode(hashlib.sha512(name.encode()).digest()).decode()

    names = ("jsonwebtoken", "token-types", "keyv", "api-key", "secret-stack", "passwd-user", "aws-credential")
    packages = {f"node_modules/{name}": {"version": "1.0.0", "integrity": f"sha512-{sum_of(name)}"} for name in names}
    job.write("package-lock.json", json.dumps({"lockfileVersion": 3, "packages": packages}, indent=2))
    job.write(
        "pnpm-lock.yaml", "".join(f"  {n}@1.0.0:\n    resolution: {{integrity: sha512-{sum_of(n)}}}\n" for n in names)
    )
    job.write("go.sum", "".join(f"github.com/x/{n} v1.0.0 h1:{sum_of(n)[:43]}=\n" for n in names))
    hashes = (f"{n} = {{ hash = 'sha256:{hashlib.sha256(n.encode()).hexdigest()}' }}\n" for n in names)
    job.write("uv.lock", "".join(hashes))
    commit(job, "Begin")
    ran = job.use("check", action="secrets-detection")
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out


def test_another_s_branch_blocks_nobody(job: Any, key: str) -> None:
    job.git("init", "--quiet")
    job.write("a.py", "x = 1\n")
    commit(job, "Begin")
    job.git("checkout", "--quiet", "-b", "other")
    job.write("b.ini", f"key = {key}\n")
    commit(job, "Other")
    job.git("checkout", "--quiet", "main")
    assert job.use("check", action="secrets-detection").code == 0


ATTRIBUTES = ("* -diff", "* binary", "*.ini diff=none", "* -text export-ignore", "* diff=x")


def test_neither_attributes_nor_files_nor_the_environment_hide_one(job: Any, key: str) -> None:
    job.git("init", "--quiet")
    for folder, attributes in enumerate(ATTRIBUTES):
        job.write(f"{folder}/.gitattributes", f"{attributes}\n")
        job.write(f"{folder}/prod.ini", f"key = {key}  # gitleaks:allow\n")
    job.write(".gitattributes", f"{ATTRIBUTES[0]}\n")
    job.write(".gitleaks.toml", "[allowlist]\npaths = ['.*']\n")
    job.write("gitleaks.toml", "[allowlist]\npaths = ['.*']\n")
    job.write(".secrets.baseline", "{}")
    job.write("re.py", "import os\nos._exit(0)\n")
    job.write("json.py", "import os\nos._exit(0)\n")
    job.write("prod.ini", f"key = {key}  # gitleaks:allow\n")
    bad = commit(job, "Begin")
    names = {"prod.ini", *(f"{folder}/prod.ini" for folder in range(len(ATTRIBUTES)))}
    for name in names:
        job.write(name, "")
    ignored = "".join(f"{bad}:{name}:aws-access-token:1\n{name}:aws-access-token:1\n" for name in sorted(names))
    job.write(".gitleaksignore", ignored)
    commit(job, "Mend it")
    job.git("config", "diff.x.textconv", "true")
    job.git("config", "diff.external", "true")
    job.env |= {"GITLEAKS_CONFIG": ".gitleaks.toml", "GITLEAKS_CONFIG_TOML": "[allowlist]\npaths = ['.*']\n"}
    job.env |= {"GIT_EXTERNAL_DIFF": "true", "GIT_DIFF_OPTS": "-u1", "PYTHONPATH": str(job.workspace)}
    ran = job.use("check", action="secrets-detection")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    found = json.loads((job.evidence / "secrets-detection.findings.json").read_text())
    assert {one["file"] for one in found} == names


def test_neither_files_nor_the_environment_switch_detect_secrets_off(job: Any, key: str) -> None:
    job.git("init", "--quiet")
    other = key[:-1] + ("A" if key[-1] != "A" else "B")  # it names a secret once a file
    hidden = f"key = '{key}'  # pragma: allowlist secret\n# pragma: allowlist nextline secret\nk = '{other}'\n"
    job.write("app.py", hidden)
    for name in (".secrets.baseline", "pyproject.toml", "setup.cfg", ".detect-secrets.yaml", ".pre-commit-config.yaml"):
        job.write(name, "[detect_secrets]\nexclude = .*\n")
    for name in ("re", "json", "detect_secrets", "sitecustomize"):
        job.write(f"{name}.py", "import os\nos._exit(0)\n")
    job.write(".gitattributes", "* binary -diff export-ignore\n")
    job.write(".gitignore", "*\n")
    job.git("add", "--force", ".")
    job.git("commit", "--quiet", "--message", "Begin")
    job.env |= {
        "PYTHONPATH": str(job.workspace),
        "DETECT_SECRETS_EXCLUDE": ".*",
        "GIT_INDEX_FILE": str(job.root / "none"),
    }
    ran = job.use("check", action="secrets-detection", tool="detect-secrets")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    found = json.loads((job.evidence / "secrets-detection.findings.json").read_text())
    assert {one["line"] for one in found if one["file"] == "app.py"} == {1, 3}
