"""What is rehearsed is the working tree as it is: committed in a private clone, on the trunk."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from dpra.rehearsal import RehearsalError, checkout, workflow
from dpra.rehearsal.oidc import Issuer
from dpra.rehearsal.third_party import STAND_INS
from ruamel.yaml import YAML


def git(folder, *arguments):
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    done = subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_changes_new_files_and_deletions_are_committed_on_top_of_the_history(repository, tmp_path):
    (repository / "README.md").write_text("changed")
    (repository / "new.txt").write_text("new")
    (repository / ".python-version").unlink()
    git(repository, "rm", "--quiet", "deploy.py")
    (repository / "ignored").mkdir()
    (repository / "ignored/secret").write_text("x")
    head = git(repository, "rev-parse", "HEAD")
    sha = checkout.clone(repository, "main", tmp_path / "clone")
    clone = tmp_path / "clone"
    assert git(clone, "rev-parse", "HEAD", "HEAD^", "refs/heads/main").split() == [sha, head, sha]
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "show", "--name-status", "--format=", "HEAD").split() == [
        "D", ".python-version", "M", "README.md", "D", "deploy.py", "A", "new.txt",
    ]  # fmt: skip
    assert git(clone, "remote") == ""


def refs(folder):
    return git(folder, "for-each-ref", "--format=%(refname) %(contents:subject)", "refs/remotes").splitlines()


def test_every_branch_is_there_as_after_a_full_checkout(repository, tmp_path):
    git(repository, "switch", "--quiet", "-c", "feature/x")
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "Somebody's")
    git(repository, "switch", "--quiet", "main")
    sha = checkout.clone(repository, "main", tmp_path / "clone")
    checkout.check_out(tmp_path / "clone", sha, "main", tmp_path / "run")
    there = ["refs/remotes/origin/feature/x Somebody's", "refs/remotes/origin/main All of it"]
    assert refs(tmp_path / "run") == there
    assert git(tmp_path / "run", "branch", "--format=%(refname)") == "refs/heads/main"
    assert git(tmp_path / "run", "remote") == ""


def test_what_was_never_pushed_is_no_branch_of_github(repository, tmp_path):
    git(tmp_path, "clone", "--quiet", str(repository), "mine")
    git(tmp_path / "mine", "branch", "private")
    checkout.clone(tmp_path / "mine", "main", tmp_path / "clone")
    assert refs(tmp_path / "clone") == ["refs/remotes/origin/main All of it"]


def test_a_shallow_repository_is_rehearsed_with_what_it_has(repository, tmp_path):
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "Newer")
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-single-branch", f"file://{repository}", "shallow")
    sha = checkout.clone(tmp_path / "shallow", "main", tmp_path / "clone")
    checkout.check_out(tmp_path / "clone", sha, "main", tmp_path / "run")
    assert git(tmp_path / "run", "log", "--format=%s") == "Newer"


def test_an_unchanged_tree_keeps_its_commit(repository, tmp_path):
    assert checkout.clone(repository, "main", tmp_path / "clone") == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize("detached", [False, True])
def test_another_branch_is_rehearsed_as_if_it_were_pushed_to_the_trunk(repository, tmp_path, detached):
    git(repository, "switch", "--quiet", *(["--detach"] if detached else ["-c", "feature"]))
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "A feature")
    checkout.clone(repository, "main", tmp_path / "clone")
    assert git(tmp_path / "clone", "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(tmp_path / "clone", "log", "--format=%s") == "A feature\nAll of it"


@pytest.mark.parametrize("initialised", [False, True])
def test_a_folder_without_a_commit_gets_a_first_one(tmp_path, initialised):
    root = tmp_path / "new"
    root.mkdir()
    if initialised:
        git(root, "init", "--quiet")
    (root / ".gitignore").write_text("no.txt\n")
    (root / "yes.txt").write_text("")
    (root / "no.txt").write_text("")
    checkout.clone(root, "trunk", tmp_path / "clone")
    assert git(tmp_path / "clone", "ls-files").split() == [".gitignore", "yes.txt"]
    assert git(tmp_path / "clone", "symbolic-ref", "HEAD") == "refs/heads/trunk"


def test_links_and_exec_bits_stay_what_they_are(repository, tmp_path):
    (repository / "link").symlink_to("README.md")
    (repository / "dangling").symlink_to("/nowhere")
    (repository / "run.sh").write_text("")
    (repository / "run.sh").chmod(0o755)
    checkout.clone(repository, "main", tmp_path / "clone")
    listed = {line.split("\t")[1]: line[:6] for line in git(tmp_path / "clone", "ls-files", "-s").splitlines()}
    assert (listed["link"], listed["dangling"], listed["run.sh"]) == ("120000", "120000", "100755")


def test_hooks_of_the_user_do_not_run(repository, tmp_path):
    hook = repository / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (repository / "new.txt").write_text("new")
    checkout.clone(repository, "main", tmp_path / "clone")


def test_only_jobs_with_the_permission_are_told_where_tokens_are(tmp_path):
    jobs = {name: {"environment": "beta", "permissions": {"id-token": right, "attestations": right}} for name, right in
            (("with", "write"), ("without", "read"))}  # fmt: skip
    issuer = Issuer("acme/demo", "main", "a" * 40)
    cloud = SimpleNamespace(token_url="http://127.0.0.1/token", attest_url="http://127.0.0.1/attest")
    workflow.prepare({"jobs": jobs}, jobs, {}, issuer.admit, cloud, tmp_path)
    assert jobs["with"]["env"]["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] in issuer.jobs
    assert len(issuer.jobs) == 1
    assert jobs["with"]["env"]["DPRA_REHEARSAL_ATTEST_URL"] == cloud.attest_url
    assert set(jobs["without"]["env"]) == {"HOME", "TMPDIR", "DPRA_REHEARSAL_PERMISSIONS"}


@pytest.mark.parametrize(
    ("whole", "job", "known"),
    [
        ({}, {}, {"contents": "read", "packages": "read"}),
        ({"permissions": {}}, {}, {}),
        ({"permissions": {"contents": "read"}}, {"permissions": {"actions": "read"}}, {"actions": "read"}),
        ({"permissions": {"contents": "read", "actions": "none"}}, {}, {"contents": "read"}),
        ({}, {"permissions": {"vulnerability-alerts": "read"}}, {"vulnerability-alerts": "read"}),
    ],
)
def test_a_stand_in_knows_what_the_jobs_token_may_do(tmp_path, whole, job, known):
    jobs = {"one": {**job}}
    workflow.prepare({**whole, "jobs": jobs}, jobs, {}, lambda *_: "", SimpleNamespace(), tmp_path)
    assert json.loads(jobs["one"]["env"]["DPRA_REHEARSAL_PERMISSIONS"]) == known


def test_a_token_that_may_write_everything_may_upload():
    may = workflow.permissions({"permissions": "write-all"}, {})
    assert {may["security-events"], may["contents"], may["id-token"]} == {"write"}


def test_the_legs_of_a_matrix_are_numbered_where_act_does_not():
    name = "evidence-${{ strategy.job-index }}"
    alone = {"steps": [{"with": {"name": name}}]}
    legs = {"steps": [{"with": {"name": name}}], "strategy": {"matrix": {"region": ["a", "b"]}}}
    workflow.number_legs("alone", alone)
    workflow.number_legs("legs", legs)
    assert alone["steps"][0]["with"]["name"] == "evidence-${{ '0' }}"
    assert legs["steps"][0]["with"]["name"] == "evidence-${{ matrix.job-index }}"
    assert legs["strategy"]["matrix"]["include"] == [{"region": "a", "job-index": 0}, {"region": "b", "job-index": 1}]


def test_a_repository_without_a_pipeline_is_told_what_makes_one(tmp_path):
    with pytest.raises(RehearsalError, match="dpra generate makes it"):
        workflow.load(tmp_path / "pipeline.yml")


# ---- What a job gets of it: actions/checkout


@pytest.fixture
def github(repository, tmp_path):
    """A repository of three commits, another branch and a tag, as GitHub has it for a run of its trunk."""
    for number in (1, 2):
        (repository / "src" / "number").write_text(str(number))
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "-m", f"Number {number}")
    git(repository, "branch", "feature/x", "HEAD~1")
    sha = checkout.clone(repository, "main", tmp_path / "clone")
    checkout.check_out(tmp_path / "clone", sha, "main", tmp_path / "run")
    checkout.serve(tmp_path / "run", "main", tmp_path / "served.git")
    git(tmp_path / "served.git", "update-ref", "refs/tags/v1", sha)
    return sha


def check_out(tmp_path, **inputs):
    """The stand-in in a workspace: exit code, what it said, what it gave out."""
    folder = STAND_INS / "actions/checkout"
    known = YAML(typ="safe").load(folder / "action.yml")["inputs"]
    given = {name: spec["default"] for name, spec in known.items()} | {"repository": "acme/demo", "token": "ghs_secret"}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    assert set(given) == set(known)
    for name in ("temp", "workspace", "home"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "outputs").write_text("")
    env = {
        "DPRA_REHEARSAL_SERVED": str(tmp_path / "served.git"), "INPUTS": json.dumps(given),
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_SHA": git(tmp_path / "run", "rev-parse", "HEAD"), "GITHUB_REPOSITORY": "acme/demo",
        "GITHUB_WORKSPACE": str(tmp_path / "workspace"), "GITHUB_OUTPUT": str(tmp_path / "outputs"),
        "RUNNER_TEMP": str(tmp_path / "temp"), "HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"],
    }  # fmt: skip
    command = [sys.executable, "-B", str(folder / "checkout.py")]
    done = subprocess.run(command, env=env, cwd=tmp_path / "workspace", capture_output=True, text=True, check=False)
    outputs = dict(line.split("=", 1) for line in (tmp_path / "outputs").read_text().splitlines())
    return done.returncode, done.stdout + done.stderr, outputs


def commits(folder):
    return int(git(folder, "rev-list", "--count", "--all"))


@pytest.mark.parametrize(
    ("depth", "there", "remotes"),
    [
        ("1", 1, ["main"]),
        ("", 1, ["main"]),
        ("2", 2, ["main"]),
        ("1.9", 1, ["main"]),
        ("0", 3, ["feature/x", "main"]),
        ("-1", 3, ["feature/x", "main"]),
        ("all", 3, ["feature/x", "main"]),
    ],
)
def test_a_checkout_is_as_deep_as_it_asks_for(github, tmp_path, depth, there, remotes):
    code, said, outputs = check_out(tmp_path, fetch_depth=depth)
    assert (code, outputs) == (0, {"ref": "refs/heads/main", "commit": github}), said
    space = tmp_path / "workspace"
    assert commits(space) == there
    found = git(space, "for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes").split()
    assert found == remotes
    assert git(space, "branch", "--show-current") == "main"
    assert git(space, "tag") == ("v1" if there == 3 else "")
    assert git(space, "status", "--porcelain") == ""


@pytest.mark.parametrize("fetch_tags", ["true", "TRUE"])
def test_tags_come_with_one_commit_if_asked_for(github, tmp_path, fetch_tags):
    check_out(tmp_path, fetch_tags=fetch_tags)
    assert git(tmp_path / "workspace", "tag") == "v1"
    assert commits(tmp_path / "workspace") == 1


@pytest.mark.parametrize(
    ("ref", "head", "branch"),
    [
        ("feature/x", "Number 1", "feature/x"),
        ("refs/heads/feature/x", "Number 1", "feature/x"),
        ("v1", "Number 2", ""),
        ("refs/tags/v1", "Number 2", ""),
    ],
)
@pytest.mark.parametrize("fetch_depth", ["0", "1"])
def test_another_branch_or_a_tag_is_checked_out(github, tmp_path, ref, head, branch, fetch_depth):
    assert check_out(tmp_path, ref=ref, fetch_depth=fetch_depth)[0] == 0
    assert git(tmp_path / "workspace", "log", "-1", "--format=%s") == head
    assert git(tmp_path / "workspace", "branch", "--show-current") == branch


def test_any_commit_is_checked_out_by_its_id(github, tmp_path):
    older = git(tmp_path / "run", "rev-parse", "HEAD~2")
    code, _, outputs = check_out(tmp_path, ref=older)
    assert (code, outputs["commit"], commits(tmp_path / "workspace")) == (0, older, 1)


def test_the_runs_own_commit_is_checked_out_where_the_trunk_has_moved_on(github, tmp_path):
    newer = git(tmp_path / "run", "commit-tree", "-p", "HEAD", "-m", "Newer", "HEAD^{tree}")
    git(tmp_path / "served.git", "update-ref", "refs/heads/main", newer)
    for depth in ("0", "1"):
        assert check_out(tmp_path, fetch_depth=depth)[2]["commit"] == github


def files(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".git/" not in str(path)
    )


@pytest.mark.parametrize(
    ("patterns", "cone", "there", "absent"),
    [
        (".github/workflows", "true", [".github/workflows/pipeline.yml", "README.md"], ["src/app.py"]),
        ("src\ninfrastructure\n", "true", ["src/app.py", "infrastructure/template.yml"], [".github"]),
        ("/src/app.py\n", "false", ["src/app.py"], ["src/number", "README.md", "infrastructure"]),
    ],
)
def test_a_sparse_checkout_has_only_what_it_asks_for(github, tmp_path, patterns, cone, there, absent):
    code, said, _ = check_out(tmp_path, sparse_checkout=patterns, sparse_checkout_cone_mode=cone)
    assert code == 0, said
    assert set(there) <= set(files(tmp_path / "workspace"))
    assert not [name for name in absent if (tmp_path / "workspace" / name).exists()]
    check_out(tmp_path)  # and one after it has everything
    assert (tmp_path / "workspace/src/number").exists()
    assert (tmp_path / "workspace/infrastructure").exists()


@pytest.mark.parametrize("persist", ["true", "false"])
def test_a_credential_stays_unless_it_is_not_to(github, tmp_path, persist):
    check_out(tmp_path, persist_credentials=persist)
    space, stays = tmp_path / "workspace", persist == "true"
    said = subprocess.run(["git", "config", "--get-regexp", "extraheader"], cwd=space, capture_output=True, text=True)
    assert ("AUTHORIZATION: basic" in said.stdout) is stays
    assert ("includeif" in (space / ".git/config").read_text().lower()) is stays
    assert [path.name[:15] for path in (tmp_path / "temp").iterdir()] == ["git-credentials"] * stays
    assert git(space, "config", "--local", "remote.origin.url") == "https://github.com/acme/demo"
    nowhere = {**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9", "GIT_TERMINAL_PROMPT": "0"}
    fetch = ["git", "fetch", "--quiet", "--unshallow", "origin"]
    assert (subprocess.run(fetch, cwd=space, env=nowhere, capture_output=True).returncode == 0) is stays
    push = ["git", "push", "origin", "HEAD:refs/heads/new"]
    assert b"new" not in subprocess.run(push, cwd=space, env=nowhere, capture_output=True).stdout
    assert git(tmp_path / "served.git", "branch", "--list", "new") == ""
    check_out(tmp_path, persist_credentials="false", clean="false")
    assert "includeif" not in (space / ".git/config").read_text().lower()
    assert not list((tmp_path / "temp").iterdir())


def test_what_lay_in_the_workspace_is_removed_and_an_earlier_checkout_used_again(github, tmp_path):
    space = tmp_path / "workspace"
    space.mkdir()
    (space / "old").mkdir()
    (space / "old/file").write_text("")
    check_out(tmp_path, ref="feature/x")
    assert not (space / "old").exists()
    (space / "built").write_text("")
    check_out(tmp_path, clean="false")
    assert (space / "built").exists()
    check_out(tmp_path, clean="true")
    assert not (space / "built").exists()
    assert git(space, "branch", "--format=%(refname:short)") == "main"


def test_it_is_checked_out_into_a_folder_of_the_workspace(github, tmp_path):
    assert check_out(tmp_path, path="deep/er")[0] == 0
    assert (tmp_path / "workspace/deep/er/README.md").exists()


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"path": "../elsewhere"}, "is not under"),
        ({"path": "/tmp"}, "is not under"),
        ({"ref": "nobody"}, "The process '/usr/bin/git' failed with exit code 1"),
        ({"ref": "nobody", "fetch_depth": "0"}, "A branch or tag with the name 'nobody' could not be found"),
        ({"ref": "0" * 40}, "::error::"),
        ({"ref": "refs/heads/nobody"}, "::error::"),
        ({"token": ""}, "Input required and not supplied: token"),
        ({"repository": "acme/other"}, "acme/other is not fetched"),
    ],
)
def test_what_the_real_checkout_refuses_is_refused(github, tmp_path, inputs, says):
    code, said, _ = check_out(tmp_path, **inputs)
    assert code == 1
    assert says in said


@pytest.mark.parametrize("name", ["lfs", "submodules", "ssh_key"])
def test_what_the_checkout_does_nothing_about_is_said(github, tmp_path, name):
    assert (
        f"::warning::actions/checkout: the rehearsal does nothing about {name.replace('_', '-')}."
        in check_out(tmp_path, **{name: "true"})[1]
    )


def test_a_shallow_repository_is_served_as_far_as_it_goes(repository, tmp_path, github):
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    for name in ("clone", "run", "served.git"):
        shutil.rmtree(tmp_path / name)
    sha = checkout.clone(tmp_path / "shallow", "main", tmp_path / "clone")
    checkout.check_out(tmp_path / "clone", sha, "main", tmp_path / "run")
    checkout.serve(tmp_path / "run", "main", tmp_path / "served.git")
    assert check_out(tmp_path, fetch_depth="0")[0] == 0
    assert commits(tmp_path / "workspace") == 1
