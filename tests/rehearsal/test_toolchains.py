"""The stand-ins for setup actions use this machine's toolchains, and refuse what the real actions refuse."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dpra.rehearsal.third_party import STAND_INS
from ruamel.yaml import YAML

Use = Callable[..., tuple[int, str]]


@pytest.fixture
def use(tmp_path: Path) -> Use:
    """Use a setup action in a workspace: its exit code, and what it said."""

    def use(action: str, inputs: dict[str, str], env: dict[str, str] | None = None) -> tuple[int, str]:
        document = YAML(typ="safe").load(STAND_INS / action / "action.yml")
        given = {name: spec["default"] for name, spec in document["inputs"].items()} | inputs
        assert set(given) == set(document["inputs"])
        [step] = document["runs"]["steps"]
        for folder in ("work", "temp", "home"):
            (tmp_path / folder).mkdir(exist_ok=True)
        runner = {name: str(tmp_path / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH")}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step["run"]],
            cwd=tmp_path / "work",
            env={
                "DPRA_REHEARSAL_CACHE": str(tmp_path / "cache"),
                "DPRA_REHEARSAL_OFFLINE": "0",
                "DPRA_REHEARSAL_PYTHON": sys.executable,
                "DPRA_REHEARSAL_STAND_INS": str(STAND_INS),
                "HOME": str(tmp_path / "home"),
                "INPUTS": json.dumps(given),
                "PATH": os.environ["PATH"],
                "RUNNER_TEMP": str(tmp_path / "temp"),
                **runner,
                **(env or {}),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return use


@pytest.fixture
def exported(tmp_path: Path) -> Callable[[], dict[str, str]]:
    """The environment that later steps of the job have."""

    def exported() -> dict[str, str]:
        pairs = dict(line.split("=", 1) for line in (tmp_path / "github_env").read_text().splitlines())
        added = (tmp_path / "github_path").read_text().splitlines()[::-1]
        return pairs | {"HOME": str(tmp_path / "home"), "PATH": os.pathsep.join([*added, os.environ["PATH"]])}

    return exported


NODE, JAVA, GO = "actions/setup-node", "actions/setup-java", "actions/setup-go"
DOTNET = "actions/setup-dotnet"
CORRETTO = {"distribution": "corretto", "java-version": "21"}


@pytest.mark.parametrize(
    ("action", "inputs", "says"),
    [
        (NODE, {"node-version-file": ".nvmrc"}, "version file at: {work}/.nvmrc does not exist"),
        (JAVA, {"distribution": "corretto", "java-version-file": ".java-version"}, "{work}/.java-version does not"),
        (GO, {"go-version-file": "go.mod"}, "version file at: {work}/go.mod does not exist"),
        (DOTNET, {"global-json-file": "global.json"}, "version file at: {work}/global.json does not exist"),
        (JAVA, {"java-version": "21"}, "Input required and not supplied: distribution"),
        (NODE, {"cache": "bower"}, "Caching for 'bower' is not supported"),
        (JAVA, {**CORRETTO, "cache": "ant"}, "Caching for 'ant' is not supported"),
        (NODE, {"cache": "npm"}, "Dependencies lock file is not found in {work}"),
        (NODE, {"cache": "pnpm"}, "Supported file patterns: **/pnpm-lock.yaml"),
        (NODE, {"cache": "yarn"}, "Supported file patterns: **/yarn.lock"),
        (NODE, {"cache": "npm", "cache-dependency-path": "app/*.json"}, "file patterns: app/*.json"),
        (JAVA, {**CORRETTO, "cache": "maven"}, "Supported file patterns: **/pom.xml"),
        (JAVA, {**CORRETTO, "cache": "gradle"}, "Supported file patterns: **/*.gradle*"),
        (DOTNET, {"dotnet-version": "10", "cache": "true"}, "Supported file patterns: **/packages.lock.json"),
    ],
)
def test_a_setup_action_refuses_what_the_real_one_refuses(use, tmp_path, action, inputs, says):
    code, output = use(action, inputs)
    assert code == 1
    assert output.startswith("::error::")
    assert says.format(work=tmp_path / "work") in output
    assert not (tmp_path / "github_env").exists()
    assert not (tmp_path / "github_path").exists()


@pytest.mark.parametrize(
    ("action", "inputs", "tool"),
    [
        (NODE, {"node-version": "24"}, "node"),
        (JAVA, CORRETTO, "java"),
        (GO, {"go-version": "1.27"}, "go"),
        (DOTNET, {"dotnet-version": "10"}, "dotnet"),
    ],
)
def test_a_toolchain_that_this_machine_does_not_have_is_named(use, tmp_path, action, inputs, tool):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/bash").symlink_to("/bin/bash")
    code, output = use(action, inputs, {"PATH": str(tmp_path / "bin"), "DPRA_REHEARSAL_OFFLINE": "1"})
    assert code == 1
    assert f"::error::{tool} is not installed" in output


@pytest.mark.parametrize(
    ("action", "files", "inputs", "says"),
    [
        (NODE, (), {"node-version": "24"}, r"Node.js \d+\.\d+\.\d+ stands in for Node.js 24\."),
        (NODE, (), {}, r"Node.js \d+\.\d+\.\d+ stands in for any Node.js\."),
        (NODE, (".nvmrc",), {"node-version-file": ".nvmrc"}, r"stands in for the Node.js of .nvmrc\."),
        (NODE, ("app/package-lock.json",), {"cache": "npm"}, r"stands in for any Node.js\."),
        (JAVA, ("pom.xml",), {**CORRETTO, "cache": "maven"}, r"Java \d+\.\d+\.\d+ stands in for Java 21\."),
        (GO, ("go.mod",), {"go-version-file": "go.mod"}, r"Go \d+\.\d+\S* stands in for the Go of go.mod\."),
    ],
)
def test_the_log_says_which_version_stands_in_for_which(use, needs, tmp_path, action, files, inputs, says):
    needs(action.rpartition("-")[2])
    for name in files:
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).touch()
    code, output = use(action, inputs)
    assert code == 0, output
    assert re.search(says, output)


@pytest.mark.needs("npm")
def test_a_global_npm_package_goes_to_the_job_not_to_the_machine(use, tmp_path, exported):
    assert use(NODE, {"node-version": "24"}, {"DPRA_REHEARSAL_OFFLINE": "1"})[0] == 0
    (tmp_path / "tool").mkdir()
    manifest = {"name": "said-here", "version": "1.0.0", "bin": "index.js"}
    (tmp_path / "tool/package.json").write_text(json.dumps(manifest))
    (tmp_path / "tool/index.js").write_text("#!/usr/bin/env node\nconsole.log('hello')\n")
    (tmp_path / "tool/index.js").chmod(0o755)
    subprocess.run(["npm", "install", "--global", "./tool"], cwd=tmp_path, env=exported(), check=True)
    assert (tmp_path / "temp/npm-global/bin/said-here").exists()
    said = subprocess.run(["bash", "-c", "said-here"], env=exported(), capture_output=True, text=True, check=True)
    assert said.stdout == "hello\n"


@pytest.mark.needs("npm")
def test_offline_npm_asks_no_registry(use, tmp_path, exported):
    assert use(NODE, {"node-version": "24"}, {"DPRA_REHEARSAL_OFFLINE": "1"})[0] == 0
    done = subprocess.run(["npm", "install", "left-pad"], cwd=tmp_path, env=exported(), capture_output=True, text=True)
    assert done.returncode != 0
    assert "ENOTCACHED" in done.stderr


@pytest.mark.needs("go")
def test_offline_go_asks_no_proxy(use, tmp_path, exported):
    assert use(GO, {"go-version": "1.27"}, {"DPRA_REHEARSAL_OFFLINE": "1"})[0] == 0
    (tmp_path / "go.mod").write_text("module shop\n\ngo 1.20\n\nrequire rsc.io/quote v1.5.2\n")
    done = subprocess.run(["go", "mod", "download"], cwd=tmp_path, env=exported(), capture_output=True, text=True)
    assert done.returncode != 0
    assert "GOPROXY=off" in done.stderr


@pytest.mark.needs("mvn")
def test_offline_maven_uses_what_is_there_and_asks_nobody(use, tmp_path, exported):
    # A repository of the user's own comes before Debian's.
    mine = tmp_path / "user"
    (mine / ".m2/repository").mkdir(parents=True)
    offline = {"DPRA_REHEARSAL_OFFLINE": "1", "DPRA_REHEARSAL_HOME": str(mine)}
    assert use(JAVA, CORRETTO, offline)[0] == 0
    (tmp_path / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>a</groupId><artifactId>a</artifactId><version>1</version></project>"
    )
    done = subprocess.run(["mvn", "-B", "compile"], cwd=tmp_path, env=exported(), capture_output=True, text=True)
    assert done.returncode != 0
    assert "Cannot access central" in done.stdout
    assert "in offline mode" in done.stdout
    assert str(mine / ".m2/repository") in (tmp_path / "home/.m2/settings.xml").read_text()


def test_pnpms_store_is_asked_for_where_the_workspace_begins(use, tmp_path):
    """Whatever stands there: no pnpm at all, one that another package manager's corepack refuses."""
    (tmp_path / "work/app").mkdir(parents=True)
    (tmp_path / "work/app/pnpm-lock.yaml").touch()
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "sh"):
        (tmp_path / "bin" / tool).symlink_to(f"/bin/{tool}")
    pnpm = {"cache": "pnpm", "cache-dependency-path": "app/pnpm-lock.yaml"}
    code, output = use(NODE, pnpm, {"PATH": str(tmp_path / "bin")})
    assert (code, output.strip()) == (1, "::error::Unable to locate executable file: pnpm.")
    (tmp_path / "bin/pnpm").write_text("#!/bin/sh\necho configured to use yarn >&2; exit 1\n")
    (tmp_path / "bin/pnpm").chmod(0o755)
    code, output = use(NODE, pnpm, {"PATH": str(tmp_path / "bin")})
    assert (code, output.strip()) == (1, "::error::configured to use yarn")
