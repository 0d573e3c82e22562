"""What a plan does to each account: what it gains and loses by what it inherits, baselines, tags; and what changes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from fleet import ACCOUNT, COMPONENT, line
from fleet_making import Making
from fleet_steps import Effect, Note, remembers

# None of them reaches the management account: neither policies that bound rights, nor service-managed stack sets.
NOT_MANAGEMENT = ("service-control-policy ", "resource-control-policy ", "stack set ")
LOSES = "loses-guardrail"
Labels = frozenset[str]
NONE: Labels = frozenset()


def effects(made: Making) -> Iterator[Effect]:
    """Of every account of which something becomes otherwise, in order of its name: also of one that is not dpra's."""
    gains, loses, changes = _tags(made)
    before = _Inherited({ref: frozenset(labels) for ref, labels in made.before.items()})
    after = _Inherited({**before.own, **{ref: frozenset(labels) for ref, labels in made.after.items()}})
    seen = {made.claimed.get(one.id, ACCOUNT + one.id): one for one in made.seen.accounts}
    for ref in sorted({*seen, *made.new}):
        there = seen.get(ref)
        was = before.of(ref, made.seen.unit(there)) if there else NONE
        unit = made.unit(ref)
        now = after.of(ref, unit)
        if there and there.id == made.seen.management:
            was, now = (frozenset(one for one in some if not one.startswith(NOT_MANAGEMENT)) for some in (was, now))
        if was == now and not (gains[ref] or loses[ref] or changes[ref]) and made.updated.isdisjoint(now):
            continue
        lists = (now - was, gains[ref]), (was - now, loses[ref]), (now & was & made.updated, changes[ref])
        more, less, other = (tuple([*sorted(labels), *sorted(tags)]) for labels, tags in lists)
        yield Effect(ref, unit, more, less, other)


def losses(made: Making, found: Iterable[Effect]) -> Iterator[Note]:
    """The accounts that lose what bounds rights, or a baseline, and move: told with the place of their unit."""
    for one in found:
        lost = [label for label in one.loses if label.startswith(NOT_MANAGEMENT)]
        if lost and one.account in made.moves:
            account = made.fleet.by_name[one.account.removeprefix(ACCOUNT)]
            says = f"by its move to {one.unit} it loses {', '.join(lost)}"
            yield Note(LOSES, one.account, says, *account.place("unit"))


class _Inherited:
    """What holds for an account: what is attached to it and to each unit above it. A unit is looked at once."""

    def __init__(self, own: dict[str, Labels]) -> None:
        self.own = own
        self.units: dict[str, Labels] = {}

    def of(self, ref: str, unit: str) -> Labels:
        if unit not in self.units:
            self.units[unit] = NONE.union(*(self.own.get(path, NONE) for path in line(unit)))
        own = self.own.get(ref)
        return self.units[unit] | own if own else self.units[unit]


def _tags(made: Making) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, list[str]]]:
    gains, loses, changes = (defaultdict[str, list[str]](list) for _ in range(3))
    for step in made.steps:
        if remembers(step):
            continue
        if step.action == "create-account":
            gains[step.on] += [f"tag {key}={value}" for key, value in step.details["tags"].items() if key != COMPONENT]
        elif step.action == "tag-account":
            before = made.known[step.on].tags
            for key, value in step.details["tags"].items():
                (changes if key in before else gains)[step.on].append(f"tag {key}={value}")
        elif step.action == "untag-account":
            loses[step.on] += [f"tag {key}" for key in step.details["keys"]]
    return gains, loses, changes
