"""Stacks of CloudFormation, for all that reads them."""

from typing import Any

import aws


def describe(region: str, stack: str) -> dict[str, Any]:
    try:
        [found] = aws.call(region, "cloudformation", "describe-stacks", StackName=stack)["Stacks"]
    except aws.Refused as refused:
        if refused.code == "ValidationError" and "does not exist" in str(refused):
            return {}
        raise
    return dict(found)
