"""An image held against rules: a JSON line for each finding, as sarif.py takes it.

hardening.py RULES. Of kind container it looks at every image archive (*.tar) in $TARGET and at every platform in it; of
kind machine ($DPRA_LANGUAGE says which) at those where there is an image.tar, else at $TARGET itself, the root file
system of one, or at the folder $TOOL_FILE in it. What several platforms have is told once, with their names. Nothing of
an image is run or extracted, and no secret is quoted. RULES says what is wrong, how much, and who says so.
"""

import json
import os
import posixpath
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import layers
import oci
import release
import runner

KINDS = ("container", "machine")
ROOT = {"etc", "usr"}  # what a machine's root file system has
LARGEST = 2**20  # bytes of a file such as /etc/passwd
# Names of what is secret, alone or as a part of a longer one, such as DB_PASSWORD and API_TOKEN_PROD; and words behind
# them, or values, by which it is none.
NAME = (
    r"[A-Z0-9_]*(?:PASSWD|PASSWORD|SECRET|(?<![A-Z0-9])(?:API_?KEY|ACCESS_KEY|CREDENTIALS?|PRIVATE_KEY|TOKEN))"
    r"(?:_?KEY|S)?(?:_[A-Z0-9]+)?"
)
NO_SECRET = re.compile(r"_(FILE|ID|LENGTH|NAME|PATH|TTL|URI|URL)$", re.IGNORECASE)
NO_VALUE = r"(?:[01]|false|no|none|null|off|on|true|yes)?"
SECRET_NAME, PLAIN = re.compile(NAME, re.IGNORECASE), re.compile(NO_VALUE, re.IGNORECASE)
ASSIGNED = re.compile(rf"(?<![\w$-])(?:--?)?({NAME})=[\"']?(?!\$)([^\s\"']+)", re.IGNORECASE)
SECRET_VALUE = re.compile(  # what is one whatever it is called
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_\w{36}|\bgithub_pat_\w{22}|\bxox[abprs]-[\w-]{10}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\b[a-z][a-z0-9+.-]*://[^\s/:@$]+:[^\s/:@$]{3,}@"
)


@dataclass
class System:
    """What is looked at."""

    files: layers.Files
    settings: Mapping[str, Any] = field(default_factory=dict)  # how the image says that it is to be run
    history: list[str] = field(default_factory=list)  # the commands that made it

    def text(self, path: str) -> str:
        """A file's text, its links followed; empty where there is none."""
        entry = self.files.get(layers.resolved(self.files, path))
        if entry is None or entry.kind != "file":
            return ""
        if entry.size > LARGEST:
            raise runner.Failed(f"/{path} has more than {LARGEST} bytes", "error")
        return entry.head(LARGEST).decode("utf-8", "surrogateescape")

    def table(self, path: str) -> list[list[str]]:
        """The lines of a file like /etc/passwd, each with at least seven fields."""
        lines = (line.split(":") for line in self.text(path).split("\n") if line and not line.startswith("#"))
        return [[*fields, *[""] * 7] for fields in lines]


Found = Iterator[tuple[str, str]]  # a path, empty where it is the image; what more there is to say


def number(text: str) -> int:
    """A user's or group's id as the C libraries read it, -1 where it is none."""
    return int(text) % 2**32 if re.fullmatch(r"\s*\+?[0-9]{1,20}", text) else -1


# ---- How an image is run


def user(system: System) -> Found:
    said = str(system.settings.get("User") or "")
    name = said.partition(":")[0].strip()
    if name in ("", "root") or number(name) == 0:
        yield "", f"USER is '{said}'" if said else "there is no USER"
    elif number(name) < 0:
        ids = [number(account[2]) for account in system.table("etc/passwd") if account[0] == name]
        if not ids:
            yield "", f"USER is '{name}', who is not in /etc/passwd"
        elif ids[0] == 0:
            yield "", f"USER is '{name}', whose user id is 0"


def environment(system: System) -> Found:
    for pair in system.settings.get("Env") or []:
        name, _, value = str(pair).partition("=")
        named = SECRET_NAME.fullmatch(name) and not NO_SECRET.search(name)
        if (named and not PLAIN.fullmatch(value.strip())) or SECRET_VALUE.search(value):
            yield "", name


