"""Plans a fleet's release, looks at a part, finds drift."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "_lib"), str(Path(__file__).resolve().parent)]
import aws
import evidence
import fleet_look
import fleet_plan
import fleet_release
import issues
import organisation
import record
import release
import runner
import trusted
from fleet_plan import Plan
from fleet_seen import Seen
from fleet_steps import Step

LABEL = "dpra-drift"
PAUSE = 60  # seconds between two looks
NOBODY_ASKED = ("account-unasked", "account-gone")  # what of that which is left alone is drift
MOST = 50  # issues of drift; what is more is in the summary
TOLD = 10  # reasons in a message


def plan() -> None:
    """What the release will do, for all parts: a file of the release from now on, which has another digest by it."""
    with evidence.recorded(action("saved-plan")) as facts:
        folder = checked()
        fleet = fleet_release.fleet(folder, runner.required("COMPONENT"))
        made = fleet_plan.plan(fleet, look())
        show_plan(made)
        facts["findings"] = {"steps": len(made.steps), "refused": len(made.refused)}
        refuse(made)
        (folder / release.PLAN).write_text(made.text, encoding="utf-8")
        runner.output("digest", release.describe(folder, runner.required("COMPONENT")))


def verify() -> None:
    """A part is as the release wants it, and its accounts let the probe do what its rows say, for some minutes."""
    with evidence.recorded(action("guardrail-tests"), region=runner.given("UNIT")) as facts:
        region, component = runner.required("REGION"), runner.required("COMPONENT")
        fleet = fleet_release.fleet(checked(), component)
        part, until = runner.required("UNIT"), time.monotonic() + 60 * float(runner.required("MINUTES"))
        if part not in fleet.parts:
            raise runner.Failed(f"'{part}' is no part of the fleet: choose one of {', '.join(fleet.parts)}", "error")
        aws.expect_account(region, runner.required("ACCOUNT"))
        while True:
            seen = look()
            found = fleet_look.part(region, fleet, seen, part)
            rows = fleet_look.tried(region, fleet, seen, part)
            wrong = [row for row in rows if row[3] != "as expected"]
            facts["findings"] = {"different": len(found), "rows": len(wrong), "tried": len(rows)}
            if found or wrong:
                break
            runner.say(f"{part} is as the release wants it; {len(rows)} requests were answered as expected")
            if time.monotonic() + PAUSE > until:
                break
            time.sleep(PAUSE)
        head = ("account", "request", "expected", "answer")
        runner.summary(f"requests in {runner.code(part)}", head, [[runner.code(cell) for cell in row] for row in rows])
        if found or wrong:
            told = [*found, *(f"{row[0]}: {row[1]}: {row[3]}" for row in wrong)]
            raise runner.Failed(f"{part} is not as the release wants it: {some(told)}")


def drift() -> None:
    """The whole organisation against what was released last; an issue for each thing that differs."""
    with evidence.recorded(action("drift")) as facts:
        kept, _ = record.read(record.given())
        current = kept["current"]
        if not current or kept["lock"]:
            runner.say("nothing is released yet" if not current else "a release is under way: its end is waited for")
            return
        region = runner.required("REGION")
        folder = trusted.fetch(region, runner.required("BUCKET"), current["digest"], current["commit"])
        fleet, seen = fleet_release.fleet(folder, runner.required("COMPONENT")), look()
        made = fleet_plan.plan(fleet, seen)
        refused = organisation.refused_creations(region)
        found = {f"{one.on}: {fleet_plan.SAYS[one.action]}": told(one, refused) for one in made.steps}
        found |= {f"{one.on}: {one.rule}": one.text for one in made.refused}
        found |= {f"{one.on}: {one.rule}": one.text for one in made.reported if one.rule in NOBODY_ASKED}
        stacks = fleet_look.outdated(region, fleet, seen, {one.id for one in seen.accounts})
        found |= {line.partition(": ")[0]: line for line in stacks}
        found = {f"Drift: {title}": says for title, says in found.items()}
        facts["findings"] = {"drift": len(found)}
        show_plan(made)
        keep({runner.inert(title): says for title, says in found.items()}, current["commit"])
        if found:
            raise runner.Failed(f"the organisation is not what {current['commit'][:12]} wants: {some(list(found))}")


def told(step: Step, refused: Mapping[str, str]) -> str:
    """What the next release would do, and why AWS did not do it when it was asked."""
    why = refused.get(str(step.details.get("name"))) if step.action == "create-account" else ""
    return f"{dict(step.details)}{f'. AWS refused to create it: {why}' if why else ''}"


def keep(found: Mapping[str, str], commit: str) -> None:
    """One issue for each finding, open as long as it is there."""
    there = issues.opened(LABEL)
    issues.close(one for one in there if one["title"] not in found)
    for title, says in list(found.items())[:MOST]:
        body = f"The organisation is not what `{commit}` wants: {runner.code(says)}\n"
        issues.keep(there, title, LABEL, body)


# ---- What they share


def action(otherwise: str) -> str:
    return runner.given("ACTION") or otherwise


def some(told: list[str]) -> str:
    return "; ".join(told[:TOLD]) + (f"; and {len(told) - TOLD} more" if len(told) > TOLD else "")


def checked() -> Path:
    """The directory of the release, which is the one of the digest: any job may have handed it on."""
    folder, commit = Path(runner.required("RELEASE")), os.environ["GITHUB_SHA"]
    release.verify(folder, runner.required("DIGEST"), runner.required("COMPONENT"), commit)
    return folder


def look() -> Seen:
    region, account = runner.required("REGION"), runner.required("ACCOUNT")
    aws.expect_account(region, account)
    seen: dict[str, Any] = organisation.read(region, runner.required("COMPONENT"))
    if seen["management"] != account:
        raise runner.Failed(f"{account} is not the management account: that is {seen['management']}", "error")
    return Seen.from_json(seen)


def show_plan(made: Plan) -> None:
    path = runner.temp() / "fleet-plan.md"
    path.write_text(fleet_plan.summary(made), encoding="utf-8")
    runner.shown(path)
    for step in made.steps:
        runner.say(f"{step.part}: {fleet_plan.SAYS[step.action]}: {step.on}")
    if not made.steps:
        runner.say("nothing changes")


def refuse(made: Plan) -> None:
    for one in made.refused:
        runner.error(one.text, one.file, one.line, one.rule)
    if made.refused:
        raise runner.Failed(f"nothing can be applied: {some([f'{one.on}: {one.text}' for one in made.refused])}")


runner.perform({"plan": plan, "verify": verify, "drift": drift}, "fleet")
