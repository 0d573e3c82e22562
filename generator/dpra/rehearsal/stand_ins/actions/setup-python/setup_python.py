"""Makes a virtual environment for the job: of the Python that runs the rehearsal, whichever was asked for."""

import json
import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

INPUTS = json.loads(os.environ["INPUTS"])
PIP_SHIM = '#!/bin/sh\nexec "$(dirname "$0")/python" -m pip "$@"\n'


def fail(message: str) -> NoReturn:
    print(f"::error::{message}")
    sys.exit(1)


def asked() -> str:
    if INPUTS["python-version"]:
        return str(INPUTS["python-version"])
    if not (name := str(INPUTS["python-version-file"])):
        return Path(".python-version").read_text() if Path(".python-version").exists() else "any Python"
    if not Path(name).exists():
        fail(f"The specified python version file at: {Path(name).absolute()} doesn't exist.")
    return Path(name).read_text() if not name.endswith(".toml") else f"what {name} asks for"


def venv(folder: Path, *options: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", *options, str(folder)], check=True)


def check_cache() -> None:
    """A cache is keyed by lock files: the real action fails where there is none."""
    if not INPUTS["cache"]:
        return
    if INPUTS["cache"] not in ("pip", "pipenv", "poetry"):
        fail(f"Caching for '{INPUTS['cache']}' is not supported")
    given = [line.strip() for line in str(INPUTS["cache-dependency-path"]).split("\n") if line.strip()]
    patterns = given or ["**/requirements.txt", "**/pyproject.toml"]
    if not any(path.is_file() for pattern in patterns for path in Path().glob(pattern)):
        fail(f"No file in {Path.cwd()} matched to [{' or '.join(patterns)}], make sure you have checked out it")


version = ".".join(map(str, sys.version_info[:3]))
wanted = " or ".join(asked().split())
check_cache()
folder = Path(os.environ["RUNNER_TEMP"], "rehearsal-python")
exports = {"pythonLocation": str(folder), "VIRTUAL_ENV": str(folder)}
if os.environ.get("DPRA_REHEARSAL_OFFLINE") == "1":
    # What is installed beside dpra counts as installed here, so that pip has nothing to fetch.
    venv(folder, "--without-pip")
    packages = {*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    inner = next(folder.glob("lib/python*/site-packages"))
    (inner / "rehearsal.pth").write_text("\n".join(sorted(packages)) + "\n")
    for name in ("pip", "pip3"):
        (folder / "bin" / name).write_text(PIP_SHIM)
        (folder / "bin" / name).chmod(0o755)
    exports["PIP_NO_INDEX"] = "1"
else:
    venv(folder)
print(f"Python {version} stands in for {wanted}.")
with open(os.environ["GITHUB_PATH"], "a") as path:
    path.write(f"{folder / 'bin'}\n")
with open(os.environ["GITHUB_ENV"], "a") as env:
    env.writelines(f"{key}={value}\n" for key, value in exports.items())
with open(os.environ["GITHUB_OUTPUT"], "a") as out:
    out.write(f"python-version={version}\npython-path={folder / 'bin' / 'python'}\ncache-hit=false\n")
