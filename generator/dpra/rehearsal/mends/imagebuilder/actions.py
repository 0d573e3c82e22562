"""The actions of components that a rehearsal does: commands, and simple ones on files. All of them are run in the root.

Source: https://docs.aws.amazon.com/imagebuilder/latest/userguide/toe-action-modules.html"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...roots import Done, run

Action = Callable[[Path, Any, float | None], Done]


class Failed(Exception):
    """An action failed. `str()` says why; `log` is what it printed."""

    def __init__(self, why: str, log: str = "") -> None:
        super().__init__(why)
        self.log = log


def execute_bash(root: Path, inputs: Any, limit: float | None) -> Done:
    return run(root, ["bash", "-c", "\n".join(map(str, inputs["commands"]))], limit)


def execute_binary(root: Path, inputs: Any, limit: float | None) -> Done:
    return run(root, [inputs["path"], *map(str, inputs.get("arguments") or ())], limit)


def update_os(root: Path, inputs: Any, limit: float | None) -> Done:
    if inputs:
        raise Failed("not supported by the rehearsal: UpdateOS with inputs")
    return run(root, ["sh", "-c", "apt-get update && apt-get -y upgrade"], limit)


def reboot(root: Path, inputs: Any, limit: float | None) -> Done:
    return Done(0, "", "")


# Of one entry of the inputs, whose keys are variables; `content` is its standard input.
FILES = {
    "AppendFile": 'test -f "$path"; cat >> "$path"',
    "CreateFile": 'if [ "$overwrite" = false ] && [ -e "$path" ]; then echo "$path exists" >&2; exit 1; fi; '
    'mkdir -p "$(dirname "$path")"; cat > "$path"; chmod "${permissions:-0644}" "$path"',
    "CreateFolder": 'if [ "$overwrite" = false ] && [ -e "$path" ]; then echo "$path exists" >&2; exit 1; fi; '
    'mkdir -p "$path"; chmod "${permissions:-0755}" "$path"',
    "CreateSymlink": 'test -e "$target"; mkdir -p "$(dirname "$path")"; '
    'if [ "$force" = true ]; then ln -sfn "$target" "$path"; else ln -s "$target" "$path"; fi',
    "DeleteFile": 'shopt -s failglob; IFS=; for one in $path; do test ! -d "$one"; rm "$one"; done',
    "DeleteFolder": 'if [ "$force" = true ]; then test -d "$path"; rm -r "$path"; else rmdir "$path"; fi',
    "SetFileOwner": 'test -f "$path"',
    "SetFilePermissions": 'test -f "$path"; chmod "$permissions" "$path"',
    "SetFolderOwner": 'test -d "$path"',
    "SetFolderPermissions": 'test -d "$path"; '
    'if [ "$recursive" = true ]; then chmod -R "$permissions" "$path"; else chmod "$permissions" "$path"; fi',
}
OWNER = """
if [ -n "$owner" ]; then chown "$owner" "$path"; fi
if [ -n "$group" ]; then chgrp "$group" "$path"; fi"""
VARIABLES = ("path", "target", "owner", "group", "permissions", "overwrite", "force", "recursive")


def on_files(script: str) -> Action:
    named = f'set -e; for name in {" ".join(VARIABLES)}; do printf -v "$name" %s "$1"; shift; done\n'

    def action(root: Path, inputs: Any, limit: float | None) -> Done:
        done = Done(0, "", "")
        for entry in inputs if isinstance(inputs, list) else [inputs]:
            done = run(root, ["bash", "-c", named + script, "bash", *values(entry)], limit, typed=content(entry))
            if done.code or not done.in_time:
                return done
        return done

    return action


def values(entry: Mapping[str, Any]) -> list[str]:
    """As bash has them."""
    if not entry["path"]:
        raise LookupError("path")
    if strange := set(entry) - {*VARIABLES, "content"}:
        raise Failed(f"not supported by the rehearsal: {', '.join(sorted(strange))}")
    said = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in entry.items()}
    return [said.get(name, "") for name in VARIABLES]


def content(entry: Mapping[str, Any]) -> bytes:
    return str(entry.get("content", "")).encode()


ACTIONS: dict[str, Action] = {
    "ExecuteBash": execute_bash,
    "ExecuteBinary": execute_binary,
    "Reboot": reboot,
    "UpdateOS": update_os,
    **{
        name: on_files(script + ("" if name.startswith(("Delete", "CreateSymlink", "Append")) else OWNER))
        for name, script in FILES.items()
    },
}
