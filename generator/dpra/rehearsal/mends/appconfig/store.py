"""AWS AppConfig: applications, environments, profiles, hosted versions, strategies and tags of an account."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, TypeVar

from moto.core.base_backend import BackendDict, BaseBackend

from dpra.dataclasses import dataclass
from dpra.names import arn

from ..protocol import Answer, Asked, Problem, Said
from . import api
from .api import serves
from .flags import FLAGS, stamped

Key = TypeVar("Key")
Thing = TypeVar("Thing")
PAGE = 50
LARGEST = 2 * 1024  # KB of a hosted version, by default
HOSTED = "hosted"
TAGGED = re.compile(r"[a-zA-Z+-=._:/]*")  # as the text of TagResource says

# Source: list-deployment-strategies in the AWS CLI's examples, and
# https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-creating-deployment-strategy-predefined.html
PREDEFINED = {
    f"AppConfig.{name}": {
        "Id": f"AppConfig.{name}",
        "Name": f"AppConfig.{name}",
        "Description": description,
        "DeploymentDurationInMinutes": minutes,
        "GrowthType": growth,
        "GrowthFactor": factor,
        "FinalBakeTimeInMinutes": bake,
        "ReplicateTo": "NONE",
    }
    for name, description, minutes, growth, factor, bake in (
        ("AllAtOnce", "Quick", 0, "LINEAR", 100.0, 10),
        ("Linear50PercentEvery30Seconds", "Test/Demo", 1, "LINEAR", 50.0, 1),
        ("Canary10Percent20Minutes", "AWS Recommended", 20, "EXPONENTIAL", 10.0, 10),
        ("Linear20PercentEvery6Minutes", "AWS Recommended", 30, "LINEAR", 20.0, 30),
    )
}


@dataclass
class Version:
    """A hosted version of a profile."""

    number: int
    content: bytes
    said: Said  # ContentType, and what else was told

    @property
    def label(self) -> str:
        return str(self.said.get("VersionLabel", ""))


@dataclass
class Profile:
    said: Said
    versions: dict[int, Version] = field(default_factory=dict)
    last: int = 0  # number that was given out: none is given twice


@dataclass
class Environment:
    said: Said
    state: str = "READY_FOR_DEPLOYMENT"
    deployments: dict[int, Any] = field(default_factory=dict)  # deployments.Deployment


@dataclass
class Application:
    said: Said
    profiles: dict[str, Profile] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)


class Store(BaseBackend):
    """What an account has in a region."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.applications: dict[str, Application] = {}
        self.strategies: dict[str, Said] = {name: dict(said) for name, said in PREDEFINED.items()}
        self.tags: dict[str, dict[str, str]] = {}  # by ARN
        self.sessions: dict[str, Any] = {}  # token -> data.Session

    def arn(self, *path: str) -> str:
        return arn(self.region_name, "appconfig", self.account_id, "/".join(path))

    def application(self, asked: Asked) -> Application:
        return named(self.applications, asked["ApplicationId"], "Application")

    def environment(self, asked: Asked) -> Environment:
        return named(self.application(asked).environments, asked["EnvironmentId"], "Environment")

    def profile(self, asked: Asked) -> Profile:
        return named(self.application(asked).profiles, asked["ConfigurationProfileId"], "ConfigurationProfile")

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Add tags.

        Raises:
            Problem: a tag of AWS's own, or more than 50."""
        if reserved := [key for key in tags if key.lower().startswith("aws:")]:
            raise Problem("BadRequestException", f"aws: prefixed tag key names are not allowed: {', '.join(reserved)}")
        if strange := [text for pair in tags.items() for text in pair if not TAGGED.fullmatch(text)]:
            raise Problem("BadRequestException", f"the valid character set is {TAGGED.pattern}, not {strange[0]!r}")
        if len(together := {**self.tags.get(name, {}), **tags}) > PAGE:
            raise Problem("BadRequestException", f"{name} would have {len(together)} tags: at most 50")
        self.tags[name] = together

    def forget(self, *path: str) -> None:
        """What is deleted has no tags, nor has what was in it."""
        gone = self.arn(*path)
        self.tags = {name: tags for name, tags in self.tags.items() if name != gone and not name.startswith(f"{gone}/")}


