"""The run's evidence: one JSON object a line in $RUNNER_TEMP/dpra/evidence.jsonl, one line for each action that ran.

By hand: evidence.py ACTION RESULT [--tool TOOL] [--region REGION]
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import runner

RESULTS = ("pass", "held", "fail", "error")


def directory() -> Path:
    path = runner.temp() / "dpra"
    path.mkdir(parents=True, exist_ok=True)
    return path


def append(
    action: str,
    result: str,
    *,
    tool: str = "",
    version: str = "",
    region: str = "",
    findings: dict[str, int] | None = None,
    seconds: float = 0.0,
    where: str = "",
    advisory: str = "",
    waivers: list[dict[str, Any]] | None = None,
    baseline: int = 0,
    coverage: float | None = None,
    override: str = "",
) -> None:
    """One record; docs/evidence.schema.json describes it.

    `advisory` is the reason why the action does not block, `override` the one for which a rule was set aside."""
    record = {
        "schema": 1,
        "action": action,
        "job": os.environ.get("GITHUB_JOB", ""),
        "region": region,
        "tool": tool,
        "version": version,
        "gate": "advisory" if advisory else "blocks",
        "reason": advisory,
        "result": result,
        "findings": findings or {},
        "waivers": waivers or [],
        "baseline": baseline,
        **({} if coverage is None else {"coverage": coverage}),
        **({"override": override} if override else {}),
        "seconds": round(seconds, 2),
        "commit": os.environ.get("GITHUB_SHA", ""),
        "run": os.environ.get("GITHUB_RUN_ID", ""),
        "attempt": os.environ.get("GITHUB_RUN_ATTEMPT", ""),
        "where": where,
    }
    with open(directory() / "evidence.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


@contextmanager
def recorded(action: str, **facts: Any) -> Iterator[dict[str, Any]]:
    """Do an action inside: it is timed and recorded however it ends; `runner.Failed` becomes an error and exit code 1,
    `runner.Held` a warning.

    The block may add to the facts it is given (`tool`, `findings`, ...). Where the input `advisory` gives a reason, the
    record says the same, but it warns and does not fail."""
    advisory = runner.given("ADVISORY")
    say = runner.warning if advisory else runner.error
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", action):
        # It becomes part of file names.
        runner.error(f"'{action}' is not the id of a DPRA action: lower-case words with hyphens")
        sys.exit(1)
    started = time.monotonic()
    result = "error"
    try:
        yield facts
        result = "pass"
    except runner.Held as held:
        result = "held"
        runner.warning(str(held), title="held")
    except runner.Failed as failed:
        result = failed.result
        if str(failed):  # else it has been printed
            say(str(failed), title=action)
        if not advisory:
            sys.exit(1)
    except OSError as problem:
        say(f"{problem.strerror}: {problem.filename}", title=action)
        if not advisory:
            sys.exit(1)
    finally:
        append(action, result, seconds=time.monotonic() - started, advisory=advisory, **facts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Append one record to the run's evidence.")
    parser.add_argument("action")
    parser.add_argument("result", choices=RESULTS)
    parser.add_argument("--tool", default="")
    parser.add_argument("--region", default="")
    arguments = parser.parse_args()
    append(arguments.action, arguments.result, tool=arguments.tool, region=arguments.region)
