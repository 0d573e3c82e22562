"""A held release goes on: the newest that is approved, once, and nothing where there is none."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]

FROZEN = json.dumps({"freeze": ["2000-01-01/2999-12-31"]})
SKIPPED = "Prod, wave 1 in ${{ matrix.region }}"  # as GitHub names a job whose matrix was never made
NEW, OLD = "b" * 40, "a" * 40


class Hub:
    """GitHub's answers by path: what a run's jobs are, one state after the other."""

    def __init__(self, job: Any, web: Any) -> None:
        self.job, self.web = job, web
        self.runs: list[tuple[int, str, list[Any]]] = []

    def has(self, number: int, sha: str, *states: Any) -> None:
        self.runs.append((number, sha, list(states)))

    def resume(self, *answers: Any, **inputs: str) -> Any:
        """`answers` are those to comparisons and to the POST, in order; those about runs come where they are asked."""
        listed = [{"id": number, "head_sha": sha} for number, sha, _ in reversed(self.runs)]
        said: list[Any] = [{"workflow_runs": listed}]
        rest = list(answers)
        for _, _, states in reversed(self.runs):
            for status, jobs in states:
                said += [{"status": status}, {"jobs": jobs}]
            if rest:
                said.append(rest.pop(0))
        self.web.answers = [
            (one, {}, b"") if isinstance(one, int) else (200, {}, json.dumps(one).encode()) for one in [*said, *rest]
        ]
        self.job.env["GITHUB_API_URL"] = self.web.url
        return self.job.use("resume", branch="main", token="ghs_secret", **inputs)

    @property
    def asked(self) -> list[str]:
        return [f"{method} {path.removeprefix('/repos/acme/shop/')}" for method, path, _ in self.web.requests]


@pytest.fixture
def hub(hurried: Any, web: Any) -> Hub:
    return Hub(hurried, web)


def approve(number: int, status: str = "completed", conclusion: str | None = "success") -> dict[str, Any]:
    return {"id": number, "name": "Approve for production", "status": status, "conclusion": conclusion}


def wave(name: str, conclusion: str | None) -> dict[str, Any]:
    return {"id": 1, "name": name, "status": "completed", "conclusion": conclusion}


def held(number: int) -> tuple[str, list[Any]]:
    return "completed", [approve(number), wave(SKIPPED, "skipped")]


def released(number: int, conclusion: str | None = "success") -> tuple[str, list[Any]]:
    return "completed", [approve(number), wave("Prod, wave 1 in eu-west-1", conclusion)]


def test_it_knows_the_jobs_by_the_names_that_they_have() -> None:
    load = YAML(typ="safe").load
    workflows = ROOT / "tests/golden/minimal/.github/workflows"
    inputs = load(ROOT / ".github/actions/resume/action.yml")["inputs"]
    [step] = [step for step in load(workflows / "resume.yml")["jobs"]["resume"]["steps"] if "with" in step][1:]
    for name in (step["with"]["workflows"], step["with"]["anytime"]):
        jobs = load(workflows / name)["jobs"]
        assert jobs["prod-approve"]["name"] == inputs["approve-job"]["default"]
        matching = [job for job, said in jobs.items() if said["name"].startswith(inputs["first-job"]["default"])]
        assert matching == ["prod-1"]
        assert jobs["prod-1"]["name"] == SKIPPED


def test_the_approved_one_goes_on(hub: Hub) -> None:
    hub.has(70, NEW, held(5))
    ran = hub.resume({"status": "ahead"}, 201, approval_branch="production")
    assert (ran.code, ran.outputs, ran.commands) == (0, {"run": "70", "baking": ""}, [])
    [runs, *others] = hub.asked
    assert runs.startswith("GET actions/workflows/pipeline.yml/runs?branch=main&per_page=30&created=%3E%3D20")
    assert others == [
        "GET actions/runs/70",
        "GET actions/runs/70/jobs?per_page=100",
        f"GET compare/{NEW}...production?per_page=1",
        "POST actions/jobs/5/rerun",
    ]
    assert "ghs_secret" not in ran.out


def test_one_that_is_not_approved_waits_and_the_one_before_it_goes_on(hub: Hub) -> None:
    hub.has(60, OLD, held(4))
    hub.has(70, NEW, held(5))
    ran = hub.resume({"status": "behind"}, {"status": "identical"}, 201, approval_branch="production")
    assert (ran.code, ran.outputs["run"]) == (0, "60")
    assert hub.asked[-1] == "POST actions/jobs/4/rerun"


@pytest.mark.parametrize("conclusion", ["success", "failure", "cancelled", None])
def test_nothing_older_than_what_was_released_goes_on(hub: Hub, conclusion: str | None) -> None:
    hub.has(60, OLD, held(4))
    hub.has(70, NEW, released(5, conclusion))
    ran = hub.resume(approval_branch="production")
    assert (ran.code, ran.outputs["run"], ran.errors) == (0, "", [])
    assert not any(line.startswith("POST") for line in hub.asked)


@pytest.mark.parametrize(
    "state",
    [
        ("completed", []),
        ("completed", [approve(5, "completed", "failure"), wave(SKIPPED, "skipped")]),
        ("completed", [approve(5, "completed", "skipped"), wave(SKIPPED, "skipped")]),
        ("waiting", [approve(5, "waiting", None)]),
        ("in_progress", [approve(5, "queued", None)]),
    ],
)
def test_a_run_that_was_not_held_does_not_go_on(hub: Hub, state: Any) -> None:
    hub.has(70, NEW, state)
    ran = hub.resume()
    assert (ran.code, ran.outputs["run"]) == (0, "")
    assert "no held release can be resumed now" in ran.out


def test_without_an_approval_branch_the_window_is_all(hub: Hub) -> None:
    hub.has(70, NEW, held(5))
    assert hub.resume(201).outputs["run"] == "70"


def test_it_waits_for_a_run_that_is_being_held(hub: Hub) -> None:
    skipped = [approve(5), wave(SKIPPED, "skipped")]
    hub.has(
        70, NEW, ("in_progress", [approve(5, "in_progress", None)]), ("in_progress", skipped), ("completed", skipped)
    )
    assert hub.resume(201).outputs["run"] == "70"


def test_it_does_not_wait_for_ever(hub: Hub) -> None:
    hub.has(60, OLD, held(4))
    hub.has(70, NEW, ("in_progress", [approve(5), wave(SKIPPED, "skipped")]))
    ran = hub.resume(wait_minutes="0")
    assert (ran.code, ran.outputs["run"], [name for name, _, _ in ran.commands]) == (0, "", ["warning"])


def test_while_no_window_is_open_only_what_needs_none_goes_on(hub: Hub) -> None:
    hub.has(70, NEW, held(5))
    ran = hub.resume(201, windows=FROZEN, anytime="hotfix.yml")
    assert ran.outputs["run"] == "70"
    assert hub.asked[0].startswith("GET actions/workflows/hotfix.yml/runs")
    assert not any("pipeline.yml" in line for line in hub.asked)
    hub.web.requests.clear()
    assert hub.resume(windows=FROZEN).outputs["run"] == ""
    assert hub.asked == []


@pytest.mark.parametrize(
    ("answers", "says"),
    [([403], "GitHub refused actions/jobs/5/rerun: 403"), ([404], "GitHub refused actions/jobs/5/rerun: 404")],
)
def test_a_refusal_is_told(hub: Hub, answers: list[Any], says: str) -> None:
    hub.has(70, NEW, held(5))
    ran = hub.resume(*answers)
    assert (ran.code, ran.outputs["run"]) == (1, "")
    assert says in ran.errors[0]


def test_an_answer_that_is_none_is_told(hub: Hub) -> None:
    hub.web.answers = [(200, {}, b"[]")]
    hub.job.env["GITHUB_API_URL"] = hub.web.url
    ran = hub.job.use("resume", branch="main", token="t")
    assert ran.code == 1
    assert "cannot be read" in ran.errors[0]


# ---- A bake for which no runner waits


def holding(number: int, *waves: str) -> list[dict[str, Any]]:
    """The jobs of a run: what became of each wave's hold, and `skipped` for what waits for one that holds."""
    jobs = [approve(5), wave("Prod, wave 1 in eu-west-1", "success")]
    for count, said in enumerate(waves, 1):
        name = f"Bake wave {count} in " + ("eu-west-1" if said == "over" else "${{ matrix.region }}")
        jobs.append({"id": 100 * number + count, "name": f"Hold wave {count}", "status": "completed",
                     "conclusion": "success" if said in ("over", "held") else said})  # fmt: skip
        jobs.append(wave(name, "success" if said == "over" else "skipped"))
    return jobs


