"""Packer in the jobs' PATH: Debian's, with amazon-ebs built in, whose calls the rehearsal's AWS answers.

It makes the instance and the AMI by EC2's API and comes in by a session of Systems Manager, all with the rights of the
job's role; see `ssh`. 1.6.6 knows no plugins: what a template says that only later versions know is taken out of a copy
of it, see packer_caller.py."""

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpra.plan import Plan

from .act import tools
from .result import RehearsalError

if TYPE_CHECKING:
    from .ssh import Server

CALLER = """#!/bin/sh
export DPRA_REHEARSAL_PACKER={packer}
exec {python} -I -B {script} "$@"
"""
SCRIPTS = {"packer": "packer_caller.py", "session-manager-plugin": "session_plugin.py"}


def used(plan: Plan) -> bool:
    """Whether images are made by it."""
    kind = plan.deployer.kind if plan.deployer else ""
    return (kind, plan.spec.image.with_) == ("machine", "packer")


def install(folder: Path) -> None:
    """Put packer, if there is one, and Session Manager's plugin into the folder."""
    for name, script in SCRIPTS.items():
        text = CALLER.format(
            packer=shlex.quote(shutil.which("packer", path=tools()) or ""),
            python=shlex.quote(sys.executable),
            script=shlex.quote(str(Path(__file__).with_name(script))),
        )
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)


@contextmanager
def opened(plan: Plan, steps: Path, cloud: Any) -> Iterator[None]:
    """Let the jobs use it where images are made by it."""
    if not used(plan):
        yield
        return
    install(steps)
    server = served(cloud)
    try:
        yield
    finally:
        server.close()


def forked(plan: Plan, steps: Path, cloud: Any) -> None:
    """In a forked process: let its jobs use it, and sessions come to this process."""
    if used(plan):
        install(steps)
        served(cloud)


def served(cloud: Any) -> "Server":
    """Let sessions into the machines of the rehearsal's AWS.

    Raises:
        RehearsalError: asyncssh is not installed."""
    try:
        from .ssh import Server
    except ImportError as error:
        raise RehearsalError("asyncssh is not installed: pip install 'dpra[rehearse]'") from error
    return Server(lambda: cloud.lock)
