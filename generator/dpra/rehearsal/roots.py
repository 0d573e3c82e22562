"""What is inside a machine: the files of an AMI or of an instance, and the commands that are run among them.

A root is a small Debian, see `debian`, with this machine's bash and busybox, whatever the AMI is called. A command runs
there as root, in namespaces of its own: it has no network, cannot mount, load or set anything of this machine, and
nothing of it outlives it. That needs root and util-linux."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dpra.dataclasses import dataclass

from . import debian, needs, processes

FOLDERS = (
    *("dev", "etc/ssh", "home/admin", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr/bin", "usr/lib"),
    *("usr/lib64", "usr/local/bin", "usr/local/sbin", "usr/sbin", "var/lib", "var/log", "var/tmp"),
)
LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin", "dev/fd": "/proc/self/fd"}
DEVICES = ("null", "random", "urandom", "zero")
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    "admin:x:1000:1000:Debian:/home/admin:/bin/bash\n",
    "etc/group": "root:x:0:\nshadow:x:42:\nnogroup:x:65534:\nadmin:x:1000:\n",
    "etc/shadow": "root:*:20000:0:99999:7:::\nnobody:*:20000:0:99999:7:::\nadmin:!:20000:0:99999:7:::\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/ssh/sshd_config": "PasswordAuthentication no\nPermitRootLogin prohibit-password\n",
}
# Programs of this machine's that are brought where there are any: what scripts ask of them is more than busybox's do.
PROGRAMS = (
    "base64 cat chmod chown cp cut date find getcap grep gzip head ls mkdir mktemp mv readlink rm rmdir sed setcap "
    "sort stat tail tar touch tr uname wc".split()
)
STRANGE = ("rpm", "rpm2cpio", "telnetd", "tftp")  # what busybox has and Debian has not
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
# What root may do with this machine itself, and a command in a root may not.
CAPABILITIES = (
    *("audit_control", "audit_write", "block_suspend", "bpf", "ipc_lock", "linux_immutable", "mac_admin"),
    *("mac_override", "mknod", "perfmon", "sys_admin", "sys_boot", "sys_module", "sys_nice", "sys_pacct"),
    *("sys_ptrace", "sys_rawio", "sys_resource", "sys_time", "sys_tty_config", "syslog", "wake_alarm"),
)
# In the namespaces: $0 is the root, the rest what is run in it. /proc cannot be written: some of it is this machine's.
ENTER = f"""set -e
mount -t proc -o ro proc "$0/proc"
for device in {" ".join(DEVICES)}; do mount --bind "/dev/$device" "$0/dev/$device"; done
enter='setpriv --bounding-set {",".join(f"-{name}" for name in CAPABILITIES)} chroot'
$enter "$0" /bin/busybox ip link set lo up
if [ -f "$0/{debian.LIST}" ]; then mount --bind "$0.archive" "$0/{debian.LIST}"; fi
touch "$0.entered"
exec $enter "$0" "$@"
"""

SCRIPT = Path(__file__).with_name("devices.sh")
ARCHIVE: dict[str, Path] = {}  # at "path": the archive of packages that apt-get takes them from
HOME: dict[int, tempfile.TemporaryDirectory[str]] = {}  # which process began -> where the roots are
KEPT: dict[str, Path] = {}  # id of an AMI -> its files, which nobody changes any more
MACHINES: dict[str, tuple[int, Path]] = {}  # id of an instance -> which process made its files, and where they are


class Unavailable(Exception):
    """Nothing can be run in a root here. `str()` says why."""


@dataclass(frozen=True)
class Disk:
    """A volume that is attached to an instance."""

    id: str
    size: int  # GiB
    image: str  # the AMI whose files are on it; empty where there are none


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str
    in_time: bool = True
    raw: bytes = b""  # what `out` was before it became text


def forget() -> None:
    """Begin with no root. The processes that are forked from this one have theirs in the same place, which ends with
    this process."""
    stop()
    KEPT.clear()
    MACHINES.clear()
    HOME[os.getpid()] = tempfile.TemporaryDirectory(prefix="dpra-machines-")


def stop() -> None:
    """Remove the roots; those of the process that this one is forked from stay."""
    if home := HOME.pop(os.getpid(), None):
        home.cleanup()


# ---- Files


def empty() -> Path:
    if not HOME:
        forget()
    return Path(tempfile.mkdtemp(dir=list(HOME.values())[-1].name))


def of_image(image: str) -> Path:
    """An AMI's files: those that were built, or what every other AMI has."""
    if image in KEPT:
        return KEPT[image]
    if "" not in KEPT:
        KEPT[""] = base()
    return KEPT[""]


def of_instance(instance: str, image: str, disks: Sequence[Disk] = ()) -> Path:
    """An instance's own files, from its AMI. One that was started before a fork has others in each process.

    Args:
        disks: its volumes, the root's first."""
    process, root = MACHINES.get(instance, (0, Path()))
    if process != os.getpid():
        root = copy(root if process else of_image(image))
        if not process and len(disks) > 1:
            attach(root, disks)
        MACHINES[instance] = os.getpid(), root
    return root


