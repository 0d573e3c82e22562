"""What a change of a fleet's files would do: between any two fleets the plan is one that could be applied."""

import json
import sys
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from .fleets import applied, baseline, empty, fleet, fleets, planned, policy, wanted

sys.path.insert(0, str(Path(__file__).parents[2] / ".github" / "actions" / "_lib"))
import fleet_change


@settings(max_examples=60, deadline=None)
@given(one=fleets(), parts=st.booleans())
def test_a_fleet_that_does_not_change_has_an_empty_plan(one: Any, parts: bool) -> None:
    found = fleet_change.change(one, one)
    assert (found.steps, found.refused) == ((), ())


@settings(max_examples=60, deadline=None)
@given(one=fleets(), other=fleets())
def test_the_steps_of_a_change_are_those_of_the_organisation_in_which_the_first_fleet_was_applied(
    one: Any, other: Any
) -> None:
    document = applied(empty(), one)

    names = {one["id"]: one["name"] for one in document["accounts"]}

    def steps(plan: Any) -> list[Any]:
        found = json.dumps([step.as_json() for step in plan.steps], sort_keys=True)
        for number, name in names.items():
            found = found.replace(number, name)
        some = [{key: sorted(one) if isinstance(one, list) else one for key, one in step.items()}
                for step in json.loads(found)]  # fmt: skip
        return sorted(json.dumps(step, sort_keys=True) for step in some)  # in the order of ids, which are made up

    assert steps(fleet_change.change(one, other)) == steps(planned(document, other))


def test_what_is_adopted_by_its_id_is_there() -> None:
    adopts = fleet(
        [wanted("a1", "A", id="123456789012")],
        [policy("p", "A", id="p-old", content={"a": 1})],
        [baseline("b", "A")],
    )
    found = fleet_change.change(fleet(), adopts)
    assert found.refused == ()
    actions = [step.action for step in found.steps]
    assert "create-account" not in actions
    assert "create-policy" not in actions
    assert {"move-account", "attach-policy", "create-baseline"} <= {*actions}
