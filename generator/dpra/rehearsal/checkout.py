"""The repository as it is rehearsed: a private clone with the working tree's changes committed."""

import os
import shutil
import subprocess
from pathlib import Path

from .result import RehearsalError

AUTHOR = ("-c", "user.name=dpra rehearse", "-c", "user.email=rehearse@localhost", "-c", "commit.gpgSign=false")


def git(folder: Path, *arguments: str, own: bool = False) -> str:
    """git in a folder; in a clone of our `own` without the user's configuration."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # reading never writes the user's index
    if own:
        environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            errors="surrogateescape",  # file names are bytes
            check=True,
        )
    except FileNotFoundError as error:
        raise RehearsalError("git is not installed") from error
    except subprocess.CalledProcessError as error:
        raise RehearsalError(f"git {arguments[0]}: {error.stderr.strip()}") from error
    return done.stdout


def clone(root: Path, trunk: str, to: Path) -> str:
    """Clone `root` to `to`, commit the working tree as it is on the trunk; the commit's SHA."""
    if (root / ".git").exists():
        # Without hard links: git touches the objects that it meets again.
        git(root, "clone", "--quiet", "--no-hardlinks", "--no-checkout", "--single-branch", str(root), str(to))
        git(to, "remote", "remove", "origin", own=True)  # nothing in the pipeline can reach the user's repository
        if git(to, "rev-list", "--all", "--max-count=1", own=True):  # --all: HEAD, too
            git(to, "update-ref", f"refs/heads/{trunk}", "HEAD", own=True)
        branches(root, to)
        listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    else:
        git(root, "init", "--quiet", str(to))
        listed = git(
            root, f"--git-dir={to / '.git'}", f"--work-tree={root}", "ls-files", "-z", "-o", "--exclude-standard"
        )
    git(to, "symbolic-ref", "HEAD", f"refs/heads/{trunk}", own=True)
    for name in filter(None, listed.split("\0")):
        source, target = root / name, to / name
        if source.is_symlink() or source.is_file():  # not a deleted file, not a submodule
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    git(to, "add", "--all", "--force", own=True)
    if git(to, "status", "--porcelain", own=True):
        git(to, *AUTHOR, "commit", "--quiet", "--no-verify", "-m", "The working tree, as it is rehearsed", own=True)
    return git(to, "rev-parse", "HEAD", own=True).strip()


def branches(root: Path, to: Path) -> None:
    """Every branch that GitHub has is there after a full checkout: those of `origin`, or else this repository's own."""
    origin = "refs/remotes/origin/"
    there = git(root, "for-each-ref", "--format=%(refname)", origin).split()
    source = origin if there else "refs/heads/"
    fetch = ("fetch", "--quiet", "--no-tags", "--update-shallow", "--no-write-fetch-head")
    git(to, *fetch, str(root.absolute()), f"+{source}*:{origin}*", own=True)
    git(to, "update-ref", "--no-deref", "-d", f"{origin}HEAD", own=True)  # a pointer, no branch


def commit(repository: Path, message: str) -> str:
    """One commit more on the trunk, with what the files are now; its SHA."""
    git(repository, "add", "--all", own=True)
    git(repository, *AUTHOR, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", message, own=True)
    return git(repository, "rev-parse", "HEAD", own=True).strip()


def uncommit(repository: Path) -> None:
    """The trunk and its files as before the last commit, which is kept under its SHA."""
    sha = git(repository, "rev-parse", "HEAD", own=True).strip()
    git(repository, "update-ref", f"refs/dpra/{sha}", sha, own=True)
    git(repository, "reset", "--quiet", "--hard", "HEAD^", own=True)


def check_out(repository: Path, sha: str, trunk: str, to: Path) -> None:
    """What a run sees of the repository: the trunk as it was when the run began."""
    git(
        repository,
        "clone",
        "--quiet",
        "--no-hardlinks",
        "--no-checkout",
        "--no-tags",
        str(repository),
        str(to),
        own=True,
    )
    git(to, "remote", "remove", "origin", own=True)
    branches(repository, to)
    git(to, "update-ref", f"refs/remotes/origin/{trunk}", sha, own=True)
    git(to, "update-ref", f"refs/heads/{trunk}", sha, own=True)
    git(to, "symbolic-ref", "HEAD", f"refs/heads/{trunk}", own=True)
    git(to, "reset", "--quiet", "--hard", own=True)


CONFIG = """[core]
\trepositoryFormatVersion = 0
\tbare = true
[uploadpack]
\tallowAnySHA1InWant = true
\tallowFilter = true
"""
REFUSE = "#!/bin/sh\necho 'nothing is pushed in a rehearsal' >&2\nexit 1\n"


def serve(repository: Path, trunk: str, to: Path) -> None:
    """What GitHub has of a run's repository, for actions/checkout to fetch: its branches, each commit, each blob.

    A bare repository that borrows the objects; nothing is pushed to it.
    """
    for name in ("objects/info", "refs", "hooks"):
        (to / name).mkdir(parents=True)
    branches = git(repository, "for-each-ref", "--format=%(objectname) %(refname)", "refs/remotes/origin", own=True)
    hook = "hooks/pre-receive"
    for name, text in {
        "HEAD": f"ref: refs/heads/{trunk}\n",
        "config": CONFIG,
        "packed-refs": branches.replace(" refs/remotes/origin/", " refs/heads/"),
        "objects/info/alternates": f"{(repository / '.git/objects').absolute()}\n",
        hook: REFUSE,
    }.items():
        (to / name).write_text(text, encoding="utf-8")
    (to / hook).chmod(0o755)
    if (shallow := repository / ".git/shallow").exists():
        shutil.copy2(shallow, to)


def head(repository: Path) -> str:
    """The newest commit of the trunk."""
    return git(repository, "rev-parse", "HEAD", own=True).strip()


def file(repository: Path, sha: str, path: str) -> bytes | None:
    """A file as a commit has it; None where it has none of that name."""
    try:
        return git(repository, "show", f"{sha}:{path}", own=True).encode("utf-8", "surrogateescape")
    except RehearsalError:
        return None


def order(repository: Path, base: str, head: str) -> str:
    """How GitHub's API compares two commits of the repository; empty where one of them is not there."""
    for sha in {base, head}:
        try:
            git(repository, "cat-file", "-e", f"{sha}^{{commit}}", own=True)
        except RehearsalError:
            return ""
    if base == head:
        return "identical"
    for older, newer, said in ((base, head, "ahead"), (head, base, "behind")):
        try:
            git(repository, "merge-base", "--is-ancestor", older, newer, own=True)
            return said
        except RehearsalError:
            continue
    return "diverged"
