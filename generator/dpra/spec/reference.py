"""The reference of the spec in Markdown, made from its models."""

from dataclasses import MISSING
from typing import Any

from dpra.spec.models import TARGETS, Choice, Flag, ListOf, MapOf, Model, Number, Spec, Target, Text, Word
from dpra.spec.reader import taken
from dpra.spec.schema import Words, left_out


def reference(words: Words) -> str:
    """A section for each mapping of a spec whose pipeline type has these words, the outermost first."""
    text, todo = [], [("", Spec)]
    for path, model in todo:  # it grows while it is read
        text += [f"## {path or 'dpra.yml'}\n", f"{(model.__doc__ or '').splitlines()[0]}\n"]
        text += ["| key | what it says | value | left out |", "| --- | --- | --- | --- |"]
        for name, field_ in taken(model, words["keys"]).items():
            inner = f"{path}.{name}".removeprefix(".")
            cells = [f"`{name}`", _documentation(field_), _kind(field_.metadata["kind"], inner, words, todo)]
            text.append(
                "| " + " | ".join(cell.replace("|", "\\|") for cell in [*cells, _default(field_, words)]) + " |"
            )
        if later := getattr(model, "later", ()):
            text.append(f"\nNot supported yet, and refused: {', '.join(f'`{word}`' for word in later)}.")
        text.append("")
    return "\n".join(text)


def _documentation(field_: Any) -> str:
    example = field_.metadata["example"]
    return str(field_.metadata["doc"]) + (f" Example: `{example}`." if example else "")


def _default(field_: Any, words: Words) -> str:
    if field_.default is MISSING and field_.default_factory is MISSING:
        return "required"
    default = left_out(field_, words) or field_.default
    if isinstance(default, tuple):
        default = default[0] if len(default) == 1 else ""
    if isinstance(default, bool):
        return f"`{default}`".lower()
    return f"`{default}`" if isinstance(default, (str, int)) and default else ""


def _kind(kind: Any, path: str, words: Words, todo: list[tuple[str, Any]]) -> str:
    match kind:
        case Text(says):
            return says
        case Number(least, most):
            return f"a whole number from {least}" + (f" to {most}" if most is not None else "")
        case Flag():
            return "`true` or `false`"
        case Choice(of):
            return ", ".join(f"`{word}`" for word in of) if len(of) < 9 else f"`{of[0]}` … `{of[-1]}`"
        case Target():
            return _kind(TARGETS[next(iter(words["targets"]))], path, words, todo)
        case Word(name):
            return ", ".join(f"`{word}`" for word in words[name])
        case ListOf(item, _, or_one):
            return f"{'one, or ' if or_one else ''}a list of: {_kind(item, f'{path}[]', words, todo)}"
        case Model(model):
            todo.append((path, model))
            return f"[{path}](#{''.join(c for c in path.lower() if c.isalnum() or c in '-_')})"
        case MapOf(Text(says), item):
            return f"a mapping; key: {says}; value: {_kind(item, f'{path}.*', words, todo)}"
        case MapOf(str() as keys, item):
            only = {word: f" where `{key}` is `{value}`" for word, (key, value) in words.get("only", {}).items()}
            there = ", ".join(f"`{word}`{only.get(word, '')}" for word, takes in words[keys].items() if takes != ())
            return f"by {keys.removesuffix('s')} ({there}): {_kind(item, f'{path}.*', words, todo)}"
    raise TypeError(kind)
