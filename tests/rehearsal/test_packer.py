"""Packer 1.6.6 bakes an AMI in the rehearsal's AWS: by sessions of Systems Manager, with the rights of its role."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from dpra.rehearsal import packer, processes, roots

if os.geteuid():
    pytest.skip("machines' commands run in a chroot, which only root can enter", allow_module_level=True)
pytestmark = pytest.mark.needs("packer", "scp")

HERE, REGION = "111111111111", "eu-west-1"
NEWEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
STACK = """
Resources:
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties: {GroupName: dpra-demo, GroupDescription: Nothing comes in}
  Build:
    Type: AWS::IAM::Role
    Properties:
      RoleName: dpra-demo-machine-build
      AssumeRolePolicyDocument: &ec2
        Version: '2012-10-17'
        Statement: [{Effect: Allow, Principal: {Service: ec2.amazonaws.com}, Action: 'sts:AssumeRole'}]
      ManagedPolicyArns: ['arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore']
  Profile:
    Type: AWS::IAM::InstanceProfile
    Properties: {InstanceProfileName: dpra-demo-machine-build, Roles: [!Ref Build]}
  Bare:
    Type: AWS::IAM::Role
    Properties: {RoleName: bare, AssumeRolePolicyDocument: *ec2}
  BareProfile:
    Type: AWS::IAM::InstanceProfile
    Properties: {InstanceProfileName: bare, Roles: [!Ref Bare]}
  Packer:
    Type: AWS::IAM::Role
    Properties:
      RoleName: packer
      AssumeRolePolicyDocument: *ec2
      Policies: [{PolicyName: Packer, PolicyDocument: {Version: '2012-10-17', Statement: %s}}]
Outputs:
  Group: {Value: !GetAtt Group.GroupId}
"""
EC2, TAG = f"arn:aws:ec2:*:{HERE}", {"dpra:component": "demo", "dpra:for": "build"}
OURS = {"StringEquals": {f"aws:ResourceTag/{key}": value for key, value in TAG.items()}}
ASKED = {"StringEquals": {f"aws:RequestTag/{key}": value for key, value in TAG.items()}}
# By a word for each: what 1.6.6 does, as narrow as it can be said.
RIGHTS = {
    "look": (["ec2:Describe*"], "*", {}),
    "start": ("ec2:RunInstances", [f"{EC2}:instance/*", f"{EC2}:volume/*"], ASKED),
    "with": (
        "ec2:RunInstances",
        ["arn:aws:ec2:*::image/*", "arn:aws:ec2:*::snapshot/*"]
        + [f"{EC2}:{kind}" for kind in ("key-pair/packer_*", "network-interface/*", "security-group/*", "subnet/*")],
        {},
    ),
    "role": ("iam:PassRole", f"arn:aws:iam::{HERE}:role/dpra-demo-machine-build", {}),
    "profile": ("iam:GetInstanceProfile", f"arn:aws:iam::{HERE}:instance-profile/dpra-demo-machine-build", {}),
    "key": (["ec2:CreateKeyPair", "ec2:DeleteKeyPair"], f"{EC2}:key-pair/packer_*", {}),
    "reach": (
        "ssm:StartSession",
        f"{EC2}:instance/*",
        {
            "StringEquals": {f"ssm:resourceTag/{key}": value for key, value in TAG.items()},
            "BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"},
        },
    ),
    "by": ("ssm:StartSession", "arn:aws:ssm:*::document/AWS-StartPortForwardingSession", {}),
    "leave": ("ssm:TerminateSession", f"arn:aws:ssm:*:{HERE}:session/a-run-*", {}),
    "image": ("ec2:CreateImage", ["arn:aws:ec2:*::image/*", "arn:aws:ec2:*::snapshot/*"], {}),
    "of": (["ec2:CreateImage", "ec2:StopInstances", "ec2:TerminateInstances"], f"{EC2}:instance/*", OURS),
    "tags": ("ec2:CreateTags", f"{EC2}:*/*", {"StringEquals": {"ec2:CreateAction": "RunInstances"}}),
    "tag": (
        "ec2:CreateTags",
        ["arn:aws:ec2:*::image/*", "arn:aws:ec2:*::snapshot/*"],
        {**ASKED, "StringEqualsIfExists": {"aws:ResourceTag/dpra:component": "demo"}},
    ),
}
TEMPLATE = """
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "= 1.3.9" # as the runner's
    }
  }
}

variable "dpra" {
  type = object({
    region         = string
    parent         = string
    name           = string
    instance_type  = string
    profile        = string
    security_group = string
    subnet         = string
    tags           = map(string)
  })
}

