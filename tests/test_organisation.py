"""`dpra init --from-organisation`: any organisation becomes files of which the plan is empty."""

import importlib
import json
import os
import shlex
import string
import time
from pathlib import Path
from typing import Any

import pytest
from dpra import resources
from dpra.adopt import organisation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

resources.lib("runner")  # then the pack's modules find each other
desired, fleet_files, fleet_plan, fleet_rules, fleet_seen, parsers = (
    importlib.import_module(name)
    for name in ("fleet", "fleet_files", "fleet_plan", "fleet_rules", "fleet_seen", "configuration_parsers")
)
SCP, RCP, TAG = "SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY", "TAG_POLICY"
ROOT, MANAGEMENT = "r-ab12", "999999999999"


def seen(**parts: Any) -> dict[str, Any]:
    """An organisation with its management account and what is said."""
    about: dict[str, Any] = {"management": MANAGEMENT, "root": {"id": ROOT, "types": [SCP, RCP, TAG]}}
    about |= {"units": [], "policies": [], "stack-sets": []} | parts
    about["accounts"] = [account(MANAGEMENT, "management", ROOT), *parts.get("accounts", ())]
    return about


def unit(number: int, name: str, parent: str = ROOT) -> dict[str, Any]:
    return {"id": f"ou-ab12-{number:08}", "name": name, "parent": parent, "tags": {}}


def account(number: str, name: str, parent: str, **more: Any) -> dict[str, Any]:
    about = {"id": number, "email": f"aws+{number}@example.com", "name": name, "parent": parent, "status": "ACTIVE"}
    return {**about, "tags": {}, **more}


def policy(number: str, name: str, *attachments: str, **more: Any) -> dict[str, Any]:
    content = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
    about = {"id": f"p-{number}", "name": name, "type": SCP, "description": "", "content": content, "tags": {}}
    return {**about, "attachments": list(attachments), "aws-managed": False, **more}


def planned(document: dict[str, Any], made: organisation.Adopted) -> tuple[Any, Any]:
    """The fleet of the files, which have no problem, and its plan."""
    contents = {path: text.encode() for path, text in made.files.items()}
    assert fleet_files.wanted(contents) == sorted(contents)
    parts = [*[path for path in made.units if path != "root"][:2], "root"]
    built, problems = fleet_files.build(contents, "org", parsers.events, parts)
    assert problems == [] == fleet_rules.problems(built)
    return built, fleet_plan.plan(built, fleet_seen.Seen.from_json(document))


def empty(document: dict[str, Any]) -> tuple[organisation.Adopted, Any]:
    made = organisation.adopted(document, "org")
    built, plan = planned(document, made)
    assert plan.steps == () == plan.refused
    return made, built


# ---- Any organisation

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
NAMES = st.one_of(
    st.sampled_from(
        ["shop", "Shop", "shop-2", "root", "a/b", "account:x", "on", "null", "042", "123456789012", "README", ".x"]
    ),
    st.text(string.printable, min_size=1, max_size=12),
    TEXT.filter(bool),
)
TAGS = st.dictionaries(
    st.sampled_from(
        ["team", "stage", "Aws:x", "aws:y", "dpra:component", "dpra:deletion-protection", "dpra:budget", "é: #"]
    ),
    st.sampled_from(["", "org", "else", "true", "500", "1e3", "12.5", "042", "yes", "a b: c"]),
    max_size=4,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False), TEXT
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def organisations(draw: st.DrawFn) -> dict[str, Any]:
    units: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 6))):
        above = draw(st.sampled_from([ROOT, *(one["id"] for one in units)]))
        name = draw(NAMES)
        if not any((one["parent"], one["name"]) == (above, name) for one in units):
            units.append(unit(number, name, above))
    places = [ROOT, *(one["id"] for one in units)]
    accounts = [
        account(
            f"{number:012}",
            draw(NAMES),
            draw(st.sampled_from(places)),
            status=draw(st.sampled_from(["ACTIVE", "ACTIVE", "ACTIVE", "SUSPENDED"])),
            tags=draw(TAGS),
            email=draw(st.sampled_from([f"aws+{number}@example.com", f"A'{number}@example.com"])),
        )
        for number in range(1, draw(st.integers(1, 8)))
    ]
    targets = [*places, MANAGEMENT, *(one["id"] for one in accounts)]
    policies = [
        policy(
            f"{number:08}",
            draw(NAMES),
            *draw(st.lists(st.sampled_from(targets), max_size=3, unique=True)),
            type=draw(st.sampled_from([SCP, RCP, TAG, "BACKUP_POLICY", "OF_TOMORROW"])),
            description=draw(TEXT),
            content=draw(st.one_of(st.dictionaries(TEXT, VALUES, max_size=3), VALUES)),
            tags=draw(st.sampled_from([{}, {}, {"dpra:component": "else"}])),
            **{"aws-managed": draw(st.sampled_from([False, False, False, True]))},
        )
        for number in range(draw(st.integers(0, 5)))
    ]
    return seen(units=units, accounts=accounts, policies=policies)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(organisations())
