"""Versions in the ARNs of Image Builder: NAME/MAJOR.MINOR.PATCH, and /BUILD where it counts builds.

Source: https://docs.aws.amazon.com/imagebuilder/latest/userguide/ibhow-semantic-versioning.html"""

import re
from collections.abc import Iterable

from ..protocol import Problem, Said
from .api import invalid

ARN = re.compile(r"(arn:[^/]+/[^/]+)/([0-9x]+)\.([0-9x]+)\.([0-9x]+)(?:/([0-9]+))?")


def parts(name: str) -> tuple[int, int, int, int]:
    """The nodes of a version's ARN, in numbers; the build is 0 where there is none."""
    found = ARN.fullmatch(name)
    nodes = found.groups()[1:] if found else ("0",) * 4
    return int(nodes[0] or 0), int(nodes[1] or 0), int(nodes[2] or 0), int(nodes[3] or 0)


def latest(there: Iterable[str], wanted: str, parameter: str) -> str:
    """The newest of these ARNs that an ARN means which may have x for nodes, and no build.

    Raises:
        Problem: there is none, or a number follows an x."""
    found = ARN.fullmatch(wanted)
    if not found:
        raise invalid(parameter, f"{wanted} is no ARN of a version")
    base, *nodes, build = found.groups()
    if re.search(r"x\.[0-9]", ".".join(nodes)):
        raise invalid(parameter, f"{wanted}: all nodes to the right of a wildcard must be wildcards")
    pattern = r"\.".join("[0-9]+" if node == "x" else node for node in nodes)
    pattern = f"{re.escape(base)}/{pattern}(/{build or '[0-9]+'}){'' if build else '?'}"
    fitting = [name for name in there if re.fullmatch(pattern, name)]
    if not fitting:
        raise Problem("ResourceNotFoundException", f"The resource {wanted} cannot be found.")
    return max(fitting, key=parts)


def references(name: str) -> Said:
    """The ARNs that go on meaning the newest version."""
    found = ARN.fullmatch(name)
    if not found:
        return {}
    base, major, minor, patch, _ = found.groups()
    ends = {"": "x.x.x", "Major": f"{major}.x.x", "Minor": f"{major}.{minor}.x", "Patch": f"{major}.{minor}.{patch}"}
    return {f"latest{node}VersionArn": f"{base}/{end}" for node, end in ends.items()}
