"""What a rehearsal of images takes of this machine: told before it begins, in one line with what to install."""

import os
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator

from dpra.plan import Plan

from .act import tools
from .result import RehearsalError

BUILDS, PUSHES = "build-environment", "progressive-deployment"  # the actions that do it
# Those that are not in a package of their own name, as Debian and Ubuntu call it.
PACKAGES = {
    **{"busybox": "busybox-static", "chroot": "coreutils", "cp": "coreutils", "scp": "openssh-client", "sh": "dash"},
    **dict.fromkeys(("mount", "setpriv", "unshare"), "util-linux"),
}
ROOT = ("busybox", "bash", "chroot", "cp", "mount", "setpriv", "sh", "unshare")  # what a machine's root is made with
PACKER = ("packer", "scp")  # and where that makes it
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child")  # of a command in it


def checked(plan: Plan, jobs: Collection[str], offline: bool) -> None:
    """Fail unless these jobs of the pipeline can be played.

    Raises:
        RehearsalError: a tool is missing, or this is not root where commands of a machine are run."""
    kind = plan.deployer.kind if plan.deployer else ""
    text = ""
    steps = {one for job in jobs if job in plan.jobs for one in plan.catalogue.jobs[plan.jobs[job].template].steps}
    if kind == "machine" and BUILDS in steps:
        text = machine(PACKER if plan.spec.image.with_ == "packer" else ())
    elif kind == "container":
        text = missing(_container(steps, offline), path=tools())
    if text:
        raise RehearsalError(text)


def _container(steps: Collection[str], offline: bool) -> Iterator[str]:
    if BUILDS in steps:
        yield "buildah"
        if offline:  # what stands in for the base of a Dockerfile is made of it
            yield "busybox"
    if PUSHES in steps:
        yield "skopeo"


def machine(more: Collection[str] = ()) -> str:
    """Why commands of a machine cannot be run here; empty where they can.

    Args:
        more: further programs that it takes."""
    found = missing((*ROOT, *more))
    if os.geteuid():
        why = "a machine's commands are run in a chroot, which only root can enter: rehearse as root"
        return f"{why}; {found}" if found else why
    if not found:
        ran = subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True, text=True, check=False)
        if ran.returncode:
            return f"a machine's commands cannot be run here, without namespaces of their own: {ran.stderr.strip()}"
    return found


def missing(wanted: Iterable[str], path: str | None = None) -> str:
    """Which programs are not there, and what to install; empty where all are."""
    absent = [one for one in wanted if not shutil.which(one, path=path)]
    if not absent:
        return ""
    packages = " ".join(dict.fromkeys(PACKAGES.get(one, one) for one in absent))
    verb = "is" if len(absent) == 1 else "are"
    return f"{', '.join(absent)} {verb} not installed: apt-get install {packages}"
