"""From the organisation as it was seen to the fleet that the files want: ordered steps, what they do to each account.

Pure, and the same input gives the same bytes. A plan is made once, signed, shown, and applied as it is, or not at all:
`fits` says what has changed since.

- dpra's is what has the tag dpra:component with the component's name, and what a file names by its id (adopted).
  Nothing else is changed; of what nobody asked for it is told.
- No step closes an account, deletes a unit or a stack set: what the files do not name any more stays, and it is told.
- What a unit has comes before accounts move into it, and goes after they have moved. An account by itself is a
  baseline's target where it then is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import fleet as desired
import fleet_seen
import runner
from fleet import ROOT, Fleet, counted, same
from fleet_effects import LOSES, effects, losses
from fleet_making import Making
from fleet_seen import Seen
from fleet_stacks import baselines
from fleet_staging import policies
from fleet_steps import ACTIONS, Effect, Note, Step

SCHEMA = 1
SHOWN = 100  # rows of a table; all of it is in the plan
SAYS = {
    "create-unit": "a unit is created",
    "create-policy": "a policy is created",
    "update-policy": "a policy changes",
    "attach-policy": "a policy is attached",
    "create-account": "an account is created",
    "tag-account": "tags are set",
    "set-contact": "an alternate contact is set",
    "set-budget": "a budget is set",
    "move-account": "an account moves",
    "create-baseline": "a baseline is created",
    "update-baseline": "a baseline changes",
    "target-baseline": "a baseline is deployed to units",
    "target-accounts": "a baseline is deployed to single accounts",
    "untarget-baseline": "a baseline is taken away",
    "detach-policy": "a policy is detached",
    "delete-policy": "a policy is deleted",
    "untag-account": "tags are removed",
    "remove-budget": "a budget is removed",
}


@dataclass(frozen=True)
class Plan:
    component: str
    fleet: str  # the digest of the fleet.json that it is made from
    steps: tuple[Step, ...] = ()
    effects: tuple[Effect, ...] = ()
    refused: tuple[Note, ...] = ()  # with one of them nothing may be applied
    reported: tuple[Note, ...] = ()
    ids: Mapping[str, str] = field(default_factory=dict)  # what AWS calls units, accounts, policies of the steps
    basis: Mapping[str, Any] = field(default_factory=dict)  # the facts that it depends on; see Seen.fact
    parts: tuple[str, ...] = (ROOT,)  # the fleet's, in order

    def part(self, name: str) -> list[Step]:
        """The steps of a part, in their order."""
        return [step for step in self.steps if step.part == name]

    @property
    def digest(self) -> str:
        """Of what was seen, as far as the plan depends on it."""
        return same(self.basis)

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "component": self.component,
            "fleet": self.fleet,
            "seen": self.digest,
            "steps": [one.as_json() for one in self.steps],
            "effects": [one._asdict() for one in self.effects],
            "refused": [one._asdict() for one in self.refused],
            "reported": [one._asdict() for one in self.reported],
            "ids": dict(self.ids),
            "basis": dict(self.basis),
            "parts": list(self.parts),
        }

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The plan of a JSON document.

        Raises:
            ValueError: it is none, or its basis is not that of its digest.
        """
        try:
            if data["schema"] != SCHEMA:
                raise ValueError("of another schema")
            steps = []
            for one in data["steps"]:
                details = {name: value for name, value in one.items() if name not in ("action", "on", "part")}
                if one["action"] not in ACTIONS:
                    raise ValueError(f"there is no step '{one['action']}'")
                steps.append(Step(one["action"], one["on"], details, one["part"]))
            lists = ("gains", "loses", "changes")
            effects = (Effect(**{**one, **{name: tuple(one[name]) for name in lists}}) for one in data["effects"])
            refused, reported = (tuple(Note(**one) for one in data[name]) for name in ("refused", "reported"))
            found = cls(
                *(data["component"], data["fleet"], tuple(steps), tuple(effects), refused, reported),
                *(dict(data["ids"]), dict(data["basis"]), tuple(data["parts"])),
            )
            if data["seen"] != found.digest:
                raise ValueError("its basis is not that of its digest")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no plan of a fleet: {error}") from None
        return found

    @property
    def text(self) -> str:
        return json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def fits(plan: Plan, seen: Seen) -> list[str]:
    """What has changed since the plan was made, of what it depends on; nothing: it can be applied as it is."""
    return list(fleet_seen.changed(plan.basis, seen))


