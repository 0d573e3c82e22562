"""Retires images: which versions are kept and why, which are deprecated, which are deleted, and that.

A kind of image is a module, as versions.py tells. Whatever keeps a version is looked at again right
before its deletion; what was not known then deletes nothing.
"""

import dataclasses
import datetime
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
sys.path.insert(1, str(Path(__file__).resolve().parent))
import aws
import built_machines
import containers
import evidence
import images_in_use
import machines
import packed_machines
import record
import runner
import versions
from versions import Kind, Place, Version

KEPT, DEPRECATED, DELETED = "kept", "deprecated", "deleted"  # what is
DEPRECATE, DELETE = "to be deprecated", "to be deleted"  # what is decided
DAY = 86400  # seconds
REPORT = "retired-images.json"  # in the evidence
KINDS: Mapping[str, Kind] = {
    "container": containers,
    "machine": machines,
    "built-machine": built_machines,
    "packed-machine": packed_machines,
}
NEEDS = {  # of the inputs that not every kind has, in this order: what is not given is not looked at
    "container": ("PARAMETERS", "RECORD", "REPOSITORY"),
    "machine": ("PARAMETERS", "RECORD"),
    "built-machine": (),
    "packed-machine": (),
}
TOOLS = {"container": "ecr", "machine": "ami", "built-machine": "imagebuilder", "packed-machine": "packer"}


@dataclass(frozen=True)
class Rules:
    """keep: how many of the newest stay; days: how long each stays; grace: days between deprecation and deletion."""

    keep: int
    days: int
    grace: int
    now: float

    @property
    def today(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self.now, datetime.UTC).date()


@dataclass(frozen=True)
class Work:
    """What there is to do: a kind of image in some places, by these rules.

    fixed: region -> what a look at its uses found that cannot change."""

    kind: Kind
    places: Sequence[Place]
    rules: Rules
    fixed: Mapping[str, images_in_use.Fixed]


@dataclass(frozen=True)
class Known:
    """What keeps versions besides their age, in all regions.

    needed: a release's digest or commit -> what the release record has it for.
    uses: of images; problem: why one of both is not known, then nothing is changed.
    """

    needed: Mapping[str, str]
    uses: Sequence[images_in_use.Use]
    problem: str


@dataclass(frozen=True)
class State:
    """What became of a version, or what will: one of the words above, and why or when."""

    place: Place
    version: Version
    what: str
    why: str

    def now(self, what: str, why: str) -> "State":
        return dataclasses.replace(self, what=what, why=why)

    @property
    def text(self) -> str:
        return f"{self.what}, {self.why}" if self.why else self.what


def needed(kept: record.Record) -> dict[str, str]:
    """Every release that the record knows: somebody may go back to it."""
    known = [("it is being released", kept["lock"]), ("it waits for its release", kept["waiting"])]
    known += [("it is the last good release", kept["current"])]
    known += [("it is in the record's history", one) for one in kept["history"]]
    for region, entry in kept["regions"].items():
        known += [(f"{region} goes back to it", entry.get("good")), (f"{region} runs it", entry.get("now"))]
    found: dict[str, str] = {}
    for why, one in known:
        for name in filter(None, ((one or {}).get("digest"), (one or {}).get("commit"))):
            found.setdefault(name, why)
    return found


def look(work: Work) -> Known:
    """The record, and what uses images in each region.

    Raises:
        runner.Failed: the record cannot be read.
    """
    kept, problems = record.empty(), []
    if runner.given("RECORD"):
        where = record.given()
        kept, etag = record.read(where)
        problems = [] if etag else [f"there is no release record s3://{where.bucket}/{where.key}"]
    uses: list[images_in_use.Use] = []
    with ThreadPoolExecutor(len(work.places)) as pool:
        asked = [pool.submit(work.kind.uses, place, work.fixed[place.region]) for place in work.places]
        for answer in asked:
            try:
                uses += answer.result()
            except images_in_use.NotKnownError as problem:
                problems.append(str(problem))
    return Known(needed(kept), uses, "; ".join(problems))


