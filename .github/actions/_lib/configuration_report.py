"""What a change of dynamic configuration does, by environment; and the flags there are. As data, as Markdown, as text.

A state is what a release holds: index.json and the documents, by path. Names and values are somebody's text: in
Markdown they stand in code spans only.
"""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import runner
from configuration_build import Built
from configuration_flags import DEFAULT
from configuration_profiles import FLAGS, shown

ABSENT = object()
SHOWN = 100  # rows of a table in Markdown: a step summary has 1 MiB
OFF, SOME, ON, NONE = "off", "for some", "on", "not there"
RANK = {NONE: 0, OFF: 0, SOME: 1, ON: 2}


class Change(NamedTuple):
    """One value that is another; `before` or `after` is ABSENT where there is none."""

    profile: str
    flag: str  # empty for operational configuration
    variant: str  # empty for the value itself
    path: str
    before: Any
    after: Any

    def data(self) -> dict[str, Any]:
        found = {"profile": self.profile, "flag": self.flag, "variant": self.variant, "path": self.path}
        found = {name: value for name, value in found.items() if value}
        both = {"before": self.before, "after": self.after}
        return found | {name: value for name, value in both.items() if value is not ABSENT}

    @property
    def what(self) -> str:
        names = [self.flag or self.profile, f"variant {self.variant}" if self.variant else "", self.path]
        return " ".join(name for name in names if name)


class Turn(NamedTuple):
    """A flag that is on for more, or for fewer, than before."""

    flag: str
    before: str  # one of RANK
    after: str


@dataclass(frozen=True)
class Difference:
    """What changes for whom in one environment."""

    environment: str
    regions: tuple[str, ...]
    on: tuple[Turn, ...]
    off: tuple[Turn, ...]
    changes: tuple[Change, ...]

    def data(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "regions": list(self.regions),
            "turns-on": [turn._asdict() for turn in self.on],
            "turns-off": [turn._asdict() for turn in self.off],
            "changes": [change.data() for change in self.changes],
        }


def in_folder(folder: Path) -> dict[str, bytes]:
    """The state of a release's folder `configuration`."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def differences(
    old: Mapping[str, bytes], new: Mapping[str, bytes], regions: Mapping[str, Sequence[str]] | None = None
) -> list[Difference]:
    """By environment, in the order in which it is deployed; those that only the old state has come last."""
    indexes = [json.loads(state.get("index.json", b'{"environments": [], "profiles": []}')) for state in (new, old)]
    environments = dict.fromkeys(name for index in indexes for name in index["environments"])
    entries = {entry["name"]: entry for index in reversed(indexes) for entry in index["profiles"]}
    found = []
    for environment in environments:
        changes: list[Change] = []
        turns: list[Turn] = []
        for name, entry in entries.items():
            path = f"{environment}/{entry['file']}"
            before, after = (state.get(path, b"") for state in (old, new))
            if before == after:
                continue
            if name == FLAGS:
                values = [json.loads(content or "{}").get("values", {}) for content in (before, after)]
                changes += flag_changes(*values)
                turns += turned(*values)
            elif entry["content-type"] == "application/json":
                both = [json.loads(content) if content else ABSENT for content in (before, after)]
                changes += [Change(name, "", "", shown(place), *pair) for place, *pair in deep(*both)]
            else:
                both = [content.decode(errors="replace") if content else ABSENT for content in (before, after)]
                changes.append(Change(name, "", "", "", *both))
        more = tuple(turn for turn in turns if RANK[turn.after] > RANK[turn.before])
        less = tuple(turn for turn in turns if RANK[turn.after] < RANK[turn.before])
        places = tuple((regions or {}).get(environment, ()))
        found.append(Difference(environment, places, more, less, tuple(changes)))
    return found


def state(value: Mapping[str, Any] | None) -> str:
    """Whether a flag is on, by AppConfig's value of it."""
    if value is None:
        return NONE
    variants = value.get("_variants") or [value]
    enabled = {bool(one.get("enabled")) for one in variants}
    return SOME if len(enabled) > 1 else ON if True in enabled else OFF


def turned(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Turn]:
    both = {flag: (state(old.get(flag)), state(new.get(flag))) for flag in sorted({*old, *new})}
    return [Turn(flag, before, after) for flag, (before, after) in both.items() if before != after]


def flag_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """What differs between AppConfig's values of the flags of two states."""
    found = []
    for flag in sorted({*old, *new}):
        if flag not in old or flag not in new:
            before, after = (values.get(flag, ABSENT) for values in (old, new))
            found.append(Change(FLAGS, flag, "", "", before, after))
            continue
        if old[flag] == new[flag]:
            continue
        before, after = _by_variant(old[flag]), _by_variant(new[flag])
        for variant in dict.fromkeys((*before, *after)):
            if variant not in before or variant not in after:
                pair = (one.get(variant, ABSENT) for one in (before, after))
                found.append(Change(FLAGS, flag, variant, "", *pair))
                continue
            for name in sorted({*before[variant], *after[variant]}):
                one, other = before[variant].get(name, ABSENT), after[variant].get(name, ABSENT)
                if one != other or type(one) is not type(other):
                    found.append(Change(FLAGS, flag, variant, name, one, other))
        orders = [[name for name in one if name in before and name in after] for one in (before, after)]
        if orders[0] != orders[1]:  # the first rule that holds decides
            found.append(Change(FLAGS, flag, "", "order of variants", *([n for n in o if n] for o in orders)))
    return found


