"""What a request about an organisation needs: actions on its accounts, units and policies, on contacts, budgets and
stack sets.

Source, as cfn-lint has it: https://docs.aws.amazon.com/service-authorization/latest/reference/list_organizations.html,
and list_account.html, list_budgets.html and list_cloudformation.html beside it."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dpra.names import arn

Context = dict[str, str | list[str]]
Needed = Iterator[tuple[str, str, Context]]

SERVICES = ("account", "budgets", "organizations")
# The parameters that name what an operation is about.
NAMES = (
    *("PolicyId", "TargetId", "ParentId", "ResourceId", "AccountId", "SourceParentId", "DestinationParentId"),
    *("OrganizationalUnitId", "RootId", "ChildId"),
)
MADE = {"CreateAccount": "account", "CreateOrganizationalUnit": "ou", "CreatePolicy": "policy"}
PLAIN = ("CreateAccount", "DescribeOrganization")  # which take no resource, whatever they name
BUDGETS = {"DescribeBudget": "ViewBudget", "DescribeBudgets": "ViewBudget"}  # all others modify
# The operations of stack sets that are about their stacks, too.
STACKS = ("CreateStackInstances", "DeleteStackInstances", "UpdateStackInstances", "UpdateStackSet")
STACK_SETS = re.compile(r"\w*StackSet\w*|\w*StackInstances?\w*")


def asked(service: str, operation: str, region: str, account: str, said: Mapping[str, Any]) -> Needed:
    """Each permission of a request of JSON."""
    if service == "account":
        yield f"account:{operation}", contact(region, account, str(said.get("AccountId") or "")), {}
    elif service == "budgets":
        name = (said.get("Budget") or said.get("NewBudget") or said).get("BudgetName", "*")
        action = BUDGETS.get(operation, "ModifyBudget" if operation.endswith("Budget") else operation)
        yield f"budgets:{action}", arn(region, "budgets", account, f"budget/{name}", everywhere=True), {}
    else:
        yield from of_organization(operation, region, account, said)


def contact(region: str, account: str, wanted: str) -> str:
    if not wanted or wanted == account:
        return arn(region, "account", account, "account", everywhere=True)
    backend = home(account)
    organization = backend.org.id if backend else "o-none"
    owner = backend.account_id if backend else account
    return arn(region, "account", owner, f"account/{organization}/{wanted}", everywhere=True)


def home(account: str) -> Any:
    """moto's backend of the organisation that an account manages or is a member of."""
    from moto.organizations.models import organizations_backends

    from . import guardrails

    own = [one for one in organizations_backends[account].values() if one.org]
    return own[0] if own else guardrails.home(account)


def of_organization(operation: str, region: str, account: str, said: Mapping[str, Any]) -> Needed:
    """Each thing that a request names must be allowed, and the tags that it gives to what it makes."""
    backend, action, tags = home(account), f"organizations:{operation}", requested(said.get("Tags") or ())
    about: Context = dict(tags)
    there = {one.id: one for one in (*backend.ou, *backend.accounts, *backend.policies)} if backend else {}
    named = [] if operation in PLAIN else [said[name] for name in NAMES if said.get(name) in there]
    kinds = [there[name].type for name in named if name.startswith("p-")]
    if kind := said.get("PolicyType") or said.get("Type") or said.get("Filter") or "".join(kinds):
        about["organizations:PolicyType"] = str(kind)
    for name in named:
        yield action, there[name].arn, {**about, **tagged(there[name])}
    made = ""
    if operation in MADE and backend:
        made = arn(
            region, "organizations", backend.account_id, f"{MADE[operation]}/{backend.org.id}/*", everywhere=True
        )
    if not named:
        yield action, made if operation == "CreatePolicy" and made else "*", about
    if operation in MADE and tags:
        yield "organizations:TagResource", made or "*", {**about}


def tagged(one: Any) -> Context:
    return {f"aws:ResourceTag/{key}": value for key, value in one.tags.items()}


def requested(tags: Iterable[Mapping[str, str]]) -> Context:
    """What conditions know of the tags of a request."""
    given = {tag["Key"]: tag["Value"] for tag in tags}
    found: Context = {f"aws:RequestTag/{key}": value for key, value in given.items()}
    return {**found, "aws:TagKeys": sorted(given)} if given else {}


def of_stack_set(operation: str, region: str, account: str, form: Mapping[str, str]) -> Needed:
    """The stack set, where its stacks go, and the types of what is in them."""
    from .mends import stack_operations

    action, name = f"cloudformation:{operation}", form.get("StackSetName", "")
    given = sorted(key for key in form if re.fullmatch(r"Tags\.member\.\d+\.Key", key))
    tags = requested({"Key": form[key], "Value": form.get(key.replace("Key", "Value"), "")} for key in given)
    if not name or operation == "CreateStackSet":  # which takes no resource
        yield action, "*", tags
        if tags:
            yield "cloudformation:TagResource", arn(region, "cloudformation", account, f"stackset/{name}:*"), tags
        return
    known = stack_operations.sets_of(account, region).values()
    one = next(
        (one for one in known if one.status == "ACTIVE" and name in (one.name, one.id, stack_operations.arn(one))), None
    )
    number = one.id if one else f"{name}:*"
    about: Context = {f"aws:ResourceTag/{key}": value for key, value in one.said["Tags"].items()} if one else {}
    yield action, arn(region, "cloudformation", account, f"stackset/{number}"), {**tags, **about}
    if operation in STACKS:
        yield action, arn(region, "cloudformation", account, f"stackset-target/{number}"), {**tags}
        for kind in sorted(types(one)) if one else ():
            yield action, arn(region, "cloudformation", "", f"type/resource/{kind.replace('::', '-')}"), {**tags}
    if tags:
        yield "cloudformation:TagResource", arn(region, "cloudformation", account, f"stackset/{number}"), {**tags}


def types(one: Any) -> set[str]:
    from moto.cloudformation.models import Stack

    return {str(said["Type"]) for said in Stack.parse_template(one.said["TemplateBody"])["Resources"].values()}


def body(environ: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the front has read already, and left to be read again."""
    said = json.loads(environ["wsgi.input"].getvalue() or b"{}")
    return said if isinstance(said, dict) else {}
