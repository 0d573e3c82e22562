"""StackSets: what is asked for; `stack_set_reads` tells of them. moto does all of it at once, and by itself nothing:
here operations take time and are queued or refused, see `stack_operations`, and accounts that come to a target get
their stacks.

botocore's model says what a request takes. Not known here: self-managed sets' roles, AccountsUrl, imports, delegated
administrators, and operations that do not conflict and so go on side by side where execution is managed."""

# mypy: disable-error-code="assignment, attr-defined, method-assign"
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from moto.cloudformation.models import Stack
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult
from moto.organizations.models import OrganizationsBackend

from dpra.names import partition

from . import organizations, stack_operations
from .change_sets import InsufficientCapabilities, missing_capability
from .protocol import beyond, now, service
from .stack_operations import Result, Run, Said, StackSet, add, all_sets, arn, organisation, sets_of

Operation = Callable[["Caller", Said], Said | None]

TRUSTED = "member.org.stacksets.cloudformation.amazonaws.com"  # who must be trusted in the organisation
NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
DEPENDS = 10  # stack sets that one may depend on
OPERATIONS: dict[str, Callable[[CloudFormationResponse], ActionResult]] = {}
# What a stack set keeps of a request.
KEPT = ("Description", "Capabilities", "AutoDeployment", "PermissionModel", "ManagedExecution", "ExecutionRoleName")


class Caller:
    """Who asks, and where."""

    def __init__(self, response: CloudFormationResponse) -> None:
        self.response = response
        self.account, self.region = response.current_account, response.region
        self.within = partition(self.region)

    @property
    def sets(self) -> dict[str, StackSet]:
        return sets_of(self.account, self.region)


def refuse(code: str, message: str) -> NoReturn:
    error = CloudFormationError(message)
    error.code = code
    raise error


def invalid(message: str) -> NoReturn:
    raise ValidationError(message=message)


def serves(function: Operation) -> Operation:
    """The function does the operation of its name: in place of moto's, or where moto has none."""
    name = function.__name__.title().replace("_", "")

    def respond(self: CloudFormationResponse) -> ActionResult:
        from botocore.validate import ParamValidator

        caller, asked = Caller(self), {key: value for key, value in self._get_params().items() if key not in MORE}
        shape = service("cloudformation").operation_model(name).input_shape
        wrong = [ParamValidator().validate(asked, shape).generate_report(), *beyond(asked, shape, "")]
        if reasons := [reason for reason in wrong if reason]:
            invalid(f"{len(reasons)} validation errors detected: {'; '.join(reasons)}")
        if asked.get("CallAs") == "DELEGATED_ADMIN":
            invalid("Account used is not a delegated administrator")
        stack_operations.settle(caller.account, caller.within)
        said = function(caller, asked) or {}
        stack_operations.settle(caller.account, caller.within)
        return ActionResult(said)

    OPERATIONS[function.__name__] = respond
    return function


MORE = ("Action", "Version")  # in every request


def found(caller: Caller, asked: Said) -> StackSet:
    """The stack set that a request names, by its name, id or ARN."""
    wanted = asked["StackSetName"]
    for one in caller.sets.values():
        if one.status == "ACTIVE" and wanted in (one.name, one.id, arn(one)):
            return one
    refuse("StackSetNotFoundException", f"StackSet {wanted} not found")


# ---- Stack sets


def template(caller: Caller, asked: Said) -> str | None:
    body, url = asked.get("TemplateBody"), asked.get("TemplateURL")
    if body and url:
        invalid("You cannot specify both TemplateURL and TemplateBody")
    if url:
        return str(caller.response._get_stack_from_s3_url(url))
    return str(body) if body else None


def check_template(body: str, given: Mapping[str, str], capabilities: Iterable[str]) -> None:
    try:
        parsed = Stack.parse_template(body)
        declared = parsed.get("Parameters") or {}
        _ = parsed["Resources"]
    except Exception:  # of the parsers of YAML and of JSON, which have many
        invalid("Template format error: unsupported structure.")
    if strange := sorted(set(given) - set(declared)):
        invalid(f"Parameters: [{', '.join(strange)}] do not exist in the template")
    if missing := sorted(name for name, one in declared.items() if "Default" not in one and name not in given):
        invalid(f"Parameters: [{', '.join(missing)}] must have values")
    if need := missing_capability(parsed, set(capabilities)):
        raise InsufficientCapabilities(f"Requires capabilities : [{need}]")


