"""The stand-ins for third-party actions refuse what the real ones, and GitHub's services behind them, refuse."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dpra.rehearsal.third_party import STAND_INS
from ruamel.yaml import YAML

Use = Callable[..., tuple[int, str]]


@pytest.fixture
def use(tmp_path: Path) -> Use:
    """Use an action in a workspace: its exit code, and what it said."""

    def use(action: str, env: dict[str, str] | None = None, word: str = "", **inputs: str) -> tuple[int, str]:
        folder = STAND_INS / action
        known = YAML(typ="safe").load(folder / "action.yml")["inputs"]
        given = {name: spec["default"] for name, spec in known.items()}
        given |= {name if name in known else name.replace("_", "-"): value for name, value in inputs.items()}
        assert set(given) == set(known)
        (tmp_path / "store").mkdir(exist_ok=True)
        runner = {name: str(tmp_path / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH")}
        done = subprocess.run(
            [sys.executable, "-B", str(next(folder.glob("*.py"))), *filter(None, [word])],
            cwd=tmp_path,
            env={
                "INPUTS": json.dumps(given),
                "DPRA_REHEARSAL_ARTIFACTS": str(tmp_path / "store"),
                "GITHUB_REPOSITORY": "acme/demo",
                "GITHUB_RUN_ID": "1",
                "GITHUB_WORKSPACE": str(tmp_path),
                "RUNNER_TEMP": str(tmp_path / "temp"),
                "PATH": os.environ["PATH"],
                **runner,
                **(env or {}),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return use


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    def write(*names: str) -> None:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)

    return write


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ---- Artifacts


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("out", ["a.txt", "deep/b.txt"]),
        ("out/", ["a.txt", "deep/b.txt"]),
        ("out/a.txt", ["a.txt"]),
        ("out/**/*.txt", ["a.txt", "deep/b.txt"]),
        ("out/deep\nout/a.txt", ["a.txt", "deep/b.txt"]),
        ("out\n!out/deep/**", ["a.txt"]),
        ("out\nother.md", ["other.md", "out/a.txt", "out/deep/b.txt"]),
    ],
)
def test_an_artifact_has_the_files_that_the_real_action_uploads(use, write, tmp_path, path, expected):
    write("out/a.txt", "out/deep/b.txt", "out/.hidden", "out/.git/config", "other.md")
    assert use("actions/upload-artifact", path=path)[0] == 0
    assert below(tmp_path / "store/artifact") == expected


def test_hidden_files_come_along_only_if_asked_for(use, write, tmp_path):
    write("out/.hidden", "out/a", ".secret/b")
    assert use("actions/upload-artifact", path=".secret", if_no_files_found="error")[0] == 1
    assert use("actions/upload-artifact", path="out", include_hidden_files="true")[0] == 0
    assert below(tmp_path / "store/artifact") == [".hidden", "a"]


def test_exec_bits_are_lost(use, write, tmp_path):
    write("run.sh")
    (tmp_path / "run.sh").chmod(0o755)
    use("actions/upload-artifact", path="run.sh")
    use("actions/download-artifact", name="artifact", path="back")
    assert (tmp_path / "back/run.sh").stat().st_mode & 0o111 == 0


@pytest.mark.parametrize(
    ("choice", "code", "says"), [("warn", 0, "::warning::"), ("error", 1, "::error::"), ("ignore", 0, "")]
)
def test_nothing_to_upload_is_what_the_input_says(use, tmp_path, choice, code, says):
    returncode, output = use("actions/upload-artifact", path="nothing/", if_no_files_found=choice)
    assert returncode == code
    assert says in output
    assert "No files were found" in output
    assert list((tmp_path / "store").iterdir()) == []


def test_a_name_is_used_once_unless_it_is_overwritten(use, write, tmp_path):
    write("a", "b")
    assert use("actions/upload-artifact", name="x", path="a")[0] == 0
    code, output = use("actions/upload-artifact", name="x", path="b")
    assert code == 1
    assert "(409) Conflict" in output
    assert use("actions/upload-artifact", name="x", path="b", overwrite="true")[0] == 0
    assert below(tmp_path / "store/x") == ["b"]


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "a:b", 'a"b', "a*", "a?", "a|b", "<a>", "a\nb"])
def test_a_name_that_github_forbids_is_refused(use, write, name):
    write("a")
    code, output = use("actions/upload-artifact", name=name, path="a")
    assert code == 1
    assert "artifact name is not valid" in output


@pytest.mark.parametrize("name", ["a:b", 'a"b', "a*b", "a?b", "a|b", "a<b>", "a\rb"])
def test_a_file_whose_name_windows_does_not_know_is_refused(use, write, name):
    write(f"out/{name}")
    code, output = use("actions/upload-artifact", path="out")
    assert code == 1
    assert "is not valid" in output


@pytest.mark.parametrize(
    ("days", "code", "says"),
    [
        ("", 0, "has 1 files"),
        ("0", 0, "has 1 files"),
        ("90", 0, "has 1 files"),
        ("91", 0, "::warning::Retention days cannot be greater than the maximum"),
        ("a week", 1, "::error::Invalid retention-days"),
    ],
)
def test_how_long_an_artifact_is_kept_is_a_number_that_github_allows(use, write, days, code, says):
    write("a")
    returncode, output = use("actions/upload-artifact", path="a", retention_days=days)
    assert returncode == code
    assert says in output
    assert code or ("warning" in output) == (days == "91")


def test_a_missing_artifact_is_an_error_and_a_pattern_without_a_match_is_none(use, write, tmp_path):
    code, output = use("actions/download-artifact", name="release")
    assert code == 1
    assert "Artifact not found for name: release" in output
    assert use("actions/download-artifact", pattern="evidence-*", path="e")[0] == 0


def test_artifacts_of_a_pattern_get_a_folder_each_or_are_merged(use, write, tmp_path):
    write("a", "b")
    use("actions/upload-artifact", name="evidence-1", path="a")
    use("actions/upload-artifact", name="evidence-2", path="b")
    use("actions/upload-artifact", name="release", path="a")
    use("actions/download-artifact", pattern="evidence-*", path="apart")
    use("actions/download-artifact", pattern="evidence-*", path="together", merge_multiple="true")
    assert below(tmp_path / "apart") == ["evidence-1/a", "evidence-2/b"]
    assert below(tmp_path / "together") == ["a", "b"]


# ---- Credentials and Python


CREDENTIALS = "aws-actions/configure-aws-credentials"
ROLE = "arn:aws:iam::111111111111:role/x"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"role_to_assume": ROLE}, "Input required and not supplied: aws-region"),
        ({"role_to_assume": ROLE, "aws_region": "Ireland"}, "Region is not valid: Ireland"),
        ({"role_to_assume": ROLE, "aws_region": "eu-west-1"}, "Did you mean to set the `id-token` permission?"),
        ({"aws_region": "eu-west-1"}, "Could not load credentials from any providers"),
        ({"role_to_assume": "x", "aws_region": "eu-west-1"}, "Source Account ID is needed"),
        ({"aws_access_key_id": "AKIA", "aws_region": "eu-west-1"}, "OpenID Connect only"),
    ],
)
def test_credentials_are_refused_as_the_real_action_refuses_them(use, inputs, says):
    code, output = use(CREDENTIALS, **inputs)
    assert code == 1
    assert says in output


def test_credentials_are_exported_masked_and_of_the_allowed_account(use, cloud, tmp_path):
    issuer = {
        "AWS_ENDPOINT_URL": cloud.url,
        "ACTIONS_ID_TOKEN_REQUEST_URL": cloud.token_url,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": cloud.issuer.admit("beta", "beta"),
    }
    role = {"role_to_assume": "arn:aws:iam::111111111111:role/dpra-demo-beta", "aws_region": "eu-west-1"}
    code, output = use(CREDENTIALS, issuer, **role, allowed_account_ids="222222222222")
    assert code == 1
    assert "(111111111111) does not match" in output
    (tmp_path / "github_env").unlink()  # as the real one, it has exported them before it looks
    code, output = use(CREDENTIALS, issuer, **role, allowed_account_ids="222222222222, 111111111111")
    assert code == 0
    env = dict(line.split("=", 1) for line in (tmp_path / "github_env").read_text().splitlines())
    assert env["AWS_REGION"] == env["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert env["AWS_ACCESS_KEY_ID"] in cloud.keys
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert f"::add-mask::{env[name]}" in output


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"role_duration_seconds": "3601"}, "exceeds the MaxSessionDuration set for this role"),
        ({"role_duration_seconds": "43200"}, "exceeds the MaxSessionDuration set for this role"),
        ({"role_duration_seconds": "899"}, "must be 900 or more"),
        ({"role_session_name": "x"}, "must be between 2 and 64 characters"),
        ({"role_session_name": "x" * 65}, "must be between 2 and 64 characters"),
        ({"role_session_name": "a/b"}, "Role session name is not valid"),
    ],
)
def test_a_session_that_sts_would_not_give_is_refused(use, cloud, inputs, says):
    issuer = {
        "AWS_ENDPOINT_URL": cloud.url,
        "ACTIONS_ID_TOKEN_REQUEST_URL": cloud.token_url,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": cloud.issuer.admit("beta", "beta"),
    }
    role = {"role_to_assume": "arn:aws:iam::111111111111:role/dpra-demo-beta", "aws_region": "eu-west-1"}
    code, output = use(CREDENTIALS, issuer, **role, **inputs)
    assert code == 1
    assert says in output


def test_credentials_are_tried_before_anything_else_has_them(use, cloud, monkeypatch):
    asked = []
    forward = type(cloud).forward
    monkeypatch.setattr(cloud, "forward", lambda *about: asked.append(about[0]) or forward(cloud, *about))
    issuer = {
        "AWS_ENDPOINT_URL": cloud.url,
        "ACTIONS_ID_TOKEN_REQUEST_URL": cloud.token_url,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": cloud.issuer.admit("beta", "beta"),
    }
    role = {"role_to_assume": "arn:aws:iam::111111111111:role/dpra-demo-beta", "aws_region": "eu-west-1"}
    assert use(CREDENTIALS, issuer, **role)[0] == 0
    [environ] = asked
    assert "/sts/aws4_request" in environ["HTTP_AUTHORIZATION"]


def test_offline_what_is_installed_beside_dpra_is_installed_in_the_job(use, write, tmp_path):
    (tmp_path / "temp").mkdir()
    (tmp_path / ".python-version").write_text("3.14\n")
    offline = {"DPRA_REHEARSAL_OFFLINE": "1"}
    code, output = use("actions/setup-python", offline, python_version_file=".python-version")
    assert code == 0
    assert "stands in for 3.14" in output
    environment = tmp_path / "temp/rehearsal-python"
    assert (tmp_path / "github_path").read_text().strip() == str(environment / "bin")
    done = subprocess.run(
        [environment / "bin/python", "-c", "import pytest, sys; print(sys.prefix)"], capture_output=True
    )
    assert done.stdout.decode().strip() == str(environment)


def test_a_python_version_file_must_exist(use):
    code, output = use("actions/setup-python", python_version_file=".python-version")
    assert code == 1
    assert "doesn't exist" in output


# ---- Attestations


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", 'missing "id-token" permission'),
        ("DPRA_REHEARSAL_ATTEST_URL", "Resource not accessible by integration"),
    ],
)
def test_nothing_is_attested_without_the_permissions(use: Use, tmp_path: Path, missing: str, says: str) -> None:
    names = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "DPRA_REHEARSAL_ATTEST_URL")
    (tmp_path / "file").touch()
    code, said = use("actions/attest", dict.fromkeys(names, "http://127.0.0.1:9") | {missing: ""}, subject_path="file")
    assert code == 1
    assert says in said


@pytest.mark.parametrize("paths", ["", "nothing"])
def test_what_is_not_there_is_not_attested(use: Use, paths: str) -> None:
    names = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "DPRA_REHEARSAL_ATTEST_URL")
    code, said = use("actions/attest", dict.fromkeys(names, "http://127.0.0.1:9"), subject_path=paths)
    assert code == 1
    assert "Could not find subject at path" in said


# ---- Code scanning


SARIF = "github/codeql-action/upload-sarif"
MAY = {"DPRA_REHEARSAL_PERMISSIONS": '{"security-events": "write", "actions": "read"}'}


def run_of(tool: str, category: str = "") -> dict[str, Any]:
    details = {"automationDetails": {"id": category}} if category else {}
    return {"tool": {"driver": {"name": tool}}, "results": [], **details}


def reports(folder: Path, *runs: list[dict[str, Any]]) -> str:
    folder.mkdir()
    for number, inside in enumerate(runs):
        (folder / f"{number}.sarif").write_text(json.dumps({"version": "2.1.0", "runs": inside}))
    return str(folder)


@pytest.mark.parametrize(
    "runs",
    [
        [[run_of("trivy")], [run_of("trivy")]],
        [[run_of("trivy"), run_of("trivy")]],
        [[run_of("trivy", "dpra/security/sca/trivy/")], [run_of("trivy", "dpra/security/sca/trivy/")]],
        [[run_of("trivy", "all/1")], [run_of("trivy", "all/2")]],  # what is behind the last slash tells nothing apart
        [[run_of("trivy", "given/")], [run_of("trivy")]],  # the category that the step gives to what has none
    ],
)
def test_code_scanning_takes_one_run_of_a_category_and_a_tool(use: Use, tmp_path: Path, runs: Any) -> None:
    code, said = use(SARIF, MAY, sarif_file=reports(tmp_path / "reports", *runs), category="given")
    assert code == 1
    assert "multiple SARIF runs with the same category" in said


@pytest.mark.parametrize(
    "runs",
    [
        [[run_of("trivy", "dpra/security/sca/trivy/")], [run_of("trivy", "dpra/security/policy-as-code/trivy/")]],
        [[run_of("ruff", "a/"), run_of("ruff format", "a/")]],
        [[run_of("ruff", "a/"), run_of("ruff", "a/2/")]],
        [[run_of("a")], [run_of("b")]],
    ],
)
def test_code_scanning_takes_runs_that_differ(use: Use, tmp_path: Path, runs: Any) -> None:
    code, said = use(SARIF, MAY, sarif_file=reports(tmp_path / "reports", *runs))
    assert code == 0, said
    sentinels = dict(line.split("=") for line in (tmp_path / "github_env").read_text().splitlines())
    code, said = use(SARIF, MAY | sentinels, sarif_file=str(tmp_path / "reports"))
    assert code == 1
    assert "only one run" in said  # a second upload of the same in a job


@pytest.mark.parametrize(
    ("permissions", "private", "says"),
    [
        ('{"actions": "read"}', "true", "Resource not accessible by integration"),
        ('{"actions": "read", "security-events": "read"}', "true", "Resource not accessible by integration"),
        ('{"security-events": "write"}', "true", "get-a-workflow-run"),
        ('{"security-events": "write"}', "false", ""),
        ('{"actions": "write", "security-events": "write"}', "true", ""),
    ],
)
def test_an_upload_needs_the_permissions(use: Use, tmp_path: Path, permissions: str, private: str, says: str) -> None:
    folder = reports(tmp_path / "reports", [run_of("a")])
    code, said = use(SARIF, {"DPRA_REHEARSAL_PERMISSIONS": permissions, "PRIVATE": private}, sarif_file=folder)
    assert code == (1 if says else 0), said
    assert says in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "No SARIF files found"),
        ("{", "JSON syntax error"),
        ('{"version": "2.0.0", "runs": []}', "not valid SARIF"),
        ('{"version": "2.1.0"}', "Missing 'runs'"),
        ('{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "a"}}}]}', "Missing 'results'"),
        ('{"version": "2.1.0", "runs": [{"results": []}]}', "names no tool"),
        (json.dumps({"version": "2.1.0", "runs": [run_of(f"{number}") for number in range(21)]}), "more runs than"),
    ],
)
def test_what_is_no_report_is_not_uploaded(use: Use, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "reports").mkdir()
    if text:
        (tmp_path / "reports/a.sarif").write_text(text)
    code, said = use(SARIF, MAY, sarif_file=str(tmp_path / "reports"))
    assert code == 1
    assert says in said


# ---- Caches


@pytest.fixture
def cached(use: Use, tmp_path: Path) -> Use:
    """A job with a step of actions/cache, which makes a folder where there is none, and passes; what it said."""

    def cached(key: str = "k", path: str = "kept", makes: str = "", **inputs: str) -> tuple[int, str]:
        for name in ("temp", "github_output"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
        (tmp_path / "temp").mkdir()
        (tmp_path / "caches").mkdir(exist_ok=True)
        env = {"DPRA_REHEARSAL_CACHES": str(tmp_path / "caches"), "DPRA_REHEARSAL_CACHE": str(tmp_path / "mine")}
        code, said = use("actions/cache", env, word="restore", key=key, path=path, **inputs)
        if makes:
            (tmp_path / "kept").mkdir(exist_ok=True)
            (tmp_path / "kept" / makes).write_text(makes)
        ended, more = use("actions/cache", env, word="save")
        return code or ended, said + more

    return cached


def test_the_second_run_of_each_job_hits_what_its_first_saved(cached: Use, tmp_path: Path) -> None:
    for job in ("build", "security"):
        code, said = cached(f"dpra-{job}-1", makes=job)
        assert code == 0
        assert "Cache not found" in said
        assert f"Cache saved with key: dpra-{job}-1" in said
        shutil.rmtree(tmp_path / "kept")
    for job in ("build", "security"):
        code, said = cached(f"dpra-{job}-1")
        assert f"Cache restored from key: dpra-{job}-1" in said
        assert "not saving cache" in said
        assert below(tmp_path / "kept") == [job]
        shutil.rmtree(tmp_path / "kept")


def test_an_entry_is_never_changed(cached: Use, use: Use, tmp_path: Path) -> None:
    """Two jobs that miss at once: the second cannot save, and does not fail."""
    env = {
        "DPRA_REHEARSAL_CACHES": str(tmp_path / "caches"),
        "DPRA_REHEARSAL_CACHE": "/mine",
        "RUNNER_TEMP": str(tmp_path / "other"),
    }
    (tmp_path / "other").mkdir()
    (tmp_path / "caches").mkdir()
    use("actions/cache", env, word="restore", key="k", path="kept")
    cached("k", makes="first")
    (tmp_path / "kept/second").write_text("second")
    code, said = use("actions/cache", env, word="save")
    assert code == 0
    assert "Unable to reserve cache with key k" in said
    shutil.rmtree(tmp_path / "kept")
    cached("k")
    assert below(tmp_path / "kept") == ["first"]


def test_the_newest_entry_whose_key_begins_so_is_restored_and_is_no_hit(cached: Use, tmp_path: Path) -> None:
    for number in ("1", "2"):
        cached(f"k-{number}", makes=number)
    shutil.rmtree(tmp_path / "kept")
    _, said = cached("k-3", restore_keys="none-\nk-", makes="3")
    assert "Cache restored from key: k-2" in said
    assert "Cache saved with key: k-3" in said
    assert below(tmp_path / "kept") == ["1", "2", "3"]


def test_the_same_key_for_other_paths_is_another_entry(cached: Use) -> None:
    cached("k", makes="a")
    assert "Cache not found" in cached("k", path="kept\nelsewhere")[1]


def test_what_lies_in_the_users_own_cache_is_not_copied(cached: Use, tmp_path: Path) -> None:
    (tmp_path / "mine/uv").mkdir(parents=True)
    assert "kept in your own cache" in cached("k", path=str(tmp_path / "mine/uv"))[1]
    assert below(tmp_path / "caches") == []


def test_nothing_to_save_is_no_error(cached: Use) -> None:
    code, said = cached("k")
    assert code == 0
    assert "no cache is being saved" in said


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"key": ""}, "not supplied: key"),
        ({"path": " "}, "not supplied: path"),
        ({"key": "k" * 513}, "cannot be larger than 512 characters"),
        ({"key": "a,b"}, "cannot contain commas"),
        ({"restore_keys": "a,b"}, "cannot contain commas"),
        ({"restore_keys": "\n".join("abcdefghij")}, "limited to a maximum of 10"),
        ({"fail_on_cache_miss": "true"}, "fail-on-cache-miss is set"),
    ],
)
def test_a_cache_refuses_what_the_real_one_refuses(cached: Use, inputs: dict[str, str], says: str) -> None:
    code, said = cached(**inputs)
    assert code == 1
    assert says in said
