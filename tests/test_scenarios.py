"""What is promised of deliveries, proved in a new repository: four accounts, four regions, three waves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dpra.rehearsal import scenarios

ROWS = scenarios.table("application")
WAVES = [["eu-west-1"], ["eu-central-1", "us-east-1"], ["us-west-2"]]
REGIONS = ",".join(region for wave in WAVES for region in wave)


def test_each_promise_has_one_scenario_of_its_own() -> None:
    rows = ROWS
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
            *("left", "evidence", "issue", "runs", "needs"),
        }


@pytest.mark.slow
def test_every_promise_is_kept_and_the_page_shows_it(dpra, tmp_path, page_text: Callable[[Path], str]) -> None:
    """They are played once: what they say of themselves, what the accounts hold, what Chromium shows."""
    done = dpra("new", "--no-input", "-o", tmp_path, "name=shop", "waves=3", f"regions={REGIONS}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out, page = tmp_path / "scenarios.json", tmp_path / "scenarios.html"
    done = dpra("rehearse", "--offline", "--scenario", "all", "--json", out, "--page", page, cwd=tmp_path / "shop")
    assert done.returncode == 0, done.stdout + done.stderr
    proofs = {one["id"]: one for one in json.loads(out.read_text())["scenarios"]}
    assert list(proofs) == [row["id"] for row in ROWS]
    lacking = {name for name, one in proofs.items() if not one["applicable"]}
    elsewhere = {"base", "long-bake"}  # tests/test_base_image.py, tests/test_long_bakes.py
    assert lacking == {row["id"] for row in ROWS if elsewhere & {*row.get("needs", {})}}
    assert all(one["kept"] and not one["problems"] for name, one in proofs.items() if name not in lacking)
    an_alarm_in_the_bake_of_wave_3_brought_all_waves_back(proofs["an-alarm-in-the-last-bake"]["result"])
    for name in ("an-approval-that-comes-late", "two-releases-at-once"):
        the_newer_commit_runs_in_production(proofs[name]["result"])
    the_page_shows_what_was_rolled_back(page_text(page), len(ROWS) - len(lacking))


def releases(result: dict[str, Any], when: str) -> dict[tuple[str, str], str]:
    """Environment and region -> the commit that runs there."""
    return {(one["environment"], one["region"]): one["commit"] for one in result[when]}


def an_alarm_in_the_bake_of_wave_3_brought_all_waves_back(result: dict[str, Any]) -> None:
    """And left beta and gamma. Not by the scenarios' own comparison: from what the accounts held before and after."""
    [run] = result["runs"]
    assert result["waves"] == WAVES
    before, after = releases(result, "before"), releases(result, "deployments")
    assert len(after) == 1 + 2 * sum(map(len, WAVES))
    for wave, regions in enumerate(WAVES, 1):
        jobs = {(job["region"], job["result"]) for job in run["jobs"] if job["job"] == f"prod-{wave}"}
        assert jobs == {(region, "success") for region in regions}  # the new release was there
        for region in regions:
            assert after["prod", region] == before["prod", region] != run["commit"]
    assert {after[place] for place in after if place[0] != "prod"} == {run["commit"]}
    [fault] = run["happened"]
    [bake] = [job for job in run["jobs"] if (job["job"], job["region"]) == ("prod-bake-3", fault["region"])]
    assert bake["began"] <= fault["at"] <= bake["ended"]


def the_newer_commit_runs_in_production(result: dict[str, Any]) -> None:
    newer = {run["commit"] for run in result["runs"] if run["release"] == "newer"}
    assert {commit for (place, _), commit in releases(result, "deployments").items() if place == "prod"} == newer


def the_page_shows_what_was_rolled_back(text: str, count: int) -> None:
    assert f"{count} of {count} promises kept" in text
    part = text.partition("kept an-alarm-in-the-last-bake\n")[2].partition("kept an-alarm-that-fires-on\n")[0]
    assert part, text[:2000]
    for wave in (1, 2, 3):
        assert f"Wave {wave}: rolled back" in part
