"""Account Management and Budgets: alternate contacts of an organisation's accounts, and budgets of an account. With
moto, any account sets any other's contacts, and a budget cannot be changed.

Each function replaces the one of moto that its docstring begins with, or adds it. Sources: what botocore's model tells
of AccountId, and https://docs.aws.amazon.com/accounts/latest/reference/using-orgs-trusted-access.html."""

# mypy: disable-error-code="assignment, attr-defined, method-assign"
import json
from typing import Any, NoReturn

from moto.account.models import AccountBackend
from moto.account.responses import AccountResponse
from moto.budgets.exceptions import NotFoundException
from moto.budgets.models import Budget
from moto.budgets.responses import BudgetsResponse
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult

from . import organizations
from .protocol import beyond, service

TRUSTED = "account.amazonaws.com"  # who must be trusted in an organisation whose management account sets contacts
BUDGETS = 100  # of a page

_put_alternate_contact = AccountResponse.put_alternate_contact
_delete_alternate_contact = AccountBackend.delete_alternate_contact
_dispatch_budgets = {name: getattr(BudgetsResponse, name) for name in ("create_budget", "describe_budget")}


def deny(action: str, why: str) -> NoReturn:
    raise JsonRESTError("AccessDeniedException", f"User is not authorized to perform: {action} ({why})")


# ---- Contacts


def account_id(self: AccountResponse) -> str:
    """AccountResponse._get_account_id: another account than one's own from the management account only."""
    own: str = self.current_account
    wanted = self._get_param("AccountId")
    if not wanted:
        return own
    action = f"account:{self._get_action()}"
    backend = organizations.organizations_backends[own][self.partition]
    if backend.org is None:
        deny(action, "The caller is not in the management account of an organization.")
    organizations.settle(backend)
    if wanted == own:
        deny(action, "The management account can only be managed using the standalone context.")
    if wanted not in {account.id for account in backend.accounts}:
        deny(action, "The specified account is not in the organization.")
    if TRUSTED not in {one["ServicePrincipal"] for one in backend.services}:
        deny(action, "The organization must first enable trusted access with AWS Account Management.")
    return str(wanted)


def put_alternate_contact(self: AccountResponse) -> ActionResult:
    """AccountResponse.put_alternate_contact: what the model refuses is refused."""
    shape = service("account").operation_model("PutAlternateContact").input_shape
    asked = json.loads(self.body)
    wrong = [f"{name} is missing" for name in shape.required_members if name not in asked]
    if wrong := [*wrong, *beyond(asked, shape, "")]:
        raise JsonRESTError("ValidationException", "; ".join(wrong))
    return _put_alternate_contact(self)


def delete_alternate_contact(self: AccountBackend, alternate_contact_type: str) -> None:
    """AccountBackend.delete_alternate_contact: of one that is there."""
    self.get_alternate_contact(alternate_contact_type)
    _delete_alternate_contact(self, alternate_contact_type)


# ---- Budgets


def of_caller(self: BudgetsResponse) -> str:
    """The account of a request, which is the caller's."""
    account = str(self._get_param("AccountId"))
    if account != self.current_account:
        deny("budgets:ModifyBudget", f"The account {account} is not the caller's.")
    return account


def create_budget(self: BudgetsResponse) -> str:
    """BudgetsResponse.create_budget: of one's own account, by a name that AWS takes."""
    of_caller(self)
    check_budget(self._get_param("Budget"))
    return str(_dispatch_budgets["create_budget"](self))


def describe_budget(self: BudgetsResponse) -> str:
    """BudgetsResponse.describe_budget: of one's own account."""
    of_caller(self)
    return str(_dispatch_budgets["describe_budget"](self))


def check_budget(budget: dict[str, Any]) -> None:
    from botocore.validate import ParamValidator

    why = ParamValidator().validate(budget, service("budgets").shape_for("Budget")).generate_report()
    name = budget.get("BudgetName", "")
    if not why and (":" in name or "\\" in name or "/action/" in name):
        why = f"{name}: : and \\ and /action/ are not allowed in the name of a budget"
    if why:
        raise JsonRESTError("InvalidParameterException", why)


def update_budget(self: BudgetsResponse) -> str:
    """BudgetsResponse.update_budget: its notifications stay."""
    account, budget = of_caller(self), self._get_param("NewBudget")
    check_budget(budget)
    there = self.backend.budgets[account]
    if budget["BudgetName"] not in there:
        raise NotFoundException(f"Unable to update budget: {budget['BudgetName']} - the budget doesn't exist.")
    made = Budget(budget, [])
    made.notifications = there[budget["BudgetName"]].notifications
    there[budget["BudgetName"]] = made
    return "{}"


def describe_budgets(self: BudgetsResponse) -> str:
    """BudgetsResponse.describe_budgets: in pages."""
    account, token = of_caller(self), self._get_param("NextToken") or "0"
    found = [budget.to_dict() for budget in self.backend.budgets[account].values()]
    if not token.isdecimal() or (int(token) and int(token) >= len(found)):
        raise JsonRESTError("InvalidNextTokenException", "The token is of no page.")
    end = int(token) + int(self._get_param("MaxResults") or BUDGETS)
    more = {"NextToken": str(end)} if end < len(found) else {}
    return json.dumps({"Budgets": found[int(token) : end], **more})


def mend() -> None:
    """Put them in place."""
    AccountResponse._get_account_id = account_id
    AccountResponse.put_alternate_contact = put_alternate_contact
    AccountBackend.delete_alternate_contact = delete_alternate_contact
    for respond in (create_budget, describe_budget, update_budget, describe_budgets):
        setattr(BudgetsResponse, respond.__name__, respond)
