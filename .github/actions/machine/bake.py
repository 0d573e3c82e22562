"""An AMI, made by EC2 Image Builder: a component for each document, a recipe, an image; then what became of it.

Source: https://docs.aws.amazon.com/imagebuilder/latest/APIReference/API_CreateImage.html, and there API_ImageState.html
and API_ImageFailureContext.html; where the log is:
https://docs.aws.amazon.com/imagebuilder/latest/userguide/monitor-cwlogs.html; what Amazon Inspector does:
https://docs.aws.amazon.com/imagebuilder/latest/userguide/integ-inspector.html
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws
import image
import labels
import runner

ENDINGS = (".yml", ".yaml")
STEM = re.compile(r"[a-z0-9]([a-z0-9_-]{0,60}[a-z0-9])?")
ARCHITECTURES = ("x86_64", "arm64")  # as EC2 calls them
INLINE = 16_000  # characters of a document that EC2 Image Builder takes
PAUSES = (1, 30)  # seconds between the first two looks, and at most
SCANNING = ("PENDING", "SCANNING", "COLLECTING")
SCANNED = 900  # seconds after the build in which a scan must have ended; it does while the image is tested
LINES = 30  # of the log, that are shown
RECIPE = "dpra:recipe"  # the tag of a recipe: what it was made of


@dataclass(frozen=True)
class Parent:
    """The AMI that an image is made of, as it was when it was asked for."""

    said: str  # as the spec names it: an id, or the parameter that gives one
    ami: str
    architecture: str  # as EC2 calls it
    device: str  # of its root


@dataclass(frozen=True)
class Built:
    ami: str
    snapshot: str  # of its only volume, the root
    architecture: str
    encrypted: bool

    @classmethod
    def of(cls, there: Mapping[str, Any]) -> "Built":
        """As EC2 describes it."""
        root = volume(there)
        return cls(there["ImageId"], root["SnapshotId"], there["Architecture"], bool(root.get("Encrypted")))


# ---- What it is made of


def documents(folder: Path) -> dict[str, str]:
    """The component documents of a folder: name without its ending -> text, in the order of names.

    Raises:
        runner.Failed: there is none, or one that EC2 Image Builder does not take.
    """
    found: dict[str, str] = {}
    for path in sorted(in_repository(folder).iterdir()):
        if path.suffix not in ENDINGS:
            runner.notice(f"{path} is no component document: those end with {' or '.join(ENDINGS)}", title="left out")
            continue
        if path.is_symlink() or not path.is_file():
            raise runner.Failed(f"{path} is not a file")
        if not STEM.fullmatch(path.stem):
            raise runner.Failed(f"{path}: a component is called by small letters, digits, hyphens and underscores")
        if path.stem in found:
            raise runner.Failed(f"{path}: there is another document of that name")
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise runner.Failed(f"{path} is no text in UTF-8") from None
        if len(text) > INLINE:
            raise runner.Failed(f"{path} has {len(text)} characters, and EC2 Image Builder takes {INLINE}: divide it")
        if not text.strip() or "\0" in text:
            raise runner.Failed(f"{path} has no text, or a zero byte in it")
        found[path.stem] = text
    if not found:
        raise runner.Failed(f"there is no component document in {folder}: no file ends with {' or '.join(ENDINGS)}")
    return found


def in_repository(folder: Path) -> Path:
    """A folder, if it is one of the repository."""
    if not folder.is_dir() or not folder.resolve().is_relative_to(Path.cwd()):
        raise runner.Failed(f"{folder} is no folder of the repository: create it, or say image.components in dpra.yml")
    return folder


def recipe_digest(parent: str, texts: Mapping[str, str], size: int) -> str:
    """What a build is made from, as far as the repository says it: the same for the same commit."""
    said = json.dumps([parent, size, list(texts.items())], ensure_ascii=True)
    return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"


def parent(region: str, said: str) -> Parent:
    """The AMI that a word means now; a parameter that is moved meanwhile changes nothing.

    Raises:
        runner.Failed: there is none that a machine could be made of.
    """
    ami = said
    if said.startswith("/"):
        ami = str(aws.call(region, "ssm", "get-parameter", Name=said)["Parameter"]["Value"])
    if not image.AMI.fullmatch(ami):
        raise runner.Failed(f"image.parent is '{said}', which gives '{ami}' and no AMI's id")
    there = described(region, ami)
    if there.get("RootDeviceType") != "ebs" or there.get("Architecture") not in ARCHITECTURES:
        raise runner.Failed(
            f"{ami} has the architecture {there.get('Architecture')} and a root of type {there.get('RootDeviceType')}: "
            "it must be x86_64 or arm64, and ebs"
        )
    volume(there)
    runner.say(f"the parent {said} is {ami}")
    return Parent(said, ami, there["Architecture"], there["RootDeviceName"])


def described(region: str, ami: str) -> dict[str, Any]:
    found = aws.call(region, "ec2", "describe-images", ImageIds=[ami])["Images"]
    if not found:
        raise runner.Failed(f"there is no AMI {ami} in {region} that the account may use")
    return dict(found[0])


def volume(there: Mapping[str, Any]) -> dict[str, Any]:
    """The only volume of an AMI. Of others nobody would look into the files.

    Raises:
        runner.Failed: it has more, or another one.
    """
    found = [one for one in there["BlockDeviceMappings"] if "Ebs" in one]
    if [one["DeviceName"] for one in found] != [there["RootDeviceName"]]:
        names = ", ".join(one["DeviceName"] for one in found)
        raise runner.Failed(f"{there['ImageId']} has the volumes {names}: it must have the root and no other")
    return dict(found[0]["Ebs"])


class Builder:
    """EC2 Image Builder in the account and region of the credentials, for one version of one image."""

    def __init__(self, region: str, component: str, version: str) -> None:
        self.region, self.component, self.version = region, component, version
        self.name, self.semantic = f"dpra-{component}", image.semantic(version)
        arn = aws.call(region, "sts", "get-caller-identity")["Arn"].split(":")
        self.base = f"arn:{arn[1]}:imagebuilder:{region}:{arn[4]}"
        self.tags = {labels.COMPONENT: component, labels.VERSION: version}

    def call(self, operation: str, **asked: Any) -> dict[str, Any]:
        return aws.call(self.region, "imagebuilder", operation, **asked)

    # ---- Making

    def component_version(self, stem: str, text: str) -> str:
        """The component of a document; its ARN."""
        name = f"{self.name}-{stem}"
        asked = {"name": name, "semanticVersion": self.semantic, "platform": "Linux", "data": text, "tags": self.tags}
        try:
            return str(self.call("create-component", **asked)["componentBuildVersionArn"])
        except aws.Refused as refused:
            raise runner.Failed(f"EC2 Image Builder does not take the document {stem}: {refused}") from refused

    def recipe(self, parent: Parent, texts: Mapping[str, str], size: int) -> str:
        """The recipe of the version; its ARN. A recipe is written once: what is there already must be the same.

        Raises:
            runner.Failed: there is another one of the version.
        """
        digest = recipe_digest(parent.said, texts, size)
        name = f"{self.base}:image-recipe/{self.name}/{self.semantic}"
        try:
            there = self.call("get-image-recipe", imageRecipeArn=name)["imageRecipe"]
        except aws.Refused as refused:
            if refused.code != "ResourceNotFoundException":
                raise
        else:
            if (there.get("tags", {}).get(RECIPE), there["parentImage"]) == (digest, parent.ami):
                runner.say(f"the recipe {self.name} {self.semantic} is there already")
                return name
            raise runner.Failed(
                f"there is a recipe {self.name} {self.semantic} already, of something else: start a new run"
            )
        made = [self.component_version(stem, text) for stem, text in texts.items()]
        asked: dict[str, Any] = {}
        if size:
            ebs = {"volumeSize": size, "deleteOnTermination": True}
            asked["blockDeviceMappings"] = [{"deviceName": parent.device, "ebs": ebs}]
        return str(
            self.call(
                "create-image-recipe",
                name=self.name,
                semanticVersion=self.semantic,
                parentImage=parent.ami,
                components=[{"componentArn": one} for one in made],
                amiTags=self.tags,
                tags={**self.tags, RECIPE: digest},
                **asked,
            )["imageRecipeArn"]
        )

    def build(self, recipe: str, infrastructure: str, inspected: bool = False) -> str:
        """Begin to build; the ARN of the image.

        Args:
            inspected: Amazon Inspector scans the instance on which the image is tested.
        """
        configuration = f"{self.base}:infrastructure-configuration/{infrastructure}"
        asked: dict[str, Any] = {"imageRecipeArn": recipe, "infrastructureConfigurationArn": configuration}
        if inspected:
            asked["imageScanningConfiguration"] = {"imageScanningEnabled": True}
        try:
            return str(self.call("create-image", **asked, tags=self.tags)["imageBuildVersionArn"])
        except aws.Refused as refused:
            if not inspected or refused.code != "ResourceDependencyException":
                raise
            raise runner.Failed(
                f"dpra.yml says image.inspector, and Image Builder refuses a scan: switch Amazon Inspector on for EC2 "
                f"in this account and {self.region}, or say image.inspector no more ({refused})"
            ) from refused

    # ---- Waiting

    def built(self, arn: str) -> Built:
        """Wait for the image, and say what becomes of it. If this is told to stop, so is the build.

        Raises:
            runner.Failed: it was not built.
        """
        try:
            said = self._awaited(arn)
        except KeyboardInterrupt:
            self.cancel(arn)
            raise runner.Failed("the build was cancelled", "error") from None
        if said["state"]["status"] != "AVAILABLE":
            self.explain(said)
            raise runner.Failed(f"EC2 Image Builder did not build it: {self.why(said)}")
        amis = said.get("outputResources", {}).get("amis", [])
        [ami] = [one["image"] for one in amis if one["region"] == self.region] or [""]
        return Built.of(described(self.region, ami))

    def _looks(self, arn: str) -> Iterator[dict[str, Any]]:
        """What GetImage says of an image: now, and again after pauses that grow."""
        pause = float(PAUSES[0])
        while True:
            yield dict(self.call("get-image", imageBuildVersionArn=arn)["image"])
            time.sleep(pause)
            pause = min(pause * 1.5, PAUSES[1])

    def _awaited(self, arn: str) -> dict[str, Any]:
        before, began = "", time.monotonic()
        for said in self._looks(arn):
            status = said["state"]["status"]
            if status != before:
                runner.say(f"{status.lower()}, after {(time.monotonic() - began) / 60:.0f} minutes")
                before = status
            if status not in ("PENDING", "CREATING", "BUILDING", "TESTING", "DISTRIBUTING", "INTEGRATING"):
                break
        return said

    def findings(self, arn: str) -> list[dict[str, Any]]:
        """What Amazon Inspector found in an image that is built, all of it, as ListImageScanFindings says it.

        Raises:
            runner.Failed: the scan did not end, or it is not all.
        """
        until = time.monotonic() + SCANNED
        for said in self._looks(arn):
            state = said.get("scanState") or {}
            if state.get("status") not in SCANNING or time.monotonic() > until:
                break
        if state.get("status") != "COMPLETED":
            raise runner.Failed(
                f"Amazon Inspector did not scan it: {str(state.get('status') or 'no scan').lower()}, "
                f"{state.get('reason') or 'no reason is given'}; run the job again, and see whether Inspector knows "
                "the distribution and Systems Manager manages its instances, or say image.inspector no more"
            )
        filters = [{"name": "imageBuildVersionArn", "values": [arn]}]
        answer = self.call("list-image-scan-findings", filters=filters)  # the CLI asks for all pages
        if answer.get("nextToken"):
            raise runner.Failed(
                "the AWS CLI did not ask for all of Amazon Inspector's findings: it is too old", "error"
            )
        return list(answer["findings"])

    def cancel(self, arn: str) -> None:
        try:
            self.call("cancel-image-creation", imageBuildVersionArn=arn, clientToken=os.urandom(16).hex())
            runner.say(f"{arn} is cancelled")
        except aws.Refused as refused:
            runner.warning(f"{arn} is not cancelled: {refused}", title="a build goes on")

    # ---- What went wrong

    def why(self, said: Mapping[str, Any]) -> str:
        """In one line; the words are those of EC2 Image Builder and of the component.

        An AWS CLI that is older than failureContext leaves it out: then the reason names the component, and the log
        the step."""
        state = said["state"]
        context, reason = state.get("failureContext") or {}, str(state.get("reason") or "no reason is given")
        if one := context.get("distributionFailure"):
            return f"its distribution failed: {one.get('errorMessage')}"
        one = context.get("componentFailure") or {}
        named = re.search(rf":component/{re.escape(self.name)}-([a-z0-9_-]+)/", str(one.get("componentArn") or reason))
        component = f"the component {named[1]}" if named else "a component"
        if one:
            place = f"phase {one.get('phaseName')}, step {one.get('stepName')} ({one.get('action')})"
            return f"{component}, {place}: {one.get('errorMessage')}"
        return f"{f'{component}: ' if named else ''}{state['status'].lower()}: {reason}"

    def explain(self, said: Mapping[str, Any]) -> None:
        """Show its reason, and the last lines of its log, if there is one that may be read."""
        runner.say(str(said["state"].get("reason") or ""))
        named = (said.get("loggingConfiguration") or {}).get("logGroupName")
        group = named or f"/aws/imagebuilder/{said['name']}"
        stream = "/".join(str(said["arn"]).split("/")[2:])
        asked = {"logGroupName": group, "logStreamName": stream, "limit": LINES, "startFromHead": False}
        try:
            events = aws.call(self.region, "logs", "get-log-events", **asked)["events"]
        except aws.Refused as refused:
            runner.say(f"its log, {group} {stream}, cannot be read: {refused.code}")
            return
        runner.say(f"the last lines of its log, {group} {stream}:")
        for event in events:
            runner.say(f"  {event['message']}")


def lend(region: str, built: Built, account: str) -> None:
    """Let another account use the AMI: start instances of it, and copy it.

    Raises:
        runner.Failed: it is encrypted, and so cannot be lent.
    """
    if built.encrypted:
        raise runner.Failed(
            f"{built.ami} is encrypted by the account's own key, with which no other account can use it: switch the "
            "account's EBS encryption by default off, and encrypt what production makes of it"
        )
    added = [{"UserId": account}]
    aws.call(region, "ec2", "modify-image-attribute", ImageId=built.ami, LaunchPermission={"Add": added})
    asked = {"SnapshotId": built.snapshot, "Attribute": "createVolumePermission"}
    aws.call(region, "ec2", "modify-snapshot-attribute", **asked, CreateVolumePermission={"Add": added})
    runner.say(f"{built.ami} is lent to {account}")
