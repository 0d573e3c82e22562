"""A rehearsal as one HTML page: stages, waves, bakes, faults and rollback on a time line. Nothing is fetched."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

WAVE = re.compile(r"prod-(bake-)?(\d+)")
STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)  # seconds between two ticks
GROUPS = {"prod-approve": "Approve", "finish": "Finish", "rollback": "Rollback", "report": "Report"}


def html(document: dict[str, Any]) -> str:
    """The page of a result (`Result.as_json()`) or of `{"scenarios": [Proof.as_json(), ...]}`."""
    if "scenarios" in document:
        proofs = [(proof, told(proof["result"]) if "result" in proof else None) for proof in document["scenarios"]]
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


# ---- What became of the regions


@dataclass(frozen=True)
class Fate:
    """What a run, and those after it, made of a region of production."""

    kind: str  # released, back, left, held
    said: str


@dataclass
class Story:
    """Which release ran where, run by run, and what each run did to each region of production.

    The document says what ran at both ends, and which jobs ran; what ran in between follows from the jobs and the
    rollbacks' evidence.
    """

    document: Mapping[str, Any]
    before: dict[tuple[str, str], str] = field(default_factory=dict)  # environment and region -> commit
    fates: list[dict[str, Fate]] = field(default_factory=list)  # of each run
    first: int = 0  # the first run that is told of; those before only prepared

    def __post_init__(self) -> None:
        runs = self.document["runs"]
        self.now = {(d["environment"], d["region"]): str(d["commit"]) for d in self.document["deployments"]}
        self.before = {(d["environment"], d["region"]): str(d["commit"]) for d in self.document["before"]}
        self.regions = [region for wave in self.document["waves"] for region in wave]
        if not self.before and len(runs) > 1 and runs[0]["ok"]:
            self.first = 1
            for job in deployed(runs[0]):
                self.before[job["stage"], job["region"]] = str(runs[0]["commit"])
        self.words = {str(run["commit"]): str(run["release"]) for run in runs}
        unknown = {commit for commit in self.before.values() if commit not in self.words}
        if len(unknown) == 1 and "old" not in self.words.values():
            self.words[unknown.pop()] = "old"  # it was released before the first of these runs
        self.good = {region: self.before.get(("prod", region), "") for region in self.regions}
        self.touched: dict[str, int] = {}  # and neither finished nor brought back -> by which run
        for number, run in enumerate(runs):
            self.fates.append({})
            if number >= self.first:
                self.tell(number, run)
            else:
                for region in {job["region"] for job in deployed(run) if job["stage"] == "prod"}:
                    self.fates[-1][region] = Fate("released", f"released: {self.name(run['commit'])}")
        self.trust_the_end()

    def name(self, commit: str) -> str:
        """A release in words."""
        if not commit:
            return "nothing"
        word = self.words.get(commit, "").replace("this", "this commit")
        return f"{word} ({commit[:8]})" if word else commit[:8]

    def tell(self, number: int, run: Mapping[str, Any]) -> None:
        legs = [job for job in own(run) if (wave := WAVE.fullmatch(job["job"])) and not wave[1]]
        legs = legs or [job for job in own(run) if job["job"] == "prod"]
        sure = {job["region"] for job in legs if job["result"] == "success"}
        maybe = {job["region"] for job in legs} - sure
        back = next((job for job in own(run) if job["job"] == "rollback"), None)
        count = brought(run) if back else None
        if count is not None and count <= len({*self.touched, *sure}):
            for region in maybe:  # the record knows them not: they failed before anything was changed
                self.fates[number][region] = Fate("held", f"held back: still {self.name(self.good.get(region, ''))}")
            maybe = set()
        self.touched |= dict.fromkeys(sure | maybe, number)
        finish = [job["result"] for job in run["jobs"] if job["job"] == "finish"]
        if finish == ["success"] or (run["ok"] and not finish and not back):
            for region in {job["region"] for job in legs}:
                self.good[region] = run["commit"]
                self.touched.pop(region, None)
                self.fates[number][region] = Fate("released", f"released: {self.name(run['commit'])}")
        elif back:
            self.tell_rollback(number, run, count or 0)
        else:
            for region in sure | maybe:
                self.fates[number][region] = Fate("left", f"left on {self.name(run['commit'])}")

    def tell_rollback(self, number: int, run: Mapping[str, Any], count: int) -> None:
        runs = self.document["runs"]
        if run["workflow"] == "rollback" and count > len(self.touched):  # to a release that somebody chose
            self.touched = dict.fromkeys(self.regions, number)
            self.good |= {region: self.now.get(("prod", region), "") for region in self.regions}
        failed = {region for region in self.touched if any(f"rollback: {region}: " in x for x in run["annotations"])}
        for region, by in list(self.touched.items()):
            good = self.good.get(region, "")
            if region in failed or not good:
                why = "" if good else ": nothing to go back to"
                self.fates[number][region] = Fate("left", f"left on {self.name(runs[by]['commit'])}{why}")
                continue
            del self.touched[region]
            self.fates[number][region] = Fate("back", f"rolled back to {self.name(good)}")
            if by != number:
                self.fates[by][region] = Fate("later", f"rolled back later, by run {run['run']}")

    def trust_the_end(self) -> None:
        """What runs at the end is known: where it contradicts what the jobs seemed to do, it is right."""
        for region in self.regions:
            last = next((number for number in reversed(range(len(self.fates))) if region in self.fates[number]), None)
            if last is None:
                continue
            run, now, good = self.document["runs"][last], self.now.get(("prod", region), ""), self.good[region]
            kind = self.fates[last][region].kind
            expected = {"back": good, "held": good, "released": run["commit"]}
            if expected.get(kind, now) != now:
                self.fates[last][region] = Fate("left", f"left on {self.name(now)}")
            elif kind == "left" and now == good and now != run["commit"]:
                back = any(job["job"] == "rollback" for job in own(run))
                said = f"rolled back to {self.name(now)}" if back else f"still {self.name(now)}"
                self.fates[last][region] = Fate("back" if back else "held", said)

    def rows(self) -> Iterator[dict[str, str]]:
        """Each environment and region: the release before and now, and what happened, in words."""
        stacks = {d["stack"] for d in (*self.document["before"], *self.document["deployments"])}
        waves = {region: str(n) for n, wave in enumerate(self.document["waves"], 1) for region in wave}
        there = {(d["environment"], d["region"]): d for d in (*self.document["before"], *self.document["deployments"])}
        for region in self.regions:
            there.setdefault(("prod", region), {"account": "", "stack": "", "status": ""})
        production = sorted(
            (key for key in there if key[0] == "prod"),
            key=lambda key: self.regions.index(key[1]) if key[1] in self.regions else 0,
        )
        for key in [key for key in there if key[0] != "prod"] + production:
            environment, region = key
            before, now = self.before.get(key, ""), self.now.get(key, "")
            kind, said = self.row(key, before, now)
            status = str(there[key]["status"]) if key in self.now else ""
            if status and not status.endswith(("CREATE_COMPLETE", "UPDATE_COMPLETE")):
                said += f"; stack: {status}"
            yield {
                "environment": environment,
                "account": there[key]["account"],
                "region": region,
                "stack": there[key]["stack"] if len(stacks) > 1 else "",
                "wave": waves.get(region, "") if environment == "prod" else "",
                "before": self.name(before),
                "now": self.name(now),
                "kind": kind,
                "said": said,
            }

    def row(self, key: tuple[str, str], before: str, now: str) -> tuple[str, str]:
        environment, region = key
        if environment != "prod":
            if now != before:
                return "released", f"deployed: {self.name(now)}"
            return "same", "unchanged"
        fates = [fates[region] for fates in self.fates[self.first :] if region in fates]
        if not fates or (now == before and fates[-1].kind == "held" and len(fates) == 1):
            return ("held", fates[-1].said) if fates else ("same", "not touched")
        if now == before and any(fate.kind in ("back", "later") for fate in fates):
            return "back", f"rolled back to {self.name(now)}"
        was = [fate for fate in fates if fate.kind in ("back", "later")]
        before_that = f"rolled back to {self.name(before)}, then " if was and fates[-1].kind == "released" else ""
        return fates[-1].kind, before_that + fates[-1].said


def deployed(run: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The jobs that put the run's release into a region."""
    for job in run["jobs"]:
        wave = WAVE.fullmatch(job["job"])
        if job["region"] and job["result"] == "success" and not (wave and wave[1]):
            yield job


