"""Machine images by Packer: the real action and AWS CLI against the rehearsal, with no more rights than it needs.

In Packer's place stands a program that makes its calls of AWS, those of amazon-ebs 1.8.2; the real one, of an older
version, makes images in tests/rehearsal/test_packer.py."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dpra.rehearsal import permissions
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer
from machinery import BUCKET, HERE, MACHINE, PARENT, PRODUCTION, REGION, World, may

pytestmark = pytest.mark.slow  # machines are made, and started

if os.geteuid():
    pytest.skip("machines are built in a chroot, which only root can enter", allow_module_level=True)

PACK = Path(__file__).parents[2] / ".github" / "actions"
PACKER = """#!{python}
import json, os, pathlib, re, signal, subprocess, sys, time

words = sys.argv[1:]
log = pathlib.Path(os.environ["PACKER_CALLS"])
with log.open("a") as file:
    file.write(json.dumps([words, os.getcwd()]) + "\\n")
if words[0] == "version":
    print("Packer v1.16.0")
    sys.exit()
template = pathlib.Path("image.pkr.hcl").read_text()
print("::error::of the template")
if words[0] != "build":
    sys.exit(words[0] in template)
told = json.loads(os.environ["PKR_VAR_dpra"])
assert not os.environ["PACKER_LOG"] and os.environ["CHECKPOINT_DISABLE"] == "1"


signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the real one's first process
signal.signal(signal.SIGTERM, signal.default_int_handler)


def aws(service, operation, **asked):
    call = ["aws", service, operation, "--region", told["region"], "--output", "json"]
    ran = subprocess.run([*call, "--cli-input-json", json.dumps(asked)], capture_output=True, text=True)
    if ran.returncode:
        print(ran.stderr.strip())
        sys.exit(1)
    return json.loads(ran.stdout or "{{}}")


tags = [{{"Key": key, "Value": value}} for key, value in told["tags"].items() if key not in template]
said = lambda *kinds: [{{"ResourceType": kind, "Tags": tags}} for kind in kinds]
aws("ec2", "describe-regions")
aws("ec2", "describe-images", ImageIds=[told["parent"]])
aws("ec2", "describe-security-groups", GroupIds=[told["security_group"]])
aws("iam", "get-instance-profile", InstanceProfileName=told["profile"])
key = "packer_0a1b"
aws("ec2", "create-key-pair", KeyName=key, TagSpecifications=said("key-pair"))
try:
    more = {{"SubnetId": told["subnet"]}} if told["subnet"] else {{}}
    profile = {{"Name": told["profile"]}}
    run = dict(ImageId=told["parent"], MinCount=1, MaxCount=1, InstanceType=told["instance_type"], KeyName=key)
    run |= dict(IamInstanceProfile=profile, SecurityGroupIds=[told["security_group"]], **more)
    run["TagSpecifications"] = said("instance", "network-interface", "volume")
    [instance] = aws("ec2", "run-instances", **run)["Instances"]
    instance = instance["InstanceId"]
    try:
        print(f"started {{instance}}", flush=True)
        if "waits" in template:
            time.sleep(60)
        if "fails" in template:
            print("a script failed")
            sys.exit(1)
        aws("ec2", "stop-instances", InstanceIds=[instance])
        named = dict(InstanceId=instance, Name=told["name"], TagSpecifications=said("image", "snapshot"))
        image = aws("ec2", "create-image", **named)["ImageId"]
        [there] = aws("ec2", "describe-images", ImageIds=[image])["Images"]
        snapshots = [one["Ebs"]["SnapshotId"] for one in there["BlockDeviceMappings"] if "Ebs" in one]
        aws("ec2", "create-tags", Resources=[image, *snapshots], Tags=tags)
        if "publishes" in template:
            everybody = {{"Add": [{{"Group": "all"}}]}}
            aws("ec2", "modify-image-attribute", ImageId=image, LaunchPermission=everybody)
    finally:
        aws("ec2", "terminate-instances", InstanceIds=[instance])
except KeyboardInterrupt:
    print("interrupted, cleaned up")
    sys.exit(1)
finally:
    aws("ec2", "delete-key-pair", KeyName=key)
