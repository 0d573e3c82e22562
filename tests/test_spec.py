"""The reader: every structural problem at once, each with line and column, and nothing written."""

import json
from pathlib import Path

import botocore.session
import pytest
from dpra import catalogue
from dpra.spec import models, reader

GOOD = (Path(__file__).parent / "specs" / "minimal.yml").read_text()


def problems(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(reader.Problems) as caught:
        reader.read(data, catalogue.words())
    return str(caught.value).splitlines()


def test_the_minimal_spec_reads_with_its_defaults() -> None:
    spec = reader.read(GOOD.encode(), catalogue.words())
    assert (spec.name, spec.trunk, spec.pipeline, spec.language) == ("shop", "main", "application", "python")
    assert spec.environments["prod"].account == "033333333333"


CASES = {
    "unknown key": (
        GOOD + "colour: red\n",
        ["dpra.yml:9:1: colour: unknown key"],
    ),
    "unknown key in depth, with a suggestion": (
        GOOD.replace("beta: {account", "beta: {acount"),
        ["dpra.yml:6:10: environments.beta.acount: unknown key; did you mean 'account'?"],
    ),
    "unknown key that begins a known one": (
        GOOD.replace("repository:", "repo:"),
        ["dpra.yml:2:1: repo: unknown key; did you mean 'repository'?"],
    ),
    "wrong type": (
        GOOD.replace("[eu-west-1]", "eu-west-1").replace("shop\nrep", "[shop]\nrep"),
        [
            "dpra.yml:1:7: name: must be 2 to 24 lower-case letters, digits and single hyphens, a letter first, "
            "not a list",
            "dpra.yml:3:10: regions: must be a list, not a single value: [eu-west-1]",
        ],
    ),
    "duplicate key": (
        GOOD + "name: other\n",
        ["dpra.yml:9:1: name: duplicate key; first on line 1"],
    ),
    "account without its leading zero": (
        GOOD.replace('"033333333333"', "33333333333"),
        [
            "dpra.yml:8:19: environments.prod.account: an account id has 12 digits, this has 11: it lost its leading "
            'zero, as numbers do; write "033333333333" in quotes'
        ],
    ),
    "account with a leading zero that other tools would drop": (
        GOOD.replace('"033333333333"', "033333333333"),
        [
            "dpra.yml:8:19: environments.prod.account: put it in quotes, or other tools drop its leading zero: "
            '"033333333333"'
        ],
    ),
    "account that is not 12 digits": (
        GOOD.replace('"111111111111"', '"1111-1111-1111"'),
        [
            "dpra.yml:6:19: environments.beta.account: must be an AWS account id: 12 digits, in quotes, "
            "not '1111-1111-1111'"
        ],
    ),
    "unknown region": (
        GOOD.replace("eu-west-1", "eu-west-9"),
        ["dpra.yml:3:11: regions[0]: unknown value 'eu-west-9'; did you mean 'eu-west-3'?"],
    ),
    "missing environment": (
        GOOD.replace('  gamma: {account: "222222222222"}\n', ""),
        ["dpra.yml:5:3: environments: 'gamma' is missing"],
    ),
    "environment that DPRA does not know": (
        GOOD + '  staging: {account: "444444444444"}\n',
        ["dpra.yml:9:3: environments.staging: unknown environment"],
    ),
    "path that GitHub does not take as a filter": (
        GOOD + "paths: [src/**, ., a/../b, ' c']\n",
        [
            f"dpra.yml:9:{column}: paths[{number}]: must be a path with * and **, without . and .. as a part, "
            f"not '{path}'"
            for number, column, path in ((1, 17, "."), (2, 20, "a/../b"), (3, 28, " c"))
        ],
    ),
    "empty file": ("", ["dpra.yml:1:1: empty; the README shows a minimal spec"]),
    "only a comment": ("# nothing\n", ["dpra.yml:1:1: empty; the README shows a minimal spec"]),
    "not YAML": ("name: [\n", ["dpra.yml:2:1: not YAML: expected the node content, but found '<stream end>'"]),
    "not UTF-8": (b"name: shop\ntrunk: caf\xe9\n", ["dpra.yml:2:11: not UTF-8"]),
    "tabs": ("name:\n\tshop\n", ["dpra.yml:2:1: not YAML: found character '\\t' that cannot start any token"]),
    "two documents": (
        GOOD + "---\n" + GOOD,
        ["dpra.yml:9:1: not YAML: but found another document"],
    ),
    "python tag": (
        GOOD.replace("shop\nrep", '!!python/object/apply:os.system ["true"]\nrep'),
        [
            "dpra.yml:1:7: name: the tag 'python/object/apply:os.system' is not allowed",
        ],
    ),
    "python tag on a scalar": (
        GOOD.replace("shop\nrep", "!!python/name:os.system shop\nrep"),
        ["dpra.yml:1:7: name: the tag 'python/name:os.system' is not allowed"],
    ),
    "a tag on a mapping": (
        GOOD.replace("beta: {", "beta: !!python/object:builtins.dict {"),
        ["dpra.yml:6:9: environments.beta: the tag 'python/object:builtins.dict' is not allowed"],
    ),
    "alias": (
        GOOD.replace('"111111111111"', '&a "111111111111"').replace('"222222222222"', "*a"),
        [
            "dpra.yml:6:19: environments.beta.account: anchors and aliases are not supported; write it out",
            "dpra.yml:6:19: environments.gamma.account: anchors and aliases are not supported; write it out",
        ],
    ),
    "merge key": (GOOD + "<<: {}\n", ["dpra.yml:9:1: <<: unknown key"]),
    "control character": (
        GOOD + 'deploy: {template: "a\\0b"}\n',
        ["dpra.yml:9:20: deploy.template: has a control character"],
    ),
    "half a surrogate pair": (
        GOOD + 'deploy: {template: "a\\ud800b"}\n',
        ["dpra.yml:9:20: deploy.template: has a control character"],
    ),
    "a path out of the repository": (
        GOOD + "deploy: {template: ../../etc/passwd}\n",
        ["dpra.yml:9:20: deploy.template: must be a path inside the repository, not '../../etc/passwd'"],
    ),
    "a branch that is a pattern": (
        GOOD + "trunk: 'release/**'\n",
        ["dpra.yml:9:8: trunk: must be a branch name of letters, digits and ._-/, not 'release/**'"],
    ),
    "an id without its companion": (
        GOOD + "repository-id: 4\n",
        ["dpra.yml:1:1: repository-id: goes together with owner-id: give both or none"],
    ),
    "an action of DPRA that another one does": (
        GOOD + "actions: {launch-environment: {command: make}}\n",
        ["dpra.yml:9:11: actions.launch-environment.command: this action is not supported yet"],
    ),
    "a command for a check": (
        GOOD + "actions: {sast: {command: 'true'}}\n",
        ["dpra.yml:9:11: actions.sast.command: this action takes tool, file, fail-on, advisory, reason, before, after"],
    ),
    "a nested bomb of brackets": ("[" * 10_000, ["dpra.yml:1:1: nested too deeply"]),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_a_wrong_spec_is_refused_with_its_position(text: str | bytes, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize("key", models.Spec.later)
def test_a_key_of_a_later_version_is_refused_and_not_ignored(key: str) -> None:
    assert problems(f"{GOOD}{key}: x\n") == [f"dpra.yml:9:1: {key}: not supported yet"]


@pytest.mark.parametrize(
    "line",
    [
        "deploy: {parameters: x}",
        "environments: {beta: {reviewers: x}}",
    ],
)
def test_a_value_of_a_later_version_is_refused_and_not_ignored(line: str) -> None:
    assert any("not supported yet" in problem for problem in problems(f"{line}\n"))


def test_an_alias_bomb_is_disarmed() -> None:
    bomb = "a: &a [x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
    )
    assert any("unknown key" in problem for problem in problems(GOOD + bomb))
    assert any("aliases" in problem for problem in problems(GOOD + "owners: &a [*a, *a]\n"))


def test_all_problems_come_at_once_sorted_by_line() -> None:
    found = problems(
        GOOD.replace("eu-west-1", "eu-west-9").replace("beta: {account", "beta: {acount") + "trunk: a..b\n"
    )
    assert [int(line.split(":")[1]) for line in found] == [3, 6, 9]


def test_the_list_of_regions_is_botocores() -> None:
    """Those of the partitions that reach GitHub."""
    session = botocore.session.Session()
    there = {
        name: set(session.get_available_regions("cloudformation", partition_name=name))
        for name in session.get_available_partitions()
        if "-iso" not in name
    }
    assert {name: set(regions) for name, regions in models.PARTITIONS.items()} == there


def test_a_spec_of_five_megabytes_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "dpra.yml").write_bytes(b"#" * 5_000_000)
    with pytest.raises(reader.Problems, match=r"5,000,000 bytes; a spec has at most"):
        reader.read_bytes(tmp_path / "dpra.yml", tmp_path)


def test_a_spec_that_leads_out_of_the_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.yml").write_text(GOOD)
    root = tmp_path / "repository"
    root.mkdir()
    (root / "dpra.yml").symlink_to("../outside.yml")
    with pytest.raises(reader.Problems, match=r"dpra.yml:1:1: a symbolic link out of the repository"):
        reader.read_bytes(root / "dpra.yml", root)


def test_a_spec_that_links_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dpra.yml").symlink_to("dpra.yml")
    with pytest.raises(reader.Problems, match=r"dpra.yml:1:1:"):
        reader.read_bytes(tmp_path / "dpra.yml", tmp_path)


def test_the_schema_and_the_reader_know_the_same_keys() -> None:
    from dpra.spec.schema import schema

    for words in catalogue.words().values():
        made = schema(words)
        json.dumps(made)
        assert set(reader.taken(models.Spec, words["keys"])) == set(made["properties"])
        assert made["required"] == ["name", "repository", "regions", "environments"]
    taken = {name for words in catalogue.words().values() for name in words["keys"]}
    assert taken <= set(models.by_type())
