"""Lambda functions run: the deployed package, by a Python of this machine, in a process of its own."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# What a Python runtime of Lambda brings along; everything else must be in the package.
RUNTIME_LIBRARIES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")

RUNNING: set[int] = set()  # process groups

# Runs in the new process: the handler's result or error goes to the file named last, its prints to standard output.
RUNNER = """
import importlib, json, sys, traceback
code, libraries, handler, function, out = sys.argv[1:]
sys.path[:0] = [code]
sys.path.append(libraries)
class Context:
    function_name = function
    function_version = "$LATEST"
    invoked_function_arn = aws_request_id = log_group_name = log_stream_name = function
    memory_limit_in_mb = 128
    def get_remaining_time_in_millis(self):
        return 3000
try:
    module, _, name = handler.rpartition(".")
    answer = getattr(importlib.import_module(module.replace("/", ".")), name)(json.load(sys.stdin), Context())
    document = {"result": json.loads(json.dumps(answer))}
except BaseException as error:
    trace = traceback.format_exc().splitlines()
    document = {"error": {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": trace}}
with open(out, "w") as file:
    json.dump(document, file)
"""


def invoke(function: Any, event: Any, environment: Mapping[str, str]) -> tuple[Any, bool, str]:
    """Run a function of moto's: its answer, whether it is an error, and what it printed."""
    if not str(function.run_time).startswith("python"):
        return {"errorMessage": f"the rehearsal runs Python functions, not {function.run_time}"}, True, ""
    if not getattr(function, "code_bytes", b""):
        return {"errorMessage": "the function has no code: its package is not in the bucket"}, True, ""
    timeout = float(function.timeout)
    with tempfile.TemporaryDirectory(prefix="dpra-function-") as folder:
        code, libraries, out = Path(folder, "code"), Path(folder, "libraries"), Path(folder, "out.json")
        zipfile.ZipFile(io.BytesIO(function.code_bytes)).extractall(code)
        link_libraries(libraries)
        command = [sys.executable, "-E", "-s", "-S", "-B", "-c", RUNNER]
        command += [str(code), str(libraries), function.handler, function.function_name, str(out)]
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", **environment, **function.environment_vars}
        log, in_time = run(command, json.dumps(event), environment, code, timeout)
        if not in_time:
            message = f"Task timed out after {timeout:.2f} seconds"
            return {"errorMessage": message, "errorType": "Sandbox.Timedout"}, True, log
        if not out.exists():
            return {"errorMessage": "Runtime exited", "errorType": "Runtime.ExitError"}, True, log
        document = json.loads(out.read_text())
    return document.get("result", document.get("error")), "error" in document, log


def run(command: list[str], event: str, environment: Mapping[str, str], folder: Path, limit: float) -> tuple[str, bool]:
    """What the process printed, and whether it ended by itself in time."""
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    RUNNING.add(process.pid)
    try:
        return process.communicate(event, timeout=limit)[0], True
    except subprocess.TimeoutExpired:
        kill(process.pid)
        return process.communicate()[0], False
    finally:
        kill(process.pid)
        RUNNING.discard(process.pid)


def kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def stop() -> None:
    """End the functions that still run."""
    for group in list(RUNNING):
        kill(group)


def link_libraries(folder: Path) -> None:
    folder.mkdir()
    for name in RUNTIME_LIBRARIES:
        spec = find_spec(name)
        if spec is not None and spec.origin:
            origin = Path(spec.origin)
            source = origin.parent if origin.name == "__init__.py" else origin
            (folder / source.name).symlink_to(source)


def http_event(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """A request as API Gateway and function URLs hand it to a function: payload format 2.0.

    Text arrives as text, anything else in base64.
    """
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "").partition(";")[0]
    text = kind.startswith("text/") or kind in ("application/json", "application/javascript", "application/xml")
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "path": path}, "stage": "$default"},
        "body": (body.decode() if text else base64.b64encode(body).decode()) if body else None,
        "isBase64Encoded": bool(body) and not text,
    }


def http_answer(answer: Any) -> tuple[int, dict[str, str], bytes]:
    """A function's answer as a response: status, headers, body."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()
    body = answer.get("body") or ""
    data = base64.b64decode(body) if answer.get("isBase64Encoded") else str(body).encode()
    headers = {"Content-Type": "text/plain"} | {str(k): str(v) for k, v in (answer.get("headers") or {}).items()}
    return int(answer["statusCode"]), headers, data
