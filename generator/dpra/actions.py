"""A DPRA action as a pipeline has it; what a check looks at, and with which tools."""

from collections.abc import Collection, Mapping

from dpra import catalogue, check_tools, deployers
from dpra.catalogue import Catalogue
from dpra.dataclasses import dataclass
from dpra.spec.models import Action, Spec

STATUSES = ("blocks", "advisory", "outside-pipeline", "left-out", "not-applicable")
NONE = "none"  # the language of what has no program
CONFIGURATION = "configuration"  # the language of flags and operational configuration
FLEET = "fleet"  # that of accounts, policies and baselines
PACKER = "packer"  # that of what Packer makes an image of


@dataclass(frozen=True)
class PlannedAction:
    """One DPRA action in this pipeline."""

    stage: str
    action: str
    level: str
    job: str  # its template
    step: str
    tool: str
    status: str  # one of STATUSES
    reason: str


# ---- What a check looks at, and with what


def language(spec: Spec, types: Catalogue) -> str:
    """The component's language; of an image, what it is an image of."""
    return spec.image.kind if "image" in types.takes else spec.language if "language" in types.takes else NONE


def source(spec: Spec, types: Catalogue) -> str:
    """The language of what it is made of, which checks of code read: of a machine that Packer makes, Packer's."""
    packed = "image" in types.takes and spec.image.with_ == PACKER
    return PACKER if packed else language(spec, types)


def idle(spec: Spec, types: Catalogue, action: catalogue.Action) -> bool:
    """Whether there is no program that an action could look at or run, and the spec does not say with what it is done
    all the same."""
    said = spec.actions.get(action.id, Action())
    return action.program and language(spec, types) == NONE and not (said.command or said.canary or said.tool)


def languages(spec: Spec, types: Catalogue, action: catalogue.Action) -> tuple[str, ...]:
    """What a check looks at: languages, the component's first."""
    own, code = language(spec, types), infrastructure(spec, types, action.id)
    program = () if own == NONE else (source(spec, types),)
    documents = tuple(name for name in (CONFIGURATION, FLEET) if name in types.takes)
    both = (*program, *code, *documents)
    return {"language": (own,), "infrastructure": code, "both": both}.get(action.of, documents)


def infrastructure(spec: Spec, types: Catalogue, action: str) -> tuple[str, ...]:
    """The language of the infrastructure code, where there is any to look at.

    An assembly of CDK is there after the build only: a check looks at CDK where the spec says with what, or at what."""
    if "image" in types.takes:  # the template of its versions in Service Catalog
        return ("cloudformation",) if spec.image.products else ()
    if "fleet" in types.takes:  # the templates of its baselines
        return ("cloudformation",)
    if "deploy" not in types.takes:
        return ()
    said, found = spec.actions.get(action, Action()), deployers.every()[spec.deploy.with_].infrastructure
    return (found,) if found and (found != "cdk" or said.file or said.tool) else ()


def tools(spec: Spec, types: Catalogue, action: catalogue.Action) -> tuple[str, ...]:
    """The tools of a check: for each language the one that was asked for, else the default one."""
    if idle(spec, types, action) or (action.optional and action.id not in spec.actions):
        return ()
    asked = spec.actions[action.id].tool if action.id in spec.actions else ()
    chosen: dict[str, None] = {}
    for language in languages(spec, types, action):
        there = fitting(action.id, language)
        own = [tool.name for tool in there if tool.name in asked]
        default = [tool.name for tool in there if tool.fits(action.id, language, default=True)]
        chosen |= dict.fromkeys(own or default)
        chosen |= dict.fromkeys(tool.name for tool in there if says(spec, tool.head.get("by-key", "")))
    return tuple(chosen)


def says(spec: Spec, key: str) -> bool:
    """Whether the spec says a key, such as image.inspector: a tool's `by-key`, which then runs beside the others."""
    value: object = spec
    for part in key.split(".") if key else ():
        value = getattr(value, part.replace("-", "_"), None)
    return bool(key and value)


def done_by(
    spec: Spec,
    types: Catalogue,
    chosen: Mapping[str, tuple[str, ...]],
    commands: Collection[str],
    job: catalogue.Job,
) -> tuple[str, ...]:
    """The DPRA actions that a job's steps do. One that stands in a trusted job and in another, too, is done by what
    belongs there: AWS's own means and dpra's where it is trusted, what the repository brings in the other.

    Args:
        chosen: the tools of each check.
        commands: the actions that have a command.
    """

    def does(action: catalogue.Action) -> bool:
        if idle(spec, types, action) or (action.optional and not action.of and action.id not in spec.actions):
            return False
        others = [one for one in types.jobs_of(job.stage) if action.id in one.steps and one.trusted and not one.role]
        if others and not job.trusted:
            return action.id in commands
        if action.of:
            return bool(tools_in(job, chosen[action.id])) or not (job.by_role or chosen[action.id] or action.optional)
        said = spec.actions.get(action.id, Action())
        return "canary" not in action.takes or bool(said.canary if job.by_role else said.command or not said.canary)

    return tuple(step for step in job.steps if all(does(one) for one in types.named[step] if one.stage == job.stage))


def tools_in(job: catalogue.Job, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a check's tools that run in this job: with its role only those that say they need it."""
    by_role = {tool.name for tool in check_tools.every() if "by-role" in tool.head}
    return tuple(tool for tool in chosen if (tool in by_role) == job.by_role)


def fitting(action: str, language: str) -> list[check_tools.Tool]:
    """The tools that do an action for a language."""
    return [tool for tool in check_tools.every() if tool.fits(action, language)]
