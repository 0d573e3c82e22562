# deploys: stacks
# pipelines: application
# needs: cloudformation
# execution-role: cloudformation
# infrastructure: cdk
# changes: cloudformation:ExecuteChangeSet
"""AWS CDK: the cloud assembly in the package, as the build synthesised it. The CDK's own command is never called.

Source of the assembly's form: https://github.com/aws/aws-cdk-cli, packages/@aws-cdk/cloud-assembly-schema.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws
import deployment
import runner
import stacks
from deployers import cloudformation
from deployment import Change, Done, Target

LARGEST = 51_200  # bytes of a template in a request; a larger one is taken from the bucket of assets
ANY = ("unknown-account", "unknown-region")


@dataclass(frozen=True)
class Stack:
    """A stack of the assembly."""

    name: str
    template: Path
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Asset:
    """A file of the assembly and where a stack expects it."""

    path: Path
    bucket: str
    key: str


def deploy(target: Target, change: Change) -> Done:
    """Upload what the stacks refer to, then make them one by one in the assembly's order.

    The change set of a stack may depend on the stack before it: that one is shown and made first."""
    folder = deployment.unpack(change) / str(target.settings.get("assembly") or "cdk.out")
    stacks, assets = read(target, folder)
    kinds = {stack.name: cloudformation.change_set_type(target.region, stack.name) for stack in stacks}
    runner.say(f"stacks: {', '.join(kinds)}; files: {len(assets)}")
    places = {asset.path: upload(target, asset) for asset in assets}
    started, done, begun = deployment.timestamp(), [], False
    found: dict[str, str] = {}
    for stack in stacks:
        planned = cloudformation.plan(
            *(target, change, stack.name, kinds[stack.name], template(target, stack, places)),
            stack.properties.get("parameters", {}),
            more_tags=stack.properties.get("tags", {}),
            capabilities=(*cloudformation.PLAIN, "CAPABILITY_AUTO_EXPAND"),
        )
        if not begun:
            change.before()
            begun = True
        found |= cloudformation.outputs(cloudformation.execute(target.region, stack.name, planned))
        done.append(planned.change_set)
    return Done(" ".join(done), started, found)


def settled(target: Target) -> None:
    for stack in target.stack.split():
        cloudformation.settle(target.region, stack)


def running(target: Target) -> str:
    """The digest that all of its stacks have; none where they differ."""
    found = {
        cloudformation.tags(stacks.describe(target.region, stack)).get("dpra:digest", "")
        for stack in target.stack.split()
    }
    return found.pop() if len(found) == 1 else ""


def read(target: Target, folder: Path) -> tuple[list[Stack], list[Asset]]:
    """The stacks to deploy, each behind those that it depends on, and their files.

    Raises:
        runner.Failed: it is no assembly, or one that cannot be deployed to this target.
    """
    try:
        artifacts: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())["artifacts"]
    except (OSError, ValueError, LookupError, TypeError) as problem:
        raise runner.Failed(
            f"the package has no cloud assembly in {folder.name}: pack what cdk synth made"
        ) from problem
    there = {
        artifact.get("properties", {}).get("stackName", name): name
        for name, artifact in artifacts.items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    if missing := [name for name in target.stack.split() if name not in there]:
        raise runner.Failed(
            f"the assembly has no stack {missing[0]}: set deploy.cdk.stacks to some of {', '.join(sorted(there))}"
        )
    order: dict[str, None] = {}

    def take(name: str) -> None:
        for needed in artifacts[name].get("dependencies", []):
            if needed in artifacts and needed not in order:
                take(needed)
        order[name] = None

    for stack in target.stack.split():
        take(there[stack])
    stacks, assets = [], {}
    for name in order:
        artifact = artifacts[name]
        properties = artifact.get("properties", {})
        if artifact["type"] == "aws:cdk:asset-manifest":
            manifest = json.loads((folder / properties["file"]).read_bytes())
            for one in found(target, folder, manifest):
                assets[one.bucket, one.key] = one
        elif artifact["type"] == "aws:cloudformation:stack":
            stack = properties.get("stackName", name)
            if stack not in target.stack.split():
                raise runner.Failed(f"{target.stack} needs the stack {stack}: name it in deploy.cdk.stacks, too")
            account, region = str(artifact["environment"]).removeprefix("aws://").split("/")
            if account not in (target.account, ANY[0]) or region not in (target.region, ANY[1]):
                raise runner.Failed(
                    f"the stack {stack} is for {account} {region}, not {target.account} {target.region}: synthesise it"
                )
            stacks.append(Stack(stack, folder / properties["templateFile"], properties))
    return stacks, list(assets.values())


def found(target: Target, folder: Path, manifest: Mapping[str, Any]) -> list[Asset]:
    """The files of an asset manifest."""
    if manifest.get("dockerImages"):
        raise runner.Failed(
            "the assembly has a container image to build, and a deployment builds nothing: set language: container, and"
            " give the stack its image by a parameter ImageUri"
        )
    assets = []
    for one in manifest.get("files", {}).values():
        source = one["source"]
        if "executable" in source:
            raise runner.Failed("the assembly has an asset that a program makes: only files and folders are deployed")
        path = folder / source["path"]
        if not path.resolve().is_relative_to(folder.resolve()) or not path.exists():
            raise runner.Failed(f"the asset {source['path']} is not in the assembly: pack all of it")
        for destination in one["destinations"].values():
            if destination.get("region") not in (None, target.region, "${AWS::Region}"):
                continue  # of another region's copy of the stack
            bucket, key = (filled(target, str(destination[name])) for name in ("bucketName", "objectKey"))
            assets.append(Asset(zipped(path) if source.get("packaging") == "zip" else path, bucket, key))
    return assets


def filled(target: Target, text: str) -> str:
    """A text of the assembly with what only the deployment knows."""
    partition = "aws"
    for word, value in (("AccountId", target.account), ("Region", target.region), ("Partition", partition)):
        text = text.replace(f"${{AWS::{word}}}", value)
    return text


def zipped(path: Path) -> Path:
    """The folder as one file. Its key is the hash of its content: the same key never has another."""
    archive = path.with_name(f"{path.name}.zip")
    if not path.is_dir():
        return path
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                entry = zipfile.ZipInfo(file.relative_to(path).as_posix(), (1980, 1, 1, 0, 0, 0))
                entry.external_attr = file.stat().st_mode << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(entry, file.read_bytes())
    return archive


def upload(target: Target, asset: Asset) -> str:
    """Put a file where a stack expects it, once; its address."""
    try:
        aws.call(
            *(target.region, "s3api", "put-object", "--body", str(asset.path)),
            Bucket=asset.bucket,
            Key=asset.key,
            IfNoneMatch="*",
            ExpectedBucketOwner=target.account,  # nobody else's bucket of that name
        )
    except aws.Refused as refused:
        if refused.code == "NoSuchBucket":
            raise runner.Failed(
                f"there is no bucket {asset.bucket}: run cdk bootstrap in {target.account} {target.region}"
            ) from refused
        if refused.code not in ("PreconditionFailed", "412"):
            raise
    return f"https://{asset.bucket}.s3.{target.region}.{aws.domain(target.region)}/{asset.key}"


def template(target: Target, stack: Stack, places: Mapping[Path, str]) -> dict[str, str]:
    """The stack's template for a request."""
    if stack.template.stat().st_size <= LARGEST:
        return {"TemplateBody": stack.template.read_text(encoding="utf-8")}
    if stack.template not in places:
        raise runner.Failed(
            f"the template of {stack.name} has more than {LARGEST} bytes and is no asset: "
            "use the CDK's DefaultStackSynthesizer"
        )
    return {"TemplateURL": places[stack.template]}
