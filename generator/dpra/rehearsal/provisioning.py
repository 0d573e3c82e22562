"""What CloudFormation needs of the role that it acts with: for what gives rights, and for buckets.

moto makes every resource without asking. What a role may do with all other services is not looked at here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dpra.names import partition

from . import permissions

Needed = tuple[str, str, permissions.Context]
# Properties that hand a role to a service.
PASSED = ("AlarmRoleArn", "ExecutionRoleArn", "RetrievalRoleArn", "Role", "RoleARN", "RoleArn", "TaskRoleArn")
NAMES = {"AWS::S3::Bucket": ("CreateBucket", "BucketName"), "AWS::S3::BucketPolicy": ("PutBucketPolicy", "Bucket")}


def refusal(acting: Any, kind: str, name: str, properties: Mapping[str, Any], region: str, before: Any = None) -> str:
    """Why AWS refuses a resource to the role that CloudFormation acts with, in its words; empty where it does not.

    Args:
        acting: moto's role.
        name: the resource's.
        before: what it is now, if it is to be changed.
    """
    for action, target, context in needed(kind, name, properties, acting.account_id, region, before):
        if reason := permissions.refusal(acting, action, target, context):
            session = f"arn:{acting.partition}:sts::{acting.account_id}:assumed-role/{acting.name}/AWSCloudFormation"
            who = f"User: {session} is not authorized to perform: {action} on resource: {target}"
            return f"{who} {permissions.because(reason)}"
    return ""


def needed(
    kind: str, name: str, properties: Mapping[str, Any], account: str, region: str, before: Any
) -> Iterator[Needed]:
    """The permissions that a resource needs.

    Source: the handlers' permissions in CloudFormation's registry schemas."""
    iam = f"arn:{partition(region)}:iam::{account}:"
    if kind == "AWS::IAM::Role":
        yield from of_role(iam, name, properties, before)
    elif kind == "AWS::IAM::Policy":
        for role in properties.get("Roles", ()):
            yield "iam:PutRolePolicy", *known(account, region, role)
    elif kind == "AWS::IAM::ManagedPolicy":
        named = properties.get("ManagedPolicyName", name)
        yield "iam:CreatePolicy", f"{iam}policy{properties.get('Path', '/')}{named}", {}
        for role in properties.get("Roles", ()):
            yield "iam:AttachRolePolicy", *known(account, region, role)
    elif kind == "AWS::IAM::InstanceProfile":
        target = f"{iam}instance-profile{properties.get('Path', '/')}{properties.get('InstanceProfileName', name)}"
        yield "iam:CreateInstanceProfile", target, {}
        for role in properties.get("Roles", ()):
            passed, _ = known(account, region, role)
            yield "iam:AddRoleToInstanceProfile", target, {}
            yield "iam:PassRole", passed, {}
    elif kind.startswith("AWS::IAM::"):
        yield f"iam:Create{kind.rpartition('::')[2]}", "*", {}
    elif kind in NAMES:
        action, key = NAMES[kind]
        yield f"s3:{action}", f"arn:{partition(region)}:s3:::{properties.get(key, name)}", {}
    for said in (properties, *properties.get("Monitors", ())):
        for key in PASSED:
            if str(said.get(key, "")).startswith(iam):
                yield "iam:PassRole", said[key], {}


def of_role(iam: str, name: str, properties: Mapping[str, Any], before: Any) -> Iterator[Needed]:
    target = f"{iam}role{properties.get('Path', '/')}{properties.get('RoleName', name)}"
    bounded = bound(properties.get("PermissionsBoundary"))
    if before is None:
        yield "iam:CreateRole", target, bounded
    elif before.permissions_boundary_arn and not bounded:
        yield "iam:DeleteRolePermissionsBoundary", target, bound(before.permissions_boundary_arn)
    elif bounded != bound(before.permissions_boundary_arn):
        yield "iam:PutRolePermissionsBoundary", target, bounded
    yield "iam:TagRole", target, {}  # with the stack's
    if before is not None:
        yield "iam:UpdateAssumeRolePolicy", target, bounded
    if properties.get("Policies"):
        yield "iam:PutRolePolicy", target, bounded
    if properties.get("ManagedPolicyArns"):
        yield "iam:AttachRolePolicy", target, bounded


def known(account: str, region: str, name: str) -> tuple[str, permissions.Context]:
    """The ARN and the boundary of a role of the account."""
    from moto.iam.models import iam_backends

    role = iam_backends[account][partition(region)].get_role(name)
    return role.arn, bound(role.permissions_boundary_arn)


def bound(arn: str | None) -> permissions.Context:
    return {"iam:PermissionsBoundary": arn} if arn else {}
