"""The organisation as it was seen: seen.json, and the facts in it that a plan depends on.

    management: its account's id        root: {id, types: [SERVICE_CONTROL_POLICY, …] that are enabled}
    units:      [{id, name, parent, tags}]                              parent is an id: of the root or of a unit
    accounts:   [{id, email, name, status, parent, tags}]               of contacts and budget, what dpra has set is in
                the tags dpra:contact-KIND and dpra:budget; there may be `contacts` and `budget`, which no plan looks at
    policies:   [{id, name, type, description, content, tags, attachments: [id], aws-managed}]
    stack-sets: [{name, tags, template: sha256:…, parameters, regions, units: [id], accounts: [id], depends-on: [name],
                auto-deploy, outdated: [id], missing: {region: [id]}}]
                outdated: those of units and accounts that have stacks which CloudFormation calls OUTDATED; missing:
                those that have no stacks in one of the regions. Both may be left out: then all are up to date.
A policy's content is its document as JSON has it, parsed: not the text in which AWS gives it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fleet import ACCOUNT, COMPONENT, ROOT, WORDS, line, same, same_email

ACTIVE = "ACTIVE"
ABSENT = "not there"
NOT_READ = ("contacts", "budget")  # of accounts


@dataclass(frozen=True)
class Unit:
    id: str
    name: str
    parent: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Account:
    id: str
    email: str
    name: str
    parent: str
    status: str = ACTIVE
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    id: str
    name: str
    type: str  # as AWS calls it
    content: Any
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[str, ...] = ()
    aws_managed: bool = False

    @property
    def word(self) -> str:
        return WORDS.get(self.type, self.type)

    @property
    def label(self) -> str:
        return f"{self.word} {self.name}"


@dataclass(frozen=True)
class StackSet:
    name: str
    template: str  # its digest
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    auto_deploy: bool = True
    outdated: tuple[str, ...] = ()
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"stack set {self.name}"


@dataclass(frozen=True)
class Seen:
    """An organisation. Lists may come in any order: nothing depends on it."""

    management: str
    root: str
    types: tuple[str, ...]
    units: tuple[Unit, ...] = ()
    accounts: tuple[Account, ...] = ()
    policies: tuple[Policy, ...] = ()
    stack_sets: tuple[StackSet, ...] = ()

    @classmethod
    def from_json(cls, data: Any) -> "Seen":
        """What a seen.json says.

        Raises:
            ValueError: it is none.
        """
        try:
            lists = [
                tuple(sorted((_made(kind, one) for one in data.get(name, ())), key=lambda one: (one.name, repr(one))))
                for name, kind in (("units", Unit), ("policies", Policy), ("stack-sets", StackSet))
            ]
            given = ({key: one[key] for key in one if key not in NOT_READ} for one in data.get("accounts", ()))
            accounts = tuple(sorted((_made(Account, one) for one in given), key=lambda one: one.id))
            found = cls(
                str(data["management"]),
                str(data["root"]["id"]),
                tuple(sorted(data["root"].get("types", ()))),
                lists[0],
                accounts,
                lists[1],
                lists[2],
            )
            known = found.paths
            if strays := [one.id for one in accounts if one.parent not in known]:
                raise KeyError(f"the parent of {strays[0]}")
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"this is no seen.json: {error}") from None
        return found

    @cached_property
    def paths(self) -> dict[str, str]:
        """The path of each unit by its id. A name that would lead astray is its id there."""
        units = {unit.id: unit for unit in self.units}
        found = {self.root: ROOT}
        for unit in self.units:
            way = []
            at = unit
            while at.id not in found:
                way.append(at)
                if len(way) > len(units):
                    raise TypeError(f"{unit.id} is below itself")
                if at.parent in found:
                    break
                at = units[at.parent]
            for one in reversed(way):
                above = found[one.parent]
                plain = "/" not in one.name and not one.name.startswith(ACCOUNT) and (above, one.name) != (ROOT, ROOT)
                name = one.name if plain and one.name else one.id
                found[one.id] = name if above == ROOT else f"{above}/{name}"
        return found

    @cached_property
    def unit_ids(self) -> dict[str, str]:
        return {path: unit for unit, path in self.paths.items()}

    @cached_property
    def by_id(self) -> dict[str, Account]:
        return {one.id: one for one in self.accounts}

    @cached_property
    def by_email(self) -> dict[str, Account]:
        return {same_email(one.email): one for one in self.accounts}

    def unit(self, account: Account) -> str:
        """The path of the unit that an account lies in."""
        return self.paths.get(account.parent, account.parent)

    def ref(self, target: str) -> str:
        """How a target is called that AWS knows by its id."""
        return self.paths.get(target) or (ACCOUNT + target if target in self.by_id else target)

    @cached_property
    def on(self) -> dict[str, list[str]]:
        """What is attached to each target, or is deployed to it: labels by ref."""
        found: dict[str, list[str]] = defaultdict(list)
        for policy in self.policies:
            for target in policy.attachments:
                found[self.ref(target)].append(policy.label)
        for one in self.stack_sets:
            for target in (*one.units, *one.accounts):
                found[self.ref(target)].append(one.label)
        return {ref: sorted(labels) for ref, labels in found.items()}

    @cached_property
    def members(self) -> dict[str, list[str]]:
        """The accounts in each unit and below it."""
        found: dict[str, list[str]] = defaultdict(list)
        for account in self.accounts:
            for path in line(self.unit(account)):
                found[path].append(account.id)
        return {path: sorted(ids) for path, ids in found.items()}

    @cached_property
    def policies_by_name(self) -> dict[str, list[Policy]]:
        found: dict[str, list[Policy]] = defaultdict(list)
        for one in self.policies:
            found[one.name].append(one)
        return found

    @cached_property
    def stack_sets_by_name(self) -> dict[str, StackSet]:
        return {one.name: one for one in self.stack_sets}

    def fact(self, key: str) -> Any:
        """What the organisation says to a key of a plan's basis, as JSON has it; None: it is not there."""
        kind, _, name = key.partition(" ")
        if kind == "root":
            return self.root
        if kind == "type":
            return "enabled" if name in self.types else None
        if kind == "unit":
            return self.unit_ids.get(name)
        if kind == "email":
            found = self.by_email.get(name)
            return found.id if found else None
        if kind == "account":
            return self._account(name)
        if kind == "policies":  # of this name, whatever their type
            return [self._policy(one) for one in self.policies_by_name.get(name, ())] or None
        if kind == "stack-set":
            one = self.stack_sets_by_name.get(name)
            return self._stack_set(one) if one else None
        if kind == "on":
            return self.on.get(name, [])
        if kind == "members":
            return self.members.get(name, [])
        raise ValueError(f"'{key[:60]}' is no fact of an organisation")

    def _account(self, name: str) -> dict[str, Any] | None:
        if (one := self.by_id.get(name)) is None:
            return None
        about = {"name": one.name, "email": one.email, "status": one.status, "unit": self.unit(one)}
        return about | {"tags": dict(sorted(one.tags.items()))}

    def _policy(self, one: Policy) -> dict[str, Any]:
        about = {"id": one.id, "type": one.type, "description": one.description, "content": same(one.content)}
        attached = sorted(self.ref(target) for target in one.attachments)
        return about | {"component": one.tags.get(COMPONENT, ""), "attached": attached}

    def _stack_set(self, one: StackSet) -> dict[str, Any]:
        targets = sorted(self.ref(target) for target in (*one.units, *one.accounts))
        about: dict[str, Any] = {
            "template": one.template,
            "parameters": dict(sorted(one.parameters.items())),
            "targets": targets,
        }
        about |= {"regions": sorted(one.regions), "depends-on": sorted(one.depends_on), "auto-deploy": one.auto_deploy}
        return about | {"component": one.tags.get(COMPONENT, "")}


def _made(kind: Any, data: Mapping[str, Any]) -> Any:
    given = {name.replace("-", "_"): tuple(one) if isinstance(one, list) else one for name, one in data.items()}
    return kind(**given)


def changed(basis: Mapping[str, Any], seen: Seen) -> Iterator[str]:
    """What of the facts is otherwise now, a line each."""
    for key, before in basis.items():
        now = seen.fact(key)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            for name in sorted({*before, *now}):
                if before.get(name) != now.get(name):
                    yield f"{key}: {name} was {_shown(before.get(name))}, is {_shown(now.get(name))}"
        elif isinstance(before, list) and isinstance(now, list) and all(isinstance(one, str) for one in before + now):
            for says, more in (("gone", _without(before, now)), ("new", _without(now, before))):
                if more:
                    yield f"{key}: {says}: {', '.join(more[:10])}{' …' if len(more) > 10 else ''}"
        else:
            yield f"{key}: was {_shown(before)}, is {_shown(now)}"


def _without(some: Iterable[str], others: Iterable[str]) -> list[str]:
    return sorted(set(some) - set(others))


def _shown(value: Any) -> str:
    return ABSENT if value is None else value if isinstance(value, str) else str(value)
