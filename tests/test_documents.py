"""README, docs and CONTRIBUTING: commands are run, recipes performed, tables made from what they tell of."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gates
import pytest
from dpra import catalogue, check_tools, checks, describe, problems, resources
from dpra.plan import Plan
from dpra.rehearsal import scenarios
from dpra.spec import reader
from dpra.spec.reference import reference
from dpra.spec.schema import together
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
TUTORIAL = (ROOT / "docs/tutorial.md").read_text("utf-8")
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def recipe(title: str, language: str) -> list[str]:
    """The blocks of a section of CONTRIBUTING."""
    [section] = [part for part in CONTRIBUTING.split("\n## ") if part.startswith(title)]
    return blocks(section, language)


# ---- What `make golden` writes into the documents


def minimal(name: str = "minimal") -> Plan:
    data = (ROOT / f"tests/specs/{name}.yml").read_bytes()
    return problems.planned(reader.read(data, catalogue.words()))


def table(*rows: tuple[str, ...]) -> str:
    head, *others = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *others))


def picture() -> str:
    return f"```mermaid\n{describe.mermaid(minimal())}```\n"


def stages_table(name: str = "minimal") -> str:
    """The stages; of DPRA's actions those that block, bold where it requires them, and those that are left out."""
    rows = [("stage", "within", "what must pass", "met outside the pipeline", "left out so far")]
    plan = minimal(name)
    for stage in plan.catalogue.stages:
        cells = [stage.name, f"{stage.limit} min" if stage.limit else ""]
        for status in ("blocks", "outside-pipeline", "left-out"):
            actions = [action for action in plan.actions if action.stage == stage.id and action.status == status]
            cells.append(", ".join(f"**{a.action}**" if a.level == "required" else a.action for a in actions))
        rows.append(tuple(cells))
    return table(*rows) + "\nBold: DPRA requires it; the others it recommends.\n"


def actions_table() -> str:
    rows = [("action", "what it does", "inputs (`*` required)", "outputs")]
    for path in sorted(resources.PACK.glob("*/action.yml")):
        action = YAML(typ="safe", pure=True).load(path)
        inputs = ", ".join(f"`{n}`{'*' if i.get('required') else ''}" for n, i in action.get("inputs", {}).items())
        outputs = ", ".join(f"`{name}`" for name in action.get("outputs", {}))
        rows.append((f"`{path.parent.name}`", action["description"].strip(), inputs, outputs))
    return table(*rows)


def gates_table() -> str:
    """Gates by languages, from what the tests of the pack see blocked and let through."""
    names = ["unit tests, coverage", *dict.fromkeys(cell.gate for cell in gates.CELLS), *gates.ELSEWHERE]
    rows = [("gate", *gates.LANGUAGES)]
    for gate in dict.fromkeys(names):
        cells = []
        for language in gates.LANGUAGES:
            spoken = gates.AS.get(language, language)
            tools = [cell.tool for cell in gates.CELLS if (cell.gate, cell.language) == (gate, language)]
            tools += gates.ELSEWHERE.get(gate, {}).get(language, ())
            action = gates.ACTIONS.get(gate, "secrets-detection")
            default = {tool.name for tool in check_tools.every() if tool.fits(action, spoken, default=True)}
            shown = [f"**{tool}**" if tool in default else tool for tool in dict.fromkeys(tools)]
            if reason := gates.UNPROVEN.get((gate, language)):
                shown.append(f"*not executed: {reason}*")
            cells.append(", ".join(shown))
        rows.append((gate, *cells))
    return table(*rows)


def promises_table(pipeline: str = "application", kind: str = "") -> str:
    """What is promised of deliveries, the fault that proves it, and what runs where then."""
    rows = [("promise", "fault", "when", "at the end", "scenario")]
    for row in scenarios.table(pipeline):
        if row.get("needs", {}).get("kind", kind) != kind:
            continue
        ends = ", ".join(f"{place} {word}" for place, word in row["ends"].items())
        rows.append((row["promise"], row["fault"], row["when"], ends, f"`{row['id']}`"))
    return table(*rows)


