"""What act says of a run, as jobs with results."""

from typing import Any

import pytest
from dpra.rehearsal.record import Record

WORKFLOW = {"jobs": {"deploy": {"steps": [{"id": "go", "run": "true"}]}}}


@pytest.mark.parametrize(
    ("matrix", "place"),
    [
        ({"region": "eu-west-1"}, "eu-west-1"),
        ({"unit": "ou-shops"}, "ou-shops"),
        ({"account": "111111111111", "region": "eu-west-1"}, "eu-west-1"),
        ({}, ""),
        (None, ""),
    ],
)
def test_a_leg_is_known_by_what_its_matrix_is_over(matrix: dict[str, Any] | None, place: str) -> None:
    said: list[str] = []
    record = Record(WORKFLOW, said.append)
    about = {"jobID": "deploy", "job": "pipeline/deploy", "matrix": matrix}
    record.hear({**about, "stage": "Main", "stepID": ["go"], "stepResult": "success", "executionTime": 1_000_000_000})
    record.hear({**about, "jobResult": "success"})
    (job,) = record.result({}, ["deploy"], finished=True)
    assert (job.region, job.result) == (place, "success")
    assert said[-1] == (f"deploy ({place}): success" if place else "deploy: success")
