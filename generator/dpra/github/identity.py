"""What GitHub knows a repository by: the ids that the trust of an account needs."""

from dpra.dataclasses import dataclass
from dpra.github import client
from dpra.spec.models import Spec

AGAIN = (
    "Names can be registered again: when this repository or its owner is deleted, renamed or moved, whoever takes the "
    "name is let in by it. An id is never given twice."
)
IMMUTABLE_SINCE = "2026-07-15"  # GitHub's changelog: immutable subject claims


@dataclass(frozen=True)
class Identity:
    """What GitHub knows a repository by."""

    name: str  # owner/name, as GitHub spells it
    repository_id: int
    owner_id: int
    created: str  # YYYY-MM-DD


def identity(github: client.Client, repository: str) -> Identity:
    """What GitHub's API says about a repository.

    Raises:
        GitHubError: it could not be asked, or does not know the repository.
    Source: https://docs.github.com/rest/repos/repos#get-a-repository
    """
    said = client.get(github, f"/repos/{repository}")
    try:
        return Identity(str(said["full_name"]), int(said["id"]), int(said["owner"]["id"]), str(said["created_at"])[:10])
    except (ValueError, KeyError, TypeError) as error:
        raise client.GitHubError(f"{github.api} answers something else than a repository") from error


def advice(found: Identity) -> str:
    """What to do with ids that dpra.yml lacks."""
    sends = (
        "its tokens carry these ids: without them no job is let in"
        if found.created >= IMMUTABLE_SINCE
        else f"its tokens carry these ids if it was renamed or moved since {IMMUTABLE_SINCE}"
    )
    return (
        f"dpra.yml does not have the ids of {found.name}; GitHub says them, and here the trust has them.\n"
        "So that infrastructure/dpra has them, too, add these lines to dpra.yml and run dpra generate:\n"
        f"  repository-id: {found.repository_id}\n"
        f"  owner-id: {found.owner_id}\n"
        f"It was made on {found.created}; {sends}.\n{AGAIN}"
    )


def by_name(spec: Spec) -> str:
    """What it means that the ids are not known."""
    return (
        f"The trust knows {spec.repository} by its name only. A repository made, renamed or moved after "
        f"{IMMUTABLE_SINCE} needs repository-id and owner-id in dpra.yml, or no job is let in.\n{AGAIN}\n"
        f"The ids: gh api repos/{spec.repository} --jq '.id, .owner.id'"
    )
