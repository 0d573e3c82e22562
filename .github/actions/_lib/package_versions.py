"""Which of two versions of a package is newer, by the rules of where it comes from.

Each version becomes a key, and keys are compared: so the order is a total one wherever there is one. A version that the
rules do not know has none.
"""

import re
from typing import Any

Key = tuple[Any, ...]

LONGEST = 256  # characters of a version; whoever writes longer ones means something else than to be compared
SEMVER = ("cargo", "golang", "hex", "npm", "swift")  # types of a purl


def key(kind: str, version: str) -> tuple[str, Key] | None:
    """What a version is compared by: two are in an order if the first parts are equal, and then in that of the second.

    Args:
        kind: the type of the package's purl: deb, rpm, apk, pypi, npm, …; of one that is not known here, dotted numbers
            with the same end are compared, such as 33.0-jre and 33.1-jre.

    Returns:
        None where nothing is known of its place among others.
    """
    if len(version) > LONGEST or not version.isascii():
        return None
    rules = {"deb": _debian, "rpm": _rpm, "apk": _alpine, "pypi": _python, **dict.fromkeys(SEMVER, _semver)}
    if rule := rules.get(kind):
        found = rule(version)
        return None if found is None else ("", found)
    match = re.fullmatch(r"v?(\d+(?:\.\d+)*)((?:[^\d.].*)?)", version)
    return (match[2], _numbers(match[1])) if match else None


def order(kind: str, one: str, other: str) -> int | None:
    """-1 where the first version is older, 1 where it is newer, 0 where both are the same; None if nobody knows."""
    mine, theirs = key(kind, one), key(kind, other)
    if mine is None or theirs is None or mine[0] != theirs[0]:
        return None
    return (mine[1] > theirs[1]) - (mine[1] < theirs[1])


def _numbers(text: str) -> Key:
    """Dotted numbers; zeros at the end say nothing."""
    numbers = [int(number) for number in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _debian(version: str) -> Key | None:
    """Source: https://www.debian.org/doc/debian-policy/ch-controlfields.html#version"""
    match = re.fullmatch(r"(?:(\d+):)?([A-Za-z\d.+~:-]+?)(?:-([A-Za-z\d.+~]+))?", version)
    if not match or version.endswith("-"):
        return None
    return int(match[1] or 0), _debian_part(match[2]), _debian_part(match[3] or "0")


def _debian_part(text: str) -> Key:
    """What is no number and what is, in turns. In this order: tilde, the end, letters, the rest."""
    places = {"~": -1}
    turns = []
    for letters, digits in re.findall(r"(\D*)(\d*)", text):  # the last one is empty: the end
        words = tuple(places.get(one, ord(one) if one.isalpha() else ord(one) + 256) for one in letters)
        turns.append(((*words, 0), int(digits or 0)))
    return tuple(turns)


def _rpm(version: str) -> Key | None:
    """Source: https://rpm-software-management.github.io/rpm/manual/dependencies.html#versioning"""
    match = re.fullmatch(r"(?:(\d+):)?([^\s:-]+)(?:-([^\s:-]+))?", version)
    return (int(match[1] or 0), _rpm_part(match[2]), _rpm_part(match[3] or "")) if match else None


def _rpm_part(text: str) -> Key:
    """Numbers and words; what stands between says nothing. In this order: tilde, the end, caret, words, numbers."""
    parts: list[Key] = []
    for part in re.findall(r"\d+|[A-Za-z]+|~|\^", text):
        signs = {"~": (0,), "^": (2,)}
        parts.append(signs.get(part) or ((4, int(part)) if part.isdigit() else (3, part)))
    return (*parts, (1,))


BEFORE, BEHIND = ("alpha", "beta", "pre", "rc"), ("cvs", "svn", "git", "hg", "p")


def _alpine(version: str) -> Key | None:
    """Source: https://wiki.alpinelinux.org/wiki/APKBUILD_Reference#pkgver, and apk-tools' version.c

    Where one version ends and the other goes on, the other is newer, unless it goes on with a suffix for what comes
    before a release. A number behind a dot that begins with 0 is compared as text, as behind a decimal point.
    """
    suffix = f"_(?:{'|'.join((*BEFORE, *BEHIND))})\\d*"
    match = re.fullmatch(rf"(\d+)((?:\.\d+)*)([a-z]?)((?:{suffix})*)(?:~([0-9a-f]+))?(?:-r(\d+))?", version)
    if not match:
        return None
    parts: list[Key] = [(7, 1, int(match[1]))]
    for number in match[2].split(".")[1:]:
        parts.append((7, 0, number) if number[0] == "0" else (7, 1, int(number)))
    if match[3]:
        parts.append((6, match[3]))
    for name, number in re.findall(r"_([a-z]+)(\d*)", match[4]):
        parts.append((0, BEFORE.index(name)) if name in BEFORE else (5, BEHIND.index(name)))
        if number:
            parts.append((4, int(number)))
    if match[5]:
        parts.append((3, match[5]))
    if match[6]:
        parts.append((2, int(match[6])))
    return (*parts, (1,))


PRE = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
PEP_440 = re.compile(
    r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)"
    r"(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?"
    r"(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?"
    r"(?:[-_.]?(dev)[-_.]?(\d*))?"
    r"(?:\+([a-z\d]+(?:[-_.][a-z\d]+)*))?"
)


def _python(version: str) -> Key | None:
    """Source: https://packaging.python.org/en/latest/specifications/version-specifiers/"""
    match = PEP_440.fullmatch(version.lower())
    if not match:
        return None
    epoch, numbers, pre, pre_number, after, post, post_number, dev, dev_number, local = match.groups()
    posted = int(after or post_number or 0) if after or post else -1
    before = (PRE[pre], int(pre_number or 0)) if pre else (-1, 0) if dev and posted < 0 else (3, 0)
    develops = (0, int(dev_number or 0)) if dev else (1, 0)
    own = [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split("[-_.]", local or "") if part]
    return int(epoch or 0), _numbers(numbers), before, posted, develops, tuple(own)


def _semver(version: str) -> Key | None:
    """Source: https://semver.org/#spec-item-11; any count of numbers, and a `v` before them, as Go has it."""
    match = re.fullmatch(r"v?(\d+(?:\.\d+)*)(?:-([A-Za-z\d.-]+))?(?:\+[A-Za-z\d.-]+)?", version)
    if not match:
        return None
    if not match[2]:
        return _numbers(match[1]), (1,)
    parts = ((0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[2].split("."))
    return _numbers(match[1]), (0, tuple(parts))
