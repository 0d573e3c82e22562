"""Accounts that a plan creates: none twice, whatever died when.

CreateAccount takes no token by which AWS would do it once, and goes on by itself. So first is looked whether the
account is there by its e-mail, or is on its way: the journal has AWS's name of the request, or else the list of
requests has it, by the account's name and a time after the intent. Where an intent is young and neither is there yet,
it is waited.
Source: https://docs.aws.amazon.com/organizations/latest/APIReference/API_CreateAccount.html (five at once at most)
"""

import datetime
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aws
import fleet as desired
import runner
from deployment import polls
from fleet_calls import Calls, pairs
from fleet_journal import Entry, Journal
from fleet_steps import Step
from organisation import call

AT_ONCE = 5  # that AWS makes
SETTLES = 180  # seconds after which a request is in the list, if there was one
SKEW = 60  # seconds by which the clocks of AWS and of the runner may differ
PATIENCE = 1800  # seconds for which the end of others' creations is waited for
HELP = {
    "ACCOUNT_LIMIT_EXCEEDED": "ask AWS for a higher quota of accounts in the organisation, then run the job again",
    "CONCURRENT_ACCOUNT_MODIFICATION": "run the job again",
    "EMAIL_ALREADY_EXISTS": "the address has an AWS account already, which may be none of this organisation: take "
    "another one, or invite that account and say its id",
    "FAILED_BUSINESS_VALIDATION": "AWS could not validate the business: ask AWS Support",
    "INTERNAL_FAILURE": "run the job again; where that does not help, ask AWS Support",
    "INVALID_ADDRESS": "the management account's address is not valid: correct it",
    "INVALID_EMAIL": "AWS does not take the address: write another one",
    "INVALID_PAYMENT_INSTRUMENT": "the management account's payment method is not valid: correct it",
    "MISSING_BUSINESS_VALIDATION": "AWS has not validated the business yet: ask AWS Support",
    "MISSING_PAYMENT_INSTRUMENT": "the management account has no payment method: add one",
    "PENDING_BUSINESS_VALIDATION": "AWS is validating the business: run the job again when it has",
}


def create(calls: Calls, journal: Journal, steps: Mapping[str, Step]) -> None:
    """Create accounts, at most AT_ONCE at a time; their intents are in the journal. By the keys of their steps.

    Raises:
        runner.Failed: AWS refused one. Those that AWS makes already are waited for first.
    """
    waiting: dict[str, str] = {}
    accounts = emails(calls)
    missing = {key: step for key, step in steps.items() if not there(calls, step, accounts)}
    for key, step in missing.items():
        if found := request_of(calls, step, journal.entry(key), accounts):
            waiting[key] = found
            runner.say(f"  {step.on}: {found} is on its way")
            if found != (journal.entry(key) or {}).get("request"):
                journal.request(key, found)
    if waiting:
        accounts = emails(calls)
    refused: runner.Failed | None = None
    for key, step in missing.items():
        if key in waiting or there(calls, step, accounts):
            continue
        try:
            waiting[key] = start(calls, step)
        except runner.Failed as problem:
            refused = problem
            break
        journal.request(key, waiting[key])
    problems = [said for key, request in waiting.items() if (said := ended(calls, steps[key], request))]
    if refused:
        raise refused
    if problems:
        raise runner.Failed("; ".join(problems))


def emails(calls: Calls) -> dict[str, str]:
    """The ids of all accounts by their e-mail, as it is now."""
    listed = call(calls.near, "organizations", "list-accounts")["Accounts"]
    return {desired.same_email(one["Email"]): str(one["Id"]) for one in listed}


def there(calls: Calls, step: Step, accounts: Mapping[str, str]) -> bool:
    """Whether the account is in the organisation. It has dpra's tag since its first moment, or is somebody else's."""
    if not (number := accounts.get(desired.same_email(step.details["email"]))):
        return False
    calls.ours(number, f"an account with the e-mail of {step.on}")
    calls.ids[step.on] = number
    calls.made.add(number)
    return True


def request_of(calls: Calls, step: Step, entry: Entry | None, accounts: Mapping[str, str]) -> str:
    """AWS's name of a creation that may be the step's, and has not failed; empty where there is none."""
    if entry is None:  # nobody of this release has asked for it; another one may have
        return next((one["Id"] for one in requests(calls, step) if one["State"] == "IN_PROGRESS"), "")
    known, last, others = str(entry.get("request", "")), float(entry["began"]), set(accounts.values())
    for _ in polls():
        for one in requests(calls, step):
            ours = one["Id"] == known or at(one) > float(entry["first"]) - SKEW
            if ours and one["State"] != "FAILED" and one.get("AccountId") not in others:  # those have other e-mails
                return str(one["Id"])
        if time.time() > last + SETTLES or known:
            return ""
        runner.say(f"  {step.on}: a run that died may have asked for it; waiting whether AWS knows of it")
    raise AssertionError("polls do not end")


def requests(calls: Calls, step: Step) -> Sequence[Mapping[str, Any]]:
    """All requests for an account of this name; AWS does not say its e-mail."""
    listed = call(calls.near, "organizations", "list-create-account-status")["CreateAccountStatuses"]
    return [one for one in listed if one.get("AccountName") == step.details["name"]]


def at(request: Mapping[str, Any]) -> float:
    said = request["RequestedTimestamp"]
    return datetime.datetime.fromisoformat(said).timestamp() if isinstance(said, str) else float(said)


def start(calls: Calls, step: Step) -> str:
    """Ask for an account; what AWS calls the request. Where too many are being made, it is waited for their end."""
    about = {"Email": step.details["email"], "AccountName": step.details["name"], "Tags": pairs(step.details["tags"])}
    until = time.monotonic() + PATIENCE
    for _ in polls():
        try:
            said = call(calls.near, "organizations", "create-account", again=False, **about)
            return str(said["CreateAccountStatus"]["Id"])
        except aws.Refused as refused:
            if refused.code != "ConstraintViolationException" or time.monotonic() > until:
                raise
            asked = {"States": ["IN_PROGRESS"]}
            others = call(calls.near, "organizations", "list-create-account-status", **asked)["CreateAccountStatuses"]
            if len(others) < AT_ONCE:
                raise
            runner.say(f"  AWS is making {len(others)} accounts: waiting for them")
    raise AssertionError("polls do not end")


def ended(calls: Calls, step: Step, request: str) -> str:
    """Wait for the end of a creation; what went wrong, empty where the account is there."""
    for _ in polls():
        asked = {"CreateAccountRequestId": request}
        said = call(calls.near, "organizations", "describe-create-account-status", **asked)["CreateAccountStatus"]
        if said["State"] != "IN_PROGRESS":
            break
    if said["State"] == "SUCCEEDED":
        number = str(said["AccountId"])
        about = calls.described(number)
        if desired.same_email(about["Email"]) != desired.same_email(step.details["email"]):
            return f"{step.on}: {request} made {number} with another e-mail: run the job again"
        calls.ids[step.on] = number
        calls.made.add(number)
        runner.say(f"  {step.on} is {number}")
        return ""
    reason = str(said.get("FailureReason", "UNKNOWN"))
    if reason == "EMAIL_ALREADY_EXISTS" and there(calls, step, emails(calls)):  # asked for twice, made once
        return ""
    return f"{step.on}: AWS does not make it, {reason}: {HELP.get(reason, 'see AWS Organizations')}"
