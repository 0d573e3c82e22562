"""Requests for accounts become pull requests: one for each, whose merge is its approval.

A request is an SSM parameter that Service Catalog made. Whoever may write there could have written anything: what does
not have the form of requests-form.yml is told, and nothing is made of it. By a mark in its text a pull request is found
again, whatever became of it: one that was closed is not opened again for the same request.
Sources: https://docs.github.com/rest/git/refs, https://docs.github.com/rest/repos/contents#create-or-update-file-contents
https://docs.github.com/rest/pulls/pulls#create-a-pull-request and, of its checks,
https://docs.github.com/actions/concepts/security/github_token
"""

import base64
import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import evidence
import github
import runner

BRANCH = "account-request/"
MOST = 20  # pull requests that a run opens: GitHub takes 80 things of a user in a minute
ACCOUNTS, ENDINGS = "accounts/", (".yml", ".yaml")


class Field(NamedTuple):
    """A key of a request; the parameter of the product has the same pattern and length."""

    parameter: str
    pattern: str
    longest: int


FIELDS = {
    "name": Field("Name", r"[a-z](-?[a-z0-9])+", 50),
    "email": Field("Email", r"[A-Za-z0-9][A-Za-z0-9._+-]*@[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]*[A-Za-z0-9])+", 64),
    "unit": Field("Unit", r"[A-Za-z0-9][A-Za-z0-9 _.-]*(/[A-Za-z0-9][A-Za-z0-9 _.-]*)*", 256),
    "owner": Field("Owner", r"[A-Za-z0-9@][A-Za-z0-9@._/+ -]*", 100),
    "cost-centre": Field("CostCentre", r"[A-Za-z0-9][A-Za-z0-9._-]*", 64),
    "purpose": Field("Purpose", r"[A-Za-z0-9][A-Za-z0-9 .,;:()/_+-]*", 200),
}
TAGS = ("owner", "cost-centre")  # those of its keys that become tags of the account


@dataclass(frozen=True)
class Request:
    """said: by the keys of FIELDS. mark: names this request and no later one, even of the same words."""

    said: Mapping[str, str]
    mark: str

    @property
    def name(self) -> str:
        return self.said["name"]

    @property
    def branch(self) -> str:
        return BRANCH + self.name

    @property
    def file(self) -> str:
        """The file of the account: JSON's scalars are YAML's."""
        tags = {key: self.said[key] for key in TAGS}
        account = json.dumps({"email": self.said["email"], "tags": tags})
        unit, name = json.dumps(self.said["unit"]), json.dumps(self.name)
        return f"# Asked for in Service Catalog.\nunit: {unit}\naccounts:\n  {name}: {account}\n"


def requests(region: str, component: str) -> tuple[list[Request], dict[str, str]]:
    """The requests in order of their names, and of what is none: its parameter and why."""
    path, found, refused = f"/dpra/{component}/requests", [], {}
    listed = aws.call(region, "ssm", "get-parameters-by-path", Path=path)["Parameters"]
    for one in sorted(listed, key=lambda one: str(one["Name"])):
        name = str(one["Name"]).removeprefix(f"{path}/")
        said, why = read(name, str(one.get("Value", "")))
        if why:
            refused[name] = why
            continue
        made = json.dumps([said, one.get("Version"), str(one.get("LastModifiedDate"))], sort_keys=True)
        found.append(Request(said, hashlib.sha256(made.encode()).hexdigest()[:16]))
    return found, refused


