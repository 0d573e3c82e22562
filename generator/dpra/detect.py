"""What a repository is made of, by the files that say so: `detect` reads manifests only, and runs nothing but git."""

import json
import os
import re
import shlex
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dpra import resources
from dpra.spec.models import PATH

LARGEST = 2 * 1024 * 1024  # bytes of a manifest
MOST_FILES = 200_000
SKIPPED = frozenset(
    ".git .hg .venv venv node_modules target build dist vendor third_party __pycache__ .tox cdk.out".split()
)
SOURCES = {
    "python": (".py",),
    "node": (".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx"),
    "java": (".java", ".kt"),
    "go": (".go",),
    "dotnet": (".cs", ".fs"),
}
TEST_FOLDERS = frozenset("test tests testing testdata fixtures __tests__".split())
TESTS = re.compile(r"(^|[-_./])(dev|develop|development|test|tests|testing)($|[-_./])", re.IGNORECASE)


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


@dataclass(frozen=True)
class Infrastructure:
    """Infrastructure code: cloudformation, sam, cdk or terraform."""

    tool: str
    path: str


@dataclass(frozen=True)
class Found:
    """All that was found."""

    name: str
    repository: str
    repository_why: str  # empty: a guess
    trunk: str
    owners: tuple[str, ...]
    languages: tuple[Language, ...]  # the likeliest first
    infrastructure: tuple[Infrastructure, ...]
    workflows: tuple[str, ...]  # what each existing one does, in words
    files: frozenset[str]


