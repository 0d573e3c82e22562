"""dpra fleet: what a platform team sees of accounts, policies and baselines before the pipeline does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SPECS = Path(__file__).parent / "specs"
MANAGEMENT = "222222222222"  # as the spec says
ADMIN = "arn:aws:iam::{account}:role/admin"
POLICY = """{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "NoUsers", "Effect": "Deny", "Action": "iam:CreateUser", "Resource": "*"}
  ]
}
"""
FILES = {
    "organisation.yml": """break-glass: [role/break-glass]
defaults: {tags: {owner: platform}}
units:
  Sandbox: {}
  Canary: {}
  Workloads:
    defaults: {baselines: [base]}
    units: {Dev: {}, Prod: {defaults: {deletion-protection: true}}}
""",
    "accounts/shop.yml": """unit: Workloads/Prod
accounts:
  shop-prod:
    email: aws+shop-prod@example.com
    id: "123456789012"
    budget: 900
    contacts: {security: {name: Sam, email: sam@example.com, phone: "+44 1", title: Head}}
    baselines: [extra]
  shop-dev: {email: aws+shop-dev@example.com, unit: Workloads/Dev}
""",
    "policies/users.yml": "type: service-control-policy\nattach: [Workloads]\n",
    "policies/users.json": POLICY,
    "policies/tests/users.yml": f"""unit: Workloads
rows:
  - {{principal: "{ADMIN}", action: iam:CreateUser, resource: "*", expect: deny}}
  - {{principal: "{ADMIN}", action: iam:CreateRole, resource: "*", expect: allow}}
