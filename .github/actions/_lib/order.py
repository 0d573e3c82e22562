"""The order of two commits, by GitHub's API."""

import github
import runner


def compare(base: str, head: str) -> str:
    """Is `head` ahead of `base`, identical, behind or diverged? `unknown` where GitHub does not answer.

    Source: https://docs.github.com/rest/commits/commits#compare-two-commits
    """
    if base == head:
        return "identical"
    try:
        return str(github.call(f"compare/{base}...{head}?per_page=1")["status"])
    except (runner.Failed, LookupError, TypeError):
        return "unknown"
