"""AWS AppConfig's validators of a profile: JSON Schema, and functions.

Source: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-creating-configuration-and-profile-validators.html"""

import base64
import json
from typing import Any

from moto.awslambda.models import lambda_backends

from ..protocol import FRONT, Asked, Problem
from .api import serves
from .flags import FLAGS, checked, refused
from .store import Profile, Store, Version, named

PRINCIPAL = "appconfig.amazonaws.com"


def version_of(store: Store, asked: Asked) -> Version:
    """The version that ConfigurationVersion names by its number or its label."""
    profile, name = store.profile(asked), asked["ConfigurationVersion"]
    if profile.said["LocationUri"] != "hosted":
        raise Problem(
            "BadRequestException", f"the rehearsal delivers hosted versions only, no {profile.said['LocationUri']}"
        )
    by_label = {version.label: version for version in profile.versions.values() if version.label}
    found: Version = named({**by_label, **{str(one): said for one, said in profile.versions.items()}}, name, "Version")
    return found


def validate(store: Store, profile: Profile, version: Version) -> None:
    """Refuse a version that a validator of its profile refuses.

    Raises:
        Problem: it says why."""
    if profile.said["Type"] == FLAGS:
        checked(version.content)
    for validator in profile.said.get("Validators", ()):
        if validator["Type"] == "JSON_SCHEMA":
            by_schema(validator["Content"], version.content)
        else:
            by_function(store, validator["Content"], profile, version)


def by_schema(text: str, content: bytes) -> None:
    """AppConfig takes draft 4 only."""
    from jsonschema import Draft4Validator, SchemaError

    try:
        schema, document = json.loads(text), json.loads(content)
        Draft4Validator.check_schema(schema)
    except ValueError as error:
        raise refused(f"the configuration or its JSON Schema is no JSON: {error}", []) from None
    except SchemaError as error:
        raise refused(f"the JSON Schema is none of draft 4: {error.message}", []) from None
    wrong = [
        ("/".join(map(str, error.absolute_path)), error.message)
        for error in Draft4Validator(schema).iter_errors(document)
    ]
    if wrong:
        details = [{"Type": "ERROR", "Location": where, "Reason": why} for where, why in wrong]
        raise refused("; ".join(f"{where or '/'}: {why}" for where, why in wrong[:10]), details)


def by_function(store: Store, name: str, profile: Profile, version: Version) -> None:
    """Invoke it: one that raises refuses. The rehearsal's lock is given away meanwhile: it may call AWS itself."""
    front = FRONT["cloud"]
    _, _, _, region, account, _, function, *qualifier = name.split(":")
    event = {
        "applicationId": profile.said["ApplicationId"],
        "configurationProfileId": profile.said["Id"],
        "configurationVersion": str(version.number),
        "content": base64.b64encode(version.content).decode(),
        "uri": profile.said["LocationUri"],
    }
    try:
        statements = lambda_backends[account][region].get_function(function).policy.statements
    except Exception as error:  # moto's classes for "not found" differ by version
        raise Problem("BadRequestException", f"the validator {name} is not there") from error
    if not any(PRINCIPAL in json.dumps(one.get("Principal")) for one in statements):
        raise Problem("BadRequestException", f"no AWS::Lambda::Permission lets {PRINCIPAL} invoke {name}")
    front.lock.release()
    try:
        said, failed, _ = front.run(account, region, function, event, qualifier[0] if qualifier else None)
    finally:
        front.lock.acquire()
    if failed:
        why = said.get("errorMessage", "") if isinstance(said, dict) else str(said)
        raise refused(f"Error invoking Lambda validator {name}: {why}", [])


@serves
def validate_configuration(store: Store, asked: Asked) -> Any:
    validate(store, store.profile(asked), version_of(store, asked))
