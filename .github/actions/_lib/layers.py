"""The layers of an image, merged as a runtime does it: each is a tar of what it adds, changes and takes away.

Nothing is extracted: an entry knows where its content lies. Of links that lead through a layer only those of the same
layer are followed: a link of a lower layer, below which a layer has something, becomes a folder, as overlayfs does it.
Source: https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

import errno
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
ENTRIES = 5_000_000  # in a layer
LINKS = 40  # that are followed, as Linux does it
CAPABILITY = "security.capability"


class Wrong(Exception):
    """A layer that no runtime takes, or that tries to reach something outside."""


@dataclass(frozen=True, slots=True)
class Entry:
    kind: str  # file, folder, link, device or pipe
    mode: int = 0o755  # permissions with setuid, setgid and the sticky bit
    uid: int = 0
    gid: int = 0
    size: int = 0  # bytes of a file
    target: str = ""  # of a link, as it says it
    capable: bool = False  # whether a file has capabilities
    open: Callable[[], IO[bytes]] = field(default=lambda: _nothing(), compare=False)  # a file's content

    def head(self, size: int) -> bytes:
        """The first bytes of a file."""
        with self.open() as file:
            return file.read(size)


Files = dict[str, Entry]


@dataclass
class Change:
    """What one layer says."""

    added: Files = field(default_factory=dict)
    implied: set[str] = field(default_factory=set)  # folders that have no entry of their own
    gone: set[str] = field(default_factory=set)  # of lower layers, with all that is below
    opaque: set[str] = field(default_factory=set)  # folders that lose what lower layers have in them
    hard: dict[str, tuple[str, Entry]] = field(default_factory=dict)  # links to files of lower layers


def read(content: IO[bytes]) -> Change:
    """Read a layer's uncompressed tar, which must stay open as long as its entries are asked for their content.

    Raises:
        Wrong, tarfile.TarError: it cannot be read, or not in one way only.
    """
    change = Change()
    content.seek(0, os.SEEK_END)
    if not content.tell():
        return change
    content.seek(0)
    packed = tarfile.open(fileobj=content, mode="r:")  # noqa: SIM115 - its entries are asked later
    for number, member in enumerate(packed):
        if number > ENTRIES:
            raise Wrong(f"it has more than {ENTRIES} entries")
        path = _place(change, member.name)
        name = posixpath.basename(path)
        if path.startswith(f"{WHITEOUT}{WHITEOUT}") and name != OPAQUE:
            continue  # what aufs keeps of its own
        if any(part.startswith(WHITEOUT) for part in path.split("/")[:-1]):
            raise Wrong(f"{path} lies below what takes something away")
        if name == OPAQUE:
            change.opaque.add(posixpath.dirname(path))
        elif name.startswith(WHITEOUT):
            if (taken := name.removeprefix(WHITEOUT)) in ("", ".", "..") or taken.startswith(WHITEOUT):
                raise Wrong(f"{path}: what does it take away?")
            change.gone.add(posixpath.join(posixpath.dirname(path), taken))
        else:
            _put(change, path, member, packed)
    if not ended(packed):
        raise Wrong("it cannot be read to its end")
    if set(packed.pax_headers) - {"comment"}:  # Python's reader obeys them for every entry, Go's for none
        raise Wrong("it has global headers that change its entries")
    return change


def ended(packed: tarfile.TarFile) -> bool:
    """Whether the tar ended where its reader stopped: Python's stops without a word at a header that it cannot read."""
    if not (file := packed.fileobj):
        return False
    file.seek(packed.offset)
    return not file.read(tarfile.BLOCKSIZE).strip(b"\0")


def merged(lower: Files, change: Change) -> Files:
    """The file system after a layer: a new mapping."""
    gone = {path for path, entry in change.added.items() if entry.kind != "folder"}
    gone |= change.gone | set(change.hard)
    found = {}
    for path, entry in lower.items():
        above = list(_above(path))
        if path in gone or not gone.isdisjoint(above) or not change.opaque.isdisjoint(above):
            continue
        found[path] = entry
    for path in change.implied:
        if found.get(path, Entry("link")).kind != "folder":
            found[path] = Entry("folder")
    found |= change.added
    for path, (target, header) in change.hard.items():
        there = lower.get(target)
        if there is None or there.kind == "folder":
            raise Wrong(f"{path} is a hard link to {target}, which is not there")
        found[path] = _linked(there, header)
    return found


