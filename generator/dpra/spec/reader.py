"""From the text of a dpra.yml to a Spec: every structural problem at once, each with its line and column.

It reads ruamel.yaml's nodes, not its Python values: only nodes know positions, duplicate keys and the leading zero of
an account id.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from dpra.dataclasses import dataclass
from dpra.errors import InputError
from dpra.spec.models import (
    ACCOUNT,
    DATE,
    KINDS,
    TARGETS,
    Choice,
    Expression,
    Flag,
    ListOf,
    MapOf,
    Model,
    Number,
    Spec,
    Target,
    Text,
    Word,
    name_of,
)

LARGEST = 256 * 1024  # bytes; a spec of a hundred environments has 10 kB
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: `line` and `column` count from 1."""

    line: int
    column: int
    message: str


class Problems(InputError):
    """The spec is wrong. `str()` gives one line a problem: `dpra.yml:10:5: key: what is wrong`."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = sorted(set(problems), key=lambda problem: (problem.line, problem.column, problem.message))
        super().__init__("\n".join(f"{file}:{p.line}:{p.column}: {p.message}" for p in self.problems))


def read_bytes(path: Path, root: Path) -> bytes:
    """The bytes of a spec file inside `root`.

    Raises:
        Problems: it is not there, not a file, too large, or a symbolic link out of the repository.
    """
    problem = ""
    try:
        if not path.resolve().is_relative_to(root.resolve()):
            problem = "a symbolic link out of the repository"
        elif path.stat().st_size > LARGEST:
            problem = f"{path.stat().st_size:,} bytes; a spec has at most {LARGEST:,}"
        else:
            return path.read_bytes()
    except FileNotFoundError:
        problem = "no such file; 'dpra new' makes a repository with one, and the README shows a minimal one"
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
        problem = getattr(error, "strerror", None) or str(error)
    raise Problems(path.name, [Problem(1, 1, problem)])


def read(data: bytes, words: Mapping[str, Mapping[str, Mapping[str, Any]]], file: str = "dpra.yml") -> Spec:
    """The Spec that `data` writes down.

    Args:
        data: the file's bytes.
        words: for each pipeline type the lists of words: `environments`, `jobs`, `languages`, `scopes`, `actions` with
            what each takes, and `profiles` with what each leaves out.
        file: the name to say in problems.
    Raises:
        Problems: it is not YAML, or not a spec.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise Problems(file, [Problem(line, column, "not UTF-8")]) from None
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise Problems(file, [Problem(line, column, f"not YAML: {error.problem or error.context}")]) from None
    except (YAMLError, ValueError) as error:  # a reader error: a control character, a half surrogate
        raise Problems(file, [Problem(1, 1, f"not YAML: {str(error).splitlines()[0]}")]) from None
    except RecursionError:
        raise Problems(file, [Problem(1, 1, "nested too deeply")]) from None
    reader = _Reader(words)
    spec = reader.read(root)
    if reader.problems or spec is None:
        raise Problems(file, reader.problems)
    return spec


def where(data: bytes, path: str) -> tuple[int, int]:
    """Line and column of a key like `environments.beta.regions` in a readable spec, or of its nearest parent there."""
    node: Any = YAML(typ="safe", pure=True).compose(data.decode("utf-8-sig"))
    mark = node.start_mark
    for part in re.sub(r"\[[0-9]+\]", "", path).split("."):
        pairs = node.value if isinstance(node, MappingNode) else []
        found = next(((k, v) for k, v in pairs if k.value == part), None)
        if found is None:
            break
        mark, node = found[0].start_mark, found[1]
    return mark.line + 1, mark.column + 1


