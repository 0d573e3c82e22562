"""A release's attestation by GitHub: verified by the GitHub CLI, against exactly one workflow, commit and branch."""

import json
import os
import subprocess
from pathlib import Path

import release
import runner


def verify(directory: Path, workflows: str, commit: str) -> None:
    """Fail unless GitHub attests that one of these workflows built the release from the commit, on GitHub's runners.

    Args:
        directory: the release, with the attestation beside it.
        workflows: the only ones that are accepted, of this repository: `PATH@REF`, with blanks between. Without them
            any workflow of any branch would do (https://cli.github.com/manual/gh_attestation_verify).
    """
    if not (directory / release.ATTESTATION).is_file():
        raise runner.Failed(f"the release is not signed: it has no {release.ATTESTATION}")
    for workflow in workflows.split():
        said, problem = _asked(directory, workflow, commit)
        if not problem:
            break
    else:
        raise runner.Failed(f"GitHub's attestation is not of this release by {workflows}: {problem}")
    try:
        [verified] = json.loads(said)
        certificate = verified["verificationResult"]["signature"]["certificate"]
        subjects = {
            one["name"]: one["digest"]["sha256"] for one in verified["verificationResult"]["statement"]["subject"]
        }
        built = certificate["sourceRepositoryIdentifier"]
    except (ValueError, LookupError, TypeError) as wrong:
        raise runner.Failed("the output of gh attestation verify cannot be read", "error") from wrong
    if built != os.environ["GITHUB_REPOSITORY_ID"]:  # a name can be given to another repository, an id cannot
        raise runner.Failed(
            f"the attestation is of repository id '{built}', not '{os.environ['GITHUB_REPOSITORY_ID']}'"
        )
    release.verify_beside(directory, subjects)


def _asked(directory: Path, workflow: str, commit: str) -> tuple[str, str]:
    """What gh says of the attestation, and why it is none by this workflow; one of them is empty."""
    bundle = directory / release.ATTESTATION
    repository = os.environ["GITHUB_REPOSITORY"]
    words = ["gh", "attestation", "verify", str(directory / release.MANIFEST), "--bundle", str(bundle)]
    words += ["--repo", repository, "--predicate-type", "https://slsa.dev/provenance/v1"]
    words += ["--cert-identity", f"{os.environ['GITHUB_SERVER_URL']}/{repository}/{workflow}"]
    words += ["--source-ref", workflow.rpartition("@")[2], "--source-digest", commit]
    words += ["--deny-self-hosted-runners", "--format", "json"]
    env = {**os.environ, "GH_NO_UPDATE_NOTIFIER": "1", "GH_PROMPT_DISABLED": "1"}
    try:
        ran = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    except OSError as problem:
        raise runner.Failed(f"the GitHub CLI, gh, cannot be run: {problem.strerror}", "error") from problem
    if ran.returncode:
        return "", ran.stderr.strip() or "gh gave no reason"
    return ran.stdout, ""
