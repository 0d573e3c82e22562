"""A rehearsal as one HTML page: stages, waves, bakes, faults and rollback on a time line. Nothing is fetched."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from dpra.dataclasses import dataclass
from dpra.spec.models import REGIONS

from .story import Fate, Story, only_back, own

STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)  # seconds between two ticks
BARS = {"bake": "bake", "rollback": "roll"}  # how a job is drawn, by its kind
TITLES = {"approve": "Approve", "finish": "Finish", "rollback": "Rollback"}  # of groups, by the kind of their jobs


def html(document: dict[str, Any]) -> str:
    """The page of a result (`Result.as_json()`) or of `{"scenarios": [Proof.as_json(), ...]}`."""
    if "scenarios" in document:
        played = [proof for proof in document["scenarios"] if proof.get("applicable", True)]  # the others prove nothing
        proofs = [(proof, told(proof["result"]) if "result" in proof else None) for proof in played]
        results = [proof["result"] for proof, _ in proofs if "result" in proof]
        kept = sum(proof["kept"] for proof, _ in proofs)
        text = template().render(proofs=proofs, one=None, kept=kept, simulated=simulated(results))
    else:
        text = template().render(proofs=(), one=told(document), kept=0, simulated=simulated([document]))
    # What a job says need not be Unicode; a page that cannot be written would tell nothing.
    return text.encode("utf-8", "replace").decode("utf-8")


@cache
def template() -> Template:
    loader = FileSystemLoader(Path(__file__).parent)
    options = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    environment = Environment(loader=loader, **options)  # type: ignore[arg-type]  # noqa: S701 - it escapes everything
    return environment.get_template("page.html")


def simulated(results: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(line for result in results for line in result["simulated"]))


@dataclass(frozen=True)
class Bar:
    kind: str  # work, deploy, bake, back, roll; and bad
    what: str  # for whoever points at it
    left: float  # per cent of the time line
    width: float


@dataclass
class Lane:
    group: str
    name: str
    bars: list[Bar] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)  # where a fault happened, and which
    kind: str = ""
    said: str = ""
    head: bool = False  # the first of its group


def told(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of a result."""
    story = Story(document)
    rows = list(story.rows())
    runs = [
        {**drawn(run, story, number), "folded": number < story.first} for number, run in enumerate(document["runs"])
    ]
    production = [row for row in rows if row["released"]]
    stacks = {d["stack"] for d in document["deployments"]}
    back = [row for row in production if row["kind"] == "back"]
    return {
        "ok": document["ok"],
        "stopped_at": document["stopped_at"],
        "seconds": clock(document["seconds"]),
        "headline": headline(production, document, unit(story)),
        "rows": rows,
        "stack": next(iter(stacks)) if len(stacks) == 1 else "",
        "stacks": any(row["stack"] for row in rows),
        "waves": bool(document["waves"]),
        "unit": unit(story),
        "runs": runs,
        "production": len(production),
        "back": len(back),
        "untroubled": not any(fate.kind in ("back", "later") for fates in story.fates for fate in fates.values()),
        "faults": [happened["fault"] for run in document["runs"] for happened in run["happened"]],
    }


def unit(story: Story) -> str:
    """What a release goes to, in a word."""
    return "region" if set(story.places) <= set(REGIONS) else "target"


def headline(production: Sequence[Mapping[str, str]], document: Mapping[str, Any], unit: str) -> tuple[str, str]:
    """What became of production, as a tone and a sentence."""
    kinds: dict[str, list[Mapping[str, str]]] = {}
    for row in production:
        kinds.setdefault(row["kind"], []).append(row)
    total = f"1 {unit}" if len(production) == 1 else f"all {len(production)} {unit}s"

    def where(rows: Sequence[Mapping[str, str]]) -> str:
        return total if len(rows) == len(production) else f"{len(rows)} of {len(production)} {unit}s"

    if left := kinds.get("left"):
        return "bad", f"Production is left on {left[0]['now']} in {where(left)}"
    if back := kinds.get("back"):
        others = len(production) - len(back)
        if others and len({row["now"] for row in production}) == 1:
            return "back", f"Production runs {back[0]['now']} in {total}: {len(back)} rolled back, {others} not touched"
        return "back", f"Production is back on {back[0]['now']} in {where(back)}"
    if released := kinds.get("released"):
        return "good", f"Production runs {released[0]['now']} in {where(released)}"
    if any(row["now"] != "nothing" for row in production):
        return "same", "Production was not touched"
    if document["ok"]:
        return "good", "The pipeline passed"
    return "bad", f"The pipeline stopped{' before production' if document['production'] else ''}"


