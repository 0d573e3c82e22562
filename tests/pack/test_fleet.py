"""The files of an account fleet: every rule seen to find, at its place; what is inherited; AWS's limits; its speed."""

import gc
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml

LIB = Path(__file__).parents[2] / ".github" / "actions" / "_lib"
sys.dont_write_bytecode = True
sys.path.insert(0, str(LIB))
import fleet as desired  # noqa: E402
import fleet_files  # noqa: E402
import fleet_rules  # noqa: E402
from configuration_parsers import events  # noqa: E402

ORGANISATION = """root: r-ab12
defaults: {tags: {owner: platform}}
units:
  Sandbox: {}
  Workloads:
    defaults: {baselines: [base], budget: 500, tags: {stage: none}}
    units:
      Prod: {defaults: {deletion-protection: true, tags: {stage: prod}}}
      Dev:
"""
ACCOUNTS = """unit: Workloads/Prod
defaults: {tags: {team: shop}}
accounts:
  shop-prod:
    email: aws+shop-prod@example.com
    tags: {cost-centre: 042}
    contacts: {security: {name: Sam, email: sam@example.com, phone: "+44 1", title: Head}}
    baselines: [extra]
  shop-dev: {email: aws+shop-dev@example.com, unit: Workloads/Dev, budget: 90.5}
  shop-old: {email: old@example.com, id: 012345678901}
"""
POLICY = "type: service-control-policy\nattach: [Workloads, account:shop-prod]\ndescription: No other regions\n"
DENY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}\n'
BASELINE = 'targets: [Sandbox]\nregions: [eu-west-1, us-east-1]\nparameters: {Days: 030, Keep: "yes"}\n'
TEST = """unit: Workloads/Prod
rows:
  - {principal: "arn:aws:iam::{account}:role/admin", action: ec2:RunInstances, resource: "*",
     with: {aws:RequestedRegion: us-west-1}, expect: deny, why: only Europe}
"""
GOOD = {
    "organisation.yml": ORGANISATION,
    "accounts/shop.yml": ACCOUNTS,
    "policies/deny.yml": POLICY,
    "policies/deny.json": DENY,
    "policies/tests/regions.yml": TEST,
    "baselines/base/baseline.yml": BASELINE,
    "baselines/base/template.yml": "Resources: {}\n",
    "baselines/extra/baseline.yml": "regions: [eu-west-1]\ndepends-on: [base]\n",
    "baselines/extra/template.json": '{"Resources": {}}\n',
}


def built(files: dict[str, str], component: str = "org", parts: Any = ()) -> tuple[Any, list[Any]]:
    fleet, problems = fleet_files.build({name: text.encode() for name, text in files.items()}, component, events, parts)
    return fleet, desired.ordered([*problems, *fleet_rules.problems(fleet)])


def told(files: dict[str, str]) -> list[str]:
    return [f"{one.rule} {one.file}:{one.line}" for one in built(files)[1]]


def test_good_files_become_one_document_that_says_the_same_when_it_is_read() -> None:
    fleet, problems = built(GOOD)
    assert problems == []
    prod, dev, old = (fleet.by_name[name] for name in ("shop-prod", "shop-dev", "shop-old"))
    assert fleet.root == "r-ab12"
    assert [unit.path for unit in fleet.units] == ["root", "Sandbox", "Workloads", "Workloads/Prod", "Workloads/Dev"]
    assert prod.tags == {"owner": "platform", "stage": "prod", "team": "shop", "cost-centre": "042"}
    assert (prod.baselines, prod.budget, prod.deletion_protection) == (("base", "extra"), 500, True)
    assert prod.contacts["security"]["phone"] == "+44 1"
    assert (dev.unit, dev.budget, dev.deletion_protection, dev.tags["stage"]) == ("Workloads/Dev", 90.5, False, "none")
    assert (old.id, prod.place("email"), old.place("unit")) == (
        *("012345678901", ("accounts/shop.yml", 5)),
        ("accounts/shop.yml", 1),
    )
    own = {"dpra:component": "org", "dpra:deletion-protection": "true", "dpra:budget": "500"}
    assert fleet.tags(prod) == prod.tags | own | {"dpra:contact-security": "22056edf6d34"}
    assert fleet.policies[0].content == json.loads(DENY)
    assert fleet.baselines[0].parameters == {"Days": "030", "Keep": "yes"}
    assert fleet.requests[0].conditions == {"aws:RequestedRegion": "us-west-1"}
    again = desired.Fleet.from_json(json.loads(fleet.text))
    assert again == fleet
    assert again.text == fleet.text == built(dict(reversed(GOOD.items())))[0].text


