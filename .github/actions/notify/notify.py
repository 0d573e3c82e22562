"""Decides the pipeline's state from the results of its jobs and tells a webhook. A chat that is down fails nothing."""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import evidence
import runner

TRIES = 3
LONGEST_PAUSE = 30  # seconds


def describe(jobs: dict[str, str], held: str = "") -> tuple[str, str]:
    """The state, and what made it so. Without jobs it is unknown."""
    if not jobs:
        return "unknown", "no job result is known"
    wrong = [f"{job} {result}" for job, result in jobs.items() if result != "success"]
    if wrong:
        return "broken", ", ".join(wrong)
    return ("held", held) if held else ("healthy", "every job succeeded")


def message(subject: str, state: str, why: str, jobs: dict[str, str]) -> dict[str, Any]:
    repository = os.environ["GITHUB_REPOSITORY"]
    run_url = f"{os.environ['GITHUB_SERVER_URL']}/{repository}/actions/runs/{os.environ['GITHUB_RUN_ID']}"
    said = runner.inert(f"{subject}: {state} ({why})")
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # chats give <!channel> a meaning
        said = said.replace(sign, entity)
    return {
        "text": f"{said} {run_url}",
        "subject": subject,
        "state": state,
        "repository": repository,
        "commit": os.environ["GITHUB_SHA"],
        "run_url": run_url,
        "jobs": jobs,
    }


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, and count as delivered."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


def post(webhook: str, body: dict[str, Any]) -> str:
    """Why it was not delivered; empty if it was. Never the URL, which is a secret, nor a message that may quote it."""
    opener = urllib.request.build_opener(_NoRedirect)
    problem = ""
    for attempt in range(TRIES):
        try:
            place = urllib.parse.urlsplit(webhook)
            if place.scheme != "https" and (place.scheme, place.hostname) != ("http", "127.0.0.1"):
                return "its URL is not https"
            request = urllib.request.Request(  # noqa: S310 - the scheme was checked
                webhook, json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            opener.open(request, timeout=10).close()
            return ""
        except urllib.error.HTTPError as error:
            problem = f"it answered {error.code}"
            if error.code != 429 and error.code < 500:
                return problem
            wait = error.headers.get("Retry-After", "")
            pause = int(wait) if wait.isdecimal() else 2**attempt
        except Exception as error:  # whatever it is, only its name is safe to print
            problem, pause = type(error).__name__, 2**attempt
        if attempt < TRIES - 1:
            time.sleep(min(pause, LONGEST_PAUSE))
    return problem


def main() -> None:
    with evidence.recorded(runner.given("ACTION"), tool="webhook"):
        subject, webhook = runner.required("SUBJECT"), runner.given("WEBHOOK")
        when = runner.given("WHEN") or "failure"
        if when not in ("failure", "always"):
            raise runner.Failed(f"the input 'when' is '{when}': choose failure or always", "error")
        jobs = runner.job_results()
        state, why = describe(jobs, runner.given("HELD"))
        runner.output("state", state)
        runner.say(f"{subject}: {state} ({why})")
        runner.summary(
            f"{state}: {runner.code(subject)}",
            ("job", "result"),
            [list(map(runner.code, job)) for job in jobs.items()],
        )
        if state in ("healthy", "held") and when == "failure":
            runner.say("no notification is needed")
        elif not webhook:
            runner.say("no webhook is set, so no notification is sent")
        elif problem := post(webhook, message(subject, state, why, jobs)):
            runner.warning(f"the webhook did not accept the notification: {problem}; check its URL")


main()
