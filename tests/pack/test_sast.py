"""Weak Python code blocks. The tool is the real one."""

import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dpra import resources

INJECTION = "def find(cursor, name):\n    return cursor.execute(\"SELECT * FROM users WHERE name = '%s'\" % name)\n"
SAFE = 'def find(cursor, name):\n    return cursor.execute("SELECT * FROM users WHERE name = ?", (name,))\n'


def test_an_sql_injection_blocks(job: Any) -> None:
    job.write("src/app.py", INJECTION)

    ran = job.use("check", action="sast", language="python")

    assert ran.code == 1
    [error] = ran.errors
    assert error.startswith("file=src/app.py,line=2,title=sast%3A medium::B608: ")
    assert ran.record["result"] == "fail"
    assert ran.record["findings"] == {"critical": 0, "high": 0, "medium": 1, "low": 0}
    assert "SELECT" not in (job.evidence / "sast.sarif").read_text()  # reports quote no source


def test_what_is_judged_cannot_switch_it_off(job: Any) -> None:
    job.write(".bandit", "[bandit]\nskips: B608\nexclude: /src\n")
    job.write("pyproject.toml", '[tool.bandit]\nskips = ["B608"]\n')
    job.write("src/app.py", INJECTION)
    job.write("src/known.py", INJECTION.replace(" % name)", " % name)  # nosec B608"))
    ran = job.use("check", action="sast", language="python")
    assert (ran.code, len(ran.errors)) == (1, 2)
    assert "file=src/app.py" in ran.errors[0]
    assert "file=src/known.py" in ran.errors[1]


def test_a_higher_threshold_lets_it_pass_and_still_counts_it(job: Any) -> None:
    job.write("src/app.py", INJECTION)

    ran = job.use("check", action="sast", language="python", fail_on="high")

    assert (ran.code, ran.errors, ran.record["result"]) == (0, [], "pass")
    assert ran.record["findings"]["medium"] == 1
    assert "| medium | no | `B608` |" in ran.summary


def test_safe_code_passes_and_only_the_project_is_looked_at(job: Any) -> None:
    job.write("src/app.py", SAFE)
    for elsewhere in (".venv/lib/x.py", "node_modules/gyp/x.py", ".github/actions/dpra/x.py"):
        job.write(elsewhere, INJECTION)
    job.write(".gitignore", ".venv/\nnode_modules/\n")
    job.git("init", "--quiet")

    ran = job.use("check", action="sast", language="python", tool="bandit", fail_on="any")

    assert (ran.code, ran.errors) == (0, [])
    assert (ran.record["tool"], ran.record["version"], ran.record["where"]) == ("bandit", "1.9.4", "sast.sarif")
    assert set(ran.record["findings"].values()) == {0}


def test_a_file_that_cannot_be_parsed_is_an_error(job: Any) -> None:
    """bandit itself exits 0."""
    job.write("src/app.py", SAFE)
    job.write("src/broken.py", "def broken(:\n")

    ran = job.use("check", action="sast", language="python")

    assert (ran.code, ran.record["result"]) == (1, "fail")
    assert any(error.startswith("file=src/broken.py,") for error in ran.errors)


def test_nothing_to_look_at_is_an_error(job: Any) -> None:
    """bandit itself exits 0 with an empty report."""
    job.write("README.md", "shop\n")
    job.write(".github/actions/dpra/x.py", SAFE)

    ran = job.use("check", action="sast", language="python")

    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "There is no Python file" in ran.out


def test_a_password_in_the_code_is_not_repeated(job: Any) -> None:
    job.write("src/app.py", 'password = "correct-horse"\n\n\ndef f(password="battery-staple"): ...\n')

    ran = job.use("check", action="sast", language="python", fail_on="low")

    assert ran.code == 1
    assert ran.record["findings"]["low"] == 2
    for text in (b"correct-horse", b"battery-staple"):
        assert text not in ran.out.encode() + ran.summary.encode() + job.everything_written()


def test_hostile_file_names_stay_data(job: Any, inert: Any) -> None:
    for name in ("::error::x,y:%0A.py", "a\n::error::b.py", "a|b`c`.py", "$(touch pwned).py", "\u2028x.py"):
        (job.workspace / name).write_text(INJECTION)

    ran = job.use("check", action="sast", language="python")

    assert (ran.code, len(ran.errors)) == (1, 5)
    inert(job, ran)


# ---- Every file is looked at

