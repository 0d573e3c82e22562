"""The rules of multi-variant flags: AppConfig's little language, parsed as its user guide describes it.

Sources: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-creating-multi-variant-feature-flags-rules-operators.html
(operands and operators) and …/appconfig-creating-multi-variant-feature-flags-rules.html (what `split` does).
"""

import re
from functools import cache
from typing import Any, NamedTuple

UNPARSED = (re.error, OverflowError, RecursionError)  # of a pattern
LONGEST = 16_384  # characters; the type reference of AWS.AppConfig.FeatureFlags


class Wrong(Exception):
    """The rule does not parse; `at` is the character of the rule, from 0."""

    def __init__(self, at: int, text: str) -> None:
        super().__init__(text)
        self.at, self.text = at, text


class Call(NamedTuple):
    """`(operator argument…)`; an argument is a Call or an operand, by its name where it has one."""

    operator: str
    arguments: tuple[tuple[str, Any], ...]
    at: int


class Operand(NamedTuple):
    kind: str  # string, number, timestamp, boolean, context, list
    text: str


CONSTANT = ("string", "number", "timestamp", "boolean")
VALUE = (*CONSTANT, "context")
# operator -> the kinds of its arguments in their order; or of its named ones, those with `?` may be left out.
COMPARES = {"eq": VALUE, "gt": VALUE, "gte": VALUE, "lt": VALUE, "lte": VALUE}
IN_ORDER: dict[str, tuple[tuple[str, ...], ...]] = {name: (kinds, kinds) for name, kinds in COMPARES.items()} | {
    "begins_with": (("context", "string"), ("string", "context")),
    "ends_with": (("context", "string"), ("string", "context")),
    "contains": (("context", "string"), ("string", "context")),
    "in": (VALUE, ("list",)),
}
NAMED: dict[str, dict[str, tuple[str, ...]]] = {
    "matches": {"in": ("context", "string"), "pattern": ("string",)},
    "exists": {"key": ("string",)},
    "split": {"pct": ("number",), "by": ("context", "list"), "seed?": ("string",)},
}
LOGICAL = {"and": (2, None), "or": (2, None), "not": (1, 1)}
OPERATORS = (*LOGICAL, *IN_ORDER, *NAMED)
OTHERS = {"ne": "(not (eq …))", "neq": "(not (eq …))", "!=": "(not (eq …))", "==": "eq", "=": "eq", "equals": "eq"} | {
    ">": "gt",
    ">=": "gte",
    "<": "lt",
    "<=": "lte",
    "starts_with": "begins_with",
}
TOKEN = re.compile(
    r"""(?P<white>[\s,]+)|(?P<mark>[()\[\]])|(?P<string>"(?:[^"\\]|\\.)*")|(?P<context>\$[\w.-]+)"""
    r"|(?P<timestamp>\d{4}-\d\d(?:-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?)?(?![\w.:-]))"
    r"|(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.:-]))"
    r"|(?P<name>[A-Za-z_]\w*)::|(?P<word>[A-Za-z_!<>=][\w!<>=-]*)",
    re.DOTALL,
)


@cache
def parsed(rule: str) -> Call | Wrong:
    """The rule as a tree, or what is wrong with it."""
    try:
        if len(rule) > LONGEST:
            raise Wrong(0, f"{len(rule):,} characters; AppConfig takes at most {LONGEST:,}")
        tokens = _tokens(rule)
        if not tokens:
            raise Wrong(0, "is empty")
        found, rest = _expression(tokens, 0, len(rule), 1)
        if rest < len(tokens):
            raise Wrong(tokens[rest][2], f"{tokens[rest][1]!r} stands behind the end of the rule")
        return found
    except Wrong as wrong:
        return wrong


def _tokens(rule: str) -> list[tuple[str, str, int]]:
    found, at = [], 0
    while at < len(rule):
        match = TOKEN.match(rule, at)
        if match is None or match.lastgroup is None:
            says = (
                'a string without its closing "' if rule[at] == '"' else f"{rule[at : at + 20]!r} is no word of a rule"
            )
            raise Wrong(at, says)
        if match.lastgroup != "white":
            found.append((match.lastgroup, match[match.lastgroup], at))
        at = match.end()
    return found


def _expression(tokens: list[tuple[str, str, int]], here: int, length: int, depth: int) -> tuple[Call, int]:
    kind, text, at = tokens[here] if here < len(tokens) else ("end", "", length)
    if text != "(" or kind != "mark":
        raise Wrong(at, 'a rule is (operator operands…), such as (eq $group "staff")')
    if depth > 50:
        raise Wrong(at, "nested too deeply")
    kind, operator, named_at = tokens[here + 1] if here + 1 < len(tokens) else ("end", "", length)
    if kind != "word" or operator not in OPERATORS:
        better = f"; say {OTHERS[operator]}" if operator in OTHERS else f"; there are {', '.join(OPERATORS)}"
        raise Wrong(named_at, f"{operator!r} is no operator{better}")
    here += 2
    given: list[tuple[str, Any, int]] = []
    while True:
        kind, text, place = tokens[here] if here < len(tokens) else ("end", "", length)
        if kind == "end":
            raise Wrong(at, "the ( is not closed")
        if (kind, text) == ("mark", ")"):
            break
        name = ""
        if kind == "name":
            name, here = text, here + 1
        value, here = _operand(tokens, here, length, depth)
        given.append((name, value, place))
    _fits(operator, given, named_at)
    return Call(operator, tuple((name, value) for name, value, _ in given), at), here + 1


