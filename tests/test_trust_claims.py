"""Who the emitted trust policies let in: every role against a table of tokens, by IAM's rules.

The tokens are the stand-in's of GitHub's (dpra.rehearsal.oidc), changed as an attacker could have one: of another
repository, branch, event or environment, or of a name that only looks like the right one.
"""

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems, render
from dpra.plan import Plan
from dpra.rehearsal.oidc import PROVIDER, Issuer, admits
from dpra.spec import reader
from moto.cloudformation.models import Stack

SPECS = Path(__file__).parent / "specs"
AUDIENCE = "sts.amazonaws.com"
Claims = dict[str, Any]
Change = Callable[[Claims], Claims]


@cache
def plan_of(name: str) -> Plan:
    return problems.planned(reader.read((SPECS / name).read_bytes(), catalogue.words()))


def resolved(value: Any, account: str) -> Any:
    """A template's value as CloudFormation would have it in an account."""
    if isinstance(value, dict) and set(value) == {"Fn::Sub"}:
        known = {"AWS::Partition": "aws", "AWS::AccountId": account}
        return re.sub(r"\$\{([^}]+)\}", lambda match: known[match[1]], value["Fn::Sub"])
    if isinstance(value, dict):
        return {key: resolved(inner, account) for key, inner in value.items()}
    return [resolved(inner, account) for inner in value] if isinstance(value, list) else value


@cache
def trusts(spec: str) -> dict[str, tuple[str, Mapping[str, Any], list[str]]]:
    """Of each role that trusts GitHub: its account, its trust policy as emitted, the GitHub environments it is for."""
    found, plan = {}, plan_of(spec)
    texts = render.infrastructure(plan)
    for stage in plan.catalogue.stages:
        if not stage.environment:
            continue
        account = plan.spec.environments[stage.id].account
        template = Stack.parse_template(texts[f"infrastructure/dpra/{stage.id}.yml"])
        for resource in template["Resources"].values():
            properties = resource["Properties"]
            if resource["Type"] == "AWS::IAM::Role" and not properties["RoleName"].endswith("-execution"):
                role = properties["RoleName"].removeprefix(f"dpra-{plan.spec.name}-")
                policy = resolved(properties["AssumeRolePolicyDocument"], account)
                found[role] = (account, policy, list(plan.environments[stage.id].roles[role].environments))
    return found


# ---- The table


def also(**changes: Any) -> Change:
    return lambda claims: {**claims, **changes}


def without(*names: str) -> Change:
    return lambda claims: {name: value for name, value in claims.items() if name not in names}


def sub(change: Callable[[str], str]) -> Change:
    return lambda claims: {**claims, "sub": change(claims["sub"])}


def ref(change: Callable[[str], str]) -> Change:
    return lambda claims: {**claims, "ref": change(claims["ref"])}


def of(repository: str, repository_id: str = "888", owner_id: str = "999", immutable: bool = True) -> Change:
    """The same job in another repository; `immutable`: its subject has the ids."""

    def change(claims: Claims) -> Claims:
        owner, name = repository.format(*claims["repository"].split("/")).split("/")
        who = f"{owner}@{owner_id}/{name}@{repository_id}" if immutable else f"{owner}/{name}"
        said = {"repository": f"{owner}/{name}", "repository_owner": owner}
        said |= {"repository_id": repository_id, "repository_owner_id": owner_id}
        return {**claims, **said, "sub": f"repo:{who}:{claims['sub'].split(':', 2)[2]}"}

    return change


def event(context: str, **changes: str) -> Change:
    """A job without an environment: its subject ends with what started it."""
    return lambda claims: {
        **without("environment")(claims),
        "sub": ":".join([*claims["sub"].split(":")[:2], context.format(claims["ref"])]),
        **changes,
    }


def environment(change: Callable[[str], str]) -> Change:
    """Another GitHub environment, as GitHub writes it into the claims."""

    def changed(claims: Claims) -> Claims:
        name = change(claims["environment"])
        context = f"environment:{name.replace(':', '%3A')}"
        return {**claims, "environment": name, "sub": ":".join([*claims["sub"].split(":")[:2], context])}

    return changed


