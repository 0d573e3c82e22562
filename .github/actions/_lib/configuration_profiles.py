"""Operational configuration: `configuration/<profile>/` to a document for each environment, and what its template has.

`default.*` with `<environment>.*` over it: a mapping is merged, anything else replaced. JSON and YAML become JSON, any
other ending is text. `schema.json` or `schema.yml` is what every environment's document must meet.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from configuration_nodes import Events, Node, Problem, at, meant, plain, read

# AppConfig takes 128 characters, and as many of a tag's key, which dpra:version:<profile> is; a folder and a file here.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,114}")
STRUCTURED = (".json", ".yml", ".yaml")
FLAGS = "flags"  # the profile of the flags
TYPES = {True: "AWS.AppConfig.FeatureFlags", False: "AWS.Freeform"}  # of a profile: whether it is that of the flags
Invalid = tuple[tuple[str | int, ...], str]  # a path in a document, and what is wrong there
Validate = Callable[[Any, Any], Iterable[Invalid]]  # schema, document -> what is wrong; ValueError: it is no schema


@dataclass
class Profile:
    """One profile of operational configuration. `parts` are its files: `default`, `schema` or an environment."""

    name: str
    folder: str
    files: dict[str, str] = field(default_factory=dict)  # part -> the file's name
    nodes: dict[str, Node | None] = field(default_factory=dict)  # of what is structured
    texts: dict[str, bytes] = field(default_factory=dict)  # of what is text
    values: dict[str, Any] = field(default_factory=dict)  # part -> as JSON has it
    documents: dict[str, Any] = field(default_factory=dict)  # environment -> its document: a value, or bytes of text
    text: bool = False


def profiles(
    files: Mapping[str, bytes], folder: str, environments: Sequence[str], events: Events, problems: list[Problem]
) -> dict[str, Profile]:
    """The profiles that lie in `folder`, by name in order.

    Args:
        files: path -> content, of all that lies there.
    """
    found: dict[str, Profile] = {}
    for path in sorted(files):
        inside = path.removeprefix(f"{folder}/")
        name, _, file = inside.partition("/")
        stem, _, ending = file.rpartition(".")
        part, suffix = (stem, f".{ending.lower()}") if stem else (file, "")
        if path == inside or inside.rpartition("/")[2].startswith((".", "README")):
            continue
        told, rule = "", "profile-files"
        if not file:
            told = f"a profile is a folder: {folder}/<profile>/default.json"
        elif "/" in file:
            told = "a profile has no folders in it"
        elif not NAME.fullmatch(name) or name == FLAGS:
            told = f"a profile's name has letters, digits and _.-, at most 115, and is not '{FLAGS}'"
        elif part not in (parts := ("default", "schema", *environments)):
            rule = "unknown-environment"
            told = f"'{part}' is neither default, schema nor an environment{meant(part, parts)}"
        elif part == "schema" and suffix not in STRUCTURED:
            told = "a schema is JSON or YAML"
        elif name in found and part in found[name].files:
            told = f"{found[name].files[part]} says the same: keep one of them"
        if told:
            problems.append(Problem(rule, path, 1, 1, told))
            continue
        profile = found.setdefault(name, Profile(name, f"{folder}/{name}"))
        profile.files[part] = path
        if suffix in STRUCTURED:
            before = len(problems)
            root = profile.nodes[part] = read(files[path], path, events, problems)
            if root is None and len(problems) == before:
                problems.append(Problem("syntax", path, 1, 1, "is empty"))
            if root is not None:
                profile.values[part] = plain(root, "", path, problems)
        else:
            profile.texts[part] = files[path]
    for profile in found.values():
        _effective(profile, environments, problems)
    return found


def _effective(profile: Profile, environments: Sequence[str], problems: list[Problem]) -> None:
    parts = [part for part in profile.files if part != "schema"]
    first = next((profile.files[part] for part in parts), profile.files.get("schema", profile.folder))
    profile.text = bool(parts) and all(part in profile.texts for part in parts)
    if any(part in profile.texts for part in parts) and not profile.text:
        problems.append(Problem("profile-files", first, 1, 1, "a profile is text or JSON and YAML, not both"))
        return
    if profile.text and "schema" in profile.files:
        problems.append(Problem("profile-files", profile.files["schema"], 1, 1, "text has no JSON Schema"))
    for environment in environments:
        if environment not in parts and "default" not in parts:
            says = f"{environment} has no document: write {profile.folder}/default.json or …/{environment}.json"
            problems.append(Problem("no-document", first, 1, 1, says))
        elif profile.text:
            profile.documents[environment] = profile.texts.get(environment, profile.texts.get("default", b""))
            _utf8(profile, environment, problems)
        else:
            layers = [profile.values[part] for part in ("default", environment) if part in profile.values]
            if layers:
                profile.documents[environment] = layers[0] if len(layers) == 1 else merged(*layers)


def _utf8(profile: Profile, environment: str, problems: list[Problem]) -> None:
    file = profile.files.get(environment) or profile.files["default"]
    try:
        profile.documents[environment].decode()
    except UnicodeDecodeError as error:
        content: bytes = profile.documents.pop(environment)
        line = content.count(b"\n", 0, error.start) + 1
        told = Problem("syntax", file, line, error.start - content.rfind(b"\n", 0, error.start), "not UTF-8")
        if told not in problems:
            problems.append(told)


def merged(default: Any, over: Any) -> Any:
    """A mapping over a mapping is merged; anything else replaces."""
    if not isinstance(default, dict) or not isinstance(over, dict):
        return over
    both = {name: merged(value, over[name]) if name in over else value for name, value in default.items()}
    return both | {name: value for name, value in over.items() if name not in default}


def violations(profile: Profile, validate: Validate, problems: list[Problem]) -> None:
    """Where a document does not meet its profile's schema: at the node of the file that says the value."""
    if "schema" not in profile.values:
        return
    found: dict[tuple[str, int, int, str], list[str]] = {}
    for environment, document in profile.documents.items():
        try:
            for path, says in validate(profile.values["schema"], document):
                place = _said(profile, environment, path)
                found.setdefault((*place, f"{shown(path)}: {says}"), []).append(environment)
        except ValueError as error:
            problems.append(Problem("bad-schema", profile.files["schema"], 1, 1, f"is no JSON Schema: {error}"))
            return
    for (file, line, column, says), environments in found.items():
        problems.append(Problem("schema", file, line, column, f"{', '.join(environments)}: {says}"))