def check_automatic(caller: Caller, said: Said, own: str = "") -> None:
    """Refuse an AutoDeployment that AWS refuses.

    Args:
        own: the ARN of the stack set, where it is there."""
    automatic = said.get("AutoDeployment")
    if said.get("PermissionModel") != "SERVICE_MANAGED":
        if automatic:
            invalid("AutoDeployment is for StackSets with SERVICE_MANAGED permission model only")
        return
    need_organisation(caller)
    if not automatic:
        return
    if not automatic.get("Enabled") and (automatic.get("RetainStacksOnAccountRemoval") or automatic.get("DependsOn")):
        invalid("RetainStacksOnAccountRemoval and DependsOn are for AutoDeployment that is enabled only")
    wanted = list(automatic.get("DependsOn", ()))
    if len(wanted) > DEPENDS:
        invalid(f"A StackSet depends on {DEPENDS} others at most")
    known = {arn(one): one for one in all_sets(caller.account) if one.status == "ACTIVE"}
    seen = set[str]()
    while wanted:
        name = wanted.pop()
        if name not in known:
            invalid(f"The StackSet {name}, which it depends on, does not exist")
        if name == own:
            invalid("The dependencies of the StackSet have a cycle")
        if name not in seen:
            seen.add(name)
            wanted += [other for other in stack_operations.depends(known[name]) if other in known]


def need_organisation(caller: Caller) -> OrganizationsBackend:
    backend = organisation(caller.account, caller.within)
    if backend is None or TRUSTED not in {one["ServicePrincipal"] for one in backend.services}:
        invalid("You must enable organizations access to operate a service managed stack set")
    return backend


def pairs(listed: Iterable[Said], name: str, value: str) -> dict[str, str]:
    return {one[name]: one[value] for one in listed if value in one}


@serves
def create_stack_set(caller: Caller, asked: Said) -> Said:
    if not NAME.fullmatch(asked["StackSetName"]):
        invalid(f"Value '{asked['StackSetName']}' at 'stackSetName' must satisfy {NAME.pattern}")
    if any(one.name == asked["StackSetName"] and one.status == "ACTIVE" for one in caller.sets.values()):
        refuse("NameAlreadyExistsException", f"StackSet {asked['StackSetName']} already exists")
    body = template(caller, asked) or invalid("TemplateBody or TemplateURL is needed")
    given = pairs(asked.get("Parameters", ()), "ParameterKey", "ParameterValue")
    check_template(body, given, asked.get("Capabilities", ()))
    said = {"PermissionModel": "SELF_MANAGED", **{name: asked[name] for name in KEPT if name in asked}}
    check_automatic(caller, said)
    said |= {"TemplateBody": body, "Parameters": given, "Tags": pairs(asked.get("Tags", ()), "Key", "Value")}
    number = f"{asked['StackSetName']}:{uuid.uuid4()}"
    caller.sets[number] = StackSet(number, asked["StackSetName"], caller.account, caller.region, said)
    return {"StackSetId": number}


@serves
def delete_stack_set(caller: Caller, asked: Said) -> None:
    one = found(caller, asked)
    if one.open:
        refuse("OperationInProgressException", f"Another Operation on StackSet {arn(one)} is in progress")
    if one.instances:
        refuse("StackSetNotEmptyException", "StackSet is not empty")
    one.status = "DELETED"


# ---- Operations


def managed(one: StackSet) -> bool:
    return bool(one.said.get("ManagedExecution", {}).get("Active"))


