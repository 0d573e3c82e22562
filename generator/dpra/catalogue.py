"""The catalogue of a pipeline type: DPRA's stages and actions, the jobs that do them, and the workflows of these jobs.

All of it is data: `templates/<type>/catalogue.yml`. What a row may say is here; one that says anything else is refused.
A type whose deliveries are of several kinds has a folder for each but the first, `templates/<type>/<kind>/`, and in
that one for each way but the first to make them: its catalogue says what is otherwise, its templates take their place.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field, fields, replace
from functools import cache, cached_property
from typing import Any, TypeVar

from dpra import deployers, resources
from dpra.dataclasses import dataclass
from dpra.errors import InputError
from dpra.spec.models import SCOPES, TARGETS, by_type, name_of

PIPELINE, PULL_REQUEST = "pipeline", "pull-request"  # the workflows that every type has: trunk to production; the gates
LEVELS = ("required", "recommended", "listed")
OF = ("language", "infrastructure", "configuration", "fleet", "both")
PER = ("region", "wave")
CAN = ("drift", "switch-off")  # conditions of jobs and workflows: what the deploy tool can besides deploying
WHEN = ("acts", "base", "long-bakes", "paths", "requests", "resumes", *CAN)  # all of them, as the plan knows them
T = TypeVar("T")


class CatalogueError(InputError):
    """A catalogue contradicts itself, or its templates. `str()` names the file, the row and the key."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """One DPRA action of one stage."""

    id: str
    level: str  # one of LEVELS; listed: DPRA gives no mark
    stage: str = ""
    takes: tuple[str, ...] = ()  # keys of the spec's `actions.<id>`
    by: str = ""  # the action whose step does this one, too
    because: str = ""  # why that step does it
    outside: str = ""  # how it is met outside the pipeline
    left_out: str = ""  # why no step does it
    tool: str = ""
    of: str = ""  # what a check looks at, one of OF; empty for what is no check
    fail_on: str = ""  # the lowest severity that blocks
    asks: str = ""  # the key of the spec without which it is left out
    optional: bool = False  # runs only where the spec's `actions` name it
    program: bool = False  # looks at a program, or runs one
    security: bool = False  # DPRA's metric of automated security controls counts it


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One DPRA stage. `limit` is in minutes; 0 where DPRA gives none."""

    id: str
    name: str
    limit: int = 0
    most_regions: int | None = None  # how many of the component's regions it takes by itself; None: all
    roles: Mapping[str, str] = field(default_factory=dict)  # role -> its duty: infrastructure/duties/<duty>.yml
    infrastructure: tuple[str, ...] = ()  # what stands in each of its regions: infrastructure/<name>.yml
    alarms: bool = False  # they are looked at
    actions: tuple[Action, ...] = ()

    @property
    def environment(self) -> bool:
        """Whether it works in an AWS account: the environment of its id."""
        return bool(self.roles)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job template, `jobs/<id>.yml`: the type's own, or else one that all types share."""

    id: str
    name: str  # as GitHub shows it; {wave} stands for the number of the wave
    stage: str = ""  # of DPRA; empty for a job that belongs to none
    needs: tuple[str, ...] = ()
    per: str = ""  # one of PER; empty: it runs once
    role: str = ""
    environment: str = ""  # of GitHub
    when: str = ""  # one of WHEN
    trusted: bool = False  # runs no code of the repository
    on_failure: bool = False  # a good release has no need of it
    limit: int = 0  # in minutes, where DPRA gives its stage none
    alone: bool = False  # of a wave: one for all of its regions
    steps: tuple[str, ...] = ()  # the DPRA actions that its steps do

    @property
    def by_role(self) -> bool:
        """Whether what it does is done with a role of AWS, by nothing of the repository's."""
        return self.trusted and bool(self.role)


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """One workflow, `workflows/<id>.yml`, in the same way."""

    id: str
    jobs: tuple[str, ...]
    schedule: str = ""  # a cron expression
    when: str = ""
    skips: str = ""  # the key of the spec whose `skip` names actions that it leaves out
    waives: tuple[str, ...] = ()  # zizmor's audits that do not fit


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How much of DPRA a pipeline does. `standard` does all that it requires."""

    id: str
    without: tuple[str, ...] = ()  # stages
    advises: tuple[str, ...] = ()  # levels of DPRA whose tests and checks only warn


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """A pipeline type in one profile."""

    folder: str  # in templates/: the type's, or that of a kind in it
    profile: Profile
    takes: tuple[str, ...] = ()  # keys of the spec that not every type has
    wave_of: str = ""  # what a wave is made of, one of models.TARGETS; empty: there are no waves
    language: str = ""  # where the spec says none; empty: the first of languages.yml
    commands: Mapping[str, str] = field(default_factory=dict)  # what actions do by default, in place of the language's
    one_account: tuple[str, ...] = ()  # the stages that work in one account; every other one has its own
    record: str = ""  # the stage whose first region keeps the release record; empty: there is none
    github_environments: Mapping[str, str] = field(default_factory=dict)  # without a role -> how it is protected
    stages: tuple[Stage, ...] = ()
    jobs: Mapping[str, Job] = field(default_factory=dict)
    workflows: Mapping[str, Workflow] = field(default_factory=dict)

    @cached_property
    def actions(self) -> tuple[Action, ...]:
        return tuple(action for stage in self.stages for action in stage.actions)

    @cached_property
    def named(self) -> Mapping[str, tuple[Action, ...]]:
        """The actions by their ids: one for each stage that has it."""
        return {one.id: tuple(other for other in self.actions if other.id == one.id) for one in self.actions}

    def action(self, name: str) -> Action:
        """The first of its name; an action of several stages has its keys in each."""
        return self.named[name][0]

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.id == name)

    def jobs_of(self, stage: str) -> tuple[Job, ...]:
        """The jobs of a stage of DPRA's, in order."""
        return tuple(job for job in self.jobs.values() if job.stage == stage)

    @property
    def staged(self) -> tuple[Job, ...]:
        """The jobs of all stages: those that the spec may name."""
        return tuple(job for stage in self.stages for job in self.jobs_of(stage.id))

    @property
    def environments(self) -> tuple[str, ...]:
        return tuple(stage.id for stage in self.stages if stage.environment)

    def by_wave(self, stage: str) -> bool:
        """Whether a stage is done wave by wave."""
        return any(job.per == "wave" for job in self.jobs_of(stage))


