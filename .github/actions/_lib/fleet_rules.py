"""What is wrong with a fleet before anybody looks into the organisation: names, references, AWS's quotas.

Pure. The numbers and where they come from: fleet.py.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from configuration_nodes import meant
from fleet import (
    ACCOUNT,
    CONTACT,
    CONTACTS,
    KINDS,
    OURS,
    ROOT,
    STAGED,
    Account,
    Baseline,
    Fleet,
    Policy,
    Problem,
    counted,
    line,
    ordered,
    parent,
    same_email,
    stack_set,
)

if TYPE_CHECKING:
    from fleet_plan import Plan
    from fleet_steps import Note


class Rule(NamedTuple):
    severity: str
    says: str


RULES = {
    "syntax": Rule("high", "A file is no YAML or JSON, is empty, or has anchors, aliases or tags."),
    "unknown-key": Rule("high", "A key that there is not."),
    "duplicate-key": Rule("high", "A key is there twice."),
    "wrong-kind": Rule("high", "A mapping, a list, text, a number, true or false: another is wanted here."),
    "missing-key": Rule("high", "A key that must be there is not."),
    "missing-file": Rule("high", "A policy without its JSON, a baseline without its template, no organisation.yml."),
    "unknown-file": Rule("high", "A file in a folder that is read, which says nothing: a policy's JSON alone."),
    "wrong-value": Rule("high", "A text that its key does not take."),
    "unit-name": Rule("high", "A unit's name that AWS or a path does not take."),
    "duplicate-unit": Rule("high", "A unit is there twice in its parent."),
    "unit-depth": Rule("high", "Units deeper than AWS has them."),
    "account-name": Rule("high", "An account's name that AWS or a reference does not take."),
    "duplicate-account": Rule("high", "Two accounts of one name."),
    "email": Rule("high", "An e-mail address that AWS does not take."),
    "duplicate-email": Rule("high", "Two accounts of one e-mail address, whatever its case."),
    "duplicate-id": Rule("high", "Two accounts, or two policies, of one id."),
    "unknown-unit": Rule("high", "A unit that organisation.yml does not have."),
    "unknown-account": Rule("high", "An account that is in no file."),
    "unknown-baseline": Rule("high", "A baseline that is not in baselines/."),
    "unknown-type": Rule("high", "A policy type that Organizations does not have."),
    "contact": Rule("high", "An alternate contact that AWS does not take."),
    "tag": Rule("high", "A tag that AWS does not take, or that is dpra's own."),
    "name": Rule("high", "The name of a policy or a baseline that AWS does not take."),
    "not-attached": Rule("medium", "A policy that is attached to nothing does nothing."),
    "no-targets": Rule("medium", "A baseline that goes nowhere does nothing."),
    "parts": Rule("high", "Parts that are no units, or that are there twice; the root is not the last of them."),
    "cycle": Rule("high", "Baselines that wait for each other."),
    "quota": Rule("high", "More than AWS takes."),
}  # fmt: skip

SPECIFICATION = "dpra.yml"
UNITS, DEEPEST, TAGS, DESCRIPTION = 2_000, 5, 50, 512
LONGEST = 128  # characters of a name
STACK_SETS, INSTANCES, DEPENDS, DEPENDS_IN_ALL, TEMPLATE = 1_000, 100_000, 10, 100, 1024 * 1024
TARGETS = 50  # units in one CreateStackInstances, as its reference says: a step stays one call
# CreateAccount: 7-bit ASCII; the local name without these and no dot first; a domain with a dot, of letters, digits, -.
EMAIL = re.compile(
    r"(?=.{6,64}\Z)(?!\.)[!#$*+./0-9=?@A-Z^_`a-z{}~-]+(?<!@)@(?![-.])[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(?<![-.])"
)
CONTACT_FORMS = {
    "name": re.compile(r"(?s).{1,64}"),
    "title": re.compile(r"(?s).{1,50}"),
    "email": re.compile(r"(?=.{1,254}\Z)[\w+=.#|!&-]+@[\w.-]+\.\w+"),
    "phone": re.compile(r"[\s0-9()+-]{1,25}"),
}
# \p{L}\p{Z}\p{N}_.:/=+\-@ of botocore's TagKey: \w has letters and digits of all scripts, too.
TAG = re.compile(r"(?:[^\W]|[ \u00a0.:/=+@-])*")
ACCOUNT_ID = re.compile(r"[0-9]{12}")
ASCII = re.compile(r"[ -~]{1,128}")
BASELINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]+")
SHARE = re.compile(r"([0-9]{1,6})(%?)")


def problems(fleet: Fleet, accounts: int = 0) -> list[Problem]:
    """All that is wrong, by place.

    Args:
        accounts: how many the organisation may have (10 unless AWS raised its quota); 0: it is not known, and not
            looked at.
    """
    found = [*_parts(fleet), *_units(fleet), *_accounts(fleet), *_policies(fleet), *_baselines(fleet)]
    for one in fleet.requests:
        found += _reference(fleet, one.on, one.file, one.line)
    if 0 < accounts < len(fleet.accounts):
        last = fleet.accounts[-1]
        says = f"{counted(len(fleet.accounts), 'account')}; the organisation may have {accounts:,}"
        found.append(Problem(last.file, last.line, "quota", says))
    return ordered(found)


def losses(plan: "Plan") -> "list[Note]":
    """What a plan tells of accounts that lose a policy that bounds rights, or a baseline, by a move."""
    return [one for one in plan.reported if one.rule == "loses-guardrail"]


def _parts(fleet: Fleet) -> Iterator[Problem]:
    """The parts are waves of the specification."""
    for number, path in enumerate(fleet.parts):
        if path not in fleet.by_path:
            says = f"'{path[:120]}' is a wave, and no unit{_meant(path, tuple(fleet.by_path))}"
            yield Problem(SPECIFICATION, 1, "parts", says)
        if path in fleet.parts[:number]:
            yield Problem(SPECIFICATION, 1, "parts", f"'{path[:120]}' is a wave twice")
    if fleet.parts[-1:] != (ROOT,):
        yield Problem(SPECIFICATION, 1, "parts", f"the last wave is '{ROOT}': it has all that no other one has")


# ---- Units and accounts


def _units(fleet: Fleet) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for unit in fleet.units:
        name = unit.path.rpartition("/")[2]
        if unit.path in seen:
            says = f"'{unit.path}' is there twice; first on line {seen[unit.path]}"
            yield Problem(unit.file, unit.line, "duplicate-unit", says)
        seen.setdefault(unit.path, unit.line)
        if not 1 <= len(name) <= LONGEST or name.startswith(ACCOUNT) or not name.strip():
            says = f"'{name[:60]}': a unit's name has 1 to {LONGEST} characters and does not start with '{ACCOUNT}'"
            yield Problem(unit.file, unit.line, "unit-name", says)
        if (depth := unit.path.count("/") + 1) > DEEPEST and unit.path != ROOT:
            says = f"'{unit.path}' is {depth} deep; AWS takes {DEEPEST} below the root"
            yield Problem(unit.file, unit.line, "unit-depth", says)
        if unit.path != ROOT and parent(unit.path) not in seen:
            yield Problem(unit.file, unit.line, "unknown-unit", f"'{unit.path}' has no parent before it")
        for name in unit.baselines:
            yield from _baseline(fleet, name, unit.file, unit.line)
    if len(fleet.units) - 1 > UNITS:
        says = f"{counted(len(fleet.units) - 1, 'unit')}; AWS takes {UNITS:,}"
        yield Problem(fleet.units[0].file, fleet.units[0].line, "quota", says)


def _accounts(fleet: Fleet) -> Iterator[Problem]:
    names, emails, ids = dict[str, Account](), dict[str, Account](), dict[str, Account]()
    for one in fleet.accounts:
        for key, rule, said, before in (
            ("name", "duplicate-account", one.name, names),
            ("email", "duplicate-email", same_email(one.email), emails),
            ("id", "duplicate-id", one.id, ids),
        ):
            if said and said in before:
                other = before[said]
                where = "{}:{}".format(*other.place(key))
                says = f"{one.name}: the {key} '{said}' is that of {other.name}, {where}"
                yield Problem(*one.place(key), rule, says)
            before.setdefault(said, one)
        if not 1 <= len(one.name) <= LONGEST or not one.name.strip() or ACCOUNT_ID.fullmatch(one.name):
            says = f"'{one.name[:60]}': an account's name has 1 to {LONGEST} characters and is no account id"
            yield Problem(*one.place("name"), "account-name", says)
        if not EMAIL.fullmatch(one.email) or ".." in one.email.rpartition("@")[2]:
            says = f"{one.name}: '{one.email[:80]}' is no e-mail address of 6 to 64 characters that AWS takes"
            yield Problem(*one.place("email"), "email", says)
        if one.id and not ACCOUNT_ID.fullmatch(one.id):
            says = f"{one.name}: '{one.id[:20]}' is no account id; it has twelve digits"
            yield Problem(*one.place("id"), "wrong-value", says)
        if one.unit not in fleet.by_path:
            yield _unknown("unit", one.unit, fleet.by_path, *one.place("unit"))
        for name in one.baselines:
            yield from _baseline(fleet, name, *one.place("baselines"))
        if one.budget is not None and not 0 < one.budget < 1e12:
            yield Problem(*one.place("budget"), "wrong-value", f"{one.name}: a budget is US dollars, more than 0")
        yield from _tags(fleet, one)
        yield from _contacts(one)


def _tags(fleet: Fleet, one: Account) -> Iterator[Problem]:
    for key, value in one.tags.items():
        if key.lower().startswith(("aws:", OURS)):
            says = f"{one.name}: the tag '{key[:60]}': those that start with aws: or {OURS} are not yours"
            yield Problem(*one.place("tags"), "tag", says)
        elif not (1 <= len(key) <= 128 and len(value) <= 256 and TAG.fullmatch(key) and TAG.fullmatch(value)):
            says = (
                f"{one.name}: the tag '{key[:60]}': AWS takes letters, digits, blanks and _.:/=+-@, "
                "1 to 128 of a key, 256 of a value"
            )
            yield Problem(*one.place("tags"), "tag", says)
    if (count := len(fleet.tags(one))) > TAGS:
        yield Problem(*one.place("tags"), "quota", f"{one.name}: {count} tags with dpra's own; AWS takes {TAGS}")


def _contacts(one: Account) -> Iterator[Problem]:
    for kind, contact in one.contacts.items():
        place = one.place("contacts")
        if kind not in CONTACTS:
            says = f"{one.name}: there is no contact '{kind[:60]}'{meant(kind, CONTACTS)}"
            yield Problem(*place, "contact", says)
            continue
        for key in CONTACT:
            if key not in contact:
                yield Problem(*place, "contact", f"{one.name}: the {kind} contact has no {key}")
            elif not CONTACT_FORMS[key].fullmatch(contact[key]):
                says = f"{one.name}: the {kind} contact's {key} '{contact[key][:60]}' is none that AWS takes"
                yield Problem(*place, "contact", says)


# ---- References


def _unknown(what: str, name: str, known: Iterable[str], file: str, place: int) -> Problem:
    return Problem(file, place, f"unknown-{what}", f"there is no {what} '{name[:120]}'{_meant(name, tuple(known))}")


_meant = cache(meant)  # a unit that is misspelt at the top of a file is so for all of its accounts


def _reference(fleet: Fleet, ref: str, file: str, place: int) -> Iterator[Problem]:
    if ref.startswith(ACCOUNT):
        if (name := ref.removeprefix(ACCOUNT)) not in fleet.by_name:
            yield _unknown("account", name, fleet.by_name, file, place)
    elif ref not in fleet.by_path:
        yield _unknown("unit", ref, fleet.by_path, file, place)


def _baseline(fleet: Fleet, name: str, file: str, place: int) -> Iterator[Problem]:
    if name not in fleet.targets:
        yield _unknown("baseline", name, fleet.targets, file, place)


# ---- Policies


def _policies(fleet: Fleet) -> Iterator[Problem]:
    attached: Mapping[tuple[str, str], list[Policy]] = defaultdict(list)
    ids: dict[str, Policy] = {}
    for one in fleet.policies:
        if one.id and ids.setdefault(one.id, one) is not one:
            says = f"{one.name}: the id '{one.id[:130]}' is that of {ids[one.id].name}"
            yield Problem(one.file, one.lines.get("id", one.line), "duplicate-id", says)
        if not ASCII.fullmatch(one.name):
            says = f"'{one.name[:60]}': a policy's name has 1 to {LONGEST} characters of ASCII"
            yield Problem(one.file, one.line, "name", says)
        if one.type in STAGED and len(one.name) > LONGEST - len(" (next 01234567)"):
            says = f"{one.name}: at most {LONGEST - 16} characters: beside it there may be 'NAME (next 01234567)'"
            yield Problem(one.file, one.line, "name", says)
        if len(one.description) > DESCRIPTION:
            says = f"{one.name}: a description of {len(one.description)} characters; AWS takes {DESCRIPTION}"
            yield Problem(one.file, one.lines.get("description", one.line), "quota", says)
        if one.type not in KINDS:
            yield _unknown("type", one.type, KINDS, one.file, one.lines.get("type", one.line))
            continue
        if (most := KINDS[one.type].characters) and (length := len(one.text)) > most:
            says = f"{one.name}: {length:,} characters without white space; AWS takes {most:,} of a {one.type}"
            yield Problem(one.content_file or one.file, 1, "quota", says)
        if not one.attach:
            yield Problem(one.file, one.line, "not-attached", f"{one.name} is attached to nothing")
        for target in dict.fromkeys(one.attach):
            yield from _reference(fleet, target, one.file, one.lines.get(target, one.line))
            attached[one.type, target].append(one)
    for (kind, target), there in attached.items():
        if (most := KINDS[kind].attached) and len(there) + KINDS[kind].given > most:
            own = f", of which {KINDS[kind].given} is AWS's own" if KINDS[kind].given else ""
            says = f"{len(there) + KINDS[kind].given} policies of the type {kind} on {target}{own}; AWS takes {most}"
            yield Problem(there[-1].file, there[-1].lines.get(target, there[-1].line), "quota", says)
    for kind, count in Counter(one.type for one in fleet.policies).items():
        if kind in KINDS and (most := KINDS[kind].policies) and count + KINDS[kind].given > most:
            last = [one for one in fleet.policies if one.type == kind][-1]
            yield Problem(last.file, last.line, "quota", f"{count:,} policies of the type {kind}; AWS takes {most:,}")


# ---- Baselines


def _baselines(fleet: Fleet) -> Iterator[Problem]:
    instances = _instances(fleet)
    for one in fleet.baselines:
        name = stack_set(fleet.component, one.name)
        if not BASELINE.fullmatch(one.name) or not name[:1].isalpha() or len(name) > LONGEST:
            says = f"'{one.name[:60]}': a baseline's name has letters, digits and -; '{name[:140]}' at most {LONGEST}"
            yield Problem(one.file, one.line, "name", says)
        for target in dict.fromkeys(one.targets):
            yield from _reference(fleet, target, one.file, one.lines.get(target, one.line))
        for other in one.depends_on:
            yield from _baseline(fleet, other, one.file, one.lines.get(other, one.line))
        yield from _settings(one)
        units, accounts = fleet.targets[one.name]
        if not units and not accounts:
            yield Problem(one.file, one.line, "no-targets", f"{one.name} goes to no unit and no account")
        for says, number, most in (
            ("stack instances", instances[one.name], INSTANCES),
            ("units as targets", len(units), TARGETS),
            ("baselines that it depends on", len(one.depends_on), DEPENDS),
        ):
            if number > most:
                says = f"{one.name}: {number:,} {says}; AWS takes {most:,}"
                yield Problem(one.file, one.line, "quota", says)
        if (length := len(one.template.encode())) > TEMPLATE:
            says = f"{one.name}: a template of {length:,} bytes; AWS takes {TEMPLATE:,}"
            yield Problem(one.template_file or one.file, 1, "quota", says)
    for says, number, most in (
        ("baselines", len(fleet.baselines), STACK_SETS),
        ("dependencies of baselines", sum(len(one.depends_on) for one in fleet.baselines), DEPENDS_IN_ALL),
    ):
        if number > most:
            yield Problem(fleet.baselines[-1].file, fleet.baselines[-1].line, "quota", f"{number} {says}; AWS: {most}")
    yield from _cycles(fleet.baselines)


def _settings(one: Baseline) -> Iterator[Problem]:
    if not one.regions:
        yield Problem(one.file, one.line, "missing-key", f"{one.name} has no regions")
    for region in one.regions:
        if not REGION.fullmatch(region):
            says = f"{one.name}: '{region[:40]}' is no region"
            yield Problem(one.file, one.lines.get("regions", one.line), "wrong-value", says)
    for key, said, least in (
        ("concurrency", one.concurrency, 1),
        ("failure-tolerance", one.failure_tolerance, 0),
    ):
        found = SHARE.fullmatch(said)
        if not found or int(found[1]) < least or (found[2] and int(found[1]) > 100):
            says = f"{one.name}: {key} is a number of accounts, {least} or more, or a share of them such as 10%"
            yield Problem(one.file, one.lines.get(key, one.line), "wrong-value", says)


def _instances(fleet: Fleet) -> dict[str, int]:
    """How many stacks each baseline becomes."""
    below: Counter[str] = Counter()
    for unit, number in Counter(one.unit for one in fleet.accounts).items():
        for path in line(unit):
            below[path] += number
    found = {}
    for one in fleet.baselines:
        units, accounts = fleet.targets[one.name]
        found[one.name] = (sum(below[path] for path in units) + len(accounts)) * len(one.regions)
    return found


def _cycles(baselines: Iterable[Baseline]) -> Iterator[Problem]:
    """Each cycle once, at the first of its baselines."""
    known = {one.name: one for one in baselines}
    done: set[str] = set()
    for start in known:
        way: list[str] = []
        stack = [(start, iter(known[start].depends_on))] if start not in done else []
        way += [name for name, _ in stack]
        while stack:
            name, rest = stack[-1]
            other = next(rest, None)
            if other is None:
                done.add(name)
                stack.pop()
                way.pop()
            elif other in way:
                cycle = way[way.index(other) :]
                first = known[min(cycle)]
                cycle = cycle[cycle.index(first.name) :] + cycle[: cycle.index(first.name)]
                says = f"baselines wait for each other: {' -> '.join([*cycle, first.name])}"
                yield Problem(first.file, first.lines.get([*cycle, first.name][1], first.line), "cycle", says)
            elif other in known and other not in done:
                stack.append((other, iter(known[other].depends_on)))
                way.append(other)


def in_order(baselines: Iterable[Baseline]) -> list[Baseline]:
    """Baselines behind those that they depend on, else by name. There is no cycle."""
    known = {one.name: one for one in sorted(baselines, key=lambda one: one.name)}
    found: dict[str, Baseline] = {}

    def place(name: str) -> None:
        if name in known and name not in found:
            for other in sorted(known[name].depends_on):
                place(other)
            found[name] = known[name]

    for name in known:
        place(name)
    return list(found.values())
