"""A small organisation that the plan of a fleet is applied to, and any fleets, for the tests of plans.

The organisation here refuses what AWS refuses: a target that is not there, an address twice, a policy too many."""

import copy
import sys
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

LIB = Path(__file__).parents[2] / ".github" / "actions" / "_lib"
sys.dont_write_bytecode = True
sys.path.insert(0, str(LIB))
import fleet as desired  # noqa: E402
import fleet_parts  # noqa: E402
import fleet_plan  # noqa: E402
import fleet_rules  # noqa: E402
import fleet_seen  # noqa: E402
import fleet_steps  # noqa: E402
from fleet import Account, Baseline, Fleet, Policy, Unit  # noqa: E402

__all__ = ["fleet_parts", "fleet_rules", "fleet_steps"]  # with all else, for the tests

OURS, OTHER = {"dpra:component": "org"}, {"dpra:component": "else"}
SCP, RCP, TAG = "SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY", "TAG_POLICY"
ROOT = "r-ab12"


def everything(kind: str, name: str) -> dict[str, Any]:
    return {
        **{"id": f"p-{name}", "name": name, "type": kind, "content": {"Effect": "Allow"}, "tags": {}},
        **{"attachments": [ROOT, "999999999999"], "aws-managed": True, "description": ""},
    }


def empty() -> dict[str, Any]:
    """An organisation with nothing but its management account."""
    return {
        "management": "999999999999",
        "root": {"id": ROOT, "types": [SCP, RCP, TAG]},
        "units": [],
        "accounts": [account("999999999999", "root", ROOT)],
        "policies": [everything(SCP, "FullAWSAccess"), everything(RCP, "RCPFullAWSAccess")],
        "stack-sets": [],
    }


def account(number: str, name: str, parent: str, **more: Any) -> dict[str, Any]:
    about = {"id": number, "email": f"{name}@example.com", "name": name, "parent": parent, "status": "ACTIVE"}
    return about | {"tags": {}, "contacts": {}, "budget": None} | more  # the last two as AWS has them: no plan looks