# ---- Reading it


@cache
def folders(of: str = "") -> tuple[str, ...]:
    """The folders of templates with a catalogue: of pipeline types, or of one, and in them of further kinds."""
    found = (path.rpartition("/") for path in resources.below(resources.TEMPLATES))
    return tuple(one for one, _, name in found if name == "catalogue.yml" and of in ("", one.partition("/")[0]))


@cache
def types() -> tuple[str, ...]:
    """The pipeline types that there are."""
    return tuple(folder for folder in folders() if "/" not in folder)


def folder(pipeline: str, *kinds: str) -> str:
    """The folder of a pipeline type, or of the kind of deliveries, as models.KINDS says it, that has one of its own."""
    for kind in kinds:
        pipeline = own if (own := f"{pipeline}/{kind}") in folders() else pipeline
    return pipeline


def profiles(pipeline: str) -> tuple[str, ...]:
    """The names of a pipeline type's profiles."""
    return tuple(_profiles(pipeline))


def _profiles(pipeline: str) -> Mapping[str, Mapping[str, Any]]:
    data: Mapping[str, Mapping[str, Any]] = _data(pipeline)
    return data.get("profiles", {"standard": {}})


def _data(folder: str) -> dict[str, Any]:
    """What a folder's catalogue says, on top of that of the folder around it."""
    own, around = resources.data(f"{folder}/catalogue.yml"), folder.rpartition("/")[0]
    return dict(_over(_data(around), own)) if around else dict(own)


