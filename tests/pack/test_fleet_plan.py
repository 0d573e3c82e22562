"""The plan of an account fleet: applied, it leaves nothing to do, and has touched nothing of others."""

import copy
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .fleets import (
    OTHER,
    OURS,
    ROOT,
    SCP,
    Organisation,
    account,
    applied,
    as_wanted,
    baseline,
    desired,
    empty,
    fleet,
    fleet_parts,
    fleet_plan,
    fleet_seen,
    fleet_steps,
    foreign,
    inherited,
    lived,
    planned,
    policy,
    rules,
    situations,
    wanted,
)

Fleet = desired.Fleet


@settings(max_examples=60, deadline=None)
@given(situations(parts=True))
def test_a_plan_that_is_applied_leaves_nothing_to_do_and_nothing_of_others_is_touched(situation: Any) -> None:
    wants, before = situation
    after = applied(before, wants)
    again = planned(after, wants)
    assert (again.steps, again.effects, again.ids, again.basis) == ((), (), {}, {})
    as_wanted(after, wants)
    assert foreign(after) == foreign(before)
    assert {one["id"] for one in before["accounts"]} <= {one["id"] for one in after["accounts"]}
    assert {one["id"] for one in before["units"]} <= {one["id"] for one in after["units"]}
    assert {one["name"] for one in before["stack-sets"]} <= {one["name"] for one in after["stack-sets"]}


@settings(max_examples=40, deadline=None)
@given(situations(parts=True))
def test_what_each_account_gains_and_loses_is_what_it_has_then_and_had_before(situation: Any) -> None:
    wants, before = situation
    plan, after = planned(before, wants), applied(before, wants)
    told = {one.account: one for one in plan.effects}
    numbers = {one["id"]: one for one in before["accounts"]}
    for one in after["accounts"]:
        known = [some.ref for some in wants.accounts if some.email == one["email"]]
        effect = told.pop(known[0] if known else f"account:{one['id']}", None)
        new = one["id"] not in numbers
        had, has = set() if new else inherited(before, one["id"]), inherited(after, one["id"])
        tags = {} if new else numbers[one["id"]]["tags"]
        quiet = (desired.REMEMBERED, desired.BUDGET)
        gained = {f"tag {key}={value}" for key, value in one["tags"].items() - tags.items() if key not in tags}
        gained = {label for label in gained if not label.removeprefix("tag ").startswith(quiet)}
        lost = {f"tag {key}" for key in tags if key not in one["tags"] and not key.startswith(quiet)}
        if effect is None:
            assert (has, gained, lost) == (had, set(), set())
            continue
        assert set(effect.gains) == (has - had) | gained - {"tag dpra:component=org"}
        assert set(effect.loses) == (had - has) | lost
        assert (effect.unit, bool(effect.gains or effect.loses or effect.changes)) == (
            *(fleet_seen.Seen.from_json(after).paths[one["parent"]], True),
        )
    assert told == {}


@settings(max_examples=40, deadline=None)
@given(situations(parts=True))
def test_between_two_steps_no_account_is_without_what_it_had_and_has_again(situation: Any) -> None:
    """But for a baseline of which the account is a target by itself: that is deployed where the account then is."""
    wants, before = situation
    plan, after = planned(before, wants), applied(before, wants)
    alone = {(number, f"stack set {one['name']}") for one in after["stack-sets"] for number in one["accounts"]} | {
        (number, f"stack set {one['name']}") for one in before["stack-sets"] for number in one["accounts"]
    }
    stay = {}
    for one in before["accounts"]:
        both = inherited(before, one["id"]) & inherited(after, one["id"])
        stay[one["id"]] = {label for label in both if (one["id"], label) not in alone}
    organisation = Organisation(before, wants)
    for step in plan.steps:
        getattr(organisation, step.action.replace("-", "_"))(step.on, step.details, plan.ids)
        for number, labels in stay.items():
            assert labels <= inherited(organisation.document, number), step


