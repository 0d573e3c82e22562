"""AWS Control Tower: the units that it governs, and their accounts.

Not known here: what it answers where there is no landing zone; here it governs nothing then."""

import secrets
import string
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend
from moto.organizations.models import organizations_backends

from dpra.dataclasses import dataclass
from dpra.names import arn

from .. import organizations
from ..protocol import Answer, Asked, Problem, Said, now
from . import api
from .api import serves

ENROLMENT = 1.0  # seconds that an account's enrolment takes
FAILING: set[str] = set()  # accounts that cannot be enrolled
PAGE = 50
CHARACTERS = string.ascii_uppercase + string.digits
BASELINE = "17BSJV3IGJ2QSGA2"  # AWSControlTowerBaseline


@dataclass
class Enabled:
    """A baseline that is enabled for a unit, or, by that, for an account."""

    arn: str
    target: str  # id of the unit or account
    parent: str = ""  # ARN of the unit's
    until: float = 0.0


class Store(BaseBackend):
    """What an account has in a region."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.enabled: list[Enabled] = []

    def add(self, target: str, parent: str = "", until: float = 0.0) -> Enabled:
        name = "".join(secrets.choice(CHARACTERS) for _ in range(17))
        made = Enabled(
            arn(self.region_name, "controltower", self.account_id, f"enabledbaseline/{name}"), target, parent, until
        )
        self.enabled.append(made)
        return made


STORES = BackendDict(Store, "controltower")


def answer(account: str, region: str, environ: Mapping[str, Any]) -> Answer:
    """What an account's Control Tower answers to a request with `dpra.body`."""
    return api.answer(STORES[account][region], environ)


def govern(account: str, region: str, unit: str) -> None:
    """Somebody registers a unit; its accounts are enrolled."""
    store: Store = STORES[account][region]
    made = store.add(unit)
    for member in backend_of(store).accounts:
        if member.parent_id == unit:
            store.add(member.id, made.arn)


def backend_of(store: Store) -> Any:
    return organizations_backends[store.account_id][store.partition]


def moved(backend: Any, account: Any, before: str, after: str) -> None:
    """Control Tower enrols an account in its new unit, if it governs that, and forgets it in its former one."""
    if backend.account_id not in STORES.keys():  # noqa: SIM118 - moto makes what is asked for
        return
    for store in list(STORES[backend.account_id].values()):
        store.enabled = [one for one in store.enabled if one.target != account.id]
        for one in [one for one in store.enabled if one.target == after]:
            store.add(account.id, one.arn, now() + ENROLMENT)


@serves
def list_enabled_baselines(store: Store, asked: Asked) -> Said:
    wanted = asked.get("filter", {})
    organizations.settle(backend_of(store))
    found = [told(store, one) for one in store.enabled if asked.get("includeChildren") or not one.parent]
    for name, key in (("parentIdentifiers", "parentIdentifier"), ("targetIdentifiers", "targetIdentifier")):
        if name in wanted:
            found = [one for one in found if one.get(key) in wanted[name]]
    if "statuses" in wanted:
        found = [one for one in found if one["statusSummary"]["status"] in wanted["statuses"]]
    return page(found, asked)


def page(found: Iterable[Said], asked: Asked) -> Said:
    every, token = list(found), asked.get("nextToken", "0")
    if not token.isdecimal():
        raise Problem("ValidationException", f"nextToken is {token}, which was not given out")
    end = int(token) + int(asked.get("maxResults", PAGE))
    return {"enabledBaselines": every[int(token) : end], **({"nextToken": str(end)} if end < len(every) else {})}


@serves
def get_enabled_baseline(store: Store, asked: Asked) -> Said:
    for one in store.enabled:
        if one.arn == asked["enabledBaselineIdentifier"]:
            return {"enabledBaselineDetails": told(store, one)}
    raise Problem("ResourceNotFoundException", "There is no such enabled baseline.")


@serves
def list_landing_zones(store: Store, asked: Asked) -> Said:
    found = arn(store.region_name, "controltower", store.account_id, "landingzone/DPRA0REHEARSAL00")
    return {"landingZones": [{"arn": found}] if store.enabled else []}


def told(store: Store, one: Enabled) -> Said:
    backend = backend_of(store)
    target = next(each for each in targets(backend) if each.id == one.target)
    status = "UNDER_CHANGE" if now() < one.until else "FAILED" if one.target in FAILING else "SUCCEEDED"
    about = {
        "arn": one.arn,
        "baselineIdentifier": arn(store.region_name, "controltower", "", f"baseline/{BASELINE}"),
        "baselineVersion": "4.0",
        "targetIdentifier": target.arn,
        "statusSummary": {"status": status, "lastOperationIdentifier": str(uuid.uuid5(uuid.NAMESPACE_URL, one.arn))},
    }
    return {**about, **({"parentIdentifier": one.parent} if one.parent else {})}


def targets(backend: Any) -> Iterator[Any]:
    yield from backend.ou
    yield from backend.accounts


organizations.MOVED.append(moved)
