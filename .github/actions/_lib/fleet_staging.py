"""The steps of a plan for policies, part by part.

A policy that bounds rights becomes stricter part by part, and looser in the last one only: what comes, gets a further
target or other content is staged. In each earlier part that the target reaches, the policy is attached to the part's
own units in addition; with other content it is a second policy, NAME (next DIGEST). In the last part the target gets
it and the content changes, then what was staged goes. What AWS merges is not staged: it changes in the last part.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import fleet as desired
import fleet_seen
from fleet import ACCOUNT, COMPONENT, KINDS, NEXT, STAGED, line, same
from fleet_making import Making

MARK = 8  # hex digits in the name of what is staged


class Staged(NamedTuple):
    """Where a policy is attached in addition, and until when: places of parts."""

    first: int
    until: int


def policies(making: Making) -> None:
    """The steps for all of them."""
    fleet, seen = making.fleet, making.seen
    claimed, ids = set[str](), {policy.id for policy in fleet.policies if policy.id}
    for policy in fleet.policies:
        place, kind = (policy.file, policy.line), KINDS[policy.type]
        there = _there(making, policy)
        taken = there.id if there and there.id in claimed else ""
        if there:
            claimed.add(there.id)
        if taken or (there and not policy.id and there.id in ids):
            says = f"{there.id if there else taken} is that of another file, which says its id"
            making.refuse("policy-twice", policy.name, says, place)
        elif policy.id and not there:
            making.refuse("policy-id", policy.name, f"there is no policy {policy.id} in the organisation", place)
        elif there and there.type != kind.aws:
            says = f"{there.id} of this name is a {there.word}; a policy's type cannot change: take another name"
            making.refuse("policy-type", policy.name, says, place)
        elif there and not policy.id and not making.ours(there.tags):
            says = f"{there.id} of this name is not dpra's: take another name, or say id: {there.id} to adopt it"
            making.refuse("policy-adopt", policy.name, says, place)
        elif kind.aws not in seen.types:
            says = f"the root has {policy.type} not enabled: enable {kind.aws} in Organizations"
            making.refuse("policy-type-off", policy.name, says, place)
        else:
            before = len(making.steps)
            beside = _next(making, policy)
            if beside:
                claimed.add(beside.id)
            if beside and same(beside.content) != same(policy.content):
                says = f"{beside.id} ({beside.name}) has another content than its name says: somebody changed it"
                making.refuse("policy-next", policy.name, says, place)
            _Policy(making, policy, there, beside).steps()
            if len(making.steps) > before:
                making.facts |= {f"policies {policy.name}", f"type {kind.aws}"}
    for gone in seen.policies:
        if making.ours(gone.tags) and gone.id not in claimed:
            making.ids[f"policy:{gone.label}"] = gone.id
            making.facts.add(f"policies {gone.name}")
            _gone(making, gone)
    _numbers(making)


def _there(making: Making, policy: desired.Policy) -> fleet_seen.Policy | None:
    """The policy of its id, or else of its name: of its type, if there is one."""
    if policy.id:
        return next((one for one in making.seen.policies if one.id == policy.id), None)
    named = making.seen.policies_by_name.get(policy.name, [])
    return min(named, key=lambda one: one.word != policy.type, default=None)


def next_name(policy: desired.Policy) -> str:
    return f"{policy.name} (next {same(policy.content).removeprefix('sha256:')[:MARK]})"


def _next(making: Making, policy: desired.Policy) -> fleet_seen.Policy | None:
    """What is staged of this very content."""
    named = making.seen.policies_by_name.get(next_name(policy), ())
    return next((one for one in named if making.ours(one.tags) and one.word == policy.type and NEXT in one.tags), None)


def allows(content: Any) -> bool:
    """Whether a policy allows something: attached in addition, it would not only make stricter."""
    found = content.get("Statement", ()) if isinstance(content, Mapping) else ()
    some = found if isinstance(found, list) else [found]
    return any(isinstance(one, Mapping) and one.get("Effect") != "Deny" for one in some)


class _Policy:
    """A policy of the files: what is attached (refs to ids), what shall be, and what is staged for it."""

    def __init__(
        self,
        making: Making,
        policy: desired.Policy,
        there: fleet_seen.Policy | None,
        beside: fleet_seen.Policy | None,
    ) -> None:
        self.making, self.policy, self.there, self.beside = making, policy, there, beside
        self.label = f"{policy.type} {policy.name}"
        self.on = _attached(making, there)
        self.on_next = _attached(making, beside)
        self.wants = {ref for ref in policy.attach if making.there(ref)}
        self.new = self.wants - self.on.keys()
        self.other = there is not None and same(there.content) != same(policy.content)
        places = [making.last(ref) for ref in (*self.on, *self.wants)]
        self.last = max(places, default=len(making.fleet.parts) - 1)
        if making.back:
            self.last = making.places[making.back]  # all at once, with the part that goes back first

    def steps(self) -> None:
        """Steps of all parts, in the order of what is done within one."""
        making, policy = self.making, self.policy
        staged = self.staged()
        attached = self.attached(staged)
        beside = next_name(policy)
        if self.beside:
            making.ids[f"policy:{self.beside.label}"] = self.beside.id
            making.facts.add(f"policies {beside}")
        says = {"type": policy.type, "content": same(policy.content), "description": policy.description}
        tags = {COMPONENT: making.fleet.component}
        if self.there is None:
            first = max(attached.values()) if making.back and attached else min(attached.values(), default=self.last)
            making.step("create-policy", policy.name, first, **says, tags=tags)
        else:
            self.update(self.there, says)
        stage = {ref: one.first for ref, one in staged.items() if self.other and ref not in self.on_next}
        if stage and self.beside is None:
            making.facts.add(f"policies {beside}")
            mark = same(policy.content).removeprefix("sha256:")[:12]
            first = min(stage.values())
            making.step("create-policy", beside, first, **says, tags=tags | {NEXT: mark}, policy=policy.name)
        for ref, place in sorted(stage.items()):
            making.labels(ref)
            making.step("attach-policy", beside, place, type=policy.type, target=making.target(ref))
        for ref, place in sorted(attached.items()):
            making.labels(ref)
            if ref in self.wants:
                making.labels(ref).add(self.label)
            making.step("attach-policy", policy.name, place, type=policy.type, target=making.target(ref))
        for ref in sorted({*self.on, *attached} - self.wants):
            _detach(making, policy.type, policy.name, ref, self.until(ref), self.on.get(ref))
        ends = {ref: self.until_next(ref, staged) for ref in {*self.on_next, *stage}}
        for ref, place in sorted(ends.items()):
            _detach(making, policy.type, beside, ref, place, self.on_next.get(ref))
        if self.beside or stage:
            making.step("delete-policy", beside, _end(making, ends, self.last), type=policy.type)

    def staged(self) -> dict[str, Staged]:
        """Where it is attached in addition until the target has it, or has the other content."""
        making, found, told = self.making, dict[str, Staged](), 0
        if making.back:
            return found
        takes = self.policy.type in STAGED and not allows(self.policy.content)
        for target in sorted(self.wants if self.other else self.new):
            until = self.last if self.other else making.last(target)
            for ref, place in making.cut(target).items():
                if place < until and takes:
                    found[ref] = Staged(place, max(until, found[ref].until) if ref in found else until)
                elif place < until:
                    told = max(told, until)
        if told:
            why = "it allows something" if self.policy.type in STAGED else "AWS merges policies of this type"
            says = f"it changes for all that have it at once, with the part {making.fleet.parts[told]}: {why}"
            making.report("not-staged", self.policy.name, says, (self.policy.file, self.policy.line))
        return found

    def attached(self, staged: Mapping[str, Staged]) -> dict[str, int]:
        """What the policy itself is attached to, and in which parts."""
        making = self.making
        found = {ref: self.last if self.other and not making.back else making.last(ref) for ref in self.new}
        if making.back:  # before it goes from above
            for ref, place in found.items():
                gone = [making.last(one) for one in _above(making, ref) if one in self.on and one not in self.wants]
                found[ref] = max([place, *gone])
        elif not self.other:
            for ref, one in staged.items():
                if ref not in self.on and ref not in self.on_next:
                    found.setdefault(ref, one.first)
        return found

    def update(self, there: fleet_seen.Policy, says: dict[str, Any]) -> None:
        making, policy = self.making, self.policy
        making.ids[f"policy:{self.label}"] = there.id
        if there.name != policy.name:
            making.facts.add(f"policies {there.name}")
            for ref in self.on:
                making.labels(ref).difference_update({there.label})
                making.labels(ref).add(self.label)
        before = {"type": there.word, "content": same(there.content), "description": there.description}
        if (there.name, before) != (policy.name, says):
            making.step("update-policy", policy.name, self.last, **says, was=there.name)
            if before != says:
                making.updated.add(self.label)
                for ref in self.on:
                    making.labels(ref)

    def until(self, ref: str) -> int:
        """The part in which the policy goes from a ref: nobody is there any more who keeps it, what is above has it."""
        above = set(_above(self.making, ref))
        ends = [self.last if self.other else self.making.last(one) for one in self.new if one in above]
        return max([_left(self.making, ref), *ends])

    def until_next(self, ref: str, staged: Mapping[str, Staged]) -> int:
        ends = [staged[ref].until] if ref in staged else []
        return max([self.making.last(ref), *ends])


def _attached(making: Making, there: fleet_seen.Policy | None) -> dict[str, str]:
    return {making.ref(target): target for target in there.attachments} if there else {}


def _above(making: Making, ref: str) -> Iterable[str]:
    """The units above a ref."""
    return line(making.unit(ref)) if ref.startswith(ACCOUNT) else list(line(ref))[1:]


def _left(making: Making, ref: str) -> int:
    return making.last(ref) if making.back else making.left(ref)


def _detach(making: Making, word: str, name: str, ref: str, place: int, target: str | None) -> None:
    making.labels(ref).discard(f"{word} {name}")
    making.target(ref)
    if target:
        making.ids[ref] = target
    making.step("detach-policy", name, place, type=word, target=ref)


def _end(making: Making, ends: Mapping[str, int], last: int) -> int:
    """The part in which a policy is deleted: behind all that it is taken from."""
    if making.back:  # parts go back from the last to the first
        return min(ends.values(), default=making.places[making.back])
    return max(ends.values(), default=last)


def _gone(making: Making, gone: fleet_seen.Policy) -> None:
    ends = {}
    for ref, target in sorted(_attached(making, gone).items()):
        ends[ref] = _left(making, ref)
        _detach(making, gone.word, gone.name, ref, ends[ref], target)
    making.step("delete-policy", gone.name, _end(making, ends, len(making.fleet.parts) - 1), type=gone.word)


def _numbers(making: Making) -> None:
    """AWS's limits for what is attached to a target, with what is not dpra's, at every moment of the plan."""
    counts: Counter[tuple[str, str]] = Counter()
    most: Counter[tuple[str, str]] = Counter()
    for step in sorted(making.steps, key=making.order):
        if step.action in ("attach-policy", "detach-policy"):
            key = step.details["target"], step.details["type"]
            counts[key] += 1 if step.action == "attach-policy" else -1
            most[key] = max(most[key], counts[key])
    for ref, word in sorted(key for key in counts if key[1] in KINDS):
        there = sum(one.startswith(f"{word} ") for one in making.before.get(ref, ()))
        kind = KINDS[word]
        given = kind.given if ref in making.new or not _exists(making, ref) else 0
        peak = there + given + most[ref, word]
        if kind.attached and peak > max(kind.attached, there):
            says = f"{peak} policies of the type {word} on it at one time; AWS takes {kind.attached}"
            making.refuse("quota", ref, says)
        if kind.given and there and there + counts[ref, word] == 0:
            making.refuse("last-policy", ref, f"it would have no {word} any more, and AWS wants one")


def _exists(making: Making, ref: str) -> bool:
    return ref.startswith(ACCOUNT) or ref in making.seen.unit_ids
