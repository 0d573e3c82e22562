"""The bases of a Dockerfile or Containerfile. Source: https://docs.docker.com/reference/dockerfile/#from"""

import re
from collections.abc import Iterator

BY_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")


def instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Each instruction: the line where it begins, its word in capitals, and what follows, lines joined."""
    escape, begun, parts = "\\", 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if directive := re.fullmatch(r"#\s*escape\s*=\s*([\\`])\s*", line, re.IGNORECASE):
            escape = directive[1]
        if line.lstrip().startswith("#") or (not line.strip() and not parts):
            continue
        begun = begun or number
        parts.append(line.rstrip().removesuffix(escape))
        if not line.rstrip().endswith(escape):
            word, _, rest = " ".join(parts).strip().partition(" ")
            yield begun, word.upper(), rest.strip()
            begun, parts = 0, []


def base(text: str) -> str:
    """The image that the last stage is made from, through earlier stages; `scratch`, or empty where there is none."""
    given, stages, last = dict[str, str](), dict[str, str](), ""
    for _, word, rest in instructions(text):
        if word == "ARG" and not last:
            name, _, value = rest.partition("=")
            given[name] = value.strip("\"'")
        elif word == "FROM":
            names, own = _from(rest, given)
            last = stages.get(names[0], names[0]) if names else ""
            stages[own] = last
    return last


def unpinned(text: str) -> list[tuple[int, str]]:
    """The images from which something is taken without their digest, each with its line."""
    given, stages, found = dict[str, str](), set[str](), []
    for line, word, rest in instructions(text):
        names = []
        if word == "ARG" and not stages:
            name, _, value = rest.partition("=")
            given[name] = value.strip("\"'")
        elif word == "FROM":
            names, own = _from(rest, given)
        elif word in ("COPY", "ADD", "RUN"):
            names = re.findall(r"--from=(\S+)|\bfrom=([^\s,]+)", rest.partition(" ")[0] if word != "RUN" else rest)
            names = [filled(one or other, given) for one, other in names]
        found += [
            (line, name)
            for name in names
            if name != "scratch" and name not in stages and not name.isdecimal() and not BY_DIGEST.fullmatch(name)
        ]
        if word == "FROM":
            stages |= {own or f"<{len(stages)}>"}
    return found


def _from(rest: str, given: dict[str, str]) -> tuple[list[str], str]:
    """The image of a FROM, and what its stage is called."""
    words = [word for word in rest.split() if not word.startswith("--")]
    own = words[2] if len(words) == 3 and words[1].upper() == "AS" else ""
    return [filled(word, given) for word in words[:1]], own


def filled(text: str, given: dict[str, str]) -> str:
    """A text with the defaults of global arguments in it."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: given.get(found[1] or found[2], found[0]), text)
