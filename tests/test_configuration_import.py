"""dpra configuration import: what AppConfig has becomes the file whose documents say the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dpra.adopt import flags

SPEC = (Path(__file__).parent / "specs/configuration.yml").read_text()
LIMIT = {"constraints": {"type": "number", "minimum": 0, "maximum": 10, "required": True}, "description": "a minute"}
COLOURS = {"constraints": {"type": "array", "elements": {"type": "string", "enum": ["red", "blue"]}}}


def document(limit: int, enabled: bool) -> dict[str, Any]:
    """As GetHostedConfigurationVersion gives it, with AppConfig's own times."""
    staff = {"name": "staff", "rule": '(eq $group "staff")', "enabled": True, "attributeValues": {"limit": 9}}
    other = {"name": "default", "enabled": False, "attributeValues": {"limit": 1}}
    return {
        "version": "1",
        "flags": {
            "checkout": {
                "name": "checkout",
                "description": "x: #y",
                "attributes": {"limit": LIMIT, "colours": COLOURS},
            },
            "old": {"name": "The old one", "_deprecation": {"status": "planned", "date": "2027-01-31"}},
            "staffOnly": {"name": "staffOnly", "attributes": {"limit": LIMIT}},
        },
        "values": {
            "checkout": {"enabled": enabled, "limit": limit, "colours": ["red"], "_createdAt": "2026-01-01T00:00:00Z"},
            "old": {"enabled": True},
            "staffOnly": {"_variants": [staff, other]},
        },
    }


@pytest.fixture
def switches(tmp_path: Path) -> Path:
    (tmp_path / "dpra.yml").write_text(SPEC)
    (tmp_path / "infrastructure").mkdir()
    profile = {"Name": "flags", "Type": "AWS.AppConfig.FeatureFlags"}
    resources = {"Flags": {"Type": "AWS::AppConfig::ConfigurationProfile", "Properties": profile}}
    (tmp_path / "infrastructure/template.yml").write_text(json.dumps({"Resources": resources}))
    for number, name in enumerate(("beta", "gamma", "prod")):
        (tmp_path / f"{name}.json").write_text(json.dumps(document(number, name != "prod")))
    return tmp_path


WORDS = (
    "configuration",
    "import",
    "--flags",
    "beta=beta.json",
    "--flags",
    "gamma=gamma.json",
    "--flags",
    "prod=prod.json",
)


def test_what_is_imported_compiles_to_what_was_there(dpra: Any, switches: Path) -> None:
    from dpra import resources

    done = dpra(*WORDS, cwd=switches)
    assert done.returncode == 0, done.stderr
    assert "Note: no flag has an owner yet" in done.stderr
    checked = dpra("configuration", "check", "--format", "json", cwd=switches)
    assert {one["rule"] for one in json.loads(checked.stdout)} <= {"no-owner", "no-description"}, checked.stdout
    resources.lib("runner")
    import configuration_build as build
    import configuration_parsers as parsers

    settings = build.Settings(("beta", "gamma", "prod"))
    made = build.build(build.in_folder(switches, settings), settings, parsers.events).documents()
    for number, name in enumerate(("beta", "gamma", "prod")):
        wanted = document(number, name != "prod")
        del wanted["values"]["checkout"]["_createdAt"]
        assert json.loads(made[f"{name}/flags.json"]) == wanted


def test_a_file_that_is_there_is_not_replaced_unless_asked(dpra: Any, switches: Path) -> None:
    (switches / "flags.yml").write_text("mine: {}\n")
    done = dpra(*WORDS, cwd=switches)
    assert (done.returncode, "flags.yml: exists" in done.stderr) == (1, True)
    done = dpra(*WORDS, "--dry-run", cwd=switches)
    assert (done.returncode, "-mine: {}" in done.stdout) == (0, True)
    assert (switches / "flags.yml").read_text() == "mine: {}\n"
    assert dpra(*WORDS, "--force", cwd=switches).returncode == 0
    assert "checkout:" in (switches / "flags.yml").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--flags", "delta=beta.json"), "there is no environment 'delta'; there are beta, gamma, prod"),
        (("--flags", "beta=none.json"), "--flags beta=none.json: No such file"),
        (("--flags", "beta=dpra.yml"), "the document of beta is no JSON"),
    ],
)
def test_what_cannot_be_imported_is_told(dpra: Any, switches: Path, words: tuple[str, ...], says: str) -> None:
    done = dpra("configuration", "import", *words, cwd=switches)
    assert done.returncode == 2
    assert says in done.stderr
    assert not (switches / "flags.yml").exists()


def test_what_differs_between_environments_is_told() -> None:
    one, other = document(1, True), document(1, True)
    other["flags"]["checkout"]["description"] = "another"
    del other["flags"]["old"]
    _, notes = flags.from_documents({"beta": json.dumps(one).encode(), "prod": json.dumps(other).encode()})
    assert "checkout: its definition in prod is another than in beta" in notes
    assert "old: no value for prod" in notes


@pytest.mark.parametrize("content", [b"[]", b'{"flags": []}', b'{"flags": {"a": 1}}', b'{"limit": 3}'])
def test_a_document_of_something_else_is_refused(content: bytes) -> None:
    with pytest.raises(flags.FlagsError, match="the document of beta has no `flags`"):
        flags.from_documents({"beta": content})


def test_the_command_of_the_page_works_in_a_new_repository(dpra: Any, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs/from-the-console.md").read_text("utf-8")
    [command] = re.findall(r"^ *dpra (configuration import .*)$", page, re.MULTILINE)
    made = dpra("new", "--no-input", "name=switches", "pipeline=dynamic-configuration", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    root = tmp_path / "switches"
    for number, name in enumerate(("beta", "gamma", "prod")):
        (root / f"{name}.json").write_text(json.dumps(document(number, name != "prod")))
    done = dpra(*command.split(), cwd=root)
    assert done.returncode == 0, done.stderr
    assert dpra("configuration", "check", cwd=root).returncode == 0
