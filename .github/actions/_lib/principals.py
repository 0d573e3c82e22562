"""Who asks for what, and how policies call them.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import conditions
from conditions import Malformed, many

Name = tuple[str, ...]  # what kind of principal, and what tells it from others of the kind
EVERYBODY: Name = ("other", "*")
KINDS = ("AWS", "CanonicalUser", "Federated", "Service")
# How close a statement's principal is to who asks: the account, which is left to decide, the role, or they themselves.
ACCOUNT, ROLE, DIRECT = 1, 2, 3


def names(principal: str) -> tuple[Name, ...]:
    """How policies may call a principal, the closest name first: a session, then its role, then their account.

    A role's name is its own in its account, so its path, of which a session's ARN says nothing, is left out."""
    arn = principal.split(":", 5)
    if len(arn) < 6:
        return (("account", principal),) if re.fullmatch(r"\d{12}", principal) else (("other", principal),)
    account, (kind, _, name) = arn[4], arn[5].partition("/")
    role = ("role", account, name.partition("/")[0] if kind == "assumed-role" else name.rpartition("/")[2])
    match arn[2], kind:
        case "iam", "root":
            return (("account", account),)
        case "iam", "role":
            return role, ("account", account)
        case "sts", "assumed-role":
            return ("session", principal), role, ("account", account)
        case ("iam", "user") | ("sts", "federated-user"):
            return (kind, principal), ("account", account)
    return (("other", principal),)


class Request:
    """Who wants to do what with which resource.

    Args:
        principal: the ARN of a role, a session, a user or an account's root; or a service (`ec2.amazonaws.com`).
        resource: its ARN; `*` for what only a statement about all resources covers.
        context: condition keys, in any case, each with one value or several.
        account: the resource's, where its ARN does not say it; else that of the principal."""

    __slots__ = ("account", "action", "names", "owner", "principal", "resource", "service", "values")

    def __init__(
        self,
        principal: str,
        action: str,
        resource: str = "*",
        context: Mapping[str, Any] | None = None,
        *,
        account: str = "",
    ) -> None:
        self.principal, self.action, self.resource = principal, action.lower(), resource
        self.service = self.action.partition(":")[0]
        self.values = conditions.values(context or {})
        self.names = names(principal)
        self.owner = self.names[-1][1] if self.names[-1][0] == "account" else ""  # none of a service
        said = resource.split(":", 5)
        self.account = account or (said[4] if len(said) == 6 else "") or self.owner

    @property
    def root(self) -> bool:
        return self.names[0][0] == "account"

    @property
    def linked(self) -> bool:
        """Is it a role that belongs to a service of AWS? Its path says so, which a session's ARN leaves out."""
        return ":role/aws-service-role/" in self.principal


def named(element: str, said: Any) -> Iterator[Name]:
    """The names of principals that an element says."""
    if said == "*":
        yield EVERYBODY
        return
    if not isinstance(said, Mapping) or not said or set(said) - set(KINDS):
        raise Malformed(f"{element} must be * or a mapping with {', '.join(KINDS)}")
    for kind, listed in said.items():
        for one in many(listed):
            if not isinstance(one, str) or ("*" in one and (one != "*" or kind != "AWS")):
                raise Malformed(f"{element} {one} is a part of a name")
            yield names(one)[0] if kind == "AWS" else ("other", one)