def test_a_unit_is_of_the_nearest_part_at_or_above_it() -> None:
    fleet, problems = built(GOOD, parts=("Sandbox", "Workloads/Prod", "root"))
    assert problems == []
    told = {
        ref: fleet.part(ref) for ref in (*fleet.by_path, "Workloads/Prod/New", "account:shop-prod", "account:shop-dev")
    }
    assert told == {
        **{"root": "root", "Sandbox": "Sandbox", "Workloads": "root", "Workloads/Prod": "Workloads/Prod"},
        **{"Workloads/Dev": "root", "Workloads/Prod/New": "Workloads/Prod"},
        **{"account:shop-prod": "Workloads/Prod", "account:shop-dev": "root"},
    }
    assert built(GOOD)[0].parts == ("root",)
    assert desired.Fleet.from_json(json.loads(fleet.text)) == fleet


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("Sandbox",), ["the last wave is 'root': it has all that no other one has"]),
        (("root", "Sandbox"), ["the last wave is 'root': it has all that no other one has"]),
        (("Sandbox", "Sandbox", "root"), ["'Sandbox' is a wave twice"]),
        (("Workloads/Prd", "root"), ["'Workloads/Prd' is a wave, and no unit; did you mean 'Workloads/Prod'?"]),
    ],
)
def test_parts_are_units_each_once_the_root_last(parts: Any, said: list[str]) -> None:
    found = built(GOOD, parts=parts)[1]
    assert [(one.rule, one.file, one.message) for one in found] == [("parts", "dpra.yml", text) for text in said]


def test_roles_that_break_the_glass_have_their_place_and_a_row_may_be_tried() -> None:
    glass = "# why\nbreak-glass: [role/break-glass, role/aws-reserved/*/Admin]\n"
    call = "try: {service: ec2, operation: describe-instances, parameters: {MaxResults: 5}}, expect"
    files = GOOD | {
        "organisation.yml": glass + ORGANISATION,
        "policies/tests/regions.yml": TEST.replace("expect", call),
    }
    fleet, problems = built(files)
    assert problems == []
    assert (fleet.break_glass, fleet.break_glass_place) == (
        *(("role/break-glass", "role/aws-reserved/*/Admin"), ("organisation.yml", 2)),
    )
    attempt = {"service": "ec2", "operation": "describe-instances", "parameters": {"MaxResults": 5}}
    assert fleet.requests[0].attempt == attempt
    assert desired.Fleet.from_json(json.loads(fleet.text)) == fleet


def test_an_account_over_its_file_over_its_unit_over_units_above() -> None:
    organisation = """
defaults: {budget: 1, tags: {a: 1, b: 1, c: 1, d: 1}, baselines: [base], contacts: {billing: {}}}
units: {U: {defaults: {budget: 2, tags: {b: 2, c: 2, d: 2}}, units: {V: {defaults: {tags: {c: 3, d: 3}}}}}}
"""
    accounts = """
unit: U/V
defaults: {budget: 3, tags: {d: 4}, baselines: [extra]}
accounts: {x: {email: x@example.com}, y: {email: y@example.com, budget: 9, tags: {a: y}, contacts: {}, unit: U}}
"""
    fleet, _ = built(GOOD | {"organisation.yml": organisation, "accounts/shop.yml": accounts})
    x, y = fleet.by_name["x"], fleet.by_name["y"]
    assert (x.tags, x.budget, x.baselines) == ({"a": "1", "b": "2", "c": "3", "d": "4"}, 3, ("base", "extra"))
    assert (y.tags, y.budget) == ({"a": "y", "b": "2", "c": "2", "d": "4"}, 9)
    assert x.contacts == {"billing": {}}
    assert y.contacts == {}