source "amazon-ebs" "image" {
  region               = var.dpra.region
  source_ami           = var.dpra.parent
  ami_name             = var.dpra.name
  instance_type        = var.dpra.instance_type
  iam_instance_profile = var.dpra.profile
  security_group_id    = var.dpra.security_group
  subnet_id            = var.dpra.subnet
  communicator         = "ssh"
  ssh_username         = "ubuntu"
  ssh_interface        = "session_manager"
  imds_support         = "v2.0"
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }
  tags            = var.dpra.tags
  run_tags        = var.dpra.tags
  run_volume_tags = var.dpra.tags
  snapshot_tags   = var.dpra.tags
}

build {
  sources = ["source.amazon-ebs.image"]
  provisioner "file" {
    source      = "${path.root}/../shared/motd"
    destination = "/tmp/motd"
  }
  provisioner "shell" {
    execute_command = "sudo -n env {{ .Vars }} bash {{ .Path }}"
    scripts         = ["${path.root}/scripts/10-packages.sh", "${path.root}/scripts/20-motd.sh"]
  }
}
"""
SCRIPTS = {
    "10-packages.sh": "set -euo pipefail\napt-get update\napt-get install --yes libssl3\n",
    "20-motd.sh": "set -euo pipefail\nmv /tmp/motd /etc/motd\nchown root: /etc/motd\nid -u\necho made > /run/state\n",
}
TAGS = {"dpra:component": "demo", "dpra:version": "2026.11.28-7", "dpra:for": "build"}


def allowed(*without: str) -> list[dict]:
    """The statements of a role that packs, but for some."""
    return [
        {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition}
        for name, (action, resource, condition) in RIGHTS.items()
        if name not in without
    ]


class Baking:
    """A folder with a template, what it is handed, and what is there afterwards."""

    def __init__(self, client, cloud, work: Path) -> None:
        self.client = client
        self.cloud, self.work, self.ec2 = cloud, work, client("ec2")
        self.parent = client("ssm").get_parameter(Name=NEWEST)["Parameter"]["Value"]
        made = client("cloudformation")
        text = STACK.replace("%s", json.dumps(allowed()))
        made.create_stack(StackName="dpra-demo", TemplateBody=text, Capabilities=["CAPABILITY_NAMED_IAM"])
        [stack] = made.describe_stacks(StackName="dpra-demo")["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        self.group = stack["Outputs"][0]["OutputValue"]
        self.folder = work / "packer"
        (self.folder / "scripts").mkdir(parents=True)
        (work / "shared").mkdir()
        (work / "shared/motd").write_text("Made by Packer\n")
        for name, text in SCRIPTS.items():
            (self.folder / "scripts" / name).write_text(text)
        self.write(TEMPLATE)
        self.steps = work / "steps"
        self.steps.mkdir()
        packer.install(self.steps)

    def write(self, template: str) -> None:
        (self.folder / "image.pkr.hcl").write_text(template)

    def environment(self, role: str = "", **more: str) -> dict[str, str]:
        """With the credentials of a role; without one, of one that may do all."""
        session = self.cloud.give(f"arn:aws:iam::{HERE}:role/{role or 'dpra-demo-beta'}", "a-run")
        if role:
            self.cloud.roles[session.access_key_id] = f"arn:aws:iam::{HERE}:role/{role}"
        dpra = {
            "region": REGION, "parent": self.parent, "name": "dpra-demo-2026.11.28-7", "instance_type": "t3.small",
            "profile": "dpra-demo-machine-build", "security_group": self.group, "subnet": "", "tags": TAGS, **more,
        }  # fmt: skip
        temporary = self.work / f"temporary-{'x' * 90}"  # longer than the path of a socket may be
        temporary.mkdir(exist_ok=True)
        return {
            "AWS_ACCESS_KEY_ID": session.access_key_id,
            "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
            "AWS_SESSION_TOKEN": session.session_token,
            "AWS_ENDPOINT_URL": self.cloud.url,
            "HOME": str(self.work),
            "PATH": f"{self.steps}:{os.environ['PATH']}",
            "PKR_VAR_dpra": json.dumps(dpra),
            "TMPDIR": str(temporary),
        }

    def forbid(self, *names: str) -> None:
        """Take some of its rights from the role that packs."""
        policy = json.dumps({"Version": "2012-10-17", "Statement": allowed(*names)})
        self.client("iam").put_role_policy(RoleName="packer", PolicyName="Packer", PolicyDocument=policy)

    def packer(self, *words: str, role: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["packer", *words], env=self.environment(role, **more), cwd=self.work, text=True, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        print(done.stdout)
        return done

    def build(self, **more: str) -> subprocess.CompletedProcess[str]:
        return self.packer("build", "-color=false", "-on-error=cleanup", "packer", **more)

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        """A build whose first script runs."""
        (self.folder / "scripts/10-packages.sh").write_text("echo begun\nsleep 300\n")
        with subprocess.Popen(
            ["packer", "build", "-color=false", "packer"], env=self.environment(), cwd=self.work, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        ) as process:  # fmt: skip
            assert process.stdout
            assert any("begun" in line for line in process.stdout)
            yield process

    def start(self, profile: str, **more: str) -> str:
        """An instance by the API."""
        [made] = self.ec2.run_instances(
            ImageId=self.parent,
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.small",
            IamInstanceProfile={"Name": profile},
            **more,
        )["Instances"]
        return str(made["InstanceId"])

    def amis(self) -> list[dict]:
        return self.ec2.describe_images(Owners=["self"])["Images"]

    def instances(self) -> list[dict]:
        found = [one for all in self.ec2.describe_instances()["Reservations"] for one in all["Instances"]]
        return [one for one in found if one["State"]["Name"] != "terminated"]

    def left(self) -> tuple:
        """Instances, key pairs, AMIs and volumes."""
        pairs, volumes = self.ec2.describe_key_pairs()["KeyPairs"], self.ec2.describe_volumes()["Volumes"]
        return self.instances(), pairs, self.amis(), volumes


@pytest.fixture
def baking(lasting, cloud, tmp_path):
    server = packer.served(cloud)
    yield Baking(lasting, cloud, tmp_path)
    server.close()


def refusal(code: str):
    return pytest.raises(ClientError, match=f"\\({code}\\)")


def tags(said: dict) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in said.get("Tags", ())}


def test_packer_bakes_what_its_scripts_did_into_an_ami(baking: Any) -> None:
    done = baking.build()
    assert done.returncode == 0
    assert "Setting up libssl3" in done.stdout
    [ami] = baking.amis()
    assert (ami["Name"], ami["State"], tags(ami)) == ("dpra-demo-2026.11.28-7", "available", TAGS)
    files = roots.KEPT[ami["ImageId"]]
    assert "Package: libssl3\nStatus: install ok installed" in (files / "var/lib/dpkg/status").read_text()
    assert (files / "etc/motd").read_text() == "Made by Packer\n"
    assert list((files / "run").iterdir()) == []
    snapshot = ami["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    [kept] = baking.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert tags(kept) == TAGS
    assert baking.left()[:2] == ([], [])


def test_what_an_instance_runs_is_run_as_its_user_who_becomes_root_by_sudo(baking: Any) -> None:
    (baking.folder / "scripts/10-packages.sh").write_text('id -un; echo "$LANG-${MINE-none}-$SUDO_UID"; id -u\n')
    (baking.folder / "scripts/20-motd.sh").write_text("touch /etc/mine || echo 'as it should'; test -w /tmp/motd\n")
    text = TEMPLATE.replace("sudo -n env {{ .Vars }} bash", "sudo -n env MINE=yes bash", 1).replace(
        ', "${path.root}/scripts/20-motd.sh"', ""
    )
    second = 'provisioner "shell" {\n  script = "${path.root}/scripts/20-motd.sh"\n}\n}'
    baking.write(text.rstrip().removesuffix("}") + second)
    done = baking.build()
    assert done.returncode == 0
    said = [line.partition(": ")[2].strip() for line in done.stdout.splitlines()]
    at = said.index("root")
    assert said[at : at + 3] == ["root", "C.UTF-8-yes-1000", "0"]
    assert "as it should" in said


def test_a_provisioner_that_fails_leaves_nothing(baking: Any) -> None:
    (baking.folder / "scripts/20-motd.sh").write_text("exit 7\n")
    done = baking.build()
    assert done.returncode == 1
    assert "Script exited with non-zero exit status: 7" in done.stdout
    assert baking.left() == ([], [], [], [])


def test_a_package_that_the_archive_has_not_fails_as_on_debian(baking: Any) -> None:
    (baking.folder / "scripts/10-packages.sh").write_text("apt-get install --yes no-such-package\n")
    done = baking.build()
    assert "E: Unable to locate package no-such-package" in done.stdout
    assert (done.returncode, baking.left()) == (1, ([], [], [], []))


def test_without_a_session_nobody_comes_in(baking: Any) -> None:
    baking.write(TEMPLATE.replace('ssh_interface        = "session_manager"', ""))
    done = baking.build()
    assert done.returncode == 1
    assert "Timeout waiting for SSH" in done.stdout
    assert baking.left() == ([], [], [], [])


def test_an_instance_without_an_agent_that_may_report_takes_no_session(baking: Any) -> None:
    baking.write(TEMPLATE.replace('"ubuntu"', '"ubuntu"\n  ssh_timeout = "10s"'))
    assert baking.build(profile="bare").returncode == 1
    assert baking.left() == ([], [], [], [])


def test_packer_that_is_told_to_stop_ends_its_instance(baking: Any) -> None:
    with baking.started() as process:
        process.send_signal(signal.SIGTERM)  # its first process hears SIGINT from a terminal only
        assert process.wait(60) == 1
    assert baking.left() == ([], [], [], [])


def test_what_a_lost_runner_left_runs_on_and_its_command_does_not(baking: Any) -> None:
    with baking.started() as process:
        os.killpg(process.pid, signal.SIGKILL)
    assert [tags(one)["dpra:for"] for one in baking.instances()] == ["build"]
    for _ in range(50):
        if not processes.RUNNING:
            break
        time.sleep(0.1)
    assert not processes.RUNNING


def test_who_is_no_user_of_the_ami_does_not_come_in(baking: Any) -> None:
    baking.write(TEMPLATE.replace('"ubuntu"', '"root"\n  ssh_timeout = "15s"'))
    assert baking.build().returncode == 1
    assert baking.left() == ([], [], [], [])


# ---- Rights


def test_a_role_that_may_do_just_that_bakes(baking: Any) -> None:
    done = baking.build(role="packer")
    assert (done.returncode, baking.cloud.refusals) == (0, [])
    assert [tags(ami) for ami in baking.amis()] == [TAGS]


@pytest.mark.parametrize(
    ("without", "refused"),
    [
        ("profile", "iam:GetInstanceProfile on resource: arn:aws:iam::111111111111:instance-profile/dpra-demo-"),
        ("role", "iam:PassRole on resource: arn:aws:iam::111111111111:role/dpra-demo-machine-build"),
        ("reach", "ssm:StartSession on resource: arn:aws:ec2:eu-west-1:111111111111:instance/i-"),
        ("by", "ssm:StartSession on resource: arn:aws:ssm:eu-west-1::document/AWS-StartPortForwardingSession"),
        ("image", "ec2:CreateImage on resource: arn:aws:ec2:eu-west-1::image/*"),
    ],
)
def test_a_role_that_lacks_a_right_is_refused_and_leaves_nothing(baking: Any, without: Any, refused: Any) -> None:
    baking.forbid(without)
    baking.write(TEMPLATE.replace('"ubuntu"', '"ubuntu"\n  ssh_timeout = "10s"'))
    assert baking.build(role="packer").returncode == 1
    assert refused in baking.cloud.refusals[0]
    assert baking.left() == ([], [], [], [])


def test_a_template_without_the_tags_that_it_was_told_starts_nothing(baking: Any) -> None:
    baking.write(TEMPLATE.replace("run_tags        = var.dpra.tags", 'run_tags = { "dpra:component" = "other" }'))
    assert baking.build(role="packer").returncode == 1
    assert "ec2:RunInstances on resource: arn:aws:ec2:eu-west-1:111111111111:instance/*" in baking.cloud.refusals[0]
    assert baking.left() == ([], [], [], [])


def test_another_components_image_takes_no_tags(baking: Any) -> None:
    [theirs] = (baking.ec2.copy_image(SourceImageId=baking.parent, SourceRegion=REGION, Name="theirs")["ImageId"],)
    baking.ec2.create_tags(Resources=[theirs], Tags=[{"Key": "dpra:component", "Value": "theirs"}])
    session = baking.environment(role="packer")
    mine = boto3.client(
        "ec2", region_name=REGION, endpoint_url=baking.cloud.url, aws_access_key_id=session["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=session["AWS_SECRET_ACCESS_KEY"], aws_session_token=session["AWS_SESSION_TOKEN"],
    )  # fmt: skip
    said = [{"Key": key, "Value": value} for key, value in TAG.items()]
    with refusal("UnauthorizedOperation"):
        mine.create_tags(Resources=[theirs], Tags=said)
    baking.ec2.delete_tags(Resources=[theirs], Tags=[{"Key": "dpra:component"}])
    mine.create_tags(Resources=[theirs], Tags=said)


# ---- Sessions and images, by the API


def test_a_session_is_of_an_instance_whose_agent_has_reported_and_ends(baking: Any) -> None:
    ssm = baking.client("ssm")
    asked = {"DocumentName": "AWS-StartPortForwardingSession", "Parameters": {"portNumber": ["22"]}}
    with refusal("TargetNotConnected"):
        ssm.start_session(Target="i-00000000000000000", **asked)
    instance = baking.start("bare")
    for _ in range(3):
        with refusal("TargetNotConnected"):
            ssm.start_session(Target=instance, **asked)
    instance = baking.start("dpra-demo-machine-build")
    with refusal("TargetNotConnected"):  # an agent comes a while after its instance
        ssm.start_session(Target=instance, **asked)
    with refusal("InvalidDocument"):
        ssm.start_session(Target=instance, DocumentName="AWS-StartInteractiveCommand")
    with refusal("InvalidParameters"):
        ssm.start_session(Target=instance, **{**asked, "Parameters": {"portNumber": ["80"]}})
    made = ssm.start_session(Target=instance, **asked)
    assert made["SessionId"].startswith("test-")
    assert ssm.terminate_session(SessionId=made["SessionId"])["SessionId"] == made["SessionId"]
    with refusal("DoesNotExistException"):
        ssm.terminate_session(SessionId=made["SessionId"])
    baking.ec2.stop_instances(InstanceIds=[instance])
    with refusal("TargetNotConnected"):
        ssm.start_session(Target=instance, **asked)


def test_an_image_is_made_of_an_instance_that_is_there_and_has_its_snapshots_tags(baking: Any) -> None:
    instance = baking.start("dpra-demo-machine-build")
    said = [{"ResourceType": kind, "Tags": [{"Key": "of", "Value": kind}]} for kind in ("image", "snapshot")]
    ami = baking.ec2.create_image(InstanceId=instance, Name="mine", TagSpecifications=said)["ImageId"]
    [made] = baking.amis()
    assert (made["ImageId"], made["SourceImageId"], tags(made)) == (ami, baking.parent, {"of": "image"})
    [snapshot] = baking.ec2.describe_snapshots(SnapshotIds=[made["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]])[
        "Snapshots"
    ]
    assert tags(snapshot) == {"of": "snapshot"}
    with refusal("InvalidAMIName.Duplicate"):
        baking.ec2.create_image(InstanceId=instance, Name="mine")
    baking.ec2.terminate_instances(InstanceIds=[instance])
    with refusal("IncorrectInstanceState"):
        baking.ec2.create_image(InstanceId=instance, Name="another")


def test_only_the_key_of_an_instance_comes_in_and_only_while_its_session_lasts(baking: Any) -> None:
    asyncssh = pytest.importorskip("asyncssh")
    ssm, keys = baking.client("ssm"), {}
    for name in ("mine", "other"):
        material = baking.ec2.create_key_pair(KeyName=name)["KeyMaterial"]
        keys[name] = asyncssh.import_private_key(material)
    instance = baking.start("dpra-demo-machine-build", KeyName="mine")
    ssm.describe_instance_information()
    asked = {"DocumentName": "AWS-StartPortForwardingSession", "Parameters": {"portNumber": ["22"]}}
    session = ssm.start_session(Target=instance, **asked)

    async def inside(key, *commands, token=session["TokenValue"], user="ubuntu"):
        address = session["StreamUrl"].removeprefix("tcp://").split(":")
        sock = await asyncio.to_thread(socket.create_connection, (address[0], int(address[1])))
        sock.sendall(f"{token}\n".encode())
        known = {"known_hosts": None, "client_keys": [key], "username": user, "config": None, "agent_path": None}
        async with asyncssh.connect(sock=sock, **known) as connection:
            return [await connection.run(command) for command in commands]

    [one, two, three] = asyncio.run(
        inside(keys["mine"], "id -u; exit 3", "cat > /tmp/a < /etc/hosts", "cat /etc/shadow")
    )
    assert (one.stdout, one.exit_status) == ("1000\n", 3)
    assert two.exit_status == 0
    assert "Permission denied" in three.stderr
    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(inside(keys["other"], "id"))
    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(inside(keys["mine"], "id", user="root"))
    with pytest.raises((asyncssh.Error, OSError)):
        asyncio.run(inside(keys["mine"], "id", token="0" * 64))
    ssm.terminate_session(SessionId=session["SessionId"])
    with pytest.raises((asyncssh.Error, OSError)):
        asyncio.run(inside(keys["mine"], "id"))
