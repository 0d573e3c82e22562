"""A plan's parts: applied one after the other, whatever dies in between, it ends as the files want, nothing made twice."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from .fleets import (
    Organisation,
    applied,
    as_wanted,
    desired,
    empty,
    fleet_parts,
    fleet_plan,
    fleets,
    foreign,
    inherited,
    planned,
    situations,
)


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
    assert len(set(delivery.made)) == len(delivery.made) == len(delivery.plan.steps)
    assert planned(delivery.organisation.document, wants).steps == ()
    delivery.organisation.deployed_everywhere()
    as_wanted(delivery.organisation.document, wants)
    assert foreign(delivery.organisation.document) == foreign(before)


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