class Organisation:
    """A seen.json that a plan is applied to; and where stacks are, which StackSets know and seen.json does not say."""

    def __init__(self, document: dict[str, Any], fleet: Fleet) -> None:
        self.document, self.fleet = copy.deepcopy(document), fleet
        self.stacks = {one["name"]: self.reached(one) for one in document["stack-sets"]}

    @property
    def seen(self) -> Any:
        return fleet_seen.Seen.from_json(self.document)

    def one(self, what: str, key: str, value: str) -> Any:
        [found] = [one for one in self.document[what] if one[key] == value]
        return found

    def id(self, ref: str) -> str:
        if not ref.startswith("account:"):
            return str(self.seen.unit_ids[ref])
        name = ref.removeprefix("account:")
        if name in self.fleet.by_name:
            wanted = self.fleet.by_name[name]
            return wanted.id or str(self.seen.by_email[wanted.email.lower()].id)
        return str(self.seen.by_id[name].id)

    def below(self, target: str) -> set[str]:
        seen = self.seen
        if target in seen.by_id:
            return {target}
        members = set(seen.members.get(seen.paths[target], ()))
        return members - {seen.management}

    def reached(self, one: Any) -> set[tuple[str, str]]:
        return {
            (number, region)
            for target, regions in self.regions(one).items()
            for number in self.below(target)
            for region in regions
        }

    def regions(self, one: Any) -> dict[str, set[str]]:
        """Those of each target, in which its stacks are."""
        missing = one.get("missing", {})
        targets = (*one["units"], *one["accounts"])
        return {two: {name for name in one["regions"] if two not in missing.get(name, ())} for two in targets}

    def in_regions(self, one: Any, regions: dict[str, set[str]]) -> None:
        one["regions"] = sorted(set().union(*regions.values()))
        missing = {name: sorted(two for two in regions if name not in regions[two]) for name in one["regions"]}
        one["missing"] = {name: some for name, some in missing.items() if some}
        one["outdated"] = sorted(set(one.get("outdated", ())) & set(regions))

    def apply(self, plan: Any) -> None:
        assert plan.refused == ()
        for step in plan.steps:
            self.do(step, plan)
        self.deployed_everywhere()

    def do(self, step: Any, plan: Any) -> None:
        getattr(self, step.action.replace("-", "_"))(step.on, step.details, plan.ids)

    def deployed_everywhere(self) -> None:
        for one in self.document["stack-sets"]:
            if one["auto-deploy"] and one["tags"] == OURS:
                assert self.stacks[one["name"]] == self.reached(one), one["name"]

    def mine(self, thing: Any, adopted: Any = ()) -> Any:
        assert thing["tags"].get("dpra:component") == "org" or thing["id"] in {one.id for one in adopted}, thing
        return thing

    def added(self, number: str) -> None:
        for one in self.document["policies"]:
            if one["aws-managed"]:
                one["attachments"].append(number)

    def create_unit(self, on: str, says: Any, ids: Any) -> None:
        assert on not in self.seen.unit_ids
        number = f"ou-ab12-{len(self.document['units']):08}"
        about = {"id": number, "name": says["name"], "parent": self.id(says["parent"]), "tags": says["tags"]}
        self.document["units"].append(about)
        self.added(number)

    def create_account(self, on: str, says: Any, ids: Any) -> None:
        assert says["email"].lower() not in self.seen.by_email
        number = f"{len(self.document['accounts']) + 100:012}"
        made = account(number, says["name"], ROOT, email=says["email"], tags=dict(says["tags"]))
        self.document["accounts"].append(made)
        self.added(number)
        self.deployed(number, set())

    def of(self, on: str) -> Any:
        return self.mine(self.one("accounts", "id", self.id(on)), self.fleet.accounts)

    def deployed(self, number: str, before: set[str]) -> None:
        """What auto-deployment does to an account that comes into a unit, or leaves one."""
        for one in self.document["stack-sets"]:
            was = bool(before & set(one["units"])) or number in one["accounts"]
            regions = [
                some for two, some in self.regions(one).items() if two in one["units"] and number in self.below(two)
            ]
            if one["auto-deploy"] and (was or regions):
                own = self.regions(one).get(number, set())
                stays = {two for two in self.stacks[one["name"]] if two[0] != number or two[1] in own}
                self.stacks[one["name"]] = stays | {(number, region) for region in set().union(*regions)}

    def move_account(self, on: str, says: Any, ids: Any) -> None:
        found, seen = self.of(on), self.seen
        assert (seen.paths[found["parent"]], found["status"]) == (says["from"], "ACTIVE")
        before = {seen.unit_ids[path] for path in desired.line(says["from"])}
        found["parent"] = self.id(says["to"])
        self.deployed(found["id"], before)

    def tag_account(self, on: str, says: Any, ids: Any) -> None:
        assert any(self.of(on)["tags"].get(key) != value for key, value in says["tags"].items())
        for key, value in says["tags"].items():  # what is remembered is so
            kind = key.removeprefix(desired.REMEMBERED)
            assert kind == key or desired.contact_mark(self.of(on)["contacts"][kind]) == value
            assert key != desired.BUDGET or desired.amount(self.of(on)["budget"]) == value
        self.of(on)["tags"] |= says["tags"]

    def untag_account(self, on: str, says: Any, ids: Any) -> None:
        for key in says["keys"]:
            assert not key.startswith(("aws:", "dpra:")) or key in (desired.PROTECTED, desired.BUDGET)
            assert key != desired.BUDGET or self.of(on)["budget"] is None
            del self.of(on)["tags"][key]

    def set_contact(self, on: str, says: Any, ids: Any) -> None:
        self.of(on)["contacts"][says["contact"]] = {key: value for key, value in says.items() if key != "contact"}

    def set_budget(self, on: str, says: Any, ids: Any) -> None:
        self.of(on)["budget"] = says["amount"]

    def remove_budget(self, on: str, says: Any, ids: Any) -> None:
        self.of(on)["budget"] = None

    def create_policy(self, on: str, says: Any, ids: Any) -> None:
        assert on not in {one["name"] for one in self.document["policies"]}
        assert (on != says.get("policy", on)) == ("dpra:next" in says["tags"])
        [policy] = [one for one in self.fleet.policies if one.name == says.get("policy", on)]
        number = (
            max((int(one["id"][5:]) for one in self.document["policies"] if one["id"].startswith("p-new")), default=0)
            + 1
        )
        about = {"id": f"p-new{number}", "name": on, "type": desired.KINDS[says["type"]].aws}
        about |= {"content": policy.content, "description": says["description"], "tags": says["tags"]}
        self.document["policies"].append({**about, "attachments": [], "aws-managed": False})
        assert desired.same(policy.content) == says["content"]

    def policy(self, on: str, says: Any, ids: Any) -> Any:
        known = ids.get(f"policy:{says['type']} {on}")
        found = self.one("policies", "id", known) if known else self.one("policies", "name", on)
        assert found["type"] == desired.KINDS[says["type"]].aws
        return self.mine(found, self.fleet.policies)

    def update_policy(self, on: str, says: Any, ids: Any) -> None:
        [policy] = [one for one in self.fleet.policies if one.name == on]
        about = {"name": on, "content": policy.content, "description": policy.description}
        self.policy(on, says, ids).update(about)

    def attach_policy(self, on: str, says: Any, ids: Any) -> None:
        found, target = self.policy(on, says, ids), self.id(says["target"])
        assert target not in found["attachments"]
        found["attachments"].append(target)
        kind = desired.KINDS[says["type"]]
        there = [one for one in self.document["policies"] if one["type"] == kind.aws and target in one["attachments"]]
        assert kind.attached is None or len(there) <= kind.attached

    def detach_policy(self, on: str, says: Any, ids: Any) -> None:
        found, target = self.policy(on, says, ids), self.id(says["target"])
        assert ids.get(says["target"], target) == target
        found["attachments"].remove(target)
        there = [one for one in self.document["policies"] if one["type"] == found["type"]]
        assert found["type"] == TAG or any(target in one["attachments"] for one in there)

    def delete_policy(self, on: str, says: Any, ids: Any) -> None:
        found = self.policy(on, says, ids)
        assert found["attachments"] == []
        self.document["policies"].remove(found)

    def create_baseline(self, on: str, says: Any, ids: Any) -> None:
        assert on not in self.stacks
        for other in says["depends-on"]:
            self.one("stack-sets", "name", other)
        about = {key: says[key] for key in ("template", "parameters", "depends-on", "auto-deploy", "tags")}
        about |= {"regions": [], "units": [], "accounts": [], "missing": {}, "outdated": []}
        self.document["stack-sets"].append({"name": on, **about})
        self.stacks[on] = set()

    def stack_set(self, on: str) -> Any:
        return self.mine(self.one("stack-sets", "name", on))

    def update_baseline(self, on: str, says: Any, ids: Any) -> None:
        found = self.stack_set(on)
        everywhere = {*found["units"], *found["accounts"]}
        targets = {self.id(ref) for ref in says.get("targets", ())} or everywhere
        assert targets <= everywhere, "no stacks there"
        if says["put"]:
            found.update({key: says[key] for key in ("template", "parameters", "depends-on", "auto-deploy")})
            found["outdated"] = sorted(everywhere)
        else:
            assert found["template"] == says["template"]
        found["outdated"] = sorted(set(found.get("outdated", ())) - targets)

    def target_baseline(self, on: str, says: Any, ids: Any) -> None:
        found = self.stack_set(on)
        regions = self.regions(found)
        for refs, news in ((says["add"], says["regions"]), (says["there"], says["new-regions"])):
            for ref in refs:
                target = self.id(ref)
                kind = "accounts" if ref.startswith("account:") else "units"
                found[kind] = sorted({*found[kind], target})
                regions[target] = regions.get(target, set()) | set(news)
                self.stacks[on] |= {(number, region) for number in self.below(target) for region in news}
        self.in_regions(found, regions)

    def target_accounts(self, on: str, says: Any, ids: Any) -> None:
        assert all(ref.startswith("account:") for ref in says["add"])
        self.target_baseline(on, {**says, "there": [], "new-regions": []}, ids)

    def untarget_baseline(self, on: str, says: Any, ids: Any) -> None:
        found = self.stack_set(on)
        regions = self.regions(found)
        kept = {self.id(ref) for ref in says["keeps"]}
        for ref in says["remove"]:
            inside = self.below(self.id(ref)) - kept
            gone = regions.pop(self.id(ref))
            self.stacks[on] -= {(number, region) for number in inside for region in gone}
            found["accounts" if ref.startswith("account:") else "units"].remove(ids[ref])
        for ref in says["there"]:
            regions[self.id(ref)] -= set(says["old-regions"])
            inside = self.below(self.id(ref))
            self.stacks[on] -= {(number, region) for number in inside for region in says["old-regions"]}
        self.in_regions(found, regions)


