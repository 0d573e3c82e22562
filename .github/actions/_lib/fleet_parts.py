"""A plan by its parts: what of a part is still to do, and why nothing may be done; the way back; a change of files.

Pure. The plan is made once for all parts and signed. Who applies a part sees the organisation anew, plans anew, and
does what is in both: exactly the plan, or nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import fleet as desired
import fleet_plan
import fleet_seen
from fleet import ACCOUNT, COMPONENT, KINDS, ROOT, Fleet, parent, same, same_email
from fleet_making import Making
from fleet_plan import Plan
from fleet_seen import Seen
from fleet_stacks import pieces
from fleet_steps import Step

POLICIES = ("create-policy", "update-policy", "attach-policy", "detach-policy", "delete-policy")
BASELINES = ("create-baseline", "update-baseline", "target-baseline", "target-accounts", "untarget-baseline")
# What of a step says how it came about, not what it does: it differs where a part of it is done.
HOW = ("changes", "late")
# What is seen of tags comes from an index that is behind for a while: of these steps the journal is believed.
INDEXED = ("tag-account", "untag-account", "set-contact", "set-budget", "remove-budget")


def key(step: Step) -> str:
    """What the journal calls a step: a digest of all that it does, whatever part it is of."""
    details = {name: value for name, value in step.details.items() if name not in HOW}
    return same({"action": step.action, "on": step.on, **details})


def remaining(
    fleet: Fleet, plan: Plan, seen: Seen, part: str, begun: Collection[str], ended: Collection[str] = ()
) -> tuple[list[Step], list[str]]:
    """The steps of a part that are still to do, in their order; and why nothing may be done, a line each.

    Args:
        plan: the signed one, of this fleet.
        seen: the organisation now.
        begun: the keys of the steps that the journal has an intent of, those that ended with them.
        ended: the keys of those that it knows to be done.
    """
    if part not in plan.parts:
        return [], [f"{part} is no part of the plan"]
    if plan.fleet != desired.digest(fleet.text):
        return [], ["the plan is of another fleet"]
    if plan.refused:
        return [], [f"{note.on}: {note.text}" for note in plan.refused]
    now = fleet_plan.plan(fleet, seen)
    if now.refused:
        return [], [f"{note.on}: {note.text}" for note in now.refused]
    found = _Remaining(plan, now, part, frozenset(begun), frozenset(ended))
    why = [*found.more(), *found.less(), *fleet_seen.changed(_explained(plan, seen, found.done()), seen)]
    return ([], why) if why else (found.steps(), [])


class _Remaining:
    """The signed steps and the fresh ones, by their keys."""

    def __init__(self, plan: Plan, now: Plan, part: str, begun: frozenset[str], ended: frozenset[str]) -> None:
        self.signed = {key(step): step for step in plan.steps}
        self.fresh = {key(step): step for step in now.steps}
        self.order = {name: place for place, name in enumerate(plan.parts)}
        self.part, self.begun, self.ended = part, begun | ended, ended
        self.half = {  # stack sets of which something in this part is begun: an operation may have come half way
            step.on for name, step in self.signed.items() if step.part == part and name in self.begun
            if step.action in BASELINES
        }  # fmt: skip
        self.put = {step.on for step in self.signed.values() if step.details.get("put")}

    def more(self) -> Iterator[str]:
        """What would have to be done and is not of the plan any more, or not yet."""
        for name, step in self.fresh.items():
            if name not in self.signed:
                if not self.is_half(step):
                    yield f"not of the plan: {told(step)}"
                continue
            before = self.order[self.signed[name].part] < self.order[self.part]
            if (before or name in self.ended) and not (step.action in INDEXED and name in self.begun):
                says = "was done and is undone" if name in self.begun else "of an earlier part and not done"
                yield f"{says}: {told(self.signed[name])}"

    def less(self) -> Iterator[str]:
        """What the plan has, and somebody else did."""
        for name, step in self.signed.items():
            done = name in self.begun or self.order[step.part] < self.order[self.part]
            half = step.part == self.part and step.action in BASELINES and step.on in self.half
            half |= step.action == "untarget-baseline" and any(
                one[:2] == step[:2] for name_, one in self.fresh.items() if name_ not in self.signed
            )
            if name not in self.fresh and not done and not half and not self.is_unseen(step):
                yield f"somebody else did it: {told(step)}"

    def is_half(self, fresh: Step) -> bool:
        """Whether a step is what an operation left, which is signed as a whole."""
        if fresh.action == "untarget-baseline":  # by what has moved meanwhile, the same goes with another part
            gone = {
                ref
                for one in self.signed.values()
                if (one.action, one.on) == fresh[:2]
                for ref in one.details["remove"]
            }
            if fresh.details["remove"] and gone.issuperset(fresh.details["remove"]):
                return True
        if fresh.action not in BASELINES or fresh.on not in self.half:
            return False
        return fresh.action != "update-baseline" or not fresh.details["put"] or fresh.on in self.put

    def is_unseen(self, step: Step) -> bool:
        """Whether it cannot be seen that a step is to be done: an earlier part has put the template or the regions."""
        if step.action not in ("update-baseline", "target-baseline"):
            return False
        names = (name for name, other in self.signed.items() if (other.action, other.on) == (step.action, step.on))
        return any(name in self.begun for name in names) and not step.details.get("add")

    def done(self) -> list[Step]:
        """Steps that may be done: those of earlier parts, and those that are begun."""
        before = self.order[self.part]
        return [step for name, step in self.signed.items() if name in self.begun or self.order[step.part] < before]

    def steps(self) -> list[Step]:
        half = {step.on for name, step in self.fresh.items() if name not in self.signed}
        found = []
        for name, step in self.signed.items():
            if step.part != self.part or name in self.ended:
                continue
            again = name in self.fresh or (step.action in BASELINES and step.on in half) or self.is_unseen(step)
            if again:
                found.append(step)
        return found


def told(step: Step) -> str:
    """A step in a line."""
    details = {name: value for name, value in step.details.items() if name in ("target", "from", "to", "tags", "keys")}
    if step.action in BASELINES:
        details = {name: step.details[name] for name in ("targets", "add", "remove") if step.details.get(name)}
    says = f", {desired.compact(details)}" if details else ""
    return f"{step.action} {step.on} (part {step.part}){says}"


# ---- What of the facts begun steps explain


def _explained(plan: Plan, seen: Seen, done: Iterable[Step]) -> dict[str, Any]:
    """The plan's basis as it may be when these steps are done, or some of them."""
    whole, entries = set[str](), defaultdict[str, set[str]](set)
    for step in done:
        _explain(plan, seen, step, whole, entries)
    found = {}
    for name, before in plan.basis.items():
        now = seen.fact(name)
        if name in whole:
            before = now
        elif isinstance(before, list) and isinstance(now, list) and all(isinstance(one, str) for one in before + now):
            may = entries[name]
            before = sorted({*(one for one in before if one not in may), *(one for one in now if one in may)})
        elif isinstance(before, dict) and isinstance(now, dict):
            before = before | {one: now.get(one) for one in entries[name]}
        found[name] = before
    return found


