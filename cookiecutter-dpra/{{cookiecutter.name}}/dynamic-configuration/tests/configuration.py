"""Tests of what AppConfig delivers, read as an application reads it: python3 tests/configuration.py integration"""

import json
import os
import subprocess
import sys
import tempfile
from xml.sax.saxutils import quoteattr

DEPLOYED = json.loads(os.environ["DEPLOYMENT_OUTPUTS"])


def aws(*words):
    ran = subprocess.run(["aws", "appconfigdata", *words, "--output", "json"], stdout=subprocess.PIPE, check=True)
    return json.loads(ran.stdout or "{}")


def delivered(profile):
    """The document of a profile, as AppConfig delivers it."""
    names = ("--application-identifier", DEPLOYED["Application"], "--environment-identifier", DEPLOYED["Environment"])
    started = aws("start-configuration-session", *names, "--configuration-profile-identifier", profile)
    with tempfile.NamedTemporaryFile() as file:
        token = started["InitialConfigurationToken"]
        aws("get-latest-configuration", "--configuration-token", token, file.name)
        return json.load(file)


def integration():
    flags, limits = delivered("flags"), delivered("limits")

    def the_flags_are_delivered():
        assert isinstance(flags["new-checkout"]["enabled"], bool), flags

    def the_limits_are_delivered():
        assert set(limits) == {"requests-per-second", "retries"}, limits

    return [the_flags_are_delivered, the_limits_are_delivered]


def acceptance():
    flags, limits = delivered("flags"), delivered("limits")
    production = DEPLOYED["Environment"] == "prod"

    def a_tester_sees_the_new_checkout():
        assert production or flags["new-checkout"]["enabled"] is True, flags

    def production_takes_more_requests_than_a_stage_of_tests():
        assert limits["requests-per-second"] == (200 if production else 10), limits

    return [a_tester_sees_the_new_checkout, production_takes_more_requests_than_a_stage_of_tests]


def synthetic():
    def an_application_that_starts_now_gets_its_configuration():
        assert delivered("flags")
        assert delivered("limits")["retries"]["times"] > 0

    return [an_application_that_starts_now_gets_its_configuration]


def run(suite):
    cases, failures = [], 0
    for test in {"integration": integration, "acceptance": acceptance, "synthetic": synthetic}[suite]():
        name, inner = test.__name__.replace("_", " "), ""
        try:
            test()
        except AssertionError as error:
            failures += 1
            inner = f"<failure message={quoteattr(str(error))}/>"
        print("FAILED" if inner else "passed", name)
        cases.append(f"<testcase classname={quoteattr(suite)} name={quoteattr(name)}>{inner}</testcase>")
    with open(os.environ["JUNIT_FILE"], "w", encoding="utf-8") as report:
        report.write(f"<testsuite name={quoteattr(suite)} tests='{len(cases)}' failures='{failures}'>{''.join(cases)}</testsuite>")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
