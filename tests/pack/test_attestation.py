"""A release that GitHub attests is let through where the attestation is of exactly it: the real GitHub CLI decides."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from dpra.rehearsal.oidc import Issuer
from dpra.rehearsal.sigstore import Sigstore

COMMIT = "c0ffee" + "0" * 34
WORKFLOW = ".github/workflows/pipeline.yml@refs/heads/main"
ENVIRONMENT = {
    "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_REPOSITORY_ID": "456",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_SHA": COMMIT,
}
FILES = ("release.json", "sbom.cdx.json", "sbom.spdx.json")
Attest = Callable[..., Path]


@pytest.fixture
def attest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attest:
    """A release with its attestation, by a job with other claims where they are given."""
    import release

    (tmp_path / "bin").mkdir()
    sigstore = Sigstore()
    sigstore.install(tmp_path / "bin")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "release"
    folder.mkdir()
    for name in (*release.FILES, *release.SBOMS):
        (folder / name).write_text(f"the content of {name}\n")
    release.describe(folder, "shop")

    def attested(by: Sigstore = sigstore, subjects: tuple[str, ...] = FILES, **claims: str) -> Path:
        issuer = Issuer("acme/shop", "main", COMMIT, 456, 123)
        said = issuer.claims("artifacts", "refs/heads/main", "sigstore") | claims
        subject = [{"name": name, "digest": {"sha256": release.sha256(folder / name)}} for name in subjects]
        statement = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicate": {}}
        bundle = by.attest(said, statement | {"predicateType": "https://slsa.dev/provenance/v1"})
        (folder / "attestation.json").write_text(json.dumps(bundle) + "\n")
        return folder

    return attested


def refused(folder: Path) -> str:
    import attestation
    import runner

    with pytest.raises(runner.Failed) as failed:
        attestation.verify(folder, WORKFLOW, COMMIT)
    return str(failed.value)


def test_what_github_attests_is_let_through(attest: Attest) -> None:
    import attestation

    attestation.verify(attest(), WORKFLOW, COMMIT)


OTHER = {
    "another workflow": {"job_workflow_ref": "acme/shop/.github/workflows/nightly.yml@refs/heads/main"},
    "another branch's workflow": {"job_workflow_ref": "acme/shop/.github/workflows/pipeline.yml@refs/heads/x"},
    "another branch": {"ref": "refs/heads/x"},
    "a pull request": {"ref": "refs/pull/1/merge"},
    "another commit": {"sha": "b" * 40},
    "another repository": {"repository": "acme/shops"},
    "a fork's workflow": {"job_workflow_ref": "eve/shop/.github/workflows/pipeline.yml@refs/heads/main"},
    "a repository of the same name": {"repository_id": "457"},
    "a self-hosted runner": {"runner_environment": "self-hosted"},
    "another issuer": {"iss": "https://token.example.com"},
}


@pytest.mark.parametrize("job", OTHER)
def test_the_attestation_of_another_job_stops_it(attest: Attest, job: str) -> None:
    assert "attestation is " in refused(attest(**OTHER[job]))


@pytest.mark.parametrize("name", ["release.json", "sbom.cdx.json", "attestation.json"])
def test_one_flipped_byte_stops_it(attest: Attest, name: str) -> None:
    path = attest() / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(path.parent)


@pytest.mark.parametrize("content", [None, "", "{}", "[]"])
def test_without_an_attestation_it_stops(attest: Attest, content: str | None) -> None:
    path = attest() / "attestation.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert ("the release is not signed" in refused(path.parent)) == (content is None)


def test_who_is_not_github_cannot_attest(attest: Attest) -> None:
    refused(attest(by=Sigstore()))


def test_an_sbom_that_was_not_attested_stops_it(attest: Attest) -> None:
    assert refused(attest(subjects=("release.json",))) == "sbom.cdx.json is not the one that was signed"


def test_an_image_that_was_attested_and_is_gone_stops_it(attest: Attest) -> None:
    folder = attest()
    (folder / "image.json").write_text('{"uri": "1.dkr.ecr/shop@sha256:0"}')
    attest(subjects=(*FILES, "image.json"))
    (folder / "image.json").unlink()
    assert refused(folder) == "image.json was signed with the release, and is missing"


def test_the_attestation_of_another_release_stops_it(attest: Attest) -> None:
    refused(attest(subjects=("sbom.cdx.json",)))


@pytest.mark.parametrize("says", ["", "[]", "null", '[{"verificationResult": {}}]'])
def test_a_cli_that_says_yes_and_no_more_is_not_believed(attest: Attest, tmp_path: Path, says: str) -> None:
    (tmp_path / "bin/gh").write_text(f"#!/bin/sh\necho '{says}'\n")
    assert refused(attest()) == "the output of gh attestation verify cannot be read"


def test_without_the_cli_it_is_told(attest: Attest, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = attest()
    monkeypatch.setenv("PATH", "/nowhere")
    assert "gh, cannot be run" in refused(folder)
