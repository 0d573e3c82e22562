"""Systems Manager: sessions that forward a port of an instance, which the SSH server of `ssh` lets in.

Each function is added to the class of moto's that its docstring begins with."""

# mypy: disable-error-code="attr-defined"
import secrets
from collections.abc import Iterator
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.ssm.models import ssm_backends
from moto.ssm.responses import SimpleSystemManagerResponse
from moto.sts.models import sts_backends

from dpra.dataclasses import dataclass
from dpra.names import partition

from .. import permissions
from . import managed

DOCUMENT = "AWS-StartPortForwardingSession"
PORT = "22"  # that of the one service which a root has
# What an instance's role lets its agent do for a session; AmazonSSMManagedInstanceCore allows it.
CHANNELS = tuple(
    f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")
)  # fmt: skip
SERVED: dict[str, int] = {}  # at "port": where that server is, on 127.0.0.1


@dataclass
class Session:
    """A way into an instance, as long as it is not ended."""

    id: str
    token: str
    instance: Any
    key: str  # id of the access key that began it


def of(account: str, region: str) -> dict[str, Session]:
    """The sessions of an account and region that have not ended, by their ids."""
    backend = ssm_backends[account][region]
    found: dict[str, Session] = backend.__dict__.setdefault("dpra_sessions", {})
    return found


def every() -> Iterator[Session]:
    for regions in list(ssm_backends.values()):
        for backend in list(regions.values()):
            yield from list(backend.__dict__.get("dpra_sessions", {}).values())


def start_session(self: SimpleSystemManagerResponse) -> ActionResult:
    """SimpleSystemManagerResponse.start_session: to the SSH server of an instance whose agent is there."""
    target, document = self._get_param("Target"), self._get_param("DocumentName")
    if document != DOCUMENT:
        raise JsonRESTError("InvalidDocument", f"the rehearsal begins sessions of {DOCUMENT} only, not of {document}")
    parameters = self._get_param("Parameters") or {}
    if strange := set(parameters) - {"portNumber", "localPortNumber"}:
        raise JsonRESTError("InvalidParameters", f"{DOCUMENT} has no parameter {', '.join(sorted(strange))}")
    account, region = self.current_account, self.region
    instance = managed.managed(account, region).get(target)
    if instance is None or not managed.registered(instance) or not connects(instance):
        raise JsonRESTError("TargetNotConnected", f"{target} is not connected.")
    if parameters.get("portNumber") != [PORT] or "port" not in SERVED:
        raise JsonRESTError("InvalidParameters", f"the rehearsal forwards port {PORT} only, of a pipeline with Packer")
    key = self.get_access_key()
    caller = sts_backends[account][partition(region)].get_assumed_role_from_access_key(key)
    name = f"{caller.session_name if caller else 'dpra'}-{secrets.token_hex(9)}"
    made = Session(name, secrets.token_hex(32), instance, key)
    of(account, region)[name] = made
    stream = f"tcp://127.0.0.1:{SERVED['port']}"
    return ActionResult({"SessionId": name, "TokenValue": made.token, "StreamUrl": stream})


def connects(instance: Any) -> bool:
    """Whether the role of an instance lets its agent open what a session needs."""
    profile = instance.ec2_backend.iam_instance_profile_associations[instance.id].iam_instance_profile
    return any(not any(permissions.refusal(role, channel, "*", {}) for channel in CHANNELS) for role in profile.roles)


def terminate_session(self: SimpleSystemManagerResponse) -> ActionResult:
    """SimpleSystemManagerResponse.terminate_session."""
    name, there = self._get_param("SessionId"), of(self.current_account, self.region)
    if there.pop(name, None) is None:
        raise JsonRESTError("DoesNotExistException", f"The session {name} does not exist.")
    return ActionResult({"SessionId": name})


def mend() -> None:
    """Put them in place."""
    SimpleSystemManagerResponse.start_session = start_session
    SimpleSystemManagerResponse.terminate_session = terminate_session
