"""What a rehearsal found: plain data, and one function that makes JSON of it."""

from dataclasses import asdict
from typing import Any

from dpra.dataclasses import dataclass
from dpra.errors import OutsideError


class RehearsalError(OutsideError):
    """The rehearsal cannot run: a tool is missing, or the repository holds what it cannot play. One line says which."""


@dataclass(frozen=True)
class Step:
    """A step of a job; its id is the DPRA action's id where it does one."""

    id: str
    name: str
    result: str  # success, failure, skipped
    seconds: float


@dataclass(frozen=True)
class Job:
    """A job, or one leg of its matrix."""

    job: str
    stage: str
    region: str  # of its leg, or what else its matrix is over
    result: str  # success, failure, skipped, not run
    seconds: float
    steps: tuple[Step, ...]
    began: float = 0.0  # seconds since 1970; 0: it did not
    ended: float = 0.0
    kind: str = ""  # what it is to a release: approve, deploy, bake, finish, rollback
    wave: int = 0  # from 1; 0: it is in none
    name: str = ""  # as GitHub shows it


@dataclass(frozen=True)
class Deployment:
    """A release that this rehearsal's pipeline left in an environment."""

    environment: str
    account: str
    region: str
    stack: str  # or whatever else carries it
    status: str
    digest: str
    commit: str


@dataclass(frozen=True)
class Happened:
    """A fault, and when it happened (seconds since 1970)."""

    at: float
    fault: str
    job: str
    region: str


@dataclass(frozen=True)
class Played:
    """One run of a workflow."""

    run: int
    attempt: int
    release: str  # which commit's, in a word: old, new, newer
    commit: str
    workflow: str
    ok: bool
    stopped_at: str  # the first step that failed, "job / step"; empty if none
    jobs: tuple[Job, ...]
    annotations: tuple[str, ...]  # what ::error said, and why STS refused a role
    happened: tuple[Happened, ...]
    outputs: dict[str, dict[str, str]]  # job -> what it gave out
    evidence: tuple[dict[str, Any], ...]
    artifacts: str  # the folder of what its jobs uploaded, while the rehearsal lasts
    notes: tuple[str, ...] = ()  # what ::warning and ::notice said


@dataclass(frozen=True)
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
    notes: tuple[str, ...] = ()  # what ::warning and ::notice said
    runs: tuple[Played, ...] = ()  # in their order; what is above is of the last one of the pipeline
    before: tuple[Deployment, ...] = ()  # what ran where before that run
    real_actions: tuple[str, ...] = ()  # owner/repo@commit of those that ran themselves; the others were stand-ins
    production: str = ""  # the environment that is released to last
    waves: tuple[tuple[str, ...], ...] = ()  # its regions, or what else it is released to, one after another

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
