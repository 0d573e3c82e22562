"""In a repository that `dpra new` made, each gate blocks what it is for, in a rehearsal of the generated pipeline."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

INJECTION = 'def find(cursor, name):\n    return cursor.execute("SELECT * FROM users WHERE name = \'" + name + "\'")\n'
WAIVER = """waivers:
  - check: sast
    rule: B608
    path: src/users.py
    reason: only our own names
    owner: "@acme/platform"
    until: {until}
"""


def rehearsed(dpra: Any, root: Path, *options: str) -> tuple[int, dict[str, str], str]:
    """Exit code, the result of each action's step, and what was printed."""
    report = root.parent / "result.json"
    done = dpra("rehearse", "--offline", *options, "--json", report, cwd=root)
    result = json.loads(report.read_text())
    steps = {step["id"]: step["result"] for job in result["jobs"] for step in job["steps"]}
    return done.returncode, steps, done.stdout + done.stderr


def bad_template(root: Path) -> None:
    path = root / "infrastructure/template.yml"
    site = "  Site:\n    Type: AWS::S3::Bucket\n    Properties:\n      AccessControl: PublicRead\n"
    path.write_text(path.read_text().replace("Resources:\n", f"Resources:\n{site}", 1))


BAD = {
    "sca": lambda root: (root / "requirements.txt").write_text("requests==2.19.1\n"),
    "sast": lambda root: (root / "src/users.py").write_text(INJECTION),
    "policy-as-code": bad_template,
}
NAMED = {
    "sca": "requirements.txt:1: CVE-2018-18074",
    "sast": "src/users.py:2: B608",
    "policy-as-code": "infrastructure/template.yml:21: S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED_CHECK",
}


@pytest.mark.slow
def test_each_is_blocked_by_its_own_gate(dpra: Any, copy: Path) -> None:
    """One rehearsal of all faults; that none of these gates blocks without one is test_main_job's."""
    for fault in BAD.values():
        fault(copy)
    (copy / "src/untested.py").write_text("def untested(x):\n" + "    x += 1\n" * 40 + "    return x\n")
    code, steps, said = rehearsed(dpra, copy, "--only", "build,security")
    assert code == 1
    assert {one: steps[one] for one in (*BAD, "unit-tests")} == dict.fromkeys((*BAD, "unit-tests"), "failure")
    assert steps["secrets-detection"] == "success"
    for named in NAMED.values():
        assert named.partition(":")[0] in said
        assert named.rpartition(": ")[2] in said
    assert "80 % are required" in said


@pytest.mark.slow
def test_waivers_and_a_baseline_let_a_repository_adopt_dpra_and_block_what_is_new_or_expired(
    dpra: Any, copy: Path
) -> None:
    """In the baseline is what no waiver names."""
    waived, known, new = (copy / f"src/{name}.py" for name in ("users", "orders", "payments"))
    waived.write_text(INJECTION)
    known.write_text(INJECTION.replace("users", "orders"))
    spec = (copy / "dpra.yml").read_text()
    waiver = WAIVER.format(until="2999-12-31")
    (copy / "dpra.yml").write_text(spec + waiver)
    assert dpra("generate", cwd=copy).returncode == 0
    done = dpra("baseline", "--offline", cwd=copy)
    assert done.returncode == 0, done.stderr
    assert "sast: 1 medium" in done.stdout
    spec += "baseline: .github/dpra-baseline.json\n"
    (copy / "dpra.yml").write_text(spec + waiver)
    assert dpra("generate", cwd=copy).returncode == 0
    code, steps, said = rehearsed(dpra, copy, "--only", "security")
    assert (code, steps["sast"]) == (0, "success"), said

    new.write_text(INJECTION.replace("users", "payments"))
    (copy / "dpra.yml").write_text(spec + WAIVER.format(until="2020-01-31"))
    assert dpra("generate", cwd=copy).returncode == 0
    code, steps, said = rehearsed(dpra, copy, "--only", "security")
    assert (code, steps["sast"]) == (1, "failure"), said
    assert "until 2020-01-31 has expired" in said
    assert "src/users.py:2" in said
    assert "src/payments.py:2" in said
    assert "src/orders.py:2" not in said


