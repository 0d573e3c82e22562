"""A plan's parts, one after the other: whatever dies in between, all ends as the files want, nothing is made twice."""

import copy
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .fleets import (
    ROOT,
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
    fleet_rules,
    fleets,
    foreign,
    inherited,
    planned,
    policy,
    situations,
    wanted,
)

# What cannot be seen to be done till it is written down, and does no harm a second time.
AGAIN = {"set-contact", "set-budget", "remove-budget", "update-baseline", "target-baseline", "target-accounts"}


class Delivery:
    """The parts of a signed plan, as jobs apply them; and the journal."""

    def __init__(self, document: dict[str, Any], wants: Any) -> None:
        self.wants, self.organisation = wants, Organisation(document, wants)
        signed = fleet_plan.plan(wants, self.organisation.seen)
        self.plan = fleet_plan.Plan.from_json(json.loads(signed.text))
        self.begun: set[str] = set()
        self.ended: set[str] = set()
        self.made: list[str] = []

    def remaining(self, part: str) -> tuple[list[Any], list[str]]:
        found: tuple[list[Any], list[str]] = fleet_parts.remaining(
            self.wants, self.plan, self.organisation.seen, part, frozenset(self.begun), frozenset(self.ended)
        )
        return found

    def run(self, part: str, dies: Any = lambda: "", after: Any = lambda: None) -> bool:
        """Apply a part until it dies: "" does not, "early" before its call, "late" behind it."""
        steps, why = self.remaining(part)
        assert why == []
        for step in steps:
            name, how = fleet_parts.key(step), dies()
            self.begun.add(name)
            if how == "early":
                return False
            self.organisation.do(step, self.plan)
            self.made.append(name)
            after()
            if how == "late":
                return False
            self.ended.add(name)
        return True


@settings(max_examples=60, deadline=None)
@given(situations(parts=True), st.data())
def test_whatever_dies_the_parts_end_as_the_files_want_and_nothing_is_made_twice(situation: Any, data: Any) -> None:
    wants, before = situation
    delivery = Delivery(before, wants)

    def dies() -> str:
        return data.draw(st.sampled_from(["", "", "", "early", "late"])) if len(delivery.begun) < 60 else ""

    for part in wants.parts:
        while not delivery.run(part, dies):
            pass
        assert delivery.run(part), "again: nothing is left"
    assert set(delivery.made) == {fleet_parts.key(step) for step in delivery.plan.steps}
    twice = {name for name, count in Counter(delivery.made).items() if count > 1}
    assert {step.action for step in delivery.plan.steps if fleet_parts.key(step) in twice} <= AGAIN
    assert planned(delivery.organisation.document, wants).steps == ()
    delivery.organisation.deployed_everywhere()
    as_wanted(delivery.organisation.document, wants)
    assert foreign(delivery.organisation.document) == foreign(before)


@settings(max_examples=40, deadline=None)
@given(situations(parts=True), fleets(parts=True), st.data())
def test_a_release_that_stopped_half_way_leaves_nothing_behind_after_the_next(
    situation: Any, other: Any, data: Any
) -> None:
    wants, before = situation
    first = Delivery(before, wants)
    for part in wants.parts[: data.draw(st.integers(1, len(wants.parts)))]:
        first.run(part)
    second = Delivery(first.organisation.document, other)
    for part in other.parts:
        second.run(part)
    assert planned(second.organisation.document, other).steps == ()
    as_wanted(second.organisation.document, other)


def bounds(document: dict[str, Any], number: str) -> set[str]:
    """What bounds the rights of an account, and its baselines: a policy whatever of its contents it has."""
    labels = {label.partition(" (next ")[0] for label in inherited(document, number)}
    return {label for label in labels if label.startswith((*desired.STAGED, "stack set"))}


@settings(max_examples=60, deadline=None)
@given(situations(parts=True))
def test_at_no_moment_an_account_is_without_a_guardrail_that_it_had_and_has_again(situation: Any) -> None:
    wants, before = situation
    delivery = Delivery(before, wants)
    after = applied(before, wants)
    alone = {
        (number, f"stack set {one['name']}")
        for some in (before, after)
        for one in some["stack-sets"]
        for number in one["accounts"]
    }
    stay = {}
    for one in before["accounts"]:
        both = bounds(before, one["id"]) & bounds(after, one["id"])
        stay[one["id"]] = {label for label in both if (one["id"], label) not in alone}

    def look() -> None:
        for number, labels in stay.items():
            assert labels <= bounds(delivery.organisation.document, number)

    for part in wants.parts:
        delivery.run(part, after=look)


