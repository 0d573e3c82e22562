"""What IAM's patterns and condition operators mean: each is read once, and asked of as many requests as there are.

An answer has three values: True, False, and None where it is not known: a variable without a value, and what the caller
says of itself that it does not know (`Known`). A statement that allows needs True; one that denies is kept out by False
alone.

Sources, all at https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_: variables.html,
elements_condition_operators.html, condition-logic-multiple-context-keys-or-values.html (several values),
condition-single-vs-multi-valued-context-keys.html (`ForAllValues`, `ForAnyValue`), elements_resource.html (wildcards).
"""

import base64
import datetime
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple

Values = Mapping[
    str, tuple[str, ...]
]  # a request's condition keys in lower case -> their values; of none there is no key
Test = Callable[[str], bool]  # of one value of the request


class Malformed(ValueError):
    """AWS takes no such policy."""


@dataclass(frozen=True)
class Known:
    """What the caller knows of its requests, where it does not know everything. Keys are in lower case."""

    keys: frozenset[str]  # those that a request has here where it has them on AWS: of any other one it is not known
    operators: frozenset[str]  # without ForAllValues: and IfExists
    # Service -> how the keys begin that its requests have here whenever they have them on AWS.
    whole: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def many(value: Any) -> list[Any]:
    """One value or several; none for None."""
    return value if isinstance(value, list) else [] if value is None else [value]


def text(value: Any) -> str:
    """A value as JSON may say it: a policy may leave out the quotation marks of numbers and of booleans."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def values(context: Mapping[str, Any]) -> Values:
    """A request's condition keys, whose case does not matter, each with one value or several."""
    found = ((key.lower(), tuple(map(text, _several(said)))) for key, said in context.items())
    return {key: said for key, said in found if said}


def _several(said: Any) -> Iterable[Any]:
    return said if isinstance(said, list | tuple | set | frozenset) else many(said)


# ---- Patterns


class Wild(NamedTuple):
    many: bool  # `*`, and not `?`


class Variable(NamedTuple):
    key: str  # in lower case
    default: str | None


Flat = tuple[str | Wild, ...]  # text is a str: a `*` in it is a `*`
Parts = tuple[str | Wild | Variable, ...]
WILD, SPECIAL = re.compile(r"()[*?]"), re.compile(r"\$\{([^{}]*)\}|[*?]")
SAID = re.compile(r"([^,']+?)(?:\s*,\s*'([^']*)')?")


def parts(pattern: str, variables: bool = False) -> Parts:
    """A pattern, taken to pieces.

    Raises:
        Malformed: a variable that is none."""
    found, at = list[str | Wild | Variable](), 0
    for hit in (SPECIAL if variables else WILD).finditer(pattern):
        found.append(pattern[at : hit.start()])
        at = hit.end()
        if hit[0] in ("*", "?"):
            found.append(Wild(hit[0] == "*"))
        elif hit[1] in ("*", "?", "$"):
            found.append(hit[1])
        elif said := SAID.fullmatch(hit[1].strip()):
            found.append(Variable(said[1].strip().lower(), said[2]))
        else:
            raise Malformed(f"{hit[0]} is no variable")
    found.append(pattern[at:])
    if variables and any("${" in part for part in found if isinstance(part, str)):
        raise Malformed(f"{pattern} has a variable without its end")
    return tuple(part for part in found if part != "")


def filled(pattern: Parts, context: Values) -> Flat | None:
    """A pattern with the request's values for its variables; None where one has no value, or several."""
    found = list[str | Wild]()
    for part in pattern:
        if isinstance(part, Variable):
            said = context.get(part.key, ())
            if len(said) > 1 or not (said or part.default is not None):
                return None
            found.append(said[0] if said else str(part.default))
        else:
            found.append(part)
    return tuple(found)


def plain(pattern: Flat) -> str:
    """A pattern as text, of which a `*` is a `*`."""
    return "".join(part if isinstance(part, str) else "*" if part.many else "?" for part in pattern)


