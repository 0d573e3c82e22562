"""What Image Builder does on an instance: it builds an image from its components, and tests it on another instance."""

import shutil
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends

from dpra.dataclasses import dataclass
from dpra.names import partition

from ... import permissions, roots
from .. import machines
from ..protocol import now
from . import documents, sources

MANAGED = "ssm:UpdateInstanceInformation"  # what the agent of an instance needs first


class Unbuilt(Exception):
    """An image could not be made. `str()` says why, as Image Builder words it; `context` is its failureContext."""

    def __init__(self, why: str, status: str = "Failed", **context: Any) -> None:
        super().__init__(why)
        self.status, self.context = status, context


@dataclass(frozen=True)
class Part:
    """A component of an image."""

    arn: str
    parameters: Mapping[str, str]


def build(store: Any, image: Any) -> str:
    """The id of the AMI that is made of an image's parent: all components build, then all validate."""
    manageable(store, image.profile)
    try:
        root = roots.copy(roots.of_image(image.parent))
    except roots.Unavailable as error:
        raise Unbuilt(str(error)) from error
    apply(store, image, root, "ApplyBuildComponents")
    ec2 = ec2_backends[store.account_id][store.region_name]
    recipe = image.said["imageRecipe"]
    moment = str(image.said["dateCreated"]).partition("+")[0].replace(":", "-")
    made = machines.register(
        ec2, f"{image.said['name']} {moment}Z", recipe.get("description", ""), ec2.amis.get(image.parent)
    )
    machines.mark(made, image.arn, recipe.get("amiTags", {}))
    for ebs in (one.get("ebs", {}) for one in recipe.get("blockDeviceMappings", ())[:1]):
        machines.sized(made, ebs.get("encrypted", False), ebs.get("volumeSize", machines.SIZE))
    roots.KEPT[made.id] = root
    return str(made.id)


def test(store: Any, image: Any) -> None:
    """Its components test on an instance of their own: what they leave there is in no AMI."""
    root = roots.copy(roots.of_image(image.built))
    try:
        apply(store, image, root, "ApplyTestComponents")
    finally:
        shutil.rmtree(root)


def manageable(store: Any, name: str) -> None:
    """Refuse where the agent of the instance would not be let.

    Source of the words: https://github.com/aws-samples/amazon-ec2-image-builder-samples/issues/30"""
    profiles = iam_backends[store.account_id][partition(store.region_name)].instance_profiles.values()
    roles = [role for profile in profiles if profile.name == name for role in profile.roles]
    if not roles or permissions.refusal(roles[0], MANAGED, "*", {}):
        raise Unbuilt("SSM Agent verification failed", "TimedOut")


def apply(store: Any, image: Any, root: Path, step: str) -> None:
    """Run phases: each of them of all components."""
    for phase, part in product(documents.PHASES[step], image.components):
        lines: list[str] = []
        try:
            if (name := sources.managed(part.arn)) and name not in sources.COMPONENTS:
                raise documents.Broken(phase, step, "", f"not supported by the rehearsal: AWS's component {name}")
            said = sources.COMPONENTS[name] if name else store.components[part.arn]["data"]
            document = documents.read(said)
            documents.run(document, (phase,), part.parameters, root, lines)
        except documents.Broken as broken:
            failure = {
                "componentArn": part.arn.replace("/x.x.x", "/1.0.0/1"),
                "phaseName": broken.phase,
                "stepName": broken.step,
                "action": broken.action or "none",
                "errorMessage": broken.said[:1024],
            }
            why = f"Document {part.arn} failed!"
            if broken.said.startswith("not supported"):
                why = f"{why} ({broken.said})"
            raise Unbuilt(why, failedStep=step, componentFailure=failure) from broken
        except roots.Unavailable as error:
            raise Unbuilt(str(error)) from error
        finally:
            image.log += lines
            logged(store, image, lines)


def logged(store: Any, image: Any, lines: list[str]) -> None:
    """What steps print is in CloudWatch Logs: the group of the image's name, a stream for each build.

    Source: https://docs.aws.amazon.com/imagebuilder/latest/userguide/monitor-cwlogs.html"""
    if not lines:
        return
    logs = logs_backends[store.account_id][store.region_name]
    named = image.said.get("loggingConfiguration", {}).get("logGroupName")
    group, stream = named or f"/aws/imagebuilder/{image.said['name']}", str(image.said["version"])
    if group not in logs.groups:
        logs.create_log_group(group, {})
    if stream not in logs.groups[group].streams:
        logs.create_log_stream(group, stream)
    moment = int(now() * 1000)
    logs.groups[group].put_log_events(stream, [{"timestamp": moment, "message": line} for line in lines])