@settings(max_examples=40, deadline=None)
@given(situations(parts=True))
def test_nothing_reaches_an_account_before_its_part_nor_leaves_it(situation: Any) -> None:
    """Of what bounds rights, where the account does not move: neither its policies nor their contents change before."""
    wants, before = situation
    delivery = Delivery(before, wants)
    seen, places = delivery.organisation.seen, {part: place for place, part in enumerate(wants.parts)}
    moves = {delivery.plan.ids.get(step.on) for step in delivery.plan.steps if step.action == "move-account"}

    def has(number: str) -> set[str]:
        contents = {one["name"]: str(one["content"]) for one in delivery.organisation.document["policies"]}
        labels = inherited(delivery.organisation.document, number)
        some = {label for label in labels if label.startswith(desired.STAGED)}
        return {f"{label} {contents[label.partition(' ')[2]]}" for label in some}

    still = {one.id: seen.unit(one) for one in seen.accounts if one.id not in moves and one.id != seen.management}
    first = {number: has(number) for number in still}
    for place, part in enumerate(wants.parts):
        delivery.run(part)
        for number, path in still.items():
            if places[wants.part(path)] > place:
                assert has(number) == first[number], (number, part)


@settings(max_examples=40, deadline=None)
@given(fleets(parts=True), fleets(parts=True), st.data())
def test_parts_that_go_back_have_policies_and_baselines_as_before(good: Any, after: Any, data: Any) -> None:
    """Of what was there before; accounts that moved stay where they are."""
    before = applied(empty(), good)
    after = desired.Fleet.from_json({**after.as_json(), "parts": list(good.parts)})
    listed = set(after.by_path)
    after = desired.Fleet.from_json({**after.as_json(), "parts": [one for one in good.parts if one in listed]})
    good = desired.Fleet.from_json({**good.as_json(), "parts": list(after.parts)})
    delivery = Delivery(before, after)
    count = data.draw(st.integers(1, len(after.parts)))
    for part in after.parts[:count]:
        delivery.run(part)
    organisation = Organisation(delivery.organisation.document, good)
    for part in reversed(after.parts[:count]):
        plan = fleet_parts.restored(good, organisation.seen, part)
        assert {step.part for step in plan.steps} <= {part}
        assert {step.action for step in plan.steps} <= {*fleet_parts.POLICIES, *fleet_parts.BASELINES}
        for step in plan.steps:
            organisation.do(step, plan)
    now = organisation.document
    assert {one["id"] for one in delivery.organisation.document["accounts"]} == {one["id"] for one in now["accounts"]}
    assert {one["id"] for one in delivery.organisation.document["units"]} == {one["id"] for one in now["units"]}
    there = {one["id"]: one["parent"] for one in before["accounts"]}
    policies = {one["name"]: (one["content"], one["description"]) for one in now["policies"] if not one["aws-managed"]}
    assert policies == {one.name: (one.content, one.description) for one in good.policies}
    for one in now["accounts"]:
        if there.get(one["id"]) == one["parent"]:
            assert inherited(now, one["id"]) == inherited(before, one["id"]), one["name"]
    sets = {one["name"]: one for one in before["stack-sets"]}
    for one in now["stack-sets"]:
        if was := sets.get(one["name"]):
            assert (one["template"], one["parameters"]) == (was["template"], was["parameters"])
            assert one["regions"] == was["regions"] or not (was["units"] or was["accounts"])
            assert one["outdated"] == []
        else:
            assert (one["units"], one["accounts"]) == ([], [])


@settings(max_examples=60, deadline=None)
@given(fleets(parts=True), fleets(parts=True))
def test_a_fleet_as_it_is_seen_wants_nothing_and_a_change_is_planned(before: Any, after: Any) -> None:
    seen = fleet_parts.as_seen(before)
    assert fleet_plan.plan(before, seen).steps == ()
    assert fleet_plan.plan(before, seen).refused == ()
    plan = fleet_parts.change(before, after)
    assert (plan.refused, plan.text) == ((), fleet_parts.change(before, after).text)
    real = planned(applied(empty(), before), after)
    assert [(one.action, one.on, one.part) for one in plan.steps] == [
        (one.action, one.on, one.part) for one in real.steps
    ]


# ---- Somebody else, in between

