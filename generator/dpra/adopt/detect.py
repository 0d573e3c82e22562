"""What a repository is made of, by the files that say so: `detect` reads manifests only, and runs nothing but git."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dpra.adopt import languages
from dpra.adopt.files import Tree, git, join
from dpra.adopt.languages import Language
from dpra.dataclasses import dataclass

SOURCES = {
    "python": (".py",),
    "node": (".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx"),
    "java": (".java", ".kt"),
    "go": (".go",),
    "dotnet": (".cs", ".fs"),
}
TEST_FOLDERS = frozenset("test tests testing testdata fixtures __tests__".split())


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


def detect(root: Path) -> Found:
    """What the repository in `root` is made of. Nothing in it is executed or written."""
    tree = Tree(root)
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


def _repository(tree: Tree) -> tuple[str, str]:
    """owner/name, and where it stands; a guess has no place."""
    package = tree.json("package.json").get("repository")
    urls = {
        "git remote origin": git(tree.root, "config", "--get", "remote.origin.url"),
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
    head = git(root, "symbolic-ref", "--short", "refs/remotes/origin/HEAD").removeprefix("origin/")
    return head or git(root, "symbolic-ref", "--short", "HEAD") or "main"


def _owners(tree: Tree) -> tuple[str, ...]:
    for path in (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"):
        for line in tree.text(path).splitlines():
            words = line.partition("#")[0].split()
            if words[:1] == ["*"]:
                return tuple(dict.fromkeys(word for word in words[1:] if re.fullmatch(r"@[\w.-]+(?:/[\w.-]+)?", word)))
    return ()


# ---- Languages


def _languages(tree: Tree) -> tuple[Language, ...]:
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
            found += [made for look in languages.LOOK if (made := look(tree, folder))]
        found = [one for one in found if count[one.language]]
        if found:
            # A package.json for the CDK describes infrastructure, not the component, if there is another manifest.
            return tuple(sorted(found, key=lambda one: (_is_cdk(tree, one), -count[one.language])))
    images = sorted((n.count("/"), n) for n in tree.files if PurePosixPath(n).name == "Dockerfile" and n.count("/") < 3)
    return tuple(Language("container", "Dockerfile", name.rpartition("/")[0]) for _, name in images)


def _is_cdk(tree: Tree, one: Language) -> bool:
    package = tree.json(join(one.folder, "package.json"))
    return one.language == "node" and bool(
        {"aws-cdk-lib", "@aws-cdk/core", "aws-cdk"} & set(languages.dependencies(package))
    )


# ---- Infrastructure and workflows


def _infrastructure(tree: Tree) -> tuple[Infrastructure, ...]:
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


def _workflows(tree: Tree) -> Iterator[str]:
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
