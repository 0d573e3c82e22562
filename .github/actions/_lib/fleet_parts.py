"""A plan by its parts: what of a part is still to do, and why nothing may be done; the way back.

Pure. The plan is made once for all parts and signed. Who applies a part sees the organisation anew, plans anew, and
does what is in both: exactly the plan, or nothing.
"""

from collections.abc import Collection
from dataclasses import replace

import fleet_plan
from fleet import Fleet, same
from fleet_plan import Plan
from fleet_seen import Seen
from fleet_steps import Step

BACK = ("update-policy", "attach-policy", "detach-policy", "update-baseline", "target-baseline", "target-accounts")


def key(step: Step) -> str:
    """What the journal calls a step: a digest of all that it does, whatever part it is of."""
    return same({"action": step.action, "on": step.on, **step.details})


def remaining(
    fleet: Fleet, plan: Plan, seen: Seen, part: str, begun: Collection[str], ended: Collection[str] = ()
) -> tuple[list[Step], list[str]]:
    """The steps of a part that are still to do, in their order; and why nothing may be done.

    Args:
        plan: the signed one, of this fleet.
        seen: the organisation now.
        begun: the keys of the steps that the journal has an intent of.
        ended: those of them of which it knows that they are done.
    """
    fresh = {key(step) for step in fleet_plan.plan(fleet, seen).steps}
    return [step for step in plan.part(part) if key(step) in fresh], []


def restored(good: Fleet, seen: Seen, part: str) -> Plan:
    """The way back of a part: policies and baselines as the last good fleet has them. Nothing is created or moved."""
    found = fleet_plan.plan(good, seen)
    return replace(found, steps=tuple(step for step in found.part(part) if step.action in BACK))
