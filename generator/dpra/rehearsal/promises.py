"""Whether a scenario's end is the promised one: what runs where, what the record says, what was told and left."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dpra.plan import Plan

from . import deployers
from .accounts import released
from .result import Played, Result
from .world import World
from .world import released as record_of

LEFT = ("instances", "amis", "accounts")  # what of an account a scenario may count
ENDED = ("COMPLETE", "REVERTED", "ROLLED_BACK")  # how the state of what is not being changed ends


def problems(here: World, row: Mapping[str, Any], runs: Sequence[Played], told: Result) -> Iterator[str]:
    """In which way the end is not the promised one."""
    words = {sha: word for word, sha in here.commits.items()}
    ran = {(d.environment, d.region): d for d in told.deployments}
    for environment, region, wanted in ends(row["ends"], told):
        found = ran.get((environment, region))
        word = words.get(found.commit, found.commit[:12]) if found else "none"
        if word not in wanted.split(" or "):
            yield f"{environment} {region} runs {word}, not {wanted}"
        elif found and not row.get("states") and not found.status.endswith(ENDED):
            yield f"{environment} {region} is {found.status}"
    for environment, region, wanted in ends(row.get("states", {}), told):
        state = found.status if (found := ran.get((environment, region))) else "none"
        if state != wanted:
            yield f"{environment} {region} is {state}, not {wanted}"
    last = runs[-1]
    if "passes" in row and last.ok != row["passes"]:
        yield f"the last run {'passed' if last.ok else f'stopped at {last.stopped_at}'}"
    if "passes" not in row and "at-once" not in row["plays"][-1] and last.ok:
        yield "the last run passed, although it had to fail"
    if len(runs) != row.get("runs", len(runs)):
        yield f"{len(runs)} runs were played, not {row['runs']}"
    text = "\n".join(line for run in runs for line in (*run.annotations, *run.notes, run.stopped_at))
    if "says" in row and not re.search(row["says"], text):
        yield f"nothing said {row['says']!r}, but: {text}"
    if here.plan.record:
        yield from recorded(record_of(here), row, words)
    ends_in = here.plan.production.id if here.plan.production else ""
    deployed = (job for run in runs for job in run.jobs if job.kind == "deploy" and job.began)
    touched = {job.wave for job in deployed if job.stage == ends_in}
    for wave in row.get("untouched", ()):
        if wave in touched:
            yield f"wave {wave} was touched"
    yield from order(here, row.get("back", ()), told)
    if "issue" in row and not any(row["issue"] in json.dumps(issue) for issue in here.cloud.github.issues):
        yield f"no issue says {row['issue']!r}"
    yield from left(here.plan, row)
    for key, value in row.get("evidence", {}).items():
        if not any(record.get(key) == value for run in runs for record in run.evidence):
            yield f"no evidence has {key} {value!r}"


def left(plan: Plan, row: Mapping[str, Any]) -> Iterator[str]:
    """Whether as many of something are left in the accounts of environments as was promised."""
    for kind in LEFT:
        for environment, wanted in row.get(kind, {}).items():
            there = deployers.call("left", plan, {}, plan.environments[environment]).get(kind, ())
            if len(there) != wanted:
                yield f"{environment} has {len(there)} {kind}, not {wanted}: {', '.join(there) or 'none'}"


def recorded(record: Mapping[str, Any], row: Mapping[str, Any], words: Mapping[str, str]) -> Iterator[str]:
    """In which way the release record is not the promised one."""
    if record.get("lock"):
        yield f"run {record['lock']['run']} still holds the release lock"
    good = row.get("good", "old")
    current = words.get((record.get("current") or {}).get("commit", ""), "none")
    if current not in good.split(" or "):
        yield f"the release to go back to is {current}, not {good}"
    left = sorted(region for region, said in record.get("regions", {}).items() if said["now"])
    if left != sorted(row.get("left", ())):
        yield f"the record says that {', '.join(left) or 'no region'} is not as it should be"


def order(here: World, wanted: Sequence[int], told: Result) -> Iterator[str]:
    """Whether the waves went back in this order: by the times at which their stacks last changed."""
    where, ended = here.plan.production, 0.0
    for wave in wanted if where and len(told.waves) >= len(wanted) else ():
        stacks = [stack for region in told.waves[wave - 1] for stack in released(where, region)] if where else []
        times = [stack.events[-1].timestamp.timestamp() for stack in stacks]
        if min(times) < ended:
            yield f"wave {wave} went back before the one behind it"
        ended = max(times)


def ends(said: Mapping[str, str], told: Result) -> Iterator[tuple[str, str, str]]:
    """Environment, region and the word of the release that is to run there. The narrower of two words counts."""
    last = told.production
    environments: dict[str, list[str]] = {name: [] for name in (*(d.environment for d in told.deployments), last)}
    for d in (*told.before, *told.deployments):
        if d.region not in environments.setdefault(d.environment, []):
            environments[d.environment].append(d.region)
    environments[last] = [region for wave in told.waves for region in wave]
    for environment, regions in environments.items():
        for region in regions:
            wave = next((f"{last}.{n}" for n, of in enumerate(told.waves, 1) if region in of), "")
            for key in (f"{environment}/{region}", wave if environment == last else "", environment):
                if key in said:
                    yield environment, region, said[key]
                    break
