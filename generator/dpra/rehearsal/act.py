"""act on the host: how it is called, what it says, and that nothing of it stays behind."""

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dpra.resources import user_cache

from .result import RehearsalError
from .third_party import STAND_INS

MARK = "DPRA_REHEARSAL"  # in the environment of every process of a run, as RUNNER_TRACKING_ID is on GitHub's runners
NODE = "DPRA_REHEARSAL_NODE"  # what of PATH is for real actions alone
NOWHERE = "http://127.0.0.1:9"  # a proxy that is not there
# What package managers need of the user's environment when packages are fetched.
NETWORK = tuple(
    "ALL_PROXY COREPACK_ CURL_CA GONOSUMDB GOPRIVATE GOPROXY GOSUMDB HTTPS_PROXY HTTP_PROXY MAVEN_ NODE_EXTRA_CA "
    "NPM_CONFIG_ PIP_ REQUESTS_CA SSL_CERT TRIVY_ UV_".split()
)


def tools() -> str:
    """PATH for the jobs: what is installed beside dpra, then the user's."""
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])


def find(tool: str = "act") -> str:
    if not (found := shutil.which(tool, path=tools())):
        raise RehearsalError(f"{tool} is not installed: pip install 'dpra[rehearse]'")
    return found


START = 120.0  # seconds until act begins a job
PAUSE = 0.3  # seconds
# act does not read the terminal of a command that failed to its end: a step's shell leaves it the time to.
SHELL = """#!{bash}
PATH=${{PATH/"${node}"/}}
[ -z "${{{mark}_STEP-}}" ] || exec {bash} "$@" # inside a step
{mark}_STEP=1 {bash} "$@"
code=$?
[ "$code" = 0 ] || sleep {pause}
exit "$code"
"""


def shell(work: Path) -> Path:
    """A folder for PATH with the bash of the steps in it."""
    folder = work / "shell"
    folder.mkdir(exist_ok=True)
    wrapper = folder / "bash"
    wrapper.write_text(
        SHELL.format(bash=shlex.quote(find("bash")), mark=MARK, node=NODE, pause=PAUSE), encoding="utf-8"
    )
    wrapper.chmod(0o755)
    return folder


def environment(work: Path, steps: Path, endpoint: str, offline: bool) -> dict[str, str]:
    """The whole environment of act and of the jobs: nothing of the user's but PATH, and what pip needs to fetch."""
    own = {
        MARK: secrets.token_hex(16),
        f"{MARK}_ARTIFACTS": str(work / "uploads"),
        f"{MARK}_CACHE": str(user_cache() / "dpra"),
        f"{MARK}_HOME": str(Path.home()),
        f"{MARK}_OFFLINE": "1" if offline else "0",
        f"{MARK}_PYTHON": sys.executable,
        f"{MARK}_SERVED": str(work / "served.git"),
        f"{MARK}_STAND_INS": str(STAND_INS),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_MAX_ATTEMPTS": "1",
        "DOCKER_HOST": "unix:///nonexistent",
        "DPRA_TOOLS": str(user_cache()),
        "HOME": str(work),
        "LANG": "C.UTF-8",
        "PATH": f"{steps}{os.pathsep}{tools()}",
        "TMPDIR": str(work),
        "UV_CACHE_DIR": str(user_cache() / "dpra" / "uv"),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    if offline:
        own |= {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE}
        own |= {"PIP_NO_INDEX": "1", "NPM_CONFIG_OFFLINE": "true", "UV_OFFLINE": "1"}
    else:
        own = {name: value for name, value in os.environ.items() if name.upper().startswith(NETWORK)} | own
        if "PIP_CONFIG_FILE" not in own and (mine := Path.home() / ".config" / "pip" / "pip.conf").is_file():
            own["PIP_CONFIG_FILE"] = str(mine)
    return own | {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def command(
    work: Path,
    labels: list[str],
    stand_ins: Mapping[str, Path],
    repository: str,
    repository_id: int,
    event: str = "push",
    run: int = 1,
    attempt: int = 1,
    token: str = "",
) -> list[str]:
    options = [find(), event, "--directory", str(work / "repository"), "--workflows", str(work / "pipeline.yml")]
    options += ["--eventpath", str(work / "event.json"), "--action-offline-mode", "--pull=false", "--no-cache-server"]
    options += ["--no-skip-checkout", "--rm", "--json", "--action-cache-path", str(work / "cache")]
    options += ["--artifact-server-addr", "127.0.0.1", "--cache-server-addr", "127.0.0.1"]
    for label in labels:
        options += ["--platform", f"{label}=-self-hosted"]
    for action, folder in stand_ins.items():
        options += ["--local-repository", f"{action}={folder}"]
    for name in ("env", "secret", "var", "input"):
        options += [f"--{name}-file", os.devnull]
    options += ["--env", f"GITHUB_REPOSITORY={repository}", "--env", f"GITHUB_RUN_ID={run}"]
    options += ["--env", f"GITHUB_RUN_NUMBER={run}", "--env", f"GITHUB_RUN_ATTEMPT={attempt}"]
    options += ["--env", f"GITHUB_REPOSITORY_ID={repository_id}"]
    return [*options, "--secret", f"GITHUB_TOKEN={token or f'ghs_{secrets.token_hex(16)}'}"]


@contextmanager
def running(arguments: list[str], env: Mapping[str, str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """act as a process group of its own; whatever happens, none of its processes outlives this block."""
    process = subprocess.Popen(
        arguments,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        sweep(env[MARK])
        process.wait()
        if process.stdout:
            process.stdout.close()


def end(mark: str) -> None:
    """End a whole run at once, act and all: as where GitHub itself fails, or every runner is lost."""
    sweep(mark)


def sweep(mark: str) -> None:
    """Kill what carries this run's mark: act gives each step a process group of its own, and steps start others."""
    wanted = f"{MARK}={mark}".encode()
    for _ in range(50):  # again, until a look finds none: a process may have forked meanwhile
        found = [pid for pid in Path("/proc").glob("[0-9]*") if carries(pid, wanted)]
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(int(pid.name), signal.SIGKILL)
        time.sleep(0.02)


def carries(process: Path, mark: bytes) -> bool:
    try:
        return mark in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def play(
    arguments: list[str], env: Mapping[str, str], cwd: Path, hear: Callable[[dict[str, Any]], None], limit: float
) -> tuple[int, str]:
    """Run act to its end; `hear` gets each record. The exit code, and what it said outside of records.

    It was seen to hang before its first job, once in thousands of runs; nothing has run by then, so it starts again.
    """
    for _ in range(2):
        stray: list[str] = []
        begun, stuck = threading.Event(), threading.Event()
        with running(arguments, env, cwd) as process:

            def ask(process: subprocess.Popen[str] = process, begun: Any = begun, stuck: Any = stuck) -> None:
                if not begun.wait(START) and process.poll() is None:
                    stuck.set()
                    process.send_signal(signal.SIGQUIT)  # a Go program then says where each of its threads stands

            threading.Thread(target=ask, daemon=True).start()
            late = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
            late.daemon = True
            late.start()
            try:
                for line in process.stdout or ():
                    try:
                        record = json.loads(line)
                    except ValueError:
                        stray.append(line.strip())
                    else:
                        if "job" in record:
                            begun.set()
                        hear(record)
                code = process.wait()
            finally:
                begun.set()
                late.cancel()
        if not stuck.is_set():
            break
    return code, "\n".join(stray[:40] if stuck.is_set() else stray[-5:])