NODE = "export const find = (db, name) => db.query(`SELECT * FROM users WHERE name = '${name}'`);\n"
FINE = "export const one = 1;\n"
ENGINES = ["semgrep", "opengrep"]


def committed(job: Any) -> None:
    job.git("init", "--quiet")
    job.git("add", "--force", ".")
    job.git("commit", "--quiet", "--message", "A change")


def spent() -> float:
    """Seconds of processor time of the processes that have ended: the clock counts others' work, too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_one_injection_among_six_thousand_files_blocks_in_twice_the_tools_own_time(
    job: Any, needs: Any, engine: str
) -> None:
    needs("npm")
    for number in range(6000):
        job.write(f"src/components/{number % 60}/a-component-with-a-long-name-{number}.mjs", FINE)
    job.write("src/components/7/users.mjs", NODE)
    committed(job)
    assert job.use("check", action="sast", language="node", tool=engine).code == 1  # it is installed, and warm
    begun = spent()
    ran = job.use("check", action="sast", language="node", tool=engine)
    took = spent() - begun
    assert (ran.code, ran.errors) == (1, [one for one in ran.errors if "users.mjs" in one]), ran.out
    assert len(ran.errors) == 1
    home = next((Path.home() / ".cache/dpra").glob(f"{engine}/*/bin"), None)
    path = f"{home}{os.pathsep}{job.env['PATH']}" if home else job.env["PATH"]
    command = [engine, "scan", "--config", str(resources.PACK / "check/rules/semgrep"), "--json"]
    command += ["--metrics", "off"] if engine == "semgrep" else []
    command += ["--disable-version-check", "--no-git-ignore", "--quiet", "--output", str(job.root / "own.json"), "."]
    begun = spent()
    subprocess.run(command, cwd=job.workspace, env={**job.env, "PATH": path}, check=True, capture_output=True)
    alone = spent() - begun
    assert took <= 2 * alone, (took, alone)


@pytest.mark.parametrize(
    ("name", "language", "text"),
    [
        ("tests/users.mjs", "node", NODE),
        ("vendor/users.mjs", "node", NODE),
        ("node_modules/evil/users.js", "node", NODE),
        ("build/users.min.js", "node", NODE),
        ("USERS.JS", "node", NODE),
        ("users.mts", "node", NODE),
        ("users.cts", "node", NODE),
        ("bin/users", "node", f"#!/usr/bin/env node\n{NODE}"),
        (".venv/lib/users.py", "python", INJECTION),
        ("USERS.PY", "python", INJECTION),
        ("users.pyw", "python", INJECTION),
        ("bin/users", "python", f"#!/usr/bin/env python3\n{INJECTION}"),
        (".hidden/users.py", "python", INJECTION),
        ("with blank/ü\nser.py", "python", INJECTION),
    ],
)
@pytest.mark.parametrize("engine", ["semgrep", "bandit"])
def test_code_hides_neither_by_its_name_nor_by_its_place(
    job: Any, needs: Any, engine: str, name: str, language: str, text: str
) -> None:
    if engine == "bandit" and language != "python":
        pytest.skip("bandit knows Python only")
    needs(*(["npm"] if language == "node" else []))
    job.write(".gitignore", "*\n")
    job.write(".semgrepignore", "*\n")
    job.write(".bandit", "[bandit]\nexclude: /\n")
    job.write("fine.py" if language == "python" else "fine.mjs", "x = 1\n" if language == "python" else FINE)
    job.write(name, text)
    committed(job)
    ran = job.use("check", action="sast", language=language, tool=engine)
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert len(ran.errors) == 1
    assert name.rpartition("/")[2].partition("\n")[0] in ran.errors[0]


@pytest.mark.parametrize("engine", ["semgrep"])
@pytest.mark.parametrize(
    ("name", "language", "text"),
    [
        ("a.js", "node", "function {{{\n"),
        ("a.mjs", "node", "import x from ;\n"),
        ("a.ts", "node", "const a: = = ;;; function {{{\n" + NODE),
        ("a.py", "python", "def broken(:\n"),
        ("b.PY", "python", "print 'two'\n"),
        ("c.pyw", "python", "x = '\x00'\n"),
    ],
)
def test_what_cannot_be_parsed_is_named(job: Any, needs: Any, engine: str, name: str, language: str, text: str) -> None:
    needs(*(["npm"] if language == "node" else []))
    job.write(name, text)
    ran = job.use("check", action="sast", language=language, tool=engine)
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert any("not-parsed" in one and name in one for one in ran.errors)