def decide(work: Work, place: Place, known: Known) -> list[State]:
    """What is to become of each version in a region, the newest first."""
    found, latest = work.kind.look(place)
    newest = [one.name for one in found if one.image and not one.strange][: work.rules.keep]
    why = {one.name: reason(work, place, one, {*newest}, latest, known) for one in found}
    kept = {name: one.name for one in found if why[one.name] for name in one.names}
    states = []
    for one in found:
        said = why[one.name] or (f"its image is one of {kept[one.image]}" if one.image in kept else "")
        states.append(State(place, one, *((KEPT, said) if said else due(one, work.rules))))
    return states


def reason(work: Work, place: Place, one: Version, newest: set[str], latest: set[str], known: Known) -> str:
    """Why a version is kept; empty where nothing keeps it."""
    rules = work.rules
    if one.strange:
        return one.strange
    if one.name in newest:
        return f"it is one of the newest {rules.keep}"
    if rules.now - one.at < rules.days * DAY:
        return f"it is younger than {rules.days} days"
    if one.image in latest:
        return "it is the latest"
    for name in one.release:
        if name in known.needed:
            return f"needed by the release record, {known.needed[name]}"
    for use in known.uses:
        if work.kind.used(place, use) & one.names:
            return f"in use by {use.kind} {use.by}"
    if known.problem:
        return "whether it is needed is not known"
    if rules.now - one.last < rules.days * DAY:
        return f"it was {work.kind.LOOKED_AT} on {datetime.datetime.fromtimestamp(one.last, datetime.UTC).date()}"
    return one.held


def due(one: Version, rules: Rules) -> tuple[str, str]:
    """What is to become of a version that nothing keeps."""
    since = one.deprecated or rules.today
    ends = since + datetime.timedelta(rules.grace)
    if ends <= rules.today:
        return DELETE, f"deprecated since {since}"
    return DEPRECATED if one.deprecated else DEPRECATE, f"since {since}; to be deleted on {ends}"


def carry_out(work: Work, state: State) -> State:
    """Do what was decided; what became of the version.

    Raises:
        runner.Failed: it cannot be done, or whether it may be done is not known any more.
    """
    place, one = state.place, state.version
    if state.what == KEPT and versions.MARK in one.tags and one.image:
        work.kind.restore(place, one)  # or it would go at once when nothing keeps it any more
        return state.now(KEPT, f"{state.why}; deprecated no more")
    if state.what == DEPRECATE:
        versions.withdraw(place, one)  # first: the mark says that it is done
        work.kind.deprecate(place, one, work.rules.today)
        return state.now(DEPRECATED, state.why)
    if state.what != DELETE:
        return state
    again = look(work)
    if again.problem:
        raise runner.Failed(again.problem, "error")
    then = {now.version.name: now for now in decide(work, place, again)}.get(one.name)
    if not then or then.version.image != one.image:
        return state.now(KEPT, "somebody else changed it a moment ago")
    if then.what != DELETE:
        return then
    versions.withdraw(place, then.version)  # it may be deprecated since before there was a product
    work.kind.delete(place, then.version)
    return state.now(DELETED, state.why)


def carry_out_all(work: Work, states: Sequence[State]) -> tuple[list[State], str]:
    """What became of each version, and the problem that ended the work; after that nothing more is changed."""
    done: list[State] = []
    for state in states:
        try:
            done.append(carry_out(work, state))
        except (runner.Failed, OSError) as problem:
            left = state.now(f"{state.what}, but that failed", state.why)
            return [*done, left, *states[len(done) + 1 :]], str(problem) or type(problem).__name__
    return done, ""


