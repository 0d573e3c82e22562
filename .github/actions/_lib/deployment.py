"""What every deploy tool has in common. A tool is one file, deployers/<tool>.py, with three functions:

deploy(target, change)  shows the change, calls change.before(), makes it and waits for its end; a Done
settled(target)         returns when nothing changes any more what runs there
running(target)         the digest of the release that runs there; empty where none does, or nobody knows

One that deploys flags has two more:

switch_off(target, change, flag)  switches a flag off in what runs there; whether what runs there has it
drift(target)                     what somebody else changed: profile, key, the value of dpra, the value that is there

One whose releases have versions has one more:

named(target, version)  the digest of the release of a version; empty where none has it
"""

import importlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import head
import release
import runner
import session
import store

LONGEST_PAUSE = 10  # seconds between two polls


@dataclass(frozen=True)
class Target:
    """Where to: a component in one account and region, and the bucket its releases are taken from."""

    component: str
    environment: str
    account: str
    region: str
    bucket: str
    stack: str  # of tools whose deployments are stacks; several with blanks between
    settings: Mapping[str, Any]  # the tool's own
    execution_role: str
    unit: str = ""  # of a fleet: the part of it that is deployed

    def text(self, name: str, otherwise: str = "") -> str:
        """A setting that may differ by environment, account and region."""
        return self.filled(str(self.settings.get(name) or otherwise))

    def filled(self, text: str) -> str:
        """The text with this target's {environment}, {account} and {region}."""
        for word in ("environment", "account", "region"):
            text = text.replace(f"{{{word}}}", str(getattr(self, word)))
        return text


@dataclass(frozen=True)
class Change:
    """What to deploy: a verified release.

    before: is called right before anything that runs is changed; where it fails, nothing is.
    stored: the release lies in the target's bucket already.
    triggers: ARNs of alarms; where one fires meanwhile the change is rolled back. A rollback has none: the alarm that
        fires would undo it.
    at_once: without the steps of a progressive deployment, as a rollback, and wherever no customer is.
    back: to a release that ran there before.
    override: the reason for which a release replaces what somebody else changed meanwhile.
    notes: what is new in it, in one line of dpra's own words.
    """

    release: Path
    digest: str
    commit: str
    before: Callable[[], None]
    stored: bool
    triggers: Sequence[str] = ()
    at_once: bool = False
    back: bool = False
    override: str = ""
    notes: str = ""

    @property
    def image(self) -> str:
        """The address of the release's container image, signed with it; empty where it has none."""
        path = self.release / release.IMAGE
        return str(json.loads(path.read_bytes())["uri"]) if path.is_file() else ""

    def base_image(self, region: str) -> str:
        """The AMI of a region that the release is made on, signed with it; empty where it is made on none."""
        path = self.release / release.BASE
        return str(json.loads(path.read_bytes())["amis"].get(region, "")) if path.is_file() else ""


@dataclass(frozen=True)
class Done:
    """What a deployment left: what the tool calls it, when the change began (UTC, ISO 8601), outputs for tests."""

    change: str
    started: str
    outputs: Mapping[str, str]


class Tool(Protocol):
    def deploy(self, target: Target, change: Change) -> Done: ...
    def settled(self, target: Target) -> None: ...
    def running(self, target: Target) -> str: ...


@runtime_checkable
class WithFlags(Protocol):
    def switch_off(self, target: Target, change: Change, flag: str) -> bool: ...
    def drift(self, target: Target) -> Sequence[tuple[str, str, str, str]]: ...


@runtime_checkable
class WithVersions(Protocol):
    def named(self, target: Target, version: str) -> str: ...


def tool() -> Tool:
    """The tool that the input `tool` names."""
    name = tool_name()
    there = sorted(path.stem for path in Path(__file__).with_name("deployers").glob("*.py"))
    if name not in there:
        raise runner.Failed(f"the deploy tool '{name}' is unknown: choose one of {', '.join(there)}", "error")
    found: Any = importlib.import_module(f"deployers.{name}")
    return found  # type: ignore[no-any-return]


def tool_name() -> str:
    return runner.given("TOOL") or "cloudformation"


def deploys_stacks() -> bool:
    """Whether the tool's deployments are stacks, as the head of its file says."""
    path = Path(__file__).with_name("deployers") / f"{tool_name()}.py"
    return path.is_file() and head.header(path).get("deploys") == ["stacks"]


def target(region: str, bucket: str) -> Target:
    """The target that the action's inputs name."""
    try:
        settings = json.loads(runner.given("SETTINGS") or "{}")
    except ValueError as problem:
        raise runner.Failed("the input 'settings' is not JSON", "error") from problem
    if not isinstance(settings, dict):
        raise runner.Failed("the input 'settings' is not a JSON object", "error")
    return Target(
        component=runner.required("COMPONENT"),
        environment=runner.required("ENVIRONMENT"),
        account=runner.required("ACCOUNT"),
        region=region,
        bucket=bucket,
        stack=runner.required("STACK").replace("{region}", region) if deploys_stacks() else "",
        settings=settings,
        execution_role=runner.given("EXECUTION_ROLE"),
        unit=runner.given("UNIT"),
    )


def release_named(word: str, region: str, bucket: str) -> str:
    """The digest of the release whose version the word is, where the tool knows versions; else the word."""
    one = tool()
    return (one.named(target(region, bucket), word) if word and isinstance(one, WithVersions) else "") or word


# ---- What several tools do


def store_package(target: Target, change: Change) -> str:
    """The key of the release's package in the target's bucket; it is put there unless it lies there."""
    key = f"{target.component}/{change.digest}/package.zip"
    if not change.stored:
        store.put_once(target.region, target.bucket, target.account, key, change.release / "package.zip")
    return key


def unpack(change: Change) -> Path:
    """The folder with the package's files."""
    folder = Path(tempfile.mkdtemp(dir=runner.temp()))
    release.unpack(change.release, folder)
    return folder


def assume_execution_role(target: Target) -> dict[str, str]:
    """The environment of a program that acts with the execution role; without one, as we do."""
    return session.chained("execution", target.execution_role, target.region) if target.execution_role else {}


def alarm_names(change: Change) -> list[str]:
    """The names of the alarms whose ARNs are triggers."""
    return [arn.partition(":alarm:")[2] for arn in change.triggers]


def timestamp() -> str:
    """Now, as the release record and the tests of metrics read it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def show(what: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """What a deployment is about to change, in the log and the step summary."""
    for row in rows:
        runner.say("  ".join(row))
    if rows:
        runner.summary(f"changes of {runner.code(what)}", head, [[runner.code(cell) for cell in row] for row in rows])
    else:
        runner.say(f"{what}: no changes")


def polls() -> Iterator[None]:
    """Now, and again after longer and longer pauses. What AWS does ends by itself; not to ask would not stop it."""
    pause = 1
    while True:
        yield
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
