"""Rows of a fleet's policy tests: who may do what, held against the SCPs and RCPs of its unit or account.

Pure. A row is asked once for all accounts that inherit the same (fleet_inheritance).
Source of what AWS puts into a request: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import principals
from fleet import ACCOUNT, Problem, Request, counted, ordered
from fleet_inheritance import Bound, Key, Organisation
from fleet_rules import Rule
from policies import Decision

RULES = {
    "policy": Rule("high", "A service or resource control policy that AWS does not take."),
    "policy-row": Rule("high", "A row of a policy test that is no request."),
    "policy-test": Rule("high", "A row of a policy test that does not hold."),
}
FIRST_REGIONS = {
    "aws-us-gov": "us-gov-west-1",
    "aws-cn": "cn-north-1",
    "aws-eusc": "eusc-de-east-1",
}  # of partitions but the main one
EVERYWHERE = ("iam", "organizations")  # services with one endpoint, in the first region of the partition
PRINCIPAL = re.compile(
    r"\*|[0-9]{12}|[a-z0-9.-]+\.amazonaws\.com(\.cn)?|arn:[a-z-]+:(iam|sts)::[0-9]{12}:[!-~]+|arn:[a-z-]+:iam::aws:[!-~]+"
)
ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9]+")
RESOURCE = re.compile(r"(?s)\*|arn:[a-z-]+:[^:]*:[^:]*:[^:]*:.+")
PLACEHOLDER = re.compile(r"\{account(?::([^{}]+))?\}")
SHOWN = 160  # characters of one word of a row in a message


class Failure(NamedTuple):
    """A row that does not hold, and for whom."""

    bound: Bound
    decision: Decision


@dataclass(frozen=True)
class Judged:
    """A row, the inheritances it was held against, and those for which it does not hold."""

    row: Request
    asked: int
    failures: tuple[Failure, ...] = ()
    unread: str = ""  # why it is no request

    @property
    def holds(self) -> bool:
        return not self.failures and not self.unread


def request(
    principal: str, action: str, resource: str, context: Mapping[str, Any], account: str, region: str = ""
) -> principals.Request:
    """A request with what AWS puts into each, unless `context` says otherwise; null takes a key away.

    Args:
        account: whose the resource is if neither its ARN nor aws:ResourceAccount says it.
        region: where it is asked, if neither the context nor the resource says it.
    """
    said = {key.lower(): value for key, value in context.items()}
    bare = principals.Request(principal, action, resource)
    parts = resource.split(":", 5)
    owner = str(said.get("aws:resourceaccount") or (parts[4] if len(parts) == 6 else "") or account)
    first = FIRST_REGIONS.get(principal.split(":", 2)[1] if principal.startswith("arn:") else "", "us-east-1")
    where = first if bare.service in EVERYWHERE else (parts[3] if len(parts) == 6 else "") or region
    service = principal.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    found: dict[str, Any] = {
        "aws:principalisawsservice": service,
        "aws:viaawsservice": False,
        "aws:securetransport": True,
        "aws:resourceaccount": owner,
        "aws:requestedregion": where or None,
    }
    if bare.owner:
        arn = principal.split(":", 5)
        kind, _, name = arn[5].partition("/") if len(arn) == 6 else ("root", "", "")
        role = f"arn:{arn[1]}:iam::{bare.owner}:role/{name.partition('/')[0]}" if kind == "assumed-role" else principal
        found["aws:principalarn"], found["aws:principalaccount"] = role, bare.owner
        types = {"root": "Account", "user": "User", "federated-user": "FederatedUser"}
        found["aws:principaltype"] = types.get(kind, "AssumedRole")
    return principals.Request(principal, action, resource, found | said, account=owner)


def asked(organisation: Organisation, row: Request, bound: Bound) -> principals.Request:
    """The request of a row from an account, with what AWS puts into each.

    Raises:
        ValueError: it is none.
    """

    def filled(said: Any) -> Any:
        if isinstance(said, list):
            return [filled(one) for one in said]
        return PLACEHOLDER.sub(named, said) if isinstance(said, str) and "{account" in said else said

    def named(found: re.Match[str]) -> str:
        if found[1] is None:
            return bound.id
        if found[1] not in organisation.fleet.by_name:
            raise ValueError(f"there is no account '{short(found[1])}'")
        return bound.id if bound.ref == ACCOUNT + found[1] else organisation.id(found[1])

    principal, resource = filled(row.principal), filled(row.resource)
    for says, pattern, word in (
        ("principal", PRINCIPAL, principal), ("action", ACTION, row.action), ("resource", RESOURCE, resource)
    ):  # fmt: skip
        if not pattern.fullmatch(word):
            raise ValueError(f"'{short(word)}' is no {says} of a request")
    context = {key: filled(value) for key, value in row.conditions.items()}
    made = request(principal, row.action, resource, context, bound.id)
    ours = {
        key: organisation.org
        for key, account in (("aws:principalorgid", made.owner), ("aws:resourceorgid", made.account))
        if organisation.of_account(account, bound) and key not in map(str.lower, context)
    }
    return request(principal, row.action, resource, ours | context, bound.id) if ours else made


def short(word: str) -> str:
    return word if len(word) <= SHOWN else f"{word[:SHOWN]}…"


# ---- Rows


def judged(organisation: Organisation) -> list[Judged]:
    """Every row of the fleet, each against all inheritances it is about.

    Policies that could not be read bind nobody here: see `organisation.problems` first.
    """
    made: dict[tuple[str, ...], tuple[principals.Request, dict[tuple[str, str], bool], dict[Key, Decision]]] = {}
    found = []
    for row in organisation.fleet.requests:
        failures = []
        bounds = organisation.bounds(row.on)
        unread = "" if bounds else f"there is no '{short(row.on)}'"
        says = (row.principal, row.action, row.resource, repr(sorted(row.conditions.items())))
        named = any("{account:" in word for word in says)  # then who is asked counts, too
        try:
            for bound in bounds:
                which = (*says, bound.id, bound.ref if named else "")
                if which not in made:
                    made[which] = asked(organisation, row, bound), {}, {}
                request, levels, known = made[which]
                key = organisation.denying(request, bound, levels)
                if key not in known:
                    known[key] = organisation.decide(request, bound)
                if known[key].allowed != (row.expect == "allow"):
                    failures.append(Failure(bound, known[key]))
        except (ValueError, TypeError) as error:
            unread = str(error)
        found.append(Judged(row, len(bounds), tuple(failures), unread))
    return found


def told(one: Judged, organisation: Organisation) -> str:
    """Why a row does not hold: expected and found, for whom, by which statement, inherited from where."""
    row = one.row
    if one.unread:
        return f"this row is no request: {one.unread}"
    bound, decision = one.failures[0]
    who = f"{bound.ref}, and {counted(len(one.failures) - 1, 'other inheritance')}" if one.failures[1:] else bound.ref
    found = "allow" if decision.allowed else "deny"
    what = f"{short(row.action)} by {short(row.principal)} with {short(row.resource)}"
    says = f"expected {row.expect}, found {found}: {by(decision, bound, organisation)}; for {who}: {what}"
    return f"{says}; why: {short(row.why)}" if row.why else says


def by(decision: Decision, bound: Bound, organisation: Organisation) -> str:
    """What decided: policy, statement and its place, and the path of inheritance."""
    if decision.allowed:
        there = organisation.inherited(bound)
        own = [f"{one.name} ({name})" for name, one in there]
        listed = f"none of {', '.join(own[:10])}{' …' if own[10:] else ''}" if own else "there is no policy that"
        return f"{listed} denies it on the way {bound.path}"
    if decision.statement:
        place = "{}:{}".format(*organisation.statement(decision))
        policy = organisation.files[decision.policy]
        return (
            f"{policy.type} {decision.policy}, statement {decision.statement} ({place}), "
            f"inherited by {decision.level}{_down(decision, bound)}"
        )
    return (
        f"no service-control-policy at the level {decision.level} allows it"
        f" (there: {decision.policy or 'none at all'}); one of each level must"
    )


def _down(decision: Decision, bound: Bound) -> str:
    """From where a policy is attached down to the account."""
    path = bound.path
    return f", so by {path}" if path.startswith(f"{decision.level} > ") else ""


def problems(rows: Iterable[Judged], organisation: Organisation) -> list[Problem]:
    """What is wrong with the policies' documents, and the rows that do not hold, by place."""
    found = [*organisation.problems]
    for one in rows:
        if not one.holds:
            rule = "policy-row" if one.unread else "policy-test"
            found.append(Problem(one.row.file, one.row.line, rule, told(one, organisation)))
    return ordered(found)