def title(job: Mapping[str, Any], production: str) -> str:
    """The group of a job's lane."""
    stage = str(job["stage"] or job["job"]).capitalize()
    if job["kind"] in TITLES or not job["wave"]:
        return TITLES.get(str(job["kind"]), stage)
    return f"Wave {job['wave']}" if job["stage"] == production else f"{stage}, wave {job['wave']}"


def drawn(run: Mapping[str, Any], story: Story, number: int) -> dict[str, Any]:
    """One run's time line."""
    jobs, fates = own(run), story.fates[number]
    carried = [job for job in run["jobs"] if job["began"] and job not in jobs]
    began = min((job["began"] for job in jobs), default=0.0)
    ended = max((*(job["ended"] for job in jobs), *(one["at"] for one in run["happened"])), default=0.0)
    span = max(ended - began, 1.0)

    def at(moment: float) -> float:
        return round(100 * min(max(moment - began, 0.0), span) / span, 3)

    def bar(job: Mapping[str, Any], kind: str) -> Bar:
        left, right = at(job["began"]), at(max(job["ended"], job["began"]))
        bad = " bad" if job["result"] == "failure" else ""
        took = f"{clock(job['began'] - began)} to {clock(job['ended'] - began)}, {job['ended'] - job['began']:.1f} s"
        return Bar(kind + bad, f"{label(job)}: {job['result']}, {took}", left, round(max(right - left, 0.25), 3))

    lanes: dict[tuple[str, str], Lane] = {}
    of: dict[int, Lane] = {}
    touches = bool(fates) or any(job["wave"] and story.mine(job) for job in jobs)
    unmoved = "not touched" if only_back(run) else "not reached"
    if touches:
        for group, places in story.groups:
            for place in places:
                lanes[group, place] = Lane(group, place, kind="same", said=unmoved)
    released = dict(lanes)
    for job in jobs:
        alone = not job["stage"] or (job["kind"] in TITLES and story.mine(job))
        key = (title(job, story.production), job["region"] or ("" if alone else job["job"]))
        lane = of[id(job)] = lanes.setdefault(key, Lane(*key))
        deploys = job["kind"] == "deploy" and (job["wave"] or story.mine(job))
        lane.bars.append(bar(job, BARS.get(job["kind"], "deploy" if deploys else "work")))
        if key not in released:
            lane.kind = "bad" if job["result"] == "failure" else ""
            lane.said = f"{'failed, ' if lane.kind else ''}{job['ended'] - job['began']:.1f} s"
    back = story.rollback(run)
    for (_, place), lane in released.items():
        if fate := fates.get(place):
            lane.kind, lane.said = fate.kind, fate.said
            if back and fate.kind == "back":
                one = bar({**back, "result": "success"}, "back")
                what = f"{place} {fate.said}, between {one.what.partition(', ')[2]}"
                lane.bars.append(Bar("back", what, one.left, one.width))
    if back:
        lane = of[id(back)]
        count = sum(fate.kind == "back" for fate in fates.values())
        of_all = f" of {count + left}" if (left := sum(fate.kind == "left" for fate in fates.values())) else ""
        lane.said = (
            f"{count}{of_all} {unit(story)}{'' if count == 1 and not of_all else 's'} back, {lane.said}"
            if count or of_all
            else f"nothing to bring back, {lane.said}"
        )
    marks = []
    for one in run["happened"]:
        where = at(one["at"])
        marks.append({"at": where, "time": clock(one["at"] - began), "fault": one["fault"], "right": where > 50})
        for job in jobs:
            if job["job"] == one["job"] and (one["region"] == job["region"] or "" in (one["region"], job["region"])):
                of[id(job)].marks.append((where, one["fault"]))
    reporters = tuple(f"{job['job']}: " for job in run["jobs"] if not job["stage"])  # they tell of the other jobs
    idle = [job for job in run["jobs"] if not job["began"] and not (touches and job["wave"] and story.mine(job))]
    ordered = in_order(lanes.values(), run["jobs"], story)
    return {
        "run": run["run"],
        "attempt": run["attempt"],
        "workflow": run["workflow"],
        "release": story.name(run["commit"]),
        "ok": run["ok"],
        "stopped_at": run["stopped_at"],
        "began": f"{datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M:%S} UTC" if began else "",
        "took": clock(span) if jobs else "",
        "lanes": ordered,
        "marks": marks,
        "ticks": list(ticks(span)),
        "band": bar(back, "band") if back and any(fate.kind == "back" for fate in fates.values()) else None,
        "waves": list(by_wave(story.groups, fates, unmoved)) if touches else [],
        "unit": unit(story),
        "carried": grouped(carried),
        "skipped": grouped(job for job in idle if job["result"] == "skipped"),
        "idle": grouped(job for job in idle if job["result"] != "skipped"),
        "said": [line for line in run["annotations"] if not line.startswith(reporters)],
        "reported": [line for line in run["annotations"] if line.startswith(reporters)],
        "jobs": [
            {**job, "at": clock(job["began"] - began), "took": f"{job['ended'] - job['began']:.1f}"} for job in jobs
        ],
        "kinds": {word for lane in ordered for one in lane.bars for word in one.kind.split()},
    }


