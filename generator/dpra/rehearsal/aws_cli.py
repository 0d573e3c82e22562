"""The AWS CLI, imported once: each call of a rehearsal is a fork of one process, since its start takes long.

It is the real CLI, with the caller's words, environment, folder and streams. Run as a program, this is that process.
"""

import contextlib
import importlib.util
import json
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

# What the pack calls most.
SERVICES = ("cloudformation", "cloudwatch", "kms", "lambda", "s3", "sts")
# What stands first in the jobs' PATH: it hands its words and streams over, and waits for the exit code.
CALLER = """#!{python} -ISB
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    said = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(said).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(said)
    answer = server.recv(1)
sys.exit(answer[0] if answer else 255)
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
    from awscli import clidriver

    models = clidriver.create_clidriver().session.get_component("data_loader")  # and what it imports late is here then
    warm(models)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a call but its caller
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
            answer(connection, models)
        connection.close()


def warm(models: Any) -> None:
    """Read what describes the services once: it is most of a call's time. Nothing of the caller's is known yet."""
    for service in SERVICES:
        for kind in ("service-2", "endpoint-rule-set-1", "paginators-1"):
            with contextlib.suppress(Exception):  # not every service has each of them; the call itself would read it
                models.load_service_model(service, kind)
    for name in ("endpoints", "partitions"):
        models.load_data(name)


def answer(connection: socket.socket, models: Any) -> None:
    """One call, in a process of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 255
    try:
        size, streams, _, _ = socket.recv_fds(connection, 4, 3)
        text = b""
        while len(text) < int.from_bytes(size, "big"):
            text += connection.recv(1 << 20)
        words, folder, environment = json.loads(text)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(folder)
        data = {"AWS_DATA_PATH": os.environ.get("AWS_DATA_PATH", "")}  # awscli sets it when it is imported
        os.environ.clear()
        os.environ.update(data | environment)
        sys.argv = ["aws", *words]
        from awscli.clidriver import create_clidriver

        driver = create_clidriver()
        driver.session.register_component("data_loader", models)
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
