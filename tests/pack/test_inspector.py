"""Amazon Inspector's findings of a machine, as the release brings them: judged as Trivy's are, believed in nothing."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import archives
import pytest

ARN, AMI = "arn:aws:imagebuilder:eu-west-1:111111111111:image/dpra-base/2026.1128.4201/1", "ami-0123456789abcdef1"
HIGH = {"id": "CVE-2026-1", "severity": "HIGH", "fix": "YES", "package": "libx", "version": "1-1", "fixed": "1-2"}
OLD = "2.36-9+deb12u2"  # of glibc: CVE-2023-4911, high


def said(*findings: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"image": ARN, "ami": AMI, "count": len(findings), "findings": findings, **more}).encode()


def machine(libc: str) -> Any:
    """What was looked at of a Debian with this version of glibc."""
    status = f"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: {libc}\n\n"
    files = {
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "etc/debian_version": "12.1\n",
        "var/lib/dpkg/status": status,
    }
    return archives.Picture([archives.tar([archives.entry(name, text.encode()) for name, text in files.items()])])


def check(job: Any, content: bytes | None, libc: str = "", **inputs: str) -> Any:
    """The gate of vulnerabilities, on a release with this inspector.json."""
    with zipfile.ZipFile(job.workspace / "package.zip", "w") as package:
        package.writestr("image.tar", archives.oci(machine(libc)) if libc else b"")
        if content is not None:
            package.writestr("inspector.json", content)
    given = {"tool": "inspector", "fail_on": "high"} | inputs
    return job.use("check", action="vulnerability-assessment", language="machine", **given)


def listed(job: Any) -> dict[str, str]:
    """What the gate was told: id -> severity."""
    found = json.loads((job.evidence / "vulnerability-assessment.findings.json").read_text())
    return {one["rule"]: one["severity"] for one in found}


def test_what_can_be_mended_counts_as_bad_as_inspector_says(job: Any) -> None:
    ways: dict[str, dict[str, str]] = {
        "as-it-is": {},
        "critical": {"severity": "CRITICAL"},
        "medium": {"severity": "MEDIUM"},
        "informational": {"severity": "INFORMATIONAL"},
        "untriaged": {"severity": "UNTRIAGED"},
        "none": {"fix": "NO"},
        "none-at-all": {"fix": "NO", "severity": "CRITICAL", "fixed": ""},
        "some": {"fix": "PARTIAL"},
        "some-others": {"fix": "PARTIAL", "fixed": ""},
        "unsaid": {"fix": "", "fixed": ""},
        "nowhere": {"package": "", "version": "", "fixed": ""},
    }
    ran = check(job, said(*(HIGH | {"id": name} | more for name, more in ways.items())))
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    low = dict.fromkeys(("informational", "untriaged"), "low")
    high = dict.fromkeys(("as-it-is", "some", "unsaid", "nowhere"), "high")
    assert listed(job) == {"critical": "critical", "medium": "medium", **low, **high}
    blocking = {error.partition("::")[2].partition(":")[0] for error in ran.errors}
    assert blocking == {"critical", *high}
    assert "findings: 11; without a fix: 3; " in ran.out
    small = [HIGH | {"id": name} | more for name, more in ways.items() if name not in blocking]
    ran = check(job, said(*small))
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out


def test_a_baseline_lets_what_was_known_through_and_nothing_else(job: Any) -> None:
    check(job, said(HIGH))
    [known] = json.loads((job.evidence / "vulnerability-assessment.findings.json").read_text())
    assert (known["tool"], known["rule"], known["file"]) == ("inspector", "CVE-2026-1", "image.tar")
    job.write("baseline.json", json.dumps({"findings": [known]}))
    ran = check(job, said(HIGH), baseline="baseline.json")
    assert (ran.code, ran.record["baseline"]) == (0, 1), ran.out
    assert check(job, said(HIGH, HIGH | {"id": "CVE-2026-2"}), baseline="baseline.json").code == 1


@pytest.mark.parametrize("content", [None, said(HIGH)[:-20], said(HIGH | {"id": "CVE-1\n::error::forged"})])
def test_what_is_missing_or_not_whole_is_an_error_that_no_waiver_covers(job: Any, content: bytes | None) -> None:
    waiver = {"rule": "CVE-2026-1", "reason": "x", "owner": "o", "until": "2999-01-01"}
    ran = check(job, content, waivers=json.dumps([waiver]))
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out
    told = "run dpra generate, so that the build has" if content is None else "build the image again, by a new run"
    assert told in ran.out
    assert not any("forged" in data for _, _, data in ran.commands)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        said(HIGH, count=2),
        said(HIGH, HIGH, count=1),
        said(HIGH | {"severity": "SOME"}),
        said(HIGH | {"fix": "PERHAPS"}),
        said(HIGH | {"package": "a\n::error::forged"}),
        said(HIGH | {"version": 1}),
        said(HIGH | {"more": "x"}),
        said({"id": "CVE-2026-1"}),
        said(image=""),
        b"[]",
        b'{"findings": []}',
        b"[" * 200_000,
        b"\xff",
    ],
)
def test_what_is_of_another_form_is_not_read(content: bytes) -> None:
    import image_findings
    import runner

    with pytest.raises(runner.Failed, match=r"inspector.json does not say what Amazon Inspector found") as failed:
        image_findings.read(io.BytesIO(content))
    assert failed.value.result == "error"
    assert "\n" not in str(failed.value)


def test_what_only_inspector_finds_blocks_beside_a_scanner_that_finds_nothing(job: Any) -> None:
    ran = check(job, said(HIGH), "2.36-9+deb12u13", tool="trivy inspector")
    assert [(one["tool"], one["result"]) for one in ran.records] == [("trivy", "pass"), ("inspector", "fail")], ran.out


def test_what_trivy_told_is_told_once_unless_it_is_worse(job: Any) -> None:
    same = HIGH | {"id": "CVE-2023-4911", "package": "libc6", "version": OLD, "fixed": "2.36-9+deb12u3"}
    others = [{"severity": "CRITICAL"}, {"version": "2.36-9+deb12u1"}, {"package": "libc-bin"}]  # Trivy says high
    both = said(same, same | {"severity": "MEDIUM"}, *(same | more for more in others))
    ran = check(job, both, OLD, tool="trivy inspector")
    trivy, inspector = ran.records
    assert (ran.code, trivy["result"], sum(trivy["findings"].values())) == (1, "fail", 1), ran.out
    assert (inspector["result"], sum(inspector["findings"].values())) == ("fail", 3), ran.out
    assert "findings: 5; without a fix: 0; told by Trivy: 2" in ran.out
    ran = check(job, both, OLD)  # Trivy's report of before is another matter
    assert sum(ran.record["findings"].values()) == 5, ran.out


# ---- From Image Builder to the release


def told(**more: Any) -> dict[str, Any]:
    """A finding as Image Builder tells it: https://docs.aws.amazon.com/cli/latest/reference/imagebuilder/"""
    kernel = {"name": "kernel", "version": "6.1", "epoch": 1, "release": "2.amzn2023", "fixedInVersion": "0:6.2"}
    other = {"name": "kernel-tools", "version": "6.1", "epoch": 0, "fixedInVersion": "NotAvailable"}
    about = {"vulnerabilityId": "CVE-2026-3", "vulnerablePackages": [kernel, other]}
    said = {"imageBuildVersionArn": ARN, "severity": "HIGH", "fixAvailable": "PARTIAL"}
    return {**said, "packageVulnerabilityDetails": about, **more}


