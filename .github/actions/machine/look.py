"""The look into an AMI: an instance of AWS's own AMI reads a volume made of its snapshot, and none of its code runs.

What look.sh says there is data of others. It becomes image.tar, an OCI archive with one layer, in which the gates find
what they look for: every file with its owner and mode. In place of the content of a large file that no gate reads there
is a line with its size and SHA-256.
"""

import base64
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import aws
import instances
import layers
import oci_archive
import package_databases
import runner

SCRIPT = Path(__file__).resolve().with_name("look.sh")
# AWS's own AMI, whatever of it is the newest.
LOOKER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}  # EC2's name -> Go's
DEVICE = "/dev/sdf"
PURPOSE = "look"
SECONDS = 3600  # that it may take
LARGEST, UNPACKED = 2 * 2**30, 8 * 2**30  # bytes of what it says, and of the files in it
HEAD = re.compile(rb"dpra-look 1\ncapabilities (yes|no)\n")
LEFT_OUT = re.compile(rb"left-out ([0-7]{1,4}) (\d{1,10}) (\d{1,10}) (\d{1,16}) ([0-9a-f]{64}) ([^\n]+)\n")
LINE = 10_000  # bytes of a line at most: a path has 4096
BLOCK = 2**20


@dataclass
class Seen:
    """What was seen of an AMI.

    capabilities: whether those of files are known.
    entries: what the tar holds, by paths.
    left_out: the other files, and the line that stands for the content of each.
    """

    capabilities: bool
    entries: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    left_out: dict[str, bytes] = field(default_factory=dict)


def look(
    region: str, account: str, component: str, snapshot: str, architecture: str, template: str, bucket: str, out: Path
) -> str:
    """Write image.tar's content for the AMI of a snapshot to `out`; the digest of the image.

    Args:
        architecture: as EC2 calls it.
        template: the launch template of the instance that looks.
        bucket: where the agent puts what it says, below COMPONENT/looked-at.

    Raises:
        runner.Failed: it could not look, or what it says is not what can be believed.
    """
    looker = aws.call(region, "ssm", "get-parameter", Name=f"{LOOKER}{architecture}")["Parameter"]["Value"]
    ebs = {"SnapshotId": snapshot, "DeleteOnTermination": True, "VolumeType": "gp3"}
    volumes = [{"DeviceName": DEVICE, "Ebs": ebs}]
    with instances.started(region, template, looker, component, PURPOSE, volumes) as instance:
        attached = instances.described(region, instance)["BlockDeviceMappings"]
        [volume] = [one["Ebs"]["VolumeId"] for one in attached if one["DeviceName"] == DEVICE]
        script, prefix = SCRIPT.read_text(encoding="utf-8"), f"{component}/looked-at"
        more = {"bucket": bucket, "prefix": prefix}
        done = instances.run(region, instance, script, volume, by="bash", seconds=SECONDS, **more)
        if done.code:
            raise runner.Failed(f"the look into the AMI failed: {done.err or done.out or f'exit code {done.code}'}")
    said = out.with_name("looked-at")
    about = {"Bucket": bucket, "Key": done.key, "ExpectedBucketOwner": account}
    size = int(aws.call(region, "s3api", "head-object", **about)["ContentLength"])
    if size > LARGEST:
        raise runner.Failed(f"what there is to look at has {size} bytes, packed: at most {LARGEST} are taken")
    words = ("--bucket", bucket, "--key", done.key, "--expected-bucket-owner", account, str(said))
    aws.call(region, "s3api", "get-object", *words)
    digest = archive(said, ARCHITECTURES[architecture], out)
    said.unlink()
    return digest


def archive(said: Path, architecture: str, out: Path) -> str:
    """Make the OCI archive of what look.sh said; the digest of its image.

    Raises:
        runner.Failed: it cannot be read, or a gate would not see what it has to.
    """
    plain = said.with_name(f"{said.name}.tar")
    try:
        with said.open("rb") as file, plain.open("wb") as to:
            seen = head(file)
            unpack(file, to)
        with tarfile.open(plain, mode="r:") as tar:
            listed(tar, seen)
            checked(seen)
            config = {"history": [{"created_by": "dpra: the files of an AMI, as they were looked at"}]}
            return oci_archive.write(out, contents(tar, seen), architecture, config)
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, OverflowError) as problem:
        raise runner.Failed(f"what the look says cannot be read ({type(problem).__name__}: {problem})") from problem
    finally:
        plain.unlink(missing_ok=True)


