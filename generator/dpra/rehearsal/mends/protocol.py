"""A service's protocol in the rehearsal's AWS, by botocore's model of it: how a request is read and answered, and the
rehearsal's clock.

What a service is asked stands in the folder of its name."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol
from urllib.parse import parse_qs

from dpra.dataclasses import dataclass

Asked = Mapping[str, Any]  # an operation's parameters, named and typed as in the model
Said = dict[str, Any]  # its answer, as in the model
Operation = Callable[[Any, Asked], Said | None]  # with the account's store
Answer = tuple[int, Mapping[str, str], bytes]  # status, headers, body
NUMBERS = {"integer": int, "float": float}


class Problem(Exception):
    """An error of the model: its name, what it says, and its further members."""

    def __init__(self, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.more = code, message, more


class Front(Protocol):
    """What is needed here of the rehearsal's AWS: its clock, its lock, its functions."""

    ahead: float
    lock: Any

    def run(self, account: str, region: str, name: str, event: Any, qualifier: str | None) -> tuple[Any, bool, str]: ...


FRONT: dict[str, Front] = {}  # "cloud": set by the front itself


def now() -> float:
    """Seconds since 1970 by the rehearsal's clock."""
    return time.time() + (FRONT["cloud"].ahead if FRONT else 0.0)


def pass_until(moment: float) -> None:
    """Let the rehearsal's clock go on to a moment, surely; what has passed stays passed."""
    FRONT["cloud"].ahead = max(FRONT["cloud"].ahead, moment - time.time() + 0.001)


def at(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def serving(operations: dict[str, Operation]) -> Callable[[Operation], Operation]:
    """A decorator: the function does the operation of its name."""

    def serves(function: Operation) -> Operation:
        operations[function.__name__.title().replace("_", "")] = function
        return function

    return serves


# ---- Requests


@dataclass(frozen=True)
class Request:
    operation: Any  # botocore's
    asked: Asked


@cache
def service(name: str) -> Any:
    """botocore's model of a service."""
    import botocore.session

    return botocore.session.Session().get_service_model(name)


@cache
def models(services: tuple[str, ...]) -> Mapping[str, Any]:
    """botocore's models of all operations of some services."""
    return {name: one.operation_model(name) for one in map(service, services) for name in one.operation_names}


@cache
def routes(services: tuple[str, ...]) -> tuple[tuple[str, re.Pattern[str], Any], ...]:
    """Method, path and operation, the most specific path first."""
    found = []
    for operation in models(services).values():
        path = operation.http["requestUri"].partition("?")[0]
        parts = re.split(r"\{(\w+)\}", path)  # every second one is a parameter
        # An ARN has slashes, which the server has decoded.
        pattern = "".join(
            f"(?P<{part}>{'.+' if part.lower() == 'resourcearn' else '[^/]+'})" if number % 2 else re.escape(part)
            for number, part in enumerate(parts)
        )
        found.append((operation.http["method"], re.compile(pattern), operation))
    return tuple(sorted(found, key=lambda route: -len(route[1].pattern)))


def route(environ: Mapping[str, Any], services: tuple[str, ...]) -> tuple[re.Match[str], Any] | None:
    """The path's parameters and the operation; None where the services have no such path."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    hits = ((pattern.fullmatch(path), operation) for way, pattern, operation in routes(services) if way == method)
    return next(((match, operation) for match, operation in hits if match), None)


def read(environ: Mapping[str, Any], services: tuple[str, ...]) -> Request | None:
    """The request of a WSGI environ, whose body is in `dpra.body`; None where the services have no such path.

    Raises:
        Problem: the body is no JSON object, or a number is none."""
    if (found := route(environ, services)) is None:
        return None
    match, operation = found
    shape, body = operation.input_shape, environ.get("dpra.body", b"")
    asked: Said = {}
    if shape is None:
        return Request(operation, {})
    query, payload = parse_qs(environ.get("QUERY_STRING", "")), shape.serialization.get("payload")
    document = parsed(body) if body and not payload else {}
    for name, member in shape.members.items():
        where, wire = member.serialization.get("location"), member.serialization.get("name", name)
        if where == "uri":
            value = match[wire]
        elif where == "header":
            header = wire.upper().replace("-", "_")
            value = environ.get("CONTENT_TYPE" if header == "CONTENT_TYPE" else f"HTTP_{header}")
        elif where == "querystring":
            values = query.get(wire)
            value = values if member.type_name == "list" else values[0] if values else None
        else:
            value = body if name == payload else document.get(wire)
        if value is not None:
            asked[name] = typed(name, member, value) if where else value
    return Request(operation, asked)


def parsed(body: bytes) -> Said:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Problem("BadRequestException", "the request's body is no JSON object")
    return document


def typed(name: str, shape: Any, value: Any) -> Any:
    """A value that came as text."""
    try:
        if shape.type_name == "boolean":
            return {"true": True, "false": False}[value]
        return NUMBERS.get(shape.type_name, lambda text: text)(value)
    except (KeyError, ValueError):
        raise Problem("BadRequestException", f"{name} is {value}, which is no {shape.type_name}") from None


def beyond(value: Any, shape: Any, where: str) -> Iterator[str]:
    """What botocore leaves to the service: enums, patterns, and the most that there may be."""
    match shape.type_name:
        case "structure" if isinstance(value, Mapping):
            for name, member in shape.members.items():
                if name in value:
                    yield from beyond(value[name], member, f"{where}.{name}".lstrip("."))
        case "list" | "map" if isinstance(value, list | Mapping):
            if len(value) > shape.metadata.get("max", len(value)):
                yield f"{where} has {len(value)} members: at most {shape.metadata['max']}"
            for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
                if shape.type_name == "map":
                    yield from beyond(key, shape.key, f"{where} (key)")
                yield from beyond(item, shape.value if shape.type_name == "map" else shape.member, f"{where}[{key}]")
        case "string" if isinstance(value, str):
            if len(value) > shape.metadata.get("max", len(value)):
                yield f"{where} has {len(value)} characters: at most {shape.metadata['max']}"
            if shape.enum and value not in shape.enum:
                yield f"{where} is {value}: must be one of {', '.join(shape.enum)}"
            if (pattern := shape.metadata.get("pattern")) and not re.fullmatch(pattern, value):
                yield f"{where} is {value}: must satisfy {pattern}"
        case "integer" | "float" if isinstance(value, int | float):
            if value > shape.metadata.get("max", value):
                yield f"{where} is {value}: at most {shape.metadata['max']}"


# ---- Answers


def written(operation: Any, said: Said) -> Answer:
    shape, status = operation.output_shape, operation.http.get("responseCode", 200)
    if shape is None:
        return status, {}, b""
    payload = shape.serialization.get("payload")
    headers, document = {"Content-Type": "application/json"}, {}
    for name, member in shape.members.items():
        if said.get(name) is None or name == payload:
            continue
        if member.serialization.get("location") == "header":
            headers[member.serialization["name"]] = str(said[name])
        else:
            document[name] = said[name]
    return status, headers, (said.get(payload) or b"") if payload else json.dumps(document).encode()
