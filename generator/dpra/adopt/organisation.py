"""`dpra init --from-organisation`: an organisation that is there as the files of an account fleet. Pure.

The plan of these files is empty: adoption changes nothing, and sets no tag; by its id in a file a thing is dpra's.
What the files cannot say is left out and told, and stays in AWS as it is; so do stack sets.
"""

import importlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from dpra import resources, scalar
from dpra.dataclasses import dataclass
from dpra.errors import InputError

HEAD = "# Made by dpra init of the organisation as it was. Every key: docs/account-fleet.md of dpra.\n"
# In a folder of policies or accounts no file is read whose name begins like this.
HIDDEN = (".", "readme")
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._+-]*@[A-Za-z0-9.-]*[A-Za-z]")  # e-mail addresses that need no quotes
GUESSES = {
    "beta": ("sandbox",),
    "gamma": ("canary", "staging", "policystaging"),
}  # units of these names, if there are any


class OrganisationError(InputError):
    """It is no organisation that could be read. `str()` says why."""


@dataclass(frozen=True)
class Adopted:
    """Files, and what they do not say."""

    files: Mapping[str, str]  # path -> text
    told: tuple[str, ...]
    units: tuple[str, ...]  # their paths
    accounts: int
    policies: int
    management: str


@dataclass(frozen=True)
class _Pack:
    """The pack's modules, by their own names."""

    fleet: ModuleType
    rules: ModuleType
    seen: ModuleType


def pack() -> _Pack:
    resources.lib("runner")  # then they find each other
    return _Pack(*(importlib.import_module(name) for name in ("fleet", "fleet_rules", "fleet_seen")))


def files(seen: Any, component: str) -> dict[str, str]:
    """The files alone: path -> text."""
    return dict(adopted(seen, component).files)


def adopted(seen: Any, component: str) -> Adopted:
    """The files of an organisation.

    Args:
        seen: the document of seen.json, which fleet_seen describes.
        component: the name in dpra.yml. What has the tag dpra:component with another one is left out.
    Raises:
        OrganisationError: it is no such document.
    """
    lib = pack()
    try:
        there = lib.seen.Seen.from_json(seen)
    except ValueError as error:
        raise OrganisationError(str(error)) from None
    making = _Making(lib, there, component)
    making.units()
    making.accounts()
    making.policies()
    for one in there.stack_sets:
        making.tell(
            f"the stack set {one.name}", "it stays; a baseline is a new one, see docs/fleet-migration.md of dpra"
        )
    return Adopted(
        dict(sorted(making.files.items())),
        tuple(making.told),
        tuple(sorted(making.known)),
        len(making.keys),
        len(making.stems),
        there.management,
    )


