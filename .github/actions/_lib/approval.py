"""The approval of a release where GitHub offers no reviewers: a reviewed pull request into a protected branch."""

from urllib.parse import quote

import github
import runner


def require_review(branch: str) -> None:
    """Make sure that what is merged into the branch has to be reviewed.

    A ruleset of any kind makes a branch `protected`, so one has to ask for a review; what a classic protection asks
    for, GitHub tells administrators only.

    Sources: https://docs.github.com/rest/branches/branches#get-a-branch,
        https://docs.github.com/rest/repos/rules#get-rules-for-a-branch

    Raises:
        runner.Failed: it is not protected, or there is no such branch.
    """
    name = quote(branch, safe="")
    try:
        found = github.call(f"branches/{name}")
    except github.Refused as refused:
        if refused.code == 404:
            raise runner.Failed(
                f"there is no approval branch {branch}: create it from the trunk and protect it, so that a "
                "pull request into it needs a review; that is the approval for production"
            ) from refused
        raise
    if not found.get("protected"):
        raise runner.Failed(
            f"the approval branch {branch} is not protected: what is merged into it needs no review. "
            "Protect it; in private repositories GitHub does that from the plans Pro and Team on"
        )
    if (found.get("protection") or {}).get("enabled"):
        return
    rules = github.call(f"rules/branches/{name}")
    wanted = [rule.get("parameters") or {} for rule in rules if rule.get("type") == "pull_request"]
    if not any(rule.get("required_approving_review_count") for rule in wanted):
        raise runner.Failed(
            f"the approval branch {branch} has no rule that requires an approving review of a pull request: add one"
        )


def approved(branch: str, commit: str) -> bool:
    """Whether the branch contains the commit itself, as after a merge commit or a fast-forward; a squash is another.

    Source: https://docs.github.com/rest/commits/commits#compare-two-commits
    """
    return github.call(f"compare/{commit}...{quote(branch, safe='')}?per_page=1")["status"] in ("ahead", "identical")
