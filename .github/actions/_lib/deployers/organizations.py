# deploys: fleets
# pipelines: account-fleet
# default-for: account-fleet
# changes: organizations:CreateAccount organizations:MoveAccount organizations:AttachPolicy organizations:UpdatePolicy
"""AWS Organizations: one part of an account fleet, exactly by the signed plan of the release, or not at all.

What runs in a part is said by a tag of its unit, dpra:release, whose value is DIGEST/COMMIT; of the part `root` it is
the tag of the root."""

import deployment
import fleet_apply
import fleet_parts
import fleet_plan
import fleet_release
import fleet_stack_sets as stack_sets
import organisation
import runner
from conditional import Place
from deployment import Change, Done, Target
from fleet import ROOT, Fleet
from fleet_journal import Journal
from fleet_seen import Seen

RELEASE = "dpra:release"
JOURNAL = "journal.json"


def deploy(target: Target, change: Change) -> Done:
    """Apply the part's steps of the plan; of a release that ran before, what brings its policies and baselines back."""
    fleet = fleet_release.fleet(change.release, target.component)
    part = part_of(target, fleet)
    settled(target)  # what automatic deployment is doing would look like somebody else's change
    seen = Seen.from_json(organisation.read(target.region, target.component))
    if seen.management != target.account:
        raise runner.Failed(f"{target.account} is not the management account: that is {seen.management}", "error")
    journal = Journal(place(target, change))
    if change.back:
        plan = fleet_parts.restored(fleet, seen, part)
        steps = list(plan.steps)
        runner.say("back to an earlier release: policies and baselines only; accounts, units and tags stay as they are")
    else:
        signed = fleet_release.plan(change.release, fleet)
        steps, why = fleet_parts.remaining(fleet, signed, seen, part, journal.begun, journal.ended)
        if why:
            raise runner.Failed(
                f"the organisation is not as the plan knows it, nothing is applied: {'; '.join(why)}. "
                "Run the pipeline anew: it makes a new plan"
            )
        plan = fleet_plan.plan(fleet, seen)
    rows = [(fleet_plan.SAYS[step.action], step.on) for step in steps]
    deployment.show(f"{target.component}, {part}", ("what", "where"), rows)
    started = deployment.timestamp()
    change.before()
    calls = fleet_apply.apply(target, fleet, plan, steps, journal, seen)
    unit = calls.id(part)
    tags = [{"Key": RELEASE, "Value": f"{change.digest}/{change.commit}"}]
    organisation.call(calls.near, "organizations", "tag-resource", ResourceId=unit, Tags=tags)
    return Done(f"{unit} {len(steps)} steps", started, {"Unit": unit, "Steps": str(len(steps))})


def part_of(target: Target, fleet: Fleet) -> str:
    if target.unit not in fleet.parts:
        said = f"the input 'unit' is '{target.unit}', and no part of the fleet: choose one of {', '.join(fleet.parts)}"
        raise runner.Failed(said, "error")
    return target.unit


def place(target: Target, change: Change) -> Place:
    """Where the release's journal lies."""
    key = f"{target.component}/{change.digest}/{JOURNAL}"
    return Place(target.region, target.bucket, key, target.account)


def settled(target: Target) -> None:
    """No operation of the component's stack sets goes on. Accounts that AWS is making change nothing that runs."""
    asked = {"Status": "ACTIVE", **organisation.SELF}
    listed = organisation.call(target.region, "cloudformation", "list-stack-sets", **asked)["Summaries"]
    for one in listed:
        if one["StackSetName"].startswith(f"{target.component}-") and one["Status"] == "ACTIVE":
            stack_sets.settle(target.region, one["StackSetName"])


def running(target: Target) -> str:
    """The digest of the release that the tag of the part's unit names."""
    near = organisation.home(target.region)
    if not (unit := unit_id(near, target.unit)):
        return ""
    return organisation.tags_of(near, unit).get(RELEASE, "").partition("/")[0]


def unit_id(near: str, path: str) -> str:
    """The id of a unit by its path; empty where there is none."""
    unit = str(organisation.call(near, "organizations", "list-roots")["Roots"][0]["Id"])
    for name in path.split("/") if path != ROOT else ():
        listed = organisation.call(near, "organizations", "list-organizational-units-for-parent", ParentId=unit)
        unit = next((str(one["Id"]) for one in listed["OrganizationalUnits"] if one["Name"] == name), "")
        if not unit:
            return ""
    return unit