def _over(below: Any, above: Any) -> Any:
    """Data with other data on top of it: mappings by their keys, rows by their ids; all else takes the place."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: _over(below.get(key), value) for key, value in above.items()}}
    if isinstance(below, list) and isinstance(above, list) and all(isinstance(one, dict) for one in (*below, *above)):
        rows = {one["id"]: one for one in below}
        return [*(rows | {one["id"]: _over(rows.get(one["id"]), one) for one in above}).values()]
    return above


@cache
def load(pipeline: str, profile: str = "standard", /) -> Catalogue:
    """The catalogue of a pipeline type, in one of its profiles.

    Args:
        pipeline: its folder, or that of a kind in it.

    Raises:
        CatalogueError: it contradicts itself or its templates.
    """
    place, said = f"templates/{pipeline}/catalogue.yml", _profiles(pipeline)
    if profile not in said:
        raise CatalogueError(f"{place}: profiles: there is no {profile}; there is {', '.join(said)}")
    chosen = _made(Profile, {**said[profile], "id": profile}, f"{place}: profiles.{profile}")
    made = replace(_whole(pipeline), profile=chosen)
    problems = [*_missing("profiles.without", chosen.without, (stage.id for stage in made.stages))]
    if problems := [*problems, *_missing("profiles.advises", chosen.advises, LEVELS)]:
        raise CatalogueError("\n".join(f"{place}: {problem}" for problem in problems))
    return _left(made) if chosen.without else made


@cache
def _whole(pipeline: str) -> Catalogue:
    """The catalogue as it lies there, which every profile begins with."""
    data = _data(pipeline)
    place = f"templates/{pipeline}/catalogue.yml"
    data.pop("profiles", None)
    stages = []
    for number, row in enumerate(data.pop("stages", ())):
        where = f"{place}: stages[{number}]"
        actions = [
            _made(Action, {**action, "stage": row.get("id", "")}, f"{where}.actions[{count}]")
            for count, action in enumerate(row.get("actions", ()))
        ]
        stages.append(_made(Stage, {**row, "actions": actions}, where))
    jobs = {name: _job(pipeline, name, row, stages, f"{place}: jobs.{name}") for name, row in data.pop("jobs").items()}
    workflows = {
        name: _made(Workflow, {**row, "id": name}, f"{place}: workflows.{name}")
        for name, row in sorted(data.pop("workflows").items())
    }
    parts = {"stages": stages, "jobs": jobs, "workflows": workflows}
    made = _made(Catalogue, {**data, **parts, "folder": pipeline, "profile": Profile(id="")}, place)
    if problems := list(_problems(made)):
        raise CatalogueError("\n".join(f"{place}: {problem}" for problem in problems))
    return made


def _made(kind: type[T], row: Mapping[str, Any], place: str) -> T:
    known = _keys(kind)  # type: ignore[arg-type]
    if unknown := sorted(set(row) - set(known)):
        raise CatalogueError(f"{place}: unknown {', '.join(unknown)}; there is {', '.join(known)}")
    try:
        return kind(**{known[key]: tuple(it) if isinstance(it, list) else it for key, it in row.items()})
    except TypeError as error:
        raise CatalogueError(f"{place}: {str(error).partition(') ')[2]}") from error


@cache
def _keys(kind: type[Any]) -> dict[str, str]:
    """The keys of a row, each with the name of its field."""
    return {name_of(one): one.name for one in fields(kind)}


def _job(pipeline: str, name: str, row: Mapping[str, Any], stages: Iterable[Stage], place: str) -> Job:
    path = found(pipeline, f"jobs/{name}.yml")
    if not path:
        raise CatalogueError(f"{place}: there is no jobs/{name}.yml")
    ids = {action.id for stage in stages if stage.id == row.get("stage") for action in stage.actions}
    # An id comes first in its step: no YAML parser is needed to see which steps a job has.
    marked = re.findall(r"^ +- id: (\S+)$", resources.content(resources.TEMPLATES / path).decode(), re.MULTILINE)
    steps = [step for step in marked if step in ids]
    return _made(Job, {"environment": row.get("role", ""), **row, "id": name, "steps": steps}, place)


def _missing(place: str, named: Iterable[str], there: Iterable[str]) -> Iterable[str]:
    there = list(there)
    for name in named:
        if name and name not in there:
            yield f"{place}: there is no {name}; there is {', '.join(there) or 'none'}"


def _problems(made: Catalogue) -> Iterable[str]:
    """What a catalogue says of things that are not there."""
    stages = {stage.id: stage for stage in made.stages}
    yield from _missing("takes", made.takes, by_type())
    yield from _missing("wave-of", [made.wave_of], TARGETS)
    yield from _missing("record", [made.record], stages)
    yield from _missing("one-account", made.one_account, stages)
    yield from _missing("language", [made.language], resources.data("languages.yml"))
    yield from _missing("workflows", [PIPELINE, PULL_REQUEST], made.workflows)
    for stage in made.stages:
        place = f"stage {stage.id}"
        for duty in stage.roles.values():
            if not found(made.folder, f"infrastructure/duties/{duty}.yml"):
                yield f"{place}: roles: there is no infrastructure/duties/{duty}.yml"
        for name in stage.infrastructure:
            if not found(made.folder, f"infrastructure/{name}.yml"):
                yield f"{place}: infrastructure: there is no infrastructure/{name}.yml"
        for action in stage.actions:
            yield from _missing(f"{place}: {action.id}: level", [action.level], LEVELS)
            yield from _missing(f"{place}: {action.id}: of", [action.of], OF)
            yield from _missing(f"{place}: {action.id}: by", [action.by], [one.id for one in stage.actions])
            doing = action.by or action.id
            done = any(doing in job.steps for job in made.jobs.values() if job.stage == stage.id)
            if not (done or action.outside or action.left_out):
                yield f"{place}: {action.id}: no step of the stage's jobs has this id; say outside or left-out"
    for job in made.jobs.values():
        place = f"jobs.{job.id}"
        yield from _missing(f"{place}: stage", [job.stage], stages)
        yield from _missing(f"{place}: needs", job.needs, made.jobs)
        yield from _missing(f"{place}: per", [job.per], PER)
        yield from _missing(f"{place}: when", [job.when], WHEN)
        yield from _missing(f"{place}: role", [job.role], stages[job.stage].roles if job.stage in stages else ())
        if job.per and not (job.stage in stages and stages[job.stage].environment):
            yield f"{place}: per: its stage has no environment"
        if job.per == "wave" and not made.wave_of:
            yield f"{place}: per: wave-of does not say what a wave is made of"
        if not job.role:
            yield from _missing(f"{place}: environment", [job.environment], made.github_environments)
        if not any(job.id in workflow.jobs for workflow in made.workflows.values()):
            yield f"{place}: no workflow has it"
    for workflow in made.workflows.values():
        yield from _missing(f"workflows.{workflow.id}: jobs", workflow.jobs, made.jobs)
        yield from _missing(f"workflows.{workflow.id}: when", [workflow.when], WHEN)
        yield from _missing(f"workflows.{workflow.id}: skips", [workflow.skips], made.takes)
        if not found(made.folder, f"workflows/{workflow.id}.yml"):
            yield f"workflows.{workflow.id}: there is no workflows/{workflow.id}.yml"


def needed(jobs: Mapping[str, Job], needs: Iterable[str], there: Collection[str]) -> list[str]:
    """The jobs to wait for: those of `needs` that are there; in place of one that is not, those that it waits for."""
    todo, found, seen = list(needs), dict[str, None](), set[str]()
    while todo:
        name = todo.pop(0)
        if name in there:
            found[name] = None
        elif name not in seen:
            seen.add(name)
            todo = [*jobs[name].needs, *todo]
    return list(found)


def found(pipeline: str, name: str) -> str:
    """The path in `templates/` of a template: the pipeline type's own, or else what all types share; empty: none."""
    every, parts = resources.below(resources.TEMPLATES), pipeline.split("/")
    places = ("/".join([*parts[:count], name]) for count in range(len(parts), -1, -1))
    return next((path for path in places if path in every), "")


