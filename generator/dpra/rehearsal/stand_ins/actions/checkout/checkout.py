"""Checks out as actions/checkout does: as deep, as narrow and with the credential that its inputs ask for.

GitHub is a bare repository of this run. Only what the credential reaches, as on GitHub, a later `git fetch` reaches.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

INPUTS = {name: str(value) for name, value in json.loads(os.environ["INPUTS"]).items()}
SERVED = Path(os.environ["DPRA_REHEARSAL_SERVED"])  # of this run's repository, what GitHub has
NAME, SERVER = os.environ["GITHUB_REPOSITORY"], os.environ.get("GITHUB_SERVER_URL", "https://github.com")
URL = f"{SERVER}/{NAME}"
ORIGIN = "refs/remotes/origin/"
INSTEAD = f"url.file://{SERVED}.insteadOf"


def fail(message: str) -> NoReturn:
    print(f"::error::{message}")
    sys.exit(1)


def git(*arguments: str, fails: str = "") -> str:
    done = subprocess.run(["git", "-c", f"{INSTEAD}={URL}", *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        fail(fails or f"The process '/usr/bin/git' failed with exit code {done.returncode}")
    return done.stdout.strip()


def there(ref: str) -> bool:
    return subprocess.run(["git", "show-ref", "--quiet", "--verify", ref]).returncode == 0


def yes(name: str) -> bool:
    return INPUTS[name].upper() == "TRUE"


def depth() -> int:
    """0: the whole history."""
    try:
        return max(0, int(float(INPUTS["fetch-depth"] or "1")))
    except ValueError:
        return 0


def prepare(folder: Path) -> None:
    """What an earlier checkout left is used again; anything else is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    found = subprocess.run(["git", "config", "--local", "remote.origin.url"], capture_output=True, text=True)
    if Path(".git").is_dir() and found.stdout.strip() == URL:
        forget()
        git("checkout", "--quiet", "--detach")
        for branch in git("for-each-ref", "--format=%(refname:short)", "refs/heads").split():
            git("branch", "--quiet", "--delete", "--force", branch)
        if yes("clean"):
            git("clean", "--quiet", "-ffdx")
            git("reset", "--quiet", "--hard")
        return
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    git("-c", "init.defaultBranch=none", "init", "--quiet")
    git("remote", "add", "origin", URL)
    git("config", "gc.auto", "0")


def refspecs(ref: str, commit: str, whole: bool) -> list[str]:
    """What is fetched; with the whole history every branch and tag."""
    tags = ["+refs/tags/*:refs/tags/*"]
    if whole:
        return [f"+refs/heads/*:{ORIGIN}*", *tags]
    found = tags if yes("fetch-tags") else []
    if ref.startswith("refs/heads/"):
        return [*found, f"+{commit or ref}:{ORIGIN}{ref.removeprefix('refs/heads/')}"]
    if commit:
        return [*found, commit]
    if ref.startswith("refs/"):
        return [*found, f"+{ref}:{ref}"]
    return [*(found or [f"+refs/tags/{ref}*:refs/tags/{ref}*"]), f"+refs/heads/{ref}*:{ORIGIN}{ref}*"]


def fetch(ref: str, commit: str, sparse: list[str]) -> None:
    options = ["--quiet", "--no-tags", "--prune", "--no-recurse-submodules"]
    if chosen := INPUTS["filter"] or ("blob:none" if sparse else ""):
        options.append(f"--filter={chosen}")
    if (SERVED / "shallow").exists():  # the user's repository is; GitHub's never
        options.append("--update-shallow")
    if most := depth():
        options.append(f"--depth={most}")
    elif Path(".git/shallow").exists():
        options.append("--unshallow")
    git("fetch", *options, "origin", *refspecs(ref, commit, whole=not most))
    branch = ORIGIN + ref.removeprefix("refs/heads/")
    if not most and commit and ref.startswith("refs/heads/") and git("rev-parse", branch) != commit:  # it has moved on
        git("fetch", *options, "origin", *refspecs(ref, commit, whole=False))


def narrow(sparse: list[str]) -> None:
    if not sparse:
        git("sparse-checkout", "disable")
    elif yes("sparse-checkout-cone-mode"):
        git("sparse-checkout", "set", *sparse)
    else:
        git("config", "core.sparseCheckout", "true")
        path = Path(git("rev-parse", "--git-path", "info/sparse-checkout"))
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as patterns:
            patterns.write("\n" + "\n".join(sparse) + "\n")


def check_out(ref: str, commit: str) -> None:
    if not ref:
        git("checkout", "--quiet", "--force", commit)
    elif there(ORIGIN + (name := ref.removeprefix("refs/heads/"))):
        git("checkout", "--quiet", "--force", "-B", name, ORIGIN + name)
    elif there(f"refs/tags/{ref.removeprefix('refs/tags/')}"):
        git("checkout", "--quiet", "--force", f"refs/tags/{ref.removeprefix('refs/tags/')}")
    else:
        fail(f"A branch or tag with the name '{ref}' could not be found")


def persist() -> None:
    """The credential in a file beside the repository, which .git/config includes: as version 6 and later."""
    basic = base64.b64encode(f"x-access-token:{INPUTS['token']}".encode()).decode()
    print(f"::add-mask::{basic}")
    handle, path = tempfile.mkstemp(prefix="git-credentials-", suffix=".config", dir=os.environ["RUNNER_TEMP"])
    os.close(handle)
    git("config", "--file", path, f"http.{SERVER}/.extraheader", f"AUTHORIZATION: basic {basic}")
    git("config", "--file", path, INSTEAD, URL)
    git("config", f"includeIf.gitdir:{Path.cwd()}/.git.path", path)


def forget() -> None:
    """The credential of an earlier checkout goes."""
    found = subprocess.run(
        ["git", "config", "--local", "--get-regexp", r"^includeif\..*\.path$"], capture_output=True, text=True
    )
    for line in found.stdout.splitlines():
        key, _, path = line.partition(" ")
        if Path(path).name.startswith("git-credentials-"):
            Path(path).unlink(missing_ok=True)
            git("config", "--unset-all", key)


def main() -> None:
    workspace = Path(os.environ["GITHUB_WORKSPACE"]).absolute()
    folder = Path(os.path.normpath(workspace / (INPUTS["path"] or ".")))
    if not folder.is_relative_to(workspace):
        fail(f"Repository path '{folder}' is not under '{workspace}'")
    if INPUTS["repository"].upper() != NAME.upper():
        fail(f"The rehearsal has no repository but {NAME}: {INPUTS['repository']} is not fetched.")
    if not INPUTS["token"]:
        fail("Input required and not supplied: token")
    for name in ("lfs", "submodules", "ssh-key", "github-server-url"):
        if INPUTS[name] not in ("", "false"):
            print(f"::warning::actions/checkout: the rehearsal does nothing about {name}.")
    ref, commit = INPUTS["ref"].strip(), ""
    if not ref:
        ref, commit = os.environ["GITHUB_REF"], os.environ["GITHUB_SHA"]
    elif re.fullmatch("[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", ref):
        ref, commit = "", ref
    sparse = [line.strip() for line in INPUTS["sparse-checkout"].splitlines() if line.strip()]
    prepare(folder)
    fetch(ref, commit, sparse)
    narrow(sparse)
    check_out(ref, commit)
    if yes("persist-credentials"):
        persist()
    with open(os.environ["GITHUB_OUTPUT"], "a") as out:
        out.write(f"ref={ref}\ncommit={git('rev-parse', 'HEAD')}\n")


main()
