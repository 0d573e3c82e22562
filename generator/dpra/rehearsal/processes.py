"""Programs that a rehearsal runs for AWS: each in a process group of its own, which ends with it."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

RUNNING: set[int] = set()  # process groups


def run(command: Sequence[str], typed: bytes, limit: float | None, **more: Any) -> tuple[int, bytes, bytes, bool]:
    """Run a program, and end all that it started.

    Args:
        typed: its standard input.
        limit: in seconds; None for no limit.
        more: for subprocess.Popen.
    Returns:
        Its exit code, what it printed as output and as errors, and whether it ended by itself in time."""
    said = {"stderr": subprocess.PIPE, **more}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, **said)
    RUNNING.add(process.pid)
    in_time = True
    try:
        out, err = process.communicate(typed, timeout=limit)
    except subprocess.TimeoutExpired:
        kill(process.pid)
        (out, err), in_time = process.communicate(), False
    finally:
        kill(process.pid)
        RUNNING.discard(process.pid)
    return process.returncode, out, err or b"", in_time


def stop() -> None:
    """End those that still run."""
    for group in list(RUNNING):
        kill(group)


def kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
