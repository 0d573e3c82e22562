"""What StackSets do in one account: make a stack, change it, remove it, and look whether somebody else changed it."""

import hashlib
import json
import secrets
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from moto.cloudformation.models import cloudformation_backends
from moto.iam.models import Role, iam_backends

from .. import permissions
from .protocol import now

if TYPE_CHECKING:
    from .stack_operations import Instance, Run, StackSet

DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")  # a stack that can be updated
ADMIN = "aws-service-role/stacksets.cloudformation.amazonaws.com/AWSServiceRoleForCloudFormationStackSetsOrgAdmin"


def deployed(one: "StackSet", run: "Run", instance: "Instance") -> str:
    """Make or change the stack; why it cannot be done, or nothing."""
    backend = cloudformation_backends[instance.account][instance.region]
    if run.overrides is not None:
        instance.overrides = dict(run.overrides)
    given = {**one.said.get("Parameters", {}), **instance.overrides}
    there = backend.stacks.get(instance.stack)
    if there is not None and there.status not in DONE:
        remove(backend, there.stack_id)
        there = None
    name = there.name if there else f"StackSet-{one.name}-{uuid.uuid4()}"
    body, tags = one.said["TemplateBody"], one.said.get("Tags", {})
    acting = "" if one.said["PermissionModel"] != "SERVICE_MANAGED" else execution(one, instance.account)
    try:
        change, stack = backend.create_change_set(
            name, f"s{secrets.token_hex(8)}", body, given, "", "UPDATE" if there else "CREATE", None, tags, acting
        )
        instance.stack = stack
        if backend.change_sets[change].status == "FAILED":  # there is nothing to change
            return ""
        backend.execute_change_set(change)
    except Exception as error:  # whatever moto raises, it is the template that does not work there
        return str(getattr(error, "message", "") or error or type(error).__name__)
    made = backend.stacks[instance.stack]
    if made.status.endswith("ROLLBACK_COMPLETE"):
        said = [
            event.resource_status_reason for event in made.events if "ROLLBACK_IN_PROGRESS" in event.resource_status
        ]
        return f"ResourceLogicalId:{name}, ResourceStatusReason:{said[-1] if said else made.status}"
    instance.made = remembered(made)
    return ""


def execution(one: "StackSet", account: str) -> str:
    """The role by which StackSets acts in a member account: it may do everything that the organisation's policies let
    it.

    Source:
    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/CloudFormationStackSetsOrgAdminServiceRolePolicy.html"""
    within = cloudformation_backends[one.account][one.region].partition
    iam = iam_backends[account][within]
    name = f"stacksets-exec-{hashlib.md5(account.encode(), usedforsecurity=False).hexdigest()}"
    for role in iam.roles.values():
        if role.name == name:
            return str(role.arn)
    admin = f"arn:{within}:iam::{one.account}:role/{ADMIN}"
    trust = {"Effect": "Allow", "Principal": {"AWS": admin}, "Action": "sts:AssumeRole"}
    made = iam.create_role(name, json.dumps({"Version": "2012-10-17", "Statement": [trust]}), "/", None, "", [], "3600")
    made.__dict__["dpra_managed"] = (f"arn:{within}:iam::aws:policy/AdministratorAccess",)
    return str(made.arn)


def undeployed(instance: "Instance", retain: bool) -> str:
    if not retain:
        try:
            remove(cloudformation_backends[instance.account][instance.region], instance.stack)
        except Exception as error:
            return str(error)
    return ""


def remove(backend: Any, stack: str) -> None:
    if stack in backend.stacks:
        with suppress(KeyError):  # of an output that was never exported
            backend.delete_stack(stack)
        backend.stacks.pop(stack, None)


# ---- Drift


def remembered(stack: Any) -> dict[str, str]:
    """How the resources of a stack are: of roles, what they may do and whom they trust;
    of parameters, their value; others are not looked at."""
    found = {}
    for name in list(stack.resource_map):
        with suppress(Exception):  # a resource that moto does not make
            found[name] = how(stack.resource_map[name])
    return found


def how(resource: Any) -> str:
    names = ("assume_role_policy_document", "policies", "permissions_boundary_arn", "max_session_duration", "value")
    said = [getattr(resource, name, None) for name in names]
    if isinstance(resource, Role):
        there = resource.id in iam_backends[resource.account_id][resource.partition].roles
        said += [there, permissions.attached(resource)]
    return repr(said)


def look(instance: "Instance") -> None:
    stack = cloudformation_backends[instance.account][instance.region].stacks.get(instance.stack)
    same = stack is not None and remembered(stack) == instance.made
    instance.drift, instance.checked = "IN_SYNC" if same else "DRIFTED", now()