def history_secrets(system: System) -> Found:
    for line in system.history:
        for match in ASSIGNED.finditer(line):
            if not NO_SECRET.search(match[1]) and not PLAIN.fullmatch(match[2]):
                yield "", match[1]
        if SECRET_VALUE.search(line):
            yield "", "one that is known by its form"


def history(system: System, pattern: str) -> Found:
    for line in system.history:
        if match := re.search(pattern, line):
            yield "", SECRET_VALUE.sub("…", line[match.start() :].partition("?")[0])


def healthcheck(system: System) -> Found:
    said = (system.settings.get("Healthcheck") or {}).get("Test") or []
    # The configuration of an OCI image has no word for it: there, only the history tells.
    told = [line for line in system.history if re.search(r"^(/bin/sh -c #\(nop\) +)?HEALTHCHECK ", line)]
    if not (said and said != ["NONE"]) and not (told and not re.search(r"HEALTHCHECK (\[\")?NONE", told[-1])):
        yield "", ""


def ports(system: System) -> Found:
    for said in system.settings.get("ExposedPorts") or {}:
        if 0 <= number(str(said).partition("/")[0]) < 1024:
            yield "", str(said)


def labels(system: System, labels: list[str]) -> Found:
    there = system.settings.get("Labels") or {}
    for name in labels:
        if not there.get(name):
            yield "", name


# ---- Permissions


def modes(system: System, kind: str, any: int, none: int = 0, but: Collection[str] = ()) -> Found:
    known = [re.compile(pattern) for pattern in but]
    for path, entry in system.files.items():
        wrong = entry.kind == kind and entry.mode & any and not entry.mode & none
        if wrong and not [pattern for pattern in known if pattern.fullmatch(path)]:
            yield path, f"mode {entry.mode:04o}"


def capabilities(system: System) -> Found:
    for path, entry in system.files.items():
        if entry.capable:
            yield path, ""


def unowned(system: System) -> Found:
    """The topmost that nobody owns; where there are no accounts, as in an image from scratch, there is no owner."""
    users, groups = ({number(line[2]) for line in system.table(name)} | {0} for name in ("etc/passwd", "etc/group"))
    lost = {
        path: (entry.uid if entry.uid not in users else -1, entry.gid if entry.gid not in groups else -1)
        for path, entry in system.files.items()
        if (len(users) > 1 and entry.uid not in users) or (len(groups) > 1 and entry.gid not in groups)
    }
    for path, ids in lost.items():
        if lost.get(posixpath.dirname(path)) != ids or not path:
            yield path, " and ".join(f"{what} {id}" for what, id in zip(("user", "group"), ids, strict=True) if id >= 0)


def permissions(system: System, most: Mapping[str, int], groups: Collection[str]) -> Found:
    ids = {number(line[2]) for line in system.table("etc/group") if line[0] in groups} | {0}
    for name, mode in most.items():
        path = layers.resolved(system.files, name)
        entry = system.files.get(path)
        if entry and entry.kind == "file" and (entry.mode & ~mode or entry.uid != 0 or entry.gid not in ids):
            yield path, f"mode {entry.mode:04o}, user {entry.uid}, group {entry.gid}"


# ---- Accounts


def empty_passwords(system: System) -> Found:
    for path in ("etc/passwd", "etc/shadow"):
        for account in system.table(path):
            if account[0] and not account[1]:
                yield path, account[0]


def password_hashes(system: System) -> Found:
    for path in ("etc/passwd", "etc/shadow"):
        for account in system.table(path):
            said = account[1].lstrip("!*")  # a locked account's is a hash, too
            if said.startswith(("$", "_")) or re.fullmatch(r"[./0-9A-Za-z]{13}", said):
                yield path, account[0]


def second_roots(system: System) -> Found:
    for account in system.table("etc/passwd"):
        if number(account[2]) == 0 and account[0] != "root":
            yield "etc/passwd", account[0]


def shells(system: System, below: int, harmless: Collection[str]) -> Found:
    for account in system.table("etc/passwd"):
        shell = account[6].strip() or "/bin/sh"
        there = layers.resolved(system.files, shell) in system.files
        if 0 < number(account[2]) < below and there and posixpath.basename(shell) not in harmless:
            yield "etc/passwd", f"{account[0]} has {shell}"


