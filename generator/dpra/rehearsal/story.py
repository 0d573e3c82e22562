"""What became of production: which release ran where, run by run, told from a rehearsal's document."""

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from dpra.dataclasses import dataclass


@dataclass(frozen=True)
class Fate:
    """What a run, and those after it, made of a place: a region of production, or what else it is released to."""

    kind: str  # released, back, later, left, held; same: the run did not come to it
    said: str


@dataclass
class Story:
    """Which release ran where, run by run, and what each run did to each place of production.

    The document says what ran at both ends, and which jobs ran; what ran in between follows from the jobs and the
    rollbacks' evidence.
    """

    document: Mapping[str, Any]
    fates: list[dict[str, Fate]] = field(default_factory=list)  # of each run
    first: int = 0  # the first run that is told of; those before only prepared

    def __post_init__(self) -> None:
        runs, self.production = self.document["runs"], self.document["production"]
        before, now = self.document["before"], self.document["deployments"]
        self.there = {(d["environment"], d["region"]): d for d in (*before, *now)}
        self.before = {(d["environment"], d["region"]): str(d["commit"]) for d in before}
        self.now = {(d["environment"], d["region"]): str(d["commit"]) for d in now}
        ends = [place for environment, place in self.there if environment == self.production]
        self.groups = [(f"Wave {number}", list(wave)) for number, wave in enumerate(self.document["waves"], 1)]
        if not self.groups and (
            places := dict.fromkeys([*ends, *(leg["region"] for run in runs for leg in self.legs(run))])
        ):
            self.groups = [(self.production.capitalize(), list(places))]
        self.places = [place for _, places in self.groups for place in places]
        if not self.before and len(runs) > 1 and runs[0]["ok"]:
            self.first = 1
            for job in deployed(runs[0]):
                self.before[job["stage"], job["region"]] = str(runs[0]["commit"])
        self.words = {str(run["commit"]): str(run["release"]) for run in runs}
        unknown = {commit for commit in self.before.values() if commit not in self.words}
        if len(unknown) == 1 and "old" not in self.words.values():
            self.words[unknown.pop()] = "old"  # it was released before the first of these runs
        self.good = {place: self.before.get((self.production, place), "") for place in self.places}
        self.touched: dict[str, int] = {}  # and neither finished nor brought back -> by which run
        for number, run in enumerate(runs):
            self.fates.append({})
            if number >= self.first:
                self.tell(number, run)
            else:
                for place in {job["region"] for job in deployed(run) if job["stage"] == self.production}:
                    self.fates[-1][place] = Fate("released", f"released: {self.name(run['commit'])}")
        if now and (not ends or set(ends) & set(self.places)):
            self.trust_the_end()
        else:  # nobody looked at what runs in these places: it is what the jobs left
            left = self.good | {place: str(runs[by]["commit"]) for place, by in self.touched.items()}
            self.now |= {(self.production, place): commit for place, commit in left.items() if commit}

    def name(self, commit: str) -> str:
        """A release in words."""
        if not commit:
            return "nothing"
        word = self.words.get(commit, "").replace("this", "this commit")
        return f"{word} ({commit[:8]})" if word else commit[:8]

    def legs(self, run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The jobs that released to a place of production, in this attempt."""
        return [job for job in own(run) if job["region"] and job["kind"] == "deploy" and self.mine(job)]

    def mine(self, job: Mapping[str, Any]) -> bool:
        return bool(job["stage"] == self.production)

    def rollback(self, run: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The job that brought production back, in this attempt; None: there was none."""
        return next(
            (job for job in own(run) if job["kind"] == "rollback" and (self.mine(job) or not job["stage"])), None
        )

    def tell(self, number: int, run: Mapping[str, Any]) -> None:
        legs, back = self.legs(run), self.rollback(run)
        sure = {job["region"] for job in legs if job["result"] == "success"}
        maybe = {job["region"] for job in legs} - sure
        count = brought(run) if back else None
        if count is not None and count <= len({*self.touched, *sure}):
            for place in maybe:  # the record knows them not: they failed before anything was changed
                self.fates[number][place] = Fate("held", f"held back: still {self.name(self.good.get(place, ''))}")
            maybe = set()
        self.touched |= dict.fromkeys(sure | maybe, number)
        finish = [job["result"] for job in run["jobs"] if job["kind"] == "finish" and self.mine(job)]
        if finish == ["success"] or (run["ok"] and not finish and not back):
            for place in {job["region"] for job in legs}:
                self.good[place] = run["commit"]
                self.touched.pop(place, None)
                self.fates[number][place] = Fate("released", f"released: {self.name(run['commit'])}")
        elif back:
            self.tell_rollback(number, run, back, count or 0)
        else:
            for place in sure | maybe:
                self.fates[number][place] = Fate("left", f"left on {self.name(run['commit'])}")

    def tell_rollback(self, number: int, run: Mapping[str, Any], back: Mapping[str, Any], count: int) -> None:
        runs = self.document["runs"]
        if only_back(run) and count > len(self.touched):  # to a release that somebody chose
            self.touched = dict.fromkeys(self.places, number)
            self.good |= {place: self.now.get((self.production, place), "") for place in self.places}
        failed = {place for place in self.touched if any(f"{back['job']}: {place}: " in x for x in run["annotations"])}
        for place, by in list(self.touched.items()):
            good = self.good.get(place, "")
            if place in failed or not good:
                why = "" if good else ": nothing to go back to"
                self.fates[number][place] = Fate("left", f"left on {self.name(runs[by]['commit'])}{why}")
                continue
            del self.touched[place]
            self.fates[number][place] = Fate("back", f"rolled back to {self.name(good)}")
            if by != number:
                self.fates[by][place] = Fate("later", f"rolled back later, by run {run['run']}")

    def trust_the_end(self) -> None:
        """What runs at the end is known: where it contradicts what the jobs seemed to do, it is right."""
        for place in self.places:
            last = next((number for number in reversed(range(len(self.fates))) if place in self.fates[number]), None)
            if last is None:
                continue
            run, now, good = self.document["runs"][last], self.now.get((self.production, place), ""), self.good[place]
            kind = self.fates[last][place].kind
            expected = {"back": good, "held": good, "released": run["commit"]}
            if expected.get(kind, now) != now:
                self.fates[last][place] = Fate("left", f"left on {self.name(now)}")
            elif kind == "left" and now == good and now != run["commit"]:
                back = self.rollback(run)
                said = f"rolled back to {self.name(now)}" if back else f"still {self.name(now)}"
                self.fates[last][place] = Fate("back" if back else "held", said)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each environment and place: the release before and now, and what happened, in words."""
        stacks = {d["stack"] for d in self.there.values()}
        waves = {place: str(n) for n, wave in enumerate(self.document["waves"], 1) for place in wave}
        keys = [key for key in self.there if key[0] != self.production or key[1] not in self.places]
        for key in [*keys, *((self.production, place) for place in self.places)]:
            of = self.there.get(key, {"account": "", "stack": "", "status": ""})
            before, now = self.before.get(key, ""), self.now.get(key, "")
            released = key[0] == self.production and key[1] in self.places
            kind, said = self.row(key[1], before, now) if released else ("same", "unchanged")
            if not released and now != before:
                kind, said = "released", f"deployed: {self.name(now)}"
            status = str(of["status"]) if key in self.now else ""
            if status and status != "COMPLETE" and not status.endswith(("CREATE_COMPLETE", "UPDATE_COMPLETE")):
                said += f"; state: {status}"
            yield {
                "environment": key[0],
                "account": of["account"],
                "region": key[1],
                "stack": of["stack"] if len(stacks) > 1 else "",
                "wave": waves.get(key[1], "") if released else "",
                "before": self.name(before),
                "now": self.name(now),
                "kind": kind,
                "said": said,
                "released": released,
            }

    def row(self, place: str, before: str, now: str) -> tuple[str, str]:
        fates = [fates[place] for fates in self.fates[self.first :] if place in fates]
        if not fates:
            return ("same", "not touched") if now == before else ("released", f"released: {self.name(now)}")
        if now == before and any(fate.kind in ("back", "later") for fate in fates):
            return "back", f"rolled back to {self.name(now)}"
        was = [fate for fate in fates if fate.kind in ("back", "later")]
        before_that = f"rolled back to {self.name(before)}, then " if was and fates[-1].kind == "released" else ""
        return fates[-1].kind, before_that + fates[-1].said


def deployed(run: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The jobs that put the run's release into a place."""
    return (job for job in run["jobs"] if job["region"] and job["kind"] == "deploy" and job["result"] == "success")


def only_back(run: Mapping[str, Any]) -> bool:
    """Is this a run of a workflow that releases nothing, and brings back what others left?"""
    kinds = {job["kind"] for job in run["jobs"]}
    return "rollback" in kinds and "deploy" not in kinds


def brought(run: Mapping[str, Any]) -> int | None:
    """How many places the run's rollback found touched, by its evidence; None if that is not there."""
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
