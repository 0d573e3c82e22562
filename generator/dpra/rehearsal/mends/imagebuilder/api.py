"""EC2 Image Builder's protocol: botocore's model of `imagebuilder` reads, checks and answers a request.

What the operations do stands in the neighbours. The front asks here in moto's place."""

import json
import uuid
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

from .. import protocol
from ..protocol import Answer, Asked, Operation, Problem, Said, at, beyond, now, serving, written

MODELS = ("imagebuilder",)
OPERATIONS: dict[str, Operation] = {}
serves = serving(OPERATIONS)
models = partial(protocol.models, MODELS)
route = partial(protocol.route, services=MODELS)
read = partial(protocol.read, services=MODELS)


def invalid(parameter: str, why: str) -> Problem:
    """As Image Builder words it. Source: https://github.com/boto/boto3/issues/2224"""
    return Problem(
        "InvalidParameterValueException", f"The value supplied for parameter '{parameter}' is not valid. {why}"
    )


def stamp() -> str:
    """Now, as the model's texts of time have it."""
    return at(now())


def check(operation: Any, asked: Asked) -> None:
    """Refuse what the model refuses.

    Raises:
        Problem: it says which parameters."""
    from botocore.validate import ParamValidator

    if report := ParamValidator().validate(asked, operation.input_shape).generate_report():
        raise Problem("InvalidParameterException", report)
    for why in (*beyond(asked, operation.input_shape, ""), *below(asked, operation.input_shape, "")):
        raise invalid(why.split()[0], why)


def below(value: Any, shape: Any, where: str) -> Iterator[str]:
    """What botocore leaves to the service: an empty list or mapping where something must be in it."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if name in value:
                yield from below(value[name], member, f"{where}.{name}".lstrip("."))
    elif shape.type_name in ("list", "map"):
        if len(value) < shape.metadata.get("min", 0):
            yield f"{where} has {len(value)} members: at least {shape.metadata['min']}"
        for number, item in enumerate(value if shape.type_name == "list" else ()):
            yield from below(item, shape.member, f"{where}[{number}]")


# ---- Answers


@cache
def status(code: str) -> int:
    """Of an error of the model; `NotImplemented` is the rehearsal's own."""
    shapes = {shape.name: shape for shape in protocol.service(*MODELS).error_shapes}
    return int(shapes[code].metadata["error"]["httpStatusCode"]) if code in shapes else 501


def answer(store: Any, environ: Mapping[str, Any]) -> Answer:
    try:
        request = read(environ)
        name = request.operation.name if request else environ["PATH_INFO"]
        if request is None or name not in OPERATIONS:
            raise Problem("NotImplemented", f"the rehearsal's Image Builder has no {name}")
        check(request.operation, request.asked)
        return written(request.operation, once(store, name, request.asked))
    except Problem as problem:
        code = {"BadRequestException": "InvalidRequestException"}.get(problem.code, problem.code)
        headers = {"Content-Type": "application/json", "X-Amzn-ErrorType": code}
        document = {"__type": code, "message": problem.message, **problem.more}
        return status(code), headers, json.dumps(document).encode()


def once(store: Any, name: str, asked: Asked) -> Said:
    """What an operation says; of one that has been asked for with the same token, what it said then."""
    token = (name, str(asked.get("clientToken", "")))
    if token in store.answered:
        before, said = store.answered[token]
        if before != asked:
            raise Problem(
                "IdempotentParameterMismatchException",
                f"clientToken {token[1]} has been used with other parameters in {name}",
            )
        return dict(said)
    said = {"requestId": str(uuid.uuid4()), **(OPERATIONS[name](store, asked) or {})}
    if token[1]:
        said["clientToken"] = token[1]
        store.answered[token] = (dict(asked), said)
    return said