def test_a_baseline_goes_to_units_that_ask_for_it_and_to_accounts_outside_of_them() -> None:
    fleet, _ = built(
        GOOD | {"baselines/base/baseline.yml": "targets: [Workloads/Prod, account:shop-old]\nregions: []\n"}
    )
    assert fleet.targets["base"] == (("Workloads",), ())  # Prod and its accounts are below
    assert fleet.targets["extra"] == ((), ("account:shop-prod",))


HEAD, ROWS = "unit: Sandbox\naccounts:\n", GOOD["accounts/shop.yml"]
ROOM = "defaults: {tags: {stage: none}}"
TAGS = ", ".join(f"k{number}: v" for number in range(48))  # with owner and dpra:component 50
# Each rule: the file and what breaks it; `¦` stands on the line where that is told.
WRONG: dict[str, list[tuple[str, str]]] = {
    "syntax": [
        ("organisation.yml", "units: ¦&x {}\n"),
        ("organisation.yml", "units: {A: {}, ¦B: *x}\n"),
        ("accounts/a.yml", "a:\n - ¦!!python/object:os.system x\n"),
        ("accounts/a.yml", "¦"),
        ("accounts/a.yml", "unit: Sandbox\n---\n¦accounts: {}\n"),
        ("policies/deny.json", "{\n¦]"),
        ("policies/tests/t.yml", "rows: [¦"),
    ],
    "unknown-key": [
        ("organisation.yml", ORGANISATION + "¦unit: {}\n"),
        ("organisation.yml", ORGANISATION.replace("budget: 500", "¦budgets: 500")),
        ("accounts/a.yml", HEAD + "  a: {email: a@b.example,\n   ¦tag: {}}\n"),
        ("accounts/a.yml", HEAD + "  a: {email: a@b.example, contacts: {security: {¦mail: x}}}\n"),
        ("policies/deny.yml", POLICY + "¦target: x\n"),
        ("baselines/base/baseline.yml", BASELINE + "¦region: x\n"),
        ("policies/tests/regions.yml", TEST.replace("expect", "¦effect: x, expect")),
        ("policies/tests/regions.yml", TEST.replace("expect", "try: {¦with: x}, expect")),
    ],
    "duplicate-key": [
        ("accounts/a.yml", HEAD + "  a: {email: a@b.example}\n¦  a: {email: c@b.example}\n"),
        ("organisation.yml", ORGANISATION + "¦root: r-ab12\n"),
        ("policies/deny.json", '{"Version": "1",\n ¦"Version": "2"}'),
    ],
    "wrong-kind": [
        ("organisation.yml", "units: ¦[A]\n"),
        ("accounts/a.yml", HEAD + "  a: {email: a@b.example,\n budget: ¦many}\n"),
        ("accounts/a.yml", HEAD + "  a: {email: a@b.example,\n deletion-protection: ¦yes}\n"),
        ("accounts/a.yml", HEAD + "  a: {email: ¦[a@b.example]}\n"),
        ("policies/deny.yml", "type: tag-policy\nattach: ¦Sandbox\n"),
        ("policies/deny.json", "¦[]"),
    ],
    "missing-key": [
        ("accounts/a.yml", HEAD + "  a: ¦{}\n"),
        ("accounts/a.yml", "accounts:\n  ¦a: {email: a@b.example}\n"),
        ("policies/deny.yml", "¦attach: [Sandbox]\n"),
        ("baselines/base/baseline.yml", "¦targets: [Sandbox]\n"),
        ("policies/tests/regions.yml", "¦rows: []\n"),
        ("policies/tests/regions.yml", TEST.replace("expect", "try: ¦{service: ec2}, expect")),
        ("policies/tests/regions.yml", "unit: Sandbox\nrows:\n - ¦{action: x, resource: y, expect: deny}\n"),
    ],
    "missing-file": [
        ("policies/other.yml", "¦" + POLICY),
        ("policies/other.json", "¦" + DENY),
        ("baselines/new/template.yml", "¦Resources: {}"),
    ],
    "unknown-file": [
        ("policies/sub/deny.yml", "¦" + POLICY),
        ("accounts/list.csv", "¦a,b"),
        ("baselines/base/extra.yml", "¦a: b"),
        ("policies/deny.yaml", ""),
    ],
    "wrong-value": [
        ("organisation.yml", "root: ¦o-abc\n"),
        ("accounts/a.yml", HEAD + "  a: {email: a@b.example,\n ¦id: 12345}\n"),
        ("accounts/a.yml", HEAD + "  a: {email: a@b.example,\n ¦budget: 0}\n"),
        ("accounts/a.yml", HEAD + "  a: {email: a@b.example,\n ¦budget: .inf}\n"),
        ("baselines/base/baseline.yml", BASELINE + "¦concurrency: 0\n"),
        ("baselines/base/baseline.yml", BASELINE + "¦failure-tolerance: 101%\n"),
        ("baselines/base/baseline.yml", "targets: [Sandbox]\n¦regions: [Ireland]\n"),
        ("policies/tests/regions.yml", TEST.replace("expect: deny", "expect: ¦denied")),
        ("policies/tests/regions.yml", TEST.replace("expect", "try: {service: ec2, operation: ¦Describe}, expect")),
        ("organisation.yml", ORGANISATION + "break-glass:\n - role/x\n - ¦admin\n"),
    ],
    "unit-name": [
        ("organisation.yml", ORGANISATION + "  ¦A/B: {}\n"),
        ("organisation.yml", ORGANISATION + "  ¦root: {}\n"),
        ("organisation.yml", ORGANISATION + f"  ¦{'x' * 129}: {{}}\n"),
        ("organisation.yml", ORGANISATION + "  ¦account:x: {}\n"),
    ],
    "unit-depth": [("organisation.yml", ORGANISATION + f"  A: {'{units: {B: ' * 4}{{units: {{\n¦F: }}}}{'}}' * 4}\n")],
    "account-name": [
        ("accounts/a.yml", HEAD + f"  ¦{'x' * 129}: {{email: a@b.example}}\n"),
        ("accounts/a.yml", HEAD + "  ¦123456789012: {email: a@b.example}\n"),
    ],
    "duplicate-account": [("accounts/z.yml", HEAD + "  ¦shop-dev: {email: a@b.example}\n")],
    "email": [
        ("accounts/a.yml", HEAD + f"  a:\n    ¦email: '{address}'\n")
        for address in (
            *("a@b.c", "a b@example.com", "a@example", ".a@example.com", "a@@example.com", "ä@example.com"),
            *("a@-example.com", "a@example.com.", f"{'a' * 53}@example.com", "a,b@example.com", "a&b@c.example"),
            *("a@b..example", "a@b_c.example"),
        )
    ],
    "duplicate-email": [("accounts/z.yml", HEAD + "  z:\n    ¦email: AWS+shop-DEV@Example.com\n")],
    "duplicate-id": [
        ("accounts/z.yml", HEAD + "  z:\n    email: z@b.example\n    ¦id: 012345678901\n"),
        ("policies/two.yml", POLICY + "¦id: p-12345678\n"),
    ],
    "unknown-unit": [
        ("accounts/a.yml", "¦unit: Sandbx\naccounts: {a: {email: a@b.example}, b: {email: b@b.example}}\n"),
        ("accounts/a.yml", HEAD + "  a: {email: a@b.example,\n ¦unit: Prod}\n"),
        ("policies/deny.yml", "type: tag-policy\nattach:\n - root\n - ¦Nowhere\n"),
        ("baselines/base/baseline.yml", "regions: [eu-west-1]\ntargets:\n - ¦Nowhere\n"),
        ("policies/tests/regions.yml", TEST.replace("  - {", "  - ¦{").replace("Workloads/Prod", "Prod")),
    ],
    "unknown-account": [
        ("policies/deny.yml", "type: tag-policy\nattach: [¦account:shop]\n"),
        ("policies/tests/regions.yml", TEST.replace("  - {", "  - ¦{").replace("unit: Workloads/Prod", "account: x")),
    ],
    "unknown-baseline": [
        ("accounts/a.yml", HEAD + "  a: {email: a@b.example,\n ¦baselines: [bass]}\n"),
        ("organisation.yml", ORGANISATION + "  ¦A: {defaults: {baselines: [bass]}}\n"),
        ("baselines/base/baseline.yml", BASELINE + "depends-on:\n - ¦other\n"),
    ],
    "unknown-type": [("policies/deny.yml", "attach: [root]\n¦type: service-control\n")],
    "contact": [
        ("accounts/a.yml", HEAD + f"  a:\n    email: a@b.example\n    ¦contacts: {{{contact}}}\n")
        for contact in (
            "secure: {name: N, title: T, email: e@x.y, phone: 1}",
            "security: {name: N, title: T, email: e@x.y, phone: call me}",
            f"billing: {{name: N, title: T, email: e@x.y, phone: {'1' * 26}}}",
            "billing: {name: N, title: T, phone: 1}",
        )
    ],
    "tag": [
        ("accounts/a.yml", HEAD + f"  a:\n    email: a@b.example\n    ¦tags: {{{tag}}}\n")
        for tag in (
            *('"aws:x": 1', '"dpra:component": other', '"a?": 1', "a: '<b>'"),
            *(f"a: {'v' * 257}", f"{'k' * 129}: v"),
        )
    ],
    "name": [
        ("baselines/a_b/baseline.yml", "¦regions: [eu-west-1]\ntargets: [root]\n"),
        ("policies/dény.yml", "¦" + POLICY),
        (f"policies/{'x' * 113}.yml", "¦" + POLICY),
    ],
    "not-attached": [("policies/deny.yml", "¦type: tag-policy\nattach: []\n")],
    "no-targets": [("baselines/new/baseline.yml", "¦regions: [eu-west-1]\n")],
    "cycle": [
        ("baselines/base/baseline.yml", BASELINE + "depends-on: [¦extra]\n"),
        ("baselines/base/baseline.yml", BASELINE + "depends-on: [¦base]\n"),
    ],
    "quota": [
        ("accounts/a.yml", HEAD + f"  a:\n    email: a@b.example\n    ¦tags: {{{TAGS}, more: v}}\n"),
        ("policies/deny.json", '¦{"a": "%s"}' % ("x" * 10_233)),
        ("baselines/base/template.yml", "¦" + "# " * 600_000),
        ("baselines/base/baseline.yml", f"¦targets: [{', '.join(f'U{n}' for n in range(51))}]\nregions: [eu-west-1]\n"),
    ],
}  # fmt: skip
BESIDE = {  # what else has to be there
    "baselines/new/template.yml": {},
    "baselines/new/baseline.yml": {"baselines/new/template.yml": "Resources: {}\n"},
    "baselines/a_b/baseline.yml": {"baselines/a_b/template.yml": "Resources: {}\n"},
    "policies/dény.yml": {"policies/dény.json": DENY},
    f"policies/{'x' * 113}.yml": {f"policies/{'x' * 113}.json": DENY},
    "policies/two.yml": {"policies/two.json": DENY, "policies/deny.yml": POLICY + "id: p-12345678\n"},
}


