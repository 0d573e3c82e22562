"""In a repository that `dpra new` made, each gate blocks what it is for, in a rehearsal of the generated pipeline."""

import base64
import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCHEMA = Path(__file__).parents[1] / "docs/evidence.schema.json"
INJECTION = 'def find(cursor, name):\n    return cursor.execute("SELECT * FROM users WHERE name = \'" + name + "\'")\n'
WAIVER = """waivers:
  - check: sast
    rule: B608
    path: src/**
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


def only_blocked(steps: dict[str, str], action: str) -> None:
    checks = ("secrets-detection", "sast", "sca", "policy-as-code")
    assert {one: steps[one] for one in checks} == {one: "failure" if one == action else "success" for one in checks}


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
@pytest.mark.parametrize("action", BAD)
def test_each_is_blocked_by_its_own_gate(dpra: Any, copy: Path, action: str) -> None:
    BAD[action](copy)
    code, steps, said = rehearsed(dpra, copy, "--only", "security")
    assert code == 1
    only_blocked(steps, action)
    assert NAMED[action].partition(":")[0] in said
    assert NAMED[action].rpartition(": ")[2] in said


@pytest.mark.slow
def test_a_committed_aws_key_pair_is_named_by_file_and_line_and_not_printed(dpra: Any, copy: Path) -> None:
    key = "AKIA" + base64.b32encode(os.urandom(10)).decode()
    secret = base64.b64encode(secrets.token_bytes(30)).decode()
    (copy / "src/settings.py").write_text(f'REGION = "eu-west-1"\nKEY = "{key}"\naws_secret_access_key = "{secret}"\n')
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "add", "."], cwd=copy, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "Settings"], cwd=copy, check=True)
    code, steps, said = rehearsed(dpra, copy, "--only", "security")
    assert code == 1
    assert steps["secrets-detection"] == "failure"
    assert "src/settings.py:2: aws-access-token" in said
    assert key not in said
    assert secret not in said
    done = dpra("cleanse", cwd=copy)
    assert done.returncode == 1
    assert "src/settings.py:2  aws-access-token" in done.stdout
    assert "git filter-repo --invert-paths --path src/settings.py" in done.stdout
    assert key not in done.stdout + done.stderr


@pytest.mark.slow
def test_coverage_below_the_specs_threshold_blocks(dpra: Any, copy: Path) -> None:
    (copy / "src/untested.py").write_text("def untested(x):\n" + "    x += 1\n" * 40 + "    return x\n")
    code, steps, said = rehearsed(dpra, copy, "--only", "build")
    assert (code, steps["unit-tests"]) == (1, "failure")
    assert "80 % are required" in said


@pytest.mark.slow
def test_a_waiver_in_the_spec_lets_it_through_and_an_expired_one_does_not(dpra: Any, copy: Path) -> None:
    (copy / "src/users.py").write_text(INJECTION)
    spec = (copy / "dpra.yml").read_text()
    for until, wanted in (("2999-12-31", "success"), ("2020-01-31", "failure")):
        (copy / "dpra.yml").write_text(spec + WAIVER.format(until=until))
        assert dpra("generate", cwd=copy).returncode == 0
        code, steps, said = rehearsed(dpra, copy, "--only", "security")
        assert (code, steps["sast"]) == (0 if wanted == "success" else 1, wanted), said
    assert "until 2020-01-31 has expired" in said


@pytest.mark.slow
def test_a_baseline_lets_a_repository_adopt_dpra_and_blocks_what_is_new(dpra: Any, copy: Path) -> None:
    (copy / "src/users.py").write_text(INJECTION)
    done = dpra("baseline", "--offline", cwd=copy)
    assert done.returncode == 0, done.stderr
    assert "sast: 1 medium" in done.stdout
    with (copy / "dpra.yml").open("a") as file:
        file.write("baseline: .github/dpra-baseline.json\n")
    assert dpra("generate", cwd=copy).returncode == 0
    assert rehearsed(dpra, copy, "--only", "security")[0] == 0
    (copy / "src/orders.py").write_text(INJECTION.replace("users", "orders"))
    code, _, said = rehearsed(dpra, copy, "--only", "security")
    assert code == 1
    assert "src/orders.py:2" in said
    assert "src/users.py:2" not in said


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
def test_what_was_tampered_with_in_the_store_is_not_deployed(dpra: Any, copy: Path, change: str) -> None:
    said, tamper, says = TAMPERED[change]
    with (copy / "dpra.yml").open("a") as file:
        file.write(said)
    assert dpra("generate", cwd=copy).returncode == 0
    result, writes = tampering(copy, tamper)
    assert not result.ok
    assert any(says in line for line in result.annotations), result.annotations
    assert (result.deployments, writes) == ((), [])
    assert result.stopped_at.startswith("beta")


# ---- Evidence


@pytest.mark.slow
def test_the_evidence_of_a_good_rehearsal_is_complete_and_of_a_lesser_one_is_not(
    dpra: Any, copy: Path, tmp_path: Path
) -> None:
    good = tmp_path / "evidence.json"
    assert dpra("rehearse", "--offline", "--evidence", good, cwd=copy).returncode == 0
    done = dpra("evidence", good, "--require", "required", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "17 of 17 required actions ran and blocked." in done.stdout
    assert "Security controls automated: 100 % (5 of 5)." in done.stdout

    document = json.loads(good.read_text())
    checked = subprocess.run(
        ["check-jsonschema", "--schemafile", SCHEMA, good], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    required = [number for number, one in enumerate(document["actions"]) if one["level"] == "required"]
    assert len(required) == 18
    lesser = tmp_path / "lesser.json"
    for number in required:
        action = document["actions"][number]["action"]
        for change in ("gone", "unpromised, too", "failed", "only warned"):
            less = json.loads(good.read_text())
            if change == "failed":
                less["actions"][number]["result"] = "fail"
            elif change == "only warned":
                less["actions"][number]["gate"] = "advisory"
            else:
                less["actions"] = [one for one in less["actions"] if one["action"] != action]
                if "unpromised" in change:
                    less["expected"] = [one for one in less["expected"] if one["action"] != action]
            lesser.write_text(json.dumps(less))
            assert lacking(lesser), (action, change)

    text = (copy / ".github/workflows/pipeline.yml").read_text()
    begin = text.index("      - id: sast\n")
    end = text.index("      - id: sca\n")
    (copy / ".github/workflows/pipeline.yml").write_text(text[:begin] + text[end:])
    assert dpra("rehearse", "--offline", "--only", "security", "--evidence", lesser, cwd=copy).returncode == 0
    done = dpra("evidence", lesser, "--require", "required", cwd=tmp_path)
    assert done.returncode == 1
    assert "sast (security): not run" in done.stderr
    assert "secrets-detection" not in done.stderr


def lacking(path: Path) -> list[str]:
    from dpra import evidence

    return list(evidence.lacking(evidence.read(path), "required"))


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
