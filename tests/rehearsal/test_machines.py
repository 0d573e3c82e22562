"""AMIs and instances in the rehearsal's AWS: what moto lacks in EC2 and Systems Manager."""

import datetime
import json
import os

import pytest
from botocore.exceptions import ClientError
from dpra.rehearsal import roots
from dpra.rehearsal.mends import managed
from moto.organizations.models import organizations_backends

HERE, OTHER = "111111111111", "222222222222"
NEWEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="a machine's commands run in a chroot, which only root can enter"
)


def refusal(code, match=""):
    return pytest.raises(ClientError, match=f"(?s)\\({code}\\).*{match}")


class Machines:
    def __init__(self, client):
        self.ec2, self.ssm, self.iam = client("ec2"), client("ssm"), client("iam")
        self.newest = self.ssm.get_parameter(Name=NEWEST)["Parameter"]["Value"]

    def image(self, name="mine"):
        """An AMI of one's own, with its files."""
        ami = self.ec2.copy_image(SourceImageId=self.newest, SourceRegion="eu-west-1", Name=name)["ImageId"]
        roots.KEPT[ami] = roots.copy(roots.of_image(ami))
        (roots.KEPT[ami] / "made").write_text(name)
        return ami

    def profile(self, *actions):
        allowed = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}] if actions else []
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}]}
        self.iam.create_role(RoleName="machine", AssumeRolePolicyDocument=json.dumps(trust))
        document = json.dumps({"Version": "2012-10-17", "Statement": allowed})
        self.iam.put_role_policy(RoleName="machine", PolicyName="x", PolicyDocument=document)
        self.iam.create_instance_profile(InstanceProfileName="machine")
        self.iam.add_role_to_instance_profile(InstanceProfileName="machine", RoleName="machine")

    def launch(self, ami, **more):
        made = self.ec2.run_instances(ImageId=ami, MinCount=1, MaxCount=1, InstanceType="t3.micro", **more)
        return made["Instances"][0]["InstanceId"]

    def managed(self, **asked):
        return [one["InstanceId"] for one in self.ssm.describe_instance_information(**asked)["InstanceInformationList"]]

    def ready(self, ami):
        """An instance that Systems Manager manages."""
        instance = self.launch(ami, IamInstanceProfile={"Name": "machine"})
        assert self.managed() == []  # its agent has not reported yet
        assert self.managed() == [instance]
        return instance

    def send(self, instance, *commands, **parameters):
        asked = {"commands": list(commands), **{key: [value] for key, value in parameters.items()}}
        sent = self.ssm.send_command(InstanceIds=[instance], DocumentName="AWS-RunShellScript", Parameters=asked)
        return {"CommandId": sent["Command"]["CommandId"], "InstanceId": instance}

    def told(self, instance, *commands, **parameters):
        sent = self.send(instance, *commands, **parameters)
        while (told := self.ssm.get_command_invocation(**sent))["Status"] == "InProgress":
            pass
        return told


@pytest.fixture
def client(lasting):
    return lasting


@pytest.fixture
def machines(client):
    return Machines(client)


# ---- AMIs


def lend(ec2, ami):
    """Let the other account read an AMI's storage."""
    [found] = ec2.describe_images(ImageIds=[ami])["Images"]
    snapshot = found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    permission = {"CreateVolumePermission": {"Add": [{"UserId": OTHER}]}}
    ec2.modify_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission", **permission)


