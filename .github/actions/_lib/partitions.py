"""AWS's partitions. Pure."""

NAMES = {"us-gov": "aws-us-gov", "cn": "aws-cn", "eusc": "aws-eusc"}  # by how their regions begin


def partition(region: str) -> str:
    """The partition of a region, as ARNs have it; of what is no region, the main one."""
    return next((name for start, name in NAMES.items() if region.startswith(f"{start}-")), "aws")
