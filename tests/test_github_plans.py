"""What GitHub's plan means for a release: what it takes, and whether it can be at all."""

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


def test_a_private_repository_of_the_free_plan_is_refused_as_it_has_no_environments(dpra, tmp_path) -> None:
    minimal = (SPECS / "minimal.yml").read_text()
    (tmp_path / "dpra.yml").write_text(minimal + "github: {plan: free}\n")
    done = dpra("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert "dpra.yml:9:10: github.plan: free has neither environments nor protected branches" in done.stderr
    (tmp_path / "dpra.yml").write_text(minimal + "github: {plan: free, visibility: public}\n")
    assert dpra("plan", cwd=tmp_path).returncode == 0