def plan(fleet: Fleet, seen: Seen, back: str = "") -> Plan:
    """The plan. The fleet has no problems (fleet_rules).

    Args:
        back: a part that goes back to this fleet: only its policies and baselines do (fleet_parts.restored).
    """
    made = Making(fleet, seen, back)
    made.units()
    made.accounts()
    policies(made)
    baselines(made)
    made.others()
    if back:
        made.steps = [step for step in made.steps if step.part == back]
    steps = sorted(made.steps, key=made.order)  # stable: else as they were made
    found = tuple(effects(made)) if steps and not back else ()
    made.reported += losses(made, found)
    basis = {key: seen.fact(key) for key in sorted(made.facts)} if steps else {}
    return Plan(
        *(fleet.component, desired.digest(fleet.text), tuple(steps), found),
        *(tuple(sorted(made.refused)), tuple(sorted(made.reported))),
        *(dict(sorted(made.ids.items())) if steps else {}, basis, fleet.parts),
    )


# ---- As Markdown


def summary(plan: Plan) -> str:
    """For an approver and a pull request. Names and values are somebody's text: they stand in code spans only."""
    lines = ["### The fleet's plan", ""]
    if plan.refused:
        lines += [f"**Nothing can be applied**: {counted(len(plan.refused), 'reason')}.", ""]
        lines += _table(("what", "why", "where"), [(one.on, one.text, _place(one)) for one in plan.refused])
    if losing := [one for one in plan.reported if one.rule == LOSES]:
        lines += [f"**{counted(len(losing), 'account')} would lose guardrails by a move**:", ""]
        lines += _table(("what", "why", "where"), [(one.on, one.text, _place(one)) for one in losing])
    if not plan.steps:
        lines += ["Nothing changes.", ""]
    else:
        lines += [f"{counted(len(plan.steps), 'step')}, in this order:", ""]
        groups: dict[str, dict[str, list[Step]]] = {}
        for step in plan.steps:
            groups.setdefault(step.part, {}).setdefault(step.action, []).append(step)
        for part, actions in groups.items():
            if len(plan.parts) > 1:
                number = f"{plan.parts.index(part) + 1} of {len(plan.parts)}"
                lines += [f"#### Part {number}, {runner.code(part)}: {counted(len(plan.part(part)), 'step')}", ""]
            for action, steps in actions.items():
                lines += [f"##### {SAYS[action]}: {len(steps):,}", ""]
                lines += _table(("what", "how"), [(step.on, _how(step)) for step in steps])
    if plan.effects:
        same_for: dict[tuple[tuple[str, ...], ...], list[str]] = {}
        for one in plan.effects:
            same_for.setdefault((one.loses, one.gains, one.changes), []).append(one.account)
        lines += [f"#### What {counted(len(plan.effects), 'account')} would lose and gain", ""]
        rows = sorted(same_for.items(), key=lambda pair: (not pair[0][0], -len(pair[1]), pair[1]))  # losses first
        cells = [(_some(accounts), *(", ".join(labels) or "-" for labels in lists)) for lists, accounts in rows]
        lines += _table(("accounts", "lose", "gain", "change"), cells)
    staged = [one for one in plan.reported if one.rule == "not-staged"]
    if staged:
        lines += [f"#### Not part by part: {len(staged):,}", ""]
        lines += _table(("what", "why", "where"), [(one.on, one.text, _place(one)) for one in staged])
    if alone := [one for one in plan.reported if one.rule != LOSES and one not in staged]:
        lines += [f"#### Left alone: {len(alone):,}", ""]
        lines += _table(("what", "why"), [(one.on, one.text) for one in alone])
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    cells = [[runner.code(cell) for cell in row] for row in rows[:SHOWN]]
    if len(rows) > SHOWN:
        cells.append([f"and {len(rows) - SHOWN:,} more", *[" "] * (len(head) - 1)])
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells)] + [""]


def _place(note: Note) -> str:
    return f"{note.file}:{note.line}" if note.file else "-"


def _how(step: Step) -> str:
    shown = {name: value for name, value in sorted(step.details.items()) if value not in ("", [], {})}
    return ", ".join(f"{name} {_text(value)}" for name, value in shown.items()) or "-"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.removeprefix("sha256:")[:12] if value.startswith("sha256:") else value
    if isinstance(value, list):
        return _some(value)
    return desired.compact(value)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
