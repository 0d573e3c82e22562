"""What `dpra plan` says a pipeline costs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dpra import cost, cron

SPECS = Path(__file__).parent / "specs"
WAVES = (SPECS / "waves.yml").read_text()
FREE = WAVES.replace("github: {plan: enterprise, visibility: private}\n", "")


@pytest.fixture
def costs(dpra: Any, tmp_path: Path) -> Any:
    def costs(text: str) -> dict[str, int]:
        (tmp_path / "dpra.yml").write_text(text)
        done = dpra("plan", "--format", "json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["cost"]

    return costs


def test_bakes_cost_runner_minutes_only_where_there_are_no_wait_timers(costs, dpra, tmp_path) -> None:
    assert FREE != WAVES
    paid, free = costs(WAVES), costs(FREE)
    assert (paid["jobs"], paid["waiting-minutes"], paid["release-minutes"]) == (28, 0, 28)
    assert (free["jobs"], free["waiting-minutes"], free["release-minutes"]) == (28, 3 * 45, 28 + 3 * 45)
    shown = dpra("plan", cwd=tmp_path).stdout
    assert "a release: 28 jobs; runners wait 135 minutes in bakes; at least 163 runner minutes" in shown
    assert f"a month of {cost.RELEASES} releases: at least {free['month-minutes']} runner minutes" in shown
    (tmp_path / "dpra.yml").write_text(WAVES)
    assert "a release: 28 jobs; no runner waits" in dpra("plan", cwd=tmp_path).stdout


def test_a_release_has_as_many_jobs_as_the_generated_workflow_starts(costs, dpra, tmp_path) -> None:
    """Counted otherwise: from the file, by its YAML."""
    from ruamel.yaml import YAML

    told = costs(WAVES)["jobs"]
    assert dpra("generate", cwd=tmp_path).returncode == 0
    jobs = YAML(typ="safe").load(tmp_path / ".github/workflows/pipeline.yml")["jobs"]
    legs = {name: len(job.get("strategy", {}).get("matrix", {}).get("region", [""])) for name, job in jobs.items()}
    assert told == sum(legs.values()) - legs["rollback"]


def test_schedules_cost_minutes_without_any_release(costs) -> None:
    minimal = (SPECS / "minimal.yml").read_text()
    plain = costs(minimal)
    # Each night two jobs, and every three hours one.
    assert plain["scheduled-minutes"] == round((2 * 365 + 8 * 365) / 12)
    assert plain["month-minutes"] == plain["scheduled-minutes"] + cost.RELEASES * plain["release-minutes"]
    monthly = costs(minimal + 'schedules: [{cron: "0 4 1 * *"}]\n')
    assert monthly["scheduled-minutes"] == plain["scheduled-minutes"] + plain["release-minutes"]
    # A look for what may go on, from 9:07 to 15:07, on four days of the week.
    windows = costs(minimal + 'windows: {days: [mon, tue, wed, thu], hours: "09:00-16:00"}\n')
    assert windows["scheduled-minutes"] == pytest.approx(plain["scheduled-minutes"] + 7 * 4 * 365 / 7 / 12, abs=2)


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("17 3 * * *", 365),
        ("23 */3 * * *", 8 * 365),
        ("0 0 1 * *", 12),
        ("0 0 31 * *", 7),
        ("0 12 * JAN-MAR *", 31 + 28 + 31),
        ("0 4 * * 1-5", 261),  # 2026 has 365 days and begins on a Thursday
        ("*/15 8-18 * * MON", 52 * 4 * 11),
        ("5,10-12/2 0 1 1 *", 3),
        ("30/15 0 1 1 *", 2),
        ("0 0 1 * SUN", 12 + 52 - 3),  # either; in 2026 three months begin on a Sunday
    ],
)
def test_a_schedule_starts_as_often_as_its_expression_says(expression: str, times: int) -> None:
    assert cron.starts(expression) == times


@pytest.mark.parametrize(
    "expression",
    [
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * FOO *",
        "*/0 * * * *",
        "5-2 * * * *",
        ", * * * *",
        "* * * * 7",
        "1- * * * *",
    ],
)
def test_what_is_no_cron_expression_is_a_problem_with_a_line(expression: str, dpra: Any, tmp_path: Path) -> None:
    """GitHub takes 0 to 6 as days of the week."""
    with pytest.raises(ValueError, match=r"cron|within"):
        cron.starts(expression)
    (tmp_path / "dpra.yml").write_text((SPECS / "minimal.yml").read_text() + f'schedules:\n  - cron: "{expression}"\n')
    done = dpra("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(r"dpra\.yml:\d+:\d+: schedules", done.stderr), done.stderr