@settings(max_examples=40, deadline=None)
@given(situations(parts=True), st.randoms())
def test_the_same_gives_the_same_bytes_in_whatever_order_it_was_listed(situation: Any, random: Any) -> None:
    wants, before = situation
    plan = planned(before, wants)
    shuffled = copy.deepcopy(before)
    for what in ("units", "accounts", "policies", "stack-sets"):
        random.shuffle(shuffled[what])
        for one in shuffled[what]:
            for key in ("attachments", "regions", "units", "accounts"):
                random.shuffle(one.get(key, []))
    assert planned(shuffled, wants).text == plan.text
    assert fleet_plan.Plan.from_json(json.loads(plan.text)) == plan
    assert fleet_plan.summary(fleet_plan.Plan.from_json(json.loads(plan.text))) == fleet_plan.summary(plan)
    assert fleet_plan.fits(plan, fleet_seen.Seen.from_json(shuffled)) == []
    if plan.steps:
        assert fleet_plan.fits(plan, fleet_seen.Seen.from_json(applied(before, wants)))


@settings(max_examples=25, deadline=None)
@given(situations(parts=True))
def test_steps_come_in_order_and_a_parent_before_its_unit(situation: Any) -> None:
    wants, before = situation
    steps = planned(before, wants).steps
    places = [(wants.parts.index(step.part), fleet_steps.place(step)) for step in steps]
    assert places == sorted(places)
    made = [step.on for step in steps if step.action == "create-unit"]
    for step in steps:
        if step.action == "create-unit" and step.details["parent"] in made:
            assert made.index(step.details["parent"]) < made.index(step.on)


# ---- What is refused, and what is told


def test_an_empty_plan_is_empty() -> None:
    document, wants = lived()
    plan = planned(document, wants)
    lists = (plan.steps, plan.effects, plan.refused, plan.reported)
    assert (lists, plan.ids, plan.basis) == (((), (), (), ()), {}, {})
    assert fleet_plan.summary(plan) == "### The fleet's plan\n\nNothing changes.\n"
    assert fleet_plan.fits(plan, fleet_seen.Seen.from_json(empty())) == []


def test_an_account_is_adopted_by_its_id_and_by_nothing_else() -> None:
    document = empty()
    document["accounts"].append(account("000000000900", "old", ROOT, tags={"a": "b"}, status="ACTIVE"))
    plan = planned(document, fleet([wanted("old", "root", tags={"a": "b"})], units=()))
    assert rules(plan.refused) == ["account-adopt account:old"]
    assert '000000000900 has this e-mail and is not dpra\'s: say id: "000000000900"' in plan.refused[0].text
    assert (plan.refused[0].file, plan.refused[0].line) == ("accounts/a.yml", 3)
    adopted = fleet([wanted("old", "root", tags={"a": "b"}, id="000000000900")], units=())
    assert planned(document, adopted).steps == ()
    moved = fleet([wanted("old", "A", tags={"a": "c"}, id="000000000900")])
    steps = planned(document, moved).steps
    assert [step.action for step in steps] == [*["create-unit"] * 3, "tag-account", "move-account"]
    assert steps[3].details == {"tags": {"a": "c"}}
    assert planned(applied(document, moved), moved).steps == ()


def test_an_address_is_never_changed_nor_an_account_made_twice() -> None:
    document, _ = lived()
    renamed = fleet([wanted("shop", "A/B", email="new@example.com"), wanted("data", "C")])
    assert rules(planned(document, renamed).refused) == ["account-email account:shop"]
    number = fleet_seen.Seen.from_json(document).by_email["shop@example.com"].id
    by_id = fleet([wanted("shop", "A/B", email="new@example.com", id=number), wanted("data", "C")])
    assert rules(planned(document, by_id).refused) == ["account-email account:shop"]
    upper = fleet(
        [wanted("shop", "A/B", email="Shop@Example.com", budget=9, tags={"team": "shop"}), wanted("data", "C")]
    )
    assert not [step for step in planned(document, upper).steps if step.action == "create-account"]
    assert "create-account" not in {step.action for step in planned(document, renamed).steps}
    missing = fleet([wanted("shop", "A/B", id="000000000001")])
    assert rules(planned(document, missing).refused) == ["account-id account:shop"]


