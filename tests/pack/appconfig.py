"""What AppConfig takes as AWS.AppConfig.FeatureFlags, as a JSON Schema: made from AWS's type reference, by its facts.

Source: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-type-reference-feature-flags.html. Where the
reference bounds an array by maxLength, which means nothing of one, maxItems stands here."""

from typing import Any

KEY = r"^[a-z][a-zA-Z\d_-]{0,63}$"
TEXT = {"type": "string", "maxLength": 1024}
FLAG = {"type": "boolean"}


def closed(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    kept = {"type": "object", "properties": properties, "additionalProperties": False, **more}
    return kept | ({"required": list(required)} if required else {})


def keyed(of: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "patternProperties": {KEY: of}, "additionalProperties": False, **more}


NAME = {"type": "string", "pattern": "^[^\\n]{1,64}$"}
VALUE = {
    "oneOf": [
        TEXT,
        {"type": "number"},
        {"type": "boolean"},
        {"type": "array", "anyOf": [{"items": TEXT}, {"items": {"type": "number"}}]},
    ]
}
NUMBER = closed(
    {"type": {"const": "number"}, "required": FLAG, "minimum": {"type": "integer"}, "maximum": {"type": "integer"}},
    "type",
)
STRING = closed(
    {
        "type": {"const": "string"},
        "required": FLAG,
        "pattern": TEXT,
        "enum": {"type": "array", "maxItems": 100, "items": {"oneOf": [TEXT, {"type": "integer"}]}},
    },
    "type",
    **{"not": {"required": ["pattern", "enum"]}},
)
ARRAY = closed({"type": {"const": "array"}, "required": FLAG, "elements": {"oneOf": [NUMBER, STRING]}}, "type")
BOOLEAN = closed({"type": {"const": "boolean"}, "required": FLAG}, "type")
ATTRIBUTE = closed({"description": TEXT, "constraints": {"oneOf": [NUMBER, STRING, ARRAY, BOOLEAN]}})
VARIANT = closed(
    {
        "name": NAME,
        "enabled": FLAG,
        "rule": {"type": "string", "maxLength": 16384},
        "attributeValues": keyed(VALUE, maxProperties=25),
    },
    "name",
    "enabled",
)
DEPRECATION = closed({"status": {"const": "planned"}, "date": {"type": "string", "format": "date"}})
FLAG_DEFINITION = closed(
    {"name": NAME, "description": TEXT, "_deprecation": DEPRECATION, "attributes": keyed(ATTRIBUTE, maxProperties=25)}
)
FLAG_VALUE = closed(
    {"enabled": FLAG, "_variants": {"type": "array", "maxItems": 32, "items": VARIANT}}, patternProperties={KEY: VALUE}
)
SCHEMA = closed({"version": {"const": "1"}, "flags": keyed(FLAG_DEFINITION), "values": keyed(FLAG_VALUE)}, "version")
