"""Does this pull request touch what the input `paths` names? Says so in the output `relevant`; in doubt it does.

The commit is GitHub's merge of the pull request: what it changes against its first parent is what the pull request
changes. `*` stands for anything but a slash, `**` for anything, as in GitHub's own path filters.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent))
import runner


@cache
def pattern(glob: str) -> re.Pattern[str]:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*\*|\*)", glob)
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts), re.DOTALL)


def changed() -> list[str] | None:
    """The files that the merge commit changes; None if it is no merge commit, or its parent is not there."""
    ran = subprocess.run(
        ["git", "diff", "--name-only", "--no-renames", "-z", "HEAD^1", "HEAD"], capture_output=True, check=False
    )
    merge = subprocess.run(["git", "rev-parse", "--verify", "--quiet", "HEAD^2"], capture_output=True, check=False)
    if ran.returncode or merge.returncode:
        return None
    return [os.fsdecode(name) for name in ran.stdout.split(b"\0") if name]


def relevant(files: Iterable[str] | None, globs: Iterable[str]) -> bool:
    if files is None:
        return True
    patterns = [pattern(glob) for glob in globs]
    return any(one.fullmatch(file) for file in files for one in patterns)


if __name__ == "__main__":
    found = changed()
    answer = relevant(found, json.loads(runner.required("PATHS")))
    runner.say(f"{'unknown' if found is None else len(found)} files changed; relevant: {answer}")
    runner.output("relevant", str(answer).lower())
