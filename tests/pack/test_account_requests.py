"""Requests of Service Catalog become pull requests: the real AWS CLI against moto, and a GitHub that refuses things."""

import base64
import hashlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest
import rights
import yaml
from dpra.rehearsal import mends

ROOT = Path(__file__).parents[2]
ACCOUNT, REGION = "123456789012", "eu-west-1"
ASKED = {
    "name": "shop-dev",
    "email": "aws+shop-dev@example.com",
    "unit": "Workloads/Dev",
    "owner": "@acme/shop",
    "cost-centre": "42",
    "purpose": "Development of the shop",
}


class Refusal(Exception):
    pass


def git_blob(text: str) -> str:
    words = ["git", "hash-object", "--stdin"]
    return subprocess.run(words, input=text.encode(), capture_output=True, check=True).stdout.decode().strip()


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]


class GitHub:
    """acme/shop: branches with files, pull requests and their comments."""

    def __init__(self) -> None:
        self.branches: dict[str, dict[str, str]] = {"main": {"README.md": "x"}}
        self.pulls: list[dict[str, Any]] = []
        self.changed: list[str] = []
        self.may_open = True

    def sha(self, branch: str) -> str:
        return hashed(json.dumps([branch, self.branches[branch]]))

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        routes = [
            (r"GET git/ref/heads/(.+)", lambda name: {"object": {"sha": self.sha(name)}} if self.at(name) else None),
            (r"GET git/trees/(\w+)", self.tree),
            (r"GET git/blobs/(\w+)", self.blob),
            (r"GET git/matching-refs/heads/(.+)", self.refs),
            (r"POST git/refs", lambda: self.branch(body)),
            (r"DELETE git/refs/heads/(.+)", self.delete),
            (r"PUT contents/(.+)", lambda path: self.put(path, body)),
            (r"GET pulls", lambda: self.listed(query)),
            (r"POST pulls", lambda: self.open(body)),
            (r"PATCH pulls/(\d+)", lambda number: self.pull(number).update(body) or self.pull(number)),
            (r"POST issues/(\d+)/comments", lambda number: self.pull(number)["comments"].append(body["body"]) or {}),
        ]
        for pattern, do in routes:
            if match := re.fullmatch(pattern, f"{method} {path}"):
                if method != "GET":
                    self.changed.append(f"{method} {path}")
                try:
                    return (200 if method in ("GET", "PATCH") else 201), do(*map(unquote, match.groups()))
                except Refusal as refusal:
                    return int(str(refusal)), {"message": "refused"}
        return 404, {"message": "Not Found"}

    def at(self, branch: str) -> bool:
        if branch not in self.branches:
            raise Refusal(404)
        return True

    def tree(self, sha: str) -> Any:
        [files] = [files for name, files in self.branches.items() if self.sha(name) == sha]
        listed = [{"path": path, "type": "blob", "sha": git_blob(text)} for path, text in files.items()]
        return {"tree": listed, "truncated": False}

    def blob(self, sha: str) -> Any:
        for text in self.branches["main"].values():
            if git_blob(text) == sha:
                return {"content": base64.encodebytes(text.encode()).decode(), "encoding": "base64"}
        raise Refusal(404)

    def refs(self, start: str) -> Any:
        return [{"ref": f"refs/heads/{name}"} for name in sorted(self.branches) if name.startswith(start)]

    def branch(self, body: Any) -> Any:
        name = body["ref"].removeprefix("refs/heads/")
        if name in self.branches or body["sha"] != self.sha("main"):
            raise Refusal(422)  # Reference already exists, or the object does not
        self.branches[name] = dict(self.branches["main"])
        return {}

    def delete(self, name: str) -> Any:
        if name not in self.branches:
            raise Refusal(422)  # Reference does not exist
        del self.branches[name]
        for one in self.pulls:
            if one["head"]["ref"] == name and one["state"] == "open":
                one["state"] = "closed"
        return {}

    def put(self, path: str, body: Any) -> Any:
        self.at(body["branch"])
        if path in self.branches[body["branch"]] and "sha" not in body:
            raise Refusal(422)
        self.branches[body["branch"]][path] = base64.b64decode(body["content"], validate=True).decode()
        return {}

    def listed(self, query: Any) -> Any:
        head, state = query["head"][0], query.get("state", ["open"])[0]
        found = [one for one in self.pulls if one["label"] == head and state in ("all", one["state"])]
        start = (int(query.get("page", ["1"])[0]) - 1) * int(query["per_page"][0])
        return found[::-1][start : start + int(query["per_page"][0])]

    def open(self, body: Any) -> Any:
        if not self.may_open:
            raise Refusal(403)
        self.at(body["head"])
        there = [one for one in self.pulls if one["head"]["ref"] == body["head"] and one["state"] == "open"]
        if there or self.branches[body["head"]] == self.branches["main"] or len(body["body"]) > 65_536:
            raise Refusal(422)  # A pull request exists already; no commits between them
        about = {"number": len(self.pulls) + 1, "state": "open", "merged_at": None, "comments": []}
        self.pulls.append({**body, **about, "head": {"ref": body["head"]}, "label": f"acme:{body['head']}"})
        return self.pulls[-1]

    def pull(self, number: str) -> dict[str, Any]:
        return self.pulls[int(number) - 1]

    # ---- What people do

    def merge(self, number: int) -> None:
        pull = self.pulls[number - 1]
        self.branches["main"] = self.branches.pop(pull["head"]["ref"])
        pull.update(state="closed", merged_at="2026-11-29T00:00:00Z")

    def refuse(self, number: int) -> None:
        self.pulls[number - 1]["state"] = "closed"


