"""The look into an AMI: look.sh at a file system that is really mounted, and what is made of what it says."""

import base64
import gzip
import importlib.util
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import archives
import pytest

PACK = Path(__file__).parents[2] / ".github" / "actions"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A module of the action, as it is imported there."""
    monkeypatch.syspath_prepend(str(PACK / "machine"))
    return importlib.import_module


# ---- The look itself, at a real file system


LSBLK = """#!/bin/sh
cat <<END
{{"blockdevices": [{{"name":"/dev/nvme0n1", "serial":"vol0aaa", "fstype":null, "size":8589934592, "children": [
 {{"name":"/dev/nvme0n1p1", "serial":null, "fstype":"xfs", "size":8588869120}}]}},
 {{"name":"{device}", "serial":"vol0bbb", "fstype":"{kind}", "size":41943040}}{more}]}}
END
"""


@pytest.fixture
def disk(job: Any, needs: Any) -> Iterator[Callable[..., Any]]:
    """Looks at a file system of its own that holds a folder's files, mounted really."""
    needs("losetup", "mkfs.ext4", "setcap")
    devices = []

    def device(tree: Path, name: str) -> str:
        picture = job.root / name
        with picture.open("wb") as file:
            file.truncate(40 * 2**20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-d", tree, picture], check=True)
        made = subprocess.run(["losetup", "--find", "--show", picture], capture_output=True, text=True)
        if made.returncode:
            pytest.skip("this machine lets no file be a device")
        devices.append(made.stdout.strip())
        return devices[-1]

    def look(tree: Path, kind: str = "ext4", volume: str = "vol-0bbb", second: Path | None = None) -> Any:
        first, more = device(tree, "disk.img"), ""
        if second:  # a partition of it, which here is a device of its own
            more = f', {{"name":"{first}p16", "fstype":"ext4", "size":4096}}'
            mount = job.root / "bin/mount"
            words = f'"${{@/#{first}p16/{device(second, "more.img")}}}"'.replace("/dev/", "\\/dev\\/")
            mount.write_text(f"#!/bin/bash\nexec /usr/bin/mount {words}\n")
            mount.chmod(0o755)
        lsblk = job.root / "bin/lsblk"
        lsblk.write_text(LSBLK.format(device=first, kind=kind, more=more))
        lsblk.chmod(0o755)
        words = ["bash", str(PACK / "machine/look.sh"), volume]
        path = f"{job.root / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(words, env={"PATH": path, "TMPDIR": str(job.temp)}, capture_output=True)

    yield look
    for device in devices:
        assert device not in Path("/proc/mounts").read_text()
        subprocess.run(["losetup", "--detach", device], check=True)


def grown(tree: Path) -> Path:
    """A root file system with all that is told apart."""
    for folder in ("etc", "usr/bin", "var/lib/dpkg", "opt/[a]* b"):
        (tree / folder).mkdir(parents=True)
    for name, content, mode in (
        ("etc/large", b"x" * 70_000, 0o644),
        ("var/lib/dpkg/status", b"y" * 70_000, 0o644),
        ("usr/bin/su", b"z" * 70_000, 0o4755),
        ("usr/bin/go", b"g" * 70_000 + b"\xff Go buildinf:", 0o755),
        ("usr/data", b"g" * 70_000 + b"\xff Go buildinf:", 0o644),
        ("usr/bin/ping", b"p" * 70_000, 0o755),
        ("usr/app.jar", b"j" * 70_000, 0o644),
        ("opt/[a]x?\\*", b"o" * 70_000, 0o666),
        ("opt/small", b"s" * 65_536, 0o644),
        ("opt/two\nlines", b"t" * 70_000, 0o644),
    ):
        path = tree / name
        path.write_bytes(content)
        path.chmod(mode)
    os.mkfifo(tree / "usr/pipe")
    (tree / "usr/link").symlink_to("/etc/passwd")
    os.chown(tree / "usr/data", 1000, 1001)
    subprocess.run(["setcap", "cap_net_raw+ep", tree / "usr/bin/ping"], check=True)
    return tree


def test_the_look_tells_every_file_and_leaves_out_only_what_no_gate_reads(
    disk: Callable[..., Any], module: Any, tmp_path: Path
) -> None:
    import oci

    done = disk(grown(tmp_path / "tree"))
    assert done.returncode == 0, done.stderr
    (tmp_path / "said").write_bytes(done.stdout)
    module("look").archive(tmp_path / "said", "amd64", tmp_path / "image.tar")
    with oci.opened(tmp_path / "image.tar") as archive:
        [image] = archive.images
        files = image.files
        out = {name for name, one in files.items() if one.kind == "file" and one.head(13) == b"dpra left out"}
        assert out == {"usr/bin/su", "usr/data", "opt/[a]x?\\*"}
        assert (files["usr/bin/su"].mode, files["usr/data"].uid, files["usr/data"].gid) == (0o4755, 1000, 1001)
        assert files["opt/[a]x?\\*"].mode == 0o666
        assert {name for name, one in files.items() if one.capable} == {"usr/bin/ping"}
        assert (files["usr/pipe"].kind, files["usr/link"].target) == ("pipe", "/etc/passwd")
        assert files["opt/two\nlines"].size == 70_000
        assert files["opt/small"].size == 65_536


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"kind": "LVM2_member"}, "has the file system LVM2_member: only ext4 and xfs are looked at"),
        ({"kind": ""}, "the volume has no file system that is looked at"),
        ({"volume": "vol-0ccc"}, "no block device has the serial vol0ccc"),
        ({"volume": "vol-0bbb; true"}, "is no volume"),
        ({"kind": "xfs"}, "the file system xfs of the volume cannot be mounted"),
    ],
)
def test_what_cannot_be_looked_at_is_said(disk: Callable[..., Any], tmp_path: Path, more: Any, told: str) -> None:
    done = disk(grown(tmp_path / "tree"), **more)
    assert done.returncode == 1
    assert told in done.stderr.decode()
    assert done.stdout == b""