@lru_cache(maxsize=65_536)
def compiled(pattern: Flat, form: str = "text") -> re.Pattern[str]:
    """A pattern that `fullmatch` compares in a time that grows with pattern and text, not with their wildcards.

    Args:
        form: `text`, where a wildcard stands for anything; `arn`, where it ends with its segment, of which the sixth is
            all the rest; or `resource`, where a `*` that ends a segment may run on.
    """
    done, colons = [""], 0  # what stands between wildcards of several characters
    stars = list[str]()
    for place, part in enumerate(pattern):
        inside = form != "text" and colons < 5
        if isinstance(part, str):
            colons += part.count(":")
            done[-1] += re.escape(part)
        elif not part.many:
            done[-1] += "[^:]" if inside else "."
        else:
            then = pattern[place + 1] if place + 1 < len(pattern) else None
            ends = then is None or (form == "resource" and isinstance(then, str) and then.startswith(":"))
            stars.append("[^:]*?" if inside and not ends else ".*?")
            done.append("")
    # Where the next wildcard takes what is in between, the first place that fits is as good as each later one.
    found = done[0]
    for star, fixed, then in zip(stars, done[1:], [*stars, ""][1:], strict=True):
        first = then == ".*?" or (then and star != ".*?")
        found += f"(?>{star}{fixed})" if first else f"{star}{fixed}"
    return re.compile(found, re.DOTALL)


def glob(pattern: str) -> Test:
    """`*` for anything, `?` for one character, anywhere."""
    return _like(filled(parts(pattern), {}) or ())


def like(pattern: str, value: str) -> bool:
    return glob(pattern)(value)


# ---- Operators: what a policy says -> the test of a request's value; ValueError for what is no such value


def _equals(pattern: Flat) -> Test:
    wanted = plain(pattern)
    return lambda value: value == wanted


def _ignoring_case(pattern: Flat) -> Test:
    wanted = plain(pattern).lower()
    return lambda value: value.lower() == wanted


def _like(pattern: Flat) -> Test:
    matches = compiled(pattern).fullmatch
    return lambda value: matches(value) is not None


def _arn_like(pattern: Flat) -> Test:
    matches = compiled(pattern, "arn").fullmatch
    return lambda value: matches(value) is not None


def _bool(pattern: Flat) -> Test:
    wanted = plain(pattern).lower()
    if wanted not in ("true", "false"):
        raise ValueError
    return lambda value: value.lower() == wanted


def _binary(pattern: Flat) -> Test:
    """A request's value is written as the policy's is."""
    wanted = base64.b64decode(plain(pattern), validate=True)
    return lambda value: base64.b64decode(value, validate=True) == wanted


def _address(pattern: Flat) -> Test:
    wanted = ipaddress.ip_network(plain(pattern), strict=False)
    return lambda value: ipaddress.ip_address(value) in wanted


def _number(said: str) -> Decimal:
    try:
        found = Decimal(said.strip())
    except InvalidOperation:
        raise ValueError from None
    if not found.is_finite():
        raise ValueError
    return found


def _moment(said: str) -> datetime.datetime:
    """A date as W3C's note on ISO 8601 has it, or seconds since 1970.

    Source: https://www.w3.org/TR/NOTE-datetime"""
    if re.fullmatch(r"\d{4}(-\d\d)?", said):
        said = f"{said}-01" if len(said) == 7 else f"{said}-01-01"
    elif re.fullmatch(r"-?\d+(\.\d+)?", said):
        return datetime.datetime.fromtimestamp(float(said), datetime.UTC)
    found = datetime.datetime.fromisoformat(said)
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _ordered(read: Callable[[str], Any], holds: Callable[[Any, Any], bool]) -> Callable[[Flat], Test]:
    def made(pattern: Flat) -> Test:
        wanted = read(plain(pattern))
        return lambda value: holds(read(value), wanted)

    return made


ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda value, wanted: value == wanted,
    "LessThan": lambda value, wanted: value < wanted,
    "LessThanEquals": lambda value, wanted: value <= wanted,
    "GreaterThan": lambda value, wanted: value > wanted,
    "GreaterThanEquals": lambda value, wanted: value >= wanted,
}
OPERATORS: dict[str, Callable[[Flat], Test]] = {
    "StringEquals": _equals,
    "StringEqualsIgnoreCase": _ignoring_case,
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _bool,
    "BinaryEquals": _binary,
    "IpAddress": _address,
    "Null": _bool,
    **{f"Numeric{name}": _ordered(_number, holds) for name, holds in ORDER.items()},
    **{f"Date{name}": _ordered(_moment, holds) for name, holds in ORDER.items()},
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
}
WITH_VARIABLES = ("String", "Arn", "Bool")
SETS = ("ForAllValues:", "ForAnyValue:")


