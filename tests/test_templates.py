"""The rules of the templates, held over every one of them."""

import json
import re
from pathlib import Path

import pytest
from dpra import catalogue, names, problems, render, resources, scalar
from dpra.spec import models, reader
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
TEMPLATES = sorted(path for path in resources.TEMPLATES.rglob("*.y*ml") if path.is_file())
HOLE = re.compile(r"^\s*(- )?([\w.:/-]+: )?(<%= \w+ %>: )?<%= [^%]* %>:?( # .*)?$")


def ids(path: Path) -> str:
    return path.relative_to(resources.TEMPLATES).as_posix()


@pytest.mark.parametrize("path", TEMPLATES, ids=ids)
def test_a_template_is_valid_yaml(path: Path) -> None:
    yaml = YAML(pure=True)
    yaml.allow_duplicate_keys = True  # both sides of a condition
    yaml.load(path)


@pytest.mark.parametrize("path", TEMPLATES, ids=ids)
def test_a_hole_is_a_whole_scalar(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "<%" in line and not line.lstrip().startswith("#%"):
            assert HOLE.match(line), line


@pytest.mark.parametrize("path", TEMPLATES, ids=ids)
def test_no_expression_stands_in_a_run(path: Path) -> None:
    for run in re.findall(r"^( *)(?:- )?run: (.*(?:\n\1 +.*)*)", path.read_text(), re.MULTILINE):
        assert "${{" not in run[1]
        assert "<%" not in re.sub(r'^<%= run\("[\w./-]+"\) %>', "", run[1])  # a script of the pack


@pytest.mark.parametrize("path", sorted(resources.TEMPLATES.glob("*/jobs/*.yml")), ids=ids)
def test_an_id_comes_first_in_its_step(path: Path) -> None:
    """The catalogue finds a job's actions by that."""
    assert not re.search(r"^ +id: ", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("pipeline", catalogue.words())
def test_every_action_of_a_stage_has_a_step_or_says_why_not(pipeline: str) -> None:
    made = catalogue.load(pipeline)
    for action in made.actions:
        steps = {step for job in made.jobs_of(action.stage) for step in job.steps}
        ways = [action.id in steps, action.by in steps, bool(action.outside), bool(action.left_out)]
        assert ways.count(True) == 1, action


def test_every_pin_is_used_and_is_a_commit() -> None:
    text = "".join(path.read_text() for path in TEMPLATES if path.name != "pins.yml")
    text += "".join(path.read_text() for path in resources.PACK.rglob("action.yml"))
    text += "".join(path.read_text() for path in (ROOT / "tests/sketches").rglob("*.yml"))
    for name, pin in resources.data("pins.yml").items():
        assert name in text, f"{name} is pinned and not used"
        assert re.fullmatch(r"[0-9a-f]{40}", pin["sha"])


def test_the_pack_and_our_own_workflows_use_the_pins_of_the_templates() -> None:
    pins = resources.data("pins.yml")
    files = [*resources.PACK.rglob("action.yml"), *(ROOT / ".github/workflows").glob("*.yml"), ROOT / "action.yml"]
    uses = [use for path in files for use in re.findall(r"uses: ([\w-]+/\S+)@(\S+)(?: # (\S+))?", path.read_text())]
    assert uses
    for name, sha, tag in uses:
        assert (sha, tag) == (pins[name]["sha"], pins[name]["tag"]), name


TRAPS = [
    "on", "yes", "no", "y", "N", "null", "~", "22:30", "0123", "1e3", "0x1f", "2026-11-22", ".5", "-", "- a",
    "a: b", "a #b", "#", "'", '"', "*a", "&a", "!a", "%a", "@a", "`a`", "{a", "[a", "a,b", "|", ">", "? a", " a",
    "a ", "a:", "", "<<", "=", "a\nb", "a\n\n b\n", "\n", "\ta", "a\x85b", "a\u2028b", "a\u2029b", "\ufeffa",
    "\U0001f600", "\u202ea", "${{ secrets.A }}", "a ${{", "}}", "$( id )", "\\", "a\\nb", "é",
]  # fmt: skip


@pytest.mark.parametrize("text", TRAPS)
def test_a_trap_stays_the_string_it_is(text: str) -> None:
    holds_as_scalar(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_stays_the_string_it_is(text: str) -> None:
    holds_as_scalar(text)


def holds_as_scalar(text: str) -> None:
    for version in ((1, 1), (1, 2)):
        yaml = YAML(typ="safe", pure=True)
        yaml.version = version
        written = scalar.yaml(text)
        assert "\n" not in written
        assert yaml.load(f"a: [{written}, {scalar.yaml([text])}]\nb: {written}\n") == {
            "a": [scalar.github(text), [scalar.github(text)]],
            "b": scalar.github(text),
        }


@given(st.text(st.sampled_from("ab \n\t#:-'\"\\|>$\u2028\x85é"), max_size=40))
def test_text_of_several_lines_stays_the_string_it_is(text: str) -> None:
    block = scalar.block("  ", text)
    if block is not None:
        assert YAML(typ="safe", pure=True).load(f"a:\n  b: {block}\n  c: d\n") == {"a": {"b": text, "c": "d"}}


@given(st.text())
def test_text_in_markdown_is_one_line_without_markup(text: str) -> None:
    written = scalar.markdown(text)
    assert "\n" not in written
    assert not re.search(r"(?<!\\)[<|`\[]", written.replace("\\\\", ""))
    json.dumps(written)


SPECS = sorted(path.stem for path in (ROOT / "tests/specs").glob("*.yml"))
ELSEWHERE = [name for name in models.PARTITIONS if name != names.MAIN]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("partition", ELSEWHERE)
def test_every_arn_is_of_the_partition_of_the_regions(name: str, partition: str) -> None:
    text = (ROOT / f"tests/specs/{name}.yml").read_text("utf-8").replace("arn:aws:", f"arn:{partition}:")
    regions = models.PARTITIONS[partition]
    named = sorted(region for region in models.REGIONS if region in text)
    if len(named) > len(regions):
        pytest.skip(f"{partition} has {len(regions)} regions, the spec {len(named)}")
    if partition == "aws-cn" and name == "packer":
        pytest.skip("Packer makes no images there, and the spec is refused")
    for old, new in zip(named, regions, strict=False):
        text = text.replace(old, new)
    plan = problems.planned(reader.read(text.encode(), catalogue.words()))
    made = {path: file.content.decode() for path, file in render.files(plan).items()}
    found = {arn for text in made.values() for arn in re.findall(r"arn:(aws[a-z-]*):", text)}
    assert found == {partition}
    assert not any(
        re.search(r"\b(us-east-1|eu-west-1)\b", text)
        for path, text in made.items()
        if path.endswith(".yml") and path.startswith(".github/workflows")
    )