def test_another_file_system_lies_where_fstab_says_if_only_one_can_be_meant(
    disk: Callable[..., Any], module: Any, tmp_path: Path
) -> None:
    import oci

    tree, boot = grown(tmp_path / "tree"), tmp_path / "boot"
    for folder in (tree / "boot", boot):
        folder.mkdir()
    (boot / "vmlinuz").write_bytes(b"v" * 70_000)
    (boot / "vmlinuz").chmod(0o4755)
    done = disk(tree, second=boot)
    assert "the volume has 2 file systems, of which /etc/fstab names 0 besides the root" in done.stderr.decode()
    fstab = "LABEL=/ / ext4 a 0 1\nLABEL=BOOT /boot ext4 a 0 2\nLABEL=UEFI /boot/efi vfat a 0 1\n"
    (tree / "etc/fstab").write_text(fstab)
    done = disk(tree, second=boot)
    assert done.returncode == 0, done.stderr
    (tmp_path / "said").write_bytes(done.stdout)
    module("look").archive(tmp_path / "said", "amd64", tmp_path / "image.tar")
    with oci.opened(tmp_path / "image.tar") as archive:
        [image] = archive.images
        assert image.files["boot/vmlinuz"].mode == 0o4755
    (tree / "boot").rmdir()
    (tree / "boot").symlink_to("/usr")
    done = disk(tree, second=boot)
    assert "/etc/fstab mounts /boot, which is no folder" in done.stderr.decode()
    (tree / "etc/fstab").write_text(f"{fstab}UUID=1 /srv xfs a 0 2\n")
    done = disk(tree, second=boot)
    assert "the volume has 2 file systems, of which /etc/fstab names 2 besides the root" in done.stderr.decode()


