"""Tests of what the sandbox got, as AWS Organizations has it: python3 tests/organisation.py"""

import json
import os
import subprocess
import sys
from xml.sax.saxutils import quoteattr

UNIT = json.loads(os.environ["DEPLOYMENT_OUTPUTS"])["Unit"]


def aws(*words):
    said = ["aws", "organizations", *words, "--region", "us-east-1", "--output", "json"]
    return json.loads(subprocess.run(said, stdout=subprocess.PIPE, check=True).stdout)


def its_accounts_are_active():
    accounts = aws("list-accounts-for-parent", "--parent-id", UNIT)["Accounts"]
    assert accounts, "the sandbox has no account"
    assert {one["State"] for one in accounts} == {"ACTIVE"}, accounts


def no_two_accounts_have_one_address():
    addresses = [one["Email"].lower() for one in aws("list-accounts")["Accounts"]]
    assert len(addresses) == len({*addresses}), sorted(addresses)


def its_guardrails_are_attached():
    path, at = ["list-policies-for-target", "--filter", "SERVICE_CONTROL_POLICY", "--target-id"], UNIT
    names = [one["Name"] for one in aws(*path, at)["Policies"]]
    while not at.startswith("r-"):
        at = aws("list-parents", "--child-id", at)["Parents"][0]["Id"]
        names += [one["Name"] for one in aws(*path, at)["Policies"]]
    assert "FullAWSAccess" in names, names
    assert any(name.startswith("guardrails") for name in names), names


TESTS = (its_accounts_are_active, no_two_accounts_have_one_address, its_guardrails_are_attached)
failed, cases = 0, []
for test in TESTS:
    name, problem = test.__name__.replace("_", " "), ""
    try:
        test()
    except (AssertionError, LookupError, subprocess.CalledProcessError) as error:
        problem = f"{type(error).__name__}: {error}"
        failed += 1
    print("ok    " if not problem else "FAILED", name, problem)
    inside = f"<failure message={quoteattr(problem)}/>" if problem else ""
    cases.append(f'<testcase classname="organisation" name={quoteattr(name)}>{inside}</testcase>')
if "JUNIT_FILE" in os.environ:
    with open(os.environ["JUNIT_FILE"], "w", encoding="utf-8") as file:
        file.write(f'<testsuite name="organisation" tests="{len(cases)}" failures="{failed}">{"".join(cases)}</testsuite>')
sys.exit(bool(failed))