def brought(run: Mapping[str, Any]) -> int | None:
    """How many regions the run's rollback found touched, by its evidence; None if that is not there."""
    for record in run["evidence"]:
        mine = str(record.get("attempt", run["attempt"])) == str(run["attempt"])
        if record.get("action") == "rollback" and mine and record.get("findings"):
            return sum(int(count) for count in record["findings"].values())
    return None


def own(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The jobs that ran in this attempt, not in one before."""
    ran = [job for job in run["jobs"] if job["began"]]
    if run["attempt"] == 1:
        return ran
    now = {
        (record.get("job"), record.get("region"))
        for record in run["evidence"]
        if str(record.get("attempt")) == str(run["attempt"])
    }
    # What passed in an earlier attempt is not done again; what did not pass is of this one, and so is what came after.
    mine = [job["began"] for job in ran if job["result"] != "success" or (job["job"], job["region"]) in now]
    mine += [job["began"] for job in ran if (job["job"], "") in now and job["region"]]
    return [job for job in ran if job["began"] >= min(mine, default=0.0)]


# ---- What is drawn


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
        {**drawn(run, document["waves"], story, number), "folded": number < story.first}
        for number, run in enumerate(document["runs"])
    ]
    production = [row for row in rows if row["environment"] == "prod"]
    stacks = {d["stack"] for d in document["deployments"]}
    back = [row for row in production if row["kind"] == "back"]
    return {
        "ok": document["ok"],
        "stopped_at": document["stopped_at"],
        "seconds": clock(document["seconds"]),
        "headline": headline(production, document["ok"]),
        "rows": rows,
        "stack": next(iter(stacks)) if len(stacks) == 1 else "",
        "stacks": any(row["stack"] for row in rows),
        "runs": runs,
        "production": len(production),
        "back": len(back),
        "untroubled": not any(fate.kind in ("back", "later") for fates in story.fates for fate in fates.values()),
        "faults": [happened["fault"] for run in document["runs"] for happened in run["happened"]],
    }


def headline(production: Sequence[Mapping[str, str]], ok: bool) -> tuple[str, str]:
    """What became of production, as a tone and a sentence."""
    kinds: dict[str, list[Mapping[str, str]]] = {}
    for row in production:
        kinds.setdefault(row["kind"], []).append(row)
    total = "1 region" if len(production) == 1 else f"all {len(production)} regions"

    def where(rows: Sequence[Mapping[str, str]]) -> str:
        return total if len(rows) == len(production) else f"{len(rows)} of {len(production)} regions"

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
    return ("good", "The pipeline passed") if ok else ("bad", "The pipeline stopped before production")


def drawn(run: Mapping[str, Any], waves: Sequence[Sequence[str]], story: Story, number: int) -> dict[str, Any]:
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
    touches = bool(fates) or any(WAVE.fullmatch(job["job"]) for job in jobs)
    unmoved = "not touched" if run["workflow"] == "rollback" else "not reached"
    if touches:
        for wave, regions in enumerate(waves, 1):
            for region in regions:
                lanes[f"Wave {wave}", region] = Lane(f"Wave {wave}", region, kind="same", said=unmoved)
    for job in jobs:
        wave_of = WAVE.fullmatch(job["job"])
        group = f"Wave {wave_of[2]}" if wave_of else GROUPS.get(job["job"]) or (job["stage"] or job["job"]).capitalize()
        name = job["region"] or ("" if job["job"] in GROUPS else job["job"])
        lane = of[id(job)] = lanes.setdefault((group, name), Lane(group, name))
        kind = ("bake" if wave_of[1] else "deploy") if wave_of else "roll" if job["job"] == "rollback" else "work"
        lane.bars.append(bar(job, kind))
        if not wave_of:
            lane.kind = "bad" if job["result"] == "failure" else ""
            lane.said = f"{'failed, ' if lane.kind else ''}{job['ended'] - job['began']:.1f} s"
    back = next((job for job in jobs if job["job"] == "rollback"), None)
    for region, fate in fates.items():
        for (group, name), lane in lanes.items():
            if name == region and group.startswith("Wave "):
                lane.kind, lane.said = fate.kind, fate.said
                if back and fate.kind == "back":
                    one = bar({**back, "result": "success"}, "back")
                    lane.bars.append(
                        Bar("back", f"{region} {fate.said}, between {one.what.partition(', ')[2]}", one.left, one.width)
                    )
    if back:
        lane = of[id(back)]
        count = sum(fate.kind == "back" for fate in fates.values())
        of_all = f" of {count + left}" if (left := sum(fate.kind == "left" for fate in fates.values())) else ""
        lane.said = (
            f"{count}{of_all} {'region' if count == 1 and not of_all else 'regions'} back, {lane.said}"
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
    idle = [job for job in run["jobs"] if not job["began"] and not (touches and WAVE.fullmatch(job["job"]))]
    ordered = in_order(lanes.values(), jobs, of)
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
        "waves": list(by_wave(waves, fates, unmoved)) if touches else [],
        "carried": grouped(carried),
        "skipped": grouped(job for job in idle if job["result"] == "skipped"),
        "idle": grouped(job for job in idle if job["result"] != "skipped"),
        "said": [line for line in run["annotations"] if not line.startswith("report: ")],
        "reported": [line for line in run["annotations"] if line.startswith("report: ")],
        "jobs": [
            {**job, "at": clock(job["began"] - began), "took": f"{job['ended'] - job['began']:.1f}"} for job in jobs
        ],
        "kinds": {word for lane in ordered for one in lane.bars for word in one.kind.split()},
    }


def in_order(lanes: Iterable[Lane], jobs: Sequence[Mapping[str, Any]], of: Mapping[int, Lane]) -> list[Lane]:
    """The lanes in the order in which their groups come in the workflow, a wave that was not reached among them."""
    groups = list(dict.fromkeys(of[id(job)].group for job in jobs))
    late: list[str] = [group for group in ("Finish", "Rollback", "Report") if group in groups]
    waves = list(dict.fromkeys(lane.group for lane in lanes if lane.group.startswith("Wave ")))
    groups = [group for group in groups if group not in (*late, *waves)] + waves + late
    ordered = sorted(lanes, key=lambda lane: groups.index(lane.group))
    for number, lane in enumerate(ordered):
        lane.head = number == 0 or ordered[number - 1].group != lane.group
    return ordered


def by_wave(waves: Sequence[Sequence[str]], fates: Mapping[str, Fate], unmoved: str) -> Iterator[tuple[str, str]]:
    """Each wave's fate in words."""
    for number, regions in enumerate(waves, 1):
        found = [(region, fates.get(region, Fate("same", unmoved))) for region in regions]
        said = {fate.said for _, fate in found}
        worst = min((fate.kind for _, fate in found), key=["left", "back", "later", "held", "released", "same"].index)
        if len(said) == 1:
            yield worst, f"Wave {number}: {said.pop()}"
        else:
            yield worst, f"Wave {number}: {'; '.join(f'{region} {fate.said}' for region, fate in found)}"


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
