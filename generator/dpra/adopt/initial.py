"""`dpra init`: from what `detect` found to the text of a first dpra.yml, and to what it assumed and could not know."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from dpra import catalogue, planner, render, resources, scalar
from dpra.adopt.detect import Found, Infrastructure
from dpra.adopt.languages import Language
from dpra.dataclasses import dataclass
from dpra.spec import reader

STARTER = "infrastructure/template.yml"
ENVIRONMENTS = ("build", "beta", "gamma", "prod")
Choose = Callable[[str, Sequence[str]], int]
Ignored = Callable[[Collection[str]], Collection[str]]


@dataclass(frozen=True)
class Initial:
    """A first dpra.yml and what there is to say about it."""

    text: str
    assumed: tuple[tuple[str, str, str], ...]  # key, value, why
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    starter: bytes  # of infrastructure/template.yml; empty where there is a template already


def make(found: Found, region: str, choose: Choose, ignored: Ignored = lambda _: ()) -> Initial:
    """The first dpra.yml of a repository.

    Args:
        found: what `detect.detect` found.
        region: the AWS region to assume; empty for dpra's.
        choose: is given a question and at least two answers, and says the number of one.
        ignored: is given paths, and says those that git would not commit.
    """
    assumed: list[tuple[str, str, str]] = []
    unknown = ["the AWS accounts of build, beta, gamma and prod: write them in place of the words in environments"]
    notes: list[str] = []

    def assume(key: str, value: Any, why: str) -> str:
        text = value if isinstance(value, str) else scalar.yaml(value)
        assumed.append((key, text, why))
        return f" # {scalar.comment(why)}" if why else ""

    language = _language(found, choose, notes)
    template, starter = _template(found, language.folder if language else "", choose, notes)
    if language and language.language == "container" and starter:
        notes.append(
            f"{language.why} is taken for a service that is deployed; an image that others build on has a pipeline of "
            "its own: say pipeline: compute-image, docs/compute-image.md tells of it"
        )
    lines = [
        "# yaml-language-server: $schema=.github/dpra.schema.json",
        "# Made by dpra init. Every key: dpra schema. What it leads to: dpra plan.",
        _line("name", found.name) + assume("name", found.name, found.repository_why or "the folder's name"),
        _line("repository", found.repository)
        + assume("repository", found.repository, found.repository_why or "a guess: say your own"),
    ]
    if not found.repository_why:
        unknown.append("the GitHub repository: repository is a guess; AWS will trust it, so it must be right")
    if found.trunk != "main":
        lines.append(_line("trunk", found.trunk) + assume("trunk", found.trunk, "the repository's default branch"))
    lines += [
        f"regions: [{region or 'us-east-1'}]"
        + assume("regions", region or "us-east-1", "AWS_REGION" if region else "a guess"),
        "environments: # one AWS account each, as DPRA asks",
        *(f'  {name}: {{account: "the account id of {name}, 12 digits"}}' for name in ENVIRONMENTS),
    ]
    if found.owners:
        lines.append(f"owners: {_value(found.owners)}" + assume("owners", list(found.owners), "CODEOWNERS"))
    if language:
        lines += _language_lines(language, assume)
        place = language.folder or "the root"
        notes += [f"{place}: {text}; say actions.unit-tests.command" for text in language.unsure]
    if template != STARTER:
        lines.append(
            f"deploy: {{template: {_value(template)}}}"
            + assume("deploy.template", template, "a CloudFormation template")
        )
    targets = _targets()
    theirs = sorted(path for path, own in targets.items() if own)  # a file that is there already stays its owner's
    passed = ignored(theirs)
    left = {path: "yours" for path in theirs if path in found.files}
    left |= {path: "ignored by git" for path in theirs if path in passed}
    if left:
        lines.append("unmanaged: # dpra leaves them to you")
        lines += [f"  - {path} # {why}" for path, why in left.items()]
        notes += [f"{path} is {why}: what dpra would write there is left out" for path, why in left.items()]
    notes += [
        f"{path} exists; dpra generate will refuse to replace it: rename it first"
        for path, own in targets.items()
        if not own and path in found.files
    ]
    notes += [f"{text}; the generated workflows do so, too: decide which stays" for text in found.workflows]
    return Initial("\n".join(lines) + "\n", tuple(assumed), tuple(unknown), tuple(notes), starter)


def _targets() -> dict[str, bool]:
    """Where dpra would write, as `render.targets` says it: what init cannot know yet changes none of it."""
    lines = ["name: app", "repository: owner/app", "regions: [us-east-1]", "environments:"]
    lines += [f'  {name}: {{account: "{number:012}"}}' for number, name in enumerate(ENVIRONMENTS)]
    return render.targets(planner.make(reader.read("\n".join(lines).encode(), catalogue.words())))


def _line(key: str, value: str) -> str:
    return f"{key}: {_value(value)}"


def _value(value: Any) -> str:
    """A value of the spec, where `${{` is nothing to escape."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return scalar.yaml(scalar.Raw(value) if isinstance(value, str) else value)


