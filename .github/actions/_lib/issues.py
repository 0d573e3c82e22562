"""Issues of the repository that say how something is: one for each title, open as long as it is so."""

from typing import Any

import github
import runner


def keep(title: str, label: str, body: str) -> None:
    """Open the issue, or say anew in the one that is open what there is to say.

    Args:
        label: by which it is found again; GitHub creates the label if it is missing.

    Raises:
        runner.Failed: GitHub said no, or could not be reached.
    """
    for one in _open(title, label):
        if one["body"] != body:
            github.call(f"issues/{one['number']}", {"body": body}, "PATCH")
        runner.say(f"issue {one['number']} says so")
        return
    number = github.call("issues", {"title": title, "body": body, "labels": [label]})["number"]
    runner.say(f"issue {number} is open")


def close(title: str, label: str) -> None:
    """Close the issue, where one is open."""
    for one in _open(title, label):
        github.call(f"issues/{one['number']}", {"state": "closed", "state_reason": "completed"}, "PATCH")
        runner.say(f"issue {one['number']} is closed")


def _open(title: str, label: str) -> list[dict[str, Any]]:
    found = github.call(f"issues?state=open&labels={label}&per_page=100")
    return [one for one in found if one["title"] == title and "pull_request" not in one]
