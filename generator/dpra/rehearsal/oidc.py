"""GitHub's OpenID Connect tokens, and what AWS makes of them: claims, signature, and the verdict of a trust policy."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from dpra import resources
from dpra.dataclasses import dataclass

_conditions = resources.lib("conditions")
like, many = _conditions.like, _conditions.many

ISSUER = "https://token.actions.githubusercontent.com"
PROVIDER = ISSUER.removeprefix("https://")
ACTION = "sts:AssumeRoleWithWebIdentity"
# The operators that a trust policy may have here. Any other one is refused, in an Allow and in a Deny.
OPERATORS = {
    *("StringEquals", "StringEqualsIgnoreCase", "StringLike"),
    *("ForAnyValue:StringEquals", "ForAnyValue:StringLike"),
}


class Refused(Exception):
    """A token or a role was refused: AWS's or GitHub's error code, and the reason."""

    def __init__(self, code: str, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.code, self.status = code, status


@dataclass
class Issuer:
    """GitHub's side: knows each job's claims by the bearer token that this job alone was given."""

    repository: str
    trunk: str
    sha: str
    repository_id: int = 0
    owner_id: int = 0
    workflow: str = ".github/workflows/pipeline.yml"
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    holders: dict[str, dict[str, str]] = field(default_factory=dict)  # a token's jti -> the job it was given to

    def admit(self, job: str, environment: str, ref: str | None = None, **run: str) -> str:
        """Give a job the right to ask for tokens: its bearer. `run` says which run's it is: run_id, sha, workflow."""
        bearer = secrets.token_hex(20)
        self.jobs[bearer] = {"job": job, "environment": environment, "ref": ref or f"refs/heads/{self.trunk}", **run}
        return bearer

    def token(self, bearer: str, audience: str) -> str:
        """The signed token for the job that holds this bearer."""
        if (job := self.jobs.get(bearer)) is None:
            raise Refused("Unauthorized", "no job of this run holds this request token", 401)
        if job["environment"] and job["ref"] != f"refs/heads/{self.trunk}":
            reason = f"its branch policy names only {self.trunk}"
            raise Refused("Forbidden", f"{job['ref']} is not allowed to deploy to {job['environment']}: {reason}")
        claims = self.claims(job["environment"], job["ref"], audience, job.get("workflow", ""))
        claims |= {"sha": job.get("sha", self.sha), "run_id": job.get("run_id", "1")}
        claims |= {name: claims["sha"] for name in ("workflow_sha", "job_workflow_sha")}
        self.holders[str(claims["jti"])] = job
        return sign(claims, self.secret)

    def claims(self, environment: str, ref: str, audience: str, workflow: str = "") -> dict[str, str | int]:
        """What GitHub states about a job. Repositories with ids send the immutable subject."""
        owner, name = self.repository.split("/")
        subject = (
            f"{owner}@{self.owner_id}/{name}@{self.repository_id}"
            if self.owner_id and self.repository_id
            else self.repository
        )
        context = f"environment:{environment.replace(':', '%3A')}" if environment else f"ref:{ref}"
        now = int(time.time())
        workflow_ref = f"{self.repository}/{workflow or self.workflow}@{ref}"
        claims: dict[str, str | int] = {
            "iss": ISSUER,
            "aud": audience,
            "sub": f"repo:{subject}:{context}",
            "jti": secrets.token_hex(16),
            "iat": now,
            "nbf": now - 300,
            "exp": now + 300,
            "repository": self.repository,
            "repository_id": str(self.repository_id or 1),
            "repository_owner": owner,
            "repository_owner_id": str(self.owner_id or 1),
            "repository_visibility": "private",
            "ref": ref,
            "ref_type": "branch",
            "sha": self.sha,
            "event_name": "push",
            "actor": owner,
            "run_id": "1",
            "run_number": "1",
            "run_attempt": "1",
            "runner_environment": "github-hosted",
            "workflow_ref": workflow_ref,
            "workflow_sha": self.sha,
            "job_workflow_ref": workflow_ref,
            "job_workflow_sha": self.sha,
        }
        return claims | ({"environment": environment} if environment else {})


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def sign(claims: Mapping[str, Any], secret: bytes) -> str:
    """A JWT. HMAC with a secret of this run stands for GitHub's RSA key: nobody else can make one that verifies."""
    header = {"alg": "HS256", "typ": "JWT"}
    body = ".".join(_segment(json.dumps(part).encode()) for part in (header, claims))
    return f"{body}.{_segment(hmac.digest(secret, body.encode(), hashlib.sha256))}"