def _left(made: Catalogue) -> Catalogue:
    """What its profile leaves of it: nothing is done in a stage that is left out; jobs without DPRA actions move."""
    without, last = made.profile.without, ""
    stages, moved = [], {}
    for stage in made.stages:
        if stage.id in without:
            why = f"profile {made.profile.id} has no {stage.id}"
            actions = tuple(replace(action, left_out=why) for action in stage.actions)
            stages.append(replace(stage, roles={}, infrastructure=(), actions=actions))
            moved[stage.id] = last
        else:
            stages.append(stage)
            last = stage.id
    there = [name for name, job in made.jobs.items() if job.stage not in moved or not (job.steps or job.role)]
    jobs = {
        name: replace(job, stage=moved.get(job.stage, job.stage), needs=tuple(needed(made.jobs, job.needs, there)))
        for name, job in made.jobs.items()
        if name in there
    }
    workflows = {
        name: replace(workflow, jobs=tuple(job for job in workflow.jobs if job in jobs))
        for name, workflow in made.workflows.items()
    }
    return replace(made, stages=tuple(stages), jobs=jobs, workflows=workflows)


# ---- What a spec may say


Words = Mapping[str, Mapping[str, Any]]


def words() -> Mapping[str, Words]:
    """The lists of words that a spec may use, for each pipeline type there is; a spec needs those of its own only.

    With each action stands what it takes, with each profile the environments and jobs that it leaves out."""
    return _Types()