@pytest.fixture
def github() -> Iterator[GitHub]:
    there = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            asked = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            code, said = 401, {}
            if self.headers["Authorization"] == "Bearer ghs_token":
                path = asked.path.removeprefix("/repos/acme/shop/")
                code, said = there.answer(self.command, path, parse_qs(asked.query), body)
            content = json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = respond

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    yield there
    server.shutdown()
    server.server_close()


class Catalog:
    """The account of the requests, and the action."""

    def __init__(self, job: Any, github: GitHub, url: str) -> None:
        self.job, self.github = job, github
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.ssm = boto3.client("ssm", region_name=REGION, endpoint_url=url, **keys)

    def ask(self, name: str = "", value: Any = None, **said: str) -> None:
        value = {**ASKED, **said} if value is None else value
        text = value if isinstance(value, str) else json.dumps(value)
        name = name or value["name"]
        self.ssm.put_parameter(Name=f"/dpra/landing-zone/requests/{name}", Value=text, Type="String", Overwrite=True)

    def withdraw(self, name: str) -> None:
        self.ssm.delete_parameter(Name=f"/dpra/landing-zone/requests/{name}")

    def run(self, **more: str) -> Any:
        about = {"component": "landing-zone", "account": ACCOUNT, "region": REGION, "trunk": "main"}
        return self.job.use("account-requests", **{**about, **more})


@pytest.fixture
def catalog(job: Any, server: dict[str, str], github: GitHub) -> Catalog:
    mends.forget()
    job.env |= {**server, "GITHUB_API_URL": github.url}  # type: ignore[attr-defined]
    return Catalog(job, github, server["AWS_ENDPOINT_URL"])


def files(github: GitHub, name: str) -> dict[str, str]:
    """What a branch has more than the trunk."""
    return {path: text for path, text in github.branches[name].items() if path not in github.branches["main"]}