WRONG = (ValueError, TypeError, OverflowError, OSError)  # what is said of a value of another kind


def _tried(test: Test, value: str) -> bool:
    """A request's value that is no number, date or address is equal to none, and neither above nor below one."""
    try:
        return test(value)
    except WRONG:
        return False


def either(found: Iterable[bool | None]) -> bool | None:
    """Is one of them true? None where that depends on one that is not known."""
    unknown = False
    for one in found:
        if one:
            return True
        unknown = unknown or one is None
    return None if unknown else False


def no(found: bool | None) -> bool | None:
    return None if found is None else not found


class Condition:
    """One operator with one key of a statement.

    Raises:
        Malformed: an operator that is none, or a value that it does not take."""

    def __init__(
        self, operator: str, key: str, wanted: Any, *, variables: bool = True, known: Known | None = None
    ) -> None:
        self.said, self.key = operator, key.lower()
        self.set = next((one for one in SETS if operator.startswith(one)), "")
        name = operator.removeprefix(self.set)
        self.optional = name.endswith("IfExists")
        name = name.removesuffix("IfExists")
        self.name = NEGATED.get(name, name)
        self.negated = name in NEGATED
        if self.name not in OPERATORS or (self.name == "Null" and (self.optional or self.set)):
            raise Malformed(f"{operator} is no condition operator")
        if not (said := [text(value) for value in many(wanted)]):
            raise Malformed(f"{operator} of {key} has no value")
        self.known = known
        self.understood = known is None or (name in known.operators and not any("${" in one for one in said))
        self.tests = list[Test]()
        self.open = list[Parts]()  # with variables that only a request can fill
        for one in said:
            pattern = parts(one, variables)
            if (whole := filled(pattern, {})) is not None and not any(isinstance(part, Variable) for part in pattern):
                self.tests.append(self.made(whole))
            elif name.removeprefix("Not").startswith(WITH_VARIABLES):
                self.open.append(pattern)
            else:
                raise Malformed(f"{operator} takes no variable: {one}")
        if self.name == "Null":
            self.absent = [one.lower() == "true" for one in said]

    def made(self, pattern: Flat) -> Test:
        try:
            return OPERATORS[self.name](pattern)
        except WRONG:
            raise Malformed(f"{self.said} takes no {plain(pattern)}") from None

    def met(self, context: Values, service: str = "") -> bool | None:
        """Does a request meet it?

        Args:
            service: the request's, in lower case."""
        found, known = context.get(self.key), self.known
        if known and found is None:
            if self.optional:
                return True if self.key.startswith(known.whole.get(service, ())) else None
            if self.key not in known.keys:
                return None
        if not self.understood:
            return None
        if self.name == "Null":
            return (found is None) in self.absent
        if found is None:  # all of none are, and one of none is not, whatever is asked of it
            return self.optional or (self.set == SETS[0] if self.set else self.negated)
        tests, unknown = self.tests, False
        if self.open:
            tests = [*tests]
            for pattern in self.open:
                if (whole := filled(pattern, context)) is None:
                    unknown = True
                else:
                    with suppress(Malformed):  # a value that no request can equal
                        tests.append(self.made(whole))
        hits = [any(_tried(test, value) for test in tests) or (None if unknown else False) for value in found]
        if not self.set:
            return no(either(hits)) if self.negated else either(hits)
        met = [no(hit) if self.negated else hit for hit in hits]
        return no(either(map(no, met))) if self.set == SETS[0] else either(met)