@pytest.mark.parametrize(("rule", "file", "text"), [(rule, *one) for rule, some in WRONG.items() for one in some])
def test_a_rule_finds_at_its_place(rule: str, file: str, text: str) -> None:
    before, mark, after = text.partition("¦")
    files = GOOD | BESIDE.get(file, {}) | {file: before + after}
    line = before.count("\n") + 1 if mark else 1
    if file == "policies/deny.yaml":
        file = "policies/deny.yml"
    assert f"{rule} {file}:{line}" in told(files), built(files)[1]


def test_every_rule_is_seen_to_find() -> None:
    assert set(fleet_rules.RULES) - {"duplicate-unit", "parts"} == set(WRONG)  # YAML cannot say a unit twice, JSON can


def test_a_unit_that_is_there_twice_or_without_its_parent_is_told_of_a_document() -> None:
    fleet, _ = built(GOOD)
    more = (*fleet.units, desired.Unit("Sandbox", "x", 3), desired.Unit("A/B", "x", 4))
    document = fleet.as_json() | {"units": [desired._out(one) for one in more]}
    found = fleet_rules.problems(desired.Fleet.from_json(document))
    assert [(one.rule, one.line) for one in found] == [("duplicate-unit", 3), ("unknown-unit", 4)]


def test_what_aws_takes_is_let_through() -> None:
    files = GOOD | {
        "accounts/a.yml": HEAD + f"  ä b: {{email: a@b.example, tags: {{{TAGS}}}}}\n"
        "  b+1: {email: A+1@b.example}\n  b+2: {email: a+2@b.example}\n"
        f"  c: {{email: {'a' * 52}@example.com, tags: {{'größe/x': 'a b@c', e: ''}}}}\n",
        "policies/deny.json": '{"a": "%s"}' % ("x" * 10_232) + " " * 50,
    }
    assert built(files)[1] == []


