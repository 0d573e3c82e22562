"""Third-party actions: who uses which, and the composite that stands in for it, or the real one."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
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


def mappings(
    root: Path,
    workflow: MutableMapping[str, Any],
    said: str,
    pack: Path,
    real: Callable[[str, str], Path | None] = lambda action, ref: None,
) -> dict[str, Path]:
    """`owner/repo@ref` -> the folder of its stand-in, or of the `real` one; checks what is handed to it on the way.

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
        owner, repository, *within = action.split("/")
        folder = real(action, ref) or STAND_INS / owner / repository
        path = next((path for path in sorted(folder.joinpath(*within).glob("action.y*ml"))), None)
        if path is None:
            raise RehearsalError(f"{place}: nothing stands in for {step['uses']} in a rehearsal")
        known = YAML(typ="safe").load(path).get("inputs") or {}
        for name in step.get("with") or ():
            if name.lower() not in known:
                raise RehearsalError(f"{place}: {action} has no input '{name}'; it has {', '.join(known)}")
        found[f"{owner}/{repository}@{ref}"] = folder
    return found