FLEET = fleet(
    [wanted("dev", "W/Dev", tags={"t": "1"}), wanted("shop", "W/Prod"), wanted("core", "W")],
    [policy("deny", "W"), policy("old", "W/Dev"), policy("mail", "root", kind="tag-policy")],
    [baseline("base", "W")],
    units=("W", "W/Dev", "W/Prod"),
    parts=("W/Dev", "W/Prod"),
)
CHANGED = fleet(
    [wanted("dev", "W/Dev", tags={"t": "2"}, budget=5), wanted("shop", "W/Prod"), wanted("core", "W")],
    [policy("deny", "W", content={"a": 2}), policy("mail", "root", kind="tag-policy"), policy("more", "W")],
    [baseline("base", "W", template="Resources: {A: {}}")],
    units=("W", "W/Dev", "W/Prod"),
    parts=("W/Dev", "W/Prod"),
)
PARTS = ("W/Dev", "W/Prod", "root")


def delivery(*parts: str) -> Delivery:
    found = Delivery(applied(empty(), FLEET), CHANGED)
    for part in parts:
        assert found.run(part)
    return found


def test_what_becomes_stricter_does_so_part_by_part_and_is_staged() -> None:
    plan = delivery().plan
    steps = [(step.part, step.action, step.on, step.details.get("target", "")) for step in plan.steps]
    [new] = {on for _, action, on, _ in steps if action == "create-policy" and on.startswith("deny")}
    assert new.startswith("deny (next ")
    assert len(new) == len("deny (next 01234567)")
    assert steps == [
        ("W/Dev", "create-policy", new, ""),
        ("W/Dev", "create-policy", "more", ""),
        ("W/Dev", "attach-policy", new, "W/Dev"),
        ("W/Dev", "attach-policy", "more", "W/Dev"),
        ("W/Dev", "tag-account", "account:dev", ""),
        ("W/Dev", "set-budget", "account:dev", ""),
        ("W/Dev", "tag-account", "account:dev", ""),
        ("W/Dev", "update-baseline", "org-base", ""),
        ("W/Dev", "detach-policy", "old", "W/Dev"),
        ("W/Dev", "delete-policy", "old", ""),
        ("W/Prod", "attach-policy", new, "W/Prod"),
        ("W/Prod", "attach-policy", "more", "W/Prod"),
        ("W/Prod", "update-baseline", "org-base", ""),
        ("root", "update-policy", "deny", ""),
        ("root", "attach-policy", "more", "W"),
        ("root", "update-baseline", "org-base", ""),
        ("root", "detach-policy", new, "W/Dev"),
        ("root", "detach-policy", new, "W/Prod"),
        ("root", "detach-policy", "more", "W/Dev"),
        ("root", "detach-policy", "more", "W/Prod"),
        ("root", "delete-policy", new, ""),
    ]
    updates = [step.details for step in plan.steps if step.action == "update-baseline"]
    assert [(one["targets"], one["put"]) for one in updates] == [
        (["W/Dev"], True),
        (["W/Prod"], False),
        (["account:core"], False),
    ]
    assert plan.part("W/Prod") == [step for step in plan.steps if step.part == "W/Prod"]