STORES = BackendDict(Store, "appconfig")


def answer(account: str, region: str, environ: Mapping[str, Any]) -> Answer:
    """What an account's AppConfig, or its data plane, answers to a request with `dpra.body`."""
    return api.answer(STORES[account][region], environ)


def named(found: Mapping[Key, Thing], name: Key, kind: str) -> Thing:
    if name not in found:
        raise Problem("ResourceNotFoundException", f"{kind} not found for ID: {name}", ResourceName=name)
    return found[name]


def new_id() -> str:
    return secrets.token_hex(4)[:7]


def told(asked: Asked, *names: str) -> Said:
    return {name: asked[name] for name in names if name in asked}


def page(items: Iterable[Said], asked: Asked) -> Said:
    """The page of a list that is asked for."""
    listed, token = list(items), asked.get("NextToken", "0")
    if not token.isdecimal():
        raise Problem("BadRequestException", f"NextToken is {token}, which was not given out")
    start, most = int(token), asked.get("MaxResults", PAGE)
    more = {"NextToken": str(start + most)} if len(listed) > start + most else {}
    return {"Items": listed[start : start + most], **more}


# ---- Applications


@serves
def create_application(store: Store, asked: Asked) -> Said:
    made = Application({"Id": new_id(), **told(asked, "Name", "Description")})
    store.tag(store.arn("application", made.said["Id"]), asked.get("Tags", {}))
    store.applications[made.said["Id"]] = made
    return made.said


@serves
def get_application(store: Store, asked: Asked) -> Said:
    return store.application(asked).said


@serves
def list_applications(store: Store, asked: Asked) -> Said:
    return page((application.said for application in store.applications.values()), asked)


@serves
def update_application(store: Store, asked: Asked) -> Said:
    application = store.application(asked)
    application.said |= told(asked, "Name", "Description")
    return application.said


@serves
def delete_application(store: Store, asked: Asked) -> None:
    application = store.application(asked)
    if application.environments or application.profiles:
        raise Problem(
            "BadRequestException",
            f"Cannot delete application {asked['ApplicationId']}: it has environments or profiles",
        )
    del store.applications[asked["ApplicationId"]]
    store.forget("application", asked["ApplicationId"])


# ---- Environments

OF_ENVIRONMENT = ("Name", "Description", "Monitors")


@serves
def create_environment(store: Store, asked: Asked) -> Said:
    application = store.application(asked)
    made = Environment({"ApplicationId": asked["ApplicationId"], "Id": new_id(), **told(asked, *OF_ENVIRONMENT)})
    name = store.arn("application", asked["ApplicationId"], "environment", made.said["Id"])
    store.tag(name, asked.get("Tags", {}))
    application.environments[made.said["Id"]] = made
    return shown(made)


def shown(environment: Environment) -> Said:
    return {**environment.said, "State": environment.state}


@serves
def list_environments(store: Store, asked: Asked) -> Said:
    return page((shown(one) for one in store.application(asked).environments.values()), asked)


@serves
def update_environment(store: Store, asked: Asked) -> Said:
    environment = store.environment(asked)
    environment.said |= told(asked, *OF_ENVIRONMENT)
    return shown(environment)


# ---- Profiles

OF_PROFILE = ("Name", "Description", "RetrievalRoleArn", "Validators", "KmsKeyIdentifier")


@serves
def create_configuration_profile(store: Store, asked: Asked) -> Said:
    application, kind = store.application(asked), asked.get("Type", "AWS.Freeform")
    if kind not in (FLAGS, "AWS.Freeform"):
        raise Problem("BadRequestException", f"Type is {kind}: must be {FLAGS} or AWS.Freeform")
    if kind == FLAGS and asked["LocationUri"] != HOSTED:
        raise Problem("BadRequestException", f"LocationUri of {FLAGS} must be {HOSTED}")
    if (
        asked["LocationUri"] != HOSTED
        and "RetrievalRoleArn" not in asked
        and "codepipeline" not in asked["LocationUri"]
    ):
        raise Problem("BadRequestException", f"RetrievalRoleArn is required for {asked['LocationUri']}")
    check_validators(kind, asked)
    said = {"ApplicationId": asked["ApplicationId"], "Id": new_id(), "LocationUri": asked["LocationUri"], "Type": kind}
    made = Profile({**said, **told(asked, *OF_PROFILE)})
    name = store.arn("application", asked["ApplicationId"], "configurationprofile", made.said["Id"])
    store.tag(name, asked.get("Tags", {}))
    application.profiles[made.said["Id"]] = made
    return made.said