def test_quotas_of_policies_count_what_aws_attaches_itself() -> None:
    def policies(number: int, kind: str) -> dict[str, str]:
        heads = {f"policies/p{one}.yml": f"type: {kind}\nattach: [Sandbox]\n" for one in range(number)}
        return GOOD | heads | {name.replace(".yml", ".json"): DENY for name in heads}

    for kind, most in (("service-control-policy", 9), ("resource-control-policy", 4), ("tag-policy", 10)):
        assert built(policies(most, kind))[1] == [], kind
        assert [(one.rule, one.file) for one in built(policies(most + 1, kind))[1]] == [
            ("quota", f"policies/p{sorted(map(str, range(most + 1)))[-1]}.yml")
        ]


def test_numbers_of_accounts_units_and_stacks() -> None:
    fleet, _ = built(GOOD)
    assert fleet_rules.problems(fleet, 3) == []
    assert [one.rule for one in fleet_rules.problems(fleet, 2)] == ["quota"]
    regions = ", ".join(f"eu-west-{one}" for one in range(1, 34))
    rows = [f"  m{one}: {{email: m{one}@b.example}}\n" for one in range(3028)]
    files = GOOD | {"baselines/base/baseline.yml": f"targets: [root]\nregions: [{regions}]\n"}
    assert told(files | {"accounts/m.yml": HEAD + "".join(rows)}) == [
        "quota baselines/base/baseline.yml:1"
    ]  # 3,031 * 33
    assert told(files | {"accounts/m.yml": HEAD + "".join(rows[1:])}) == []  # 3,030 * 33 = 99,990
    units = "".join(f"  U{one}: {{}}\n" for one in range(1997))
    assert told(GOOD | {"organisation.yml": ORGANISATION + units}) == ["quota organisation.yml:1"]
    assert told(GOOD | {"organisation.yml": ORGANISATION + units.partition("\n")[2]}) == []


