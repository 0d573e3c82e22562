"""Generated files against the repository: what is current, stale, edited, foreign or orphaned; and atomic writes."""

import dataclasses
import errno
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from dpra import __version__, resources
from dpra.dataclasses import dataclass
from dpra.errors import InputError, OutsideError
from dpra.names import VENDORED
from dpra.render import File

_check = resources.lib("check")
LOCK: str = _check.LOCK
_TEMPORARY = ".dpra-tmp-"
AGAIN = "run the command again when that is mended"

# A key of a generated file that somebody may have edited: where the spec says it.
SPEC_KEYS = {
    "account": "environments.<environment>.account",
    "branches": "trunk",
    "cache": "setup.cache",
    "command": "actions.<action>.command",
    "cron": "schedules",
    "options": "jobs.<job>.services",
    "paths": "paths",
    "region": "regions or environments.<environment>.regions",
    "reports": "actions.<action>.reports",
    "runs-on": "runs-on or jobs.<job>.runs-on",
    "services": "jobs.<job>.services",
    "stack": "deploy.stack",
    "template": "deploy.template",
    "timezone": "schedules",
    "tool": "actions.<action>.tool",
    "version": "setup.version",  # of the language: node-version
    "version-file": "setup.version-file",
    "working-directory": "working-directory or actions.<action>.working-directory",
}


class TreeError(InputError):
    """A file cannot be read or written where it should be. `str()` names it."""


class WriteError(OutsideError):
    """The disk refused. `str()` names the file."""


@dataclass(frozen=True)
class Change:
    """One file: what is there, what should be, and what that means.

    `state`: current, missing, stale (safe to regenerate), edited (by hand), pin (one went back, or to another commit),
    foreign (not made by dpra), orphan (no longer generated), edited-orphan, stray (among the vendored actions).
    """

    path: str
    state: str
    old: bytes | None
    new: bytes | None
    pins: tuple[str, ...] = ()  # what is wrong with them

    @property
    def refused(self) -> bool:
        """Writing it would lose somebody's work."""
        return self.state in ("edited", "pin", "foreign", "edited-orphan", "stray")


def compare(root: Path, files: Mapping[str, File], unmanaged: Collection[str] = ()) -> list[Change]:
    """Every generated file, every orphan and every stray, as it stands in `root`; what the user took over is neither.

    Raises:
        TreeError: a path leads out of the repository, or the lock is not dpra's.
    """
    lock = _lock(root)
    locked, known = lock["files"], lock["pins"]
    same = bool(known) and lock.get("dpra") == __version__
    changes = [
        _with_pins(_compare_one(root, path, file, locked.get(path)), file, known, same) for path, file in files.items()
    ]
    for path, entry in locked.items():
        if path not in files and path not in unmanaged and (old := read(root, path)) is not None:
            part = _check.block(old) if entry.get("block") else old
            untouched = part is not None and _check.digest(part) == entry["sha256"]
            new = _with_block(old, None) if entry.get("block") else None
            changes.append(Change(path, "orphan" if untouched else "edited-orphan", old, new or None))
    if owners := next((path for path in _check.CODEOWNERS if path in files), ""):
        for path in takewhile(lambda path: path != owners, _check.CODEOWNERS):
            if path not in locked and (old := read(root, path)) is not None:  # an empty one, or `placed` had taken it
                changes.append(Change(path, "orphan", old, None))
    _place(root, VENDORED)
    for path in _check.strays(root, {*files, *locked, *unmanaged}):
        name = path.rpartition("/")[2]
        if not name.startswith(_TEMPORARY):
            changes.append(Change(path, "stray", b"", files[path].content if path in files else None))
        elif not _in_use(root / path):  # a killed run left it
            changes.append(Change(path, "orphan", b"", None))
    return changes


def placed(root: Path, files: Mapping[str, File]) -> Mapping[str, File]:
    """The files with CODEOWNERS as the one that GitHub reads in this repository, if there is one of the user's."""
    default = _check.CODEOWNERS[0]
    if default not in files:
        return files
    own = [path for path in _check.CODEOWNERS if (there := read(root, path)) and _with_block(there, None)]
    if not own or own[0] == default:
        return files
    lines = files[default].content
    owners = lines.splitlines()[1].partition(b" ")[2]
    file = File(lines + f"/{own[0]} ".encode() + owners + b"\n", block=True)
    return {path: one for path, one in files.items() if path != default} | {own[0]: file}