class _Tree:
    """The repository's files, and their text as far as it is one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        generated = _mapping(self.json(resources.lib("check").LOCK), "files")
        self.files = frozenset(name for name in _listed(root) if _sayable(name) and name not in generated)

    def text(self, path: str) -> str:
        """The text of a file; empty where it is not there, too large, not UTF-8, or leads out of the repository."""
        place = self.root / path
        try:
            if not place.resolve().is_relative_to(self.root.resolve()) or place.stat().st_size > LARGEST:
                return ""
            return place.read_text(encoding="utf-8-sig")
        except (OSError, ValueError, RuntimeError):
            return ""

    def toml(self, path: str) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text(path))
        except (tomllib.TOMLDecodeError, RecursionError):
            return {}

    def json(self, path: str) -> dict[str, Any]:
        try:
            data = json.loads(self.text(path) or "{}")
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}

    def inside(self, folder: str) -> Iterator[str]:
        """The files below a folder, seen from it."""
        start = f"{folder}/" if folder else ""
        return (name.removeprefix(start) for name in self.files if name.startswith(start))


def _sayable(name: str) -> bool:
    """A spec can name the file."""
    return name.isprintable() and len(name) <= PATH.longest and bool(re.fullmatch(PATH.pattern, name))


def _listed(root: Path) -> Iterator[str]:
    try:
        ran = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            check=False,
        )
        names = [os.fsdecode(name) for name in ran.stdout.split(b"\0") if name] if ran.returncode == 0 else []
    except OSError:
        names = []
    if not names:
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name not in SKIPPED]
            names += [(Path(folder) / name).relative_to(root).as_posix() for name in files]
            if len(names) > MOST_FILES:
                break
    return (name for name in names if not SKIPPED & set(PurePosixPath(name).parts[:-1]))


def _git(root: Path, *arguments: str) -> str:
    try:
        ran = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
        )
    except (OSError, UnicodeDecodeError):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def detect(root: Path) -> Found:
    """What the repository in `root` is made of. Nothing in it is executed or written."""
    tree = _Tree(root)
    repository, why = _repository(tree)
    return Found(
        name=_name(repository.partition("/")[2] or root.resolve().name),
        repository=repository,
        repository_why=why,
        trunk=_trunk(root),
        owners=_owners(tree),
        languages=_languages(tree),
        infrastructure=_infrastructure(tree),
        workflows=tuple(_workflows(tree)),
        files=tree.files,
    )


# ---- Names


def _name(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = re.sub(r"^[^a-z]+", "", name)
    if len(name) > 24:  # between words, if there is a place
        name = (name[:25].rpartition("-")[0] or name)[:24]
    return name if len(name) > 1 else f"app-{name}".strip("-")


def _repository(tree: _Tree) -> tuple[str, str]:
    """owner/name, and where it stands; a guess has no place."""
    package = tree.json("package.json").get("repository")
    urls = {
        "git remote origin": _git(tree.root, "config", "--get", "remote.origin.url"),
        "package.json": str(package.get("url", "") if isinstance(package, dict) else package or ""),
        "pyproject.toml": tree.text("pyproject.toml"),
        "go.mod": tree.text("go.mod").partition("\n")[0],
        "pom.xml": tree.text("pom.xml"),
        "setup.cfg": tree.text("setup.cfg"),
        "PKG-INFO": tree.text("PKG-INFO"),
    }
    for place, text in urls.items():
        match = re.search(
            r"github\.com[:/]([A-Za-z0-9][A-Za-z0-9-]{0,38})/([A-Za-z0-9._-]{1,100}?)(?:\.git)?(?=[\s\"'/#<>,]|$)", text
        )
        if match:
            return f"{match[1]}/{match[2].rstrip('.')}", place
    folder = re.sub(r"[^A-Za-z0-9._-]+", "-", tree.root.resolve().name).strip("-.") or "app"
    return f"OWNER/{folder}", ""


def _trunk(root: Path) -> str:
    head = _git(root, "symbolic-ref", "--short", "refs/remotes/origin/HEAD").removeprefix("origin/")
    return head or _git(root, "symbolic-ref", "--short", "HEAD") or "main"


def _owners(tree: _Tree) -> tuple[str, ...]:
    for path in (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"):
        for line in tree.text(path).splitlines():
            words = line.partition("#")[0].split()
            if words[:1] == ["*"]:
                return tuple(dict.fromkeys(word for word in words[1:] if re.fullmatch(r"@[\w.-]+(?:/[\w.-]+)?", word)))
    return ()


# ---- Languages


def _languages(tree: _Tree) -> tuple[Language, ...]:
    """Each language with a manifest and sources, at the root or else nearest to it; that of most files first."""
    count: Counter[str] = Counter()
    for name in tree.files:
        suffix = PurePosixPath(name).suffix
        for language, suffixes in SOURCES.items():
            count[language] += suffix in suffixes and "test" not in name.lower()
    for depth in (0, 1, 2):
        folders = sorted({str(p.parent) for n in tree.files if len((p := PurePosixPath(n)).parts) == depth + 1})
        found: list[Language] = []
        for folder in ("" if name == "." else name for name in folders if not name.startswith(".") or name == "."):
            found += [made for look in (_python, _node, _java, _go, _dotnet) if (made := look(tree, folder))]
        found = [one for one in found if count[one.language]]
        if found:
            # A package.json for the CDK describes infrastructure, not the component, if there is another manifest.
            return tuple(sorted(found, key=lambda one: (_is_cdk(tree, one), -count[one.language])))
    images = sorted((n.count("/"), n) for n in tree.files if PurePosixPath(n).name == "Dockerfile" and n.count("/") < 3)
    return tuple(Language("container", "Dockerfile", name.rpartition("/")[0]) for _, name in images)


def _is_cdk(tree: _Tree, one: Language) -> bool:
    package = tree.json(_join(one.folder, "package.json"))
    return one.language == "node" and bool({"aws-cdk-lib", "@aws-cdk/core", "aws-cdk"} & set(_dependencies(package)))


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _first(tree: _Tree, folder: str, *names: str) -> str:
    return next((name for name in names if _join(folder, name) in tree.files), "")


ARCHIVE = 'git archive HEAD . | tar -x -C "$PACKAGE_DIR"'


def _python(tree: _Tree, folder: str) -> Language | None:
    project = tree.toml(_join(folder, "pyproject.toml"))
    described = {"project", "build-system", "dependency-groups"} & set(project) or "poetry" in _mapping(project, "tool")
    manifests = ["pyproject.toml"] * bool(described) + ["setup.py", "setup.cfg", "requirements.txt"]
    manifest = _first(tree, folder, *manifests)
    names = list(tree.inside(folder))
    if not manifest or not any(name.endswith(".py") for name in names):
        return None
    setup: dict[str, Any] = {}
    because: dict[str, str] = {}
    packaged = bool({"project", "build-system"} & set(project)) or "setup.py" in names or "setup.cfg" in names
    if ".python-version" not in names:
        if _mapping(project, "project").get("requires-python"):
            setup["version-file"] = "pyproject.toml"
            because["setup.version-file"] = "requires-python in pyproject.toml"
        else:
            setup["version"], because["setup.version"] = "3.13", "nothing says it: a guess"
    run = "python -m"
    if "uv.lock" in names:
        setup["package-manager"], run = "uv", "uv run --no-sync python -m"
        groups = [f"--group {g}" for g in _mapping(project, "dependency-groups") if TESTS.search(g) and g != "dev"]
        extras = _extras(project)
        options = [*groups, *(f"--extra {extra}" for extra in extras)]
        if options:
            setup["install"] = " ".join(["uv sync --locked", *options])
            because["setup.install"] = "pyproject.toml"
        because["setup.package-manager"] = "uv.lock"
    elif _mapping(_mapping(project, "tool"), "poetry") or "poetry.lock" in names:
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
        configured = "testpaths" in tree.text(_join(folder, "pyproject.toml")) + "".join(
            tree.text(_join(folder, name)) for name in ("setup.cfg", "tox.ini", "pytest.ini")
        )
        where = "" if configured or not place else f" {place}"
        actions["unit-tests"] = {"command": f'{run} pytest{where} --junitxml "$JUNIT_FILE"'}
        because["actions.unit-tests"] = "testpaths" if configured else f"the folder {place}" if place else "a guess"
        if not place and not configured:
            unsure.append("no folder of tests was found")
    return Language("python", manifest, folder, setup, actions, because, tuple(unsure))


def _mapping(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _extras(project: Mapping[str, Any]) -> list[str]:
    extras = _mapping(_mapping(project, "project"), "optional-dependencies")
    return [extra for extra in extras if TESTS.search(extra) and re.fullmatch(r"[\w.-]+", extra)]


def _pip_install(
    tree: _Tree, folder: str, names: list[str], project: Mapping[str, Any], packaged: bool
) -> tuple[str, str]:
    """How pip installs the project with what its tests need, and what said so."""
    text = tree.text(_join(folder, "setup.py")) + tree.text(_join(folder, "setup.cfg"))
    extras = (
        _extras(project) or re.findall(r"""^\s*["']?((?:test|tests|testing|dev))["']?\s*[:=]""", text, re.MULTILINE)[:1]
    )
    groups = [g for g in _mapping(project, "dependency-groups") if TESTS.search(g) and re.fullmatch(r"[\w.-]+", g)]
    tests = [g for g in groups if not g.startswith("dev")]
    files = sorted(
        name
        for name in names
        if name.count("/") < 2
        and re.search(r"requirements?[^/]*(/|\.)", name)
        and name.endswith(".txt")
        and (TESTS.search(name) or re.search(r"^pytest\b", tree.text(_join(folder, name)), re.MULTILINE))
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
        found = [] if extras else _tox(tree.text(_join(folder, "tox.ini")))
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


def _dependencies(package: Mapping[str, Any]) -> dict[str, Any]:
    return {**_mapping(package, "dependencies"), **_mapping(package, "devDependencies")}


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


def _node(tree: _Tree, folder: str) -> Language | None:
    if _join(folder, "package.json") not in tree.files:
        return None
    package = tree.json(_join(folder, "package.json"))
    scripts = {key: value for key, value in _mapping(package, "scripts").items() if isinstance(value, str)}
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
        elif _mapping(package, "engines").get("node") or _mapping(package, "volta").get("node"):
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
    command, runner = _node_tests(scripts, _dependencies(package), manager)
    if command:
        actions["unit-tests"] = {"command": command}
        because["actions.unit-tests"] = f"{runner} in package.json"
        if runner == "jest" and "jest-junit" not in _dependencies(package):
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


def _has(tree: _Tree, folder: str, inner: str) -> bool:
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


def _java(tree: _Tree, folder: str) -> Language | None:
    manifest = _first(
        tree, folder, "pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"
    )
    if not manifest:
        return None
    setup: dict[str, Any] = {}
    because: dict[str, str] = {}
    actions: dict[str, dict[str, str]] = {}
    text = tree.text(_join(folder, manifest)) + "".join(
        tree.text(_join(folder, n)) for n in ("build.gradle", "build.gradle.kts")
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


def _go(tree: _Tree, folder: str) -> Language | None:
    if _join(folder, "go.mod") not in tree.files:
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


def _dotnet(tree: _Tree, folder: str) -> Language | None:
    names = [name for name in tree.inside(folder) if re.fullmatch(r"[^/]+\.(sln|slnx|csproj|fsproj)", name)]
    if not names:
        return None
    setup: dict[str, Any] = {} if _first(tree, folder, "global.json") else {"version": "8.0.x"}
    if not any(name.endswith("packages.lock.json") for name in tree.inside(folder)):
        setup |= {"install": "dotnet restore", "cache": False}
    because = {"setup.cache": "no packages.lock.json to key it by"} if "cache" in setup else {}
    projects = [name for name in tree.inside(folder) if name.endswith((".csproj", ".fsproj", ".props"))]
    logs = any("JunitXml.TestLogger" in tree.text(_join(folder, name)) for name in projects)
    unsure = () if logs else ("no project has the package JunitXml.TestLogger, which writes the report",)
    return Language("dotnet", sorted(names)[0], folder, setup, {}, because, unsure)


# ---- Infrastructure and workflows


def _infrastructure(tree: _Tree) -> tuple[Infrastructure, ...]:
    """All there is, the nearest to the root first."""
    found = []
    for name in sorted(tree.files):
        path = PurePosixPath(name)
        if path.name == "cdk.json":
            found.append(Infrastructure("cdk", name))
        elif path.suffix == ".tf":
            found.append(Infrastructure("terraform", name))
        elif (
            path.suffix in (".yml", ".yaml", ".json", ".template")
            and len(path.parts) < 5
            and not name.startswith(".github/")
        ):
            if path.name in ("package.json", "package-lock.json", "tsconfig.json") or TEST_FOLDERS & set(path.parts):
                continue
            text = tree.text(name)
            if "AWS::Serverless-2016-10-31" in text:
                found.append(Infrastructure("sam", name))
            elif re.search(r"^[\s\"']*AWSTemplateFormatVersion", text, re.MULTILINE) or (
                re.search(r"^[\"' ]*Resources[\"']?:", text, re.MULTILINE)
                and re.search(r"Type[\"']?: *[\"']?AWS::\w+::", text)
            ):
                found.append(Infrastructure("cloudformation", name))
    return tuple(sorted(found, key=lambda one: (one.path.count("/"), one.tool != "cdk")))


# What a workflow does, by the words of its commands.
DOES = {
    "tests": r"pytest|tox\b|nox\b|unittest|(npm|yarn|pnpm)( run)? (test|t\b)|vitest|jest|go test|dotnet test|"
    r"make \w*test|mvnw? .*(test|verify|package)|gradlew? .*(test|check|build)|scripts?/test",
    "scans": r"codeql|gitleaks|trivy|bandit|semgrep|snyk|zizmor|dependency-review",
    "deploys": r"cdk deploy|sam deploy|terraform apply|cloudformation deploy|aws-actions/|serverless deploy",
    "publishes": r"npm publish|pypi-publish|twine upload|docker push|build-push-action|goreleaser",
}


def _workflows(tree: _Tree) -> Iterator[str]:
    for name in sorted(tree.files):
        if not re.fullmatch(r"\.github/workflows/[^/]+\.ya?ml", name):
            continue
        text = tree.text(name)
        does = [what for what, pattern in DOES.items() if re.search(pattern, text, re.IGNORECASE)]
        on = [
            event
            for event in ("push", "pull_request", "schedule")
            if re.search(rf"^\W*(on:.*)?\b{event}\b", text, re.MULTILINE)
        ]
        if does and on:
            yield f"{name}: {', '.join(does)} on {', '.join(on)}"