FOREIGN: dict[str, tuple[Any, str]] = {
    "an account moved by hand": (
        lambda one: one["shop"].update(parent=ROOT),
        'not of the plan: move-account account:shop (part W/Prod), {"from":"root","to":"W/Prod"}',
    ),
    "a policy edited": (lambda one: one["mail"].update(content={"b": 1}), "not of the plan: update-policy mail"),
    "an attachment removed": (
        lambda one: one["deny"].update(attachments=[]),
        'not of the plan: attach-policy deny (part root), {"target":"W"}',
    ),
    "what an earlier part did undone": (
        lambda one: one["more"].update(attachments=[]),
        'was done and is undone: attach-policy more (part W/Dev), {"target":"W/Dev"}',
    ),
    "a step of this part done by somebody": (
        lambda one: one["more"]["attachments"].append(one["Prod"]["id"]),
        'somebody else did it: attach-policy more (part W/Prod), {"target":"W/Prod"}',
    ),
    "a step of a later part done by somebody": (
        lambda one: one["deny"].update(content={"a": 2}),
        "somebody else did it: update-policy deny (part root)",
    ),
    "a tag": (lambda one: one["shop"]["tags"].update(a="b"), "not of the plan: untag-account account:shop"),
    "an account in a unit that a step is about": (
        lambda one: one["document"]["accounts"].append(account("000000000900", "x", one["Prod"]["id"])),
        "members W/Prod: new: 000000000900",
    ),
    "a policy of others on a unit that a step is about": (
        lambda one: one["FullAWSAccess"]["attachments"].remove(one["Prod"]["id"]),
        "on W/Prod: gone: service-control-policy FullAWSAccess",
    ),
    "a template": (
        lambda one: one["org-base"].update(template="sha256:x"),
        "was done and is undone: update-baseline org-base",
    ),
    "what is staged edited": (lambda one: one["next"].update(content={"z": 1}), "deny: p-new"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_somebody_else_did_in_between_stops_it_and_is_said(what: str) -> None:
    found = delivery("W/Dev")
    assert found.remaining("W/Prod")[1] == []
    document = found.organisation.document
    lists = ("units", "accounts", "policies", "stack-sets")
    named = {
        one["name"].partition(" (")[0] if "(" not in one["name"] else "next": one
        for key in lists
        for one in document[key]
    }
    FOREIGN[what][0](named | {"document": document})
    steps, why = found.remaining("W/Prod")
    assert steps == []
    assert any(one.startswith(FOREIGN[what][1]) for one in why), why


def test_a_part_waits_for_the_earlier_ones_and_a_journal_is_believed() -> None:
    found = delivery()
    assert found.remaining("W/Prod")[0] == []
    assert (
        'of an earlier part and not done: attach-policy more (part W/Dev), {"target":"W/Dev"}'
        in found.remaining("W/Prod")[1]
    )
    found = delivery("W/Dev", "W/Prod")
    assert found.run("root")
    for part in PARTS:
        assert found.remaining(part) == ([], [])
    other = delivery()
    assert fleet_parts.remaining(FLEET, other.plan, other.organisation.seen, "root", ()) == (
        *([], ["the plan is of another fleet"]),
    )
    assert other.remaining("Nowhere") == ([], ["Nowhere is no part of the plan"])


def test_tags_that_are_seen_late_are_not_set_again_and_stop_nothing() -> None:
    found = delivery()
    before = copy.deepcopy(found.organisation.one("accounts", "name", "dev")["tags"])
    assert found.run("W/Dev")
    found.organisation.one("accounts", "name", "dev")["tags"] = before
    assert found.remaining("W/Dev") == ([], [])
    assert found.remaining("W/Prod")[1] == []


def test_a_reader_that_does_not_say_what_is_outdated_leaves_it_to_the_journal() -> None:
    found = delivery("W/Dev")
    found.organisation.one("stack-sets", "name", "org-base")["outdated"] = []
    steps, why = found.remaining("W/Prod")
    assert why == []
    assert [step.action for step in steps] == ["attach-policy", "attach-policy", "update-baseline"]


def test_what_is_merged_or_allows_changes_at_once_and_that_is_told() -> None:
    allow = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    wants = fleet(
        FLEET.accounts,
        [
            policy("deny", "W", content=allow),
            policy("old", "W/Dev"),
            policy("mail", "root", kind="tag-policy", content={}),
        ],
        FLEET.baselines,
        units=("W", "W/Dev", "W/Prod"),
        parts=("W/Dev", "W/Prod"),
    )
    plan = planned(applied(empty(), FLEET), wants)
    assert [(step.part, step.action) for step in plan.steps] == [("root", "update-policy")] * 2
    told = {one.on: one.text for one in plan.reported}
    assert told["deny"].endswith("at once, with the part root: it allows something")
    assert told["mail"].endswith("at once, with the part root: AWS merges policies of this type")
    assert "#### Not part by part: 2" in fleet_plan.summary(plan)


def test_a_move_is_of_the_later_part_and_what_it_loses_is_told_first() -> None:
    moved = fleet(
        [
            wanted("dev", "W/Dev", tags={"t": "1"}),
            wanted("shop", "W/Dev"),
            wanted("core", "root"),
            wanted("new", "W/Dev"),
        ],
        [*FLEET.policies, policy("prod", "W/Prod")],
        FLEET.baselines,
        units=("W", "W/Dev", "W/Prod"),
        parts=("W/Dev", "W/Prod"),
    )
    before = fleet(
        FLEET.accounts, moved.policies, FLEET.baselines, units=("W", "W/Dev", "W/Prod"), parts=("W/Dev", "W/Prod")
    )
    plan = planned(applied(empty(), before), moved)
    moves = {step.on: step.part for step in plan.steps if step.action == "move-account"}
    assert moves == {"account:new": "W/Dev", "account:shop": "W/Prod", "account:core": "root"}
    losing = fleet_rules.losses(plan)
    assert [(one.on, one.file, one.line) for one in losing] == [
        ("account:core", "accounts/a.yml", 3),
        ("account:shop", "accounts/a.yml", 3),
    ]
    assert losing[0].text == "by its move to root it loses service-control-policy deny, stack set org-base"
    assert losing[1].text == "by its move to W/Dev it loses service-control-policy prod"
    lines = fleet_plan.summary(plan).splitlines()
    assert lines[2] == "**2 accounts would lose guardrails by a move**:"
    heads = [line for line in lines if line.startswith("#### Part")]
    assert heads == [
        "#### Part 1 of 3, `W/Dev`: 2 steps",
        "#### Part 2 of 3, `W/Prod`: 1 step",
        "#### Part 3 of 3, `root`: 2 steps",
    ]


def test_a_guardrail_goes_when_the_last_account_that_keeps_it_has_moved() -> None:
    about: dict[str, Any] = {"units": ("W", "W/Dev", "W/Prod"), "parts": ("W/Dev", "W/Prod")}
    document = applied(empty(), fleet([wanted("a", "W/Dev")], [policy("deny", "W/Dev")], **about))
    plan = planned(document, fleet([wanted("a", "W/Prod")], [policy("deny", "W/Prod")], **about))
    assert [(step.part, step.action) for step in plan.steps] == [
        ("W/Prod", "attach-policy"),
        ("W/Prod", "move-account"),
        ("W/Prod", "detach-policy"),
    ]
    stays = planned(document, fleet([wanted("a", "W/Dev")], [policy("deny", "W/Prod")], **about))
    assert [(step.part, step.action) for step in stays.steps] == [
        ("W/Dev", "detach-policy"),
        ("W/Prod", "attach-policy"),
    ]


@pytest.mark.parametrize("times", range(1, 4))
def test_a_template_that_is_put_by_a_part_that_had_no_stacks_is_put_behind_them(times: int) -> None:
    about: dict[str, Any] = {"units": ("W", "W/Dev", "W/Dev/S", "W/Prod"), "parts": ("W/Dev", "W/Prod")}
    accounts = [wanted("a", "W/Dev"), wanted("b", "W/Dev/S"), wanted("c", "W/Prod")]
    document = applied(empty(), fleet(accounts, [], [baseline("base", "W/Prod")], **about))
    targets = ("W/Prod", "W/Dev/S", "account:a")
    wants = fleet(accounts, [], [baseline("base", *targets, template="Resources: {A: {}}")], **about)
    found = Delivery(document, wants)
    assert [(step.part, step.action, step.details.get("targets")) for step in found.plan.steps] == [
        ("W/Dev", "target-baseline", None),
        ("W/Dev", "target-accounts", None),
        ("W/Dev", "update-baseline", ["W/Dev/S", "account:a"]),
        ("W/Prod", "update-baseline", ["W/Prod"]),
    ]
    deaths = iter([""] * (times - 1) + ["late"] + [""] * 9)
    assert not found.run("W/Dev", lambda: next(deaths))
    assert found.run("W/Dev")
    assert found.run("W/Prod")
    assert planned(found.organisation.document, wants).steps == ()


def test_staged_policies_count_against_the_limit() -> None:
    some = [policy(f"p{one}", "W/Dev") for one in range(8)]
    about: dict[str, Any] = {"units": ("W", "W/Dev"), "parts": ("W/Dev",)}
    document = applied(empty(), fleet([], [*some, policy("deny", "W")], **about))
    changed = fleet([], [*some, policy("deny", "W", content={"b": 1})], **about)
    assert planned(document, changed).refused == ()
    full = applied(empty(), fleet([], [*some, policy("p8", "W/Dev"), policy("deny", "W")], units=about["units"]))
    plan = planned(full, fleet([], [*some, policy("p8", "W/Dev"), policy("deny", "W", content={"b": 1})], **about))
    assert [(one.rule, one.on) for one in plan.refused] == [("quota", "W/Dev")]


def test_a_change_adopts_without_a_look() -> None:
    before = fleet([], units=("A",))
    after = fleet([wanted("old", "A", id="000000000900")], [policy("p", "A", id="p-12345678")], units=("A",))
    plan = fleet_parts.change(before, after)
    assert (plan.steps, plan.refused) == ((), ())
    rooted = desired.Fleet("org", "r-zz99")
    assert [one.rule for one in fleet_parts.change(desired.Fleet("org", "r-ab12"), rooted).refused] == ["root"]
    assert fleet_parts.change(desired.Fleet("org"), rooted).refused == ()
