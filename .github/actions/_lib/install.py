"""A tool's header -> a directory for PATH, or nothing where a compatible version is on PATH already.

A tool is one file, check/tools/<tool>.sh; the comments at its top are its data: what it serves, its version, and where
it comes from: `source <platform>: URL sha256: SUM`, or `pip:` or `npm:` requirements, which check/locks/ locks by hash
where the line does not. Nothing that is downloaded is unpacked or run before its checksum is right; downloads are kept,
and verified each time, since a cache is not to be trusted.
"""

import hashlib
import http.client
import io
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clean
import runner
from head import Header

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PAUSES = (1, 3, 0)  # seconds after each try
NETWORK = ("HOME", "PIP_*", "NPM_CONFIG_*", "npm_config_*")  # where packages come from; the locks say which are right
ARCHIVES = (".tar.gz", ".tgz", ".tar.xz")


def ensure(script: Path, data: Header) -> tuple[Path | None, str]:
    """The directory to put first on PATH (None: it is there already) and the version that will run."""
    tool, wanted = script.stem, data["version"][0]
    present = _version_on_path(data["version-command"][0])
    if compatible(present, wanted, data.get("oldest", [wanted])[0]):
        return None, present
    if "on-path" in data:  # a toolchain: what the job set up will do, if it is not too old
        if _numbers(present) >= _numbers(wanted):
            return None, present
        raise runner.Failed(
            f"{tool}: {wanted} or newer is required on PATH, found {present or 'none'}; it is {data['on-path'][0]}",
            "error",
        )
    home = _homes() / tool / f"{wanted}-{_recipe(script, data)}"
    complete = home / ".complete"  # written last: a half-made directory is made again
    home.parent.mkdir(parents=True, exist_ok=True)
    with _alone(home.with_name(f"{home.name}.lock")):
        if not complete.exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            if "pip" in data:
                _install_distributions(home, data["pip"], _lock(script, data))
            elif "npm" in data:
                _install_packages(home, _lock(script, data))
            else:
                _install_archive(home / "bin", tool, data)
            complete.touch()
    return home / "bin", wanted


def _lock(script: Path, data: Header) -> Path:
    """What locks the requirements of a tool by hash: a file for pip, a folder for npm."""
    locks = script.parent.parent / "locks"
    return locks / script.stem if "npm" in data else locks / f"{script.stem}.txt"


def _recipe(script: Path, data: Header) -> str:
    """A short name for all that decides what is installed: where it comes from, and its lock."""
    kinds = ("pip", "npm", "unpack", "source")
    said = repr(sorted((key, values) for key, values in data.items() if key.split()[0] in kinds)).encode()
    lock = _lock(script, data)
    for path in (lock, lock / "package-lock.json"):
        said += path.read_bytes() if path.is_file() else b""
    return hashlib.sha256(said).hexdigest()[:8]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One at a time: two jobs of a machine, or two hooks, may want the same tool."""
    with open(path, "w", encoding="utf-8") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compatible(present: str, wanted: str, oldest: str) -> bool:
    """The same major version and not older; or one of those between, back to the oldest that was executed."""
    have, want, least = map(_numbers, (present, wanted, oldest))
    return bool(have) and ((have[0] == want[0] and have >= want) or least <= have < want)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part]


def _version_on_path(command: str) -> str:
    words = shlex.split(command)
    if not shutil.which(words[0]):
        return ""
    ran = clean.run(words, capture_output=True, errors="replace")
    found = re.search(r"\d+(\.\d+)+", ran.stdout)
    return found[0] if found and ran.returncode == 0 else ""


def _homes() -> Path:
    """Where tools are installed: in a developer's own cache, or in this job's folder. What an earlier job left in the
    runner's tool cache is not run: only downloads lie there, and each is verified again."""
    own = os.environ.get("DPRA_TOOLS")
    return Path(own) / "dpra" if own else runner.temp() / "dpra-tools"


