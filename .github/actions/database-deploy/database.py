"""Changes a database before the software is deployed, from the verified package. In production it is recorded."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import alarms
import aws
import deployment
import evidence
import record
import release
import runner
import trusted

PORTS = {"postgresql": "5432", "mysql": "3306", "mariadb": "3306"}  # of the engines to which RDS gives tokens
TOOLS = ("liquibase", "flyway", "command")


def main() -> None:
    region, tool = runner.given("REGION"), runner.given("TOOL")
    with evidence.recorded(runner.given("ACTION"), region=region, tool=tool) as facts:
        if tool not in TOOLS:
            raise runner.Failed(f"the tool '{tool}' is unknown: choose one of {', '.join(TOOLS)}", "error")
        target = deployment.target(runner.required("REGION"), runner.given("STORE"))
        if not isinstance(target.settings.get("reversible"), bool):
            raise runner.Failed("the setting 'reversible' is required, true or false", "error")
        digest, commit = runner.required("DIGEST"), os.environ["GITHUB_SHA"]
        directory = verified(target, digest, commit)
        aws.expect_account(region, target.account)
        if runner.given("WAVE"):  # what holds the software back holds this back, too
            alarms.check_before(region, runner.given("STACK").replace("{region}", region), target.component)
        change = deployment.Change(directory, digest, commit, lambda: None, stored=True)
        folder = deployment.unpack(change) / str(target.settings.get("folder") or ".")
        variables = {
            "DPRA_COMPONENT": target.component,
            "DPRA_ENVIRONMENT": target.environment,
            "DPRA_ACCOUNT": target.account,
            "DPRA_REGION": target.region,
            "DPRA_DIGEST": digest,
            "DPRA_COMMIT": commit,
            "LIQUIBASE_SHOW_BANNER": "false",
            **login_variables(target),
        }
        found = pending(target, tool, folder, variables)
        deployment.show(f"the database of {target.component}", ("pending",), [[line] for line in found])
        facts["findings"] = {"pending": len(found)}
        if found:
            begin_region(target, digest, commit)
            run([*words(target, tool, "command")], folder, variables, shown=True)
        runner.output("changed", str(bool(found)).lower())


def verified(target: deployment.Target, digest: str, commit: str) -> Path:
    if target.bucket:
        return trusted.fetch(runner.required("STORE_REGION"), target.bucket, digest, commit)
    directory = Path(runner.required("RELEASE"))
    release.verify(directory, digest, target.component, commit)
    return directory


def login_variables(target: deployment.Target) -> dict[str, str]:
    """Address, user and password as each tool reads them. The password lives for minutes, or is read now."""
    url, user, password = target.text("url"), target.text("user"), ""
    if secret := target.text("secret"):
        answer = aws.call(target.region, "secretsmanager", "get-secret-value", SecretId=secret)
        try:
            said = json.loads(answer["SecretString"])
            user, password = str(said["username"]), str(said["password"])
        except (ValueError, LookupError, TypeError) as problem:
            raise runner.Failed(f"the secret {secret} is not JSON with username and password", "error") from problem
    elif user:
        password = token(target.region, url, user)
    if password:
        runner.mask(password)
    found = {}
    for name, value in (("URL", url), ("USER", user), ("PASSWORD", password)):
        if value:
            liquibase = "USERNAME" if name == "USER" else name
            found |= dict.fromkeys((f"DPRA_DATABASE_{name}", f"FLYWAY_{name}", f"LIQUIBASE_COMMAND_{liquibase}"), value)
    return found


def token(region: str, url: str, user: str) -> str:
    """A password that RDS accepts for 15 minutes, made of the role's session."""
    address = re.match(r"jdbc:(\w+)://([A-Za-z0-9][\w.-]*)(?::([0-9]+))?(?:/|$)", url)
    if not address or address[1] not in PORTS:
        raise runner.Failed(
            f"the setting 'url' is '{url}': a token of RDS needs jdbc: and {' or '.join(PORTS)}; else set secret",
            "error",
        )
    if not re.fullmatch(r"[\w.@-]+", user) or user.startswith("-"):
        raise runner.Failed(f"the setting 'user' is '{user}', which cannot be a database user", "error")
    where = ("--hostname", address[2], "--port", address[3] or PORTS[address[1]], "--username", user)
    return aws.text(region, "rds", "generate-db-auth-token", *where).strip()


def words(target: deployment.Target, tool: str, name: str) -> list[str]:
    """The command line of a tool for `preview` or `command`."""
    if tool == "command":
        if not (text := str(target.settings.get(name) or "")):
            raise runner.Failed(f"the setting '{name}' is required with command", "error")
        return ["bash", "-euo", "pipefail", "-c", text]
    known = {
        "liquibase": {"preview": ["status", "--verbose"], "command": ["update"]},
        "flyway": {"preview": ["-outputType=json", "info"], "command": ["migrate"]},
    }
    return [tool, *known[tool][name]]


def pending(target: deployment.Target, tool: str, folder: Path, variables: dict[str, str]) -> list[str]:
    """What would be changed, a line each; none where nothing would."""
    said = run(words(target, tool, "preview"), folder, variables)
    if tool == "flyway":
        try:
            migrations: list[dict[str, Any]] = json.loads(said)["migrations"]
            return [
                f"{one.get('version') or 'repeatable'} {one.get('description', '')}"
                for one in migrations
                if str(one["state"]).lower() in ("pending", "outdated")
            ]
        except (ValueError, LookupError, TypeError) as problem:
            raise runner.Failed("the output of flyway info cannot be read", "error") from problem
    if tool == "liquibase" and "is up to date" in said:
        return []
    return [line for line in said.splitlines() if line.strip()]


def run(command: list[str], folder: Path, variables: dict[str, str], shown: bool = False) -> str:
    """What the command printed; it is shown at once, or where it fails."""
    if not folder.is_dir():
        raise runner.Failed(
            f"the package has no folder '{folder.name}': pack it, or correct the setting 'folder'", "error"
        )
    try:
        ran = subprocess.run(
            command, cwd=folder, env={**os.environ, **variables}, stdout=None if shown else subprocess.PIPE, check=False
        )
    except OSError as problem:
        raise runner.Failed(
            f"{command[0]} cannot be run: {problem.strerror}; install it in a step before this one", "error"
        ) from problem
    said = (ran.stdout or b"").decode(errors="replace")
    if ran.returncode:
        for line in said.splitlines():
            runner.say(line)
        what = "the database change" if shown else "the preview of the database change"
        raise runner.Failed(f"{what} failed with {runner.ended(ran.returncode)}")
    return said


def begin_region(target: deployment.Target, digest: str, commit: str) -> None:
    """In production, record that the region is touched, and whether that can be undone."""
    if wave := runner.given("WAVE"):
        about = {"digest": digest, "commit": commit}
        irreversible = not target.settings["reversible"]
        now, lease = time.time(), record.lease()
        record.change(
            record.given(),
            lambda kept: record.begin_region(
                kept, record.run(), target.region, int(wave), about, now, lease, irreversible=irreversible
            ),
        )


main()