"""


class Packed(World):
    """The same account where Packer makes the image."""

    def __init__(self, cloud: Cloud, job: Any) -> None:
        super().__init__(cloud, job)
        program = job.root / "bin/packer"
        program.write_text(PACKER.format(python=sys.executable))
        program.chmod(0o755)
        self.calls = job.root / "packer-calls.txt"
        job.env["PACKER_CALLS"] = str(self.calls)
        job.write("packer/image.pkr.hcl", "# a template\n")
        self.group = self.secured()

    def secured(self, **more: Any) -> str:
        """A security group of the component's."""
        tags = [{"Key": "dpra:component", "Value": "base"}]
        said = [{"ResourceType": "security-group", "Tags": tags}]
        name = {"GroupName": f"n{os.urandom(4).hex()}", "Description": "nobody"}
        return str(self.client("ec2").create_security_group(**name, TagSpecifications=said, **more)["GroupId"])

    def pack(self, **inputs: str) -> Any:
        given = {"parent": PARENT, "components": "packer", "instance-type": "t3.small", "profile": f"{MACHINE}-build"}
        return self.use("packer", **given, **inputs)

    def look(self, **inputs: str) -> Any:
        given = {"parent": PARENT, "components": "packer", "template": f"{MACHINE}-look", "bucket": BUCKET}
        return self.use("look", **(given | inputs))

    @property
    def images(self) -> list[dict[str, Any]]:
        return list(self.client("ec2").describe_images(Owners=["self"])["Images"])

    @property
    def left(self) -> tuple[list[str], list[str]]:
        """What runs, and the keys that are there."""
        keys = self.client("ec2").describe_key_pairs()["KeyPairs"]
        return [*self.instances.values()], [one["KeyName"] for one in keys]


@pytest.fixture
def world(hurried: Any, tmp_path: Path) -> Iterator[Packed]:
    with Cloud(Issuer("acme/base", "main", "a" * 40)) as cloud:
        hurried.env["GITHUB_PATH"] = str(tmp_path / "paths.txt")
        yield Packed(cloud, hurried)


def test_packer_makes_an_ami_which_is_found_looked_into_and_lent(world: Packed) -> None:
    import image

    world.may("packer")
    done = world.pack()
    assert done.code == 0, done.out
    assert world.cloud.refusals == []
    assert world.left == ([], [])
    record = done.record
    assert [record[key] for key in ("action", "tool", "version", "result")] == [
        *("build-environment", "Packer", "1.16.0", "pass")
    ]
    assert done.errors == []  # what the template prints is no command of the runner's
    assert "> ::error::of the template" in done.out
    calls = [json.loads(line) for line in world.calls.read_text().splitlines()]
    assert [words for words, _ in calls[1:]] == [
        ["init", "."], ["validate", "."], ["build", "-color=false", "-on-error=cleanup", "."],
    ]  # fmt: skip
    assert {place for _, place in calls[1:]} == {str(world.job.workspace / "packer")}
    [ami] = world.images
    newest = world.client("ssm").get_parameter(Name=PARENT)["Parameter"]["Value"]
    tags = {tag["Key"]: tag["Value"] for tag in ami["Tags"]}
    version = tags.pop("dpra:version")
    assert tags == {"dpra:component": "base", "dpra:for": "build", "dpra:parent": newest}
    assert ami["Name"] == f"dpra-base-{version}"

    world.may("look")
    done = world.look(**{"lend-to": PRODUCTION})
    assert done.code == 0, done.out
    assert world.cloud.refusals == []
    assert world.left == ([], [])
    path = Path(done.outputs["path"])
    said = image.read(path)
    assert (said["name"], said["version"]) == ("base", version)
    assert said["ami"] == {"id": ami["ImageId"], "region": REGION, "account": HERE}
    assert said["base"] == {"image": PARENT, "digest": newest}
    assert image.layout(path / "image.tar") == (said["digest"], said["platforms"])
    asked = {"ImageId": ami["ImageId"], "Attribute": "launchPermission"}
    assert world.client("ec2").describe_image_attribute(**asked)["LaunchPermissions"] == [{"UserId": PRODUCTION}]

    # The recipe is what the repository says: the same again of the same, another of another script.
    done = world.look()
    assert image.read(Path(done.outputs["path"]))["recipe"] == said["recipe"]
    world.job.write("packer/scripts/more.sh", "true\n")
    done = world.look()
    assert image.read(Path(done.outputs["path"]))["recipe"] != said["recipe"]