def applied(document: dict[str, Any], fleet: Fleet) -> dict[str, Any]:
    organisation = Organisation(document, fleet)
    organisation.apply(fleet_plan.plan(fleet, organisation.seen))
    return organisation.document


def planned(document: dict[str, Any], fleet: Fleet) -> Any:
    return fleet_plan.plan(fleet, fleet_seen.Seen.from_json(document))


def fleet(
    accounts: Any = (), policies: Any = (), baselines: Any = (), units: Any = ("A", "A/B", "C"), **more: Any
) -> Any:
    made = [Unit("root", "organisation.yml", 1)]
    made += [Unit(path, "organisation.yml", 2, more.get("asked", {}).get(path, ())) for path in sorted(units)]
    lists = (tuple(made), tuple(accounts), tuple(policies), tuple(baselines))
    return Fleet("org", "", ("organisation.yml", 1), *lists, parts=(*more.get("parts", ()), "root"))


def wanted(name: str, unit: str = "A", **more: Any) -> Any:
    return Account(name, more.pop("email", f"{name}@example.com"), unit, "accounts/a.yml", 3, **more)


def policy(name: str, *attach: str, kind: str = "service-control-policy", **more: Any) -> Any:
    return Policy(name, kind, more.pop("content", {"a": name}), f"policies/{name}.yml", 1, attach=attach, **more)


