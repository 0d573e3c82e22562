"""Runs the FIS experiments of the deployed stack, each output that is a template's id; a JSON line for each finding.

Source: https://docs.aws.amazon.com/fis/latest/userguide/experiments.html
"""

import json
import os
import re
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any, NoReturn

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import runner

LONGEST = 20 * 60  # seconds; the stage has 30 minutes
ENDED = ("completed", "stopped", "failed", "cancelled")
REGION = os.environ.get("AWS_REGION", "")


def ended(template: str) -> dict[str, Any]:
    """The experiment's last state. Whatever happens here, no fault goes on after this."""
    request = {"clientToken": str(uuid.uuid4()), "experimentTemplateId": template, "tags": {"dpra:run": run()}}
    experiment = aws.call(REGION, "fis", "start-experiment", **request)["experiment"]
    began, pause = time.monotonic(), 1.0
    try:
        while experiment["state"]["status"] not in ENDED and time.monotonic() - began < LONGEST:
            time.sleep(pause)
            pause = min(pause * 1.5, 15)
            experiment = aws.call(REGION, "fis", "get-experiment", id=experiment["id"])["experiment"]
            print(f"{template}: {experiment['state']['status']}", file=sys.stderr, flush=True)
    finally:
        if experiment["state"]["status"] not in ENDED:
            aws.call(REGION, "fis", "stop-experiment", id=experiment["id"])
    return experiment


def run() -> str:
    return f"{os.environ.get('GITHUB_REPOSITORY', '')}/{os.environ.get('GITHUB_RUN_ID', '')}"


def interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    signal.signal(signal.SIGTERM, interrupted)
    outputs = json.loads(os.environ["DEPLOYMENT_OUTPUTS"])
    templates = [str(value) for value in outputs.values() if re.fullmatch(r"EXT[0-9A-Za-z]{8,64}", str(value))]
    if not templates:
        sys.exit("No output of the stack is the id of an AWS::FIS::ExperimentTemplate, so nothing runs: output one.")
    for template in templates:
        try:
            experiment = ended(template)
        except runner.Failed as failed:
            sys.exit(str(failed))
        state = experiment["state"]
        if state["status"] != "completed":  # an alarm of its stop conditions went off, or it could not do its work
            text = f"the experiment {template} {state['status']}: {state.get('reason', 'no reason given')}"
            print(json.dumps({"rule": state["status"], "severity": "high", "text": text}))
        if not experiment.get("actions"):
            print(
                json.dumps(
                    {"rule": "no-faults", "severity": "high", "text": f"{template} has no actions: it proves nothing"}
                )
            )
        if all(
            condition.get("source") == "none" for condition in experiment.get("stopConditions") or [{"source": "none"}]
        ):
            text = f"{template} has no alarm as stop condition, so a lost steady state would not stop it: add one"
            print(json.dumps({"rule": "no-stop-condition", "severity": "high", "text": text}))


main()
