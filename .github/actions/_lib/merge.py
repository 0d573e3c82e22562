"""The evidence of all jobs against what was promised. What is absent is `not run`, and never counted as passed.

Standard library only and nothing of its siblings: the report action and `dpra evidence` both run it.
"""

import json
import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEVELS = ("required", "recommended", "listed")
STATUSES = ("blocks", "advisory", "left-out", "not-applicable")
UNDONE = {"blocks": "not run", "advisory": "not run", "left-out": "left out", "not-applicable": "not applicable"}
Record = dict[str, Any]


# steps/keep-evidence.yml gives the name. It is read from the right: the ids of jobs have hyphens.
ARTIFACT = re.compile(r"evidence-([A-Za-z_][A-Za-z0-9_-]*)-(0|[1-9][0-9]{0,8})-([1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Artifact:
    """What one leg of a job kept in one attempt. Its name is the runner's word; what lies in it, the job's."""

    name: str
    job: str
    leg: int
    attempt: int
    path: Path


def records(
    folder: Path,
    this: Record,
    expected: list[Record],
    complain: Callable[[str], None],
    *,
    attempts: int = sys.maxsize,
    skipped: Container[str] = (),
) -> Iterator[Record]:
    """What the newest attempt of each leg of a job left of this run and commit. A record tells of the job in whose
    artifact it lies, or counts for nothing: tests can write to the file, too.

    Args:
        folder: the artifacts, a folder each.
        this: what each record must say.
        expected: the promise; it knows which region a leg is.
        complain: gets a line for each that does not count.
        attempts: how often the run was started.
        skipped: jobs that GitHub did not run; they have no artifact of their own.
    """
    newest: dict[tuple[str, int], Artifact] = {}
    for one in sorted(artifacts(folder, complain), key=lambda one: one.attempt):
        if one.attempt > attempts or one.job in skipped:
            complain(f"{one.name}: the run had no such job or attempt; its records do not count")
        else:
            newest[one.job, one.leg] = one
    for one in newest.values():
        regions = list(
            dict.fromkeys(said["region"] for said in expected if said["job"] == one.job and said.get("region"))
        )
        its = regions[one.leg : one.leg + 1]
        for line in one.path.read_bytes().splitlines():
            record = read(line, this)
            if record is None:
                complain(f"{one.name}: a line is no record of this run and commit")
            elif (record["job"], record["attempt"]) == (one.job, one.attempt) and (
                not regions or record["region"] in its
            ):
                yield record
            else:
                told = " ".join(filter(None, (record["job"], record["region"])))
                told = f"{record['action']} ({told}), attempt {record['attempt']}"
                complain(f"{one.name}: a record tells of {told}, which did not run there; it does not count")


def artifacts(folder: Path, complain: Callable[[str], None]) -> Iterator[Artifact]:
    """The artifacts in a folder; what else has the form of evidence is a job's own invention."""
    for path in sorted(folder.rglob("evidence.jsonl")):
        named = ARTIFACT.fullmatch(path.parent.name)
        if named and path.parent.parent == folder and path.is_file():
            yield Artifact(named[0], named[1], int(named[2]), int(named[3]), path)
        else:
            complain(f"{path.relative_to(folder)}: this is not the evidence of a job; it does not count")


def read(line: bytes, this: Record) -> Record | None:
    """The record in a line; None where it is none, or not one of this run and commit."""
    try:
        record: Record = json.loads(line)
        record["attempt"] = int(record["attempt"])
        whole = all(isinstance(record[key], str) for key in ("job", "action", "region", "result", "gate"))
        return record if whole and {key: record[key] for key in this} == this else None
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


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
        absent["result"] = UNDONE[one["status"]]
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


def figures(actions: list[Record], expected: Iterable[Record]) -> Record:
    """Required actions that ran and blocked, of all; security controls that are automated, in percent; the exceptions.
    Where an action has several records, the worst of them counts.

    DPRA's overview asks for the share of security controls that are automated. A control is automated if it ran as a
    gate and passed in every job that has it."""
    required = [
        all(passed(one) for one in actions if matches(one, said))
        for said in expected
        if said["level"] == "required" and said["status"] != "not-applicable"
    ]
    names = dict.fromkeys(one["action"] for one in actions if one["security"] and one["gate"] != "not-applicable")
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
        "required-passed": sum(required),
        "security-controls": len(names),
        "security-controls-automated": len(automated),
        "security-control-automation": round(100 * len(automated) / len(names), 1) if names else None,
        "exceptions": exceptions,
    }
