"""The rehearsal itself: stage, bootstrap, play, and tell."""

import json
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from . import act, advisories, aws_cli, dialect, stage
from .accounts import Spec, bootstrap, deployments
from .aws import Cloud
from .oidc import Issuer
from .record import Record
from .result import RehearsalError, Result
from .third_party import mappings

LIMIT = 30 * 60.0  # seconds for the whole rehearsal
# Where no job gets a token of GitHub's there is no account to prepare, and nothing answers for AWS.
NOWHERE = SimpleNamespace(url="http://127.0.0.1:9", token_url="", attest_url="", refusals=[])


def rehearse(
    root: Path,
    spec: Spec,
    stages: Mapping[str, str],
    *,
    only: Collection[str] = (),
    offline: bool = False,
    keep: Path | None = None,
    show: Callable[[str], None] = lambda line: None,
) -> Result:
    """Run the repository's generated pipeline on this machine.

    Args:
        root: the repository; it is only read.
        spec: what is delivered, and where to.
        stages: job id -> DPRA stage.
        only: stages or jobs to run, with all that they need; empty for everything.
        offline: fetch nothing; what is installed beside dpra counts as installed.
        keep: a folder that does not exist yet, for the run's artifacts.
        show: is given progress, a line at a time.

    Raises:
        RehearsalError: it cannot be played: a tool is missing, or the repository holds what has no stand-in.
    """
    began = time.monotonic()
    for tool in ("act", "aws"):  # the deploy action calls aws
        act.find(tool)
    with folder() as work, interruptible():
        repository = work / "repository"
        show("staging a copy of the working tree")
        sha = stage.clone(root.resolve(), spec.trunk, repository)
        workflow = stage.load(repository / stage.WORKFLOW)
        stage.refuse_unplayable(workflow)
        stand_ins = mappings(repository, workflow)
        selected = stage.selected(workflow["jobs"], stages, only)
        issuer = Issuer(spec.repository, spec.trunk, sha, spec.repository_id or 0, spec.owner_id or 0)
        accounts = any(stage.may_write("id-token", workflow, workflow["jobs"][job]) for job in selected)
        if accounts:
            show("preparing the accounts")
        with Cloud(issuer) if accounts else nullcontext(NOWHERE) as cloud:
            if accounts:
                bootstrap(repository, spec)
            text = (repository / stage.WORKFLOW).read_text(encoding="utf-8")
            text = dialect.edited(text, lambda copy: stage.prepare(copy, selected, issuer, cloud, work))
            (work / "pipeline.yml").write_text(text, encoding="utf-8")
            (work / "event.json").write_text(json.dumps(event(spec, sha)), encoding="utf-8")
            for name in ("artifacts", "cache"):
                (work / name).mkdir()
            record = Record(workflow, show)
            arguments = act.command(
                work, stage.runner_labels(workflow), stand_ins, spec.repository, spec.repository_id or 1
            )
            steps = act.shell(work)
            env = act.environment(work, steps, cloud.url, offline)
            if accounts:
                cloud.order = partial(stage.order, repository)
                arguments += ["--env", f"GITHUB_API_URL={cloud.github_url}"]
                cloud.sigstore.install(steps)
                cloud.registry.install(steps, cloud.url)
            if offline:
                env |= advisories.write(work / "trivy")
            with aws_cli.started(steps) if accounts else nullcontext():
                code, said = act.play(arguments, env, work, record.hear, LIMIT - (time.monotonic() - began))
            deployed = deployments(spec) if accounts else []
        if keep:
            shutil.copytree(work / "artifacts", keep)
        evidence = tuple(
            json.loads(line)
            for path in sorted((work / "artifacts").glob("evidence-*/evidence.jsonl"))
            for line in path.read_text(encoding="utf-8").splitlines()
        )
    finished = code in (0, 1)
    jobs = record.result(stages, selected, finished)
    early = f"cut off after {LIMIT:.0f} seconds" if code < 0 else f"act ended with {code}: {said}"
    if not record.legs:
        raise RehearsalError(f"act ran no job (exit code {code}): {said or 'it said nothing'}")
    return Result(
        ok=code == 0 and not any(job.result == "failure" for job in jobs),
        seconds=round(time.monotonic() - began, 1),
        jobs=jobs,
        annotations=(
            *record.annotations,
            *cloud.refusals,
            *(() if finished else (early,)),
        ),
        deployments=tuple(deployed),
        evidence=evidence,
        simulated=simulated(workflow, selected, spec, offline),
        stopped_at=record.stopped_at,
    )


def simulated(workflow: Mapping[str, Any], selected: list[str], spec: Spec, offline: bool) -> tuple[str, ...]:
    """What GitHub and AWS do and this run only played, or left out."""
    found = [f"the push of this working tree to {spec.trunk}; this machine instead of {label}"
             for label in stage.runner_labels(workflow)]  # fmt: skip
    found += [
        "actions/checkout: the whole commit with its history, whatever fetch-depth and sparse-checkout ask for",
        "concurrency: one run, so no queue",
        "permissions of GITHUB_TOKEN other than id-token and attestations",
    ]
    environments = dict.fromkeys(filter(None, (stage.environment(workflow["jobs"][job]) for job in selected)))
    if names := ", ".join(environments):
        found += [
            f"branch policy of the environments ({names}): {spec.trunk} only",
            f"reviewers and wait timers of the environments ({names}): passed at once, as if approved",
            "the bake time: it passes at once, and the alarms are looked at",
            "permission policies of CloudFormation's and the functions' roles: those of the pipeline's are evaluated",
            "CloudWatch alarms: no data, so each says what its TreatMissingData makes of that",
            "functions run as processes of this machine",
        ]
    for job in selected:
        if services := workflow["jobs"][job].get("services"):
            found.append(f"services of {job} ({', '.join(services)}): not started; this machine's own are used")
    if offline:
        found.append("pip: what is installed beside dpra counts as installed")
        found.append("trivy's database of vulnerabilities: the few advisories of dpra's own, not today's")
    else:
        found.append("the network is open to the jobs, by the proxy and registry settings of your environment")
    return tuple(found)


def event(spec: Spec, sha: str) -> dict[str, Any]:
    """The push that starts the pipeline."""
    owner, name = spec.repository.split("/")
    return {
        "ref": f"refs/heads/{spec.trunk}",
        "before": "0" * 40,
        "after": sha,
        "head_commit": {"id": sha, "message": "The working tree, as it is rehearsed"},
        "repository": {
            "id": spec.repository_id or 1,
            "name": name,
            "full_name": spec.repository,
            "default_branch": spec.trunk,
            "private": True,
            "owner": {"id": spec.owner_id or 1, "login": owner},
        },
        "sender": {"login": owner},
    }


@contextmanager
def folder() -> Iterator[Path]:
    """A private folder, gone afterwards, also where a job left read-only folders in it."""
    work = Path(tempfile.mkdtemp(prefix="dpra-rehearsal-"))
    try:
        yield work
    finally:
        for path in work.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(stat.S_IRWXU)
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends a rehearsal as Ctrl-C does: in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