def _by_variant(value: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The value itself by the empty name, and its variants by theirs."""
    if "_variants" not in value:
        return {"": dict(value)}
    found = {}
    for one in value["_variants"]:
        name = "" if one["name"] == DEFAULT and "rule" not in one else one["name"]
        rule = {"rule": one["rule"]} if "rule" in one else {}
        found[name] = {"enabled": one["enabled"], **rule, **one.get("attributeValues", {})}
    return found


def deep(old: Any, new: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any, Any]]:
    """Path, before and after of each value that differs; lists are compared by position."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted({*old, *new})
        return [one for name in names for one in deep(old.get(name, ABSENT), new.get(name, ABSENT), (*path, name))]
    if isinstance(old, list) and isinstance(new, list):
        pairs = (
            (old[n] if n < len(old) else ABSENT, new[n] if n < len(new) else ABSENT)
            for n in range(max(map(len, (old, new))))
        )
        return [one for number, pair in enumerate(pairs) for one in deep(*pair, (*path, number))]
    same = type(old) is type(new) and old == new  # True is 1 for Python
    return [] if same else [(path, old, new)]


# ---- The flags there are


@dataclass(frozen=True)
class Row:
    """One flag of the report."""

    flag: str
    owner: str
    description: str
    days: int | None  # since it came first; None where the history does not say
    until: datetime.date | None
    expired: bool
    states: Mapping[str, str]  # by environment, one of RANK

    def data(self) -> dict[str, Any]:
        until = self.until.isoformat() if self.until else ""
        found = {"flag": self.flag, "owner": self.owner, "description": self.description, "age-days": self.days}
        return found | {"until": until, "expired": self.expired, "environments": dict(self.states)}


def rows(built: Built, today: datetime.date, seen: Mapping[str, datetime.datetime] | None) -> list[Row]:
    """The flags, expired ones first, then the oldest."""
    found = []
    for key, flag in built.flags.items():
        since = (seen or {}).get(key)
        days = (today - since.date()).days if since else None
        states = {name: state(flag.values.get(name)) for name in built.settings.environments}
        expired = flag.until is not None and flag.until < today
        found.append(Row(key, flag.owner, flag.description, days, flag.until, expired, states))
    return sorted(found, key=lambda row: (not row.expired, -(row.days or 0), row.flag))


# ---- As text and as Markdown


@dataclass(frozen=True)
class Table:
    """Cells are somebody's text as it is; whoever shows them makes them inert."""

    title: str
    head: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()


def value_text(value: Any) -> str:
    """A value as a cell shows it."""
    if value is ABSENT:
        return "-"
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def difference_tables(found: Iterable[Difference]) -> list[Table]:
    made = []
    for one in found:
        where = f"{one.environment} ({', '.join(one.regions)})" if one.regions else one.environment
        for says, turns in (("turns on", one.on), ("turns off", one.off)):
            if turns:
                made.append(Table(f"{where}: {says}", ("flag", "before", "after"), [tuple(turn) for turn in turns]))
        cells = [(change.what, value_text(change.before), value_text(change.after)) for change in one.changes]
        head = ("what", "before", "after") if cells else ()
        made.append(Table(where if cells else f"{where}: nothing changes", head, cells))
    return made


def report_table(found: Sequence[Row], environments: Sequence[str]) -> Table:
    cells = []
    for row in found:
        until = f"{row.until} EXPIRED" if row.expired else str(row.until or "-")
        age = "-" if row.days is None else f"{row.days} d"
        cells.append((row.flag, row.owner or "-", age, until, *(row.states[name] for name in environments)))
    expired = sum(row.expired for row in found)
    return Table(f"{len(found)} flags, {expired} expired", ("flag", "owner", "age", "until", *environments), cells)


def markdown(title: str, tables: Iterable[Table]) -> str:
    """For a step summary."""
    lines = [f"### {title}", ""]
    for table in tables:
        lines += [f"#### {runner.code(table.title)}", ""]
        cells = [[runner.code(cell) for cell in row] for row in table.rows[:SHOWN]]
        if len(table.rows) > SHOWN:
            more = f"and {len(table.rows) - SHOWN} more"
            cells.append([more, *[" "] * (len(table.head) - 1)])
        if table.head:
            lines += [f"| {' | '.join(row)} |" for row in (table.head, ["---"] * len(table.head), *cells)] + [""]
    return "\n".join(lines)
