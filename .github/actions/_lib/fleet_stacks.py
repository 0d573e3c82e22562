"""The steps of a plan for baselines: stack sets and where they go."""

from collections.abc import Iterator
from typing import Any

import fleet as desired
import fleet_seen
from fleet import ACCOUNT, COMPONENT, line
from fleet_making import Making
from fleet_rules import in_order


def baselines(making: Making) -> None:
    """The steps for all of them."""
    wanted = {desired.stack_set(making.fleet.component, one.name): one for one in making.fleet.baselines}
    for baseline in in_order(making.fleet.baselines):
        name = desired.stack_set(making.fleet.component, baseline.name)
        there = making.seen.stack_sets_by_name.get(name)
        if there and not making.ours(there.tags):
            says = f"the stack set {name} is there and is not dpra's"
            making.refuse("stack-set", baseline.name, says, (baseline.file, baseline.line))
        else:
            before = len(making.steps)
            _baseline(making, baseline, name, there)
            if len(making.steps) > before:
                making.facts.add(f"stack-set {name}")
    for gone in making.seen.stack_sets:
        if making.ours(gone.tags) and gone.name not in wanted:
            making.facts.add(f"stack-set {gone.name}")
            _targets(making, gone.name, gone, set(), set(), ())
            says = f"the stack set {gone.name} is of no baseline any more; empty, it stays"
            making.report("stack-set-gone", gone.name, says)


def _baseline(making: Making, one: desired.Baseline, name: str, there: fleet_seen.StackSet | None) -> None:
    says: dict[str, Any] = {
        "template": desired.digest(one.template),
        "parameters": dict(sorted(one.parameters.items())),
        "depends-on": sorted(desired.stack_set(making.fleet.component, other) for other in one.depends_on),
        "auto-deploy": one.auto_deploy,
    }
    if there is None:
        tags = {COMPONENT: making.fleet.component}
        making.step("create-baseline", name, making.fleet.parts[-1], baseline=one.name, **says, tags=tags)
    else:
        before = {
            "template": there.template,
            "parameters": dict(there.parameters),
            "depends-on": sorted(there.depends_on),
            "auto-deploy": there.auto_deploy,
        }
        if more := [key for key in says if says[key] != before[key]]:
            making.step(
                "update-baseline",
                name,
                making.fleet.parts[-1],
                baseline=one.name,
                changes=more,
                **says,
                **_preferences(one),
            )
            making.updated.add(there.label)
            for target in (*there.units, *there.accounts):
                making.labels(making.ref(target))
    units, accounts = making.fleet.targets[one.name]
    _targets(making, name, there, set(units), set(accounts), one.regions, one)


def _preferences(one: desired.Baseline) -> dict[str, Any]:
    """How the stack set's operation goes about it."""
    return {"concurrency": one.concurrency, "failure-tolerance": one.failure_tolerance}


def _targets(
    making: Making,
    name: str,
    there: fleet_seen.StackSet | None,
    units: set[str],
    accounts: set[str],
    regions: tuple[str, ...],
    one: desired.Baseline | None = None,
) -> None:
    """Where a stack set goes, and goes no more.

    A target within another one is left: what takes it away takes the stacks away that are in both. And of a target that
    goes, the accounts that are in another one are kept out of that (`keeps`: AccountFilterType DIFFERENCE).
    """
    label = f"stack set {name}"
    seen = {making.ref(target) for target in (*there.units, *there.accounts)} if there else set()
    covered = {ref for ref in seen if _covered(making, ref, units, accounts)}
    more, less = sorted((units | accounts) - seen), sorted(seen - covered)
    new_regions = sorted(set(regions) - set(there.regions if there else ()))
    old_regions = sorted(set(there.regions if there else ()) - set(regions)) if regions else []
    for ref in more:
        making.labels(ref).add(label)
    for ref in less:
        making.labels(ref).discard(label)
    preferences = _preferences(one) if one else {}
    units_more = [making.target(ref) for ref in more if not ref.startswith(ACCOUNT)]
    if units_more or (new_regions and covered):
        there_too = sorted(making.target(ref) for ref in covered) if new_regions else []
        says = {"add": units_more, "regions": sorted(regions), "there": there_too, "new-regions": new_regions}
        making.step("target-baseline", name, making.fleet.parts[-1], **says, **preferences)
    if alone := [making.target(ref) for ref in more if ref.startswith(ACCOUNT)]:
        making.step("target-accounts", name, making.fleet.parts[-1], add=alone, regions=sorted(regions), **preferences)
    if less or (old_regions and covered):
        keeps = [ref for ref in _inside(making, less) if _covered(making, ref, units, accounts)]
        targets = [making.target(ref) for ref in less]
        for target in (*there.units, *there.accounts) if there else ():
            if (ref := making.ref(target)) in less:
                making.ids[ref] = target
        # What is kept of a target that goes had its stacks in those regions, too.
        regional = sorted(making.target(ref) for ref in covered.union(more)) if old_regions else []
        making.step(
            "untarget-baseline",
            name,
            making.fleet.parts[-1],
            remove=targets,
            keeps=keeps,
            there=regional,
            old_regions=old_regions,
            **preferences,
        )


def _covered(making: Making, ref: str, units: set[str], accounts: set[str]) -> bool:
    where = making.unit(ref) if ref.startswith(ACCOUNT) else ref
    return ref in accounts or any(path in units for path in line(where))


def _inside(making: Making, refs: list[str]) -> Iterator[str]:
    """The accounts of units that are targets no more, wherever they are in the end."""
    units = {ref for ref in refs if not ref.startswith(ACCOUNT)}
    if units:
        everybody = {making.claimed.get(one.id, ACCOUNT + one.id) for one in making.seen.accounts} | making.new
        yield from (ref for ref in sorted(everybody) if any(path in units for path in line(making.unit(ref))))
