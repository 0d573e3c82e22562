"""buildah in the jobs' PATH: with a store of each job's own, without namespaces of the kernel's, and offline with a
base of dpra's own in place of those that a Dockerfile takes from a registry.

That base is a small Debian, see `debian`, with busybox; the rehearsal writes the archive of its packages. What runs in
it runs really, in a root of its own.
"""

import json
import shlex
import shutil
import sys
from pathlib import Path

from . import debian, roots
from .act import tools

ARCHIVE = "archive.json"
CALLER = """#!/bin/sh
export DPRA_REHEARSAL_BUILDAH={buildah} DPRA_REHEARSAL_BUSYBOX={busybox} DPRA_REHEARSAL_ARCHIVE={archive}
exec {python} -I -B {script} "$@"
"""


def install(folder: Path, work: Path) -> None:
    """Put a buildah into the folder, if there is one. The archive of packages, of machines too, lies in `work`."""
    archive = roots.ARCHIVE["path"] = work / ARCHIVE
    archive.write_text(json.dumps(debian.read(archive)), encoding="utf-8")
    if not (buildah := shutil.which("buildah", path=tools())):
        return
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
    archive.write_text(json.dumps({**debian.read(archive), package: version}), encoding="utf-8")