def test_each_request_becomes_one_pull_request_with_one_file_and_a_second_run_makes_nothing(catalog: Catalog) -> None:
    github = catalog.github
    catalog.ask()
    catalog.ask(name="shop-prod", **{"unit": "Workloads/Prod"}, value={**ASKED, "name": "shop-prod"})
    ran = catalog.run()
    assert (ran.code, ran.errors) == (0, [])
    assert sorted(github.branches) == ["account-request/shop-dev", "account-request/shop-prod", "main"]
    [(path, text)] = files(github, "account-request/shop-dev").items()
    assert path == "accounts/requests/shop-dev.yml"
    assert yaml.safe_load(text) == {
        "unit": "Workloads/Dev",
        "accounts": {
            "shop-dev": {
                "email": "aws+shop-dev@example.com",
                "tags": {"owner": "@acme/shop", "cost-centre": "42"},
            }
        },
    }
    [one] = [pull for pull in github.pulls if pull["head"]["ref"] == "account-request/shop-dev"]
    assert (one["title"], one["base"]) == ("Account shop-dev", "main")
    assert "`@acme/shop` asks for an account" in one["body"]
    assert "Merging this approves the request" in one["body"]
    assert "The checks wait until somebody who may write lets them run" in one["body"]
    assert ran.record["findings"] == {"opened": 2}
    done = list(github.changed)
    again = catalog.run()
    assert (again.code, github.changed) == (0, done)
    assert again.record["findings"] == {"waits": 2}


def test_the_file_is_one_that_the_fleet_takes(catalog: Catalog) -> None:
    import fleet_files
    from configuration_parsers import events

    catalog.ask()
    assert catalog.run().code == 0
    [(path, text)] = files(catalog.github, "account-request/shop-dev").items()
    organisation = "root: r-ab12\nunits: {Workloads: {units: {Dev: {}}}}\n"
    written = {"organisation.yml": organisation.encode(), path: text.encode()}
    fleet, problems = fleet_files.build(written, "landing-zone", events)
    assert problems == []
    [account] = fleet.accounts
    assert (account.name, account.unit, account.tags) == (
        "shop-dev", "Workloads/Dev", {"owner": "@acme/shop", "cost-centre": "42"},
    )  # fmt: skip


def test_what_was_merged_is_approved_and_stays_so_wherever_its_account_goes(catalog: Catalog) -> None:
    github = catalog.github
    catalog.ask()
    catalog.run()
    github.merge(1)
    assert catalog.run().record["findings"] == {"approved": 1}
    catalog.ask(unit="Workloads/Prod")  # whose approval was another one's
    ran = catalog.run()
    assert (ran.code, len(github.pulls)) == (0, 1)
    assert "approved, and the file says something else" in ran.summary
    text = github.branches["main"].pop("accounts/requests/shop-dev.yml")
    github.branches["main"]["accounts/shop.yml"] = text
    assert "there already, in accounts/shop.yml" in catalog.run().summary
    assert len(github.pulls) == 1


@pytest.mark.parametrize("text", ["accounts:\n  shop-dev: {email: a@example.com}\n", 'accounts: {"shop-dev": {}}\n'])
def test_an_account_of_the_trunk_is_asked_for_by_nobody(catalog: Catalog, text: str) -> None:
    catalog.github.branches["main"]["accounts/a/b.yml"] = text
    catalog.ask()
    ran = catalog.run()
    assert (ran.code, catalog.github.changed) == (0, [])
    assert "there already, in accounts/a/b.yml" in ran.out


def test_a_name_that_another_one_only_holds_is_new(catalog: Catalog) -> None:
    text = "unit: shop-dev\naccounts:\n  my-shop-dev: {email: aws+shop-dev@example.com}\n  shop-dev-2: {}\n"
    catalog.github.branches["main"] |= {"accounts/a.yml": text, "elsewhere/accounts/b.yml": "shop-dev: {}\n"}
    catalog.ask()
    assert catalog.run().record["findings"] == {"opened": 1}


def test_a_request_that_was_refused_is_not_opened_again_and_a_later_one_is(catalog: Catalog) -> None:
    github = catalog.github
    catalog.ask()
    catalog.run()
    github.refuse(1)
    assert catalog.run().record["findings"] == {"refused": 1}
    catalog.ask(purpose="Something else")  # the product was updated
    assert catalog.run().record["findings"] == {"opened": 1}
    assert [one["state"] for one in github.pulls] == ["closed", "open"]


