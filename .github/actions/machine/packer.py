"""An AMI, made by Packer from the repository's own template; and that AMI, found by whoever believes nothing of Packer.

The template is told in one variable, `dpra`, what it must not make up. All that it makes bears the tags there, and by
these it is found again: by a job that runs no code of the repository.
Source: https://developer.hashicorp.com/packer/docs/commands/build and there /docs/configure (environment variables);
https://github.com/hashicorp/packer-plugin-amazon, docs/builders/ebs.mdx
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws
import bake
import image
import labels
import runner

SUFFIX = ".pkr.hcl"
PURPOSE = "build"  # of its instance
VARIABLE = "dpra"  # of the template
# One after the other, each in the template's folder.
COMMANDS = (("init", "."), ("validate", "."), ("build", "-color=false", "-on-error=cleanup", "."))
QUIET = {"CHECKPOINT_DISABLE": "1", "PACKER_LOG": "", "PACKER_NO_COLOR": "1"}
PAUSES = (2, 4, 8, 16)  # seconds between looks: EC2 finds by a new tag a moment later
PLUGIN = "session-manager-plugin"  # by which Packer reaches the instance


@dataclass(frozen=True)
class Found:
    """The AMI that was made."""

    version: str
    parent: str  # the AMI that it is made of
    built: bake.Built


# ---- Making it


def template(folder: Path) -> Path:
    """The folder of a template.

    Raises:
        runner.Failed: it is none, or has none.
    """
    bake.in_repository(folder)
    if not any(path.name.endswith(SUFFIX) and path.is_file() for path in folder.iterdir()):
        raise runner.Failed(f"there is no Packer template in {folder}: no file ends with {SUFFIX}")
    return folder


def version() -> str:
    """Packer's version.

    Raises:
        runner.Failed: there is no Packer.
    """
    if not shutil.which("packer"):
        raise runner.Failed("there is no packer on this runner: GitHub's ubuntu-24.04 has one, and yours must", "error")
    ran = subprocess.run(["packer", "version"], capture_output=True, env=environment(), check=False)
    match = re.search(rb"v(\d+\.\d+\.\d+)", ran.stdout)
    return match[1].decode() if match else ""


def environment() -> dict[str, str]:
    """That of a Packer which asks nobody for news, prints what it does and not how, and knows the job's profile."""
    return {**os.environ, **QUIET, "AWS_SDK_LOAD_CONFIG": "1"}


def security_group(region: str, component: str) -> str:
    """The id of the one in which the component's instances are, which nobody reaches.

    Raises:
        runner.Failed: it is not there, or lets somebody in.
    """
    filters = [{"Name": f"tag:{labels.COMPONENT}", "Values": [component]}]
    groups = aws.call(region, "ec2", "describe-security-groups", Filters=filters)["SecurityGroups"]
    ids = ", ".join(one["GroupId"] for one in groups) or "none"
    if len(groups) != 1:
        what = f"security groups with the tag {labels.COMPONENT}: {component} in {region}"
        raise runner.Failed(f"there must be one of the {what}, and there is {ids}: deploy dpra's stack of machines")
    if groups[0]["IpPermissions"]:
        raise runner.Failed(f"the security group {ids} lets somebody in, and must have no rule for that")
    return str(groups[0]["GroupId"])


def told(region: str, component: str, version: str, parent: bake.Parent, **more: str) -> dict[str, Any]:
    """What the template is told.

    Args:
        more: instance_type, profile, subnet.
    """
    tags = {
        labels.COMPONENT: component,
        labels.VERSION: version,
        labels.PURPOSE: PURPOSE,
        labels.PARENT: parent.ami,
    }
    about = {"region": region, "parent": parent.ami, "name": f"dpra-{component}-{version}"}
    return {**about, **more, "security_group": security_group(region, component), "tags": tags}


