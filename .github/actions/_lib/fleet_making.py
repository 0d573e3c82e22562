"""A plan of a fleet while it is made: parts, units, accounts. What for: fleet_plan. Policies: fleet_staging."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import fleet as desired
import fleet_seen
from fleet import ACCOUNT, COMPONENT, PROTECTED, ROOT, Fleet, line, parent, same_email
from fleet_seen import ACTIVE, Seen
from fleet_steps import Note, Step, place


class Making:
    """A plan while it is made. What it changes is kept for what it does to each account."""

    def __init__(self, fleet: Fleet, seen: Seen, back: str = "") -> None:
        """`back`: the part that goes back to this fleet; then only policies and baselines do, and all else stays."""
        self.fleet, self.seen, self.back = fleet, seen, back
        self.places = {part: place for place, part in enumerate(fleet.parts)}
        self.steps: list[Step] = []
        self.refused: list[Note] = []
        self.reported: list[Note] = []
        self.ids: dict[str, str] = {}
        self.facts: set[str] = set()
        self.known: dict[str, fleet_seen.Account] = {}  # by account:NAME of the files
        self.claimed: dict[str, str] = {}  # an account's id -> account:NAME of the files
        self.refused_ids: dict[str, str] = {}  # account:NAME of the files -> id
        self.new: set[str] = set()  # account:NAME of those that are created
        self.after: dict[str, set[str]] = {}  # ref -> labels of what is attached or deployed then, where that changes
        self.updated: set[str] = set()  # labels
        self.moves: dict[str, int] = {}  # by account:NAME: the place of the part in which it moves
        self.leaves: dict[str, int] = {}  # by unit: that in which the last account leaves it
        if fleet.root and fleet.root != seen.root:
            self.refuse("root", ROOT, f"the files are for the root {fleet.root}, this is {seen.root}", fleet.root_place)

    def step(self, action: str, on: str, part: int, **details: Any) -> None:
        """A step of the part of this place."""
        says = {name.replace("_", "-"): value for name, value in details.items()}
        self.steps.append(Step(action, on, says, self.fleet.parts[part]))
        self.facts.add("root root")

    def order(self, step: Step) -> tuple[int, int]:
        """Where a step stands among those of all parts."""
        return self.places[step.part], place(step)

    def refuse(self, rule: str, on: str, text: str, place: tuple[str, int] = ("", 0)) -> None:
        self.refused.append(Note(rule, on, text, *place))

    def report(self, rule: str, on: str, text: str, place: tuple[str, int] = ("", 0)) -> None:
        self.reported.append(Note(rule, on, text, *place))

    def ours(self, tags: Mapping[str, str]) -> bool:
        return tags.get(COMPONENT) == self.fleet.component

    def target(self, ref: str) -> str:
        """A unit or an account that a step is about, by its ref; its id and its place are facts."""
        if ref.startswith(ACCOUNT):
            if found := self.known.get(ref) or self.seen.by_id.get(ref.removeprefix(ACCOUNT)):
                self.ids[ref] = found.id
                self.facts.add(f"account {found.id}")
        elif found_id := self.seen.unit_ids.get(ref):
            self.ids[ref] = found_id
            self.facts.add(f"unit {ref}")
        else:
            self.facts.add(f"unit {ref}")  # that it is not there
        return ref

    def ref(self, target: str) -> str:
        """How a target is called that AWS knows by its id: an account of the files by its name."""
        return self.claimed.get(target) or self.seen.ref(target)

    def seen_ref(self, ref: str) -> str:
        """As a fact calls it: the organisation knows accounts by their ids."""
        return ACCOUNT + self.known[ref].id if ref in self.known else ref

    @cached_property
    def before(self) -> dict[str, set[str]]:
        """What is attached or deployed to each ref as it is now: labels."""
        found: dict[str, set[str]] = {}
        for target, labels in self.seen.on.items():
            ref = self.claimed.get(target.removeprefix(ACCOUNT)) if target.startswith(ACCOUNT) else None
            found[ref or target] = set(labels)
        return found

    def labels(self, ref: str) -> set[str]:
        """What is attached or deployed to a ref in the end; it may be changed."""
        if ref not in self.after:
            self.after[ref] = set(self.before.get(ref, ()))
            self.facts.add(f"on {self.seen_ref(ref)}")
            if not ref.startswith(ACCOUNT) and ref in self.seen.unit_ids:
                self.facts.add(f"members {ref}")
        return self.after[ref]

    # ---- Parts

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """The units in each unit, those that are there and those that shall be."""
        found: dict[str, list[str]] = defaultdict(list)
        for path in sorted({*self.fleet.by_path, *self.seen.unit_ids} - {ROOT}):
            found[parent(path)].append(path)
        return found

    @cached_property
    def direct(self) -> dict[str, list[str]]:
        """The accounts that are in each unit itself in the end."""
        found: dict[str, list[str]] = defaultdict(list)
        everybody = {self.claimed.get(one, ACCOUNT + one) for one in self.seen.by_id if one != self.seen.management}
        for ref in sorted(everybody | self.new):
            found[self.unit(ref)].append(ref)
        return found

    @cached_property
    def reach(self) -> dict[str, set[int]]:
        """The places of the parts that each unit has to do with: its own, and those of units below."""
        found: dict[str, set[int]] = defaultdict(set)
        for path in {ROOT, *self.fleet.by_path, *self.seen.unit_ids}:
            for above in line(path):
                found[above].add(self.place(path))
        return found

    def place(self, ref: str) -> int:
        """Of the part that a unit or an account is delivered with; an account by itself goes back with the first."""
        if self.back and ref.startswith(ACCOUNT):
            return self.places[self.back]
        return self.places[self.fleet.part(self.unit(ref) if ref.startswith(ACCOUNT) else ref)]

    def last(self, ref: str) -> int:
        """Of the last part that has to do with a unit or an account."""
        return self.place(ref) if ref.startswith(ACCOUNT) else max(self.reach[ref], default=self.place(ref))

    def left(self, ref: str) -> int:
        """Of the part behind which nobody is there any more who is not there in the end: what goes, goes then."""
        return max(self.last(ref), self.leaves.get(ref, 0), self.moves.get(ref, 0))

    def cut(self, ref: str) -> dict[str, int]:
        """A target in pieces, each of one part: units, and accounts that are beside them; with the part's place."""
        if ref.startswith(ACCOUNT) or len(self.reach[ref]) < 2:
            return {ref: self.last(ref)}
        found = dict.fromkeys(self.direct.get(ref, ()), self.place(ref))
        for unit in self.children[ref]:
            found |= self.cut(unit)
        return found

    def there(self, ref: str) -> bool:
        """Whether a target is there in the end: on the way back none is created."""
        return not self.back or ref in self.known or ref in self.seen.unit_ids

    # ---- Units

    def units(self) -> None:
        """A unit comes with its part, or with an earlier one that has a unit in it."""
        there = self.seen.unit_ids
        for unit in self.fleet.units:
            if unit.path not in there and not self.back:
                above = self.target(parent(unit.path))
                name = unit.path.rpartition("/")[2]
                first = min(self.place(path) for path in self._new_below[unit.path])
                tags = {COMPONENT: self.fleet.component}
                self.step("create-unit", unit.path, first, parent=above, name=name, tags=tags)
                self.target(unit.path)

    @cached_property
    def _new_below(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for path in self.fleet.by_path.keys() - self.seen.unit_ids.keys():
            for above in line(path):
                found[above].append(path)
        return found

    # ---- Accounts

    def accounts(self) -> None:
        ids = {account.id for account in self.fleet.accounts if account.id}
        emails = {same_email(account.email) for account in self.fleet.accounts}
        unclaimed = {
            one.name: one
            for one in self.seen.accounts
            if self.ours(one.tags) and one.id not in ids and same_email(one.email) not in emails
            if one.status == ACTIVE
        }
        for account in self.fleet.accounts:
            email = same_email(account.email)
            there = self.seen.by_id.get(account.id) if account.id else self.seen.by_email.get(email)
            if self.back:
                self._stays(account, there)
                continue
            if told := self._refusal(account, there, unclaimed.get(account.name)):
                self.refuse(*told)
                if there:  # nobody has to be told that it was not asked for
                    self.claimed[there.id], self.refused_ids[account.ref] = account.ref, there.id
                continue
            if there is None:
                tags = self.tags(account)
                self.facts.add(f"email {email}")
                self.new.add(account.ref)
                self.step(
                    "create-account",
                    account.ref,
                    self.place(account.ref),
                    name=account.name,
                    email=account.email,
                    tags=tags,
                )
                self._differences(account, fleet_seen.Account("", account.email, account.name, self.seen.root))
            else:
                self.known[account.ref] = there
                self.claimed[there.id] = account.ref
                if there.name != account.name:
                    says = f"{there.id} has the name '{there.name}' there; dpra does not rename accounts"
                    self.report("account-name", account.ref, says, account.place("name"))
                self._differences(account, there)

    def _stays(self, account: desired.Account, there: fleet_seen.Account | None) -> None:
        """On the way back an account is what policies and baselines go to, and no more."""
        if there is None:
            self.report(
                "not-there", account.ref, "it is not there, and not created on the way back", account.place("name")
            )
            return
        self.known[account.ref], self.claimed[there.id] = there, account.ref
        if (lies := self.seen.unit(there)) != account.unit:
            says = f"it lies in {lies}, not in {account.unit} as these files say; it stays"
            self.report("not-moved", account.ref, says, account.place("unit"))

    def _refusal(
        self, account: desired.Account, there: fleet_seen.Account | None, other: fleet_seen.Account | None
    ) -> tuple[str, str, str, tuple[str, int]] | None:
        """Why nothing can be done with an account."""
        ref, place = account.ref, account.place("email")
        if there is None and account.id:
            return "account-id", ref, f"there is no account {account.id} in the organisation", account.place("id")
        if there is None:
            if other is None:
                return None
            says = f"{other.id} of this name has the e-mail {other.email}: an address is not changed, nor made twice"
            return "account-email", ref, says, place
        component = there.tags.get(COMPONENT, self.fleet.component)
        if same_email(there.email) != same_email(account.email):
            says = f"{there.id} has the e-mail {there.email}: an address is not changed"
            return "account-email", ref, says, place
        if component != self.fleet.component:
            return "account-component", ref, f"{there.id} is of the component {component}", place
        if not account.id and not self.ours(there.tags):
            says = f'{there.id} has this e-mail and is not dpra\'s: say id: "{there.id}" to adopt it'
            return "account-adopt", ref, says, place
        if there.status != ACTIVE:
            return "account-status", ref, f"{there.id} is {there.status}, not {ACTIVE}", place
        return None

    def _differences(self, account: desired.Account, there: fleet_seen.Account) -> None:
        """Steps for what of an account is not as the files say. What they say nothing of stays as it is."""
        ref, before, here = account.ref, self.seen.unit(there), self.place(account.ref)
        if there.id:
            wants = self.tags(account)
            if not self.ours(there.tags):  # adopted: nothing changes by that alone
                del wants[COMPONENT]
            more = {key: value for key, value in wants.items() if there.tags.get(key) != value}
            if more:
                self.step("tag-account", self.target(ref), here, tags=more)
            theirs = (key for key in there.tags if not key.lower().startswith(("aws:", desired.OURS)))
            if less := sorted({*theirs, *({PROTECTED} & there.tags.keys())} - wants.keys()):
                self.step("untag-account", self.target(ref), here, keys=less)
        for key, value in desired.remembered(account).items():
            if there.tags.get(key) != value:  # what is set is written down behind it, each by itself
                kind = key.removeprefix(desired.REMEMBERED)
                if key == desired.BUDGET:
                    self.step("set-budget", self.target(ref), here, amount=account.budget)
                else:
                    self.step("set-contact", self.target(ref), here, contact=kind, **account.contacts[kind])
                self.step("tag-account", self.target(ref), here, tags={key: value})
        if account.budget is None and desired.BUDGET in there.tags:
            self.step("remove-budget", self.target(ref), here)
            self.step("untag-account", self.target(ref), here, keys=[desired.BUDGET])
        if before != account.unit:
            for unit in (before, account.unit):
                self.target(unit)
                self.facts |= {f"on {path}" for path in line(unit)}
            # With the later of both parts; down to a unit below, nothing is left behind.
            inside = set(line(account.unit))
            part = here if before in inside else max(here, self.place(before))
            self.moves[ref] = part
            for path in line(before):
                if path not in inside:
                    self.leaves[path] = max(part, self.leaves.get(path, 0))
            self.step("move-account", self.target(ref), part, **{"from": before, "to": account.unit})

    def tags(self, account: desired.Account) -> dict[str, str]:
        """The tags that are set by themselves: without those that remember what was done."""
        found = self.fleet.tags(account)
        return {key: found[key] for key in found if key not in desired.remembered(account)}

    def unit(self, ref: str) -> str:
        """Where an account is in the end."""
        if self.back and ref in self.known:
            return self.seen.unit(self.known[ref])
        if ref in self.known or ref in self.new:
            return self.fleet.by_name[ref.removeprefix(ACCOUNT)].unit
        there = self.seen.by_id.get(self.refused_ids.get(ref, ref.removeprefix(ACCOUNT)))
        return self.seen.unit(there) if there else ROOT

    # ---- What is there and nobody asked for

    def others(self) -> None:
        for account in self.seen.accounts:
            if account.id in self.claimed or account.id == self.seen.management:
                continue
            about = f"'{account.name}' ({account.email}) in {self.seen.unit(account)}, {account.status}"
            if self.ours(account.tags):
                says = f"{about}, is in no file any more; it stays where it is"
                self.report("account-gone", account.id, says)
            else:
                self.report("account-unasked", account.id, f"{about}, and nobody asked for it")
        for unit in self.seen.units:
            if (path := self.seen.paths[unit.id]) not in self.fleet.by_path:
                rule = "unit-gone" if self.ours(unit.tags) else "unit-unasked"
                self.report(rule, unit.id, f"the unit '{path}' is in no file; it stays")
        names = {(policy.type, policy.name) for policy in self.fleet.policies}
        for policy in self.seen.policies:
            known = self.ours(policy.tags) or policy.aws_managed or (policy.word, policy.name) in names
            if not known and policy.id not in {one.id for one in self.fleet.policies}:
                self.report("policy-unasked", policy.id, f"the {policy.label} is in no file, and not dpra's; it stays")
        for one in self.seen.stack_sets:
            if not self.ours(one.tags):
                self.report("stack-set-unasked", one.name, f"the {one.label} is not dpra's; it stays")
