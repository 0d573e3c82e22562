"""GitHub's REST API on 127.0.0.1: of one repository, what the pipeline's jobs ask; what GitHub refuses is refused."""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from .result import Played

ROUTES = {
    "GET branches/([^/]+)": "branch",
    r"GET compare/([^/]+?)\.\.\.([^/]+)": "compare",
    "GET actions/workflows/([^/]+)/runs": "list_runs",
    "GET actions/runs/([0-9]+)": "run",
    "GET actions/runs/([0-9]+)/jobs": "list_jobs",
    "POST actions/jobs/([0-9]+)/rerun": "rerun",
    "GET contents/(.+)": "contents",
    "GET issues": "list_issues",
    "POST issues": "open_issue",
    "GET issues/([0-9]+)": "issue",
    "PATCH issues/([0-9]+)": "change_issue",
    "POST issues/([0-9]+)/comments": "comment",
}
SHA = re.compile("[0-9a-f]{40}")
LEG = re.compile(r"\$\{\{ *matrix\.[\w-]+ *\}\}")  # in a job's name
PAGE, LONGEST = 30, 65_536  # issues of an answer, unless more are asked for; characters of one's body
JOBS = 1000  # more than a run has: a job's id is the run's times this, and its place
Said = tuple[int, Any]  # status, document


class NotFoundError(Exception):
    """What GitHub answers with 404."""


