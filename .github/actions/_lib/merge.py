"""The evidence of all jobs against what was promised. What is absent is `not run`, and never counted as passed.

Standard library only and nothing of its siblings: the report action and `dpra evidence` both run it.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

LEVELS = ("required", "recommended", "listed")
STATUSES = ("blocks", "advisory", "left-out")
Record = dict[str, Any]


def records(folder: Path, this: Record, complain: Callable[[str], None]) -> Iterator[Record]:
    """Every record of this run and commit. A line that is none counts for nothing: its action has not run."""
    for path in sorted(folder.rglob("evidence.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                record = json.loads(line)
                record["attempt"] = int(record["attempt"])
                whole = all(isinstance(record[key], str) for key in ("job", "action", "region", "result", "gate"))
                ours = {key: record[key] for key in this} == this
            except (ValueError, TypeError, LookupError):
                whole = ours = False
            if whole and ours:
                yield record
            else:
                complain(f"{path.parent.name}: a line is no record of this run and commit")


def newest(found: list[Record]) -> list[Record]:
    """A job that was run again replaces what it said before."""

    def key(record: Record) -> tuple[str, str]:
        return record["job"], record["region"]

    last: dict[tuple[str, str], int] = {}
    for record in found:
        last[key(record)] = max(last.get(key(record), 0), record["attempt"])
    return [record for record in found if record["attempt"] == last[key(record)]]


def expectations(said: object) -> list[Record]:
    """The promise: job, action, level, status; a region where a job runs in several; security. A list of JSON objects.

    Raises:
        ValueError: an entry is none.
    """
    expected = []
    for one in said if isinstance(said, list) else [said]:
        try:
            known = one["level"] in LEVELS and one["status"] in STATUSES
            known = known and all(isinstance(one[key], str) for key in ("job", "action"))
        except (TypeError, LookupError):
            known = False
        if not known:
            raise ValueError(f"'{json.dumps(one)}' is not a JSON object with job, action, level and status")
        expected.append(one)
    return expected


def promised(path: Path, workflow: str) -> list[Record]:
    """What a workflow promises, by the file that has it for each workflow.

    Raises:
        ValueError: there is no such file, it is no JSON, or it does not have the workflow.
    """
    try:
        said = json.loads(path.read_bytes())
        return expectations(said[workflow])
    except OSError as problem:
        raise ValueError(f"{path} cannot be read ({problem.strerror}); run: dpra generate") from problem
    except LookupError as problem:
        raise ValueError(f"{path} says nothing of the workflow {workflow}; run: dpra generate") from problem
    except (ValueError, TypeError) as problem:
        raise ValueError(f"{path}: {problem}; run: dpra generate") from problem


def matches(record: Record, one: Record) -> bool:
    """Whether the record is of the action that was promised."""
    same = (record["job"], record["action"]) == (one["job"], one["action"])
    return same and one.get("region", "") in ("", record["region"])


def judged(found: Iterable[Record], expected: Iterable[Record]) -> list[Record]:
    """The records with their levels, in the order of what was expected; then those that nobody expected."""
    found, expected = list(found), list(expected)
    actions: list[Record] = []
    for one in expected:
        absent = {"job": one["job"], "action": one["action"], "region": one.get("region", ""), "gate": one["status"]}
        absent["result"] = "left out" if one["status"] == "left-out" else "not run"
        said = {"level": one["level"], "security": bool(one.get("security"))}
        for record in [record for record in found if matches(record, one)] or [absent]:
            if one["status"] == "blocks" and record["gate"] != "blocks":  # it did not do what was promised
                record = {**record, "gate": "blocks", "result": "only warned"}
            actions.append({**record, **said})
    others = [record for record in found if not any(matches(record, one) for one in expected)]
    return actions + [{**record, "level": "", "security": False} for record in others]


def lacking(actions: Iterable[Record]) -> list[Record]:
    """The required actions that should have blocked and did not pass."""
    return [one for one in actions if one["level"] == "required" and one["gate"] == "blocks" and not passed(one)]


def passed(action: Record) -> bool:
    """It ran, it could have blocked, and it passed."""
    return action["result"] == "pass" and action["gate"] == "blocks"


def figures(actions: list[Record]) -> Record:
    """Required actions that ran and blocked, of all; security controls that are automated, in percent; the exceptions.

    DPRA's overview asks for the share of security controls that are automated. A control is automated if it ran as a
    gate and passed in every job that has it."""
    required = [one for one in actions if one["level"] == "required"]
    names = dict.fromkeys(one["action"] for one in actions if one["security"])
    automated = [name for name in names if all(passed(one) for one in actions if one["action"] == name)]
    exceptions = []
    for one in actions:
        where = f"{one['action']} ({one['job']})"
        if one["gate"] in ("advisory", "left-out"):
            exceptions.append(f"{where}: {one['gate']}" + (f", {one['reason']}" if one.get("reason") else ""))
        for waiver in one.get("waivers") or ():
            place = f" in {waiver['path']}" if waiver["path"] else ""
            said = f"{waiver['rule']}{place} waived until {waiver['until']} by {waiver['owner']}"
            exceptions.append(f"{where}: {said}, {waiver['reason']}")
        if one.get("baseline"):
            exceptions.append(f"{where}: {one['baseline']} findings of the baseline")
    return {
        "required": len(required),
        "required-passed": sum(passed(one) for one in required),
        "security-controls": len(names),
        "security-controls-automated": len(automated),
        "security-control-automation": round(100 * len(automated) / len(names), 1) if names else None,
        "exceptions": exceptions,
    }
