"""AWS AppConfig's feature flags: the document that a version holds, what is refused in it, what a client gets of it.

Source: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-type-reference-feature-flags.html"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ..protocol import Problem, at, now

FLAGS = "AWS.AppConfig.FeatureFlags"
KEY = r"^[a-z][a-zA-Z\d_-]{0,63}$"
MOST = 25  # attributes of a flag
ION = f"application/ion; type={FLAGS}"
TIMES = {"_createdAt": {"type": "string"}, "_updatedAt": {"type": "string"}}
TEXT = {"type": "string", "maxLength": 1024}
NAME = {"type": "string", "pattern": r"^[^\n]{1,64}$"}


def thing(properties: Mapping[str, Any], required: tuple[str, ...] = (), keys: Any = None, most: int = 0) -> Any:
    """A closed object: its properties, and what keys of flags and attributes may have as a value."""
    schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    schema |= {"patternProperties": {KEY: keys}} if keys else {}
    return schema | ({"required": list(required)} if required else {}) | ({"maxProperties": most} if most else {})


def constraint(kind: str, **more: Any) -> Any:
    return thing({"type": {"enum": [kind]}, "required": {"type": "boolean"}, **more}, ("type",))


@cache
def schema() -> Any:
    number = {"type": "number"}
    choice = {"type": "array", "maxItems": 100, "items": {"anyOf": [TEXT, {"type": "integer"}]}}
    one = [
        constraint("number", minimum={"type": "integer"}, maximum={"type": "integer"}),
        constraint("string", pattern=TEXT, enum=choice) | {"not": {"required": ["pattern", "enum"]}},
    ]
    constraints = {"anyOf": [*one, constraint("boolean"), constraint("array", elements={"anyOf": one})]}
    lists = [{"type": "array", "items": items} for items in (TEXT, number)]
    value = {"anyOf": [TEXT, number, {"type": "boolean"}, *lists]}
    about = {"description": TEXT, "constraints": constraints}
    deprecation = thing({"status": {"enum": ["planned"]}, "date": {"type": "string"}})
    definition = {"name": NAME, "description": TEXT, **TIMES, "_deprecation": deprecation}
    definition["attributes"] = thing({}, keys=thing(about), most=MOST)
    variant = {"name": NAME, "enabled": {"type": "boolean"}, "rule": {"type": "string", "maxLength": 16384}}
    variant["attributeValues"] = thing({}, keys=value, most=MOST)
    variants = {"type": "array", "maxItems": 32, "items": thing(variant, ("name", "enabled"))}
    values = thing({"enabled": {"type": "boolean"}, **TIMES, "_variants": variants}, keys=value)
    parts = {"flags": thing({}, keys=thing(definition)), "values": thing({}, keys=values)}
    return thing({"version": {"enum": ["1"]}, **parts}, ("version",))


def refused(message: str, details: list[dict[str, str]]) -> Problem:
    about = {"Reason": "InvalidConfiguration", "Details": {"InvalidConfiguration": details[:10]}}
    return Problem("BadRequestException", message, **about)


def checked(content: bytes) -> Any:
    """The document of a version of flags.

    Raises:
        Problem: AppConfig refuses it."""
    from jsonschema import Draft7Validator

    try:
        document = json.loads(content)
    except ValueError as error:
        raise refused(f"the feature flags are no JSON: {error}", []) from None
    wrong = [
        ("/".join(map(str, error.absolute_path)), error.message)
        for error in Draft7Validator(schema()).iter_errors(document)
    ]
    wrong = wrong or list(against_constraints(document))
    if wrong:
        said = "; ".join(f"{where or '/'}: {why}" for where, why in wrong[:10])
        details = [{"Type": "ERROR", "Location": where, "Reason": why} for where, why in wrong]
        raise refused(f"Error validating configuration against schema {FLAGS}: {said}", details)
    return document


def against_constraints(document: Any) -> Iterator[tuple[str, str]]:
    """Where values miss what their flags say. An attribute that no flag defines is refused: nothing says otherwise."""
    flags = document.get("flags", {})
    for name, value in document.get("values", {}).items():
        if name not in flags:
            yield f"values/{name}", "there is no such flag"
            continue
        attributes = {key: said.get("constraints", {}) for key, said in flags[name].get("attributes", {}).items()}
        sets = {f"values/{name}": {key: one for key, one in value.items() if key != "enabled" and key[0] != "_"}}
        if variants := value.get("_variants"):
            sets = {f"values/{name}/_variants/{one['name']}": one.get("attributeValues", {}) for one in variants}
        for where, given in sets.items():
            for key in attributes.keys() - given.keys():
                if attributes[key].get("required"):
                    yield where, f"the attribute {key} is required"
            for key, one in given.items():
                if key not in attributes:
                    yield where, f"the flag has no attribute {key}"
                elif why := against(attributes[key], one):
                    yield f"{where}/{key}", why


def against(constraints: Mapping[str, Any], value: Any) -> str:
    """What a value misses; empty if nothing."""
    kinds: dict[str, Any] = {"string": str, "number": int | float, "boolean": bool, "array": list}
    kind = constraints.get("type")
    if kind is None:
        return ""
    if not isinstance(value, kinds[kind]) or (kind == "number" and isinstance(value, bool)):
        return f"{json.dumps(value)} is no {kind}"
    if kind == "array":
        return next(filter(None, (against(constraints.get("elements", {}), one) for one in value)), "")
    if "minimum" in constraints and value < constraints["minimum"]:
        return f"{value} is less than the minimum {constraints['minimum']}"
    if "maximum" in constraints and value > constraints["maximum"]:
        return f"{value} is more than the maximum {constraints['maximum']}"
    if "enum" in constraints and value not in constraints["enum"]:
        return f"{json.dumps(value)} is none of {json.dumps(constraints['enum'])}"
    if "pattern" in constraints and not re.search(constraints["pattern"], value):
        return f"{json.dumps(value)} does not match {constraints['pattern']}"
    return ""


def stamped(content: bytes, before: bytes) -> bytes:
    """The document with the times that AppConfig adds: when a flag, or its value, was made and last changed.

    Args:
        before: the version before; empty if there is none.
    Raises:
        Problem: AppConfig refuses the document."""
    document, old, moment = checked(content), json.loads(before or b"{}"), at(now())
    for part in ("flags", "values"):
        for name, said in document.get(part, {}).items():
            known = old.get(part, {}).get(name, {})
            same = {key: one for key, one in known.items() if key not in TIMES} == {
                key: one for key, one in said.items() if key not in TIMES
            }
            said["_createdAt"] = known.get("_createdAt", moment)
            said["_updatedAt"] = known.get("_updatedAt", moment) if same else moment
    return json.dumps(document, separators=(",", ":")).encode()


def retrieved(content: bytes) -> tuple[str, bytes]:
    """Content type and document as GetLatestConfiguration gives it: values only, attributes of enabled flags only.

    One flag with variants makes it Amazon Ion, of which the agent makes a value for its caller. Source:
    https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-agent-how-to-use-local-development-samples.html"""
    document = json.loads(content)
    values = {name: document.get("values", {}).get(name, {}) for name in document.get("flags", {})}
    if not any("_variants" in value for value in values.values()):
        plain = {name: valued(value.get("enabled", False), value) for name, value in values.items()}
        return "application/json", json.dumps(plain, separators=(",", ":")).encode()
    texts = []
    for name, value in values.items():
        if "_variants" in value:
            said = [
                f"[{one['rule']}, {ion(variant(one))}]" if one.get("rule") else ion(variant(one))
                for one in value["_variants"]
            ]
            texts.append(f"'{name}'::[{', '.join(said)}]")
        else:
            texts.append(f"'{name}'::{ion(valued(value.get('enabled', False), value))}")
    return ION, "\n".join(texts).encode()


def valued(enabled: bool, attributes: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: one for key, one in attributes.items() if key != "enabled" and key[0] != "_"}
    return {"enabled": enabled, **(given if enabled else {})}


def variant(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"_variant": said["name"], **valued(said["enabled"], said.get("attributeValues", {}))}


def ion(value: Mapping[str, Any]) -> str:
    """JSON in a long string of Ion."""
    return "'''" + json.dumps(value).replace("\\", "\\\\").replace("'", "\\'") + "'''"
