"""The documents of components: phases of steps, which are run in a root.

Source: https://docs.aws.amazon.com/imagebuilder/latest/userguide/toe-use-documents.html"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dpra.dataclasses import dataclass

from ... import roots
from ..protocol import Problem
from .actions import ACTIONS, Failed

# Image Builder's step -> the phases that it runs, one after another.
PHASES = {"ApplyBuildComponents": "build validate".split(), "ApplyTestComponents": ["test"]}
KEYS = {"name", "description", "schemaVersion", "parameters", "constants", "phases"}
STEP = {"name", "action", "inputs", "onFailure", "maxAttempts", "timeoutSeconds", "if", "loop"}
ON_FAILURE = ("Abort", "Continue", "Ignore")
TIMEOUT = 7200  # seconds of a step, by default
AGAIN = 194  # a step's exit code that asks for a reboot, and to be run again
REBOOTS = 5
REFERENCE = re.compile(r"\{\{\s*([\w.\[\]-]+)\s*\}\}")


@dataclass(frozen=True)
class Document:
    parameters: Mapping[str, str | None]  # with their defaults
    constants: Mapping[str, str]
    phases: tuple[Mapping[str, Any], ...]

    @property
    def kind(self) -> str:
        """Source: the model's text of CreateComponent."""
        return "TEST" if [phase["name"] for phase in self.phases] == ["test"] else "BUILD"


@dataclass
class Broken(Exception):
    """A step that failed."""

    phase: str
    step: str
    action: str
    said: str  # why


def read(text: str) -> Document:
    """A component's document.

    Raises:
        Problem: it is none."""
    try:
        said = YAML(typ="safe", pure=True).load(text)
        return checked(said)
    except (YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise Problem("InvalidRequestException", f"The component document is not valid: {why}") from None


def checked(said: Any) -> Document:
    must(isinstance(said, dict), "it is no mapping")
    must(not (strange := set(said) - KEYS), f"unknown keys: {', '.join(map(str, strange))}")
    must(str(said["schemaVersion"]) in ("1.0", "1"), f"schemaVersion is {said['schemaVersion']}: must be 1.0")
    parameters = {key: text(one.get("default")) for item in said.get("parameters") or () for key, one in item.items()}
    constants = {key: str(one["value"]) for item in said.get("constants") or () for key, one in item.items()}
    phases = said["phases"]
    names = [phase["name"] for phase in phases]
    must(len(names) == len(set(names)), "a phase's name is there twice")
    known = [name for said in PHASES.values() for name in said]
    must(set(names) & set(known), f"it has none of the phases {', '.join(known)}")
    for phase in phases:
        steps = phase["steps"]
        must(len(steps) == len({step["name"] for step in steps}), f"a step's name is there twice in {phase['name']}")
        for step in steps:
            where = f"{phase['name']}.{step['name']}"
            must(not (strange := set(step) - STEP), f"{where} has unknown keys: {', '.join(map(str, strange))}")
            must(isinstance(step["action"], str), f"{where}: its action is no text")
            must(step.get("onFailure", "Abort") in ON_FAILURE, f"{where}: onFailure is one of {', '.join(ON_FAILURE)}")
            limit = step.get("timeoutSeconds", TIMEOUT)
            must(type(limit) is int and (limit > 0 or limit == -1), f"{where}: timeoutSeconds is {limit}")
            most = step.get("maxAttempts", 1)
            must(type(most) is int and most > 0, f"{where}: maxAttempts is {most}")
    return Document(parameters, constants, tuple(phases))


def must(holds: Any, why: str) -> None:
    if not holds:
        raise ValueError(why)


def text(value: Any) -> str | None:
    return None if value is None else str(value)


def run(document: Document, phases: tuple[str, ...], given: Mapping[str, str], root: Path, log: list[str]) -> None:
    """Run these phases of a document in a root.

    Args:
        given: parameters.
        log: gets what the steps print.
    Raises:
        Broken: a step failed; with `Continue`, after the others of all phases.
        roots.Unavailable: nothing can be run here."""
    known: dict[str, Any] = {**document.parameters, **document.constants, **given}
    failed: Broken | None = None
    for phase in document.phases:
        if phase["name"] not in phases:
            continue
        for step in phase["steps"]:
            try:
                known[f"{phase['name']}.{step['name']}"] = outcome(phase["name"], step, known, root, log)
            except Broken as broken:
                log.append(f"{broken.phase}.{broken.step}: {broken.said}")
                match step.get("onFailure", "Abort"):
                    case "Abort":
                        raise
                    case "Continue":
                        failed = failed or broken
    if failed:
        raise failed


def outcome(phase: str, step: Mapping[str, Any], known: Mapping[str, Any], root: Path, log: list[str]) -> Any:
    """Run a step, as often as it says: its inputs and outputs."""
    about = (phase, step["name"], step["action"])
    log.append(f"{phase}.{step['name']}: {step['action']}")
    if step["action"] not in ACTIONS or "if" in step or "loop" in step:
        what = f"the action {step['action']}" if step["action"] not in ACTIONS else "a step with if or loop"
        raise Broken(*about, f"not supported by the rehearsal: {what}")
    limit = step.get("timeoutSeconds", TIMEOUT)
    try:
        inputs = filled(step.get("inputs") or {}, known)
        for attempt in range(1, step.get("maxAttempts", 1) + 1):
            try:
                done = again(step["action"], inputs, root, None if limit == -1 else limit)
                log += [line for said in (done.out, done.err) for line in said.splitlines()]
                return {"inputs": inputs, "outputs": {"stdout": done.out}}
            except Failed as error:
                log += error.log.splitlines()
                if attempt == step.get("maxAttempts", 1):
                    raise
    except (Failed, LookupError, TypeError, AttributeError) as error:
        raise Broken(
            *about, str(error) if isinstance(error, Failed) else f"its inputs are not valid: {error}"
        ) from None


def again(action: str, inputs: Any, root: Path, limit: float | None) -> roots.Done:
    """Run an action; once more after each reboot that it asks for."""
    for _ in range(REBOOTS):
        done = ACTIONS[action](root, inputs, limit)
        if not done.in_time:
            raise Failed(f"the step was not done in {limit:g} seconds", done.out + done.err)
        if done.code != AGAIN:
            break
    if done.code:
        raise Failed(f"exit code {done.code}: {(done.err or done.out).strip()[-1000:]}".strip(), done.out + done.err)
    return done


def filled(value: Any, known: Mapping[str, Any]) -> Any:
    """Inputs with what they refer to in place."""
    if isinstance(value, dict):
        return {key: filled(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, known) for item in value]
    return REFERENCE.sub(lambda found: str(referred(found[1], known)), value) if isinstance(value, str) else value


def referred(name: str, known: Mapping[str, Any]) -> Any:
    if name in known and known[name] is not None:
        return known[name]
    found = re.fullmatch(r"([\w-]+\.[\w-]+)\.(inputs|outputs)(?:\[(\d+)\])?\.([\w-]+)", name)
    if not found or found[1] not in known:
        raise LookupError(f"{{{{ {name} }}}} is not known")
    there = known[found[1]][found[2]]
    value = (there[int(found[3])] if found[3] else there)[found[4]]
    return value.rstrip("\n") if found[2] == "outputs" else value
