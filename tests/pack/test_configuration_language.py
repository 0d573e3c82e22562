"""The language of dynamic configuration: every rule seen to find, at its place; rules of variants; what is compiled."""

import datetime
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

LIB = Path(__file__).parents[2] / ".github" / "actions" / "_lib"
sys.dont_write_bytecode = True
sys.path.insert(0, str(LIB))
import configuration_build as build  # noqa: E402
import configuration_flags as definitions  # noqa: E402
import configuration_nodes as nodes  # noqa: E402
import configuration_profiles as operational  # noqa: E402
import configuration_report as report  # noqa: E402
import configuration_rules as rules  # noqa: E402
from configuration_parsers import events, validate  # noqa: E402

_spec = importlib.util.spec_from_file_location("appconfig", Path(__file__).with_name("appconfig.py"))
assert _spec
assert _spec.loader
appconfig = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(appconfig)

SETTINGS = build.Settings(("beta", "prod"), template="")
HEAD = (
    "a:\n  attributes: {n: {type: number, minimum: 1, maximum: 9, required: true}, s: {type: string, enum: [x, y]}}\n"
)
VALUES = "  values:\n    beta: {enabled: true, n: 1}\n    prod: {enabled: true, n: 2}\n"
GOOD = f"{HEAD}  owner: me\n  description: what\n{VALUES}"


def built(settings: Any = SETTINGS, **files: str) -> Any:
    """The files by their names, `__` for / and `_yml` for an ending."""
    given_ = {name.replace("__", "/").replace("_", "."): text.encode() for name, text in files.items()}
    return build.build(given_, settings, events)


def told(problems: Any) -> list[str]:
    return [f"{one.rule} {one.file}:{one.line}:{one.column}" for one in build.ordered(problems)]


def prod(value: str) -> str:
    return GOOD.replace("prod: {enabled: true, n: 2}", f"prod: {value}")


