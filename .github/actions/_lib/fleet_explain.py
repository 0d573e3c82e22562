"""What an account of a fleet has, and from where: for people who ask."""

from collections.abc import Iterator
from typing import Any

from fleet import Account, Fleet, line


def explained(fleet: Fleet, name: str, folder: str = "") -> dict[str, Any] | None:
    """An account by its name, its id or its e-mail, as JSON has it; None: the files have none.

    Args:
        folder: where the files lie in the repository.
    """

    def said(file: str, number: int) -> str:
        return f"{folder}/{file}:{number}" if folder else f"{file}:{number}"

    known = [one for one in fleet.accounts if name in (one.name, one.id, one.email)]
    if not known:
        return None
    account = next((one for one in known if one.name == name), known[0])
    way = [*reversed(list(line(account.unit))), account.ref]
    return {
        "account": account.name,
        "id": account.id,
        "email": account.email,
        "place": said(*account.place("name")),
        "unit": account.unit,
        "path": way[:-1],
        "part": fleet.part(account.unit),
        "policies": [
            {"name": one.name, "type": one.type, "from": ref, "place": said(one.file, one.lines.get(ref, one.line))}
            for ref in way
            for one in fleet.policies
            if ref in one.attach
        ],
        "baselines": [{**one, "place": said(*place)} for one, place in _baselines(fleet, account)],
        "tags": fleet.tags(account),
        "contacts": {kind: dict(contact) for kind, contact in sorted(account.contacts.items())},
        "budget": account.budget,
        "deletion-protection": account.deletion_protection,
    }


def _baselines(fleet: Fleet, account: Account) -> Iterator[tuple[dict[str, Any], tuple[str, int]]]:
    """Those that reach the account, each with the place of what asks for it."""
    above = set(line(account.unit))
    for one in fleet.baselines:
        units, accounts = fleet.targets[one.name]
        unit = next((path for path in units if path in above), "")
        if not unit and account.ref not in accounts:
            continue
        ref = unit or account.ref
        if ref in one.targets:
            place = one.file, one.lines.get(ref, one.line)
        elif unit:
            place = fleet.by_path[unit].file, fleet.by_path[unit].line
        else:
            place = account.place("baselines")
        yield {"name": one.name, "regions": list(one.regions), "from": ref}, place
