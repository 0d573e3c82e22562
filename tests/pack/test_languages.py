"""A broken line is blocked by the default unit tests of each language; tests/test_languages.py sees the good ones pass.
dotnet is not here: its toolchain cannot be had on these machines."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from dpra import resources
from dpra.rehearsal import act

SAMPLES = Path(__file__).parents[1] / "languages"
# sample: language, package manager, the file with the line that is broken
CASES = {
    "uv": ("python", "uv", "src/shop.py"),
    "pnpm": ("node", "pnpm", "src/shop.js"),
    "yarn": ("node", "yarn", "src/shop.js"),
    "maven": ("java", "maven", "src/main/java/shop/Shop.java"),
    "gradle": ("java", "gradle", "src/main/java/shop/Shop.java"),
    "go": ("go", "go", "main.go"),
    "container": ("container", "docker", "total.sh"),
}
GO_CACHE = str(Path.home() / ".cache/dpra/go-build")  # the rehearsal's: it compiles Go's library once


def defaults(language: str, manager: str) -> tuple[dict[str, str], str, str]:
    """Commands, install command and reports of a package manager."""
    row = resources.data("languages.yml")[language]
    of = row["package-managers"][manager]
    return {**row.get("commands", {}), **of.get("commands", {})}, of.get("install", ""), of.get("reports", "")


@pytest.fixture(params=CASES)
def sample(request: pytest.FixtureRequest, job: Any, needs: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A job whose workspace is a sample project, its toolchain set up as the setup steps do it."""
    needs(request.param)
    job.sample = request.param
    shutil.copytree(SAMPLES / job.sample, job.workspace, dirs_exist_ok=True)
    job.env["GOCACHE"] = GO_CACHE
    job.env["DPRA_COMMAND"] = defaults(*CASES[job.sample][:2])[1]
    job.env |= {name: value for name, value in os.environ.items() if name.upper().startswith(act.NETWORK)}
    install = job.env["DPRA_COMMAND"]
    if job.sample in ("pnpm", "yarn"):
        job.env["COREPACK_HOME"] = str(tmp_path_factory.getbasetemp().parent / "corepack")
        job.env["GITHUB_PATH"] = str(job.root / "path")
        install = f'bash "{resources.PACK}/corepack/install.sh"; PATH="$(cat "$GITHUB_PATH"):$PATH"; {install}'
    if job.sample == "container":
        # buildah does what Docker's command does, without an engine; its base image lies in the sample's folder.
        shutil.copy(Path(__file__).parent / "docker.sh", job.root / "bin/docker")
        (job.root / "bin/docker").chmod(0o755)
        shutil.copy("/bin/busybox", job.workspace / "busybox")
    if install:
        built = job.use("build", command=install)
        assert built.code == 0, built.out
        if job.sample in ("pnpm", "yarn"):
            job.env["PATH"] = f"{(job.root / 'path').read_text().strip()}{os.pathsep}{job.env['PATH']}"
    return job


def unit_tests(job: Any) -> Any:
    commands, _, reports = defaults(*CASES[job.sample][:2])
    return job.use("test", command=commands["unit-tests"], reports=reports)


@pytest.mark.slow
def test_a_broken_line_is_blocked_by_the_unit_tests_of_its_language(sample: Any) -> None:
    path = sample.workspace / CASES[sample.sample][2]
    text = path.read_text()
    broken = text.replace("price * count", "price + count").replace("$1 * $2", "$1 + $2")
    assert broken != text
    path.write_text(broken)
    tested = unit_tests(sample)
    assert (tested.code, tested.record["result"]) == (1, "fail"), tested.out
    assert any("threetimesasmuch" in re.sub("[ _]", "", error).lower() for error in tested.errors), tested.out[-3000:]