def test_a_shared_ami_is_seen_launched_and_copied_by_the_other_account_and_not_changed(machines, client):
    ami, theirs = machines.ec2.register_image(Name="mine")["ImageId"], client("ec2", account=OTHER)
    with refusal("InvalidAMIID.NotFound"):
        theirs.describe_images(ImageIds=[ami])
    with refusal("InvalidAMIID.NotFound"):
        theirs.run_instances(ImageId=ami, MinCount=1, MaxCount=1)
    machines.ec2.modify_image_attribute(ImageId=ami, LaunchPermission={"Add": [{"UserId": OTHER}]})
    assert theirs.describe_images(ImageIds=[ami])["Images"][0]["OwnerId"] == HERE
    assert theirs.describe_images(Owners=["self"])["Images"] == []
    assert theirs.run_instances(ImageId=ami, MinCount=1, MaxCount=1)["Instances"][0]["ImageId"] == ami
    lend(machines.ec2, ami)  # a copy reads its storage
    copy = theirs.copy_image(SourceImageId=ami, SourceRegion="eu-west-1", Name="copy")["ImageId"]
    [found] = theirs.describe_images(ImageIds=[copy])["Images"]
    assert (found["OwnerId"], found["SourceImageId"], found["SourceImageRegion"]) == (OTHER, ami, "eu-west-1")
    with refusal("AuthFailure"):
        theirs.deregister_image(ImageId=ami)
    with refusal("AuthFailure"):
        theirs.modify_image_attribute(ImageId=ami, LaunchPermission={"Add": [{"UserId": OTHER}]})
    with refusal("InvalidAMIID.NotFound"):
        client("ec2", "us-east-1", OTHER).describe_images(ImageIds=[ami])  # another region


def test_an_ami_is_shared_with_an_organization(machines, client):
    ami, theirs = machines.ec2.register_image(Name="mine")["ImageId"], client("ec2", account=OTHER)
    backend = organizations_backends[HERE]["aws"]
    backend.create_organization(region="us-east-1", FeatureSet="ALL")
    permission = {"Add": [{"OrganizationArn": backend.org.arn}]}
    machines.ec2.modify_image_attribute(ImageId=ami, LaunchPermission=permission)
    with refusal("InvalidAMIID.NotFound"):
        theirs.describe_images(ImageIds=[ami])
    backend.accounts[0].id = OTHER  # moto gives new accounts a number of their own
    assert theirs.describe_images(ImageIds=[ami])["Images"]


def test_an_ami_that_is_protected_is_not_deregistered(machines, cloud, client):
    ami = machines.ec2.register_image(Name="mine")["ImageId"]
    machines.ec2.enable_image_deregistration_protection(ImageId=ami)
    [found] = machines.ec2.describe_images(ImageIds=[ami])["Images"]
    assert found["DeregistrationProtection"] == "enabled-without-cooldown"
    with refusal("OperationNotPermitted", ami):
        machines.ec2.deregister_image(ImageId=ami)
    machines.ec2.disable_image_deregistration_protection(ImageId=ami)
    machines.ec2.enable_image_deregistration_protection(ImageId=ami, WithCooldown=True)
    machines.ec2.disable_image_deregistration_protection(ImageId=ami)
    with refusal("OperationNotPermitted"):
        machines.ec2.deregister_image(ImageId=ami)
    cloud.ahead += 25 * 3600
    client("ec2").deregister_image(ImageId=ami)
    with refusal("InvalidAMIID.NotFound"):
        client("ec2").run_instances(ImageId=ami, MinCount=1, MaxCount=1)


def test_an_ami_goes_with_its_snapshot_where_that_is_asked_for(machines):
    ami = machines.ec2.register_image(Name="mine")["ImageId"]
    [found] = machines.ec2.describe_images(ImageIds=[ami])["Images"]
    snapshot = found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    machines.ec2.deregister_image(ImageId=ami, DeleteAssociatedSnapshots=True)
    with refusal("InvalidSnapshot.NotFound"):
        machines.ec2.describe_snapshots(SnapshotIds=[snapshot])


def test_an_ami_is_deprecated_at_a_moment_to_come(machines):
    ami = machines.ec2.register_image(Name="mine")["ImageId"]
    moment = datetime.datetime.now(datetime.UTC).replace(second=10, microsecond=0)
    machines.ec2.enable_image_deprecation(ImageId=ami, DeprecateAt=moment + datetime.timedelta(days=90))
    [found] = machines.ec2.describe_images(ImageIds=[ami])["Images"]
    wanted = (moment + datetime.timedelta(days=90)).replace(second=0)
    assert found["DeprecationTime"] == f"{wanted:%Y-%m-%dT%H:%M:%S}.000Z"
    for days in (-1, 4000):
        with refusal("InvalidParameterValue", "DeprecateAt"):
            machines.ec2.enable_image_deprecation(ImageId=ami, DeprecateAt=moment + datetime.timedelta(days=days))
    machines.ec2.disable_image_deprecation(ImageId=ami)
    assert "DeprecationTime" not in machines.ec2.describe_images(ImageIds=[ami])["Images"][0]
    with refusal("InvalidAMIID.NotFound"):
        machines.ec2.enable_image_deprecation(ImageId="ami-00000000000000000", DeprecateAt=moment)