def baseline(name: str, *targets: str, **more: Any) -> Any:
    given_ = {"template": "Resources: {}", "regions": ("eu-west-1",), "targets": targets} | more
    return Baseline(name=name, file=f"baselines/{name}/baseline.yml", line=1, **given_)


# ---- Any fleet, any organisation

PATHS = ["A", "A/B", "A/B/C", "D", "D/B", "E"]
NAMES = ["a1", "a2", "a3", "a4", "a5"]
TEXT = st.sampled_from(["x", "y"])


@st.composite
def fleets(draw: Any, parts: bool = False) -> Any:
    paths = draw(st.sets(st.sampled_from(PATHS)))
    paths = {above for path in paths for above in desired.line(path)} - {"root"}
    units = st.sampled_from(["root", *sorted(paths)])
    asked = {path: tuple(draw(st.sets(st.sampled_from(["b1", "b2"]), max_size=1))) for path in sorted(paths)}
    names = sorted(draw(st.sets(st.sampled_from(NAMES))))
    accounts = [
        wanted(
            *(name, draw(units)),
            tags=draw(st.dictionaries(st.sampled_from(["t1", "t2"]), TEXT)),
            contacts=draw(
                st.dictionaries(st.sampled_from(["security", "billing"]), st.fixed_dictionaries({"name": TEXT}))
            ),
            baselines=tuple(draw(st.sets(st.sampled_from(["b1", "b2"])))),
            budget=draw(st.sampled_from([None, 5, 7.5])),
            deletion_protection=draw(st.booleans()),
        )
        for name in names
    ]
    refs = st.sampled_from(["root", *sorted(paths), *(f"account:{name}" for name in names)])
    kinds = {"p1": "service-control-policy", "p2": "resource-control-policy", "p3": "tag-policy", "p4": "tag-policy"}
    policies = [
        policy(name, *sorted(draw(st.sets(refs, max_size=4))), kind=kinds[name], content={"c": draw(TEXT)},
               description=draw(TEXT))
        for name in sorted(draw(st.sets(st.sampled_from(sorted(kinds)))))
    ]  # fmt: skip
    regions = st.sets(st.sampled_from(["eu-west-1", "us-east-1"]), min_size=1)
    baselines = []
    for name in ("b1", "b2"):
        about = {"template": draw(TEXT), "regions": tuple(sorted(draw(regions)))}
        about |= {"parameters": draw(st.dictionaries(st.just("P"), TEXT)), "depends_on": ("b2",) * (name == "b1")}
        baselines.append(baseline(name, *sorted(draw(st.sets(refs, max_size=3))), **about))
    listed = draw(st.lists(st.sampled_from(sorted(paths)), unique=True, max_size=4)) if parts and paths else ()
    return fleet(accounts, policies, baselines, paths, asked=asked, parts=listed)