def test_the_plan_of_the_files_of_any_organisation_is_empty(document: dict[str, Any]) -> None:
    made, built = empty(document)
    known = {one.id for one in built.accounts}
    told = " ".join(made.told)
    for one in document["accounts"]:  # each is in a file, or told
        assert one["id"] in known or one["id"] == MANAGEMENT or f"the account {one['id']} (" in told
    ids = {one.id for one in built.policies}
    for one in document["policies"]:
        assert one["aws-managed"] or one["id"] in ids or f"({one['id']})" in told
    if all(one["name"].strip() and not one["name"].startswith("account:") for one in document["units"]):
        plain = {
            one["id"]
            for one in document["accounts"]
            if one["status"] == "ACTIVE" and not (one["tags"] or "'" in one["email"])
        }
        assert plain - {MANAGEMENT} <= known
    assert organisation.adopted(document, "org") == made


# ---- One by one


def test_what_stands_in_the_files() -> None:
    units = [unit(1, "Sandbox"), unit(2, "Workloads"), unit(3, "Prod", "ou-ab12-00000002"), unit(4, "a/b")]
    tags = {"team": "shop", "aws:x": "y", "dpra:deletion-protection": "true", "dpra:budget": "12.5"}
    document = seen(
        units=units,
        accounts=[
            account("000000000042", "shop", units[2]["id"], tags=tags),
            account("000000000043", "shop", ROOT),
            account("000000000044", "old", ROOT, status="SUSPENDED"),
            account("000000000045", "theirs", ROOT, tags={"dpra:component": "else"}),
        ],
        policies=[
            policy("1", "no-s3", units[1]["id"], "000000000043", description="nobody's: #1"),
            policy("2", "FullAWSAccess", ROOT, **{"aws-managed": True}),
            policy("3", "of the past"),
            policy("4", "no-s3", ROOT, type=RCP),
            policy("5", "of-the-suspended", "000000000044"),
            policy("6", "of-the-management", MANAGEMENT),
        ],
        **{"stack-sets": [{"name": "trail", "template": "sha256:0", "units": [units[0]["id"]]}]},
    )
    made, built = empty(document)
    head = organisation.HEAD
    assert made.files["accounts/Workloads/Prod.yml"] == (
        f"{head}unit: Workloads/Prod\naccounts:\n  shop:\n    email: aws+000000000042@example.com\n"
        '    id: "000000000042"\n    tags:\n      team: shop\n    budget: 12.5\n    deletion-protection: true\n'
    )
    assert made.files["policies/no-s3.yml"] == (
        f"{head}type: service-control-policy\nattach: [Workloads, account:shop-2]\n"
        "description: 'nobody''s: #1'\nid: p-1\n"
    )
    assert sorted(made.files) == [
        *("accounts/Workloads/Prod.yml", "accounts/root.yml", "organisation.yml"),
        *("policies/no-s3.json", "policies/no-s3.yml"),
        *("policies/of-the-management.json", "policies/of-the-management.yml"),
    ]
    assert built.by_name["management"].id == MANAGEMENT  # a policy is attached to it: so it is named
    assert "ou-ab12-00000004" in built.by_path
    for words in (
        *("'a/b'", "000000000043 (shop): 000000000042 has the same name: the files call it shop-2", "it is SUSPENDED"),
        *("of the component else", "attached to nothing", "(p-4): another policy has its name"),
        *("attached to 000000000044, which is in no file", "the stack set trail"),
    ):
        assert words in "\n".join(made.told), words


def test_an_organisation_of_300_accounts_has_an_empty_plan_and_the_next_change_is_one_step() -> None:
    units = [
        unit(number, f"unit {number}", ROOT if number < 3 else f"ou-ab12-{number // 3:08}") for number in range(1, 40)
    ]
    accounts = [
        account(f"{number:012}", f"team {number % 280}", units[number % 39]["id"], tags={"cost-centre": f"0{number}"})
        for number in range(1, 301)
    ]
    policies = [
        policy(f"{number}", f"policy {number}", units[number]["id"], f"{number + 1:012}") for number in range(30)
    ]
    document = seen(units=units, accounts=accounts, policies=policies)
    before = time.process_time()
    made, built = empty(document)
    assert time.process_time() - before < 5
    assert (len(built.accounts), len(built.policies)) == (300, 30)
    contents = {path: text.encode().replace(b"'07'", b"'08'") for path, text in made.files.items()}
    changed, _ = fleet_files.build(contents, "org", parsers.events)
    [step] = fleet_plan.plan(changed, fleet_seen.Seen.from_json(document)).steps
    assert (step.action, step.details) == ("tag-account", {"tags": {"cost-centre": "08"}})


