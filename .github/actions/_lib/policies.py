"""What AWS decides about a request, by every policy that has a say in it: the judge of the pipeline's own roles, and of
tests of an organization's policies.

A `Policy` is read once; `decide` asks policies in AWS's order, and names the policy and the statement that decided, and
for what an organization attaches the way down to it. Not looked at: ACLs, grants of KMS, policies of VPC endpoints and
of resource shares, and what a service decides by itself.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html,
reference_policies_evaluation-logic-cross-account.html and reference_policies_grammar.html beside it, and
https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_evaluation.html."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import conditions
from conditions import Known, Malformed, either, many, no
from principals import ACCOUNT, DIRECT, EVERYBODY, ROLE, Name, Request, named

Part = Callable[[Request], bool | None]  # an element of a statement: is it about this request?

# ---- Policies


class Kind(NamedTuple):
    words: str
    principal: bool = False  # says whom it is about
    optional: bool = False  # may leave its resource out, which is the one it is attached to
    never: tuple[str, ...] = ()


KINDS = {
    "identity": Kind("identity-based policy"),
    "resource": Kind("resource-based policy", principal=True, optional=True),
    "boundary": Kind("permissions boundary"),
    "session": Kind("session policy"),
    "scp": Kind("service control policy"),
    "rcp": Kind("resource control policy", principal=True, never=("NotAction", "NotPrincipal")),
}
PAIRS = (("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal"))
ELEMENTS = {"Sid", "Effect", "Condition", *(name for pair in PAIRS for name in pair)}
VERSIONS = ("2008-10-17", "2012-10-17")  # with the second one come variables


class Policy:
    """A policy, read and compiled.

    Args:
        name: what a decision calls it.
        document: as AWS takes it, parsed.
        kind: one of `KINDS`: what may stand in it.
        known: what the caller knows of its requests; then what AWS would refuse in a statement is not known either.

    Raises:
        Malformed: AWS refuses such a policy; with the place in it."""

    def __init__(
        self, name: str, document: Mapping[str, Any], kind: str = "identity", known: Known | None = None
    ) -> None:
        self.name, self.kind, self.known = name, KINDS[kind], known
        statements = many(document.get("Statement"))
        version = str(document.get("Version", VERSIONS[0]))
        if not known:
            self._whole(document, statements, version, kind)
        self.statements = [
            Statement(self, said, number, version == VERSIONS[1]) for number, said in enumerate(statements, 1)
        ]
        self.denies = [one for one in self.statements if one.denies]
        self.allows = [one for one in self.statements if not one.denies]

    def _whole(self, document: Mapping[str, Any], statements: list[Any], version: str, kind: str) -> None:
        if others := sorted(set(document) - {"Version", "Id", "Statement"}):
            raise Malformed(f"{self.name}: {others[0]} is no element of a policy")
        if version not in VERSIONS or (kind in ("scp", "rcp") and version != VERSIONS[1]):
            raise Malformed(f"{self.name}: Version {version} is none of a {self.kind.words}")
        if not statements or not all(isinstance(one, Mapping) for one in statements):
            raise Malformed(f"{self.name}: Statement must be a list of statements")
        sids = [one["Sid"] for one in statements if one.get("Sid")]
        if twice := sorted({str(sid) for sid in sids if sids.count(sid) > 1}):
            raise Malformed(f"{self.name}: two statements have the Sid {twice[0]}")

    def denying(self, request: Request) -> "Statement | None":
        """The first statement that denies it, or of which that is not known."""
        return next((one for one in self.denies if one.about(request) is not False), None)

    def allowing(self, request: Request) -> "Statement | None":
        return next((one for one in self.allows if one.about(request)), None)


class Statement:
    """One statement: what it says of a request is True, False, or None where it is not known."""

    def __init__(self, policy: Policy, said: Mapping[str, Any], number: int, variables: bool) -> None:
        self.policy, self.said, self.variables = policy, said, variables
        self.label = str(said.get("Sid") or number)
        self.place = f"{policy.name}: statement {number}" + (f" ({said['Sid']})" if said.get("Sid") else "")
        if said.get("Effect") not in ("Allow", "Deny"):
            raise Malformed(f"{self.place}: Effect must be Allow or Deny")
        self.denies = said["Effect"] == "Deny"
        self.parts = list[Part]()
        self.bonds = frozenset[Name]()  # the names of its principals
        for make in (self._elements, self._actions, self._resources, self._principals):
            self._add(make)
        condition = said.get("Condition") or {}
        for operator, block in condition.items():
            for key, wanted in block.items():
                self._add(self._condition, operator, key, wanted)

    def _add(self, make: Callable[..., Part | None], *said: Any) -> None:
        try:
            part = make(*said)
        except Malformed as problem:
            if self.policy.known is None:
                raise Malformed(f"{self.place}: {problem}") from None
            part = _nobody_knows
        if part:
            self.parts.append(part)

    def about(self, request: Request) -> bool | None:
        known = True
        for part in self.parts:
            found = part(request)
            if found is False:
                return False
            known = known and found is not None
        return True if known else None

    def bond(self, request: Request) -> int:
        """How close its principal is to who asks."""
        close = {"account": ACCOUNT, "role": ROLE}
        found = [close.get(name[0], DIRECT) for name in request.names if name in self.bonds]
        return DIRECT if EVERYBODY in self.bonds else max(found, default=0)

    def _elements(self) -> None:
        kind, found = self.policy.kind, set(self.said)
        if others := sorted((found - ELEMENTS) | (found & set(kind.never))):
            raise Malformed(f"{others[0]} is no element of a {kind.words}'s statement")
        needed = [PAIRS[0], *([] if kind.optional else [PAIRS[1]]), *([PAIRS[2]] if kind.principal else [])]
        for pair in PAIRS:
            there = found & set(pair)
            if len(there) > 1:
                raise Malformed(f"{pair[0]} and {pair[1]} exclude each other")
            if pair in needed and not there:
                raise Malformed(f"{pair[0]} is missing")
        if not kind.principal and found & set(PAIRS[2]):
            raise Malformed(f"a {kind.words} names no principal")
        if kind is KINDS["rcp"] and not (self.denies and self.said["Principal"] == "*" and self.said["Action"] != "*"):
            raise Malformed("a resource control policy denies actions of services, and to everybody")

    def _texts(self, element: str) -> list[str]:
        found = many(self.said[element])
        if not found or not all(isinstance(one, str) and one for one in found):
            raise Malformed(f"{element} must be text, or a list of texts")
        return found

    def _actions(self) -> Part | None:
        element = "NotAction" if "NotAction" in self.said else "Action"
        if element not in self.said:
            return None
        patterns = [one.lower() for one in self._texts(element)]
        if wrong := [one for one in patterns if one != "*" and ":" not in one]:
            raise Malformed(f"{element} {wrong[0]} has no service before it")
        tests = [conditions.glob(one) for one in patterns]
        met: dict[str, bool] = {}  # of the actions that were asked for

        def part(request: Request) -> bool:
            found = met.get(request.action)
            if found is None:
                found = any(test(request.action) for test in tests) == (element == "Action")
                met[request.action] = found
            return found

        return None if patterns == ["*"] and element == "Action" else part

    def _resources(self) -> Part | None:
        element = "NotResource" if "NotResource" in self.said else "Resource"
        if element not in self.said or (element == "Resource" and self.said[element] in ("*", ["*"])):
            return None
        tests = [self._resource(element, one) for one in self._texts(element)]

        def part(request: Request) -> bool | None:
            found = either(test(request) for test in tests)
            return found if element == "Resource" else no(found)

        return part

    def _resource(self, element: str, pattern: str) -> Part:
        known = self.policy.known
        if pattern != "*" and not pattern.startswith("arn:"):
            raise Malformed(f"{element} {pattern} is neither an ARN nor *")
        parts = conditions.parts(pattern, self.variables)
        if known and "${" in pattern:
            return _nobody_knows
        flat = conditions.filled(parts, {})
        if any(isinstance(part, conditions.Variable) for part in parts):
            return lambda request: _matches(conditions.filled(parts, request.values), request.resource)
        matches = conditions.compiled(flat or (), "resource").fullmatch
        if not known:
            return lambda request: matches(request.resource) is not None
        loose = conditions.compiled(flat or ()).fullmatch
        # AWS's pages do not agree on where a wildcard ends: what only one of them takes is not known.
        return lambda request: matches(request.resource) is not None or (None if loose(request.resource) else False)

    def _principals(self) -> Part | None:
        element = "NotPrincipal" if "NotPrincipal" in self.said else "Principal"
        if element not in self.said:
            return None
        self.bonds = frozenset(named(element, self.said[element]))
        if element == "Principal":
            return lambda request: self.bond(request) > 0
        if not self.denies:
            raise Malformed("NotPrincipal stands in a statement that denies only")
        return self._not_principals

    def _not_principals(self, request: Request) -> bool | None:
        """Of a session that is named without its role and account AWS says that it may be denied, too.

        Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html"""
        if EVERYBODY in self.bonds or self.bonds >= set(request.names):
            return False
        return None if self.bond(request) else True

    def _condition(self, operator: str, key: str, wanted: Any) -> Part:
        one = conditions.Condition(operator, key, wanted, variables=self.variables, known=self.policy.known)
        return lambda request: one.met(request.values, request.service)


def _nobody_knows(request: Request) -> None:
    return None


def _matches(pattern: conditions.Flat | None, resource: str) -> bool | None:
    """Of a variable without a value AWS says that it may make the whole statement invalid."""
    return None if pattern is None else conditions.compiled(pattern, "resource").fullmatch(resource) is not None


# ---- The decision


class Level(NamedTuple):
    """What is attached to the root, to an organizational unit, or to the account."""

    name: str
    policies: Sequence[Policy]


@dataclass(frozen=True)
class Decision:
    allowed: bool
    kind: str  # of the policies that decided, one of `KINDS`
    reason: str
    policy: str = ""  # the one that decided; those of a level, none of which allows it
    statement: str = ""  # its Sid, or its number
    level: str = ""  # the way from the root to where it is attached

    def __str__(self) -> str:
        where = [f"policy {self.policy}"] if self.policy else []
        where += [f"statement {self.statement}"] if self.statement else []
        where += [f"at {self.level}"] if self.level else []
        return self.reason + (f" ({', '.join(where)})" if where else "")


EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}  # a statement
FULL_ACCESS = Policy(
    "FullAWSAccess", {"Version": VERSIONS[1], "Statement": [EVERYTHING]}, "scp"
)  # what Organizations attaches to every new root, unit and account
# What stands for a role's and a resource's own policies, where only those of an organization are asked.
ALL = Policy("IAM", {"Version": VERSIONS[1], "Statement": [EVERYTHING]})
OPEN = Policy("resource", {"Version": VERSIONS[1], "Statement": [EVERYTHING | {"Principal": "*"}]}, "resource")
# Services whose resources resource control policies bind, as of 2026-11:
# https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html#rcp-supported-services
RCP_SERVICES = frozenset(
    "aoss appconfig appstream autoscaling autoscaling-plans budgets clouddirectory cloudfront cloudsearch "
    "cloudtrail-data codeartifact codebuild codecommit codepipeline cognito-identity cognito-idp comprehend "
    "comprehendmedical compute-optimizer cost-optimization-hub dax dsql dynamodb ecr ecr-public events firehose "
    "fis fms gamelift health inspector-scan kendra kinesisvideo kms logs memorydb networkmonitor notifications "
    "opensearch pca-connector-ad personalize polly pricing resource-groups rolesanywhere s3 secretsmanager "
    "servicediscovery signin sqs sts support swf textract timestream-influxdb transcribe transfer translate wafv2 "
    "workspaces xray".split()
)


def decide(
    request: Request,
    *,
    identity: Sequence[Policy] = (),
    boundary: Policy | None = None,
    resource: Policy | None = None,
    scps: Sequence[Level] = (),
    rcps: Sequence[Level] = (),
    session: Sequence[Policy] | None = None,
    management: str = "",
    service_linked: bool = False,
) -> Decision:
    """May they do it?

    Args:
        identity: the policies of the user or the role, also by their groups.
        resource: the policy of the resource; None where it has none. Then nobody of another account gets to it.
        scps: what is attached above and at the principal's account, from the root down; nothing where there is none.
        rcps: the same above the resource's account. RCPFullAWSAccess, which cannot be detached, is never among them.
        session: the policies that a session was made with; None where it was made without.
        management: the account that the organization is managed from: no such policy binds it.
        service_linked: they are a session of a role that belongs to a service; of a role itself its path says so."""
    linked = service_linked or request.linked
    bound = scps if request.owner and request.owner != management and not linked else ()
    guarded = rcps if not linked and request.account != management and _guards(request) else ()
    attached = [*_attached("rcp", guarded), *_attached("scp", bound)]
    own = [("resource", [resource] if resource else []), ("identity", identity)]
    own += [("boundary", [boundary] if boundary else []), ("session", session or ())]
    for kind, level, policies in [*attached, *((kind, "", policies) for kind, policies in own)]:
        for policy in policies:
            if statement := policy.denying(request):
                return Decision(False, kind, f"{_a(KINDS[kind].words)} denies it", policy.name, statement.label, level)
    for kind, level, policies in attached:
        if kind == "scp" and not _first(policies, request):
            return _refused(kind, ", ".join(policy.name for policy in policies), level)
    by = max(_grants(resource, request), key=lambda found: found[0], default=None)
    here = request.owner == request.account
    if not by and (not here or not request.owner or (resource and _asks_resource(request))):
        return _refused("resource")
    if by and (not request.owner or (here and by[0] == DIRECT)):
        return _allowed("resource", by[1])
    return _of_account(request, identity, boundary, session, by[1] if by and here and by[0] == ROLE else None)


def _of_account(
    request: Request,
    identity: Sequence[Policy],
    boundary: Policy | None,
    session: Sequence[Policy] | None,
    granted: Statement | None,
) -> Decision:
    """What the principal's own account says.

    Args:
        granted: the statement of a resource of this account that is about their role: it needs no more than not to be
            beyond their boundary and their session's policies."""
    if request.root:
        return Decision(True, "identity", "an account's root may do everything")
    allowed = _first(identity, request)
    if not allowed and not granted:
        return _refused("identity")
    if boundary and not boundary.allowing(request):
        return _refused("boundary", boundary.name)
    alone = session is None and request.names[0][0] == "federated-user"  # which has what its session was given
    if alone or (session is not None and not _first(session, request)):
        return _refused("session", ", ".join(policy.name for policy in session or ()))
    return _allowed("identity", allowed) if allowed else _allowed("resource", granted)


