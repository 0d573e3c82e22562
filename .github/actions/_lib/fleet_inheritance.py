"""Who inherits which of a fleet's service and resource control policies, and what these decide.

Pure. policies.py decides; this says what is attached above whom. FullAWSAccess counts at every level, as AWS attaches
it to each new root, unit and account and dpra never detaches it: an SCP is a deny list, unless the files adopt that
policy (id p-FullAWSAccess, attached where it says) or the caller saw where it still is. IAM and resources' own policies
are taken to allow everything, as SCPs and RCPs only bound them.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import conditions
import configuration_nodes as nodes
import policies
import principals
from fleet import ACCOUNT, ROOT, Account, Fleet, Problem, line, same_email
from fleet_seen import Seen
from policies import FULL_ACCESS, Decision, Level

KINDS = {"service-control-policy": "scp", "resource-control-policy": "rcp"}
FULL = "p-FullAWSAccess"
MENTION = re.compile(r"(?<![\w?*-])(?:[0-9]{12}|(?=[?*]*[0-9])[0-9?*]*[?*][0-9?*]*)(?![\w?*-])")  # of ids of accounts
FIRST = 100_000_000_001  # of the ids that stand in
ORGS = ("aws:principalorgid", "aws:resourceorgid", "aws:sourceorgid")
Key = tuple[tuple[str, str], ...]


class Once(policies.Policy):
    """A policy that is asked once for all who inherit it, as the same request comes for one after another."""

    asked: principals.Request | None = None
    found: tuple[policies.Statement | None, policies.Statement | None] = (None, None)

    def _ask(self, request: principals.Request) -> tuple[policies.Statement | None, policies.Statement | None]:
        if request is not self.asked:
            denied = super().denying(request)
            self.asked, self.found = request, (denied, None if denied else super().allowing(request))
        return self.found

    def denying(self, request: principals.Request) -> policies.Statement | None:
        return self._ask(request)[0]

    def allowing(self, request: principals.Request) -> policies.Statement | None:
        return self._ask(request)[1]


class Bound(NamedTuple):
    """What binds an account, or the accounts of a unit."""

    ref: str
    id: str
    scps: tuple[Level, ...]  # those that say something, each called as the way to it from the one before
    rcps: tuple[Level, ...]
    way: tuple[str, ...]  # from the root down
    key: Key = ()  # the same of all that inherit the same

    @property
    def path(self) -> str:
        return " > ".join(self.way)


def _saying(
    levels: Iterable[tuple[str, tuple[policies.Policy, ...]]], silent: tuple[policies.Policy, ...]
) -> tuple[Level, ...]:
    """The levels but those that say nothing: nobody asks them in vain, thousands of times."""
    found, way = [], list[str]()
    for name, there in levels:
        way.append(name)
        if there != silent:
            found.append(Level(" > ".join(way), there))
            way = []
    return tuple(found)


class Organisation:
    """The fleet's policies, compiled, and what each account inherits.

    Args:
        lines: of each policy the lines of its statements in its JSON, as `statement_lines` finds them.
        full: what FullAWSAccess is known to be attached to; None: to everything.
        management: the id of the account that SCPs and RCPs do not bind, where it is known.
    """

    def __init__(
        self,
        fleet: Fleet,
        lines: Mapping[str, Sequence[int]] | None = None,
        *,
        full: Collection[str] | None = None,
        management: str = "",
    ) -> None:
        self.fleet, self.lines, self.management = fleet, lines or {}, management
        self.problems: list[Problem] = []
        self.files = {one.name: one for one in fleet.policies}
        self.compiled: dict[str, policies.Policy] = {}
        self.attached: dict[str, dict[str, list[policies.Policy]]] = {
            "scp": defaultdict(list),
            "rcp": defaultdict(list),
        }
        for one in fleet.policies:
            if kind := KINDS.get(one.type):
                if one.id == FULL:
                    full = one.attach if full is None else full
                elif made := self._made(one.name, one.content, kind):
                    self.compiled[one.name] = made
                    for target in one.attach:
                        self.attached[kind][target].append(made)
        self.full = full
        self.by_unit: dict[str, list[Account]] = defaultdict(list)
        for account in fleet.accounts:
            self.by_unit[account.unit].append(account)
        said = [str(one.content) for one in fleet.policies if one.type in KINDS]
        said += [f"{one.principal} {one.resource} {dict(one.conditions)}" for one in fleet.requests]
        found = {word for text in said for word in MENTION.findall(text)}
        self.mentions = {word for word in found if word.isdigit()}
        self.globs = [(word, conditions.glob(word)) for word in sorted(found - self.mentions)]
        self.by_id = {one.id: one for one in fleet.accounts if one.id}
        self.anybody = self._stand_in()
        self.by_id.pop(self.anybody, None)
        ids = [value for key, value in compared(fleet) if key in ORGS and "${" not in value]
        self.org = next(iter(ids), "o-ours")  # the organisation's id: that which the policies name
        self._levels: dict[str, Bound] = {}
        self._said: dict[tuple[str, str], Level] = {}
        self._bounds: dict[str, tuple[Bound, ...]] = {}

    def _made(self, name: str, content: Any, kind: str) -> policies.Policy | None:
        file, number = self.files[name], 0
        try:
            return Once(name, content, kind)
        except conditions.Malformed as error:
            says = str(error).removeprefix(f"{name}: ")
            if found := re.match(r"statement ([0-9]+)", says):
                number = int(found[1])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            says = f"it is no policy: {error}"
        self.problems.append(Problem(*self.place(name, number), "policy", f"{file.name}: {says}"))
        return None

    def _stand_in(self) -> str:
        """The id of an account that no policy and no row mentions."""
        ids = (f"{number}" for number in range(FIRST, 10**12, 987_654_321))
        return next((one for one in ids if one not in self.by_id and not self._mentioned(one)), f"{FIRST}")

    def id(self, name: str) -> str:
        """The id of an account by its name; of one that has none yet, one that is nobody else's."""
        account = self.fleet.by_name[name]
        known = next((number for number, one in self.by_id.items() if one is account), "") if not account.id else ""
        if not (account.id or known):
            known = next(one for number in range(FIRST + 1, 10**12) if (one := f"{number}") not in self.by_id)
            self.by_id[known] = account
        return account.id or known

    def _mentioned(self, number: str) -> tuple[str, ...]:
        exact = (number,) if number in self.mentions else ()
        return exact + tuple(word for word, met in self.globs if met(number))

    # ---- Places

    def place(self, policy: str, statement: int = 0) -> tuple[str, int]:
        """File and line of a statement, which counts from 1, or of the document."""
        one = self.files[policy]
        lines = self.lines.get(policy, ())
        return one.content_file or one.file, lines[statement - 1] if 0 < statement <= len(lines) else 1

    def statement(self, decision: Decision) -> tuple[str, int]:
        """File and line of what decided, where it is a statement of the fleet's."""
        said = self.compiled[decision.policy].statements
        numbers = [number for number, one in enumerate(said, 1) if one.label == decision.statement]
        return self.place(decision.policy, numbers[0] if numbers else 0)

    # ---- Inheritance

    def levels(self, ref: str) -> Bound:
        """What is attached from the root down to a unit or an account."""
        if ref not in self._levels:
            unit = self.fleet.by_name[ref.removeprefix(ACCOUNT)].unit if ref.startswith(ACCOUNT) else ref
            way = [*reversed(list(line(unit))), *([ref] if ref.startswith(ACCOUNT) else [])]
            scps = [(name, (*self._full(name), *self.attached["scp"].get(name, ()))) for name in way]
            rcps = [(name, tuple(self.attached["rcp"].get(name, ()))) for name in way]
            said = _saying(scps, (FULL_ACCESS,)), _saying(rcps, ())
            key = tuple(
                (kind, level.name) for kind, levels in zip(("scp", "rcp"), said, strict=True) for level in levels
            )
            self._levels[ref] = Bound(ref, "", *said, tuple(way), key)
            self._said |= dict(zip(key, (level for levels in said for level in levels), strict=True))
        return self._levels[ref]

    def _full(self, ref: str) -> tuple[policies.Policy, ...]:
        return (FULL_ACCESS,) if self.full is None or ref in self.full else ()

    def bound(self, ref: str, number: str = "") -> Bound:
        account = self.fleet.by_name.get(ref.removeprefix(ACCOUNT)) if ref.startswith(ACCOUNT) else None
        own = number or (account.id if account and account.id else self.anybody)
        return self.levels(ref)._replace(id=own)

    def bounds(self, on: str) -> tuple[Bound, ...]:
        """Of each inheritance in a unit and below it, or of an account, one that has it.

        A unit without accounts counts, too: with one that comes. Accounts that a policy names are asked each.
        """
        if on not in self._bounds:
            self._bounds[on] = tuple(self._found(on))
        return self._bounds[on]

    def _found(self, on: str) -> Iterator[Bound]:
        if on.startswith(ACCOUNT):
            if on.removeprefix(ACCOUNT) in self.fleet.by_name:
                yield self.bound(on)
            return
        seen: set[tuple[Key, tuple[str, ...]]] = set()
        for unit in self.fleet.units:
            if on != ROOT and unit.path != on and not unit.path.startswith(f"{on}/"):
                continue
            there = self.by_unit.get(unit.path, [])
            asked: list[tuple[str, str, tuple[str, ...]]] = [(unit.path, self.anybody, ())] if not there else []
            asked += [
                (one.ref, one.id if named else self.anybody, named)
                for one in there
                for named in [self._mentioned(one.id) if one.id else ()]
            ]
            for ref, number, named in asked:
                found = self.bound(ref, number)
                if (found.key, named) not in seen:
                    seen.add((found.key, named))
                    yield found

    def of_account(self, number: str, bound: Bound) -> Bound | None:
        """What binds the account of an id that a request names; None: it is another organisation's."""
        if number == bound.id:
            return bound
        known = self.by_id.get(number)
        return self.bound(known.ref) if known else None

    def inherited(self, bound: Bound) -> list[tuple[str, policies.Policy]]:
        """The files' policies that bind it, each with what it is attached to."""
        kinds = self.attached.values()
        return [(name, one) for attached in kinds for name in bound.way for one in attached.get(name, ())]

    # ---- Requests

    def denying(self, asked: principals.Request, bound: Bound, known: dict[tuple[str, str], bool]) -> Key:
        """The levels that decide about a request: of all others it is the same whether they are there.

        Args:
            known: what was found of levels for this request.
        """
        if self.full is not None:
            return bound.key  # one of them may lack an Allow
        for one in bound.key:
            if one not in known:
                known[one] = any(policy.denying(asked) for policy in self._said[one].policies)
        return tuple(one for one in bound.key if known[one])

    def decide(self, asked: principals.Request, bound: Bound) -> Decision:
        who = self.of_account(asked.owner, bound) if asked.owner else None
        what = self.of_account(asked.account, bound)
        return policies.decide(
            asked,
            identity=(policies.ALL,),
            resource=policies.OPEN,
            scps=who.scps if who else (),
            rcps=what.rcps if what else (),
            management=self.management,
        )


