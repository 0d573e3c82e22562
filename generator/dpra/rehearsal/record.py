"""From act's stream of records to what a reader wants to know: jobs, steps, results, annotations."""

import re
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from typing import Any

from dpra.dataclasses import dataclass
from dpra.graph import Job as Planned

from .result import Job, Step
from .workflow import LEG

TAIL = 30  # lines of a failed step's log
# A line that is a command, as the runner reads it: act takes what stands before its last `::` for properties.
COMMAND = re.compile(r"::(?P<name>error|warning|notice)(?: (?P<properties>[^:]*))?::(?P<data>.*)")
ESCAPES = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}


@dataclass
class Leg:
    """What was heard of a job, or of one leg of its matrix."""

    job: str
    region: str  # or what else its matrix is over
    result: str = ""
    results: dict[str, str] = field(default_factory=dict)  # step id -> result
    nanoseconds: dict[str, int] = field(default_factory=dict)
    running: str = ""  # the step that has begun and not ended
    tolerated: set[str] = field(default_factory=set)  # steps with continue-on-error that failed
    broken: bool = False  # failed outside its steps
    log: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    began: float = 0.0  # seconds since 1970
    ended: float = 0.0

    @property
    def label(self) -> str:
        return f"{self.job} ({self.region})" if self.region else self.job


def meant(text: str) -> str:
    """What a command says, without its escapes."""
    return re.sub("|".join(ESCAPES), lambda found: ESCAPES[found[0]], text)


class Record:
    """Hears act's records, shows progress, and remembers."""

    def __init__(self, workflow: Mapping[str, Any], show: Callable[[str], None], kept: Collection[str] = ()) -> None:
        self.jobs: Mapping[str, Any] = workflow["jobs"]
        self.kept = kept  # jobs that an earlier attempt has done
        self.show = show
        self.legs: dict[str, Leg] = {}
        self.annotations: list[str] = []
        self.notes: list[str] = []  # what ::warning and ::notice said
        self.stopped_at = ""

    def hear(self, record: dict[str, Any]) -> None:
        if record.get("jobID") not in self.jobs or record["jobID"] in self.kept:
            return
        matrix = record.get("matrix") or {}
        leg = self.legs.get(record["job"])
        if leg is None:
            place = matrix.get("region", next((value for key, value in matrix.items() if key != LEG), ""))
            leg = self.legs[record["job"]] = Leg(record["jobID"], str(place), began=time.time())
            self.show(f"{leg.label}: started")
        message = str(record.get("msg", "")).rstrip("\n")
        if record.get("raw_output"):
            leg.log.append(message)
        elif said := COMMAND.fullmatch(str(record.get("raw", "")).strip()):
            self.annotate(leg, said["properties"] or "", said["data"], said["name"])
        elif record.get("level") == "error" and record.get("stage") != "Main":
            leg.broken = True
            self.annotations.append(f"{leg.label}: {message}")
            self.show(f"{leg.label}: {message}")
        if record.get("stage") == "Main" and len(record.get("stepID") or ()) == 1:
            self.step(leg, record)
        if "jobResult" in record:
            self.end(leg, record["jobResult"])

    def annotate(self, leg: Leg, properties: str, data: str, name: str) -> None:
        at = {key: meant(value) for key, _, value in (one.partition("=") for one in properties.split(","))}
        place = ":".join(at[key] for key in ("file", "line") if at.get(key))
        text = f"{leg.label}: {place + ': ' if place else ''}{meant(data)}"
        (self.annotations if name == "error" else self.notes).append(text)
        self.show(text)

    def step(self, leg: Leg, record: dict[str, Any]) -> None:
        identity = record["stepID"][0]
        name = self.names(leg.job).get(identity, identity)
        if (result := record.get("stepResult")) is None:
            if str(record.get("msg", "")).startswith("⭐"):
                leg.running = identity
                leg.log.clear()
            elif record.get("msg") == "Failed but continue next step":
                leg.tolerated.add(identity)
            return
        leg.running = ""
        leg.results[identity] = result
        leg.nanoseconds[identity] = int(record.get("executionTime") or 0)
        self.show(f"{leg.label} / {name}: {result} ({leg.nanoseconds[identity] / 1e9:.1f} s)")
        if result == "failure":
            if identity not in leg.tolerated:
                self.stop(leg, identity)
            for line in leg.log:
                self.show(f"    {line}")

    def stop(self, leg: Leg, identity: str) -> None:
        name = self.names(leg.job).get(identity, identity) if identity.isdigit() else identity
        self.stopped_at = self.stopped_at or f"{leg.label} / {name}"

    def end(self, leg: Leg, said: str) -> None:
        """act gives all legs of a matrix the result of the worst: judge each by its steps."""
        alone = sum(other.job == leg.job for other in self.legs.values()) == 1
        bad = {step for step, result in leg.results.items() if result == "failure"} - leg.tolerated
        leg.ended = time.time()
        failed = leg.broken or bool(bad) or (alone and said == "failure")
        leg.result = "failure" if failed else "success"
        if failed:
            self.stopped_at = self.stopped_at or leg.label
        self.show(f"{leg.label}: {leg.result}")

    def names(self, job: str) -> dict[str, str]:
        """Step id -> name; a step without an id has its number."""
        found = {}
        for number, step in enumerate(self.jobs[job].get("steps") or ()):
            first = str(step.get("uses") or step.get("run", "")).strip().partition("\n")[0]
            found[str(step.get("id", number))] = str(step.get("name") or first)
        return found

    def result(
        self, planned: Mapping[str, Planned], selected: list[str], finished: bool, before: Sequence[Job] = ()
    ) -> tuple[Job, ...]:
        """Every job in the workflow's order; those that act never named were skipped, or not reached.

        `planned` has them as the plan knows them; `before` those that an earlier attempt has done."""
        for leg in self.legs.values():
            if leg.running:  # cut off
                leg.results[leg.running] = "failure"
                self.stop(leg, leg.running)
        found = []
        for job in self.jobs:
            if job in self.kept:
                found += [one for one in before if one.job == job]
                continue
            legs = [leg for leg in self.legs.values() if leg.job == job]
            one = planned.get(job)
            stage = one.stage if one else ""
            about: dict[str, Any] = {"kind": one.kind, "wave": one.wave, "name": one.name} if one else {}
            for leg in sorted(legs, key=lambda leg: leg.region):
                steps = tuple(
                    Step(key, name, leg.results.get(key, "skipped"), round(leg.nanoseconds.get(key, 0) / 1e9, 3))
                    for key, name in self.names(job).items()
                )
                seconds = round(sum(leg.nanoseconds.values()) / 1e9, 3)
                times = (leg.began, leg.ended or time.time())
                found.append(Job(job, stage, leg.region, leg.result or "failure", seconds, steps, *times, **about))
            if not legs:
                unseen = "skipped" if finished and job in selected else "not run"
                found.append(Job(job, stage, "", unseen, 0.0, (), **about))
        return tuple(found)
