"""Third-party actions: who uses which, and the composite that stands in for it."""

from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from . import dialect
from .result import RehearsalError

STAND_INS = Path(__file__).parent / "stand_ins"
VENDORED = Path(".github", "actions")


def uses(root: Path, workflow: MutableMapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every step that uses an action, with the place it stands at: of the workflow and of the vendored actions."""
    for job, step in dialect.steps(workflow):
        if "uses" in step:
            yield f"job {job}", step
    for path in sorted(root.glob(f"{VENDORED}/**/action.y*ml")):
        action = YAML(typ="safe").load(path) or {}
        for step in action.get("runs", {}).get("steps") or ():
            if "uses" in step:
                yield str(path.relative_to(root)), step


def mappings(root: Path, workflow: MutableMapping[str, Any]) -> dict[str, Path]:
    """`owner/repo@ref` -> the folder of its stand-in; checks what is handed to it on the way."""
    found = {}
    for place, step in uses(root, workflow):
        action, _, ref = str(step["uses"]).partition("@")
        if action.startswith("./"):
            continue
        folder = STAND_INS / action
        if not (folder / "action.yml").is_file():
            raise RehearsalError(f"{place}: nothing stands in for {step['uses']} in a rehearsal")
        known = YAML(typ="safe").load(folder / "action.yml")["inputs"]
        for name in step.get("with") or ():
            if name.lower() not in known:
                raise RehearsalError(f"{place}: {action} has no input '{name}'; it has {', '.join(known)}")
        found["/".join(action.split("/")[:2]) + "@" + ref] = STAND_INS.joinpath(*action.split("/")[:2])
    return found