def baking(hub: Hub, *said: Any, **inputs: str) -> Any:
    hub.web.answers = [(one, {}, b"") if isinstance(one, int) else (200, {}, json.dumps(one).encode()) for one in said]
    hub.job.env["GITHUB_API_URL"] = hub.web.url
    return hub.job.use("resume", branch="main", token="ghs_secret", bakes="true", **inputs)


DONE = {"status": "completed"}
LISTED = {"workflow_runs": [{"id": 70, "head_sha": NEW}]}
NONE: dict[str, Any] = {"workflow_runs": []}


@pytest.mark.parametrize(
    ("waves", "found"),
    [
        (["held"], True),
        (["over", "held"], True),
        (["over", "over", "held"], True),
        (["over"], False),
        (["over", "failure"], False),
        (["failure"], False),
        (["cancelled"], False),
        (["skipped"], False),
    ],
)
def test_whose_bake_is_held(hub: Hub, waves: list[str], found: bool) -> None:
    jobs = {"jobs": holding(70, *waves)}
    ran = baking(hub, LISTED, DONE, jobs) if found else baking(hub, LISTED, DONE, jobs, DONE, jobs, LISTED, DONE, jobs)
    assert (ran.code, ran.outputs["baking"], ran.outputs["run"]) == (0, "70" if found else "", "")
    assert not any(line.startswith("POST") for line in hub.asked)


