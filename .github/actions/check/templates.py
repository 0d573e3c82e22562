"""What is to be looked at of CloudFormation: names relative to $TARGET, each ended by a zero byte.

What $TOOL_FILE names, a template, a folder such as cdk.out, or several with * in their names; else what lies in
infrastructure/, in its subfolders what reads like a template, and the stacks of cdk.out. Nothing at all is an error.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ENDINGS = (".yml", ".yaml", ".json", ".template")
TEMPLATE = re.compile(rb"""^[\s{]*["']?(Resources|AWSTemplateFormatVersion)["']?\s*:""", re.MULTILINE)
TARGET = Path(os.environ["TARGET"])


def below(folder: Path) -> list[Path]:
    """The files that are called like templates, at any depth."""
    inside = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return sorted(path for path in inside if path.name.lower().endswith(ENDINGS) and path.is_file())


def assembly(folder: Path) -> list[Path]:
    """The stacks that `cdk synth` wrote, those of its stages and nested ones, too."""
    return [path for path in below(folder) if path.name.endswith(".template.json")]


def wanted() -> Iterator[Path]:
    if file := os.environ.get("TOOL_FILE"):
        if "*" in file:
            yield from sorted(path for path in TARGET.glob(file) if path.is_file())
            return
        named = TARGET / file
        yield from (assembly(named) or below(named)) if named.is_dir() else [named]
        return
    folder = TARGET / "infrastructure"
    for path in below(folder):
        if path.parent == folder or TEMPLATE.search(path.read_bytes()):
            yield path
    yield from assembly(TARGET / "cdk.out")


def main() -> None:
    names = [os.path.relpath(path, TARGET) for path in wanted()]
    if not names:
        sys.exit("There is no template to check.")
    sys.stdout.buffer.write(b"".join(os.fsencode(name) + b"\0" for name in names))


main()
