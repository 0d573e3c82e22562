"""Stands in for the setup actions of Node.js, Java, Go and .NET: the toolchain of this machine, whichever version
was asked for. It refuses what the real actions refuse: toolchain.py SETUP-ACTION
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

INPUTS: dict[str, str] = json.loads(os.environ["INPUTS"])
OFFLINE = os.environ.get("DPRA_REHEARSAL_OFFLINE") == "1"
TEMP = Path(os.environ["RUNNER_TEMP"])
CACHE = Path(os.environ["DPRA_REHEARSAL_CACHE"])  # of the user, for downloads that are verified when they are used


@dataclass(frozen=True)
class Toolchain:
    """What a setup action takes, and what it leaves behind."""

    name: str
    command: tuple[str, ...]  # prints the version
    version: str = ""  # the input that asks for a version
    file: str = ""  # the input that names a version file
    needed: tuple[str, ...] = ()  # inputs without which the real action fails
    caches: dict[str, tuple[str, ...]] = field(default_factory=dict)  # value of `cache` -> its lock files
    env: dict[str, str] = field(default_factory=dict)
    offline: dict[str, str] = field(default_factory=dict)


TOOLCHAINS = {
    "setup-node": Toolchain(
        "Node.js",
        ("node", "--version"),
        "node-version",
        "node-version-file",
        caches={
            "npm": ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock"),
            "pnpm": ("pnpm-lock.yaml",),
            "yarn": ("yarn.lock",),
        },
        env={
            "NPM_CONFIG_PREFIX": str(TEMP / "npm-global"),
            "NPM_CONFIG_CACHE": str(CACHE / "npm"),
            "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        },
        offline={"NPM_CONFIG_OFFLINE": "true", "COREPACK_ENABLE_NETWORK": "0"},
    ),
    "setup-java": Toolchain(
        "Java",
        ("java", "-version"),
        "java-version",
        "java-version-file",
        needed=("distribution",),
        caches={"maven": ("pom.xml",), "gradle": ("*.gradle*", "gradle-wrapper.properties"), "sbt": ("*.sbt",)},
        # Java takes the home directory from the user, not from HOME: Maven must not find the user's own settings.
        env={"MAVEN_OPTS": f"-Duser.home={Path.home()}", "GRADLE_USER_HOME": str(Path.home() / ".gradle")},
    ),
    "setup-go": Toolchain(
        "Go",
        ("go", "version"),
        "go-version",
        "go-version-file",
        env={"GOTOOLCHAIN": "local", "GOCACHE": str(CACHE / "go-build")},
        offline={"GOPROXY": "off"},
    ),
    "setup-dotnet": Toolchain(
        ".NET", ("dotnet", "--version"), "dotnet-version", "global-json-file", caches={"true": ("packages.lock.json",)}
    ),
}
# Where offline Maven finds what is there: what the user has fetched before, or Debian's packages.
MAVEN_REPOSITORIES = (
    Path(os.environ.get("DPRA_REHEARSAL_HOME", "/nonexistent"), ".m2/repository"),
    Path("/usr/share/maven-repo"),
)


def fail(message: str) -> NoReturn:
    print(f"::error::{message}")
    sys.exit(1)


def asked(toolchain: Toolchain) -> str:
    """The version that was asked for, in words."""
    for name in toolchain.needed:
        if not INPUTS[name]:
            fail(f"Input required and not supplied: {name}")
    if version := INPUTS.get(toolchain.version):
        return f"{toolchain.name} {version}"
    if not (name := INPUTS.get(toolchain.file, "")):
        return f"any {toolchain.name}"
    if not Path(name).is_file():
        fail(f"The specified {toolchain.name} version file at: {Path(name).absolute()} does not exist")
    return f"the {toolchain.name} of {name}"


def check_cache(toolchain: Toolchain) -> None:
    """A cache is keyed by lock files: the real actions fail where there is none."""
    wanted = INPUTS.get("cache", "")
    if not toolchain.caches or wanted in ("", "false"):
        return
    if wanted not in toolchain.caches:
        fail(f"Caching for '{wanted}' is not supported")
    given = INPUTS["cache-dependency-path"].split("\n")
    patterns = [line.strip() for line in given if line.strip()] or [f"**/{name}" for name in toolchain.caches[wanted]]
    if not any(path.is_file() for pattern in patterns for path in Path().glob(pattern)):
        fail(f"Dependencies lock file is not found in {Path.cwd()}. Supported file patterns: {', '.join(patterns)}")
    if wanted == "pnpm":  # the store is asked for where the workspace begins, wherever the lock file lies
        try:
            asked = subprocess.run(["pnpm", "store", "path", "--silent"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            fail("Unable to locate executable file: pnpm.")
        if asked.returncode or not asked.stdout.strip():
            fail(asked.stderr.strip() or f"The 'pnpm store path --silent' command failed: {asked.stdout.strip()}")


def maven_offline() -> None:
    """Maven 3 takes no word about it from the environment."""
    repository = next((path for path in MAVEN_REPOSITORIES if path.is_dir()), None)
    place = f"<localRepository>{repository}</localRepository>" if repository else ""
    settings = Path.home() / ".m2" / "settings.xml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f"<settings><offline>true</offline>{place}</settings>\n")


def main(action: str) -> None:
    toolchain = TOOLCHAINS[action]
    wanted = asked(toolchain)
    check_cache(toolchain)
    tool = shutil.which(toolchain.command[0])
    if tool is None:
        fail(f"{toolchain.command[0]} is not installed: a rehearsal uses the {toolchain.name} of this machine")
    ran = subprocess.run([tool, *toolchain.command[1:]], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", ran.stdout + ran.stderr)
    version = found[0] if found else ""
    print(f"{toolchain.name} {version} stands in for {wanted}.")
    exports = {**toolchain.env, **(toolchain.offline if OFFLINE else {})}
    if action == "setup-java" and OFFLINE:
        maven_offline()
    with open(os.environ["GITHUB_ENV"], "a") as env:
        env.writelines(f"{key}={value}\n" for key, value in exports.items())
    with open(os.environ["GITHUB_PATH"], "a") as path:
        path.write(f"{Path(tool).parent}\n")
        if action == "setup-node":
            path.write(f"{TEMP / 'npm-global' / 'bin'}\n")
    with open(os.environ["GITHUB_OUTPUT"], "a") as out:
        out.write(f"{toolchain.name.lower().replace('.js', '').lstrip('.')}-version={version}\nversion={version}\n")
        out.write("cache-hit=false\n")


if __name__ == "__main__":
    main(sys.argv[1])