def exceptions_table() -> str:
    """The jobs with a role that run code of the repository, and what bounds them."""
    rows = [("where", "what runs", "what bounds it")]
    rows += [(one["when"], one["runs"], one["bounds"]) for one in resources.data("exceptions.yml").values()]
    return table(*rows)


def tools_table() -> str:
    rows = [("tool", "version", "serves", "from")]
    for tool in check_tools.every():
        serves = []
        for action, languages in tool.serves.items():
            default = tool.default_for.get(action, ())
            serves.append(f"{action}: {' '.join(f'{x}*' if x in default else x for x in dict.fromkeys(languages))}")
        rows.append((f"`{tool.name}`", tool.head["version"], "<br>".join(serves), "<br>".join(checks.sources(tool))))
    return table(*rows)


LANGUAGES = resources.data("languages.yml")
# Package manager -> the test that runs its commands in the generated build job; the rest is unproven.
EXECUTED = {
    "pip": "test_main_job",
    "npm": "test_new",
    "maven": "test_new",
    **dict.fromkeys(("uv", "pnpm", "yarn", "gradle", "go"), "test_languages"),
    "docker": "test_languages",
    "": "test_no_program",
}


def languages_table() -> str:
    rows = [("`language`", "`setup.package-manager`", "version from", "executed", "`dpra new`")]
    new = json.loads((resources.BOOTSTRAP / "cookiecutter.json").read_text("utf-8"))["language"]
    for language, row in LANGUAGES.items():
        for manager in row.get("package-managers", [""]):
            test = EXECUTED.get(manager)
            executed = f"[{test}](tests/{test}.py)" if test else "**unproven**: no toolchain could be had"
            first = manager == next(iter(row.get("package-managers", [""])))
            version = f"`{row['version-file']}`" if "version-file" in row else "the Dockerfile" if row else ""
            rows.append((language, manager, version, executed, "yes" if language in new and first else ""))
    return table(*rows)


def commands(language: str) -> str:
    """What a language's row says: what all package managers do, then each of them."""
    row = LANGUAGES[language]
    text = ""
    if "commands" in row:
        text += "Each package manager:\n\n" + listing(row["commands"])
    for name, manager in row["package-managers"].items():
        said = {key: manager[key] for key in ("lock-file", "install", "reports") if key in manager}
        text += f"`{name}`:\n\n" + listing({**said, **manager.get("commands", {})})
    return text


def listing(values: dict[str, str]) -> str:
    lines = []
    for key, value in values.items():
        first, *others = value.rstrip("\n").split("\n")
        lines += [f"{key}: |", f"  {first}", *(f"  {line}" for line in others)] if others else [f"{key}: {first}"]
    return "".join(f"{line}\n" for line in ["```text", *lines, "```", ""])


def keys(pipeline: str) -> str:
    return reference(together(catalogue.words(), catalogue.folders(pipeline)))


MADE: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"picture": picture, "stages": stages_table, "gates": gates_table, "languages": languages_table},
    "docs/security.md": {"exceptions": exceptions_table},
    "docs/delivery.md": {"promises": promises_table},
    "docs/tools.md": {"tools": tools_table},
    "docs/actions.md": {"actions": actions_table},
    "docs/languages.md": {name: functools.partial(commands, name) for name, row in LANGUAGES.items() if row},
    "docs/spec.md": {"keys": functools.partial(keys, "application")},
    "docs/dynamic-configuration.md": {
        "stages": functools.partial(stages_table, "configuration"),
        "promises": functools.partial(promises_table, "dynamic-configuration"),
    },
    "docs/compute-image.md": {
        "stages": functools.partial(stages_table, "image"),
        "promises": functools.partial(promises_table, "compute-image", "container"),
    },
    "docs/machine-image.md": {
        "stages": functools.partial(stages_table, "machine"),
        "promises": functools.partial(promises_table, "compute-image", "machine"),
    },
    "docs/account-fleet.md": {
        "stages": functools.partial(stages_table, "organisation"),
        "promises": functools.partial(promises_table, "account-fleet"),
    },
    "docs/spec-account-fleet.md": {"keys": functools.partial(keys, "account-fleet")},
    "docs/spec-compute-image.md": {"keys": functools.partial(keys, "compute-image")},
    "docs/spec-dynamic-configuration.md": {"keys": functools.partial(keys, "dynamic-configuration")},
}