@st.composite
def strangers(draw: Any, document: dict[str, Any]) -> Any:
    """Things that are not dpra's, and drift of those that are."""
    document = copy.deepcopy(document)
    units = [ROOT, *(unit["id"] for unit in document["units"])]
    for number in range(draw(st.integers(0, 2))):
        about = {"name": draw(st.sampled_from(["E", "A/B", "Z", "root"])), "parent": draw(st.sampled_from(units))}
        document["units"].append({"id": f"ou-ab12-other{number:03}", **about, "tags": {}})
    names = [(unit["parent"], unit["name"]) for unit in document["units"]]
    document["units"] = [unit for place, unit in enumerate(document["units"]) if names.index(names[place]) == place]
    units = [ROOT, *(unit["id"] for unit in document["units"])]
    for number in range(draw(st.integers(0, 2))):
        parent, tags = draw(st.sampled_from(units)), draw(st.sampled_from([{}, {"t": "1"}, OTHER]))
        document["accounts"].append(account(f"{number + 900:012}", f"other{number}", parent, tags=tags))
    everywhere = [*units, *(one["id"] for one in document["accounts"])]
    about = {"id": "p-other", "name": "other", "type": draw(st.sampled_from([SCP, TAG])), "content": {"x": 1}}
    targets = sorted(draw(st.sets(st.sampled_from(everywhere), max_size=3)))
    document["policies"].append({**about, "tags": {}, "attachments": targets, "aws-managed": False, "description": "o"})
    targets = sorted(draw(st.sets(st.sampled_from(units), max_size=2)))
    about = {"name": "their-baseline", "tags": OTHER, "template": "t", "parameters": {}, "regions": ["eu-west-1"]}
    document["stack-sets"].append({**about, "units": targets, "accounts": [], "depends-on": [], "auto-deploy": True})
    for one in document["policies"]:
        if one["aws-managed"]:
            one["attachments"] = sorted({*one["attachments"], *everywhere})
        elif one["tags"] and draw(st.booleans()):
            one["attachments"] = sorted(draw(st.sets(st.sampled_from(everywhere), max_size=3)))
    for one in document["accounts"]:
        if one["tags"].get("dpra:component") == "org" and draw(st.booleans()):
            one["parent"] = draw(st.sampled_from(units))
            one["tags"] = {**one["tags"], "drift": "1", "aws:x": "1"}
    return document


@st.composite
def situations(draw: Any, parts: bool = False) -> Any:
    """A fleet, and an organisation that another one of it has been; with strangers in it."""
    before = draw(fleets(parts))
    return draw(fleets(parts)), draw(strangers(applied(empty(), before)))


