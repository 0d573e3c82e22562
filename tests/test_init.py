"""`dpra init` reads what a repository says of itself, guesses nothing silently, and never overwrites.

What it found in public repositories, by hand against each one's own CI and CONTRIBUTING, 2026-11-23
(`dpra init --no-input --dry-run` at the commit named; language, tests and infrastructure tool, each):

pallets/flask 2ac89889f4cc                  python, uv, pytest                right
psf/requests 1f6589ec3a1e                   python, pip, pytest               right
encode/httpx ae1b9f66238f                   python, pip, pytest               right
astral-sh/packse 561e0fe2da2a               python, uv, pytest                right
expressjs/express a3714473feb3              node, npm, mocha                  right
sindresorhus/got d00d845a0b43               node, npm, ava                    right
date-fns/date-fns dd66398305c2              node, pnpm, vitest                right
google/gson 9835b6f90192                    java, maven                       right
mockito/mockito ee8a330da021                java, gradle                      right
spf13/cobra adbc8813901b                    go, go test                       right
gorilla/mux db9d1d0073d2                    go, go test                       right
jbogard/MediatR 8a64581e2570                dotnet, dotnet test               right; says: no JUnit logger
terraform-aws-modules/terraform-aws-vpc 82d1929e669e  none, terraform         right
aws-samples/aws-deployment-pipeline-reference-architecture eade93a043c3
                                            java, maven, cdk (its example)    right
aws-samples/sessions-with-aws-sam 78ebaa71baad        many; node, mocha, sam  right; the first, and says so
aws-samples/serverless-test-samples a801c92eda19      many; python, cdk, sam  right; the first, and says so
docker-library/hello-world a1942f2745e7     container                         right; the first of many
hadolint/hadolint 8f936c5e975d              none (Haskell)                    wrong: its docker/Dockerfile makes it a
                                                                              container image

17 of 18; the miss is a language that dpra does not have. Six more, once the rules stood:

pypa/packaging 053c884615f2                 python, pip, pytest               right
fastify/fastify-cors 2a47537e6deb           node, npm, node --test            right
FasterXML/jackson-core b367da1c30a2         java, maven                       right
labstack/echo 05489dc17301                  go, go test                       right
aws-samples/aws-lambda-java-workshop 90458137e090
                                            java, maven, sam                  right: one of many; the two notes about
                                                                              the others came of it
vitejs/vite-plugin-react e2a649cbaa73       node, pnpm, vitest                in part: one of its three runs
"""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, planner, render, tree
from dpra.adopt import detect, initial
from dpra.spec import reader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ACCOUNTS = {"build": "444444444444", "beta": "111111111111", "gamma": "222222222222", "prod": "333333333333"}


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def first(question: str, answers: Any) -> int:
    return 0


def made(root: Path) -> initial.Initial:
    return initial.make(detect.detect(root), "", first)


def filled(text: str) -> bytes:
    for name, account in ACCOUNTS.items():
        text = text.replace(f"the account id of {name}, 12 digits", account)
    return text.encode()


