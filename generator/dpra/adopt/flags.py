"""flags.yml from documents of AppConfig, such as its console has made them."""

import io
import json
from collections.abc import Mapping
from typing import Any

from dpra.errors import InputError


class FlagsError(InputError):
    """A document is none of feature flags; the message says which and why."""


def from_documents(contents: Mapping[str, bytes]) -> tuple[str, list[str]]:
    """The text of a flags.yml, and what the documents do not say, or say differently: a line each.

    Args:
        contents: environment -> document of a profile of the type AWS.AppConfig.FeatureFlags.
    Raises:
        FlagsError: a document is none of feature flags.
    """
    documents = {name: _document(name, content) for name, content in contents.items()}
    flags: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for environment, document in documents.items():
        for key, said in document["flags"].items():
            made = _definition(key, said)
            known = flags.setdefault(key, {**made, "values": {}})
            if (first := {name: one for name, one in known.items() if name != "values"}) != made:
                notes.append(f"{key}: its definition in {environment} is another than in {next(iter(known['values']))}")
                known |= {**made, **first}
            known["values"][environment] = _value(document["values"].get(key, {"enabled": False}))
    for key, flag in flags.items():
        if missing := [name for name in documents if name not in flag["values"]]:
            notes.append(f"{key}: no value for {', '.join(missing)}")
    if flags:
        notes.append("no flag has an owner yet, and few may have a day until which they live: only you know them")
    return _text(flags), notes


def _document(environment: str, content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise FlagsError(f"the document of {environment} is no JSON: {error}") from None
    is_one = isinstance(found, dict) and "flags" in found
    parts = [found.get(name, {}) for name in ("flags", "values")] if is_one else [()]
    if not all(isinstance(part, dict) and all(isinstance(one, dict) for one in part.values()) for part in parts):
        raise FlagsError(f"the document of {environment} has no `flags` and `values` as AWS.AppConfig.FeatureFlags has")
    return {"flags": parts[0], "values": parts[1]}


def _definition(key: str, said: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if said.get("name", key) != key:
        found["name"] = said["name"]
    if said.get("description"):
        found["description"] = said["description"]
    if until := said.get("_deprecation", {}).get("date"):
        found["until"] = until
    if attributes := said.get("attributes"):
        found["attributes"] = {name: _attribute(one) for name, one in attributes.items()}
    return found


def _attribute(said: Mapping[str, Any]) -> dict[str, Any]:
    about = {"description": said["description"]} if said.get("description") else {}
    return {**said.get("constraints", {}), **about}


def _value(said: Mapping[str, Any]) -> dict[str, Any]:
    """The variant without a rule is the value itself."""
    if "_variants" not in said:
        return {name: one for name, one in said.items() if not name.startswith("_")}
    variants = said["_variants"]
    off: dict[str, Any] = {"enabled": False}
    plain = next((one for one in variants if not one.get("rule")), off)
    found: dict[str, Any] = {"enabled": plain["enabled"], **plain.get("attributeValues", {})}
    found["variants"] = [
        {"name": one["name"], "rule": one["rule"], "enabled": one["enabled"], **one.get("attributeValues", {})}
        for one in variants
        if one.get("rule")
    ]
    return found


def _text(flags: Mapping[str, Mapping[str, Any]]) -> str:
    import datetime

    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    def line(value: Mapping[str, Any]) -> CommentedMap:
        made = CommentedMap(value)
        made.fa.set_flow_style()
        return made

    text = io.StringIO()
    yaml = YAML()
    yaml.width = 140
    whole = CommentedMap()
    for number, (key, flag) in enumerate(flags.items()):
        made = CommentedMap(flag)
        if "until" in made:
            made["until"] = datetime.date.fromisoformat(made["until"])
        for name in ("attributes", "values"):
            if name in made:
                made[name] = CommentedMap({one: line(said) for one, said in made[name].items()})
        whole[key] = made
        if number:
            whole.yaml_set_comment_before_after_key(key, before="\n")
    yaml.dump(whole, text)
    return text.getvalue() if flags else ""
