"""AWS AppConfig's data plane: sessions, and the configuration that is delivered to them."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dpra.dataclasses import dataclass

from ..protocol import Asked, Problem, Said, now
from .api import serves
from .deployments import delivered, running, settle
from .flags import FLAGS, retrieved
from .store import Store, named

VALID = 24 * 3600  # seconds that a token lives
POLL = 60  # seconds between polls, where the client asks for none


@dataclass
class Session:
    """What a token stands for."""

    application: str
    environment: str
    profile: str
    every: int  # seconds that must lie between two polls, if the client said so; otherwise 0
    due: float  # seconds since 1970 from which on it may be used
    has: str = ""  # the version that the client has


def by_id_or_name(things: Mapping[str, Any], name: str, kind: str, parameter: str) -> str:
    for found, one in things.items():
        if name in (found, one.said["Name"]):
            return found
    about = {"ResourceType": kind, "ReferencedBy": {parameter: name}}
    raise Problem("ResourceNotFoundException", f"{kind} not found: {name}", **about)


def place(store: Store, asked: Asked) -> tuple[str, str, str]:
    """The ids of application, environment and profile that are named."""
    of = "Identifier"
    application = by_id_or_name(store.applications, asked[f"Application{of}"], "Application", f"Application{of}")
    inside = store.applications[application]
    environment = by_id_or_name(inside.environments, asked[f"Environment{of}"], "Environment", f"Environment{of}")
    kind = "ConfigurationProfile"
    return application, environment, by_id_or_name(inside.profiles, asked[f"{kind}{of}"], kind, f"{kind}{of}")


@serves
def start_configuration_session(store: Store, asked: Asked) -> Said:
    session = Session(*place(store, asked), asked.get("RequiredMinimumPollIntervalInSeconds", 0), now())
    at_work(store, session)
    return {"InitialConfigurationToken": token(store, session)}


def token(store: Store, session: Session) -> str:
    name = f"AYAD{secrets.token_urlsafe(32)}"
    store.sessions[name] = session
    return name


def at_work(store: Store, session: Session) -> Any:
    application = store.applications.get(session.application)
    environment = application.environments.get(session.environment) if application else None
    if environment and (found := running(environment)) and found.state != "ROLLING_BACK":
        settle(environment, found)
    deployment = delivered(environment, session.profile) if environment else None
    if deployment is None:
        raise Problem(
            "ResourceNotFoundException", "nothing is deployed of this configuration", ResourceType="Deployment"
        )
    return deployment


@serves
def get_latest_configuration(store: Store, asked: Asked) -> Said:
    """What is new for the session; an empty body if nothing is. A token is good for one call."""
    name = asked["ConfigurationToken"]
    session = store.sessions.get(name)
    if session is None:
        raise unusable("Corrupted")
    if now() > session.due + VALID:
        raise unusable("Expired")
    if now() < session.due:
        raise unusable("PollIntervalNotSatisfied")
    deployment = at_work(store, session)
    del store.sessions[name]
    version = deployment.said["ConfigurationVersion"]
    following = replace(session, due=now() + session.every, has=version)
    said: Said = {
        "NextPollConfigurationToken": token(store, following),
        "NextPollIntervalInSeconds": session.every or POLL,
        "ContentType": deployment.content_type,
    }
    if session.has == version:
        return said
    profile = named(store.applications[session.application].profiles, session.profile, "ConfigurationProfile")
    kind, content = deployment.content_type, deployment.content
    if profile.said["Type"] == FLAGS:
        kind, content = retrieved(content)
    return {**said, "ContentType": kind, "Configuration": content, "VersionLabel": deployment.said.get("VersionLabel")}


def unusable(problem: str) -> Problem:
    about = {"InvalidParameters": {"ConfigurationToken": {"Problem": problem}}}
    return Problem("BadRequestException", "Request failed validation", Reason="InvalidParameters", Details=about)
