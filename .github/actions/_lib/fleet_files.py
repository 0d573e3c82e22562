"""What a platform team writes of its fleet: YAML and JSON files -> a Fleet, with every place; and what cannot be read.

Pure: files come as bytes by path, YAML as a parser's events (configuration_nodes.Events). For jobs without rights: who
has a role reads fleet.json. What the parts mean for each other is told by fleet_rules.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import configuration_nodes as nodes
import sources
from configuration_nodes import Events, Node
from fleet import ACCOUNT, ROOT, Account, Baseline, Fleet, Policy, Problem, Request, Unit, ordered
from fleet_reading import DEFAULTS, NOTHING, Layer, Reading

ORGANISATION, ACCOUNTS, POLICIES, TESTS, BASELINES = (
    *("organisation.yml", "accounts", "policies", "policies/tests", "baselines"),
)
YAML = (".yml", ".yaml")
ROLE = re.compile(r"role/[\w+=,.@*/-]{1,512}", re.ASCII)  # a path and a name of IAM, * for anything
ROOT_ID = re.compile(r"r-[0-9a-z]{4,32}")
WORD = re.compile(r"[a-z][a-z0-9-]{1,62}")
OF_ACCOUNT = ("email", "unit", "id", *DEFAULTS)
OF_BASELINE = (*("targets", "regions", "parameters", "depends-on", "concurrency", "failure-tolerance", "auto-deploy"),)
OF_ROW = ("principal", "action", "resource", "with", "expect", "why", "try")
OF_TRY = ("service", "operation", "parameters")


def wanted(names: Iterable[str]) -> list[str]:
    """Of the paths of a repository those that are read, in order."""
    found = []
    for name in names:
        last = name.rpartition("/")[2]
        if name in (ORGANISATION, f"{ACCOUNTS}.yml") or (
            name.startswith((f"{ACCOUNTS}/", f"{POLICIES}/", f"{BASELINES}/")) and not last.startswith((".", "README"))
        ):
            found.append(name)
    return sorted(found)


def in_folder(root: Path) -> dict[str, bytes]:
    """What lies in a folder; see `sources`."""
    return sources.in_folder(root, (ORGANISATION, f"{ACCOUNTS}.yml", ACCOUNTS, POLICIES, BASELINES), wanted)


def at_commit(root: Path, commit: str, folder: str = "") -> dict[str, bytes]:
    """What a commit has in a folder; see `sources`."""
    return sources.at_commit(root, commit, wanted, folder)


def build(
    files: Mapping[str, bytes], component: str, events: Events, parts: Iterable[str] = ()
) -> tuple[Fleet, list[Problem]]:
    """The fleet, as far as it could be read, and what could not. The same files give the same fleet.

    Args:
        files: path -> content, of what `wanted` names.
        component: the name in dpra.yml; it is in the tag of all that dpra makes.
        parts: the paths of units, in the order in which they are delivered; none: all at once.
    """
    reading = _Reading(files, events)
    units, layers, root, root_line, glass, glass_line = reading.organisation()
    accounts = reading.accounts(layers)
    fleet = Fleet(
        component,
        root,
        (ORGANISATION, root_line),
        tuple(units),
        tuple(sorted(accounts, key=lambda one: (one.name, one.file, one.line))),
        tuple(reading.policies()),
        tuple(reading.baselines()),
        tuple(reading.requests()),
        tuple(parts) or (ROOT,),
        glass,
        (ORGANISATION, glass_line),
    )
    rules = {"wrong-type": "wrong-value"}
    told = (Problem(one.file, one.line, rules.get(one.rule, one.rule), one.text) for one in reading.problems)
    return fleet, ordered(told)


class _Reading(Reading):
    """The files of a fleet."""

    # ---- The files

    def organisation(self) -> tuple[list[Unit], dict[str, Layer], str, int, tuple[str, ...], int]:
        """The units, the defaults that hold in each, the root's id, who breaks the glass, and where both stand."""
        units, layers = [Unit(ROOT, ORGANISATION, 1)], {ROOT: NOTHING}
        if ORGANISATION not in self.files:
            self.wrong("missing-file", ORGANISATION, None, "there is no organisation.yml; it names the units")
            return units, layers, "", 1, (), 1
        node = self.root(ORGANISATION)
        if node is None:
            return units, layers, "", 1, (), 1
        said = self.keys(node, "", ORGANISATION, ("root", "break-glass", "defaults", "units"))
        root, place = "", 1
        glass: tuple[str, ...] = ()
        if "break-glass" in said:
            lines, glass = self.texts(said["break-glass"][1], "break-glass", ORGANISATION)
            for role in glass:
                if not ROLE.fullmatch(role):
                    says = f"break-glass: '{role[:60]}' is no role such as role/break-glass"
                    self.problems.append(nodes.Problem("wrong-value", ORGANISATION, lines[role], 1, says))
        if "root" in said:
            root, place = self.text(said["root"][1], "root", ORGANISATION), said["root"][0].line
            if root and not ROOT_ID.fullmatch(root):
                self.wrong("wrong-value", ORGANISATION, said["root"][1], f"root: '{root[:40]}' is no id such as r-ab12")
        units.clear()
        self._unit(said, ROOT, ORGANISATION, 1, NOTHING, units, layers)
        return units, layers, root, place, glass, said["break-glass"][0].line if "break-glass" in said else 1

    def _unit(
        self,
        said: Mapping[str, tuple[Node, Node]],
        path: str,
        file: str,
        line: int,
        above: Layer,
        units: list[Unit],
        layers: dict[str, Layer],
    ) -> None:
        own = NOTHING
        if "defaults" in said:
            here = "defaults" if path == ROOT else f"{path}.defaults"
            own = self.layer(self.keys(said["defaults"][1], here, file, DEFAULTS), here, file)
        layers[path] = above.under(own)
        units.append(Unit(path, file, line, own.baselines))
        if "units" not in said:
            return
        for name, key, value in nodes.pairs(said["units"][1], path, file, self.problems):
            below = name if path == ROOT else f"{path}/{name}"
            if "/" in name or below == ROOT or not name:
                says = f"'{name[:60]}': a unit's name has no / in it, for paths, and is not '{ROOT}' below the root"
                self.wrong("unit-name", file, key, says)
                continue
            inner = {} if value.kind == "null" else self.keys(value, below, file, ("defaults", "units"))
            self._unit(inner, below, file, key.line, layers[path], units, layers)

    def accounts(self, layers: Mapping[str, Layer]) -> Iterator[Account]:
        for file in sorted(self.files):
            if not (file.startswith(f"{ACCOUNTS}/") or file == f"{ACCOUNTS}.yml"):
                continue
            if not file.endswith(YAML):
                self.wrong("unknown-file", file, None, "accounts are in files that end with .yml")
                continue
            if (node := self.root(file)) is None:
                continue
            said = self.keys(node, "", file, ("unit", "defaults", "accounts"), ("accounts",))
            unit = self.text(said["unit"][1], "unit", file) if "unit" in said else ""
            defaults = NOTHING
            if "defaults" in said:
                defaults = self.layer(self.keys(said["defaults"][1], "defaults", file, DEFAULTS), "defaults", file)
            if "accounts" in said:
                file_line = {"unit": said["unit"][0].line} if "unit" in said else {}
                under: dict[str, Layer] = {}  # the defaults of a unit with those of the file
                for name, key, value in nodes.pairs(said["accounts"][1], "accounts", file, self.problems):
                    found = self.keys(value, name, file, OF_ACCOUNT, ("email",))
                    own = self.layer({one: found[one] for one in DEFAULTS if one in found}, name, file)
                    where = self.text(found["unit"][1], f"{name}.unit", file) if "unit" in found else unit
                    if not where and "unit" not in found:
                        self.wrong("missing-key", file, key, f"{name}: no unit; say it here or at the top of the file")
                    if where not in under:
                        under[where] = layers.get(where, NOTHING).under(defaults)
                    whole = under[where].under(own)
                    yield Account(
                        name,
                        self.text(found["email"][1], f"{name}.email", file) if "email" in found else "",
                        where,
                        file,
                        key.line,
                        self.text(found["id"][1], f"{name}.id", file) if "id" in found else "",
                        whole.tags,
                        whole.contacts or {},
                        whole.baselines,
                        whole.budget,
                        bool(whole.protected),
                        file_line | {one: at.line for one, (at, _) in found.items()},
                    )

    def policies(self) -> Iterator[Policy]:
        here = {
            name: name.removeprefix(f"{POLICIES}/")
            for name in sorted(self.files)
            if name.startswith(f"{POLICIES}/") and not name.startswith(f"{TESTS}/")
        }
        heads: dict[str, str] = {}
        for file, inside in here.items():
            stem, _, ending = inside.rpartition(".")
            if "/" in inside or f".{ending}" not in (*YAML, ".json"):
                self.wrong("unknown-file", file, None, f"a policy is {POLICIES}/NAME.yml beside {POLICIES}/NAME.json")
            elif ending != "json":
                if stem in heads:
                    self.wrong("unknown-file", file, None, f"{heads[stem]} says the same: keep one of them")
                else:
                    heads[stem] = file
        for file, inside in here.items():
            if "/" not in inside and inside.endswith(".json") and inside.removesuffix(".json") not in heads:
                stem = inside.removesuffix(".json")
                says = f"there is no {POLICIES}/{stem}.yml, which says type and attach"
                self.wrong("missing-file", file, None, says)
        for name, file in heads.items():
            if (found := self._policy(name, file)) is not None:
                yield found

    def _policy(self, name: str, file: str) -> Policy | None:
        node = self.root(file)
        content_file = f"{POLICIES}/{name}.json"
        content: Any = None
        if content_file not in self.files:
            self.wrong("missing-file", file, None, f"there is no {content_file}, the policy's document")
        elif (document := self.root(content_file)) is not None and self.kind(document, "", content_file, "map"):
            content = nodes.plain(document, "", content_file, self.problems)
        if node is None:
            return None
        said = self.keys(node, "", file, ("type", "attach", "description", "id"), ("type", "attach"))
        lines, attach = self.texts(said["attach"][1], "attach", file) if "attach" in said else ({}, ())
        text = {key: self.text(said[key][1], key, file) if key in said else "" for key in ("type", "description", "id")}
        place = {key: at.line for key, (at, _) in said.items() if key != "attach"}
        if content is None or not text["type"]:
            return None
        return Policy(
            *(name, text["type"], content, file, node.line, content_file, attach),
            *(text["description"], text["id"], place | lines),
        )

    def baselines(self) -> Iterator[Baseline]:
        there: dict[str, dict[str, str]] = {}
        for file in sorted(self.files):
            if not file.startswith(f"{BASELINES}/"):
                continue
            name, _, part = file.removeprefix(f"{BASELINES}/").partition("/")
            stem, _, ending = part.rpartition(".")
            parts = there.setdefault(name, {}) if part else {}
            if stem not in ("baseline", "template") or f".{ending}" not in (*YAML, ".json"):
                says = f"a baseline is {BASELINES}/NAME/baseline.yml beside {BASELINES}/NAME/template.yml"
                self.wrong("unknown-file", file, None, says)
            elif stem in parts:
                self.wrong("unknown-file", file, None, f"{parts[stem]} says the same: keep one of them")
            else:
                parts[stem] = file
        for name, parts in there.items():
            for part in ("baseline", "template"):
                if parts and part not in parts:
                    says = f"there is no {BASELINES}/{name}/{part}.yml"
                    self.wrong("missing-file", next(iter(parts.values())), None, says)
            if len(parts) == 2 and (found := self._baseline(name, parts["baseline"], parts["template"])) is not None:
                yield found

    def _baseline(self, name: str, file: str, template_file: str) -> Baseline | None:
        try:
            template = self.files[template_file].decode("utf-8-sig")
        except UnicodeDecodeError:
            self.wrong("syntax", template_file, None, "not UTF-8")
            return None
        if (node := self.root(file)) is None:
            return None
        said = self.keys(node, "", file, OF_BASELINE, ("regions",))
        lists: dict[str, tuple[str, ...]] = {}
        lines = {key: at.line for key, (at, _) in said.items()}
        for key in ("targets", "regions", "depends-on"):
            found, lists[key] = self.texts(said[key][1], key, file) if key in said else ({}, ())
            lines = found | lines
        share = {
            key: self.text(said[key][1], key, file) if key in said else default
            for key, default in (("concurrency", "10%"), ("failure-tolerance", "0%"))
        }
        auto = self.switch(said["auto-deploy"][1], "auto-deploy", file) if "auto-deploy" in said else True
        parameters = self.words(said["parameters"][1], "parameters", file) if "parameters" in said else {}
        return Baseline(
            *(name, template, file, node.line, lists["targets"], lists["regions"], parameters, lists["depends-on"]),
            *(share["concurrency"], share["failure-tolerance"], bool(auto), template_file, lines),
        )

    def requests(self) -> Iterator[Request]:
        for file in sorted(self.files):
            if not file.startswith(f"{TESTS}/"):
                continue
            if not file.endswith(YAML):
                self.wrong("unknown-file", file, None, "tests of policies are in files that end with .yml")
                continue
            if (node := self.root(file)) is None:
                continue
            said = self.keys(node, "", file, ("unit", "account", "rows"), ("rows",))
            if ("unit" in said) == ("account" in said):
                self.wrong("missing-key", file, node, "say one of unit and account")
            on = self.text(said["unit"][1], "unit", file) if "unit" in said else ""
            if "account" in said:
                on = ACCOUNT + self.text(said["account"][1], "account", file)
            if "rows" in said and self.kind(said["rows"][1], "rows", file, "list"):
                for number, row in enumerate(said["rows"][1].value):
                    if (found := self._row(row, f"rows[{number}]", on, file)) is not None:
                        yield found

    def _row(self, row: Node, path: str, on: str, file: str) -> Request | None:
        needed = ("principal", "action", "resource", "expect")
        said = self.keys(row, path, file, OF_ROW, needed)
        text = {key: self.text(said[key][1], f"{path}.{key}", file) for key in (*needed, "why") if key in said}
        conditions: Any = {}
        if "with" in said and self.kind(said["with"][1], f"{path}.with", file, "map"):
            conditions = nodes.plain(said["with"][1], f"{path}.with", file, self.problems)
        attempt = self._try(said["try"][1], f"{path}.try", file) if "try" in said else {}
        if text.get("expect", "allow") not in ("allow", "deny"):
            self.wrong("wrong-value", file, said["expect"][1], f"{path}.expect: allow or deny")
        if not all(text.get(key) for key in needed) or not on:
            return None
        return Request(
            *(on, text["principal"], text["action"], text["resource"], text["expect"], file, row.line),
            *(conditions, text.get("why", ""), attempt),
        )

    def _try(self, node: Node, path: str, file: str) -> dict[str, Any]:
        """A call to AWS, as the AWS CLI has it."""
        if not self.kind(node, path, file, "map"):
            return {}
        said = self.keys(node, path, file, OF_TRY, OF_TRY[:2])
        found: dict[str, Any] = {"parameters": {}}
        for key in ("service", "operation"):
            if key in said:
                found[key] = self.text(said[key][1], f"{path}.{key}", file)
                if found[key] and not WORD.fullmatch(found[key]):
                    self.wrong(
                        "wrong-value", file, said[key][1], f"{path}.{key}: as the AWS CLI has it: describe-instances"
                    )
        if "parameters" in said and self.kind(said["parameters"][1], f"{path}.parameters", file, "map"):
            found["parameters"] = nodes.plain(said["parameters"][1], f"{path}.parameters", file, self.problems)
        return found if "service" in found and "operation" in found else {}
