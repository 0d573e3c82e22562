"""A job that waits for the bake time itself has credentials that outlive it."""

from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems, render
from dpra.problems import PlanError
from dpra.spec import reader
from ruamel.yaml import YAML

SPEC = (Path(__file__).parent / "specs/minimal.yml").read_text("utf-8")


def generated(bake: int, more: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs of the bake, and the properties of its role."""
    said = YAML(typ="safe", pure=True).load(SPEC + more)
    said["environments"]["prod"] |= {"bake": bake}
    text = YAML(typ="safe", pure=True)
    import io

    out = io.StringIO()
    text.dump(said, out)
    files = render.files(problems.planned(reader.read(out.getvalue().encode(), catalogue.words())))
    [bakes] = [
        step["with"]
        for step in text.load(files[".github/workflows/pipeline.yml"].content)["jobs"]["prod-bake-1"]["steps"]
        if step.get("id") == "progressive-deployment"
    ]
    cloudformation = YAML(pure=True)
    roles = cloudformation.load(files["infrastructure/dpra/prod.yml"].content)["Resources"]
    return bakes, roles["ProdBakeRole"]["Properties"]


@pytest.mark.parametrize(("bake", "seconds"), [(15, 3600), (50, 3600), (51, 3660), (90, 6000), (350, 21600)])
def test_the_credentials_of_a_bake_outlive_it(bake: int, seconds: int) -> None:
    given, role = generated(bake)
    assert given["minutes"] == bake
    assert given.get("role-duration", 3600) == role["MaxSessionDuration"] == seconds


@pytest.mark.parametrize("bake", [90, 1440])
def test_where_githubs_wait_timer_is_the_bake_time_an_hour_is_enough(bake: int) -> None:
    given, role = generated(bake, "github: {plan: enterprise}\n")
    assert ("minutes" in given, "role-duration" in given, role["MaxSessionDuration"]) == (False, False, 3600)


@pytest.mark.parametrize(
    ("bake", "more", "says"),
    [
        (351, "", "at most 350 minutes"),
        (1440, "github: {plan: team}\n", "a hosted runner gives it six hours"),
        (711, "runs-on: [self-hosted, linux]\n", "at most 710 minutes"),
    ],
)
def test_a_bake_that_no_job_lives_through_is_refused(bake: int, more: str, says: str) -> None:
    with pytest.raises(PlanError) as refused:
        generated(bake, more)
    assert "environments.prod.bake" in str(refused.value)
    assert says in str(refused.value)


def test_a_self_hosted_runner_may_wait_longer() -> None:
    given, role = generated(710, "runs-on: [self-hosted, linux]\n")
    assert given["role-duration"] == role["MaxSessionDuration"] == 43200
