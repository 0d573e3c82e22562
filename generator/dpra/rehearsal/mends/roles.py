"""IAM: roles, as CloudFormation makes and changes them.

Each function replaces the one of moto that its docstring begins with."""

# mypy: disable-error-code="assignment, method-assign"
import json
from typing import Any

from moto.iam.models import Role

_create = Role.create_from_cloudformation_json


def create_role(cls: type[Role], /, resource_name: str, cloudformation_json: Any, *where: str, **about: Any) -> Role:
    """Role.create_from_cloudformation_json: moto forgets the managed policies."""
    role = _create(resource_name, cloudformation_json, *where, **about)
    role.__dict__["dpra_managed"] = tuple(cloudformation_json["Properties"].get("ManagedPolicyArns", ()))
    return role


def update_role(
    cls: type[Role], /, original_resource: Role, new_resource_name: str, cloudformation_json: Any, **_: str
) -> Role:
    """Role.update_from_cloudformation_json: moto changes neither trust nor rights."""
    properties, trust = cloudformation_json["Properties"], cloudformation_json["Properties"]["AssumeRolePolicyDocument"]
    original_resource.assume_role_policy_document = trust if isinstance(trust, str) else json.dumps(trust, default=str)
    original_resource.policies = {one["PolicyName"]: one["PolicyDocument"] for one in properties.get("Policies", ())}
    original_resource.permissions_boundary_arn = properties.get("PermissionsBoundary", "")
    original_resource.description = properties.get("Description", "")
    original_resource.max_session_duration = properties.get("MaxSessionDuration", 3600)
    original_resource.__dict__["dpra_managed"] = tuple(properties.get("ManagedPolicyArns", ()))
    return original_resource


def mend() -> None:
    """Put them in place."""
    Role.create_from_cloudformation_json = classmethod(create_role)
    Role.update_from_cloudformation_json = classmethod(update_role)
