"""A pipeline type is one folder. Two sketches stand for those that will come, and contracts run over every type.

The sketches: `flags` stores nothing and knows no waves; `fleet` does two stages in waves of organisational units.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
SKETCHES = ROOT / "tests/sketches"
TYPES = {  # every pipeline type, by a spec or more of it
    "flags": SKETCHES / "flags.yml",
    "fleet": SKETCHES / "fleet.yml",
    **{name: ROOT / f"tests/specs/{name}.yml" for name in ("minimal", "full", "waves", "small", "outlets", "ecs")},
    **{path.stem: path for path in sorted((ROOT / "tests/specs").glob("configuration*.yml"))},
    "organisation": ROOT / "tests/specs/organisation.yml",
}
NEW = ("flags", "fleet")
# Words of the application type's own: stages, jobs, and keys of its spec.
OTHERS = r"\b(beta|gamma|prod|prod-\w+|artifacts|hotfix|acceptance-tests|deploy-software)\b"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout with the folders of the two types, and no other file touched."""
    copy = tmp_path_factory.mktemp("types") / "checkout"
    for folder in ("generator", "templates", ".github/actions", "cookiecutter-dpra"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in NEW:
        shutil.copytree(SKETCHES / name, copy / "templates" / name)
    return copy


@pytest.fixture(scope="module")
def run(checkout: Path) -> Any:
    def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(checkout / "generator"), "GITHUB_API_URL": "http://127.0.0.1:9"}
        words = (sys.executable, "-m", "dpra", *words)
        return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module", params=TYPES)
