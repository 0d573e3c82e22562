"""What of the pack a repository needs: the actions that its workflows use, and what those run, import and read."""

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from posixpath import normpath

from dpra import resources

PYTHON = re.compile(r"^ *(?:from|import) (\w+)", re.MULTILINE)
NAMED = re.compile(r"\$GITHUB_ACTION_PATH/([\w./-]+)|\$CHECK/([\w./-]+)|BASH_SOURCE\[0\]\}\"\)/([\w.-]+)")


def files(
    used: Iterable[str], tools: Collection[str], deployers: Collection[str], commands: Collection[str]
) -> dict[str, bytes]:
    """The files of the pack, by their paths in it.

    Args:
        used: actions, or files of the pack, that workflows and hooks name.
        tools: the tools of the check action.
        deployers: the deploy tools.
        commands: those of the test action, which may run a script that lies beside it.
    """
    wanted = dict.fromkeys(name if "/" in name else f"{name}/action.yml" for name in used)
    found: dict[str, bytes] = {}
    while wanted:
        path, _ = wanted.popitem()
        if path not in found:
            content, others = _read(path)
            found[path] = content
            wanted |= dict.fromkeys(others)
            if path == "check/scan.py":
                wanted |= dict.fromkeys(_of_tools(tools))
            if path == "test/action.yml":
                beside = [name for command in commands for name, *_ in NAMED.findall(command) if name]
                wanted |= dict.fromkeys(f"test/{name}" for name in beside)
            if path == "_lib/image_difference.py":
                wanted |= dict.fromkeys(_of_tools(["trivy"]))
            if path == "_lib/deployment.py":
                wanted |= dict.fromkeys(f"_lib/deployers/{name}.py" for name in deployers)
    return found


def _of_tools(tools: Collection[str]) -> Iterator[str]:
    for tool in tools:
        yield f"check/tools/{tool}.sh"
        yield from (path for path in _below("check/locks") if path.split("/")[2].partition(".")[0] == tool)


@cache
def _below(name: str) -> list[str]:
    """The files in a folder of the pack, at any depth; the file itself where it is one."""
    every = resources.below(resources.PACK)
    return [name] if name in every else [path for path in every if path.startswith(f"{name}/")]


@cache
def _read(path: str) -> tuple[bytes, list[str]]:
    """A file, and the files of the pack that it runs, imports or reads."""
    content = resources.content(resources.PACK / path)
    folder, found, every = path.partition("/")[0], list[str](), resources.below(resources.PACK)
    if path.endswith(".py"):
        for name in dict.fromkeys(PYTHON.findall(content.decode())):
            found += [there for there in (f"{folder}/{name}.py", f"_lib/{name}.py") if there in every]
    elif path.endswith((".sh", ".yml")):
        for groups in NAMED.findall(content.decode()):
            found += _below(normpath(f"{folder}/{''.join(groups)}"))
    return content, found
