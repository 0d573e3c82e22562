"""The house is as CONTRIBUTING shows it: rooms, the way of imports, sizes, and words that belong to one room only."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
CODE = ROOT / "generator/dpra"
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
LARGEST = 450  # lines of a module


def listed(head: str) -> list[str]:
    """The first column of a table of CONTRIBUTING."""
    table = TEXT.partition(head)[2].partition("\n\n")[0]
    return [
        name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1] if "|" in row else "")
    ]


ROOMS = listed("| room of `generator/dpra/` |")


def modules() -> list[Path]:
    return [path for path in sorted(CODE.rglob("*.py")) if "stand_ins" not in path.parts]


def room(path: Path) -> str:
    first = path.relative_to(CODE).parts[0]
    return first if first.endswith(".py") else f"{first}/"


def test_the_table_of_rooms_is_the_folder_list() -> None:
    there = {room(path) for path in modules()} - {"__init__.py", "__main__.py"}
    assert set(ROOMS) == there
    assert len(ROOMS) == len(there)


def test_the_folders_that_contributing_names_are_there() -> None:
    for name in listed("| folder |"):
        here = [
            ROOT / name,
            ROOT / "templates" / name,
            ROOT / "tests" / name,
            ROOT / name.replace("<type>", "application"),
        ]
        assert any(path.exists() for path in here), name


def imports(path: Path) -> set[str]:
    """The rooms that a module imports, at whatever depth; what is only for types is none."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dpra" and not node.level:
            names = [node.module] if node.module != "dpra" else [f"dpra.{one.name}" for one in node.names]
            found |= {name.split(".")[1] for name in names if "." in name}
        elif isinstance(node, ast.Import):
            found |= {one.name.split(".")[1] for one in node.names if one.name.startswith("dpra.")}
    return {f"{name}/" if (CODE / name).is_dir() else f"{name}.py" for name in found} - {"__version__.py"}


def test_a_room_imports_only_rooms_above_it() -> None:
    wrong = []
    for path in modules():
        if (mine := room(path)) not in ROOMS:
            continue
        for other in imports(path) - {mine}:
            if ROOMS.index(other) > ROOMS.index(mine):
                wrong.append(f"{path.relative_to(CODE)} imports {other}")
    assert wrong == []


def test_no_module_is_large_but_the_models() -> None:
    sizes = {path.relative_to(CODE).as_posix(): len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert {name: size for name, size in sizes.items() if size > LARGEST} == {
        name: sizes[name] for name in ("spec/models.py",) if sizes[name] > LARGEST
    }


def test_shared_code_names_no_stage_of_a_type() -> None:
    """Not the application's, either: they are in its catalogue."""
    stages = '"(beta|gamma|prod|artifacts|build)"'
    where = ["generator/dpra", ":!generator/dpra/types", ":!generator/dpra/adopt"]
    words = ["git", "grep", "-nE", stages, "--", *where]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 1, found.stdout + found.stderr
    assert found.stdout == ""


def test_dataclasses_are_those_that_compile_nothing() -> None:
    """Fifty of the standard library's are a third of a short run."""
    others = [
        path.relative_to(CODE).as_posix()
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses" and not node.level
        if any(one.name in ("dataclass", "make_dataclass") for one in node.names)
    ]
    assert others == ["dataclasses.py"]