def build(folder: Path, said: Mapping[str, Any]) -> None:
    """Run Packer. If this is told to stop, so is Packer, once, which then ends its instance.

    Raises:
        runner.Failed: it made no AMI.
    """
    env, stopped = {**environment(), f"PKR_VAR_{VARIABLE}": json.dumps(said)}, list[int]()
    for words in COMMANDS:
        # In a session of its own: what a terminal sends to all of a group reaches it once, from here.
        with subprocess.Popen(
            ["packer", *words],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            for word in (signal.SIGINT, signal.SIGTERM):
                signal.signal(word, lambda number, _, of=process: stop(of, number, stopped))
            for line in process.stdout or ():
                runner.say(line.decode("utf-8", "replace").rstrip())
        if stopped:
            raise runner.Failed("the build was cancelled", "error")
        if process.returncode:
            raise runner.Failed(failure(words[0], process.returncode))


def stop(process: "subprocess.Popen[bytes]", number: int, stopped: list[int]) -> None:
    if not stopped and process.poll() is None:  # a second one would end Packer before it has ended its instance
        process.send_signal(signal.SIGTERM)  # Packer's first process hands that on, and SIGINT only from a terminal
    stopped.append(number)


def failure(command: str, code: int) -> str:
    missing = command == "build" and not shutil.which(PLUGIN)
    why = f"; {PLUGIN}, by which it reaches an instance, is not on this runner" if missing else ""
    return f"packer {command} failed with {runner.ended(code)}{why}: see its log above"


# ---- What became of it


def found(region: str, component: str) -> Found:
    """The component's AMI of this run: of an earlier attempt, if this one made none.

    Raises:
        runner.Failed: there is none, or several; or it is none that could be looked into.
    """
    there = of_run(region, component)
    for pause in PAUSES:
        if not there:
            time.sleep(pause)
            there = of_run(region, component)
    if not there:
        tags = f"{labels.COMPONENT}: {component} and {labels.VERSION}: {image.version()}"
        raise runner.Failed(
            f"Packer made no AMI of {component} in this run: none of the account's in {region} has the tags {tags}; "
            f"the template must have tags = var.{VARIABLE}.tags"
        )
    newest = max(there, key=lambda one: (parts(one)[0], parts(one)[2]))
    [ami, *others] = there[newest]
    if others:
        ids = ", ".join(one["ImageId"] for one in (ami, *others))
        raise runner.Failed(f"there are several AMIs of {component} {newest}, {ids}: a template makes one")
    return Found(newest, made_of(ami), usable(ami))


def of_run(region: str, component: str) -> dict[str, list[dict[str, Any]]]:
    """The component's AMIs of this run, up to this attempt, by their versions."""
    day, run, attempt = parts(image.version())
    filters = [{"Name": f"tag:{labels.COMPONENT}", "Values": [component]}]
    filters += [{"Name": f"tag:{labels.VERSION}", "Values": [f"*-{run}", f"*-{run}.*"]}]
    there: dict[str, list[dict[str, Any]]] = {}
    for one in aws.call(region, "ec2", "describe-images", Owners=["self"], Filters=filters)["Images"]:
        # The filters are AWS's to obey, and know no numbers.
        tags, said = labels.of(one), labels.of(one).get(labels.VERSION, "")
        if tags.get(labels.COMPONENT) == component and image.VERSION.fullmatch(said):
            of_day, of_run, of_attempt = parts(said)
            if of_run == run and of_day <= day and of_attempt <= attempt:
                there.setdefault(said, []).append(one)
    return there


def parts(version: str) -> tuple[str, str, int]:
    """The day, the run and the attempt of a version."""
    match = image.VERSION.fullmatch(version)
    if not match:
        raise runner.Failed(f"'{version}' is no version of an image")
    return match[1], match[2], int(match[3] or 1)


def made_of(ami: Mapping[str, Any]) -> str:
    """The AMI that another one is made of, as its tag says and EC2 does not deny."""
    said, seen = labels.of(ami).get(labels.PARENT, ""), ami.get("SourceImageId") or ""
    if not image.AMI.fullmatch(said):
        raise runner.Failed(f"{ami['ImageId']} has the tag {labels.PARENT}: '{said}', and no AMI's id")
    if seen not in ("", said):
        raise runner.Failed(f"{ami['ImageId']} is made of {seen}, and its tag {labels.PARENT} says {said}")
    return said


def usable(ami: Mapping[str, Any]) -> bake.Built:
    if (state := ami["State"]) != "available":
        raise runner.Failed(f"{ami['ImageId']} is {state}, and not available")
    if ami["Architecture"] not in bake.ARCHITECTURES:
        raise runner.Failed(f"{ami['ImageId']} has the architecture {ami['Architecture']}, which no gate knows")
    return bake.Built.of(ami)


def files(folder: Path) -> dict[str, str]:
    """Every file of a folder by its path there, with its SHA-256; of a link where it leads."""
    found = {}
    for place, folders, names in os.walk(bake.in_repository(folder)):
        for path in (Path(place) / name for name in (*folders, *names)):
            if path.is_symlink():
                content = os.fsencode(path.readlink())
            elif path.is_file():
                content = path.read_bytes()
            else:
                continue
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return dict(sorted(found.items()))
