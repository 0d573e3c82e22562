"""SSH into a machine's root, see `roots`: behind a session of Systems Manager, as its user, by its key pair alone.

The commands run really: as a user who is not root, with a sudo that asks for no password, and with scp. Neither is
among the machine's files: they lie in /run, of which no AMI has anything. Imported where there are such sessions only,
with asyncssh."""

import asyncio
import shutil
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh

from . import needs, processes, roots
from .mends import instances, sessions

USERS = ("admin", "ec2-user", "ubuntu")  # whom an AMI of Debian, Amazon Linux or Ubuntu lets in; here each is the same
HOME = "/home/admin"
WAIT = 10.0  # seconds for a session to say which it is
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/rehearsal"
BROUGHT = ("scp", "unshare")  # programs of this machine's; by unshare sudo becomes root
CHUNK = 1 << 16
# sudo as images configure it: no password, and nothing of the environment but what is asked for.
SUDO = f"""#!/bin/bash
user=root kept=(-i "LANG=$LANG" "PATH={PATH}") given=()
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    -u | --user) user=$2; shift ;;
    -E | --preserve-env) kept=() ;;
    -i | --login | -H | --set-home | -n | --non-interactive | -S | --stdin) ;;
    -*) echo "sudo $1: not rehearsed" >&2; exit 1 ;;
    *=*) given+=("$1") ;;
    *) break ;;
  esac
  shift
done
entry=$(grep "^$user:" /etc/passwd) || {{ echo "sudo: unknown user $user" >&2; exit 1; }}
IFS=: read -r _ _ uid gid _ home _ <<< "$entry"
[ $# -gt 0 ] || set -- bash
exec /run/rehearsal/unshare --setgid "$gid" --setuid "$uid" env "${{kept[@]}}" "HOME=$home" "USER=$user" \\
  "LOGNAME=$user" "SUDO_USER=$USER" SUDO_UID=1000 SUDO_GID=1000 "${{given[@]}}" "$@"
"""
# As roots.ENTER, and then as the user, with /run of the instance's own.
ENTER = roots.ENTER.replace(
    "$enter \"$0\" /bin/busybox", "mount --bind \"$0.run\" \"$0/run\"; mount -o remount,bind,suid,exec \"$0/run\"\n"
    "$enter \"$0\" /bin/busybox",
).replace('exec $enter "$0"', 'exec $enter --userspec=1000:1000 --groups=1000 "$0"')  # fmt: skip
DOOMED: set[tuple[str, str]] = set()  # account and region where all commands on the next instance fail


