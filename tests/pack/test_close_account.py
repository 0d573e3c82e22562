"""An account is closed by a flow of its own: the real AWS CLI against a mended moto, and the stand-in of GitHub."""

import datetime
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import rights
from dpra.rehearsal import mends
from dpra.rehearsal.github import GitHub
from dpra.rehearsal.mends import organizations

ROOT = Path(__file__).parents[2]
ACCOUNT, REGION, COMPONENT, BUCKET = "123456789012", "eu-west-1", "landing-zone", "dpra-landing-zone"
WORKFLOW = ".github/workflows/pipeline.yml@refs/heads/main"
OURS = {"dpra:component": COMPONENT}


@pytest.fixture
def github() -> Iterator[Any]:
    there: Any = GitHub("acme/shop", "main")

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            path, _, query = self.path.removeprefix("/").partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, said = there.answer(self.command, path, query, body, self.headers["Authorization"] or "")
            content = json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = respond

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    yield there
    server.shutdown()
    server.server_close()


class Organisation:
    """A management account with an organisation, a store with a signed release, and the action."""

    def __init__(self, job: Any, github: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.job, self.github, self.monkeypatch = job, github, monkeypatch
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "endpoint_url": url}
        self.client: Callable[..., Any] = lambda name, region=REGION: boto3.client(name, region_name=region, **keys)
        self.org, self.s3 = self.client("organizations", "us-east-1"), self.client("s3")
        self.org.create_organization(FeatureSet="ALL")
        kms = self.client("kms")
        key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/dpra-landing-zone", TargetKeyId=key)
        self.key = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/dpra-landing-zone"
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def account(self, name: str, **tags: str) -> str:
        said = [{"Key": key, "Value": value} for key, value in (tags or OURS).items()]
        asked = self.org.create_account(AccountName=name, Email=f"{name}@example.com", Tags=said)["CreateAccountStatus"]
        for creation in organizations.creations(organizations.home(ACCOUNT, "aws")).values():
            creation.until = 0
        found = self.org.describe_create_account_status(CreateAccountRequestId=asked["Id"])["CreateAccountStatus"]
        return str(found["AccountId"])

    def release(self, *accounts: dict[str, Any], sign: bool = True, lock: Any = None) -> None:
        """The last good release, whose fleet has these accounts."""
        import fleet
        import record
        import release
        import signature

        folder = self.job.root / f"release-{len(accounts)}-{sign}"
        folder.mkdir()
        some = tuple(fleet.Account(**{"file": "accounts/a.yml", "line": 3, "unit": "root", **one}) for one in accounts)
        wanted = fleet.Fleet(COMPONENT, units=(fleet.Unit("root", "organisation.yml", 1),), accounts=some)
        with zipfile.ZipFile(folder / "package.zip", "w") as package:
            package.writestr("fleet/fleet.json", wanted.text)
        for name, value in {**self.job.env, "GITHUB_REPOSITORY_ID": "456"}.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setenv("GITHUB_WORKFLOW_REF", f"acme/shop/{WORKFLOW}")
        self.monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
        self.monkeypatch.setenv("RUNNER_ENVIRONMENT", "github-hosted")
        digest = release.describe(folder, COMPONENT)
        if sign:
            (folder / "provenance.json").write_text(json.dumps(release.statement(folder, digest)))
            signature.sign(folder, self.key)
        for path in folder.iterdir():
            self.s3.put_object(Bucket=BUCKET, Key=f"{COMPONENT}/{digest}/{path.name}", Body=path.read_bytes())
        current = {"digest": digest, "commit": self.job.env["GITHUB_SHA"], "run": "1"}
        kept = {**record.empty(), "current": current, "lock": lock}
        self.s3.put_object(Bucket=BUCKET, Key="record.json", Body=json.dumps(kept).encode())

    def run(self, do: str, number: str, name: str = "old", **more: str) -> Any:
        about = {"do": do, "id": number, "name": name, "reason": "nobody needs it", "component": COMPONENT}
        about |= {"account": ACCOUNT, "region": REGION, "bucket": BUCKET, "record": f"s3://{BUCKET}/record.json"}
        about |= {"record_region": REGION, "built_by": WORKFLOW, "signing_key": self.key}
        return self.job.use("close-account", **{**about, **more})

    def state(self, number: str) -> str:
        return str(self.org.describe_account(AccountId=number)["Account"]["State"])

    def later(self, days: float) -> None:
        """The issue is so many days old."""
        then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days)
        self.github.issues[-1]["created_at"] = then.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def there(job: Any, server: dict[str, str], github: Any, monkeypatch: pytest.MonkeyPatch) -> Organisation:
    mends.forget()
    job.env |= {**server, "GITHUB_API_URL": github.url, "GITHUB_ACTOR": "alice", "GITHUB_TRIGGERING_ACTOR": "alice"}
    job.env |= {"GITHUB_REPOSITORY_ID": "456"}
    return Organisation(job, github, server["AWS_ENDPOINT_URL"], monkeypatch)


