"""What `dpra new` makes in each language. Node.js and Java go to production here, Python in test_main_job.py."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

LANGUAGES = {"python": "src/app.py", "node": "src/app.js", "java": "src/main/java/quote/App.java"}

# Maven from Debian's packages has no network: its own versions in place of those that the sample pins.
DEBIAN = Path("/usr/share/maven-repo")
DEBIAN_VERSIONS = {
    "gson": "2.10",
    "junit": "5.9.2",
    "maven-compiler-plugin": "3.10.1",
    "maven-dependency-plugin": "3.5.0",
    "maven-jar-plugin": "3.3.0",
    "maven-resources-plugin": "3.3.0",
    "maven-surefire-plugin": "2.22.3",
}
NEEDED = {
    "java": [
        *(DEBIAN / f"org/apache/maven/plugins/{name}" for name in DEBIAN_VERSIONS if name.startswith("maven")),
        DEBIAN / "org/junit/jupiter/junit-jupiter/5.9.2",
        DEBIAN / "com/google/code/gson/gson/2.10",
    ],
}

Make = Callable[[str], Path]


@pytest.fixture
def make(dpra: Any, tmp_path: Path) -> Make:
    def make(language: str) -> Path:
        done = dpra("new", "--no-input", "-o", tmp_path, "name=shop", f"language={language}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return tmp_path / "shop"

    return make


@pytest.fixture
def made(make: Make, needs: Any, language: str) -> Path:
    """A sample that this machine can build."""
    needs(language, *NEEDED.get(language, ()))
    root = make(language)
    if language == "java":
        (root / ".mvn").mkdir()
        versions = "".join(f"-D{name}.version={version}\n" for name, version in DEBIAN_VERSIONS.items())
        (root / ".mvn/maven.config").write_text("-s\n/etc/maven/settings-debian.xml\n" + versions)
    return root


def rehearse(dpra: Any, root: Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, result and text."""
    report = root.parent / "result.json"
    done = dpra("rehearse", "--offline", "--json", report, cwd=root)
    return done.returncode, json.loads(report.read_text()), done.stdout + done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_repository_has_the_files_of_its_language_only(make: Make, dpra: Any, language: str) -> None:
    root = make(language)
    assert YAML(typ="safe").load(root / "dpra.yml")["language"] == language
    assert [name for name, path in LANGUAGES.items() if (root / path).exists()] == [language]
    assert not [name for name in LANGUAGES if (root / name).exists()]
    files = [path for path in root.rglob("*") if path.is_file() and ".git" not in path.relative_to(root).parts]
    assert not [path for path in files if "cookiecutter" in path.read_text()]
    assert dpra("check", cwd=root).returncode == 0
    subprocess.run([Path(sys.executable).parent / "cfn-lint", "infrastructure/template.yml"], cwd=root, check=True)


def test_a_language_without_a_sample_is_refused(dpra: Any, tmp_path: Path) -> None:
    done = dpra("new", "--no-input", "-o", tmp_path, "language=cobol", cwd=tmp_path)
    assert done.returncode == 2
    assert "language: no 'cobol'; there is python, node, java" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_lock_file_of_the_node_sample_fits_its_package(make: Make, needs: Any) -> None:
    needs("node")
    root = make("node")
    before = (root / "package-lock.json").read_text()
    subprocess.run(["npm", "ci", "--offline"], cwd=root, check=True)
    subprocess.run(["npm", "install", "--offline", "--package-lock-only"], cwd=root, check=True)
    assert (root / "package-lock.json").read_text() == before
    subprocess.run(["npm", "test"], cwd=root, check=True)


@pytest.mark.slow
@pytest.mark.parametrize(("language", "unit"), [("node", 12), ("java", 15)])
def test_a_commit_of_the_sample_goes_to_production(dpra: Any, made: Path, language: str, unit: int) -> None:
    code, result, text = rehearse(dpra, made)
    assert code == 0, text
    passed = {record["action"]: record["findings"].get("passed") for record in result["evidence"]}
    expected = {"unit-tests": unit, "integration-tests": 2, "acceptance-tests": 1, "synthetic-tests": 1}
    assert {action: passed[action] for action in expected} == expected
    assert [deployment["environment"] for deployment in result["deployments"]] == ["beta", "gamma", "prod"]
    assert {deployment["status"] for deployment in result["deployments"]} == {"CREATE_COMPLETE"}
    assert len({deployment["digest"] for deployment in result["deployments"]}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("language", ["node"])
def test_a_broken_acceptance_test_stops_the_pipeline_in_beta(dpra: Any, made: Path) -> None:
    path = made / "tests/acceptance/a-customer-gets-a-quote.test.js"
    assert "2250" in path.read_text()
    path.write_text(path.read_text().replace("2250", "2251"))
    code, result, text = rehearse(dpra, made)
    assert code == 1
    assert result["stopped_at"] == "beta-tests (eu-west-1) / acceptance-tests"
    assert "2251" in text
    assert [deployment["environment"] for deployment in result["deployments"]] == ["beta"]
