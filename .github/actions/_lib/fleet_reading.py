"""How the files of a fleet are read: nodes with what is wrong with them, and defaults in layers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import configuration_nodes as nodes
from configuration_nodes import KINDS as WRITTEN
from configuration_nodes import Events, Node, meant
from fleet import CONTACT

DEFAULTS = ("tags", "contacts", "baselines", "budget", "deletion-protection")


@dataclass(frozen=True)
class Layer:
    """Defaults of a unit or a file, or what an account says itself. None: it says nothing of it."""

    tags: Mapping[str, str] = field(default_factory=dict)
    contacts: Mapping[str, Mapping[str, str]] | None = None
    baselines: tuple[str, ...] = ()
    budget: float | None = None
    protected: bool | None = None

    def under(self, over: "Layer") -> "Layer":
        """This with another over it: tags are merged, baselines joined, all else is replaced."""
        return Layer(
            {**self.tags, **over.tags} if over.tags else self.tags,
            self.contacts if over.contacts is None else over.contacts,
            tuple(dict.fromkeys((*self.baselines, *over.baselines))) if over.baselines else self.baselines,
            self.budget if over.budget is None else over.budget,
            self.protected if over.protected is None else over.protected,
        )


NOTHING = Layer()


class Reading:
    """The files, and what is wrong with them so far."""

    def __init__(self, files: Mapping[str, bytes], events: Events) -> None:
        self.files, self.events = files, events
        self.problems: list[nodes.Problem] = []

    # ---- Nodes

    def wrong(self, rule: str, file: str, node: Node | None, says: str) -> None:
        line, column = (node.line, node.column) if node else (1, 1)
        self.problems.append(nodes.Problem(rule, file, line, column, says))

    def root(self, file: str) -> Node | None:
        before = len(self.problems)
        found = nodes.read(self.files[file], file, self.events, self.problems)
        if found is None and len(self.problems) == before:
            self.wrong("syntax", file, None, "is empty")
        return found

    def keys(
        self, node: Node, path: str, file: str, known: Iterable[str], needed: Iterable[str] = ()
    ) -> dict[str, tuple[Node, Node]]:
        """Key and value of a mapping's known keys."""
        found = {}
        for name, key, value in nodes.pairs(node, path, file, self.problems):
            if name in known:
                found[name] = key, value
            else:
                says = nodes.below(path, f"unknown key '{name[:60]}'{meant(name, known)}")
                self.wrong("unknown-key", file, key, says)
        for name in needed:
            if name not in found and node.kind == "map":
                self.wrong("missing-key", file, node, nodes.below(path, f"no {name}"))
        return found

    def kind(self, node: Node, path: str, file: str, *kinds: str) -> bool:
        if node.kind in kinds:
            return True
        says = f"must be {WRITTEN[kinds[0]]}, not {WRITTEN[node.kind]}"
        self.wrong("wrong-kind", file, node, nodes.below(path, says))
        return False

    def text(self, node: Node, path: str, file: str) -> str:
        """A scalar as it is written: 042 stays 042, and an account's id what it is."""
        return node.text if self.kind(node, path, file, "str", "int", "float", "bool") else ""

    def texts(self, node: Node, path: str, file: str) -> tuple[dict[str, int], tuple[str, ...]]:
        """The texts of a list, with the lines they stand on."""
        found: dict[str, int] = {}
        if self.kind(node, path, file, "list"):
            for one in node.value:
                if said := self.text(one, path, file):
                    found.setdefault(said, one.line)
        return found, tuple(found)

    def switch(self, node: Node, path: str, file: str) -> bool | None:
        return bool(node.value) if self.kind(node, path, file, "bool") else None

    def words(self, node: Node, path: str, file: str) -> dict[str, str]:
        """A mapping of texts."""
        entries = nodes.pairs(node, path, file, self.problems)
        return {name: self.text(value, nodes.below(path, name, "."), file) for name, _, value in entries}

    def layer(self, said: Mapping[str, tuple[Node, Node]], path: str, file: str) -> Layer:
        """What the keys of DEFAULTS say."""
        if not said:
            return NOTHING
        values = {name: value for name, (_, value) in said.items()}
        below = {name: nodes.below(path, name, ".") for name in values}
        budget = None
        if "budget" in values and self.kind(values["budget"], below["budget"], file, "int", "float"):
            budget = values["budget"].value
        contacts: dict[str, Mapping[str, str]] | None = None
        if "contacts" in values:
            contacts = {}
            for kind, _, value in nodes.pairs(values["contacts"], below["contacts"], file, self.problems):
                here = nodes.below(below["contacts"], kind, ".")
                found = self.keys(value, here, file, CONTACT, CONTACT)
                contacts[kind] = {key: self.text(one, f"{here}.{key}", file) for key, (_, one) in found.items()}
        return Layer(
            self.words(values["tags"], below["tags"], file) if "tags" in values else {},
            contacts,
            self.texts(values["baselines"], below["baselines"], file)[1] if "baselines" in values else (),
            budget,
            self.switch(values["deletion-protection"], below["deletion-protection"], file)
            if "deletion-protection" in values
            else None,
        )
