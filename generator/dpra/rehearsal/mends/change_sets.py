"""Change sets, from request to rollback. Each function replaces the one of moto that its docstring begins with."""

# mypy: disable-error-code="abstract, assignment, attr-defined, method-assign"
import json
import re
from contextlib import suppress
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError
from moto.cloudformation.models import Change, ChangeSet, CloudFormationBackend, Stack
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudformation.utils import generate_changeset_id, generate_stack_id
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.responses import ActionResult, EmptyResult
from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition

from .appconfig import resources as appconfig
from .resources import wanted
from .serverless import expanded, is_serverless

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
# IAM resources need an acknowledgement, and a stronger one where they have a name of their own.
IAM_NAMES = {
    "AWS::IAM::AccessKey": "",
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": "",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
}


# Those of them that have no tags: a change of the stack's tags is none of theirs.
UNTAGGED = {
    "AWS::AppConfig::HostedConfigurationVersion",
    "AWS::CloudFormation::WaitConditionHandle",
    "AWS::IAM::Group",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Url",
    "AWS::Lambda::Version",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}


DOOMED: set[tuple[str, str]] = set()  # account and region whose next operation fails: a fault of the rehearsal
TRIGGERS: dict[str, list[str]] = {}  # change set's id -> ARNs of the alarms that undo it


class InsufficientCapabilities(CloudFormationError):
    code = "InsufficientCapabilitiesException"


class ChangeSetNotFound(CloudFormationError):
    code = "ChangeSetNotFound"


class InvalidChangeSetStatus(CloudFormationError):
    code = "InvalidChangeSetStatus"


def diff(self: Any) -> list[Any]:
    """ChangeSet.diff: conditions, parameters and stack tags count too; parameters must be complete.

    `differs` says whether there is something to execute: outputs and tags are no resources, and are brought alone.
    Description and metadata of a template are not.
    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-anatomy.html"""
    stack = self.stack
    planned = parsing.ResourceMap(
        stack.stack_id, stack.name, self.parameters, self.tags or {}, account_id=stack.account_id,
        region_name=stack.region_name, template=self.template_dict, cross_stack_resources=stack.cross_stack_resources,
    )  # fmt: skip
    planned.load()
    new = {name: item for name, item in self.template_dict["Resources"].items() if wanted(item, planned)}
    now = stack.resource_map
    old = {name: item for name, item in now._resource_json_map.items() if now._parsed_resources.get(name) is not None}
    modified = set(now.build_resource_diff(self.template_dict, self.parameters)["Modify"])
    if (self.tags or {}) != stack.tags:
        modified |= {name for name, item in old.items() if item["Type"] not in UNTAGGED}
    changes = [Change("Modify" if name in old else "Add", name, new[name]["Type"]) for name in new]
    changes = [change for change in changes if change.action == "Add" or change.logical_resource_id in modified]
    changes += [Change("Remove", name, old[name]["Type"]) for name in old if name not in new]
    self.differs = bool(changes) or (self.tags or {}) != stack.tags or said_out(planned) != said_out(now)
    return changes


def said_out(resources: Any) -> dict[str, Any]:
    """The outputs of a template, as far as parameters and conditions decide them."""
    parameters = resources.resolved_parameters

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(one) for one in value]
        if not isinstance(value, dict):
            return value
        if value.keys() == {"Ref"}:
            return parameters.get(value["Ref"], value)
        if value.keys() == {"Fn::If"} and isinstance(value["Fn::If"], list):
            name, yes, no = value["Fn::If"]
            return filled(yes if resources.lazy_condition_map[name] else no)
        if value.keys() == {"Fn::Sub"}:
            text = value["Fn::Sub"] if isinstance(value["Fn::Sub"], str) else json.dumps(filled(value["Fn::Sub"]))
            return {"Fn::Sub": re.sub(r"\$\{(\w+)\}", lambda found: str(parameters.get(found[1], found[0])), text)}
        return {name: filled(one) for name, one in value.items()}

    said = resources._template.get("Outputs") or {}
    return {name: filled(one) for name, one in said.items() if wanted(one, resources)}


