"""Was this commit green in its pull request? Then what a scanner finds in it now is new knowledge, not a new fault."""

import os
import urllib.parse

import github
import runner


def passed_in_pull_request(job: str) -> str:
    """The number of the merged pull request in which the job passed; empty where none did, or GitHub does not answer.

    Source: https://docs.github.com/rest/commits/commits#list-pull-requests-associated-with-a-commit"""
    sha = os.environ["GITHUB_SHA"]
    try:
        for pull in github.call(f"commits/{sha}/pulls"):
            if not pull["merged_at"] or pull["merge_commit_sha"] != sha:
                continue
            name = urllib.parse.quote(job)
            found = github.call(f"commits/{pull['head']['sha']}/check-runs?check_name={name}&filter=latest")[
                "check_runs"
            ]
            results = [(one["app"]["slug"], one["conclusion"]) for one in found]
            if results and set(results) == {("github-actions", "success")}:
                return str(pull["number"])
    except (runner.Failed, LookupError, TypeError) as problem:
        runner.warning(
            f"GitHub does not say whether this commit passed in its pull request, so what is found fails: {problem}"
        )
    return ""
