"""What is promised of deliveries, proved in a new repository: four accounts, five regions, three waves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dpra.rehearsal import scenarios

WAVES = [["eu-west-1"], ["eu-central-1", "us-east-1"], ["us-west-2", "ap-southeast-2"]]


def test_each_promise_has_one_scenario_of_its_own() -> None:
    rows = scenarios.table()
    assert len(rows) >= 20
    for keys in (["id"], ["promise"], ["plays", "first"]):
        assert len({json.dumps([row.get(key) for key in keys]) for row in rows}) == len(rows), keys
    for row in rows:
        assert row["ends"].keys() >= {"beta", "gamma"}
        assert {place.partition(".")[0] for place in row["ends"]} >= {"prod"}
        assert set(row) <= {
            *(
                "id",
                "promise",
                "fault",
                "when",
                "plays",
                "ends",
                "good",
                "passes",
                "says",
                "first",
                "untouched",
                "back",
            ),
            *("left", "evidence", "issue"),
        }


@pytest.fixture(scope="module")
def played(dpra, tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """Every scenario: the JSON, and the page."""
    folder = tmp_path_factory.mktemp("scenarios")
    done = dpra("new", "--no-input", "-o", folder, "name=shop", "waves=3", cwd=folder)
    assert done.returncode == 0, done.stderr
    out, page = folder / "scenarios.json", folder / "scenarios.html"
    done = dpra("rehearse", "--offline", "--scenario", "all", "--json", out, "--page", page, cwd=folder / "shop")
    assert done.returncode == 0, done.stdout + done.stderr
    return {one["id"]: one for one in json.loads(out.read_text())["scenarios"]}, page


@pytest.mark.slow
def test_every_promise_is_kept(played) -> None:
    proofs, _ = played
    assert list(proofs) == [row["id"] for row in scenarios.table()]
    assert all(one["kept"] and not one["problems"] for one in proofs.values())


def releases(result: dict[str, Any], when: str) -> dict[tuple[str, str], str]:
    """Environment and region -> the commit that runs there."""
    return {(one["environment"], one["region"]): one["commit"] for one in result[when]}


@pytest.mark.slow
def test_an_alarm_in_the_bake_of_wave_3_brings_all_waves_back_and_leaves_beta_and_gamma(played) -> None:
    """Not by the scenarios' own comparison: from what the accounts held before and at the end."""
    result = played[0]["an-alarm-in-the-last-bake"]["result"]
    [run] = result["runs"]
    assert result["waves"] == WAVES
    before, after = releases(result, "before"), releases(result, "deployments")
    assert len(after) == 11
    for wave, regions in enumerate(WAVES, 1):
        jobs = {(job["region"], job["result"]) for job in run["jobs"] if job["job"] == f"prod-{wave}"}
        assert jobs == {(region, "success") for region in regions}  # the new release was there
        for region in regions:
            assert after["prod", region] == before["prod", region] != run["commit"]
    assert {after[place] for place in after if place[0] != "prod"} == {run["commit"]}
    [fault] = run["happened"]
    [bake] = [job for job in run["jobs"] if (job["job"], job["region"]) == ("prod-bake-3", fault["region"])]
    assert bake["began"] <= fault["at"] <= bake["ended"]


@pytest.mark.slow
def test_an_older_commit_is_never_deployed_over_a_newer_one(played) -> None:
    for name in ("an-approval-that-comes-late", "two-releases-at-once"):
        result = played[0][name]["result"]
        newer = {run["commit"] for run in result["runs"] if run["release"] == "newer"}
        assert {commit for (place, _), commit in releases(result, "deployments").items() if place == "prod"} == newer


@pytest.mark.slow
def test_the_page_shows_what_was_rolled_back(played, page_text: Callable[[Path], str]) -> None:
    """Read in Chromium: the visible text."""
    text = page_text(played[1])
    assert f"{len(scenarios.table())} of {len(scenarios.table())} promises kept" in text
    part = text.partition("\nan-alarm-in-the-last-bake")[2].partition("\nan-alarm-that-fires-on")[0]
    assert part, text[:2000]
    for wave in (1, 2, 3):
        assert f"Wave {wave}: rolled back" in part
