"""`dpra plan` says what a release takes."""

import json
from pathlib import Path

SPECS = Path(__file__).parent / "specs"


def cost(dpra, root: Path, text: str) -> dict[str, int]:
    (root / "dpra.yml").write_text(text)
    return json.loads(dpra("plan", "--format", "json", cwd=root).stdout)["cost"]


def test_bakes_cost_runner_minutes_only_where_there_are_no_wait_timers(dpra, tmp_path) -> None:
    waves = (SPECS / "waves.yml").read_text()
    assert cost(dpra, tmp_path, waves) == {"jobs": 16, "waiting-minutes": 0}
    free = waves.replace("github: {plan: enterprise, visibility: private}\n", "")
    assert cost(dpra, tmp_path, free) == {"jobs": 16, "waiting-minutes": 3 * 45}
    assert "a release: 16 jobs; runners wait 135 minutes in bakes" in dpra("plan", cwd=tmp_path).stdout
    (tmp_path / "dpra.yml").write_text(waves)
    assert "a release: 16 jobs; no runner waits" in dpra("plan", cwd=tmp_path).stdout