def test_a_look_that_is_run_again_finds_what_an_earlier_attempt_made(world: Packed) -> None:
    import image

    world.may("packer")
    assert world.pack().code == 0
    world.may("look")
    world.job.env["GITHUB_RUN_ATTEMPT"] = "3"
    done = world.look()
    assert done.code == 0, done.out
    assert image.VERSION.fullmatch(image.read(Path(done.outputs["path"]))["version"])[3] is None  # type: ignore[index]
    world.may("packer")
    assert world.pack().code == 0
    world.may("look")
    version = image.read(Path(world.look().outputs["path"]))["version"]
    assert version.endswith("-42.3")
    world.job.env["GITHUB_RUN_ATTEMPT"] = "2"  # what a later one made is none of this one's
    version = image.read(Path(world.look().outputs["path"]))["version"]
    assert version.endswith("-42")
    for run in ("4", "2", "142"):
        world.job.env["GITHUB_RUN_NUMBER"] = run
        done = world.look()
        assert done.code == 1
        assert "Packer made no AMI of base in this run" in done.errors[0]


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("init", "packer init failed with exit code 1"),
        ("validate", "packer validate failed with exit code 1"),
        ("fails", "packer build failed with exit code 1"),
        ("dpra:version", "Packer made no AMI of base in this run"),
        ("dpra:parent", "has the tag dpra:parent: ''"),
    ],
)
def test_a_template_that_makes_no_image_of_the_version_fails_and_leaves_nothing_running(
    world: Packed, template: str, told: str
) -> None:
    world.job.write("packer/image.pkr.hcl", template)
    world.may("packer")
    done = world.pack()
    assert done.code == 1, done.out
    assert told in done.errors[0]
    assert world.left == ([], [])
    assert len(world.images) == (template.startswith("dpra"))


@pytest.mark.parametrize("missing", ["dpra:component", "dpra:for"])
def test_an_instance_without_the_tags_is_not_started(world: Packed, missing: str) -> None:
    world.job.write("packer/image.pkr.hcl", missing)
    world.may("packer")
    assert world.pack().code == 1
    assert world.left[0] == []
    assert world.cloud.refusals


def test_a_template_that_publishes_is_refused_by_aws(world: Packed) -> None:
    world.job.write("packer/image.pkr.hcl", "publishes")
    world.may("packer")
    assert world.pack().code == 1
    assert any("ec2:ModifyImageAttribute" in refusal for refusal in world.cloud.refusals)


def test_an_open_security_group_is_used_by_nobody(world: Packed) -> None:
    opened = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    world.client("ec2").authorize_security_group_ingress(GroupId=world.group, IpPermissions=opened)
    world.may("packer")
    done = world.pack()
    assert f"the security group {world.group} lets somebody in, and must have no rule" in done.errors[0]
    world.secured()
    assert "there must be one of the security groups" in world.pack().errors[0]


def test_what_is_no_image_of_this_run_alone_is_not_looked_into(world: Packed) -> None:
    world.may("packer")
    assert world.pack().code == 0
    [ami] = world.images
    ec2 = world.client("ec2")
    tags = {tag["Key"]: tag["Value"] for tag in ami["Tags"]}
    ec2.create_tags(Resources=[ami["ImageId"]], Tags=[{"Key": "dpra:parent", "Value": "sh -c id"}])
    world.may("look")
    assert "has the tag dpra:parent: 'sh -c id', and no AMI's id" in world.look().errors[0]
    ec2.create_tags(Resources=[ami["ImageId"]], Tags=[{"Key": "dpra:parent", "Value": tags["dpra:parent"]}])
    copy = ec2.copy_image(SourceImageId=ami["ImageId"], SourceRegion=REGION, Name="copy")["ImageId"]
    ec2.create_tags(Resources=[copy], Tags=ami["Tags"])
    assert "there are several AMIs of base" in world.look().errors[0]


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_told_to_stop_leaves_nothing(world: Packed, word: signal.Signals) -> None:
    world.job.write("packer/image.pkr.hcl", "waits")
    world.may("packer")
    given = {"do": "packer", "component": "base", "account": HERE, "region": REGION, "parent": PARENT}
    given |= {"components": "packer", "instance_type": "t3.small", "profile": f"{MACHINE}-build"}
    env = world.job.env | {f"INPUT_{name.upper()}": value for name, value in given.items()}
    words = [sys.executable, "-I", "-B", str(PACK / "machine/main.py")]
    with subprocess.Popen(words, cwd=world.job.workspace, env=env, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("started "):
                break
        process.send_signal(word)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)  # the runner's second one
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted, cleaned up" in said
    assert "the build was cancelled" in said
    assert world.left == ([], [])
    assert world.images == []