def read(name: str, text: str) -> tuple[dict[str, str], str]:
    """What a request says, and why it is none."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}, "it is no JSON"
    if not isinstance(said, dict) or said.keys() != FIELDS.keys():
        return {}, f"it needs the keys {', '.join(FIELDS)}, and no other"
    for key, field in FIELDS.items():
        value = said[key]
        if not isinstance(value, str) or len(value) > field.longest or not re.fullmatch(field.pattern, value, re.ASCII):
            return {}, f"its {key} is not as the product takes it"
    return said, "" if said["name"] == name else "its name is not that of its parameter"


# ---- The repository


class Trunk:
    """The branch that requests are merged into, as it was when it was first asked for."""

    def __init__(self, name: str, folder: str) -> None:
        self.name, self.start = name, f"{folder.strip('/')}/".removeprefix("/") + ACCOUNTS
        self.commit = str(github.call(f"git/ref/heads/{quote(name)}")["object"]["sha"])
        tree = github.call(f"git/trees/{self.commit}?recursive=1")
        if tree.get("truncated"):
            raise runner.Failed(
                "the repository has more files than GitHub lists: give the fleet one of its own", "error"
            )
        self.files = {
            str(one["path"]): str(one["sha"])
            for one in tree["tree"]
            if one["type"] == "blob" and str(one["path"]).startswith(self.start) and str(one["path"]).endswith(ENDINGS)
        }
        self.texts: dict[str, str] = {}

    def path(self, request: Request) -> str:
        return f"{self.start}requests/{request.name}.yml"

    def has(self, name: str) -> str:
        """The file that names an account; empty where none does. What looks like it counts, too: a person decides."""
        key = re.compile(rf"(?<![\w.@+-])[\"']?{re.escape(name)}[\"']?[ \t]*:")
        return next((path for path in self.files if key.search(self.text(path))), "")

    def text(self, path: str) -> str:
        if path not in self.texts:
            blob = github.call(f"git/blobs/{self.files[path]}")
            self.texts[path] = base64.b64decode(blob["content"]).decode(errors="replace")
        return self.texts[path]


def blob(text: str) -> str:
    """What git calls a file with this text."""
    content = text.encode()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def branches() -> set[str]:
    """Those of requests, by the names of the accounts."""
    start = f"refs/heads/{BRANCH}"
    refs = [str(one["ref"]) for one in github.pages(f"git/matching-refs/heads/{BRANCH}")]
    return {ref.removeprefix(start) for ref in refs if ref.startswith(start)}


def pulls(name: str) -> list[dict[str, Any]]:
    """The pull requests of a branch of this repository, whatever became of them; a fork's are another owner's."""
    owner = os.environ["GITHUB_REPOSITORY"].partition("/")[0]
    return list(github.pages(f"pulls?head={quote(f'{owner}:{BRANCH}{name}')}&state=all"))


def withdraw(name: str) -> int:
    """Close what is open of a request that is gone, and delete its branch; how many were open."""
    still = [one for one in pulls(name) if one["state"] == "open"]
    for one in still:
        said = "The request was withdrawn, or changed: then it has another pull request."
        github.call(f"issues/{one['number']}/comments", {"body": said})
        github.call(f"pulls/{one['number']}", {"state": "closed"}, "PATCH")
    github.call(f"git/refs/heads/{quote(BRANCH + name)}", method="DELETE")
    return len(still)


def propose(request: Request, trunk: Trunk) -> int:
    """A branch, a file, a pull request; its number.

    Raises:
        runner.Failed: GitHub refuses it. The next run begins anew."""
    github.call("git/refs", {"ref": f"refs/heads/{request.branch}", "sha": trunk.commit})
    content = base64.b64encode(request.file.encode()).decode()
    about = {"message": f"Account {request.name}", "content": content, "branch": request.branch}
    github.call(f"contents/{quote(trunk.path(request))}", about, "PUT")
    about = {"title": f"Account {request.name}", "head": request.branch, "base": trunk.name, "body": body(request)}
    try:
        return int(github.call("pulls", about)["number"])
    except github.Refused as refused:
        if refused.code != 403:
            raise
        said = "may it open pull requests (Settings, Actions, General: Allow GitHub Actions to create pull requests)?"
        raise runner.Failed(f"{refused}; {said}", "error") from refused


def body(request: Request) -> str:
    """What the approver reads; what somebody else wrote is in code spans."""
    rows = [f"| {key} | {runner.code(value)} |" for key, value in request.said.items()]
    lines = [
        f"{runner.code(request.said['owner'])} asks for an account, in Service Catalog.",
        "",
        *("| what | as it was asked for |", "| --- | --- |"),
        *rows,
        "",
        "Merging this approves the request: the next release makes the account. Closing this refuses it.",
        "Who asked is as the request says it; AWS CloudTrail knows who made the request.",
        "",
        "The checks wait until somebody who may write lets them run, as GitHub asks it of what a job opened (since "
        "2026-06-11). Where there is no such button, close this and open it again.",
        "",
        mark(request),
    ]
    return "\n".join(lines)


def mark(request: Request) -> str:
    return f"<!-- dpra request {request.mark} -->"


# ---- What becomes of each


def state(request: Request, trunk: Trunk) -> str:
    """What was decided about a request already; empty where it is new."""
    if there := trunk.files.get(trunk.path(request)):
        return "approved" if there == blob(request.file) else "approved, and the file says something else: change that"
    for one in pulls(request.name):
        if mark(request) in str(one.get("body")):
            merged = one.get("merged_at")
            return f"{'approved' if merged else 'waits' if one['state'] == 'open' else 'refused'}, {one['number']}"
    there = trunk.has(request.name)
    return f"there already, in {there}" if there else ""


def handled(request: Request, trunk: Trunk, stale: bool) -> str:
    """Make the pull request, unless something was decided already; what became of the request.

    Args:
        stale: there is a branch of its name already."""
    if said := state(request, trunk):
        return said
    if stale:
        withdraw(request.name)  # an earlier request of that name, or a run that did not get to its end
    return f"opened, {propose(request, trunk)}"


def gone(name: str) -> str:
    return "withdrawn" if withdraw(name) else "its branch is gone"


def main() -> None:
    with evidence.recorded("service-catalog-product", tool="servicecatalog") as facts:
        region, component = runner.required("REGION"), runner.required("COMPONENT")
        facts["where"] = f"/dpra/{component}/requests"
        aws.expect_account(region, runner.required("ACCOUNT"))
        found, refused = requests(region, component)
        trunk, there = Trunk(runner.required("TRUNK"), runner.given("FOLDER")), branches()
        rows = [(name, f"no request: {why}") for name, why in refused.items()]
        for name, why in refused.items():
            runner.warning(f"{name}: {why}; nothing is made of it", title="no request")
        work: list[tuple[str, Callable[[], str]]] = [
            *((name, partial(gone, name)) for name in sorted(there - {one.name for one in found})),
            *((one.name, partial(handled, one, trunk, one.name in there)) for one in found),
        ]
        opened = failed = 0
        for name, do in work:
            if opened == MOST:
                rows.append((name, "looked at by the next run"))
                continue
            try:
                said = do()
            except (runner.Failed, LookupError, TypeError, ValueError) as problem:  # the others go on
                said, failed = f"failed: {problem}", failed + 1
                runner.error(f"{name}: {problem}", title="account-requests")
            opened += said.startswith("opened")
            rows.append((name, said))
        for name, said in rows:
            runner.say(f"{name}: {said}")
        facts["findings"] = dict(Counter(re.split("[,:]", said)[0] for _, said in rows))
        table = [(runner.code(name), runner.code(said)) for name, said in rows]
        runner.summary("Requests for accounts", ("account", "what became of it"), table)
        if failed:
            raise runner.Failed(f"{failed} of {len(work)} could not be done: the next run tries again", "error")


main()