def _with_pins(change: Change, file: File, known: Mapping[str, str], same: bool) -> Change:
    """The change, with what is wrong with the pins of the file that is there.

    Args:
        known: the pins by the lock: what was there when it was written.
        same: this version of dpra wrote the lock.
    """
    if file.block or change.old is None:
        return change
    ours, found, moved = dict(_check.pins(file.content)), dict[str, None](), False
    for pin, commit in _check.pins(change.old):
        wrong = _check.wrong_pin(pin, commit, known)
        moved = moved or bool(wrong)
        if wrong := wrong or _check.wrong_pin(pin, commit, ours, older=same):
            found[wrong] = None
            moved = moved or known.get(pin) != commit
    if not found:
        return change
    state = change.state if change.refused else "pin" if moved else "stale"
    return dataclasses.replace(change, state=state, pins=tuple(found))


def _compare_one(root: Path, path: str, file: File, entry: Mapping[str, Any] | None) -> Change:
    old = read(root, path)
    if old is None:
        return Change(path, "missing", None, _with_block(b"", file.content) if file.block else file.content)
    part = _check.block(old) if file.block else old
    if file.block and part is None:  # the user's file, without our block yet
        return Change(path, "edited" if entry else "missing", old, _with_block(old, file.content))
    if _check.normalised(part) == _check.normalised(file.content):
        state = "current"
    elif entry and _check.digest(part) == entry["sha256"]:
        state = "stale"
    else:
        state = "edited" if entry or file.block else "foreign"
    new = _with_block(old, file.content) if file.block else keep_newer_pins(file.content, old)
    if old.replace(b"\r\n", b"\n") == new:  # a checkout with Windows' line ends is as good
        new = old
    return Change(path, state, old, new)


def keep_newer_pins(new: bytes, old: bytes) -> bytes:
    """`new` with the pins of `old` where those are newer: pins belong to the user, Dependabot's pull requests pass."""
    newest: dict[bytes, tuple[tuple[int, ...], bytes]] = {}
    for match in _check.PIN.finditer(old):
        newest[match[1]] = max((_check.version(match[4].decode()), match[0]), newest.get(match[1], ((), b"")))

    def pin(match: re.Match[bytes]) -> bytes:
        version, text = newest.get(match[1], ((), b""))
        return text if version > _check.version(match[4].decode()) else match[0]

    return bytes(_check.PIN.sub(pin, new))


def _with_block(old: bytes, content: bytes | None) -> bytes:
    """`old` with dpra's part replaced, added at the end, or (without content) taken out."""
    text = old.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    part = f"{_check.BEGIN} (made from dpra.yml)\n{content.decode()}{_check.END}\n" if content is not None else ""
    pattern = re.compile(rf"^{_check.BEGIN}.*?^{_check.END}\n?", re.DOTALL | re.MULTILINE)
    if pattern.search(text):
        text = pattern.sub(lambda _: part, text, count=1)
    else:
        text += ("\n" if text and not text.endswith("\n") else "") + part
    return text.encode("utf-8", "surrogateescape") if text.strip() else b""


def _lock(root: Path) -> dict[str, Any]:
    content = read(root, LOCK)
    if content is None:
        return {"files": {}, "pins": {}}
    try:
        lock = json.loads(content)
        return {**lock, "files": dict(lock["files"]), "pins": dict(lock.get("pins", {}))}
    except (ValueError, KeyError, TypeError):
        raise TreeError(f"{LOCK}: not a lock that dpra wrote; take it from version control, or delete it") from None


def _place(root: Path, path: str) -> Path:
    """Where the file really lies: a symbolic link inside the repository stays one."""
    real = os.path.realpath(root)
    place = os.path.realpath(f"{real}/{path}")
    if not place.startswith(real.rstrip(os.sep) + os.sep):
        raise TreeError(f"{path}: leads out of the repository by a symbolic link or a '..'")
    try:
        os.stat(place)  # noqa: PTH116 with pathlib, this was a tenth of a run
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise TreeError(f"{path}: a loop of symbolic links") from None
    return Path(place)


def read(root: Path, path: str) -> bytes | None:
    """The bytes of a file in the repository; None where there is none.

    Raises:
        TreeError: it leads out of the repository, or cannot be read.
    """
    place = _place(root, path)
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TreeError(f"{path}: {error.strerror}") from None


def write(
    root: Path, changes: Sequence[Change], files: Mapping[str, File], spec: bytes, unmanaged: Collection[str] = ()
) -> None:
    """Writes what differs, then the lock. Killed at any point it leaves whole files, and the next run finishes.

    Raises:
        WriteError: a file cannot be written.
    """
    for change in changes:
        if change.new is None or change.state == "stray":
            _remove(root, change.path)
    put(root, {change.path: change.new for change in changes if change.new is not None and change.new != change.old})
    lock = {
        "dpra": __version__,
        "spec": _check.digest(spec),
        "files": {
            path: {"sha256": _check.digest(file.content), **({"block": True} if file.block else {})}
            for path, file in sorted(files.items())
        },
        "pins": dict(sorted(pin for change in changes if change.new is not None for pin in _check.pins(change.new))),
    }
    if taken := sorted(path for path in unmanaged if path.startswith(f"{VENDORED}/")):
        lock["unmanaged"] = taken
    content = (json.dumps(lock, indent=1) + "\n").encode()
    if (read(root, LOCK) or b"").replace(b"\r\n", b"\n") != content:
        put(root, {LOCK: content})


