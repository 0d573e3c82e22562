"""A pipeline, executed from build to report: what runs, what is refused, and what stays behind."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from dpra.rehearsal import RehearsalError, act

CREDENTIALS = "aws-actions/configure-aws-credentials@e6de054238d6b7531b4efff3b6587d9aade6a06c"
UPLOAD = "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a"


def one_job(steps: str, rest: str = "permissions: {id-token: write}, environment: beta") -> str:
    return f"name: One\non: push\njobs:\n  beta: {{runs-on: ubuntu-24.04, {rest}, steps: [{steps}]}}\n"


def assume(role: str, **inputs: str) -> str:
    more = "".join(f", {name}: '{value}'" for name, value in inputs.items())
    return f"{{id: role, uses: '{CREDENTIALS}', with: {{role-to-assume: '{role}', aws-region: eu-west-1{more}}}}}"


def test_the_whole_pipeline_runs_and_deploys_the_release(rehearse):
    lines = []
    result = rehearse(show=lines.append)
    assert result.ok, "\n".join(lines)
    assert [(job.job, job.region, job.result) for job in result.jobs] == [
        ("build", "", "success"),
        ("beta", "eu-west-1", "success"),
        ("beta", "us-east-1", "success"),
        ("prod", "", "success"),
        ("report", "", "success"),
    ]
    assert [(step.id, step.result) for step in result.jobs[1].steps][3] == ("deploy-software", "success")
    deployed = [(d.environment, d.account, d.region, d.stack, d.status) for d in result.deployments]
    assert deployed == [
        ("beta", "111111111111", "eu-west-1", "demo", "CREATE_COMPLETE"),
        ("beta", "111111111111", "us-east-1", "demo", "CREATE_COMPLETE"),
    ]
    assert all(len(d.digest) == 64 and len(d.commit) == 40 for d in result.deployments)
    assert any("beta, prod-1" in line for line in result.simulated)
    assert result.stopped_at == ""
    assert result.as_json()["jobs"][0]["steps"][0]["result"] == "success"


def test_only_runs_the_chosen_stage_and_what_it_needs(rehearse):
    result = rehearse(only=["beta"])
    assert {job.job: job.result for job in result.jobs} == {
        "build": "success",
        "beta": "success",
        "prod": "not run",
        "report": "not run",
    }


def test_only_refuses_a_word_that_is_no_stage_and_no_job(rehearse):
    with pytest.raises(RehearsalError, match="no stage or job is called betta; there are build, beta"):
        rehearse(only=["betta"])


def test_a_failure_stops_what_needs_it_and_names_the_step(rehearse, repository):
    path = repository / ".github/workflows/pipeline.yml"
    text = path.read_text().replace("python -c", "echo '::error file=a.py,line=3::no good' && exit 3 #")
    result = rehearse(text)
    assert not result.ok
    assert {job.job: job.result for job in result.jobs} == {
        "build": "failure",
        "beta": "skipped",
        "prod": "skipped",
        "report": "failure",
    }
    assert result.stopped_at == "build / unit-tests"
    assert "build: a.py:3: no good" in result.annotations


def test_a_failing_step_leaves_act_the_time_to_hear_its_last_words(rehearse):
    """act does not read the terminal of a command that failed to its end (exec in its host_environment.go)."""
    nested = "for i in 1 2 3 4 5 6 7 8 9; do bash -c 'exit 1' || echo \"::error::word $i\"; done; exit 7"
    result = rehearse(one_job(f"{{id: fails, shell: bash, run: {json.dumps(nested)}}}"))
    assert [line for line in result.annotations if "word" in line] == [f"beta: word {i}" for i in range(1, 10)]
    assert act.PAUSE <= result.jobs[0].steps[0].seconds < 5 * act.PAUSE  # once, not for each bash inside
    assert result.stopped_at == "beta / fails"


def test_a_forgiven_step_fails_and_the_job_does_not(rehearse):
    result = rehearse(one_job("{id: one, run: exit 1, continue-on-error: true}, {id: two, run: 'true'}"))
    assert result.ok
    assert [(step.id, step.result) for step in result.jobs[0].steps] == [("one", "failure"), ("two", "success")]
    assert result.stopped_at == ""


def test_a_rehearsal_that_takes_too_long_is_cut_off(rehearse, monkeypatch, tmp_path):
    """The time is up as soon as the step runs, however long the machine takes to come to it."""
    napping, limits = tmp_path / "napping", []

    class Late(threading.Timer):
        def run(self):
            limits.append(self.interval)
            while not napping.exists() and not self.finished.wait(0.02):
                pass
            self.interval = 0
            super().run()

    monkeypatch.setattr("threading.Timer", Late)
    monkeypatch.setattr("dpra.rehearsal.world.LIMIT", 90)
    nap = one_job(f"{{id: nap, run: 'touch {napping}; sleep 60'}}")
    result = rehearse(nap + "  next: {needs: beta, runs-on: a, steps: [{run: 'true'}]}")
    assert not result.ok
    assert [(job.job, job.result) for job in result.jobs] == [("beta", "failure"), ("next", "not run")]
    assert result.stopped_at == "beta / nap"
    assert result.annotations == ("cut off after 90 seconds",)
    assert limits == [90]  # of each run, however long those before it took


def test_act_that_hangs_before_its_first_job_is_started_once_more_and_asked_where_it_hangs(monkeypatch, tmp_path):
    monkeypatch.setattr(act, "START", 1.0)
    hangs = tmp_path / "hangs"
    program = """
