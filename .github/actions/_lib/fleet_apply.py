"""Applies steps of a fleet's plan, in their order: what is about to be done is in the journal before it is done."""

from collections.abc import Iterator, Sequence

import aws
import control_tower
import deployment
import fleet_accounts
import fleet_stack_sets as stack_sets
import organisation
import runner
from deployment import Target
from fleet import Fleet, line, stack_set
from fleet_calls import Calls
from fleet_journal import Journal
from fleet_parts import key
from fleet_plan import SAYS, Plan
from fleet_seen import Seen
from fleet_steps import Step

AT_ONCE = 10  # steps whose intents are written together


def apply(target: Target, fleet: Fleet, plan: Plan, steps: Sequence[Step], journal: Journal, seen: Seen) -> Calls:
    """Do the steps. What this leaves undone, another run of the same release can do.

    Args:
        plan: of the organisation as it is now: it knows what AWS calls what is there.
        seen: that organisation.

    Raises:
        runner.Failed: a step could not be done; those after it are not begun.
    """
    calls = Calls(target.region, fleet, plan.ids, seen)
    registered = control_tower.registered(target.region) if target.settings.get("control-tower") else {}
    done, since = 0, deployment.timestamp()
    try:
        for group in groups(steps):
            keys = {key(step): step for step in group}
            journal.begin(keys)
            for number, step in enumerate(group, done + 1):
                runner.say(f"{number} of {len(steps)}: {SAYS[step.action]}: {step.on}")
                if step.action != "create-account":
                    calls.do(step, key(step))
                    journal.end(key(step))
                    done += 1
            if group[0].action == "create-account":
                fleet_accounts.create(calls, journal, keys)
                done += len(group)
                for name in keys:
                    journal.end(name)
            for step in group:
                if step.action == "move-account":
                    control_tower.enrolled(target.region, registered, calls.id(step.on), calls.id(step.details["to"]))
        arrive(calls, steps, since)
    except runner.Failed as failed:
        left = len(steps) - done
        says = (
            f"{failed}. Of {len(steps)} steps {done} are done, {left} are not: run the job again, it goes on from there"
        )
        raise runner.Failed(says, failed.result) from failed
    finally:
        try:
            journal.close()
        except runner.Failed as failed:
            runner.warning(str(failed))
    return calls


def arrive(calls: Calls, steps: Sequence[Step], since: str) -> None:
    """Wait for the stacks that accounts get by themselves where they have come to."""
    moved = {calls.id(step.on): step.details["to"] for step in steps if step.action == "move-account"}
    for baseline in calls.fleet.baselines if moved else ():
        name = stack_set(calls.fleet.component, baseline.name)
        try:
            goes = organisation.auto_deployed(calls.region, name)
        except aws.Refused as refused:
            if refused.code != "StackSetNotFoundException":  # it comes with a later part
                raise
            continue
        where = {number: {calls.id(path) for path in line(to)} for number, to in moved.items()}
        if accounts := [number for number, units in where.items() if units & goes.keys()]:
            stack_sets.arrived(calls.region, name, accounts, since)


def groups(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Steps that follow each other and do the same; accounts that are made together are fewer."""
    group: list[Step] = []
    for step in steps:
        most = fleet_accounts.AT_ONCE if step.action == "create-account" else AT_ONCE
        if group and (group[0].action != step.action or len(group) == most):
            yield group
            group = []
        group.append(step)
    if group:
        yield group
