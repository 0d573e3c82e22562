"""Where the templates and the pack lie: beside this package when installed, else in the checkout."""

import importlib.util
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
def data(path: str) -> Any:
    """A YAML file of `templates/`, read once.

    Raises:
        FileNotFoundError: there is no such file.
    """
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load((TEMPLATES / path).read_text(encoding="utf-8"))


@cache
def lib(name: str) -> ModuleType:
    """A module of the pack's `_lib`: what dpra and the actions both do is written there, once."""
    spec = importlib.util.spec_from_file_location(f"dpra_lib_{name}", PACK / "_lib" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(PACK / "_lib" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