def test_what_is_no_organisation_is_told() -> None:
    for wrong in (None, [], {}, {**seen(), "accounts": [account("1", "a", "ou-nowhere")]}):
        with pytest.raises(organisation.OrganisationError, match=r"this is no seen\.json"):
            organisation.adopted(wrong, "org")


def test_units_whose_files_would_be_one_have_two() -> None:
    units = [unit(number, name) for number, name in enumerate(["a b", "a-b", "A-B", "README", "root"], 1)]
    accounts = [account(f"{number:012}", f"{number}", one["id"]) for number, one in enumerate(units, 1)]
    made, built = empty(seen(units=units, accounts=[*accounts, account("000000000009", "9", ROOT)]))
    assert len(built.accounts) == 6
    paths = [path.lower() for path in made.files]
    assert len(paths) == len(set(paths)) == 7


def test_a_document_that_no_reader_takes_as_it_is_stays_what_it_is() -> None:
    content = {"tags": {"é\u2028\x7f😀\\": [1, 1.5, True, None, "\ud7ff\n"]}}
    _, built = empty(seen(policies=[policy("1", "odd", ROOT, type=TAG, content=content)]))
    assert built.policies[0].content == content


# ---- The command


def saved(tmp_path: Path) -> Path:
    units = [unit(1, "Sandbox"), unit(2, "Workloads")]
    accounts = [
        account("000000000042", "shop", units[1]["id"]),
        account("000000000043", "old", ROOT, status="SUSPENDED"),
    ]
    document = seen(units=units, accounts=accounts, policies=[policy("1", "no-s3", units[1]["id"])])
    (tmp_path / "seen.json").write_text(json.dumps(document))
    return tmp_path / "seen.json"


def init(dpra: Any, root: Path, *words: Any, **env: str) -> Any:
    root.mkdir(exist_ok=True)
    return dpra("init", "--from-organisation", *words, cwd=root, **env)


def test_the_command_writes_files_with_an_empty_plan_and_writes_over_none(dpra: Any, tmp_path: Path) -> None:
    root, source = tmp_path / "fleet", saved(tmp_path)
    shown = init(dpra, root, "--seen", source, "--dry-run")
    assert (shown.returncode, list(root.iterdir())) == (0, [])
    assert "# ---- policies/no-s3.json" in shown.stdout
    done = init(dpra, root, "--seen", source)
    assert done.returncode == 0, done.stderr
    for words in ("Not known: alpha's account", "Not known: gamma's unit", "it is SUSPENDED", "Their plan is empty"):
        assert words in done.stdout
    assert "5 files written: 2 units, 1 account, 1 policy." in done.stdout
    assert 'beta: {account: "999999999999", waves: [[Sandbox]]}' in (root / "dpra.yml").read_text()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    again = init(dpra, root, "--seen", source)
    assert again.returncode == 1
    (root / "dpra.yml").unlink()
    more = init(dpra, root, "--seen", source)
    assert more.returncode == 1
    assert "accounts/Workloads.yml, organisation.yml, policies/no-s3.json" in more.stderr
    assert "nothing is written over" in more.stderr
    assert not (root / "dpra.yml").exists()
    assert all(path.read_bytes() == text for path, text in before.items() if path.name != "dpra.yml")


def test_dpra_check_refuses_what_init_cannot_know(dpra: Any, tmp_path: Path) -> None:
    assert init(dpra, tmp_path / "fleet", "--seen", saved(tmp_path)).returncode == 0
    refused = dpra("plan", cwd=tmp_path / "fleet")
    assert refused.returncode == 2
    for place in ("regions[0]", "alpha.account", "gamma.waves[0][0]"):
        assert place in refused.stderr
    path = tmp_path / "fleet/dpra.yml"
    text = path.read_text().replace("# actions", "actions")
    for words, value in (
        ("the account id of alpha, 12 digits", "444444444444"),
        ("'the unit that gamma changes, a path of organisation.yml'", "Canary"),
        ("'the home region, where stack sets are'", "eu-west-1"),
    ):
        assert words in text
        text = text.replace(words, value)
    path.write_text(text)
    done = dpra("plan", cwd=tmp_path / "fleet")
    assert done.returncode == 0, done.stderr