class _Making:
    """The files while they are made."""

    def __init__(self, lib: _Pack, seen: Any, component: str) -> None:
        self.lib, self.seen, self.component = lib, seen, component
        self.files: dict[str, str] = {}
        self.told: list[str] = []
        self.known: set[str] = set()  # paths of units that the files name
        self.keys: dict[str, str] = {}  # an account's id -> its name in the files
        self.stems: set[str] = set()  # names of policies' files, in lower case

    def tell(self, what: str, why: str) -> None:
        self.told.append(f"{what}: {why}")

    def wrong(self, **parts: Any) -> str:
        """Why a thing cannot be in the files; empty where it can."""
        found = self.lib.rules.problems(self.lib.fleet.Fleet(self.component, **parts))
        return found[0].message if found else ""

    # ---- Units

    def units(self) -> None:
        """organisation.yml. A unit that it cannot name is left out with all that is in it."""
        fleet = self.lib.fleet
        self.known.add(fleet.ROOT)
        names = {unit.id: unit.name for unit in self.seen.units}
        for number, path in sorted(self.seen.paths.items(), key=lambda pair: pair[1]):
            if path == fleet.ROOT or fleet.parent(path) not in self.known:
                continue
            if says := self.wrong(units=self._way(path)):
                self.tell(f"the unit {path}", f"{says}; it is left out, with what is in it")
                continue
            self.known.add(path)
            if names[number] != path.rpartition("/")[2]:
                self.tell(f"the unit '{names[number]}'", f"no path can have this name: the files call it {path}")
        below: dict[str, list[str]] = {}
        for path in sorted(self.known - {fleet.ROOT}):
            below.setdefault(fleet.parent(path), []).append(path)
        lines = [f"root: {_text(self.seen.root)}"]
        lines += ["# break-glass: [role/break-glass]    roles that no policy may lock out"]
        self.files["organisation.yml"] = HEAD + _joined([*lines, *_tree(below, fleet.ROOT, "")])

    def _way(self, path: str) -> tuple[Any, ...]:
        """The units from the root to one."""
        return tuple(self.lib.fleet.Unit(above, "", 1) for above in reversed([*self.lib.fleet.line(path)]))

    # ---- Accounts

    def accounts(self) -> None:
        """accounts/, a file for each unit that has some itself."""
        attached = {target for policy in self.seen.policies if not policy.aws_managed for target in policy.attachments}
        found: dict[str, list[Any]] = {}
        for one in self.seen.accounts:
            if one.id == self.seen.management and one.id not in attached:
                continue
            if says := self._left_out(one):
                self.tell(f"the account {one.id} ({one.name})", f"{says}; it is left out, and stays as it is")
            else:
                found.setdefault(self.seen.unit(one), []).append(one)
        self._names(one for path in sorted(found) for one in found[path])
        taken: set[str] = set()
        for path, some in sorted(found.items()):
            lines = [f"unit: {_text(path)}", "accounts:"]
            for one in sorted(some, key=lambda one: self.keys[one.id]):
                lines += self._account(one)
            self.files[_file(path, taken)] = HEAD + _joined(lines)

    def _left_out(self, one: Any) -> str:
        fleet, unit = self.lib.fleet, self.seen.unit(one)
        if one.status != self.lib.seen.ACTIVE:
            return f"it is {one.status}"
        if (owner := one.tags.get(fleet.COMPONENT, self.component)) != self.component:
            return f"it is of the component {owner}"
        if unit not in self.known:
            return f"so is its unit, {unit}"
        budget = _budget(one.tags, fleet)
        if one.tags.get(fleet.PROTECTED, "true") != "true" or (
            fleet.BUDGET in one.tags and (budget is None or fleet.amount(budget) != one.tags[fleet.BUDGET])
        ):
            return f"a tag that begins with {fleet.OURS} is not as dpra sets it"
        said = fleet.Account(
            *(f"account-{one.id}", one.email, unit, "", 1, one.id, self._tags(one.tags)),
            budget=budget,
            deletion_protection=fleet.PROTECTED in one.tags,
        )
        return self.wrong(accounts=(said,), units=self._way(unit))

    def _names(self, accounts: Iterable[Any]) -> None:
        """A name for each in the files: its own, or one after it where another has that, too."""
        some = sorted(accounts, key=lambda one: one.id)
        own = {one.id: one.name for one in some if self._is_name(one.name)}
        taken = set(own.values())
        first: dict[str, str] = {}
        for one in some:
            base = own.get(one.id, "")
            if base and first.setdefault(base, one.id) == one.id:
                self.keys[one.id] = base
                continue
            name, number = base or f"account-{one.id}", 2
            while name in taken or len(name) > self.lib.rules.LONGEST:
                tail = f"-{number}"
                name, number = (base or f"account-{one.id}")[: self.lib.rules.LONGEST - len(tail)] + tail, number + 1
            taken.add(name)
            self.keys[one.id] = name
            why = f"{first[base]} has the same name" if base else "no file can have this name"
            self.tell(f"the account {one.id} ({one.name})", f"{why}: the files call it {name}")

    def _is_name(self, name: str) -> bool:
        rules = self.lib.rules
        return 1 <= len(name) <= rules.LONGEST and bool(name.strip()) and not rules.ACCOUNT_ID.fullmatch(name)

    def _tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Those that a team sets."""
        return {key: tags[key] for key in sorted(tags) if not key.lower().startswith(("aws:", self.lib.fleet.OURS))}

    def _account(self, one: Any) -> Iterator[str]:
        fleet = self.lib.fleet
        yield f"  {_text(self.keys[one.id])}:"
        yield f"    email: {_text(one.email)}"
        yield f'    id: "{one.id}"'
        if tags := self._tags(one.tags):
            yield "    tags:"
            yield from (f"      {_text(key)}: {_text(value)}" for key, value in tags.items())
        if (budget := _budget(one.tags, fleet)) is not None:
            yield f"    budget: {fleet.amount(budget)}"
        if fleet.PROTECTED in one.tags:
            yield "    deletion-protection: true"

    # ---- Policies

    def policies(self) -> None:
        """policies/NAME.yml and NAME.json. Those that AWS manages are AWS's."""
        order = {kind: number for number, kind in enumerate(self.lib.fleet.WORDS)}
        for one in sorted(self.seen.policies, key=lambda one: (one.name, order.get(one.type, len(order)), one.id)):
            if one.aws_managed:
                continue
            if says := self._not_said(one):
                self.tell(f"the {one.label} ({one.id})", f"{says}; it is left out, and stays as it is")
                continue
            self.stems.add(one.name.lower())
            lines = [f"type: {one.word}", f"attach: [{', '.join(_text(ref) for ref in self._attach(one))}]"]
            if one.description:
                lines.append(f"description: {_text(one.description)}")
            lines.append(f"id: {_text(one.id)}")
            self.files[f"policies/{one.name}.yml"] = HEAD + _joined(lines)
            self.files[f"policies/{one.name}.json"] = _json(one.content)

    def _attach(self, one: Any) -> list[str]:
        refs = (self.keys.get(target) for target in one.attachments)
        named = [f"{self.lib.fleet.ACCOUNT}{name}" for name in refs if name]
        return sorted({*named, *(self.seen.paths[target] for target in one.attachments if target in self.seen.paths)})

    def _not_said(self, one: Any) -> str:
        fleet = self.lib.fleet
        if one.type not in fleet.WORDS:
            return "dpra does not know the type"
        if one.type not in self.seen.types:
            return "the root does not have the type enabled"
        if (owner := one.tags.get(fleet.COMPONENT, self.component)) != self.component:
            return f"it is of the component {owner}"
        if "/" in one.name or one.name.lower().startswith(HIDDEN):
            return "a file cannot have its name, which policies/ would read"
        if one.name.lower() in self.stems:
            return "another policy has its name, and a file"
        if not isinstance(one.content, dict):
            return "its document is no JSON object"
        for target in one.attachments:
            if target not in self.keys and self.seen.paths.get(target) not in self.known:
                return f"it is attached to {target}, which is in no file"
        if not one.attachments and one.tags.get(fleet.COMPONENT) != self.component:
            return "it is attached to nothing"
        said = fleet.Policy(
            *(one.name, one.word, one.content, "", 1, "", (fleet.ROOT,) if one.attachments else ()),
            *(one.description, one.id),
        )
        return self.wrong(policies=(said,), units=self._way(fleet.ROOT)) if one.attachments else ""


