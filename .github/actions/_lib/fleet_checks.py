"""A fleet's folder read and judged, as the checks of its files and the command both do it."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import fleet_files
import fleet_lockouts
import fleet_parts
import fleet_plan
import fleet_policies
import fleet_rules
import runner
from configuration_nodes import Events
from fleet import ROOT, Fleet, Problem, counted, ordered
from fleet_effects import LOSES
from fleet_inheritance import Organisation, full_access, statement_lines
from fleet_policies import Judged
from fleet_seen import Seen

RULES = {**fleet_rules.RULES, **fleet_policies.RULES, **fleet_lockouts.RULES}
RULES |= {LOSES: fleet_rules.Rule("medium", "An account that loses a policy or a baseline by a move of this commit.")}
SHOWN = 50  # rows of a table in a summary


@dataclass(frozen=True)
class Settings:
    """What dpra.yml says of a fleet."""

    component: str
    parts: tuple[str, ...] = ()
    folder: str = ""  # as git calls it; empty: the repository's root


def settings(text: str) -> Settings:
    """The settings of a check.

    Raises:
        ValueError: they are none.
    """
    said = json.loads(text)
    if not isinstance(said, dict) or not isinstance(said.get("component"), str) or not said["component"]:
        raise ValueError("needs a JSON object with component")
    parts, folder = said.get("parts", []), said.get("folder", "")
    if not isinstance(parts, list) or not all(isinstance(one, str) for one in parts) or not isinstance(folder, str):
        raise ValueError("parts is a list of units' paths, folder the path of a folder")
    return Settings(
        said["component"], tuple(parts), PurePosixPath(folder).as_posix() if folder not in ("", ".") else ""
    )


@dataclass(frozen=True)
class Compiled:
    """A fleet, and what was wrong with reading it."""

    settings: Settings
    files: Mapping[str, bytes]
    fleet: Fleet
    unread: tuple[Problem, ...] = ()
    lines: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The files as the repository has them; organisation.yml is always asked for."""
        return [self.place(name) for name in sorted({*self.files, fleet_files.ORGANISATION})]

    def place(self, name: str) -> str:
        beside = self.settings.folder and name != fleet_rules.SPECIFICATION  # which lies in the root of the repository
        return f"{self.settings.folder}/{name}" if beside else name

    def organisation(self) -> Organisation:
        return Organisation(self.fleet, self.lines)

    def locked(self, seen: Seen) -> list[Problem]:
        """Who would be locked out of the organisation that is there: somebody may have detached FullAWSAccess."""
        full = full_access(self.fleet, seen)
        organisation = Organisation(self.fleet, self.lines, full=full, management=seen.management)
        return self.placed(fleet_lockouts.lockouts(organisation))

    def placed(self, problems: Iterable[Problem]) -> list[Problem]:
        """Problems with their files as the repository has them."""
        return ordered(one._replace(file=self.place(one.file)) for one in problems)

    def problems(self) -> list[Problem]:
        """All that is wrong with the files but the rows of the policy tests."""
        organisation = self.organisation()
        found = [*self.unread, *fleet_rules.problems(self.fleet), *organisation.problems]
        return self.placed([*found, *fleet_lockouts.lockouts(organisation)])

    def tested(self) -> tuple[list[Judged], list[Problem]]:
        """The rows, and what is wrong: those that do not hold, and whatever keeps others from being rows."""
        organisation = self.organisation()
        rows = fleet_policies.judged(organisation)
        return rows, self.placed([*self.unread, *fleet_policies.problems(rows, organisation)])


def compiled(root: Path, said: Settings, events: Events) -> Compiled:
    """The fleet in a folder of a repository.

    Raises:
        LookupError: there is a link among the files, or the folder lies elsewhere.
    """
    folder = root / said.folder
    if not folder.resolve().is_relative_to(root.resolve()):
        raise LookupError(f"{said.folder} lies outside of the repository")
    return built(fleet_files.in_folder(folder), said, events)


def built(files: Mapping[str, bytes], said: Settings, events: Events) -> Compiled:
    """The fleet of files by their paths in its folder."""
    fleet, problems = fleet_files.build(files, said.component, events, said.parts)
    return Compiled(said, files, fleet, tuple(problems), statement_lines(files, fleet))


def earlier(files: Mapping[str, bytes], said: Settings, events: Events) -> Compiled:
    """The fleet of an earlier commit: a part that had no unit then was none."""
    found = built(files, said, events)
    parts = tuple(part for part in said.parts if part in found.fleet.by_path) or (ROOT,)
    return replace(found, fleet=replace(found.fleet, parts=parts))


def sound(one: Compiled) -> bool:
    """Whether a fleet can be planned: whatever else is wrong with it."""
    return not one.unread and not fleet_rules.problems(one.fleet)


