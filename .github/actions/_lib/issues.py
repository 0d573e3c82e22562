"""Issues of the repository that say how something is: one for each title, open as long as it is so."""

from collections.abc import Iterable
from typing import Any

import github
import runner

Issue = dict[str, Any]  # as GitHub has it


def opened(label: str) -> list[Issue]:
    """The open issues with a label.

    Raises:
        runner.Failed: GitHub said no, or could not be reached; of the others, too.
    """
    found = github.pages(f"issues?state=open&labels={label}")
    return [one for one in found if "pull_request" not in one]  # which GitHub lists among them


def keep(there: Iterable[Issue], title: str, label: str, body: str) -> None:
    """Open the issue, or say anew in the one that is open what there is to say.

    Args:
        there: the open ones of the label.
        label: by which it is found again; GitHub creates the label if it is missing.
    """
    for one in there:
        if one["title"] == title:
            if one["body"] != body:
                github.call(f"issues/{one['number']}", {"body": body}, "PATCH")
            runner.say(f"issue {one['number']} says so")
            return
    number = github.call("issues", {"title": title, "body": body, "labels": [label]})["number"]
    runner.say(f"issue {number} is open")


def close(there: Iterable[Issue]) -> None:
    """Close issues."""
    for one in there:
        github.call(f"issues/{one['number']}", {"state": "closed", "state_reason": "completed"}, "PATCH")
        runner.say(f"issue {one['number']} is closed")
