"""docs/release-by-flag.md: every step of it is read by what reads it in its repository, and says what the text says."""

import datetime
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems
from dpra.cli.configuration import _Pack
from dpra.spec import reader

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/release-by-flag.md").read_text("utf-8")
SPECS = ROOT / "tests/specs"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
SHOP, SWITCHES = "# shop: dpra.yml\n", "# switches: flags.yml\n"
FLAG, LAST_DAY = "new-checkout", datetime.date(2027, 3, 31)
STAGES = ("beta", "gamma", "prod")
TEMPLATE = """Resources:
  Flags:
    Type: AWS::AppConfig::ConfigurationProfile
    Properties: {Name: flags, Type: AWS.AppConfig.FeatureFlags, LocationUri: hosted, ApplicationId: !Ref Application}
"""
CHECK = "dpra configuration check --references ../shop"
OFF = "dpra configuration off new-checkout --environment prod"
REHEARSED = [  # test_flag_gates: test_a_closed_gate_stops_before_the_deployment_and_an_open_one_lets_it_go_on
    "dpra rehearse --offline --only beta",
    'dpra rehearse --offline --only beta --closed beta || echo "the gate is closed"',
]


def steps(of: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == "yaml" and text.startswith(of)]


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository of the flags, on the flag's last day; its first commit is the first step."""
    root = tmp_path / "switches"
    (root / "infrastructure").mkdir(parents=True)
    (root / "dpra.yml").write_text((SPECS / "configuration.yml").read_text("utf-8"))
    (root / "infrastructure/template.yml").write_text(TEMPLATE)
    (root / "flags.yml").write_text(steps(SWITCHES)[0])
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "The flag, off")
    monkeypatch.setattr("dpra.cli.configuration._today", lambda: LAST_DAY)
    return root


def values(root: Path) -> list[Any]:
    """The flag's values, by environment."""
    found = _Pack(root).here().flags[FLAG].values
    return [found[stage] for stage in STAGES]


def as_a_gate(value: Any) -> bool:
    """The state that a caller without context gets: of the variants the last one."""
    return bool((value["_variants"][-1] if "_variants" in value else value)["enabled"])


def test_every_yaml_and_every_command_of_the_document_is_read_by_a_test() -> None:
    every = [text for kind, text in BLOCKS if kind == "yaml"]
    assert sorted(every) == sorted([*steps(SHOP), *steps(SWITCHES)])
    told = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    assert told == [*REHEARSED, OFF, CHECK]


def test_shop_asks_for_the_flag_off_in_every_environment_and_for_what_was_decided_at_last() -> None:
    found = []
    for step in steps(SHOP):
        data = ((SPECS / "minimal.yml").read_text("utf-8") + step).encode()
        plan = problems.planned(reader.read(data, catalogue.words()))
        gates = [gate for job in plan.jobs.values() for action in job.steps for gate in plan.gates_in(job, action)]
        found.append([(gate.environment, gate.flag, gate.of, gate.is_) for gate in gates])
    assert found == [[(stage, FLAG, "switches", state) for stage in STAGES] for state in ("off", "on")]


def test_the_flag_goes_on_in_beta_and_gamma_then_for_some_and_then_for_all(dpra: Any, switches: Path) -> None:
    found, some = [], []
    for step in steps(SWITCHES):
        (switches / "flags.yml").write_text(step)
        done = dpra("configuration", "check", "--format", "json", cwd=switches)
        assert (done.returncode, json.loads(done.stdout)) == (0, [])
        found.append([as_a_gate(value) for value in values(switches)])
        some.append(["_variants" in value for value in values(switches)])
    assert found == [[False, False, False], [True, True, False], [True, True, False], [True, True, True]]
    assert some == [[False] * 3, [False] * 3, [False, False, True], [False] * 3]


def test_the_emergency_is_brought_into_the_file(dpra: Any, switches: Path) -> None:
    for step in steps(SWITCHES)[2:]:
        (switches / "flags.yml").write_text(step)
        assert dpra(*OFF.split()[1:], cwd=switches).returncode == 0
        production = values(switches)[2]
        assert not any(one["enabled"] for one in production.get("_variants", [production]))
        assert as_a_gate(values(switches)[0])


def test_after_its_last_day_somebody_is_reminded(dpra: Any, switches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (switches / "flags.yml").write_text(steps(SWITCHES)[-1])
    monkeypatch.setattr("dpra.cli.configuration._today", lambda: LAST_DAY + datetime.timedelta(days=1))
    done = dpra("configuration", "check", "--format", "json", cwd=switches)
    assert (done.returncode, [one["rule"] for one in json.loads(done.stdout)]) == (1, ["expired-flag"])


def test_a_flag_that_code_or_a_gate_names_is_not_removed(dpra: Any, switches: Path) -> None:
    shop = switches.with_name("shop")
    shop.mkdir()
    (shop / "dpra.yml").write_text((SPECS / "minimal.yml").read_text("utf-8") + steps(SHOP)[-1])
    (shop / "shop.py").write_text('def checkout(flags):\n    return flags["new-checkout"]\n')
    (switches / "flags.yml").write_text(steps(SWITCHES)[-1].replace(FLAG, "another"))
    done = dpra(*CHECK.split()[1:], cwd=switches)
    assert done.returncode == 1
    assert "../shop/shop.py:2:19: names the flag new-checkout, not defined any more" in done.stdout
    assert re.search(r"^\.\./shop/dpra\.yml:\d+:\d+: names the flag new-checkout", done.stdout, re.MULTILINE)
    (shop / "shop.py").write_text("def checkout(flags):\n    return True\n")
    (shop / "dpra.yml").write_text((SPECS / "minimal.yml").read_text("utf-8"))
    assert dpra(*CHECK.split()[1:], cwd=switches).returncode == 0
