"""The tags of what dpra makes in AWS: by them roles are bound, and things are found again."""

from collections.abc import Mapping
from typing import Any

COMPONENT = "dpra:component"
VERSION = "dpra:version"  # of a golden image
PURPOSE = "dpra:for"  # of an instance
PARENT = "dpra:parent"  # of an AMI that Packer made: the id of the one that it is made of
RELEASED = "dpra:released"  # of a version's parameter: DIGEST/COMMIT of the release that brought it


def of(thing: Mapping[str, Any]) -> dict[str, str]:
    """The tags of something as EC2 describes it."""
    return {str(one["Key"]): str(one["Value"]) for one in thing.get("Tags", ())}
