"""Templates and resources. Each function replaces the one of moto that its docstring begins with."""

# mypy: disable-error-code="abstract, assignment, method-assign"
from typing import Any, NoReturn

from moto.awslambda.models import LambdaFunction
from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend, Event, cloudformation_backends
from moto.iam.access_control import PermissionResult
from moto.iam.models import iam_backends
from moto.s3.models import FakeBucket, s3_backends

from dpra.names import domain, partition

from .. import provisioning


class ResourceFailed(Exception):
    """A resource could not be made or changed; its event says why."""


def no_opinion(self: object, action: str, resource: str) -> Any:
    """FakeBucket.get_permission: moto passes over conditions; the front evaluates policies before it asks moto."""
    return PermissionResult.NEUTRAL


class RefusingLogger:
    """moto.cloudformation.parsing.logger: moto skips a type or an attribute it does not know with a warning."""

    def warning(self, message: object, *args: object) -> NoReturn:
        raise ValidationError(message=str(message) % args if args else str(message))


# ---- Templates


_start_map = parsing.ResourceMap.__init__


def start_map(self: Any, *arguments: Any, **options: Any) -> None:
    """ResourceMap.__init__: moto has the pseudo parameters of the partition `aws` in every region."""
    _start_map(self, *arguments, **options)
    region = self._region_name
    self._parsed_resources |= {"AWS::Partition": partition(region), "AWS::URLSuffix": domain(region)}


_clean_json = parsing.clean_json


def clean_json(value: Any, resources: Any) -> Any:
    """clean_json: an `AWS::NoValue` in a list leaves the list."""
    cleaned = _clean_json(value, resources)
    return [item for item in cleaned if item is not None] if isinstance(cleaned, list) else cleaned


def references(template: Any) -> list[str]:
    """get_references_from_template: a parameter inside `Fn::Sub` is a reference too."""
    if isinstance(template, list):
        return [name for item in template for name in references(item)]
    if not isinstance(template, dict):
        return []
    found = [template["Ref"]] if "Ref" in template else []
    if "Fn::Sub" in template:
        text = template["Fn::Sub"][0] if isinstance(template["Fn::Sub"], list) else template["Fn::Sub"]
        found += [part.partition("}")[0] for part in str(text).split("${")[1:]]
    return found + [name for item in template.values() for name in references(item)]


def wanted(resource: dict[str, Any], resources: Any) -> bool:
    condition = resource.get("Condition")
    return not condition or bool(resources.lazy_condition_map[condition])


# ---- Resources: every one leaves an event, and one that fails fails the stack


_create_resource = parsing.parse_and_create_resource
_update_resource = parsing.parse_and_update_resource


def create_resource(logical_id: str, resource_json: Any, resources_map: Any, account_id: str, region_name: str) -> Any:
    """parse_and_create_resource: with events, also for a failure."""
    at = (account_id, region_name, resources_map.stack_id, logical_id, resource_json["Type"])
    try:
        if wanted(resource_json, resources_map):
            check_rights(*at, resource_json, resources_map)
        resource = _create_resource(logical_id, resource_json, resources_map, account_id, region_name)
        check_package(resource)
    except ResourceFailed:
        raise
    except Exception as error:
        raise failed(error, "CREATE_FAILED", *at) from error
    if resource is not None:
        event("CREATE_COMPLETE", *at, physical_id=str(getattr(resource, "physical_resource_id", "")))
    return resource


def update_resource(logical_id: str, resource_json: Any, resources_map: Any, account_id: str, region_name: str) -> Any:
    """parse_and_update_resource: a type that cannot be updated is replaced, not forgotten."""
    at = (account_id, region_name, resources_map.stack_id, logical_id, resource_json["Type"])
    try:
        check_rights(*at, resource_json, resources_map, resources_map[logical_id])
        resource = _update_resource(logical_id, resource_json, resources_map, account_id, region_name)
        if resource is None:
            resources_map._delete_resource(resources_map._parsed_resources.pop(logical_id), resource_json)
            resource = _create_resource(logical_id, resource_json, resources_map, account_id, region_name)
        check_package(resource)
    except ResourceFailed:
        raise
    except Exception as error:
        raise failed(error, "UPDATE_FAILED", *at) from error
    event("UPDATE_COMPLETE", *at, physical_id=str(getattr(resource, "physical_resource_id", "")))
    return resource