def foreign(document: dict[str, Any]) -> dict[str, Any]:
    """What is not dpra's, as it is, but for what AWS itself attaches to what is new."""
    found = {}
    for what in ("units", "accounts", "policies", "stack-sets"):
        for one in document[what]:
            if one["tags"].get("dpra:component") != "org":
                left = {key: value for key, value in one.items() if key != "attachments" or not one["aws-managed"]}
                found[f"{what} {one.get('id', one['name'])}"] = left
    return found


def as_wanted(document: dict[str, Any], wants: Any) -> None:
    """The organisation is as the files say, looked up thing by thing."""
    seen = fleet_seen.Seen.from_json(document)
    emails = {one["email"]: one for one in document["accounts"]}
    names = {one["id"]: f"account:{one['name']}" for one in document["accounts"]} | seen.paths
    for one in wants.accounts:
        there = emails[one.email]
        old = {desired.REMEMBERED + kind for kind in set(there["contacts"]) - set(one.contacts)}  # they stay
        tags = {key: value for key, value in there["tags"].items() if not key.startswith("aws:") and key not in old}
        assert (seen.paths[there["parent"]], tags, there["budget"]) == (one.unit, wants.tags(one), one.budget)
        assert one.contacts.items() <= there["contacts"].items()
    assert {unit.path for unit in wants.units} <= set(seen.unit_ids)
    policies = {one["name"]: one for one in document["policies"] if one["tags"].get("dpra:component") == "org"}
    assert set(policies) == {one.name for one in wants.policies}
    for one in wants.policies:
        there = policies[one.name]
        about = (there["content"], there["description"], {names[target] for target in there["attachments"]})
        assert about == (one.content, one.description, set(one.attach))
    sets = {one["name"]: one for one in document["stack-sets"]}
    for one in wants.baselines:
        there = sets[f"org-{one.name}"]
        told = (there["template"], there["parameters"], there["depends-on"])
        assert told == (desired.digest(one.template), one.parameters, [f"org-{other}" for other in one.depends_on])
        units, accounts = (set(some) for some in wants.targets[one.name])
        reached = {names[target] for target in (*there["units"], *there["accounts"])}
        assert not (units or accounts) or there["regions"] == list(one.regions)
        assert (there["outdated"], there["missing"]) == ([], {})
        for number, lies in seen.by_id.items():
            ref, way = names[number], list(desired.line(seen.unit(lies)))
            has = bool({ref, *way} & reached)
            assert number == seen.management or has == (ref in accounts or bool(units & set(way))), (one.name, ref)
        for path in seen.unit_ids:  # whoever comes into a unit of one part has it, too
            way = set(desired.line(path))
            parts = {wants.part(below) for below in seen.unit_ids if path in desired.line(below)}
            assert not units & way or len(parts) > 1 or reached & way
            assert units & way or path not in reached


def inherited(document: dict[str, Any], number: str) -> set[str]:
    """What holds for an account by what is attached to it and above it, looked up step by step."""
    parents = {one["id"]: one["parent"] for one in (*document["units"], *document["accounts"])}
    way = [number]
    while way[-1] in parents:
        way.append(parents[way[-1]])
    management = number == document["management"]
    found = set()
    for one in document["policies"]:
        if set(way) & set(one["attachments"]) and not (management and one["type"] in (SCP, RCP)):
            found.add(f"{desired.WORDS[one['type']]} {one['name']}")
    for one in document["stack-sets"]:
        if set(way) & {*one["units"], *one["accounts"]} and not management:
            found.add(f"stack set {one['name']}")
    return found


def rules(notes: Any) -> list[str]:
    return [f"{one.rule} {one.on}" for one in notes]


def lived() -> tuple[dict[str, Any], Any]:
    """An organisation as a fleet wants it."""
    wants = fleet(
        [wanted("shop", "A/B", budget=9, tags={"team": "shop"}), wanted("data", "C")],
        [policy("deny", "A", "account:data"), policy("tags", "root", kind="tag-policy")],
        [baseline("base", "A"), baseline("more", "account:data", depends_on=("base",))],
    )
    return applied(empty(), wants), wants