@pytest.mark.parametrize(
    ("change", "rule"), [({"status": "SUSPENDED"}, "account-status"), ({"tags": OTHER}, "account-component")]
)
def test_an_account_that_is_closed_or_anothers_is_refused(change: dict[str, Any], rule: str) -> None:
    document, wants = lived()
    next(one for one in document["accounts"] if one["name"] == "shop").update(change)
    assert rules(planned(document, wants).refused) == [f"{rule} account:shop"]


def test_policies_and_stack_sets_of_others_are_refused() -> None:
    document, wants = lived()
    for what in ("policies", "stack-sets"):
        for one in document[what]:
            one["tags"] = {}
    told = rules(planned(document, wants).refused)
    assert told == ["policy-adopt deny", "policy-adopt tags", "stack-set base", "stack-set more"]
    ids = {one["name"]: one["id"] for one in document["policies"]}
    adopted = fleet(wants.accounts, [policy("deny", "A", "account:data", id=ids["deny"])])
    assert [step for step in planned(document, adopted).steps if "policy" in step.action] == []
    renamed = fleet(wants.accounts, [policy("no", "A", id=ids["deny"])])
    assert [(step.action, step.on) for step in planned(document, renamed).steps if "policy" in step.action] == [
        ("update-policy", "no"),
        ("detach-policy", "no"),
    ]
    assert planned(applied(document, renamed), renamed).steps == ()
    missing = fleet(wants.accounts, [policy("deny", "A", id="p-none1234")])
    assert rules(planned(document, missing).refused) == ["policy-id deny"]
    twice = fleet(wants.accounts, [policy("a", "A", id=ids["deny"]), policy("deny", "A")])
    assert rules(planned(document, twice).refused) == ["policy-twice deny"]
    other = fleet(wants.accounts, [policy("tags", "root")])
    assert rules(planned(lived()[0], other).refused) == ["policy-type tags"]
    document["root"]["types"] = [SCP]
    assert rules(planned(document, fleet([], [policy("new", "root", kind="tag-policy")])).refused) == [
        "policy-type-off new"
    ]
    assert rules(planned(document, Fleet("org", "r-zz99")).refused) == ["root root"]


def test_what_nobody_asked_for_and_what_the_files_name_no_more_is_told_and_stays() -> None:
    document, _ = lived()
    document["accounts"].append(account("000000000900", "hand", ROOT))
    document["units"].append({"id": "ou-ab12-99999999", "name": "Hand", "parent": ROOT, "tags": {}})
    hand = {"id": "p-hand1234", "name": "hand", "type": SCP, "content": {}, "tags": {}, "attachments": []}
    hand |= {"aws-managed": False, "description": ""}
    document["policies"].append(hand)
    about = {"name": "hand", "template": "t", "tags": {}, "parameters": {}, "regions": [], "units": [], "accounts": []}
    document["stack-sets"].append({**about, "depends-on": [], "auto-deploy": True})
    wants = fleet([wanted("data", "C")], units=("A", "C"))
    plan = planned(document, wants)
    names = {one["name"]: one["id"] for one in document["accounts"] + document["units"]}
    assert rules(plan.reported) == [
        f"account-gone {names['shop']}",
        "account-unasked 000000000900",
        "policy-unasked p-hand1234",
        "stack-set-gone org-base",
        "stack-set-gone org-more",
        "stack-set-unasked hand",
        f"unit-gone {names['B']}",
        "unit-unasked ou-ab12-99999999",
    ]
    assert {step.action for step in plan.steps} == {"detach-policy", "delete-policy", "untarget-baseline"}
    after = applied(document, wants)
    assert [one["parent"] for one in after["accounts"]] == [one["parent"] for one in document["accounts"]]


