"""The bases of a Dockerfile or Containerfile. Source: https://docs.docker.com/reference/dockerfile/#from

Lines and words are those that buildah sees (https://github.com/openshift/imagebuilder, dockerfile/parser): who reads
them otherwise is shown a base with a digest where there is another. Where its versions differ, both readings count.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

BY_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")
ESCAPE = re.compile(r"#[ \t]*escape[ \t]*=[ \t]*([\\`])", re.IGNORECASE)  # in the first line only
BLANK = "\t\v\f\r "  # what parts words
SPACE = f"{BLANK}\n\x85\xa0\u1680{''.join(map(chr, range(0x2000, 0x200B)))}\u2028\u2029\u202f\u205f\u3000"
FLAG = re.compile(
    rf"--(?:[^{BLANK}\"'\\]|\\.|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')*(?![^{BLANK}])[{BLANK}]*", re.DOTALL
)


@dataclass(frozen=True)
class Instruction:
    line: int  # where it begins
    word: str  # in capitals
    rest: str  # what follows, lines joined
    text: bool = False  # in a here-document: only a buildah that knows none takes it for an instruction

    @property
    def flags(self) -> str:
        """The flags before its other words, as they are without quotes and escapes."""
        return re.sub(r"[\"'\\]", "", self.rest if self._end is None else self.rest[: self._end])

    @property
    def words(self) -> list[str]:
        return [word for word in re.split(f"[{BLANK}]+", self.rest[self._end or 0 :]) if word]

    @property
    def _end(self) -> int | None:
        """Where the flags end; None where nobody knows."""
        end = 0
        while self.rest.startswith("--", end):
            if not (flag := FLAG.match(self.rest, end)):
                return None
            end = flag.end()
        return end


def instructions(text: str) -> Iterator[Instruction]:
    lines = text.removeprefix("\ufeff").split("\n")
    escape = said[1] if (said := ESCAPE.match(lines[0].lstrip(SPACE))) else "\\"
    yield from _read(lines, 1, escape)


def _read(lines: list[str], first: int, escape: str, *, text: bool = False) -> Iterator[Instruction]:
    begun, whole, at = 0, "", 0
    while at < len(lines):
        line, at = lines[at].removesuffix("\r"), at + 1
        if not (inside := line.lstrip(SPACE)) or inside.startswith("#"):
            if at < len(lines) or not begun:
                continue  # in the middle of an instruction, too
            line = ""
        goes_on = line.rstrip(" \t").endswith(escape)
        whole += line.rstrip(" \t").removesuffix(escape) if goes_on else line
        begun = begun or first + at - 1
        if goes_on and at < len(lines):
            continue
        word, _, rest = re.sub(f"[{BLANK}]+", " ", whole.strip(SPACE), count=1).partition(" ")
        yield (found := Instruction(begun, word.upper(), rest, text))
        begun, whole = 0, ""
        if not text and found.word in ("ADD", "COPY", "ONBUILD", "RUN"):
            for tabs, name in re.findall(rf"(?<![^{BLANK}])[0-9]*<<(-?)([^{BLANK}<]*)(?![^{BLANK}])", found.rest):
                end = _end_of(lines, at, name, tabs)
                yield from _read(lines[at:end], first + at, escape, text=True)
                at = end + 1


def _end_of(lines: list[str], at: int, name: str, tabs: str) -> int:
    """The place of the line with which a here-document ends; of one that may be called otherwise, the end of all."""
    wanted = re.fullmatch(r"(['\"]?)(\w+)\1", name)
    for place in range(at, len(lines)) if wanted else ():
        line = lines[place].removesuffix("\r")
        if wanted and (line.lstrip("\t") if tabs else line) == wanted[2]:
            return place
    return len(lines)


def base(text: str) -> str:
    """The image that the last stage is made from, through earlier stages; `scratch`, or empty where there is none."""
    return next((name for _, name in reversed(bases(text))), "")


def bases(text: str) -> list[tuple[int, str]]:
    """The image that each stage is made from, through earlier stages, with the line of its FROM."""
    given, stages, found = dict[str, str](), dict[str, str](), list[tuple[int, str]]()
    for one in instructions(text):
        if one.word == "ARG" and not found:
            given |= _arguments(one)
        elif one.word == "FROM" and not one.text:
            names, own = _from(one, given)
            stages[own] = stages.get(names[0], names[0]) if names else ""
            found.append((one.line, stages[own]))
    return found


def golden(text: str, account: str, image: str) -> list[tuple[int, str]]:
    """Those of `bases` that are a golden image of this account, in whatever region, by its digest."""
    ours = re.compile(rf"{account}\.dkr\.ecr\.[a-z0-9-]+\.[a-z.]+/images/{re.escape(image)}@sha256:[0-9a-f]{{64}}")
    return [(line, name) for line, name in bases(text) if ours.fullmatch(name)]


def unpinned(text: str) -> list[tuple[int, str]]:
    """The images from which something is taken without their digest, each with its line."""
    given, stages, count, found = dict[str, str](), set[str](), 0, []
    own_given = dict[str, str]()  # without what a stage says anew
    for one in instructions(text):
        names = []
        if one.word == "ARG" and not one.text:
            said = _arguments(one)
            own_given = {name: value for name, value in own_given.items() if not said.get(name)}
            given |= {} if count else said
        elif one.word == "FROM":
            names, own = _from(one, given)
            names = names or ["nothing"]
        elif one.word in ("COPY", "ADD", "RUN"):
            several = re.findall(rf"--from=([^{BLANK}]+)|\bfrom=([^{BLANK},]+)", one.flags, re.IGNORECASE)
            names = [filled(single or other, own_given) for single, other in several]
        found += [
            (one.line, name)
            for name in names
            if name != "scratch"
            and name not in stages
            and not (re.fullmatch("[0-9]+", name) and int(name) < count)
            and not BY_DIGEST.fullmatch(name)
        ]
        if one.word == "FROM" and not one.text:
            stages, count, own_given = stages | ({own} if own else set()), count + 1, dict(given)
    return found


def _arguments(one: Instruction) -> dict[str, str]:
    """The defaults that an ARG gives."""
    words = re.sub(r"[\"'\\]", "", one.rest).split()
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _from(one: Instruction, given: Mapping[str, str]) -> tuple[list[str], str]:
    """The image of a FROM, and what its stage is called."""
    words = one.words
    own = words[2] if len(words) == 3 and words[1].upper() == "AS" else ""
    return [filled(word, given) for word in words[:1]], own


def filled(text: str, given: Mapping[str, str]) -> str:
    """A text with the defaults of global arguments in it."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: given.get(found[1] or found[2], found[0]), text)