""",
    "baselines/base/baseline.yml": "regions: [eu-west-1]\n",
    "baselines/base/template.yml": "Resources: {}\n",
    "baselines/extra/baseline.yml": "regions: [eu-west-1, us-east-1]\n",
    "baselines/extra/template.yml": "Resources: {}\n",
}


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def organisation(tmp_path: Path) -> Path:
    """A repository with a fleet in a folder, in its first commit."""
    spec = (SPECS / "organisation.yml").read_text("utf-8")
    root = tmp_path / "repository"
    root.mkdir()
    spec = "".join(line for line in spec.splitlines(True) if not line.startswith("fleet:"))
    (root / "dpra.yml").write_text(f"{spec}fleet: {{folder: organisation}}\n")
    for name, text in FILES.items():
        path = root / "organisation" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "The first")
    return root


def change(root: Path, name: str, *replaced: tuple[str, str]) -> None:
    path = root / "organisation" / name
    text = path.read_text()
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


# ---- test


def test_rows_that_hold_are_told_to_and_one_that_does_not_with_policy_statement_and_inheritance(
    dpra: Any, organisation: Path
) -> None:
    """Must-show 4."""
    done = dpra("fleet", "test", cwd=organisation)
    assert (done.returncode, done.stdout) == (0, "2 accounts, 2 rows: all hold; 0 other problems.\n"), done.stderr

    change(organisation, "policies/tests/users.yml", ("expect: deny", "expect: allow"))
    done = dpra("fleet", "test", cwd=organisation)
    [line, last] = done.stdout.splitlines()
    assert (done.returncode, last) == (1, "2 accounts, 2 rows: 1 does not hold; 0 other problems.")
    assert line.startswith("organisation/policies/tests/users.yml:3: expected allow, found deny: ")
    for part in (
        "users, statement NoUsers (policies/users.json:4)",
        "inherited by root > Workloads",
        "policy-test, high",
    ):
        assert part in line
    told = json.loads(dpra("fleet", "test", "--format", "json", cwd=organisation).stdout)
    assert [(one["rule"], one["line"], one["severity"]) for one in told["problems"]] == [("policy-test", 3, "high")]
    assert [one["holds"] for one in told["rows"]] == [False, True]


def test_a_lock_out_and_a_mistake_are_told_by_file_and_line_and_a_broken_file_is_wrong_input(
    dpra: Any, organisation: Path
) -> None:
    change(organisation, "policies/users.json", ("iam:CreateUser", "iam:*"))
    change(organisation, "accounts/shop.yml", ("Workloads/Dev", "Workload/Dev"))
    done = dpra("fleet", "test", cwd=organisation)
    assert done.returncode == 1
    places = sorted(line.partition(": ")[0] for line in done.stdout.splitlines()[:-1])
    lock = ["organisation/policies/users.json:4"] * 2
    assert places == ["organisation/accounts/shop.yml:9", "organisation/policies/tests/users.yml:4", *lock]
    assert done.stdout.count("(lock-out, high)") == 2
    change(organisation, "accounts/shop.yml", ("accounts:", "accounts: ["))
    assert dpra("fleet", "test", cwd=organisation).returncode == 2
    (organisation / "organisation/accounts/link.yml").symlink_to("/nowhere")
    done = dpra("fleet", "test", cwd=organisation)
    assert (done.returncode, "accounts/link.yml is a link" in done.stderr) == (2, True)


# ---- explain


def test_what_an_account_has_is_told_with_where_it_comes_from(dpra: Any, organisation: Path) -> None:
    told = json.loads(dpra("fleet", "explain", "shop-prod", "--format", "json", cwd=organisation).stdout)
    assert told["path"] == ["root", "Workloads", "Workloads/Prod"]
    assert (told["part"], told["budget"], told["deletion-protection"]) == ("Workloads/Prod", 900, True)
    assert told["place"] == "organisation/accounts/shop.yml:3"
    assert told["policies"] == [
        {"name": "users", "type": "service-control-policy", "from": "Workloads",
         "place": "organisation/policies/users.yml:2"}
    ]  # fmt: skip
    assert [(one["name"], one["from"], one["place"]) for one in told["baselines"]] == [
        ("base", "Workloads", "organisation/organisation.yml:6"),
        ("extra", "account:shop-prod", "organisation/accounts/shop.yml:8"),
    ]
    assert told["tags"]["owner"] == "platform"
    assert told["contacts"]["security"]["name"] == "Sam"
    for name in ("123456789012", "aws+shop-prod@example.com"):
        assert json.loads(dpra("fleet", "explain", name, "--format", "json", cwd=organisation).stdout) == told
    shown = dpra("fleet", "explain", "shop-dev", cwd=organisation)
    assert shown.returncode == 0
    for part in ("root > Workloads > Workloads/Dev", "organisation/policies/users.yml:2", "deletion protection"):
        assert part in shown.stdout
    done = dpra("fleet", "explain", "shop-pro", cwd=organisation)
    assert (done.returncode, "did you mean 'shop-prod'?" in done.stderr) == (2, True)


HOSTILE = "\x1b[31m`|<b>\n::error::x\u202e" + "A" * 10_000


def test_hostile_text_reaches_no_terminal(dpra: Any, organisation: Path) -> None:
    row = {"principal": HOSTILE, "action": HOSTILE, "resource": "*", "expect": "allow", "why": HOSTILE}
    (organisation / "organisation/policies/tests/h.yml").write_text(json.dumps({"unit": "root", "rows": [row]}))
    account = {"email": "h@example.com", "unit": "Sandbox", "tags": {HOSTILE: HOSTILE}}
    (organisation / "organisation/accounts/h.json.yml").write_text(json.dumps({"accounts": {HOSTILE: account}}))
    for words in (
        ["test"],
        ["explain", "h@example.com"],
        ["explain", HOSTILE[:50]],
        ["plan", "--against", HOSTILE[:50]],
    ):
        done = dpra("fleet", *words, cwd=organisation)
        for text in (done.stdout, done.stderr):
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert not any(line.startswith("::") for line in text.splitlines())


# ---- plan


def test_a_change_is_planned_against_the_files_of_a_commit(dpra: Any, organisation: Path) -> None:
    done = dpra("fleet", "plan", "--against", "HEAD", cwd=organisation)
    assert (done.returncode, "Nothing changes." in done.stdout) == (0, True), done.stderr
    change(organisation, "accounts/shop.yml", ("unit: Workloads/Dev", "unit: Sandbox"))
    done = dpra("fleet", "plan", "--against", "main", cwd=organisation)
    assert done.returncode == 0
    for part in (
        "an account moves",
        "`account:shop-dev`",
        "service-control-policy users",
        "stack set landing-zone-base",
    ):
        assert part in done.stdout
    plan = json.loads(dpra("fleet", "plan", "--against", "main", "--format", "json", cwd=organisation).stdout)
    [move] = [one for one in plan["steps"] if one["action"] == "move-account"]
    assert (move["from"], move["to"], move["part"]) == ("Workloads/Dev", "Sandbox", "Workloads/Dev")
    for wrong in ("nowhere", "--output=x", "HEAD~7"):
        done = dpra("fleet", "plan", f"--against={wrong}", cwd=organisation)
        assert (done.returncode, f"--against {wrong}" in done.stderr) == (2, True)
    git(organisation, "rm", "-r", "--quiet", "--cached", "organisation")
    git(organisation, "commit", "--quiet", "--message", "Without")
    done = dpra("fleet", "plan", "--against", "HEAD", cwd=organisation)
    assert (done.returncode, "an account is created" in done.stdout) == (0, True)


def seen(root: str = "r-ab12") -> dict[str, Any]:
    return {
        "management": MANAGEMENT,
        "root": {"id": root, "types": ["SERVICE_CONTROL_POLICY"]},
        "accounts": [
            {"id": number, "email": email, "name": name, "status": "ACTIVE", "parent": root, "tags": {}}
            for number, email, name in (
                (MANAGEMENT, "m@example.com", "m"), ("123456789012", "aws+shop-prod@example.com", "shop-prod")
            )
        ],
    }  # fmt: skip


def test_a_change_is_planned_for_a_saved_organisation_and_one_that_cannot_be_applied_fails(
    dpra: Any, organisation: Path
) -> None:
    saved = organisation / "seen.json"
    saved.write_text(json.dumps(seen()))
    done = dpra("fleet", "plan", "--seen", saved, cwd=organisation)
    assert (done.returncode, "an account is created: 1" in done.stdout) == (0, True), done.stderr + done.stdout
    change(organisation, "organisation.yml", ("break-glass: ", "root: r-cd34\nbreak-glass: "))
    done = dpra("fleet", "plan", "--seen", saved, cwd=organisation)
    assert (done.returncode, "Nothing can be applied" in done.stdout) == (1, True)
    for text in ("{", "{}"):
        saved.write_text(text)
        done = dpra("fleet", "plan", "--seen", saved, cwd=organisation)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
    done = dpra("fleet", "plan", "--seen", saved, "--against", "HEAD", cwd=organisation)
    assert (done.returncode, "one of them" in done.stderr) == (2, True)


def test_a_list_of_what_is_allowed_locks_out_where_somebody_detached_full_access(dpra: Any, organisation: Path) -> None:
    allow = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
    (organisation / "organisation/policies/list.json").write_text(allow)
    (organisation / "organisation/policies/list.yml").write_text("type: service-control-policy\nattach: [Sandbox]\n")
    unit = {"id": "ou-ab12-00000001", "name": "Sandbox", "parent": "r-ab12", "tags": {}}
    full = {"id": "p-FullAWSAccess", "name": "FullAWSAccess", "type": "SERVICE_CONTROL_POLICY", "content": {},
            "attachments": ["r-ab12", MANAGEMENT, "123456789012"], "aws-managed": True}  # fmt: skip
    saved = organisation / "seen.json"

    def plan() -> Any:
        saved.write_text(json.dumps(seen() | {"units": [unit], "policies": [full]}))
        return dpra("fleet", "plan", "--seen", saved, cwd=organisation)

    done = plan()
    assert (done.returncode, done.stdout) == (1, "")
    assert "organisation/policies/list.yml:2: " in done.stderr
    assert "at the level root > Sandbox allows it (there: list)" in done.stderr
    full["attachments"].append(unit["id"])
    assert plan().returncode == 0
    full["attachments"].remove("123456789012")
    done = plan()
    assert (done.returncode, "account:shop-prod allows it (there: none at all)" in done.stderr) == (1, True)


def test_files_with_problems_are_not_planned(dpra: Any, organisation: Path) -> None:
    change(organisation, "policies/users.json", ("iam:CreateUser", "sts:*"))
    done = dpra("fleet", "plan", "--against", "HEAD", cwd=organisation)
    assert (done.returncode, done.stdout) == (1, "")
    assert "organisation/policies/users.json:4: " in done.stderr
    assert "2 problems: nothing is planned" in done.stderr


# Answers as the AWS CLI does: the organisation of `seen`, with its tags, units and policies read apart.
AWS = """#!{python}
import json, sys
document = json.loads({document!r})
operation = sys.argv[2]
types = [{{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}}]
accounts = [{{"Id": one["id"], "Email": one["email"], "Name": one["name"], "Status": "ACTIVE", "State": "ACTIVE",
             "JoinedTimestamp": "2020-01-01T00:00:00+00:00", "Paths": ["o-x/r-ab12/" + one["id"] + "/"]}}
            for one in document["accounts"]]