def in_order(lanes: Iterable[Lane], jobs: Sequence[Mapping[str, Any]], story: Story) -> list[Lane]:
    """The lanes in the order in which their groups come in the workflow, what was not reached among them."""
    groups = list(dict.fromkeys(title(job, story.production) for job in jobs))
    others = [group for group, _ in story.groups if group not in groups]
    late = next((place for place, group in enumerate(groups) if group in ("Finish", "Rollback")), len(groups))
    groups[late:late] = others
    ordered = sorted(lanes, key=lambda lane: groups.index(lane.group))
    for number, lane in enumerate(ordered):
        lane.head = number == 0 or ordered[number - 1].group != lane.group
    return ordered


def by_wave(
    groups: Iterable[tuple[str, Sequence[str]]], fates: Mapping[str, Fate], unmoved: str
) -> Iterator[tuple[str, str]]:
    """Each wave's fate in words."""
    for group, places in groups:
        found = [(place, fates.get(place, Fate("same", unmoved))) for place in places]
        said = {fate.said for _, fate in found}
        worst = min((fate.kind for _, fate in found), key=["left", "back", "later", "held", "released", "same"].index)
        if len(said) == 1:
            yield worst, f"{group}: {said.pop()}"
        else:
            yield worst, f"{group}: {'; '.join(f'{place} {fate.said}' for place, fate in found)}"


def grouped(jobs: Iterable[Mapping[str, Any]]) -> str:
    """Jobs and their regions in a line."""
    regions: dict[str, list[str]] = {}
    for job in jobs:
        regions.setdefault(job["job"], []).extend(filter(None, [job["region"]]))
    return ", ".join(f"{job} ({' '.join(there)})" if there else job for job, there in regions.items())


def label(job: Mapping[str, Any]) -> str:
    return f"{job['job']} ({job['region']})" if job["region"] else str(job["job"])


def ticks(span: float) -> Iterator[tuple[float, str]]:
    step = next((step for step in STEPS if span / step <= 9), STEPS[-1])
    for number in range(int(span // step) + 1):
        yield round(100 * number * step / span, 3), clock(number * step)


def clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
