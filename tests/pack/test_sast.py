"""Weak Python code blocks. The tool is the real one."""

import json
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

INJECTION = "def find(cursor, name):\n    return cursor.execute(\"SELECT * FROM users WHERE name = '%s'\" % name)\n"
SAFE = 'def find(cursor, name):\n    return cursor.execute("SELECT * FROM users WHERE name = ?", (name,))\n'


def test_an_sql_injection_blocks(job: Any) -> None:
    job.write("src/app.py", INJECTION)

    ran = job.use("check", action="sast", language="python")

    assert ran.code == 1
    [error] = ran.errors
    assert error.startswith("file=src/app.py,line=2,col=27,title=sast%3A medium::B608: ")
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
    job.git("init", "--quiet")
    job.write(".gitignore", ".venv/\nnode_modules/\n")
    job.write("src/app.py", SAFE)
    for elsewhere in (".venv/lib/x.py", "node_modules/gyp/x.py", ".github/actions/dpra/x.py"):
        job.write(elsewhere, INJECTION)

    ran = job.use("check", action="sast", language="python", tool="bandit", fail_on="any")

    assert (ran.code, ran.errors) == (0, [])
    assert (ran.record["tool"], ran.record["version"], ran.record["where"]) == ("bandit", "1.9.4", "sast.sarif")
    assert set(ran.record["findings"].values()) == {0}


def test_a_file_that_cannot_be_parsed_is_an_error(job: Any) -> None:
    """bandit itself exits 0."""
    job.write("src/app.py", SAFE)
    job.write("src/broken.py", "def broken(:\n")

    ran = job.use("check", action="sast", language="python")

    assert (ran.code, ran.record["result"]) == (1, "error")
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


# ---- Each tool knows what it looked at

TOOLS = {"bandit": "python", "semgrep": "python", "opengrep": "python"}
NODE = "import { exec } from 'node:child_process';\nexport const f = (name) => exec(`ls ${name}`);\n"


def found(job: Any) -> set[tuple[str, str]]:
    listed = json.loads((job.evidence / "sast.findings.json").read_text())
    return {(one["rule"], one["file"]) for one in listed}


def spent() -> float:
    """Seconds of processor time of the processes that have ended: the clock counts others' work, too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["semgrep", "opengrep"])
def test_one_command_injection_among_6000_other_files_blocks_in_twice_the_tool_s_own_time(
    job: Any, needs: Any, tool: str
) -> None:
    """Their names are 180 KiB: xargs would make two runs of it, whose second overwrote the first one's report."""
    needs("npm")
    job.write("src/00/first.js", NODE)
    for number in range(6_000):
        job.write(f"src/{number // 100:02}/module-{number}.js", f"export const f{number} = (a) => a + {number};\n")

    begun = spent()
    ran = job.use("check", action="sast", language="node", tool=tool)
    ours = spent() - begun

    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert found(job) == {("node-command-injection", "src/00/first.js")}
    assert "6001 of 6001 files were looked at" in ran.out
    home = max(Path.home().glob(".cache/dpra/semgrep/*/bin"), default=Path())
    job.env["PATH"] = f"{job.env['PATH']}:{home}"
    job.env["GITHUB_ACTION_PATH"] = str(job.pack / "check")
    (job.root / "own.sh").write_text(
        f"{tool} scan --config {job.pack}/check/rules/semgrep {'--metrics off' if tool == 'semgrep' else ''}"
        f" --disable-version-check --quiet --json --output {job.root}/own.json ."
    )
    begun = spent()
    subprocess.run(["bash", str(job.root / "own.sh")], cwd=job.workspace, env=job.env, check=True)
    assert ours < 2 * (spent() - begun)