def _language(found: Found, choose: Choose, notes: list[str]) -> Language | None:
    if not found.languages:
        notes.append("no language was recognised: say language, setup and actions yourself")
        return None
    number = 0
    if len(found.languages) > 1:
        answers = [f"{one.language} ({one.folder + '/' if one.folder else ''}{one.why})" for one in found.languages]
        number = choose("Which one is the component?", answers)
    chosen = found.languages[number]
    depth = f"{chosen.folder}/".count("/")
    others = sorted(n for n in found.files if n.rpartition("/")[2] == chosen.why and n.count("/") > depth)
    if chosen.folder and (others := [name for name in others if not name.startswith(f"{chosen.folder}/")]):
        count = f"{len(others)} more {chosen.why} lie deeper"
        notes.append(f"{count}, such as {others[0]}: say working-directory if one of those is meant")
    return chosen


def _template(found: Found, folder: str, choose: Choose, notes: list[str]) -> tuple[str, bytes]:
    """The CloudFormation template to deploy, and the starter's bytes where there is none."""
    own = [one for one in found.infrastructure if folder and one.path.startswith(f"{folder}/")]
    templates = _cloudformation(own) or _cloudformation(found.infrastructure)
    first: dict[str, Infrastructure] = {}  # of each tool
    for one in (*own, *found.infrastructure):
        first.setdefault(one.tool, one)
    others = [one for tool, one in first.items() if tool != "cloudformation"]
    for one in others:
        notes.append(
            f"{one.path}: {one.tool} is found; deploy.with can be {one.tool}, docs/deploy.md says what it needs"
        )
    if templates and not (others and others[0].path.count("/") < templates[0].count("/")):
        number = choose("Which CloudFormation template deploys the component?", templates) if len(templates) > 1 else 0
        return templates[number], b""
    if STARTER in found.files:
        return STARTER, b""
    notes.append(f"no CloudFormation template to deploy: {STARTER} is a starter")
    return STARTER, (resources.TEMPLATES / "infrastructure" / "starter.yml").read_bytes()


def _cloudformation(some: Iterable[Infrastructure]) -> list[str]:
    return [one.path for one in some if one.tool == "cloudformation"][:6]


def _language_lines(one: Language, assume: Callable[[str, Any, str], str]) -> list[str]:
    lines = [_line("language", one.language) + assume("language", one.language, one.why)]
    if one.folder:
        lines.append(_line("working-directory", one.folder) + assume("working-directory", one.folder, one.why))
    if one.setup:
        lines.append("setup:")
        for key, value in one.setup.items():
            why = one.because.get(f"setup.{key}", "")
            lines += _entry("  ", key, value, assume(f"setup.{key}", value, why))
    if one.actions:
        lines.append("actions:")
        for action, keys in one.actions.items():
            lines.append(
                f"  {action}:" + assume(f"actions.{action}", keys["command"], one.because.get(f"actions.{action}", ""))
            )
            for key, value in keys.items():
                lines += _entry("    ", key, value, "")
    return lines


def _entry(indent: str, key: str, value: Any, comment: str) -> list[str]:
    if isinstance(value, str) and "\n" in value and (block := scalar.block(indent, value)):
        head, *rest = block.split("\n")
        return [f"{indent}{key}: {head}{comment}", *rest]
    return [f"{indent}{key}: {_value(value)}{comment}"]