def repository(request: pytest.FixtureRequest, run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the type, generated."""
    root = tmp_path_factory.mktemp("repository") / request.param
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=root, check=True)
    shutil.copy(TYPES[request.param], root / "dpra.yml")
    (root / "flags.json").write_text('{"new-checkout": true}\n')
    (root / "organisation.yml").write_text("units: {}\n")
    done = run("generate", cwd=root)
    assert done.returncode == 0, done.stderr
    return root


def new(repository: Path) -> bool:
    return repository.name in NEW


def load(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def workflows(root: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted((root / ".github/workflows").glob("*.yml")):
        yield path.stem, load(path)


# ---- Each type is generated, linted, planned, bootstrapped and rehearsed


def test_what_is_generated_lints_clean(repository: Path) -> None:
    if not new(repository):
        pytest.skip("tests/test_golden.py does that")
    templates = sorted((repository / "infrastructure/dpra").glob("*.yml"))
    commands: list[list[str | Path]] = [["actionlint"], ["cfn-lint", *templates]]
    commands.append(["zizmor", "--persona", "auditor", "--offline", "--quiet", "."])
    for command in commands:
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_what_its_spec_says(repository: Path, run: Any) -> None:
    done = run("check", cwd=repository)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("form", ["table", "json", "mermaid"])
def test_its_plan_is_shown(repository: Path, run: Any, form: str) -> None:
    done = run("plan", "--format", form, cwd=repository)
    assert done.returncode == 0, done.stderr
    if form == "table":
        bakes = any(
            job.get("environment") == "prod-bake" for _, one in workflows(repository) for job in one["jobs"].values()
        )
        assert ("bake" in done.stdout.partition("┏")[0]) == bakes


def test_its_accounts_can_be_bootstrapped(repository: Path, run: Any) -> None:
    listed = json.loads(run("bootstrap", "--format", "json", cwd=repository).stdout)
    assert listed
    done = run("bootstrap", "--print", cwd=repository)
    assert done.returncode == 0, done.stderr
    for stack in listed:
        assert (repository / stack["template"]).is_file()
    trusts = [one for one in listed if one["stack"].endswith(f"-{one['environment']}")]
    assert done.stdout.count("AWSTemplateFormatVersion") == len(trusts)
    assert ("--stack" in done.stderr) is (len(listed) > len(trusts))


@pytest.mark.slow
def test_it_is_rehearsed_to_the_end(repository: Path, run: Any, tmp_path: Path) -> None:
    if not new(repository):
        pytest.skip("tests/test_main_job.py does that")
    done = run(
        "rehearse",
        "--offline",
        "--json",
        str(tmp_path / "out.json"),
        "--page",
        str(tmp_path / "p.html"),
        cwd=repository,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["ok"]
    assert {job["result"] for job in result["jobs"]} == {"success"}
    jobs = load(repository / ".github/workflows/pipeline.yml")["jobs"]
    assert list(dict.fromkeys(job["job"] for job in result["jobs"])) == list(jobs)
    # A fault at its moment: what AWS is asked to change fails.
    place = {"flags": "live/us-east-1", "fleet": "estate.2"}[repository.name]
    done = run("rehearse", "--offline", "--fail", place, cwd=repository)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the rehearsal lets it fail" in done.stdout
    done = run("rehearse", "--offline", "--scenario", "all", cwd=repository)
    assert (done.returncode, "0 of 0 promises" in done.stdout) == (0, True)


def test_waves_follow_one_another_whatever_they_are_made_of(run: Any, tmp_path: Path) -> None:
    (tmp_path / "dpra.yml").write_text(TYPES["fleet"].read_text())
    assert run("generate", cwd=tmp_path).returncode == 0
    jobs = load(tmp_path / ".github/workflows/pipeline.yml")["jobs"]
    assert {name: job.get("needs", []) for name, job in jobs.items()} == {
        "scan": [],
        "canary-1": ["scan"],
        "canary-2": ["scan", "canary-1"],
        "estate-1": ["canary-1", "canary-2"],
        "estate-report-1": ["estate-1"],
        "estate-2": ["canary-1", "canary-2", "estate-report-1"],
        "estate-report-2": ["estate-2"],
    }
    assert jobs["estate-2"]["strategy"]["matrix"] == {"unit": ["ou-ab12-produc01", "ou-ab12-produc02"]}


# ---- What a spec of a type may say


@pytest.mark.parametrize(
    ("name", "more", "problem"),
    [
        ("flags", "language: go\n", "language: the pipeline type flags has no such key"),
        ("flags", "deploy: {with: s3}\n", "deploy: the pipeline type flags has no such key"),
        ("flags", "hotfix: {skip: []}\n", "hotfix: the pipeline type flags has no such key"),
        ("flags", "windows: {days: [mon]}\n", "windows: the pipeline type flags has no such key"),
        ("fleet", "setup: {cache: false}\n", "setup: the pipeline type fleet has no such key"),
        ("fleet", "actions: {sast: {tool: bandit}}\n", "actions.sast: unknown action"),
    ],
)
def test_a_key_of_another_type_is_refused_with_its_place(
    run: Any, tmp_path: Path, name: str, more: str, problem: str
) -> None:
    text = TYPES[name].read_text()
    (tmp_path / "dpra.yml").write_text(text + more)
    done = run("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(rf"^dpra\.yml:\d+:\d+: {re.escape(problem)}", done.stderr, re.MULTILINE), done.stderr


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ((", waves: [[ou-ab12-canary01], [ou-ab12-canary02]]", ""), "environments.canary.waves: is missing"),
        (
            ("ou-ab12-canary02", "/Canary"),
            "environments.canary.waves[1][0]: must be the path of an organisational unit",
        ),
        (
            ("[ou-ab12-canary02]", "[ou-ab12-canary02, ou-ab12-canary01]"),
            "environments.canary.waves: a unit stands in two waves",
        ),
        (
            ("waves: [[ou-ab12-canary01]", "bake: 5, waves: [[ou-ab12-canary01]"),
            "environments.canary.bake: the pipeline type",
        ),
    ],
)
def test_waves_of_units_are_units(run: Any, tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    text = TYPES["fleet"].read_text()
    assert change[0] in text
    (tmp_path / "dpra.yml").write_text(text.replace(*change))
    done = run("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert problem in done.stderr


def test_a_command_that_has_no_default_must_be_said(run: Any, tmp_path: Path) -> None:
    (tmp_path / "dpra.yml").write_text(TYPES["flags"].read_text().partition("actions:")[0])
    done = run("plan", cwd=tmp_path)
    assert "actions.unit-tests: needs a command" in done.stderr


def test_where_nothing_is_released_there_is_no_lock(run: Any, tmp_path: Path) -> None:
    (tmp_path / "dpra.yml").write_text(TYPES["fleet"].read_text())
    done = run("unlock", "--reason", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert "fleet keeps no release record" in done.stderr


# ---- Contracts of every type


def test_each_required_check_is_the_name_of_a_job_that_runs_on_pull_requests(repository: Path) -> None:
    """And each such job is required: where one fails, those that wait for it are skipped, which counts as passed."""
    names = set()
    for _, workflow in workflows(repository):
        if "pull_request" in workflow["on"]:
            names |= {job["name"] for job in workflow["jobs"].values()}
    ruleset = json.loads((repository / ".github/rulesets/trunk.json").read_text())
    [rule] = [one["parameters"] for one in ruleset["rules"] if one["type"] == "required_status_checks"]
    assert {one["context"] for one in rule["required_status_checks"]} == names


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    else:
        yield str(node)


def test_each_arn_in_an_emitted_policy_is_complete(repository: Path) -> None:
    from moto.cloudformation.models import Stack

    found = []
    for path in (repository / "infrastructure/dpra").glob("*.yml"):
        found += [text for text in texts(Stack.parse_template(path.read_text())) if text.startswith("arn:")]
    assert found
    for arn in found:
        parts = arn.split(":", 5)
        if "${AWS::" in arn:  # the pseudo parameters have colons of their own
            parts = re.sub(r"\$\{AWS::(\w+)\}", r"<\1>", arn).split(":", 5)
        assert len(parts) == 6, arn
        assert parts[1] in ("<Partition>", "aws"), arn
        assert parts[4] or parts[2] == "s3", arn
        assert re.fullmatch(r"[^:/\s][^\s]*", parts[5]), arn
        assert not re.search(r"--|/$|:$", parts[5].replace("-*", "")), arn


def test_each_environment_that_documents_and_bootstrap_name_is_used_by_a_job(repository: Path, run: Any) -> None:
    used: set[str] = set()
    accounts: set[str] = set()
    for name, workflow in workflows(repository):
        for job in workflow["jobs"].values():
            said = job.get("environment", "")
            used.add(said["name"] if isinstance(said, dict) else said)
            accounts |= set(re.findall(r"\b[0-9]{12}\b", json.dumps(job)))
        assert workflow["jobs"], name
    page = (repository / "docs/pipeline.md").read_text()
    _, _, rest = page.partition("## GitHub environments")
    documented = set(re.findall(r"^\| ([\w-]+) \|", rest.partition("## Rulesets")[0], re.MULTILINE)) - {
        "GitHub environment",
        "---",
    }
    assert documented == used - {""}
    listed = json.loads(run("bootstrap", "--format", "json", cwd=repository).stdout)
    assert {one["account"] for one in listed} <= accounts
    trusted = set()
    for path in (repository / "infrastructure/dpra").glob("*.yml"):
        trusted |= set(re.findall(r":environment:([\w-]+)", path.read_text()))
    assert trusted <= used


@pytest.mark.slow
def test_the_stacks_that_a_rehearsal_prepares_are_those_that_bootstrap_lists(
    repository: Path, run: Any, checkout: Path
) -> None:
    listed = json.loads(run("bootstrap", "--format", "json", cwd=repository).stdout)
    script = """
import json, sys
from pathlib import Path
from dpra import catalogue, problems
from dpra.rehearsal import accounts, mends
from dpra.spec import reader
from moto.cloudformation.models import cloudformation_backends
from moto import mock_aws
mends.mend()
root = Path(".")
plan = problems.planned(reader.read((root / "dpra.yml").read_bytes(), catalogue.words()), root)
with mock_aws():
    accounts.prepare(root, plan)
    found = [[account, region, stack.name]
             for account, regions in cloudformation_backends.items() for region, one in regions.items()
             for stack in one.stacks.values()]
print(json.dumps(found))
"""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "generator")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, env=environment, capture_output=True, text=True, check=True
    )
    prepared = {tuple(one) for one in json.loads(done.stdout)}
    assert prepared == {(one["account"], one["region"], one["stack"]) for one in listed}


def test_no_word_of_another_types_stages_is_in_output_schema_or_message(repository: Path, run: Any) -> None:
    if not new(repository):
        pytest.skip("these are the other's words")
    said = {
        path.relative_to(repository).as_posix(): path.read_text()
        for path in repository.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(repository).parts and "actions/dpra" not in path.as_posix()
    }
    for words in (["plan"], ["plan", "--format", "json"], ["bootstrap"], ["schema", "--pipeline", repository.name]):
        done = run(*words, cwd=repository)
        said[" ".join(words)] = done.stdout + done.stderr
    said["reference"] = run("schema", "--pipeline", repository.name, "--format", "markdown", cwd=repository).stdout
    for name, text in said.items():
        found = [match[0] for line in text.splitlines() for match in re.finditer(OTHERS, line)]
        assert not found, f"{name}: {found}"


def test_what_a_job_may_do_is_only_what_its_type_asks_for(repository: Path) -> None:
    """No rights of CloudFormation and no store where nothing is deployed by stacks and nothing is stored."""
    if not new(repository):
        pytest.skip("tests/test_deploy_tools.py does that")
    folder = repository / "infrastructure/dpra"
    assert {path.stem for path in folder.glob("*.yml")} == {
        "flags": {"staging", "live"},
        "fleet": {"canary", "estate"},
    }[repository.name]
    actions = {action for path in folder.glob("*.yml") for action in re.findall(r"Action: (\S+)", path.read_text())}
    assert actions == {"sts:AssumeRoleWithWebIdentity", "ssm:PutParameter"}


# ---- A catalogue that contradicts itself


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ("needs: [verify, scan]", "needs: [verify, skan]"),
            "jobs.staging: needs: there is no skan; there is verify, scan",
        ),
        (("role: live}", "role: life}"), "jobs.live: role: there is no life; there is live"),
        (("{live: configure}", "{live: govern}"), "stage live: roles: there is no infrastructure/duties/govern.yml"),
        (
            ("definitions, level: required", "definitions, level: needed"),
            "feature-flag-definitions: level: there is no needed",
        ),
        (("per: region, needs: [staging]", "per: wave, needs: [staging]"), "jobs.live: per: wave-of does not say"),
        (
            ("{id: deploy-feature-flags, level: required", "{id: deploy-flags, level: required"),
            "deploy-flags: no step of the",
        ),
        (("limit: 10", "limits: 10"), "stages[2]: unknown limits; there is id, name, limit"),
        (("  pull-request:", "  gates:"), "workflows: there is no pull-request"),
        (("jobs: [verify, scan, generated-files]", "jobs: [verify, scan]"), "jobs.generated-files: no workflow has it"),
        (("stages:\n", "record: alive\nstages:\n"), "record: there is no alive"),
        (("stages:\n", "takes: [languages]\nstages:\n"), "takes: there is no languages"),
        (("generated-files: {", "generated-file: {"), "jobs.generated-file: there is no jobs/generated-file.yml"),
    ],
)
def test_a_bad_catalogue_is_refused_by_name(
    checkout: Path, run: Any, tmp_path: Path, change: tuple[str, str], problem: str
) -> None:
    copy = tmp_path / "checkout"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns("fleet", "application"))
    path = copy / "templates/flags/catalogue.yml"
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(change[0], change[1], 1))
    (tmp_path / "dpra.yml").write_text(TYPES["flags"].read_text())
    environment = {**os.environ, "PYTHONPATH": str(copy / "generator")}
    done = subprocess.run(
        [sys.executable, "-m", "dpra", "plan"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "templates/flags/catalogue.yml: " in done.stderr
    assert problem in done.stderr