def test_what_is_no_root_file_system_is_said(disk: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    done = disk(tmp_path / "tree")
    assert "the largest file system of the volume is no root" in done.stderr.decode()


# ---- What the look says


HEAD = b"dpra-look 1\ncapabilities yes\n"
SUM = b"0" * 64


def looked(*entries: Any, left: bytes = b"", end: bytes = b"end\n") -> bytes:
    """What look.sh says of these entries, beside a root file system."""
    made = [
        archives.folder("./etc"),
        archives.folder("./usr"),
        archives.entry("./var/lib/dpkg/status", b"Package: x\n"),
    ]
    packed = base64.encodebytes(gzip.compress(archives.tar([archives.folder("./"), *made, *entries])))
    return HEAD + left + b"tar\n" + packed + end


def test_the_same_files_are_the_same_image_in_whatever_order_they_are_told(module: Any, tmp_path: Path) -> None:
    import oci

    capable = {"SCHILY.xattr.security.capability": "\1\0"}
    one = archives.entry("./usr/a", b"one", mode=0o4755, uid=7, mtime=5, uname="seven", pax_headers=capable)
    pairs = [
        [one, archives.hard("./usr/b", "./usr/a"), archives.link("./etc/l", "/usr/a"), archives.entry("./z")],
        [
            *(archives.entry("./z", mtime=9), archives.link("./etc/l", "/usr/a")),
            *(archives.entry("./usr/b", b"one", mode=0o4755, uid=7, pax_headers=capable),),
            archives.hard("./usr/a", "./usr/b"),
        ],
    ]
    digests = set()
    for entries in pairs:
        (tmp_path / "said").write_bytes(looked(*entries, left=b"left-out 4755 1 2 99 %s usr/big one\n" % SUM))
        digests.add(module("look").archive(tmp_path / "said", "arm64", tmp_path / "image.tar"))
        with oci.opened(tmp_path / "image.tar") as archive:
            [image] = archive.images
            assert image.platform == "linux/arm64"
            for name in ("usr/a", "usr/b"):
                there = image.files[name]
                assert (there.mode, there.uid, there.capable, there.head(9)) == (0o4755, 7, True, b"one")
            big = image.files["usr/big one"]
            assert (big.mode, big.uid, big.gid) == (0o4755, 1, 2)
            assert big.head(200) == b"dpra left out 99 bytes with the SHA-256 %s\n" % SUM
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (looked(end=b""), "its end is missing"),
        (looked(end=b"end\nmore"), "does not end as it should"),
        (looked()[:-40] + b"end\n", "cannot be read"),
        (looked().replace(b"dpra-look 1", b"dpra-look 2"), "does not begin as it should"),
        (looked(left=b"left-out x\n"), "says nothing"),
        (looked(left=b"left-out 644 0 0 9 %s ../etc/x\n" % SUM), "leads outside"),
        (looked(archives.entry("./etc/../../x")), "leads outside"),
        (looked(archives.entry("/x")), "leads outside"),
        (looked(archives.entry("./x"), archives.entry("x")), "x is there twice"),
        (looked(archives.hard("./x", "./y")), "is a hard link to y"),
        (
            looked(left=b"left-out 644 0 0 9 %s var/lib/rpm/rpmdb.sqlite\n" % SUM),
            "a database of packages, was left out",
        ),
        (
            HEAD + b"tar\n" + base64.encodebytes(gzip.compress(archives.tar([archives.folder("x")]))) + b"end\n",
            "no root",
        ),
    ],
)
def test_what_the_look_says_is_not_believed_where_a_gate_would_not_see_all(
    module: Any, tmp_path: Path, said: bytes, told: str
) -> None:
    import runner

    (tmp_path / "said").write_bytes(said)
    with pytest.raises(runner.Failed, match=told):
        module("look").archive(tmp_path / "said", "amd64", tmp_path / "image.tar")