def test_a_limit_that_others_policies_use_up_is_refused_and_the_last_policy_stays() -> None:
    document = empty()
    document["units"].append({"id": "ou-ab12-00000000", "name": "A", "parent": ROOT, "tags": {}})
    document["policies"][0]["attachments"].append("ou-ab12-00000000")
    for number in range(8):
        about = {"id": f"p-hand{number}", "name": f"hand{number}", "type": SCP, "content": {}, "tags": {}}
        document["policies"].append({**about, "attachments": ["ou-ab12-00000000"], "aws-managed": False})
    assert planned(document, fleet([], [policy("one", "A")], units="A")).refused == ()
    both = fleet([], [policy("one", "A"), policy("two", "A")], units="A")
    assert rules(planned(document, both).refused) == ["quota A"]
    many = fleet([wanted("new")], [policy(f"p{number}", "account:new") for number in range(10)])
    assert rules(planned(empty(), many).refused) == ["quota account:new"]

    document, wants = lived()
    document["policies"][0]["attachments"] = []
    assert rules(planned(document, fleet(wants.accounts)).refused) == ["last-policy A", "last-policy account:data"]


def test_a_move_shows_what_the_account_loses_and_a_policy_whom_it_reaches() -> None:
    document, wants = lived()
    document["accounts"].append(account("000000000900", "hand", fleet_seen.Seen.from_json(document).unit_ids["A/B"]))
    moved = fleet(
        [wanted("shop", "C", budget=9, tags={"team": "shop"}), wanted("data", "C")],
        [policy("deny", "A", "account:data"), policy("tags", "A/B", kind="tag-policy")],
        wants.baselines,
    )
    plan = planned(document, moved)
    told = {one.account: (one.gains, one.loses) for one in plan.effects}
    assert told == {
        "account:shop": ((), ("service-control-policy deny", "stack set org-base", "tag-policy tags")),
        "account:data": ((), ("tag-policy tags",)),
        "account:999999999999": ((), ("tag-policy tags",)),
    }
    lines = fleet_plan.summary(plan).splitlines()
    head = lines.index("#### What 3 accounts would lose and gain")
    assert lines[head + 2 : head + 6] == [
        "| accounts | lose | gain | change |",
        "| --- | --- | --- | --- |",
        "| `account:999999999999, account:data` | `tag-policy tags` | `-` | `-` |",
        "| `account:shop` | `service-control-policy deny, stack set org-base, tag-policy tags` | `-` | `-` |",
    ]
    # The guardrail is attached before the account moves, and detached behind that.
    order = [(step.action, step.on) for step in plan.steps]
    assert order == [("attach-policy", "tags"), ("move-account", "account:shop"), ("detach-policy", "tags")]


def test_a_change_of_a_policy_or_a_baseline_is_shown_for_each_account_that_has_it() -> None:
    document, wants = lived()
    changed = fleet(
        wants.accounts,
        [policy("deny", "A", "account:data", content={"a": 2}), wants.policies[1]],
        [baseline("base", "A", template="Resources: {A: {}}"), wants.baselines[1]],
    )
    plan = planned(document, changed)
    told = {one.account: (one.gains, one.loses, one.changes) for one in plan.effects}
    assert told == {
        "account:shop": ((), (), ("service-control-policy deny", "stack set org-base")),
        "account:data": ((), (), ("service-control-policy deny",)),
    }
    assert [(step.action, step.on) for step in plan.steps] == [
        ("update-policy", "deny"),
        ("update-baseline", "org-base"),
    ]
    assert plan.steps[1].details["changes"] == ["template"]


# ---- Since it was made

