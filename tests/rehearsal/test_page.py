"""The page of a rehearsal, read in Chromium: what a reader sees, not what the source says."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dpra.rehearsal import page

RECORDED = Path(__file__).with_name("recorded.json")  # by recorded.py, of real rehearsals
Show = Callable[[dict[str, Any]], str]


@pytest.fixture
def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def alarm(recorded: dict[str, Any]) -> dict[str, Any]:
    """An alarm in the bake of the last wave, after a release that passed."""
    found: dict[str, Any] = recorded["alarm"]
    return found


@pytest.fixture
def good(alarm: dict[str, Any]) -> dict[str, Any]:
    """The release before, alone: it passed."""
    run = alarm["runs"][0] | {"release": "this"}
    deployments = [one | {"commit": run["commit"]} for one in alarm["deployments"]]
    return alarm | {"ok": True, "stopped_at": "", "annotations": [], "runs": [run], "deployments": deployments}


@pytest.fixture
def show(tmp_path: Path, page_text: Callable[[Path], str]) -> Show:
    """The text of a document's page; the browser has it open."""

    def show(document: dict[str, Any]) -> str:
        path = tmp_path / "result.html"
        path.write_text(page.html(document), encoding="utf-8")
        return page_text(path)

    return show


@pytest.fixture
def bars(browser: Any) -> Callable[[str], list[dict[str, float]]]:
    """Where the elements are that a selector names in the last run's time line: their edges and size."""

    def bars(selector: str) -> list[dict[str, float]]:
        within = "[...document.querySelectorAll('.chart')].at(-1)"
        found: list[dict[str, float]] = browser.script(
            f"return [...{within}.querySelectorAll({json.dumps(selector)})].map(one => one.getBoundingClientRect())"
        )
        return found

    return bars


def fates(text: str) -> dict[str, str]:
    """What the table says happened to production's regions."""
    rows = [line.split("\t") for line in text.splitlines() if line.startswith("prod ")]
    return {row[1]: row[-1] for row in rows}


def test_a_rollback_is_read_on_the_page(alarm: dict[str, Any], show: Show) -> None:
    old, new = (run["commit"][:8] for run in alarm["runs"])
    text = show(alarm)
    assert f"Production is back on old ({old}) in all 5 regions" in text
    for wave in (1, 2, 3):
        assert f"Wave {wave}: rolled back to old ({old})" in text
    assert fates(text) == dict.fromkeys(
        [region for wave in alarm["waves"] for region in wave], f"rolled back to old ({old})"
    )
    assert f"deployed: new ({new})" in text  # beta and gamma keep it
    assert "alarm prod/us-west-2:shop-errors@bake" in text
    assert "prod-bake-3 (us-west-2): shop-errors: in ALARM" in text
    assert "Nothing was rolled back" not in text


def test_a_rollback_is_drawn_when_it_happened(
    alarm: dict[str, Any], show: Show, bars: Callable[[str], list[dict[str, float]]]
) -> None:
    show(alarm)
    (rollback,) = bars(".bar.roll")
    (bake,) = bars(".bar.bake[title^='prod-bake-3 (us-west-2)']")
    (mark,) = bars(".lane .mark")
    assert rollback["width"] > 20
    assert rollback["left"] >= bake["right"] - 1
    assert bake["left"] <= (mark["left"] + mark["right"]) / 2 <= bake["right"]
    assert bake["top"] < (mark["top"] + mark["bottom"]) / 2 < bake["bottom"]
    back = bars(".bar.back")
    assert len(back) == 5
    for one in back:
        assert (one["left"], one["right"]) == pytest.approx((rollback["left"], rollback["right"]), abs=1)
    for wave in (1, 2):  # a wave begins when the one before has baked
        baked = max(one["right"] for one in bars(f".bar.bake[title^='prod-bake-{wave} ']"))
        assert min(one["left"] for one in bars(f".bar.deploy[title^='prod-{wave + 1} ']")) >= baked - 1