def test_an_account_is_asked_for_told_and_closed_after_its_days(there: Organisation) -> None:
    number = there.account("old")
    there.release()
    ran = there.run("request", number)
    assert (ran.code, ran.errors, ran.outputs) == (0, [], {"issue": "1"})
    [issue] = there.github.issues
    assert issue["title"] == f"Account old ({number}) is to be closed"
    earliest = datetime.datetime.now(datetime.UTC) + datetime.timedelta(7)
    for said in ("`alice` asks", "`nobody needs it`", f"{earliest:%Y-%m-%d}", "Closing this issue stops it"):
        assert said in issue["body"]
    assert (ran.record["action"], ran.record["override"]) == ("close-account-request", "nobody needs it")
    early = there.run("close", number, issue="1")
    assert early.code == 1
    assert f"the account is closed after {earliest:%Y-%m-%d}" in early.out
    assert there.state(number) == "ACTIVE"
    there.later(6.99)
    assert there.run("close", number, issue="1").code == 1
    there.later(7.01)
    ran = there.run("close", number, issue="1")
    assert (ran.code, ran.errors) == (0, [])
    assert there.state(number) in ("PENDING_CLOSURE", "CLOSED")
    assert there.github.issues[0]["state"] == "closed"
    assert (ran.record["action"], ran.record["where"], ran.record["result"]) == ("close-account", number, "pass")
    assert there.run("close", number, issue="1").code == 0  # done again, it is done
    refused = there.run("request", number)
    assert "is closed already" in refused.out


def test_who_closes_the_issue_stops_it(there: Organisation) -> None:
    number = there.account("old")
    there.release()
    there.run("request", number)
    there.later(8)
    there.github.issues[0]["state"] = "closed"
    ran = there.run("close", number, issue="1")
    assert (ran.code, there.state(number)) == (1, "ACTIVE")
    assert "issue 1 was closed: nothing is done" in ran.out


def test_an_issue_about_something_else_lets_nothing_be_closed(there: Organisation) -> None:
    number, other = there.account("old"), there.account("other")
    there.release()
    there.run("request", number)
    there.later(8)
    ran = there.run("close", other, "other", issue="1")
    assert (ran.code, there.state(other)) == (1, "ACTIVE")
    assert "is about something else" in ran.out


def test_a_request_that_is_there_is_neither_doubled_nor_taken_over(there: Organisation) -> None:
    """Or an old issue could be made to look like it."""
    number = there.account("old")
    there.release()
    there.run("request", number)
    there.later(30)
    ran = there.run("request", number)
    assert (ran.code, ran.outputs, len(there.github.issues)) == (1, {"issue": ""}, 1)
    assert "issue 1 asks for it already" in ran.out