def compared(fleet: Fleet) -> Iterator[tuple[str, str]]:
    """Key and value of each condition of the policies that bind requests; what is malformed is told elsewhere."""
    for policy in fleet.policies:
        said = policy.content.get("Statement") if policy.type in KINDS and isinstance(policy.content, dict) else ()
        for one in said if isinstance(said, list) else [said]:
            blocks = one.get("Condition") if isinstance(one, dict) else None
            for block in blocks.values() if isinstance(blocks, dict) else ():
                for key, values in block.items() if isinstance(block, dict) else ():
                    for value in values if isinstance(values, list) else [values]:
                        yield key.lower(), str(value)


def full_access(fleet: Fleet, seen: Seen) -> set[str] | None:
    """What FullAWSAccess is attached to, where somebody took it away; what is not there yet gets it when it is made.
    None: the organisation does not have it, as one without SCPs."""
    there = [one for one in seen.policies if one.id == FULL]
    if not there:
        return None
    attached = {seen.ref(target) for one in there for target in one.attachments}
    gone = ({*seen.unit_ids} | {ACCOUNT + one for one in seen.by_id}) - attached
    found = {path for path in fleet.by_path if path not in gone}
    for account in fleet.accounts:
        known = seen.by_id.get(account.id) if account.id else seen.by_email.get(same_email(account.email))
        if known is None or ACCOUNT + known.id not in gone:
            found.add(account.ref)
    return found


def statement_lines(files: Mapping[str, bytes], fleet: Fleet) -> dict[str, tuple[int, ...]]:
    """Of each policy the lines on which its statements begin in its JSON."""
    found = {}
    for one in fleet.policies:
        if (data := files.get(one.content_file)) is None:
            continue
        root = nodes.read(data, one.content_file, lambda text: (), [])
        said = root.get("Statement") if root else None
        found[one.name] = tuple(node.line for node in (said.value if said and said.kind == "list" else [said]) if node)
    return found