def check_validators(kind: str, asked: Asked) -> None:
    """Source: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-creating-configuration-and-profile-validators.html"""
    kinds = [validator["Type"] for validator in asked.get("Validators", ())]
    if kind == FLAGS and "JSON_SCHEMA" in kinds:
        raise Problem("BadRequestException", f"a profile of {FLAGS} has AppConfig's own JSON Schema: LAMBDA only")


@serves
def get_configuration_profile(store: Store, asked: Asked) -> Said:
    return store.profile(asked).said


@serves
def list_configuration_profiles(store: Store, asked: Asked) -> Said:
    said = [profile.said for profile in store.application(asked).profiles.values()]
    summaries = (
        {
            **told(one, "ApplicationId", "Id", "Name", "LocationUri", "Type"),
            "ValidatorTypes": [validator["Type"] for validator in one.get("Validators", ())],
        }
        for one in said
        if asked.get("Type", one["Type"]) == one["Type"]
    )
    return page(summaries, asked)


@serves
def update_configuration_profile(store: Store, asked: Asked) -> Said:
    profile = store.profile(asked)
    check_validators(profile.said["Type"], asked)
    profile.said |= told(asked, *OF_PROFILE)
    return profile.said


@serves
def delete_configuration_profile(store: Store, asked: Asked) -> None:
    """Refused with versions. Source: https://github.com/aws/aws-cdk/issues/26804"""
    name = asked["ConfigurationProfileId"]
    if store.profile(asked).versions:
        reason = "because there are still hosted configuration versions existing under it."
        raise Problem("BadRequestException", f"Cannot delete configuration profile {name} {reason}")
    del store.application(asked).profiles[name]
    store.forget("application", asked["ApplicationId"], "configurationprofile", name)


# ---- Hosted versions


@serves
def create_hosted_configuration_version(store: Store, asked: Asked) -> Said:
    """A new version. Flags are validated already here, and get the times of their making.

    Source: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-creating-feature-flag-configuration-commandline.html"""
    profile, content, label = store.profile(asked), asked["Content"], asked.get("VersionLabel")
    if profile.said["LocationUri"] != HOSTED:
        raise Problem("BadRequestException", f"the profile's configuration lies at {profile.said['LocationUri']}")
    if (size := len(content) / 1024) > LARGEST:
        about = {"Measure": "KILOBYTES", "Limit": float(LARGEST), "Size": size}
        raise Problem("PayloadTooLargeException", f"the configuration has {size:.0f} KB: at most {LARGEST}", **about)
    if "LatestVersionNumber" in asked and asked["LatestVersionNumber"] != (latest := max(profile.versions, default=0)):
        raise Problem(
            "ConflictException",
            f"LatestVersionNumber is {asked['LatestVersionNumber']}, but the latest version is {latest}",
        )
    if label and any(version.label == label for version in profile.versions.values()):
        raise Problem("ConflictException", f"the profile has a version with the label {label} already")
    if profile.said["Type"] == FLAGS:
        before = profile.versions.get(max(profile.versions, default=0))
        content = stamped(content, before.content if before else b"")
    profile.last += 1
    made = Version(profile.last, content, told(asked, "Description", "ContentType", "VersionLabel"))
    profile.versions[made.number] = made
    return {**version_said(asked, made), "Content": content}


def version_said(asked: Asked, version: Version) -> Said:
    return {
        **told(asked, "ApplicationId", "ConfigurationProfileId"),
        "VersionNumber": version.number,
        **version.said,
    }


@serves
def get_hosted_configuration_version(store: Store, asked: Asked) -> Said:
    version = named(store.profile(asked).versions, asked["VersionNumber"], "HostedConfigurationVersion")
    return {**version_said(asked, version), "Content": version.content}


