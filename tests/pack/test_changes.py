"""Does a pull request touch what the component calls its own? In doubt it does."""

import json
from typing import Any

import pytest


def answer(job: Any, *globs: str) -> str:
    return str(job.use("changes", paths=json.dumps(globs)).outputs["relevant"])


@pytest.fixture
def merged(job: Any) -> Any:
    """GitHub's merge commit of a pull request, checked out with its parents."""

    def merge(*changed: str) -> Any:
        job.git("init", "--quiet")
        job.write("README.md", "1")
        job.write("services/shop/old.py", "1")
        job.git("add", "--all")
        job.git("commit", "--quiet", "-m", "first")
        job.git("checkout", "--quiet", "-b", "topic")
        for name in changed:
            if name.startswith("-"):
                job.git("rm", "--quiet", name[1:])
            else:
                job.write(name, "2")
        job.git("add", "--all")
        job.git("commit", "--quiet", "-m", "change")
        job.git("checkout", "--quiet", "main")
        job.write("elsewhere.txt", "what the trunk did meanwhile")
        job.git("add", "--all")
        job.git("commit", "--quiet", "-m", "meanwhile")
        job.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
        return job

    return merge


@pytest.mark.parametrize(
    ("changed", "globs", "relevant"),
    [
        ("services/shop/app.py", ["services/shop/**"], "true"),
        ("services/shop/deep/er/app.py", ["services/shop/**"], "true"),
        ("-services/shop/old.py", ["services/shop/**"], "true"),
        ("services/shopping/app.py", ["services/shop/**"], "false"),
        ("services/cart/app.py", ["services/shop/**", "libraries/**"], "false"),
        ("services/cart/app.py", ["services/*"], "false"),
        ("services/app.py", ["services/*"], "true"),
        ("docs/a.md", ["**/*.md"], "true"),
        ("a.md", ["**/*.md"], "true"),
        ("a.mdx", ["**/*.md"], "false"),
        ("services/shop/\nnew.py", ["services/**"], "true"),
        ("elsewhere2.txt", ["elsewhere.txt"], "false"),  # what the trunk did meanwhile is not of the pull request
    ],
)
def test_what_is_touched_is_told(merged: Any, changed: str, globs: list[str], relevant: str) -> None:
    assert answer(merged(changed), *globs) == relevant


def test_in_doubt_it_is_relevant(job: Any) -> None:
    assert answer(job, "services/**") == "true"  # no repository
    job.git("init", "--quiet")
    job.write("a", "1")
    job.git("add", "--all")
    job.git("commit", "--quiet", "-m", "no merge")
    assert answer(job, "services/**") == "true"