def test_each_package_of_a_finding_is_kept_with_what_mends_it(tmp_path: Path) -> None:
    import image_findings

    bare = told(packageVulnerabilityDetails={"vulnerabilityId": "CVE-2026-4"}, fixAvailable="YES")
    assert image_findings.write(tmp_path / "inspector.json", ARN, AMI, [told(), bare]) == 3
    with (tmp_path / "inspector.json").open("rb") as file:
        found = image_findings.read(file, AMI)
    assert [(one.package, one.version, one.fixed, one.mendable) for one in found] == [
        ("kernel", "1:6.1-2.amzn2023", "0:6.2", True),
        ("kernel-tools", "6.1", "", False),
        ("", "", "", True),
    ]


@pytest.mark.parametrize(
    "finding",
    [
        told(imageBuildVersionArn=f"{ARN}0"),
        told(severity="SEVERE"),
        told(packageVulnerabilityDetails=None),
        {},
        told(packageVulnerabilityDetails={"vulnerabilityId": "a b"}),
    ],
)
def test_what_inspector_does_not_say_so_is_not_left_out(tmp_path: Path, finding: dict[str, Any]) -> None:
    import image_findings
    import runner

    with pytest.raises(runner.Failed, match="what Amazon Inspector found cannot be read"):
        image_findings.write(tmp_path / "inspector.json", ARN, AMI, [told(), finding])
    assert not (tmp_path / "inspector.json").exists()


def test_findings_of_another_ami_are_not_signed_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import image
    import runner

    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))
    monkeypatch.setenv("GITHUB_RUN_NUMBER", "42")
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "1")
    (tmp_path / "image.tar").write_bytes(archives.oci(machine(OLD)))
    digest, platforms = image.layout(tmp_path / "image.tar")
    ami = {"id": AMI, "region": "eu-west-1", "account": "111111111111"}
    about = {"name": "base", "version": "2020.01.01-42", "digest": digest, "platforms": platforms}
    about |= {"base": {"image": "/debian", "digest": "ami-0123456789abcdef0"}}
    as_machine = {**about, "ami": ami, "recipe": f"sha256:{'b' * 64}"}

    def packed(content: bytes, *more: str) -> None:
        with zipfile.ZipFile(tmp_path / "package.zip", "w") as package:
            package.write(tmp_path / "image.tar", "image.tar")
            for name in ("inspector.json", *more):
                package.writestr(name, content)

    (tmp_path / "image.json").write_text(json.dumps(as_machine))
    packed(said(HIGH))
    image.verify(tmp_path, "base")
    for content, told in (
        (said(HIGH, ami="ami-0123456789abcdef9"), "inspector.json is of"),
        (b"{", "does not say what"),
    ):
        packed(content)
        with pytest.raises(runner.Failed, match=told):
            image.verify(tmp_path, "base")
    packed(said(HIGH), "more")
    with pytest.raises(runner.Failed, match="and nothing else"):
        image.verify(tmp_path, "base")
    (tmp_path / "image.json").write_text(json.dumps({**about, "base": {}}))  # a container has none
    packed(said(HIGH))
    with pytest.raises(runner.Failed, match="and nothing else"):
        image.verify(tmp_path, "base")


def test_what_is_larger_than_anybody_finds_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import image_findings
    import runner

    monkeypatch.setattr(image_findings, "LARGEST", 100)
    with pytest.raises(runner.Failed, match="more than 100 bytes"):
        image_findings.read(io.BytesIO(said(HIGH)))