def attach(root: Path, disks: Sequence[Disk]) -> None:
    """Give a root stand-ins for lsblk, mount and umount, which know these volumes."""
    lines = []
    for number, disk in enumerate(disks):
        path, files, hidden = f"/dev/nvme{number}n1", "-", f".dpra/{disk.id}"
        lines.append(f"{path} {disk.id.replace('-', '')} - {disk.size << 30} disk - -")
        if not disk.image:
            continue
        if number:
            (root / hidden).mkdir(parents=True)
            copy(of_image(disk.image), root / hidden)
            files = f"/{hidden}"
        amazon = "ID=amzn" in (of_image(disk.image) / "etc/os-release").read_text(encoding="utf-8")
        kind, bios, boot = ("xfs", 127, 128) if amazon else ("ext4", 14, 15)
        lines.append(f"{path}p1 - {kind} {(disk.size << 30) - (128 << 20)} part {path} {files}")
        lines.append(f"{path}p{bios} - - {3 << 20} part {path} -")
        lines.append(f"{path}p{boot} - vfat {124 << 20} part {path} -")
    (root / ".dpra").mkdir(exist_ok=True)
    (root / ".dpra/devices").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for name in ("lsblk", "mount", "umount"):
        (root / "usr/bin" / name).unlink(missing_ok=True)
        shutil.copy2(SCRIPT, root / "usr/bin" / name)
        (root / "usr/bin" / name).chmod(0o755)


def in_image(image: str, command: Sequence[str], limit: float | None = 60) -> Done:
    """Run a command in the files of an AMI, which stay as they are: to look at them.

    Raises:
        Unavailable: this machine does not let it be run."""
    root = copy(of_image(image))
    try:
        return run(root, command, limit)
    finally:
        shutil.rmtree(root)


def copy(root: Path, to: Path | None = None) -> Path:
    made = to or empty()
    subprocess.run(["cp", "--archive", "--no-target-directory", root, made], check=True, capture_output=True)
    return made


def base() -> Path:
    """The files of an AMI that was not built here.

    Raises:
        Unavailable: this is not root, or a tool is missing."""
    if why := needs.machine():
        raise Unavailable(why)
    root = empty()
    root.chmod(0o755)
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    for name, target in LINKS.items():
        (root / name).symlink_to(target)
    for device in DEVICES:
        (root / "dev" / device).touch()
    debian.put(root, debian.PACKAGES, FILES)
    for folder, mode in {"root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777}.items():
        (root / folder).chmod(mode)
    os.chown(root / "home/admin", 1000, 1000)
    busybox = bring(root, "busybox")
    for tool in ("bash", *filter(shutil.which, PROGRAMS)):
        bring(root, tool)
    shell = "dash" if shutil.which("dash") else "bash"  # busybox's takes its own tools in place of those in the PATH
    if shell == "dash":
        bring(root, shell)
    (root / "usr/bin/sh").symlink_to(shell)
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for name in applets:
        if name not in STRANGE and not (path := root / "usr/bin" / name).exists():
            path.symlink_to("busybox")
    return root


def bring(root: Path, tool: str) -> str:
    """Copy a program of this machine, and the libraries that it is linked with."""
    return brought(root, tool, root / "usr/bin" / tool)


def brought(root: Path, tool: str, to: Path) -> str:
    """The same, to a place of one's own."""
    path = shutil.which(tool) or tool
    said = subprocess.run(["ldd", path], capture_output=True, text=True).stdout  # nothing of one that is static
    for library in re.findall(r"(/\S+) \(0x", said):
        there = root / library.removeprefix("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        if not there.exists():  # a program of this root may run
            shutil.copy2(Path(library).resolve(), there)
    shutil.copy2(path, to)
    return path


# ---- Commands


def run(root: Path, command: Sequence[str], limit: float | None, typed: bytes = b"") -> Done:
    """Run a command in a root, and end all that it started.

    Args:
        limit: in seconds; None for no limit.
        typed: its standard input.
    Raises:
        Unavailable: this machine does not let it be run."""
    entered = ready(root)
    entering = ["unshare", *needs.NAMESPACES, "sh", "-c", ENTER, str(root), *command]
    code, out, err, in_time = processes.run(entering, typed, limit, env=ENVIRONMENT)
    if not entered.exists():
        raise Unavailable(f"a machine's commands cannot be run here: {err.decode(errors='replace').strip()}")
    return Done(code, out.decode(errors="replace"), err.decode(errors="replace"), in_time, out)


def ready(root: Path) -> Path:
    """Prepare a root for ENTER. The file is there afterwards if it was entered."""
    entered = Path(f"{root}.entered")
    entered.unlink(missing_ok=True)
    there = debian.read(ARCHIVE["path"]) if ARCHIVE else debian.PACKAGES
    Path(f"{root}.archive").write_text(debian.listed(there), encoding="utf-8")
    return entered
