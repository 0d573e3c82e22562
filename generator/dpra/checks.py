"""The checks on the developer's machine: their tools, a baseline of what they find, what a cleansing would purge."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dpra import resources
from dpra.check_tools import Tool


def sources(tool: Tool) -> list[str]:
    """Where a tool comes from, a line each."""
    kinds = {key: value for key, value in tool.head.items() if key in ("pip", "npm", "on-path")}
    archives = [value.partition(" ")[0] for key, value in tool.head.items() if key.startswith("source ")]
    return [*(f"{kind}: {value}" for kind, value in kinds.items()), *dict.fromkeys(archives)]


def install(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Install tools as the check action does, verified: the name of each, and where it is or why it failed."""
    lib = resources.lib("install")
    os.environ["DPRA_TOOLS"] = str(resources.user_cache())
    for name in names:
        script = resources.PACK / "check" / "tools" / f"{name}.sh"
        try:
            path, version = lib.ensure(script, resources.lib("head").header(script))
        except lib.runner.Failed as problem:
            yield name, f"failed: {problem}"
        else:
            yield name, f"{version}, {path or 'on PATH'}"


def used(tools: Iterable[Iterable[str]]) -> list[str]:
    """The names of a plan's tools, each once."""
    return sorted({name for names in tools for name in names})


# ---- Baseline


def baseline(folder: Path) -> dict[str, Any]:
    """A baseline of what the checks of a run found, from its artifacts."""
    found = []
    for path in sorted(folder.rglob("*.findings.json")):
        found += json.loads(path.read_bytes())
    keys = ("action", "tool", "severity", "rule", "file", "line", "fingerprint")
    kept = [{key: one[key] for key in keys} for one in found]
    kept.sort(key=lambda one: [str(one[key]) for key in keys])
    return {"schema": 1, "findings": kept}


# ---- Repository cleansing


def secrets(root: Path) -> tuple[list[tuple[str, str, int, str]], str]:
    """Every secret in the whole history: rule, file, line, commit; and what went wrong, if that cannot be told."""
    with tempfile.TemporaryDirectory() as temp:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT_"))}
        environment |= {"RUNNER_TEMP": temp, "DPRA_TOOLS": str(resources.user_cache()), "INPUT_FAIL_ON": "any"}
        environment |= {"INPUT_ACTION": "secrets-detection", "INPUT_TOOL": "gitleaks"}
        words = [sys.executable, "-I", "-B", str(resources.PACK / "check" / "scan.py")]
        ran = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, check=False)
        try:
            record = json.loads((Path(temp) / "dpra" / "evidence.jsonl").read_text(encoding="utf-8").splitlines()[-1])
            report = json.loads((Path(temp) / "dpra" / "secrets-detection.sarif").read_bytes())
        except (OSError, ValueError, LookupError):
            return [], ran.stdout + ran.stderr
    if record["result"] == "error":
        return [], ran.stdout + ran.stderr
    found = []
    for result in report["runs"][0]["results"]:
        place = result["locations"][0]["physicalLocation"]
        commit = result["message"]["text"].partition(" in commit ")[2].partition(":")[0]
        found.append((result["ruleId"], place["artifactLocation"]["uri"], place["region"]["startLine"], commit))
    return found, ""


def has_history(root: Path) -> bool:
    """Whether the repository has a commit."""
    words = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    return subprocess.run(words, cwd=root, capture_output=True, check=False).returncode == 0


def branches(root: Path, commit: str) -> list[str]:
    """The branches and tags that hold a commit."""
    words = ["git", "for-each-ref", "--contains", commit, "--format=%(refname:short)"]
    ran = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    return ran.stdout.split()


def has_filter_repo() -> bool:
    """Whether git filter-repo is here."""
    ran = subprocess.run(["git", "filter-repo", "--version"], capture_output=True, check=False)
    return ran.returncode == 0 or importlib.util.find_spec("git_filter_repo") is not None
