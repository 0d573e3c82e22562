"""What a check is to look at is what git has, whatever it is called; nothing hides by its name or its place."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dpra import resources

SCRIPT = resources.PACK / "check/files.py"


def listed(target: Path, *languages: str) -> list[str]:
    command = [sys.executable, "-I", "-B", SCRIPT, *languages]
    ran = subprocess.run(command, env={**os.environ, "TARGET": str(target)}, capture_output=True, check=True)
    return [os.fsdecode(name) for name in ran.stdout.split(b"\0") if name]


FILES = {
    "a.py": "python",
    "B.PY": "python",
    "c.pyw": "python",
    "types.pyi": "python",
    "tool": "python",
    "deep/er/d.py": "python",
    ".hidden/e.py": "python",
    "with blank.py": "python",
    "new\nline.py": "python",
    "f.js": "node",
    "g.MTS": "node",
    "h.cts": "node",
    "i.tsx": "node",
    "run": "node",
    "node_modules/x/j.js": "node",
    ".venv/lib/k.py": "python",
    "vendor/l.go": "go",
    "M.java": "java",
    "n.tf": "terraform",
    "Dockerfile": "container",
    "web/api.Dockerfile": "container",
    "dockerfile.dev": "container",
    "README.md": "",
    "data": "",
    ".github/actions/dpra/check/scan.py": "",
    ".github/scripts/o.py": "python",
}
TEXTS = {"tool": "#!/usr/bin/env python3\n", "run": "#!/usr/bin/node\n", "data": "#!/bin/sh\n"}


@pytest.mark.parametrize("tracked", [True, False])
def test_each_language_has_its_files_in_a_repository_and_elsewhere(job: Any, tracked: bool) -> None:
    for name in FILES:
        job.write(name, TEXTS.get(name, "x"))
    if tracked:
        job.git("init", "--quiet")
        job.git("add", "--force", ".")
    for language in {*FILES.values()} - {""}:
        assert listed(job.workspace, language) == sorted(name for name, of in FILES.items() if of == language)
    assert listed(job.workspace, "python", "go") == sorted(n for n, of in FILES.items() if of in ("python", "go"))


def test_what_git_ignores_counts_where_it_is_tracked_all_the_same(job: Any) -> None:
    for name in ("a.py", "build/b.py", "build/c.py", "new.py"):
        job.write(name, "x")
    job.write(".gitignore", "build/\n")
    job.write(".gitattributes", "*.py export-ignore -diff linguist-generated\n")
    job.git("init", "--quiet")
    job.git("add", "--force", "a.py", "build/b.py", ".gitignore")
    assert listed(job.workspace, "python") == ["a.py", "build/b.py", "new.py"]


def test_a_link_leads_nowhere(job: Any) -> None:
    (job.workspace / "out.py").symlink_to("/etc/hostname")
    (job.workspace / "loop.py").symlink_to("loop.py")
    job.write("a.py", "x")
    assert listed(job.workspace, "python") == ["a.py"]
