"""The AWS CLI, imported once: each call of a rehearsal is a fork of one process, since its start takes long.

It is the real CLI, with the caller's words, environment, folder and streams. Run as a program, this is that process.
"""

import contextlib
import gc
import importlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USED = {  # in every deployment: a service, and an operation of it
    "appconfig": "list-applications",
    "cloudformation": "describe-stacks",
    "cloudwatch": "describe-alarms",
    "kms": "verify",
    "s3api": "list-buckets",
    "sts": "get-caller-identity",
}
FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
# What stands first in the jobs' PATH: it hands its words and streams over, and waits for the exit code.
# Only what is built into the interpreter: a call is as short as its start.
CALLER = """#!{python} -ISB
import _socket, posix, sys
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect({address!r})
words = [word.encode(errors="surrogateescape") for word in sys.argv[1:]]
variables = [name + b"=" + value for name, value in posix.environ.items()]
said = b"\\0".join([str(len(words)).encode(), *words, posix.getcwdb(), *variables])
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)]
server.sendmsg([len(said).to_bytes(4, "big")], rights)
server.sendall(said)
answer = server.recv(1)
posix._exit(answer[0] if answer else 255)
"""


@contextmanager
def started(folder: Path) -> Iterator[None]:
    """Put an `aws` into the folder that is answered by one process; without the CLI for Python, do nothing."""
    if importlib.util.find_spec("awscli") is None:
        yield
        return
    # Not in the rehearsal's own folder: a socket's path has 104 bytes at most, and TMPDIR may be deep.
    private = tempfile.mkdtemp(prefix="dpra-", dir="/tmp")
    address = f"{private}/aws"
    caller = folder / "aws"
    caller.write_text(CALLER.format(python=sys.executable, address=address), encoding="utf-8")
    caller.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        server = subprocess.Popen(
            [sys.executable, "-P", "-B", __file__, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        shutil.rmtree(private, ignore_errors=True)


def serve(listener: socket.socket) -> None:
    """Answer calls until killed, or until the rehearsal is there no more."""
    os.environ |= {name: os.devnull for name in FILES}  # of the jobs, not of the user
    from awscli import clidriver

    remember(importlib.import_module("botocore.loaders"))
    driver = clidriver.create_clidriver()
    for service, operation in USED.items():
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            driver.main([service, operation, "--generate-cli-skeleton"])
        keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
        driver.session.create_client(service.removesuffix("api"), region_name="us-east-1", **keys)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a call but its caller
    gc.freeze()  # or each call's collector would copy all of it
    listener.settimeout(5)
    rehearsal = os.getppid()
    while os.getppid() == rehearsal:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        connection.setblocking(True)
        if os.fork() == 0:
            listener.close()
            answer(connection, driver)
        connection.close()


def remember(loaders: Any) -> None:
    """Let all calls share what the first ones read of the services' models: to parse them is half of a call."""
    shared: dict[Any, Any] = {}
    start = loaders.Loader.__init__

    def sharing(self: Any, *arguments: Any, **options: Any) -> None:
        start(self, *arguments, **options)
        self._cache = shared

    loaders.Loader.__init__ = sharing


def answer(connection: socket.socket, driver: Any) -> None:
    """One call, in a process of its own. A job that has configuration files gets a CLI that reads them."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    gc.disable()  # it ends before there is much to collect
    code = 255
    try:
        size, streams, _, _ = socket.recv_fds(connection, 4, 3)
        text = b""
        while len(text) < int.from_bytes(size, "big"):
            text += connection.recv(1 << 20)
        length, *said = text.decode(errors="surrogateescape").split("\0")
        words, folder = said[: int(length)], said[int(length)]
        environment = dict(variable.split("=", 1) for variable in said[int(length) + 1 :])
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(folder)
        data = {"AWS_DATA_PATH": os.environ.get("AWS_DATA_PATH", "")}  # awscli sets it when it is imported
        os.environ.clear()
        os.environ.update(data | environment)
        sys.argv = ["aws", *words]
        configured = {"AWS_PROFILE", "AWS_DEFAULT_PROFILE", *FILES} & set(environment)
        if configured or Path(environment.get("HOME", "/"), ".aws").exists():
            from awscli.clidriver import main

            code = main()
        else:
            code = driver.main(words)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()  # as the interpreter would, had it not been forked
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            connection.sendall(bytes([code & 255]))
        os._exit(code & 255)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
