"""YAML's events and JSON Schema, by PyYAML and jsonschema: for who has them, the check's tool and the command."""

from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema
import referencing
import yaml
from configuration_profiles import Invalid, shown


def events(text: str) -> Iterable[Any]:
    return yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # libyaml: a fortieth of the time


def validate(schema: Any, document: Any) -> Iterator[Invalid]:
    """What is wrong with a document, by its schema's own draft, else the newest. Nothing is fetched."""
    if not isinstance(schema, (dict, bool)):
        raise ValueError("it is no mapping")
    try:
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
        for error in kind(schema, registry=referencing.Registry()).iter_errors(document):
            yield tuple(error.absolute_path), error.message[:500]
    except jsonschema.SchemaError as error:
        raise ValueError(f"{shown(error.absolute_path)}: {error.message[:300]}") from None
    except referencing.exceptions.Unresolvable as error:
        raise ValueError(f"{error.ref!r} is not in it") from None
    except (ArithmeticError, AttributeError, RecursionError, TypeError) as error:
        raise ValueError(f"it cannot be applied: {str(error)[:300]}") from None