import json, pathlib, signal, sys, time
hangs, times = pathlib.Path(sys.argv[1]), int(sys.argv[2])
print(json.dumps({"msg": "Using docker host"}), flush=True)
signal.signal(signal.SIGQUIT, lambda *_: (print("goroutine 1 [chan receive]", flush=True), sys.exit(2)))
with hangs.open("a") as begun: begun.write("x")
if len(hangs.read_text()) <= times: time.sleep(60)
print(json.dumps({"job": "one"}), flush=True)
time.sleep(2)  # longer than it may take to begin
"""
    heard = []
    for times, expected in ((0, (0, "")), (1, (0, "")), (2, (2, "goroutine 1 [chan receive]"))):
        hangs.unlink(missing_ok=True)
        command = [sys.executable, "-c", program, str(hangs), str(times)]
        assert act.play(command, {act.MARK: "none"}, tmp_path, heard.append, 30) == expected
        assert len(hangs.read_text()) == min(times + 1, 2)
    assert [record for record in heard if "job" in record] == [{"job": "one"}] * 2


def test_each_job_has_a_home_of_its_own(rehearse):
    jobs = "  next: {needs: beta, runs-on: ubuntu-24.04, steps: [{run: test ! -e ~/mine && test -d $TMPDIR}]}"
    assert rehearse(one_job("{run: touch ~/mine}") + jobs).ok


# ---- What GitHub and AWS refuse


def test_the_role_of_another_environment_is_refused_by_its_trust_policy(rehearse):
    result = rehearse(one_job(assume("arn:aws:iam::222222222222:role/dpra-demo-prod-1")))
    assert result.stopped_at == "beta / role"
    message = "Could not assume role with OIDC: Not authorized to perform sts:AssumeRoleWithWebIdentity"
    assert f"beta: {message}" in result.annotations
    assert any("sub is repo:acme/demo:environment:beta, not" in line for line in result.annotations)


def test_a_job_without_the_permission_gets_no_token(rehearse):
    rest = "permissions: {contents: read}, environment: beta"
    result = rehearse(one_job(assume("arn:aws:iam::111111111111:role/dpra-demo-beta"), rest))
    assert "Credentials could not be loaded" in result.annotations[0]


def test_credentials_for_an_account_that_is_not_allowed_are_not_used(rehearse):
    role = assume("arn:aws:iam::111111111111:role/dpra-demo-beta", **{"allowed-account-ids": "999999999999"})
    assert "does not match any of the expected account IDs" in rehearse(one_job(role)).annotations[0]


def test_credentials_that_this_run_did_not_give_out_are_refused(rehearse):
    keys = "AWS_ACCESS_KEY_ID: AKIAIOSFODNN7EXAMPLE, AWS_SECRET_ACCESS_KEY: x, AWS_DEFAULT_REGION: eu-west-1"
    run = "import boto3; boto3.client('sts').get_caller_identity()"
    lines = []
    result = rehearse(one_job(f'{{run: "python3 -c \\"{run}\\"", env: {{{keys}}}}}'), show=lines.append)
    assert not result.ok
    assert "InvalidClientTokenId" in "".join(lines)


def test_an_artifact_name_can_be_used_once_in_a_run(rehearse):
    upload = f"{{uses: '{UPLOAD}', with: {{name: a, path: '*.txt'}}}}"
    result = rehearse(one_job(f"{{run: echo 1 > a.txt}}, {upload}, {{id: again, uses: '{UPLOAD}', with: "
                              "{name: a, path: a.txt}}"))  # fmt: skip
    assert result.stopped_at == "beta / again"
    assert "409" in result.annotations[0]


def test_a_job_that_may_not_read_contents_checks_nothing_out(rehearse):
    checkout = "{uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1}"
    with pytest.raises(RehearsalError, match="job beta: actions/checkout finds no private repository"):
        rehearse(one_job(checkout))


def test_what_a_job_saves_in_a_cache_a_later_one_finds(rehearse):
    """Saved behind all steps of a job that passed, and not of one that failed."""
    job = """
  {name}:
    runs-on: ubuntu-24.04
    needs: [{needs}]
    if: always()
    steps:
      - {{uses: actions/cache@27d5ce7f107fe9357f9df03efb73ab90386fccae, with: {{key: k, path: kept}}}}
      - run: test -f kept/{wants}
      - run: mkdir -p kept && touch kept/by-{name} && {then}
