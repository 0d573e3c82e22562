"""Organizations: an organisation's accounts and units. Its policies are in `organization_policies`, its tags in
`organization_tags`. moto makes accounts at once, refuses little, and gives lists whole.

botocore's model says what an operation takes. Each operation takes moto's backend of the management account, and may be
called by a rehearsal itself, too. Sources: the texts of botocore's model,
https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html and
https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_accounts_account_state.html."""

# mypy: disable-error-code="arg-type, assignment, attr-defined, method-assign, union-attr"
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

from moto.iam.models import iam_backends
from moto.organizations.exceptions import OrganizationsClientError
from moto.organizations.models import (
    FakeAccount,
    FakeOrganizationalUnit,
    OrganizationsBackend,
    organizations_backends,
)
from moto.organizations.responses import OrganizationsResponse

from dpra.dataclasses import dataclass

from .protocol import beyond, now, service

Said = dict[str, Any]  # parameters or an answer, as in the model
Operation = Callable[[OrganizationsBackend, Said], Said | None]
Move = Callable[[OrganizationsBackend, Any, str, str], None]  # with the account, its parent before, and its new one

CREATION = 1.0  # seconds that AWS takes to make an account; it takes as long to find out that it cannot
CLOSURE = 1.0  # and to close one
FAILING: dict[str, str] = {}  # e-mail -> FailureReason of the next request to make that account
PAGE = 20  # of what is listed, at most
AT_ONCE = 5  # accounts that may be in the making
CLOSING = 3  # accounts that may be about to close
DEPTH, UNITS, TAGS = 5, 2000, 50
ROLE = "OrganizationAccountAccessRole"
OPERATIONS: dict[str, Callable[[OrganizationsResponse], str]] = {}
MOVED: list[Move] = []  # what is told that an account has come, or has moved
# What a request breaks, by what `beyond` says of it -> the reason of InvalidInputException.
INVALID = {"must satisfy": "INVALID_PATTERN", "must be one of": "INVALID_ENUM", "at most": "MAX_LENGTH_EXCEEDED"}


@dataclass
class Creation:
    """A request to make an account."""

    said: Said  # CreateAccountStatus
    asked: Said
    until: float


def refuse(code: str, message: str, reason: str = "") -> NoReturn:
    """Refuse as AWS does it.

    Args:
        reason: of those errors that have one."""
    error = OrganizationsClientError(code, message)
    if reason:
        error.Reason = reason
    raise error


def invalid(message: str, reason: str) -> NoReturn:
    refuse("InvalidInputException", message, reason)


def beyond_limit(message: str, reason: str) -> NoReturn:
    refuse("ConstraintViolationException", message, reason)


# ---- Requests


def serves(function: Operation) -> Operation:
    """The function does the operation of its name: in place of moto's, or where moto has none."""
    name = function.__name__.title().replace("_", "")

    def respond(self: OrganizationsResponse) -> str:
        asked = json.loads(self.body or "{}")
        check(name, asked)
        backend = home(self.current_account, self.partition, name)
        settle(backend)
        return json.dumps(function(backend, asked) or {})

    OPERATIONS[function.__name__] = respond
    return function


def check(operation: str, asked: Said) -> None:
    """Refuse what the model refuses."""
    from botocore.validate import ParamValidator

    shape = service("organizations").operation_model(operation).input_shape
    if shape is None:
        return
    if report := ParamValidator().validate(asked, shape).generate_report():
        invalid(report, "INPUT_REQUIRED")
    readable = {name: value for name, value in asked.items() if not name.startswith("Tag")}  # Python knows no \p{L}
    for why in beyond(readable, shape, ""):
        invalid(why, next((reason for words, reason in INVALID.items() if words in why), "INVALID_PATTERN"))


