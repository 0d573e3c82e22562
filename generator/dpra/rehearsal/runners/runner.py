"""Runs a handler once, as Lambda's Python runtimes do: runner.py OUT LIBRARIES DEADLINE; event on standard input."""

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any

out, libraries, deadline = sys.argv[1:]
handler, name = os.environ["_HANDLER"], os.environ["AWS_LAMBDA_FUNCTION_NAME"]
sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
sys.path.append(libraries)


class Context:
    function_name = invoked_function_arn = aws_request_id = log_group_name = log_stream_name = name
    function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
    memory_limit_in_mb = 128

    def get_remaining_time_in_millis(self) -> int:
        return int(deadline) - int(time.time() * 1000)


document: dict[str, Any]
try:
    module, _, function = handler.rpartition(".")
    answer = getattr(importlib.import_module(module.replace("/", ".")), function)(json.load(sys.stdin), Context())
    document = {"result": json.loads(json.dumps(answer))}
except BaseException as error:
    trace = traceback.format_exc().splitlines()
    document = {"error": {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": trace}}
with open(out, "w") as file:
    json.dump(document, file)
