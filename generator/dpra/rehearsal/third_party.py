"""Third-party actions: who uses which, and the composite that stands in for it."""

from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from . import dialect
from .result import RehearsalError

STAND_INS = Path(__file__).parent / "stand_ins"
VENDORED = Path(".github", "actions")


def uses(root: Path, workflow: MutableMapping[str, Any], pack: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every step that uses an action, with the place it stands at: of the workflow and of the pack's actions."""
    for job, step in dialect.steps(workflow):
        if "uses" in step:
            yield f"job {job}", step
    for place in dict.fromkeys((root, pack)):
        for path in sorted(place.glob(f"{VENDORED}/**/action.y*ml")):
            action = YAML(typ="safe").load(path) or {}
            for step in action.get("runs", {}).get("steps") or ():
                if "uses" in step:
                    yield str(path.relative_to(place)), step


def mappings(root: Path, workflow: MutableMapping[str, Any], said: str, pack: Path) -> dict[str, Path]:
    """`owner/repo@ref` -> the folder of its stand-in; checks what is handed to it on the way.

    Args:
        said: the spec's `pack`; empty where it is vendored.
        pack: the checkout that stands in for it: the pack of the dpra that rehearses.
    """
    found = {}
    for place, step in uses(root, workflow, pack if said else root):
        action, _, ref = str(step["uses"]).partition("@")
        if action.startswith("./"):
            continue
        if said and action.startswith(f"{said.partition('@')[0]}/"):
            found[f"{said.partition('@')[0]}@{ref}"] = pack
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