# ---- The stored release


def tampering(copy: Path, tamper: Any) -> tuple[Any, list[str]]:
    """A rehearsal in which `tamper` gets at the cloud between build and beta; the result, and the writes after that."""
    from dpra import catalogue, problems, rehearsal
    from dpra.rehearsal import aws
    from dpra.spec import reader

    made = problems.planned(reader.read((copy / "dpra.yml").read_bytes(), catalogue.words()))
    writes: list[str] = []
    cloud: Any = None
    tampered = False

    def show(line: str) -> None:
        nonlocal tampered
        if line == "artifacts: success":
            tamper(cloud)
            tampered = True

    permit = aws.Cloud.permit

    def watched(self: Any, access_key: str, service: str, region: str, account: str, environ: Any, form: Any) -> None:
        nonlocal cloud
        cloud = self
        permit(self, access_key, service, region, account, environ, form)
        if tampered:
            name = aws.permissions.operation(service, environ, form)
            if not name.startswith(("Get", "Describe", "List", "Verify")):
                writes.append(f"{service}:{name}")

    aws.Cloud.permit = watched
    try:
        result = rehearsal.rehearse(copy, made, offline=True, show=show)
    finally:
        aws.Cloud.permit = permit
    assert tampered
    return result, writes


def store() -> Any:
    """What lies in the store, by its key."""
    from moto.s3.models import s3_backends

    [bucket] = s3_backends["444444444444"]["aws"].buckets.values()
    return bucket.keys


def stored(name: str) -> Any:
    [key] = [key for key in store() if key.endswith(f"/{name}")]
    return store()[key]


def put(name: str, content: bytes) -> None:
    """As who may write does it: with S3's own checksum."""
    held = stored(name)
    held.value = content
    held.checksum_value = held.checksum_algorithm = None


def without(name: str) -> Any:
    def tamper(cloud: Any) -> None:
        store().pop(next(key for key in store() if key.endswith(f"/{name}")))

    return tamper


def attested_by(path: str) -> Any:
    """The attestation of the same release by another workflow of the same repository and commit, on the trunk."""

    def tamper(cloud: Any) -> None:
        bundle = json.loads(stored("attestation.json").value)
        claims = cloud.issuer.claims("artifacts", "refs/heads/main", "sigstore")
        claims["job_workflow_ref"] = f"{cloud.issuer.repository}/{path}@refs/heads/main"
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        put("attestation.json", json.dumps(cloud.sigstore.attest(claims, statement)).encode())

    return tamper


KMS, ATTESTED = "", "github: {plan: enterprise}\n"
TAMPERED = {
    "no signature": (KMS, without("provenance.sig"), "the release is not signed"),
    "another workflow's attestation": (
        ATTESTED,
        attested_by(".github/workflows/nightly.yml"),
        "attestation is not of this release by .github/workflows/pipeline.yml@refs/heads/main",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", TAMPERED)
def test_what_was_tampered_with_in_the_store_is_not_deployed(
    dpra: Any, copy: Path, unscanned: Any, change: str
) -> None:
    said, tamper, says = TAMPERED[change]
    with (copy / "dpra.yml").open("a") as file:
        file.write(said)
    assert dpra("generate", cwd=copy).returncode == 0
    unscanned(copy)
    result, writes = tampering(copy, tamper)
    assert not result.ok
    assert any(says in line for line in result.annotations), result.annotations
    assert (result.deployments, writes) == ((), [])
    assert result.stopped_at.startswith("beta")


# ---- Evidence


def test_a_file_that_is_no_evidence_is_refused(dpra: Any, tmp_path: Path) -> None:
    for content in (
        "",
        "{}",
        "[]",
        '{"expected": [], "actions": [{}], "pipeline": "application"}',
        '{"pipeline": "x"}',
    ):
        (tmp_path / "evidence.json").write_text(content)
        done = dpra("evidence", "evidence.json", cwd=tmp_path)
        assert done.returncode == 2, content
        assert "evidence.json: this is no evidence.json of dpra" in done.stderr
    assert dpra("evidence", "nothing.json", cwd=tmp_path).returncode == 2
