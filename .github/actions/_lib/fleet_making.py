"""A plan of a fleet while it is made: units, accounts, policies. What for: fleet_plan."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import fleet as desired
import fleet_seen
from fleet import ACCOUNT, COMPONENT, KINDS, PROTECTED, ROOT, Fleet, line, parent, same, same_email
from fleet_seen import ACTIVE, Seen
from fleet_steps import Note, Step


class Making:
    """A plan while it is made. What it changes is kept for what it does to each account."""

    def __init__(self, fleet: Fleet, seen: Seen) -> None:
        self.fleet, self.seen = fleet, seen
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
        if fleet.root and fleet.root != seen.root:
            self.refuse("root", ROOT, f"the files are for the root {fleet.root}, this is {seen.root}", fleet.root_place)

    def step(self, action: str, on: str, at: str, **details: Any) -> None:
        """A step of the part that a ref, `at`, is delivered with."""
        part = self.fleet.part(self.unit(at) if at.startswith(ACCOUNT) else at)
        self.steps.append(Step(action, on, {name.replace("_", "-"): value for name, value in details.items()}, part))
        self.facts.add("root root")

    def refuse(self, rule: str, on: str, text: str, place: tuple[str, int] = ("", 0)) -> None:
        self.refused.append(Note(rule, on, text, *place))

    def report(self, rule: str, on: str, text: str, place: tuple[str, int] = ("", 0)) -> None:
        self.reported.append(Note(rule, on, text, *place))

    def ours(self, tags: Mapping[str, str]) -> bool:
        return tags.get(COMPONENT) == self.fleet.component

    def target(self, ref: str) -> str:
        """A unit or an account that a step is about, by its ref; its id and its place are facts."""
        if ref.startswith(ACCOUNT):
            if found := self.known.get(ref):
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

    # ---- Units

    def units(self) -> None:
        for unit in self.fleet.units:
            if unit.path != ROOT and unit.path not in self.seen.unit_ids:
                above = self.target(parent(unit.path))
                name = unit.path.rpartition("/")[2]
                self.step(
                    "create-unit", unit.path, unit.path, parent=above, name=name, tags={COMPONENT: self.fleet.component}
                )
                self.target(unit.path)

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
            if told := self._refusal(account, there, unclaimed.get(account.name)):
                self.refuse(*told)
                if there:  # nobody has to be told that it was not asked for
                    self.claimed[there.id], self.refused_ids[account.ref] = account.ref, there.id
                continue
            if there is None:
                tags = self.tags(account)
                self.facts.add(f"email {email}")
                self.new.add(account.ref)
                self.step("create-account", account.ref, account.ref, name=account.name, email=account.email, tags=tags)
                self._differences(account, fleet_seen.Account("", account.email, account.name, self.seen.root))
            else:
                self.known[account.ref] = there
                self.claimed[there.id] = account.ref
                if there.name != account.name:
                    says = f"{there.id} has the name '{there.name}' there; dpra does not rename accounts"
                    self.report("account-name", account.ref, says, account.place("name"))
                self._differences(account, there)

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
        ref, before = account.ref, self.seen.unit(there)
        if there.id:
            wants = self.tags(account)
            if not self.ours(there.tags):  # adopted: nothing changes by that alone
                del wants[COMPONENT]
            more = {key: value for key, value in wants.items() if there.tags.get(key) != value}
            if more:
                self.step("tag-account", self.target(ref), ref, tags=more)
            theirs = (key for key in there.tags if not key.lower().startswith(("aws:", desired.OURS)))
            if less := sorted({*theirs, *({PROTECTED} & there.tags.keys())} - wants.keys()):
                self.step("untag-account", self.target(ref), ref, keys=less)
        for key, value in desired.remembered(account).items():
            if there.tags.get(key) != value:  # what is set is written down behind it, each by itself
                kind = key.removeprefix(desired.REMEMBERED)
                if key == desired.BUDGET:
                    self.step("set-budget", self.target(ref), ref, amount=account.budget)
                else:
                    self.step("set-contact", self.target(ref), ref, contact=kind, **account.contacts[kind])
                self.step("tag-account", self.target(ref), ref, tags={key: value})
        if account.budget is None and desired.BUDGET in there.tags:
            self.step("remove-budget", self.target(ref), ref)
            self.step("untag-account", self.target(ref), ref, keys=[desired.BUDGET])
        if before != account.unit:
            for unit in (before, account.unit):
                self.target(unit)
                self.facts |= {f"on {path}" for path in line(unit)}
            self.step(
                "move-account",
                self.target(ref),
                self.later(before, account.unit),
                **{"from": before, "to": account.unit},
            )

    def tags(self, account: desired.Account) -> dict[str, str]:
        """The tags that are set by themselves: without those that remember what was done."""
        found = self.fleet.tags(account)
        return {key: found[key] for key in found if key not in desired.remembered(account)}

    def later(self, one: str, other: str) -> str:
        """Of two units the one that is delivered later."""
        return max(one, other, key=lambda path: self.fleet.parts.index(self.fleet.part(path)))

    def unit(self, ref: str) -> str:
        """Where an account is in the end."""
        if ref in self.known or ref in self.new:
            return self.fleet.by_name[ref.removeprefix(ACCOUNT)].unit
        there = self.seen.by_id.get(self.refused_ids.get(ref, ref.removeprefix(ACCOUNT)))
        return self.seen.unit(there) if there else ROOT

    # ---- Policies

    def policies(self) -> None:
        claimed, ids = set[str](), {policy.id for policy in self.fleet.policies if policy.id}
        for policy in self.fleet.policies:
            place, kind = (policy.file, policy.line), KINDS[policy.type]
            there = self._there(policy)
            taken = there.id if there and there.id in claimed else ""
            if there:
                claimed.add(there.id)
            if taken or (there and not policy.id and there.id in ids):
                says = f"{there.id if there else taken} is that of another file, which says its id"
                self.refuse("policy-twice", policy.name, says, place)
            elif policy.id and not there:
                self.refuse("policy-id", policy.name, f"there is no policy {policy.id} in the organisation", place)
            elif there and there.type != kind.aws:
                says = f"{there.id} of this name is a {there.word}; a policy's type cannot change: take another name"
                self.refuse("policy-type", policy.name, says, place)
            elif there and not policy.id and not self.ours(there.tags):
                says = f"{there.id} of this name is not dpra's: take another name, or say id: {there.id} to adopt it"
                self.refuse("policy-adopt", policy.name, says, place)
            elif kind.aws not in self.seen.types:
                says = f"the root has {policy.type} not enabled: enable {kind.aws} in Organizations"
                self.refuse("policy-type-off", policy.name, says, place)
            else:
                before = len(self.steps)
                self._policy(policy, there)
                if len(self.steps) > before:
                    self.facts |= {f"policies {policy.name}", f"type {kind.aws}"}
        for gone in self.seen.policies:
            if self.ours(gone.tags) and gone.id not in claimed:
                self.ids[f"policy:{gone.label}"] = gone.id
                self.facts.add(f"policies {gone.name}")
                self._detach(gone, gone.attachments)
                self.step("delete-policy", gone.name, self.fleet.parts[-1], type=gone.word)
        self._numbers()

    def _there(self, policy: desired.Policy) -> fleet_seen.Policy | None:
        """The policy of its id, or else of its name: of its type, if there is one."""
        if policy.id:
            return next((one for one in self.seen.policies if one.id == policy.id), None)
        named = self.seen.policies_by_name.get(policy.name, [])
        return min(named, key=lambda one: one.word != policy.type, default=None)

    def _policy(self, policy: desired.Policy, there: fleet_seen.Policy | None) -> None:
        says = {"type": policy.type, "content": same(policy.content), "description": policy.description}
        if there is None:
            self.step("create-policy", policy.name, self.fleet.parts[0], **says, tags={COMPONENT: self.fleet.component})
        else:
            self.ids[f"policy:{policy.type} {policy.name}"] = there.id
            if there.name != policy.name:
                self.facts.add(f"policies {there.name}")
            before = {"type": there.word, "content": same(there.content), "description": there.description}
            if (there.name, before) != (policy.name, says):
                self.step("update-policy", policy.name, self.fleet.parts[-1], **says, was=there.name)
                if before != says:
                    self.updated.add(f"{policy.type} {policy.name}")
                    for target in there.attachments:
                        self.labels(self.ref(target))
        label = f"{policy.type} {policy.name}"
        attached = {self.ref(target): target for target in there.attachments} if there else {}
        if there and there.name != policy.name:
            for ref in attached:
                self.labels(ref).difference_update({there.label})
                self.labels(ref).add(label)
        for ref in sorted(set(policy.attach) - attached.keys()):
            self.labels(ref).add(label)
            self.step("attach-policy", policy.name, ref, type=policy.type, target=self.target(ref))
        if there:
            self._detach(there, [target for ref, target in attached.items() if ref not in policy.attach], policy.name)

    def _detach(self, there: fleet_seen.Policy, targets: Iterable[str], name: str = "") -> None:
        for ref, target in sorted((self.ref(target), target) for target in targets):
            self.labels(ref).discard(f"{there.word} {name or there.name}")
            self.target(ref)
            self.ids[ref] = target
            self.step("detach-policy", name or there.name, ref, type=there.word, target=ref)

    def _numbers(self) -> None:
        """AWS's limits for what is attached to a target, with what is not dpra's."""
        for ref, labels in self.after.items():
            was = self.before.get(ref, set())
            for word, kind in KINDS.items():
                count, before = (sum(one.startswith(f"{word} ") for one in some) for some in (labels, was))
                given = kind.given if ref in self.new or not self._exists(ref) else 0
                if kind.attached and count + given > max(kind.attached, before):
                    says = f"{count + given} policies of the type {word} on it; AWS takes {kind.attached}"
                    self.refuse("quota", ref, says)
                if kind.given and before and not count:
                    self.refuse("last-policy", ref, f"it would have no {word} any more, and AWS wants one")

    def _exists(self, ref: str) -> bool:
        return ref.startswith(ACCOUNT) or ref in self.seen.unit_ids

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
