"""What a plan of a fleet is made of: steps in their order, notes, and what becomes of each account."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fleet import BUDGET, REMEMBERED, ROOT

# The order in which a plan is applied. What a step has besides `action` and `on` is said where it is made.
ACTIONS = (
    *("create-unit", "create-policy", "update-policy", "create-account", "attach-policy", "tag-account"),
    *("set-contact", "set-budget", "create-baseline", "update-baseline", "target-baseline", "move-account"),
    *("target-accounts", "untarget-baseline", "detach-policy", "delete-policy", "untag-account", "remove-budget"),
)


class Step(NamedTuple):
    action: str  # of ACTIONS
    on: str  # a unit's path, account:NAME, or the name of a policy or a baseline
    details: Mapping[str, Any]
    part: str = ROOT  # of the fleet's parts: with which it is applied

    def as_json(self) -> dict[str, Any]:
        return {"action": self.action, "on": self.on, "part": self.part, **self.details}


def remembers(step: Step) -> bool:
    """Whether it only writes down what an earlier step has set or removed."""
    names = step.details.get({"tag-account": "tags", "untag-account": "keys"}.get(step.action, ""), ())
    return bool(names) and all(one == BUDGET or one.startswith(REMEMBERED) for one in names)


def place(step: Step) -> int:
    """Where a step stands in the order of its part: what was set is remembered behind it, what is late comes later."""
    if step.details.get("late"):
        return ACTIONS.index("target-accounts") * 2 + 1
    if remembers(step):
        return ACTIONS.index("set-budget" if step.action == "tag-account" else "remove-budget") * 2 + 1
    return ACTIONS.index(step.action) * 2


class Note(NamedTuple):
    """Why a plan may not be applied, or what is there and is left alone. Without a file it is not about one."""

    rule: str
    on: str
    text: str
    file: str = ""
    line: int = 0


class Effect(NamedTuple):
    """What an account, account:NAME, gains and loses: policies by inheritance, baselines, tags; and what changes."""

    account: str
    unit: str  # in which it is then
    gains: tuple[str, ...]
    loses: tuple[str, ...]
    changes: tuple[str, ...]
