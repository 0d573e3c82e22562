"""Policies of a fleet that would lock dpra's own roles out of an account, or the roles that break the glass.

Pure, and by evaluation: what these roles need is data, and each need is asked of the policies as AWS would decide it,
for every inheritance there is. A need is met if it can be met: in one of the regions that the baselines and the
policies themselves name, a break-glass role with MFA and from the addresses that the policies name. Those of dpra are
asked for by GitHub's runners: without MFA, and from no address that a policy knows. What the files do not say, as the
id of the organisation and the claims of the repository, is taken as the policies name it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import principals
from fleet import ROOT, Fleet, Problem, ordered
from fleet_inheritance import FULL, Bound, Organisation, compared
from fleet_policies import FIRST_REGIONS, by, request
from fleet_rules import Rule
from partitions import partition
from policies import Decision, Level

RULES = {"lock-out": Rule("high", "A policy that denies what dpra's roles or the break-glass roles need.")}
ANY = "any"  # in place of a * of a name: what is exempt for some names is not for all of them
MANAGEMENT = "100000000000"  # stands for an account whose roles no policy here binds
GITHUB = "token.actions.githubusercontent.com"
OWN = "role/dpra-*-*"  # names.role: dpra-COMPONENT-ROLE; dpra-probe, which tries guardrails, is bound as everybody
# What dpra's roles do in an account, those that deploy, that store and sign, that look. Source: roles.yml,
# duties/*.yml and deploy/cloudformation.yml in templates/infrastructure, and what these include.
DPRA = {
    "cloudformation:CreateChangeSet": "arn:{partition}:cloudformation:{region}:{account}:stack/any/any",
    "cloudformation:DescribeChangeSet": "arn:{partition}:cloudformation:{region}:{account}:stack/any/any",
    "cloudformation:ExecuteChangeSet": "arn:{partition}:cloudformation:{region}:{account}:stack/any/any",
    "cloudformation:DeleteChangeSet": "arn:{partition}:cloudformation:{region}:{account}:stack/any/any",
    "cloudformation:DescribeStacks": "arn:{partition}:cloudformation:{region}:{account}:stack/any/any",
    "cloudformation:DescribeStackEvents": "arn:{partition}:cloudformation:{region}:{account}:stack/any/any",
    "cloudformation:GetTemplateSummary": "*",
    "cloudformation:TagResource": "arn:{partition}:cloudformation:{region}:{account}:stack/any/any",
    "cloudwatch:DescribeAlarms": "*",
    "iam:PassRole": "arn:{partition}:iam::{account}:role/dpra-any-execution",
    "kms:Decrypt": "arn:{partition}:kms:{region}:{account}:key/any",
    "kms:GenerateDataKey": "arn:{partition}:kms:{region}:{account}:key/any",
    "kms:Sign": "arn:{partition}:kms:{region}:{account}:key/any",
    "kms:Verify": "arn:{partition}:kms:{region}:{account}:key/any",
    "s3:GetObject": "arn:{partition}:s3:::dpra-any-{account}-{region}/any",
    "s3:ListBucket": "arn:{partition}:s3:::dpra-any-{account}-{region}",
    "s3:PutObject": "arn:{partition}:s3:::dpra-any-{account}-{region}/any",
    "sts:AssumeRole": "arn:{partition}:iam::{account}:role/dpra-any-execution",
    "sts:GetCallerIdentity": "*",
}
# What somebody needs who breaks the glass: to look, and to take back what locks others out (roles, the policies of
# buckets and keys, stacks, security groups). Not what guardrails rightly keep from everybody, such as leaving the
# organisation, stopping the trail or deleting a key. Ours, for the cases (no identity provider, or none to trust) of
# https://github.com/aws-samples/aws-cross-account-break-glass-example
BREAK_GLASS = {
    "cloudformation:DeleteStack": "arn:{partition}:cloudformation:{region}:{account}:stack/any/any",
    "cloudformation:DescribeStacks": "arn:{partition}:cloudformation:{region}:{account}:stack/any/any",
    "cloudformation:UpdateStack": "arn:{partition}:cloudformation:{region}:{account}:stack/any/any",
    "cloudtrail:LookupEvents": "*",
    "ec2:AuthorizeSecurityGroupIngress": "arn:{partition}:ec2:{region}:{account}:security-group/any",
    "ec2:DescribeInstances": "*",
    "ec2:RevokeSecurityGroupIngress": "arn:{partition}:ec2:{region}:{account}:security-group/any",
    "ec2:StopInstances": "arn:{partition}:ec2:{region}:{account}:instance/any",
    "iam:AttachRolePolicy": "arn:{partition}:iam::{account}:role/any",
    "iam:CreateRole": "arn:{partition}:iam::{account}:role/any",
    "iam:DetachRolePolicy": "arn:{partition}:iam::{account}:role/any",
    "iam:GetRole": "arn:{partition}:iam::{account}:role/any",
    "iam:ListRoles": "*",
    "iam:PutRolePolicy": "arn:{partition}:iam::{account}:role/any",
    "iam:UpdateAssumeRolePolicy": "arn:{partition}:iam::{account}:role/any",
    "kms:Decrypt": "arn:{partition}:kms:{region}:{account}:key/any",
    "kms:DescribeKey": "arn:{partition}:kms:{region}:{account}:key/any",
    "kms:PutKeyPolicy": "arn:{partition}:kms:{region}:{account}:key/any",
    "logs:DescribeLogGroups": "*",
    "logs:FilterLogEvents": "arn:{partition}:logs:{region}:{account}:log-group:any",
    "organizations:DescribeOrganization": "*",
    "organizations:ListAccounts": "*",
    "s3:DeleteBucketPolicy": "arn:{partition}:s3:::any",
    "s3:GetBucketPolicy": "arn:{partition}:s3:::any",
    "s3:GetObject": "arn:{partition}:s3:::any/any",
    "s3:ListAllMyBuckets": "*",
    "s3:PutBucketPolicy": "arn:{partition}:s3:::any",
    "sts:AssumeRole": "arn:{partition}:iam::{account}:role/any",
    "sts:GetCallerIdentity": "*",
}
NAMED = ("aws:principalorgid", f"{GITHUB}:")  # beginnings of keys that are taken as the policies name them
ADDRESSES = ("aws:sourceip", "aws:sourcevpc", "aws:sourcevpce", "aws:vpcsourceip")  # likewise, for break-glass roles
RUNNER = "192.0.2.1"  # an address that nobody has: RFC 5737
MFA = {"aws:MultiFactorAuthPresent": True, "aws:MultiFactorAuthAge": 60}


class Need(NamedTuple):
    """A request that must be possible somewhere, in each of the ways in which it is made."""

    role: str  # of whom it is told
    action: str
    principal: str
    resource: str
    ways: tuple[Mapping[str, Any], ...]


def lockouts(organisation: Organisation) -> list[Problem]:
    """Each statement that locks one of the roles out, at its place in its JSON; and each level without an Allow."""
    fleet = organisation.fleet
    regions = _regions(fleet)
    needs = list(_needs(organisation))
    found: dict[tuple[str, str, str], tuple[Bound, Decision, dict[str, None]]] = {}
    for bound in organisation.bounds(ROOT):
        if not bound.key:
            continue
        for need in needs:
            for way in need.ways:
                for decision in _refusals(organisation, bound, need, way, regions):
                    key = (
                        need.role,
                        decision.policy if decision.statement else "",
                        decision.statement or decision.level,
                    )
                    found.setdefault(key, (bound, decision, {}))[2][need.action] = None
    told = []
    for (role, *_), (bound, decision, actions) in found.items():
        first, more = next(iter(actions)), len(actions) - 1
        what = f"{first}, and {more} more of what it needs," if more else first
        whose = "dpra's own roles" if role == OWN else "the break-glass role"
        says = f"{whose} ({role}) could not do {what} in {bound.ref}: {by(decision, bound, organisation)}"
        if decision.statement:
            says += f"; exempt it: ArnNotLike of aws:PrincipalArn with arn:*:iam::*:{role}"
            place = organisation.statement(decision)
        else:
            place = _lacking(organisation, decision, bound)
        told.append(Problem(*place, "lock-out", says))
    return ordered(told)


def _refusals(
    organisation: Organisation, bound: Bound, need: Need, way: Mapping[str, Any], regions: tuple[str, ...]
) -> Iterator[Decision]:
    """What refuses a need in every region, or what together does; nothing if it can be met in one."""
    everywhere = []
    for region in regions:
        refused = list(_each(organisation, bound, _asked(need, bound, way, region)))
        if not refused:
            return
        everywhere.append(refused)
    told = [one for one in everywhere[0] if all(one in refused for refused in everywhere)]
    yield from told or dict.fromkeys(one for refused in everywhere for one in refused)


def _each(organisation: Organisation, bound: Bound, asked: principals.Request) -> Iterator[Decision]:
    """Each policy that refuses it: the first one that does, then the first of the others, and so on."""
    left = bound
    while not (decision := organisation.decide(asked, left)).allowed:
        if decision.statement or left is bound:  # else what was taken away may have been the Allow
            yield decision
        if not decision.statement:
            return
        scps, rcps = _without(left.scps, decision.policy), _without(left.rcps, decision.policy)
        left = left._replace(scps=scps, rcps=rcps)


def _without(levels: tuple[Level, ...], name: str) -> tuple[Level, ...]:
    return tuple(Level(one.name, [policy for policy in one.policies if policy.name != name]) for one in levels)


def _asked(need: Need, bound: Bound, way: Mapping[str, Any], region: str) -> principals.Request:
    words = {"{partition}": partition(region), "{account}": bound.id, "{region}": region}

    def filled(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    return request(filled(need.principal), need.action, filled(need.resource), way, bound.id, region)


def _needs(organisation: Organisation) -> Iterator[Need]:
    fleet = organisation.fleet
    named, addresses = _named(fleet, NAMED), _named(fleet, ADDRESSES)
    claims = {key: value for key, value in named.items() if key.startswith(GITHUB)}
    whose = {"aws:resourceorgid": organisation.org}
    ours = {"aws:principalorgid": named.get("aws:principalorgid") or organisation.org, **whose}
    runner = ours | {"aws:SourceIp": RUNNER}
    ways = runner, runner | {"aws:MultiFactorAuthPresent": False}  # AWS leaves the key out, or says false
    one = OWN.replace("*", ANY)
    for action, resource in DPRA.items():
        yield Need(OWN, action, f"arn:{{partition}}:iam::{{account}}:{one}", resource, ways)
    yield Need(
        *(OWN, "sts:AssumeRoleWithWebIdentity", f"arn:{{partition}}:iam::{{account}}:oidc-provider/{GITHUB}"),
        f"arn:{{partition}}:iam::{{account}}:{one}",
        ({f"{GITHUB}:aud": "sts.amazonaws.com", "aws:SourceIp": RUNNER} | whose | claims,),
    )
    for role in fleet.break_glass:
        one = f"arn:{{partition}}:iam::{{account}}:{role.replace('*', ANY)}"
        for action, resource in BREAK_GLASS.items():
            yield Need(role, action, one, resource, (ours | addresses | MFA,))
        yield Need(
            role, "sts:AssumeRole", f"arn:{{partition}}:iam::{MANAGEMENT}:role/any", one, (ours | addresses | MFA,)
        )


def _named(fleet: Fleet, keys: tuple[str, ...]) -> dict[str, list[str]]:
    """What the policies compare such keys with: a request that has all of it meets each comparison."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for key, said in compared(fleet):
        value = said.replace("*", ANY).replace("?", "x")
        if key.startswith(keys) and "${" not in value:
            found[key][value.partition("/")[0] if key in ADDRESSES else value] = None
    return {key: list(values) for key, values in found.items()}


def _regions(fleet: Fleet) -> tuple[str, ...]:
    """Those of the baselines, those that policies name, and the first one of the partition."""
    found = dict.fromkeys(region for one in fleet.baselines for region in one.regions)
    here = partition(next(iter(found), ""))
    first = FIRST_REGIONS.get(here, "us-east-1")
    found |= dict.fromkeys(_named(fleet, ("aws:requestedregion",)).get("aws:requestedregion", ()))
    return tuple(one for one in dict.fromkeys([*found, first]) if partition(one) == here)


def _lacking(organisation: Organisation, decision: Decision, bound: Bound) -> tuple[str, int]:
    """The place of what leaves a level without Allow: FullAWSAccess in the files, a policy there, the unit."""
    ref = next(
        (name for number, name in enumerate(bound.way) if " > ".join(bound.way[: number + 1]) == decision.level), ""
    )
    for policy in organisation.fleet.policies:
        if policy.id == FULL:
            return policy.file, policy.line
    for one in organisation.attached["scp"].get(ref, ()):
        file = organisation.files[one.name]
        return file.file, file.lines.get(ref, file.line)
    unit = organisation.fleet.by_path.get(ref)
    return (unit.file, unit.line) if unit else (organisation.fleet.units[0].file, 1)
