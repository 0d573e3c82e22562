"""What is deployed into the accounts, before AWS's own rules: cfn-guard with those of Control Tower, and checkov."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, planner, render
from dpra.spec import reader

SPECS = Path(__file__).parents[1] / "specs"
TRIED = ("full", "container")  # attestations and a boundary; a signing key and images


def exceptions(text: str) -> set[str]:
    """The rules that a template says do not apply, each with a reason behind the colon."""
    return {rule for rules in re.findall(r"# Exception: ([A-Z0-9_ ]+): \S", text) for rule in rules.split()}


@pytest.mark.parametrize(("tool", "rules"), [("cfn-guard", r"[A-Z0-9_]+_CHECK"), ("checkov", r"CKV_[A-Z0-9_]+")])
def test_the_accounts_hold_the_rules_but_for_the_exceptions_that_they_name(job: Any, tool: str, rules: str) -> None:
    expected = set()
    for spec in TRIED:
        files = render.files(planner.make(reader.read((SPECS / f"{spec}.yml").read_bytes(), catalogue.words())))
        for path in sorted(path for path in files if path.startswith("infrastructure/dpra/")):
            name, text = f"infrastructure/{spec}-{Path(path).name}", files[path].content.decode()
            job.write(name, text)
            expected |= {(name, rule) for rule in exceptions(text) if re.fullmatch(rules, rule)}
    job.use("check", action="policy-as-code", tool=tool, language="cloudformation", fail_on="any")
    [findings] = job.evidence.glob("*.findings.json")
    assert {(one["file"], one["rule"]) for one in json.loads(findings.read_text())} == expected
    assert expected
