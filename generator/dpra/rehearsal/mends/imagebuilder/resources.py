"""EC2 Image Builder's types of CloudFormation, which moto does not have; a class of this module is one.

Source: CloudFormation's registry schemas, as cfn-lint has them."""

from contextlib import suppress
from typing import Any

from moto.core.common_models import CloudFormationModel

from ..protocol import Asked, Problem, Said
from ..resource_types import Resource
from .api import OPERATIONS, check, models
from .store import STORES

# A property -> the operation's parameter, where it is not the same word.
WORDS = {"LaunchPermissionConfiguration": "launchPermission", "Version": "semanticVersion"}
VERSIONS = {"Arn": "", "Major": "Major", "Minor": "Minor", "Patch": "Patch"}  # of the attribute LatestVersion
LATEST = tuple(f"LatestVersion.{key}" for key in VERSIONS)


class Made(Resource):
    """A resource that Image Builder's own operations make and delete."""

    kind = ""  # in the names of the operations: Create…, Delete…
    parameter = ""  # what names it in their parameters and answers
    updated = False  # whether there is an Update…; otherwise a change makes it anew

    asked: Said

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Any:
        asked = cls.read(properties)
        said = cls.call(f"Create{cls.kind}", {**asked, "clientToken": name[-64:]}, account, region)
        newest = said.get("latestVersionReferences", {})
        values = {f"LatestVersion.{key}": newest.get(f"latest{node}VersionArn", "") for key, node in VERSIONS.items()}
        made = cls(said[cls.parameter], Arn=said[cls.parameter], Encrypted="true", **values)
        if cls is Component:
            made.values["Type"] = STORES[account][region].components[made.physical_resource_id]["type"]
        made.asked = asked
        return made

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> Any:
        properties, before = cloudformation_json.get("Properties", {}), original_resource.asked
        asked = cls.read(properties)
        if {**asked, "tags": None} == {**before, "tags": None}:
            STORES[account_id][region_name].tags[original_resource.physical_resource_id] = asked.get("tags", {})
            original_resource.asked = asked
            return original_resource
        if cls.updated and asked["name"] == before["name"]:
            known = models()[f"Update{cls.kind}"].input_shape.members
            changed = {key: value for key, value in asked.items() if key in known}
            changed |= {cls.parameter: original_resource.physical_resource_id, "clientToken": "update"}
            cls.call(f"Update{cls.kind}", changed, account_id, region_name)
            original_resource.asked = asked
            return original_resource
        made = cls.make(new_resource_name, properties, account_id, region_name)
        with suppress(Problem):  # as in every cleanup, what cannot be deleted stays
            original_resource.delete(account_id, region_name)
        return made

    def delete(self, account: str, region: str) -> None:
        self.call(f"Delete{self.kind}", {self.parameter: self.physical_resource_id}, account, region)

    @classmethod
    def read(cls, properties: dict[str, Any]) -> Said:
        """The properties as the operation's parameters: those begin with small letters."""
        shape = models()[f"Create{cls.kind}"].input_shape
        return {key: value for key, value in typed(lowered(properties, shape), shape).items() if value is not None}

    @classmethod
    def call(cls, operation: str, asked: Asked, account: str, region: str) -> Said:
        check(models()[operation], asked)
        return OPERATIONS[operation](STORES[account][region], asked) or {}


def lowered(value: Any, shape: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        found = {}
        for key, item in value.items():
            name = WORDS.get(key, key[0].lower() + key[1:])
            if name not in shape.members:
                raise Problem("InvalidRequestException", f"Encountered unsupported property {key}")
            found[name] = lowered(item, shape.members[name])
        return found
    if shape.type_name == "list" and isinstance(value, list):
        return [lowered(item, shape.member) for item in value]
    return value


def typed(value: Any, shape: Any) -> Any:
    """Numbers and truths may stand as text in a template."""
    match shape.type_name:
        case "structure" if isinstance(value, dict):
            return {key: typed(item, shape.members[key]) for key, item in value.items()}
        case "list" if isinstance(value, list):
            return [typed(item, shape.member) for item in value]
        case "integer":
            return int(value)
        case "boolean":
            return value in (True, "true")
        case "string":
            return value if value is None else str(value)
    return value


class Component(Made, CloudFormationModel):
    type, attributes = "AWS::ImageBuilder::Component", ("Arn", "Type", "Encrypted", *LATEST)
    name, kind, parameter = "Name", "Component", "componentBuildVersionArn"


class ImageRecipe(Made, CloudFormationModel):
    type, attributes = "AWS::ImageBuilder::ImageRecipe", ("Arn", *LATEST)
    name, kind, parameter = "Name", "ImageRecipe", "imageRecipeArn"


class InfrastructureConfiguration(Made, CloudFormationModel):
    type, attributes = "AWS::ImageBuilder::InfrastructureConfiguration", ("Arn",)
    name, kind, parameter = "Name", "InfrastructureConfiguration", "infrastructureConfigurationArn"
    updated = True


class DistributionConfiguration(Made, CloudFormationModel):
    type, attributes = "AWS::ImageBuilder::DistributionConfiguration", ("Arn",)
    name, kind, parameter = "Name", "DistributionConfiguration", "distributionConfigurationArn"
    updated = True