# Each rule of build-code that flags can break: what breaks it; `¦` stands where that is told.
ONE = "{name: v, enabled: true, rule: '(split by::$u pct::20)'}"
WRONG = {
    "syntax": ["a: [¦", "a: 'x¦", "¦", "a: ¦&x 1\n", "a: ¦*x\n", "a: ¦!!set {}\n", "a: {}\n--- ¦{}\n", "a: \x01¦"],
    "unknown-key": [f"{GOOD}  ¦colour: red\n", f"a:\n  attributes: {{n: {{type: boolean, ¦minimum: 1}}}}\n{VALUES}"],
    "duplicate-key": [f"{GOOD}  ¦owner: you\n", f"{GOOD}¦{GOOD}"],
    "wrong-kind": [
        GOOD.replace("owner: me", "owner: ¦[me]"),
        "a: ¦true\n",
        "¦- a\n",
        f"{GOOD}  until: ¦soon\n",
        f"{GOOD}  until: ¦2027-02-30\n",
        prod("{enabled: ¦on, n: 2}"),
        prod("{enabled: true, n: 2, variants: ¦x}"),
        GOOD.replace("minimum: 1", "minimum: ¦1.5"),
        GOOD.replace("[x, y]", "¦x"),
    ],
    "missing-key": [
        GOOD.replace("prod: {enabled: true, n: 2}", "¦prod: {n: 2}"),
        GOOD.replace("s: {type: string, enum: [x, y]}", "¦s: {enum: [x, y]}"),
        prod("{enabled: true, n: 2, variants: [¦{name: v, enabled: true}]}"),
    ],
    "unknown-environment": [f"{GOOD}    ¦prd: {{enabled: true, n: 1}}\n"],
    "missing-value": [
        GOOD.replace("values", "¦values").replace("    prod: {enabled: true, n: 2}\n", ""),
        f"{GOOD}¦b:\n  owner: me\n  description: what\n",
    ],
    "wrong-type": [
        prod('{enabled: true, n: ¦"2"}'),
        prod("{enabled: true, n: 2, s: ¦1}"),
        GOOD.replace("number", "¦numbr"),
    ],
    "missing-attribute": [GOOD.replace("prod: {enabled: true, n: 2}", "¦prod: {enabled: true}")],
    "unknown-attribute": [prod("{enabled: true, n: 2, ¦m: 3}")],
    "out-of-bounds": [
        prod("{enabled: true, n: ¦0}"),
        prod("{enabled: true, n: ¦9.5}"),
        prod("{enabled: true, n: 2, s: ¦z}"),
        GOOD.replace("enum: [x, y]", "pattern: ^x$").replace("n: 2}", "n: 2, s: ¦xy}"),
        GOOD.replace("{type: string, enum: [x, y]}", "{type: array, elements: {type: string, enum: [x]}}").replace(
            "n: 2}", "n: 2, s: [x, ¦y]}"
        ),
    ],
    "bad-constraint": [
        GOOD.replace("minimum: 1", "minimum: ¦10"),
        GOOD.replace("enum: [x, y]", "pattern: ¦'('"),
        GOOD.replace("enum: [x, y]", "pattern: x, ¦enum: [x]"),
    ],
    "duplicate-variant": [
        prod(f"{{enabled: true, n: 2, variants: [{ONE}, {ONE.replace('name: v', 'name: ¦v').replace('20', '30')}]}}"),
        prod(f"{{enabled: true, n: 2, variants: [{ONE.replace('name: v', 'name: ¦default')}]}}"),
    ],
    "rule-syntax": [
        prod("{enabled: true, n: 2, variants: [{name: v, enabled: true, rule: '(eq $group ¦staff)'}]}"),
        prod("{enabled: true, n: 2, variants: [{name: v, enabled: true, rule: (eq $group ¦staff)}]}"),
        prod("\n      enabled: true\n      n: 2\n      variants:\n      - name: v\n        enabled: true\n"
             "        rule: ¦>\n          (eq $group\n          staff)\n"),
    ],
    "split-shares": [
        prod(f"{{enabled: true, n: 2, variants: [{ONE}, {ONE.replace('v,', 'w,').replace('rule: ', 'rule: ¦')}]}}"),
    ],
    "limit": [
        f"¦A{GOOD[1:]}",
        GOOD.replace("s: {type", "¦enabled: {type"),
        GOOD.replace("s: {type", "¦S: {type"),
        GOOD.replace("what", "¦" + "x" * 1025),
        GOOD.replace("[x, y]", "¦[]"),
        f"{GOOD}  name: ¦{'x' * 65}\n",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("rule", "marked"), [(rule, text) for rule, texts in WRONG.items() for text in texts])
def test_each_problem_of_a_flag_is_told_at_its_place(rule: str, marked: str) -> None:
    before, _, after = marked.partition("¦")
    if "\x01" in marked:
        before, after = before[:-1], "\x01"
    place = f"{rule} flags.yml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    assert place in told(built(flags_yml=before + after).problems)


def test_what_is_good_has_no_problem_and_every_rule_is_one_that_is_told_of() -> None:
    assert told(built(flags_yml=GOOD).problems) == []
    pages = (LIB.parents[2] / "docs" / "configuration.md").read_text("utf-8")
    rows = {f"| `{name}` | {rule.action} | {rule.severity} | {rule.says} |": name for name, rule in build.RULES.items()}
    assert [name for row, name in rows.items() if row not in pages] == []


def test_all_problems_of_a_file_are_told_at_once() -> None:
    text = f"{GOOD}  colour: red\nb:\n  values: {{beta: {{enabled: 1}}}}\n"
    assert [one.split()[0] for one in told(built(flags_yml=text).problems)] == [
        "unknown-key",
        "missing-value",
        "wrong-kind",
    ]


def test_a_word_that_comes_close_is_asked_for() -> None:
    found = built(flags_yml=GOOD.replace("prod:", "prodd:")).problems
    assert "did you mean 'prod'?" in next(one.text for one in found if one.rule == "unknown-environment")


def test_the_limits_of_appconfig_are_counted() -> None:
    many = ", ".join(f"n{number}: {{type: boolean}}" for number in range(26))
    flags = f"a:\n  attributes: {{{many}}}\n  values: {{beta: {{enabled: true}}, prod: {{enabled: true}}}}\n"
    assert "limit" in {one.rule for one in built(flags_yml=flags).problems}
    variants = ", ".join(f"{{name: v{n}, enabled: true, rule: '(exists key::\"k{n}\")'}}" for n in range(32))
    assert "limit flags.yml:7:43" in told(
        built(flags_yml=prod(f"{{enabled: true, n: 2, variants: [{variants}]}}")).problems
    )
    fewer = variants.rpartition(", {")[0]
    assert told(built(flags_yml=prod(f"{{enabled: true, n: 2, variants: [{fewer}]}}")).problems) == []
    named = built(**{f"configuration__{'p' * 116}__default_json": "{}"})
    assert [one.rule for one in named.problems][:1] == ["profile-files"]
    assert built(**{f"configuration__{'p' * 115}__default_json": "{}"}).problems == []
    many = {f"configuration__p{number}__default_json": "{}" for number in range(36)}
    assert [one.rule for one in built(**many).problems] == ["limit"]
    large = built(configuration__big__default_json=json.dumps("x" * 2_100_000))
    assert [one.rule for one in build.sizes(large, large.documents())] == ["document-quota"] * 2
    larger = built(configuration__big__default_json=json.dumps("x" * 4_100_000))
    assert [one.rule for one in build.sizes(larger, larger.documents())] == ["document-size"] * 2


def test_flags_lie_in_a_folder_of_files_too_and_a_flag_in_one_of_them_only() -> None:
    said = build.Settings(("beta", "prod"), flags="flags", template="")
    found = built(said, flags__one_yml=GOOD, flags__two_yml=GOOD.replace("a:", "b:", 1))
    assert (told(found.problems), list(found.flags)) == ([], ["a", "b"])
    assert told(built(said, flags__one_yml=GOOD, flags__two_yml=GOOD).problems) == ["duplicate-key flags/two.yml:1:1"]


# ---- Rules of variants: https://docs.aws.amazon.com/appconfig/…-multi-variant-feature-flags-rules-operators.html

DOCUMENTED = [
    '(eq $state "Virginia")', "(gt $age 65)", "(gte $age 65)", "(lt $age 65)", "(lte $age 65)",
    '(and (eq $state "Virginia") (gt $age 65) )', '(or\n (eq $state "Virginia")\n (gt $age 65))',
    '(not (eq $state "Virginia"))', '(begins_with $state "A")', '(ends_with $email "amazon.com")',
    '(contains $promoCode "WIN")', '(in $userId ["123", "456"])', '(matches in::$greeting pattern::"h.*y")',
    '(exists key::"country")', '(split pct::10 by::$userId seed::"abc")', "(split by::$uniqueId pct::20)",
    '(or (and (eq $group "Tier1") (split by::$userId pct::1 seed::"2025.01.01")) (eq $group "Tier2"))',
    "(gt $when 2012-03-04T05:06:07-08:00)", "(gt $when 2024-01)", "(eq $on true)", "(gt $x -1.234e-5)",
    '(eq $x "Ḽơᶉëᶆ")',
]  # fmt: skip
BROKEN = {
    "": 0, "eq": 0, "true": 0, "(": 1, "(eq": 0, '(eq $a "x"': 0, '(eq $a "x")) ': 11, "(ne $a 1)": 1, "(> $a 1)": 1,
    "(eq $a)": 1, '(eq $a "x" "y")': 1, "(eq $a x)": 7, '(eq $a "x)': 7, "(and (eq $a 1))": 1, "(not $a)": 5,
    "(split pct::10)": 1, "(split pct::120 by::$u)": 7, "(split pct::10 by::$u every::2)": 22, "(exists $a)": 8,
    '(matches in::$a pattern::"(")': 16, "(in $a 1)": 7, "(eq in::$a 1)": 4, '(begins_with $a 3)': 16, "(eq $a @)": 7,
    "(split pct::1 pct::2 by::$u)": 14, f"({'not (' * 60}eq $a 1{')' * 60})": 250,
}  # fmt: skip


@pytest.mark.parametrize("rule", DOCUMENTED)
def test_every_rule_that_aws_documents_parses(rule: str) -> None:
    assert isinstance(rules.parsed(rule), rules.Call), rules.parsed(rule)


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_that_appconfig_would_not_take_is_told_at_its_character(rule: str) -> None:
    wrong = rules.parsed(rule)
    assert isinstance(wrong, rules.Wrong), wrong
    assert wrong.at == BROKEN[rule], wrong


@given(st.text(alphabet='()[]"$:,. abeqinotspl\\%0123456789::', max_size=60))
def test_no_text_breaks_the_parser_of_rules(text: str) -> None:
    assert isinstance(rules.parsed(text), (rules.Call, rules.Wrong))


@pytest.mark.parametrize(
    ("shares", "never"),
    [
        (["(split by::$u pct::20)", "(split by::$u pct::25)"], []),  # 20 % and 5 %, as AWS's third example says
        (["(split by::$u pct::20)", "(split by::$u pct::20)"], [1]),  # its second: 20 % and 0 %
        (['(split by::$u pct::20 seed::"a")', '(split by::$u pct::20 seed::"b")'], []),
        (["(split by::$u pct::20)", "(split by::$v pct::10)"], []),
        (["(split by::$u pct::60)", "(split by::$u pct::50)"], [1]),
        (["(split by::$u pct::60)", '(and (eq $a 1) (split by::$u pct::50))'], [1]),
        (['(and (eq $a 1) (split by::$u pct::50))', "(split by::$u pct::50)"], []),
        (["(split by::$u pct::0)", "(split by::$u pct::0)"], []),
    ],
)  # fmt: skip
def test_a_variant_that_nobody_gets_is_told(shares: list[str], never: list[int]) -> None:
    """The three examples: …/appconfig-creating-multi-variant-feature-flags-rules.html"""
    trees = [(f"v{number}", rules.parsed(rule)) for number, rule in enumerate(shares)]
    found = rules.never(trees)  # type: ignore[arg-type]
    assert [number for number, _ in found] == never
    if "pct::60" in shares[0] and never:
        assert "the shares add up to 110 %" in found[0][1]


# ---- Operational configuration, and the template

WRONG_FILES = {
    "no document": ({"configuration__p__beta_json": "{}"}, ["no-document configuration/p/beta.json:1:1"]),
    "another environment": (
        {"configuration__p__default_json": "{}", "configuration__p__prd_json": "{}"},
        ["unknown-environment configuration/p/prd.json:1:1"],
    ),
    "twice": (
        {"configuration__p__default_json": "{}", "configuration__p__default_yml": "{}"},
        ["profile-files configuration/p/default.yml:1:1"],
    ),
    "text and JSON": (
        {"configuration__p__default_json": "{}", "configuration__p__prod_txt": ""},
        ["profile-files configuration/p/default.json:1:1"],
    ),
    "no folder": (
        {"configuration__p_json": "{}"},
        ["profile-files configuration/p.json:1:1", "no-configuration flags.yml:1:1"],
    ),
    "the flags' name": (
        {"flags_yml": GOOD, "configuration__flags__default_json": "{}"},
        ["profile-files configuration/flags/default.json:1:1"],
    ),
    "broken JSON": (
        {"configuration__p__default_json": '{\n "a": 1,\n "b" 2}'},
        ["syntax configuration/p/default.json:3:6"],
    ),
    "a key twice": (
        {"configuration__p__default_json": '{"a": 1,\n "a": 2}'},
        ["duplicate-key configuration/p/default.json:2:2"],
    ),
    "no number": ({"configuration__p__default_yml": "a: .nan\n"}, ["wrong-type configuration/p/default.yml:1:4"]),
    "an anchor": ({"configuration__p__default_yml": "a: &x 1\n"}, ["syntax configuration/p/default.yml:1:4"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_FILES)
def test_each_problem_of_a_profile_is_told_at_its_place(case: str) -> None:
    files, places = WRONG_FILES[case]
    assert told(built(**files).problems) == places


def test_json_is_read_as_json_and_says_where_each_value_stands() -> None:
    text = '{"a": [1, -2.5e3, "\\u00e4\\/\\ud83d\\ude00", true, null],\n\t"b": {}}'
    problems: list[Any] = []
    root = nodes.read(text.encode(), "a.json", events, problems)
    assert root
    assert nodes.plain(root, "", "a.json", problems) == json.loads(text)
    place = nodes.at(root, ["b"])
    assert place
    assert (place.line, place.column, problems) == (2, 2, [])
    for wrong in ("{", "[1,]", "{'a': 1}", "[01]", "NaN", '"\\ud83d"', "{}x", "[" * 100, '{"a" 1}', '"\t"'):
        problems.clear()
        nodes.read(wrong.encode(), "a.json", events, problems)
        assert [one.rule for one in problems] == ["syntax"], wrong


TEMPLATE = """Resources:
  Flags:
    Type: AWS::AppConfig::ConfigurationProfile
    Properties: {Name: flags, Type: %s, LocationUri: hosted, ApplicationId: !Ref Application}
  Limits:
    Type: AWS::AppConfig::ConfigurationProfile
    Properties: {Name: %s, LocationUri: hosted, ApplicationId: !Ref Application}
"""


@pytest.mark.parametrize(
    ("kind", "name", "places"),
    [
        ("AWS.AppConfig.FeatureFlags", "limits", []),
        ("AWS.AppConfig.FeatureFlags", "!Sub 'limits-${Environment}'", []),
        ("AWS.AppConfig.FeatureFlags", "{Ref: Name}", []),
        ("AWS.Freeform", "limits", ["profile-type template.yml:4:37"]),
        (
            *("AWS.AppConfig.FeatureFlags", "limit"),
            [
                "profile-not-in-template configuration/limits/default.json:1:1",
                "profile-without-documents template.yml:7:24",
            ],
        ),
    ],
)  # fmt: skip
def test_the_profiles_of_the_template_and_of_the_documents_are_the_same(
    kind: str, name: str, places: list[str]
) -> None:
    said = build.Settings(("beta", "prod"), template="template.yml")
    files = {"flags_yml": GOOD, "configuration__limits__default_json": "{}"}
    assert told(built(said, **files, template_yml=TEMPLATE % (kind, name)).problems) == places
    assert told(built(said, **files).problems) == ["profile-not-in-template template.yml:1:1"]


def test_an_override_is_merged_mapping_by_mapping_and_replaces_all_else() -> None:
    default, over = {"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}, "d": {"e": None}}
    assert operational.merged(default, over) == {"a": {"b": 1, "c": [3]}, "d": {"e": None}}


def test_a_schema_is_met_by_the_effective_document_not_by_its_parts() -> None:
    schema = '{"required": ["a", "b"]}'
    found = built(
        configuration__p__default_json='{"a": 1}',
        configuration__p__prod_json='{"b": 1}',
        configuration__p__schema_json=schema,
    )
    problems: list[Any] = []
    operational.violations(found.profiles["p"], validate, problems)
    assert [(one.text[:5], one.file) for one in problems] == [("beta:", "configuration/p/default.json")]


# ---- Random definitions


class Written(yaml.SafeDumper):
    """YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def written(flags: dict[str, Any]) -> str:
    return yaml.dump(flags, Dumper=Written, allow_unicode=True, sort_keys=False)


KEYS = st.sampled_from(["a", "b", "new-checkout", "limit", "Z", "enabled", "owner", "n", "s"])
SCALARS = st.one_of(
    st.booleans(), st.integers(-3, 200), st.floats(), st.sampled_from(["x", "y", "", "on", "2027-01-01", "\n", "é"])
)
RULES = st.sampled_from([*DOCUMENTED, *BROKEN])
CONSTRAINTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["number", "string", "boolean", "array", "arary"])},
    optional={
        "minimum": st.one_of(st.integers(-5, 5), SCALARS),
        "maximum": st.integers(-5, 100),
        "required": st.booleans(),
        "pattern": st.sampled_from(["^x", "(", "y$"]),
        "enum": st.lists(st.sampled_from(["x", "y", "é"]), max_size=3),
        "elements": st.fixed_dictionaries(
            {"type": st.sampled_from(["number", "string"])}, optional={"maximum": st.integers(0, 9)}
        ),
        "description": SCALARS,
    },
)  # fmt: skip
ATTRIBUTE_VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))
VARIANTS = st.fixed_dictionaries(
    {"name": st.sampled_from(["v", "w", "default"]), "enabled": st.booleans(), "rule": RULES},
    optional={"n": ATTRIBUTE_VALUES},
)
ENVIRONMENT_VALUES = st.fixed_dictionaries(
    {"enabled": st.booleans()},
    optional={"n": ATTRIBUTE_VALUES, "s": ATTRIBUTE_VALUES, "variants": st.lists(VARIANTS, max_size=2)},
)
FLAGS = st.fixed_dictionaries(
    {"values": st.fixed_dictionaries({"beta": ENVIRONMENT_VALUES, "prod": ENVIRONMENT_VALUES})},
    optional={
        "attributes": st.dictionaries(st.sampled_from(["n", "s"]), CONSTRAINTS, max_size=2),
        "owner": SCALARS,
        "until": st.one_of(SCALARS, st.dates().map(str)),
        "name": SCALARS,
    },
)


@given(st.dictionaries(KEYS, st.one_of(FLAGS, SCALARS), max_size=3))
def test_random_definitions_have_problems_with_places_or_become_documents_that_appconfig_takes(
    flags: dict[str, Any],
) -> None:
    text = written(flags)
    found = built(flags_yml=text)
    lines = text.split("\n")
    for one in found.problems:
        assert 1 <= one.line <= len(lines)
        assert 1 <= one.column <= len(lines[one.line - 1]) + 1
    if not found.problems:
        taken(found)


# Of each type: constraints, and values that meet them.
SOUND = [
    ({"type": "number", "minimum": -3, "maximum": 200}, st.one_of(st.integers(-3, 200), st.floats(-3, 200))),
    ({"type": "string", "enum": ["x", "y", "é"]}, st.sampled_from(["x", "y", "é"])),
    ({"type": "string", "pattern": "^[0-9]+$", "description": "A number as text"}, st.integers(0, 10**30).map(str)),
    ({"type": "string"}, st.text(st.characters(exclude_categories=["C"]), max_size=1024)),
    ({"type": "boolean"}, st.booleans()),
    ({"type": "array", "elements": {"type": "string", "enum": ["x"]}}, st.lists(st.just("x"), max_size=3)),
    ({"type": "array", "elements": {"type": "number", "minimum": 0}}, st.lists(st.integers(0, 9), max_size=3)),
    ({"type": "array"}, st.one_of(st.lists(st.integers(), max_size=3), st.lists(st.sampled_from("xy"), max_size=3))),
]
OTHERS = [rule for rule in DOCUMENTED if not rule.startswith("(split")]


@st.composite
def sound(draw: Any) -> dict[str, Any]:
    """A flag in which nothing is wrong."""
    chosen = draw(st.dictionaries(st.sampled_from(["n", "s", "limit", "a-B_9"]), st.sampled_from(SOUND), max_size=4))
    required = draw(st.booleans())

    def given_(every: bool) -> dict[str, Any]:
        return {name: draw(values) for name, (_, values) in chosen.items() if every or draw(st.booleans())}

    def value() -> dict[str, Any]:
        names = draw(st.lists(st.sampled_from(["v", "w", "Beta Testers"]), max_size=3, unique=True))
        variants = [
            {"name": name, "rule": draw(st.sampled_from(OTHERS)), "enabled": draw(st.booleans()), **given_(False)}
            for name in names
        ]
        return {"enabled": draw(st.booleans()), **given_(required), **({"variants": variants} if names else {})}

    flag: dict[str, Any] = {"values": {name: value() for name in SETTINGS.environments}}
    if chosen:
        flag["attributes"] = {name: {**said, "required": required} for name, (said, _) in chosen.items()}
    if draw(st.booleans()):
        flag |= {"until": draw(st.dates()), "description": draw(st.sampled_from(["what", "é", "a\nb"])), "name": "N"}
    return flag


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "new-checkout", "b_2"]), sound(), min_size=1))
def test_sound_definitions_have_no_problem_and_become_documents_that_appconfig_takes(flags: dict[str, Any]) -> None:
    found = built(flags_yml=written(flags))
    assert found.problems == []
    assert set(found.flags) == set(flags)
    taken(found)


def taken(found: Any) -> None:
    """AppConfig takes the documents: by its published schema, and by the constraints that it checks besides."""
    for environment in SETTINGS.environments:
        document = json.loads(build.encoded(definitions.document(found.flags, environment)))
        jsonschema.Draft7Validator(appconfig.SCHEMA).validate(document)
        for key, value in document["values"].items():
            attributes = document["flags"][key].get("attributes", {})
            for given_ in [one.get("attributeValues", {}) for one in value.get("_variants", [])] or [value]:
                assert set(given_) - {"enabled"} <= set(attributes)
                for name, attribute in attributes.items():
                    meets(given_.get(name), attribute["constraints"])


def meets(value: Any, constraints: dict[str, Any]) -> None:
    if value is None:
        assert not constraints.get("required")
        return
    kinds = {"number": (int, float), "string": (str,), "boolean": (bool,), "array": (list,)}[constraints["type"]]
    assert isinstance(value, kinds)
    if constraints["type"] == "number":
        assert constraints.get("minimum", value) <= value <= constraints.get("maximum", value)
    if "enum" in constraints:
        assert value in constraints["enum"]
    for one in value if isinstance(value, list) else ():
        meets(one, constraints.get("elements", {"type": "string" if isinstance(value[0], str) else "number"}))


# ---- What a change does


def test_what_a_change_does_is_told_by_environment_flag_variant_and_path() -> None:
    variant = "variants: [{name: v, enabled: true, rule: '(exists key::\"a\")'}]"
    old = built(flags_yml=GOOD, configuration__p__default_json='{"a": [1, true], "b": 1}').documents()
    text = prod(f"{{enabled: false, n: 3, {variant}}}").replace("n: 1}\n", "n: 1}\n", 1) + GOOD.replace("a:", "new:", 1)
    new = built(flags_yml=text, configuration__p__default_json='{"a": [1, 1], "c": null}').documents()
    beta, prod_ = report.differences(old, new, {"prod": ["eu-west-1"]})
    assert [one.what for one in beta.changes] == ["new", "p $.a[1]", "p $.b", "p $.c"]
    assert beta.changes[1].data() == {"profile": "p", "path": "$.a[1]", "before": True, "after": 1}
    assert "after" not in beta.changes[2].data()
    assert beta.changes[3].data()["after"] is None
    assert [one.what for one in prod_.changes if one.flag == "a"] == ["a enabled", "a n", "a variant v"]
    assert [(turn.flag, turn.after) for turn in (*prod_.on, *prod_.off)] == [("new", "on"), ("a", "for some")]
    assert report.differences(new, new)[0].changes == ()
    assert all(
        not one.changes
        for one in report.differences(
            old, built(flags_yml=GOOD, configuration__p__default_json='{"b": 1, "a": [1, true]}').documents()
        )
    )


def test_flags_are_listed_by_what_is_over_and_by_age() -> None:
    day = datetime.date(2026, 11, 28)
    text = (
        GOOD.replace("  owner", "  until: 2026-11-27\n  owner")
        + GOOD.replace("a:", "b:", 1)
        + GOOD.replace("a:", "c:", 1)
    )
    seen = {
        "c": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        "b": datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC),
    }
    found = report.rows(built(flags_yml=text), day, seen)
    assert [(row.flag, row.days, row.expired) for row in found] == [
        ("a", None, True),
        ("c", 331, False),
        ("b", 27, False),
    ]
    assert [one.rule for one in build.quality(built(flags_yml=text), day)] == ["expired-flag"]
    assert not build.quality(built(flags_yml=text), day - datetime.timedelta(1))


def test_a_flag_goes_off_where_it_stands_and_all_else_stays() -> None:
    text = prod("# staff first\n      enabled: true # yes\n      n: 2\n      variants:\n"
                "        - {name: v, enabled: true, rule: '(exists key::\"a\")'} # v\n")  # fmt: skip
    root = nodes.read(text.encode(), "flags.yml", events, [])
    assert root
    changed = definitions.off(text, root, "a", "prod")
    assert changed == text.replace("enabled: true # yes", "enabled: false # yes").replace(
        "v, enabled: true", "v, enabled: false"
    )
    assert report.state(built(flags_yml=changed).flags["a"].values["prod"]) == "off"
    with pytest.raises(LookupError, match="no value for gamma"):
        definitions.off(text, root, "a", "gamma")
