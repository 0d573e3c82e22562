"""The order of two commits, by GitHub's API."""

import json
import os
import urllib.error
import urllib.request


def of(base: str, head: str) -> str:
    """Is `head` ahead of `base`, identical, behind or diverged? `unknown` where GitHub does not say.

    Source: https://docs.github.com/rest/commits/commits#compare-two-commits
    """
    if base == head:
        return "identical"
    address = (
        f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/compare/{base}...{head}?per_page=1"
    )
    headers = {"Accept": "application/vnd.github+json", "Authorization": f"Bearer {os.environ.get('INPUT_TOKEN', '')}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:  # noqa: S310
            return str(json.load(answer)["status"])
    except (urllib.error.URLError, ValueError, KeyError, TimeoutError):
        return "unknown"