def _install_archive(bin_directory: Path, tool: str, data: Header) -> None:
    sources = {key.removeprefix("source "): value[0] for key, value in data.items() if key.startswith("source ")}
    here = "any" if "any" in sources else _platform()
    if here not in sources:
        raise runner.Failed(
            f"{tool} has no download for {here}, only for {', '.join(sources)}: put it on PATH", "error"
        )
    url, _, wanted = sources[here].split()
    content = download(url, wanted)
    if "unpack" in data:  # the tool needs all that comes with it
        with tarfile.open(fileobj=io.BytesIO(content)) as files:
            files.extractall(bin_directory.parent, filter="data")
        return
    if url.endswith(ARCHIVES):
        with tarfile.open(fileobj=io.BytesIO(content)) as files:
            member = next((file for file in files if file.isfile() and Path(file.name).name == tool), None)
            binary = files.extractfile(member) if member else None
            if not binary:
                raise runner.Failed(f"{url} has no file {tool} in it", "error")
            content = binary.read()
    bin_directory.mkdir()
    target = bin_directory / tool
    target.write_bytes(content)
    target.chmod(0o755)


def download(url: str, wanted: str) -> bytes:
    """What the URL gives, or gave before, if its SHA-256 is the wanted one."""
    place = urllib.parse.urlsplit(url)
    if place.scheme != "https" and (place.scheme, place.hostname) != ("http", "127.0.0.1"):
        raise runner.Failed(f"{url}: downloads are made by https only", "error")
    kept = _downloads() / wanted
    if kept.is_file() and hashlib.sha256(content := kept.read_bytes()).hexdigest() == wanted:
        return content
    content = _fetch(url)
    got = hashlib.sha256(content).hexdigest()
    if got != wanted:
        raise runner.Failed(f"{url}: the SHA-256 should be {wanted} but is {got}; nothing was installed", "error")
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{os.getpid()}")
    part.write_bytes(content)
    part.replace(kept)
    return content


def _downloads() -> Path:
    """What a workflow may cache: each thing in it is verified before it is used."""
    tools = os.environ.get("DPRA_TOOLS") or os.environ.get("RUNNER_TOOL_CACHE") or os.environ["RUNNER_TEMP"]
    return Path(tools) / "dpra-downloads"


def _fetch(url: str) -> bytes:
    for pause in PAUSES:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - the scheme was checked
                body: bytes = answer.read()
                return body
        except (OSError, http.client.HTTPException) as problem:
            reason = str(problem)
            time.sleep(pause)
    raise runner.Failed(f"{url} cannot be downloaded: {reason}", "error")


def _platform() -> str:
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}
    return f"{platform.system()}-{machine.get(platform.machine().lower(), platform.machine())}".lower()


def _install_distributions(home: Path, lines: list[str], lock: Path) -> None:
    requirements = lock
    if all("--hash=" in line for line in lines):  # the one file of the tool says it all
        requirements = home / "requirements.txt"
        requirements.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # The pip that is there installs into the new environment; to give it one of its own takes seconds.
    _run(sys.executable, "-I", "-B", "-m", "venv", "--without-pip", str(home))
    _run(
        *(sys.executable, "-I", "-B", "-m", "pip", "--python", str(home / "bin" / "python")),
        *("--disable-pip-version-check", "install", "--quiet", "--no-input"),
        *("--require-hashes", "--no-deps", "--only-binary", ":all:"),
        *("--cache-dir", str(_downloads() / "pip"), "--requirement", str(requirements)),
    )


def _install_packages(home: Path, lock: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(lock / name, home / name)
    _run(
        *("npm", "ci", "--prefix", str(home), "--cache", str(_downloads() / "npm"), "--ignore-scripts"),
        *("--legacy-peer-deps", "--no-audit", "--no-fund", "--loglevel", "error"),
    )
    (home / "bin").symlink_to(Path("node_modules") / ".bin")


def _run(*command: str) -> None:
    try:
        code = clean.run(command, *NETWORK, stdin=subprocess.DEVNULL).returncode
    except OSError as problem:
        raise runner.Failed(f"{command[0]} cannot be run: {problem.strerror}", "error") from problem
    if code:
        raise runner.Failed(f"the installation failed: {' '.join(command)}", "error")
