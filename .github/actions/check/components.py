"""Component documents of EC2 Image Builder held against rules: a JSON line for each finding, as sarif.py takes it.

components.py RULES LIST: the names of the documents go to LIST; they are all of the folder `components` of $SETTINGS,
without that (a hook, which has what is staged) all there are. A document is data: nothing in it is run. Of RULES those
of $ACTION count.
Source: https://docs.aws.amazon.com/imagebuilder/latest/userguide/toe-use-documents.html and toe-action-modules.html
"""

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "_lib"), str(Path(__file__).resolve().parent)]
import shell
import yaml
from configuration_nodes import Node, Problem, read

ENDINGS = (".yml", ".yaml")
LONGEST = 16_000  # characters
PHASES = ("build", "validate", "test")
DOCUMENT = ("name", "description", "schemaVersion", "parameters", "constants", "phases")
STEP = ("name", "action", "timeoutSeconds", "onFailure", "maxAttempts", "inputs", "loop", "if")
ACTIONS = (
    *("ExecuteBash", "ExecuteBinary", "ExecuteDocument", "ExecutePowerShell", "Assert", "Reboot", "SetRegistry"),
    *("UpdateOS", "WebDownload", "S3Download", "S3Upload", "InstallMSI", "UninstallMSI", "AppendFile", "CopyFile"),
    *("CopyFolder", "CreateFile", "CreateFolder", "CreateSymlink", "DeleteFile", "DeleteFolder", "ListFiles"),
    *("MoveFile", "MoveFolder", "ReadFile", "SetFileEncoding", "SetFileOwner", "SetFolderOwner"),
    *("SetFilePermissions", "SetFolderPermissions"),
)
WITHOUT_INPUTS = ("Reboot", "UpdateOS")
Found = Iterator[tuple[Node, str]]  # where, and what more there is to say


def items(node: Node | None) -> list[Node]:
    return list(node.value) if node and node.kind == "list" else []


def keys(node: Node) -> list[Node]:
    return [key for key, _ in node.value] if node.kind == "map" else []


def said(node: Node, name: str) -> str:
    value = node.get(name)
    return value.text if value and value.kind == "str" else ""


def stepped(document: Node) -> Iterator[tuple[str, Node]]:
    """Each step, with the name of its phase."""
    for phase in items(document.get("phases")):
        yield from ((said(phase, "name"), step) for step in items(phase.get("steps")))


def scalars(node: Node | None) -> Iterator[Node]:
    """Every text in a node, however deep; of a map the values."""
    if node and node.kind in ("map", "list"):
        for one in node.value:
            yield from scalars(one[1] if node.kind == "map" else one)
    elif node and node.kind == "str":
        yield node


def twice(node: Node | None) -> Iterator[Node]:
    """Keys that a map has twice: who reads it takes one of them, and nobody says which."""
    if node and node.kind in ("map", "list"):
        texts = [key.text for key in keys(node)]
        yield from (key for number, key in enumerate(keys(node)) if key.text in texts[:number])
        for one in node.value:
            yield from twice(one[1] if node.kind == "map" else one)


# ---- The form


def schema_version(document: Node) -> Found:
    version = document.get("schemaVersion")
    if not version or version.text not in ("1.0", "1"):
        yield version or document, version.text if version else "there is none"


def unknown_keys(document: Node) -> Found:
    yield from ((key, key.text) for key in keys(document) if key.text not in DOCUMENT)
    for phase in items(document.get("phases")):
        yield from ((key, key.text) for key in keys(phase) if key.text not in ("name", "steps"))
    for _, step in stepped(document):
        yield from ((key, key.text) for key in keys(step) if key.text not in STEP)


def phases(document: Node) -> Found:
    there, seen = items(document.get("phases")), set[str]()
    if not there:
        yield document, "there is none"
    for phase in there:
        name = said(phase, "name")
        if name not in PHASES or name in seen:
            yield phase, f"'{name}'"
        elif not items(phase.get("steps")):
            yield phase, f"{name} has no steps"
        seen.add(name)


def steps(document: Node) -> Found:
    seen = set[tuple[str, str]]()
    for phase, step in stepped(document):
        name, action = said(step, "name"), said(step, "action")
        if not name or (phase, name) in seen:
            yield step, f"the name '{name}' in {phase}"
        if action not in ACTIONS:
            yield step, f"the action '{action}'"
        elif action not in WITHOUT_INPUTS and not step.get("inputs"):
            yield step, f"{action} without inputs"
        seen.add((phase, name))


