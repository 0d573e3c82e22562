"""The catalogue of a pipeline type: DPRA's stages and actions, as `templates/<type>/catalogue.yml` lists them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from dpra import resources
from dpra.spec.models import SCOPES


@dataclass(frozen=True)
class Action:
    """One DPRA action of one stage."""

    id: str
    stage: str
    level: str  # required | recommended | listed (DPRA gives no mark)
    takes: tuple[str, ...]  # keys of the spec's `actions.<id>`
    by: str  # the action whose step does this one, too
    outside: str  # how it is met outside the pipeline
    left_out: str  # why no step does it
    tool: str
    of: str  # what a check looks at: language, infrastructure, both; empty for what is no check
    fail_on: str  # the lowest severity that blocks
    optional: bool  # runs only where the spec names it
    security: bool  # DPRA's metric of automated security controls counts it


@dataclass(frozen=True)
class Stage:
    """One DPRA stage. `limit` is in minutes; 0 where DPRA gives none."""

    id: str
    name: str
    limit: int
    environment: bool
    most_regions: int | None  # how many of the component's regions it takes by itself; None: all
    roles: Mapping[str, str]  # role -> what it may do: store, promote, deploy or observe
    jobs: tuple[str, ...]
    by_wave: tuple[str, ...]  # of the jobs those that each wave of regions has
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Profile:
    """How much of DPRA a pipeline does. `standard` does all that it requires."""

    name: str
    without: Mapping[str, str]  # stage that is left out -> the one before it that other jobs wait for instead
    advises: tuple[str, ...]  # levels of DPRA whose tests and checks only warn


@dataclass(frozen=True)
class Catalogue:
    """A pipeline type in one profile: its stages in order, and the DPRA actions that each job's steps do."""

    pipeline: str
    profile: Profile
    stages: tuple[Stage, ...]
    steps: Mapping[str, tuple[str, ...]]  # job id -> the ids of its steps that are DPRA actions
    by_region: frozenset[str]  # the jobs that run once in each region of their stage
    needs: Mapping[str, tuple[str, ...]]  # job id -> the jobs of DPRA's stages that it waits for

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(action for stage in self.stages for action in stage.actions)

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.id == name)

    @property
    def environments(self) -> tuple[str, ...]:
        return tuple(stage.id for stage in self.stages if stage.environment)


@dataclass(frozen=True)
class Tool:
    """A tool of the pack's check action, as the head of `check/tools/<name>.sh` describes it."""

    name: str
    serves: Mapping[str, tuple[str, ...]]  # DPRA action -> languages; `any` for all
    default_for: Mapping[str, tuple[str, ...]]  # the same, where it is the default
    head: Mapping[str, str]

    def fits(self, action: str, language: str, *, default: bool = False) -> bool:
        """Whether it does the action for the language; with `default`, without being asked for."""
        return bool({"any", language} & set((self.default_for if default else self.serves).get(action, ())))


@cache
def load(pipeline: str, profile: str = "standard") -> Catalogue:
    """The catalogue of a pipeline type, in one of its profiles."""
    data = resources.data(f"{pipeline}/catalogue.yml")
    said = _profiles(data)[profile]
    chosen = Profile(profile, said.get("without", {}), tuple(said.get("advises", ())))
    stages = tuple(
        Stage(
            id=stage["id"],
            name=stage["name"],
            limit=stage.get("limit", 0),
            environment=stage.get("environment", False),
            most_regions=stage.get("most-regions"),
            roles=stage.get("roles", {}),
            jobs=tuple(stage.get("jobs", ())),
            by_wave=tuple(stage.get("by-wave", ())),
            actions=tuple(
                Action(
                    id=action["id"],
                    stage=stage["id"],
                    level=action["level"],
                    takes=tuple(action.get("takes", ())),
                    by=action.get("by", ""),
                    outside=action.get("outside", ""),
                    left_out=action.get("left-out", ""),
                    tool=action.get("tool", ""),
                    of=action.get("of", ""),
                    fail_on=action.get("fail-on", ""),
                    optional=action.get("optional", False),
                    security=action.get("security", False),
                )
                for action in stage["actions"]
            ),
        )
        for stage in data["stages"]
    )
    ids = {action.id for stage in stages for action in stage.actions}
    jobs = resources.TEMPLATES / pipeline / "jobs"
    # An id comes first in its step: no YAML parser is needed to see which steps a job has.
    texts = {job: (jobs / f"{job}.yml").read_text(encoding="utf-8") for stage in stages for job in stage.jobs}
    steps = {
        job: tuple(step for step in re.findall(r"^ +- id: (\S+)$", text, re.MULTILINE) if step in ids)
        for job, text in texts.items()
    }
    needs = {}
    for job, text in texts.items():
        match = re.search(r"^  needs: (.+)$", text, re.MULTILINE)
        needs[job] = tuple(word for word in re.findall(r"[\w-]+", match[1]) if word in texts) if match else ()
    by_region = frozenset(job for job, text in texts.items() if "matrix:" in text)
    stages = tuple(_left(stage, stages, chosen, steps) for stage in stages)
    there = [job for stage in stages for job in stage.jobs]
    return Catalogue(pipeline, chosen, stages, {job: steps[job] for job in there}, by_region, needs)