def _budget(tags: Mapping[str, str], fleet: ModuleType) -> float | None:
    """The budget that dpra remembers in a tag; None: there is none, or it is none."""
    said = tags.get(fleet.BUDGET, "")
    return float(said) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", said) else None


def _tree(below: Mapping[str, list[str]], path: str, indent: str) -> Iterator[str]:
    if path not in below:
        return
    yield f"{indent}units:"
    for unit in below[path]:
        name = _text(unit.rpartition("/")[2])
        yield f"{indent}  {name}:{'' if unit in below else ' {}'}"
        yield from _tree(below, unit, f"{indent}    ")


def _file(path: str, taken: set[str]) -> str:
    """The file of a unit's accounts. Case is none where files of two cases are one."""
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-") or "unit" for part in path.split("/")]
    parts = [f"unit-{part}" if part.lower().startswith(HIDDEN) else part for part in parts]
    stem, number = "/".join(parts), 2
    name = stem
    while name.lower() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.lower())
    return f"accounts/{name}.yml"


def _text(value: str) -> str:
    """A text of somebody's as one scalar; it goes to no workflow, so no expression is in it."""
    return value if PLAIN.fullmatch(value) else scalar.yaml(scalar.Raw(value))


def _json(value: Any) -> str:
    """Escaped is whatever no reader takes as it is: all but ASCII, and its last character."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f") + "\n"


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


# ---- dpra.yml


def spec(made: Adopted, name: str, repository: str, trunk: str, region: str) -> tuple[str, list[str]]:
    """The first dpra.yml of a fleet, and what it does not know: there stand words that `dpra check` refuses."""
    first: dict[str, str] = {}
    for stage, names in GUESSES.items():
        guess = next((unit for unit in made.units if unit.lower() in names), "")
        first[stage] = guess or f"the unit that {stage} changes, a path of organisation.yml"
    top = [unit for unit in made.units if "/" not in unit and unit not in first.values() and unit != "root"]
    waves = [*(f"[{_text(unit)}]" for unit in top), "[root]"]
    lines = [
        "# yaml-language-server: $schema=.github/dpra.schema.json",
        "# Made by dpra init. Every key: dpra schema. What it leads to: dpra plan.",
        f"name: {_text(name)}",
        "pipeline: account-fleet",
        f"repository: {_text(repository)}",
        *([f"trunk: {_text(trunk)}"] if trunk != "main" else []),
        f"regions: [{region or _text('the home region, where stack sets are')}]",
        "environments: # the organisation is one; what changes comes to it unit after unit",
        '  alpha: {account: "the account id of alpha, 12 digits"} # of the tools: where releases are stored and signed',
        *(f'  {stage}: {{account: "{made.management}", waves: [[{_text(first[stage])}]]}}' for stage in first),
        f'  prod: {{account: "{made.management}", waves: [{", ".join(waves)}]}} # in this order; root has the rest',
        "# actions: {integration-tests: {command: python3 tests/organisation.py, role: read}} # of beta's unit",
    ]
    unknown = ["alpha's account: write it in place of the words in environments"]
    unknown += [f"{stage}'s unit: write it in place of the words" for stage in first if first[stage] not in made.units]
    unknown += [] if region else ["the home region: write it in place of the words in regions"]
    unknown += ["what tests beta's unit: say actions.integration-tests.command"]
    return _joined(lines), unknown
