"""The files that a check has to look at: `files.py LANGUAGE...` prints $TARGET's in the languages, NUL-separated.

In a repository they are what git tracks, and what lies there that no .gitignore names; elsewhere (an unpacked release)
all files. A file is of a language by its ending, in any case, or by the program that its first line names. Left out are
only .git and dpra's own actions: a node_modules/ or a .venv/ that is tracked is code like any other. A link counts as
the file that it leads to, in the target; what lies outside is not looked at. Paths are relative to $TARGET.
Standard library only.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

# Language -> its endings, and what a `#!` line calls its programs.
LANGUAGES = {
    "python": ("py pyw pyi", rb"python|pypy|uv +run"),
    "node": ("js mjs cjs jsx ts tsx mts cts", rb"node|bun|deno|tsx"),
    "java": ("java", rb"java\b"),
    "go": ("go", rb"go +run"),
}
# And what only a name tells.
NAMES = {
    "container": re.compile(
        r"(docker|container)file(\.(?!dockerignore$).+)?|.+\.(docker|container)file", re.IGNORECASE
    ),
    "terraform": re.compile(r".+\.tf(\.json)?", re.IGNORECASE),
}
OWN = (".github", "actions", "dpra")
# Nothing that lies in .git/config may run; no ignoring but the repository's own .gitignore files counts.
GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "safe.directory=*")
LIST = ("ls-files", "-z", "--cached", "--others", "--exclude-per-directory=.gitignore")


def listed(target: Path, languages: Collection[str] = ()) -> list[str]:
    """The sorted paths of the files in the languages, of all files without any.

    A name that is no text is surrogate-escaped. A language without endings here has no files; `cdk` is node."""
    wanted = [("node" if name == "cdk" else name) for name in languages]
    found = dict.fromkeys(_real(target, name, wanted) for name in _names(target))
    return sorted(name for name in found if name)


def copied(target: Path, copy: Path, endings: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, str]]:
    """Copies the files of the languages into a folder: the name of each copy -> the name of the file, and its language.

    A copy has one of the endings by which a tool knows the language; the rest of its name is the file's where that is
    plain, so that it is neither an option nor a pattern, and no tool stumbles over it."""
    copies: dict[str, tuple[str, str]] = {}
    for language, known in endings.items():
        for name in listed(target, [language]):
            ending = Path(name).suffix.lower()
            wanted = ending if ending in known else ".ts" if ending in (".mts", ".cts") else known[0]
            plain = re.fullmatch(r"(?!-)[\w.+@/-]{1,200}", name, re.ASCII)
            short = name if plain else f"named-{len(copies)}"
            inside = short if short.endswith(wanted) else short + wanted
            if (copy / inside).exists():  # a file `tool` beside a file `tool.py`
                inside = f"named-{len(copies)}{wanted}"
            (copy / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target / name, copy / inside)
            copies[inside] = (name, language)
    return copies


def of_language(path: Path, language: str) -> bool:
    """Whether a file is of the language, by its name or else its first line."""
    if _called(path, language):
        return True
    _, programs = LANGUAGES.get(language, ("", rb"(?!)"))
    with open(path, "rb") as file:
        return file.read(2) == b"#!" and bool(re.search(rb"(?:^|[\s/])(?:%b)" % programs, file.readline(500)))


def _called(path: Path, language: str) -> bool:
    if language in NAMES:
        return bool(NAMES[language].fullmatch(path.name))
    return path.suffix[1:].lower() in LANGUAGES.get(language, ("",))[0].split()


def _names(target: Path) -> Iterator[str]:
    """What lies in the target: files and links."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        ran = subprocess.run((*GIT, *LIST), cwd=target, env=environment, capture_output=True, check=False)
        known = [os.fsdecode(name) for name in ran.stdout.split(b"\0") if name] if not ran.returncode else []
    except OSError:  # no git
        known = []
    if not known:  # no repository, or the target is a folder that git ignores, such as what was built
        yield from _below(target, "")
    for name in known:
        path = target / name
        if path.is_dir() and not path.is_symlink():  # a submodule, or a repository of its own
            yield from _below(target, name)
        elif not _left_out(name):
            yield name


def _below(target: Path, name: str) -> Iterator[str]:
    for folder, folders, names in os.walk(target / name):
        inside = os.path.relpath(folder, target)
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = [one for one in folders if not _left_out(prefix + one)]
        for one in names:
            if one != ".git":  # a file, in a submodule
                yield prefix + one


def _left_out(name: str) -> bool:
    parts = tuple(name.split("/"))
    return ".git" in parts or parts[: len(OWN)] == OWN


def _real(target: Path, name: str, languages: list[str]) -> str:
    """The path of the file itself; empty where it is none, lies outside, or is of none of the languages, if any."""
    path = target / name
    try:
        if path.is_symlink():
            real = os.path.relpath(os.path.realpath(path), os.path.realpath(target))
            if real.startswith("..") or _left_out(real):
                return ""
        else:
            real = name
        if not (target / real).is_file():
            return ""
        by_name = not languages or any(_called(path, one) for one in languages)
        return real if by_name or any(of_language(target / real, one) for one in languages) else ""
    except OSError:  # it cannot be read, or is a loop of links
        return name if not path.is_symlink() else ""


def main() -> None:
    names = listed(Path(os.environ["TARGET"]), sys.argv[1:] or list(LANGUAGES))
    sys.stdout.buffer.write(b"".join(os.fsencode(name) + b"\0" for name in names))


if __name__ == "__main__":
    main()
