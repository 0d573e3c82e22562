"""Reads a feature flag of AWS AppConfig, and fails unless it has the state that is asked for.

Sources: https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference/API_appconfigdata_GetLatestConfiguration.html,
https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-agent-how-to-use-local-development-samples.html
"""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import evidence
import runner

STATES = {"on": True, "off": False}
# What Amazon Ion is made of, as far as flags need it: strings, symbols, what opens and closes, and what lies between.
TOKEN = re.compile(
    r"'''(?P<long>(?:\\.|[^\\])*?)'''|\"(?P<short>(?:\\.|[^\\\"])*)\"|'(?P<quoted>(?:\\.|[^\\'])*)'"
    r"|(?P<open>[\[(])|(?P<close>[\])])|(?P<annotates>::)|(?P<symbol>[\w$.+*/<>=!&%-]+)|(?P<between>[\s,]+)",
    re.DOTALL,
)
ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def delivered(region: str, application: str, environment: str, profile: str) -> tuple[str, str]:
    """Content type and text of what AppConfig delivers.

    Raises:
        runner.Failed: it delivers nothing, or not to this role.
    """
    names = {"Application": application, "Environment": environment, "ConfigurationProfile": profile}
    asked = {f"{kind}Identifier": name for kind, name in names.items()}
    place = f"{application}, environment {environment}, profile {profile}, in {region}"
    try:
        token = aws.call(region, "appconfigdata", "start-configuration-session", **asked)["InitialConfigurationToken"]
        with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
            path = Path(folder) / "configuration"
            words = (f"--configuration-token={token}", str(path))  # the CLI takes no JSON for what goes to a file
            said = aws.call(region, "appconfigdata", "get-latest-configuration", *words)
            return said.get("ContentType", ""), path.read_text(encoding="utf-8")
    except aws.Refused as refused:
        if refused.code == "ResourceNotFoundException":
            said = f"AppConfig delivers nothing of {place}: {application} has to be deployed there before"
            raise runner.Failed(f"{said} ({refused})", "error") from refused
        if refused.code.startswith("AccessDenied"):
            said = f"this role may not read {place}: it is not there yet, or dpra bootstrap did not give it the right"
            raise runner.Failed(f"{said} ({refused})", "error") from refused
        raise
    except UnicodeDecodeError as problem:
        raise runner.Failed(f"what AppConfig delivers of {place} is no text", "error") from problem


def enabled(kind: str, text: str, flag: str) -> bool | None:
    """Whether a flag is on; None where there is no such flag.

    Args:
        kind: the content type.
    Raises:
        ValueError: the text holds no flags.
    """
    flags = defaults(text) if kind.startswith("application/ion") else json.loads(text)
    if not isinstance(flags, dict):
        raise ValueError("no mapping of flags")
    if flag not in flags:
        return None
    value: Any = flags[flag]
    if not isinstance(value, dict) or not isinstance(value.get("enabled"), bool):
        raise ValueError(f"{flag} is no flag that is on or off")
    return bool(value["enabled"])


def defaults(text: str) -> dict[str, Any]:
    """The flags in Amazon Ion, as which AppConfig delivers all of them where one has variants: 'name'::'''value''' or
    'name'::[[rule, '''value'''], '''value of the variant without a rule''']."""
    found: dict[str, Any] = {}
    name, symbol, depth, end = "", "", 0, 0
    for token in TOKEN.finditer(text):
        kind = token.lastgroup or ""
        if token.start() != end:
            break
        end = token.end()
        depth += {"open": 1, "close": -1}.get(kind, 0)
        if kind in ("quoted", "symbol"):
            symbol = plain(token[kind])
        elif kind == "annotates" and depth == 0:
            name = symbol
        elif kind in ("long", "short") and depth < 2:
            found[name] = json.loads(plain(token[kind]))
    if end != len(text) or depth:
        raise ValueError(f"no Amazon Ion from character {end} on")
    return found


def plain(text: str) -> str:
    """A text of Ion without its escapes."""
    return ESCAPE.sub(lambda one: chr(int(one[1][1:], 16)) if len(one[1]) > 1 else ESCAPES.get(one[1], one[1]), text)


def main() -> None:
    region = runner.given("REGION")
    with evidence.recorded("flag-gate", region=region, tool="appconfig") as facts:
        flag, wanted = runner.required("FLAG"), runner.required("IS")
        if wanted not in STATES:
            raise runner.Failed(f"the input 'is' is '{wanted}': it must be on or off", "error")
        application, environment = runner.required("APPLICATION"), runner.required("ENVIRONMENT")
        profile = runner.required("PROFILE")
        facts["where"] = f"{application}/{environment}/{profile}: {flag}"
        aws.expect_account(runner.required("REGION"), runner.required("ACCOUNT"))
        kind, text = delivered(region, application, environment, profile)
        try:
            found = enabled(kind, text, flag)
        except ValueError as problem:
            said = f"what {application} delivers to {environment} in {region} as {profile} cannot be read: {problem}"
            raise runner.Failed(said, "error") from problem
        if found is None:
            said = f"{application} delivers no flag {flag} to {environment} in {region}"
            raise runner.Failed(f"{said}: deliver it there, or take the gate out of dpra.yml", "error")
        now = "on" if found else "off"
        if found != STATES[wanted]:
            said = f"the flag {flag} is {now} in {environment}, {region}, and must be {wanted}"
            raise runner.Failed(
                f"{said}: {application} delivers it; turn it {wanted} there, then run the workflow again"
            )
        runner.say(f"the flag {flag} of {application} is {now} in {environment}, {region}")


main()
