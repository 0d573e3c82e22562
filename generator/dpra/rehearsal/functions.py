"""Lambda functions run: the deployed package, by this machine's Python, Node.js or Java, in a process of its own."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from dpra.dataclasses import dataclass

from . import processes
from .act import tools

# What a Python runtime of Lambda brings along; everything else must be in the package.
RUNTIME_LIBRARIES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
RUNNERS = Path(__file__).parent / "runners"

COMPILING = Lock()


@dataclass(frozen=True)
class Runtime:
    """What runs a handler; {code} is the package's folder, {classes} the compiled Runner.java.

    A runner gets the event on standard input; the handler's result or error goes to the file that is its first
    argument, its prints to standard output.
    """

    name: str
    command: tuple[str, ...]


# By the letters of a function's runtime: python3.13, nodejs24.x, java21.
RUNTIMES = {
    "python": Runtime("Python", (sys.executable, "-E", "-s", "-S", "-P", "-B", f"{RUNNERS / 'runner.py'}")),
    "nodejs": Runtime("Node.js", ("node", f"{RUNNERS / 'runner.mjs'}")),
    "java": Runtime(
        "Java",
        tuple("java -XX:-UsePerfData -XX:TieredStopAtLevel=1 -cp {classes}:{code}:{code}/lib/* Runner".split()),
    ),
}


class Unavailable(Exception):
    """A function's runtime cannot be had here. `str()` says why."""


def command_of(runtime: str, code: Path) -> list[str]:
    """How a handler of this runtime is run.

    Raises:
        Unavailable: an unknown runtime, or its toolchain is missing.
    """
    found = RUNTIMES.get(re.sub(r"[^a-z].*", "", runtime))
    if found is None:
        known = ", ".join(each.name for each in RUNTIMES.values())
        raise Unavailable(f"the rehearsal runs functions of {known}, not {runtime}")
    tool, *options = found.command
    if found.name == "Java":
        with COMPILING:
            classes = compiled().name
        options = [option.replace("{classes}", classes).replace("{code}", str(code)) for option in options]
    return [which(tool, found.name), *options]


def which(tool: str, name: str) -> str:
    if path := shutil.which(tool, path=tools()):
        return path
    raise Unavailable(f"{tool} is not installed: the rehearsal runs {name} functions with the {name} of this machine")


@cache
def compiled() -> tempfile.TemporaryDirectory[str]:
    """Runner.java's classes, as long as this process lives: to start it from its source takes a second, each time."""
    folder = tempfile.TemporaryDirectory(prefix="dpra-runner-")
    javac = [which("javac", "Java"), "-d", folder.name, str(RUNNERS / "Runner.java")]
    subprocess.run(javac, check=True, capture_output=True)
    return folder


def invoke(function: Any, event: Any, environment: Mapping[str, str]) -> tuple[Any, bool, str]:
    """Run a function of moto's: its answer, whether it is an error, and what it printed."""
    if not getattr(function, "code_bytes", b""):
        return {"errorMessage": "the function has no code: its package is not in the bucket"}, True, ""
    timeout, runtime = float(function.timeout), str(function.run_time)
    with tempfile.TemporaryDirectory(prefix="dpra-function-") as folder:
        code, libraries, out = Path(folder, "code"), Path(folder, "libraries"), Path(folder, "out.json")
        try:
            command = command_of(runtime, code)
        except Unavailable as error:
            return {"errorMessage": str(error)}, True, ""
        zipfile.ZipFile(io.BytesIO(function.code_bytes)).extractall(code)
        link_libraries(libraries)
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", **environment, **function.environment_vars}
        environment |= {
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
            "LAMBDA_TASK_ROOT": str(code),
            "_HANDLER": function.handler,
        }
        deadline = str(int((time.time() + timeout) * 1000))
        command += [str(out), str(libraries), deadline]
        about = {"env": environment, "cwd": code, "stderr": subprocess.STDOUT}
        _, printed, _, in_time = processes.run(command, json.dumps(event).encode(), timeout, **about)
        log = printed.decode(errors="replace")
        if not in_time:
            message = f"Task timed out after {timeout:.2f} seconds"
            return {"errorMessage": message, "errorType": "Sandbox.Timedout"}, True, log
        if not out.exists():
            return {"errorMessage": "Runtime exited", "errorType": "Runtime.ExitError"}, True, log
        try:
            document = json.loads(out.read_bytes())
        except ValueError:  # a handler of streams may write anything
            return {"errorMessage": "the handler's answer is not JSON"}, True, log
    return document.get("result", document.get("error")), "error" in document, log


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