def _explain(plan: Plan, seen: Seen, step: Step, whole: set[str], entries: dict[str, set[str]]) -> None:
    action, on, says = step.action, step.on, step.details

    def ref(target: str) -> str:
        return ACCOUNT + plan.ids[target] if target.startswith(ACCOUNT) and target in plan.ids else target

    if action == "create-unit":
        whole |= {f"unit {on}", f"on {on}", f"members {on}"}
    elif action == "create-account":
        email = same_email(says["email"])
        whole.add(f"email {email}")
        if there := seen.by_email.get(email):
            for path in desired.line(seen.unit(there)):
                entries[f"members {path}"].add(there.id)
    elif action == "move-account":
        there = seen.by_id.get(plan.ids.get(on, ""))
        entries[f"account {plan.ids.get(on, '')}"].add("unit")
        if there:
            for path in {*desired.line(says["from"]), *desired.line(says["to"])}:
                entries[f"members {path}"].add(there.id)
    elif action in INDEXED:
        entries[f"account {plan.ids.get(on, '')}"].add("tags")
    elif action in POLICIES:
        whole.add(f"policies {on}")
        if was := says.get("was"):
            whole.add(f"policies {was}")
            for name in plan.basis:
                if name.startswith("on ") and was != on:
                    entries[name] |= {f"{says['type']} {was}", f"{says['type']} {on}"}
        if target := says.get("target"):
            entries[f"on {ref(target)}"].add(f"{says['type']} {on}")
    elif action in BASELINES:
        whole.add(f"stack-set {on}")
        for target in (*says.get("add", ()), *says.get("remove", ())):
            entries[f"on {ref(target)}"].add(f"stack set {on}")


