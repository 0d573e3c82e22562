"""The flags of a component: `flags.yml` to AppConfig's documents, with every problem at its place.

What AppConfig takes: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-type-reference-feature-flags.html
and, of attributes, …/appconfig-creating-configuration-and-profile-feature-flags.html; of variants and their default,
…/appconfig-creating-multi-variant-feature-flags-concepts.html
"""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import configuration_rules as rules
from configuration_nodes import KINDS, Node, Problem, below, meant, pairs

KEY = re.compile(r"[a-z][a-zA-Z\d_-]{0,63}")  # of a flag and of an attribute
NAME = re.compile(r"[^\n]{1,64}")
LONGEST = 1_024  # characters of a description, a text, a pattern
ATTRIBUTES, ENUM, VARIANTS = 25, 100, 32  # the most of each; the default variant is one
DEFAULT = "default"  # how the variant is called that the value itself is
TYPES = {  # of an attribute: what it may say besides `type`
    "number": ("required", "minimum", "maximum", "description"),
    "string": ("required", "pattern", "enum", "description"),
    "boolean": ("required", "description"),
    "array": ("required", "elements", "description"),
}
ELEMENTS = {"number": ("minimum", "maximum"), "string": ("pattern", "enum")}
DEFINITION = ("name", "description", "owner", "until", "attributes", "values")


@dataclass
class Flag:
    """A flag as it is defined. `values` are AppConfig's, by environment; where one is wrong it is not there."""

    key: str
    file: str
    line: int
    column: int
    name: str = ""
    description: str = ""
    owner: str = ""
    until: datetime.date | None = None
    until_at: tuple[int, int] = (1, 1)
    attributes: dict[str, Any] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Attribute:
    """What an attribute's values must be."""

    type: str
    required: bool = False
    minimum: int | None = None
    maximum: int | None = None
    pattern: re.Pattern[str] | None = None
    enum: frozenset[str] = frozenset()
    of: "Attribute | None" = None  # of an array: what its elements must be


def flags(
    roots: Iterable[tuple[str, Node | None]], environments: Sequence[str], problems: list[Problem]
) -> dict[str, Flag]:
    """The flags of the files, by their keys and in their order."""
    reader = _Reader(environments, problems)
    for file, root in roots:
        if root is not None:
            reader.file = file
            reader.read(root)
    return reader.found


def document(found: Mapping[str, Flag], environment: str) -> dict[str, Any]:
    """The flags as AppConfig takes them, for one environment."""
    definitions, values = {}, {}
    for key, flag in found.items():
        if environment not in flag.values:
            continue
        one: dict[str, Any] = {"name": flag.name or key}
        if flag.description:
            one["description"] = flag.description
        if flag.until:
            one["_deprecation"] = {"status": "planned", "date": flag.until.isoformat()}
        if flag.attributes:
            one["attributes"] = flag.attributes
        definitions[key] = one
        values[key] = flag.values[environment]
    return {"version": "1", "flags": definitions, "values": values}


