"""What a rehearsal calls buildah: see buildah.py. Standard library only: it runs in the jobs."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpra.rehearsal import debian
else:  # it stands beside this file, and its package is not there
    sys.path.insert(0, str(Path(__file__).parent))
    import debian

PINNED = re.compile(r"[^\s=,]+@(sha256:[0-9a-f]{64})")
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:20000:0:99999:7:::\nnobody:*:20000:0:99999:7:::\n",
}
APPLETS = (
    "awk base64 basename cat chgrp chmod chown cmp cp cut date dd df dirname du echo env expr false find fold grep "
    "groups gunzip gzip head hostname id install ln ls md5sum mkdir mktemp mv nproc od paste printf ps pwd readlink "
    "realpath rm rmdir sed seq sh sha256sum sleep sort stat tail tar tee test touch tr true tty uname uniq wc which "
    "whoami xargs".split()
)


def store() -> list[str]:
    folder = Path(os.environ.get("RUNNER_TEMP") or os.environ["HOME"])
    return ["--root", str(folder / "dpra-containers"), "--runroot", str(folder / "dpra-run"), "--storage-driver", "vfs"]


def buildah(*words: str, quiet: bool = True) -> int:
    out = subprocess.DEVNULL if quiet else None
    return subprocess.run([os.environ["DPRA_REHEARSAL_BUILDAH"], *store(), *words], stdout=out, check=False).returncode


def base(name: str, platform: str) -> None:
    """The image that stands in for one of a registry's."""
    archive = debian.read(Path(os.environ["DPRA_REHEARSAL_ARCHIVE"]))
    busybox = os.environ["DPRA_REHEARSAL_BUSYBOX"]
    if not busybox:
        sys.exit(
            "busybox is not installed, of which a rehearsal makes the base of an image: apt-get install busybox-static"
        )
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for folder in ("bin", "usr/bin", "usr/sbin", "etc", "root", "proc", "sys", "dev"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for folder, mode in (("tmp", 0o1777), ("root", 0o700)):
            (root / folder).mkdir(exist_ok=True)
            (root / folder).chmod(mode)
        debian.put(root, archive, ACCOUNTS)
        (root / "bin/busybox").write_bytes(Path(busybox).read_bytes())
        (root / "bin/busybox").chmod(0o755)
        for applet in APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        made = subprocess.run(
            [os.environ["DPRA_REHEARSAL_BUILDAH"], *store(), "from", "--platform", platform, "scratch"],
            stdout=subprocess.PIPE, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        buildah("add", "--quiet", made, f"{root}/", "/")
        buildah(
            "config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--cmd", "sh", made
        )
        if code := buildah("commit", "--quiet", "--rm", "--timestamp", "0", made, name):
            sys.exit(code)


def offline(words: list[str]) -> list[str]:
    """The words of a build whose Dockerfile takes its bases from here."""
    at = words.index("--file") + 1
    text = Path(words[at]).read_text(encoding="utf-8")
    platforms = words[words.index("--platform") + 1].split(",") if "--platform" in words else ["linux/amd64"]
    known = {}
    for found in PINNED.finditer(text):
        known[found[0]] = f"localhost/dpra-base:{found[1][7:19]}"
    for name in dict.fromkeys(known.values()):
        if len(platforms) == 1:
            base(name, platforms[0])
            continue
        buildah("manifest", "create", name)
        for number, platform in enumerate(platforms):
            base(f"{name}-{number}", platform)
            buildah("manifest", "add", name, f"{name}-{number}")
    written = Path(tempfile.mkdtemp()) / "Dockerfile"
    written.write_text(PINNED.sub(lambda found: known[found[0]], text), encoding="utf-8")
    return [*words[:at], str(written), *words[at + 1 :]]


def main() -> None:
    words = sys.argv[1:]
    os.environ["BUILDAH_ISOLATION"] = "chroot"
    if re.fullmatch("build|bud", words[0]) and os.environ.get("DPRA_REHEARSAL_OFFLINE") == "1":
        words = offline(words)
    sys.exit(buildah(*words, quiet=False))


main()