def test_a_request_that_changed_is_another_one_that_has_to_be_approved_anew(catalog: Catalog) -> None:
    github = catalog.github
    catalog.ask()
    catalog.run()
    catalog.ask(unit="Workloads/Prod")
    assert catalog.run().code == 0
    assert [one["state"] for one in github.pulls] == ["closed", "open"]
    assert "Workloads/Prod" in files(github, "account-request/shop-dev")["accounts/requests/shop-dev.yml"]


def test_the_same_words_asked_for_later_are_another_request(catalog: Catalog) -> None:
    github = catalog.github
    catalog.ask()
    catalog.run()
    catalog.withdraw("shop-dev")
    catalog.run()
    catalog.ask()
    assert catalog.run().record["findings"] == {"opened": 1}
    assert [one["state"] for one in github.pulls] == ["closed", "open"]


def test_a_request_that_was_withdrawn_closes_its_pull_request(catalog: Catalog) -> None:
    github = catalog.github
    catalog.ask()
    catalog.run()
    catalog.withdraw("shop-dev")
    assert catalog.run().record["findings"] == {"withdrawn": 1}
    assert list(github.branches) == ["main"]
    assert (github.pulls[0]["state"], github.pulls[0]["comments"]) == (
        "closed", ["The request was withdrawn, or changed: then it has another pull request."],
    )  # fmt: skip
    assert catalog.run().record["findings"] == {}


def test_other_branches_and_pull_requests_of_forks_are_left_alone(catalog: Catalog) -> None:
    github = catalog.github
    github.branches |= {"account-requests": {}, "feature": {}}
    catalog.ask()
    head = {"ref": "account-request/shop-dev"}
    github.pulls.append({"number": 1, "state": "open", "head": head, "label": f"mallory:{head['ref']}", "body": ""})
    github.branches["feature"] = {}
    catalog.run()
    assert {"account-requests", "feature"} <= set(github.branches)
    assert github.pulls[0]["state"] == "open"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "../../etc"}, "its name is not as the product takes it"),
        ({"name": "Shop"}, "its name is not"),
        ({"name": "shop-dev\n"}, "its name is not"),
        ({"email": 'a@example.com"}, "admin": {"email": "b@example.com'}, "its email is not"),
        ({"email": f"{'a' * 60}@example.com"}, "its email is not"),
        ({"unit": "Workloads/../root"}, "its unit is not"),
        ({"unit": "Dev\nbaselines: []"}, "its unit is not"),
        ({"owner": "<img src=x>"}, "its owner is not"),
        ({"owner": "a\u202eb"}, "its owner is not"),
        ({"cost-centre": "${{ github.token }}"}, "its cost-centre is not"),
        ({"purpose": "`id`\n::error::forged"}, "its purpose is not"),
        ({"purpose": ""}, "its purpose is not"),
        ({"purpose": 7}, "its purpose is not"),
        ({"budget": "1"}, "needs the keys"),
        ({"name": "other"}, "its name is not that of its parameter"),
    ],
)
def test_what_is_no_request_is_told_and_nothing_is_made_of_it(
    catalog: Catalog, inert: Any, changes: dict[str, Any], why: str
) -> None:
    catalog.ask("shop-dev", {**ASKED, **changes})
    ran = catalog.run()
    inert(catalog.job, ran)
    assert (ran.code, catalog.github.changed, ran.record["findings"]) == (0, [], {"no request": 1})
    assert why in ran.summary


@pytest.mark.parametrize("text", ["", "[]", "null", '{"name": ', "\u2028::error::forged"])
def test_no_json_is_no_request(catalog: Catalog, inert: Any, text: str) -> None:
    catalog.ask("x", text or " ")
    catalog.ask()
    ran = catalog.run()
    inert(catalog.job, ran)
    assert ran.record["findings"] == {"no request": 1, "opened": 1}