def _said(profile: Profile, environment: str, path: Sequence[str | int]) -> tuple[str, int, int]:
    for part in (environment, "default"):
        if node := at(profile.nodes.get(part), path):
            return profile.files[part], node.line, node.column
    return profile.files.get(environment) or profile.files["default"], 1, 1


def shown(path: Iterable[str | int]) -> str:
    """A JSON path: `$.limits[2].size`."""
    words = [
        f"[{one}]" if isinstance(one, int) else f".{one}" if re.fullmatch(r"[\w-]+", one) else f"[{one!r}]"
        for one in path
    ]
    return "".join(("$", *words))


# ---- The infrastructure's template


def against(
    template: Node | None, file: str, wanted: Mapping[str, tuple[str, int, int]], problems: list[Problem]
) -> None:
    """Profiles that have documents and are not in the template, and the other way round.

    Args:
        wanted: the profiles with documents, each with file, line and column of what says so.
    A name that an intrinsic function makes, or a part that a macro brings, is not known: then none is missing there."""
    resources = template.get("Resources") if template else None
    if resources is None or resources.kind != "map":
        return
    known: dict[str, tuple[Node, Node | None]] = {}
    unknown = any(key.text.startswith("Fn::") for key, _ in resources.value)
    for _, resource in resources.value:
        if _text(resource.get("Type")) != "AWS::AppConfig::ConfigurationProfile":
            continue
        properties = resource.get("Properties")
        name = properties.get("Name") if properties else None
        if name is None or _text(name) is None:
            unknown = True
        else:
            known[name.text] = name, properties.get("Type") if properties else None
    for profile, (said_in, line, column) in wanted.items():
        if profile not in known and not unknown:
            says = f"the template {file} has no AWS::AppConfig::ConfigurationProfile with the Name {profile}"
            problems.append(Problem("profile-not-in-template", said_in, line, column, says + meant(profile, known)))
    for profile, (name, kind) in known.items():
        if profile not in wanted:
            says = f"the profile {profile} has no documents: remove it, or write them"
            problems.append(Problem("profile-without-documents", file, name.line, name.column, says))
        elif (said := _text(kind) if kind else TYPES[False]) is not None and said != TYPES[profile == FLAGS]:
            place = kind or name
            says = f"the profile {profile} must be of the Type {TYPES[profile == FLAGS]}, not {said[:60]}"
            problems.append(Problem("profile-type", file, place.line, place.column, says))


def _text(node: Node | None) -> str | None:
    """The text of a scalar; None where a function makes it."""
    return node.text if node is not None and node.kind not in ("map", "list") and not node.tag else None


def below(files: Iterable[str], folder: str) -> Iterator[str]:
    return (name for name in files if name.startswith(f"{folder}/"))
