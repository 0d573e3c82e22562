"""The files that a check has to look at: by git, by ending, by content."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FILES = Path(__file__).parents[2] / ".github" / "actions" / "check" / "files.py"


def listed(target: Path, *languages: str, **environment: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-I", "-B", str(FILES), *languages],
        env={"PATH": os.environ["PATH"], "TARGET": str(target), **environment},
        cwd="/",
        check=True,
        capture_output=True,
    )
    return [os.fsdecode(name) for name in ran.stdout.split(b"\0") if name]


@pytest.mark.parametrize(
    ("language", "name", "content"),
    [
        *[("python", name, "") for name in ("a.py", "A.PY", "a.pyw", "a.PyW", "a.pyi", "b c/ä.py", "-x.py")],
        *[("node", f"a.{ending}", "") for ending in "js mjs cjs jsx ts tsx mts cts JS MTS".split()],
        *[("java", "A.java", ""), ("java", "A.JAVA", ""), ("go", "a.go", ""), ("cdk", "a.ts", "")],
        *[("python", "tool", f"#!{line}\n") for line in ("/usr/bin/python3", "/usr/bin/env python3.11", "/bin/pypy3")],
        *[("python", "tool.txt", "#! /usr/bin/env -S uv run --script\n"), ("python", "x.sh", "#!/usr/bin/python\n")],
        *[("node", "cli", f"#!/usr/bin/env {line}\n") for line in ("node", "nodejs", "-S node --x", "bun", "tsx")],
        ("java", "run", "#!/usr/bin/java --source 17\n"),
    ],
)
def test_a_file_is_of_a_language_by_its_ending_or_its_first_line(
    job: Any, language: str, name: str, content: str
) -> None:
    job.write(name, content)
    job.write("README.md", "#!/bin/sh\npython node\n")
    assert listed(job.workspace, language) == [name]
    assert listed(job.workspace, "terraform") == []


def test_what_git_tracks_counts_and_what_it_ignores_does_not(job: Any) -> None:
    job.git("init", "--quiet")
    job.write(".gitignore", "node_modules/\n.venv/\ncdk.out/\nhidden.py\n")
    for name in ("node_modules/a/x.js", ".venv/x.py", "hidden.py", ".github/scripts/x.py", "src/x.py"):
        job.write(name, "")
    job.git("add", "--force", ".")
    for name in ("node_modules/b/x.js", ".venv/y.py", "cdk.out/x.js", "new.py", ".github/actions/dpra/check/x.py"):
        job.write(name, "")
    job.write(".git/info/exclude", "*.py\n")  # whoever ran before wrote it
    job.git("config", "core.excludesFile", ".gitattributes")
    job.write(".gitattributes", "*.py\n")
    found = {".github/scripts/x.py", ".venv/x.py", "hidden.py", "new.py", "src/x.py", "node_modules/a/x.js"}
    assert set(listed(job.workspace, "python", "node")) == found
    assert listed(job.workspace / "src", "python") == ["x.py"]
    assert listed(job.workspace / "cdk.out", "node") == ["x.js"]  # asked for by name


def test_outside_a_repository_all_counts(job: Any) -> None:
    for name in ("node_modules/x.js", "x.js", ".gitignore", ".github/actions/dpra/x.js", ".git/hooks/x.js"):
        job.write(name, "*\n")
    assert listed(job.workspace, "node") == ["node_modules/x.js", "x.js"]


def test_a_link_is_the_file_that_it_leads_to_in_the_repository(job: Any) -> None:
    job.git("init", "--quiet")
    job.write("text.txt", "")
    (job.root / "secret.py").write_text("")
    for name, leads in {
        "a.py": "text.txt",
        "b.py": "../secret.py",
        "c.py": "/etc/passwd",
        "d.py": "d.py",
        "e.py": ".git/config",
        "f": "..",
        "g.py": "nowhere",
    }.items():
        (job.workspace / name).symlink_to(leads)
    assert listed(job.workspace, "python") == ["text.txt"]


def test_what_lies_in_git_s_configuration_or_the_environment_does_not_decide(job: Any) -> None:
    job.git("init", "--quiet")
    job.write("a.py", "")
    job.write("hook", f"#!/bin/sh\ntouch {job.root}/pwned\n").chmod(0o755)
    job.git("config", "core.fsmonitor", str(job.workspace / "hook"))
    job.git("init", "--quiet", str(job.root / "other"))
    assert listed(job.workspace, "python", GIT_DIR=f"{job.root}/other/.git", GIT_INDEX_FILE=f"{job.root}/none") == [
        "a.py"
    ]
    assert not (job.root / "pwned").exists()


def test_a_submodule_and_names_that_are_no_text_are_listed(job: Any) -> None:
    job.git("init", "--quiet")
    job.git("init", "--quiet", "inner")
    job.write("inner/x.py", "")
    Path(os.fsdecode(os.fsencode(job.workspace) + b"/\xff.py")).write_text("")
    job.write("a\nb.py", "")
    assert listed(job.workspace, "python") == ["a\nb.py", "inner/x.py", os.fsdecode(b"\xff.py")]