def test_a_wave_is_not_taken_for_one_that_begins_as_it(hub: Hub) -> None:
    """Wave 1 is over, wave 11 is skipped."""
    jobs = [approve(5), wave("Hold wave 1", "success"), wave("Bake wave 1 in eu-west-1", "success")]
    jobs += [wave("Hold wave 11", "skipped"), wave("Bake wave 11 in ${{ matrix.region }}", "skipped")]
    assert baking(hub, LISTED, DONE, {"jobs": jobs}, DONE, {"jobs": jobs}, NONE).outputs["baking"] == ""


def test_a_run_that_goes_on_is_left_alone(hub: Hub) -> None:
    jobs = {"jobs": holding(70, "held")}
    ran = baking(hub, LISTED, {"status": "in_progress"}, {"status": "in_progress"}, jobs, LISTED, DONE, jobs)
    assert (ran.code, ran.outputs["baking"], ran.outputs["run"]) == (0, "", "")


def test_what_is_held_for_its_approval_waits_for_the_bake_of_another(hub: Hub) -> None:
    both = {"workflow_runs": [{"id": 80, "head_sha": NEW}, {"id": 70, "head_sha": OLD}]}
    of_80 = {"jobs": held(80)[1]}
    ran = baking(hub, both, DONE, of_80, DONE, of_80, DONE, {"jobs": holding(70, "held")}, approval_branch="production")
    assert (ran.outputs["baking"], ran.outputs["run"]) == ("70", "")


def test_no_window_closes_it(hub: Hub) -> None:
    ran = baking(hub, LISTED, NONE, DONE, {"jobs": holding(70, "held")}, windows=FROZEN, anytime="hotfix.yml")
    assert ran.outputs["baking"] == "70"


def test_the_job_that_holds_it_runs_again(hub: Hub) -> None:
    ran = baking(hub, DONE, {"jobs": holding(70, "over", "held")}, 201, run_id="70")
    assert (ran.code, ran.outputs["run"]) == (0, "70")
    assert hub.asked[-1] == "POST actions/jobs/7002/rerun"


def test_one_that_nothing_holds_any_more_does_not(hub: Hub) -> None:
    ran = baking(hub, DONE, {"jobs": holding(70, "over")}, run_id="70")
    assert (ran.code, ran.outputs["run"]) == (0, "")
    assert "holds no bake any more" in ran.out
    assert len(hub.asked) == 2


def test_that_github_does_not_run_it_again_is_told(hub: Hub) -> None:
    """After 50 times, or 30 days."""
    ran = baking(hub, DONE, {"jobs": holding(70, "held")}, 403, run_id="70")
    assert (ran.code, ran.outputs["run"]) == (1, "")
    assert "GitHub refused actions/jobs/7001/rerun: 403" in ran.errors[0]


def test_it_knows_the_jobs_of_a_bake_by_the_names_that_they_have() -> None:
    jobs = YAML(typ="safe").load(ROOT / "templates/application/catalogue.yml")["jobs"]
    inputs = YAML(typ="safe").load(ROOT / ".github/actions/resume/action.yml")["inputs"]
    for job, name in (("prod-hold", "hold-job"), ("prod-bake", "bake-job")):
        assert jobs[job]["name"] == f"{inputs[name]['default']} {{wave}}"