"""
    jobs = job.format(name="lost", needs="", wants="it || true", then="false")
    jobs += job.format(name="first", needs="lost", wants="by-lost && exit 1 || true", then="true")
    jobs += job.format(name="second", needs="first", wants="by-first", then="true")
    jobs += job.format(name="third", needs="second", wants="by-first && test ! -f kept/by-second", then="true")
    result = rehearse(f"name: One\non: push\njobs:{jobs}")
    assert [job.result for job in result.jobs] == ["failure", "success", "success", "success"]


def test_an_action_without_a_stand_in_is_named_before_anything_runs(rehearse):
    with pytest.raises(RehearsalError, match="job beta: nothing stands in for acme/new@v1 in a rehearsal"):
        rehearse(one_job("{uses: acme/new@v1}"))


def test_an_input_that_the_real_action_does_not_have_is_named(rehearse):
    with pytest.raises(RehearsalError, match="actions/upload-artifact has no input 'paths'"):
        rehearse(one_job(f"{{uses: '{UPLOAD}', with: {{paths: a}}}}"))


def test_a_missing_tool_is_named_with_what_installs_it(rehearse, monkeypatch):
    monkeypatch.setattr("dpra.rehearsal.act.tools", lambda: "/nowhere")
    with pytest.raises(RehearsalError, match=r"^act is not installed: pip install 'dpra\[rehearse\]'$"):
        rehearse()


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("container: alpine", "container needs Docker"),
        ("environment: '${{ github.ref }}'", "environment is an expression"),
    ],
)
def test_what_act_would_play_differently_is_refused(rehearse, rest, message):
    with pytest.raises(RehearsalError, match=message):
        rehearse(one_job("{run: 'true'}", rest))


# ---- What stays behind: nothing


def fingerprint(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns) for path in files}


def test_the_users_checkout_is_not_written(rehearse, repository):
    (repository / "new.txt").write_text("not committed")
    (repository / "README.md").unlink()
    before = fingerprint(repository)
    rehearse(only=["build"])
    assert fingerprint(repository) == before


SLEEPER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from dpra import rehearsal
from conftest import planned
rehearsal.rehearse(Path({root!r}), planned(), offline=True, show=lambda line: print(line, flush=True))
"""


def marked(word: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += [process.name] if word.encode() in (process / "cmdline").read_bytes() else []
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_and_no_folder_outlives_an_interrupted_rehearsal(repository, tmp_path, number):
    nap = f"31{os.getpid()}.25"
    steps = f"{{run: 'setsid sleep {nap} & nohup sleep {nap} & sleep {nap}'}}"
    (repository / ".github/workflows/pipeline.yml").write_text(one_job(steps))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER.format(here=str(Path(__file__).parent), root=str(repository))],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 180  # other tests run beside it
    while len(marked(nap)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(marked(nap)) == 3
    assert list(temporary.iterdir())
    process.send_signal(number)
    assert process.wait(timeout=20) != 0
    assert marked(nap) == []
    assert list(temporary.iterdir()) == []
