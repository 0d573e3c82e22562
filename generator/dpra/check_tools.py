"""The tools of the checks, as the heads of the pack's `check/tools/<tool>.sh` describe them."""

import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import PurePosixPath

from dpra import resources
from dpra.dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """A tool of the pack's check action, as the head of `check/tools/<name>.sh` describes it."""

    name: str
    serves: Mapping[str, tuple[str, ...]]  # DPRA action -> languages; `any` for all
    default_for: Mapping[str, tuple[str, ...]]  # the same, where it is the default
    head: Mapping[str, str]

    def fits(self, action: str, language: str, *, default: bool = False) -> bool:
        """Whether it does the action for the language; with `default`, without being asked for."""
        return bool({"any", language} & set((self.default_for if default else self.serves).get(action, ())))


@cache
def every() -> tuple[Tool, ...]:
    """The tools of the pack: each file of `check/tools` says what it is in its head."""
    lib = resources.lib("head")
    found = []
    for path in sorted((resources.PACK / "check" / "tools").glob("*.sh")):
        data = lib.header(path)
        served = lib.served(data)
        found.append(
            Tool(
                name=path.stem,
                serves={action: tuple(languages) for action, (languages, _) in served.items()},
                default_for={action: tuple(default) for action, (_, default) in served.items() if default},
                head={key: values[0] for key, values in data.items()},
            )
        )
    return tuple(found)


def said(names: Collection[str], key: str) -> str:
    """What one of the tools of these names says in its head; empty: none does."""
    return next((one.head[key] for one in every() if one.name in names and key in one.head), "")


def hooks(components: str) -> dict[str, str]:
    """The tools that are fast enough for a pre-commit hook, each with the expression for the files that start it.

    Args:
        components: the folder of component documents.
    """
    folder = re.escape(PurePosixPath(components).as_posix())
    return {one.name: one.head["hook"].replace("<components>", folder) for one in every() if "hook" in one.head}