def data(root: Path) -> dict[str, Any]:
    """The dpra.yml that init would write there, as data."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(made(root).text)


PACKAGE = {"name": "shop", "scripts": {"test": "vitest"}, "devDependencies": {"vitest": "4"}}
POM = "<project><properties><maven.compiler.release>21</maven.compiler.release></properties></project>"
PYPROJECT = '[project]\nname = "shop"\nrequires-python = ">=3.12"\n[build-system]\nrequires = []\n'

# Files of a repository -> what its dpra.yml says, or words of it.
CASES: dict[str, tuple[dict[str, str | bytes], dict[str, str]]] = {
    "pip, an extra": (
        {
            "pyproject.toml": PYPROJECT + '[project.optional-dependencies]\ntest = ["pytest"]\n',
            "shop/__init__.py": "",
            "tests/test_a.py": "",
        },
        {"language": "python", "install": "'.[test]'", "tests": 'pytest tests --junitxml "$JUNIT_FILE"'},
    ),
    "pip, a dependency group": (
        {"pyproject.toml": PYPROJECT + '[dependency-groups]\ntests = ["pytest"]\n', "src/shop/__init__.py": ""},
        {"language": "python", "install": "--group tests"},
    ),
    "pip, test requirements in a file of another name": (
        {"pyproject.toml": PYPROJECT, "requirements.txt": "pytest==9\n", "shop/__init__.py": "", "tests/t.py": ""},
        {"language": "python", "install": "--requirement requirements.txt"},
    ),
    "pip, tox says what tests need": (
        {"setup.py": "", "tox.ini": "[testenv]\ndeps =\n    pytest\n    mock>=5\n", "test/test_a.py": ""},
        {"language": "python", "install": "'mock>=5'", "tests": "pytest test "},
    ),
    "uv": (
        {"pyproject.toml": PYPROJECT, "uv.lock": "", "a.py": "", "tests/t.py": ""},
        {"language": "python", "package-manager": "uv", "tests": "uv run --no-sync python -m pytest tests"},
    ),
    "poetry": (
        {"pyproject.toml": "[tool.poetry]\nname = 'a'\n", "a.py": "", "tests/t.py": ""},
        {"language": "python", "install": "poetry install"},
    ),
    "npm and vitest": (
        {"package.json": json.dumps(PACKAGE), "package-lock.json": "{}", "index.js": ""},
        {"language": "node", "tests": "npm run --silent test -- --run --reporter=default --reporter=junit"},
    ),
    "pnpm": (
        {"package.json": json.dumps(PACKAGE), "pnpm-lock.yaml": "", "index.ts": ""},
        {"language": "node", "package-manager": "pnpm", "tests": "pnpm run test --run"},
    ),
    "yarn and jest": (
        {"package.json": json.dumps({"scripts": {"test": "jest"}}), "yarn.lock": "", "index.js": ""},
        {"language": "node", "package-manager": "yarn", "install": "jest-junit@", "tests": "JEST_JUNIT_OUTPUT_FILE="},
    ),
    "the tests that test calls": (
        {
            "package.json": json.dumps({"scripts": {"test": "npm run lint && npm run unit:js", "unit:js": "mocha"}}),
            "index.js": "",
        },
        {"language": "node", "tests": "npm run --silent unit:js -- --reporter xunit"},
    ),
    "maven": ({"pom.xml": POM, "src/main/java/A.java": ""}, {"language": "java", "version": "21"}),
    "a maven wrapper": (
        {"pom.xml": POM, "mvnw": "", "src/main/java/A.java": ""},
        {"language": "java", "tests": "./mvnw "},
    ),
    "gradle": (
        {"build.gradle.kts": "", "gradlew": "", "src/main/java/A.java": ""},
        {"language": "java", "package-manager": "gradle"},
    ),
    "go": ({"go.mod": "module a\n", "cmd/shop/main.go": ""}, {"language": "go", "package": "./cmd/shop"}),
    "dotnet": ({"shop.sln": "", "src/A.cs": ""}, {"language": "dotnet", "install": "dotnet restore"}),
    "a Dockerfile": ({"Dockerfile": "FROM scratch\n"}, {"language": "container"}),
    "a component in a folder": (
        {"services/shop/go.mod": "module a\n", "services/shop/main.go": ""},
        {"language": "go", "working-directory": "services/shop"},
    ),
    "an application beside its CDK": (
        {
            "package.json": json.dumps({"devDependencies": {"aws-cdk-lib": "2"}}),
            "bin/app.ts": "",
            "lib/a.ts": "",
            "go.mod": "module a\n",
            "main.go": "",
        },
        {"language": "go"},
    ),
    "requirements of a web site are no component": (
        {"requirements.txt": "mkdocs\n", "a/pom.xml": POM, "a/src/A.java": ""},
        {"language": "java", "working-directory": "a"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_language_and_commands_are_what_the_files_say(tmp_path, case: str) -> None:
    files, expected = CASES[case]
    spec = data(write(tmp_path, files))
    setup, actions = spec.get("setup", {}), spec.get("actions", {})
    got = {
        "language": spec["language"],
        "working-directory": spec.get("working-directory", ""),
        "package-manager": setup.get("package-manager", ""),
        "version": setup.get("version", ""),
        "install": setup.get("install", ""),
        "tests": actions.get("unit-tests", {}).get("command", ""),
        "package": actions.get("package-and-store-artifacts", {}).get("command", ""),
    }
    assert {key: True for key in expected} == {key: value in got[key] for key, value in expected.items()}, got


@pytest.mark.parametrize("case", CASES)
def test_with_accounts_filled_in_it_is_a_pipeline(tmp_path, case: str) -> None:
    """Nothing but the placeholders stands between init and a tree of workflows."""
    root = write(tmp_path, CASES[case][0])
    with pytest.raises(reader.Problems) as problems:
        reader.read(made(root).text.encode(), catalogue.words())
    assert [one.message.partition(":")[0] for one in problems.value.problems] == [
        f"environments.{name}.account" for name in ACCOUNTS
    ]
    spec = reader.read(filled(made(root).text), catalogue.words())
    assert tree.compare(root, render.files(planner.make(spec)))


@pytest.mark.parametrize(
    ("tool", "files"),
    {
        "cdk": {"cdk.json": "{}"},
        "terraform": {"infra/main.tf": ""},
        "sam": {"template.yaml": "Transform: AWS::Serverless-2016-10-31\n"},
        "cloudformation": {"infra/stack.json": '{\n"AWSTemplateFormatVersion": "2010-09-09"}'},
    }.items(),
)
def test_infrastructure_is_found_by_its_files(tmp_path, tool: str, files: dict[str, str | bytes]) -> None:
    found = detect.detect(write(tmp_path, files)).infrastructure
    assert [(one.tool, one.path) for one in found] == [(tool, next(iter(files)))]


def test_a_template_that_is_there_is_deployed_and_no_starter_is_written(dpra, tmp_path) -> None:
    write(
        tmp_path,
        {"infra/stack.yml": "AWSTemplateFormatVersion: '2010-09-09'\nResources: {}\n", "go.mod": "", "a.go": ""},
    )
    assert dpra("init", cwd=tmp_path).returncode == 0
    assert "deploy: {template: infra/stack.yml}" in (tmp_path / "dpra.yml").read_text()
    assert not (tmp_path / initial.STARTER).exists()


def test_a_dockerfile_alone_may_be_a_golden_image(dpra, tmp_path) -> None:
    write(tmp_path, {"Dockerfile": "FROM scratch\n"})
    said = dpra("init", "--dry-run", cwd=tmp_path)
    assert said.returncode == 0
    assert "say pipeline: compute-image" in made(tmp_path).notes[-1]
    write(tmp_path, {"infra/stack.yml": "AWSTemplateFormatVersion: '2010-09-09'\nResources: {}\n"})
    assert not any("compute-image" in note for note in made(tmp_path).notes)


def test_the_starter_lints_clean(dpra, tmp_path) -> None:
    assert dpra("init", cwd=tmp_path).returncode == 0
    lint = Path(sys.executable).parent / "cfn-lint"
    done = subprocess.run([lint, tmp_path / initial.STARTER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_existing_workflows_are_named_with_what_they_do(tmp_path) -> None:
    write(
        tmp_path,
        {
            ".github/workflows/ci.yml": "on: [push, pull_request]\njobs: {a: {steps: [{run: npm test}]}}\n",
            ".github/workflows/pipeline.yml": "on: push\n",
            ".github/dependabot.yml": "version: 2\n",
        },
    )
    one = made(tmp_path)
    assert any(note.startswith(".github/workflows/ci.yml: tests on push, pull_request") for note in one.notes)
    assert any(
        note.startswith(".github/workflows/pipeline.yml exists; dpra generate will refuse") for note in one.notes
    )
    assert "unmanaged: # dpra leaves them to you\n  - .github/dependabot.yml # yours\n" in one.text


def test_every_file_that_generate_would_refuse_to_replace_is_told_or_left_out(dpra, tmp_path) -> None:
    paths = initial._targets()
    write(tmp_path, {"go.mod": "module github.com/acme/shop\n", "main.go": "", **dict.fromkeys(paths, "{}\n")})
    said = dpra("init", "--no-input", cwd=tmp_path).stdout
    (tmp_path / "dpra.yml").write_bytes(filled((tmp_path / "dpra.yml").read_text()))
    told = [path for path in paths if f"{path} exists; dpra generate will refuse" in said]
    assert [path for path in paths if path not in told] == [path for path in paths if f"{path} is yours" in said]
    refused = dpra("generate", cwd=tmp_path)
    assert refused.returncode == 1
    assert all(f"{path}: " in refused.stderr + refused.stdout for path in told)
    assert {
        one.path
        for one in tree.compare(
            tmp_path, render.files(planner.make(reader.read((tmp_path / "dpra.yml").read_bytes(), catalogue.words())))
        )
        if one.refused
    } == {*told}


def test_what_it_assumed_and_could_not_know_is_said_and_check_names_it(dpra, tmp_path) -> None:
    write(tmp_path, {"go.mod": "module github.com/acme/shop\n", "main.go": ""})
    done = dpra("init", "--no-input", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "  repository: acme/shop  (go.mod)\n" in done.stdout
    assert "Not known: the AWS accounts of build, beta, gamma and prod" in done.stdout
    checked = dpra("check", cwd=tmp_path)
    assert checked.returncode == 2
    assert [line.split(": ")[1] for line in checked.stderr.splitlines()] == [
        f"environments.{name}.account" for name in ACCOUNTS
    ]


def test_a_spec_that_is_there_stays_and_force_shows_the_difference(dpra, tmp_path) -> None:
    write(tmp_path, {"dpra.yml": "name: mine\n", "go.mod": "", "main.go": ""})
    refused = dpra("init", cwd=tmp_path)
    assert refused.returncode == 1
    assert (tmp_path / "dpra.yml").read_text() == "name: mine\n"
    assert not (tmp_path / initial.STARTER).exists()
    assert "-name: mine\n" in dpra("init", "--dry-run", cwd=tmp_path).stdout
    assert (tmp_path / "dpra.yml").read_text() == "name: mine\n"
    forced = dpra("init", "--force", cwd=tmp_path)
    assert "-name: mine\n" in forced.stdout
    assert "name: mine" not in (tmp_path / "dpra.yml").read_text()


def test_a_dry_run_writes_nothing_and_prints_the_spec_alone(dpra, tmp_path) -> None:
    write(tmp_path, {"go.mod": "", "main.go": ""})
    done = dpra("init", "--dry-run", cwd=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["go.mod", "main.go"]
    assert reader.read(filled(done.stdout), catalogue.words()).language == "go"


def test_machines_get_json(dpra, tmp_path) -> None:
    write(tmp_path, {"go.mod": "", "main.go": ""})
    told = json.loads(dpra("init", "--format", "json", cwd=tmp_path).stdout)
    assert {"key": "language", "value": "go", "why": "go.mod"} in told["assumed"]
    assert told["written"] == ["dpra.yml", initial.STARTER]
    assert told["unknown"]


TWO: dict[str, str | bytes] = {"go.mod": "", "main.go": "", "b.go": "", "package.json": "{}", "index.js": ""}


def test_of_several_answers_it_takes_the_first_and_says_so(dpra, tmp_path) -> None:
    done = dpra("init", "--no-input", cwd=write(tmp_path, TWO))
    assert "Which one is the component? go (go.mod), the first of: go (go.mod), node (package.json)" in done.stdout


def test_the_infrastructure_of_the_component_is_told_before_that_of_its_neighbours(tmp_path) -> None:
    sam = "Transform: AWS::Serverless-2016-10-31\n"
    files = {f"{folder}/template.yaml": sam for folder in ("a/x", "b", "labs/one")}
    found = made(write(tmp_path, {**files, "labs/one/go.mod": "module a\n", "labs/one/main.go": "package main\n"}))
    assert [note for note in found.notes if "sam" in note] == [
        "labs/one/template.yaml: sam is found; deploy.with can be sam, docs/deploy.md says what it needs"
    ]


def test_what_git_ignores_is_left_out_so_that_check_holds_where_it_is_checked_out(dpra, tmp_path) -> None:
    write(tmp_path, {".gitignore": ".vscode/\n", "go.mod": "module a\n", "main.go": "package main\n"})
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    done = dpra("init", "--no-input", cwd=tmp_path)
    assert ".vscode/extensions.json is ignored by git: what dpra would write there is left out" in done.stdout
    (tmp_path / "dpra.yml").write_bytes(filled((tmp_path / "dpra.yml").read_text()))
    generated = dpra("generate", cwd=tmp_path)
    assert (generated.returncode, generated.stderr) == (0, "")
    assert dpra("check", cwd=tmp_path).returncode == 0
    assert not (tmp_path / ".vscode").exists()


def test_components_that_lie_deeper_than_the_one_it_takes_are_told(tmp_path) -> None:
    go = {"go.mod": "module a\n", "main.go": "package main\n"}
    deep = {
        f"{folder}/{name}": text
        for folder in ("labs/one", "labs/more/two", "labs/one/sub/x")
        for name, text in go.items()
    }
    found = made(write(tmp_path, deep))
    assert "working-directory: labs/one" in found.text
    [note] = [note for note in found.notes if "deeper" in note]
    assert (
        note == "1 more go.mod lie deeper, such as labs/more/two/go.mod: say working-directory if one of those is meant"
    )


def test_of_several_answers_a_terminal_is_asked(tmp_path) -> None:
    write(tmp_path, TWO)
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dpra", "init"], cwd=tmp_path, stdin=inside, stdout=subprocess.PIPE, text=True
    )
    os.close(inside)
    os.write(terminal, b"2\n")
    said, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert "Which one is the component?" in said
    assert "language: node" in (tmp_path / "dpra.yml").read_text()


def test_init_again_does_not_take_what_dpra_made_for_the_users(dpra, tmp_path) -> None:
    write(tmp_path, {"go.mod": "", "main.go": ""})
    assert dpra("init", cwd=tmp_path).returncode == 0
    text = (tmp_path / "dpra.yml").read_text()
    (tmp_path / "dpra.yml").write_bytes(filled(text))
    assert dpra("generate", cwd=tmp_path).returncode == 0
    assert dpra("init", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "dpra.yml").read_text() == text.replace("# a guess", "# a guess")


HOSTILE: dict[str, dict[str, str | bytes]] = {
    "an array for a package": {"package.json": "[1]", "index.js": ""},
    "no JSON": {"package.json": '{"scripts": ', "index.js": ""},
    "JSON so deep that reading it fails": {"package.json": "[" * 100_000, "index.js": ""},
    "no TOML": {"pyproject.toml": "[project\n", "setup.py": "", "a.py": ""},
    "not UTF-8": {"pyproject.toml": b"\xff\xfe\x00", "package.json": b"\xff", "pom.xml": b"\xfe", "A.java": b"\xff"},
    "an entity bomb": {"pom.xml": '<!DOCTYPE a [<!ENTITY b "c">]><project>&b;</project>', "A.java": ""},
    "a huge manifest": {"package.json": b" " * (3 * 1024 * 1024), "index.js": ""},
    "wrong kinds everywhere": {
        "package.json": json.dumps({"scripts": [], "engines": "x", "repository": 3, "devDependencies": 1, "volta": []}),
        "pyproject.toml": "project = 1\ndependency-groups = 2\ntool = 3\n",
        "a.py": "",
        "index.js": "",
    },
    "expressions and shell in names": {
        "package.json": json.dumps(
            {"name": "${{ secrets.X }}", "scripts": {"test; rm -rf ~": "mocha $(id)", "test": "mocha"}}
        ),
        "cmd/$(id)/main.go": "",
        "go.mod": "module github.com/a/${{ github.token }}\n",
        "index.js": "",
    },
    "nothing": {},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_manifests_do_no_harm(tmp_path, case: str) -> None:
    one = made(write(tmp_path, HOSTILE[case]))
    spec = reader.read(filled(one.text), catalogue.words())
    assert "${{" not in one.text
    assert "$(id)" not in one.text
    assert spec.repository.startswith(("OWNER/", "a/"))


def test_links_that_loop_or_lead_out_are_not_followed(tmp_path) -> None:
    outside = write(tmp_path / "outside", {"package.json": json.dumps(PACKAGE)})
    root = write(tmp_path / "inside", {"index.js": ""})
    (root / "package.json").symlink_to(outside / "package.json")
    (root / "pom.xml").symlink_to(root / "pom.xml")
    (root / "loop").symlink_to(root)
    assert "vitest" not in made(root).text


WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
VALUES = st.recursive(
    WORDS | st.integers() | st.none() | st.booleans(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(WORDS, v, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["name", "repository", "scripts", "devDependencies", "engines", "packageManager", "private"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    package=st.dictionaries(KEYS, VALUES | st.dictionaries(st.sampled_from(["test", "unit", "mocha", "node"]), VALUES)),
    owners=WORDS,
    folder=st.from_regex(r"[^/\x00\n]{1,12}", fullmatch=True).filter(lambda name: name not in (".", "..")),
)
def test_whatever_a_manifest_says_the_spec_can_be_read(tmp_path_factory, package, owners, folder) -> None:
    root = tmp_path_factory.mktemp("any")
    try:
        write(
            root, {f"{folder}/package.json": json.dumps(package), f"{folder}/a.js": "", "CODEOWNERS": f"* {owners}\n"}
        )
    except (OSError, UnicodeEncodeError):
        return  # no name for this file system
    planner.make(reader.read(filled(made(root).text), catalogue.words()))