def home(account: str, within: str, operation: str = "List") -> OrganizationsBackend:
    """moto's backend of the management account, if the account may ask for such an operation."""
    own = organizations_backends[account][within]
    if own.org:
        return own
    there = of_member(account)
    if there is None:
        refuse("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
    delegated = account in {admin.account.id for admin in there.admins} and operation.startswith(("Describe", "List"))
    if operation != "DescribeOrganization" and not delegated:
        refuse("AccessDeniedException", "You don't have permissions to access this resource.")
    return there


def of_member(account: str) -> OrganizationsBackend | None:
    """moto's backend of the organisation whose member an account is."""
    found = organizations_backends.master_accounts.get(account)
    return organizations_backends[found[0]][found[1]] if found else None


def page(items: Iterable[Said], asked: Said, name: str) -> Said:
    """One page of what is listed, under its name."""
    every, token = list(items), asked.get("NextToken", "")
    start = int(token) if token.isdecimal() else 0
    if token and not 0 < start < len(every):
        invalid("The pagination token is of no list.", "INVALID_PAGINATION_TOKEN")
    end = start + min(asked.get("MaxResults", PAGE), PAGE)
    return {name: every[start:end], **({"NextToken": str(end)} if end < len(every) else {})}


# ---- What is there


def parent(backend: OrganizationsBackend, number: str, code: str = "ParentNotFoundException") -> Any:
    """The root or a unit."""
    for unit in backend.ou:
        if unit.id == number:
            return unit
    refuse(code, f"You specified a root or an organizational unit that doesn't exist: {number}")


def unit_of(backend: OrganizationsBackend, number: str) -> Any:
    return parent(backend, number, "OrganizationalUnitNotFoundException")


def account_of(backend: OrganizationsBackend, number: str) -> Any:
    for account in backend.accounts:
        if account.id == number:
            return account
    refuse("AccountNotFoundException", "You specified an account that doesn't exist.")


def target_of(backend: OrganizationsBackend, number: str) -> Any:
    """The root, a unit or an account."""
    for one in (*backend.ou, *backend.accounts):
        if one.id == number:
            return one
    refuse("TargetNotFoundException", f"You specified a target that doesn't exist: {number}")


def above(backend: OrganizationsBackend, one: Any) -> list[Any]:
    """The root, the units below it down to the one that an account or a unit is in, and itself."""
    units, found = {unit.id: unit for unit in backend.ou}, [one]
    while found[0].type != "ROOT":
        found.insert(0, units[found[0].parent_id])
    return found


def below(backend: OrganizationsBackend, number: str) -> list[Any]:
    """All accounts that are in a unit, or in a unit below it."""
    inside = {number}
    while more := {unit.id for unit in backend.ou if unit.parent_id in inside} - inside:
        inside |= more
    return [account for account in backend.accounts if account.parent_id in inside]


def path(backend: OrganizationsBackend, one: Any) -> str:
    return "/".join([backend.org.id, *(step.id for step in above(backend, one))]) + "/"


def told(backend: OrganizationsBackend, account: FakeAccount) -> Said:
    """An account as AWS tells of it. It says its state; the status is not told any more since 2026-09-09."""
    said = account.describe()
    del said["Status"]
    return {**said, "Paths": [path(backend, account)]}


def told_unit(backend: OrganizationsBackend, unit: FakeOrganizationalUnit) -> Said:
    return {"Id": unit.id, "Arn": unit.arn, "Name": unit.name, "Path": path(backend, unit)}


# ---- Accounts


def creations(backend: OrganizationsBackend) -> dict[str, Creation]:
    found: dict[str, Creation] = backend.__dict__.setdefault("dpra_creations", {})
    return found


def settle(backend: OrganizationsBackend) -> None:
    """Do what AWS has done meanwhile."""
    for creation in creations(backend).values():
        if creation.said["State"] == "IN_PROGRESS" and now() >= creation.until:
            finish(backend, creation)
    for account in backend.accounts:
        if account.state == "PENDING_CLOSURE" and now() >= account.dpra_until:
            account.state, account.status = "CLOSED", "SUSPENDED"


def finish(backend: OrganizationsBackend, creation: Creation) -> None:
    """An account is there, or will never be."""
    email = creation.asked["Email"]
    taken = email.lower() in {account.email.lower() for account in backend.accounts}
    reason = FAILING.pop(email, "") or ("EMAIL_ALREADY_EXISTS" if taken else "")
    creation.said["CompletedTimestamp"] = creation.until
    if reason:
        creation.said |= {"State": "FAILED", "FailureReason": reason}
        return
    made = join(backend, creation.asked)
    creation.said |= {"State": "SUCCEEDED", "AccountId": made.id}
    made.create_account_status_id = creation.said["Id"]


def join(backend: OrganizationsBackend, asked: Said) -> Any:
    """A new account in the root, with the role by which the management account gets into it."""
    from .organization_policies import given

    role = asked.get("RoleName") or ROLE
    made = FakeAccount(backend.org, **{**asked, "RoleName": role})
    backend.accounts.append(made)
    organizations_backends.master_accounts[made.id] = (backend.account_id, backend.partition)
    iam = iam_backends[made.id][backend.partition]
    trust = {"AWS": f"arn:{backend.partition}:iam::{backend.account_id}:root"}
    statement = {"Effect": "Allow", "Principal": trust, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    for number in [number for number, one in iam.roles.items() if one.name == role]:
        del iam.roles[number]  # moto's, which has no rights
    into = iam.create_role(role, document, "/", None, "", [], "3600")
    into.dpra_managed = (f"arn:{backend.partition}:iam::aws:policy/AdministratorAccess",)  # of which moto knows nothing
    given(backend, [made])
    moved(backend, made, "", made.parent_id)
    return made


def moved(backend: OrganizationsBackend, account: Any, before: str, after: str) -> None:
    for tell in MOVED:
        tell(backend, account, before, after)


@serves
def create_account(backend: OrganizationsBackend, asked: Said) -> Said:
    check_tags(asked.get("Tags", ()))
    if sum(one.said["State"] == "IN_PROGRESS" for one in creations(backend).values()) >= AT_ONCE:
        message = f"You can have {AT_ONCE} accounts in the making at a time."
        beyond_limit(message, "ACCOUNT_CREATION_RATE_LIMIT_EXCEEDED")
    number = f"car-{secrets.token_hex(16)}"
    said = {"Id": number, "AccountName": asked["AccountName"], "State": "IN_PROGRESS", "RequestedTimestamp": now()}
    creations(backend)[number] = Creation(said, asked, now() + CREATION)
    return {"CreateAccountStatus": said}


@serves
def describe_create_account_status(backend: OrganizationsBackend, asked: Said) -> Said:
    if not (found := creations(backend).get(asked["CreateAccountRequestId"])):
        refuse("CreateAccountStatusNotFoundException", "We can't find a create account request with that id.")
    return {"CreateAccountStatus": found.said}


@serves
def list_create_account_status(backend: OrganizationsBackend, asked: Said) -> Said:
    states = asked.get("States") or ["IN_PROGRESS", "SUCCEEDED", "FAILED"]
    found = [one.said for one in creations(backend).values() if one.said["State"] in states]
    return page(found, asked, "CreateAccountStatuses")


@serves
def close_account(backend: OrganizationsBackend, asked: Said) -> None:
    account = account_of(backend, asked["AccountId"])
    if account.id == backend.account_id:
        beyond_limit("You can't close the management account.", "CANNOT_CLOSE_MANAGEMENT_ACCOUNT")
    if account.state == "CLOSED":
        refuse("AccountAlreadyClosedException", "You attempted to close an account that is already closed.")
    if account.state == "PENDING_CLOSURE":
        refuse("ConflictException", "The account is about to be closed.")
    if sum(one.state == "PENDING_CLOSURE" for one in backend.accounts) >= CLOSING:
        message = f"You can close {CLOSING} accounts at a time."
        beyond_limit(message, "CLOSE_ACCOUNT_REQUESTS_LIMIT_EXCEEDED")
    account.state = account.status = "PENDING_CLOSURE"
    account.dpra_until = now() + CLOSURE


@serves
def describe_account(backend: OrganizationsBackend, asked: Said) -> Said:
    return {"Account": told(backend, account_of(backend, asked["AccountId"]))}


@serves
def list_accounts(backend: OrganizationsBackend, asked: Said) -> Said:
    return listed(backend, backend.accounts, asked)


@serves
def list_accounts_for_parent(backend: OrganizationsBackend, asked: Said) -> Said:
    number = parent(backend, asked["ParentId"]).id
    return listed(backend, [account for account in backend.accounts if account.parent_id == number], asked)


def listed(backend: OrganizationsBackend, accounts: Sequence[Any], asked: Said) -> Said:
    """A page of accounts; only these are told of, as an organisation may have thousands."""
    found = page([{"at": number} for number in range(len(accounts))], asked, "Accounts")
    return {**found, "Accounts": [told(backend, accounts[one["at"]]) for one in found["Accounts"]]}


@serves
def move_account(backend: OrganizationsBackend, asked: Said) -> None:
    account = account_of(backend, asked["AccountId"])
    source = parent(backend, asked["SourceParentId"], "SourceParentNotFoundException").id
    destination = parent(backend, asked["DestinationParentId"], "DestinationParentNotFoundException").id
    if account.parent_id == destination:
        refuse("DuplicateAccountException", "That account is already present in the specified destination.")
    if account.parent_id != source:
        refuse("SourceParentNotFoundException", f"The account is not in {source}.")
    account.parent_id = destination
    moved(backend, account, source, destination)


# ---- Units


def siblings(backend: OrganizationsBackend, number: str) -> Iterator[Any]:
    return (unit for unit in backend.ou if unit.parent_id == number)


@serves
def create_organizational_unit(backend: OrganizationsBackend, asked: Said) -> Said:
    from .organization_policies import given

    check_tags(asked.get("Tags", ()))
    into = parent(backend, asked["ParentId"])
    if asked["Name"] in {unit.name for unit in siblings(backend, into.id)}:
        refuse("DuplicateOrganizationalUnitException", "An OU with the same name already exists.")
    if len(above(backend, into)) > DEPTH:
        beyond_limit(f"Units are at most {DEPTH} levels deep.", "OU_DEPTH_LIMIT_EXCEEDED")
    if len(backend.ou) > UNITS:  # one is the root
        beyond_limit(f"An organization has at most {UNITS} units.", "OU_NUMBER_LIMIT_EXCEEDED")
    made = FakeOrganizationalUnit(backend.org, **asked)
    backend.ou.append(made)
    given(backend, [made])
    return {"OrganizationalUnit": told_unit(backend, made)}


@serves
def update_organizational_unit(backend: OrganizationsBackend, asked: Said) -> Said:
    unit = unit_of(backend, asked["OrganizationalUnitId"])
    name = asked.get("Name", unit.name)
    if name in {one.name for one in siblings(backend, unit.parent_id) if one is not unit}:
        refuse("DuplicateOrganizationalUnitException", "An OU with the same name already exists.")
    unit.name = name
    return {"OrganizationalUnit": told_unit(backend, unit)}


@serves
def delete_organizational_unit(backend: OrganizationsBackend, asked: Said) -> None:
    unit = unit_of(backend, asked["OrganizationalUnitId"])
    if any(one.parent_id == unit.id for one in (*backend.ou, *backend.accounts)):
        refuse("OrganizationalUnitNotEmptyException", "The OU is not empty: move its accounts, and remove its OUs.")
    for policy in unit.attached_policies:
        policy.attachments.remove(unit)
    backend.ou.remove(unit)


@serves
def describe_organizational_unit(backend: OrganizationsBackend, asked: Said) -> Said:
    return {"OrganizationalUnit": told_unit(backend, unit_of(backend, asked["OrganizationalUnitId"]))}


@serves
def list_organizational_units_for_parent(backend: OrganizationsBackend, asked: Said) -> Said:
    number = parent(backend, asked["ParentId"]).id
    return page([told_unit(backend, unit) for unit in siblings(backend, number)], asked, "OrganizationalUnits")


@serves
def list_roots(backend: OrganizationsBackend, asked: Said) -> Said:
    return page([unit.describe() for unit in backend.ou if unit.type == "ROOT"], asked, "Roots")


@serves
def list_parents(backend: OrganizationsBackend, asked: Said) -> Said:
    for one in (*backend.ou, *backend.accounts):
        if one.id == asked["ChildId"] and one.type != "ROOT":
            found = parent(backend, one.parent_id)
            return page([{"Id": found.id, "Type": found.type}], asked, "Parents")
    refuse("ChildNotFoundException", "We can't find an OU or an account with the ChildId that you specified.")


@serves
def list_children(backend: OrganizationsBackend, asked: Said) -> Said:
    number, kind = parent(backend, asked["ParentId"]).id, asked["ChildType"]
    found: Sequence[Any] = backend.accounts if kind == "ACCOUNT" else backend.ou
    return page([{"Id": one.id, "Type": kind} for one in found if one.parent_id == number], asked, "Children")


def check_tags(tags: Sequence[Said], before: Sequence[str] = ()) -> None:
    """Refuse tags that AWS refuses.

    Args:
        before: the keys of those that are there."""
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) < len(keys):
        invalid("Tag keys must be unique.", "DUPLICATE_TAG_KEY")
    if any(key.lower().startswith("aws:") for key in keys):
        invalid("Tags that begin with aws: are AWS's own.", "INVALID_SYSTEM_TAGS_PARAMETER")
    if len({*keys, *before}) > TAGS:
        beyond_limit(f"A resource has at most {TAGS} tags.", "MAX_TAG_LIMIT_EXCEEDED")


_create_organization = OrganizationsBackend.create_organization


def create_organization(self: OrganizationsBackend, region: str, **asked: Any) -> Said:
    """OrganizationsBackend.create_organization: no policy type is enabled yet, so nothing is attached."""
    said: Said = _create_organization(self, region, **asked)
    for one in (*self.ou, *self.accounts):
        one.attached_policies = []
    for policy in self.policies:
        policy.attachments = []
    self.accounts[0].joined_method = "INVITED"
    return said


def forget() -> None:
    organizations_backends.master_accounts.clear()
    FAILING.clear()


def mend() -> None:
    """Put them in place."""
    OrganizationsBackend.create_organization = create_organization
    for name, respond in OPERATIONS.items():
        setattr(OrganizationsResponse, name, respond)
