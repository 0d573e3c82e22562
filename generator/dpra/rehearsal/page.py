"""A rehearsal as one HTML page: stages, waves, bakes, faults and rollback on a time line. Nothing is fetched."""

from typing import Any


def html(document: dict[str, Any]) -> str:
    """The page of a result (`Result.as_json()`) or of `{"scenarios": [Proof.as_json(), ...]}`."""
    raise NotImplementedError
