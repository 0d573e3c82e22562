"""JSON Schema of the spec, made from its models: for editors and for check-jsonschema."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from dpra.spec.models import Choice, ListOf, MapOf, Model, Number, Spec, Text

Words = Mapping[str, Mapping[str, Any]]


def schema(words: Words) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a spec whose pipeline type has these words."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dpra.yml",
        **_model(Spec, words),
    }


def _model(model: type, words: Words) -> dict[str, Any]:
    properties, required = {}, []
    for field_ in fields(model):
        name = field_.name.replace("_", "-")
        properties[name] = {"description": field_.metadata["doc"], **_kind(field_.metadata["kind"], words)}
        if field_.default is not MISSING and isinstance(field_.default, str) and field_.default:
            properties[name]["default"] = field_.default
        if field_.default is MISSING and field_.default_factory is MISSING:
            required.append(name)
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})


def _kind(kind: Any, words: Words) -> dict[str, Any]:
    match kind:
        case Text(_, pattern, longest):
            return {"type": "string", "pattern": f"^(?:{pattern})$", "maxLength": longest}
        case Number(least):
            return {"type": "integer", "minimum": least}
        case Choice(of):
            return {"enum": list(of)}
        case ListOf(item, least):
            return {"type": "array", "items": _kind(item, words), "uniqueItems": True, "minItems": least}
        case Model(model):
            return _model(model, words)
        case MapOf(name, model, all_required):
            found = {
                "type": "object",
                "additionalProperties": False,
                "properties": {word: _model(model, words) for word in words[name]},
            }
            return found | ({"required": list(words[name])} if all_required else {})
    raise TypeError(kind)