class GitHub:
    """A repository: its commits, the runs that were played, and who approved what."""

    def __init__(self, repository: str, trunk: str) -> None:
        self.repository, self.trunk = repository, trunk
        self.order: Callable[[str, str], str] = lambda base, head: ""  # of two commits; empty: one of them is not there
        self.head: Callable[[], str] = lambda: ""  # the newest commit of the trunk
        self.approving = ""  # the protected branch that contains what is approved; empty: there is none
        self.unapproved: set[str] = set()  # commits that it does not contain
        self.file: Callable[[str, str], bytes | None] = lambda commit, path: None  # as that commit has it
        self.issues: list[dict[str, Any]] = []
        self.runs: dict[int, Played] = {}  # the last attempt of each
        self.names: dict[str, dict[str, str]] = {}  # workflow -> job id -> its name
        self.asked: list[tuple[int, str]] = []  # what is to run again: run and job

    def answer(self, method: str, path: str, query: str, body: bytes, authorization: str) -> Said:
        """The answer to a request for `repos/OWNER/NAME/…`."""
        if not re.fullmatch(r"(?i:bearer|token) \S+", authorization):
            return 401, {"message": "Requires authentication"}
        within = path.removeprefix(f"repos/{self.repository}/")
        for route, name in ROUTES.items():
            if within != path and (match := re.fullmatch(route, f"{method} {within}")):
                words = [unquote(word) for word in match.groups()]
                try:
                    return getattr(self, name)(*words, query=parse_qs(query), body=body)  # type: ignore[no-any-return]
                except NotFoundError:
                    break
        return 404, {"message": "Not Found"}

    # ---- Branches and commits

    def branch(self, name: str, **_: Any) -> Said:
        if name not in (self.trunk, self.approving) or not name:
            raise NotFoundError
        protected = name == self.approving
        return 200, {"name": name, "protected": protected, "protection": {"enabled": protected}}

    def compare(self, base: str, head: str, **_: Any) -> Said:
        if head == self.approving and SHA.fullmatch(base) and self.order(base, base):
            return 200, {"status": "behind" if base in self.unapproved else "ahead"}
        found = self.order(self.commit(base), self.commit(head))
        if not found:
            raise NotFoundError
        return 200, {"status": found}

    def commit(self, name: str) -> str:
        if name == self.trunk:
            return self.head()
        if not SHA.fullmatch(name):
            raise NotFoundError
        return name

    # ---- Runs

    def list_runs(self, workflow: str, query: Mapping[str, list[str]], **_: Any) -> Said:
        if f"{workflow.removesuffix('.yml')}.yml" != workflow or workflow.removesuffix(".yml") not in self.names:
            raise NotFoundError
        branch = (query.get("branch") or [self.trunk])[0]
        found = [
            self.described(played)
            for _, played in sorted(self.runs.items(), reverse=True)
            if f"{played.workflow}.yml" == workflow and branch == self.trunk
        ]
        return 200, {"total_count": len(found), "workflow_runs": found}

    def run(self, number: str, **_: Any) -> Said:
        return 200, self.described(self.played(int(number)))

    def described(self, played: Played) -> dict[str, Any]:
        about = {"id": played.run, "run_attempt": played.attempt, "head_sha": played.commit, "head_branch": self.trunk}
        return about | {"status": "completed", "conclusion": "success" if played.ok else "failure"}

    def played(self, number: int) -> Played:
        if number not in self.runs:
            raise NotFoundError
        return self.runs[number]

    def list_jobs(self, number: str, **_: Any) -> Said:
        jobs = list(self.jobs(self.played(int(number))))
        return 200, {"total_count": len(jobs), "jobs": jobs}

    def jobs(self, played: Played) -> Iterator[dict[str, Any]]:
        for place, job in enumerate(played.jobs):
            if job.result != "not run":
                name = self.names[played.workflow].get(job.job, job.job)
                # The matrix of a skipped job is not there: its name is as it is written.
                name = LEG.sub(job.region, name) if job.region else name
                about = {"id": played.run * JOBS + place, "run_id": played.run, "name": name}
                yield about | {"status": "completed", "conclusion": job.result}

    def rerun(self, number: str, **_: Any) -> Said:
        run, place = divmod(int(number), JOBS)
        jobs = self.played(run).jobs
        if place >= len(jobs) or jobs[place].result == "not run":
            raise NotFoundError
        if any(waiting == run for waiting, _ in self.asked):
            return 403, {"message": "This workflow is already running"}
        self.asked.append((run, jobs[place].job))
        return 201, {}

    # ---- Issues

    def list_issues(self, query: Mapping[str, list[str]], **_: Any) -> Said:
        wanted, labels = query.get("state", ["open"])[0], {*",".join(query.get("labels", [])).split(",")} - {""}
        found = [one for one in self.issues if wanted in ("all", one["state"])]
        found = [one for one in found if labels <= {label["name"] for label in one["labels"]}]
        size = int(query.get("per_page", [PAGE])[0])
        start = (int(query.get("page", ["1"])[0]) - 1) * size
        return 200, found[start : start + size]

    def open_issue(self, body: bytes, **_: Any) -> Said:
        asked = json.loads(body)
        if not isinstance(asked.get("title"), str) or len(asked.get("body") or "") > LONGEST:
            return 422, {"message": "Validation Failed"}
        labels = [{"name": name} for name in asked.get("labels", ())]
        about = {"number": len(self.issues) + 1, "state": "open", "title": asked["title"], "body": asked.get("body")}
        self.issues.append(about | {"labels": labels, "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        return 201, self.issues[-1]

    def issue(self, number: str, **_: Any) -> Said:
        if not 0 < int(number) <= len(self.issues):
            raise NotFoundError
        return 200, self.issues[int(number) - 1]

    def comment(self, number: str, body: bytes, **_: Any) -> Said:
        self.issue(number)
        said = json.loads(body).get("body")
        return (201, {"body": said}) if said and len(said) <= LONGEST else (422, {"message": "Validation Failed"})

    def change_issue(self, number: str, body: bytes, **_: Any) -> Said:
        asked = json.loads(body)
        self.issue(number)
        if asked.get("state", "open") not in ("open", "closed") or len(asked.get("body") or "") > LONGEST:
            return 422, {"message": "Validation Failed"}
        self.issues[int(number) - 1].update(asked)
        return 200, self.issues[int(number) - 1]

    # ---- Files

    def contents(self, path: str, query: Mapping[str, list[str]], **_: Any) -> Said:
        found = self.file(self.commit((query.get("ref") or [self.trunk])[0]), path)
        if found is None:
            raise NotFoundError
        return 200, {"type": "file", "encoding": "base64", "content": base64.encodebytes(found).decode()}