class Server:
    """Lets sessions in, until it is closed. `lock` gives the lock of moto's front."""

    def __init__(self, lock: Callable[[], Any]) -> None:
        self.lock, self.key = lock, asyncssh.generate_private_key("ssh-ed25519")
        self.loop = asyncio.new_event_loop()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.socket.setblocking(False)
        self.tasks: set[asyncio.Task[None]] = set()
        sessions.SERVED["port"] = self.socket.getsockname()[1]
        self.listening = self.loop.create_task(self.listen())
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()

    def live(self) -> None:
        with suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self.listening)
        if left := asyncio.all_tasks(self.loop):
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.wait(left))
        self.loop.close()

    def close(self) -> None:
        """End all that runs. In a process that is forked from that of the server there is nothing of it."""
        sessions.SERVED.pop("port", None)
        self.socket.close()
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.listening.cancel)
            self.thread.join(5)

    async def listen(self) -> None:
        while True:
            connected, _ = await self.loop.sock_accept(self.socket)
            task = self.loop.create_task(self.come_in(connected))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def come_in(self, connected: socket.socket) -> None:
        """A connection: it says the token of its session, then it is SSH."""
        try:
            token = b""
            async with asyncio.timeout(WAIT):
                while not token.endswith(b"\n"):
                    if not (letter := await self.loop.sock_recv(connected, 1)):
                        raise ConnectionError
                    token += letter
            session = next(one for one in sessions.every() if one.token == token.decode().strip())
            await asyncssh.run_server(
                connected, server_factory=partial(Guard, self, session), process_factory=partial(self.serve, session),
                server_host_keys=[self.key], encoding=None, line_editor=False, allow_pty=False, config=[],
                signature_algs="+ssh-rsa",  # Debian's packer knows no other of RSA
            )  # fmt: skip
        except (OSError, StopIteration, TimeoutError, asyncssh.Error):
            connected.close()

    def running(self, session: sessions.Session) -> bool:
        """Whether there is a way into the instance of a session now."""
        return session.instance.state == "running" and session in sessions.every()

    async def serve(self, session: sessions.Session, process: Any) -> None:
        """One command of a client's."""
        instance = session.instance
        place = (instance.ec2_backend.account_id, instance.ec2_backend.region_name)
        if process.command is None or not self.running(session):
            process.stderr.write(b"the rehearsal runs commands only, and those of instances that run\n")
            process.exit(255)
            return
        if place in DOOMED:
            DOOMED.discard(place)
            instance.dpra_doomed = True
        if hasattr(instance, "dpra_doomed") and not process.command.startswith("scp "):
            process.stderr.write(b"the rehearsal lets it fail\n")
            process.exit(1)
            return
        with self.lock():
            root = instances.files(instance)
        process.exit(await piped(process, entering(root, process.command, process.get_extra_info("username"))))


class Guard(asyncssh.SSHServer):
    """Who may come in by a session: the users of its AMI, with the key pair of its instance."""

    def __init__(self, server: Server, session: sessions.Session) -> None:
        self.server, self.session = server, session

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        instance = self.session.instance
        pair = getattr(instance, "dpra_key", "")
        return self.server.running(self.session) and username in USERS and bool(pair) and key == known(pair)


def known(pair: str) -> asyncssh.SSHKey:
    """A key pair's public half."""
    return asyncssh.import_public_key(pair)


def entering(root: Path, command: str, user: str) -> tuple[list[str], dict[str, str]]:
    """What runs a user's command in a root, and its environment."""
    run = Path(f"{root}.run")
    if not (tools := run / "rehearsal").exists():
        tools.mkdir(parents=True)
        for name in filter(shutil.which, BROUGHT):
            roots.brought(root, name, tools / name)
        (tools / "unshare").chmod(0o4755)
        (tools / "sudo").write_text(SUDO, encoding="utf-8")
        (tools / "sudo").chmod(0o755)
    roots.ready(root)
    environment = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": HOME, "USER": user, "LOGNAME": user, "SHELL": "/bin/bash"}
    return ["unshare", *needs.NAMESPACES, "sh", "-c", ENTER, str(root), "bash", "-c", command], environment


async def piped(process: Any, command: tuple[list[str], dict[str, str]]) -> int:
    """Run a program with a client's streams, as long as the client is there.

    Returns:
        Its exit code; 255 where there is none."""
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(
        *command[0], env=command[1], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    processes.RUNNING.add(program.pid)
    typing = asyncio.create_task(typed(process, program))
    said = asyncio.gather(told(program.stdout, process.stdout), told(program.stderr, process.stderr))
    gone = asyncio.create_task(process.channel.wait_closed())
    try:
        await asyncio.wait({said, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await program.wait() if said.done() and not said.exception() else 255
    finally:
        processes.kill(program.pid)
        processes.RUNNING.discard(program.pid)
        for task in (left := (typing, said, gone)):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def typed(process: Any, program: Any) -> None:
    with suppress(OSError, asyncssh.Error):
        while content := await process.stdin.read(CHUNK):
            program.stdin.write(content)
            await program.stdin.drain()
    program.stdin.close()


async def told(said: Any, to: Any) -> None:
    while content := await said.read(CHUNK):
        to.write(content)
        await to.drain()
