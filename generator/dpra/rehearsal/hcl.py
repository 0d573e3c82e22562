"""HCL as far as a rehearsal edits it: which blocks and attributes stand in a file, and where. Standard library only: it
runs in the jobs, too.

Source: https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md"""

import re
from collections.abc import Iterator
from typing import NamedTuple

HEREDOC = re.compile(r"<<-?([A-Za-z_][\w-]*)[^\n]*\n")
OPENS, CLOSES = "{[(", "}])"


class Part(NamedTuple):
    """A block or an attribute. What it says is text[start:end], what is in a block text[inside:end - 1]."""

    words: tuple[str, ...]  # a block's type and labels, or the attribute's name
    start: int
    end: int
    inside: int  # behind the brace of a block; 0 where it is an attribute


def parts(text: str, start: int = 0, end: int | None = None) -> Iterator[Part]:
    """The blocks and attributes that stand side by side between two places, in their order."""
    at, end = start, len(text) if end is None else end
    while at < end:
        if text[at].isspace() or ((past := after(text, at)) > at + 1 and text[at] != '"'):
            at = at + 1 if text[at].isspace() else past
            continue
        begun, depth, named, inside = at, 0, 0, 0
        while at < end and (depth or text[at] != "\n"):
            letter = text[at]
            if not depth and not named and letter in "{=":
                named, inside = at, at + 1 if letter == "{" else 0
            depth += (letter in OPENS) - (letter in CLOSES)
            at = after(text, at)
        found = re.findall(r'"([^"]*)"|([\w-]+)', text[begun : named or at])
        stop = text.rindex("}", begun, at) + 1 if inside and "}" in text[begun:at] else at
        yield Part(tuple(quoted or plain for quoted, plain in found), begun, stop, inside)


def after(text: str, at: int) -> int:
    """Where the text goes on behind the string, heredoc or comment that begins here; or else behind this letter."""
    if text[at] == '"':
        return quoted(text, at + 1)
    if text[at] == "#" or text.startswith("//", at):
        return _found(text, "\n", at, 0)
    if text.startswith("/*", at):
        return _found(text, "*/", at + 2, 2)
    if match := HEREDOC.match(text, at):
        ends = re.compile(rf"^[ \t]*{re.escape(match[1])}[ \t]*$", re.MULTILINE).search(text, match.end())
        return ends.end() if ends else len(text)
    return at + 1


def quoted(text: str, at: int) -> int:
    """Behind a string whose first letter is here; an expression in it may have strings of its own."""
    while at < len(text) and text[at] != '"':
        if text[at] == "\\":
            at += 2
        elif text.startswith(("${", "%{"), at) and not text.startswith(("$${", "%%{"), at - 1):
            at, depth = at + 2, 1
            while at < len(text) and depth:
                depth += (text[at] == "{") - (text[at] == "}")
                at = after(text, at)
        else:
            at += 1
    return min(at + 1, len(text))


def _found(text: str, word: str, at: int, more: int) -> int:
    place = text.find(word, at)
    return len(text) if place < 0 else place + more
