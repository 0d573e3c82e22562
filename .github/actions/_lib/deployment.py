"""What every deploy tool has in common. A tool is one file, deployers/<tool>.py, with three functions:

deploy(target, change)  shows the change, calls change.before(), makes it and waits for its end; a Done
settled(target)         returns when nothing changes any more what runs there
running(target)         the digest of the release that runs there; empty where none does, or nobody knows
"""

import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aws
import runner

STACKS = ("cloudformation", "sam", "cdk")  # the tools whose deployments are stacks
LONGEST_PAUSE = 10  # seconds between two looks


@dataclass(frozen=True)
class Target:
    """Where to: a component in one account and region, and the bucket its releases are taken from."""

    component: str
    environment: str
    account: str
    region: str
    bucket: str
    stack: str  # of STACKS' tools; several with blanks between
    settings: Mapping[str, Any]  # the tool's own
    execution_role: str

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
    triggers: ARNs of alarms; where one fires meanwhile the change is taken back. A rollback has none: the alarm that
        fires would undo it.
    """

    release: Path
    digest: str
    commit: str
    before: Callable[[], None]
    stored: bool
    triggers: Sequence[str] = ()

    @property
    def image(self) -> str:
        """The address of the release's container image, signed with it; empty where it has none."""
        path = self.release / "image.json"
        return str(json.loads(path.read_bytes())["uri"]) if path.is_file() else ""


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


def tool() -> Tool:
    """The tool that the input `tool` names."""
    name = chosen()
    there = sorted(path.stem for path in Path(__file__).with_name("deployers").glob("*.py"))
    if name not in there:
        raise runner.Failed(f"there is no deploy tool '{name}'; there is {', '.join(there)}", "error")
    found: Any = importlib.import_module(f"deployers.{name}")
    return found  # type: ignore[no-any-return]


def chosen() -> str:
    return runner.given("TOOL") or "cloudformation"


def target(region: str, bucket: str) -> Target:
    """The target that the action's inputs name."""
    try:
        settings = json.loads(runner.given("SETTINGS") or "{}")
    except ValueError as problem:
        raise runner.Failed("the input 'settings' is no JSON", "error") from problem
    if not isinstance(settings, dict):
        raise runner.Failed("the input 'settings' is no JSON object", "error")
    return Target(
        component=runner.required("COMPONENT"),
        environment=runner.required("ENVIRONMENT"),
        account=runner.required("ACCOUNT"),
        region=region,
        bucket=bucket,
        stack=runner.required("STACK") if chosen() in STACKS else "",
        settings=settings,
        execution_role=runner.given("EXECUTION_ROLE"),
    )


# ---- What several tools do


def stored(target: Target, change: Change) -> str:
    """The key of the release's package in the target's bucket; it is put there unless it lies there."""
    key = f"{target.component}/{change.digest}/package.zip"
    if not change.stored:
        aws.call(
            *(target.region, "s3api", "put-object", "--body", str(change.release / "package.zip")),
            Bucket=target.bucket,
            Key=key,
            ExpectedBucketOwner=target.account,  # nobody else's bucket of that name
        )
    return key


def looks() -> Iterator[None]:
    """Now, and again after longer and longer pauses. What AWS does ends by itself; not to look would not stop it."""
    pause = 1
    while True:
        yield
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
