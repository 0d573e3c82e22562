"""The evidence of runs, as the pack's `_lib/merge.py` judges it: what the report action does, dpra does, too."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dpra import catalogue, resources
from dpra.catalogue import PIPELINE, Catalogue
from dpra.errors import InputError
from dpra.graph import Workflow
from dpra.plan import Plan

Document = dict[str, Any]


class EvidenceError(InputError):
    """A file is no evidence; the message says which and why."""


def expected(plan: Plan) -> dict[str, list[Document]]:
    """What each workflow that releases promises: its actions, as `_lib/merge.py` reads them, by the workflow's name."""
    releasing = [one for one in plan.workflows.values() if one.id == PIPELINE or one.skipped or one.id in _hasty(plan)]
    return {one.id: list(_promised(plan, one)) for one in releasing}


def _hasty(plan: Plan) -> list[str]:
    """The workflows that leave something out."""
    return [one.id for one in plan.catalogue.workflows.values() if one.skips]


def _promised(plan: Plan, workflow: Workflow) -> Iterator[Document]:
    """Each action that a step does or should do; what this workflow leaves out of the pipeline is left out."""
    known = {action.id: action for action in plan.catalogue.actions}
    for action in plan.actions:
        if action.status == "outside-pipeline" or action.step not in ("", action.action):
            continue
        if action.status in ("left-out", "not-applicable") and action.level != "required":
            continue
        doing = [
            job for job in plan.jobs.values() if action.job and job.stage == action.stage and action.action in job.steps
        ]
        for job, legs in [(job.id, job.legs) for job in doing] or [(action.stage, ())]:
            left = job not in workflow.jobs or action.action in workflow.skipped
            said: Document = {"job": job, "action": action.action, "level": action.level}
            said |= {"status": "left-out" if doing and left else action.status}
            said |= {"security": True} if known[action.action].security else {}
            yield from ({**said, "region": leg} for leg in legs) if legs else [said]


def merged(folder: Path, promised: list[Document], pipeline: str) -> Document:
    """The evidence in the artifacts of a run: what its report job made, or else what the jobs left so far."""
    made = folder / "evidence" / "evidence.json"
    if made.is_file():
        return read(made)
    lib = resources.lib("merge")
    actions = lib.judged(lib.records(folder, {"schema": 1}, promised, lambda line: None), promised)
    said = {"schema": 1, "pipeline": pipeline, "expected": promised, "actions": actions}
    return {**said, "figures": lib.figures(actions, promised)}


def read(path: Path) -> Document:
    """An evidence.json, judged anew: what it says of itself is not believed.

    Raises:
        EvidenceError: it cannot be read, or is none.
    """
    lib = resources.lib("merge")
    try:
        said = json.loads(path.read_bytes())
        expected = lib.expectations(said["expected"])
        types = catalogue.load(said["pipeline"])
        records = [one for one in said["actions"] if one["result"] not in lib.UNDONE.values()]
        required = [*expected, *_unpromised(types, expected)]
        actions = lib.judged(records, required)
        return {**said, "actions": actions, "figures": lib.figures(actions, required)}
    except OSError as problem:
        raise EvidenceError(f"{path}: {problem.strerror}") from problem
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        raise EvidenceError(f"{path}: this is no evidence.json of dpra ({type(problem).__name__})") from problem


def _unpromised(types: Catalogue, expected: Iterable[Document]) -> list[Document]:
    """What DPRA requires of this pipeline type and the run did not even promise."""
    of_program = {action.id for action in types.actions if action.program}
    promised = {one["action"] for one in expected if one["status"] != "not-applicable" or one["action"] in of_program}
    return [
        {"job": "-", "action": action.id, "level": "required", "status": "blocks", "security": action.security}
        for action in types.actions
        if action.level == "required" and not action.outside and not action.by and action.id not in promised
    ]


def lacking(document: Document, level: str) -> list[str]:
    """The actions of this level, and of those above it, that did not run or did not pass; a line each."""
    levels = resources.lib("merge").LEVELS
    asked = levels[: levels.index(level) + 1]
    return [
        f"{one['action']} ({one['job']}{' ' + one['region'] if one.get('region') else ''}): {one['result']}"
        for one in document["actions"]
        if one["level"] in asked
        and one["result"] != "pass"
        and not (one["gate"] == "advisory" and _ran(one))
        and one["gate"] != "not-applicable"
    ]


def _ran(action: Document) -> bool:
    return action["result"] in ("pass", "fail", "error")
