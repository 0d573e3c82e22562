"""What an organisation's policies forbid in its member accounts: service control policies to their roles, resource
control policies to whoever asks for their resources. Where there is no organisation, nothing is asked.

Not looked at: how roles are assumed by a token of GitHub's, functions' own roles, and what StackSets make."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from dpra import resources

_policies = resources.lib("policies")

Context = Mapping[str, str | list[str]]
KINDS = {"scp": "SERVICE_CONTROL_POLICY", "rcp": "RESOURCE_CONTROL_POLICY"}
# The condition keys that are known of a request, beside those that it brings.
KEYS = frozenset(
    "aws:principalaccount aws:principalarn aws:principalisawsservice aws:principalorgid aws:principalorgpaths "
    "aws:principalservicename aws:principaltype aws:requestedregion aws:resourceaccount aws:resourceorgid "
    "aws:resourceorgpaths aws:securetransport aws:sourceaccount aws:sourcearn aws:sourceorgid aws:viaawsservice".split()
)
OPERATORS = frozenset([*_policies.conditions.OPERATORS, *_policies.conditions.NEGATED])
TAG = re.compile(r"aws:PrincipalTag/[^\"]+", re.IGNORECASE)


def home(account: str) -> Any:
    """moto's backend of the organisation whose member an account is; None for others, and who manages one."""
    from moto.organizations.models import organizations_backends

    if not (found := organizations_backends.master_accounts.get(account)):
        return None
    return organizations_backends[found[0]][found[1]]


def placed(context: Context, region: str) -> Context:
    """A request's condition keys, with the region that is asked, where an organisation may ask for it."""
    from moto.organizations.models import organizations_backends

    return {**context, "aws:RequestedRegion": region} if organizations_backends.master_accounts else context


def refusal(role: Any, action: str, target: str, context: Context) -> str:
    """Why an organisation refuses it to a role of moto's; empty where it does not."""
    from moto.organizations.models import organizations_backends

    if not organizations_backends.master_accounts:
        return ""
    owner = owner_of(target) or role.account_id
    here, there = home(role.account_id), home(owner)
    if here is None and there is None:
        return ""
    about = {
        **context,
        "aws:PrincipalArn": role.arn,
        "aws:PrincipalAccount": role.account_id,
        "aws:PrincipalIsAWSService": "false",
        "aws:PrincipalType": "AssumedRole",
        "aws:ResourceAccount": owner,
        "aws:SecureTransport": "true",
        "aws:ViaAWSService": "false",
        **{f"aws:PrincipalTag/{tag['Key']}": str(tag["Value"]) for tag in tags_of(role)},
        **place("Principal", role.account_id),
        **place("Resource", owner),
    }
    if target.startswith("arn:") and (region := target.split(":")[3]):
        about.setdefault("aws:RequestedRegion", region)
    decision = _policies.decide(
        _policies.Request(role.arn, action, target, about, account=owner),
        identity=[_policies.ALL],  # what roles and resources say themselves, is asked elsewhere
        resource=_policies.OPEN,
        scps=list(levels(here, role.account_id, "scp")) if here else (),
        rcps=list(levels(there, owner, "rcp")) if there else (),
    )
    if decision.allowed or decision.kind not in KINDS:
        return ""
    words = _policies.KINDS[decision.kind].words
    if decision.statement:
        return f"with an explicit deny in a {words}"
    return f"no {words} allows the {action} action"


def tags_of(role: Any) -> list[dict[str, Any]]:
    """The tags of a role of moto's, which has them otherwise where CloudFormation made it."""
    return role.tags if isinstance(role.tags, list) else list((role.tags or {}).values())


def owner_of(target: str) -> str:
    """The account of a resource, where its ARN or moto says it."""
    from . import permissions

    if target.startswith("arn:") and (said := target.split(":")[4]):
        return said
    found = permissions.of_resource(target)
    return found[0] if found else ""


def place(whose: str, account: str) -> dict[str, str | list[str]]:
    """What condition keys say of where an account is in its organisation."""
    from moto.organizations.models import organizations_backends

    from .mends import organizations

    backend = home(account)
    if backend is None:
        managed = [one for one in organizations_backends[account].values() if one.org]
        backend = managed[0] if managed else None
    if backend is None:
        return {}
    units = "/".join(one.id for one in organizations.above(backend, organizations.account_of(backend, account))[:-1])
    paths = [f"{backend.org.id}/{units}/"]
    return {f"aws:{whose}OrgID": backend.org.id, f"aws:{whose}OrgPaths": paths}


def levels(backend: Any, account: str, kind: str) -> Iterator[Any]:
    """What is attached above and at an account, from the root down; nothing where the type is not enabled."""
    from .mends import organization_policies, organizations

    if not organization_policies.enabled(backend, KINDS[kind]):
        return
    for one in organizations.above(backend, organizations.account_of(backend, account)):
        said = [policy for policy in one.attached_policies if policy.type == KINDS[kind]]
        if kind == "rcp":
            said = [policy for policy in said if not policy.aws_managed]
        yield _policies.Level(one.name, [read(policy.content, kind, policy.name) for policy in said])


@lru_cache(maxsize=1024)
def read(text: str, kind: str, name: str) -> Any:
    """A policy for the judge, compiled once. Of condition keys that are not known here it takes the careful answer."""
    from . import permissions

    tags = frozenset(tag.lower() for tag in TAG.findall(text))
    known = _policies.Known(keys=KEYS | permissions.UNDERSTOOD.keys | tags, operators=OPERATORS)
    return _policies.Policy(name, permissions.policy_of(text), kind, known)