def test_an_ami_has_a_snapshot_that_outlives_no_ami(machines):
    ami = machines.ec2.register_image(Name="mine")["ImageId"]
    [found] = machines.ec2.describe_images(ImageIds=[ami])["Images"]
    snapshot = found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    with refusal("InvalidSnapshot.InUse"):
        machines.ec2.delete_snapshot(SnapshotId=snapshot)
    machines.ec2.deregister_image(ImageId=ami)
    machines.ec2.delete_snapshot(SnapshotId=snapshot)


def test_an_ami_that_is_disabled_starts_no_instance(machines):
    ami = machines.ec2.register_image(Name="mine")["ImageId"]
    machines.ec2.disable_image(ImageId=ami)
    with refusal("InvalidAMIID.Unavailable"):
        machines.launch(ami)


def test_a_parameter_of_an_ami_that_is_not_there_is_answered_and_not_kept(machines, client):
    ami = machines.ec2.register_image(Name="mine")["ImageId"]
    asked = {"Name": "/images/mine", "Type": "String", "DataType": "aws:ec2:image"}
    for wrong in ("ami-00000000000000000", "latest"):
        assert machines.ssm.put_parameter(**asked, Value=wrong)["Version"] == 1
        with refusal("ParameterNotFound"):
            machines.ssm.get_parameter(Name="/images/mine")
    assert machines.ssm.put_parameter(**asked, Value=ami)["Version"] == 1
    machines.ssm.put_parameter(**asked, Value="ami-00000000000000000", Overwrite=True)
    found = machines.ssm.get_parameter(Name="/images/mine")["Parameter"]
    assert (found["Value"], found["Version"]) == (ami, 1)
    instance = machines.launch("resolve:ssm:/images/mine")
    [one] = machines.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    assert one["ImageId"] == ami
    far = client("ssm", "us-east-1")
    far.put_parameter(**asked, Value=ami)
    with refusal("ParameterNotFound"):
        far.get_parameter(Name="/images/mine")
    machines.ssm.put_parameter(Name="/images/text", Type="String", Value="ami-00000000000000000")
    assert machines.ssm.get_parameter(Name="/images/text")["Parameter"]["DataType"] == "text"
    for wrong in ("text", "none"):
        with refusal("InvalidParameterValue", f"/images/{wrong} of the data type aws:ec2:image"):
            machines.launch(f"resolve:ssm:/images/{wrong}")


# ---- Instances


@as_root
def test_an_instance_has_the_files_of_its_ami_and_its_own_changes(machines, client):
    machines.profile(managed.NEEDS)
    ami = machines.image()
    instance = machines.ready(ami)
    done = machines.told(instance, "cat /made", "echo more >> /made", "id -un")
    assert (done["Status"], done["ResponseCode"], done["StandardOutputContent"]) == ("Success", 0, "mineroot\n")
    assert machines.told(instance, "cat /made")["StandardOutputContent"] == "minemore\n"
    assert (roots.KEPT[ami] / "made").read_text() == "mine"
    again = machines.ec2.create_image(InstanceId=instance, Name="again")["ImageId"]
    assert (roots.KEPT[again] / "made").read_text() == "minemore\n"
    far = client("ec2", "us-east-1").copy_image(SourceImageId=again, SourceRegion="eu-west-1", Name="far")["ImageId"]
    assert (roots.of_image(far) / "made").read_text() == "minemore\n"
    machines.ec2.terminate_instances(InstanceIds=[instance])
    assert machines.managed() == []
    with refusal("InvalidInstanceId", "not in a valid state"):
        machines.send(instance, "true")


