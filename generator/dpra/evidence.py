"""The evidence of runs, as the pack's `_lib/merge.py` judges it: what the report action does, dpra does, too."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dpra import catalogue, resources
from dpra.catalogue import Catalogue

Document = dict[str, Any]


class EvidenceError(Exception):
    """A file is no evidence; the message says which and why."""


def merged(folder: Path, expected: str, pipeline: str) -> Document:
    """The evidence in the artifacts of a run: what its report job made, or else what the jobs left so far."""
    made = folder / "evidence" / "evidence.json"
    if made.is_file():
        return read(made)
    lib = resources.lib("merge")
    promised = lib.expectations(expected)
    actions = lib.judged(lib.newest(list(lib.records(folder, {"schema": 1}, lambda line: None))), promised)
    said = {"schema": 1, "pipeline": pipeline, "expected": promised, "actions": actions}
    return {**said, "figures": lib.figures(actions)}


def read(path: Path) -> Document:
    """An evidence.json, judged anew: what it says of itself is not believed.

    Raises:
        EvidenceError: it cannot be read, or is none.
    """
    lib = resources.lib("merge")
    try:
        said = json.loads(path.read_bytes())
        expected = lib.expectations("\n".join(map(json.dumps, said["expected"])))
        types = catalogue.load(said["pipeline"])
        records = [one for one in said["actions"] if one["result"] not in ("not run", "left out")]
        actions = lib.judged(records, [*expected, *_unpromised(types, expected)])
        return {**said, "actions": actions, "figures": lib.figures(actions)}
    except OSError as problem:
        raise EvidenceError(f"{path}: {problem.strerror}") from problem
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        raise EvidenceError(f"{path}: this is no evidence.json of dpra ({type(problem).__name__})") from problem


def _unpromised(types: Catalogue, expected: Iterable[Document]) -> list[Document]:
    """What DPRA requires of this pipeline type and the run did not even promise."""
    promised = {one["action"] for one in expected}
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
        if one["level"] in asked and one["result"] != "pass" and not (one["gate"] == "advisory" and _ran(one))
    ]


def _ran(action: Document) -> bool:
    return action["result"] in ("pass", "fail", "error")
