"""`dpra bootstrap`: which stacks belong where; the templates printed; deployed by the real AWS CLI into moto."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from dpra import bootstrap, catalogue, planner, render
from dpra.plan import Plan
from dpra.spec import reader
from ruamel.yaml import YAML

SPECS = Path(__file__).parent / "specs"
NOBODY = {"GITHUB_API_URL": "http://127.0.0.1:9"}  # GitHub's API is out of reach
PROVIDER = "token.actions.githubusercontent.com"


def plan_of(text: str) -> Plan:
    return planner.make(reader.read(text.encode(), catalogue.words()))


def made_of(text: str) -> list[bootstrap.Stack]:
    plan = plan_of(text)
    return bootstrap.stacks(plan, render.infrastructure(plan))


def stacks_of(text: str) -> list[tuple[str, str, str, str]]:
    return [(s.environment, s.region, s.name, s.path.rpartition("/")[2]) for s in made_of(text)]


def test_each_account_has_its_trust_in_one_region_and_its_store_in_each() -> None:
    text = (SPECS / "minimal.yml").read_text()
    waves = 'prod: {account: "033333333333", waves: [[eu-west-1], [us-east-1, us-west-2]]}'
    assert stacks_of(text.replace('prod: {account: "033333333333"}', waves)) == [
        ("build", "eu-west-1", "dpra-shop-build", "build.yml"),
        ("build", "eu-west-1", "dpra-shop-artifacts", "artifacts.yml"),
        ("beta", "eu-west-1", "dpra-shop-beta", "beta.yml"),
        ("beta", "eu-west-1", "dpra-shop-store", "store.yml"),
        ("gamma", "eu-west-1", "dpra-shop-gamma", "gamma.yml"),
        ("gamma", "eu-west-1", "dpra-shop-store", "store.yml"),
        ("prod", "eu-west-1", "dpra-shop-prod", "prod.yml"),
        ("prod", "eu-west-1", "dpra-shop-store", "store.yml"),
        ("prod", "us-east-1", "dpra-shop-store", "store.yml"),
        ("prod", "us-west-2", "dpra-shop-store", "store.yml"),
    ]


def test_what_is_deployed_is_what_generate_wrote(repository: Path) -> None:
    for stack in made_of((repository / "dpra.yml").read_text()):
        assert (repository / stack.path).read_text("utf-8") == stack.template


def test_without_an_option_a_table_says_what_belongs_where_and_what_comes_next(dpra, repository) -> None:
    done = dpra("bootstrap", cwd=repository, **NOBODY)
    assert done.returncode == 0
    assert "│ prod        │ 033333333333 │ eu-west-1 │ dpra-shop-prod " in done.stdout
    assert "dpra bootstrap --deploy" in done.stdout
    listed = json.loads(dpra("bootstrap", "--format", "json", "beta", cwd=repository, **NOBODY).stdout)
    assert [(one["stack"], one["parameters"]) for one in listed] == [
        ("dpra-shop-beta", {"CreateProvider": "true"}),
        ("dpra-shop-store", {}),
    ]


def test_a_printed_template_is_one_that_lints_clean_as_it_is(dpra, repository, tmp_path) -> None:
    """A pipe to CloudFormation or to a linter takes one document."""
    printed = tmp_path / "printed.yml"
    for arguments, first in [
        (["prod"], "# account 033333333333 (prod), stack dpra-shop-prod, in eu-west-1"),
        (["prod", "--stack", "dpra-shop-store"], "# account 033333333333 (prod), stack dpra-shop-store, in eu-west-1"),
        (["--stack", "dpra-shop-artifacts"], "# account 444444444444 (build), stack dpra-shop-artifacts, in eu-west-1"),
    ]:
        done = dpra("bootstrap", "--print", *arguments, cwd=repository, **NOBODY)
        assert done.stdout.splitlines()[0] == first
        printed.write_text(done.stdout)
        subprocess.run(["cfn-lint", printed], check=True)


def test_of_several_accounts_each_template_is_a_document_and_what_is_not_printed_is_told(dpra, repository) -> None:
    done = dpra("bootstrap", "--print", "build", "prod", cwd=repository, **NOBODY)
    assert [text.splitlines()[0] for text in done.stdout.split("---\n")] == [
        "# account 444444444444 (build), stack dpra-shop-build, in eu-west-1",
        "# account 033333333333 (prod), stack dpra-shop-prod, in eu-west-1",
    ]
    assert len(list(YAML(pure=True).load_all(done.stdout))) == 2
    assert "The stores of releases: --stack dpra-shop-artifacts --stack dpra-shop-store" in done.stderr


def test_a_template_of_several_regions_is_printed_once(dpra, tmp_path) -> None:
    (tmp_path / "dpra.yml").write_text((SPECS / "waves.yml").read_text())
    assert dpra("generate", cwd=tmp_path).returncode == 0
    regions = plan_of((SPECS / "waves.yml").read_text()).environments["prod"].regions
    done = dpra("bootstrap", "--print", "prod", "--stack", "dpra-shop-store", cwd=tmp_path, **NOBODY)
    assert len(regions) > 1
    assert done.stdout.splitlines()[0].endswith(f"stack dpra-shop-store, in {', '.join(regions)}")
    assert done.stdout.count("AWSTemplateFormatVersion") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["betta"], "no environment betta; there is build, beta, gamma, prod"),
        (["--stack", "x", "beta"], "no stack x; there is dpra-shop-beta, dpra-shop-store"),
        (["--print", "--diff"], "one at a time"),
        (["--diff", "--format", "json"], "goes together with none"),
        (["--deploy"], "nobody to ask"),
        (["--diff", "--profile", "betta=x"], "no environment betta"),
        (["--diff", "--profile", "x", "--profile", "y"], "had one before"),
    ],
)
def test_wrong_input_is_told_before_anything_is_asked(dpra, repository, arguments: list[str], said: str) -> None:
    done = dpra("bootstrap", *arguments, cwd=repository, **NOBODY)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_profile_may_be_one_for_all_or_one_for_each() -> None:
    accounts = {"beta": "111111111111", "prod": "333333333333"}
    assert bootstrap.profiles([], accounts) == {"beta": "", "prod": ""}
    assert bootstrap.profiles(["a"], accounts) == {"beta": "a", "prod": "a"}
    assert bootstrap.profiles(["a-{environment}-{account}"], accounts)["prod"] == "a-prod-333333333333"
    assert bootstrap.profiles(["prod=b", "a"], accounts) == {"beta": "a", "prod": "b"}


def test_a_template_that_is_not_generated_is_the_repositorys_own(dpra, repository) -> None:
    with (repository / "dpra.yml").open("a") as file:
        file.write("unmanaged: [infrastructure/dpra/store.yml]\n")
    (repository / "infrastructure/dpra/store.yml").write_text("Resources: {}  # ours\n")
    done = dpra("bootstrap", "--print", "beta", "--stack", "dpra-shop-store", cwd=repository, **NOBODY)
    assert done.stdout.endswith("stack dpra-shop-store, in eu-west-1\nResources: {}  # ours\n")
    (repository / "infrastructure/dpra/store.yml").unlink()
    done = dpra("bootstrap", "--print", "beta", cwd=repository, **NOBODY)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "infrastructure/dpra/store.yml: is unmanaged, and not there",
    )


def test_a_repository_that_lags_behind_is_told(dpra, repository) -> None:
    (repository / "infrastructure/dpra/beta.yml").write_text("Resources: {}\n")
    done = dpra("bootstrap", "--print", cwd=repository, **NOBODY)
    assert done.returncode == 0
    assert "infrastructure/dpra/beta.yml: is not what dpra.yml and GitHub say" in done.stderr
    assert done.stderr.count("is not what") == 1


# ---- GitHub


@pytest.fixture
def github() -> Iterator[dict[str, Any]]:
    """GitHub's API: what it answers (a status or a repository), and the requests that it got."""
    api: dict[str, Any] = {"answer": 404, "requests": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api["requests"].append((self.path, self.headers.get("Authorization")))
            answer = api["answer"]
            self.send_response(answer if isinstance(answer, int) else 200)
            self.end_headers()
            self.wfile.write(b"{}" if isinstance(answer, int) else json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    api["environment"] = {
        "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}",
        "GITHUB_TOKEN": "",
        "GH_TOKEN": "",
    }
    yield api
    server.shutdown()
    thread.join()
    server.server_close()


SHOP = {"full_name": "acme/shop", "id": 456, "owner": {"id": 123}, "created_at": "2026-08-01T10:00:00Z"}


def test_ids_that_github_says_go_into_the_trust_and_two_lines_are_asked_for(dpra, repository, github) -> None:
    github["answer"] = SHOP
    done = dpra("bootstrap", "--print", "beta", cwd=repository, **github["environment"])
    assert github["requests"] == [("/repos/acme/shop", None)]
    assert "sub: [repo:acme@123/shop@456:environment:beta, repo:acme/shop:environment:beta]" in done.stdout
    assert "repository_id: '456'" in done.stdout
    assert "\n  repository-id: 456\n  owner-id: 123\n" in done.stderr
    assert "made on 2026-08-01; its tokens carry these ids: without them no job is let in" in done.stderr
    assert "infrastructure/dpra/beta.yml: is not what dpra.yml and GitHub say; run: dpra generate" in done.stderr

    with (repository / "dpra.yml").open("a") as file:
        file.write("repository-id: 456\nowner-id: 123\n")
    assert dpra("generate", cwd=repository).returncode == 0
    again = dpra("bootstrap", "--print", "beta", cwd=repository, **github["environment"])
    assert (again.stdout, again.stderr.count("\n"), len(github["requests"])) == (done.stdout, 1, 1)


def test_github_is_asked_with_the_token_that_is_there(dpra, repository, github) -> None:
    github["answer"] = SHOP | {"created_at": "2019-01-01T00:00:00Z"}
    done = dpra("bootstrap", cwd=repository, **{**github["environment"], "GH_TOKEN": "t0ken"})
    assert github["requests"] == [("/repos/acme/shop", "Bearer t0ken")]
    assert "made on 2019-01-01; its tokens carry these ids if it was renamed or moved since 2026-07-15" in done.stderr
    assert "whoever takes the name is let in by it" in done.stderr


@pytest.mark.parametrize("answer", [404, 403, 500, {}, [], {**SHOP, "id": "x"}, {**SHOP, "owner": None}])
def test_without_an_answer_the_trust_knows_the_name_only_and_says_so(dpra, repository, github, answer) -> None:
    github["answer"] = answer
    done = dpra("bootstrap", "--print", "beta", cwd=repository, **github["environment"])
    assert done.returncode == 0
    assert "sub: [repo:acme/shop:environment:beta]" in done.stdout
    assert "knows acme/shop by its name only" in done.stderr
    assert "Names can be registered again" in done.stderr
    assert "gh api repos/acme/shop --jq '.id, .owner.id'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["Acme/shop", "acme/store"])
def test_a_name_that_no_token_would_carry_is_wrong(dpra, repository, github, name: str) -> None:
    """GitHub answers for another spelling, and for a former name, too."""
    github["answer"] = SHOP | {"full_name": name}
    done = dpra("bootstrap", cwd=repository, **github["environment"])
    assert (done.returncode, done.stderr) == (
        2,
        f"dpra.yml:2:1: repository: GitHub calls it {name}, and so do its tokens\n",
    )


def test_a_token_is_sent_by_https_only(dpra, repository) -> None:
    done = dpra("bootstrap", cwd=repository, GITHUB_API_URL="http://localhost.example", GITHUB_TOKEN="t0ken")
    assert "by https only" in done.stderr


# ---- AWS


ADMIN = ("--profile", "admin-{environment}")


def deployed(account: str, region: str = "eu-west-1") -> dict[str, Any]:
    from moto.cloudformation.models import cloudformation_backends

    return {stack.name: stack for stack in cloudformation_backends[account][region].stacks.values()}


@pytest.mark.slow
def test_accounts_are_compared_deployed_and_left_alone_the_second_time(dpra, repository, administrators) -> None:
    from moto.iam.models import iam_backends
    from moto.s3.models import s3_backends

    accounts = ("build", "prod")
    done = dpra("bootstrap", "--diff", *accounts, *ADMIN, cwd=repository, **administrators)
    assert done.returncode == 1, done.stderr
    assert "Add ProdRole AWS::IAM::Role -" in done.stdout
    assert "4 of 4 stacks are not what dpra.yml says; nothing was changed." in done.stdout
    assert deployed("4" * 12) == deployed("033333333333") == {}

    done = dpra("bootstrap", "--deploy", "--yes", *accounts, *ADMIN, cwd=repository, **administrators)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CREATE_COMPLETE ProdRole" in done.stdout
    assert "4 stacks are what dpra.yml says; 4 changed." in done.stdout
    assert set(deployed("4" * 12)) == {"dpra-shop-build", "dpra-shop-artifacts"}
    assert set(deployed("033333333333")) == {"dpra-shop-prod", "dpra-shop-store"}
    iam = iam_backends["033333333333"]["aws"]
    assert list(iam.open_id_providers) == [f"arn:aws:iam::033333333333:oidc-provider/{PROVIDER}"]
    tags, _ = iam.list_role_tags("dpra-shop-prod-approve", None)
    assert tags == [{"Key": "dpra:component", "Value": "shop"}, {"Key": "dpra:environment", "Value": "prod"}]
    assert "dpra-shop-033333333333-eu-west-1" in s3_backends["033333333333"]["aws"].buckets

    again = dpra("bootstrap", "--deploy", "--yes", *accounts, *ADMIN, cwd=repository, **administrators)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("no changes") == 4
    assert "4 stacks are what dpra.yml says; 0 changed." in again.stdout

    with (repository / "dpra.yml").open("a") as file:
        file.write("repository-id: 456\nowner-id: 123\n")
    done = dpra("bootstrap", "--deploy", "--yes", "prod", *ADMIN, cwd=repository, **administrators)
    assert "Modify ProdRole AWS::IAM::Role" in done.stdout, done.stdout + done.stderr
    assert "2 stacks are what dpra.yml says; 1 changed." in done.stdout
    # moto does not change a role's trust; CloudFormation has what it should be.
    assert "acme@123/shop@456:environment:prod-1" in deployed("033333333333")["dpra-shop-prod"].template
    assert len(iam.open_id_providers) == 1  # the parameter was kept


@pytest.mark.slow
def test_a_provider_that_is_there_is_respected(dpra, repository, administrators) -> None:
    from moto.iam.models import iam_backends

    iam = iam_backends["2" * 12]["aws"]
    there = iam.create_open_id_connect_provider(f"https://{PROVIDER}", ["f" * 40], ["sts.amazonaws.com"], [])
    for _ in range(2):
        done = dpra("bootstrap", "--deploy", "--yes", "gamma", *ADMIN, cwd=repository, **administrators)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "GitHubProvider" not in done.stdout
        assert deployed("2" * 12)["dpra-shop-gamma"].parameters == {"CreateProvider": "false"}
    assert list(iam.open_id_providers) == [there.arn]


@pytest.mark.slow
@pytest.mark.parametrize("option", [["--diff"], ["--deploy", "--yes"]])
def test_credentials_of_another_account_are_refused_before_anything_is_done(
    dpra, repository, administrators, option
) -> None:
    """The first environment's are right, and still nothing is deployed there."""
    wrong = ("--profile", "beta=admin-beta", "--profile", "gamma=admin-beta")
    done = dpra("bootstrap", *option, "beta", "gamma", *wrong, cwd=repository, **administrators)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == (
        "gamma, eu-west-1: the credentials are of account 111111111111, not 222222222222 (profile admin-beta); "
        "nothing was done"
    )
    assert deployed("1" * 12) == {}


@pytest.mark.parametrize("profile", ["nobody", "dpra", "dpra-execution"])  # the last two are session.py's in a job
def test_credentials_that_are_not_there_are_told(dpra, repository, administrators, profile: str) -> None:
    done = dpra("bootstrap", "--diff", "beta", "--profile", profile, cwd=repository, **administrators)
    assert done.returncode == 3
    assert f"({profile})" in done.stderr
    assert "Traceback" not in done.stderr


def ask(repository: Path, answer: str, environment: dict[str, str], *arguments: str) -> str:
    """`dpra bootstrap --deploy` at a terminal, at which somebody types an answer; what it printed."""
    here, there = pty.openpty()
    words = [sys.executable, "-m", "dpra", "bootstrap", "--deploy", *arguments]
    with subprocess.Popen(
        words, cwd=repository, env=os.environ | environment, stdin=there, stdout=subprocess.PIPE, text=True
    ) as process:
        os.write(here, answer.encode())
        assert process.stdout
        said = process.stdout.read()
    os.close(here)
    os.close(there)
    assert process.returncode == (0 if answer.startswith("y") else 1), said
    return said


@pytest.mark.slow
def test_a_no_leaves_the_account_as_it_was(repository, administrators) -> None:
    said = ask(repository, "n\n", administrators, "beta", *ADMIN)
    assert "Change dpra-shop-beta in account 111111111111, eu-west-1? [y/N]" in said
    assert "dpra-shop-beta was left as it is, and so are those behind it." in said
    assert deployed("1" * 12) == {}
    assert "2 changed" in ask(repository, "y\ny\n", administrators, "beta", *ADMIN)
    assert set(deployed("1" * 12)) == {"dpra-shop-beta", "dpra-shop-store"}


@pytest.mark.slow
def test_a_stack_that_cannot_be_changed_is_told_with_the_way_out(dpra, repository, administrators) -> None:
    text = (repository / "dpra.yml").read_text().replace("111111111111", "123456789012")  # moto's own account
    (repository / "dpra.yml").write_text(text)
    assert dpra("bootstrap", "--deploy", "--yes", "beta", cwd=repository, **administrators).returncode == 0
    deployed("123456789012")["dpra-shop-beta"].status = "UPDATE_ROLLBACK_FAILED"
    done = dpra("bootstrap", "--diff", "beta", cwd=repository, **administrators)
    assert done.returncode == 3
    assert "beta, eu-west-1: the stack dpra-shop-beta is UPDATE_ROLLBACK_FAILED: repair what its events name" in (
        done.stderr
    )
