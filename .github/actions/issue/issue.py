"""Opens an issue of the repository."""

import sys
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import github
import runner


def main() -> None:
    try:
        issue = {"title": runner.inert(runner.required("TITLE")), "body": runner.given("BODY")}
        if label := runner.given("LABEL"):
            issue["labels"] = [label]
        number = int(github.call("issues", issue)["number"])
    except runner.Failed as failed:
        runner.error(str(failed))
        sys.exit(1)
    runner.output("number", str(number))
    runner.say(f"issue {number} is open")


main()
