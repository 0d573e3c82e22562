"""AWS AppConfig's types of CloudFormation, which moto does not have; a class of this module is one.

Source: CloudFormation's registry schemas, as cfn-lint has them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from moto.core.common_models import CloudFormationModel

from ..protocol import Asked, Problem, Said
from ..resource_types import Resource
from .api import OPERATIONS, check, models
from .deployments import RUNNING
from .store import STORES, Store

READERS: dict[str, Callable[[Any], Any]] = {
    "blob": lambda said: str(said).encode(),
    "float": float,
    "integer": lambda said: int(float(said)),
}


class Configured(Resource):
    """A resource that AppConfig's own operations make, change and delete."""

    kind = ""  # in the names of the operations: Create…, Update…, Delete…
    key = "Id"  # what Ref gives, in the answer of the first
    parameter = ""  # its name in the parameters of the others
    path = ""  # of its ARN; empty where it has no tags
    fixed: tuple[str, ...] = ("ApplicationId",)  # properties whose change replaces it
    required: tuple[str, ...] = ()  # beyond what the operation requires
    ignored = ("Tags", "DeletionProtectionCheck")

    account: str
    region: str
    asked: Said  # the properties
    tags: Said  # the template's
    given: frozenset[str] = frozenset()  # keys of tags that CloudFormation has set

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Any:
        if missing := [key for key in cls.required if key not in properties]:
            raise Problem("BadRequestException", f"required key [{', '.join(missing)}] not found")
        asked = cls.read(f"Create{cls.kind}", properties)
        said = cls.call(f"Create{cls.kind}", asked, account, region)
        made = cls(str(said[cls.key]), **{cls.attributes[0]: str(said[cls.key])})
        made.account, made.region = account, region
        made.asked, made.tags = asked, tags_of(properties)
        return made

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> Any:
        properties, before = cloudformation_json.get("Properties", {}), original_resource.asked
        asked = cls.read(f"Create{cls.kind}", properties)
        if any(asked.get(key) != before.get(key) for key in cls.fixed):
            made = cls.make(new_resource_name, properties, account_id, region_name)
            with suppress(Problem):  # as in every cleanup, what cannot be deleted stays
                original_resource.delete(account_id, region_name)
            return made
        known = models()[f"Update{cls.kind}"].input_shape.members
        empty: Said = {key: type(value)() for key, value in before.items() if key not in asked and key in known}
        changed = {key: value for key, value in {**empty, **asked}.items() if key in known}
        cls.call(f"Update{cls.kind}", changed | original_resource.named(), account_id, region_name)
        original_resource.asked, original_resource.tags = asked, tags_of(properties)
        return original_resource

    def delete(self, account: str, region: str) -> None:
        self.call(f"Delete{self.kind}", self.named(), account, region)

    def named(self) -> Said:
        """The parameters that name it."""
        parent: Said = {
            key: self.asked[key] for key in ("ApplicationId", "ConfigurationProfileId") if key in self.asked
        }
        return {**parent, self.parameter: self.physical_resource_id}

    @classmethod
    def read(cls, operation: str, properties: Mapping[str, Any]) -> Said:
        """The properties as the operation's parameters: numbers may stand there as text."""
        members, asked = models()[operation].input_shape.members, {}
        for key, value in properties.items():
            if key in cls.ignored:
                continue
            if key not in members:
                raise Problem("BadRequestException", f"Encountered unsupported property {key}")
            asked[key] = READERS.get(members[key].type_name, lambda said: said)(value)
        return asked

    @classmethod
    def call(cls, operation: str, asked: Asked, account: str, region: str) -> Said:
        check(models()[operation], asked)
        return OPERATIONS[operation](STORES[account][region], asked) or {}

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set the stack's tags, and the template's over them; others' tags stay."""
        store: Store = STORES[self.account][self.region]
        arn = store.arn(self.path.format_map(self.named()))
        wanted = {**tags, **self.tags}
        kept = {key: value for key, value in store.tags.get(arn, {}).items() if key not in self.given}
        store.tags[arn] = {**kept, **wanted}
        self.given = frozenset(wanted)


def tags_of(properties: Mapping[str, Any]) -> Said:
    return {tag["Key"]: tag["Value"] for tag in properties.get("Tags") or ()}


def tag(stack: Any) -> None:
    """A stack's tags reach its resources, as those of CloudFormation itself do."""
    own = {"stack-name": stack.name, "stack-id": stack.stack_id}
    for name, resource in stack.resource_map._parsed_resources.items():
        if isinstance(resource, Configured) and resource.path:
            about = {**own, "logical-id": name}
            resource.tag({**{f"aws:cloudformation:{key}": value for key, value in about.items()}, **stack.tags})


class Application(Configured, CloudFormationModel):
    type, attributes, kind, parameter = (
        "AWS::AppConfig::Application",
        ("ApplicationId",),
        "Application",
        "ApplicationId",
    )
    path, fixed = "application/{ApplicationId}", ()


class Environment(Configured, CloudFormationModel):
    type, attributes, kind, parameter = (
        "AWS::AppConfig::Environment",
        ("EnvironmentId",),
        "Environment",
        "EnvironmentId",
    )
    path = "application/{ApplicationId}/environment/{EnvironmentId}"


class ConfigurationProfile(Configured, CloudFormationModel):
    type, attributes = "AWS::AppConfig::ConfigurationProfile", ("ConfigurationProfileId", "KmsKeyArn")
    kind, parameter = "ConfigurationProfile", "ConfigurationProfileId"
    path = "application/{ApplicationId}/configurationprofile/{ConfigurationProfileId}"
    fixed = ("ApplicationId", "LocationUri", "Type")


class DeploymentStrategy(Configured, CloudFormationModel):
    type, attributes, kind = "AWS::AppConfig::DeploymentStrategy", ("Id",), "DeploymentStrategy"
    parameter, path = "DeploymentStrategyId", "deploymentstrategy/{DeploymentStrategyId}"
    fixed, required = ("Name", "ReplicateTo"), ("ReplicateTo",)


class HostedConfigurationVersion(Configured, CloudFormationModel):
    """Every change is a new version."""

    type, attributes = "AWS::AppConfig::HostedConfigurationVersion", ("VersionNumber",)
    kind, key, parameter = "HostedConfigurationVersion", "VersionNumber", "VersionNumber"
    fixed = ("ApplicationId", "ConfigurationProfileId", "Content", "ContentType", "Description", "VersionLabel")

    def named(self) -> Said:
        return {**super().named(), self.parameter: int(self.physical_resource_id)}


class Deployment(Configured, CloudFormationModel):
    """Every change is a new deployment, and CloudFormation waits for its end."""

    type, attributes = "AWS::AppConfig::Deployment", ("DeploymentNumber", "State")

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Any:
        asked = cls.read("StartDeployment", properties)
        said = cls.call("StartDeployment", asked, account, region)
        number = {
            **{key: asked[key] for key in ("ApplicationId", "EnvironmentId")},
            "DeploymentNumber": said["DeploymentNumber"],
        }
        while said["State"] in RUNNING:
            said = cls.call("GetDeployment", number, account, region)
        if said["State"] != "COMPLETE":
            raise Problem("BadRequestException", f"Deployment {said['State']}: {said['EventLog'][-1]['Description']}")
        return cls(str(said["DeploymentNumber"]), DeploymentNumber=str(said["DeploymentNumber"]), State=said["State"])

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> Any:
        return cls.make(new_resource_name, cloudformation_json.get("Properties", {}), account_id, region_name)

    def delete(self, account: str, region: str) -> None:
        """What is deployed stays deployed."""