def test_no_time_line_is_wider_than_its_page(alarm: dict[str, Any], show: Show, browser: Any) -> None:
    show(alarm)
    size = "Emulation.setDeviceMetricsOverride"
    try:
        for width in (1280, 400):
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.ask("/goog/cdp/execute", {"cmd": size, "params": metrics})
            assert browser.script("return document.documentElement.scrollWidth") <= width
    finally:
        browser.ask("/goog/cdp/execute", {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}})


def test_a_region_that_could_not_go_back_is_left(alarm: dict[str, Any], show: Show) -> None:
    new = alarm["runs"][1]["commit"]
    for one in alarm["deployments"]:
        if (one["environment"], one["region"]) == ("prod", "us-east-1"):
            one |= {"commit": new, "status": "UPDATE_ROLLBACK_FAILED"}
    alarm["runs"][1]["annotations"] += ["rollback: us-east-1: CloudFormation failed"]
    text = show(alarm)
    assert f"Production is left on new ({new[:8]}) in 1 of 5 regions" in text
    assert f"us-east-1 left on new ({new[:8]})" in text
    assert fates(text)["us-east-1"] == f"left on new ({new[:8]}); state: UPDATE_ROLLBACK_FAILED"
    assert "4 of 5 regions back" in text


def test_what_runs_at_the_end_outweighs_what_the_jobs_say(alarm: dict[str, Any], show: Show) -> None:
    new = alarm["runs"][1]["commit"]
    for one in alarm["deployments"]:
        one["commit"] = new
    text = show(alarm)
    assert "Wave 3: rolled back" not in text
    assert set(fates(text).values()) == {f"left on new ({new[:8]})"}


def test_a_first_release_has_nothing_to_go_back_to(alarm: dict[str, Any], show: Show) -> None:
    run = alarm["runs"][1]
    deployments = [one | {"commit": run["commit"]} for one in alarm["deployments"]]
    text = show(alarm | {"runs": [run], "deployments": deployments})
    assert set(fates(text).values()) == {f"left on new ({run['commit'][:8]}): nothing to go back to"}


def test_a_good_run_says_that_nothing_was_rolled_back(good: dict[str, Any], show: Show) -> None:
    commit = good["runs"][0]["commit"][:8]
    text = show(good)
    assert "Nothing was rolled back" in text
    assert f"Production runs this commit ({commit}) in all 5 regions" in text
    assert f"Wave 3: released: this commit ({commit})" in text
    assert not re.search(r"rolled back to|left on", text)


def test_scenarios_have_a_table_and_a_time_line_each(
    recorded: dict[str, Any], show: Show, browser: Any, tmp_path: Path
) -> None:
    broken = copy.deepcopy(recorded["scenarios"][0])
    broken |= {"id": "broken", "kept": False, "problems": ["prod eu-west-1 runs new, not old"]}
    lost = {key: broken[key] for key in broken if key != "result"} | {"id": "lost", "problems": ["it died"]}
    text = show({"scenarios": [*recorded["scenarios"], broken, lost]})
    assert "3 of 5 promises kept" in text
    assert "prod eu-west-1 runs new, not old" in text
    for proof in recorded["scenarios"]:
        assert text.count(proof["promise"]) >= 2
        browser.open(tmp_path / "result.html")
        browser.script(f"document.querySelector('.promises a[href=\"#{proof['id']}\"]').click()")
        state = "const one = document.getElementById(arguments[0]); return [one.closest('details').open, location.hash]"
        opened, place = browser.ask("/execute/sync", {"script": state, "args": [proof["id"]]})
        assert opened
        assert place == f"#{proof['id']}"


def of(recorded: dict[str, Any], wanted: str) -> dict[str, Any]:
    return {"scenarios": [proof for proof in recorded["scenarios"] if proof["id"] == wanted]}


