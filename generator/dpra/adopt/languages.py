"""What each language's manifests say: its setup, and the commands of its actions."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import field
from pathlib import PurePosixPath
from typing import Any

from dpra.adopt.files import Tree, join, mapping
from dpra.dataclasses import dataclass

TESTS = re.compile(r"(^|[-_./])(dev|develop|development|test|tests|testing)($|[-_./])", re.IGNORECASE)
ARCHIVE = 'git archive HEAD . | tar -x -C "$PACKAGE_DIR"'

# How each runner is made to write JUnit: what stands behind the command that runs it.
RUNNERS = {
    "borp": '--reporter=spec --reporter="junit:$JUNIT_FILE"',
    "vitest": '--run --reporter=default --reporter=junit --outputFile.junit="$JUNIT_FILE"',
    "jest": "--ci --reporters=default --reporters=jest-junit",
    "mocha": '--reporter xunit --reporter-option output="$JUNIT_FILE"',
    "node --test": "--test-reporter=spec --test-reporter-destination=stdout --test-reporter=junit "
    '--test-reporter-destination="$JUNIT_FILE"',
    "tap": '--reporter=junit --reporter-file="$JUNIT_FILE"',
    "ava": '--tap | npx --yes tap-xunit@2.4.1 > "$JUNIT_FILE"',
    "tape": '| npx --yes tap-xunit@2.4.1 > "$JUNIT_FILE"',
}


@dataclass(frozen=True)
class Language:
    """A language that the repository may be written in, and what its dpra.yml would say."""

    language: str
    why: str
    folder: str = ""
    setup: dict[str, Any] = field(default_factory=dict)
    actions: dict[str, dict[str, str]] = field(default_factory=dict)
    because: dict[str, str] = field(default_factory=dict)  # key of the spec -> the file that said so
    unsure: tuple[str, ...] = ()


def python(tree: Tree, folder: str) -> Language | None:
    """Python, by pip, uv or Poetry."""
    project = tree.toml(join(folder, "pyproject.toml"))
    described = {"project", "build-system", "dependency-groups"} & set(project) or "poetry" in mapping(project, "tool")
    manifests = ["pyproject.toml"] * bool(described) + ["setup.py", "setup.cfg", "requirements.txt"]
    manifest = _first(tree, folder, *manifests)
    names = list(tree.inside(folder))
    if not manifest or not any(name.endswith(".py") for name in names):
        return None
    setup: dict[str, Any] = {}
    because: dict[str, str] = {}
    packaged = bool({"project", "build-system"} & set(project)) or "setup.py" in names or "setup.cfg" in names
    if ".python-version" not in names:
        if mapping(project, "project").get("requires-python"):
            setup["version-file"] = "pyproject.toml"
            because["setup.version-file"] = "requires-python in pyproject.toml"
        else:
            setup["version"], because["setup.version"] = "3.13", "nothing says it: a guess"
    run = "python -m"
    if "uv.lock" in names:
        setup["package-manager"], run = "uv", "uv run --no-sync python -m"
        groups = [f"--group {g}" for g in mapping(project, "dependency-groups") if TESTS.search(g) and g != "dev"]
        extras = _extras(project)
        options = [*groups, *(f"--extra {extra}" for extra in extras)]
        if options:
            setup["install"] = " ".join(["uv sync --locked", *options])
            because["setup.install"] = "pyproject.toml"
        because["setup.package-manager"] = "uv.lock"
    elif mapping(mapping(project, "tool"), "poetry") or "poetry.lock" in names:
        setup["install"] = (
            "python -m pip install --quiet poetry==2.2.1\n"
            "POETRY_VIRTUALENVS_CREATE=false poetry install --no-interaction"
        )
        setup["cache"] = False
        because["setup.install"] = "poetry in pyproject.toml"
    else:
        install, why = _pip_install(tree, folder, names, project, packaged)
        if install != "python -m pip install --quiet --requirement requirements-dev.txt":
            setup["install"], because["setup.install"] = install, why
        if not any(re.fullmatch(r"requirements[^/]*\.txt", name) for name in names):
            setup["cache"] = False
            because["setup.cache"] = "no requirements*.txt to key it by"
    actions: dict[str, dict[str, str]] = {}
    unsure: list[str] = []
    packages = sorted({n.split("/")[0] for n in names if n.endswith("/__init__.py") and n.count("/") == 1})
    packages = [p for p in packages if not TESTS.search(p) and p not in ("docs", "examples")]
    if not any(name.startswith("src/") for name in names):
        actions["build-code"] = {"command": f"{run} compileall -q {' '.join(map(shlex.quote, packages)) or '.'}"}
    if packaged:
        pip = "uv pip install --quiet" if "uv.lock" in names else "python -m pip install --quiet --no-compile"
        actions["package-and-store-artifacts"] = {
            "command": f'{pip} --target "$PACKAGE_DIR" .\n'
            'find "$PACKAGE_DIR" -name __pycache__ -prune -exec rm -rf {} + # it differs from run to run'
        }
        because["actions.package-and-store-artifacts"] = manifest
    elif "requirements.txt" not in names or not any(name.startswith("src/") for name in names):
        actions["package-and-store-artifacts"] = {"command": ARCHIVE}
    if not any(name.startswith("tests/unit/") for name in names):
        place = next((p for p in ("tests", "test", "testing") if any(n.startswith(f"{p}/") for n in names)), "")
        configured = "testpaths" in tree.text(join(folder, "pyproject.toml")) + "".join(
            tree.text(join(folder, name)) for name in ("setup.cfg", "tox.ini", "pytest.ini")
        )
        where = "" if configured or not place else f" {place}"
        actions["unit-tests"] = {"command": f'{run} pytest{where} --junitxml "$JUNIT_FILE"'}
        because["actions.unit-tests"] = "testpaths" if configured else f"the folder {place}" if place else "a guess"
        if not place and not configured:
            unsure.append("no folder of tests was found")
    return Language("python", manifest, folder, setup, actions, because, tuple(unsure))


def _extras(project: Mapping[str, Any]) -> list[str]:
    extras = mapping(mapping(project, "project"), "optional-dependencies")
    return [extra for extra in extras if TESTS.search(extra) and re.fullmatch(r"[\w.-]+", extra)]


def _pip_install(
    tree: Tree, folder: str, names: list[str], project: Mapping[str, Any], packaged: bool
) -> tuple[str, str]:
    """How pip installs the project with what its tests need, and what said so."""
    text = tree.text(join(folder, "setup.py")) + tree.text(join(folder, "setup.cfg"))
    extras = (
        _extras(project) or re.findall(r"""^\s*["']?((?:test|tests|testing|dev))["']?\s*[:=]""", text, re.MULTILINE)[:1]
    )
    groups = [g for g in mapping(project, "dependency-groups") if TESTS.search(g) and re.fullmatch(r"[\w.-]+", g)]
    tests = [g for g in groups if not g.startswith("dev")]
    files = sorted(
        name
        for name in names
        if name.count("/") < 2
        and re.search(r"requirements?[^/]*(/|\.)", name)
        and name.endswith(".txt")
        and (TESTS.search(name) or re.search(r"^pytest\b", tree.text(join(folder, name)), re.MULTILINE))
    )
    files.sort(key=lambda name: "test" not in name.lower())  # a developer's may hold much more
    words, lines = [], []
    why = next((n for n in ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt") if n in names), "")
    if packaged:
        words.append(f"--editable '.{'[' + ','.join(extras) + ']' if extras else ''}'")
    elif "requirements.txt" in names:
        words.append("--requirement requirements.txt")
    if tests or (groups and not extras):
        lines.append("python -m pip install --quiet --upgrade 'pip>=25.1' # it knows dependency groups")
        words += [f"--group {group}" for group in (tests or groups)[:2]]
    elif not extras and files:
        words += [f"--requirement {shlex.quote(name)}" for name in files[:1]]
        why = files[0]
    else:
        found = [] if extras else _tox(tree.text(join(folder, "tox.ini")))
        words += map(shlex.quote, found)
        why = "tox.ini" if found else why
    if not any("pytest" in word for word in words):
        words.append("pytest")
    return "\n".join([*lines, f"python -m pip install --quiet {' '.join(words)}"]), why


def _tox(text: str) -> list[str]:
    """The dependencies of tox's plain test environment."""
    match = re.search(r"^\[testenv\]$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    deps = re.search(r"^deps\s*=(.*?)(?=^\S|\Z)", match[1], re.MULTILINE | re.DOTALL) if match else None
    lines = [line.partition("#")[0].strip() for line in deps[1].splitlines()] if deps else []
    return [line for line in lines if re.fullmatch(r"[A-Za-z0-9][\w.\[\],-]*\s*([<>=!~]=?[\w.*,<>=!~ ]+)?", line)]


def dependencies(package: Mapping[str, Any]) -> dict[str, Any]:
    """What a package.json asks for."""
    return {**mapping(package, "dependencies"), **mapping(package, "devDependencies")}


def node(tree: Tree, folder: str) -> Language | None:
    """Node.js, by npm, pnpm or Yarn."""
    if join(folder, "package.json") not in tree.files:
        return None
    package = tree.json(join(folder, "package.json"))
    scripts = {key: value for key, value in mapping(package, "scripts").items() if isinstance(value, str)}
    setup: dict[str, Any] = {}
    because: dict[str, str] = {}
    locks = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "package-lock.json": "npm", "npm-shrinkwrap.json": "npm"}
    lock = _first(tree, folder, *locks)
    manager = locks.get(lock) or str(package.get("packageManager", "")).partition("@")[0]
    if manager not in ("pnpm", "yarn"):
        manager = "npm"
    else:
        setup["package-manager"] = manager
        because["setup.package-manager"] = lock or "packageManager in package.json"
    if not _first(tree, folder, ".nvmrc"):
        if _first(tree, folder, ".node-version"):
            setup["version-file"] = ".node-version"
        elif mapping(package, "engines").get("node") or mapping(package, "volta").get("node"):
            setup["version-file"] = "package.json"
            because["setup.version-file"] = "engines in package.json"
        else:
            setup["version"], because["setup.version"] = "24", "nothing says it: a guess"
    if not lock:
        setup["install"] = f"{manager} install"
        setup["cache"] = False
        because["setup.cache"] = "no lock file to key it by"
    actions: dict[str, dict[str, str]] = {}
    unsure: list[str] = []
    command, runner = _node_tests(scripts, dependencies(package), manager)
    if command:
        actions["unit-tests"] = {"command": command}
        because["actions.unit-tests"] = f"{runner} in package.json"
        if runner == "jest" and "jest-junit" not in dependencies(package):
            plain = setup.get("install") or {"npm": "npm ci", "pnpm": "pnpm install --frozen-lockfile"}.get(
                manager, "yarn install --frozen-lockfile"
            )
            setup["install"] = (
                f"{plain}\nnpm install --no-save --ignore-scripts --legacy-peer-deps jest-junit@16.0.0 # JUnit for jest"
            )
            because["setup.install"] = "jest in package.json"
    elif not any(name.startswith("tests/unit/") for name in tree.inside(folder)):
        unsure.append("no test runner was recognised in package.json")
    if not (package.get("private") is True and lock == "package-lock.json" and _has(tree, folder, "src")):
        actions["package-and-store-artifacts"] = {
            "command": 'npm pack --silent --ignore-scripts --pack-destination "$RUNNER_TEMP"\n'
            'tar -xzf "$RUNNER_TEMP"/*.tgz -C "$PACKAGE_DIR" --strip-components 1'
        }
        because["actions.package-and-store-artifacts"] = "files in package.json"
    return Language("node", "package.json", folder, setup, actions, because, tuple(unsure))


def _has(tree: Tree, folder: str, inner: str) -> bool:
    return any(name.startswith(f"{inner}/") for name in tree.inside(folder))


def _node_tests(scripts: Mapping[str, str], dependencies: Mapping[str, Any], manager: str) -> tuple[str, str]:
    """The command that runs the tests with JUnit, and the runner."""
    run = {"npm": "npm run --silent", "pnpm": "pnpm run", "yarn": "yarn run"}[manager]
    call = {"npm": "npx --no-install", "pnpm": "pnpm exec", "yarn": "yarn run"}[manager]
    separator = " --" if manager == "npm" else ""
    # `test` first, then what it calls, then the scripts beside it.
    order = [name for name in ("test:unit", "unit", "test") if name in scripts]
    for name in order:
        order += [
            n
            for n in re.findall(r"(?:npm|pnpm|yarn)(?: run)?(?: -s| --silent)? ([\w:.-]+)", scripts[name])
            if n in scripts and n not in order
        ]
    order += [name for name in scripts if name.startswith(("test:", "test-")) and name not in order]
    for name in order:
        script = scripts[name]
        runner = next((r for r in RUNNERS if re.search(rf"(?:^|[\s/&]){re.escape(r)}(?:$|[\s'\"])", script)), "")
        last = re.split(r"&&|;|\|\|", script)[-1]
        if runner and re.search(rf"(?:^|[\s/]){re.escape(runner)}(?:$|[\s'\"])", last):
            flags = RUNNERS[runner]
            if flags.startswith("|"):
                return f"{run} {name} {flags}", runner
            prefix = 'JEST_JUNIT_OUTPUT_FILE="$JUNIT_FILE" ' if runner == "jest" else ""
            return f"{prefix}{run} {name}{separator} {flags}", runner
    for runner in ("vitest", "jest", "mocha", "ava", "tap"):
        if runner in dependencies:
            prefix = 'JEST_JUNIT_OUTPUT_FILE="$JUNIT_FILE" ' if runner == "jest" else ""
            return f"{prefix}{call} {runner} {RUNNERS[runner]}", runner
    return "", ""


def java(tree: Tree, folder: str) -> Language | None:
    """Java, by Maven or Gradle."""
    manifest = _first(
        tree, folder, "pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"
    )
    if not manifest:
        return None
    setup: dict[str, Any] = {}
    because: dict[str, str] = {}
    actions: dict[str, dict[str, str]] = {}
    text = tree.text(join(folder, manifest)) + "".join(
        tree.text(join(folder, n)) for n in ("build.gradle", "build.gradle.kts")
    )
    version_file = _first(tree, folder, ".java-version", ".sdkmanrc", ".tool-versions")
    stated = re.search(
        r"<(?:maven\.compiler\.(?:release|source|target)|java\.version|jdk\.version|release)>\s*(?:1\.)?(\d+)|"
        r"languageVersion[^\n]*?(\d+)|(?:source|target)Compatibility[^\n\d]*(?:1[._])?(\d+)",
        text,
    )
    if version_file and version_file != ".java-version":
        setup["version-file"] = version_file
    elif not version_file:
        number = int(next(filter(None, stated.groups()))) if stated else 21
        setup["version"] = str(max(number, 17))
        because["setup.version"] = manifest if stated and number >= 17 else "a guess: what Lambda runs"
    if manifest == "pom.xml":
        if _first(tree, folder, "mvnw"):
            wrapper = "./mvnw --batch-mode --no-transfer-progress"
            actions["build-code"] = {"command": f"{wrapper} test-compile"}
            actions["unit-tests"] = {"command": f"{wrapper} test", "reports": "**/target/surefire-reports/TEST-*.xml"}
            because["actions.unit-tests"] = "mvnw"
        if "<modules>" in text:
            actions["package-and-store-artifacts"] = {
                "command": 'mvn --batch-mode --no-transfer-progress package -DskipTests\nmkdir "$PACKAGE_DIR/lib"\n'
                "find . -path '*/target/*.jar' -not -name '*-sources.jar' -not -name '*-tests.jar' "
                "-exec cp {} \"$PACKAGE_DIR/lib\" ';'"
            }
    else:
        setup["package-manager"] = "gradle"
        because["setup.package-manager"] = manifest
        if not _first(tree, folder, "gradlew"):
            reports = "**/build/test-results/**/TEST-*.xml"
            actions["build-code"] = {"command": "gradle --no-daemon testClasses"}
            actions["unit-tests"] = {"command": "gradle --no-daemon test", "reports": reports}
    return Language("java", manifest, folder, setup, actions, because)


def go(tree: Tree, folder: str) -> Language | None:
    """Go, by its modules."""
    if join(folder, "go.mod") not in tree.files:
        return None
    actions: dict[str, dict[str, str]] = {}
    because: dict[str, str] = {}
    if "main.go" not in tree.inside(folder):
        mains = sorted(name for name in tree.inside(folder) if re.fullmatch(r"cmd/[\w.-]+/main\.go", name))
        if mains:
            package = shlex.quote(f"./{PurePosixPath(mains[0]).parent}")
            command = f'CGO_ENABLED=0 go build -trimpath -o "$PACKAGE_DIR/bootstrap" {package}'
        else:
            command = ARCHIVE
        actions["package-and-store-artifacts"] = {"command": command}
        because["actions.package-and-store-artifacts"] = mains[0] if mains else "no main package"
    return Language("go", "go.mod", folder, {}, actions, because)


def dotnet(tree: Tree, folder: str) -> Language | None:
    """.NET, by its solution or projects."""
    names = [name for name in tree.inside(folder) if re.fullmatch(r"[^/]+\.(sln|slnx|csproj|fsproj)", name)]
    if not names:
        return None
    setup: dict[str, Any] = {} if _first(tree, folder, "global.json") else {"version": "8.0.x"}
    if not any(name.endswith("packages.lock.json") for name in tree.inside(folder)):
        setup |= {"install": "dotnet restore", "cache": False}
    because = {"setup.cache": "no packages.lock.json to key it by"} if "cache" in setup else {}
    projects = [name for name in tree.inside(folder) if name.endswith((".csproj", ".fsproj", ".props"))]
    logs = any("JunitXml.TestLogger" in tree.text(join(folder, name)) for name in projects)
    unsure = () if logs else ("no project has the package JunitXml.TestLogger, which writes the report",)
    return Language("dotnet", sorted(names)[0], folder, setup, {}, because, unsure)


def _first(tree: Tree, folder: str, *names: str) -> str:
    return next((name for name in names if join(folder, name) in tree.files), "")


LOOK = (python, node, java, go, dotnet)
