"""A tool's header -> a directory for PATH, or nothing where a compatible version is on PATH already.

A tool is one file, check/tools/<tool>.sh; the comments at its top are its data: version, sources with their checksums,
or hash-locked Python distributions. Nothing that is downloaded is unpacked or run before its checksum is right.
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
from pathlib import Path

import runner

Header = dict[str, list[str]]
PAUSES = (1, 3, 0)  # seconds after each try


def header(script: Path) -> Header:
    """The lines `# key: value` above the first line that is no comment."""
    data: Header = {}
    for line in script.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if pair := re.fullmatch(r"# ([a-z][a-z0-9 -]*): +(.+)", line):
            data.setdefault(pair[1], []).append(pair[2])
    return data


def ensure(tool: str, data: Header) -> tuple[Path | None, str]:
    """The directory to put first on PATH (None: it is there already) and the version that will run."""
    [wanted] = data["version"]
    present = _version_on_path(data["version-command"][0])
    if compatible(present, wanted):
        return None, present
    home = _cache() / "dpra" / tool / wanted
    complete = home / ".complete"  # written last: a half-made directory is made again
    if not complete.exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        if "pip" in data:
            _install_distributions(home, data["pip"])
        else:
            _install_archive(home / "bin", tool, data)
        complete.touch()
    return home / "bin", wanted


def compatible(present: str, wanted: str) -> bool:
    """The same major version, and not older."""
    have, want = ([int(part) for part in version.split(".") if part] for version in (present, wanted))
    return bool(have) and have[0] == want[0] and have >= want


def _version_on_path(command: str) -> str:
    words = shlex.split(command)
    if not shutil.which(words[0]):
        return ""
    ran = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    found = re.search(r"\d+(\.\d+)+", ran.stdout)
    return found[0] if found and ran.returncode == 0 else ""


def _cache() -> Path:
    return Path(os.environ.get("RUNNER_TOOL_CACHE") or os.environ["RUNNER_TEMP"])


def _install_archive(bin_directory: Path, tool: str, data: Header) -> None:
    sources = {key.removeprefix("source "): value[0] for key, value in data.items() if key.startswith("source ")}
    here = _platform()
    if here not in sources:
        raise runner.Failed(f"{tool} has no download for {here}, only for {', '.join(sources)}", "error")
    url, _, wanted = sources[here].split()
    archive = download(url, wanted)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        member = next((file for file in files if file.isfile() and Path(file.name).name == tool), None)
        binary = files.extractfile(member) if member else None
        if not binary:
            raise runner.Failed(f"{url} has no file {tool} in it", "error")
        bin_directory.mkdir()
        target = bin_directory / tool
        target.write_bytes(binary.read())
        target.chmod(0o755)


def download(url: str, wanted: str) -> bytes:
    """What the URL gives, if its SHA-256 is the wanted one."""
    place = urllib.parse.urlsplit(url)
    if place.scheme != "https" and (place.scheme, place.hostname) != ("http", "127.0.0.1"):
        raise runner.Failed(f"{url}: downloads are made by https only", "error")
    content = _fetch(url)
    got = hashlib.sha256(content).hexdigest()
    if got != wanted:
        raise runner.Failed(f"{url}: the SHA-256 should be {wanted} but is {got}; nothing was unpacked", "error")
    return content


def _fetch(url: str) -> bytes:
    for pause in PAUSES:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - the scheme was looked at
                body: bytes = answer.read()
                return body
        except (OSError, http.client.HTTPException) as problem:
            reason = str(problem)
            time.sleep(pause)
    raise runner.Failed(f"{url} cannot be downloaded: {reason}", "error")


def _platform() -> str:
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}
    return f"{platform.system()}-{machine.get(platform.machine().lower(), platform.machine())}".lower()


def _install_distributions(home: Path, locked: list[str]) -> None:
    requirements = home / "requirements.txt"
    requirements.write_text("\n".join(locked) + "\n", encoding="utf-8")
    # The pip that is there installs into the new environment; to give it one of its own takes seconds.
    _run(sys.executable, "-m", "venv", "--without-pip", str(home))
    _run(
        *(sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "--disable-pip-version-check"),
        *("install", "--quiet", "--no-input", "--require-hashes", "--no-deps", "--only-binary", ":all:"),
        *("--requirement", str(requirements)),
    )


def _run(*command: str) -> None:
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
        raise runner.Failed(f"the installation failed: {' '.join(command)}", "error")