class _Reader:
    def __init__(self, environments: Sequence[str], problems: list[Problem]) -> None:
        self.environments = tuple(environments)
        self.problems = problems
        self.found: dict[str, Flag] = {}
        self.file = ""

    def problem(self, rule: str, node: Node, path: str, text: str) -> None:
        self.problems.append(Problem(rule, self.file, node.line, node.column, below(path, text)))

    def read(self, root: Node) -> None:
        for key, at, node in pairs(root, "", self.file, self.problems):
            if not KEY.fullmatch(key):
                says = "a flag is a small letter, then up to 63 letters, digits, _ and -"
                self.problem("limit", at, repr(key[:80]), says)
            elif key in self.found:
                first = self.found[key]
                self.problem("duplicate-key", at, key, f"duplicate flag; first in {first.file} on line {first.line}")
            else:
                self.found[key] = Flag(key, self.file, at.line, at.column)
                self.flag(self.found[key], at, node)

    def flag(self, flag: Flag, at: Node, node: Node) -> None:
        key, values, known = flag.key, None, dict[str, Attribute]()
        for name, name_at, value in pairs(node, key, self.file, self.problems):
            path = f"{key}.{name}"
            if name == "values":
                values = name_at, value
            elif name == "attributes":
                known = self.attributes(flag, value, path)
            elif name == "name":
                flag.name = self.text(value, path)
                if not NAME.fullmatch(flag.name):
                    self.problem("limit", value, path, "a name is one line of 1 to 64 characters")
            elif name == "description":
                flag.description = self.text(value, path)
            elif name == "owner":
                flag.owner = self.text(value, path)
            elif name == "until":
                flag.until, flag.until_at = self.day(value, path), (value.line, value.column)
            else:
                self.problem("unknown-key", name_at, path, f"unknown key{meant(name, DEFINITION)}")
        if values is None:
            if node.kind == "map":
                for environment in self.environments:
                    self.problem("missing-value", at, key, f"no value for {environment}; a flag has one for each")
            return
        self.values(flag, *values, known)

    # ---- Scalars

    def text(self, node: Node, path: str, longest: int = LONGEST) -> str:
        if node.kind != "str":
            quote = f"; put {node.text[:40]!r} in quotes" if node.kind not in ("map", "list", "null") else ""
            self.problem("wrong-kind", node, path, f"must be text, not {KINDS[node.kind]}{quote}")
        elif len(node.value) > longest:
            self.problem("limit", node, path, f"{len(node.value):,} characters; AppConfig takes at most {longest:,}")
        return str(node.text)

    def whole(self, node: Node, path: str) -> int | None:
        if node.kind == "int":
            return int(node.value)
        self.problem("wrong-kind", node, path, "must be a whole number, as AppConfig's bounds are")
        return None

    def boolean(self, node: Node, path: str) -> bool:
        if node.kind != "bool":
            self.problem("wrong-kind", node, path, f"must be true or false, not {node.text[:40]!r}")
        return node.value is True

    def day(self, node: Node, path: str) -> datetime.date | None:
        try:
            if re.fullmatch(r"\d{4}-\d\d-\d\d", node.text):
                return datetime.date.fromisoformat(node.text)
        except ValueError:
            pass
        self.problem("wrong-kind", node, path, "must be a day, such as 2027-03-31")
        return None

    # ---- Attributes

    def attributes(self, flag: Flag, node: Node, path: str) -> dict[str, Attribute]:
        known: dict[str, Attribute] = {}
        for number, (name, at, said) in enumerate(pairs(node, path, self.file, self.problems)):
            here = f"{path}.{name}"
            if number == ATTRIBUTES:
                self.problem("limit", at, path, f"{len(node.value)} attributes; AppConfig takes at most {ATTRIBUTES}")
            if name in ("enabled", "variants"):
                self.problem("limit", at, here, f"'{name}' is a word of a value, and no attribute may be called so")
            elif not KEY.fullmatch(name):
                says = "an attribute is a small letter, then up to 63 letters, digits, _ and -"
                self.problem("limit", at, f"{path}.{name[:80]!r}", says)
            elif attribute := self.attribute(at, said, here):
                known[name] = attribute
                described = said.get("description")
                constraints = _constraints(attribute, said)
                flag.attributes[name] = {"constraints": constraints}
                if described is not None:
                    flag.attributes[name]["description"] = self.text(described, f"{here}.description")
        return known

    def attribute(
        self, at: Node, node: Node, path: str, types: Mapping[str, tuple[str, ...]] = TYPES
    ) -> Attribute | None:
        said = {name: (name_at, value) for name, name_at, value in pairs(node, path, self.file, self.problems)}
        if node.kind != "map":
            return None
        if "type" not in said:
            self.problem("missing-key", at, path, f"'type' is missing; for example type: {next(iter(types))}")
            return None
        type_ = said["type"][1].text
        if type_ not in types:
            says = f"unknown type {type_[:40]!r}; there are {', '.join(types)}{meant(type_, types)}"
            self.problem("wrong-type", said["type"][1], f"{path}.type", says)
            return None
        taken: dict[str, Any] = {}
        for name, (name_at, value) in said.items():
            here = f"{path}.{name}"
            if name == "type" or name == "description":
                continue
            if name not in types[type_]:
                says = f"unknown key of a {type_}{meant(name, types[type_])}"
                self.problem("unknown-key", name_at, here, says)
            elif name == "required":
                taken["required"] = self.boolean(value, here)
            elif name in ("minimum", "maximum"):
                taken[name] = self.whole(value, here)
            elif name == "pattern":
                taken["pattern"] = self.pattern(value, here)
            elif name == "enum":
                taken["enum"] = self.enum(value, here)
            elif name == "elements":
                taken["of"] = self.attribute(name_at, value, here, ELEMENTS)
        least, most = taken.get("minimum"), taken.get("maximum")
        if least is not None and most is not None and least > most:
            self.problem("bad-constraint", said["minimum"][1], path, f"the minimum {least} is above the maximum {most}")
        if "pattern" in said and "enum" in said:
            self.problem("bad-constraint", said["enum"][0], path, "AppConfig takes a pattern or an enum, not both")
        return Attribute(type_, **taken)

    def pattern(self, node: Node, path: str) -> re.Pattern[str] | None:
        text = self.text(node, path)
        try:
            return re.compile(text) if node.kind == "str" else None
        except rules.UNPARSED as error:
            self.problem("bad-constraint", node, path, f"does not parse as a pattern: {error}")
            return None

    def enum(self, node: Node, path: str) -> frozenset[str]:
        if node.kind != "list":
            self.problem("wrong-kind", node, path, f"must be a list, not {KINDS[node.kind]}")
            return frozenset()
        if not 1 <= len(node.value) <= ENUM:
            self.problem("limit", node, path, f"{len(node.value)} values; AppConfig takes 1 to {ENUM}")
        return frozenset(self.text(one, f"{path}[{number}]") for number, one in enumerate(node.value))

    # ---- Values

    def values(self, flag: Flag, at: Node, node: Node, known: Mapping[str, Attribute]) -> None:
        path, said = f"{flag.key}.values", set[str]()
        for environment, name_at, value in pairs(node, path, self.file, self.problems):
            here = f"{path}.{environment}"
            if environment not in self.environments:
                there = f"; there are {', '.join(self.environments)}"
                more = meant(environment, self.environments) or there
                self.problem("unknown-environment", name_at, here, f"unknown environment{more}")
                continue
            said.add(environment)
            compiled = self.value(value, name_at, here, known)
            if compiled is not None:
                flag.values[environment] = compiled
        if node.kind == "map":
            for environment in self.environments:
                if environment not in said:
                    self.problem("missing-value", at, path, f"no value for {environment}; a flag has one for each")

    def value(self, node: Node, at: Node, path: str, known: Mapping[str, Attribute]) -> dict[str, Any] | None:
        enabled, given, variants = None, dict[str, Any](), None
        for name, name_at, said in pairs(node, path, self.file, self.problems):
            if name == "enabled":
                enabled = self.boolean(said, f"{path}.enabled")
            elif name == "variants":
                variants = said
            else:
                self.given(given, name, name_at, said, path, known)
        if node.kind != "map":
            return None
        if enabled is None:
            self.problem("missing-key", at, path, "'enabled' is missing; for example enabled: false")
            enabled = False
        self.required(given, at, path, known)
        if variants is None or not (variants.value or variants.kind != "list"):
            return {"enabled": enabled, **given}
        made = self.variants(variants, f"{path}.variants", given, known)
        return {"_variants": [*made, _variant(DEFAULT, enabled, given)]}

    def given(
        self, given: dict[str, Any], name: str, at: Node, node: Node, path: str, known: Mapping[str, Attribute]
    ) -> None:
        """An attribute's value, of a value or of a variant."""
        here = f"{path}.{name}"
        attribute = known.get(name)
        if attribute is None:
            more = meant(name, known) or (f"; there are {', '.join(known)}" if known else "; the flag defines none")
            self.problem("unknown-attribute", at, here, f"unknown attribute{more[:300]}")
        elif attribute.type == "array":
            given[name] = self.array(node, here, attribute)
        else:
            given[name] = self.single(node, here, attribute)

    def required(self, given: Mapping[str, Any], at: Node, path: str, known: Mapping[str, Attribute]) -> None:
        for name, attribute in known.items():
            if attribute.required and name not in given:
                self.problem("missing-attribute", at, path, f"the attribute '{name}' is required")

    def single(self, node: Node, path: str, attribute: Attribute) -> Any:
        kind, value = node.kind, node.value
        if attribute.type == "number":
            if kind not in ("int", "float") or value != value or value in (float("inf"), float("-inf")):
                self.problem("wrong-type", node, path, f"must be a number, not {_shown(node)}")
            elif attribute.minimum is not None and value < attribute.minimum:
                self.problem("out-of-bounds", node, path, f"{node.text} is below the minimum {attribute.minimum}")
            elif attribute.maximum is not None and value > attribute.maximum:
                self.problem("out-of-bounds", node, path, f"{node.text} is above the maximum {attribute.maximum}")
        elif attribute.type == "boolean":
            if kind != "bool":
                self.problem("wrong-type", node, path, f"must be true or false, not {_shown(node)}")
        elif kind != "str":
            quote = "; put it in quotes" if kind not in ("map", "list", "null") else ""
            self.problem("wrong-type", node, path, f"must be text, not {_shown(node)}{quote}")
        elif len(value) > LONGEST:
            self.problem("limit", node, path, f"{len(value):,} characters; AppConfig takes at most {LONGEST:,}")
        elif attribute.enum and value not in attribute.enum:
            said = ", ".join(sorted(attribute.enum)[:10])
            more = meant(value, attribute.enum)
            self.problem("out-of-bounds", node, path, f"{_shown(node)} is none of {said}{more}")
        elif attribute.pattern and not attribute.pattern.search(value):
            says = f"{_shown(node)} does not match the pattern {attribute.pattern.pattern[:100]}"
            self.problem("out-of-bounds", node, path, says)
        return value if kind not in ("map", "list") else None

    def array(self, node: Node, path: str, attribute: Attribute) -> list[Any]:
        if node.kind != "list":
            self.problem("wrong-type", node, path, f"must be a list, not {_shown(node)}")
            return []
        of = attribute.of
        if of is None and node.value:  # AppConfig takes arrays of text and of numbers
            of = Attribute("number" if node.value[0].kind in ("int", "float") else "string")
        return [self.single(one, f"{path}[{number}]", of) for number, one in enumerate(node.value) if of]

    def variants(
        self, node: Node, path: str, inherited: Mapping[str, Any], known: Mapping[str, Attribute]
    ) -> list[dict[str, Any]]:
        if node.kind != "list":
            self.problem("wrong-kind", node, path, f"must be a list, not {KINDS[node.kind]}")
            return []
        if len(node.value) >= VARIANTS:
            says = f"{len(node.value)} variants and the default; AppConfig takes at most {VARIANTS}"
            self.problem("limit", node, path, says)
        made: list[dict[str, Any]] = []
        seen = {DEFAULT: "the value itself is the default variant"}
        trees: list[tuple[str, rules.Call]] = []
        places: list[tuple[Node, str]] = []
        for number, one in enumerate(node.value):
            here = f"{path}[{number}]"
            name, rule, enabled, given, rule_at = "", "", None, dict(inherited), one
            own: dict[str, Any] = {}
            for key, at, said in pairs(one, here, self.file, self.problems):
                if key == "name":
                    name = self.text(said, f"{here}.name")
                    if not NAME.fullmatch(name):
                        self.problem("limit", said, f"{here}.name", "a name is one line of 1 to 64 characters")
                    elif name in seen:
                        self.problem("duplicate-variant", said, here, f"'{name}' is there already: {seen[name]}")
                    seen.setdefault(name, f"on line {said.line}")
                elif key == "rule":
                    rule, rule_at = self.text(said, f"{here}.rule", rules.LONGEST), said
                elif key == "enabled":
                    enabled = self.boolean(said, f"{here}.enabled")
                else:
                    self.given(own, key, at, said, here, known)
            if one.kind != "map":
                continue
            for key, there, example in (
                ("name", name, "staff"),
                ("enabled", enabled is not None, "true"),
                ("rule", rule_at is not one, "'(eq $group \"staff\")'"),
            ):
                if not there:
                    why = ": the value itself is the default variant, which has none" if key == "rule" else ""
                    self.problem("missing-key", one, here, f"'{key}' is missing{why}; for example {key}: {example}")
            given |= own
            if rule_at is not one and rule_at.kind == "str":
                tree = rules.parsed(rule)
                if isinstance(tree, rules.Wrong):
                    line, column = _inside(rule_at, tree.at)
                    text = below(f"{here}.rule", tree.text)
                    self.problems.append(Problem("rule-syntax", self.file, line, column, text))
                else:
                    trees.append((name, tree))
                    places.append((rule_at, f"{here}.rule"))
            made.append({**_variant(name, enabled is True, given), "rule": rule})
        for number, says in rules.never(trees):
            rule_node, where = places[number]
            self.problem("split-shares", rule_node, where, f"'{trees[number][0]}' {says}")
        return made


