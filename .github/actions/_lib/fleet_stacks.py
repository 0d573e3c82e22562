"""The steps of a plan for baselines, part by part: stack sets and where they go.

A target that several parts have to do with is cut along them; one that a stack set has whole already stays whole. The
first part puts the template and updates its own targets, each later one its own: till then CloudFormation calls those
OUTDATED. What goes, a region too, goes in the last part that has to do with it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import fleet as desired
import fleet_seen
from fleet import ACCOUNT, COMPONENT, line
from fleet_making import Making
from fleet_rules import in_order


def baselines(making: Making) -> None:
    """The steps for all of them."""
    wanted = {desired.stack_set(making.fleet.component, one.name): one for one in making.fleet.baselines}
    order, made = in_order(making.fleet.baselines), dict[str, _Baseline]()
    firsts: dict[str, int] = {}
    for baseline in reversed(order):
        name = desired.stack_set(making.fleet.component, baseline.name)
        one = made[name] = _Baseline(making, name, making.seen.stack_sets_by_name.get(name), baseline)
        one.first = min([*one.by_part(one.seen | one.wants), firsts.get(baseline.name, len(making.fleet.parts) - 1)])
        for other in baseline.depends_on:  # it is there before
            firsts[other] = min(one.first, firsts.get(other, one.first))
    for baseline in order:
        name = desired.stack_set(making.fleet.component, baseline.name)
        there = made[name].there
        if there and not making.ours(there.tags):
            says = f"the stack set {name} is there and is not dpra's"
            making.refuse("stack-set", baseline.name, says, (baseline.file, baseline.line))
        else:
            before = len(making.steps)
            made[name].steps(baseline)
            if len(making.steps) > before:
                making.facts.add(f"stack-set {name}")
    for gone in making.seen.stack_sets:
        if making.ours(gone.tags) and gone.name not in wanted:
            making.facts.add(f"stack-set {gone.name}")
            _Baseline(making, gone.name, gone, None).targets()
            says = f"the stack set {gone.name} is of no baseline any more; empty, it stays"
            making.report("stack-set-gone", gone.name, says)


def pieces(making: Making, baseline: desired.Baseline, there: Iterable[str] = ()) -> set[str]:
    """Units and accounts that a baseline goes to: its targets, cut along the parts, but for those that are there."""
    units, accounts = making.fleet.targets[baseline.name]
    found = {ref for ref in accounts if making.there(ref)}
    for unit in units:
        if making.there(unit):
            found |= {unit} if unit in there else making.cut(unit).keys()
    return found


def _settings(fleet: desired.Fleet, one: desired.Baseline) -> dict[str, Any]:
    return {
        "template": desired.digest(one.template),
        "parameters": dict(sorted(one.parameters.items())),
        "depends-on": sorted(desired.stack_set(fleet.component, other) for other in one.depends_on),
        "auto-deploy": one.auto_deploy,
    }


class _Baseline:
    """A stack set: refs that it goes to (`seen`), those that it shall go to (`wants`)."""

    def __init__(
        self, making: Making, name: str, there: fleet_seen.StackSet | None, one: desired.Baseline | None
    ) -> None:
        self.making, self.name, self.there = making, name, there
        self.first = 0  # the place of the part that it comes with
        self.ids = {making.ref(target): target for target in (*there.units, *there.accounts)} if there else {}
        self.seen = set(self.ids)
        self.wants = pieces(making, one, self.seen) if one else set()
        self.units = {ref for ref in self.wants if not ref.startswith(ACCOUNT)}
        # A target within another one is left: what takes it away takes the stacks away that are in both.
        self.covered = {ref for ref in self.seen if self.covers(ref)}
        self.more, self.less = self.wants - self.seen, self.seen - self.covered
        self.regions = set(one.regions) if one else set[str]()
        had = set(there.regions) if there else set[str]()
        self.old_regions = had - self.regions if one else set[str]()
        self.new_regions = self.regions - had
        self.preferences = {"concurrency": one.concurrency, "failure-tolerance": one.failure_tolerance} if one else {}

    def covers(self, ref: str) -> bool:
        return ref in self.wants or not self.within(ref).isdisjoint(self.units)

    def place(self, ref: str) -> int:
        """Of the part that delivers to a target: to an account where it then is."""
        return max(self.making.last(ref), self.making.moves.get(ref, 0))

    def by_part(self, refs: Iterable[str]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for ref in sorted(refs):
            found[self.place(ref)].append(ref)
        return dict(sorted(found.items()))

    def steps(self, one: desired.Baseline) -> None:
        making, there = self.making, self.there
        says = _settings(making.fleet, one)
        if there is None:
            first = making.places[making.back] if making.back else self.first
            tags = {COMPONENT: making.fleet.component}
            making.step("create-baseline", self.name, first, baseline=one.name, **says, tags=tags)
        else:
            self.update(one, there, says)
        self.targets()

    def update(self, one: desired.Baseline, there: fleet_seen.StackSet, says: dict[str, Any]) -> None:
        """A step for each part that has targets; in the first one the template is put, though it has none yet."""
        making = self.making
        before = {
            "template": there.template,
            "parameters": dict(there.parameters),
            "depends-on": sorted(there.depends_on),
            "auto-deploy": there.auto_deploy,
        }
        changes = [key for key in says if says[key] != before[key]]
        behind = {making.ref(target) for target in there.outdated}
        parts = {place: refs for place, refs in self.by_part(self.seen).items() if changes or behind & set(refs)}
        late = False
        if changes:
            making.updated.add(there.label)
            for ref in self.seen:
                making.labels(ref)
            whole = sorted(ref for ref in self.seen & self.wants if len(making.reach.get(ref, ())) > 1)
            if whole and not making.back:
                told = f"{', '.join(whole[:5])} is a target of it as a whole: there it changes with the last part"
                making.report("not-staged", one.name, told, (one.file, one.line))
            if making.back:  # at once, with the part that goes back first
                parts = {making.places[making.back]: sorted(self.seen)}
            elif parts and (new := self.by_part(self.more)) and min(new) < min(parts):
                # They come with the template that is there, and the new one is put behind that: a stack set's template
                # changes without its stacks only where others are updated.
                late, parts = True, {min(new): new[min(new)]} | parts
            elif not parts:
                parts = {self.first: []}
        about = {"baseline": one.name, **says, **self.preferences}
        for number, (place, refs) in enumerate(parts.items()):
            # Who names a template or parameters, be they the same, makes all stacks OUTDATED: only who puts them does.
            more: dict[str, Any] = {"put": bool(changes) and number == 0}
            if refs:  # else there are no stacks
                more["targets"] = [making.target(ref) for ref in refs]
            if late and number == 0:
                more["late"] = True
            making.step("update-baseline", self.name, place, changes=changes, **about, **more)

    def targets(self) -> None:
        """Where a stack set goes, and goes no more.

        Of a target that goes, the accounts that are in another one are kept out of that (`keeps`: AccountFilterType
        DIFFERENCE).
        """
        making, label = self.making, f"stack set {self.name}"
        for ref in self.more:
            making.labels(ref).add(label)
        for ref in self.less:
            making.labels(ref).discard(label)
        more, covered = self.by_part(self.more), self.by_part(self.covered)
        for place in sorted({*more, *covered}):
            self.more_in(place, more.get(place, []), covered.get(place, []))
        less: dict[int, list[str]] = defaultdict(list)
        for ref in sorted(self.less):
            less[making.last(ref) if making.back else making.left(ref)].append(ref)
        ends: dict[int, set[str]] = defaultdict(set)
        if self.old_regions:
            for place, refs in less.items():  # what is kept of a target that goes had its stacks in those regions, too
                back = bool(making.back)  # parts come in the other order then
                here = (ref for ref in self.wants if (self.place(ref) >= place if back else self.place(ref) <= place))
                ends[place] = {ref for ref in here if not self.within(ref).isdisjoint(refs)}
            inside = {ref for refs in ends.values() for ref in refs}
            kept = {ref for ref in self.covered - inside if self.had(ref, self.old_regions)}
            for place, some in (self.by_part(kept) if making.back else {self.end(kept): kept} if kept else {}).items():
                ends[place] |= set(some)
        for place in sorted({*less, *ends}):
            self.less_in(place, less.get(place, []), sorted(ends.get(place, ())))

    def within(self, ref: str) -> set[str]:
        """A target, and the units that it is in."""
        return {ref, *line(self.making.unit(ref) if ref.startswith(ACCOUNT) else ref)}

    def end(self, refs: Iterable[str]) -> int:
        return max(self.place(ref) for ref in refs)

    def had(self, ref: str, regions: Iterable[str]) -> bool:
        """Whether a target has stacks in one of the regions."""
        missing = self.there.missing if self.there else {}
        return any(self.ids[ref] not in missing.get(region, ()) for region in regions)

    def more_in(self, place: int, more: list[str], covered: list[str]) -> None:
        making, there = self.making, self.there
        new = set(self.new_regions)
        for region, targets in there.missing.items() if there else ():
            if region in self.regions and {making.ref(target) for target in targets} & set(covered):
                new.add(region)
        units = [making.target(ref) for ref in more if not ref.startswith(ACCOUNT)]
        about = {"regions": sorted(self.regions), **self.preferences}
        if units or (new and covered):
            there_too = [making.target(ref) for ref in covered] if new else []
            news = {"add": units, "there": there_too, "new-regions": sorted(new) if covered else []}
            making.step("target-baseline", self.name, place, **news, **about)
        if alone := [making.target(ref) for ref in more if ref.startswith(ACCOUNT)]:
            making.step("target-accounts", self.name, place, add=alone, **about)

    def less_in(self, place: int, less: list[str], regional: list[str]) -> None:
        making = self.making
        keeps = [ref for ref in _inside(making, less) if self.covers(ref)]
        about = {"remove": [making.target(ref) for ref in less], "keeps": keeps}
        making.ids.update({ref: self.ids[ref] for ref in less})
        there = [making.target(ref) for ref in regional]
        old = sorted(self.old_regions) if regional else []
        making.step("untarget-baseline", self.name, place, **about, there=there, old_regions=old, **self.preferences)


def _inside(making: Making, refs: list[str]) -> Iterator[str]:
    """The accounts of units that are targets no more, wherever they are in the end."""
    units = {ref for ref in refs if not ref.startswith(ACCOUNT)}
    if units:
        everybody = {making.claimed.get(one.id, ACCOUNT + one.id) for one in making.seen.accounts} | making.new
        yield from (ref for ref in sorted(everybody) if any(path in units for path in line(making.unit(ref))))
