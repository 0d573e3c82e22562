"""What a rehearsal found: plain data, and one function that makes JSON of it."""

import dataclasses
from typing import Any


class RehearsalError(Exception):
    """The rehearsal cannot run: a tool is missing, or the repository holds what it cannot play. One line says which."""


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of a job; its id is the DPRA action's id where it does one."""

    id: str
    name: str
    result: str  # success, failure, skipped
    seconds: float


@dataclasses.dataclass(frozen=True)
class Job:
    """A job, or one leg of its matrix."""

    job: str
    stage: str
    region: str
    result: str  # success, failure, skipped, not run
    seconds: float
    steps: tuple[Step, ...]


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A stack that this rehearsal's pipeline left in an environment."""

    environment: str
    account: str
    region: str
    stack: str
    status: str
    digest: str
    commit: str


@dataclasses.dataclass(frozen=True)
class Result:
    """The whole rehearsal."""

    ok: bool
    seconds: float
    jobs: tuple[Job, ...]
    annotations: tuple[str, ...]  # what ::error said, and why STS refused a role
    deployments: tuple[Deployment, ...]
    evidence: tuple[dict[str, Any], ...]  # the records that the jobs' actions left, as in evidence.json
    simulated: tuple[str, ...]  # what GitHub or AWS would do and nothing here does
    stopped_at: str  # the first step that failed, "job / step"; empty if none

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
