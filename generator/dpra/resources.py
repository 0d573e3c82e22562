"""Where the templates and the pack lie: beside this package when installed, else in the checkout."""

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_HERE = Path(__file__).resolve().parent
ROOT = _HERE / "data" if (_HERE / "data").is_dir() else _HERE.parent.parent
TEMPLATES = ROOT / "templates"
PACK = ROOT / ".github" / "actions"
BOOTSTRAP = ROOT / "cookiecutter-dpra"


@cache
def content(path: Path) -> bytes:
    """The bytes of a file of the templates or the pack, read once."""
    return path.read_bytes()


@cache
def below(folder: Path) -> dict[str, None]:
    """The paths of the files in a folder, at any depth and in order, from there and with `/`; looked up once."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found += [f"{place}/{name}"[len(str(folder)) + 1 :].replace(os.sep, "/") for name in files]
    return dict.fromkeys(sorted(found))


@cache
def data(path: str) -> Any:
    """A YAML file of `templates/`, read once.

    Raises:
        FileNotFoundError: there is no such file.
    """
    text = content(TEMPLATES / path)

    def made() -> bytes:
        from ruamel.yaml import YAML

        return json.dumps(YAML(typ="safe", pure=True).load(text.decode())).encode()

    return json.loads(once(f"{hashlib.sha256(text).hexdigest()}.json", made))


# ---- What one run makes and the next would make again: parsed tables, compiled templates


def user_cache() -> Path:
    """The folder of a user's caches. Tools are kept in it between runs, as the pre-commit hooks do, too."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@cache
def _keeping() -> Path | None:
    """A folder of the user's alone; None if there is no such place."""
    folder = user_cache() / "dpra" / "generate"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
    except (OSError, RuntimeError):
        return None
    others = hasattr(os, "getuid") and (state.st_uid != os.getuid() or state.st_mode & 0o022)
    return None if others else folder


def kept(name: str) -> bytes:
    """What `keep` wrote, by this run or an earlier one; empty if there is none, or a damaged one."""
    with suppress(OSError):
        if folder := _keeping():
            digest, content = (found := (folder / name).read_bytes())[:32], found[32:]
            return content if hashlib.sha256(content).digest() == digest else b""
    return b""


def once(name: str, make: Callable[[], bytes]) -> bytes:
    """What `make` gives; made by the first run that asks for the name, which must stand for all that it is made of."""
    if found := kept(name):
        return found
    found = make()
    keep(name, found)
    return found


def keep(name: str, content: bytes) -> None:
    """Keeps it for the next run, if that can be."""
    with suppress(OSError):
        if folder := _keeping():
            temporary = folder / f"{name}.{os.getpid()}"
            try:
                temporary.write_bytes(hashlib.sha256(content).digest() + content)
                temporary.replace(folder / name)
            finally:
                temporary.unlink(missing_ok=True)


@cache
def lib(name: str) -> ModuleType:
    """A module of the pack's `_lib`: what dpra and the actions both do is written there, once."""
    if str(PACK / "_lib") not in sys.path:
        sys.path.append(str(PACK / "_lib"))  # where they find each other
    spec = importlib.util.spec_from_file_location(f"dpra_lib_{name}", PACK / "_lib" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(PACK / "_lib" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
