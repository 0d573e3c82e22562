"""Every value that enters a template becomes one inert scalar here: a hostile value stays in its place, as data."""

import json
import re
from functools import lru_cache
from typing import Any

from dpra.spec.models import Expression

# Words that need no quotes in YAML 1.1 or 1.2: no indicator, no number, date, time, boolean or null among them.
_PLAIN = re.compile(r"(?!.*:( |$))[A-Za-z][A-Za-z0-9_./@:=-]*( [A-Za-z0-9_./@:=-]+)*")
_RESERVED = frozenset("y n yes no on off true false null none nan inf".split())
_SAFE_SINGLE = re.compile(r"[\x20-\x7e\xa1-\u2027\u202f-\ud7ff]+")  # neither line separators nor direction marks
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~$@])")
MOST_EXPRESSION = 21_000  # characters in one GitHub expression or `run`


class Raw(str):
    """Text of our own that may hold a GitHub expression. Never a user's."""


class Written(str):
    """Already a scalar, perhaps with a comment behind it."""


def github(text: str) -> str:
    """`text` as GitHub must see it to read it literally: its expression opener, written as an expression."""
    return text.replace("${{", "${{ '${{' }}")


def yaml(value: Any) -> str:
    """One YAML scalar, or a flow list of them, for any value.

    Raises:
        TypeError: a value that is no scalar and no list.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case list() | tuple():
            return "[" + ", ".join(yaml(item) for item in value) + "]"
        case Raw() | Expression():
            return _quoted(str(value))
        case str():
            return _quoted(github(value))
    raise TypeError(f"cannot stand in a template: {type(value).__name__}")


def block(indent: str, text: str) -> str | None:
    """`text` of several lines as a YAML block literal under a key at `indent`; None where only quotes are safe."""
    lines = text.removesuffix("\n").split("\n")
    if any(line and (not _SAFE_SINGLE.fullmatch(line) or not line.strip()) for line in lines):
        return None
    if len(lines) < 2 or not lines[-1] or not lines[0] or lines[0].startswith((" ", "#")):
        return None
    return ("|" if text.endswith("\n") else "|-") + "".join(f"\n{indent}  {line}" if line else "\n" for line in lines)


@lru_cache(4096)  # the same few hundred stand in each workflow
def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    if _SAFE_SINGLE.fullmatch(text):
        return "'" + text.replace("'", "''") + "'"
    # JSON's escapes are YAML's, but for astral characters: JSON writes two halves, which YAML does not join.
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if ord(character) > 0xFFFF:
        return f"\\U{ord(character):08x}"
    return json.dumps(character)[1:-1]


def comment(text: str) -> str:
    """`text` as the end of a YAML comment: one printable line."""
    return "".join(character if _SAFE_SINGLE.fullmatch(character) else "?" for character in text)


def markdown(value: Any) -> str:
    """`value` as text in Markdown: no mark-up, no HTML, one line."""
    text = " ".join(str(value).split())
    return _MARKUP.sub(r"\\\1", text)
