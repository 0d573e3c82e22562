"""The keys and values of a workflow that GitHub knows and act 0.2.89 refuses, and a copy of a workflow without them.

This table is the only difference between what is generated and what act reads; a test proves it.
"""

from collections.abc import Callable, Iterator, MutableMapping
from io import StringIO
from typing import Any

# Where a key stands -> keys that act does not know there.
UNKNOWN = {
    "concurrency": ("queue",),
    "environment": ("deployment",),
    "permissions": ("artifact-metadata", "code-quality", "vulnerability-alerts"),
}
SAME_COMMIT = "$/"  # `uses: $/path`: same repository, same commit; without a checkout on GitHub, `./` to act


def lower(workflow: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Remove from a loaded workflow, in place, what act does not know."""
    jobs = list((workflow.get("jobs") or {}).values())
    for place in [workflow, *jobs]:
        for key, unknown in UNKNOWN.items():
            if isinstance(inner := place.get(key), MutableMapping):
                for name in unknown:
                    inner.pop(name, None)
    if isinstance(triggers := workflow.get("on"), MutableMapping):
        for times in triggers.get("schedule") or ():
            times.pop("timezone", None)
    for used in [*jobs, *(step for job in jobs for step in job.get("steps") or ())]:
        if str(used.get("uses", "")).startswith(SAME_COMMIT):
            used["uses"] = "./" + used["uses"].removeprefix(SAME_COMMIT)
    return workflow


def lower_text(text: str) -> str:
    """The same for a workflow's text; comments, quotes and order stay."""
    return edited(text, lower)


def edited(text: str, edit: Callable[[MutableMapping[str, Any]], object]) -> str:
    """The text of a workflow after `edit` changed it in place."""
    from ruamel.yaml import YAML

    yaml = YAML()  # YAML 1.2, as on GitHub: `on` is a word
    yaml.preserve_quotes = True
    yaml.width = 1_000_000  # never fold a line
    workflow = yaml.load(text)
    edit(workflow)
    out = StringIO()
    yaml.dump(workflow, out)
    return out.getvalue()


def steps(workflow: MutableMapping[str, Any]) -> Iterator[tuple[str, MutableMapping[str, Any]]]:
    """Every step with its job's id."""
    for job_id, job in (workflow.get("jobs") or {}).items():
        for step in job.get("steps") or ():
            yield job_id, step
