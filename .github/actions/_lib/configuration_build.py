"""Dynamic configuration, whole: what was written -> problems with their places, and the documents of every environment.

Pure: files come as bytes by path, YAML as a parser's events. What a release holds of it is `documents`.
"""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import configuration_flags as definitions
import configuration_profiles as operational
import sources
from configuration_nodes import Events, Node, Problem, meant, read

BUILD, TESTS, QUALITY = "build-code", "unit-tests", "code-quality"
# https://docs.aws.amazon.com/general/latest/gr/appconfig.html: 2,048 kB of the hosted store and of a deployment, which
# AWS raises to 4,000 on request.
LARGEST, LARGEST_EVER = 2_048 * 1024, 4_000 * 1024
PROFILES = 35  # each is remembered by a tag of the environment, which has 50; flags that are off and monitors, too
FORMATS = {True: ("txt", "text/plain"), False: ("json", "application/json")}  # of a profile: whether it is text


class Rule(NamedTuple):
    action: str  # the DPRA action that it belongs to
    severity: str
    says: str


RULES = {
    "syntax": Rule(BUILD, "high", "A file is no YAML or JSON, is empty, or has anchors, aliases or tags."),
    "unknown-key": Rule(BUILD, "high", "A key that a definition or an attribute does not have."),
    "duplicate-key": Rule(BUILD, "high", "A key or a flag is there twice."),
    "wrong-kind": Rule(BUILD, "high", "A mapping, a list, text, true or false, a day: another is wanted here."),
    "missing-key": Rule(BUILD, "high", "No `type` of an attribute, `enabled` of a value, name or rule of a variant."),
    "unknown-environment": Rule(BUILD, "high", "A value or a file for an environment that nothing is deployed to."),
    "missing-value": Rule(BUILD, "high", "A flag has no value for an environment."),
    "wrong-type": Rule(BUILD, "high", "A value is not of its attribute's type."),
    "missing-attribute": Rule(BUILD, "high", "A required attribute has no value."),
    "unknown-attribute": Rule(BUILD, "high", "A value for an attribute that the flag does not define."),
    "out-of-bounds": Rule(BUILD, "high", "A value is below the minimum, above the maximum, or not of enum or pattern."),
    "bad-constraint": Rule(BUILD, "high", "Constraints that nothing can meet, or that AppConfig does not take."),
    "duplicate-variant": Rule(BUILD, "high", "Two variants of one name; `default` is the value."),
    "rule-syntax": Rule(BUILD, "high", "A variant's rule does not parse as AppConfig's rules do."),
    "split-shares": Rule(BUILD, "high", "Nobody gets a variant: `pct` counts from 0, and one before it takes as much."),
    "limit": Rule(BUILD, "high", "A name, a length or a number that AppConfig does not take."),
    "document-size": Rule(BUILD, "high", "A document is larger than AppConfig ever takes: 4,000 kB."),
    "document-quota": Rule(BUILD, "medium", "A document is larger than AppConfig takes by default: 2,048 kB."),
    "profile-files": Rule(BUILD, "high", "A file of a profile that is none of its parts, or is there twice."),
    "no-document": Rule(BUILD, "high", "A profile has no document for an environment."),
    "no-configuration": Rule(BUILD, "high", "There are neither flags nor operational configuration."),
    "profile-not-in-template": Rule(BUILD, "high", "The template does not have a profile that has documents."),
    "profile-without-documents": Rule(BUILD, "high", "The template has a profile without documents."),
    "profile-type": Rule(BUILD, "high", "The template's profile is of another type than its documents."),
    "schema": Rule(TESTS, "high", "An environment's document does not meet its profile's JSON Schema."),
    "bad-schema": Rule(TESTS, "high", "A profile's schema is no JSON Schema, or refers to what is not in it."),
    "expired-flag": Rule(QUALITY, "medium", "A flag's `until` is over: remove it from the code, then from here."),
    "removed-flag": Rule(QUALITY, "high", "Code names a flag that is not defined any more."),
    "no-history": Rule(QUALITY, "medium", "What flags there were cannot be told: the history is not here."),
    "no-references": Rule(QUALITY, "medium", "A pattern of `references` matches no file."),
    "no-owner": Rule(QUALITY, "low", "A flag without an owner."),
    "no-description": Rule(QUALITY, "low", "A flag without a description."),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What dpra.yml says of the configuration. Paths are seen from the repository's root."""

    environments: tuple[str, ...]
    flags: str = "flags.yml"  # a file, or a folder of *.yml
    operational: str = "configuration"
    references: tuple[str, ...] = ()  # patterns of paths of code, with * and **
    template: str = "infrastructure/template.yml"  # empty: it is not looked at
    regions: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of an environment; only shown


def settings(said: str) -> Settings:
    """The settings from a JSON object.

    Raises:
        ValueError: it is none, or says what is none of them.
    """
    given = json.loads(said or "{}")
    if not isinstance(given, dict):
        raise ValueError("the settings are no JSON object")
    for name in given:
        if name not in Settings.__dataclass_fields__:
            raise ValueError(f"unknown setting '{name}'{meant(name, Settings.__dataclass_fields__)}")
    if not given.get("environments"):
        raise ValueError("the settings name no environments")
    lists = {name: tuple(given[name]) for name in ("environments", "references") if name in given}
    return Settings(**{**given, **lists})


@dataclass(frozen=True)
class Built:
    """What there is, as far as it could be read."""

    settings: Settings
    problems: list[Problem]
    flags: dict[str, definitions.Flag]
    profiles: dict[str, operational.Profile]
    files: tuple[str, ...]  # what was read

    def index(self) -> dict[str, Any]:
        """index.json of a release; profiles in the order of deployment."""
        listed = [(operational.FLAGS, False)] if self.flags else []
        listed += [(name, profile.text) for name, profile in sorted(self.profiles.items())]
        entries = []
        for name, text in listed:
            ending, content_type = FORMATS[text]
            kind = operational.TYPES[name == operational.FLAGS]
            entries.append({"name": name, "type": kind, "content-type": content_type, "file": f"{name}.{ending}"})
        return {"schema": 1, "environments": list(self.settings.environments), "profiles": entries}

    def documents(self) -> dict[str, bytes]:
        """What a release holds below `configuration/`: path -> content. The same input gives the same bytes."""
        index = self.index()
        found = {"index.json": encoded(index)}
        for environment in self.settings.environments:
            for entry in index["profiles"]:
                name = f"{environment}/{entry['file']}"
                if entry["name"] == operational.FLAGS:
                    found[name] = encoded(definitions.document(self.flags, environment))
                elif environment in self.profiles[entry["name"]].documents:
                    document = self.profiles[entry["name"]].documents[environment]
                    found[name] = document if self.profiles[entry["name"]].text else encoded(document)
        return found


def encoded(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def wanted(names: Iterable[str], settings: Settings) -> list[str]:
    """Of the paths of a repository those that are read, in order."""
    found = []
    for name in names:
        is_flags = name == settings.flags or (
            name.startswith(f"{settings.flags}/") and name.endswith((".yml", ".yaml"))
        )
        if is_flags or name.startswith(f"{settings.operational}/") or name == settings.template:
            found.append(name)
    return sorted(found)


def build(files: Mapping[str, bytes], settings: Settings, events: Events) -> Built:
    """Read what a component has written.

    Args:
        files: path -> content, of what `wanted` names.
        events: a YAML parser; see configuration_nodes.
    """
    problems: list[Problem] = []
    roots: list[tuple[str, Node | None]] = []
    for name in sorted(files):
        if name == settings.flags or name.startswith(f"{settings.flags}/"):
            before = len(problems)
            root = read(files[name], name, events, problems)
            if root is None and len(problems) == before:
                problems.append(Problem("syntax", name, 1, 1, "is empty; a flag is a key with its values"))
            roots.append((name, root))
    flags = definitions.flags(roots, settings.environments, problems)
    profiles = operational.profiles(
        {name: files[name] for name in operational.below(files, settings.operational)},
        settings.operational,
        settings.environments,
        events,
        problems,
    )
    if not roots and not profiles:
        says = f"there is neither {settings.flags} nor a profile in {settings.operational}/"
        problems.append(Problem("no-configuration", settings.flags, 1, 1, says))
    if len(profiles) + bool(flags) > PROFILES:
        says = (
            f"{len(profiles) + bool(flags)} profiles; dpra remembers {PROFILES} at most in the tags of an environment"
        )
        problems.append(Problem("limit", next(iter(next(iter(profiles.values())).files.values())), 1, 1, says))
    built = Built(settings, problems, flags, profiles, tuple(sorted(files)))
    if settings.template and (flags or profiles):
        _template(built, files, events)
    return built


def _template(built: Built, files: Mapping[str, bytes], events: Events) -> None:
    name, problems = built.settings.template, built.problems
    if name not in files:
        problems.append(Problem("profile-not-in-template", name, 1, 1, "there is no such template"))
        return
    said: dict[str, tuple[str, int, int]] = {}
    if built.flags:
        first = next(iter(built.flags.values()))
        said[operational.FLAGS] = first.file, 1, 1
    for profile in built.profiles.values():
        said[profile.name] = next(iter(profile.files.values())), 1, 1
    operational.against(read(files[name], name, events, problems, lenient=True), name, said, problems)


def sizes(built: Built, documents: Mapping[str, bytes]) -> list[Problem]:
    """The documents that AppConfig does not take."""
    found = []
    for name, content in documents.items():
        if len(content) > LARGEST and name != "index.json":
            profile = name.partition("/")[2].rpartition(".")[0]
            place = next(iter(built.flags.values())).file if profile == operational.FLAGS else ""
            place = place or next(iter(built.profiles[profile].files.values()))
            rule = "document-size" if len(content) > LARGEST_EVER else "document-quota"
            says = f"{name} has {len(content):,} bytes; AppConfig takes {LARGEST:,}, {LARGEST_EVER:,} on request"
            found.append(Problem(rule, place, 1, 1, says))
    return found


def quality(built: Built, today: datetime.date) -> list[Problem]:
    """Flags that are over, and flags of which nobody says what or whose they are."""
    found = []
    for key, flag in built.flags.items():
        if flag.until and flag.until < today:
            says = f"{key}: expired on {flag.until}: remove it from the code, then from here, or say a later day"
            found.append(Problem("expired-flag", flag.file, *flag.until_at, says))
        for rule, there in (("no-owner", flag.owner), ("no-description", flag.description)):
            if not there:
                says = f"{key}: no {rule.partition('-')[2]}"
                found.append(Problem(rule, flag.file, flag.line, flag.column, says))
    return found


def ordered(problems: Iterable[Problem]) -> list[Problem]:
    """Each once, by place."""
    return sorted(set(problems), key=lambda one: (one.file, one.line, one.column, one.rule, one.text))


# ---- Where the files come from


def in_folder(root: Path, settings: Settings) -> dict[str, bytes]:
    """What lies in a folder; see `sources`."""
    names = filter(None, (settings.flags, settings.operational, settings.template))
    return sources.in_folder(root, names, partial(wanted, settings=settings))


def at_commit(root: Path, commit: str, settings: Settings) -> dict[str, bytes]:
    """What a commit has; see `sources`."""
    return sources.at_commit(root, commit, partial(wanted, settings=settings))