def test_without_packer_or_a_template_one_line_says_so(world: Packed) -> None:
    world.may("packer")
    (world.job.root / "bin/packer").unlink()
    places = world.job.env["PATH"].split(os.pathsep)
    for number, place in enumerate(places):
        if (Path(place) / "packer").exists():  # the machine's own: all that is beside it stays
            places[number] = str(world.job.root / f"bin-{number}")
            Path(places[number]).mkdir()
            for program in Path(place).iterdir():
                if program.name != "packer":
                    (Path(places[number]) / program.name).symlink_to(program)
    world.job.env["PATH"] = os.pathsep.join(places)
    [error] = world.pack().errors
    assert "there is no packer on this runner" in error
    (world.job.workspace / "packer/image.pkr.hcl").unlink()
    [error] = world.pack().errors
    assert "there is no Packer template in packer: no file ends with .pkr.hcl" in error


OWN, BUILDS = {"aws:ResourceTag/dpra:component": "base"}, {"aws:ResourceTag/dpra:for": "build"}
COPY = {"aws:ResourceTag/CreatedBy": "EC2 Image Builder"}
ASKED = {"aws:RequestTag/dpra:component": "base", "aws:RequestTag/dpra:for": "build"}
THERE = f"arn:aws:ec2:{REGION}:{HERE}"


@pytest.mark.parametrize(
    ("action", "target", "context", "allowed"),
    [
        ("ec2:CreateTags", "image/ami-1", ASKED, True),
        ("ec2:CreateTags", "image/ami-1", {**ASKED, **OWN, **BUILDS}, True),
        ("ec2:CreateTags", "image/ami-1", {**ASKED, **OWN, **COPY}, False),  # a copy that is published
        ("ec2:CreateTags", "image/ami-1", {**ASKED, "aws:ResourceTag/dpra:component": "other"}, False),
        ("ec2:CreateTags", f"{THERE}:instance/i-1", {**ASKED, **OWN, **BUILDS}, False),
        ("ec2:RunInstances", f"{THERE}:security-group/sg-1", ASKED, False),
        ("ec2:RunInstances", f"{THERE}:key-pair/theirs", ASKED, False),
        ("ec2:RunInstances", f"{THERE}:instance/*", {**ASKED, "aws:RequestTag/dpra:for": "tests"}, False),
        ("ec2:TerminateInstances", f"{THERE}:instance/i-1", OWN, False),
        ("ec2:CreateImage", f"{THERE}:instance/i-1", {**OWN, "aws:ResourceTag/dpra:for": "tests"}, False),
        ("ec2:DeregisterImage", "image/ami-1", {**OWN, **BUILDS}, False),
        ("ec2:DeleteKeyPair", f"{THERE}:key-pair/theirs", OWN, False),
        ("iam:PassRole", f"arn:aws:iam::{HERE}:role/dpra-base-machine-look", {}, False),
        ("ssm:StartSession", f"arn:aws:ssm:{REGION}::document/SSM-SessionManagerRunShell", {}, False),
        ("ssm:TerminateSession", f"arn:aws:ssm:{REGION}:{HERE}:session/somebody-1", {}, False),
    ],
)
def test_the_role_of_packer_reaches_what_is_its_own(
    action: str, target: str, context: dict[str, str], *, allowed: bool
) -> None:
    found = [{"Statement": may("packer")}]
    name = target if target.startswith("arn:") else f"arn:aws:ec2:{REGION}::{target}"
    assert permissions.allows(found, action, name, context) is allowed


NEEDED = sorted(
    {action for one in may("packer") for action in one["Action"]}
    # Of a session, of what is there already, and of what a plugin looks at and the stand-in does not.
    - {"ssm:StartSession", "ssm:TerminateSession", "ssmmessages:OpenDataChannel", "ec2:DescribeSubnets"}
    - {"ec2:DescribeInstanceStatus", "ec2:DescribeInstances", "ec2:DescribeVolumes"}
)


@pytest.mark.parametrize("lacking", NEEDED)
def test_each_right_of_packer_is_needed(world: Packed, lacking: str) -> None:
    world.may("packer", but=lacking)
    done = world.pack()
    assert done.code == 1, done.out
    assert any(lacking in refusal for refusal in world.cloud.refusals)
