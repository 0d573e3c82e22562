"""Was this commit green in its pull request? Then what a scanner finds in it now is new knowledge, not a new fault."""

import os
import urllib.parse

import github
import runner


def before(job: str) -> str:
    """The number of the merged pull request in which the job passed; empty where none did, or GitHub does not say.

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
            said = [(one["app"]["slug"], one["conclusion"]) for one in found]
            if said and set(said) == {("github-actions", "success")}:
                return str(pull["number"])
    except (runner.Failed, LookupError, TypeError) as problem:
        runner.warning(f"whether this commit was green in its pull request is not known: {problem}")
    return ""