def resolved(files: Mapping[str, Entry], path: str) -> str:
    """Where a path leads when its links are followed, all of them inside; empty if it leads in circles."""
    todo, done = path.strip("/").split("/"), list[str]()
    followed = 0
    while todo:
        part = todo.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        entry = files.get("/".join([*done, part]))
        if entry and entry.kind == "link":
            followed += 1
            if followed > LINKS:
                return ""
            done = [] if entry.target.startswith("/") else done
            todo = entry.target.split("/") + todo
        else:
            done.append(part)
    return "/".join(done)


def folder(root: Path) -> Files:
    """The file system that lies below a folder of this machine; what is mounted in it is not looked at.

    Raises:
        OSError: a part of it cannot be read.
    """
    status = root.lstat()
    found: Files = {"": _of_status(root, status)}
    device = status.st_dev

    def failed(problem: OSError) -> None:
        raise problem

    for place, folders, names in os.walk(root, onerror=failed):
        for name in (*folders, *names):
            path = Path(place, name)
            found[path.relative_to(root).as_posix()] = _of_status(path, path.lstat())
        folders[:] = [name for name in folders if Path(place, name).lstat().st_dev == device]
    return found


def _of_status(path: Path, status: os.stat_result) -> Entry:
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe"}
    kind = kinds.get(stat.S_IFMT(status.st_mode), "device")
    return Entry(
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_size if kind == "file" else 0,
        os.readlink(path) if kind == "link" else "",  # noqa: PTH115 - as it says it
        kind == "file" and _capable(path),
        lambda: os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb"),
    )


def _capable(path: Path) -> bool:
    try:
        return CAPABILITY in os.listxattr(path, follow_symlinks=False)
    except OSError as problem:
        if problem.errno == errno.ENOTSUP:  # a file system without any
            return False
        raise


def _above(path: str) -> Iterator[str]:
    """The folders that a path lies in, the root (an empty string) included."""
    while path:
        path = posixpath.dirname(path)
        yield path


def _place(change: Change, said: str) -> str:
    """The path of an entry, with the links of its own layer followed that its folders are."""
    if ".." in said.split("/"):
        raise Wrong(f"{said} leads outside")
    path = posixpath.normpath(said.lstrip("/") or ".")
    if path == ".":
        return ""
    parent = posixpath.dirname(path)
    if any(change.added[one].kind == "link" for one in _above(path) if one in change.added):
        if not (parent := resolved(change.added, parent)):
            raise Wrong(f"{said} lies below a link that leads in circles, or to the root")
        path = posixpath.join(parent, posixpath.basename(path))
    for one in _above(path):
        if one in change.hard or change.added.get(one, Entry("folder")).kind != "folder":
            raise Wrong(f"{said} lies below {one}, which is no folder")
    return path


def _put(change: Change, path: str, member: tarfile.TarInfo, packed: tarfile.TarFile) -> None:
    kind = "file" if member.isreg() else "folder" if member.isdir() else "link" if member.issym() else ""
    kind = kind or ("pipe" if member.isfifo() else "device" if member.isdev() else "")
    capable = f"SCHILY.xattr.{CAPABILITY}" in member.pax_headers
    mode = stat.S_IMODE(member.mode)
    if not path and kind != "folder":
        raise Wrong("its root is no folder")
    change.implied |= {one for one in _above(path) if one and one not in change.added}
    change.hard.pop(path, None)
    if kind != "folder" and (path in change.implied or change.added.get(path, Entry("link")).kind == "folder"):
        for known in (change.added, change.hard):  # a folder's place is taken, with all that is in it
            for below in [one for one in known if one.startswith(f"{path}/")]:
                del known[below]
        change.implied -= {one for one in change.implied if one.startswith(f"{path}/")}
    change.implied.discard(path)
    if member.islnk():
        target = _place(change, member.linkname)
        header = Entry("file", mode, member.uid, member.gid, capable=capable)
        if target in change.added and change.added[target].kind != "folder":
            change.added[path] = _linked(change.added[target], header)
        elif target == path or target in change.hard:
            raise Wrong(f"{path} is a hard link to {target}, which is not there")
        else:
            change.added.pop(path, None)
            change.hard[path] = (target, header)
        return
    if not kind:
        raise Wrong(f"{path} is of a kind that no runtime takes")
    change.added[path] = Entry(
        kind,
        mode,
        member.uid,
        member.gid,
        member.size if kind == "file" else 0,
        member.linkname if kind == "link" else "",
        kind == "file" and capable,
        (lambda: packed.extractfile(member) or _nothing()) if kind == "file" else _nothing,
    )


def _linked(there: Entry, header: Entry) -> Entry:
    if there.kind == "link":
        return there
    return replace(there, mode=header.mode, uid=header.uid, gid=header.gid, capable=there.capable or header.capable)


def _nothing() -> IO[bytes]:
    raise Wrong("it has no content")
