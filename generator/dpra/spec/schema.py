"""JSON Schema of the spec, made from its models: for editors and for check-jsonschema."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from typing import Any

from dpra.spec.models import KINDS, TARGETS, Choice, Flag, ListOf, MapOf, Model, Number, Spec, Target, Text, Word
from dpra.spec.reader import taken

Words = Mapping[str, Mapping[str, Any]]


def together(words: Mapping[str, Words], kinds: Iterable[str]) -> Words:
    """The words of specs of all of these kinds; `only` says which kind alone has a word, but for the first one's, with
    the key of models.KINDS that says so."""
    first, *others = kinds
    found = {name: dict(those) for name, those in words[first].items()}
    only = dict[str, tuple[str, str]]()
    for kind in others:
        for name, those in words[kind].items():
            said = (KINDS[kind.count("/") - 1], kind.rpartition("/")[2])
            only |= {word: said for word in those if word not in found[name]}
            for word, takes in those.items():
                had = found[name].get(word)
                found[name][word] = takes if had is None else tuple(dict.fromkeys((*had, *takes)))
    return {**found, "only": only}


def schema(words: Words) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a spec whose pipeline type has these words."""
    models: dict[str, Any] = {}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dpra.yml",
        **_model(Spec, words, models),
        "$defs": models,
    }


def _model(model: type, words: Words, models: dict[str, Any]) -> dict[str, Any]:
    properties, required = {}, []
    for name, field_ in taken(model, words["keys"]).items():
        properties[name] = {"description": field_.metadata["doc"], **_kind(field_.metadata["kind"], words, models)}
        if default := left_out(field_, words):
            properties[name]["default"] = default
        if field_.default is MISSING and field_.default_factory is MISSING:
            required.append(name)
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})


def left_out(field_: Any, words: Words) -> str:
    """The text or word that a key is where it is left out; empty: none, or it is no text."""
    kind = field_.metadata["kind"]
    if isinstance(kind, Word) and kind.first:
        return str(next(iter(words[kind.words])))
    return field_.default if isinstance(field_.default, str) else ""


def _kind(kind: Any, words: Words, models: dict[str, Any]) -> dict[str, Any]:
    match kind:
        case Text(_, pattern, longest):
            return {"type": "string", "pattern": f"^(?:{pattern})$", "maxLength": longest}
        case Number(least, most):
            return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})
        case Flag():
            return {"type": "boolean"}
        case Choice(of):
            return {"enum": list(of)}
        case Target():
            return _kind(TARGETS[next(iter(words["targets"]))], words, models)
        case Word(name):
            return {"enum": list(words[name])}
        case ListOf(item, least, or_one):
            one = _kind(item, words, models)
            found = {"type": "array", "items": one, "uniqueItems": True, "minItems": least}
            return {"anyOf": [one, found]} if or_one else found
        case Model(model):
            name = model.__name__
            if name not in models:
                models[name] = _model(model, words, models)
            return {"$ref": f"#/$defs/{name}"}
        case MapOf(Text(_, pattern, longest), item):
            names = {"pattern": f"^(?:{pattern})$", "maxLength": longest}
            return {"type": "object", "propertyNames": names, "additionalProperties": _kind(item, words, models)}
        case MapOf(str() as keys, item, all_required):
            there = list(words[keys])
            found = {
                "type": "object",
                "additionalProperties": False,
                "properties": {word: _kind(item, words, models) for word in there},
            }
            perhaps = {word for without in words["profiles"].values() for word in without}
            return found | ({"required": [word for word in there if word not in perhaps]} if all_required else {})
    raise TypeError(kind)
