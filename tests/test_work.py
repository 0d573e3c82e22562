"""How much work a `generate` does: counted, not timed, so that it cannot creep back. The time: tests/benchmarks."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, describe, evidence, graph, planner, problems, render
from dpra.spec import reader
from ruamel.yaml import YAML

SPECS = Path(__file__).parent / "specs"


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, calls: Counter[str]) -> None:
    function = getattr(module, name)

    def wrapper(*given: Any, **named: Any) -> Any:
        calls[name] += 1
        return function(*given, **named)

    monkeypatch.setattr(module, name, wrapper)


@pytest.mark.parametrize("name", ["minimal", "waves", "full", "small"])
def test_a_job_is_made_once_and_a_template_is_rendered_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    calls: Counter[str] = Counter()
    for module, function in ((graph, "_job"), (planner, "make"), (render, "_render"), (evidence, "expected")):
        counted(monkeypatch, module, function, calls)
    spec = reader.read((SPECS / f"{name}.yml").read_bytes(), catalogue.words())
    files = render.files(problems.planned(spec))
    workflows = [file.content for path, file in files.items() if path.startswith(".github/workflows/")]
    jobs = sum(len(YAML(typ="safe", pure=True).load(text)["jobs"]) for text in workflows)
    copied = (render.VENDORED + "/", render.SCHEMA, render.EXPECTED, ".github/CODEOWNERS")
    made = [path for path in files if not path.startswith(copied) or path.endswith((".gitignore", ".gitattributes"))]
    assert calls == {"_job": jobs, "make": 1, "_render": len(made), "expected": 1}


# Prints which files of the templates and the pack a process opens, for the first spec and for the next one.
WATCH = """
import json, sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
from dpra import catalogue, problems, render, resources
from dpra.spec import reader
def files(name):
    start = len(opened)
    text = Path(sys.argv[1]).read_text().replace("name: shop", f"name: {name}")
    render.files(problems.planned(reader.read(text.encode(), catalogue.words())))
    return [path for path in opened[start:] if path.startswith((str(resources.TEMPLATES), str(resources.PACK)))]
print(json.dumps([files("shop"), files("shop2")]))
"""


def test_a_file_is_read_once_in_a_process_however_many_specs_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCH, SPECS / "minimal.yml"], capture_output=True, text=True, check=True
    )
    first, second = json.loads(done.stdout)
    assert first
    twice = {Path(path).suffix for path, count in Counter(first).items() if count > 1}
    assert twice <= {".py", ".sh"}  # whose heads the pack itself reads, or which Python loads
    assert max(Counter(first).values()) <= 2
    assert second == []


def test_what_no_template_asks_for_is_not_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture of the job graph is for one document."""
    calls: Counter[str] = Counter()
    counted(monkeypatch, describe, "mermaid", calls)
    render.files(problems.planned(reader.read((SPECS / "minimal.yml").read_bytes(), catalogue.words())))
    assert calls["mermaid"] == 1


def test_the_disk_is_not_asked_whether_a_template_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was asked 1,500 times a run; a listing of each folder says it at once."""
    asked: Counter[str] = Counter()
    for name in ("is_file", "exists", "stat"):
        counted(monkeypatch, Path, name, asked)
    render.files(problems.planned(reader.read((SPECS / "minimal.yml").read_bytes(), catalogue.words())))
    assert sum(asked.values()) <= 3
