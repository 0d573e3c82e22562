"""Did trivy see the dependencies? Its answer (JSON) against the manifests that are there: each, and each line of it.

`manifests.py` alone prints the requirements files that are left out, NUL-separated, since they are for development.
`manifests.py FOUND SARIF` adds to the report what was not checked: a line without an exact version, an include that is
not checked itself, a local path or a URL; a manifest without its lock, or with two; what a manifest asks for and no
lock that was read has. The rule is `not-checked`; a waiver can name it, with the path. What lies in node_modules/ or in
.venv/ is what a lock names, no manifest.
"""

import fnmatch
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent))
import files
import sarif

try:
    import tomllib
except ImportError:  # Python 3.10
    tomllib = None  # type: ignore[assignment]

# Names of files that pip reads, as trivy is told, too.
REQUIREMENTS = (
    r"(^|/)(requirements|constraints)([-_.][^/]*)?\.txt$|[-_.]requirements\.txt$|(^|/)requirements/[^/]+\.txt$"
)
# Those of them that are for development, by their names.
FOR = r"(dev|develop|development|test|tests|testing|lint|typing|doc|docs|ci)"
DEVELOPMENT = (
    rf"(^|/)(requirements|constraints)[-_.]{FOR}\.txt$|(^|/){FOR}[-_.]requirements\.txt$|(^|/)requirements/{FOR}\.txt$"
)
PINNED = re.compile(
    r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*={2,3}\s*([\w.!+-]+)\s*(?:;.*?)?((?:\s+--hash[= ]\S+)*)$"
)
HARMLESS = re.compile(
    r"(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host|--no-binary|--only-binary|--use-feature)\b"
    r"|(--no-index|--pre|--require-hashes|--prefer-binary)$"
)
INCLUDE = re.compile(r"(?:-[rc]\s*|--(?:requirement|constraint)(?:\s+|=))(.+)")
NODE_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")
PYTHON_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.txt")
# A manifest's name -> what tells that it has dependencies, its locks, and whether a lock above it may be its own.
OTHERS = {
    "Pipfile": (r"(?ms)^\[(dev-)?packages\]\s*$\s*^[^\[\s#]", ("Pipfile.lock",), False),
    "setup.py": (r"install_requires", PYTHON_LOCKS, False),
    "setup.cfg": (r"(?m)^\s*install_requires", PYTHON_LOCKS, False),
    "build.gradle": (r"(?m)^\s*dependencies\s*\{", ("gradle.lockfile",), False),
    "build.gradle.kts": (r"(?m)^\s*dependencies\s*\{", ("gradle.lockfile",), False),
    "*.csproj": (r"<PackageReference", ("packages.lock.json",), False),
    "*.fsproj": (r"<PackageReference", ("packages.lock.json",), False),
    "*.vbproj": (r"<PackageReference", ("packages.lock.json",), False),
    "Gemfile": (r"(?m)^\s*gem\b", ("Gemfile.lock",), False),
    "composer.json": (r'"[\w.-]+/[\w.-]+"\s*:', ("composer.lock",), False),
    "Cargo.toml": (r"(?m)^\[(.*\.)?(dev-|build-)?dependencies\b", ("Cargo.lock",), True),
}
LOCKS = {*NODE_LOCKS, *PYTHON_LOCKS, *(lock for _, locks, _ in OTHERS.values() for lock in locks)}
LOCKS |= {"go.mod", "pom.xml", "packages.config"}
Found = Iterator[tuple[str, int, str]]  # file, line, what is wrong


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def text(path: Path) -> str:
    """As pip reads it: by the byte order mark, else UTF-8."""
    content = path.read_bytes()
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def lines(content: str) -> Iterator[tuple[int, str]]:
    """The logical lines of a requirements file."""
    held, begun = "", 0
    for number, line in enumerate(content.splitlines(), 1):
        begun = begun or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            held += line[:-1]
            continue
        whole = re.sub(r"(^|\s)#.*", "", held + line).strip()
        if whole:
            yield begun, whole
        held, begun = "", 0
    if held.strip():
        yield begun, held.strip()


def requirements(target: Path, name: str, checked: set[str]) -> Iterator[tuple[int, str, str, str]]:
    """Line, package and exact version of each line; or line and what is wrong."""
    try:
        content = text(target / name)
    except (UnicodeDecodeError, OSError):
        yield 1, "", "", "it cannot be read"
        return
    for number, line in lines(content):
        if pinned := PINNED.fullmatch(line):
            yield number, pinned[1], pinned[2], ""
        elif include := INCLUDE.fullmatch(line):
            other = os.path.normpath(PurePosixPath(name).parent / include[1].strip("'\" "))
            if other not in checked:
                yield number, "", "", f"{include[1]} is included and not checked: name it *-requirements.txt, beside it"
        elif not HARMLESS.match(line):
            yield number, "", "", f"no exact version of the index (name==1.2.3), so it was not checked: {line[:80]}"