PULL = {"ref": "refs/pull/7/merge", "event_name": "pull_request"}
REFUSED: dict[str, Change] = {
    "another repository of the owner": of("{0}/other", owner_id="123"),
    "another repository, made before the ids": of("{0}/other", owner_id="123", immutable=False),
    "a fork": of("mallory/{1}"),
    "a fork, made before the ids": of("mallory/{1}", immutable=False),
    "another owner's of the same name": of("mallory/{1}", repository_id="7"),
    "the owner's name taken over": of("{0}/{1}"),
    "the repository's name taken over": of("{0}/{1}", owner_id="123"),
    "the repository, renamed": of("{0}/renamed", repository_id="456"),
    "the repository, moved": of("elsewhere/{1}", repository_id="456"),
    "a name that goes on": of("{0}/{1}-evil"),
    "a name that goes on, before the ids": of("{0}/{1}-evil", immutable=False),
    "a name that begins earlier": of("evil-{0}/{1}", immutable=False),
    "a name that ends earlier": lambda claims: of(f"{{0}}/{claims['repository'][:-1].split('/')[1]}", immutable=False)(
        claims
    ),
    "a repository called like the subject": of("{0}/{1}:environment:beta", immutable=False),
    "ids in the wrong places": sub(lambda s: s.replace("repo:", "repo:x@1/", 1)),
    "another branch": event("ref:refs/heads/feature", ref="refs/heads/feature"),
    "another branch with the environment": also(ref="refs/heads/feature"),
    "a branch that goes on": ref(lambda r: f"{r}-evil"),
    "a branch below the trunk": ref(lambda r: f"{r}/evil"),
    "a branch called like the trunk's ref": ref(lambda r: f"refs/heads/{r}"),
    "the trunk's name alone": ref(lambda r: r.removeprefix("refs/heads/")),
    "the trunk in capitals": ref(str.upper),
    "the trunk itself without an environment": event("ref:{0}"),
    "a tag": event("ref:refs/tags/v1", ref="refs/tags/v1", ref_type="tag"),
    "a tag with the environment": also(ref="refs/tags/v1", ref_type="tag"),
    "a tag called like the trunk": ref(lambda r: r.replace("refs/heads/", "refs/tags/")),
    "a pull request": event("pull_request", **PULL),
    "a pull request with the environment": also(**PULL),
    "a pull request from a fork": lambda claims: event("pull_request", **PULL)(of("mallory/{1}")(claims)),
    "pull_request_target without an environment": event("ref:{0}", event_name="pull_request_target"),
    "a merge queue": also(ref="refs/heads/gh-readonly-queue/main/pr-7-abc"),
    "an environment that goes on": environment(lambda name: f"{name}x"),
    "an environment that begins earlier": environment(lambda name: f"x{name}"),
    "an environment that ends earlier": environment(lambda name: name[:-1]),
    "the environment in capitals": environment(str.upper),
    "the environment with a blank": environment(lambda name: f"{name} "),
    "an environment with a colon": environment(lambda name: f"{name}:x"),
    "an environment that brings the context": environment(lambda name: f"x:environment:{name}"),
    "an encoded colon in the context": sub(lambda s: s.replace(":environment:", ":environment%3A")),
    "a colon encoded twice": sub(lambda s: s.replace(":environment:", ":environment%253A")),
    "an encoded slash": sub(lambda s: s.replace("/", "%2F", 1)),
    "an encoded letter": sub(lambda s: f"{s[:-1]}%{ord(s[-1]):02X}"),
    "the owner in other letters": sub(lambda s: s.replace(s[5], s[5].swapcase(), 1)),
    "the repository in capitals": sub(
        lambda s: s.split(":")[0] + ":" + s.split(":")[1].upper() + s[s.rindex(":environ") :]
    ),
    "the context in capitals": sub(lambda s: s.replace("environment", "Environment")),
    "the subject in capitals": sub(str.upper),
    "a star for the environment": sub(lambda s: f"{s.rpartition(':')[0]}:*"),
    "a star for the repository": sub(lambda s: re.sub(r"/[^:]+:", "/*:", s, count=1)),
    "a star for all": also(sub="*"),
    "a star for the ref": also(ref="refs/heads/*"),
    "question marks": sub(lambda s: f"{s[:-1]}?"),
    "a question mark in the ref": ref(lambda r: f"{r[:-1]}?"),
    "a policy variable": sub(lambda s: f"${{{PROVIDER}:sub}}"),
    "a subject with a line behind it": sub(lambda s: f"{s}\n"),
    "a subject with a NUL": sub(lambda s: f"{s}\0"),
    "a subject with a look-alike": sub(lambda s: s.replace("o", "\u043e")),
    "a subject twice": sub(lambda s: f"{s}:{s}"),
    "an empty subject": also(sub=""),
    "no subject": without("sub"),
    "no audience": without("aud"),
    "no ref": without("ref"),
    "an empty ref": also(ref=""),
    "an empty audience": also(aud=""),
    "GitHub's default audience": also(aud="https://github.com/acme"),
    "the audience of another cloud": also(aud="api://AzureADTokenExchange"),
    "the audience in capitals": also(aud=AUDIENCE.upper()),
    "an audience that goes on": also(aud=f"{AUDIENCE}.evil"),
    "another's reusable workflow by ref": event("job_workflow_ref:mallory/x/.github/workflows/y.yml@{0}"),
}
# What only the ids tell: refused where dpra.yml has them.
BY_ID: dict[str, Change] = {
    "another id under the same name": also(repository_id="888"),
    "the owner's name taken over before the ids": of("{0}/{1}", immutable=False),
    "no repository_id": without("repository_id"),
    "an empty repository_id": also(repository_id=""),
    "a repository_id that goes on": lambda claims: {**claims, "repository_id": f"{claims['repository_id']}0"},
    "a repository_id with a zero before it": lambda claims: {**claims, "repository_id": f"0{claims['repository_id']}"},
    "a star for the repository_id": also(repository_id="*"),
}
# Who stores and signs is asked for its workflow, too.
BY_WORKFLOW: dict[str, Change] = {
    "another workflow of the trunk": lambda c: {**c, "job_workflow_ref": workflow_of(c).replace("pipeline", "nightly")},
    "a workflow that goes on": lambda c: {**c, "job_workflow_ref": f"{workflow_of(c)}-evil"},
    "the workflow of another branch": lambda c: {
        **c,
        "job_workflow_ref": f"{workflow_of(c).partition('@')[0]}@refs/heads/x",
    },
    "another's reusable workflow": also(job_workflow_ref="mallory/x/.github/workflows/pipeline.yml@refs/heads/main"),
    "a star for the workflow": lambda c: {**c, "job_workflow_ref": f"{workflow_of(c).partition('@')[0]}*"},
    "no workflow": without("job_workflow_ref"),
    "an empty workflow": also(job_workflow_ref=""),
}


