"""STS: for how long a role is given, to whom, and how that is told.

What a role may take: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"""

import json
from typing import Any

from dpra import resources

from . import guardrails
from .oidc import Refused, like, many

_policies = resources.lib("policies")

SHORTEST = 900  # seconds that credentials live
CHAINED = 3600  # and the longest of a role that another role takes


def lifetime(role_arn: str, asked: str, longest: int = 12 * 3600) -> int:
    """How many seconds credentials live that are asked for so long; refused where it is more than what is allowed."""
    from moto.iam.models import iam_backends

    _, within, _, _, account, _ = role_arn.split(":", 5)
    most = int(iam_backends[account][within].get_role_by_arn(role_arn).max_session_duration or 3600)
    if not asked.isdecimal() or int(asked) < SHORTEST:
        raise Refused("ValidationError", f"DurationSeconds is {asked}: must be {SHORTEST} or more", 400)
    for limit, of in (
        (most, "MaxSessionDuration set for this role"),
        (longest, "1 hour session limit of role chaining"),
    ):
        if int(asked) > limit:
            raise Refused("ValidationError", f"The requested DurationSeconds exceeds the {of}.", 400)
    return int(asked)


def refusal(role_arn: str, caller: str) -> str:
    """Why a role's trust policy does not let another role take it; empty where it does."""
    from moto.iam.models import iam_backends

    _, within, _, _, account, _ = f"{role_arn}:::::".split(":", 5)
    there = [role for role in iam_backends[account][within].get_roles() if role.arn == role_arn] if account else []
    if not there or not caller:
        return "there is no such role" if caller else "who asks is no role of the pipeline"
    root = ":".join([*caller.split(":")[:5], "root"])
    policy = json.loads(there[0].assume_role_policy_document)
    about = [one for one in many(policy.get("Statement")) if {caller, root} & {*principals(one)} and takes(one)]
    if about and all(one["Effect"] == "Allow" and met(one.get("Condition"), caller) for one in about):
        return ""
    return f"its trust policy does not admit {caller}"


def met(condition: Any, caller: str) -> bool:
    """Whether a condition holds for a role that asks."""
    account = caller.split(":")[4]
    about = {"aws:PrincipalArn": caller, "aws:PrincipalAccount": account, **guardrails.place("Principal", account)}
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition or {}}
    policy = _policies.Policy("trust", {"Version": "2012-10-17", "Statement": [statement]})
    return policy.allowing(_policies.Request(caller, "sts:AssumeRole", "*", about)) is not None


def principals(statement: dict[str, Any]) -> list[Any]:
    said = statement.get("Principal")
    return many(said.get("AWS")) if isinstance(said, dict) else []


def takes(statement: dict[str, Any]) -> bool:
    return any(like(pattern.lower(), "sts:assumerole") for pattern in many(statement.get("Action")))


def given(session: Any) -> dict[str, Any]:
    """What STS tells of a session of moto's."""
    return {
        "AssumedRoleUser": {"Arn": session.arn, "AssumedRoleId": session.user_id},
        "Credentials": {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "SessionToken": session.session_token,
            "Expiration": f"{session.expiration:%Y-%m-%dT%H:%M:%SZ}",
        },
    }