def line(problem: Problem) -> str:
    """A finding as check/sarif.py takes it."""
    about = {"rule": problem.rule, "severity": RULES[problem.rule].severity, "text": problem.message}
    return json.dumps({**about, "file": problem.file, "line": problem.line})


# ---- Summaries: Markdown, in which what the files say is inert


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---" for _ in head], *rows)]


def summary(fleet: Fleet) -> str:
    """What there is, by unit."""
    own = dict.fromkeys(fleet.by_path, 0)
    for account in fleet.accounts:
        own[account.unit] = own.get(account.unit, 0) + 1
    attached: dict[str, list[str]] = defaultdict(list)
    for policy in fleet.policies:
        for target in policy.attach:
            attached[target].append(policy.name)
    rows = [
        [runner.code(path), f"{number:,}", ", ".join(map(runner.code, attached[path][:10])) or "none"]
        for path, number in [*own.items()][:SHOWN]
    ]
    more = [] if len(own) <= SHOWN else [f"and {counted(len(own) - SHOWN, 'other unit')}", ""]
    kinds = ("unit", len(fleet.units) - 1), ("account", len(fleet.accounts)), ("policy", len(fleet.policies))
    what = ", ".join(counted(number, word) for word, number in (*kinds, ("baseline", len(fleet.baselines))))
    return "\n".join(["### The fleet", "", what, "", *table(("unit", "accounts", "policies"), rows), "", *more])


def change(root: Path, found: Compiled, events: Events) -> tuple[str, list[Problem]]:
    """What the last commit changes, as far as the files say it; and what of it has to be meant."""
    title = "### What this change does"
    try:
        before = earlier(fleet_files.at_commit(root, "HEAD^1", found.settings.folder), found.settings, events)
    except LookupError:
        return f"{title}\n\nThe commit before is not here (fetch-depth: 2), so nothing is compared.\n", []
    if not sound(found) or (before.files and not sound(before)):
        return f"{title}\n\nThe files cannot be compared: they, or those of the commit before, have problems.\n", []
    plan = fleet_parts.change(before.fleet, found.fleet)
    told = (
        Problem(one.file, one.line, one.rule, f"{one.on}: {one.text}; waive {LOSES} in dpra.yml if that is meant")
        for one in fleet_rules.losses(plan)
    )
    return f"{title}\n{fleet_plan.summary(plan).partition(chr(10))[2]}", found.placed(told)


def results(rows: Iterable[Judged], compiled: Compiled) -> str:
    """The rows by unit, those first that do not hold."""
    by_unit: dict[str, list[Judged]] = defaultdict(list)
    for one in rows:
        by_unit[one.row.on].append(one)
    if not by_unit:
        return "### Policy tests\n\nThere are no rows in policies/tests.\n"
    failing = {on: sum(not one.holds for one in there) for on, there in by_unit.items()}
    order = sorted(by_unit, key=lambda on: (not failing[on], on))
    shown = [[runner.code(on), str(len(by_unit[on])), str(failing[on] or "none")] for on in order[:SHOWN]]
    number = sum(map(len, by_unit.values()))
    text = [
        "### Policy tests",
        "",
        f"{counted(number, 'row')}; {sum(failing.values()) or 'none'} of them do not hold",
        "",
    ]
    text += [*table(("on", "rows", "do not hold"), shown), ""]
    text += [f"and {counted(len(order) - SHOWN, 'other target')}", ""] if len(order) > SHOWN else []
    wrong = [one for on in order for one in by_unit[on] if not one.holds]
    if wrong:
        cells = [
            [
                runner.code(f"{compiled.place(one.row.file)}:{one.row.line}"),
                one.row.expect if not one.unread else "",
                *(runner.code(word) for word in (one.row.action, one.row.principal, one.row.resource)),
                runner.code(one.unread or _policy(one)),
            ]
            for one in wrong[:SHOWN]
        ]
        text += [*table(("row", "expected", "action", "principal", "resource", "decided by"), cells), ""]
        text += [f"and {counted(len(wrong) - SHOWN, 'other row')}", ""] if len(wrong) > SHOWN else []
    return "\n".join(text)


def _policy(one: Judged) -> str:
    bound, decision = one.failures[0]
    if decision.statement:
        return f"{decision.policy}, statement {decision.statement}, at {decision.level}"
    return f"nothing denies it on {bound.path}" if decision.allowed else f"nothing allows it at {decision.level}"


def evidence(rows: Iterable[Judged]) -> list[dict[str, Any]]:
    """The rows as JSON, each with its place and whether it holds."""
    return [
        {"file": one.row.file, "line": one.row.line, "on": one.row.on, "expect": one.row.expect, "holds": one.holds}
        for one in rows
    ]