def test_jobs_of_an_earlier_attempt_do_not_stretch_the_time_line(
    recorded: dict[str, Any], show: Show, bars: Callable[[str], list[dict[str, float]]]
) -> None:
    text = show(of(recorded, "an-alarm-in-the-last-bake"))
    assert "Carried over from an earlier attempt, not done again: build, security, artifacts, beta (eu-west-1)" in text
    assert not bars("[title^='build']")
    (approve,) = bars("[title^='prod-approve']")
    (track, *_) = bars(".track")
    assert approve["left"] == pytest.approx(track["left"], abs=1)


def test_what_a_dead_run_left_goes_back_in_a_later_one(recorded: dict[str, Any], show: Show) -> None:
    document = of(recorded, "a-run-that-dies")
    old = document["scenarios"][0]["result"]["before"][-1]["commit"][:8]
    text = show(document)
    assert "Wave 2: rolled back later, by run 12" in text
    assert f"Wave 2: rolled back to old ({old})" in text
    assert "Wave 3: not touched" in text
    assert list(fates(text).values()) == [f"rolled back to old ({old})"] * 3 + ["not touched"] * 2


def test_a_newer_release_after_a_rollback_hides_it_not(recorded: dict[str, Any], show: Show) -> None:
    document = of(recorded, "a-run-that-dies")
    result = document["scenarios"][0]["result"]
    newer = recorded["alarm"]["runs"][0] | {"run": 13, "release": "newer"}
    result["runs"].append(newer)
    for one in result["deployments"]:
        one["commit"] = newer["commit"]
    old, new = result["before"][-1]["commit"][:8], newer["commit"][:8]
    text = show(document)
    assert f"Production runs newer ({new}) in all 5 regions" in text
    assert "Nothing was rolled back" not in text
    then = f"rolled back to old ({old}), then released: newer ({new})"
    assert list(fates(text).values()) == [then] * 3 + [f"released: newer ({new})"] * 2


def test_what_was_held_back_is_not_called_rolled_back(recorded: dict[str, Any], show: Show) -> None:
    text = show(of(recorded, "an-alarm-that-fires-already"))
    assert "Wave 1: held back: still old" in text
    assert "Wave 2: not reached" in text
    assert "Production was not touched. Nothing was rolled back" in text
    assert "rolled back to" not in text


HOSTILE = (
    "<script>document.title='owned'</script>\"' onmouseover=alert(1) <img src=https://example.com/x> {{ 7*7 }} &amp;"
)


def poisoned(value: Any) -> Any:
    """Hostile text wherever a text stands that a user, a tool or an attacker chose."""
    if isinstance(value, list):
        return [poisoned(one) for one in value]
    if isinstance(value, dict):
        texts = {"name", "fault", "annotations", "stopped_at", "status", "account", "simulated", "stack"}
        hit = {key: [HOSTILE] * 2 if isinstance(value[key], list) else HOSTILE for key in texts & value.keys()}
        return {key: hit.get(key, poisoned(one)) for key, one in value.items()}
    return value


def test_hostile_text_stays_text(alarm: dict[str, Any], show: Show, browser: Any) -> None:
    attributes = "return [...document.querySelectorAll('*')].flatMap(one => one.getAttributeNames())"
    show(alarm)
    tags = "return [...new Set([...document.querySelectorAll('*')].map(one => one.localName))]"
    before, names = set(browser.script(tags)), set(browser.script(attributes))
    text = show(poisoned(alarm))
    assert text.count(HOSTILE) > 20
    assert "<script>" in text
    assert set(browser.script(tags)) <= before
    assert set(browser.script(attributes)) <= names
    assert not {"script", "img", "iframe", "object", "form"} & before
    assert browser.script("return document.title") == "dpra rehearsal"


def test_hostile_ids_link_to_their_time_line(recorded: dict[str, Any], show: Show, browser: Any) -> None:
    document = of(recorded, "a-run-that-dies")
    document["scenarios"][0] |= {"id": 'a"b c<i>', "promise": HOSTILE, "when": HOSTILE}
    assert HOSTILE in show(document)
    assert browser.script("return document.getElementById('a\"b c<i>') !== null")
    assert browser.script("return decodeURIComponent(document.querySelector('.promises a').hash)") == '#a"b c<i>'