# ---- The way back


def restored(good: Fleet, seen: Seen, part: str) -> Plan:
    """The way back of a part: its policies and baselines as the last good fleet has them.

    Nothing is created but policies, nothing is moved, closed or tagged; it is told what stays. Parts go back from the
    last that was delivered to the first. What changes in place, a policy's content and a baseline's template, goes back
    for all that have it with the first of them.
    """
    return fleet_plan.plan(good, seen, part)


# ---- A change of files


def change(before: Fleet, after: Fleet) -> Plan:
    """The plan of a change: the earlier fleet stands for the organisation. What is adopted is as the files want it."""
    return fleet_plan.plan(after, as_seen(replace(before, root=before.root or after.root), after))


def as_seen(fleet: Fleet, adopts: Fleet | None = None) -> Seen:
    """The organisation that a fleet describes, when all of it is done; ids that no file says are made up.

    Args:
        adopts: a fleet of which accounts and policies are there, too, if it says their ids.
    """
    units = {ROOT: fleet.root or f"r-{_hex(ROOT)[:8]}"}
    units |= {
        unit.path: f"ou-{_hex(unit.path)[:8]}-{_hex(unit.path)[8:16]}" for unit in fleet.units if unit.path != ROOT
    }
    ours = {COMPONENT: fleet.component}
    named = {one.id for one in fleet.accounts}
    more = [one for one in adopts.accounts if one.id and one.id not in named] if adopts else []
    ids = {one.ref: one.id or f"{int(_hex(one.name)[:12], 16) % 10**12:012}" for one in (*fleet.accounts, *more)}
    accounts = [
        fleet_seen.Account(ids[one.ref], one.email, one.name, _lies(units, one.unit), tags=fleet.tags(one))
        for one in (*fleet.accounts, *more)
    ]
    targets = units | ids
    everywhere = tuple(sorted(targets.values()))
    known = {one.id for one in fleet.policies}
    adopted = [one for one in adopts.policies if one.id and one.id not in known] if adopts else []
    policies = []
    for one in (*fleet.policies, *adopted):
        attached = (targets[ref] for ref in one.attach if ref in targets)
        number = one.id or f"p-{_hex(one.type, one.name)[:10]}"
        about = (number, one.name, KINDS[one.type].aws, one.content, one.description, ours, tuple(attached))
        policies.append(fleet_seen.Policy(*about))
    for kind in KINDS.values():
        if kind.given:
            name = f"AWS's own {kind.aws}"
            policies.append(
                fleet_seen.Policy(f"p-{_hex(name)[:10]}", name, kind.aws, {}, "", {}, everywhere, aws_managed=True)
            )
    seen = Seen(
        *("", units[ROOT], tuple(sorted(kind.aws for kind in KINDS.values()))),
        tuple(
            fleet_seen.Unit(units[one.path], one.path.rpartition("/")[2], units[parent(one.path)], ours)
            for one in fleet.units
            if one.path != ROOT
        ),
        *(tuple(sorted(accounts, key=lambda one: one.id)), tuple(sorted(policies, key=lambda one: one.name))),
    )
    return replace(seen, stack_sets=tuple(_stack_sets(fleet, seen, targets)))


def _stack_sets(fleet: Fleet, seen: Seen, targets: Mapping[str, str]) -> Iterator[fleet_seen.StackSet]:
    making = Making(fleet, seen)
    making.accounts()
    for one in sorted(fleet.baselines, key=lambda one: one.name):
        name = desired.stack_set(fleet.component, one.name)
        refs = sorted(pieces(making, one))
        yield fleet_seen.StackSet(
            *(name, desired.digest(one.template), {COMPONENT: fleet.component}, dict(one.parameters)),
            one.regions if refs else (),
            tuple(targets[ref] for ref in refs if not ref.startswith(ACCOUNT)),
            tuple(targets.get(ref, ref.removeprefix(ACCOUNT)) for ref in refs if ref.startswith(ACCOUNT)),
            tuple(desired.stack_set(fleet.component, other) for other in one.depends_on),
            one.auto_deploy,
        )


def _lies(units: Mapping[str, str], path: str) -> str:
    """The nearest unit that is there."""
    return next(units[above] for above in desired.line(path) if above in units)


def _hex(*names: str) -> str:
    return same(list(names)).removeprefix("sha256:")