def _remove(root: Path, path: str) -> None:
    """Removes a file, and the folders that are empty without it. A link goes itself, not what it points to."""
    _place(root, str(Path(path).with_name(_TEMPORARY)))
    try:
        (root / path).unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"{path}: {error.strerror or error}", hint=AGAIN) from None
    with suppress(OSError):
        for folder in Path(path).parents[:-1]:
            (root / folder).rmdir()


def put(root: Path, files: Mapping[str, bytes]) -> None:
    """Writes files, in their order, each as a whole.

    Raises:
        WriteError: a file cannot be written.
    """
    ready: set[Path] = set()
    for path, content in files.items():
        place = _place(root, path)
        try:
            if place.parent not in ready:
                _make_ready(place.parent)
                ready.add(place.parent)
            _replace(place, content)
        except OSError as error:
            raise WriteError(f"{path}: {error.strerror or error}", hint=AGAIN) from None


def _make_ready(folder: Path) -> None:
    """The folder is there, and without what a killed run left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in os.listdir(folder):  # noqa: PTH208 the names are all that is needed
        if name.startswith(_TEMPORARY) and not _in_use(folder / name):
            (folder / name).unlink(missing_ok=True)


def _replace(place: Path, content: bytes) -> None:
    """Whole or not at all, should the run be killed. Not synchronised: what a power cut takes, git has."""
    temporary = place.with_name(f"{_TEMPORARY}{os.getpid()}-{place.name}")
    try:
        temporary.write_bytes(content)
        with suppress(FileNotFoundError):
            temporary.chmod(place.stat().st_mode & 0o777)
        temporary.replace(place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _in_use(temporary: Path) -> bool:
    """Does the run that writes it go on? A process id that another program has by now only delays the tidying."""
    if sys.platform == "win32":  # there, signal 0 is Ctrl+C
        return time.time() - temporary.stat().st_mtime < 600
    try:
        os.kill(int(temporary.name.removeprefix(_TEMPORARY).partition("-")[0]), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except OSError:  # not ours to signal, so it is there
        return True
    return True


def unverified(changes: Iterable[Change], files: Mapping[str, File], pack: str = "") -> dict[str, str]:
    """The pins in the files of which pins.yml does not know the commit, by `owner/name@tag`; the pack's, too."""
    found = dict[str, str]()
    known = {f"{action}@{pin['tag']}": pin["sha"] for action, pin in resources.data("pins.yml").items()}
    for change in changes:
        if change.old and change.path in files and not files[change.path].block:
            ours = known | dict(_check.pins(files[change.path].content))
            for pin, commit in _check.pins(change.old):
                repository, tag = "/".join(pin.split("/")[:2]).partition("@")[0], pin.rpartition("@")[2]
                if ours.get(pin) != commit or repository == pack:
                    found[f"{repository}@{tag}"] = commit
    return found


def diff(change: Change) -> list[str]:
    """The unified diff from what is there to what would be generated, a line each."""
    import difflib  # not before something differs

    old, new = (((side or b"").decode("utf-8", "replace")).splitlines() for side in (change.old, change.new))
    names = (f"a/{change.path}" if change.old is not None else "/dev/null", f"b/{change.path}")
    return list(difflib.unified_diff(old, new, *names, lineterm=""))


def spec_keys(change: Change) -> list[str]:
    """The keys of the spec that would make a hand edit, as far as the edited lines tell."""
    edited = {m[1] for line in diff(change) if (m := re.match(r"[-+] +(?:- )?(?:[a-z]+-(?=version))?([\w-]+):", line))}
    return sorted({SPEC_KEYS[name] for name in edited if name in SPEC_KEYS})


def ignored(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Those of the paths that git would not commit, each with the rule: `.gitignore:3:build`."""
    given = "".join(f"{path}\0" for path in paths)
    command = ["git", "check-ignore", "--stdin", "-z", "--verbose"]
    try:
        ran = subprocess.run(command, cwd=root, input=given, capture_output=True, encoding="utf-8", check=False)
    except OSError:
        return {}  # without git nothing is ignored
    found = zip(*[iter(ran.stdout.split("\0"))] * 4, strict=False)  # file, line, pattern, path
    return {path: f"{file}:{line}:{rule}" for file, line, rule, path in found if not rule.startswith("!")}
