"""The command as a user meets it: help, versions, exit codes, the bootstrap, completion."""

import json
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest
from dpra import __version__, cli

ROOT = Path(__file__).parent.parent
COMMANDS = sorted(cli.COMMANDS)


@pytest.fixture(scope="session")
def dpra(process):
    """The command itself is what is tested here."""
    return process


def test_the_version_is_told(dpra, tmp_path) -> None:
    assert dpra("--version", cwd=tmp_path).stdout.strip().endswith(__version__)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(dpra, tmp_path, command: str) -> None:
    done = dpra(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "\n  dpra " in done.stdout or "dpra completion" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(dpra, tmp_path, shell: str) -> None:
    assert f"_DPRA_COMPLETE={shell}_complete" in dpra("completion", shell, cwd=tmp_path).stdout


def test_the_shell_completes_a_command() -> None:
    """As the printed script asks the installed command."""
    asked = {"_DPRA_COMPLETE": "bash_complete", "COMP_WORDS": "dpra re", "COMP_CWORD": "1"}
    done = subprocess.run(
        [Path(sys.executable).parent / "dpra"], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "plain,rehearse\n"


def test_there_is_nothing_to_do_without_a_spec(dpra, tmp_path) -> None:
    done = dpra("generate", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("dpra.yml:1:1: no such file")


def test_no_colour_and_no_escape_reaches_a_pipe(dpra, repository) -> None:
    (repository / "dpra.yml").write_text((repository / "dpra.yml").read_text() + "trunk: release\n")
    for command in (("check",), ("plan",), ("generate", "--diff")):
        assert "\x1b" not in dpra(*command, cwd=repository).stdout


LEVELS = {"required": "R", "recommended": "r", "listed": "l"}  # l: DPRA has it in its other pipelines, without a mark


def test_the_plan_lists_every_action_of_dpra_with_level_status_and_reason(dpra, repository) -> None:
    """As AWS's docs/application-pipeline/index.md lists and marks them: required (R), recommended (r)."""
    expected = {
        "local": {"pre-commit-hooks": "R", "ide-plugins": "r"},
        "source": {
            "application-source": "R",
            "test-source": "R",
            "infrastructure-source": "R",
            "static-assets": "R",
            "dependency-manifests": "R",
            "static-configuration": "R",
            "database-source": "r",
        },
        "build": {
            "build-code": "R",
            "unit-tests": "R",
            "code-quality": "R",
            "secrets-detection": "R",
            "sast": "R",
            "package-and-store-artifacts": "R",
            "sca": "R",
            "sbom": "R",
            **dict.fromkeys(("policy-as-code", "vulnerability-assessment", "licence-policy", "iac-unit-tests"), "l"),
        },
        "beta": {
            "launch-environment": "r",
            "database-deploy": "r",
            "deploy-software": "r",
            "integration-tests": "R",
            "acceptance-tests": "R",
        },
        "gamma": {
            "launch-environment": "R",
            "database-deploy": "r",
            "deploy-software": "R",
            "monitoring-and-logging": "R",
            "synthetic-tests": "R",
            "performance-tests": "r",
            "resilience-tests": "r",
            "dast": "r",
        },
        "prod": {
            "manual-approval": "R",
            "database-deploy": "r",
            "progressive-deployment": "R",
            "synthetic-tests": "r",
        },
    }
    plan = json.loads(dpra("plan", "--format", "json", cwd=repository).stdout)
    found: dict[str, dict[str, str]] = {}
    for action in plan["actions"]:
        found.setdefault(action["stage"], {})[action["action"]] = LEVELS[action["level"]]
        assert action["status"] in ("blocks", "advisory", "outside-pipeline", "left-out")
        assert action["reason"]
        assert (action["status"] == "blocks") == bool(action["job"] and action["step"])
    assert found == expected
    left_out = {one["action"] for one in plan["actions"] if one["status"] == "left-out" and one["level"] == "required"}
    assert left_out == set()


def test_the_plan_is_told_in_a_table_and_as_a_picture(dpra, repository) -> None:
    table = dpra("plan", cwd=repository).stdout
    assert "secrets-detection" in table
    assert "gitleaks" in table
    assert "beta: account 111111111111, eu-west-1" in table
    assert dpra("plan", "--format", "mermaid", cwd=repository).stdout.startswith("flowchart LR\n")


def test_an_unknown_tool_is_refused_with_its_position(dpra, repository) -> None:
    with (repository / "dpra.yml").open("a") as file:
        file.write("actions:\n  sast: {tool: bandage}\n")
    done = dpra("plan", cwd=repository)
    assert done.returncode == 2
    assert (
        done.stderr
        == "dpra.yml:10:10: actions.sast.tool: no tool 'bandage' for python; there is bandit, opengrep, semgrep\n"
    )


def test_what_cannot_be_planned_is_told_at_once_with_positions(dpra, repository) -> None:
    spec = (repository / "dpra.yml").read_text().replace("222222222222", "111111111111")
    (repository / "dpra.yml").write_text(spec + "actions: {sast: {tool: x}}\n")
    assert dpra("plan", cwd=repository).stderr.splitlines() == [
        "dpra.yml:7:11: environments.gamma.account: beta has this account; DPRA asks for one each",
        "dpra.yml:9:18: actions.sast.tool: no tool 'x' for python; there is bandit, opengrep, semgrep",
    ]


def test_too_many_regions_are_refused_with_their_position(dpra, repository) -> None:
    from dpra.spec.models import REGIONS

    spec = (repository / "dpra.yml").read_text().replace("[eu-west-1]", f"[{', '.join(REGIONS)}]")
    (repository / "dpra.yml").write_text(spec)
    done = dpra("plan", cwd=repository)
    assert done.returncode == 2
    assert "regions; an environment has at most 20" in done.stderr


def test_check_speaks_json(dpra, repository) -> None:
    assert json.loads(dpra("check", "--format", "json", cwd=repository).stdout)["holds"] is True
    (repository / ".github/zizmor.yml").unlink()
    done = dpra("check", "--format", "json", cwd=repository)
    assert done.returncode == 1
    assert json.loads(done.stdout)["files"][".github/zizmor.yml"] == "missing"


def test_files_that_git_ignores_are_named_and_do_not_hold(dpra, repository) -> None:
    (repository / ".gitignore").write_text("build\n.vscode/\n*.yml\n!dpra.yml\n")
    for command, code in (("generate", 0), ("check", 1)):
        done = dpra(command, cwd=repository)
        assert done.returncode == code
        assert ".vscode/extensions.json: git ignores it (.gitignore:2:.vscode/); git add --force it" in done.stderr
        assert ".github/workflows/pipeline.yml: git ignores it (.gitignore:3:*.yml)" in done.stderr
        assert "actions/dpra" not in done.stderr  # the pack's own .gitignore keeps it


def test_a_file_that_git_already_has_is_not_called_ignored(dpra, repository) -> None:
    subprocess.run(["git", "add", "--all"], cwd=repository, check=True)
    (repository / ".gitignore").write_text(".vscode/\n")
    assert dpra("check", cwd=repository).returncode == 0


def test_the_pack_is_committed_where_a_folder_named_build_is_ignored(repository) -> None:
    (repository / ".gitignore").write_text("build\n*.sh\n_lib/\n")
    pack = repository / ".github/actions/dpra"
    subprocess.run(["git", "add", "--all"], cwd=repository, check=True)
    added = subprocess.run(
        ["git", "ls-files", ".github/actions/dpra"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout.split()
    assert sorted(added) == sorted(
        path.relative_to(repository).as_posix() for path in pack.rglob("*") if path.is_file()
    )


def test_rehearse_without_its_extra_says_what_to_install(dpra, repository, tmp_path) -> None:
    (tmp_path / "moto").mkdir()
    (tmp_path / "moto/__init__.py").write_text("raise ImportError('not here')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = dpra("rehearse", cwd=repository, PYTHONPATH=path)
    assert done.returncode == 3
    assert "pip install 'dpra[rehearse]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_rehearse_knows_its_stages(dpra, repository) -> None:
    done = dpra("rehearse", "--only", "biuld", cwd=repository)
    assert done.returncode == 2
    assert "unknown biuld; there is artifacts, beta, beta-tests, build," in done.stderr


# ---- dpra new


def test_a_new_repository_is_git_initialised_and_holds(dpra, new_repository) -> None:
    assert (new_repository / ".git").is_dir()
    assert dpra("check", cwd=new_repository).returncode == 0
    schema = (new_repository / "dpra.yml").read_text().splitlines()[0]
    assert schema == "# yaml-language-server: $schema=.github/dpra.schema.json"
    assert (new_repository / ".github/dpra.schema.json").is_file()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/unit"], cwd=new_repository, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout
    subprocess.run(["cfn-lint", "infrastructure/template.yml"], cwd=new_repository, check=True)


def test_new_takes_answers_and_refuses_what_it_does_not_know(dpra, tmp_path) -> None:
    done = dpra(
        "new", "--no-input", "-o", tmp_path, "name=pay", "regions=eu-west-1,us-east-1", "trunk=trunk", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(dpra("-C", tmp_path / "pay", "plan", "--format", "json", cwd=tmp_path).stdout)
    assert (plan["name"], plan["trunk"]) == ("pay", "trunk")
    assert plan["environments"]["prod"]["regions"] == ["eu-west-1", "us-east-1"]
    for bad, says in [("colour=red", "colour: unknown"), ('name=a"b', "characters that no answer needs")]:
        done = dpra("new", "--no-input", "-o", tmp_path / "bad", bad, cwd=tmp_path)
        assert done.returncode == 2
        assert says in done.stderr


def test_new_asks_what_is_not_given(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dpra", "new", "-o", tmp_path, "name=pay"],
        input="\n\n\n\n\nacme/pay\n\n\n\neu-north-1\n\n\n\n\n\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "AWS regions, separated by commas" in done.stdout
    assert "regions: [eu-north-1]" in (tmp_path / "pay/dpra.yml").read_text()


def test_new_does_not_overwrite(dpra, new_repository, snapshot) -> None:
    before = snapshot(new_repository)
    done = dpra("new", "--no-input", "-o", new_repository.parent, "name=shop", cwd=new_repository.parent)
    assert done.returncode == 2
    assert snapshot(new_repository) == before


def test_a_wrong_answer_leaves_nothing_behind(dpra, tmp_path) -> None:
    done = dpra("new", "--no-input", "-o", tmp_path, "name=shop", "beta_account=1", cwd=tmp_path)
    assert done.returncode == 2
    assert "environments.beta.account" in done.stderr
    assert not (tmp_path / "shop").exists()


def test_cookiecutter_itself_bootstraps_too(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cookiecutter", "--no-input", ROOT, "--directory", "cookiecutter-dpra", "-o", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "shop/.github/workflows/pipeline.yml").is_file()


def test_where_dpra_is_not_importable_the_hook_says_how_to_go_on(tmp_path) -> None:
    """An environment with cookiecutter and without dpra: its packages by path, without our editable install."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    packages = site.getsitepackages()
    assert not [path for path in packages if (Path(path) / "dpra").exists()], "installed, but not editable"
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-m", "cookiecutter", "--no-input", ROOT / "cookiecutter-dpra", "-o", tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "The pipeline is not generated yet: install dpra, then run 'dpra generate' in shop."
    ]
    assert (tmp_path / "shop/dpra.yml").is_file()


# ---- Installed


@pytest.mark.slow
def test_wheel_sdist_and_checkout_generate_the_same(dpra, repository, snapshot, tmp_path) -> None:
    expected = snapshot(repository)
    for kind in ("wheel", "sdist"):
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", tmp_path], cwd=ROOT, check=True)
    shutil.unpack_archive(next(tmp_path.glob("*.tar.gz")), tmp_path / "sdist", filter="data")
    source = next((tmp_path / "sdist").iterdir())
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again"], cwd=source, check=True
    )
    for wheel in (next(tmp_path.glob("*.whl")), next((tmp_path / "again").glob("*.whl"))):
        installed = tmp_path / f"installed-{wheel.parent.name}"
        shutil.unpack_archive(wheel, installed, "zip")
        for name in expected:
            if name != "dpra.yml":
                (repository / name).unlink()
        done = dpra("generate", cwd=repository, PYTHONPATH=str(installed))
        assert done.returncode == 0, done.stderr
        assert snapshot(repository) == expected
        done = dpra("new", "--no-input", "-o", installed / "new", cwd=tmp_path, PYTHONPATH=str(installed))
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_root_action_runs_from_its_own_checkout(repository, tmp_path) -> None:
    """Its script, as the runner starts it: a new environment, and only what the lock file's hashes admit."""

    def run(command: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment |= {
            "COMMAND": command,
            "DIRECTORY": str(repository),
            "GITHUB_ACTION_PATH": str(ROOT),
            "RUNNER_TEMP": str(tmp_path),
            "PYTHONPATH": str(repository),
        }
        return subprocess.run(
            ["bash", ROOT / "generator/action.sh"],
            cwd=repository,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    (repository / "dpra").mkdir()
    for name in ("dpra/__init__", "pip", "venv", "re", "click"):  # the change that is judged answers for nobody
        (repository / f"{name}.py").write_text("raise SystemExit(0)\n")
    (repository / "docs/pipeline.md").unlink()
    done = run("check")
    assert done.returncode == 1
    assert "docs/pipeline.md" in done.stdout + done.stderr
    assert run("generate").returncode == 0
    done = run("check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("rm -rf /; check").returncode == 2


@pytest.mark.slow
def test_our_own_workflow_runs_the_root_action(tmp_path) -> None:
    """The job of ci.yml that uses `./`, executed by act in a copy of this checkout."""
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    for path in (".github", "action.yml", "generator", "requirements", "templates", "cookiecutter-dpra", "tests/specs"):
        source, target = ROOT / path, checkout / path
        if source.is_dir():  # what is not committed yet counts, too
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    workflow = checkout / ".github/workflows/ci.yml"
    [use] = {word for word in workflow.read_text().split() if word.startswith("actions/checkout@")}
    nothing = [f"--{name}={os.devnull}" for name in ("env-file", "secret-file", "var-file", "input-file")]
    done = subprocess.run(
        ["act", "push", "--job", "action", "--workflows", workflow, "--platform", "ubuntu-24.04=-self-hosted",
         "--action-offline-mode", "--pull=false", "--no-cache-server", "--rm",
         "--local-repository", f"{use}={tmp_path}", "--action-cache-path", tmp_path / "cache", *nothing],
        cwd=checkout,
        env={**os.environ, "HOME": str(tmp_path), "DOCKER_HOST": "unix:///nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "files are what dpra.yml says." in done.stdout


def test_a_tool_that_cannot_be_had_is_told(dpra, repository, tmp_path) -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    (tmp_path / "sitecustomize.py").write_text("import time\ntime.sleep = lambda seconds: None\n")  # between its tries
    nowhere |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PYTHONPATH": str(tmp_path)}
    done = dpra("tools", "--install", cwd=repository, **nowhere)
    assert done.returncode == 3
    assert "gitleaks  failed: https://github.com/gitleaks/" in done.stdout
    assert "Traceback" not in done.stderr