MOVED = fleet(
    [wanted("shop", "C", budget=9, tags={"team": "shop"}), wanted("data", "C")],
    lived()[1].policies,
    lived()[1].baselines,
)
SINCE: dict[str, tuple[Callable[[dict[str, Any]], Any], list[str]]] = {
    "its tags": (lambda one: one["shop"]["tags"].update(a="b"), ["account {shop}: tags was {old}, is {new}"]),
    "its unit": (lambda one: one["shop"].update(parent=ROOT), ["account {shop}: unit was A/B, is root"]),
    "the unit": (
        lambda one: one["C"].update(name="D"),
        [
            "on C: gone: resource-control-policy RCPFullAWSAccess, service-control-policy FullAWSAccess",
            "unit C: was {C}, is not there",
        ],
    ),
    "a policy of others where it goes": (
        lambda one: one["FullAWSAccess"]["attachments"].remove(one["C"]["id"]),
        ["on C: gone: service-control-policy FullAWSAccess"],
    ),
    "nothing that matters": (lambda one: one["data"]["tags"].update(a="b"), []),
    "an account elsewhere": (lambda one: one["document"]["accounts"].append(account("0" * 12, "x", ROOT)), []),
}


@pytest.mark.parametrize("what", SINCE)
def test_what_changed_since_is_said_and_nothing_else_stops_it(what: str) -> None:
    document, _ = lived()
    plan = fleet_plan.Plan.from_json(json.loads(planned(document, MOVED).text))
    assert [step.action for step in plan.steps] == ["move-account"]
    named = {one["name"]: one for key in ("units", "accounts", "policies") for one in document[key]}
    shop = named["shop"]
    words = {"shop": shop["id"], "C": named["C"]["id"], "old": dict(sorted(shop["tags"].items()))}
    change, said = SINCE[what]
    change(named | {"document": document})
    words |= {"new": dict(sorted(shop["tags"].items()))}
    found = fleet_plan.fits(plan, fleet_seen.Seen.from_json(document))
    assert found == [one.format(**words) for one in said]


def test_an_account_that_somebody_made_since_with_the_same_address_stops_the_plan() -> None:
    plan = planned(empty(), fleet([wanted("new")]))
    later = empty()
    later["accounts"].append(account("000000000900", "other", ROOT, email="New@Example.com"))
    assert fleet_plan.fits(plan, fleet_seen.Seen.from_json(later)) == [
        "email new@example.com: was not there, is 000000000900"
    ]
    attach = planned(
        *lived()[:1], fleet(lived()[1].accounts, [*lived()[1].policies, policy("new", "A")], lived()[1].baselines)
    )
    document, _ = lived()
    document["accounts"].append(account("000000000900", "x", fleet_seen.Seen.from_json(document).unit_ids["A/B"]))
    assert fleet_plan.fits(attach, fleet_seen.Seen.from_json(document)) == ["members A: new: 000000000900"]


def test_a_plan_whose_basis_was_changed_is_none() -> None:
    data = json.loads(planned(empty(), fleet([wanted("new")])).text)
    for change in ({"basis": {}}, {"seen": "x"}, {"schema": 2}, {"steps": [{"action": "close-account", "on": "x"}]}):
        with pytest.raises(ValueError, match="this is no plan of a fleet"):
            fleet_plan.Plan.from_json(data | change)
    no: dict[str, Any] = {"management": "1", "root": {"id": "r"}}
    inside = no | {"units": [{"id": "a", "name": "a", "parent": "a"}]}
    for document in (None, [], {}, inside, no | {"accounts": [account("1", "a", "ou-none")]}):
        with pytest.raises(ValueError, match=r"this is no seen\.json"):
            fleet_seen.Seen.from_json(document)


def test_every_step_has_its_words_and_none_closes_anything() -> None:
    assert set(fleet_plan.SAYS) == set(fleet_plan.ACTIONS)
    assert not any(word in action for action in fleet_plan.ACTIONS for word in ("close", "delete-unit", "delete-base"))