def check_rights(
    account: str, region: str, stack_id: str, name: str, kind: str, said: Any, resources: Any, before: Any = None
) -> None:
    """moto asks nobody: the role that CloudFormation acts with must be allowed what gives rights."""
    stack = cloudformation_backends[account][region].get_stack(stack_id)
    if not stack.role_arn:
        return
    _, resolved, physical = parsing.parse_resource_and_generate_name(name, said, resources)
    acting = iam_backends[account][partition(region)].get_role_by_arn(stack.role_arn)
    if why := provisioning.refusal(acting, kind, physical, resolved.get("Properties") or {}, region, before):
        raise ValidationError(message=why)


def check_package(resource: Any) -> None:
    """moto makes a function also from a package that is not there, or that is in another region."""
    if not isinstance(resource, LambdaFunction) or "S3Bucket" not in resource.code:
        return
    bucket = s3_backends[resource.account_id][resource.partition].buckets.get(resource.code["S3Bucket"])
    if bucket is None or not resource.code_bytes:
        code, text = ("NoSuchKey", "key does not exist") if bucket else ("NoSuchBucket", "bucket does not exist")
        message = f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: The specified {text}."
        raise ValidationError(message=message)
    if bucket.region_name != resource.region:
        raise ValidationError(
            message="Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: The bucket is "
            f"in this region: {bucket.region_name}. Please use this region to retry the request"
        )


def failed(error: Exception, status: str, *at: str) -> ResourceFailed:
    if isinstance(error, KeyError):
        error = ValidationError(message=f"Unresolved resource dependencies [{error.args[0]}] in the template")
    reason = str(getattr(error, "message", "")) or str(error) or type(error).__name__
    event(status, *at, reason=reason)
    return ResourceFailed(f"{at[3]} ({at[4]}): {reason}")


def event(
    status: str,
    account: str,
    region: str,
    stack_id: str,
    name: str,
    kind: str,
    *,
    physical_id: str = "",
    reason: str = "",
) -> None:
    stack = cloudformation_backends[account][region].get_stack(stack_id)
    stack.events.append(Event(stack_id, stack.name, name, physical_id, kind, status, reason or None, None))


def update_resources(self: Any, template: dict[str, Any], parameters: dict[str, Any] | None = None) -> None:
    """ResourceMap.update: new, changed and conditional resources in one pass, removed ones last, as AWS does it.

    What cannot be deleted stays, and leaves an event; the update is complete."""
    old_resources, parsed = self._resource_json_map, self._parsed_resources
    modified = self.build_resource_diff(template, parameters)["Modify"]
    self._template, self._resource_json_map = template, template["Resources"]
    self.input_parameters = parameters or {}
    self.load()
    for name, resource_json in template["Resources"].items():
        exists = parsed.get(name) is not None
        if not exists and wanted(resource_json, self):
            _ = self[name]  # reading makes it
        elif exists and wanted(resource_json, self) and name in modified:
            parsed[name] = parsing.parse_and_update_resource(
                name, resource_json, self, self._account_id, self._region_name
            )
    for name, resource_json in reversed(old_resources.items()):
        gone = name not in template["Resources"] or not wanted(template["Resources"][name], self)
        if gone and parsed.get(name) is not None:
            try:
                self._delete_resource(parsed.pop(name), resource_json)
            except Exception as error:
                at = (self._account_id, self._region_name, self.stack_id, name, resource_json["Type"])
                failed(error, "DELETE_FAILED", *at)


def existing_resources(original: Any) -> Any:
    """list_stack_resources, describe_stack_resources: without those whose condition is false."""

    def existing(self: Any, *args: Any, **kwargs: Any) -> Any:
        stack, resources = original(self, *args, **kwargs)
        return stack, [resource for resource in resources if resource is not None]

    return existing


def mend() -> None:
    parsing.logger = RefusingLogger()
    parsing.clean_json = clean_json
    parsing.get_references_from_template = references
    parsing.parse_and_create_resource = create_resource
    parsing.parse_and_update_resource = update_resource
    parsing.ResourceMap.__init__ = start_map
    parsing.ResourceMap.update = update_resources
    FakeBucket.get_permission = no_opinion
    for name in ("describe_stack_resources", "list_stack_resources"):
        setattr(CloudFormationBackend, name, existing_resources(getattr(CloudFormationBackend, name)))
