"""YAML and JSON as nodes that know where they stand: duplicates, wrong kinds and limits are told by line and column.

YAML comes as the events of a parser that somebody else brings: PyYAML's `parse` with libyaml, or any that speaks like
it. Scalars are read by YAML 1.2's core schema, so that `on` and `no` are words. JSON is read here.
"""

import bisect
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

DEEPEST = 64  # levels; whatever reads the nodes may recurse
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
KINDS = {"map": "a mapping", "list": "a list", "str": "text", "int": "a number", "float": "a number"} | {
    "bool": "true or false",
    "null": "nothing",
}
Events = Callable[[str], Iterable[Any]]  # a YAML parser: text -> events


class Problem(NamedTuple):
    """What is wrong, and where: `line` and `column` count from 1. RULES of configuration_build say what a rule is."""

    rule: str
    file: str
    line: int
    column: int
    text: str


class Node:
    """A value and its place. Of a map `value` is a list of pairs of nodes, of a list one of nodes, else itself."""

    __slots__ = ("column", "kind", "line", "style", "tag", "text", "value")

    def __init__(
        self, kind: str, value: Any, text: str, line: int, column: int, style: str = "", tag: str = ""
    ) -> None:
        self.kind = kind  # one of KINDS
        self.value = value
        self.text = text  # of a scalar, as it is written
        self.line = line
        self.column = column
        self.style = style  # of a scalar: its quote, | or >, empty for a plain one; with a line break if it goes on
        self.tag = tag

    def get(self, name: str) -> "Node | None":
        """The value of a key; None where it has none, or is no map."""
        pairs = self.value if self.kind == "map" else ()
        return next((value for key, value in pairs if key.text == name), None)


class Unreadable(Exception):
    """It is neither YAML nor JSON, from this place on."""

    def __init__(self, line: int, column: int, text: str) -> None:
        super().__init__(text)
        self.line, self.column, self.text = line, column, text


def read(data: bytes, file: str, events: Events, problems: list[Problem], *, lenient: bool = False) -> Node | None:
    """The root node of a file; None if it is empty or unreadable. What is wrong is appended to `problems`.

    Args:
        data: the file's bytes.
        file: its name: `*.json` is JSON, all else YAML.
        lenient: aliases and tags are no problem; an alias is a node that says nothing.
    """
    try:
        text = data.decode("utf-8-sig")
        if found := CONTROL.search(text):
            raise Unreadable(*_place(text, found.start()), "has a control character")
        root, told = _json(text) if file.lower().endswith(".json") else _compose(events(text), lenient)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem("syntax", file, line, error.start - data.rfind(b"\n", 0, error.start), "not UTF-8"))
        return None
    except Unreadable as error:
        line, column = error.line, error.column
        if line > text.count("\n") + 1:  # libyaml tells of an end on a line behind it
            line, column = _place(text, len(text))
        problems.append(Problem("syntax", file, line, column, error.text))
        return None
    problems += [Problem("syntax", file, *one) for one in told]
    return root


