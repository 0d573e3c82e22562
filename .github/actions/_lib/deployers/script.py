# deploys: commands
# pipelines: application dynamic-configuration
# execution-role: deploying-role
# base: the environment variable DPRA_BASE_IMAGE
"""The project's own commands, under the same contract: they show the change, make it, and say what runs.

They run in the folder of the unpacked package, never in the checkout, and find what they need in the environment.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import deployment
import runner
from deployment import Change, Done, Target


def deploy(target: Target, change: Change) -> Done:
    """Show the change by the preview, and make it by the command."""
    folder, acting = deployment.unpack(change), deployment.assume_execution_role(target)
    results = Path(tempfile.mkdtemp(dir=runner.temp())) / "outputs.json"
    variables = {
        **acting,
        **about(target),
        "DPRA_RELEASE": str(change.release.resolve()),
        "DPRA_DIGEST": change.digest,
        "DPRA_COMMIT": change.commit,
        "DPRA_IMAGE": change.image,
        "DPRA_BASE_IMAGE": change.base_image(target.region),
        "DPRA_OUTPUTS": str(results),
    }
    runner.say("preview:")
    run("preview", command(target, "preview"), folder, variables)
    started = deployment.timestamp()
    change.before()
    run("command", command(target, "command"), folder, variables)
    return Done("script", started, read(results))


def settled(target: Target) -> None:
    """The command runs on the runner and ends with it."""


def running(target: Target) -> str:
    """What the command `running` prints."""
    words = ["bash", "-euo", "pipefail", "-c", command(target, "running")]
    env = {**os.environ, **deployment.assume_execution_role(target), **about(target)}
    ran = subprocess.run(words, env=env, stdout=subprocess.PIPE, check=False)
    if ran.returncode:
        raise runner.Failed(f"deploy.script.running failed with {runner.ended(ran.returncode)}", "error")
    return ran.stdout.decode(errors="replace").strip()


def command(target: Target, name: str) -> str:
    if not (text := str(target.settings.get(name) or "")):
        raise runner.Failed(f"the setting '{name}' is missing: set deploy.script.{name}", "error")
    return text


def about(target: Target) -> dict[str, str]:
    return {
        "DPRA_COMPONENT": target.component,
        "DPRA_ENVIRONMENT": target.environment,
        "DPRA_ACCOUNT": target.account,
        "DPRA_REGION": target.region,
        "AWS_REGION": target.region,
        "AWS_DEFAULT_REGION": target.region,  # boto3 reads it alone, and the job's own may be another region
    }


def run(name: str, text: str, folder: Path, variables: dict[str, str]) -> None:
    if code := runner.bash(text, str(folder), **variables):
        raise runner.Failed(f"deploy.script.{name} failed with {runner.ended(code)}")


def read(path: Path) -> dict[str, str]:
    """The outputs that the command left, if any: a JSON object of texts."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_bytes())
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, AttributeError) as problem:
        raise runner.Failed("the command's file $DPRA_OUTPUTS is not a JSON object of texts") from problem
