"""What is rehearsed is the working tree as it is: committed in a private clone, on the trunk."""

import json
import subprocess
from types import SimpleNamespace

import pytest
from dpra.rehearsal import RehearsalError, checkout, workflow
from dpra.rehearsal.oidc import Issuer


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
