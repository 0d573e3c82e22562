"""What a change of a fleet's files would do: the files of an earlier commit are taken as the organisation.

Nothing is asked of AWS, so that a pull request can say it. Ids that nobody wrote down are made up; that of an account
is its name.
"""

import subprocess
from pathlib import Path

import fleet as desired
import fleet_files
import fleet_plan
import fleet_seen
from fleet import ACCOUNT, COMPONENT, KINDS, ROOT, Fleet, parent, same_email
from fleet_plan import Plan
from fleet_seen import Seen

# Nothing that lies in .git/config may run.
GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "safe.directory=*")


def change(before: Fleet, after: Fleet) -> Plan:
    """The plan from one fleet to another. Neither has problems (fleet_rules)."""
    return fleet_plan.plan(after, taken(before, after))


def taken(fleet: Fleet, later: Fleet) -> Seen:
    """The organisation as a fleet wants it.

    Args:
        later: the fleet that is planned: what it adopts by its id is there, and nobody knows more of it.
    """
    tags = {COMPONENT: fleet.component}
    root = fleet.root or later.root or "r-0000"
    units = {ROOT: root} | {
        unit.path: f"ou-0000-{number:08}" for number, unit in enumerate(fleet.units) if unit.path != ROOT
    }
    known = {same_email(one.email): one.id for one in (*later.accounts, *fleet.accounts) if one.id}
    ids = {one.ref: known.get(same_email(one.email)) or one.name for one in fleet.accounts}
    targets = units | ids
    there = {*ids.values()}
    adopted = [one for one in later.accounts if one.id and one.id not in there]
    named = {one.id for one in fleet.policies}
    policies = tuple(
        fleet_seen.Policy(
            *(one.id or f"p-{one.type}-{one.name}", one.name, KINDS[one.type].aws, one.content, one.description, tags),
            tuple(targets[target] for target in one.attach if target in targets),
        )
        for one in fleet.policies
        if one.type in KINDS
    ) + tuple(
        fleet_seen.Policy(one.id, one.name, KINDS[one.type].aws, one.content, one.description)
        for one in later.policies
        if one.id and one.id not in named and one.type in KINDS
    )
    stack_sets = tuple(
        fleet_seen.StackSet(
            *(desired.stack_set(fleet.component, one.name), desired.digest(one.template), tags, one.parameters),
            *(one.regions if any(fleet.targets[one.name]) else (),),
            tuple(units[unit] for unit in fleet.targets[one.name][0]),
            tuple(ids[ref] for ref in fleet.targets[one.name][1]),
            tuple(desired.stack_set(fleet.component, other) for other in one.depends_on),
            one.auto_deploy,
        )
        for one in fleet.baselines
    )
    return Seen(
        *("000000000000", root, tuple(sorted(kind.aws for kind in KINDS.values()))),
        tuple(
            fleet_seen.Unit(units[one.path], one.path.rpartition("/")[2], units[parent(one.path)], tags)
            for one in fleet.units
            if one.path != ROOT
        ),
        tuple(
            fleet_seen.Account(ids[ACCOUNT + one.name], one.email, one.name, units[one.unit], tags=fleet.tags(one))
            for one in fleet.accounts
        )
        + tuple(fleet_seen.Account(one.id, one.email, one.name, root) for one in adopted),
        policies,
        stack_sets,
    )


def at_commit(root: Path, commit: str, folder: str = "") -> dict[str, bytes]:
    """The files of a fleet as a commit has them, by their paths in its folder.

    Raises:
        LookupError: git does not know such a commit here.
    """
    if commit.startswith("-"):
        raise LookupError(f"'{commit}' is no commit")
    listed = _git(root, "ls-tree", "-r", "-z", "--full-tree", commit)
    start = f"{folder}/" if folder else ""
    blobs: dict[str, bytes] = {}
    for entry in listed.split(b"\0"):
        head, _, path = entry.partition(b"\t")
        name = path.decode(errors="surrogateescape")
        if head.startswith(b"100") and name.startswith(start):
            blobs[name.removeprefix(start)] = head.split()[2]
    found: dict[str, bytes] = {}
    names = fleet_files.wanted(blobs)
    content = _git(root, "cat-file", "--batch", given=b"".join(blobs[name] + b"\n" for name in names))
    at = 0
    for name in names:
        end = content.index(b"\n", at)
        size = int(content[at:end].split()[2])
        found[name] = content[end + 1 : end + 1 + size]
        at = end + size + 2
    return found


def _git(root: Path, *words: str, given: bytes = b"") -> bytes:
    try:
        ran = subprocess.run((*GIT, *words), cwd=root, input=given, capture_output=True, check=False)
    except OSError as error:
        raise LookupError(f"git cannot be run: {error.strerror}") from None
    if ran.returncode:
        raise LookupError(ran.stderr.decode(errors="replace").strip()[:300] or "git says no")
    return ran.stdout