def verify(token: str, secret: bytes) -> dict[str, Any]:
    """The claims of a token that this run's issuer signed and that has not expired."""
    try:
        body, _, signature = token.rpartition(".")
        genuine = hmac.compare_digest(_bytes(signature), hmac.digest(secret, body.encode(), hashlib.sha256))
        claims: dict[str, Any] = json.loads(_bytes(body.partition(".")[2])) if genuine else {}
    except ValueError:
        claims = {}
    if claims.get("iss") != ISSUER:
        raise Refused("InvalidIdentityToken", "The web identity token is not one that GitHub issued in this run", 400)
    if not claims["nbf"] <= time.time() < claims["exp"]:
        raise Refused("ExpiredTokenException", "Token expired", 400)
    return claims


def admits(policy: Mapping[str, Any], claims: Mapping[str, Any], provider: str, action: str = ACTION) -> str | None:
    """None if IAM would let the bearer of `claims` assume a role with this trust policy, else why not."""
    allowed, reasons = False, []
    for statement in many(policy.get("Statement")):
        if unknown := _unknown(statement):
            return f"the rehearsal does not know {unknown} in a trust policy"
        reason = _misses(statement, claims, provider, action)
        effect = statement.get("Effect")
        if effect == "Deny" and reason is None:
            return "a Deny statement of the trust policy matches"
        if effect == "Allow" and reason is None and not _guarded(statement):
            reason = "IAM refuses to trust GitHub's provider without a condition on its subject"
        if effect == "Allow":
            allowed = allowed or reason is None
            reasons.append(reason)
    return None if allowed else "; ".join(filter(None, reasons)) or "the trust policy allows nothing"


def _misses(statement: Mapping[str, Any], claims: Mapping[str, Any], provider: str, action: str) -> str | None:
    """Why a statement does not apply to this request."""
    principals = statement.get("Principal")
    trusted = many(principals.get("Federated")) if isinstance(principals, Mapping) else []
    if principals != "*" and provider not in trusted:
        return f"the principal is not {provider}"
    if not any(like(pattern.lower(), action.lower()) for pattern in many(statement.get("Action"))):
        return f"the action is not {action}"
    for operator, conditions in (statement.get("Condition") or {}).items():
        for key, wanted in conditions.items():
            if reason := _fails(operator, key, many(wanted), claims):
                return reason
    return None


def _fails(operator: str, key: str, wanted: list[str], claims: Mapping[str, Any]) -> str | None:
    """Why a condition does not hold. Several values of a key are alternatives; a key without a value never matches."""
    prefix, _, claim = key.rpartition(":")
    if prefix.lower() != PROVIDER or claim not in claims:
        return f"the token has no {key}"
    actual = str(claims[claim])
    if wanted and _conditions.Condition(operator, claim, wanted).met({claim.lower(): (actual,)}):
        return None
    return f"{claim} is {actual}, not {' or '.join(map(str, wanted))}"


def _unknown(statement: Mapping[str, Any]) -> str:
    """What the statement says that is not understood here: it must refuse, in an Allow and in a Deny."""
    conditions: Mapping[str, Any] = statement.get("Condition") or {}
    found = set(statement) - {"Sid", "Effect", "Principal", "Action", "Condition"} | set(conditions) - OPERATORS
    if any("${" in str(value) for block in conditions.values() for value in block.values()):
        found.add("a policy variable")  # IAM puts the token's own claim in its place
    return ", ".join(sorted(found))


def _guarded(statement: Mapping[str, Any]) -> bool:
    """Does the statement name a subject, more than by a wildcard alone?"""
    conditions = [pair for block in (statement.get("Condition") or {}).values() for pair in block.items()]
    return any(
        key.lower() == f"{PROVIDER}:sub" and all(str(value).strip("*?") for value in many(wanted))
        for key, wanted in conditions
    )
