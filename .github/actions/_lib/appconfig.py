"""AWS AppConfig as a component's stack has it in a region: profiles, versions, deployments, and what tags say of them.

The tags of the environment are dpra's memory of the region; AppConfig takes [a-zA-Z+-=._:/] in them, no blanks:

    dpra:released           digest and commit of the release that is deployed there; gone while one is being deployed
    dpra:version:<profile>  number and label of the version that dpra deployed last
    dpra:off:<flag>         run and time (UTC) of the emergency that switched the flag off
    dpra:monitor:<number>:…  a monitor that is off while something is deployed; see monitors.py
"""

import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aws
import runner
import stacks
from deployment import Target, polls

RELEASED, VERSION, OFF, MONITOR = "dpra:released", "dpra:version:", "dpra:off:", "dpra:monitor:"
MARK, EMERGENCY = "dpra:", "dpra:off "  # begin the description of dpra's own deployments
FLAGS = "AWS.AppConfig.FeatureFlags"
UNDER_WAY = ("DEPLOYING", "BAKING", "VALIDATING", "ROLLING_BACK")
INDEX = "configuration/index.json"
STAMPS = ("_createdAt", "_updatedAt")  # AppConfig writes them into a document of flags
Deployment = Mapping[str, Any]
Row = tuple[str, str, str, str]  # profile, key, one value, the other one


# ---- What a release brings


@dataclass(frozen=True)
class Document:
    """What a release has for a profile in an environment."""

    profile: str
    kind: str  # AWS.AppConfig.FeatureFlags or AWS.Freeform
    content_type: str
    content: bytes

    @property
    def label(self) -> str:
        """By which its version is known: the same content is never stored twice."""
        return f"dpra-{hashlib.sha256(self.content).hexdigest()[:32]}"

    @property
    def flags(self) -> dict[str, Any]:
        """Flag -> its value; empty where it has no flags."""
        return dict(json.loads(self.content).get("values", {})) if self.kind == FLAGS else {}


