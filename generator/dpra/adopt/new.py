"""`dpra new`: a repository from the cookiecutter template."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from dpra import resources
from dpra.errors import InputError

APPLICATION, IMAGE = "application", "compute-image"
# Questions that only one type's example has.
OF = {"kind": IMAGE, "with": IMAGE, "language": APPLICATION, "profile": APPLICATION}


class NewError(InputError):
    """No repository was made. `str()` says why."""


def new(output: Path, values: Mapping[str, str], *, ask: bool) -> Path:
    """Makes a repository below `output` and returns its folder.

    Args:
        output: the folder in which the repository's folder is made.
        values: answers to the template's questions; `ask` asks for the others, else their defaults are taken.
    Raises:
        NewError: an unknown question or answer, the folder is there already, or the template's hook refused.
    """
    from cookiecutter.exceptions import CookiecutterException
    from cookiecutter.main import cookiecutter

    questions = json.loads((resources.BOOTSTRAP / "cookiecutter.json").read_text(encoding="utf-8"))
    known = [name for name in questions if not name.startswith("_")]
    for name, value in values.items():
        if name not in known:
            raise NewError(f"{name}: unknown; there is {', '.join(known)}")
        if not re.fullmatch(r"[\w@./:, -]*", value):
            raise NewError(f"{name}: {value!r} has characters that no answer needs")
        if isinstance(questions[name], list) and value not in questions[name]:
            raise NewError(f"{name}: no {value!r}; there is {', '.join(questions[name])}")
    chosen = values.get("pipeline", APPLICATION)
    for name, pipeline in OF.items():
        if name in values and chosen != pipeline:
            raise NewError(f"{name}: goes together with pipeline={pipeline}")
    if "with" in values and values.get("kind") != "machine":
        raise NewError("with: goes together with kind=machine")
    try:
        made = cookiecutter(
            str(resources.BOOTSTRAP),
            no_input=not ask,
            extra_context=dict(values),
            output_dir=str(output),
            default_config=True,
        )
    except CookiecutterException as error:
        raise NewError(str(error)) from None
    return Path(made)
