"""What judges or signs runs its own code only: no module, variable or folder of the repository gets into it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dpra import resources

ROOT = Path(__file__).parent.parent.parent
LISTED = subprocess.run(
    ["git", "ls-files", ".github", "action.yml", "generator", "templates"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
OURS = [
    path
    for path in LISTED
    # The defaults of languages.yml run the component's own code; the rest of the stand-ins play GitHub.
    if path.endswith((".sh", ".yml")) and path != "templates/languages.yml" and "stand_ins" not in path
]
# An interpreter that is started, with what stands behind it: not a word in a comment, a list or a path.
STARTED = re.compile(r"""(?:^|[\s;|&(!]|\$\(|entry: |run: )(?:"\$python"|python3?)(?= +[-"'$\w./])([^\n]*)""")
STOLEN = ("re", "json", "ast", "os", "subprocess", "venv", "pip", "runner", "evidence", "gate", "sitecustomize", "dpra")


@pytest.mark.parametrize("path", OURS)
def test_an_interpreter_is_started_isolated(path: str) -> None:
    for line in (ROOT / path).read_text("utf-8").splitlines():
        if not line.lstrip().startswith("#"):
            for behind in STARTED.findall(line):
                assert re.match(r" +-I -B\b", behind), line


@pytest.mark.parametrize(
    ("line", "isolated"),
    [
        ("python3 - file <<'PYTHON'", False),
        ("  python3 -c 'import re'", False),
        ('x | python3 "$CHECK/sarif.py" x', False),
        ("found=$(python3 -B x.py)", False),
        ('"$python" -m pip install', False),
        ('      run: python3 -B "$GITHUB_ACTION_PATH/scan.py"', False),
        ("python3 -I - file", False),
        ("python3 -I -B - file", True),
        ("if ((${#python[@]} > 0)); then", True),
        ("languages: [python]", True),
    ],
)
def test_the_lint_sees_an_interpreter_however_it_is_started(line: str, isolated: bool) -> None:
    assert all(re.match(r" +-I -B\b", behind) for behind in STARTED.findall(line)) is isolated


@pytest.mark.parametrize(
    "path", [path for path in LISTED if path.startswith(".github/actions/") and path.endswith(".py")]
)
def test_a_script_starts_python_isolated(path: str) -> None:
    for words in re.findall(r"sys\.executable,([^)\]]*)", (ROOT / path).read_text("utf-8")):
        assert words.lstrip().startswith('"-I", "-B"'), words


def hostile(job: Any) -> Path:
    """A workspace whose modules are named as those that everybody imports, and write down that they ran."""
    marker = job.root / "ran"
    for name in STOLEN:
        job.write(f"{name}.py", f"open({str(marker)!r}, 'a').write({name!r})\nraise SystemExit(0)\n")
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONUSERBASE"):
        job.env[name] = str(job.workspace)
    return marker


JUNIT = '<testsuite><testcase name="a"/></testsuite>'
ACTIONS: dict[str, dict[str, str]] = {
    "build": {"command": "true"},
    "test": {"command": f"echo '{JUNIT}' > \"$JUNIT_FILE\""},
    "package": {"component": "shop", "command": 'echo x > "$PACKAGE_DIR/x"', "template": ""},
    "report": {"needs": '{"build": {"result": "success"}}', "expected": "expected.json", "workflow": "pipeline"},
}


@pytest.mark.parametrize("action", ACTIONS)
def test_no_module_of_the_repository_is_imported_by_an_action(job: Any, action: str) -> None:
    marker = hostile(job)
    inputs = (resources.PACK / action / "action.yml").read_text()
    job.use(action, **{name: value for name, value in ACTIONS[action].items() if f"\n  {name}:" in inputs})
    assert not marker.exists()


CHECKS = {
    "secrets-detection": {"language": "python"},
    "sast": {"language": "python"},
    "code-quality": {"language": "python"},
    "policy-as-code": {"language": "cloudformation"},
    "sca": {"language": "python"},
}
BUCKET = "Resources:\n  Site:\n    Type: AWS::S3::Bucket\n    Properties:\n      AccessControl: PublicRead\n"


@pytest.mark.parametrize("action", CHECKS)
def test_no_module_of_the_repository_is_imported_by_a_check(job: Any, action: str) -> None:
    marker = hostile(job)
    job.write("infrastructure/template.yml", BUCKET)
    job.write("bad.py", "import os\n\n\ndef f(c, n):\n    return c.execute('SELECT ' + n + undefined)\n")
    job.git("init", "--quiet")
    job.git("add", ".")
    job.git("commit", "--quiet", "--message", "A change")
    ran = job.use("check", action=action, **CHECKS[action])
    assert not marker.exists(), marker.read_text()
    if action in ("sast", "code-quality", "policy-as-code"):
        assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out


# ---- What Python kept of a module

CACHED = """
import importlib._bootstrap_external as pyc, pathlib, sys
source, marker, kind = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
code = compile(f"open({marker!r}, 'a').write({source.stem!r})", str(source), "exec")
state = source.stat()
held = pyc._code_to_timestamp_pyc(code, int(state.st_mtime), state.st_size)
if kind == "unchecked":
    held = pyc._code_to_hash_pyc(code, b"12345678", False)
place = pathlib.Path(pyc.cache_from_source(str(source)))
place.parent.mkdir(exist_ok=True)
place.write_bytes(held)
"""
SCRIPTS = sorted(
    path
    for path in LISTED
    if path.startswith(".github/actions/") and path.endswith(".py") and "sys.path.insert" in (ROOT / path).read_text()
)


@pytest.mark.parametrize("kind", ["unchecked", "timestamp"])
def test_what_python_kept_of_a_module_of_the_pack_is_not_run(job: Any, kind: str) -> None:
    """A `.pyc` that a change brings; git shows it as a binary file."""
    pack, marker = job.own_pack(), job.root / "ran"
    for folder in pack.rglob("__pycache__"):
        shutil.rmtree(folder)
    for path in {*pack.glob("_lib/*.py"), *pack.glob("check/*.py")}:
        subprocess.run([sys.executable, "-I", "-c", CACHED, path, marker, kind], check=True)
    run = [sys.executable, "-I", "-B"]
    search = f"import sys; sys.path.insert(0, {str(pack / '_lib')!r}); import runner"
    subprocess.run([*run, "-c", search], check=False)
    assert marker.read_text() == "runner"  # so the trap works
    marker.unlink()
    for path in SCRIPTS:
        script = pack / Path(path).relative_to(".github/actions")
        ran = subprocess.run([*run, script], cwd=job.workspace, env=job.env, capture_output=True, text=True, timeout=60)
        assert set(re.findall("ModuleNotFoundError: No module named '(\\w+)'", ran.stderr)) <= {"hcl2"}, path  # brought
        assert not marker.exists(), f"{path}: {marker.read_text()}"


@pytest.mark.parametrize("path", SCRIPTS)
def test_a_script_says_that_no_cache_is_read_before_it_finds_a_module_of_the_pack(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    assert re.search(r'^sys\.pycache_prefix = "/dev/null".*\nsys\.path\.insert\(0, ', text, re.MULTILINE)
    assert text.index("sys.pycache_prefix") < text.index("sys.path.insert")


# ---- The environment

TOOL = """#!/usr/bin/env bash
# default for tries: any
# version: 1.0
# version-command: thetool --version
# ok-exit-codes: 0
# environment: WANTED_*
set -euo pipefail
env > "$RUNNER_TEMP/seen"
{ pwd; ls -A; echo "$HOME"; ls -A "$HOME"; } > "$RUNNER_TEMP/place"
echo '{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "thetool"}}, "results": []}]}' > "$SARIF"
"""
STEERING = (
    "BASH_ENV ENV PYTHONPATH PYTHONSTARTUP NODE_OPTIONS NODE_PATH TRIVY_SEVERITY GITLEAKS_CONFIG SEMGREP_RULES "
    "RUFF_CONFIG BIOME_CONFIG_PATH CKV_FRAMEWORK GOFLAGS GIT_DIR GIT_EXTERNAL_DIFF JAVA_TOOL_OPTIONS LD_PRELOAD "
    "XDG_CONFIG_HOME PIP_INDEX_URL NPM_CONFIG_USERCONFIG GITHUB_ENV GITHUB_PATH GITHUB_OUTPUT GITHUB_TOKEN AWS_PROFILE"
).split()


def test_a_tool_gets_only_the_variables_that_are_listed_and_starts_in_an_empty_place(job: Any) -> None:
    (job.own_pack() / "check" / "tools" / "thetool.sh").write_text(TOOL)
    (job.root / "bin" / "thetool").write_text("#!/bin/sh\necho thetool 1.0\n")
    (job.root / "bin" / "thetool").chmod(0o755)
    before = dict(job.env)
    job.env |= {name: "hostile" for name in STEERING if name not in ("BASH_ENV", "ENV", "LD_PRELOAD")}
    job.env |= {"WANTED_REGION": "here", "HTTPS_PROXY": "http://127.0.0.1:9", "BASH_ENV": "/dev/null"}
    (job.root / "home" / ".toolrc").write_text("hostile")
    ran = job.use("check", action="tries")
    assert (ran.code, ran.errors) == (0, []), ran.out
    seen = dict(line.split("=", 1) for line in (job.temp / "seen").read_text().splitlines() if "=" in line)
    assert {name: seen.get(name) for name in STEERING} == dict.fromkeys(STEERING)
    assert (seen["WANTED_REGION"], seen["HTTPS_PROXY"]) == ("here", "http://127.0.0.1:9")
    assert seen["PATH"].endswith(before["PATH"])
    place, home = (job.temp / "place").read_text().splitlines()
    assert Path(place).is_relative_to(job.temp)
    assert home != before["HOME"]