def test_a_long_cycle_is_told_once_and_a_long_chain_is_none() -> None:
    def chain(last: str) -> dict[str, str]:
        made = {}
        for one in range(60):
            made[f"baselines/b{one:02}/baseline.yml"] = (
                f"regions: [eu-west-1]\ntargets: [root]\ndepends-on: [{f'b{one + 1:02}' if one < 59 else last}]\n"
            )
            made[f"baselines/b{one:02}/template.yml"] = "Resources: {}\n"
        return GOOD | made

    assert told(chain("base")) == []
    assert told(chain("b10")) == ["cycle baselines/b10/baseline.yml:3"]
    order = [one.name for one in fleet_rules.in_order(built(chain("base"))[0].baselines)]
    assert order[:2] == ["base", "b59"]


def test_a_misspelt_word_is_told_with_what_was_meant() -> None:
    text = "unit: Workloads/Prd\naccounts: {a: {email: a@b.example, tag: {}}}\n"
    said = [one.message for one in built(GOOD | {"accounts/a.yml": text})[1]]
    assert said == [
        *("there is no unit 'Workloads/Prd'; did you mean 'Workloads/Prod'?",),
        "a: unknown key 'tag'; did you mean 'tags'?",
    ]


def test_a_link_is_refused_and_only_the_fleet_is_read(tmp_path: Path) -> None:
    for name, text in (GOOD | {"README.md": "x", "accounts/README.md": "x", "policies/.hidden.yml": "x"}).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert sorted(fleet_files.in_folder(tmp_path)) == sorted(GOOD)
    (tmp_path / "accounts/more.yml").symlink_to(tmp_path / "README.md")
    with pytest.raises(LookupError, match=r"accounts/more\.yml is a link"):
        fleet_files.in_folder(tmp_path)


