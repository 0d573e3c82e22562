"""Each language's sample goes through the generated build job: toolchain, dependencies, build, unit tests, package."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TEMPLATE = "Resources: {Topic: {Type: AWS::SNS::Topic}}\n"
IMAGE = f"Parameters: {{ImageUri: {{Type: String}}}}\n{TEMPLATE}Outputs: {{Image: {{Value: !Ref ImageUri}}}}\n"
ADDRESS = r'"Image": "444444444444\.dkr\.ecr\.eu-west-1\.amazonaws\.com/dpra-shop@sha256:[0-9a-f]{64}"'
# As a test of a deployed environment: the stack knows the image by its digest.
FOUND = f"""grep -Eq '{ADDRESS}' <<< "$DEPLOYMENT_OUTPUTS"
echo '<testsuite><testcase/></testsuite>' > "$JUNIT_FILE"
"""
DEPLOYED = json.dumps({"command": FOUND})

# sample -> what its dpra.yml adds to the minimal one. pip, npm and Maven go further, in test_main_job and test_new.
SAMPLES = {
    "uv": "setup: {package-manager: uv}\n",
    "pnpm": "language: node\nsetup: {package-manager: pnpm}\n",
    "yarn": "language: node\nsetup: {package-manager: yarn}\n",
    "gradle": "language: java\nsetup: {package-manager: gradle}\n",
    "go": "language: go\n",
    "container": f"language: container\nactions: {{integration-tests: {DEPLOYED}, acceptance-tests: {DEPLOYED}}}\n",
}


def rehearsed(dpra: Any, root: Path, *options: str, **environment: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, result and text of `dpra rehearse`."""
    report = root.parent / "result.json"
    report.unlink(missing_ok=True)
    done = dpra("rehearse", *options, "--json", report, cwd=root, **environment)
    return done.returncode, json.loads(report.read_text()) if report.exists() else {}, done.stdout + done.stderr


def passed(result: dict[str, Any], action: str = "unit-tests") -> int:
    """How many tests of an action passed, by the run's evidence."""
    return sum(record["findings"]["passed"] for record in result["evidence"] if record["action"] == action)


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES)
def test_the_generated_build_job_runs_in_each_language(sample: str, dpra: Any, needs: Any, tmp_path: Path) -> None:
    needs(sample)
    root = tmp_path / "shop"
    shutil.copytree(HERE / "languages" / sample, root)
    (root / "infrastructure").mkdir()
    (root / "infrastructure/template.yml").write_text(IMAGE if sample == "container" else TEMPLATE)
    (root / "dpra.yml").write_text((HERE / "specs/minimal.yml").read_text() + SAMPLES[sample])
    path = os.environ["PATH"]
    if sample == "container":
        # buildah does what Docker's command does, without an engine; the base image lies in the sample's folder.
        (tmp_path / "bin").mkdir()
        shutil.copy(HERE / "pack/docker.sh", tmp_path / "bin/docker")
        (tmp_path / "bin/docker").chmod(0o755)
        path = f"{tmp_path / 'bin'}{os.pathsep}{path}"
        shutil.copy("/bin/busybox", root / "busybox")
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=root, check=True)
    assert dpra("generate", cwd=root).returncode == 0
    code, result, text = rehearsed(dpra, root, "--only", "build" if sample != "container" else "beta-tests", PATH=path)
    assert code == 0, text
    [build] = [job for job in result["jobs"] if job["job"] == "build"]
    if sample != "container":  # the job, not the stage of that name
        assert [job["job"] for job in result["jobs"] if job["result"] != "not run"] == ["build"]
    assert {step["id"]: step["result"] for step in build["steps"]}["package-and-store-artifacts"] == "success"
    assert passed(result) == 1
    if sample == "container":
        assert passed(result, "integration-tests") == 1  # the image's address reached the stack


@pytest.mark.slow
@pytest.mark.needs("pnpm")
def test_pnpms_store_is_that_of_the_component_in_its_folder(dpra: Any, tmp_path: Path) -> None:
    """What stands in the root folder is another package manager's: pnpm cannot be asked there."""
    root = tmp_path / "shop"
    shutil.copytree(HERE / "languages/pnpm", root / "services/order")
    (root / "package.json").write_text('{"packageManager": "yarn@1.22.22"}')
    (root / "services/order/infrastructure").mkdir()
    (root / "services/order/infrastructure/template.yml").write_text(TEMPLATE)
    said = SAMPLES["pnpm"] + "working-directory: services/order\n"
    said += "deploy: {template: services/order/infrastructure/template.yml}\n"
    (root / "dpra.yml").write_text((HERE / "specs/minimal.yml").read_text() + said)
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=root, check=True)
    assert dpra("generate", cwd=root).returncode == 0
    code, result, text = rehearsed(dpra, root, "--only", "build")
    assert code == 0, text
    assert passed(result) == 1
    assert "Keep pnpm's downloads: success" in text