def workflow_of(claims: Claims) -> str:
    return str(claims["job_workflow_ref"])


def tokens(plan: Plan, name: str) -> list[Claims]:
    """What the right job in a GitHub environment may send: the subject with the names, and that with the ids."""
    spec, at = plan.spec, f"refs/heads/{plan.spec.trunk}"
    ids = (spec.repository_id, spec.owner_id)
    issuers = [Issuer(spec.repository, spec.trunk, "a" * 40, *ids)]
    found = [dict(issuer.claims(name, at, AUDIENCE)) for issuer in issuers]
    if spec.repository_id:
        old = Issuer(spec.repository, spec.trunk, "a" * 40).claims(name, at, AUDIENCE)
        found.append({**found[0], "sub": old["sub"]})
    return found


def wrong(spec: str, role: str, changed: Mapping[str, Any] | None = None) -> list[str]:
    """What the trust policy of a role, or a changed one, decides wrongly about the table's tokens.

    A policy with something in it that the evaluation does not know counts as wrong: IAM could let in whom it refuses.
    """
    plan = plan_of(spec)
    account, policy, own = trusts(spec)[role]
    policy = changed or policy
    provider = f"arn:aws:iam::{account}:oidc-provider/{PROVIDER}"
    signs = any(one.id == role for one in plan.roles("store"))
    refused = REFUSED | (BY_ID if plan.spec.repository_id else {}) | (BY_WORKFLOW if signs else {})
    found = []

    def judge(what: str, claims: Claims, admitted: bool) -> None:
        reason = admits(policy, claims, provider)
        if (reason is None) != admitted or "does not know" in (reason or ""):
            found.append(f"{role}: {what}: {reason or 'is let in'}")

    everywhere = {name for _, _, names in trusts(spec).values() for name in names}
    for name in sorted(everywhere | {"production", "notifications", "prod", "prod-9"}):
        for claims in tokens(plan, name):
            judge(f"the job of {name}, {claims['sub']}", claims, name in own)
            if name in own:
                for what, change in refused.items():
                    judge(f"{what}, in {name}", change(deepcopy(claims)), False)
    return found


CASES = [(spec, role) for spec in ("minimal.yml", "full.yml") for role in trusts(spec)]


