"""What is imported before the spec is read: the command starts at once, and a wrong spec is told at once."""

import subprocess
import sys
from pathlib import Path

import pytest

MINIMAL = (Path(__file__).parent / "specs/minimal.yml").read_text("utf-8")
# What each part of the work brings; nothing of it is there before that part begins.
LATER = {
    "boto3",
    "botocore",
    "cookiecutter",
    "difflib",
    "dpra.adopt",
    "dpra.bootstrap",
    "dpra.cost",
    "dpra.describe",
    "dpra.evidence",
    "dpra.github",
    "dpra.rehearsal",
    "dpra.render",
    "dpra.cli.tables",
    "dpra.tree",
    "http.server",
    "jinja2",
    "moto",
    "requests",
    "rich",
    "ssl",
}
# Prints the modules that were there when the reader was called.
WATCH = """
import sys
sys.argv = ["dpra", *sys.argv[1:]]
from dpra.cli import main
def trace(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "read" and frame.f_code.co_filename.endswith("reader.py"):
        sys.setprofile(None); print("modules:", *sys.modules, file=sys.stderr); raise SystemExit(9)
sys.setprofile(trace)
try: main()
finally: sys.setprofile(None)
"""


def modules(folder: Path, *arguments: str, code: str = WATCH) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 9, done.stdout + done.stderr
    return set(done.stderr.rpartition("modules:")[2].split())


@pytest.mark.parametrize("command", ["generate", "check", "plan", "rehearse"])
def test_before_the_spec_is_read_nothing_is_imported_that_only_later_parts_need(tmp_path, command: str) -> None:
    (tmp_path / "dpra.yml").write_text(MINIMAL, "utf-8")
    assert modules(tmp_path, command) & LATER == set()


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["generate", "--help"], ["completion", "bash"]])
def test_help_and_version_import_the_command_line_only(tmp_path, arguments: list[str]) -> None:
    code = (
        "import sys\nsys.argv = ['dpra', *sys.argv[1:]]\nfrom dpra.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('modules:', *sys.modules, file=sys.stderr)\nsys.exit(9)"
    )
    ours = {name for name in modules(tmp_path, *arguments, code=code) if name.startswith("dpra")}
    family = {"generate": {"dpra.cli.common", "dpra.cli.generate"}, "completion": {"dpra.cli.common", "dpra.cli.start"}}
    assert ours == {"dpra", "dpra.cli", "dpra.errors", *family.get(arguments[0], ())}


def test_the_table_of_commands_says_what_their_own_help_says() -> None:
    from dpra.cli import COMMANDS, real

    for name, (_, text) in COMMANDS.items():
        command = real(name)
        assert command.name == name
        assert (command.help or "").startswith(text.rstrip(".")), name


def test_the_shell_completes_a_command_without_importing_any(tmp_path) -> None:
    code = (
        "import os, sys\nos.environ |= {'_DPRA_COMPLETE': 'bash_complete', 'COMP_WORDS': 'dpra re'}\n"
        "os.environ['COMP_CWORD'] = '1'\n"
        "sys.argv = ['dpra']\nfrom dpra.cli import main\n"
        "try: main(prog_name='dpra')\nexcept SystemExit: pass\n"
        "print('modules:', *sys.modules, file=sys.stderr)\nsys.exit(9)"
    )
    ours = {name for name in modules(tmp_path, code=code) if name.startswith("dpra")}
    assert ours == {"dpra", "dpra.cli", "dpra.errors"}
