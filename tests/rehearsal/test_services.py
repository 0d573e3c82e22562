"""GitHub's services on this machine, asked by GitHub's own clients: those of npm that its actions are made of."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import requests
from dpra.rehearsal import checkout
from dpra.rehearsal.services import Services


@pytest.fixture
def services(tmp_path):
    with Services(tmp_path / "services", "acme/demo") as services:
        for run in (1, 2):
            (tmp_path / f"store-{run}").mkdir()
            services.begin(run, f"ghs_{run}", tmp_path / "served.git", tmp_path / f"store-{run}")
        yield services


@pytest.fixture
def ask(services, toolkit, tmp_path):
    """Call a client as a job of a run: what it answered, or the error that it threw."""

    def ask(call, *arguments, run=1, job="build"):
        (tmp_path / "temp").mkdir(exist_ok=True)
        env = {"PATH": os.environ["PATH"], "GITHUB_WORKSPACE": str(tmp_path), "RUNNER_TEMP": str(tmp_path / "temp")}
        command = ["node", toolkit, call, json.dumps(arguments)]
        done = subprocess.run(
            command, env=env | services.admit(run, job), cwd=tmp_path, capture_output=True, text=True, check=False
        )
        last = json.loads(done.stdout.splitlines()[-1])
        return last.get("answer", last.get("error"))

    return ask


@pytest.fixture
def files(tmp_path):
    def files(**contents):
        for name, content in contents.items():
            path = tmp_path / "out" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [str(path) for path in sorted((tmp_path / "out").rglob("*")) if path.is_file()]

    return files


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("size", [0, 1, 9 << 20])  # 9 MiB: two blocks, of 8 MiB at most
def test_an_artifact_comes_back_as_it_was_uploaded(ask, files, tmp_path, size):
    there = files(a=os.urandom(size), deep__b="b")
    made = ask("upload", "release", there, str(tmp_path / "out"), {"compressionLevel": 0})
    [found] = ask("list")["artifacts"]
    assert (found["name"], found["id"], found["size"]) == ("release", made["id"], made["size"])
    assert found["digest"] == f"sha256:{made['digest']}"
    asked = {"path": str(tmp_path / "back"), "expectedHash": found["digest"]}
    assert ask("download", made["id"], asked, job="beta") == {"downloadPath": asked["path"], "digestMismatch": False}
    assert below(tmp_path / "back") == below(tmp_path / "out") == below(tmp_path / "store-1/release")


def test_a_file_is_uploaded_without_an_archive(ask, files, tmp_path):
    made = ask("upload", "ignored", files(**{"report.html": "<p>"}), str(tmp_path / "out"), {"skipArchive": True})
    assert ask("get", "report.html")["artifact"]["id"] == made["id"]
    ask("download", made["id"], {"path": str(tmp_path / "back")})
    assert below(tmp_path / "back") == below(tmp_path / "store-1/report.html") == {"report.html": b"<p>"}


@pytest.mark.parametrize("job", ["build", "beta"])
def test_a_name_is_used_once_in_a_run(ask, files, tmp_path, job):
    there, root = files(a="a"), str(tmp_path / "out")
    ask("upload", "release", there, root)
    said = ask("upload", "release", there, root, job=job)
    assert "Failed to CreateArtifact: Received non-retryable error: Failed request: (409) Conflict: an artifact" in said
    assert ask("upload", "release", there, root, run=2)["size"]


def test_a_deleted_artifact_gives_its_name_free(ask, files, tmp_path):
    root = str(tmp_path / "out")
    first = ask("upload", "release", files(a="a"), root)
    assert ask("delete", "release") == {"id": first["id"]}
    assert ask("list") == {"artifacts": []}
    second = ask("upload", "release", files(b="b"), root)
    assert second["id"] > first["id"]
    assert set(below(tmp_path / "store-1/release")) == {"a", "b"}


def test_a_job_sees_the_artifacts_of_its_own_run_only(ask, files, tmp_path):
    made = ask("upload", "release", files(a="a"), str(tmp_path / "out"))
    assert ask("list", run=2) == {"artifacts": []}
    assert "Artifact not found for name: release" in ask("get", "release", run=2)
    assert f"No artifacts found for ID: {made['id']}" in ask("download", made["id"], {}, run=2)


def test_what_an_earlier_attempt_left_is_downloaded(services, ask, tmp_path):
    (tmp_path / "store-1/release/deep").mkdir(parents=True)
    (tmp_path / "store-1/release/deep/a").write_text("a")
    services.begin(1, "ghs_1", tmp_path / "served.git", tmp_path / "store-1")
    [found] = ask("list")["artifacts"]
    assert not ask("download", found["id"], {"path": str(tmp_path / "back"), "expectedHash": found["digest"]})[
        "digestMismatch"
    ]
    assert below(tmp_path / "back") == {"deep/a": b"a"}


def test_what_was_changed_in_the_store_does_not_match_its_digest(services, ask, files, tmp_path):
    made = ask("upload", "release", files(a="a"), str(tmp_path / "out"))
    [found] = ask("list")["artifacts"]
    path = services.runs["1"].artifacts["release"].path
    ask("delete", "release")
    ask("upload", "release", files(a="another"), str(tmp_path / "out"))
    [changed] = ask("list")["artifacts"]
    assert path.exists()
    assert ask("download", changed["id"], {"path": str(tmp_path / "back"), "expectedHash": found["digest"]})[
        "digestMismatch"
    ]
    assert made["id"] != changed["id"]


# ---- What no client of GitHub's asks


def call(services, service, method, document, token=""):
    token = token or services.admit(1, "build")["ACTIONS_RUNTIME_TOKEN"]
    url = f"{services.url}/twirp/github.actions.results.api.v1.{service}/{method}"
    return answered(requests.post(url, json=document, headers={"Authorization": f"Bearer {token}"}, timeout=60))


def answered(answer):
    document = json.loads(answer.content or b"{}")
    return answer.status_code, document if answer.ok else document["msg"]


def put(url, body, **asked):
    return answered(requests.put(url, body, params=asked, timeout=60))


RUN = {"workflow_run_backend_id": "1", "workflow_job_run_backend_id": "build", "name": "release"}
SERVICE = "ArtifactService"


@pytest.mark.parametrize(
    ("said", "status", "says"),
    [
        ({"size": "4"}, 400, "4 bytes were said, 3 came"),
        ({"size": "0"}, 400, "0 bytes were said"),
        ({"size": "3", "hash": f"sha256:{'0' * 64}"}, 400, "the hash is sha256:"),
        ({"size": "3", "name": "other"}, 404, "no upload of this name"),
        ({"size": "3", "workflow_run_backend_id": "2"}, 403, "of another run"),
    ],
)
def test_an_upload_that_is_not_what_it_says_is_refused(services, said, status, says):
    _, made = call(services, SERVICE, "CreateArtifact", RUN | {"mime_type": "text/plain"})
    assert put(made["signed_upload_url"], b"abc")[0] == 201
    code, message = call(services, SERVICE, "FinalizeArtifact", RUN | said)
    assert (code, says in message) == (status, True)
    assert call(services, SERVICE, "ListArtifacts", RUN)[1] == {"artifacts": []}


@pytest.mark.parametrize("name", ["", "a/b", "..\\a", "a:b", "a*", "a\n"])
def test_a_name_that_github_forbids_is_refused(services, name):
    assert call(services, SERVICE, "CreateArtifact", RUN | {"name": name})[0] == 400


def test_what_was_finalized_does_not_change(services):
    _, made = call(services, SERVICE, "CreateArtifact", RUN | {"mime_type": "text/plain"})
    put(made["signed_upload_url"], b"abc")
    assert call(services, SERVICE, "FinalizeArtifact", RUN | {"size": "3"})[0] == 200
    assert call(services, SERVICE, "FinalizeArtifact", RUN | {"size": "3"})[0] == 404
    assert put(made["signed_upload_url"], b"xyz")[0] == 403
    assert put(made["signed_upload_url"], b"xyz", comp="block", blockid="YQ==")[0] == 403


def test_a_list_of_blocks_that_did_not_come_is_refused(services):
    _, made = call(services, SERVICE, "CreateArtifact", RUN)
    put(made["signed_upload_url"], b"abc", comp="block", blockid="YQ==")
    known, unknown = (f"<BlockList><Latest>{name}</Latest></BlockList>".encode() for name in ("YQ==", "Yg=="))
    assert put(made["signed_upload_url"], unknown, comp="blocklist") == (400, "The specified block list is invalid")
    assert put(made["signed_upload_url"], known, comp="blocklist")[0] == 201


def test_who_holds_no_token_or_no_signature_gets_nothing(services):
    assert call(services, SERVICE, "ListArtifacts", RUN, token="made.up.token")[0] == 401
    _, made = call(services, SERVICE, "CreateArtifact", RUN)
    assert put(made["signed_upload_url"][:-1] + "x", b"abc")[0] == 403
    assert put(made["signed_upload_url"].partition("?")[0], b"abc")[0] == 403
    assert call(services, "CacheService", "ListArtifacts", RUN)[0] == 404
    assert call(services, SERVICE, "adopt", RUN)[0] == 404


# ---- Caches


def test_a_cache_is_restored_by_its_key_or_what_it_begins_with(ask, files, tmp_path):
    files(a="first")
    assert ask("restore", ["out"], "pip-1") is None
    assert ask("save", ["out"], "pip-1") > 0
    files(a="second")
    assert ask("save", ["out"], "pip-2", run=2) > 0
    assert ask("save", ["out"], "pip-2") == -1  # whoever saves first
    shutil.rmtree(tmp_path / "out")
    for key, others, matched, content in (
        ("pip-1", [], "pip-1", b"first"),
        ("pip", [], "pip-2", b"second"),
        ("npm", ["pip-1"], "pip-1", b"first"),
        ("npm", ["yarn", "pip"], "pip-2", b"second"),
        ("npm", ["yarn"], None, b"second"),
    ):
        assert ask("restore", ["out"], key, others) == matched
        assert below(tmp_path / "out") == {"a": content}
    assert ask("restore", ["elsewhere"], "pip-1") is None  # another version of the entry


# ---- git


@pytest.fixture
def served(repository, tmp_path):
    sha = checkout.clone(repository, "main", tmp_path / "clone")
    checkout.check_out(tmp_path / "clone", sha, "main", tmp_path / "run")
    checkout.serve(tmp_path / "run", "main", tmp_path / "served.git")
    return sha


def git(*arguments, token=""):
    header = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    options = ["-c", f"http.extraheader=AUTHORIZATION: basic {header}"] if token else []
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(["git", *options, *arguments], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("token", "name", "says"),
    [
        ("ghs_1", "acme/demo", ""),
        ("ghs_2", "ACME/demo.git", ""),
        ("ghs_1", "acme/other", "not found"),
        ("ghs_1", "demo", "not found"),
        ("ghs_3", "acme/demo", "could not read Username"),
        ("", "acme/demo", "could not read Username"),
    ],
)
def test_the_repository_is_cloned_by_who_holds_a_token(services, served, tmp_path, token, name, says):
    done = git("clone", "--quiet", "--depth=1", f"{services.url}/{name}", str(tmp_path / "got"), token=token)
    assert (done.returncode == 0) is not bool(says), done.stderr
    assert says in done.stderr
    if not says:
        assert git("-C", str(tmp_path / "got"), "rev-parse", "HEAD").stdout.strip() == served


def test_nothing_is_pushed(services, served, tmp_path):
    git("clone", "--quiet", f"{services.url}/acme/demo", str(tmp_path / "got"), token="ghs_1")
    done = git("-C", str(tmp_path / "got"), "push", "--quiet", "origin", "HEAD:refs/heads/new", token="ghs_1")
    assert done.returncode
    assert git("-C", str(tmp_path / "served.git"), "branch", "--list", "new").stdout == ""