class Repository:
    """The manifests that are there, and what trivy read."""

    def __init__(self, target: Path, results: list[dict[str, Any]]) -> None:
        self.target = target
        apart = {"node_modules", ".venv"}
        self.names = [name for name in files.listed(target) if not apart & set(name.split("/"))]
        self.there = set(self.names)
        self.results = {str(one["Target"]): one.get("Packages") or [] for one in results}
        self.development = os.environ.get("DEVELOPMENT") == "true"

    def manifests(self) -> list[str]:
        return [one for one in self.names if PurePosixPath(one).name in LOCKS or re.search(REQUIREMENTS, one)]

    def beside(self, name: str, locks: tuple[str, ...], above: bool = False) -> list[str]:
        """The locks in the manifest's folder, or in the nearest one above it."""
        parents = PurePosixPath(name).parents
        for folder in parents if above else parents[:1]:
            if found := [path for lock in locks if (path := str(folder / lock)) in self.there]:
                return found
        return []

    def read(self, locks: list[str]) -> set[str]:
        """The packages that trivy read in the locks."""
        return {str(package["Name"]) for lock in locks for package in self.results.get(lock, [])}

    def content(self, name: str) -> str:
        return (self.target / name).read_text(encoding="utf-8", errors="replace")

    def unchecked(self) -> Found:
        for name in self.names:
            base = PurePosixPath(name).name
            if re.search(REQUIREMENTS, name):
                if self.development or not re.search(DEVELOPMENT, name):
                    yield from self._requirements(name)
            elif base == "package.json":
                yield from self._node(name)
            elif base == "pyproject.toml":
                yield from self._python(name)
            elif base == "go.mod":
                yield from self._go(name)
            elif base == "npm-shrinkwrap.json" and name not in self.results:
                yield name, 1, "trivy does not read it, and npm prefers it: use package-lock.json"
            for pattern, (tells, locks, above) in OTHERS.items():
                alone = fnmatch.fnmatch(base, pattern) and not self.beside(name, locks, above)
                if alone and re.search(tells, self.content(name)):
                    yield name, 1, f"it has no lock ({' or '.join(locks)}), so its dependencies were not checked"
        for name, packages in self.results.items():
            for one in packages:
                if not one.get("Version") and one.get("Relationship") != "root":
                    yield name, 1, f"{one.get('Name')}: no exact version is known, so it was not checked"

    def _requirements(self, name: str) -> Found:
        checked = {one for one in self.names if re.search(REQUIREMENTS, one)}
        seen = {(canonical(one["Name"]), one.get("Version")) for one in self.results.get(name, [])}
        for number, package, version, wrong in requirements(self.target, name, checked):
            if wrong:
                yield name, number, wrong
            elif (canonical(package), version) not in seen:
                yield name, number, f"{package}=={version}: trivy did not read it"

    def _node(self, name: str) -> Found:
        try:
            manifest = json.loads(self.content(name))
            kinds = ["dependencies", "optionalDependencies", *(["devDependencies"] if self.development else [])]
            wanted = {key: str(value) for kind in kinds for key, value in (manifest.get(kind) or {}).items()}
        except (ValueError, AttributeError):
            yield name, 1, "it cannot be read, so its dependencies were not checked"
            return
        locks = self.beside(name, NODE_LOCKS)
        if len(locks) > 1:
            yield name, 1, f"it has several locks ({', '.join(locks)}): keep the one that is installed from"
        locks = locks or self._workspace(name)
        if not wanted:
            return
        if not locks:
            yield name, 1, "it has no lock, so its dependencies were not checked: commit the package manager's"
            return
        read = self.read(locks)
        for package, said in wanted.items():
            if re.match(r"(git|https?:|github:|gitlab:|bitbucket:|[\w.-]+/[\w.-]+(#|$))", said):
                yield name, 1, f"{package}: {said[:80]} is no version of the registry, so it was not checked"
            elif re.match(r"(file|link|portal):|\.{0,2}/", said):
                place = os.path.normpath(PurePosixPath(name).parent / re.sub(r"^\w+:", "", said) / "package.json")
                if place not in self.there:
                    yield name, 1, f"{package}: {said[:80]} lies outside or is packed, so it was not checked"
            elif not said.startswith("workspace:"):
                real = match[1] if (match := re.match(r"npm:(@?[^@]+)", said)) else package
                if not {real, package} & read and not self._local(package):
                    yield name, 1, f"{package}: no lock that was read has it ({', '.join(locks)})"

    def _workspace(self, name: str) -> list[str]:
        """The locks of the workspace's root, where one takes the folder in."""
        inner = PurePosixPath(name).parent
        for folder in inner.parents:
            patterns = re.findall(r"""(?m)^\s*-\s*['"]?([^'"\n]+)""", self._text(folder / "pnpm-workspace.yaml"))
            try:
                said = json.loads(self._text(folder / "package.json") or "{}").get("workspaces") or []
                patterns += said.get("packages") or [] if isinstance(said, dict) else said
            except (ValueError, AttributeError):
                continue
            inside = str(inner.relative_to(folder))
            if any(fnmatch.fnmatch(inside, str(one).removeprefix("./").rstrip("/")) for one in patterns):
                return [path for lock in NODE_LOCKS if (path := str(folder / lock)) in self.there]
        return []

    def _local(self, package: str) -> bool:
        """Whether it is a package of this repository, of a workspace."""
        for name in self.names:
            told = rf'"name"\s*:\s*"{re.escape(package)}"'
            if name.endswith("/package.json") and re.search(told, self.content(name)):
                return True
        return False

    def _text(self, path: PurePosixPath) -> str:
        return self.content(str(path)) if str(path) in self.there else ""

    def _python(self, name: str) -> Found:
        content = self.content(name)
        try:
            said = tomllib.loads(content)
            project = said.get("project") or {}
            wanted = list(project.get("dependencies") or [])
            more = project.get("optional-dependencies") or said.get("dependency-groups")
            poetry = set((said.get("tool") or {}).get("poetry", {}).get("dependencies") or {}) - {"python"}
            wanted += sorted(poetry)
            some = bool(wanted or (more and self.development))
        except AttributeError:  # no tomllib
            wanted, some = [], bool(re.search(r"(?m)^\s*dependencies\s*=\s*\[\s*[\"']|\.dependencies\]", content))
        except ValueError:
            yield name, 1, "it cannot be read, so its dependencies were not checked"
            return
        locks = self.beside(name, PYTHON_LOCKS) or self.beside(name, ("uv.lock",), above=True)
        folder = PurePosixPath(name).parent
        near = {str(folder), str(folder / "requirements")}
        those = [one for one in self.names if re.search(REQUIREMENTS, one) and str(PurePosixPath(one).parent) in near]
        locks += [one for one in those if one not in locks]
        if some and not locks:
            yield name, 1, f"it has no lock ({' or '.join(PYTHON_LOCKS)}), so its dependencies were not checked"
        read = {canonical(one) for one in self.read(locks)}
        for one in wanted if locks else []:
            package = (re.match(r"[\w.-]+", str(one).strip()) or [""])[0]
            if "@" in str(one).partition(";")[0]:
                yield name, 1, f"{package} comes from a URL or a path, so it was not checked"
            elif canonical(package) not in read:
                yield name, 1, f"{package}: no lock that was read has it"

    def _go(self, name: str) -> Found:
        content = re.sub(r"//.*", "", self.content(name))
        for number, line in enumerate(content.splitlines(), 1):
            if match := re.search(r"(\S+)(?:\s+v\S+)?\s+=>\s+(\.{0,2}/\S*|\.\.?$)", line):
                place = os.path.normpath(PurePosixPath(name).parent / match[2] / "go.mod")
                if place not in self.there:
                    yield name, number, f"{match[1]} is replaced by {match[2]}, which is not in the repository"
        read = self.read([name])
        replaced = set(re.findall(r"(?m)^\s*(?:replace\s+)?(\S+)(?:\s+v\S+)?\s+=>", content))
        block = re.findall(r"(?ms)^require\s*\(\s*$(.*?)^\s*\)", content)
        single = re.findall(r"(?m)^require\s+([^\s(]+\s+v\S+)", content)
        for line in [*single, *(line for part in block for line in part.splitlines())]:
            if (words := line.split()) and words[0] not in read | replaced:
                yield name, 1, f"{words[0]}: trivy did not read it"


