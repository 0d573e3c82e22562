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


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("::error::arn:aws:iam::777:role/x says: no", ["arn:aws:iam::777:role/x says: no"]),
        ("::error title=a b,file=a%2Cb%3A,line=3::arn:aws:iam::7 %2525%0Anext", ["a,b::3: arn:aws:iam::7 %25\nnext"]),
        ("::error title=x,line=::m", ["m"]),
        ("::debug::m", []),
        ("says ::error::m", []),
    ],
)
def test_an_annotation_says_what_github_would_read(line: str, told: list[str]) -> None:
    """act 0.2.89 takes what stands before the last :: for the command's name and properties."""
    record = Record(WORKFLOW, lambda said: None)
    about = {"jobID": "deploy", "job": "pipeline/deploy", "arg": "act's", "command": "error", "kvPairs": {}}
    record.hear({**about, "raw": f"{line}\n", "msg": line})
    record.hear({**about, "raw": f"{line.replace('error', 'notice')}\n", "msg": line})
    assert record.annotations == record.notes == [f"deploy: {one}" for one in told]
