"""GitHub's API in a rehearsal: it answers what the pipeline asks, and refuses what GitHub refuses."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dpra.rehearsal import checkout, workflow, world
from dpra.rehearsal.github import GitHub
from dpra.rehearsal.result import Job, Played

PIPELINE = {
    "jobs": {
        "prod-approve": {"name": "Approve for production", "steps": [{"with": {"approval-branch": "production"}}]},
        "prod-1": {"name": "Prod, wave 1 in ${{ matrix.region }}", "needs": ["prod-approve"]},
        "units": {"name": "To ${{ matrix.unit }}"},
        "report": {"needs": ["prod-1"]},
        "mainline": {},
    }
}


class Api:
    def __init__(self, github: GitHub) -> None:
        self.github = github

    def __call__(self, request: str, body: Any = None, authorization: str = "Bearer t") -> tuple[int, Any]:
        method, _, path = request.partition(" ")
        path, _, query = path.partition("?")
        sent = b"" if body is None else json.dumps(body).encode()
        return self.github.answer(method, f"repos/acme/demo/{path}", query, sent, authorization)


@pytest.fixture
def api(tmp_path: Path, repository: Path) -> Api:
    clone = tmp_path / "clone"
    checkout.clone(repository, "main", clone)
    checkout.commit(clone, "The next one")
    github = GitHub("acme/demo", "main")
    world.watch(github, clone, SimpleNamespace(approval_branch="production"))  # type: ignore[arg-type]
    github.names["pipeline"] = {name: str(job.get("name", name)) for name, job in PIPELINE["jobs"].items()}
    return Api(github)


def commits(api: Api, repository: Path) -> tuple[str, str]:
    return checkout.git(repository, "rev-parse", "HEAD").strip(), api.github.head()


def played(run: int, commit: str, *jobs: tuple[str, str, str], **more: Any) -> Played:
    found = tuple(Job(job, "prod", region, result, 1.0, ()) for job, region, result in jobs)
    about: dict[str, Any] = {"attempt": 1, "release": "new", "workflow": "pipeline", "ok": True, "stopped_at": ""}
    about |= {"annotations": (), "happened": (), "outputs": {}, "evidence": (), "artifacts": ""}
    return Played(**about | {"run": run, "commit": commit, "jobs": found} | more)


def test_the_approval_branch_is_protected_and_has_every_commit_but_those_that_nobody_approved(
    api: Api, repository: Path
) -> None:
    old, new = commits(api, repository)
    status, branch = api("GET branches/production")
    assert (status, branch["protected"], branch["protection"]) == (200, True, {"enabled": True})
    assert api("GET branches/main")[1]["protected"] is False
    assert api(f"GET compare/{new}...production?per_page=1") == (200, {"status": "ahead"})
    api.github.unapproved.add(new)
    assert api(f"GET compare/{new}...production") == (200, {"status": "behind"})
    assert api(f"GET compare/{old}...production") == (200, {"status": "ahead"})


def test_commits_and_the_trunk_are_compared(api: Api, repository: Path) -> None:
    old, new = commits(api, repository)
    for base, head, status in (
        (old, new, "ahead"),
        (new, old, "behind"),
        (old, "main", "ahead"),
        (new, new, "identical"),
    ):
        assert api(f"GET compare/{base}...{head}") == (200, {"status": status})


@pytest.mark.parametrize(
    "request_",
    [
        "GET branches/other",
        "GET branches/",
        "GET branches/production/protection",
        "POST branches/production",
        "GET compare/main...other",
        f"GET compare/{'0' * 40}...production",
        f"GET compare/{'0' * 40}...main",
        "GET compare/abc...main",
        "GET actions/workflows/other.yml/runs",
        "GET actions/workflows/pipeline/runs",
        "GET actions/runs/71",
        "GET actions/runs/71/jobs",
        "GET actions/jobs/70000/rerun",
        "POST actions/jobs/71000/rerun",
        "POST actions/jobs/70009/rerun",
        "GET ../other/branches/production",
    ],
)
def test_what_is_not_there_is_not_found(api: Api, request_: str) -> None:
    api.github.runs[70] = played(70, "a" * 40, ("prod-approve", "", "success"))
    assert api(request_, {})[0] == 404


def test_who_does_not_say_who_he_is_is_refused(api: Api) -> None:
    assert api("GET branches/production", authorization="")[0] == 401


def test_another_repository_is_not_found(api: Api) -> None:
    assert api.github.answer("GET", "repos/acme/other/branches/production", "", b"", "Bearer t")[0] == 404


def test_runs_and_their_jobs_are_told_as_github_names_them(api: Api) -> None:
    held = (("prod-approve", "", "success"), ("prod-1", "", "skipped"), ("report", "", "not run"))
    api.github.runs[70] = played(70, "a" * 40, *held)
    api.github.runs[71] = played(71, "b" * 40, ("prod-1", "eu-west-1", "success"))
    api.github.runs[72] = played(72, "b" * 40, workflow="resume")
    _, listed = api("GET actions/workflows/pipeline.yml/runs?branch=main&per_page=5")
    assert [(run["id"], run["head_sha"][:1], run["status"]) for run in listed["workflow_runs"]] == [
        (71, "b", "completed"),
        (70, "a", "completed"),
    ]
    assert api("GET actions/workflows/pipeline.yml/runs?branch=other")[1]["workflow_runs"] == []
    names = {
        job["name"]: job["conclusion"] for run in (70, 71) for job in api(f"GET actions/runs/{run}/jobs")[1]["jobs"]
    }
    assert names == {
        "Approve for production": "success",
        "Prod, wave 1 in ${{ matrix.region }}": "skipped",
        "Prod, wave 1 in eu-west-1": "success",
    }


def test_a_leg_is_named_by_what_its_matrix_is_over(api: Api) -> None:
    api.github.runs[70] = played(70, "a" * 40, ("units", "ou-shops", "success"))
    assert [job["name"] for job in api("GET actions/runs/70/jobs")[1]["jobs"]] == ["To ou-shops"]


def test_a_job_is_run_again_once(api: Api) -> None:
    api.github.runs[70] = played(70, "a" * 40, ("prod-approve", "", "success"))
    [job] = api("GET actions/runs/70/jobs")[1]["jobs"]
    assert api(f"POST actions/jobs/{job['id']}/rerun", {}) == (201, {})
    assert api(f"POST actions/jobs/{job['id']}/rerun", {})[0] == 403
    assert api.github.asked == [(70, "prod-approve")]


def test_what_waits_for_a_job_is_run_again_with_it() -> None:
    assert workflow.waiting(PIPELINE["jobs"], "prod-approve") == {"prod-approve", "prod-1", "report"}