def main() -> None:
    if len(sys.argv) == 1:
        names = files.listed(Path(os.environ["TARGET"])) if os.environ.get("DEVELOPMENT") != "true" else []
        sys.stdout.buffer.write(b"".join(os.fsencode(name) + b"\0" for name in names if re.search(DEVELOPMENT, name)))
        return
    results = json.loads(Path(sys.argv[1]).read_bytes()).get("Results") or []
    report = Path(sys.argv[2])
    repository = Repository(Path(os.environ["TARGET"]), results)
    manifests = repository.manifests()
    unchecked = list(dict.fromkeys(repository.unchecked()))
    # The content of an image is checked where it was built.
    image = not {"container", "machine"}.isdisjoint(os.environ["DPRA_LANGUAGE"].split())
    if not results and not manifests and not unchecked and not image:
        sys.exit("There is no manifest or lock file that names exact versions: commit one.")
    document = json.loads(report.read_bytes())
    for file, line, wrong in unchecked:
        found = {"rule": "not-checked", "severity": "high", "text": wrong, "file": file, "line": line}
        document["runs"][0]["results"].append(sarif.result(found))
    report.write_text(json.dumps(document), encoding="utf-8")
    development = "counted" if repository.development else "left out"
    print(f"{len(manifests)} manifests, {len(repository.results)} read; dependencies for development: {development}")
    for file, line, wrong in unchecked:
        print(f"{file}:{line}: {wrong}")


if __name__ == "__main__":
    main()