def test_a_dpra_yml_that_is_there_stays_and_says_name_and_folder(dpra: Any, tmp_path: Path) -> None:
    root, source = tmp_path / "fleet", saved(tmp_path)
    root.mkdir()
    (root / "dpra.yml").write_text("name: org\npipeline: account-fleet\nfleet: {folder: organisation}\n")
    done = init(dpra, root, "--seen", source, "--format", "json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["written"] == sorted(said["written"]) == list(said["files"])
    assert (root / "organisation/accounts/Workloads.yml").is_file()
    assert (root / "dpra.yml").read_text().count("\n") == 3
    (root / "dpra.yml").write_text("name: shop\nlanguage: python\n")
    other = init(dpra, root, "--seen", source, "--dry-run")
    assert (other.returncode, "of the type application" in other.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "text", "says"),
    [
        (["--seen"], "{", "this is no JSON"),
        (["--seen"], "{}", "this is no seen.json"),
        (["--force", "--seen"], "{}", "writes over nothing"),
    ],
)
def test_a_saved_organisation_that_is_none_is_told(
    dpra: Any, tmp_path: Path, words: list[str], text: str, says: str
) -> None:
    (tmp_path / "seen.json").write_text(text)
    done = init(dpra, tmp_path / "fleet", *words, tmp_path / "seen.json")
    assert (done.returncode, says in done.stderr, list((tmp_path / "fleet").iterdir())) == (2, True, []), done.stderr


def test_seen_without_from_organisation_is_refused(dpra: Any, tmp_path: Path) -> None:
    done = dpra("init", "--seen", saved(tmp_path), cwd=tmp_path)
    assert (done.returncode, "goes together with --from-organisation" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("said", "way"),
    [
        ('Unable to locate credentials. You can configure credentials by running "aws configure".', "AWS_PROFILE"),
        (
            "An error occurred (AWSOrganizationsNotInUseException) when calling the X operation: no",
            "management account",
        ),
        (
            "An error occurred (AccessDeniedException) when calling the ListRoots operation: no",
            "AWSOrganizationsReadOnlyAccess",
        ),
    ],
)
def test_what_aws_refuses_is_told_with_a_way_out(dpra: Any, tmp_path: Path, said: str, way: str) -> None:
    command = tmp_path / "bin/aws"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\necho {shlex.quote(said)} >&2\nexit 254\n")
    command.chmod(0o755)
    done = init(dpra, tmp_path / "fleet", PATH=f"{command.parent}:{os.environ['PATH']}")
    assert (done.returncode, list((tmp_path / "fleet").iterdir())) == (3, [])
    assert way in done.stderr
    assert said.split(" (")[0] in done.stderr


@pytest.fixture
def real(moto: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """An organisation of 300 accounts in AWS, made by calls of AWS."""
    import boto3
    from dpra.rehearsal import mends
    from dpra.rehearsal.mends import organizations

    mends.forget()
    monkeypatch.setattr(organizations, "CREATION", 0)
    keys = {name.lower(): moto[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    made = boto3.client("organizations", "us-east-1", endpoint_url=moto["AWS_ENDPOINT_URL"], **keys)
    made.create_organization(FeatureSet="ALL")
    root = made.list_roots()["Roots"][0]["Id"]
    for kind in (SCP, RCP):
        made.enable_policy_type(RootId=root, PolicyType=kind)
    units = [root]
    for number in range(12):
        said = made.create_organizational_unit(ParentId=units[number // 3], Name=f"unit {number}")
        units.append(said["OrganizationalUnit"]["Id"])
    asked = []
    for number in range(300):
        mail, tags = f"aws+{number}@example.com", [{"Key": "cost-centre", "Value": f"0{number}"}]
        said = made.create_account(AccountName=f"team {number % 280}", Email=mail, Tags=tags)
        asked.append(said["CreateAccountStatus"]["Id"])
    for number, one in enumerate(asked):
        found = made.describe_create_account_status(CreateAccountRequestId=one)["CreateAccountStatus"]["AccountId"]
        if (unit := units[number % len(units)]) != root:
            made.move_account(AccountId=found, SourceParentId=root, DestinationParentId=unit)
    deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "ec2:*", "Resource": "*"}]}
    for number in range(3):
        content = json.dumps(deny, indent=4)
        said = made.create_policy(Name=f"no {number}", Type=SCP, Description="by hand", Content=content)
        for target in (units[number], found):
            made.attach_policy(PolicyId=said["Policy"]["PolicySummary"]["Id"], TargetId=target)
    yield moto
    mends.forget()


def test_the_organisation_that_is_in_aws_becomes_files_with_an_empty_plan(dpra: Any, real: Any, tmp_path: Path) -> None:
    done = init(dpra, tmp_path / "fleet", **real, AWS_REGION="eu-west-1")
    assert done.returncode == 0, done.stderr
    assert "Reading the organisation" in done.stderr
    assert "12 units, 300 accounts, 3 policies." in done.stdout
    assert "Their plan is empty: they change nothing." in done.stdout
    assert "regions: [eu-west-1]" in (tmp_path / "fleet/dpra.yml").read_text()
    assert len(list((tmp_path / "fleet/accounts").rglob("*.yml"))) == 13