def test_hostile_text_is_no_request_or_stays_text(catalog: Catalog, inert: Any, hostile: dict[str, str]) -> None:
    for number, text in enumerate(hostile.values()):
        for key in ("unit", "owner", "purpose"):
            catalog.ask(f"{key}-{number}", {**ASKED, "name": f"{key}-{number}", key: text[:900]})
    ran = catalog.run()
    inert(catalog.job, ran)
    assert ran.code == 0
    [one] = catalog.github.pulls  # an address is a purpose like any other
    assert "| purpose | `file:///etc/passwd` |" in one["body"]


def test_what_github_refuses_of_one_stops_no_other_and_the_next_run_begins_anew(catalog: Catalog) -> None:
    github = catalog.github
    catalog.ask()
    github.may_open = False
    ran = catalog.run()
    assert ran.code == 1
    assert "Allow GitHub Actions to create pull requests" in ran.out
    assert "account-request/shop-dev" in github.branches
    github.may_open = True
    assert catalog.run().record["findings"] == {"opened": 1}
    assert len(github.pulls) == 1


def test_no_run_opens_more_than_github_takes(catalog: Catalog) -> None:
    for number in range(22):
        catalog.ask(value={**ASKED, "name": f"shop-{number}"})
    assert catalog.run().record["findings"] == {"opened": 20, "looked at by the next run": 2}
    assert catalog.run().record["findings"] == {"opened": 2, "waits": 20}


def test_where_requests_cannot_be_read_nothing_is_withdrawn(catalog: Catalog) -> None:
    catalog.ask()
    catalog.run()
    before = list(catalog.github.changed)
    ran = catalog.run(account="999999999999")
    assert (ran.code, catalog.github.changed) == (1, before)


def test_a_folder_of_the_fleet_is_where_its_accounts_are(catalog: Catalog) -> None:
    catalog.ask()
    assert catalog.run(folder="organisation").code == 0
    assert list(files(catalog.github, "account-request/shop-dev")) == ["organisation/accounts/requests/shop-dev.yml"]


# ---- The product


def template(name: str) -> Any:
    from moto.cloudformation.models import Stack

    return Stack.parse_template(rendered()[f"infrastructure/dpra/{name}.yml"])


def rendered(more: str = "") -> dict[str, str]:
    from dpra import catalogue, problems, render
    from dpra.spec import reader

    text = (ROOT / "tests/specs/organisation.yml").read_text()
    plan = problems.planned(reader.read((more or text).encode(), catalogue.words()))
    return render.infrastructure(plan)


def test_the_product_takes_what_the_action_takes() -> None:
    source = (ROOT / ".github/actions/account-requests/account_requests.py").read_text()
    scope: dict[str, Any] = {"__file__": str(ROOT / ".github/actions/account-requests/account_requests.py")}
    exec(compile(source.replace("\nmain()\n", "\n"), "account_requests.py", "exec"), scope)  # noqa: S102
    form = template("requests-form")
    asked = json.loads(re.sub(r"\$\{\w+\}", "x", form["Resources"]["Request"]["Properties"]["Value"]["Fn::Sub"]))
    assert list(asked) == list(scope["FIELDS"])
    assert {field.parameter for field in scope["FIELDS"].values()} == set(form["Parameters"])
    for field in scope["FIELDS"].values():
        said = form["Parameters"][field.parameter]
        assert (said["AllowedPattern"], said["MaxLength"]) == (f"^({field.pattern})?$", field.longest)
        for quote in '"\\{}$\n':  # which would be JSON, or CloudFormation
            assert not re.fullmatch(said["AllowedPattern"].removesuffix("$"), f"a{quote}b")
    needed = {str(one["Assert"]) for one in form["Rules"]["Complete"]["Assertions"]}
    assert len(needed) == len(form["Parameters"]) - 1