def documents(release: Path, environment: str) -> list[Document]:
    """The documents of a verified release for the environment, in the order of their deployment."""
    try:
        with zipfile.ZipFile(release / "package.zip") as package:
            found = [
                Document(
                    one["name"],
                    one["type"],
                    one["content-type"],
                    package.read(f"configuration/{environment}/{one['file']}"),
                )
                for one in json.loads(package.read(INDEX))["profiles"]
            ]
    except (LookupError, ValueError, TypeError) as problem:
        raise runner.Failed(
            f"the package has no compiled configuration of {environment} ({problem}): build it with dpra's check"
        ) from problem
    if strange := [one.content_type for one in found if not re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", one.content_type)]:
        raise runner.Failed(f"'{strange[0]}' is not a content type")  # the CLI would fetch one that is file://...
    return found


def is_off(value: Mapping[str, Any]) -> bool:
    """Whether a flag's value turns it on for nobody."""
    return not any(one.get("enabled") for one in (value, *value.get("_variants", [])))


def switched_off(document: Document, flags: Collection[str]) -> Document:
    """The document with these flags off, for everybody."""
    if not (wanted := {name for name, value in document.flags.items() if name in flags and not is_off(value)}):
        return document
    said = json.loads(document.content)
    for name in wanted:
        value = said["values"][name]
        for one in (*([value] if "enabled" in value else []), *value.get("_variants", [])):
            one["enabled"] = False
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return replace(document, content=f"{text}\n".encode())


# ---- What is there


@dataclass(frozen=True)
class Place:
    """The AppConfig of a stack."""

    region: str
    application: str  # ids
    environment: str
    arn: str  # of the environment
    profiles: Mapping[str, str]  # name -> id
    strategies: Sequence[str]
    tags: Mapping[str, str]
    deployments: Sequence[Deployment]  # the latest first

    @property
    def ids(self) -> dict[str, str]:
        return {"ApplicationId": self.application, "EnvironmentId": self.environment}

    def words(self, profile: str) -> tuple[str, ...]:
        """The profile, for the operations that answer into a file: the CLI takes their parameters as words only."""
        return ("--application-id", self.application, "--configuration-profile-id", self.profiles[profile])

    @property
    def latest(self) -> int:
        """The number of the latest deployment; 0 where there was none."""
        return int(self.deployments[0]["DeploymentNumber"]) if self.deployments else 0

    @property
    def under_way(self) -> list[Deployment]:
        return [one for one in self.deployments if one["State"] in UNDER_WAY]

    @property
    def offs(self) -> dict[str, str]:
        """Flag -> run and time, of those that an emergency switched off."""
        return {key.removeprefix(OFF): said.replace("/", " ") for key, said in self.tags.items() if key.startswith(OFF)}

    def of(self, deployment: Deployment) -> str:
        """The name of the deployment's profile; empty where that is gone."""
        own = deployment.get("ConfigurationProfileId")
        return next((name for name, one in self.profiles.items() if one == own), "")

    def completed(self, profile: str) -> list[Deployment]:
        """The profile's deployments that stand; the first one is what is deployed."""
        own = self.profiles.get(profile)
        of_it = [one for one in self.deployments if one.get("ConfigurationProfileId") == own]
        return [one for one in of_it if one["State"] == "COMPLETE"]

    def deployed(self, profile: str) -> str:
        """The number of the version that is deployed; empty where none is."""
        found = self.completed(profile)
        return str(found[0]["ConfigurationVersion"]) if found else ""

    def remembered(self, profile: str) -> str:
        """The number of the version that dpra deployed last."""
        return self.tags.get(f"{VERSION}{profile}", "").partition("/")[0]

    def has(self, document: Document) -> bool:
        """Whether the document is what is deployed."""
        found = self.completed(document.profile)
        return bool(found) and found[0].get("VersionLabel") == document.label


def look(target: Target) -> Place | None:
    """What the stack has; None where there is no such stack yet.

    Raises:
        runner.Failed: its template makes no application and environment, or several.
    """
    region = target.region
    stack = stacks.describe(region, target.stack)
    if stack.get("StackStatus", "REVIEW_IN_PROGRESS") == "REVIEW_IN_PROGRESS":
        return None
    made: dict[str, list[str]] = {}
    for one in aws.call(region, "cloudformation", "list-stack-resources", StackName=target.stack).get(
        "StackResourceSummaries", []
    ):
        if one["ResourceStatus"] != "DELETE_COMPLETE" and one.get("PhysicalResourceId"):
            kind = one["ResourceType"].removeprefix("AWS::AppConfig::")
            made.setdefault(kind, []).append(one["PhysicalResourceId"].rpartition("|")[2])  # application|id, or id
    if not made.get("Application") and not made.get("Environment"):
        return None  # its creation failed, or the component was something else before
    for kind in ("Application", "Environment"):
        if len(made.get(kind, [])) != 1:
            raise runner.Failed(
                f"the stack {target.stack} has {len(made.get(kind, []))} AWS::AppConfig::{kind}: its template must "
                "make one",
                "error",
            )
    [application], [environment] = made["Application"], made["Environment"]
    partition = stack["StackId"].split(":")[1]
    arn = f"arn:{partition}:appconfig:{region}:{target.account}:application/{application}/environment/{environment}"
    listed = aws.call(region, "appconfig", "list-configuration-profiles", ApplicationId=application).get("Items", [])
    ids = {"ApplicationId": application, "EnvironmentId": environment}
    deployments = aws.call(region, "appconfig", "list-deployments", **ids).get("Items", [])
    return Place(
        region=region,
        application=application,
        environment=environment,
        arn=arn,
        # One that a release took out of the stack stays in the application: AppConfig deletes none that has versions.
        profiles={one["Name"]: one["Id"] for one in listed if one["Id"] in made.get("ConfigurationProfile", [])},
        strategies=made.get("DeploymentStrategy", []),
        tags=_tags(region, arn),
        deployments=sorted(deployments, key=lambda one: -int(one["DeploymentNumber"])),
    )


def tagged(place: Place) -> Place:
    """The same with the tags that it has now."""
    return replace(place, tags=_tags(place.region, place.arn))


def _tags(region: str, arn: str) -> dict[str, str]:
    return aws.call(region, "appconfig", "list-tags-for-resource", ResourceArn=arn).get("Tags", {})


def tag(place: Place, tags: Mapping[str, str]) -> None:
    aws.call(place.region, "appconfig", "tag-resource", ResourceArn=place.arn, Tags=dict(tags))


def untag(place: Place, keys: Sequence[str]) -> None:
    aws.call(place.region, "appconfig", "untag-resource", ResourceArn=place.arn, TagKeys=[*keys])


def described(place: Place, number: int) -> dict[str, Any]:
    """The deployment with its description and its events, which lists have not."""
    return aws.call(place.region, "appconfig", "get-deployment", **place.ids, DeploymentNumber=number)


def told(about: Deployment) -> str:
    """A deployment, as `described` has it, in words."""
    return (
        f"deployment {about['DeploymentNumber']} of {about.get('ConfigurationName', 'a profile')} is {about['State']}, "
        f"{about.get('PercentageComplete', 0):g}% ({about.get('Description') or 'without a description'})"
    )


def ended(place: Place, number: int) -> dict[str, Any]:
    """The deployment, once it has ended; its progress and its events are shown on the way."""
    seen: set[str] = set()
    for _ in polls():
        now = described(place, number)
        name = now.get("ConfigurationName", "")
        events = [
            f"{name}: {one.get('EventType', '')}  {one.get('Description', '')}  {one.get('OccurredAt', '')}"
            for one in reversed(now.get("EventLog", []))  # AppConfig lists the latest first
        ]
        for line in (*events, f"{name}: {now['State']}, {now.get('PercentageComplete', 0):g}%"):
            if line not in seen:
                seen.add(line)
                runner.say(line)
        if now["State"] not in UNDER_WAY:
            return now
    raise AssertionError("polls has no end")


def stop(place: Place, number: int) -> dict[str, Any]:
    """Have AppConfig take a deployment back: one in progress, or one of the last 72 hours; how it ended."""
    aws.call(place.region, "appconfig", "stop-deployment", **place.ids, DeploymentNumber=number, AllowRevert=True)
    return ended(place, number)


def reason(deployment: Deployment) -> str:
    """Why AppConfig took it back, as its events say."""
    said = [
        f"{one.get('Description') or one['EventType']} ({one.get('TriggeredBy', 'unknown')})"
        for one in reversed(deployment.get("EventLog", []))
        if one.get("EventType") in ("ROLLBACK_STARTED", "ROLLBACK_COMPLETED", "REVERT_COMPLETED")
    ]
    return "; ".join(said) or "its events give no reason"


def stored(place: Place, profile: str, number: str) -> bytes:
    """The content of a profile's version; nothing where there is none, or no more."""
    if not number.isdigit():
        return b""
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        path = Path(folder, "content")
        words = (*place.words(profile), "--version-number", number, str(path))
        try:
            aws.call(place.region, "appconfig", "get-hosted-configuration-version", *words)
        except aws.Refused as refused:
            if refused.code == "ResourceNotFoundException":
                return b""
            raise
        return path.read_bytes()


def has_flag(place: Place, deployment: Deployment, flag: str) -> bool:
    """Whether what a deployment brings has the flag."""
    content = (
        stored(place, profile, str(deployment["ConfigurationVersion"])) if (profile := place.of(deployment)) else b""
    )
    try:
        return flag in json.loads(content)["values"]
    except (ValueError, LookupError, TypeError):
        return False  # it is no document of flags


# ---- Differences


def differences(profile: str, one: bytes, other: bytes) -> list[Row]:
    """What differs, key by key, both values: JSON by its paths, text by its lines."""
    before, after = dict(_leaves(one)), dict(_leaves(other))
    return [
        (profile, key, before.get(key, "-"), after.get(key, "-"))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    ]


def _leaves(content: bytes) -> Iterator[tuple[str, str]]:
    text = content.decode(errors="replace")
    try:
        yield from _paths(json.loads(text), "")
    except ValueError:
        yield from ((f"line {number}", line) for number, line in enumerate(text.splitlines(), 1))


def _paths(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key in sorted(value.keys() - {*STAMPS}):
            yield from _paths(value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            name = item["name"] if isinstance(item, dict) and isinstance(item.get("name"), str) else number
            yield from _paths(item, f"{path}[{name}]")
    else:
        yield path or "the document", json.dumps(value, ensure_ascii=False)


def drift(place: Place) -> list[Row]:
    """What somebody else changed: profile, key, the value that dpra deployed, the value that is deployed.

    While a release is being deployed, or after one that did not end, what dpra itself deployed is no drift."""
    found: list[Row] = []
    for profile in place.profiles:
        ours, there = place.remembered(profile), place.deployed(profile)
        if ours == there or not any(place.of(one) == profile for one in place.deployments):
            continue  # a profile that was made anew has the name of one that is remembered
        if there:
            about = described(place, place.completed(profile)[0]["DeploymentNumber"])
            if str(about.get("Description", "")).startswith(EMERGENCY if RELEASED in place.tags else MARK):
                continue  # its runner was lost before it could remember it
        rows = differences(profile, stored(place, profile, ours), stored(place, profile, there))
        found += rows or [(profile, "version", ours or "-", there or "-")]
    return found
