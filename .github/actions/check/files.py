"""The files of languages that a check is to look at: files.py LANGUAGE..., seen from $TARGET, with a NUL behind each.

In a repository those that git tracks, and those that lie there and that it does not ignore; elsewhere all of them. A
language's files are known by their endings, in whatever case, or by their first line. A dependency that is committed is
code like any other. dpra's own actions are not the component's. Standard library only.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

OURS = ".github/actions/dpra/"
SCRIPT = ".js .mjs .cjs .jsx .ts .mts .cts .tsx".split()
ENDINGS = {
    "python": ".py .pyw .pyi".split(),
    "node": SCRIPT,
    "cdk": SCRIPT,
    "java": [".java"],
    "go": [".go"],
    "terraform": [".tf", ".tf.json"],
}
STARTS = {"python": b"python", "node": b"node", "cdk": b"node"}  # in the line that begins with #!
# By which tools tell a language; what a copy gets whose name does not.
KNOWN = (".py", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".java", ".go")
GIVEN = {"python": ".py", "node": ".js", "cdk": ".js", "java": ".java", "go": ".go"}
DOCKERFILES = ("dockerfile", "containerfile")


def every(target: Path) -> list[str]:
    """All files of the component, in order; links are none."""
    command = ["git", "-C", str(target), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    ran = subprocess.run(command, capture_output=True, check=False)
    if ran.returncode == 0:
        names = {os.fsdecode(name) for name in ran.stdout.split(b"\0") if name}
    else:
        names = {f"{place}/{name}"[len(str(target)) + 1 :] for place, _, found in os.walk(target) for name in found}
    return sorted(
        name
        for name in names
        if not name.startswith((OURS, ".git/")) and (target / name).is_file() and not (target / name).is_symlink()
    )


def listed(target: Path, languages: Iterable[str]) -> list[str]:
    """The files of the languages; of all that are known where none is named."""
    chosen = list(languages) or list(ENDINGS)
    endings = tuple(ending for language in chosen for ending in ENDINGS.get(language, ()))
    starts = [STARTS[language] for language in chosen if language in STARTS]
    found = []
    for name in every(target):
        low = name.rpartition("/")[2].lower()
        docker = "container" in chosen and (
            low in DOCKERFILES or low.startswith(tuple(f"{one}." for one in DOCKERFILES)) or low.endswith(".dockerfile")
        )
        if docker or (endings and low.endswith(endings)) or ("." not in low and _starts(target / name, starts)):
            found.append(name)
    return found


def copy(target: Path, languages: Iterable[str], folder: Path) -> dict[str, tuple[str, str]]:
    """Copy the languages' code into an empty folder, where no configuration and no ignore file lies above it.

    The path of a copy -> the file's own, and its language. A copy's name ends as tools know the language."""
    found = {}
    folder.mkdir()
    for language in languages:
        for name in listed(target, [language]):
            low = name.lower()
            if not low.endswith(".pyi"):  # no code
                typed = low.endswith((".ts", ".mts", ".cts"))
                path = name if name.endswith(KNOWN) else name + (".ts" if typed else GIVEN[language])
                found[path] = (name, language)
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(target / name, folder / path)
    return found


def _starts(path: Path, words: list[bytes]) -> bool:
    with path.open("rb") as file:
        first = file.readline(200)
    return first.startswith(b"#!") and any(word in first for word in words)


if __name__ == "__main__":
    for name in listed(Path(os.environ["TARGET"]), sys.argv[1:]):
        sys.stdout.buffer.write(os.fsencode(name) + b"\0")