def show(states: Sequence[State], rules: Rules, title: str) -> None:
    """Each version in the log, in the summary, and in a file of the evidence."""
    rows, kept = [], []
    for state in states:
        region, one = state.place.region, state.version
        days = int((rules.now - one.at) // DAY)
        runner.say(f"{region} {one.name}, {days} days old: {state.text}")
        rows.append((runner.code(region), runner.code(one.name), f"{days} days", runner.code(state.text)))
        kept.append(
            {"region": region, "version": one.name, "image": one.image, "days": days}
            | {"state": state.what, "why": state.why}
        )
    runner.summary(title, ("region", "version", "age", "state"), rows)
    content = {"keep": rules.keep, "days": rules.days, "deprecate-days": rules.grace, "versions": kept}
    (evidence.directory() / REPORT).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def number(name: str, least: int) -> int:
    said = runner.required(name)
    if said.isascii() and said.isdigit() and int(said) >= least:
        return int(said)
    input_name = name.lower().replace("_", "-")
    raise runner.Failed(f"the input '{input_name}' is '{said}': needs a number, {least} or more", "error")


def of_component(name: str) -> str:
    """An input that must be a path with the component's name at its end: nothing else's images are touched."""
    said, component = runner.required(name), runner.required("COMPONENT")
    if said.rpartition("/")[2] != component:
        raise runner.Failed(f"the input '{name.lower()}' is '{said}': needs one that ends with '{component}'", "error")
    return said


def places(kind: str) -> list[Place]:
    """The places that the inputs name.

    Raises:
        runner.Failed: one is missing that the kind needs, or there is one that it does not look at."""
    if strange := [name for name in NEEDS["container"] if name not in NEEDS[kind] and runner.given(name)]:
        raise runner.Failed(f"the input '{strange[0].lower()}' goes not together with kind '{kind}'", "error")
    account, component = runner.required("ACCOUNT"), runner.required("COMPONENT")
    given = {name: of_component(name) for name in NEEDS[kind] if name != "RECORD"}
    if "RECORD" in NEEDS[kind]:
        runner.required("RECORD")
    paths = (given.get("REPOSITORY", ""), given.get("PARAMETERS", ""))
    offered, regions = products(kind), runner.required("REGIONS").split()
    return [Place(account, region, component, *paths, offered.get(region, "")) for region in regions]


def products(kind: str) -> dict[str, str]:
    """Region -> the product of Service Catalog that offers the versions there."""
    text = runner.given("PRODUCTS") or "{}"
    try:
        found = {str(region): str(product) for region, product in json.loads(text).items()}
    except (ValueError, AttributeError) as problem:
        raise runner.Failed(f"the input 'products' is '{text}': needs a JSON object by region", "error") from problem
    if found and not NEEDS[kind]:
        raise runner.Failed(f"the input 'products' goes not together with kind '{kind}'", "error")
    return found


def kind_given() -> str:
    said = runner.required("KIND")
    if said not in KINDS:
        raise runner.Failed(f"the input 'kind' is '{said}': needs one of {', '.join(KINDS)}", "error")
    return said


def main() -> None:
    with evidence.recorded("retire-images", tool=TOOLS.get(runner.given("KIND"), "")) as facts:
        kind, dry = kind_given(), runner.switch("DRY_RUN")
        rules = Rules(number("KEEP", 1), number("DAYS", 0), number("DEPRECATE_DAYS", 0), time.time())
        where = places(kind)
        facts["where"] = where[0].parameters or runner.required("COMPONENT")
        aws.expect_account(runner.required("RECORD_REGION"), where[0].account)
        work = Work(KINDS[kind], where, rules, {place.region: {} for place in where})
        known = look(work)
        states = [state for place in where for state in decide(work, place, known)]
        problem = f"{known.problem}: nothing is deprecated or deleted" if known.problem else ""
        if not dry and not problem:
            states, problem = carry_out_all(work, states)
        show(states, rules, "Images that would be retired; nothing is changed" if dry else "Images")
        facts["findings"] = dict(Counter(state.what for state in states))
        if problem and states:  # before its first release a component has no record, and nothing to retire
            raise runner.Failed(problem, "error")


main()