def head(file: IO[bytes]) -> Seen:
    """The lines in front of the tar."""
    match = HEAD.fullmatch(file.readline(LINE) + file.readline(LINE))
    if not match:
        raise ValueError("it does not begin as it should")
    seen = Seen(capabilities=match[1] == b"yes")
    while (line := file.readline(LINE)) != b"tar\n":
        match = LEFT_OUT.fullmatch(line)
        if not match:
            raise ValueError("a line in front of the tar says nothing")
        mode, uid, gid, size, checksum, name = match.groups()
        entry = tarfile.TarInfo(path(name.decode("utf-8", "surrogateescape")))
        entry.mode, entry.uid, entry.gid = int(mode, 8), int(uid), int(gid)
        seen.entries[entry.name] = entry
        seen.left_out[entry.name] = b"dpra left out %s bytes with the SHA-256 %s\n" % (size, checksum)
    return seen


def unpack(file: IO[bytes], to: IO[bytes]) -> None:
    """Write the tar, wrapped in gzip and base64; behind it comes the line `end`, and nothing more."""
    inflate, size = zlib.decompressobj(wbits=31), 0
    for line in iter(lambda: file.readline(LINE), b""):
        if line == b"end\n":
            if not inflate.eof or inflate.unused_data or file.read(1):
                raise ValueError("it does not end as it should")
            return
        part = inflate.decompress(base64.b64decode(line.rstrip(b"\n"), validate=True))  # of a line at most 8 MiB
        size += len(part)
        if size > UNPACKED:
            raise runner.Failed(f"the files that were looked at have more than {UNPACKED >> 30} GiB")
        to.write(part)
    raise ValueError("its end is missing")


def listed(tar: tarfile.TarFile, seen: Seen) -> None:
    """Add the entries of the tar. What it holds was not left out, whatever is said."""
    names = set()
    for member in tar:
        name = path(member.name)
        known = (member.isreg(), member.isdir(), member.issym(), member.islnk(), member.isdev())
        if name in names or not any(known):
            raise ValueError(f"{name} is there twice, or is nothing that a file system has")
        names.add(name)
        seen.entries[name] = member
        seen.left_out.pop(name, None)
    if not layers.ended(tar):
        raise ValueError("its tar cannot be read to its end")


def path(name: str) -> str:
    """A path without the beginning that tar gives it; the root is an empty one."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise ValueError(f"{name} leads outside")
    return "/".join(parts)


def checked(seen: Seen) -> None:
    """Fail where a gate would not see what it has to, and pass."""
    if not {"etc", "usr"} <= seen.entries.keys():
        raise runner.Failed("what was looked at is no root file system: it has no etc or no usr")
    if lost := [name for name in seen.left_out if package_databases.kinds(name)]:
        raise runner.Failed(f"the content of /{lost[0]}, a database of packages, was left out")
    if not any(package_databases.kinds(name) for name in seen.entries):
        runner.warning("the AMI has no database of packages: no gate knows which are in it", title="look")
    if not seen.capabilities:
        runner.warning("the capabilities of files are not known: getcap or GNU tar is missing there", title="look")
    runner.say(
        f"{len(seen.entries)} files were looked at; the content of {len(seen.left_out)} large ones no gate reads"
    )


def contents(tar: tarfile.TarFile, seen: Seen) -> Iterator[oci_archive.Entry]:
    """The entries of the layer in the order of their paths, without what differs where the content does not: times,
    names of users, and which of several names of a file is the first."""
    first: dict[str, str] = {}  # what hard links lead to -> the first of its names
    for name, entry in seen.entries.items():
        if entry.islnk():
            target = path(entry.linkname)
            if target not in seen.entries or seen.entries[target].islnk():
                raise ValueError(f"{name} is a hard link to {target}, which is not there")
            first[target] = min(first.get(target, target), name)
    for name in sorted(seen.entries):
        entry = seen.entries[name]
        of = path(entry.linkname) if entry.islnk() else name  # whose content it is
        there, made = seen.entries[of], tarfile.TarInfo(name or ".")
        made.mode, made.uid, made.gid = there.mode & 0o7777, there.uid, there.gid
        made.type, made.devmajor, made.devminor = there.type, there.devmajor, there.devminor
        made.linkname = there.linkname if there.issym() else ""
        made.pax_headers = {key: text for key, text in there.pax_headers.items() if key.endswith(layers.CAPABILITY)}
        content: IO[bytes] | None = None
        if first.get(of, name) != name:
            made.type, made.linkname = tarfile.LNKTYPE, first[of]
        elif name in seen.left_out:
            made.size, content = len(seen.left_out[name]), io.BytesIO(seen.left_out[name])
        elif there.isreg():
            made.type, made.size, content = tarfile.REGTYPE, there.size, tar.extractfile(there)
        yield made, content
