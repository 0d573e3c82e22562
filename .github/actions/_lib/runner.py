"""What a script says to the runner: log commands, step outputs, the step summary. User text is made inert first."""

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

LONGEST = 500  # characters of somebody else's text that are shown


class Failed(Exception):
    """The answer is no. `result` goes into the evidence: "fail", or "error" where the action could not do its work."""

    def __init__(self, message: str = "", result: str = "fail") -> None:
        super().__init__(message)
        self.result = result


class Held(Exception):
    """It may not go on yet, and nothing is wrong. The message says what will let it."""


def given(name: str) -> str:
    """An input of the action (the step's env gives it as INPUT_<NAME>)."""
    return os.environ.get(f"INPUT_{name}", "").strip()


def required(name: str) -> str:
    if value := given(name):
        return value
    raise Failed(f"the input '{name.lower().replace('_', '-')}' is required", "error")


def switch(name: str) -> bool:
    """An input that is true or false: any other word must leave nothing out."""
    if (said := required(name)) not in ("true", "false"):
        raise Failed(f"the input '{name.lower().replace('_', '-')}' is '{said}': needs true or false", "error")
    return said == "true"


def duty(duties: Mapping[str, Callable[[], None]]) -> Callable[[], None]:
    """The one of an action's duties that its input `do` names."""
    if (said := given("DO")) not in duties:
        raise Failed(f"the input 'do' is '{said}': choose one of {', '.join(duties)}", "error")
    return duties[said]


def perform(duties: Mapping[str, Callable[[], None]], title: str) -> None:
    """Do the one that the input `do` names; what stops it becomes an error, unless told already, and exit code 1."""
    try:
        duty(duties)()
    except (Failed, OSError, subprocess.CalledProcessError) as failed:
        if str(failed):
            error(str(failed), title=title)
        sys.exit(1)


def deployment_outputs() -> str:
    """The input `deployment-outputs`, a JSON object: as it stands, or in the file of that name."""
    said = given("DEPLOYMENT_OUTPUTS") or "{}"
    try:
        text = said if said.startswith("{") else Path(said).read_text(encoding="utf-8")
        if isinstance(json.loads(text), dict):
            return text
    except (OSError, ValueError):
        pass
    raise Failed("the input 'deployment-outputs' is neither a JSON object nor a file with one", "error")


def job_results() -> dict[str, str]:
    """The result of every job, from the input `needs`, toJSON(needs); but for those that were skipped and may be."""
    skipped = skipped_jobs()
    return {job: result for job, result in _needs().items() if job not in skipped}


def skipped_jobs(*, every: bool = False) -> set[str]:
    """The jobs that were skipped and may be: those of `may-be-skipped`; of a held release, any; or `every` one."""
    may_be_skipped, every = given("MAY_BE_SKIPPED").split(), every or bool(given("HELD"))
    return {job for job, result in _needs().items() if result == "skipped" and (every or job in may_be_skipped)}


def _needs() -> dict[str, str]:
    try:
        return {job: str(need["result"]) for job, need in json.loads(given("NEEDS") or "{}").items()}
    except (ValueError, TypeError, AttributeError, KeyError) as problem:
        raise Failed("the input 'needs' is not toJSON(needs)", "error") from problem


def temp() -> Path:
    return Path(os.environ["RUNNER_TEMP"])


def bash(command: str, directory: str = ".", **variables: str) -> int:
    """Run a user's command, which stops at its first failure; its exit code."""
    if not Path(directory).is_dir():
        raise Failed(f"the working directory '{directory}' does not exist", "error")
    words = ["bash", "-euo", "pipefail", "-c", command]
    code = subprocess.run(words, cwd=directory, env={**os.environ, **variables}, check=False).returncode
    print(flush=True)  # Maven leaves its last line open, and a log command is one at the start of a line only
    return code


def ended(exit_code: int) -> str:
    return f"exit code {exit_code}" if exit_code >= 0 else f"signal {-exit_code}"


def inert(text: str) -> str:
    """One short printable line, without the `##[` that starts a log command anywhere in a line."""
    shown = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    # Category C: control, format (bidi) and surrogate characters. All kinds of white space become one blank.
    shown = "".join(" " if unicodedata.category(character)[0] == "C" else character for character in shown)
    return " ".join(shown.split()).replace("##[", "# #[")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _command(name: str, text: str, **properties: str | int) -> None:
    if os.environ.get("GITHUB_ACTIONS") != "true":  # on a developer's machine
        place = ":".join(inert(str(properties[key])) for key in ("file", "line", "col") if properties.get(key))
        print(f"{place}: {inert(text)}" if place else inert(text), flush=True)
        return
    given = [
        f"{key}={_data(inert(str(value))).replace(':', '%3A').replace(',', '%2C')}"
        for key, value in properties.items()
        if value
    ]
    print(f"::{name}{' ' if given else ''}{','.join(given)}::{_data(inert(text))}", flush=True)


def error(text: str, file: str = "", line: int = 0, title: str = "", column: int = 0) -> None:
    _command("error", text, file=file, line=line, col=column if line else 0, title=title)


def notice(text: str, title: str = "") -> None:
    _command("notice", text, title=title)


def warning(text: str, file: str = "", line: int = 0, title: str = "", column: int = 0) -> None:
    _command("warning", text, file=file, line=line, col=column if line else 0, title=title)


def say(text: str) -> None:
    """A plain log line; one that starts with `::`, blanks or not before it, would be a command."""
    line = inert(text)
    print(f"> {line}" if line.startswith("::") else line, flush=True)


def output(name: str, value: str) -> None:
    """An output of the step. The value is of the action's making and one line: a path, a digest, JSON in ASCII."""
    _append("GITHUB_OUTPUT", f"{name}={value}\n")


def environment(variables: Mapping[str, str]) -> None:
    """Variables of the job's steps from now on. Their values are of the action's making, and one line."""
    _append("GITHUB_ENV", "".join(f"{name}={value}\n" for name, value in variables.items()))


def mask(*secrets: str) -> None:
    """From now on the runner shows *** in their place."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for secret in secrets:
            print(f"::add-mask::{_data(secret)}", flush=True)


def code(text: str) -> str:
    """User text for Markdown: a code span, in which nothing has a meaning but the two characters replaced."""
    return "`" + (inert(text).replace("`", "'").replace("|", "¦") or " ") + "`"


def summary(title: str, head: Sequence[str] = (), rows: Iterable[Sequence[str]] = ()) -> None:
    """A heading and a table in the step summary; cells are Markdown."""
    lines = [f"### {title}", ""]
    if head:
        lines += [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)] + [""]
    _append("GITHUB_STEP_SUMMARY", "\n".join(lines) + "\n")


def shown(file: Path) -> None:
    """Markdown of the action's making, in which user text is inert already, in the step summary; if it is there."""
    if file.is_file():
        _append("GITHUB_STEP_SUMMARY", file.read_text(encoding="utf-8") + "\n")


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