def _first(policies: Iterable[Policy], request: Request) -> Statement | None:
    return next((found for policy in policies if (found := policy.allowing(request))), None)


def _attached(kind: str, levels: Sequence[Level]) -> Iterator[tuple[str, str, Sequence[Policy]]]:
    path = list[str]()
    for level in levels:
        path.append(level.name)
        yield kind, " > ".join(path), level.policies


def _grants(resource: Policy | None, request: Request) -> Iterator[tuple[int, Statement]]:
    for statement in resource.allows if resource else ():
        if statement.about(request):
            yield statement.bond(request), statement


def _guards(request: Request) -> bool:
    """Do resource control policies bind it? Not what grants of KMS are retired by, nor AWS's own keys."""
    own = any(alias.startswith("alias/aws/") for alias in request.values.get("kms:resourcealiases", ()))
    return request.service in RCP_SERVICES and request.action != "kms:retiregrant" and not own


def _asks_resource(request: Request) -> bool:
    """Must the resource's own policy allow it, also to its own account? That of a key, and of a role that is taken."""
    return request.service == "kms" or request.action.startswith("sts:assumerole")


def _a(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _refused(kind: str, policy: str = "", level: str = "") -> Decision:
    return Decision(False, kind, f"no {KINDS[kind].words} allows it", policy, "", level)


def _allowed(kind: str, statement: Statement | None) -> Decision:
    name, label = (statement.policy.name, statement.label) if statement else ("", "")
    return Decision(True, kind, f"{_a(KINDS[kind].words)} allows it", name, label)
