"""buildah in the jobs' PATH: with a store of each job's own, without namespaces of the kernel's, and offline with a
base of dpra's own in place of those that a Dockerfile takes from a registry.

That base is a small Debian: busybox, Debian's list of packages, and an apt-get which takes them from an archive that
the rehearsal writes (`Archive`). What runs in it runs really, in a root of its own.
"""

import json
import shlex
import shutil
import sys
from pathlib import Path

from .act import tools

ARCHIVE = "archive.json"
# Package and version, as the archive of the base has them when a rehearsal begins.
PACKAGES = {
    "base-files": "12.4+deb12u12",
    "ca-certificates": "20230311+deb12u1",
    "libc6": "2.36-9+deb12u13",
    "libssl3": "3.0.17-1~deb12u2",
    "tzdata": "2025b-0+deb12u2",
}
CALLER = """#!/bin/sh
export DPRA_REHEARSAL_BUILDAH={buildah} DPRA_REHEARSAL_BUSYBOX={busybox} DPRA_REHEARSAL_ARCHIVE={archive}
exec {python} -I -B {script} "$@"
"""


def install(folder: Path, work: Path) -> None:
    """Put a buildah into the folder, whose archive lies in `work`; without buildah, do nothing."""
    archive = work / ARCHIVE
    if not (buildah := shutil.which("buildah", path=tools())):
        return
    if not archive.exists():
        archive.write_text(json.dumps(PACKAGES), encoding="utf-8")
    text = CALLER.format(
        buildah=shlex.quote(buildah),
        busybox=shlex.quote(shutil.which("busybox", path=tools()) or ""),
        archive=shlex.quote(str(archive)),
        python=shlex.quote(sys.executable),
        script=shlex.quote(str(Path(__file__).with_name("buildah_caller.py"))),
    )
    (folder / "buildah").write_text(text, encoding="utf-8")
    (folder / "buildah").chmod(0o755)


def news(work: Path, package: str, version: str) -> None:
    """The base's archive has a newer version of a package."""
    archive = work / ARCHIVE
    there = json.loads(archive.read_text(encoding="utf-8"))
    archive.write_text(json.dumps({**there, package: version}), encoding="utf-8")