class _Types(Mapping[str, Words]):
    """By the types; a kind that has a folder of its own is there, too, by that."""

    def __getitem__(self, pipeline: str) -> Words:
        if pipeline not in folders():
            raise KeyError(pipeline)
        return _words(pipeline)

    def __iter__(self) -> Iterator[str]:
        return iter(types())

    def __len__(self) -> int:
        return len(types())


def _without(made: Catalogue, left: Catalogue) -> tuple[str, ...]:
    jobs = (job.id for job in made.staged if job.id not in left.jobs)
    return tuple(dict.fromkeys([*(name for name in made.environments if name not in left.environments), *jobs]))


@cache
def _words(pipeline: str) -> Words:
    made = load(pipeline)
    done = {step for job in made.jobs.values() for step in job.steps}
    takes: dict[str, tuple[str, ...]] = {}
    for action in made.actions:  # an action of several stages takes what it takes in any of them
        outlets = ("before", "after") if action.id in done else ()
        takes[action.id] = tuple(dict.fromkeys((*takes.get(action.id, ()), *action.takes, *outlets)))
    hasty = {job for workflow in made.workflows.values() if workflow.skips for job in workflow.jobs}
    skipped = {step for job in hasty for step in made.jobs[job].steps}
    return {
        "pipelines": dict.fromkeys(types()),
        "keys": dict.fromkeys(made.takes),
        "targets": dict.fromkeys([made.wave_of] if made.wave_of else ()),
        "environments": dict.fromkeys(made.environments),
        "jobs": dict.fromkeys(job.id for job in made.staged),
        "languages": dict.fromkeys([*filter(None, [made.language]), *resources.data("languages.yml")]),
        "deployers": dict.fromkeys(deployers.of(made.folder.partition("/")[0])),
        "scopes": dict.fromkeys(SCOPES),
        "profiles": {name: _without(made, load(pipeline, name)) for name in profiles(pipeline)},
        "actions": takes,
        "checks": dict.fromkeys(action.id for action in made.actions if action.of),
        "checks-and-tests": dict.fromkeys(
            action.id for action in made.actions if action.id in skipped and "advisory" in action.takes
        ),
    }