def test_the_text_of_others_is_inert_in_the_summary(hostile: dict[str, str]) -> None:
    for text in hostile.values():
        document = empty()
        document["accounts"].append(account("000000000900", text, ROOT, email=text))
        wants = fleet([wanted(text, "A", email=text, tags={text: text})], [policy("p", "A", description=text)])
        units = (*wants.units, desired.Unit(text, "organisation.yml", 3))
        accounts = (*wants.accounts, wanted("b", text))
        wants = Fleet("org", text, (text, 1), units, accounts, wants.policies, parts=(text, "root"))
        for line in fleet_plan.summary(planned(document, wants)).split("\n"):
            outside = "".join(line.split("`")[::2])
            assert line.count("`") % 2 == 0
            assert not any(mark in outside for mark in ("<", "[", "@", "http", "forged", "pwned"))
            assert line == "" or line[0] in "#|*0123456789"


# ---- Size


def large(number: int, units: int, parts: int = 0) -> tuple[dict[str, Any], Any]:
    """A fleet in which much changes, and the organisation before: every account has another tag, a tenth moves.

    With so many parts and the root; policies and a baseline then come to all of them, staged and cut."""
    tops = [f"T{top}" for top in range(units // 20)]
    paths = [*tops, *(f"{top}/S{sub}" for top in tops for sub in range(19))]
    document = empty()
    for place, path in enumerate(paths):
        above = f"ou-ab12-{paths.index(desired.parent(path)):08}" if "/" in path else ROOT
        about = {"id": f"ou-ab12-{place:08}", "name": path.rpartition("/")[2], "parent": above, "tags": OURS}
        document["units"].append(about)
    subs = [place for place, path in enumerate(paths) if "/" in path]
    accounts = []
    for one in range(number):
        here, there = subs[one % len(subs)], subs[(one + (one % 10 == 0)) % len(subs)]
        document["accounts"].append(
            account(f"{one:012}", f"acc-{one:05}", f"ou-ab12-{here:08}", tags=OURS | {"a": "b"})
        )
        accounts.append(
            wanted(f"acc-{one:05}", paths[there], tags={"a": str(one)}, baselines=("more",) * (one % 50 == 0))
        )
    policies = [policy(f"p{one}", *tops[:5], "root") for one in range(4 if parts else 8)]
    listed = [path for path in paths if "/" in path][:parts]
    return document, fleet(
        accounts,
        policies,
        [baseline("base", *(tops if not parts else ("root",))), baseline("more")],
        paths,
        parts=listed,
    )


def work(run: Any) -> int:
    """How many functions of these modules are called; a generator counts each time that it goes on."""
    calls = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call" and "_lib/fleet" in frame.f_code.co_filename

    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls


def journey(number: int, units: int, parts: int) -> None:
    """All that is done with a plan: it is made, shown, and a part of it is applied."""
    document, wants = large(number, units, parts)
    seen = fleet_seen.Seen.from_json(document)
    plan = fleet_plan.plan(wants, seen)
    fleet_plan.summary(plan)
    assert fleet_parts.remaining(wants, plan, seen, wants.parts[0], ())[1] == []


@pytest.mark.parametrize("parts", [0, 5])
def test_the_work_grows_in_a_straight_line_with_the_accounts(parts: int) -> None:
    few, twice, more = (work(lambda size=size: journey(size, 20, parts)) for size in (100, 200, 1000))  # type: ignore[misc]
    assert more < (few + (twice - few) * 9) * 1.05


def test_5000_accounts_in_200_units_are_planned_whole() -> None:
    document, wants = large(5000, 200, 20)
    plan = planned(document, wants)
    assert (plan.refused, plan.reported) == ((), ())
    assert len(plan.effects) == 5000
    assert len([step for step in plan.steps if step.action == "move-account"]) == 500
    assert {step.part for step in plan.steps} == set(wants.parts)
    assert len(fleet_plan.summary(plan)) < 1024 * 1024  # of a step summary
    assert fleet_plan.fits(plan, fleet_seen.Seen.from_json(document)) == []