def _place(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


# ---- YAML

_INT = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, tuple[str, Any]] = {word: ("null", None) for word in ("", "~", "null", "Null", "NULL")}
_WORDS |= {word: ("bool", word.lower() == "true") for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_WORDS |= {
    f"{sign}{word}": ("float", float(f"{sign}inf")) for sign in ("", "-", "+") for word in (".inf", ".Inf", ".INF")
}
_WORDS |= {word: ("float", math.nan) for word in (".nan", ".NaN", ".NAN")}
_STANDARD = ("str", "int", "float", "bool", "null", "map", "seq")


def resolved(text: str) -> tuple[str, Any]:
    """Kind and value of a plain scalar, by the core schema of YAML 1.2 (yaml.org/spec/1.2.2, section 10.3)."""
    if found := _WORDS.get(text):
        return found
    if _INT.fullmatch(text):
        return "int", int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return ("float", float(text)) if _FLOAT.fullmatch(text) else ("str", text)


def _compose(events: Iterable[Any], lenient: bool) -> tuple[Node | None, list[tuple[int, int, str]]]:
    """The root, and what is refused. Of an event only what PyYAML's and ruamel.yaml's have in common is looked at."""
    told: list[tuple[int, int, str]] = []
    known: dict[str, tuple[str, Any]] = {}  # plain scalars, of which most come again
    roots: list[Node] = []
    children, above = roots, list[tuple[Node, list[Node]]]()
    for event in _running(events):
        name = event.__class__.__name__
        if name == "ScalarEvent":
            text, mark, style = event.value, event.start_mark, event.style or ""
            if event.end_mark.line > mark.line:
                kind, value = ("str", text) if style else resolved(text)
                style += "\n"
            elif style:
                kind, value = "str", text
            elif text in known:
                kind, value = known[text]
            else:
                kind, value = known[text] = resolved(text)
            node = Node(kind, value, text, mark.line + 1, mark.column + 1, style)
        elif name == "MappingStartEvent" or name == "SequenceStartEvent":
            mark = event.start_mark
            node = Node("map" if name[0] == "M" else "list", [], "", mark.line + 1, mark.column + 1)
        elif name == "MappingEndEvent" or name == "SequenceEndEvent":
            done, children = above.pop()
            if done.kind == "map":
                flat = iter(done.value)
                done.value = list(zip(flat, flat, strict=True))
            continue
        elif name == "AliasEvent":
            mark = event.start_mark
            node = Node("null", None, "", mark.line + 1, mark.column + 1, "", "*")
            if not lenient:
                told.append((node.line, node.column, "anchors and aliases are not supported; write it out"))
            children.append(node)
            continue
        else:
            continue
        children.append(node)
        if event.tag or event.anchor:
            node.tag = (event.tag or "").removeprefix("tag:yaml.org,2002:")
            if not lenient and event.anchor:
                told.append((node.line, node.column, "anchors and aliases are not supported; write it out"))
            elif not lenient and node.tag not in _STANDARD[:1]:
                told.append((node.line, node.column, f"the tag {node.tag[:40]!r} is not supported; leave it out"))
            elif node.tag == "str" and node.kind in ("int", "float", "bool", "null"):
                node.kind, node.value = "str", node.text
        if node.kind == "map" or node.kind == "list":
            above.append((node, children))
            children = node.value
            if len(above) > DEEPEST:
                raise Unreadable(node.line, node.column, "nested too deeply")
    if len(roots) > 1:
        told.append((roots[1].line, roots[1].column, "a second document in the file; one is read"))
    return (roots[0] if roots else None), told


def _running(events: Iterable[Any]) -> Iterator[Any]:
    """The events. The parser is somebody else's, and so are its errors: they are known by the mark they carry."""
    try:
        yield from events
    except Exception as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if mark is None and not hasattr(error, "reason"):
            raise
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or getattr(error, "context", None)
        raise Unreadable(line, column, f"not YAML: {said}") from None


# ---- JSON

_WHITE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,299})(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_LITERALS = {"true": ("bool", True), "false": ("bool", False), "null": ("null", None)}
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def _json(text: str) -> tuple[Node | None, list[tuple[int, int, str]]]:
    starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def place(at: int) -> tuple[int, int]:
        line = bisect.bisect_right(starts, at)
        return line, at - starts[line - 1] + 1

    def wrong(at: int, says: str) -> Unreadable:
        return Unreadable(*place(at), f"not JSON: {says}")

    def skip(at: int) -> int:
        found = _WHITE.match(text, at)
        return found.end() if found else at

    def scalar(at: int) -> tuple[Node, int]:
        if text.startswith('"', at):
            try:
                value, end = json.decoder.scanstring(text, at + 1, True)
            except ValueError as error:
                raise wrong(getattr(error, "pos", at), getattr(error, "msg", "a broken string")) from None
            if _SURROGATE.search(value):
                raise wrong(at, "half of a surrogate pair")
            return Node("str", value, value, *place(at), '"'), end
        for word, (kind, value) in _LITERALS.items():
            if text.startswith(word, at):
                return Node(kind, value, word, *place(at)), at + len(word)
        if number := _NUMBER.match(text, at):
            whole = not (number[1] or number[2])
            value = int(number[0]) if whole else float(number[0])
            return Node("int" if whole else "float", value, number[0], *place(at)), number.end()
        raise wrong(at, "a value is wanted here" if at < len(text) else "it ends too early")

    def values(at: int, depth: int) -> tuple[Node, int]:
        if depth > DEEPEST:
            raise Unreadable(*place(at), "nested too deeply")
        if text[at : at + 1] not in ("{", "["):
            return scalar(at)
        is_map, close = text[at] == "{", "}" if text[at] == "{" else "]"
        node = Node("map" if is_map else "list", [], "", *place(at))
        at = skip(at + 1)
        while not text.startswith(close, at):
            if node.value:
                if not text.startswith(",", at):
                    raise wrong(at, f"',' or '{close}' is wanted here")
                at = skip(at + 1)
            if is_map:
                if not text.startswith('"', at):
                    raise wrong(at, 'a key in "quotes" is wanted here')
                name, at = scalar(at)
                at = skip(at)
                if not text.startswith(":", at):
                    raise wrong(at, "':' is wanted here")
                at = skip(at + 1)
            value, at = values(at, depth + 1)
            node.value.append((name, value) if is_map else value)
            at = skip(at)
        return node, at + 1

    at = skip(0)
    if at == len(text):
        return None, []
    root, at = values(at, 1)
    if skip(at) < len(text):
        raise wrong(skip(at), "it goes on behind its end")
    return root, []


# ---- What nodes say


def pairs(node: Node, path: str, file: str, problems: list[Problem]) -> Iterator[tuple[str, Node, Node]]:
    """Name, key and value of each entry of a mapping; a key that is no word or that comes again is a problem."""
    if node.kind != "map":
        told = f"must be a mapping of keys and values, not {KINDS[node.kind]}"
        problems.append(Problem("wrong-kind", file, node.line, node.column, below(path, told)))
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        name = key.text
        if key.kind in ("map", "list"):
            problems.append(Problem("wrong-kind", file, key.line, key.column, below(path, "a key must be a word")))
        elif name in seen:
            told = f"{below(path, name, '.')}: duplicate key; first on line {seen[name]}"
            problems.append(Problem("duplicate-key", file, key.line, key.column, told))
        else:
            seen[name] = key.line
            yield name, key, value


def below(path: str, name: str, between: str = ": ") -> str:
    return f"{path}{between}{name}" if path else name


def plain(node: Node, path: str, file: str, problems: list[Problem]) -> Any:
    """The value as JSON has it."""
    if node.kind == "map":
        entries = pairs(node, path, file, problems)
        return {name: plain(value, below(path, name, "."), file, problems) for name, _, value in entries}
    if node.kind == "list":
        return [plain(one, f"{path}[{number}]", file, problems) for number, one in enumerate(node.value)]
    if node.kind == "float" and not math.isfinite(node.value):
        told = below(path, f"{node.text} is no number that JSON has")
        problems.append(Problem("wrong-type", file, node.line, node.column, told))
        return None
    return node.value


def at(node: Node | None, path: Iterable[str | int]) -> Node | None:
    """The node at a path from here, for an entry of a mapping its key's place; None where it says nothing of it."""
    place = node
    for part in path:
        if node is None:
            return None
        if node.kind == "map":
            found = next(((key, value) for key, value in node.value if key.text == part), None)
            if found is None:
                return None
            node = found[1]
            place = found[0] if node.kind in ("map", "list") else node
        elif node.kind == "list" and isinstance(part, int) and part < len(node.value):
            place = node = node.value[part]
        else:
            return None
    return place


def meant(word: str, known: Iterable[str] | Mapping[str, Any]) -> str:
    """`; did you mean …?` where a word comes close to a known one."""
    import difflib  # not before something is wrong

    close = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""
