"""Closes an account of the organisation: it is asked for, told in an issue, and done days later, unless that is closed.

Both steps look at everything; what cannot be read is not known, and then nothing is closed. The run says who asked, and
hands the number of its own issue on: whoever may write could make an older one look like it. Of the issue is believed
what nobody can change, when it was opened; and that it is open.
Source: https://docs.aws.amazon.com/organizations/latest/APIReference/API_CloseAccount.html
"""

import datetime
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import evidence
import fleet
import fleet_release
import github
import issues
import organisation
import record
import runner
import trusted

LABEL = "close-account"
CLOSING = ("PENDING_CLOSURE", "SUSPENDED", "CLOSED")  # what an account is that is closed, or about to be


@dataclass(frozen=True)
class Asked:
    """Which account, and why."""

    id: str
    name: str
    reason: str
    days: int

    @property
    def title(self) -> str:
        return runner.inert(f"Account {self.name} ({self.id}) is to be closed")


def asked() -> Asked:
    """What the inputs say.

    Raises:
        runner.Failed: it is no account's id, or no number of days."""
    number, days = runner.required("ID"), runner.required("DAYS")
    if not re.fullmatch(r"[0-9]{12}", number, re.ASCII):
        raise runner.Failed(f"the input 'id' is '{number}': an account's id has twelve digits", "error")
    if not re.fullmatch(r"[1-9][0-9]?", days, re.ASCII):
        raise runner.Failed(f"the input 'days' is '{days}': needs a number, 1 or more", "error")
    return Asked(number, runner.required("NAME"), runner.required("REASON"), int(days))


# ---- Whether it may be closed


def look(one: Asked) -> str:
    """The account's state.

    Raises:
        runner.Failed: it may not be closed."""
    region, account = runner.required("REGION"), runner.required("ACCOUNT")
    aws.expect_account(region, account)
    near = organisation.home(region)
    managing = aws.call(near, "organizations", "describe-organization")["Organization"]["MasterAccountId"]
    if one.id in (account, managing):
        raise runner.Failed(f"{one.id} is the account of the organisation's management: it is never closed here")
    found = described(near, one)
    tags = organisation.tags_of(near, one.id)
    if (owner := tags.get(fleet.COMPONENT)) != runner.required("COMPONENT"):
        whose = f"it is of {owner}" if owner else f"it has no tag {fleet.COMPONENT}"
        raise runner.Failed(f"{one.name} is not this component's account: {whose}")
    if tags.get(fleet.PROTECTED, "false") != "false":
        raise runner.Failed(
            f"{one.name} has deletion protection: release it without, or without the tag {fleet.PROTECTED}, first"
        )
    there = wanted()
    for known in there.accounts:
        if known.name == one.name or known.id == one.id or fleet.same_email(known.email) == found["email"]:
            raise runner.Failed(
                f"{one.name} is in the last good release, as {known.name}, {known.file}:{known.line}: "
                "take it out of the files and release that first"
            )
    return str(found["state"])


def described(near: str, one: Asked) -> dict[str, str]:
    """State and address of the account, which must have the name that was asked for."""
    try:
        found = aws.call(near, "organizations", "describe-account", AccountId=one.id)["Account"]
    except aws.Refused as refused:
        if refused.code != "AccountNotFoundException":
            raise
        raise runner.Failed(f"the organisation has no account {one.id}") from refused
    if found["Name"] != one.name:
        raise runner.Failed(f"{one.id} is the account {found['Name']}, not {one.name}: say the name that belongs to it")
    return {"state": str(found.get("State") or found["Status"]), "email": fleet.same_email(str(found["Email"]))}


def wanted() -> fleet.Fleet:
    """The fleet of the last good release, verified.

    Raises:
        runner.Failed: there is none, or another release is under way, by which the account may come back."""
    kept, _ = record.read(record.given())
    current = kept["current"]
    if not current:
        raise runner.Failed("nothing was released yet: then it is not known which accounts are wanted")
    if kept["lock"]:
        raise runner.Failed(f"run {kept['lock']['run']} is releasing: wait until it has ended, and run this job again")
    region, bucket = runner.required("REGION"), runner.required("BUCKET")
    directory = trusted.fetch(region, bucket, current["digest"], current["commit"])
    return fleet_release.fleet(directory, runner.required("COMPONENT"))


# ---- The issue


def run_address() -> str:
    repository = f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}"
    return f"{repository}/actions/runs/{os.environ['GITHUB_RUN_ID']}"