@as_root
def test_what_a_command_says_and_how_it_ends_is_told(machines):
    machines.profile(managed.NEEDS)
    instance = machines.ready(machines.image())
    first = machines.send(instance, "true")  # whoever looks too soon finds it in progress
    looks = [machines.ssm.get_command_invocation(**first)["Status"] for _ in range(2)]
    assert looks == ["InProgress", "Success"]
    done = machines.told(instance, "echo out", "echo err >&2", "exit 5")
    assert (done["Status"], done["StatusDetails"], done["ResponseCode"]) == ("Failed", "Failed", 5)
    assert done["StandardOutputContent"] == "out\n"
    assert done["StandardErrorContent"] == "err\nfailed to run commands: exit status 5"
    assert machines.told(instance, "pwd", workingDirectory="/etc")["StandardOutputContent"] == "/etc\n"
    late = machines.told(instance, "sleep 60", executionTimeout="1")
    assert (late["Status"], late["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    most = machines.told(instance, "head -c 30000 /dev/zero | tr '\\0' x")["StandardOutputContent"]
    assert len(most) == 24000
    [command] = machines.ssm.list_commands(CommandId=machines.send(instance, "true")["CommandId"])["Commands"]
    assert command["Status"] == "Pending"


def test_an_instance_is_managed_if_its_role_lets_its_agent_report(machines):
    machines.profile("s3:GetObject")
    bare, wrong = machines.launch(machines.newest), machines.launch(
        machines.newest, IamInstanceProfile={"Name": "machine"}
    )  # fmt: skip
    assert [machines.managed() for _ in range(3)] == [[], [], []]
    for instance in (bare, wrong):
        with refusal("InvalidInstanceId"):
            machines.send(instance, "true")
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": managed.NEEDS, "Resource": "*"}]}
    machines.iam.put_role_policy(RoleName="machine", PolicyName="y", PolicyDocument=json.dumps(document))
    machines.managed()
    by = {"Filters": [{"Key": "InstanceIds", "Values": [wrong]}]}
    assert (machines.managed(), machines.managed(**by)) == ([wrong], [wrong])
    assert machines.managed(Filters=[{"Key": "InstanceIds", "Values": [bare]}]) == []
    with refusal("InvalidFilterKey", "Color"):
        machines.managed(Filters=[{"Key": "Color", "Values": ["red"]}])
    machines.ec2.stop_instances(InstanceIds=[wrong])
    assert machines.managed() == []


def test_other_documents_and_parameters_are_refused(machines):
    machines.profile(managed.NEEDS)
    instance = machines.ready(machines.newest)
    with refusal("InvalidDocument", "AWS-RunPatchBaseline"):
        machines.ssm.send_command(InstanceIds=[instance], DocumentName="AWS-RunPatchBaseline")
    with refusal("InvalidParameters", "Color"):
        machines.send(instance, "true", Color="red")
    with refusal("InvalidParameters", "commands"):
        machines.send(instance)
    with refusal("InvocationDoesNotExist"):
        sent = machines.send(instance, "true")
        machines.ssm.get_command_invocation(**{**sent, "InstanceId": "i-00000000000000000"})


@as_root
def test_an_instance_that_was_started_before_a_fork_has_files_of_its_own_in_it(machines):
    machines.profile(managed.NEEDS)
    ami = machines.image()
    instance = machines.ready(ami)
    machines.told(instance, "echo parent > /who")
    if (pid := os.fork()) == 0:
        code = 1
        try:
            root = roots.of_instance(instance, ami)
            assert (root / "who").read_text() == "parent\n"
            (root / "who").write_text("child\n")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert machines.told(instance, "cat /who")["StandardOutputContent"] == "parent\n"


# ---- Rights


@pytest.fixture
def may(machines, cloud, client):
    """Ask as a job with a role that has these statements."""

    def may(*statements):
        name = f"role-{len(cloud.keys)}"
        role = machines.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        machines.iam.put_role_policy(RoleName=name, PolicyName="x", PolicyDocument=json.dumps(document))
        other = Machines.__new__(Machines)
        other.__dict__ |= {**machines.__dict__, "ec2": client("ec2"), "ssm": client("ssm")}
        for api in (other.ec2, other.ssm):
            cloud.roles[api._request_signer._credentials.access_key] = role
        return other

    return may


def allow(*actions, resource, **more):
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


IMAGES, BASE = "arn:aws:ec2:eu-west-1::image", f"arn:aws:ec2:eu-west-1:{HERE}"


def test_an_ami_is_changed_by_whom_is_allowed_that_ami(machines, may):
    mine, other = (machines.ec2.register_image(Name=name)["ImageId"] for name in ("mine", "other"))
    machines.ec2.create_tags(Resources=[mine], Tags=[{"Key": "team", "Value": "shop"}])
    by_tag = {"Condition": {"StringEquals": {"aws:ResourceTag/team": "shop"}}}
    for bound in (
        may(allow("ec2:EnableImageDeregistrationProtection", resource=f"{IMAGES}/{mine}")),
        may(allow("ec2:EnableImageDeregistrationProtection", resource="*", **by_tag)),
    ):
        bound.ec2.enable_image_deregistration_protection(ImageId=mine)
        with refusal("UnauthorizedOperation", f"on resource: {IMAGES}/{other}"):
            bound.ec2.enable_image_deregistration_protection(ImageId=other)
    with refusal("UnauthorizedOperation", r"ec2:DescribeImages on resource: \*"):
        bound.ec2.describe_images(ImageIds=[mine])


def test_an_instance_needs_its_ami_what_it_has_and_its_role(machines, may):
    machines.profile(managed.NEEDS)
    ami = machines.ec2.register_image(Name="mine")["ImageId"]
    parts = [f"{BASE}:{kind}/*" for kind in ("instance", "network-interface", "volume", "subnet", "security-group")]
    started = allow("ec2:RunInstances", resource=[f"{IMAGES}/{ami}", *parts])
    profile = {"IamInstanceProfile": {"Name": "machine"}}
    for part in parts:
        others = [f"{IMAGES}/{ami}", *(other for other in parts if other != part)]
        with refusal("UnauthorizedOperation", f"ec2:RunInstances on resource: {part[:-1]}"):
            may(allow("ec2:RunInstances", resource=others)).launch(ami)
    with refusal("UnauthorizedOperation", f"iam:PassRole on resource: arn:aws:iam::{HERE}:role/machine"):
        may(started).launch(ami, **profile)
    passed = allow("iam:PassRole", resource=f"arn:aws:iam::{HERE}:role/machine")
    bound = may(started, passed)
    bound.launch(ami, **profile)
    with refusal("UnauthorizedOperation", f"{IMAGES}/{machines.newest}"):
        bound.launch(machines.newest)
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "shop"}]}]
    with refusal("UnauthorizedOperation", f"ec2:CreateTags on resource: {BASE}:instance/"):
        bound.launch(ami, TagSpecifications=tags)
    only = {"Condition": {"StringEquals": {"aws:RequestTag/team": "shop"}}}
    instance = may(started, allow("ec2:CreateTags", resource="*", **only)).launch(ami, TagSpecifications=tags)
    ending = may(allow("ec2:TerminateInstances", resource=f"{BASE}:instance/{instance}"))
    ending.ec2.terminate_instances(InstanceIds=[instance])
    with refusal("UnauthorizedOperation", "instance/i-00000000000000000"):
        ending.ec2.terminate_instances(InstanceIds=["i-00000000000000000"])


def test_a_command_needs_the_document_and_the_instance(machines, may):
    machines.profile(managed.NEEDS)
    instance = machines.ready(machines.newest)
    document, target = "arn:aws:ssm:eu-west-1::document/AWS-RunShellScript", f"{BASE}:instance/{instance}"
    with refusal("AccessDenied", f"ssm:SendCommand on resource: {document}"):
        may(allow("ssm:SendCommand", resource=target)).send(instance, "true")
    with refusal("AccessDenied", f"ssm:SendCommand on resource: {target}"):
        may(allow("ssm:SendCommand", resource=document)).send(instance, "true")
    assert may(allow("ssm:SendCommand", resource=[document, target])).send(instance, "true")
