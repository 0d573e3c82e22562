"""A workflow as it is rehearsed: a copy in act's dialect, with the jobs that are played and what each may do."""

import json
import re
from collections.abc import Callable, Collection, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from dpra.spec.models import SCOPES

from . import dialect
from .result import RehearsalError

INDEX = "strategy.job-index"
LEG = "job-index"  # how a matrix calls it here
FOLDER = Path(".github", "workflows")
POST_CACHE = "post-cache"  # of the step in a stand-in's place
BAKE = re.compile(r"/(?:dpra|\.github/actions)/(?:bake|fleet)(?:$|@)")  # the pack's actions, vendored or not
OUTPUTS = "dpra-outputs"  # a job of the rehearsal's own that writes down what the others gave out


def load(path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        workflow = YAML(typ="safe").load(path)
    except FileNotFoundError as error:
        raise RehearsalError(f"{FOLDER / path.name}: there is no such file; dpra generate makes it") from error
    except YAMLError as error:
        raise RehearsalError(f"{FOLDER / path.name}: {error}") from error
    if not isinstance(workflow, dict) or not isinstance(workflow.get("jobs"), dict):
        raise RehearsalError(f"{FOLDER / path.name}: has no jobs")
    return workflow


def selected(jobs: Mapping[str, Any], stages: Mapping[str, str], only: Collection[str]) -> list[str]:
    """The jobs to run: those of `only` (a word is a job, else a stage) and all that they need; else every job."""
    words = set(only)
    if unknown := sorted(words - set(jobs) - {stages.get(job, "") for job in jobs}):
        raise RehearsalError(f"no stage or job is called {', '.join(unknown)}; there are {', '.join(jobs)}")
    chosen = [job for job in jobs if not words or job in words or stages.get(job, "") in words - set(jobs)]
    for job in chosen:  # grows while it is walked
        chosen += [needed for needed in needs(jobs[job]) if needed not in chosen]
    return [job for job in jobs if job in chosen]


def needs(job: Mapping[str, Any]) -> list[str]:
    needed = job.get("needs") or []
    return [needed] if isinstance(needed, str) else list(needed)


def waiting(jobs: Mapping[str, Any], first: str) -> set[str]:
    """A job, and all that wait for it."""
    found = {first}
    while more := {job for job in jobs if job not in found and found & set(needs(jobs[job]))}:
        found |= more
    return found


def environment(job: Mapping[str, Any]) -> str:
    """The name of the GitHub environment that a job works in."""
    named = job.get("environment") or ""
    return str(named.get("name", "")) if isinstance(named, Mapping) else str(named)


def may_write(scope: str, workflow: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    """Whether the job has the permission to write the scope; that of id-token is to ask for tokens."""
    permissions = job.get("permissions", workflow.get("permissions"))
    return permissions == "write-all" or (isinstance(permissions, Mapping) and permissions.get(scope) == "write")


def permissions(workflow: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, str]:
    """What the job's GITHUB_TOKEN may do, by scope; nothing said is GitHub's default, to read contents and packages."""
    said = job.get("permissions", workflow.get("permissions"))
    if said is None:
        return {"contents": "read", "packages": "read"}
    if isinstance(said, str):
        return dict.fromkeys(("contents", "id-token", *SCOPES), said.removesuffix("-all"))
    return {scope: access for scope, access in said.items() if access != "none"}


def runner_labels(workflow: Mapping[str, Any]) -> list[str]:
    """The labels of all runners asked for; act silently skips a job whose label it is not told."""
    labels: set[str] = set()
    for job in workflow["jobs"].values():
        asked = job.get("runs-on")
        labels |= {asked} if isinstance(asked, str) else set(asked or ())
    return sorted(labels)


def refuse_unplayable(workflow: Mapping[str, Any]) -> None:
    """Say what act would pass over in silence, or play differently."""
    for name, job in workflow["jobs"].items():
        if "uses" in job:
            raise RehearsalError(f"job {name}: calls a reusable workflow; a rehearsal plays jobs with steps")
        if "container" in job:
            raise RehearsalError(f"job {name}: container needs Docker; a rehearsal runs on this machine")
        checks_out = any(str(step.get("uses")).startswith("actions/checkout@") for step in job.get("steps") or ())
        if checks_out and not permissions(workflow, job).get("contents"):
            raise RehearsalError(
                f"job {name}: actions/checkout finds no private repository without the permission contents: read"
            )
        for key, value in (("environment", environment(job)), ("runs-on", str(job.get("runs-on")))):
            if "${{" in value:
                raise RehearsalError(
                    f"job {name}: {key} is an expression, which a rehearsal cannot know before it runs"
                )


def prepare(
    workflow: MutableMapping[str, Any],
    keep: Collection[str],
    kept: Mapping[str, Mapping[str, str]],
    admit: Callable[..., str],
    cloud: Any,
    work: Path,
    held: bool = False,
) -> None:
    """Turn a workflow, in place, into the one that act runs: its dialect, the chosen jobs, a home of its own for each,
    and the right to a token for the jobs that have the permission, and for no other.

    Args:
        keep: the jobs to run.
        kept: those of them that an earlier attempt has done, with the outputs that they gave.
        admit: job, environment and how long it bakes -> the bearer by which the job asks for tokens.
        held: a bake for which no runner waits is held; else it passes at once, as the others do.
    """
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted

    jobs = workflow["jobs"]
    rights = {name: permissions(workflow, job) for name, job in jobs.items()}  # before act's dialect loses some
    dialect.lower(workflow)
    for name in [name for name in jobs if name not in keep]:
        del jobs[name]
    for name, job in jobs.items():
        if name in kept:
            jobs[name] = done_before(job, kept[name])
            continue
        job.pop("services", None)  # act would ask Docker for them; run.simulated says that they are not there
        number_legs(name, job)
        job.setdefault("env", {})
        for variable in ("HOME", "TMPDIR"):  # on GitHub each job has a machine of its own
            (work / variable / name).mkdir(parents=True)
            job["env"].setdefault(variable, Quoted(work / variable / name))
        minutes = "0"
        for step in job.get("steps") or ():
            said = step.get("with", {})
            waits = "minutes" in said and not (held and "do" in said)
            if BAKE.search(str(step.get("uses"))) and waits:
                minutes = str(step["with"]["minutes"])
                step["with"]["minutes"] = "0"  # the bake time passes at once; run.simulated says so
        save_caches(job)
        job["env"]["DPRA_REHEARSAL_PERMISSIONS"] = Quoted(json.dumps(rights[name]))
        if may_write("attestations", workflow, job):
            job["env"]["DPRA_REHEARSAL_ATTEST_URL"] = Quoted(cloud.attest_url)
        if may_write("id-token", workflow, job):
            job["env"]["ACTIONS_ID_TOKEN_REQUEST_URL"] = Quoted(cloud.token_url)
            job["env"]["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = Quoted(admit(name, environment(job), bakes=minutes))


def save_caches(job: MutableMapping[str, Any]) -> None:
    """A last step for what actions/cache does behind all steps of a job that passed: a stand-in has no post step."""
    steps = job.get("steps") or []
    if any(str(step.get("uses")).startswith("actions/cache@") for step in steps):
        run = '"$DPRA_REHEARSAL_PYTHON" -B "$DPRA_REHEARSAL_STAND_INS/actions/cache/cache.py" save'
        steps.append({"id": POST_CACHE, "if": "success()", "shell": "bash", "run": run})


def done_before(job: Mapping[str, Any], outputs: Mapping[str, str]) -> dict[str, Any]:
    """In a job's place where it is not done again, as when GitHub re-runs failed jobs: its outputs stay."""
    said = "".join(f"{name}={value}\n" for name, value in outputs.items())
    step = {"id": "kept", "env": {"KEPT": said}, "run": 'printf %s "$KEPT" >> "$GITHUB_OUTPUT"'}
    given = {name: f"${{{{ steps.kept.outputs.{name} }}}}" for name in outputs}
    return {"runs-on": job["runs-on"], "needs": needs(job), "outputs": given, "steps": [step]}


def tell_outputs(workflow: MutableMapping[str, Any], to: Path) -> None:
    """Add a job that writes down the outputs of all others; act itself never tells them."""
    jobs = workflow["jobs"]
    step = {"env": {"NEEDS": "${{ toJSON(needs) }}", "TO": str(to)}, "run": 'printf %s "$NEEDS" > "$TO"'}
    runner = next(iter(jobs.values()))["runs-on"]
    jobs[OUTPUTS] = {"runs-on": runner, "needs": list(jobs), "if": "always()", "steps": [step]}


def number_legs(name: str, job: MutableMapping[str, Any]) -> None:
    """act does not know `strategy.job-index`: number the legs of a matrix in the matrix itself."""
    if INDEX not in str(job):
        return
    matrix = (job.get("strategy") or {}).get("matrix")
    if matrix:
        if len(matrix) != 1 or not all(isinstance(values, list) for values in matrix.values()):
            raise RehearsalError(f"job {name}: a rehearsal knows {INDEX} for a matrix of one list only")
        ((key, values),) = list(matrix.items())
        matrix["include"] = [{key: value, LEG: number} for number, value in enumerate(values)]
    replace_index(job, f"matrix.{LEG}" if matrix else "'0'")


def replace_index(node: Any, by: str) -> None:
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted

    for key, value in list(node.items() if isinstance(node, MutableMapping) else enumerate(node)):
        if isinstance(value, str) and INDEX in value:
            node[key] = Quoted(value.replace(INDEX, by))
        elif isinstance(value, MutableMapping | list):
            replace_index(value, by)