NODE_NAMES = (
    *("n/a.mts", "n/a.cts", "n/a.ts", "n/b.TSX", "n/c.jsx", "n/d.MJS", "n/x.min.js", "dist/x.js"),
    *("node_modules/x/a.js", "cli"),
)
# Node parses scripts and modules; of the rest the tool says what it could not parse, where a rule may match.
BROKEN_NODE = {
    "broken/a.ts": "const a: = 1;\nexec(`ls ${a}`);\n",
    "broken/b.tsx": "const a = <div>{</div>;\nexec(`ls ${a}`);\n",
    "broken/c.jsx": "const a = <div>{</div>;\nexec(`ls ${a}`);\n",
    "broken/d.mts": "function ( {\nexec(`ls ${a}`);\n",
    "broken/e.cjs": "function ( {\n",
    "broken/cli": "#!/usr/bin/env node\nlet let = 1;\n",
}
PARSED_NODE = {
    "ok.cjs": "#!/usr/bin/env node\nif (1) return;\nawait_ = 1;\n",
    "ok.js": "await import('x');\nexport {};\n",
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tracked_code_is_code_wherever_it_lies_and_whatever_it_is_called(job: Any, needs: Any, tool: str) -> None:
    job.git("init", "--quiet")
    job.write("ok.py", SAFE)
    names = {"A.PY", "a.pyw", "b.Py", "node_modules/gyp/x.py", ".venv/lib/x.py", "tests/t.py", "a b'c.py", "é.py"}
    names |= {".github/scripts/x.py", "__pycache__/x.py", ".tox/x.py", "vendor/x.py", "-r.py", "x.egg/y.py"}
    for name in names:
        job.write(name, INJECTION)
    lines = ("/usr/bin/env python3", "/usr/bin/python3 -I", "/usr/bin/env pypy", "/usr/bin/env -S uv run --script")
    for number, line in enumerate(lines):
        names.add(f"bin/tool{number}")
        job.write(f"bin/tool{number}", f"#!{line}\n{INJECTION}")
    job.write("bin/tool0.py", SAFE)  # the name that the copy of bin/tool0 would have
    of_node = tool != "bandit"
    if of_node:  # in the same start of the tool
        needs("npm")
        for name in NODE_NAMES:
            job.write(name, "#!/usr/bin/env node\n" * (name == "cli") + NODE)
        for name, content in (BROKEN_NODE | PARSED_NODE).items():
            job.write(name, content)
    job.git("add", "--force", ".")
    job.write(".gitignore", "*\n")
    ran = job.use("check", action="sast", language="python node" if of_node else "python", tool=tool)
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    of_python = {one for one in found(job) if one[1] in names}
    assert {file for _, file in of_python} == names
    assert {rule for rule, _ in of_python}.isdisjoint({"not-checked", "not-parsed"})
    rest = found(job) - of_python
    if not of_node:
        assert rest == set()
        return
    assert {one for one in rest if one[1] not in BROKEN_NODE} == {
        ("node-command-injection", name) for name in NODE_NAMES
    }
    assert {file for rule, file in rest if rule == "not-parsed"} == set(BROKEN_NODE)


def installed(job: Any, tool: str) -> str:
    home = max(Path.home().glob(f".cache/dpra/{tool}/*/bin/{tool}"), default=None)
    return str(home or shutil.which(tool, path=job.env["PATH"]) or "")


@pytest.mark.parametrize(("tool", "language"), TOOLS.items())
def test_a_file_that_a_tool_passes_over_blocks_with_its_name(job: Any, tool: str, language: str) -> None:
    """The tool is given one file less than there are."""
    job.write("a.py", SAFE)
    job.write("b.py", SAFE)
    real = installed(job, tool)
    if not real:
        job.use("check", action="sast", language=language, tool=tool)
        real = installed(job, tool)
    version = {"semgrep": "1.182.0"}.get(tool, "")
    fake = job.root / "bin" / tool
    said = f"echo {version}; exit" if version else f'exec {real} "$@"'
    fake.write_text(f'#!/bin/sh\ncase "$*" in *--version*) {said};; esac\nrm -f b.py\nexec {real} "$@"\n')
    fake.chmod(0o755)
    ran = job.use("check", action="sast", language=language, tool=tool)
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert found(job) == {("not-checked", "b.py")}


HOSTILE = {
    ".semgrepignore": "*\n:include .gitignore\n",
    "src/.semgrepignore": "*\n",
    ".gitattributes": "* export-ignore\n",
    ".bandit": "[bandit]\nskips: B608\nexclude: /src,src\ntests: B101\n",
    "src/.bandit": "[bandit]\nskips: B608\n",
    "bandit.yaml": "skips: [B608]\n",
    "setup.cfg": "[bandit]\nskips = B608\n",
    "tox.ini": "[bandit]\nskips = B608\n",
    "pyproject.toml": '[tool.bandit]\nskips = ["B608"]\nexclude_dirs = ["src"]\n',
    ".semgrep/settings.yml": "has_shown_metrics_notification: true\n",
    ".semgrep.yml": "rules: []\n",
    **{
        f"{name}.py": "import os, sys\nos._exit(0)\n"
        for name in ("re", "json", "ast", "files", "sitecustomize", "bandit")
    },
    "policies/semgrep/mine.yml": "rules:\n- {id: python-sql-injection, languages: [python], severity: LOW,"
    " message: x, pattern: nothing_of_this(), paths: {exclude: ['*']}}\n",
    "policies/semgrep/ours.yml": "rules:\n"
    "- {id: ours, languages: [python], severity: HIGH, message: x, pattern: house_rule(...)}\n",
}
ENVIRONMENT = {
    "PYTHONPATH": "workspace",
    "PYTHONSTARTUP": "workspace/re.py",
    "SEMGREP_RULES": "/nowhere",
    "SEMGREP_EXCLUDE": "*",
    "SEMGREP_BASELINE_COMMIT": "HEAD",
    "SEMGREP_SRC_DIRECTORY": "/",
    "SEMGREP_TIMEOUT": "0",
    "BANDIT_CONFIG": "bandit.yaml",
    "NODE_OPTIONS": "--require ./evil.js",
    "GIT_DIR": "/nowhere",
    "XDG_CONFIG_HOME": "workspace",
    "TARGET": "/nowhere",
    "DPRA_LANGUAGE": "go",
}


@pytest.mark.parametrize(("tool", "language"), TOOLS.items())
def test_neither_files_nor_the_environment_switch_a_tool_off(job: Any, tool: str, language: str) -> None:
    job.git("init", "--quiet")
    for name, content in HOSTILE.items():
        job.write(name, content)
    job.write("src/app.py", f"{INJECTION}\nhouse_rule(1)\n")
    job.git("add", ".")
    job.env |= {name: value.replace("workspace", str(job.workspace)) for name, value in ENVIRONMENT.items()}
    ran = job.use("check", action="sast", language=language, tool=tool)
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    of_it = {rule for rule, file in found(job) if file == "src/app.py"}
    assert of_it == ({"B608"} if tool == "bandit" else {"ours", "python-sql-injection"})  # the repository's own add
    assert "not-checked" not in {rule for rule, _ in found(job)}


@pytest.mark.parametrize("tool", ["semgrep", "opengrep"])
def test_broken_rules_of_the_repository_are_an_error(job: Any, tool: str) -> None:
    job.write("src/app.py", INJECTION)
    job.write("policies/semgrep/ours.yml", "rules:\n- {id: ours}\n")
    ran = job.use("check", action="sast", language="python", tool=tool)
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out
