"""What GitHub says of pins: is the commit the one that the tag names?"""

from collections.abc import Iterable, Iterator

from dpra.dataclasses import dataclass
from dpra.github import client as api

NESTED = 5  # annotated tags of annotated tags


@dataclass(frozen=True)
class Pin:
    """A repository's commit, and the tag that is said to name it."""

    repository: str
    tag: str
    commit: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.commit} # {self.tag}"


def commit_of(one: api.Client, repository: str, tag: str) -> str:
    """The commit that a tag names; empty where there is no such tag.

    Raises:
        GitHubError: GitHub could not be asked, or does not show the repository.
    """
    try:
        found = api.get(one, f"/repos/{repository}/git/ref/tags/{tag}")["object"]
        for _ in range(NESTED):
            if found["type"] != "tag":
                return str(found["sha"])
            found = api.get(one, f"/repos/{repository}/git/tags/{found['sha']}")["object"]
    except api.Refused as error:
        if error.status != 404:
            raise
        api.get(one, f"/repos/{repository}")  # it may be one that is not shown
        return ""
    except (TypeError, KeyError):
        pass
    raise api.GitHubError(f"{one.api} does not say what {tag} of {repository} is")


def verified(pins: Iterable[Pin]) -> Iterator[tuple[Pin, str, str]]:
    """Each pin, whether it is verified, wrong or unverified, and why. Who cannot reach GitHub asks it once."""
    out = ""
    try:
        one = api.client()
    except api.GitHubError as error:
        out = str(error)
    for pin in pins:
        try:
            found = "" if out else commit_of(one, pin.repository, pin.tag)
        except api.GitHubError as error:
            if isinstance(error, api.Refused) and not isinstance(error, api.RateLimited):
                yield pin, "unverified", str(error)
                continue
            out = str(error)
        if out:
            yield pin, "unverified", out
        elif found == pin.commit:
            yield pin, "verified", ""
        else:
            yield pin, "wrong", f"{pin.repository} has {found or 'no commit'} under the tag {pin.tag}"