class _Reader:
    def __init__(self, words: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        self.words = words
        self.problems: list[Problem] = []
        self.seen: set[int] = set()

    def read(self, root: Node | None) -> Spec | None:
        if root is None:
            self.problems.append(Problem(1, 1, "empty; the README shows a minimal spec"))
            return None
        self.pipeline = _peek(root, "pipeline") or "application"
        self.profile = _peek(root, "profile") or "standard"
        # A kind may have words of its own, and so may a way to make it; an unknown type is told below.
        parts = [self.pipeline, *(_peek(root, "image", key) or "" for key in KINDS)]
        places = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
        self.known = next((self.words[place] for place in places if self.words.get(place)), None)
        self.own = self.known or next(iter(self.words.values()))
        spec: Spec | None = self._model(root, Spec, "")
        if spec is not None and bool(spec.repository_id) != bool(spec.owner_id):
            self._problem(root, "repository-id", "goes together with owner-id: give both or none")
        return spec

    def _problem(self, node: Node, path: str, message: str) -> None:
        mark = node.start_mark
        self.problems.append(Problem(mark.line + 1, mark.column + 1, f"{path}: {message}" if path else message))

    def _value(self, node: Node, kind: Any, path: str) -> Any:
        # An anchor is met again only through an alias: refusing it disarms the bomb, too.
        if id(node) in self.seen or node.anchor:
            self._problem(node, path, "anchors and aliases are not supported; write it out")
            return None
        self.seen.add(id(node))
        tag = str(node.tag or "").removeprefix("tag:yaml.org,2002:")
        if tag not in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq"):
            return self._problem(node, path, f"the tag {_shown(tag)} is not allowed")
        match kind:
            case Target():
                kind = TARGETS[next(iter(self.own["targets"]))]
            case Model(model):
                return self._model(node, model, path)
            case MapOf():
                return self._map(node, kind, path)
            case ListOf():
                return self._list(node, kind, path)
        if not isinstance(node, ScalarNode):
            return self._problem(node, path, f"must be {_says(kind)}, not a {_kind_of(node)}")
        return self._scalar(node, tag, kind, path)

    def _scalar(self, node: ScalarNode, tag: str, kind: Any, path: str) -> Any:
        value: str = node.value
        match kind:
            case Number(least, most):
                number = int(value) if re.fullmatch(r"[0-9]{1,18}", value) else -1
                if tag == "int" and node.style is None and number >= least and (most is None or number <= most):
                    return number
                return self._problem(node, path, f"must be {_says(kind)}, without quotes")
            case Flag():
                if tag == "bool" and node.style is None and value in ("true", "false"):
                    return value == "true"
                return self._problem(node, path, f"must be {_says(kind)}, without quotes")
            case Word(words):
                of = self.own[words]
                if value in of:
                    return value
                return self._problem(node, path, f"unknown {words[:-1]} {_shown(value)}{_maybe(value, of)}")
            case Choice(of):
                if value in of:
                    return value
                return self._problem(node, path, f"unknown value {_shown(value)}{_maybe(value, of)}")
            case Text(_, pattern, longest, expression):
                if kind is ACCOUNT:
                    return self._account(node, path)
                if tag != "str" and not (tag == "timestamp" and kind is DATE):
                    return self._problem(node, path, f"must be {_says(kind)}; put {_shown(value)} in quotes")
                if _CONTROL.search(value):
                    return self._problem(node, path, "has a control character")
                if len(value) > longest or len(value) + 10 * value.count("${{") > longest + 4_000:
                    return self._problem(node, path, f"too long: {len(value):,} characters, at most {longest:,}")
                if re.fullmatch(pattern, value):
                    return Expression(value) if expression else value
                return self._problem(node, path, f"must be {_says(kind)}, not {_shown(value)}")
        raise TypeError(kind)

    def _account(self, node: ScalarNode, path: str) -> str | None:
        value: str = node.value
        if re.fullmatch(r"[0-9]{12}", value) and (node.style is not None or value[0] != "0"):
            return value
        if re.fullmatch(r"0[0-9]{11}", value):
            message = f'put it in quotes, or other tools drop its leading zero: "{value}"'
        elif re.fullmatch(r"[0-9]{9,11}", value):
            message = (
                f"an account id has 12 digits, this has {len(value)}: it lost its leading zero, as numbers do; "
                f'write "{value.zfill(12)}" in quotes'
            )
        else:
            message = f"must be {ACCOUNT.says}, not {_shown(value)}"
        self._problem(node, path, message)
        return None

    def _list(self, node: Node, kind: ListOf, path: str) -> tuple[Any, ...]:
        if kind.or_one and isinstance(node, ScalarNode):
            self.seen.discard(id(node))
            value = self._value(node, kind.kind, path)
            return () if value is None else (value,)
        if not isinstance(node, SequenceNode):
            self._problem(node, path, f"must be a list, not a {_kind_of(node)}: [{_shown_node(node)}]")
            return ()
        if len(node.value) < kind.least:
            self._problem(node, path, f"needs at least {kind.least}")
        values: list[Any] = []
        for number, item in enumerate(node.value):
            value = self._value(item, kind.kind, f"{path}[{number}]")
            if value is not None and value in values:
                self._problem(item, f"{path}[{number}]", f"{_said(value)} is there twice")
            values.append(value)
        return tuple(values)

    def _map(self, node: Node, kind: MapOf, path: str) -> Mapping[str, Any]:
        values: dict[str, Any] = {}
        known = self.known
        if known is None:  # an unsupported pipeline type, already reported
            return values
        words = known[kind.keys] if isinstance(kind.keys, str) else {}
        without = known["profiles"].get(self.profile) or ()
        for name, key_node, value_node in self._entries(node, path):
            here = _below(path, name)
            if isinstance(kind.keys, Text):  # then there are no words
                if not re.fullmatch(kind.keys.pattern, name) or len(name) > kind.keys.longest:
                    self._problem(key_node, here, f"must be {kind.keys.says}")
                    continue
            elif name not in words:
                self._problem(key_node, here, f"unknown {kind.keys[:-1]}{_maybe(name, words)}")
                continue
            elif name in without:
                self._problem(key_node, here, f"profile {self.profile} has no {name}")
            values[name] = self._value(value_node, kind.kind, here)
            if values[name] is not None and isinstance(kind.kind, Model):
                self._takes(key_node, here, values[name], words.get(name))
        if kind.all_required and isinstance(node, MappingNode):
            for name in words:
                if name not in values and name not in without:
                    self._problem(node, path, f"'{name}' is missing")
        return values

    def _takes(self, node: Node, path: str, value: Any, takes: Iterable[str] | None) -> None:
        """Of the keys of a model this word may take some only."""
        if takes is None:
            return
        given = [name_of(field_) for field_ in fields(value) if getattr(value, field_.name)]
        for name in given:
            if name not in takes:
                said = f"takes {', '.join(takes)}" if takes else "is not supported yet"
                self._problem(node, f"{path}.{name}", f"this action {said}")

    def _model(self, node: Node, model: type, path: str) -> Any:
        known = taken(model, self.own["keys"])
        later: Iterable[str] = getattr(model, "later", ())
        before, values, meant = len(self.problems), {}, set()
        for name, key_node, value_node in self._entries(node, path):
            here = _below(path, name)
            if name in known:
                values[known[name].name] = self._value(value_node, known[name].metadata["kind"], here)
            elif name in later:
                self._problem(key_node, here, "not supported yet")
            elif any(name == name_of(field_) for field_ in fields(model)):
                self._problem(key_node, here, f"the pipeline type {self.pipeline} has no such key")
            else:
                meant.update(_close(name, known))
                self._problem(key_node, here, f"unknown key{_maybe(name, known)}")
        for field_ in known.values():
            if field_.name not in values and (left_out := self._left_out(field_)) is not None:
                values[field_.name] = left_out
        if isinstance(node, MappingNode):
            for name, field_ in known.items():
                required = field_.default is MISSING and field_.default_factory is MISSING
                if required and field_.name not in values and name not in meant:
                    self._problem(node, path, f"'{name}' is missing; for example {name}: {_example(field_)}")
        return model(**values) if len(self.problems) == before else None

    def _left_out(self, field_: Any) -> Any:
        """What a key is that is left out, where the pipeline type decides it; None: as its model says."""
        match field_.metadata["kind"]:
            case Word(words, first=True):
                return next(iter(self.own[words]))
            case Model(model) if field_.default is not MISSING and field_.default is not None:
                inner = {one.name: left_out for one in fields(model) if (left_out := self._left_out(one)) is not None}
                return replace(field_.default, **inner) if inner else None
        return None

    def _entries(self, node: Node, path: str) -> Iterable[tuple[str, Node, Node]]:
        if not isinstance(node, MappingNode):
            self._problem(node, path, f"must be a mapping of keys and values, not a {_kind_of(node)}")
            return
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._problem(key_node, path, "a key must be a word")
                continue
            name = key_node.value
            if name in seen:
                self._problem(key_node, _below(path, name), f"duplicate key; first on line {seen[name]}")
                continue
            seen[name] = key_node.start_mark.line + 1
            yield name, key_node, value_node


def taken(model: type, keys: Collection[str]) -> dict[str, Any]:
    """The fields of a model by their keys, for a pipeline type that takes these of the keys that not every type has."""
    known = {name_of(field_): field_ for field_ in fields(model)}
    return {name: field_ for name, field_ in known.items() if name in keys or not field_.metadata["by_type"]}


def _peek(root: Node, *names: str) -> str | None:
    node: Node | None = root
    for name in names:
        pairs = node.value if isinstance(node, MappingNode) else []
        node = next((v for k, v in pairs if isinstance(k, ScalarNode) and k.value == name), None)
    return node.value if isinstance(node, ScalarNode) else None


def _below(path: str, name: str) -> str:
    name = name if re.fullmatch(r"[\w.<-]{1,60}", name) else _shown(name)
    return f"{path}.{name}" if path else name


def _kind_of(node: Node) -> str:
    return "mapping" if isinstance(node, MappingNode) else "list" if isinstance(node, SequenceNode) else "single value"


def _says(kind: Any) -> str:
    match kind:
        case Text(says):
            return says
        case Number(least, most):
            return f"a whole number of at least {least}" + (f", at most {most}" if most is not None else "")
        case Flag():
            return "true or false"
        case Word(words):
            return f"one of the {words}"
        case Choice(of):
            return "one of " + ", ".join(of[:5]) + (", …" if len(of) > 5 else "")
    raise TypeError(kind)


def _shown(value: Any) -> str:
    text = repr(str(value))
    return text if len(text) <= 60 else text[:57] + "…'"


def _said(value: Any) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else _shown(value)


def _shown_node(node: Node) -> str:
    return node.value if isinstance(node, ScalarNode) and re.fullmatch(r"[\w.-]{1,40}", node.value) else "…"


def _close(word: str, known: Iterable[str]) -> list[str]:
    import difflib  # not before something is wrong

    known = list(known)
    begun = [name for name in known if len(word) > 2 and name.startswith(word)]
    return begun[:1] or difflib.get_close_matches(word[:100], known, n=1, cutoff=0.6)


def _maybe(word: str, known: Iterable[str]) -> str:
    close = _close(word, known)
    return f"; did you mean '{close[0]}'?" if close else ""


def _example(field_: Any) -> str:
    return field_.metadata["example"] or "…"