# ---- What should not be there


def paths(system: System, patterns: list[str]) -> Found:
    wanted = [re.compile(pattern) for pattern in patterns]
    for path, entry in system.files.items():
        if entry.kind == "folder" or (entry.kind == "file" and not entry.size):
            continue
        for pattern in wanted:
            if match := pattern.fullmatch(path):
                yield match.groupdict().get("shown") or path, ""


def contents(system: System, pattern: str, largest: int) -> Found:
    wanted = re.compile(pattern.encode())
    for path, entry in system.files.items():
        if entry.kind == "file" and 0 < entry.size <= largest and wanted.search(entry.head(largest)):
            yield path, ""


def lines(system: System, files: str, pattern: str) -> Found:
    for path in system.files:
        if re.fullmatch(files, path) and re.search(pattern, system.text(path)):
            yield path, ""


CHECKS: dict[str, Callable[..., Found]] = {
    check.__name__: check
    for check in (
        *(user, environment, history_secrets, history, healthcheck, ports, labels),
        *(modes, capabilities, unowned, permissions),
        *(empty_passwords, password_hashes, second_roots, shells),
        *(paths, contents, lines),
    )
}
OWN = ("id", "title", "severity", "source", "kinds", "check")  # what a rule has besides its check's arguments


@dataclass(frozen=True)
class Finding:
    rule: str
    severity: str
    file: str
    text: str


def findings(system: System, kind: str, rules: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """What is wrong with a system, by the rules for its kind."""
    for rule in rules:
        if kind not in rule["kinds"]:
            continue
        severity = rule["severity"] if isinstance(rule["severity"], str) else rule["severity"][kind]
        arguments = {name: value for name, value in rule.items() if name not in OWN}
        for path, more in dict.fromkeys(CHECKS[rule["check"]](system, **arguments)):
            text = f"{rule['title']}{': ' if more else ''}{more} ({rule['source']})"
            yield Finding(rule["id"], severity, path, text)


def looked_at(target: Path, rules: list[dict[str, Any]], kind: str) -> dict[Finding, list[str]]:
    """What is wrong with the images of a kind in a folder, and with which of them."""
    archives = oci.archives(target)
    if not archives:
        raise runner.Failed("there is no image (*.tar) to check", "error")
    found: dict[Finding, list[str]] = {}
    every = []
    for path in archives:
        with oci.opened(path) as archive:
            for image in archive.images:
                if not image.files or (kind == "machine" and not image.files.keys() >= ROOT):
                    raise runner.Failed(f"{path.name} has no files of a {kind} for {image.platform}", "error")
                name = f"{path.name} {image.platform}" if len(archives) > 1 else image.platform
                every.append(name)
                told = [str(line.get("created_by") or "") for line in image.config.get("history") or []]
                for one in findings(System(image.files, image.settings, told), kind, rules):
                    found.setdefault(one, []).append(name)
    print(f"{len(rules)} rules, {len(every)} images: {', '.join(every)}", file=sys.stderr)
    return {one: names if len(every) > 1 else [] for one, names in found.items()}


def main() -> None:
    rules = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["rules"]
    target = Path(os.environ["TARGET"])
    kind = next((kind for kind in KINDS[1:] if kind in os.environ["DPRA_LANGUAGE"].split()), KINDS[0])
    rules = [rule for rule in rules if kind in rule["kinds"]]
    try:
        folder = os.environ.get("TOOL_FILE", "")
        if kind == "container" or (not folder and (target / release.ARCHIVE).is_file()):
            found = looked_at(target, rules, kind)
        else:
            files = layers.folder(target / folder)
            if not files.keys() >= ROOT:
                raise runner.Failed("there is no root file system to check: it has no etc or no usr", "error")
            found = {one: [] for one in findings(System(files), kind, rules)}
            print(f"{len(rules)} rules, {len(files)} files", file=sys.stderr)
    except (runner.Failed, layers.Wrong, OSError) as problem:
        sys.exit(f"The image cannot be checked: {problem}")
    for one, names in found.items():
        text = f"{one.text} in {', '.join(dict.fromkeys(names))}" if names else one.text
        print(json.dumps({"rule": one.rule, "severity": one.severity, "text": text, "file": one.file}))


if __name__ == "__main__":
    main()