def start(one: StackSet, action: str, asked: Said, results: Iterable[Result], **about: Any) -> Said:
    """A further operation, if AWS takes one now."""
    check_preferences(asked.get("OperationPreferences", {}))
    number = asked.get("OperationId", "")
    if any(run.id == number for run in one.runs):
        refuse("OperationIdAlreadyExistsException", f"Operation with id {number} already exists")
    if one.open and not managed(one):
        refuse("OperationInProgressException", f"Another Operation on StackSet {arn(one)} is in progress")
    more = {"preferences": asked.get("OperationPreferences", {}), "targets": asked.get("DeploymentTargets", {})}
    return {"OperationId": add(one, action, results, id=number, **more, **about).id}


def check_preferences(said: Said) -> None:
    for what in ("FailureTolerance", "MaxConcurrent"):
        if f"{what}Count" in said and f"{what}Percentage" in said:
            invalid(f"{what}Count and {what}Percentage exclude each other")


def targeted(caller: Caller, one: StackSet, asked: Said, creates: bool = False) -> list[tuple[str, str]]:
    """The accounts that a request is about, and for each the unit that it is in."""
    targets = asked.get("DeploymentTargets")
    if one.said["PermissionModel"] != "SERVICE_MANAGED":
        if targets and "OrganizationalUnitIds" in targets:
            invalid("StackSets with SELF_MANAGED permission model can only have accounts as target")
        accounts = [*asked.get("Accounts", ()), *(targets or {}).get("Accounts", ())]
        return [(account, "") for account in accounts] or invalid("Accounts are needed")
    backend = need_organisation(caller)
    if asked.get("Accounts") or not targets:
        invalid("StackSets with SERVICE_MANAGED permission model can only have OrganizationalUnit as target")
    units, listed = targets.get("OrganizationalUnitIds", []), set(targets.get("Accounts", ()))
    how = targets.get("AccountFilterType", "UNION" if listed and not creates else "NONE" if not listed else "")
    if "AccountsUrl" in targets:
        invalid("The rehearsal does not read AccountsUrl")
    if creates and (not units or how in ("", "UNION")):
        invalid("OrganizationalUnitIds are needed, and AccountFilterType, which is not UNION, where there are Accounts")
    if (how in ("INTERSECTION", "DIFFERENCE")) != bool(listed and units) and how != "UNION":
        invalid(f"AccountFilterType is {how or 'missing'}, which does not go with the other targets")
    members = {account.id: account for account in backend.accounts if account.id != backend.account_id}
    if strange := sorted(listed - members.keys()):
        invalid(f"The accounts {', '.join(strange)} are not in the organization")
    inside = dict[str, Any]()
    for unit in units:
        if not any(other.id == unit for other in backend.ou):
            invalid(f"The organizational unit {unit} does not exist")
        inside |= {account.id: account for account in organizations.below(backend, unit) if account.id in members}
    wanted = set(inside)
    if how == "INTERSECTION":
        wanted &= listed
    elif how == "DIFFERENCE":
        wanted -= listed
    elif how == "UNION":
        wanted |= listed
    return [(number, account.parent_id) for number, account in members.items() if number in wanted]


@serves
def create_stack_instances(caller: Caller, asked: Said) -> Said:
    one = found(caller, asked)
    places = targeted(caller, one, asked, creates=True)
    overrides = overridden(one, asked)
    results = [Result(account, region, unit) for region in asked["Regions"] for account, unit in places]
    said = start(one, "CREATE", asked, results, overrides=overrides)
    for unit in asked.get("DeploymentTargets", {}).get("OrganizationalUnitIds", ()):
        one.targets.setdefault(unit, set()).update(asked["Regions"])
    return said


def overridden(one: StackSet, asked: Said) -> dict[str, str] | None:
    if "ParameterOverrides" not in asked:
        return None
    given = pairs(asked["ParameterOverrides"], "ParameterKey", "ParameterValue")
    declared = Stack.parse_template(one.said["TemplateBody"]).get("Parameters") or {}
    if strange := sorted(set(given) - set(declared)):
        invalid(f"Parameters: [{', '.join(strange)}] do not exist in the template")
    return given


