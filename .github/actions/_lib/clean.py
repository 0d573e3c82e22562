"""The environment of what judges: an allow-list, so that nothing that ran before can steer it by a variable."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

NAMES = {
    *("PATH", "LANG", "LANGUAGE", "TZ", "SYSTEMROOT"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
}
BEGINNINGS = ("LC_", "RUNNER_", "GITHUB_", "DPRA_")
# What a step writes to for the runner to obey, or for the next steps to get.
COMMANDS = {"GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY", "GITHUB_TOKEN"}


def environment(*more: str) -> dict[str, str]:
    """This process's, as far as it is on the list; `more` names others, with a `*` at the end for all that so begin."""
    beginnings = (*BEGINNINGS, *(name.removesuffix("*") for name in more if name.endswith("*")))
    return {
        name: value
        for name, value in os.environ.items()
        if (name.upper() in NAMES or name in more or name.startswith(beginnings)) and name not in COMMANDS
    }


def run(words: Sequence[str], *more: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command in that environment and an empty directory: some read a configuration even to say their version."""
    with tempfile.TemporaryDirectory() as empty:
        return subprocess.run(words, cwd=empty, env=environment(*more), text=True, check=False, **options)
