"""Looks at a part of a fleet that was applied: is it as the files want it, and do its accounts really let the role
dpra-probe do what the rows of the policies' tests say, and no more?"""

import json
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aws
import fleet as desired
import fleet_plan
import fleet_stack_sets as stack_sets
import session
from fleet import ACCOUNT, Fleet, Request, line
from fleet_seen import ACTIVE, Account, Seen
from organisation import AGAIN, WORKERS
from partitions import partition

PROBE = "role/dpra-probe"
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Client.UnauthorizedOperation")
UNHEARD = ("AuthFailure", "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException", "OptInRequired")
ANYWAY = ("no identity-based policy allows", "no permissions boundary allows", "no session policy allows")
FINE = "as expected"
Row = tuple[str, str, str, str]  # account, request, what is expected, what came


def part(region: str, fleet: Fleet, seen: Seen, name: str) -> list[str]:
    """What is not as the files want it, a line each."""
    made = fleet_plan.plan(fleet, seen)
    found = [f"{one.on}: {one.text}" for one in made.refused]
    found += [f"{step.on}: {fleet_plan.SAYS[step.action]}" for step in made.part(name)]
    return [*found, *outdated(region, fleet, seen, {one.id for one in members_of(fleet, seen, name)})]


def outdated(region: str, fleet: Fleet, seen: Seen, members: Collection[str]) -> Iterator[str]:
    """The stacks of baselines in these accounts that are not as their stack sets are, a line each."""
    for baseline in fleet.baselines:
        stack_set = desired.stack_set(fleet.component, baseline.name)
        if stack_set in seen.stack_sets_by_name:
            stack_sets.settle(region, stack_set)
            for one in stack_sets.stacks(region, stack_set):
                if one["Account"] in members and one["Status"] != "CURRENT":
                    why = one.get("StatusReason", "")
                    yield f"{stack_set} in {one['Account']} {one['Region']} is {one['Status']}: {why}"


def members_of(fleet: Fleet, seen: Seen, name: str) -> list[Account]:
    """The accounts of a part, without the management account: no guardrail binds that."""
    return [
        one
        for one in seen.accounts
        if one.id != seen.management and one.status == ACTIVE and fleet.part(seen.unit(one)) == name
    ]


def tried(region: str, fleet: Fleet, seen: Seen, name: str) -> list[Row]:
    """What AWS answers to the requests of a part's rows."""
    asked = list(requests(fleet, seen, name))
    keys: dict[str, Mapping[str, str]] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        numbers = sorted({account for account, _ in asked})
        keys |= dict(zip(numbers, pool.map(lambda number: probe(region, number), numbers), strict=True))
        return list(pool.map(lambda one: ask(region, one[0], one[1], keys[one[0]]), asked))


def requests(fleet: Fleet, seen: Seen, name: str) -> Iterator[tuple[str, Request]]:
    """Each row that is tried, with each account of the part that it is about."""
    ids = {
        one.ref: one.id or seen.by_email[desired.same_email(one.email)].id for one in fleet.accounts if known(one, seen)
    }
    members = members_of(fleet, seen, name)
    for row in fleet.requests:
        for one in members if row.attempt else ():
            if row.on in line(seen.unit(one)) or (row.on.startswith(ACCOUNT) and ids.get(row.on) == one.id):
                yield one.id, row


def known(account: desired.Account, seen: Seen) -> bool:
    return bool(account.id) or desired.same_email(account.email) in seen.by_email


def probe(region: str, account: str) -> dict[str, str]:
    """The environment of a program that acts as the probe of an account."""
    return {**session.chained(f"probe-{account}", f"arn:{partition(region)}:iam::{account}:{PROBE}", region), **AGAIN}


def ask(region: str, account: str, row: Request, keys: Mapping[str, str]) -> Row:
    """Make the request of a row, and hold the answer against what is expected."""
    what = row.attempt
    where = str(row.conditions.get("aws:RequestedRegion", region))
    asked: dict[str, Any] = json.loads(json.dumps(what.get("parameters", {})).replace("{account}", account))
    said = f"{what['service']} {what['operation']}"
    try:
        aws.call_as(keys, where, what["service"], what["operation"], **asked)
    except aws.Refused as refused:
        return account, said, row.expect, judged(row.expect, refused.code, str(refused))
    return account, said, row.expect, FINE if row.expect == "allow" else "it was allowed"


def judged(expect: str, code: str, says: str) -> str:
    """What an error means: who may not ask is denied; all other answers are given to who may."""
    if not code or code in UNHEARD:
        return f"it could not be asked: {says}"
    if expect == "allow":
        return FINE if code not in DENIED else f"it was denied: {says}"
    if code not in DENIED:
        return f"it was not denied, {code}"
    if any(words in says for words in ANYWAY):
        return f"it proves nothing: the probe has no right to it: {says}"
    return FINE