def test_a_request_by_the_form_is_one_that_the_action_reads(catalog: Catalog, server: dict[str, str]) -> None:
    """The form's own stack makes nothing but itself; that of a request has no name that another one has."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "endpoint_url": server["AWS_ENDPOINT_URL"]}
    made = boto3.client("cloudformation", region_name=REGION, **keys)
    text = rendered()["infrastructure/dpra/requests-form.yml"]
    made.create_stack(StackName="dpra-landing-zone-requests-form", TemplateBody=text)
    [export] = made.list_exports()["Exports"]
    assert (export["Name"], ":stack/dpra-landing-zone-requests-form/" in export["Value"]) == (
        "dpra-landing-zone-requests-form", True,
    )  # fmt: skip
    assert catalog.run().record["findings"] == {}
    said = {**ASKED, "cost-centre": "42"}
    names = {"name": "Name", "email": "Email", "unit": "Unit", "owner": "Owner", "cost-centre": "CostCentre"}
    given = [{"ParameterKey": {**names, "purpose": "Purpose"}[key], "ParameterValue": said[key]} for key in said]
    text, _, outputs = text.partition("Outputs:\n")  # moto knows no conditions of outputs
    assert "    Condition: Form\n" in outputs
    made.create_stack(StackName="SC-1-pp-2", TemplateBody=text, Parameters=given)
    assert catalog.run().record["findings"] == {"opened": 1}
    made.delete_stack(StackName="SC-1-pp-2")
    assert catalog.run().record["findings"] == {"withdrawn": 1}


def test_the_product_is_made_of_the_form(catalog: Catalog, server: dict[str, str]) -> None:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "endpoint_url": server["AWS_ENDPOINT_URL"]}
    made, offered = (boto3.client(name, region_name=REGION, **keys) for name in ("cloudformation", "servicecatalog"))
    texts = rendered()
    for name in ("requests-form", "requests"):
        about = {"StackName": f"dpra-landing-zone-{name}", "Capabilities": ["CAPABILITY_NAMED_IAM"]}
        made.create_stack(TemplateBody=texts[f"infrastructure/dpra/{name}.yml"], **about)
    product = made.describe_stack_resource(StackName="dpra-landing-zone-requests", LogicalResourceId="Account")
    number = product["StackResourceDetail"]["PhysicalResourceId"]
    [version] = offered.list_provisioning_artifacts(ProductId=number)["ProvisioningArtifactDetails"]
    [info] = offered.describe_provisioning_artifact(ProductId=number, ProvisioningArtifactId=version["Id"])[
        "Info"
    ].values()
    assert made.get_template(StackName=info)["TemplateBody"] == texts["infrastructure/dpra/requests-form.yml"]
    assert len(offered.list_portfolios_for_product(ProductId=number)["PortfolioDetails"]) == 1


def test_without_requests_there_is_nothing_of_them() -> None:
    without = (ROOT / "tests/specs/organisation.yml").read_text().replace("requests: true", "requests: false")
    files = rendered(without)
    assert not [path for path in files if "requests" in path]
    assert "requests" not in files["infrastructure/dpra/alpha.yml"]


def test_the_roles_may_do_just_that() -> None:
    spec = (ROOT / "tests/specs/organisation.yml").read_text()
    statements = rights.of(spec, "alpha", "RequestsRole")
    assert [(one["Effect"], one["Action"]) for one in statements] == [("Allow", "ssm:GetParametersByPath")]
    role = template("requests")["Resources"]["LaunchRole"]["Properties"]
    launch = role["Policies"][0]["PolicyDocument"]["Statement"]
    everywhere = {one["Sid"] for one in launch if one["Resource"] == "*"}
    assert everywhere == {"ReadForm", "FetchForm"}  # both only read
    [keep] = [one for one in launch if one["Sid"] == "KeepRequest"]
    assert keep["Resource"]["Fn::Sub"].endswith(":parameter/dpra/landing-zone/requests/*")
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "servicecatalog.amazonaws.com"}