def off(text: str, root: Node, key: str, environment: str) -> str:
    """The text of a file of flags with a flag off for everybody in an environment; all else stays, comments too.

    Raises:
        LookupError: the flag has no value there, or it cannot be changed where it stands.
    """
    value: Node | None = root
    for name in (key, "values", environment):
        value = value.get(name) if value else None
    if value is None or value.kind != "map":
        raise LookupError(f"{key} has no value for {environment}")
    variants = value.get("variants")
    lines = text.split("\n")
    for one in reversed([value, *(variants.value if variants and variants.kind == "list" else ())]):
        enabled = one.get("enabled") if one.kind == "map" else None
        if enabled is None or enabled.kind != "bool":
            raise LookupError(f"line {one.line}: 'enabled' is missing, or is neither true nor false")
        line, start = lines[enabled.line - 1], enabled.column - 1
        if line[start : start + len(enabled.text)] != enabled.text:
            raise LookupError(f"line {enabled.line}: 'enabled' is not where it was read")
        if enabled.value:
            lines[enabled.line - 1] = f"{line[:start]}false{line[start + len(enabled.text) :]}"
    return "\n".join(lines)


def _variant(name: str, enabled: bool, given: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "enabled": enabled, **({"attributeValues": dict(given)} if given else {})}


def _constraints(attribute: Attribute, node: Node) -> dict[str, Any]:
    """The constraints of AppConfig, with what was said in their order."""
    found: dict[str, Any] = {"type": attribute.type}
    if attribute.required:
        found["required"] = True
    for name in ("minimum", "maximum"):
        if (bound := getattr(attribute, name)) is not None:
            found[name] = bound
    if attribute.pattern is not None:
        found["pattern"] = attribute.pattern.pattern
    enum = node.get("enum")
    if enum is not None and attribute.enum:
        found["enum"] = [one.text for one in enum.value]
    elements = node.get("elements")
    if attribute.of is not None and elements is not None:
        found["elements"] = _constraints(attribute.of, elements)
    return found


def _shown(node: Node) -> str:
    if node.kind in ("map", "list", "null"):
        return KINDS[node.kind]
    return repr(node.text if len(node.text) <= 60 else node.text[:60] + "…")


def _inside(node: Node, at: int) -> tuple[int, int]:
    """The place of a character of a scalar, where it stands as it is written; else the scalar's."""
    plain = node.style != '"' or not re.search(r'["\\]', node.text)
    if node.style in ("", "'", '"') and "\n" not in node.text and plain:
        quotes = node.text.count("'", 0, at) if node.style == "'" else 0  # each is written twice
        return node.line, node.column + at + (1 if node.style else 0) + quotes
    return node.line, node.column