def create_change_set(
    self: Any,
    stack_name: str,
    change_set_name: str,
    template: str,
    parameters: dict[str, str],
    description: str,
    change_set_type: str,
    notification_arns: list[str] | None = None,
    tags: dict[str, str] | None = None,
    role_arn: str | None = None,
) -> tuple[str, str]:
    """create_change_set: one stack of a name, its state obeyed, a change of tags is a change."""
    stack = next((stack for stack in self.stacks.values() if stack.name == stack_name), None)
    if change_set_type == "UPDATE":
        if stack is None:
            raise ValidationError(stack_name)
        if stack.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"):
            raise ValidationError(message=f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
    elif stack is not None and stack.status != "REVIEW_IN_PROGRESS":
        raise AlreadyExistsException(
            f"Stack [{stack_name}] already exists and cannot be created again with the changeSet [{change_set_name}]."
        )
    elif stack is None:
        stack = Stack(
            stack_id=generate_stack_id(stack_name, self.region_name, self.account_id), name=stack_name, template={},
            parameters={}, account_id=self.account_id, region_name=self.region_name,
            notification_arns=notification_arns, cross_stack_resources=self.exports,
        )  # fmt: skip
    parsed = Stack.parse_template(template)
    if is_serverless(parsed):
        template = expanded(parsed, parameters, self.region_name)
    change_set = ChangeSet(
        change_set_type, generate_changeset_id(change_set_name, self.region_name, self.account_id), change_set_name,
        stack, template, parameters, description, notification_arns, tags, role_arn,
    )  # fmt: skip
    if change_set.differs:
        change_set.status, change_set.execution_status = "CREATE_COMPLETE", "AVAILABLE"
    else:
        change_set.status, change_set.execution_status = "FAILED", "UNAVAILABLE"
        change_set.status_reason = NO_CHANGES
    if stack.stack_id not in self.stacks:
        self.stacks[stack.stack_id] = stack
        stack.status = "REVIEW_IN_PROGRESS"
        stack._add_stack_event("REVIEW_IN_PROGRESS", resource_status_reason="User Initiated")
    self.change_sets[change_set.change_set_id] = change_set
    return change_set.change_set_id, stack.stack_id


def execute_change_set(self: Any, change_set_name: str, stack_name: str | None = None) -> None:
    """execute_change_set: outputs, tags and exports follow; a failure rolls back and leaves its events."""
    change_set = self.change_sets[change_set_name]
    if change_set.execution_status != "AVAILABLE":
        raise InvalidChangeSetStatus(
            f"ChangeSet [{change_set_name}] cannot be executed in its current status of [{change_set.status}]"
        )
    stack = self.stacks[change_set.stack_id]
    kind = change_set.change_set_type
    before = (stack.template, stack.parameters, stack.tags)
    stack.role_arn = change_set.role_arn or stack.role_arn
    stack._add_stack_event(f"{kind}_IN_PROGRESS", resource_status_reason="User Initiated")
    try:
        if kind == "CREATE":
            fill(stack, change_set.template, change_set.parameters, change_set.tags)
            stack.cross_stack_resources = self.exports
            stack.resource_map = stack._create_resource_map()
            stack.resource_map.create(stack.template_dict)
        else:
            stack.resource_map.update(change_set.template_dict, change_set.parameters)
            fill(stack, change_set.template, change_set.parameters, change_set.tags)
        stack.output_map = stack._create_output_map()
        self.exports.update({export.name: export for export in stack.exports})
        _ = stack.outputs  # an output that cannot be computed fails the operation
        doom(self.account_id, self.region_name, TRIGGERS.get(change_set.change_set_id, []))
        finish(stack, f"{kind}_COMPLETE")
    except Exception as error:
        rollback = "ROLLBACK" if kind == "CREATE" else "UPDATE_ROLLBACK"
        stack._add_stack_event(f"{rollback}_IN_PROGRESS", resource_status_reason=str(error))
        with suppress(Exception):  # what cannot be undone here stays; the stack's state says what matters
            if kind == "CREATE":
                stack.resource_map.delete()
            else:
                fill(stack, *before)
                stack.resource_map.update(stack.template_dict, stack.parameters)
                stack.output_map = stack._create_output_map()
        finish(stack, f"{rollback}_COMPLETE")
    change_set.execution_status = "EXECUTE_COMPLETE"


def doom(account: str, region: str, triggers: list[str]) -> None:
    """Fail an operation that is to fail, or whose rollback triggers fire; one whose alarm is missing, too.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-rollback-triggers.html"""
    if (account, region) in DOOMED:
        DOOMED.remove((account, region))
        raise ValidationError(message="the rehearsal lets this operation fail")
    alarms = {alarm.alarm_arn: alarm for alarm in cloudwatch_backends[account][region].alarms.values()}
    for arn in triggers:
        if arn not in alarms:
            raise ValidationError(message=f"Rollback trigger not found: {arn}")
        if alarms[arn].state_value == "ALARM":
            raise ValidationError(message=f"Rollback triggered by alarm {arn}")


def fill(stack: Any, template: str, parameters: dict[str, str], tags: dict[str, str] | None) -> None:
    stack.template, stack.parameters, stack.tags = template, parameters, tags or {}
    stack._parse_template()
    stack.description = stack.template_dict.get("Description")


def finish(stack: Any, status: str) -> None:
    stack.status = status
    if status != "ROLLBACK_COMPLETE":  # which leaves no resources
        appconfig.tag(stack)
    stack._add_stack_event(status)


# ---- Requests


_create_change_set = CloudFormationResponse.create_change_set


def checked_create_change_set(self: Any) -> Any:
    """CreateChangeSet: capabilities, undeclared parameters and the execution role are checked first."""
    body, url = self._get_param("TemplateBody"), self._get_param("TemplateURL")
    if body or url:
        template = Stack.parse_template(body or self._get_stack_from_s3_url(url))
        given = [parameter["ParameterKey"] for parameter in self._get_param("Parameters", [])]
        if undeclared := sorted(set(given) - set(template.get("Parameters") or ())):
            raise ValidationError(message=f"Parameters: [{', '.join(undeclared)}] do not exist in the template")
        if missing := missing_capability(template, set(self._get_param("Capabilities", []))):
            raise InsufficientCapabilities(f"Requires capabilities : [{missing}]")
    if (role := self._get_param("RoleARN")) and not passable(role, self.current_account, self.region):
        raise ValidationError(message=f"Role {role} is invalid or cannot be assumed")
    self._validate_different_update = lambda *_: None  # AWS makes a FAILED change set instead
    configuration = self._get_param("RollbackConfiguration") or {}
    made = _create_change_set(self)
    triggers = [trigger["Arn"] for trigger in configuration.get("RollbackTriggers") or ()]
    TRIGGERS[next(reversed(self.cloudformation_backend.change_sets))] = triggers
    return made


def missing_capability(template: dict[str, Any], given: set[str]) -> str:
    if is_serverless(template) and "CAPABILITY_AUTO_EXPAND" not in given:
        return "CAPABILITY_AUTO_EXPAND"
    iam = [item for item in template["Resources"].values() if item["Type"] in IAM_NAMES]
    named = any(IAM_NAMES[item["Type"]] in (item.get("Properties") or {}) for item in iam)
    if not iam or "CAPABILITY_NAMED_IAM" in given or ("CAPABILITY_IAM" in given and not named):
        return ""
    return "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"


def passable(role_arn: str, account: str, region: str) -> bool:
    """Is this a role of the account that trusts CloudFormation?"""
    try:
        role = iam_backends[account][get_partition(region)].get_role_by_arn(role_arn)
    except Exception:  # moto's class for "not found" differs by version
        return False
    return "cloudformation.amazonaws.com" in role.assume_role_policy_document


def find_change_set(self: Any) -> Any:
    """DescribeChangeSet: a change set's name counts within its stack only."""
    name, stack = self._get_param("ChangeSetName"), self._get_param("StackName")
    sets = self.cloudformation_backend.change_sets
    if name in sets:
        return sets[name]
    for change_set in reversed(sets.values()):
        if change_set.change_set_name == name and stack in (change_set.stack_name, change_set.stack_id):
            return change_set
    raise ChangeSetNotFound(f"ChangeSet [{name}] does not exist")


def backend_call(self: Any, operation: str) -> Any:
    """ExecuteChangeSet, DeleteChangeSet: the same."""
    getattr(self.cloudformation_backend, operation)(change_set_name=find_change_set(self).change_set_id)
    return EmptyResult()


def mend() -> None:
    ChangeSet.diff = diff
    CloudFormationBackend.create_change_set = create_change_set
    CloudFormationBackend.execute_change_set = execute_change_set
    CloudFormationResponse.create_change_set = checked_create_change_set
    CloudFormationResponse.describe_change_set = lambda self: ActionResult(find_change_set(self))
    CloudFormationResponse.execute_change_set = lambda self: backend_call(self, "execute_change_set")
    CloudFormationResponse.delete_change_set = lambda self: backend_call(self, "delete_change_set")
