"""What GitHub's plan means for a release: whether it can be at all."""

from pathlib import Path

SPECS = Path(__file__).parent / "specs"


def test_a_private_repository_of_the_free_plan_is_refused_as_it_has_no_environments(dpra, tmp_path) -> None:
    minimal = (SPECS / "minimal.yml").read_text()
    (tmp_path / "dpra.yml").write_text(minimal + "github: {plan: free}\n")
    done = dpra("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert "dpra.yml:9:10: github.plan: free has neither environments nor protected branches" in done.stderr
    (tmp_path / "dpra.yml").write_text(minimal + "github: {plan: free, visibility: public}\n")
    assert dpra("plan", cwd=tmp_path).returncode == 0