@serves
def list_hosted_configuration_versions(store: Store, asked: Asked) -> Said:
    """Newest first; VersionLabel is a label, or the beginning of one before an asterisk."""
    versions, wanted = store.profile(asked).versions, asked.get("VersionLabel", "*")
    start, star, _ = wanted.partition("*")
    found = (
        version_said(asked, version)
        for _, version in sorted(versions.items(), reverse=True)
        if (version.label.startswith(start) if star else version.label == wanted)
    )
    return page(found, asked)


@serves
def delete_hosted_configuration_version(store: Store, asked: Asked) -> None:
    """What is deployed of it stays delivered: AppConfig keeps a copy."""
    named(store.profile(asked).versions, asked["VersionNumber"], "HostedConfigurationVersion")
    del store.profile(asked).versions[asked["VersionNumber"]]


# ---- Strategies

OF_STRATEGY = ("Description", "DeploymentDurationInMinutes", "FinalBakeTimeInMinutes", "GrowthFactor", "GrowthType")


@serves
def create_deployment_strategy(store: Store, asked: Asked) -> Said:
    said = {"Id": new_id(), "Name": asked["Name"], "GrowthType": "LINEAR", "FinalBakeTimeInMinutes": 0}
    said |= {"ReplicateTo": asked.get("ReplicateTo", "NONE"), **told(asked, *OF_STRATEGY)}
    store.tag(store.arn("deploymentstrategy", said["Id"]), asked.get("Tags", {}))
    store.strategies[said["Id"]] = said
    return said


@serves
def get_deployment_strategy(store: Store, asked: Asked) -> Said:
    found: Said = named(store.strategies, asked["DeploymentStrategyId"], "DeploymentStrategy")
    return found


@serves
def list_deployment_strategies(store: Store, asked: Asked) -> Said:
    return page(store.strategies.values(), asked)


def own_strategy(store: Store, asked: Asked) -> Said:
    if asked["DeploymentStrategyId"] in PREDEFINED:
        raise Problem("BadRequestException", f"{asked['DeploymentStrategyId']} is AWS's own and cannot be changed")
    return get_deployment_strategy(store, asked) or {}


@serves
def update_deployment_strategy(store: Store, asked: Asked) -> Said:
    """Deployments that run go on by what it was when they started."""
    strategy = own_strategy(store, asked)
    strategy |= told(asked, *OF_STRATEGY)
    return strategy


@serves
def delete_deployment_strategy(store: Store, asked: Asked) -> None:
    own_strategy(store, asked)
    del store.strategies[asked["DeploymentStrategyId"]]
    store.forget("deploymentstrategy", asked["DeploymentStrategyId"])


# ---- Tags


def tagged(store: Store, asked: Asked) -> str:
    """The ARN that is asked about, of something that is there."""
    name = asked["ResourceArn"]
    path = name.split(":", 5)[-1].split("/")
    things: Any = {"application": store.applications, "deploymentstrategy": store.strategies}.get(path[0], {})
    thing = named(things, path[1], path[0]) if len(path) > 1 else None
    for kind, key in zip(path[2::2], path[3::2], strict=False):
        inside = {"environment": "environments", "configurationprofile": "profiles", "deployment": "deployments"}
        things = getattr(thing, inside.get(kind, ""), {})
        thing = named(things, int(key) if kind == "deployment" and key.isdecimal() else key, kind)
    if thing is None or name != store.arn(*path) or len(path) % 2:
        raise Problem("ResourceNotFoundException", f"Resource not found: {name}", ResourceName=name)
    return str(name)


@serves
def list_tags_for_resource(store: Store, asked: Asked) -> Said:
    return {"Tags": store.tags.get(tagged(store, asked), {})}


@serves
def tag_resource(store: Store, asked: Asked) -> None:
    store.tag(tagged(store, asked), asked["Tags"])


@serves
def untag_resource(store: Store, asked: Asked) -> None:
    tags = store.tags.get(tagged(store, asked), {})
    for key in asked["TagKeys"]:
        tags.pop(key, None)
