"""The benchmark runs, with its peers from npm; how fast anything is stands in its README.md and in no test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "benchmarks"


@pytest.mark.slow
def test_every_contender_does_its_work_and_is_measured(needs) -> None:
    needs("node")
    command = [sys.executable, HERE / "bench.py", "--rounds", "1", "--json", "--no-growth"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert {"projen", "cdk-pipelines-github", "cookiecutter", "bare imports"} < measured["runs"].keys()
    assert all(seconds > 0 and mebibytes > 1 for [(seconds, mebibytes)] in measured["runs"].values())
    assert {"read the spec", "plan"} < measured["phases"].keys()
    assert measured["gate"]["seconds"] > 0
    assert "## The gate under load" in (HERE / "README.md").read_text("utf-8")
    for name in measured["runs"]:
        assert f"| {name} |" in (HERE / "README.md").read_text("utf-8")