def test_where_there_are_no_reviewers_somebody_else_closes_it(there: Organisation) -> None:
    number = there.account("old")
    there.release()
    there.run("request", number, second_person="true")
    assert "somebody else than who asked runs that job again" in there.github.issues[0]["body"]
    there.later(8)
    ran = there.run("close", number, issue="1", second_person="true")
    assert (ran.code, there.state(number)) == (1, "ACTIVE")
    assert "who asked to close an account does not close it" in ran.out
    there.job.env["GITHUB_TRIGGERING_ACTOR"] = ""
    assert there.run("close", number, issue="1", second_person="true").code == 1
    there.job.env["GITHUB_TRIGGERING_ACTOR"] = "bob"
    assert there.run("close", number, issue="1", second_person="true").code == 0


@pytest.mark.parametrize("do", ["request", "close"])
@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("management", "never closed here"),
        ("nobody's", "it has no tag dpra:component"),
        ("another's", "it is of other"),
        ("protected", "has deletion protection"),
        ("in the files", "is in the last good release, as old, accounts/a.yml:3"),
        ("in the files by its id", "is in the last good release, as renamed"),
        ("in the files by its address", "is in the last good release, as renamed"),
        ("another name", "is the account old, not older"),
        ("not there", "the organisation has no account 999999999999"),
        ("nothing released", "nothing was released yet"),
        ("not signed", "not signed"),
        ("releasing", "run 9 is releasing"),
        ("another account's credentials", "the credentials are of account"),
        ("tampered", "SHA-256"),
    ],
)
def test_what_may_not_be_closed_is_not(there: Organisation, do: str, case: str, says: str) -> None:
    tags = {"nobody's": {"a": "b"}, "another's": {"dpra:component": "other"}}.get(case, OURS)
    tags = tags | ({"dpra:deletion-protection": "true"} if case == "protected" else {})
    number, more, accounts = there.account("old", **tags), {}, []
    if case.startswith("in the files"):
        known = {"in the files": {"name": "old", "email": "b@example.com"}}
        known |= {"in the files by its id": {"name": "renamed", "email": "b@example.com", "id": number}}
        known |= {"in the files by its address": {"name": "renamed", "email": "OLD@example.com"}}
        accounts = [known[case]]
    if case != "nothing released":
        there.release(*accounts, sign=case != "not signed", lock={"run": "9"} if case == "releasing" else None)
    if case == "tampered":
        [key] = [one["Key"] for one in there.s3.list_objects_v2(Bucket=BUCKET)["Contents"] if "package" in one["Key"]]
        there.s3.put_object(Bucket=BUCKET, Key=key, Body=b"else")
    asked = {"management": ACCOUNT, "not there": "999999999999"}.get(case, number)
    name = {"management": "master", "another name": "older"}.get(case, "old")
    if case == "another account's credentials":
        more = {"account": "999999999999"}
    there.github.issues.append(
        {"number": 1, "title": f"Account {name} ({asked}) is to be closed", "state": "open", "body": "", "labels": []}
    )
    there.later(30)
    ran = there.run(do, asked, name, **more, **({"issue": "1"} if do == "close" else {}))
    assert ran.code == 1
    assert says in ran.out
    assert there.state(number) == "ACTIVE"
    assert (len(there.github.issues), there.github.issues[0]["state"]) == (1, "open")


@pytest.mark.parametrize(
    "inputs",
    [{"id": "12345678901"}, {"id": "\uff11" * 12}, {"days": "0"}, {"days": "1e3"}, {"days": "-1"},
     {"issue": ""}, {"issue": "1/comments"}, {"second_person": "no"}, {"do": "delete"}],
)  # fmt: skip
def test_an_input_that_is_none_closes_nothing(there: Organisation, inputs: dict[str, str]) -> None:
    number = there.account("old")
    there.release()
    there.run("request", number)
    there.later(90)
    about = {"do": "close", "issue": "1", "number": number, **inputs}
    about["number"] = about.pop("id", number)
    assert there.run(**about).code == 1
    assert there.state(number) == "ACTIVE"