def test_the_page_asks_for_nothing(alarm: dict[str, Any], show: Show, browser: Any) -> None:
    show(alarm)
    browser.fetched()
    show(poisoned(alarm))
    assert [address.rpartition("/")[2] for address in browser.fetched()] == ["result.html"]
    assert not re.search(r"(src|href|url|@import)\W{0,3}https?:", re.sub("&lt;.*?&gt;", "", page.html(alarm)))


def test_what_is_no_unicode_can_be_written(alarm: dict[str, Any], tmp_path: Path) -> None:
    alarm["runs"][1]["annotations"] = ["a lone \ud800"]
    (tmp_path / "page.html").write_text(page.html(alarm), encoding="utf-8")


def test_every_scenario_fits_in_two_megabytes(recorded: dict[str, Any]) -> None:
    assert len(page.html({"scenarios": recorded["scenarios"] * 11}).encode()) < 2_000_000


def test_a_rehearsal_that_never_came_to_deploy_has_a_page(alarm: dict[str, Any], show: Show) -> None:
    run = alarm["runs"][1]
    run |= {"jobs": run["jobs"][:2], "happened": [], "evidence": [], "stopped_at": "build / unit-tests"}
    run["jobs"][0]["result"] = "failure"
    text = show(alarm | {"runs": [run], "deployments": [], "waves": []})
    assert "The pipeline stopped before production" in text
    assert "Nothing was deployed" in text


# ---- Pipelines of other types: what a page says follows from the jobs' kinds and waves, not from their names


def played(*jobs: tuple[str, ...], ok: bool = True, **more: Any) -> dict[str, Any]:
    """A run of a pipeline: a job is a line of id, stage, kind, wave, place and result; each takes a minute."""
    found = []
    for number, row in enumerate(jobs):
        job, stage, kind, wave, region, result = row
        began = 60.0 * number + 60 if result in ("success", "failure") else 0.0
        times = {"seconds": 60.0, "began": began, "ended": began and began + 60}
        about = {"job": job, "stage": stage, "region": region, "result": result, "kind": kind, "wave": int(wave)}
        found.append({**about, "name": job.capitalize(), "steps": [], **times})
    run: dict[str, Any] = {"run": 7, "attempt": 1, "release": "this", "commit": "c" * 40, "workflow": "pipeline"}
    run |= {"ok": ok, "stopped_at": "" if ok else "somewhere", "annotations": [], "happened": [], "evidence": []}
    return run | {"jobs": found} | more


def result(*runs: dict[str, Any], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"ok": runs[-1]["ok"], "seconds": 300.0, "stopped_at": runs[-1]["stopped_at"]}
    found |= {"simulated": [], "before": [], "deployments": [], "production": "live", "waves": []}
    return found | {"runs": list(runs)} | more


def deployment(region: str, commit: str, environment: str = "live") -> dict[str, str]:
    about = {"account": "1" * 12, "stack": "shop", "status": "UPDATE_COMPLETE", "digest": "d" * 64}
    return {"environment": environment, "region": region, "commit": commit * 40, **about}


UNITS = ("ou-pilot", "ou-shops", "ou-offices")
FLEET = (
    ("plan", "lint", "", "0", "", "success"),
    ("trial-1", "trial", "deploy", "1", "ou-lab", "success"),
    ("trial-2", "trial", "deploy", "2", "ou-sandbox", "success"),
    ("sign-off", "live", "approve", "0", "", "success"),
    ("live-1", "live", "deploy", "1", "ou-pilot", "success"),
    ("watch-1", "live", "bake", "1", "ou-pilot", "success"),
)
SECOND_WAVE = [("live-2", "live", "deploy", "2", unit) for unit in UNITS[1:]]