@pytest.mark.parametrize("document", MADE)
def test_a_section_that_tells_of_data_is_made_from_it_tree(document: str) -> None:
    path = ROOT / document
    text = path.read_text("utf-8")
    for name, make in MADE[document].items():
        found = re.search(rf"<!-- {name}: made from .*? -->\n(.*?)<!-- /{name} -->\n", text, re.DOTALL)
        assert found, name
        text = text[: found.start(1)] + make() + text[found.end(1) :]
    if os.environ.get("DPRA_GOLDEN") == "write":
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text


def test_the_test_that_the_readme_names_for_a_package_manager_runs_it() -> None:
    managers = {name for row in LANGUAGES.values() for name in row.get("package-managers", [""])}
    assert managers - {"dotnet"} == set(EXECUTED)
    for manager, test in EXECUTED.items():
        text = (ROOT / f"tests/{test}.py").read_text("utf-8")
        word = {"pip": "python", "npm": "node", "maven": "java", "docker": "container", "": "none"}.get(
            manager, manager
        )
        assert f'"{word}"' in text or (manager, test) == ("pip", "test_main_job"), manager


# ---- Commands


def run(command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# The commands of the README in their order, and the test that runs each.
INSTALL = "pip install '.[rehearse]'"
HERE = [
    INSTALL,
    "dpra new --no-input name=shop",
    "cd shop",
    "dpra plan",
    "dpra check",
    "dpra tools --install",
    "dpra rehearse --offline --evidence evidence.json",
    "dpra evidence evidence.json --require required",
    "dpra generate --diff",
    "dpra generate",
    'dpra rehearse --offline --alarm prod/eu-west-1:shop-errors@bake --page rollback.html || echo "rolled back"',
]
BOOTSTRAP = [  # test_the_bootstrap_commands
    "dpra bootstrap",
    "dpra bootstrap --print prod",
    "dpra bootstrap --deploy --profile admin-{environment}",
    "dpra bootstrap --diff --profile admin-{environment}",
]
ELSEWHERE = {
    "make demo": ".ci/run: make demo, and test_the_demo_is_the_main_job",
    "make test": ".ci/run",
}


def test_every_command_of_the_readme_is_run_by_a_test() -> None:
    told = [line for block in blocks(README, "sh") for line in block.splitlines() if line]
    assert sorted(told) == sorted([*HERE, *BOOTSTRAP, *ELSEWHERE])


@pytest.mark.slow
def test_the_commands_of_the_readme_work_in_their_order(tmp_path) -> None:
    """Installed from this checkout into an environment of its own, as a new user would."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    # GitHub's releases cannot be reached here: these two are on PATH, as the test environment has them.
    (tmp_path / "bin").mkdir()
    for tool in ("gitleaks", "trivy"):
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin" / tool).symlink_to(found)
    path = os.pathsep.join([str(tmp_path / "venv/bin"), str(tmp_path / "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
    install, *rest = HERE
    done = run(install, ROOT, PATH=path, PIP_NO_COMPILE="1")  # most of what is installed is imported by nobody here
    assert done.returncode == 0, done.stderr
    script = "\n".join(rest).replace("dpra check", "dpra check >/dev/null")
    done = run(script, tmp_path, PATH=path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "The pipeline succeeded" in done.stdout
    assert "are what dpra.yml says; 0 changed.\n" in done.stdout
    assert "prod-bake-1 (eu-west-1): shop-errors: in ALARM" in done.stdout
    assert done.stdout.endswith("rolled back\n")
    assert "Wave 1: rolled back" in (tmp_path / "shop/rollback.html").read_text("utf-8")


@pytest.mark.slow
def test_the_commands_of_the_tutorial_work_in_their_order(tmp_path) -> None:
    """Those for an AWS account have a test of their own; the first one is the README's."""
    library = tmp_path / "library"
    (library / "tests").mkdir(parents=True)
    (library / "library.py").write_text("def lend():\n    return 21\n")
    (library / "tests/test_library.py").write_text(
        "import library\n\n\ndef test_it_lends():\n    assert library.lend() == 21\n"
    )
    (library / "setup.cfg").write_text("[metadata]\nname = library\nversion = 1\n[options]\npy_modules = library\n")
    (library / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools"]\n')
    assert run("git init --quiet", library).returncode == 0
    lines = [line for block in blocks(TUTORIAL, "sh") for line in block.splitlines()]
    assert lines[0] == INSTALL
    whole = "dpra rehearse --offline"  # takes its time in the README's test, after the same command
    script = "\n".join(line for line in lines[1:] if line != whole and line not in BOOTSTRAP)
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert done.stdout.count("The pipeline succeeded") == 1
    assert done.stdout.count("The pipeline stopped at: build / unit-tests\n") == 1
    assert "blocked\n" in done.stdout
    assert "- cron: '0 4 * * 1-5'" in done.stdout
    assert "environments.beta.account: must be an AWS account id" in done.stderr


@pytest.mark.slow
def test_the_commands_of_dynamic_configuration_work_in_their_order(tmp_path) -> None:
    text = (ROOT / "docs/dynamic-configuration.md").read_text("utf-8")
    script = "\n".join(line for block in blocks(text, "sh") for line in block.splitlines())
    who = {f"GIT_{role}_{what}": "a@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = run(script, tmp_path, **who)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "The pipeline succeeded" in done.stdout
    assert "simulated: AppConfig's environments, strategies, deployments" in done.stdout + done.stderr
    shown = done.stdout.partition("The pipeline succeeded")[2]
    assert "prod (eu-west-1): turns on" in shown
    assert "beta (eu-west-1): nothing changes" in shown
    assert "flags.yml:9:34: new-checkout.values.beta.limit: 1000 is above the maximum 100" in shown
    assert "stopped\n" in done.stdout


@pytest.mark.slow
def test_the_commands_of_account_fleet_work_in_their_order(tmp_path) -> None:
    text = (ROOT / "docs/account-fleet.md").read_text("utf-8")
    done = run("\n".join(line for block in blocks(text, "sh") for line in block.splitlines()), tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "5 accounts, 18 rows: all hold" in done.stdout
    assert "prod 333333333333 root: stack r-" in done.stdout, "the last unit has the release, too"
    shown = done.stdout.partition("The pipeline succeeded")[2]
    assert "required actions ran and blocked" in shown
    assert "policies/tests/" in shown.partition("organizations:LeaveOrganization")[0]
    assert shown.endswith("stopped\n")


@pytest.mark.slow
def test_the_commands_of_compute_image_work_in_their_order(needs, tmp_path) -> None:
    needs("buildah", "busybox", "skopeo")
    text = (ROOT / "docs/compute-image.md").read_text("utf-8")
    done = run("\n".join(line for block in blocks(text, "sh") for line in block.splitlines()), tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "The pipeline succeeded" in done.stdout
    shown = done.stdout.partition("The pipeline succeeded")[2]
    assert "The pipeline stopped at: image-tests / integration-tests" in shown
    assert "stopped\n" in shown


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a machine's commands run in a chroot, which only root can enter")
def test_the_commands_of_machine_image_work_in_their_order(needs, tmp_path) -> None:
    needs("busybox")
    text = (ROOT / "docs/machine-image.md").read_text("utf-8")
    done = run("\n".join(line for block in blocks(text, "sh") for line in block.splitlines()), tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "The pipeline succeeded" in done.stdout
    shown = done.stdout.partition("The pipeline succeeded")[2]
    assert "build.no-login-by-password: exit code 1" in shown  # of Image Builder's log
    assert "The pipeline stopped at: build / build-environment" in shown
    assert "stopped\n" in shown


@pytest.mark.slow
def test_the_commands_of_the_gates_work_in_their_order(copy) -> None:
    text = (ROOT / "docs/gates.md").read_text("utf-8")
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    # Those of the evidence are the README's, and run in its test; this one in test_robustness.
    robust = "dpra rehearse --only build,security,scan --offline"
    assert robust in lines
    script = "\n".join(line for line in lines if "evidence" not in line and line != robust)
    git = "git -c user.name=A -c user.email=a@example.com"
    assert run(f"git add --all && {git} commit --quiet --message Begin", copy).returncode == 0
    done = run(script, copy)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "No secret in the whole history." in done.stdout
    assert (copy / ".github/dpra-baseline.json").is_file()


def test_the_specs_of_the_gates_are_parts_of_a_spec(dpra, repository) -> None:
    spec = (repository / "dpra.yml").read_text()
    for block in blocks((ROOT / "docs/gates.md").read_text("utf-8"), "yaml"):
        (repository / "dpra.yml").write_text(spec + block)
        done = dpra("generate", cwd=repository)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_bootstrap_commands(repository, administrators) -> None:
    """Into four accounts of moto, by the real AWS CLI; the tutorial's are among the README's."""
    told = [line for block in blocks(TUTORIAL, "sh") for line in block.splitlines() if "bootstrap" in line]
    assert told == [BOOTSTRAP[0], BOOTSTRAP[2]]
    done = run("\n".join(BOOTSTRAP).replace("--deploy", "--deploy --yes"), repository, **administrators)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "8 stacks are what dpra.yml says; 8 changed." in done.stdout
    assert "0 of 8 stacks are not what dpra.yml says; nothing was changed." in done.stdout


def test_the_spec_in_the_readme_is_a_spec(dpra, tmp_path) -> None:
    (tmp_path / "dpra.yml").write_text(blocks(README, "yaml")[0])
    assert dpra("generate", cwd=tmp_path).returncode == 0
    assert dpra("check", cwd=tmp_path).returncode == 0


SNIPPETS = blocks((ROOT / "docs/languages.md").read_text("utf-8"), "yaml")


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_of_the_languages_is_a_part_of_a_spec(dpra, tmp_path, number: int) -> None:
    (tmp_path / "dpra.yml").write_text((ROOT / "tests/specs/minimal.yml").read_text("utf-8") + SNIPPETS[number])
    done = dpra("generate", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_local_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\((?!https?:)([^)]+)", path.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        there = path.parent / name if name else path
        assert there.exists(), target
        headings = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in map(slug, headings), target


# ---- CONTRIBUTING: what touches one file


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout, committed, so that a recipe's changes can be counted."""
    copy = tmp_path / "checkout"
    for folder in ("generator", "templates", ".github/actions", "cookiecutter-dpra"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    git = "git -c user.name=A -c user.email=a@example.com"
    assert run(f"git init --quiet && git add --all && {git} commit --quiet --message x", copy).returncode == 0
    return copy


def changed(checkout: Path) -> list[str]:
    return run("git status --porcelain --untracked-files=all", checkout).stdout.splitlines()


@pytest.mark.slow
def test_the_recipe_for_a_tool_touches_one_file_and_its_gate_blocks(dpra, checkout, new_repository, tmp_path) -> None:
    [script] = recipe("Add a tool", "bash")
    (checkout / ".github/actions/check/tools/ruff-security.sh").write_text(script)
    assert changed(checkout) == ["?? .github/actions/check/tools/ruff-security.sh"]
    path = {"PYTHONPATH": str(checkout / "generator")}
    root = Path(shutil.copytree(new_repository, tmp_path / "shop"))
    with (root / "dpra.yml").open("a") as file:  # it ends with the sample's `actions`
        file.write("  sast: {tool: ruff-security}\n")
    assert dpra("generate", cwd=root, **path).returncode == 0
    assert "tool: ruff-security" in (root / ".github/workflows/pipeline.yml").read_text()
    done = dpra("rehearse", "--offline", "--only", "security", cwd=root, **path)
    assert done.returncode == 1  # the project's own tests use assert, which ruff counts as an error
    assert "S101" in done.stdout
    for test in (root / "tests").rglob("*.py"):
        test.unlink()
    done = dpra("rehearse", "--offline", "--only", "security", cwd=root, **path)
    assert done.returncode == 0, done.stdout
    (root / "src/bad.py").write_text("def run(text):\n    return eval(text)\n")
    done = dpra("rehearse", "--offline", "--only", "security", cwd=root, **path)
    assert done.returncode == 1
    assert "src/bad.py:2" in done.stdout, done.stdout


C_PROJECT = {
    "CMakeLists.txt": "cmake_minimum_required(VERSION 3.21)\nproject(shop C)\nenable_testing()\n"
    "add_executable(shop shop.c)\nadd_test(NAME doubles COMMAND shop)\ninstall(TARGETS shop)\n",
    "shop.c": "int main(void) { return 2 * 2 - 4; }\n",
    "infrastructure/template.yml": "Resources: {Topic: {Type: AWS::SNS::Topic}}\n",
    ".gitignore": "target\n",
}


@pytest.mark.slow
def test_the_recipe_for_a_language_touches_a_setup_file_and_a_row(dpra, needs, checkout, tmp_path) -> None:
    needs("c")
    setup, row = recipe("Add a language", "yaml")
    (checkout / "templates/setup/c.yml").write_text(setup)
    with (checkout / "templates/languages.yml").open("a") as file:
        file.write(row)
    assert changed(checkout) == [" M templates/languages.yml", "?? templates/setup/c.yml"]
    path = {"PYTHONPATH": str(checkout / "generator")}
    root = tmp_path / "shop"
    for name, text in C_PROJECT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=root, check=True)
    (root / "dpra.yml").write_text((ROOT / "tests/specs/minimal.yml").read_text() + "language: c\n")
    assert dpra("generate", cwd=root, **path).returncode == 0
    subprocess.run(["actionlint"], cwd=root, check=True)
    done = dpra("rehearse", "--only", "build", cwd=root, **path)
    assert done.returncode == 0, done.stdout
    assert "success (1 passed)" in done.stdout
    (root / "shop.c").write_text("int main(void) { return 1; }\n")
    done = dpra("rehearse", "--only", "build", cwd=root, **path)
    assert done.returncode == 1
    assert "failure (1 failed)" in done.stdout


def test_the_recipe_for_a_step_of_the_prod_job_touches_one_file(dpra, checkout, new_repository, tmp_path) -> None:
    [step] = recipe("Add a step", "yaml")
    job = checkout / "templates/jobs/prod.yml"
    text = job.read_text()
    behind = '    #% include "steps/keep-evidence.yml"\n'
    assert text.count(behind) == 1
    job.write_text(text.replace(behind, step + behind))
    assert changed(checkout) == [" M templates/jobs/prod.yml"]
    path = {"PYTHONPATH": str(checkout / "generator")}
    root = Path(shutil.copytree(new_repository, tmp_path / "shop"))
    assert dpra("generate", cwd=root, **path).returncode == 0
    subprocess.run(["actionlint"], cwd=root, check=True)
    jobs = YAML(typ="safe", pure=True).load(root / ".github/workflows/pipeline.yml")["jobs"]
    names = {name: [step["name"] for step in job["steps"]] for name, job in jobs.items()}
    assert [name for name in names if "Say who deployed" in names[name]] == ["prod-1"]