def existing(caller: Caller, one: StackSet, asked: Said) -> list[Result]:
    """Where a request is about instances that are there."""
    wanted = {(account, region) for account, _ in targeted(caller, one, asked) for region in asked.get("Regions", ())}
    there = [Result(*place, one.instances[place].unit) for place in one.instances if place in wanted]
    if not there:
        refuse("StackInstanceNotFoundException", "The specified stack instances don't exist.")
    return there


@serves
def update_stack_instances(caller: Caller, asked: Said) -> Said:
    one = found(caller, asked)
    return start(one, "UPDATE", asked, existing(caller, one, asked), overrides=overridden(one, asked) or {})


@serves
def delete_stack_instances(caller: Caller, asked: Said) -> Said:
    one = found(caller, asked)
    said = start(one, "DELETE", asked, existing(caller, one, asked), retain=asked["RetainStacks"])
    targets = asked.get("DeploymentTargets", {})
    if targets.get("AccountFilterType", "NONE") == "NONE" or not targets.get("Accounts"):
        for unit in targets.get("OrganizationalUnitIds", ()):
            left = one.targets.pop(unit, set()) - set(asked["Regions"])
            one.targets.update({unit: left} if left else {})
    return said


@serves
def update_stack_set(caller: Caller, asked: Said) -> Said:
    one = found(caller, asked)
    body = template(caller, asked) or (one.said["TemplateBody"] if asked.get("UsePreviousTemplate") else "")
    if not body:
        invalid("Either Template URL or Template Body must be specified, or UsePreviousTemplate")
    given = dict[str, str]()
    for parameter in asked.get("Parameters", ()):
        name = parameter["ParameterKey"]
        if parameter.get("UsePreviousValue") and name not in one.said["Parameters"]:
            invalid(f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true")
        previous = parameter.get("UsePreviousValue")
        given[name] = one.said["Parameters"][name] if previous else parameter.get("ParameterValue", "")
    check_template(body, given, asked.get("Capabilities", ()))
    becomes = {name: asked[name] for name in KEPT if name in asked}
    if becomes.get("PermissionModel", one.said["PermissionModel"]) != one.said["PermissionModel"] and one.instances:
        invalid("The permission model of a StackSet that has instances cannot be changed")
    if "ManagedExecution" in becomes and bool(becomes["ManagedExecution"].get("Active")) != managed(one) and one.open:
        refuse("InvalidOperationException", "The execution cannot be changed while there are operations")
    check_automatic(caller, {**one.said, **becomes}, arn(one))
    becomes |= {"TemplateBody": body, "Parameters": given}
    if "Tags" in asked:
        becomes["Tags"] = pairs(asked["Tags"], "Key", "Value")
    some = bool(asked.get("DeploymentTargets") or asked.get("Accounts"))
    if some != bool(asked.get("Regions")):
        invalid("Regions are needed where there are targets, and targets where there are Regions")
    everywhere = [Result(*place, instance.unit) for place, instance in one.instances.items()]
    return start(one, "UPDATE", asked, existing(caller, one, asked) if some else everywhere, becomes=becomes)


@serves
def detect_stack_set_drift(caller: Caller, asked: Said) -> Said:
    one = found(caller, asked)
    return start(one, "DETECT_DRIFT", asked, [Result(*place, each.unit) for place, each in one.instances.items()])


def run_of(one: StackSet, asked: Said) -> Run:
    for run in one.runs:
        if run.id == asked["OperationId"]:
            return run
    refuse("OperationNotFoundException", f"Operation {asked['OperationId']} not found")


@serves
def stop_stack_set_operation(caller: Caller, asked: Said) -> None:
    run = run_of(found(caller, asked), asked)
    if run.status not in ("RUNNING", "QUEUED"):
        refuse("InvalidOperationException", f"The operation {run.id} is {run.status}")
    run.stopped = now()
    run.status = "STOPPING"


def forget() -> None:
    stack_operations.FAILING.clear()


def mend() -> None:
    """Put them in place."""
    from . import stack_set_reads  # noqa: F401 - its operations are put there, too

    for name, respond in OPERATIONS.items():
        setattr(CloudFormationResponse, name, respond)
