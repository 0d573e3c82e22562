"""How long a bake may be, and who waits for it: a runner for an hour at most, GitHub's timer, or nobody."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, cost, problems, render
from dpra.problems import PlanError
from dpra.spec import reader
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SPEC = (ROOT / "tests/specs/minimal.yml").read_text("utf-8")
PAID = "github: {plan: enterprise}\n"


def planned(bake: int, more: str = "", **prod: Any) -> Any:
    said = YAML(typ="safe", pure=True).load(SPEC + more)
    said["environments"]["prod"] |= {"bake": bake, **prod}
    out = io.StringIO()
    YAML(typ="safe", pure=True).dump(said, out)
    return problems.planned(reader.read(out.getvalue().encode(), catalogue.words()))


def generated(bake: int, more: str = "", **prod: Any) -> dict[str, Any]:
    files = render.files(planned(bake, more, **prod))
    load = YAML(pure=True).load
    return {path: load(file.content) for path, file in files.items() if path.endswith(".yml")}


def jobs(files: dict[str, Any], workflow: str = "pipeline") -> dict[str, Any]:
    return dict(files[f".github/workflows/{workflow}.yml"]["jobs"])


def bakes(job: dict[str, Any]) -> dict[str, Any]:
    [step] = [step for step in job["steps"] if str(step.get("uses")).endswith("/bake")]
    return dict(step["with"])


@pytest.mark.parametrize("bake", [1, 15, 50, 59, 60])
def test_a_runner_waits_for_an_hour_at_most(bake: int) -> None:
    made = jobs(generated(bake))
    assert bakes(made["prod-bake-1"])["minutes"] == bake
    assert made["prod-bake-1"]["timeout-minutes"] == bake + 10
    assert "prod-hold-1" not in made
    assert cost.cost(planned(bake))["waiting-minutes"] == bake


@pytest.mark.parametrize("bake", [61, 120, 180, 350, 1440, 20160])
def test_for_a_longer_bake_nobody_waits(bake: int) -> None:
    files = generated(bake, waves=[["eu-west-1"], ["us-east-1", "us-west-2"]])
    made = jobs(files)
    for wave, regions in ((1, "eu-west-1"), (2, "us-east-1 us-west-2")):
        held, last = made[f"prod-hold-{wave}"], made[f"prod-bake-{wave}"]
        assert {key: bakes(held)[key] for key in ("do", "minutes", "regions")} == {
            "do": "hold",
            "minutes": bake,
            "regions": regions,
        }
        assert "strategy" not in held  # GitHub runs a job again, not all legs of it
        assert (held["needs"], last["needs"]) == ([f"prod-tests-{wave}"], [f"prod-hold-{wave}"])
        assert last["if"] == f"needs.prod-hold-{wave}.outputs.held == ''"
        assert "minutes" not in bakes(last)
        assert max(held["timeout-minutes"], last["timeout-minutes"]) == 10
    assert made["prod-2"]["needs"][-1] == "prod-bake-1"
    assert "!(needs.prod-hold-1.outputs.held || needs.prod-hold-2.outputs.held)" in made["rollback"]["if"]
    assert {"prod-hold-1", "prod-hold-2"} <= {*made["rollback"]["needs"]} & {*made["report"]["needs"]}
    told = [step["with"]["held"] for step in made["report"]["steps"] if "held" in step.get("with", {})]
    whose = ("prod-approve", "prod-hold-1", "prod-hold-2")
    assert told == [f"${{{{ {' || '.join(f'needs.{job}.outputs.held' for job in whose)} }}}}"] * 2
    [promote] = [step["with"] for step in made["prod-approve"]["steps"] if step.get("id") == "manual-approval"]
    assert promote["wait-minutes"] == 0
    again = jobs(files, "resume")
    assert files[".github/workflows/resume.yml"]["on"]["schedule"] == [{"cron": "7 * * * *"}]
    assert "contents" in again["resume"]["permissions"]
    assert "id-token" not in again["resume"]["permissions"]
    assert bakes(again["resume-bake"])["regions"] == "eu-west-1 us-east-1 us-west-2"


@pytest.mark.parametrize("bake", [15, 61, 180, 1440])
@pytest.mark.parametrize("more", [PAID, "github: {plan: free, visibility: public}\n"])
def test_where_github_has_a_timer_that_is_the_bake_time(bake: int, more: str) -> None:
    files = generated(bake, more)
    made = jobs(files)
    assert "minutes" not in bakes(made["prod-bake-1"])
    assert not [name for name in made if "hold" in name]
    assert ".github/workflows/resume.yml" not in files
    assert cost.cost(planned(bake, more))["waiting-minutes"] == 0


@pytest.mark.parametrize(("bake", "more"), [(15, ""), (60, ""), (61, ""), (1440, ""), (1440, PAID)])
def test_every_session_is_one_of_an_hour(bake: int, more: str) -> None:
    """Work that takes longer takes another one."""
    files = generated(bake, more)
    lives = [
        resource["Properties"]["MaxSessionDuration"]
        for path, file in files.items()
        if path.startswith("infrastructure/")
        for resource in file["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
    ]
    assert set(lives) == {3600}
    assert len(lives) >= 6
    for job in jobs(files).values():
        once = [step for step in job["steps"] if "configure-aws-credentials" in step.get("uses", "")]
        assert not once or job["timeout-minutes"] < 60


def test_resume_looks_at_windows_and_bakes_at_all_hours_of_a_long_bake() -> None:
    windows = 'windows: {days: [mon], hours: "09:00-16:00", timezone: Europe/Berlin}\n'
    assert planned(180, windows).resume_schedule == "7 * * * *"
    assert planned(15, windows).resume_schedule == "7 9-15 * * MON"


@pytest.mark.parametrize(
    ("bake", "waves", "more", "says"),
    [
        (41760, 1, "", ""),
        (41761, 1, "", "1 waves bake 41761 minutes; they have 29 days, as GitHub runs nothing again"),
        (21000, 2, "", "2 waves bake 42000 minutes"),
        (43200, 1, PAID, ""),
        (24481, 2, PAID, "they have 34 days, as a run of GitHub lives 35 days"),
    ],
)
def test_a_bake_that_no_run_lives_through_is_refused(bake: int, waves: int, more: str, says: str) -> None:
    regions = [["eu-west-1"], ["us-east-1"]][:waves]
    if not says:
        planned(bake, more, waves=regions)
        return
    with pytest.raises(PlanError) as refused:
        planned(bake, more, waves=regions)
    assert "environments.prod.bake" in str(refused.value)
    assert says in str(refused.value)


@pytest.mark.parametrize("bake", [43201, 0, -1])
def test_a_bake_that_github_has_no_timer_for_is_told_with_its_place(dpra: Any, tmp_path: Path, bake: int) -> None:
    said = SPEC.replace('prod: {account: "033333333333"}', f'prod: {{account: "033333333333", bake: {bake}}}')
    assert said != SPEC
    (tmp_path / "dpra.yml").write_text(said)
    done = dpra("check", cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(r"dpra\.yml:8:\d+: environments\.prod\.bake", done.stderr), done.stderr


# ---- What it costs, and how long a runner waits


@pytest.mark.parametrize(
    ("bake", "more", "longest", "release"),
    [
        (15, "", 50, 16 + 15),  # an approved release waits so long for the one before it
        (60, "", 60, 16 + 60),
        (61, "", 20, 17 + 2 + 2),  # a deployment waits so long for the tests of another run
        (180, "", 20, 17 + 3 + 2),
        (1440, "", 20, 17 + 24 + 2),
        (1440, PAID, 50, 16),
    ],
)
def test_the_plan_says_how_long_a_runner_waits(bake: int, more: str, longest: int, release: int) -> None:
    told = cost.cost(planned(bake, more))
    assert (told["longest-wait"], told["release-minutes"]) == (longest, release)


def test_the_waits_that_it_counts_are_those_of_the_actions() -> None:
    for action, minutes in (
        ("release", cost.LOCK),
        ("resume", cost.RUN),
        ("await-tests", cost.TESTS),
        ("canary", cost.CANARY),
    ):
        inputs = YAML(typ="safe").load(ROOT / ".github/actions" / action / "action.yml")["inputs"]
        assert inputs.get("wait-minutes", inputs.get("minutes"))["default"] == str(minutes)


@pytest.mark.parametrize("spec", sorted((ROOT / "tests/specs").glob("*.yml")), ids=lambda path: path.stem)
def test_no_step_of_a_workflow_waits_longer_than_the_plan_says(spec: Path) -> None:
    made = problems.planned(reader.read(spec.read_bytes(), catalogue.words()))
    most, load = cost.cost(made)["longest-wait"], YAML(pure=True).load
    waits = []
    for path, file in render.files(made).items():
        if path.startswith(".github/workflows/"):
            for job in load(file.content)["jobs"].values():
                for step in job["steps"]:
                    action, given = str(step.get("uses")).partition("@")[0].rpartition("/")[2], step.get("with", {})
                    if action in ("await-tests", "canary"):
                        waits.append(int(given.get("minutes", cost.TESTS)))
                    if action == "bake" and "do" not in given:
                        waits.append(int(given.get("minutes", 0)))
                    if action == "release" and given["do"] == "promote":
                        waits.append(int(given.get("wait-minutes", cost.LOCK)))
                    if action == "resume" and "run-id" not in given:
                        waits.append(int(given.get("wait-minutes", cost.RUN)))
    assert max(waits) == most
    assert most <= 60


def test_looks_at_bakes_cost_only_while_something_bakes() -> None:
    """Each hour one job, the others where it found a bake."""
    long, none = (cost.cost(planned(bake))["scheduled-minutes"] for bake in (180, 15))
    assert long - none == pytest.approx(24 * 365 / 12, abs=1)


# ---- Played


@pytest.mark.slow
def test_a_bake_of_three_hours_and_a_rollback_of_ninety_minutes_pass(dpra: Any, tmp_path: Path) -> None:
    """With sessions of an hour, which end by the rehearsal's clock. The scenarios say what they promise; and here that
    no runner waited."""
    done = dpra("new", "--no-input", "-o", tmp_path, "name=shop", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "shop"
    spec = folder / "dpra.yml"
    spec.write_text(re.sub("bake: 15.*", "bake: 180", spec.read_text()))
    assert dpra("generate", cwd=folder).returncode == 0
    wanted = (
        "a-slow-rollback a-long-bake an-alarm-in-a-long-bake a-long-bake-whose-run-dies a-newer-commit-in-a-long-bake"
    )
    options = [word for name in wanted.split() for word in ("--scenario", name)]
    done = dpra("rehearse", "--offline", *options, "--json", tmp_path / "out.json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    proofs = {one["id"]: one for one in json.loads((tmp_path / "out.json").read_text())["scenarios"]}
    assert all(proofs[name]["kept"] for name in wanted.split())
    [slow] = [fault for run in proofs["a-slow-rollback"]["result"]["runs"] for fault in run["happened"][1:]]
    assert (slow["fault"], slow["job"]) == ("slow rollback/eu-west-1=90", "rollback")
    held, looked, *_ = runs = proofs["a-long-bake"]["result"]["runs"]
    assert [(run["workflow"], run["attempt"]) for run in runs] == [
        ("pipeline", held["attempt"]),
        ("resume", 1),
        ("resume", 1),
        ("pipeline", held["attempt"] + 1),
        ("resume", 1),
    ]
    assert held["ok"]
    assert results(held) | {"prod-1": "success", "prod-hold-1": "success", "report": "success"} == results(held)
    assert results(held) | dict.fromkeys(("prod-bake-1", "finish", "rollback"), "skipped") == results(held)
    assert results(looked) == {"resume": "success", "resume-bake": "success"}
    assert results(runs[3]) | {"prod-bake-1": "success", "finish": "success", "rollback": "skipped"} == results(runs[3])
    assert results(runs[4]) == {"resume": "success", "resume-bake": "skipped"}
    waited = [job["ended"] - job["began"] for run in runs for job in run["jobs"] if "bake" in job["job"]]
    assert max(waited) < 60


def results(run: dict[str, Any]) -> dict[str, str]:
    return {job["job"]: job["result"] for job in run["jobs"]}
