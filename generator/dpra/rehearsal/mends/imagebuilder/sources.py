"""What an image is made from: AMIs of EC2, parameters that name them, images of Image Builder, and AWS's own."""

import re
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ssm.models import ssm_backends

from dpra.names import arn

from .api import invalid

# AWS's components, as documents. There is nothing to do where what is tested does not boot.
STEP = "schemaVersion: 1.0\nphases: [{name: build, steps: [{name: Run, action: %s}]}]"
COMPONENTS = {
    "reboot-linux": STEP % "Reboot",
    "reboot-test-linux": STEP % "Reboot",
    "simple-boot-test-linux": STEP % "Reboot",
    "update-linux": STEP % "UpdateOS",
}
AMAZON = re.compile(r"arn:[^:]+:imagebuilder:[^:]+:aws:(component|image)/([a-z0-9-_]+)/.+")
NEWEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


def managed(name: str) -> str:
    """The name of a component or an image of AWS's own; empty for another ARN."""
    found = AMAZON.fullmatch(name)
    return found[2] if found else ""


def image(store: Any, named: str, parameter: str) -> Any:
    """moto's AMI that an id, `ssm:` with a parameter's name or ARN, or the ARN of an image means.

    Raises:
        Problem: there is none in this region that the account may use."""
    wanted = named
    if managed(named):
        wanted = f"ssm:{NEWEST}"
    elif named.startswith("arn:"):
        wanted = built(store, named, parameter)
    if wanted.startswith("ssm:"):
        key = re.sub(r"arn:[^:]+:ssm:[^:]+:[0-9]*:parameter", "", wanted.removeprefix("ssm:"))
        ssm = ssm_backends[store.account_id][store.region_name]
        found = ssm.get_parameter(key) or ssm.get_parameter(key.removeprefix("/"))
        if found is None:
            raise invalid(parameter, f"there is no parameter {key} in {store.region_name}")
        wanted = found.value
    ec2 = ec2_backends[store.account_id][store.region_name]
    amis = ec2.describe_images(filters={"image-id": wanted})
    if not amis or amis[0].state != "available":
        raise invalid(parameter, f"there is no AMI {wanted} in {store.region_name} that the account may use")
    return amis[0]


def built(store: Any, name: str, parameter: str) -> str:
    """The AMI of an image in this region."""
    from .images import available

    for ami in available(store, name).amis:
        if (ami["accountId"], ami["region"]) == (store.account_id, store.region_name):
            return str(ami["image"])
    raise invalid(parameter, f"{name} has no AMI in {store.region_name}")


def amazon(store: Any, *path: str) -> str:
    """The ARN of something of AWS's own."""
    return arn(store.region_name, "imagebuilder", "aws", "/".join(path))
