"""A repository's files as far as they say something: read with bounds, and nothing of them is run."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dpra import resources
from dpra.spec.models import PATH

LARGEST = 2 * 1024 * 1024  # bytes of a manifest
MOST_FILES = 200_000
SKIPPED = frozenset(
    ".git .hg .venv venv node_modules target build dist vendor third_party __pycache__ .tox cdk.out".split()
)


class Tree:
    """The repository's files, and their text as far as it is one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        generated = mapping(self.json(resources.lib("check").LOCK), "files")
        self.files = frozenset(name for name in _listed(root) if _sayable(name) and name not in generated)

    def text(self, path: str) -> str:
        """The text of a file; empty where it is not there, too large, not UTF-8, or leads out of the repository."""
        place = self.root / path
        try:
            if not place.resolve().is_relative_to(self.root.resolve()) or place.stat().st_size > LARGEST:
                return ""
            return place.read_text(encoding="utf-8-sig")
        except (OSError, ValueError, RuntimeError):
            return ""

    def toml(self, path: str) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text(path))
        except (tomllib.TOMLDecodeError, RecursionError):
            return {}

    def json(self, path: str) -> dict[str, Any]:
        try:
            data = json.loads(self.text(path) or "{}")
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}

    def inside(self, folder: str) -> Iterator[str]:
        """The files below a folder, seen from it."""
        start = f"{folder}/" if folder else ""
        return (name.removeprefix(start) for name in self.files if name.startswith(start))


def _sayable(name: str) -> bool:
    """A spec can name the file."""
    return name.isprintable() and len(name) <= PATH.longest and bool(re.fullmatch(PATH.pattern, name))


def _listed(root: Path) -> Iterator[str]:
    try:
        ran = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            check=False,
        )
        names = [os.fsdecode(name) for name in ran.stdout.split(b"\0") if name] if ran.returncode == 0 else []
    except OSError:
        names = []
    if not names:
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name not in SKIPPED]
            names += [(Path(folder) / name).relative_to(root).as_posix() for name in files]
            if len(names) > MOST_FILES:
                break
    return (name for name in names if not SKIPPED & set(PurePosixPath(name).parts[:-1]))


def git(root: Path, *arguments: str) -> str:
    """What git says; empty where it says nothing."""
    try:
        ran = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
        )
    except (OSError, UnicodeDecodeError):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def mapping(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A table of a manifest; empty where it is something else."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def join(folder: str, name: str) -> str:
    """A file's path in the repository."""
    return f"{folder}/{name}" if folder else name