def _left(stage: Stage, stages: tuple[Stage, ...], profile: Profile, steps: Mapping[str, tuple[str, ...]]) -> Stage:
    """What a profile leaves of a stage: nothing is done in one that is left out; its jobs without DPRA actions move."""
    if stage.id in profile.without:
        why = f"profile {profile.name} has no {stage.id}"
        actions = tuple(replace(action, left_out=why) for action in stage.actions)
        return replace(stage, environment=False, roles={}, jobs=(), actions=actions)
    moved = tuple(
        job for one in stages if profile.without.get(one.id) == stage.id for job in one.jobs if not steps[job]
    )
    return replace(stage, jobs=(*stage.jobs, *moved))


def profiles(pipeline: str) -> tuple[str, ...]:
    """The names of a pipeline type's profiles."""
    return tuple(_profiles(resources.data(f"{pipeline}/catalogue.yml")))


def _profiles(data: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = data.get("profiles", {"standard": {}})
    return found


@cache
def tools() -> tuple[Tool, ...]:
    """The tools of the pack: each file of `check/tools` says what it is in its head."""
    lib = resources.lib("head")
    found = []
    for path in sorted((resources.PACK / "check" / "tools").glob("*.sh")):
        data = lib.header(path)
        served = lib.served(data)
        found.append(
            Tool(
                name=path.stem,
                serves={action: tuple(languages) for action, (languages, _) in served.items()},
                default_for={action: tuple(default) for action, (_, default) in served.items() if default},
                head={key: values[0] for key, values in data.items()},
            )
        )
    return tuple(found)


def words() -> dict[str, dict[str, dict[str, tuple[str, ...] | None]]]:
    """The lists of words that a spec may use, for each pipeline type there is.

    With each action stands what it takes, with each profile the stages that it leaves out."""
    types = sorted(path.parent.name for path in resources.TEMPLATES.glob("*/catalogue.yml"))
    found: dict[str, dict[str, dict[str, tuple[str, ...] | None]]] = {}
    for catalogue in map(load, types):
        done = {step for steps in catalogue.steps.values() for step in steps}
        takes: dict[str, tuple[str, ...] | None] = {}
        for action in catalogue.actions:  # an action of several stages takes what it takes in any of them
            outlets = ("before", "after") if action.id in done else ()
            takes[action.id] = tuple(dict.fromkeys((*(takes.get(action.id) or ()), *action.takes, *outlets)))
        found[catalogue.pipeline] = {
            "environments": dict.fromkeys(catalogue.environments),
            "jobs": dict.fromkeys(catalogue.steps),
            "languages": dict.fromkeys(resources.data("languages.yml")),
            "scopes": dict.fromkeys(SCOPES),
            "profiles": {
                name: tuple(load(catalogue.pipeline, name).profile.without) for name in profiles(catalogue.pipeline)
            },
            "actions": takes,
            "checks": dict.fromkeys(action.id for action in catalogue.actions if action.of),
            "checks-and-tests": dict.fromkeys(
                action.id for action in catalogue.actions if action.stage == "build" and "advisory" in action.takes
            ),
        }
    return found
