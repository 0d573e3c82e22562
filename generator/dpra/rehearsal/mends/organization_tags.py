"""Tags of an organisation's accounts, units, policies and root: by Organizations, and all at once by the Resource
Groups Tagging API of us-east-1, which names them organizations:account, :ou, :policy and :root. moto's does not.

That API tells of what has a tag, or has had one, and may hear of a change a little later, see `LAG`."""

# mypy: disable-error-code="assignment, attr-defined, method-assign"
from collections.abc import Callable, Iterator
from typing import Any

from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
from moto.organizations.models import (
    FakeAccount,
    FakeOrganizationalUnit,
    FakePolicy,
    OrganizationsBackend,
    organizations_backends,
)
from moto.resourcegroupstaggingapi import models as tagging
from moto.resourcegroupstaggingapi.exceptions import ResourceGroupsTaggingAPIError
from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend

from dpra.names import partition

from .organizations import Said, check_tags, invalid, refuse, serves, settle
from .protocol import now

LAG = 0.0  # seconds until the Resource Groups Tagging API hears of a change
REGION = {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-northwest-1"}  # where Organizations is
TYPES = {"ACCOUNT": "account", "ORGANIZATIONAL_UNIT": "ou", "ROOT": "root"}


def taggable(backend: OrganizationsBackend, number: str) -> Any:
    for one in every(backend):
        if one.id == number and not getattr(one, "aws_managed", False):
            return one
    refuse("TargetNotFoundException", f"You specified a target that doesn't exist: {number}")


def every(backend: OrganizationsBackend) -> Iterator[Any]:
    yield from backend.ou
    yield from backend.accounts
    yield from backend.policies


@serves
def tag_resource(backend: OrganizationsBackend, asked: Said) -> None:
    found = taggable(backend, asked["ResourceId"])
    check_tags(asked["Tags"], list(found.tags))
    changes(found).append((now(), dict(found.tags)))
    found.tags |= {tag["Key"]: tag["Value"] for tag in asked["Tags"]}


@serves
def untag_resource(backend: OrganizationsBackend, asked: Said) -> None:
    found = taggable(backend, asked["ResourceId"])
    if any(key.lower().startswith("aws:") for key in asked["TagKeys"]):
        invalid("Tags that begin with aws: are AWS's own.", "INVALID_SYSTEM_TAGS_PARAMETER")
    changes(found).append((now(), dict(found.tags)))
    for key in asked["TagKeys"]:
        if found.tags.pop(key, None) is not None:
            found.dpra_tagged = True


@serves
def list_tags_for_resource(backend: OrganizationsBackend, asked: Said) -> Said:
    found = taggable(backend, asked["ResourceId"])
    return {"Tags": [{"Key": key, "Value": value} for key, value in found.tags.items()]}


# ---- The Resource Groups Tagging API


def changes(one: Any) -> list[tuple[float, dict[str, str]]]:
    """When a thing's tags changed, and what they were before."""
    found: list[tuple[float, dict[str, str]]] = one.__dict__.setdefault("dpra_changes", [])
    return found


def known(one: Any) -> dict[str, str]:
    """The tags of which the API has heard."""
    young = [before for at, before in changes(one) if now() - at < LAG]
    return young[0] if young else dict(one.tags)


def remembering(start: Callable[..., None]) -> Callable[..., None]:
    """An __init__ that remembers when a thing was made."""

    def started(self: Any, *arguments: Any, **about: Any) -> None:
        start(self, *arguments, **about)
        changes(self).append((now(), {}))

    return started


_taggable_backends = tagging.iter_taggable_backends


class Tagged(TaggableResourcesMixin):
    """An organisation, as that API asks for it."""

    SERVICE_NAMESPACE = "organizations"

    def __init__(self, backend: OrganizationsBackend) -> None:
        self.backend, self.partition = backend, backend.partition

    def iter_tagged_resources(self) -> Iterator[TaggedResource]:
        for one in every(self.backend):
            more = {"include_untagged": True} if getattr(one, "dpra_tagged", False) else {}
            kind = TYPES.get(one.type, "policy")
            yield TaggedResource(one.arn, known(one), f"organizations:{kind}", more)

    def tag_resource(self, arn: str, tags: dict[str, str]) -> None:
        asked = [{"Key": key, "Value": value} for key, value in tags.items()]
        tag_resource(self.backend, {"ResourceId": arn.rpartition("/")[2], "Tags": asked})

    def untag_resource(self, arn: str, tag_keys: list[str]) -> None:
        untag_resource(self.backend, {"ResourceId": arn.rpartition("/")[2], "TagKeys": tag_keys})


def taggable_backends(account_id: str, region_name: str) -> Iterator[Any]:
    """iter_taggable_backends: and the organisation that is managed from the account."""
    yield from _taggable_backends(account_id, region_name)
    within = partition(region_name)
    if account_id in organizations_backends.keys() and region_name == REGION.get(within):  # noqa: SIM118
        backend = organizations_backends[account_id][within]
        if backend.org:
            settle(backend)
            yield Tagged(backend)


def get_resources(
    self: ResourceGroupsTaggingAPIBackend,
    pagination_token: str | None = None,
    resources_per_page: int = 50,
    tags_per_page: int = 100,
    tag_filters: list[dict[str, Any]] | None = None,
    resource_type_filters: list[str] | None = None,
    resource_arn_list: list[str] | None = None,
) -> tuple[str | None, list[TaggedResource]]:
    """ResourceGroupsTaggingAPIBackend.get_resources: pages are not shorter than asked for where resources have many
    tags, and a token is good for more than once. How many tags a page may have is not looked at."""
    found = list(self._get_resources_generator(tag_filters, resource_type_filters, resource_arn_list))
    start = int(pagination_token) if pagination_token and pagination_token.isdecimal() else 0
    if pagination_token and not 0 < start < len(found):
        raise ResourceGroupsTaggingAPIError("PaginationTokenExpiredException", "The token is of no page.")
    end = start + resources_per_page
    return str(end) if end < len(found) else "", found[start:end]


def mend() -> None:
    """Put them in place; the operations of Organizations are put there with those of `organizations`."""
    for kind in (FakeAccount, FakeOrganizationalUnit, FakePolicy):
        kind.__init__ = remembering(kind.__init__)
    tagging.iter_taggable_backends = taggable_backends
    ResourceGroupsTaggingAPIBackend.get_resources = get_resources
