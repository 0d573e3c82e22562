"""AWS AppConfig's protocol: botocore's model of `appconfig` and `appconfigdata` reads, checks and answers a request.

What the operations do stands in `appconfig.py` and its neighbours. The front asks here in moto's place, which has
applications, profiles and hosted versions only."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from .. import protocol
from ..protocol import Answer, Asked, Operation, Problem, beyond, serving, written

MODELS = ("appconfig", "appconfigdata")  # requests of both are signed for appconfig
OPERATIONS: dict[str, Operation] = {}
serves = serving(OPERATIONS)
models = partial(protocol.models, MODELS)
route = partial(protocol.route, services=MODELS)
read = partial(protocol.read, services=MODELS)


def check(operation: Any, asked: Asked) -> None:
    """Refuse what the model refuses.

    Raises:
        Problem: it says which parameters."""
    from botocore.validate import ParamValidator

    if (shape := operation.input_shape) is None:
        return
    wrong = [ParamValidator().validate(asked, shape).generate_report(), *beyond(asked, shape, "")]
    if reasons := [reason for reason in wrong if reason]:
        raise Problem("BadRequestException", f"{len(reasons)} validation errors detected: {'; '.join(reasons)}")


# ---- Answers

# Of the errors of both models.
STATUS = {
    "BadRequestException": 400,
    "ConflictException": 409,
    "NotImplemented": 501,
    "PayloadTooLargeException": 413,
    "ResourceNotFoundException": 404,
}


def answer(store: Any, environ: Mapping[str, Any]) -> Answer:
    try:
        request = read(environ)
        name = request.operation.name if request else environ["PATH_INFO"]
        if request is None or name not in OPERATIONS:
            raise Problem("NotImplemented", f"the rehearsal's AppConfig has no {name}")
        check(request.operation, request.asked)
        return written(request.operation, OPERATIONS[name](store, request.asked) or {})
    except Problem as problem:
        headers = {"Content-Type": "application/json", "X-Amzn-ErrorType": problem.code}
        document = {"__type": problem.code, "Message": problem.message, **problem.more}
        return STATUS[problem.code], headers, json.dumps(document).encode()
