"""CloudWatch Synthetics: canaries that are started and run, which moto does not do. The code of none is executed: a run
passes unless a test says otherwise.

Each function replaces the one of moto that its docstring begins with, or adds it."""

# mypy: disable-error-code="attr-defined, method-assign"
import json
import time
import uuid
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.synthetics import urls
from moto.synthetics.models import Canary, SyntheticsBackend
from moto.synthetics.responses import SyntheticsResponse

EACH = 2  # runs that have happened whenever somebody looks: a rehearsal's time is short
PAGE = 100

_to_dict = Canary.to_dict


class NotFound(JsonRESTError):
    code = 404


def runs_of(canary: Canary) -> list[dict[str, Any]]:
    """The runs of a canary, the newest first."""
    found: list[dict[str, Any]] = canary.__dict__.setdefault("dpra_runs", [])
    return found


def happens(canary: Canary, state: str = "PASSED", **more: Any) -> None:
    """A run of it."""
    now, name = time.time(), str(uuid.uuid4())
    run = {"Id": name, "ScheduledRunId": name, "Name": canary.name, "RetryAttempt": 0, "Status": {"State": state}}
    runs_of(canary).insert(0, {**run, "Timeline": {"Started": now, "Completed": now}, **more})


def get_canary(self: SyntheticsBackend, name: str, dry_run_id: str | None = None) -> Canary:
    """SyntheticsBackend.get_canary: one that is not there is AWS's error."""
    if name not in self.canaries:
        raise NotFound("ResourceNotFoundException", f"Canary not found: {name}")
    return self.canaries[name]


def to_dict(self: Canary) -> dict[str, Any]:
    """Canary.to_dict: its state as AWS says it."""
    return {**_to_dict(self), "Status": {"State": self.state}}


def named(self: SyntheticsResponse) -> Canary:
    """The canary of a path /canary/NAME/…"""
    return self.synthetics_backend.get_canary(self.path.split("/")[2])


def start_canary(self: SyntheticsResponse) -> str:
    """SyntheticsResponse.start_canary."""
    canary = named(self)
    if canary.state == "RUNNING":
        raise JsonRESTError("ConflictException", f"Canary {canary.name} is in state RUNNING")
    canary.state = "RUNNING"
    return "{}"


def get_canary_runs(self: SyntheticsResponse) -> str:
    """SyntheticsResponse.get_canary_runs: page by page."""
    canary, asked = named(self), json.loads(self.body or "{}")
    for _ in range(EACH if canary.state == "RUNNING" else 0):
        happens(canary)
    start, most = int(asked.get("NextToken", "page-0").removeprefix("page-")), int(asked.get("MaxResults", PAGE))
    if not 1 <= most <= PAGE:
        raise JsonRESTError("ValidationException", f"MaxResults is {most}: must be 1 to {PAGE}")
    found = runs_of(canary)
    more = {"NextToken": f"page-{start + most}"} if len(found) > start + most else {}
    return json.dumps({"CanaryRuns": found[start : start + most], **more})


def mend() -> None:
    """Put them in place."""
    SyntheticsBackend.get_canary = get_canary
    Canary.to_dict = to_dict
    SyntheticsResponse.start_canary = start_canary
    SyntheticsResponse.get_canary_runs = get_canary_runs
    urls.url_paths["{0}/canary/(?P<name>[^/]+)/(?P<do>start|runs)$"] = SyntheticsResponse.dispatch