def validated(document: Node) -> Found:
    there = {said(phase, "name") for phase in items(document.get("phases"))}
    if "build" in there and not there & {"validate", "test"}:
        yield document, ""


# ---- What it fetches, and what it lets pass


def downloads(document: Node) -> Found:
    for _, step in stepped(document):
        if said(step, "action") == "WebDownload":
            inputs = step.get("inputs")
            for one in items(inputs) or ([inputs] if inputs else []):
                if not said(one, "checksum"):
                    yield one, said(one, "source")


def ignored(document: Node) -> Found:
    for phase, step in stepped(document):
        if phase != "build" and said(step, "onFailure") in ("Continue", "Ignore"):
            yield step, f"{said(step, 'name')}: {said(step, 'onFailure')}"


def matches(document: Node, pattern: str) -> Found:
    for _, step in stepped(document):
        for text in scalars(step.get("inputs")):
            yield from ((text, what) for what, _ in shell.matches(text.text, pattern))


CHECKS: dict[str, Callable[[Node], Found]] = {
    one.__name__: one for one in (schema_version, unknown_keys, phases, steps, validated, downloads, ignored)
}


# ---- The shell


def commanded(name: str, document: Node) -> Iterator[dict[str, Any]]:
    """What shellcheck finds in the commands of each ExecuteBash: they are one script."""
    for _, step in stepped(document):
        inputs = step.get("inputs")
        commands = items(inputs.get("commands") if inputs else None) if said(step, "action") == "ExecuteBash" else []
        # Image Builder puts values in place of {{ … }}: a word, for a shell.
        script = "\n".join(re.sub(r"\{\{\s*[\w.\[\]-]+\s*\}\}", "value", one.text) for one in commands)
        lines = [
            one.line + bool(one.style in ("|", ">")) + n for one in commands for n in range(one.text.count("\n") + 1)
        ]
        if not script.strip():
            continue
        for rule, message, line in shell.checked(script):
            place = {"file": name, "line": lines[min(line, len(lines)) - 1]}
            yield {**rule, "text": f"{said(step, 'name')}: {message}", **place}


def judged(name: str, data: bytes, rules: list[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    problems: list[Problem] = []
    document = read(data, name, lambda text: yaml.parse(text, yaml.CSafeLoader), problems)
    problems += [Problem("syntax", name, one.line, one.column, f"{one.text} is there twice") for one in twice(document)]
    if problems or not document or document.kind != "map":
        first = problems[0] if problems else Problem("syntax", name, 1, 1, "it is no mapping")
        told = {"rule": "not-checked", "severity": "high", "text": f"cannot be read: {first.text}"}
        yield {**told, "file": name, "line": first.line, "column": first.column}
        return
    yield {"looked": name}
    for rule in rules:
        if rule.get("check") == "size":
            found: Found = iter([(document, "")] if len(data.decode("utf-8-sig")) > LONGEST else [])
        else:
            found = matches(document, rule["pattern"]) if "pattern" in rule else CHECKS[rule["check"]](document)
        for node, more in found:
            text = f"{rule['title']}: {more}" if more else rule["title"]
            about = {"rule": rule["id"], "severity": rule["severity"], "text": text}
            yield {**about, "file": name, "line": node.line, "column": node.column}
    if os.environ["ACTION"] == "code-quality":
        yield from commanded(name, document)


def main() -> None:
    root, folder = Path(os.environ["TARGET"]), str(json.loads(os.environ["SETTINGS"]).get("components", ""))
    paths = sorted((root / folder).glob("*") if folder else root.rglob("*"))
    there = [path for path in paths if path.name.lower().endswith(ENDINGS)]
    names = [path.relative_to(root).as_posix() for path in there]
    Path(sys.argv[2]).write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names))
    if not names:
        sys.exit(f"There is no component document (*.yml) in {folder}: create one, or say image.components in dpra.yml")
    rules = [
        one
        for one in tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["rules"]
        if one["action"] == os.environ["ACTION"]
    ]
    for path, name in zip(there, names, strict=True):
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            continue  # not-checked
        for found in judged(name, path.read_bytes(), rules):
            print(json.dumps(found))


main()