@pytest.mark.parametrize("document", [None, [], {}, {"schema": 2}, "x", {"schema": 1, "units": 1}])
def test_what_is_no_fleet_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r"this is no fleet\.json"):
        desired.Fleet.from_json(document)
    whole = json.loads(built(GOOD)[0].text)
    for change in ({"component": 1}, {"more": 1}, {"accounts": [{"name": "x"}]}, {"units": [{"path": 1}]}):
        with pytest.raises(ValueError, match=r"this is no fleet\.json"):
            desired.Fleet.from_json(whole | change)


def test_the_facts_are_those_of_botocores_models() -> None:
    session = botocore.session.get_session()
    organizations, account = session.get_service_model("organizations"), session.get_service_model("account")
    assert {one.aws for one in desired.KINDS.values()} == set(organizations.shape_for("PolicyType").enum)
    assert set(desired.CONTACTS.values()) == set(account.shape_for("AlternateContactType").enum)
    assert organizations.shape_for("AccountName").metadata["max"] == fleet_rules.LONGEST
    assert organizations.shape_for("OrganizationalUnitName").metadata["max"] == fleet_rules.LONGEST
    assert organizations.shape_for("PolicyDescription").metadata["max"] == fleet_rules.DESCRIPTION
    assert fleet_files.ROOT_ID.pattern == organizations.shape_for("RootId").metadata["pattern"].strip("^$")


# ---- Size


def many(accounts: int, units: int) -> dict[str, str]:
    """A fleet of so many accounts, in files by unit."""
    tops, names = max(1, units // 20), []
    lines = ["defaults: {tags: {owner: platform}}", "units:"]
    for top in range(tops):
        lines.append(f"  Top{top}:\n    defaults: {{baselines: [base], budget: 500}}\n    units:")
        for sub in range(units // tops - 1):
            lines.append(f"      Sub{sub}: {{defaults: {{tags: {{stage: s{sub}}}}}}}")
            names.append(f"Top{top}/Sub{sub}")
    files = GOOD | {"organisation.yml": "\n".join(lines)}
    del files["accounts/shop.yml"], files["policies/tests/regions.yml"]
    files |= {"policies/deny.yml": "type: service-control-policy\nattach: [root]\n"}
    files |= {"baselines/base/baseline.yml": "regions: [eu-west-1]\n"}
    for place, unit in enumerate(names):
        rows = [f"unit: {unit}", "defaults: {tags: {team: shop}}", "accounts:"]
        for one in range(place, accounts, len(names)):
            extra = ", baselines: [extra]" if one % 50 == 0 else ""
            rows.append(
                f"  acc-{one:05}: {{email: aws+{one}@example.com, tags: {{cost-centre: {one}}}, budget: {1 + one % 9}, "
                f'contacts: {{security: {{name: Sam, email: s@example.com, phone: "+44 1", title: Head}}}}{extra}}}'
            )
        files[f"accounts/{unit}.yml"] = "\n".join(rows if len(rows) > 3 else [*rows, "  {}"])
    return files


def work(run: Any) -> int:
    """How many functions of these modules are called; a generator counts each time that it goes on."""
    calls: Counter[str] = Counter()

    def count(frame: Any, event: str, _: Any) -> None:
        if event == "call" and "_lib/fleet" in frame.f_code.co_filename:
            calls[frame.f_code.co_name] += 1

    gc.collect()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls.total()


def test_the_work_grows_in_a_straight_line_with_the_accounts() -> None:
    assert built(many(50, 20))[1] == []
    few, more = (work(lambda number=number: built(many(number, 20))) for number in (100, 1000))  # type: ignore[misc]
    steps = few + (work(lambda: built(many(200, 20))) - few) * 9
    assert more < steps * 1.05


def test_5000_accounts_in_200_units_are_read_whole() -> None:
    assert yaml.__with_libyaml__
    fleet, problems = built(many(5000, 200))
    assert (problems, len(fleet.accounts), len(fleet.units)) == ([], 5000, 201)
