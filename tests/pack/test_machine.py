"""Machine images: the real action and the real AWS CLI against the rehearsal, with no more rights than it needs."""

import datetime
import importlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer
from machinery import BUCKET, BUILDER, DOCUMENT, HERE, MACHINE, PARENT, PRODUCTION, REGION, World, allow, may

pytestmark = pytest.mark.slow  # machines are made, and started

if os.geteuid():
    pytest.skip("machines are built in a chroot, which only root can enter", allow_module_level=True)

PACK = Path(__file__).parents[2] / ".github" / "actions"


@pytest.fixture
def world(hurried: Any, tmp_path: Path) -> Iterator[World]:
    with Cloud(Issuer("acme/base", "main", "a" * 40)) as cloud:
        hurried.env["GITHUB_PATH"] = str(tmp_path / "paths.txt")
        yield World(cloud, hurried)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A module of the action, as it is imported there."""
    monkeypatch.syspath_prepend(str(PACK / "machine"))
    return importlib.import_module


def said(path: Path) -> Any:
    return json.loads((path / "image.json").read_text())


# ---- What a machine's image.json says


SAID = {
    "name": "base",
    "version": "2026.11.28-42",
    "digest": f"sha256:{'a' * 64}",
    "platforms": {"linux/amd64": f"sha256:{'a' * 64}"},
    "base": {"image": PARENT, "digest": "ami-0123456789abcdef0"},
    "ami": {"id": "ami-0123456789abcdef1", "region": REGION, "account": HERE},
    "recipe": f"sha256:{'b' * 64}",
}


@pytest.mark.parametrize(
    "lie",
    [
        {"ami": {"id": "ami-x", "region": REGION, "account": HERE}},
        {"ami": {"id": "ami-0123456789abcdef1", "region": "here", "account": HERE}},
        {"ami": {"id": "ami-0123456789abcdef1", "region": REGION, "account": "1"}},
        {"ami": {"id": "ami-0123456789abcdef1", "region": REGION}},
        {"ami": None},
        {"recipe": "x"},
        {"base": {"image": PARENT, "digest": f"sha256:{'a' * 64}"}},
        {"base": {"image": "", "digest": "ami-0123456789abcdef0"}},
        {"base": {}},
    ],
)
def test_what_a_machine_is_made_of_is_an_ami_and_that_is_held(tmp_path: Path, lie: dict[str, Any]) -> None:
    import image
    import image_difference
    import runner

    (tmp_path / "image.json").write_text(json.dumps(SAID))
    assert image.read(tmp_path) == SAID
    assert image_difference.image(SAID, {}).base == f"{PARENT}@ami-0123456789abcdef0"
    container = {key: value for key, value in SAID.items() if key != "ami"}
    for wrong in (SAID | lie, container):
        (tmp_path / "image.json").write_text(json.dumps(wrong))
        with pytest.raises(runner.Failed, match="does not say what image it is"):
            image.read(tmp_path)


def test_another_ami_of_the_same_is_no_news_and_another_recipe_or_parent_is() -> None:
    import image_difference

    library = {"type": "library", "name": "libc6", "version": "1", "purl": "pkg:deb/debian/libc6@1"}
    sbom = {"bomFormat": "CycloneDX", "components": [library]}

    def known(**more: Any) -> Any:
        return image_difference.image(SAID | more, {"linux/amd64": sbom})

    other = {"digest": f"sha256:{'c' * 64}", "platforms": {"linux/amd64": f"sha256:{'c' * 64}"}}
    again = known(**other, ami={**SAID["ami"], "id": "ami-0123456789abcdef2"})
    assert image_difference.unchanged(known(), again).startswith("the same 1 package on linux/amd64")
    assert not image_difference.unchanged(known(), known(**other, recipe=f"sha256:{'d' * 64}"))
    moved = {"image": PARENT, "digest": "ami-0123456789abcdef9"}
    assert not image_difference.unchanged(known(), known(**other, base=moved))


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("2026.11.28-42", "2026.1128.4201"),
        ("2026.01.05-7.12", "2026.105.712"),
        ("2026.11.28-hotfix-3", "2026.1128.50000301"),
    ],
)
def test_a_version_is_three_numbers_for_image_builder(version: str, numbers: str) -> None:
    import image
    import runner

    assert image.semantic(version) == numbers
    for wrong in ("1.2.3", f"{version.partition('-')[0]}-1.100"):
        with pytest.raises(runner.Failed):
            image.semantic(wrong)


# ---- Bake, and look


def test_an_ami_is_baked_looked_into_and_lent(world: World) -> None:
    import image
    import oci

    path = world.bake(**{"lend-to": PRODUCTION})
    made = said(path)
    ec2 = world.client("ec2")
    [ami] = ec2.describe_images(ImageIds=[made["ami"]["id"]])["Images"]
    tags = {tag["Key"]: tag["Value"] for tag in ami["Tags"]}
    assert (tags["dpra:component"], tags["dpra:version"]) == ("base", made["version"])
    assert made["ami"] == {"id": ami["ImageId"], "region": REGION, "account": HERE}
    newest = world.client("ssm").get_parameter(Name=PARENT)["Parameter"]["Value"]
    assert made["base"] == {"image": PARENT, "digest": newest}
    assert image.layout(path / "image.tar") == (made["digest"], made["platforms"])
    assert list(made["platforms"]) == ["linux/amd64"]
    with oci.opened(path / "image.tar") as archive:
        [one] = archive.images
        assert one.files["opt/shop/name"].mode == 0o777
        assert one.files["opt/shop/name"].head(9) == b"shop\n"
        assert one.files["opt/shop/data"].head(200).startswith(b"dpra left out 70000 bytes with the SHA-256 ")
        assert one.files["etc/os-release"].size
    lent = ec2.describe_image_attribute(ImageId=ami["ImageId"], Attribute="launchPermission")["LaunchPermissions"]
    assert lent == [{"UserId": PRODUCTION}]
    [snapshot] = [one["Ebs"]["SnapshotId"] for one in ami["BlockDeviceMappings"]]
    asked = {"SnapshotId": snapshot, "Attribute": "createVolumePermission"}
    assert ec2.describe_snapshot_attribute(**asked)["CreateVolumePermissions"] == [{"UserId": PRODUCTION}]
    assert "look" not in world.instances.values()


def test_the_release_of_a_machine_is_packed_signed_and_checked_as_one_of_a_container(world: World) -> None:
    job, path = world.job, world.bake()
    packed = job.use("package", component="base", image=str(path), template="")
    assert packed.code == 0, packed.out
    release = Path(packed.outputs["path"])
    more = {"action": "hardening-check", "tool": "hardening", "language": "machine", "target": str(release)}
    checked = job.use("check", **more, fail_on="medium")
    assert checked.code == 1
    told = (job.evidence / "hardening-check.findings.json").read_text()
    assert "world-writable-file" in told
    assert "opt/shop/name" in told
    assert "root-user" not in told  # a container's


OLDER = "sed -i 's/ 2[.]36-9[+]deb12u13$/ 2.36-9+deb12u2/' /var/lib/dpkg/status"  # of libc6: CVE-2023-4911


def inspected(world: World, *, enabled: bool = True) -> Any:
    """Bake an image with an old libc6 in it, which Amazon Inspector scans."""
    world.job.write("components/shop.yml", DOCUMENT.replace("mkdir -p /opt/shop", f"mkdir -p /opt/shop; {OLDER}"))
    if enabled:
        world.client("inspector2").enable(resourceTypes=["EC2"], accountIds=[HERE])
    world.may("inspect")
    return world.use("bake", inspector="true")


def test_what_inspector_finds_in_an_ami_goes_with_its_release_and_blocks_it(world: World) -> None:
    done = inspected(world)
    assert done.code == 0, done.out
    assert world.cloud.refusals == []
    job = world.job
    packed = job.use("package", component="base", image=done.outputs["path"], template="")
    assert packed.code == 0, packed.out
    release = Path(packed.outputs["path"])
    about = {"action": "vulnerability-assessment", "language": "machine", "fail_on": "high", "target": str(release)}
    ran = job.use("check", **about, tool="inspector")
    assert (ran.code, ran.record["result"], ran.record["tool"], len(ran.errors)) == (1, "fail", "inspector", 1), ran.out
    assert "file=image.tar," in ran.errors[0]
    assert "CVE-2023-4911: libc6 2.36-9+deb12u2: high for Amazon Inspector, fixed in 0:2.36-9+deb12u3" in ran.errors[0]

    waiver = {"rule": "CVE-2023-4911", "reason": "x", "owner": "o", "until": "2999-01-01"}
    ran = job.use("check", **about, tool="inspector", waivers=json.dumps([waiver]))
    assert (ran.code, ran.record["waivers"][0]["findings"]) == (0, 1), ran.out

    ran = job.use("check", **about, tool="trivy inspector")  # who is told of it once
    assert [(one["tool"], one["result"]) for one in ran.records] == [("trivy", "fail"), ("inspector", "pass")], ran.out
    assert "findings: 1; without a fix: 0; told by Trivy: 1" in ran.out


def test_where_inspector_is_not_switched_on_nothing_is_built(world: World) -> None:
    done = inspected(world, enabled=False)
    assert done.code == 1
    assert "switch Amazon Inspector on for EC2 in this account and eu-west-1" in done.errors[0]
    assert "is not enabled for 'ec2' resources" in done.errors[0]
    assert world.client("imagebuilder").list_images()["imageVersionList"] == []


def test_a_scan_that_does_not_end_stops_the_build(world: World) -> None:
    from dpra.rehearsal.mends.imagebuilder import scans

    scans.LATE.add((HERE, REGION))
    done = inspected(world)
    assert (done.code, done.outputs["path"]) == (1, "")
    assert "Amazon Inspector did not scan it: timed_out, The scan did not finish in time.;" in done.errors[0]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([{"status": "COLLECTING"}, {"status": "COMPLETED"}], ""),
        ([None], "did not scan it: no scan, no reason is given"),
        ([{"status": "SCANNING"}], "did not scan it: scanning"),
        ([{"status": "COLLECTING"}, {"status": "ABANDONED"}], "did not scan it: abandoned"),
        ([{"status": "COMPLETED"}, "more"], "did not ask for all of Amazon Inspector's findings"),
    ],
)
def test_findings_are_taken_of_a_scan_that_is_completed(
    module: Any, monkeypatch: pytest.MonkeyPatch, answers: list[Any], told: str
) -> None:
    import runner

    bake, clock = module("bake"), iter(range(0, 10**6, 100))
    monkeypatch.setattr(bake.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(bake.time, "monotonic", lambda: next(clock))
    more = {"nextToken": "x"} if "more" in answers else {}
    states = [one for one in answers if one != "more"]

    def call(self: Any, operation: str, **asked: Any) -> dict[str, Any]:
        if operation == "list-image-scan-findings":
            assert asked == {"filters": [{"name": "imageBuildVersionArn", "values": ["arn"]}]}
            return {"findings": [{"severity": "HIGH"}], **more}
        state = states.pop(0) if len(states) > 1 else states[0]
        return {"image": {"scanState": state} if state else {}}

    monkeypatch.setattr(bake.Builder, "call", call)
    builder = object.__new__(bake.Builder)
    if told:
        with pytest.raises(runner.Failed, match=told):
            builder.findings("arn")
    else:
        assert builder.findings("arn") == [{"severity": "HIGH"}]


def test_a_word_that_is_neither_leaves_no_scan_out(world: World) -> None:
    done = world.use("bake", inspector="yes")
    assert (done.code, done.errors) == (
        1,
        ["title=build-environment::the input 'inspector' is 'yes': needs true or false"],
    )


def test_a_build_that_fails_says_where_and_what_its_log_says(world: World) -> None:
    world.job.write("components/broken.yml", DOCUMENT.replace("- mkdir -p /opt/shop", "- echo ::error::forged; exit 7"))
    world.may("bake")
    done = world.use("bake")
    assert done.code == 1
    [error] = done.errors
    assert "the component broken: failed: SSM execution" in error
    assert "the last lines of its log, /aws/imagebuilder/dpra-base 2026." in done.out
    assert "build.Install: ExecuteBash" in done.out
    assert "build.Install: exit code 7" in done.out
    assert not any(data == "forged" for _, _, data in done.commands)
    assert [line for line in done.out.splitlines() if line.startswith("building, after")]
    assert (done.record["result"], done.record["tool"]) == ("fail", "EC2 Image Builder")
    assert world.instances == {}


def test_a_failure_names_component_phase_and_step_where_the_cli_knows_them(module: Any) -> None:
    builder = object.__new__(module("bake").Builder)
    builder.name = "dpra-base"
    where = {"phaseName": "validate", "stepName": "Look", "action": "ExecuteBash", "errorMessage": "exit code 1"}
    where["componentArn"] = f"{BUILDER}:component/dpra-base-shop/1.2.3/1"
    state = {"status": "FAILED", "reason": "x", "failureContext": {"componentFailure": where}}
    assert builder.why({"state": state}) == "the component shop, phase validate, step Look (ExecuteBash): exit code 1"
    state["failureContext"] = {"distributionFailure": {"errorMessage": "no role"}}
    assert builder.why({"state": state}) == "its distribution failed: no role"
    assert builder.why({"state": {"status": "CANCELLED"}}) == "cancelled: no reason is given"


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_told_to_stop_is_cancelled(world: World, word: signal.Signals) -> None:
    world.may("bake")
    given = {"do": "bake", "component": "base", "account": HERE, "region": REGION, "template": f"{MACHINE}-look"}
    given |= {"parent": PARENT, "components": "components", "infrastructure": "dpra-base", "bucket": BUCKET}
    env = world.job.env | {f"INPUT_{name.upper()}": value for name, value in given.items()}
    words = [sys.executable, "-I", "-B", str(PACK / "machine/main.py")]  # which waits between looks
    with subprocess.Popen(words, cwd=world.job.workspace, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("creating"):
                process.send_signal(word)
                break
        said = process.stdout.read()
    assert process.returncode == 1
    assert "is cancelled" in said
    assert "the build was cancelled" in said
    [image] = world.client("imagebuilder").list_image_build_versions()["imageSummaryList"]
    assert image["state"]["status"] == "CANCELLED"


def test_a_version_is_baked_again_of_the_same_and_of_nothing_else(world: World) -> None:
    first = said(world.bake())
    world.job.root.joinpath("again").mkdir()
    done = world.use("bake")
    assert done.code == 0, done.out
    assert "is there already" in done.out
    second = said(Path(done.outputs["path"]))
    assert (second["version"], second["recipe"]) == (first["version"], first["recipe"])
    assert second["ami"] != first["ami"]
    assert second["digest"] == first["digest"]
    world.job.write("components/shop.yml", DOCUMENT.replace("echo shop", "echo other"))
    done = world.use("bake")
    assert done.code == 1
    assert "already, of something else: start a new run" in done.errors[0]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "there is no component document in components"),
        ({"a.json": "{}"}, "there is no component document in components"),
        (
            {"a.yml": "#" * 16_001},
            "components/a.yml has 16001 characters, and EC2 Image Builder takes 16000: divide it",
        ),
        ({"a.yml": "schemaVersion: 2.0"}, "does not take the document a"),
        ({"a.yml": DOCUMENT, "a.yaml": DOCUMENT}, "another document of that name"),
        ({"A.yml": DOCUMENT}, "is called by small letters"),
        ({"a.yml": ""}, "has no text"),
    ],
)
def test_what_no_component_is_says_so(world: World, files: dict[str, str], told: str) -> None:
    (world.job.workspace / "components/shop.yml").unlink()
    for name, text in files.items():
        world.job.write(f"components/{name}", text)
    world.may("bake")
    done = world.use("bake")
    assert done.code == 1
    assert told in done.errors[0]
    assert world.client("imagebuilder").list_images()["imageVersionList"] == []


def test_a_link_is_no_document(world: World) -> None:
    (world.job.workspace / "components/environment.yml").symlink_to("/proc/self/environ")
    world.may("bake")
    done = world.use("bake")
    assert done.code == 1
    assert "components/environment.yml is not a file" in done.errors[0]


def test_an_encrypted_ami_cannot_be_lent_and_that_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpra.rehearsal.mends import machines

    register = machines.register

    def encrypted(*arguments: Any, **more: Any) -> Any:
        made = register(*arguments, **more)
        machines.sized(made, True, machines.SIZE)
        return made

    monkeypatch.setattr(machines, "register", encrypted)
    world.may("bake")
    done = world.use("bake", **{"lend-to": PRODUCTION})
    assert done.code == 1
    assert "is encrypted by the account's own key" in done.errors[0]


def test_a_parent_with_more_volumes_than_anybody_looks_into_is_refused(module: Any) -> None:
    import runner

    root, more = ({"DeviceName": name, "Ebs": {"SnapshotId": f"snap-{name}"}} for name in ("/dev/xvda", "/dev/sdf"))
    other = {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}
    there = {"ImageId": "ami-1", "RootDeviceName": "/dev/xvda", "BlockDeviceMappings": [other, root]}
    assert module("bake").volume(there) == {"SnapshotId": "snap-/dev/xvda"}
    with pytest.raises(runner.Failed, match="has the volumes /dev/xvda, /dev/sdf: it must have the root"):
        module("bake").volume({**there, "BlockDeviceMappings": [root, more]})


NEEDED = sorted(
    {action for one in may("inspect") for action in one["Action"]}
    - {"imagebuilder:CancelImageCreation", "logs:GetLogEvents"}  # for what went wrong
    - {"kms:Decrypt"}  # the bucket has no key here
)


@pytest.mark.parametrize("lacking", NEEDED)
def test_each_right_of_the_bake_is_needed(world: World, lacking: str) -> None:
    world.client("inspector2").enable(resourceTypes=["EC2"], accountIds=[HERE])
    world.may("inspect", but=lacking)
    done = world.use("bake", inspector="true", **{"lend-to": PRODUCTION})
    if lacking == "ec2:TerminateInstances":
        assert "is not terminated" in done.out
    else:
        assert done.code == 1
    assert any(lacking in refusal for refusal in world.cloud.refusals)


# ---- Tests on an instance


def tried(world: World) -> Path:
    """A job whose in-image runs commands on an instance of a new AMI."""
    path = world.bake()
    world.may("try")
    done = world.use("launch", release=str(path))
    assert done.code == 0, done.out
    [folder] = Path(world.job.env["GITHUB_PATH"]).read_text().split()
    world.job.env["PATH"] = f"{folder}:{world.job.env['PATH']}"
    return path


def run_tests(world: World, command: str) -> Any:
    return world.job.use("test", action="integration-tests", command=command)


def test_tests_run_on_an_instance_of_the_image_and_each_is_told(world: World) -> None:
    job = world.job
    tried(world)
    assert list(world.instances.values()) == ["tests"]
    job.git("init", "--quiet")
    job.write(".gitignore", "tests/ignored\n")
    job.write("tests/ignored", "not for others\n")
    job.write("tests/data/expected", "shop\n")
    body = 'set -e\ncmp "$(dirname "$0")/data/expected" /opt/shop/name\n[ ! -e tests/ignored ]\n[ "$(id -u)" = 0 ]'
    job.write("tests/name", f"#!/bin/sh\n{body}\n").chmod(0o755)
    job.write("tests/$(touch hacked) '{{ssm:x}}'", "#!/bin/sh\nprintf '%s' \"$0\"\n").chmod(0o755)
    done = run_tests(world, "in-image --each tests")
    assert done.code == 0, done.out
    assert done.record["findings"]["passed"] == 2
    assert "/repository/tests/$(touch hacked) '{{ssm:x}}'" in done.out
    job.write("tests/fails", "#!/bin/sh\nseq 1 9000; echo why it fails\nexit 194\n").chmod(0o755)
    done = run_tests(world, "in-image --each tests")
    assert done.code == 1
    assert (done.record["findings"]["passed"], done.record["findings"]["failed"]) == (2, 1)
    report = (job.evidence / "integration-tests.junit.xml").read_text()
    assert "exit code 194" in report
    assert "why it fails" in report
    assert re.search(r"\[the first \d+ bytes of its output are cut\]", done.out)
    assert world.use("end").code == 0
    assert world.instances == {}
    assert world.cloud.refusals == []
    assert world.use("end").code == 0  # there is nothing to do


def test_a_command_of_ones_own_leaves_its_report_and_its_exit_code(world: World) -> None:
    tried(world)
    cases = "".join(f'<testcase name="{os.urandom(20).hex()}"/>' for _ in range(1500))  # in two parts
    world.job.write("report.xml", f'<testsuite name="goss">{cases}<testcase name="b"><failure/></testcase></testsuite>')
    done = run_tests(world, "in-image sh -c 'cp report.xml \"$JUNIT_FILE\"'")
    assert done.code == 1
    assert (done.record["findings"]["passed"], done.record["findings"]["failed"]) == (1500, 1)
    done = run_tests(world, "in-image sh -c 'exit 5' || [ $? = 5 ]; in-image nothing-like-it || [ $? = 127 ]")
    assert "the instance does not run" not in done.out


def test_what_is_too_large_is_not_brought(world: World) -> None:
    tried(world)
    (world.job.workspace / "large").write_bytes(os.urandom(2**21 + 1))
    done = run_tests(world, "in-image true")
    assert done.code == 1
    assert "at most 2097152 are brought to the instance" in done.out


def test_an_instance_whose_agent_does_not_come_is_told_and_can_be_ended(world: World) -> None:
    path = world.bake()
    library = world.job.own_pack() / "_lib/instances.py"
    library.write_text(library.read_text().replace("MINUTES = 10 ", "MINUTES = 1 "))
    world.policy(f"{MACHINE}-test", [allow("s3:GetObject")])
    world.may("try")
    done = world.use("launch", release=str(path))
    assert done.code == 1
    assert "is not there in 1 minutes" in done.errors[0]
    assert f"the launch template {MACHINE}-test" in done.errors[0]
    assert list(world.instances.values()) == ["tests"]
    assert world.use("end").code == 0
    assert world.instances == {}


# ---- The sweep


def launched(world: World, hours: float, **tags: str) -> str:
    """An instance that was started so many hours ago."""
    from moto.ec2.models import ec2_backends

    newest = world.client("ssm").get_parameter(Name=PARENT)["Parameter"]["Value"]
    said = [{"Key": f"dpra:{key.rstrip('_')}", "Value": value} for key, value in tags.items()]
    more = {"TagSpecifications": [{"ResourceType": "instance", "Tags": said}]} if said else {}
    [made] = world.client("ec2").run_instances(ImageId=newest, MinCount=1, MaxCount=1, **more)["Instances"]
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours)
    ec2_backends[HERE][REGION].get_instance(made["InstanceId"]).launch_time = f"{at:%Y-%m-%dT%H:%M:%S.000Z}"
    return str(made["InstanceId"])


def test_what_was_forgotten_is_swept_and_nothing_else(world: World) -> None:
    old = {launched(world, 5, component="base", for_=purpose) for purpose in ("look", "tests")}
    kept = {
        launched(world, 3, component="base", for_="tests"),
        launched(world, 50, component="other", for_="tests"),
        launched(world, 50, component="base"),
        launched(world, 50, for_="tests"),
        launched(world, 50),
    }
    world.may("sweep")
    done = world.use("sweep")
    assert done.code == 0, done.out
    assert set(world.instances) == kept
    assert all(f"terminated {instance}, for " in done.out for instance in old)
    assert done.record["action"] == "sweep"
    assert done.record["findings"] == {"terminated": 2}
    done = world.use("sweep", hours="2")
    assert len(world.instances) == 4
    done = world.use("sweep")
    assert "no instance of base is older than 4 hours" in done.out
    assert world.cloud.refusals == []
