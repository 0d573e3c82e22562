"""Each action.yml says what the action takes and gives, and runs nothing but the script beside it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PACK = ROOT / ".github" / "actions"
ACTIONS = sorted(path.parent.name for path in PACK.glob("*/action.yml"))


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def test_the_pack_is_complete() -> None:
    named = "account-requests await-tests bake base build canary changes check close-account corepack "
    named += "database-deploy deploy flag fleet generated-files image "
    named += "issue machine notify package performance-history release report resume retire-images store test uv"
    assert " ".join(ACTIONS) == named


@pytest.mark.parametrize("action", ACTIONS)
def test_every_input_and_output_is_documented(action: str) -> None:
    definition = load(PACK / action / "action.yml")
    assert definition["name"] == f"dpra {action}"
    assert len(definition["description"]) > 60
    for name, given in definition.get("inputs", {}).items():
        assert given["description"], name
        assert given.get("required") is True or isinstance(given["default"], str), name
    for name, output in definition.get("outputs", {}).items():
        assert output["description"], name


@pytest.mark.parametrize("action", ACTIONS)
def test_no_input_reaches_a_script_but_by_the_environment(action: str) -> None:
    definition = load(PACK / action / "action.yml")
    used = set()
    for step in definition["runs"]["steps"]:
        if "uses" in step:
            used |= set(re.findall(r"inputs\.([\w-]+)", str([step["with"], step.get("if")])))
            continue
        script = re.fullmatch(
            r'(?:python3 -I -B|bash) "\$GITHUB_ACTION_PATH/((?:\.\./_lib/)?\w+\.(?:py|sh))"', step["run"]
        )
        assert script, step["run"]
        source = (PACK / action / script[1]).read_text()
        for variable, value in step.get("env", {}).items():
            if value.startswith("${{ steps."):  # what a step before it made
                continue
            name = value.removeprefix("${{ inputs.").removesuffix(" }}")
            assert variable == f"INPUT_{name.upper().replace('-', '_')}"
            read = f'"{variable.removeprefix("INPUT_")}"'
            library = "".join(path.read_text() for path in sorted((PACK / "_lib").glob("*.py")))
            assert read in source or read in library, f"{variable} is read nowhere"
            used.add(name)
    assert used == set(definition.get("inputs", {}))


def test_third_party_actions_are_the_pinned_ones() -> None:
    pins = load(ROOT / "templates" / "pins.yml")
    used = [
        line
        for path in PACK.glob("*/action.yml")
        for line in re.findall(r"^.*uses: (.+)$", path.read_text(), re.MULTILINE)
    ]
    assert used
    for line in used:
        name, sha, tag = re.fullmatch(r"(\S+)@([0-9a-f]{40}) # (\S+)", line).groups()
        assert (sha, tag) == (pins[name]["sha"], pins[name]["tag"])


# What the tools `configuration`, `components` and `packer-template` bring with them, locked.
BROUGHT = {
    "_lib/configuration_parsers.py": {"yaml", "jsonschema", "referencing"},
    "check/components.py": {"yaml"},
    "check/fleet.py": {"yaml"},
    "check/packer_template.py": {"hcl2", "lark"},
}


def test_scripts_need_nothing_but_the_standard_library() -> None:
    own = {"deployers", *(path.stem for path in (PACK / "_lib").glob("*.py"))}
    for path in PACK.glob("*/*.py"):
        beside = {one.stem for one in path.parent.glob("*.py")}
        for line in re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.MULTILINE):
            given = own | beside | BROUGHT.get(path.relative_to(PACK).as_posix(), set())
            assert line in sys.stdlib_module_names or line in given, f"{path.name} imports {line}"


@pytest.mark.parametrize("script", sorted(PACK.glob("check/tools/*.sh")), ids=lambda path: path.stem)
def test_a_tool_says_what_it_is(script: Path) -> None:
    import head

    data = head.header(script)
    assert set(data) >= {"version", "version-command", "ok-exit-codes"}
    assert all(len(values) == 1 for key, values in data.items())
    assert head.served(data)
    sources = [value for key, values in data.items() if key.startswith("source ") for value in values]
    assert bool(sources) + ("pip" in data) + ("npm" in data) + ("on-path" in data) == 1
    for source in sources:
        assert re.fullmatch(r"https://\S+ sha256: [0-9a-f]{64}", source)
        assert data["version"][0] in source or "registry.npmjs.org" in source  # a package with its own version
    locks = script.parent.parent / "locks"
    if "pip" in data:
        lines = (locks / f"{script.stem}.txt").read_text().replace("\\\n", "").splitlines()
        versions = []
        for word in data["pip"][0].split():
            distribution = re.fullmatch(r"([a-z0-9-]+)(\[[\w,]+\])?==([0-9.]+)", word)
            assert distribution
            named = re.compile(rf"{distribution[1]}(\[[\w,]+\])?=={re.escape(distribution[3])} ")
            assert any(named.match(line) for line in lines)
            versions.append(distribution[3])
        assert versions[0] == data["version"][0]
        assert all("--hash=sha256:" in line for line in lines if line.strip() and not line.startswith("#"))
    if "npm" in data:
        lock = json.loads((locks / script.stem / "package-lock.json").read_text())
        wanted = dict(word.rsplit("@", 1) for word in data["npm"][0].split())
        assert lock["packages"][""]["dependencies"] == wanted
        assert all("integrity" in package for name, package in lock["packages"].items() if name)
    subprocess.run(["bash", "-n", str(script)], check=True)
