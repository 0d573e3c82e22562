# deploys: commands
# pipelines: application
# execution-role: deploying-role
# infrastructure: terraform
# base: the variable dpra_base_image
"""Terraform: the plan is saved and shown, and exactly that plan is applied. State and lock lie in S3."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aws
import deployment
import runner
from deployment import Change, Done, Target, polls

MARK = "dpra_digest"  # the output by which the state says what runs
MOST_POLLS = 30  # of a lock, some five minutes
BACKEND: dict[str, Any] = {"terraform": {"backend": {"s3": {}}}}


def deploy(target: Target, change: Change) -> Done:
    """Plan, show the plan, apply it."""
    folder = deployment.unpack(change) / str(target.settings.get("folder") or ".")
    if not any(folder.glob("*.tf")):
        where = target.settings.get("folder") or "."
        raise runner.Failed(f"the package has no Terraform module in '{where}': pack one, or set terraform.folder")
    env = environment(target, change)
    init(target, folder, env, "-lockfile=readonly")
    planned = terraform(folder, env, "plan", "-input=false", "-out=dpra.plan", "-detailed-exitcode", ok=(0, 2))
    said = json.loads(terraform(folder, env, "show", "-json", "dpra.plan").stdout)
    show(target, said)
    if said.get("planned_values", {}).get("outputs", {}).get(MARK, {}).get("value") != change.digest:
        raise runner.Failed(
            f'the module must output the digest: variable "{MARK}" {{}} and output "{MARK}" {{ value = var.{MARK} }}',
            "error",
        )
    started = deployment.timestamp()
    change.before()
    if planned.returncode:  # 2: there are changes
        terraform(folder, env, "apply", "-input=false", "dpra.plan")
    return Done(f"s3://{target.text('bucket')}/{key(target)}", started, outputs(folder, env))


def settled(target: Target) -> None:
    """Wait for a lock of the state, which another run holds; one that a lost runner left needs a person."""
    env = deployment.assume_execution_role(target)
    for count, _ in enumerate(polls()):
        if not (lock := lock_holder(target, env)):
            return
        if count == MOST_POLLS:
            raise runner.Failed(lock_message(lock), "error")


def running(target: Target) -> str:
    folder = Path(tempfile.mkdtemp(dir=runner.temp()))
    (folder / "backend.tf.json").write_text(json.dumps(BACKEND), encoding="utf-8")
    env = environment(target)
    init(target, folder, env)
    return outputs(folder, env).get(MARK, "")


def key(target: Target) -> str:
    return f"dpra/{target.component}/{target.environment}/{target.region}.tfstate"


def environment(target: Target, change: Change | None = None) -> dict[str, str]:
    """The environment of Terraform; a module gets those of the variables that it declares."""
    variables = {"environment": target.environment, "account": target.account, "region": target.region}
    if change:
        variables |= {"digest": change.digest, "commit": change.commit, "image": change.image}
        variables["base_image"] = change.base_image(target.region)
    given = {f"TF_VAR_dpra_{name}": value for name, value in variables.items()}
    own = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "AWS_REGION": target.region}
    return {**os.environ, **deployment.assume_execution_role(target), **given, **own}


def init(target: Target, folder: Path, env: Mapping[str, str], *options: str) -> None:
    said: dict[str, Any] = {
        "bucket": target.text("bucket"),
        "key": key(target),
        "region": target.region,
        "use_lockfile": True,
        "encrypt": True,
        "allowed_account_ids": [target.account],
    }
    # HCL takes JSON's values, but for what it would evaluate in texts.
    lines = (f"{name} = {json.dumps(value)}".replace("${", "$${").replace("%{", "%%{") for name, value in said.items())
    backend = Path(tempfile.mkdtemp(dir=runner.temp())) / "dpra.tfbackend"
    backend.write_text("\n".join(lines) + "\n", encoding="utf-8")
    terraform(folder, env, "init", "-input=false", *options, f"-backend-config={backend}")


def terraform(
    folder: Path, env: Mapping[str, str], *words: str, ok: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[str]:
    """`terraform WORDS`. What it says is shown where it fails."""
    command = ["terraform", words[0], "-no-color", *words[1:]]
    try:
        ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    except OSError as problem:
        raise runner.Failed(
            f"Terraform cannot be run: {problem.strerror}; hashicorp/setup-terraform brings it", "error"
        ) from problem
    if ran.returncode not in ok:
        for line in (ran.stdout + ran.stderr).splitlines():
            runner.say(line)
        if "Error acquiring the state lock" in ran.stderr:
            raise runner.Failed(lock_message(dict(re.findall(r"(ID|Who|Created): +(\S.*)", ran.stderr))), "error")
        if "Saved plan is stale" in ran.stderr:
            raise runner.Failed("something else changed the state since the plan was made: run the job again")
        if "Backend configuration" in ran.stderr or "Missing backend configuration" in ran.stdout:
            raise runner.Failed('the module must have an S3 backend: terraform { backend "s3" {} }', "error")
        first = re.search(r"Error: (.+)", ran.stderr)
        raise runner.Failed(f"terraform {words[0]} failed: {first[1] if first else runner.ended(ran.returncode)}")
    return ran


def lock_message(lock: Mapping[str, str]) -> str:
    return (
        f"the state is locked by {lock.get('Who', 'somebody')} since {lock.get('Created', 'an unknown time')}: wait for"
        f" the end of that run and run again; if it died: terraform force-unlock {lock.get('ID', 'LOCK_ID')}"
    )


def lock_holder(target: Target, env: Mapping[str, str]) -> dict[str, str]:
    """Who holds the lock of the state; empty where nobody does."""
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        path = Path(folder, "lock")
        words = ("--bucket", target.text("bucket"), "--key", f"{key(target)}.tflock")
        try:
            aws.call_as(
                *(env, target.region, "s3api", "get-object"),
                *(*words, "--expected-bucket-owner", target.account, str(path)),
            )
        except aws.Refused as refused:
            if refused.code == "NoSuchKey":
                return {}
            raise
        found: dict[str, str] = json.loads(path.read_bytes())
        return found


def show(target: Target, plan: Mapping[str, Any]) -> None:
    rows = [
        (" ".join(one["change"]["actions"]), one["address"])
        for one in plan.get("resource_changes", [])
        if one["change"]["actions"] not in (["no-op"], ["read"])
    ]
    rows += [
        (" ".join(one["actions"]), f"output {name}")
        for name, one in plan.get("output_changes", {}).items()
        if one["actions"] != ["no-op"]
    ]
    deployment.show(f"{target.component} in {target.region}", ("change", "resource"), rows)


def outputs(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """The outputs that are no secrets; what is no text, as JSON."""
    said = json.loads(terraform(folder, env, "output", "-json").stdout or "{}")
    return {
        name: one["value"] if isinstance(one["value"], str) else json.dumps(one["value"])
        for name, one in said.items()
        if not one.get("sensitive")
    }