@pytest.mark.parametrize(("spec", "role"), CASES)
def test_a_role_lets_in_its_own_jobs_and_nobody_else(spec: str, role: str) -> None:
    assert wrong(spec, role) == []


def test_every_role_is_in_the_table_and_every_token_is_another() -> None:
    roles = {"artifacts", "beta", "gamma", "gamma-monitor", "prod-approve", "prod", "prod-bake"}
    asked = {("full.yml", f"{stage}-tests") for stage in ("beta", "gamma", "prod")}  # minimal.yml asks for none
    asked.add(("full.yml", "base"))
    assert set(CASES) == {(spec, role) for spec in ("minimal.yml", "full.yml") for role in roles} | asked
    assert len(REFUSED) > 60
    for spec, role in CASES:
        for name in trusts(spec)[role][2]:
            for claims in tokens(plan_of(spec), name):
                for what, change in (REFUSED | BY_ID | BY_WORKFLOW).items():
                    assert change(deepcopy(claims)) != claims, what


# ---- The table finds what is wrong


def with_condition(policy: Mapping[str, Any], operator: str, key: str, value: Any) -> Mapping[str, Any]:
    """The policy with the condition of one key replaced, or without it."""
    changed = deepcopy(dict(policy))
    [statement] = changed["Statement"]
    for conditions in statement["Condition"].values():
        before = conditions.pop(f"{PROVIDER}:{key}", None)
    if operator:
        said = before if value is None else value
        statement["Condition"].setdefault(operator, {})[f"{PROVIDER}:{key}"] = said
    return changed


LAXER = {  # operator, key, value (None: as it was), and what it lets in
    "any subject of the repository": (
        "StringLike",
        "sub",
        "repo:acme/shop:*",
        "the trunk itself without an environment",
    ),
    "any environment": ("StringLike", "sub", "repo:acme/shop:environment:*", "the job of beta"),
    "any repository of the owner": ("StringLike", "sub", "repo:acme/*", "another repository, made before the ids"),
    "any repository that begins so": ("StringLike", "sub", "repo:acme/shop*", "a name that goes on"),
    "an environment and a star": (
        "StringLike",
        "sub",
        "repo:acme/shop:environment:prod-1*",
        "an environment that goes on",
    ),
    "any subject": ("StringLike", "sub", "*", "the job of prod-1"),
    "any subject, said twice": ("StringLike", "sub", ["*", "repo:acme/shop:environment:prod-1"], "the job of prod-1"),
    "no subject": ("", "sub", None, "the job of prod-1"),
    "any letters": ("StringEqualsIgnoreCase", "sub", None, "the environment in capitals"),
    "only if there is a subject": ("StringEqualsIfExists", "sub", None, "no subject, in prod-1"),
    "all of no subjects": ("ForAllValues:StringEquals", "sub", None, "no subject, in prod-1"),
    "the token's own subject": ("StringEquals", "sub", f"${{{PROVIDER}:sub}}", "a star for all"),
    "any branch": ("", "ref", None, "another branch with the environment"),
    "any branch that begins so": ("StringLike", "ref", "refs/heads/main*", "a branch that goes on"),
    "any audience": ("", "aud", None, "GitHub's default audience"),
    "any id": ("", "repository_id", None, "another id under the same name"),
}


@pytest.mark.parametrize(("operator", "key", "value", "expected"), LAXER.values(), ids=LAXER.keys())
def test_a_laxer_trust_is_found_by_the_table(operator: str, key: str, value: Any, expected: str) -> None:
    """IAM itself would not keep one with any subject or none: the right job is refused then, which is found, too."""
    spec = "full.yml" if key == "repository_id" else "minimal.yml"
    found = wrong(spec, "prod", with_condition(trusts(spec)["prod"][1], operator, key, value))
    assert any(expected in line for line in found), found[:5]


@pytest.mark.parametrize(
    "statement", [{}, {"Principal": "*"}, {"Action": "sts:*"}, {"NotAction": "s3:*"}, {"Effect": "Deny"}]
)
def test_another_statement_is_found(statement: dict[str, Any]) -> None:
    """One that lets everybody in, one that is not known, and one that lets nobody in."""
    changed = deepcopy(dict(trusts("minimal.yml")["beta"][1]))
    lax = {**changed["Statement"][0], "Condition": {"StringLike": {f"{PROVIDER}:sub": "repo:*"}}, **statement}
    changed["Statement"].append(lax)
    assert wrong("minimal.yml", "beta", changed)