def test_hostile_text_stays_text(there: Organisation, inert: Any, hostile: dict[str, str]) -> None:
    number = there.account("old")
    there.release()
    for text in hostile.values():
        there.github.issues.clear()
        ran = there.run("request", number, reason=text)
        inert(there.job, ran)
        assert ran.code == 0
        body = there.github.issues[0]["body"]
        assert "forged" not in "".join(line for line in body.splitlines() if not line.startswith("Reason: `"))
        ran = there.run("request", number, name=text)
        inert(there.job, ran)
        assert ran.code == 1


def test_what_aws_refuses_is_told_and_the_issue_stays(there: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(organizations, "CLOSING", 0)
    number = there.account("old")
    there.release()
    there.run("request", number)
    there.later(8)
    ran = there.run("close", number, issue="1")
    assert (ran.code, there.state(number), there.github.issues[0]["state"]) == (1, "ACTIVE", "open")
    assert "ConstraintViolationException" in ran.out


# ---- The roles and the workflow

SPEC = (ROOT / "tests/specs/organisation.yml").read_text()


def test_one_role_closes_and_nothing_else_of_it_changes_anything() -> None:
    asking, closing = (rights.of(SPEC, "prod", f"Prod{name}Role") for name in ("CloseRequest", "Close"))
    changing = {
        action
        for one in closing
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
        if one["Effect"] == "Allow" and not action.split(":")[1].startswith(("Get", "List", "Describe", "Verify"))
    }
    assert changing == {"organizations:CloseAccount"}
    assert [one for one in closing if one not in asking] == closing[len(asking) :]
    assert "CloseAccount" not in json.dumps(asking)
    [allowed] = [one for one in closing if one["Effect"] == "Allow" and "CloseAccount" in str(one["Action"])]
    assert allowed["Condition"] == {"StringEquals": {"aws:ResourceTag/dpra:component": COMPONENT}}
    denied = [one for one in closing if one["Effect"] == "Deny"]
    assert [one["Sid"] for one in denied] == ["KeepProtected", "KeepManagement"]
    assert denied[1]["Resource"].endswith(":account/*/222222222222")
    for environment, role in (("prod", "ProdRole"), ("beta", "BetaRole"), ("prod", "ProdPlanRole")):
        assert "CloseAccount" not in json.dumps(rights.of(SPEC, environment, role))


@pytest.mark.parametrize(
    ("github", "protection", "alone"),
    [("", "", True), ("github: {visibility: public}\n", "other reviewers; wait timer: 4320 minutes", False)],
)
def test_the_days_of_the_spec_are_a_wait_timer_where_github_has_one(github: str, protection: str, alone: bool) -> None:
    from dpra import catalogue, problems, render
    from dpra.spec import reader

    text = SPEC.replace("fleet: {", "fleet: {closing-days: 3, ") + github
    plan = problems.planned(reader.read(text.encode(), catalogue.words()))
    assert dict(plan.protections)["prod-close"] == protection
    assert dict(plan.protections)["prod-close-request"] == ("" if alone else "reviewers")
    made = render.files(plan)[".github/workflows/close-account.yml"].content.decode()
    assert made.count("days: '3'") == 2
    assert ('second-person: "true"' in made) is alone


@pytest.mark.parametrize(
    ("number", "tags", "may"),
    [
        ("333333333333", OURS, True),
        ("333333333333", {**OURS, "dpra:deletion-protection": "true"}, False),
        ("333333333333", {"dpra:component": "other"}, False),
        ("333333333333", {}, False),
        ("222222222222", OURS, False),  # the management's
    ],
)
def test_aws_lets_the_role_close_what_the_action_would(number: str, tags: dict[str, str], may: bool) -> None:
    import policies

    document = {"Version": "2012-10-17", "Statement": rights.of(SPEC, "prod", "ProdCloseRole")}
    role = "arn:aws:iam::222222222222:role/dpra-landing-zone-prod-close"
    target = f"arn:aws:organizations::222222222222:account/o-a1b2c3d4e5/{number}"
    context = {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
    asked = policies.Request(role, "organizations:CloseAccount", target, context, account="222222222222")
    decided = policies.decide(asked, identity=[policies.Policy("close", document, "identity")])
    assert decided.allowed is may, decided
