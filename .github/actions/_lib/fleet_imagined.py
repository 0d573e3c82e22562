"""The organisation that there would be if a fleet were applied to an empty one: to show a change without any rights."""

import hashlib
from collections.abc import Iterable
from typing import Any

import fleet as desired
from fleet import ACCOUNT, COMPONENT, KINDS, ROOT, Fleet, parent
from fleet_making import Making
from fleet_seen import Seen
from fleet_stacks import pieces

MANAGEMENT = "0" * 12


def imagined(fleet: Fleet) -> dict[str, Any]:
    """What fleet_seen.Seen.from_json takes."""
    ours = {COMPONENT: fleet.component}
    ids = {ROOT: fleet.root or "r-root"}
    ids |= {unit.path: f"ou-{number(unit.path)}" for unit in fleet.units if unit.path != ROOT}
    ids |= {one.ref: one.id or number(one.email) for one in fleet.accounts}
    units = [
        {"id": ids[one.path], "name": one.path.rpartition("/")[2], "parent": ids[parent(one.path)], "tags": ours}
        for one in fleet.units
        if one.path != ROOT
    ]
    accounts = [
        {
            "id": ids[one.ref],
            "email": one.email,
            "name": one.name,
            "parent": ids[one.unit],
            "status": "ACTIVE",
            "tags": fleet.tags(one),
        }
        for one in fleet.accounts
    ]
    top = {"id": MANAGEMENT, "email": "-", "name": "-", "parent": ids[ROOT], "status": "ACTIVE", "tags": {}}
    types = [kind.aws for kind in KINDS.values()]
    policies = [given(kind, ids.values()) for kind in KINDS.values() if kind.given]
    policies += [
        {
            "id": one.id or f"p-{number(one.name)}",
            "name": one.name,
            "type": KINDS[one.type].aws,
            "description": one.description,
            "content": one.content,
            "tags": ours,
            "attachments": [ids[ref] for ref in one.attach],
            "aws-managed": False,
        }
        for one in fleet.policies
    ]
    found = {"management": MANAGEMENT, "root": {"id": ids[ROOT], "types": types}, "units": units}
    found |= {"accounts": [top, *accounts], "policies": policies, "stack-sets": []}
    making = Making(fleet, Seen.from_json(found))
    making.accounts()
    return found | {"stack-sets": [stack_set(fleet, one, pieces(making, one), ids) for one in fleet.baselines]}


def number(text: str) -> str:
    """Twelve digits that stand for a text."""
    return str(int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10**12).zfill(12)


def given(kind: desired.Kind, ids: Iterable[str]) -> dict[str, Any]:
    """What AWS attaches everywhere itself."""
    name = "RCPFullAWSAccess" if kind.aws.startswith("RESOURCE") else "FullAWSAccess"
    about = {"id": f"p-{name}", "name": name, "type": kind.aws, "description": "", "content": {}, "tags": {}}
    return about | {"attachments": [*ids, MANAGEMENT], "aws-managed": True}


def stack_set(fleet: Fleet, one: desired.Baseline, refs: Iterable[str], ids: dict[str, str]) -> dict[str, Any]:
    goes = sorted(refs)
    return {
        "name": desired.stack_set(fleet.component, one.name),
        "tags": {COMPONENT: fleet.component},
        "template": desired.digest(one.template),
        "parameters": dict(one.parameters),
        "regions": list(one.regions) if goes else [],
        "units": [ids[ref] for ref in goes if not ref.startswith(ACCOUNT)],
        "accounts": [ids[ref] for ref in goes if ref.startswith(ACCOUNT)],
        "depends-on": [desired.stack_set(fleet.component, other) for other in one.depends_on],
        "auto-deploy": one.auto_deploy,
    }
