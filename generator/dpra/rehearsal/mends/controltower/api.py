"""AWS Control Tower's protocol: botocore's model of `controltower` reads, checks and answers a request."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from .. import protocol
from ..protocol import Answer, Operation, Problem, beyond, serving, written

MODELS = ("controltower",)
OPERATIONS: dict[str, Operation] = {}
serves = serving(OPERATIONS)
route = partial(protocol.route, services=MODELS)
read = partial(protocol.read, services=MODELS)
STATUS = {"ResourceNotFoundException": 404, "NotImplemented": 501}  # of all others 400


def answer(store: Any, environ: Mapping[str, Any]) -> Answer:
    from botocore.validate import ParamValidator

    try:
        request = read(environ)
        name = request.operation.name if request else environ["PATH_INFO"]
        if request is None or name not in OPERATIONS:
            raise Problem("NotImplemented", f"the rehearsal's Control Tower has no {name}")
        shape, asked = request.operation.input_shape, request.asked
        wrong = [ParamValidator().validate(asked, shape).generate_report(), *beyond(asked, shape, "")]
        if reasons := [reason for reason in wrong if reason]:
            raise Problem("ValidationException", "; ".join(reasons))
        return written(request.operation, OPERATIONS[name](store, asked) or {})
    except Problem as problem:
        headers = {"Content-Type": "application/json", "X-Amzn-ErrorType": problem.code}
        document = {"__type": problem.code, "message": problem.message}
        return STATUS.get(problem.code, 400), headers, json.dumps(document).encode()