def _operand(tokens: list[tuple[str, str, int]], here: int, length: int, depth: int) -> tuple[Call | Operand, int]:
    kind, text, at = tokens[here] if here < len(tokens) else ("end", "", length)
    if (kind, text) == ("mark", "("):
        return _expression(tokens, here, length, depth + 1)
    if (kind, text) == ("mark", "["):
        start, here = here, here + 1
        while here < len(tokens) and tokens[here][:2] != ("mark", "]"):
            if tokens[here][0] not in VALUE and tokens[here][1] not in ("true", "false"):
                raise Wrong(tokens[here][2], "a list has constants only")
            here += 1
        if here == len(tokens):
            raise Wrong(at, "the [ is not closed")
        return Operand("list", " ".join(one[1] for one in tokens[start : here + 1])), here + 1
    if kind == "word" and text in ("true", "false"):
        return Operand("boolean", text), here + 1
    if kind in VALUE:
        return Operand(kind, text), here + 1
    if kind == "word":
        raise Wrong(at, f'{text!r}: a string stands in "quotes", a context value is ${text}')
    raise Wrong(at, "an operand is wanted here")


def _fits(operator: str, given: list[tuple[str, Any, int]], at: int) -> None:
    """Whether the operator takes these arguments."""
    for name, _, place in given:
        if name and operator not in NAMED:
            raise Wrong(place, f"{operator} takes no named operands: leave '{name}::' out")
    if operator in LOGICAL:
        least, most = LOGICAL[operator]
        if len(given) < least or (most and len(given) > most):
            raise Wrong(at, f"{operator} takes {'one expression' if most == 1 else 'at least two expressions'}")
        for _, value, place in given:
            if not isinstance(value, Call) and value.kind != "boolean":
                raise Wrong(place, f"{operator} takes expressions in ( )")
        return
    if operator in IN_ORDER:
        kinds = IN_ORDER[operator]
        if len(given) != len(kinds):
            raise Wrong(at, f"{operator} takes {len(kinds)} operands, not {len(given)}")
        for (_, value, place), fitting in zip(given, kinds, strict=True):
            _kind(operator, value, fitting, place)
        return
    takes = {name.rstrip("?"): kinds for name, kinds in NAMED[operator].items()}
    said: dict[str, Any] = {}
    for name, value, place in given:
        if name not in takes:
            raise Wrong(place, f"{operator} takes {', '.join(f'{one}::' for one in takes)}")
        if name in said:
            raise Wrong(place, f"{name}:: is there twice")
        said[name] = value
        _kind(f"{operator} {name}::", value, takes[name], place)
        if (operator, name) == ("split", "pct") and not 0 <= float(value.text) <= 100:
            raise Wrong(place, f"pct::{value.text} is no share of 100 %")
        if (operator, name) == ("matches", "pattern"):
            try:
                re.compile(value.text[1:-1].replace("\\\\", "\\"))
            except UNPARSED as error:
                raise Wrong(place, f"the pattern does not parse: {error}") from None
    for name in NAMED[operator]:
        if not name.endswith("?") and name not in said:
            raise Wrong(at, f"{operator} needs {name}::")


def _kind(says: str, value: Any, kinds: tuple[str, ...], at: int) -> None:
    kind = "expression" if isinstance(value, Call) else value.kind
    if kind not in kinds:
        raise Wrong(at, f"{says} takes {' or '.join(kinds)} here, not {kind}")


# ---- Shares


def splits(rule: Call) -> dict[tuple[str, str], tuple[float, bool]]:
    """What must be drawn for the rule to hold: (by, seed) -> share in percent, and whether that alone is enough."""
    if rule.operator == "split":
        said = {name: value for name, value in rule.arguments}
        seed = said["seed"].text if "seed" in said else ""
        return {(said["by"].text, seed): (float(said["pct"].text), True)}
    if rule.operator == "and":
        calls = [value for _, value in rule.arguments if isinstance(value, Call)]
        return {key: (share, False) for call in calls for key, (share, _) in splits(call).items()}
    return {}


def never(rules: list[tuple[str, Call]]) -> list[tuple[int, str]]:
    """The variants that nobody gets, by their numbers, and why.

    The first rule that holds decides, and splits by the same value and seed draw the same number: pct:: counts from 0,
    so a later variant gets only what its share has beyond the largest before it."""
    drawn: dict[tuple[str, str], tuple[float, str]] = {}
    found = []
    for number, (name, rule) in enumerate(rules):
        for key, (share, alone) in splits(rule).items():
            before, other = drawn.get(key, (0.0, ""))
            if 0 < share <= before:  # pct::0 is meant: a share that waits
                more = min(100.0, before + share)
                says = f"gets nobody: '{other}' before it takes the first {before:g} %, and pct:: counts from 0"
                better = f"; for {share:g} % more say pct::{more:g}, or another seed" if before + share <= 100 else ""
                over = "" if before + share <= 100 else f"; the shares add up to {before + share:g} %"
                found.append((number, says + better + over))
                break
            if alone:
                drawn[key] = (share, name)
    return found