print(json.dumps({{
    "describe-organization": {{"Organization": {{"MasterAccountId": document["management"], "Id": "o-x"}}}},
    "list-roots": {{"Roots": [{{"Id": "r-ab12", "PolicyTypes": types}}]}},
    "list-accounts": {{"Accounts": accounts}},
    "list-accounts-for-parent": {{"Accounts": accounts}},
    "get-resources": {{"ResourceTagMappingList": []}},
    "list-organizational-units-for-parent": {{"OrganizationalUnits": []}},
    "list-policies": {{"Policies": []}},
    "list-stack-sets": {{"Summaries": []}},
    "list-tags-for-resource": {{"Tags": []}},
    "list-parents": {{"Parents": [{{"Id": "r-ab12", "Type": "ROOT"}}]}},
    "list-children": {{"Children": []}},
}}[operation]))
"""


def test_the_organisation_is_read_with_the_caller_s_credentials_and_only_the_one_of_dpra_yml(
    dpra: Any, organisation: Path, tmp_path: Path
) -> None:
    program = tmp_path / "bin/aws"
    program.parent.mkdir()
    path = {"PATH": f"{program.parent}:/usr/bin:/bin"}

    def plan(document: Any) -> Any:
        program.write_text(AWS.format(python=sys.executable, document=json.dumps(document)))
        program.chmod(0o755)
        return dpra("fleet", "plan", cwd=organisation, **path)

    done = plan(seen())
    assert (done.returncode, "an account is created: 1" in done.stdout) == (0, True), done.stderr + done.stdout
    done = plan(seen() | {"management": "999999999999"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "of the organisation of 999999999999; dpra.yml's is that of 222222222222" in done.stderr
    program.unlink()
    done = dpra("fleet", "plan", cwd=organisation, **path)
    assert (done.returncode, "the AWS CLI cannot be run" in done.stderr) == (3, True), done.stderr


def test_a_component_of_another_type_has_no_fleet(dpra: Any, repository: Path) -> None:
    for words in (["test"], ["explain", "shop"], ["plan"]):
        done = dpra("fleet", *words, cwd=repository)
        assert (done.returncode, done.stdout) == (2, "")
        assert "shop is of type application, which has no fleet" in done.stderr