def announced(one: Asked) -> int:
    """The issue, opened.

    Raises:
        runner.Failed: there is one already. It is not taken over: its age would count."""
    for issue in issues.opened(LABEL):
        if issue["title"] == one.title:
            raise runner.Failed(
                f"issue {issue['number']} asks for it already: go on with its run, by the job that failed alone, or "
                "close that issue and start the workflow anew"
            )
    earliest = datetime.datetime.now(datetime.UTC) + datetime.timedelta(one.days)
    again = "and somebody else than who asked runs that job again" if runner.switch("SECOND_PERSON") else ""
    lines = [
        f"{runner.code(os.environ.get('GITHUB_ACTOR', ''))} asks to close the AWS account {runner.code(one.name)}, "
        f"{runner.code(one.id)}.",
        "",
        f"Reason: {runner.code(one.reason)}",
        "",
        f"It is closed on {earliest:%Y-%m-%d %H:%M} UTC at the earliest, when the job that closes it is approved in "
        f"[this run]({run_address()}){' ' + again if again else ''}. **Closing this issue stops it.**",
        "",
        "Nobody works in a closed account. For 90 days AWS Support can open it again; then all that is in it is gone.",
    ]
    about = {"title": one.title, "body": "\n".join(lines), "labels": [LABEL]}
    return int(github.call("issues", about)["number"])


def old_enough(one: Asked, number: int) -> None:
    """Fail unless the issue of the request is open still, and so many days old.

    Raises:
        runner.Failed: it is not; the message says when it is."""
    issue = github.call(f"issues/{number}")
    if issue["title"] != one.title:
        raise runner.Failed(f"issue {number} is about something else, '{issue['title']}'", "error")
    if issue["state"] != "open":
        raise runner.Failed(f"issue {number} was closed: nothing is done. Start the workflow again if that was wrong")
    opened = datetime.datetime.fromisoformat(str(issue["created_at"]))
    earliest = opened + datetime.timedelta(one.days)
    if datetime.datetime.now(datetime.UTC) < earliest:
        raise runner.Failed(
            f"issue {number} is of {opened:%Y-%m-%d}: the account is closed after {earliest:%Y-%m-%d %H:%M} UTC at the "
            "earliest. Run this job again then"
        )


def ended(number: int, said: str) -> None:
    github.call(f"issues/{number}/comments", {"body": f"{said} [The run]({run_address()})."})
    issues.close([{"number": number}])


# ---- The two steps


def request() -> None:
    with evidence.recorded("close-account-request", tool="organizations") as facts:
        one = asked()
        facts |= {"where": one.id, "override": one.reason}
        if (state := look(one)) in CLOSING:
            raise runner.Failed(f"{one.name} is closed already: it is {state}")
        number = announced(one)
        runner.output("issue", str(number))
        runner.say(f"{one.name} ({one.id}) may be closed; issue {number} says so")
        rows = [(runner.code(one.name), runner.code(one.id), runner.code(one.reason), f"#{number}")]
        runner.summary("To be closed", ("account", "id", "reason", "issue"), rows)


def close() -> None:
    with evidence.recorded("close-account", tool="organizations") as facts:
        one, number = asked(), runner.required("ISSUE")
        facts |= {"where": one.id, "override": one.reason}
        if not re.fullmatch(r"[1-9][0-9]{0,9}", number, re.ASCII):
            raise runner.Failed(f"the input 'issue' is '{number}': needs the number of the issue", "error")
        second = runner.switch("SECOND_PERSON")
        state = look(one)
        if state not in CLOSING:
            old_enough(one, int(number))
            if second and os.environ.get("GITHUB_TRIGGERING_ACTOR", "") in ("", os.environ.get("GITHUB_ACTOR", "")):
                raise runner.Failed(
                    "who asked to close an account does not close it: somebody else runs this job again"
                )
            shut(one)
        said = (
            f"The account is closed, as AWS says: it was {state} before." if state in CLOSING else "AWS closes it now."
        )
        ended(int(number), said)
        runner.output("issue", number)
        runner.warning(f"{one.name} ({one.id}) is closed; for 90 days AWS Support can open it again", title="closed")


def shut(one: Asked) -> None:
    """Close it. AWS closes no more than a tenth of an organisation's accounts in 30 days."""
    near = organisation.home(runner.required("REGION"))
    try:
        aws.call(near, "organizations", "close-account", AccountId=one.id)
    except aws.Refused as refused:
        if refused.code != "AccountAlreadyClosedException":
            raise


def main() -> None:
    steps: dict[str, Any] = {"request": request, "close": close}
    runner.perform(steps, "close-account")


main()