def test_waves_may_be_of_something_else_than_regions(show: Show, bars: Callable[[str], list[dict[str, float]]]) -> None:
    run = played(*FLEET, *[(*leg, "success") for leg in SECOND_WAVE], ("close", "live", "finish", "0", "", "success"))
    text = show(result(run, waves=[[UNITS[0]], [*UNITS[1:]]]))
    assert "Production runs this commit (cccccccc) in all 3 targets" in text
    assert "region" not in text.lower()
    assert [line for line in text.splitlines() if line.startswith("Wave ")][:2] == [
        "Wave 1: released: this commit (cccccccc)",
        "Wave 2: released: this commit (cccccccc)",
    ]
    for group in ("Lint", "Trial, wave 1", "Trial, wave 2", "Approve", "Finish"):
        assert group in text
    assert len(bars(".bar.deploy")) == 5
    assert len(bars(".bar.bake")) == 1


def test_a_release_without_a_rollback_job_is_left_where_it_stopped(show: Show) -> None:
    jobs = (*FLEET, (*SECOND_WAVE[0], "failure"), ("live-3", "live", "deploy", "3", "", "skipped"))
    text = show(result(played(*jobs, ok=False), waves=[[unit] for unit in UNITS]))
    assert "Production is left on this commit (cccccccc) in 2 of 3 targets" in text
    assert "Wave 3: not reached" in text
    assert "Nothing was rolled back" in text
    held = result(played(*jobs, ok=False), waves=[[unit] for unit in UNITS])
    held["before"] = [deployment(unit, "b") for unit in UNITS]
    held["deployments"] = [deployment("ou-pilot", "c"), deployment("ou-shops", "b"), deployment("ou-offices", "b")]
    text = show(held)
    assert "Production is left on this commit (cccccccc) in 1 of 3 targets" in text
    assert "Wave 2: still old (bbbbbbbb)" in text


REGIONAL = [("live", "live", "deploy", "0", region) for region in ("eu-west-1", "us-east-1")]


@pytest.mark.parametrize("seen", [True, False], ids=["deployments", "jobs alone"])
def test_a_pipeline_without_waves_has_one_group(
    show: Show, bars: Callable[[str], list[dict[str, float]]], seen: bool
) -> None:
    first = ("trial", "trial", "deploy", "0", "eu-west-1", "success")
    run = played(first, *[(*leg, "success") for leg in REGIONAL])
    now = [deployment("eu-west-1", "c", "trial"), *(deployment(leg[4], "c") for leg in REGIONAL)]
    text = show(result(run, deployments=now if seen else []))
    assert "Production runs this commit (cccccccc) in all 2 regions" in text
    assert "Live: released: this commit (cccccccc)" in text
    assert "wave" not in text.lower()
    assert len(bars(".bar.work[title^='trial (']")) == 1
    assert len(bars(".bar.deploy")) == 2


def test_a_rollback_without_waves_is_told_and_drawn(show: Show, bars: Callable[[str], list[dict[str, float]]]) -> None:
    legs = [(*REGIONAL[0], "success"), (*REGIONAL[1], "failure"), ("restore", "live", "rollback", "0", "", "success")]
    run = played(*legs, ok=False)
    run["evidence"] = [{"action": "rollback", "job": "restore", "region": "", "attempt": "1", "findings": {"back": 2}}]
    there = [deployment(leg[4], "b") for leg in REGIONAL]
    text = show(result(run, before=there, deployments=there))
    assert "Production is back on old (bbbbbbbb) in all 2 regions" in text
    assert "2 regions back" in text
    assert len(bars(".bar.back")) == 2
    run["annotations"] = ["restore: us-east-1: it did not answer"]
    mixed = [there[0], deployment("us-east-1", "c")]
    assert "left on this commit (cccccccc) in 1 of 2 regions" in show(result(run, before=there, deployments=mixed))


def test_a_pipeline_that_releases_to_no_environment_has_a_page(show: Show) -> None:
    jobs = [("bake-image", "make", "", "0", "", "success"), ("share", "share", "", "0", "", "success")]
    text = show(result(played(*jobs), production=""))
    assert "The pipeline passed" in text
    assert "Nothing was deployed" in text
    text = show(result(played(jobs[0], (*jobs[1][:-1], "failure"), ok=False), production=""))
    assert "The pipeline stopped\n" in text
    assert "before production" not in text
