"""A look into an AMI: an instance of AWS's own, by a stack's launch template, gets a volume of the AMI's snapshot."""

import io
import json
import os
import tarfile

import pytest
from botocore.exceptions import ClientError
from dpra.rehearsal import provisioning, roots

if os.geteuid():
    pytest.skip("machines' commands run in a chroot, which only root can enter", allow_module_level=True)

HERE, OTHER = "111111111111", "222222222222"
NEWEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
TEMPLATE = """
Parameters:
  Bucket: {Type: String}
Resources:
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties: {GroupName: dpra-demo, GroupDescription: Nothing comes in}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: dpra-demo-look
      AssumeRolePolicyDocument:
        Version: '2012-10-17'
        Statement: [{Effect: Allow, Principal: {Service: ec2.amazonaws.com}, Action: 'sts:AssumeRole'}]
      ManagedPolicyArns: ['arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore']
      Policies:
        - PolicyName: Look
          PolicyDocument:
            Version: '2012-10-17'
            Statement:
              - {Effect: Allow, Action: 's3:PutObject', Resource: !Sub 'arn:aws:s3:::${Bucket}/demo/looked-at/*'}
  Profile:
    Type: AWS::IAM::InstanceProfile
    Properties: {InstanceProfileName: dpra-demo-look, Roles: [!Ref Role]}
  Look:
    Type: AWS::EC2::LaunchTemplate
    Properties:
      LaunchTemplateName: dpra-demo-look
      LaunchTemplateData:
        InstanceType: t3.small
        IamInstanceProfile: {Arn: !GetAtt Profile.Arn}
        SecurityGroupIds: [!GetAtt Group.GroupId]
        InstanceInitiatedShutdownBehavior: terminate
        MetadataOptions: {HttpTokens: required, HttpEndpoint: enabled}
        TagSpecifications: [{ResourceType: instance, Tags: [{Key: team, Value: shop}]}]
  Infrastructure:
    Type: AWS::ImageBuilder::InfrastructureConfiguration
    Properties:
      Name: dpra-demo
      InstanceProfileName: !Ref Profile
      InstanceTypes: [t3.small]
      SecurityGroupIds: [!GetAtt Group.GroupId]
      SubnetId: '%s'
      TerminateInstanceOnFailure: true
      InstanceMetadataOptions: {HttpTokens: required, HttpPutResponseHopLimit: 1}
      ResourceTags: {'dpra:component': demo}
      Tags: {'dpra:component': demo}
Outputs:
  Infrastructure: {Value: !GetAtt Infrastructure.Arn}
  Template: {Value: !Ref Look}
  Version: {Value: !GetAtt Look.LatestVersionNumber}
  Profile: {Value: !GetAtt Profile.Arn}
  Group: {Value: !GetAtt Group.GroupId}
"""
LOOK = r"""set -eu
serial=$(echo "$1" | tr -d -)
device=$(lsblk --json --bytes --output NAME,SERIAL,FSTYPE,SIZE,PATH,TYPE | tr -d '\n' | tr '{' '\n' |
  sed -n "/\"serial\":\"$serial\"/,\$p" | sed -n 's/.*"fstype":"ext4".*"path":"\([^"]*\)".*/\1/p')
mkdir /mnt/looked-at
mount -t ext4 -o ro,nosuid,nodev,noexec,noload "$device" /mnt/looked-at
tar -C /mnt/looked-at -c .
umount /mnt/looked-at
rmdir /mnt/looked-at
"""


def refusal(code, match=""):
    return pytest.raises(ClientError, match=f"(?s)\\({code}\\).*{match}")


class Looking:
    def __init__(self, client):
        self.ec2, self.ssm, self.s3, self.iam = client("ec2"), client("ssm"), client("s3"), client("iam")
        self.api = client("imagebuilder")
        self.s3.create_bucket(Bucket="store", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        subnet = self.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        cloud = client("cloudformation")
        cloud.create_stack(
            StackName="dpra-demo", TemplateBody=TEMPLATE % subnet, Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": "Bucket", "ParameterValue": "store"}],
        )  # fmt: skip
        [stack] = cloud.describe_stacks(StackName="dpra-demo")["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        self.said = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
        self.newest = self.ssm.get_parameter(Name=NEWEST)["Parameter"]["Value"]
        self.cloud = cloud

    def image(self):
        """An AMI of one's own, with its files, and its snapshot."""
        ami = self.ec2.copy_image(SourceImageId=self.newest, SourceRegion="eu-west-1", Name="mine")["ImageId"]
        roots.KEPT[ami] = roots.copy(roots.of_image(ami))
        (roots.KEPT[ami] / "etc/made").write_text("by a component")
        return ami, self.snapshot(ami)

    def snapshot(self, ami):
        [found] = self.ec2.describe_images(ImageIds=[ami])["Images"]
        return found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]

    def start(self, snapshot, **more):
        volume = {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot, "DeleteOnTermination": True}}
        tags = [{"Key": "dpra:component", "Value": "demo"}, {"Key": "dpra:for", "Value": "look"}]
        [made] = self.ec2.run_instances(
            MinCount=1, MaxCount=1, LaunchTemplate={"LaunchTemplateName": "dpra-demo-look"},
            TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
            **{"ImageId": self.newest, "BlockDeviceMappings": [volume], **more},
        )["Instances"]  # fmt: skip
        return made["InstanceId"]

    def described(self, instance):
        [one] = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
        return one

    def volumes(self, instance):
        mappings = self.described(instance)["BlockDeviceMappings"]
        return {one["DeviceName"]: one["Ebs"]["VolumeId"] for one in mappings}

    def ready(self, instance):
        for _ in range(2):
            known = self.ssm.describe_instance_information()["InstanceInformationList"]
        assert instance in [one["InstanceId"] for one in known]

    def run(self, instance, script, *words, **more):
        command = ["sh", "-c", script, "look", *words]
        quoted = " ".join("'" + word.replace("'", "'\"'\"'") + "'" for word in command)
        asked = {"InstanceIds": [instance], "DocumentName": "AWS-RunShellScript", "Parameters": {"commands": [quoted]}}
        sent = self.ssm.send_command(**asked, **more)["Command"]["CommandId"]
        about = {"CommandId": sent, "InstanceId": instance}
        while (told := self.ssm.get_command_invocation(**about))["Status"] == "InProgress":
            pass
        return told, f"{sent}/{instance}/awsrunShellScript/0.awsrunShellScript/stdout"

    def look(self, instance, volume, prefix="demo/looked-at"):
        return self.run(instance, LOOK, volume, OutputS3BucketName="store", OutputS3KeyPrefix=prefix)

    def kept(self):
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket="store").get("Contents", ())]


@pytest.fixture
def client(lasting):
    return lasting


@pytest.fixture
def looking(client):
    return Looking(client)


# ---- What the stack makes


def test_a_stack_makes_what_machines_are_started_by(looking):
    assert looking.said["Profile"] == f"arn:aws:iam::{HERE}:instance-profile/dpra-demo-look"
    [group] = looking.ec2.describe_security_groups(GroupIds=[looking.said["Group"]])["SecurityGroups"]
    assert (group["IpPermissions"], group["GroupName"]) == ([], "dpra-demo")
    found = looking.api.get_infrastructure_configuration(
        infrastructureConfigurationArn=looking.said["Infrastructure"]
    )["infrastructureConfiguration"]  # fmt: skip
    assert found["arn"] == f"arn:aws:imagebuilder:eu-west-1:{HERE}:infrastructure-configuration/dpra-demo"
    assert (found["instanceProfileName"], found["securityGroupIds"]) == ("dpra-demo-look", [looking.said["Group"]])
    assert (found["tags"], found["resourceTags"]) == ({"dpra:component": "demo"}, {"dpra:component": "demo"})
    [template] = looking.ec2.describe_launch_template_versions(
        LaunchTemplateName="dpra-demo-look", Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    assert (template["LaunchTemplateId"], template["VersionNumber"]) == (looking.said["Template"], 1)
    looking.cloud.delete_stack(StackName="dpra-demo")
    for asked in (
        lambda: looking.ec2.describe_launch_templates(LaunchTemplateNames=["dpra-demo-look"]),
        lambda: looking.iam.get_instance_profile(InstanceProfileName="dpra-demo-look"),
        lambda: looking.ec2.describe_security_groups(GroupIds=[looking.said["Group"]]),
    ):
        with pytest.raises(ClientError, match=r"NoSuchEntity|NotFound"):
            asked()
    assert looking.api.list_infrastructure_configurations()["infrastructureConfigurationSummaryList"] == []


def test_a_template_that_makes_an_instance_profile_hands_its_roles_on(looking):
    said = {"InstanceProfileName": "mine", "Path": "/demo/", "Roles": ["dpra-demo-look"]}
    needed = provisioning.needed("AWS::IAM::InstanceProfile", "Profile", said, HERE, "eu-west-1", None)
    iam = f"arn:aws:iam::{HERE}"
    assert [(action, target) for action, target, _ in needed] == [
        ("iam:CreateInstanceProfile", f"{iam}:instance-profile/demo/mine"),
        ("iam:AddRoleToInstanceProfile", f"{iam}:instance-profile/demo/mine"),
        ("iam:PassRole", f"{iam}:role/dpra-demo-look"),
    ]


def test_a_group_is_made_in_a_network_of_ones_own(client):
    ec2, cloud = client("ec2"), client("cloudformation")
    network = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    more = f"GroupDescription: Nothing comes in, VpcId: {network}"
    template = f"Resources: {{Group: {{Type: AWS::EC2::SecurityGroup, Properties: {{{more}}}}}}}"
    cloud.create_stack(StackName="group", TemplateBody=template)
    [said] = cloud.describe_stack_resources(StackName="group")["StackResources"]
    [group] = ec2.describe_security_groups(GroupIds=[said["PhysicalResourceId"]])["SecurityGroups"]
    assert (group["VpcId"], group["IpPermissions"]) == (network, [])


# ---- Instances by a launch template


def test_an_instance_has_what_its_launch_template_says_and_what_is_asked_for(looking):
    _, snapshot = looking.image()
    instance = looking.start(snapshot)
    found = looking.described(instance)
    assert (found["ImageId"], found["InstanceType"]) == (looking.newest, "t3.small")
    assert found["IamInstanceProfile"]["Arn"] == looking.said["Profile"]
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    assert [one["GroupId"] for one in found["SecurityGroups"]] == [looking.said["Group"]]
    tags = {one["Key"]: one["Value"] for one in found["Tags"]}
    assert {key: tags[key] for key in ("team", "dpra:for")} == {"team": "shop", "dpra:for": "look"}
    behaviour = looking.ec2.describe_instance_attribute(
        InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert behaviour["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"


def test_an_instance_has_its_amis_volume_and_others_which_end_with_it(looking):
    _, snapshot = looking.image()
    instance = looking.start(snapshot)
    volumes = looking.volumes(instance)
    assert set(volumes) == {"/dev/sdf", looking.described(instance)["RootDeviceName"]}
    [made] = looking.ec2.describe_volumes(VolumeIds=[volumes["/dev/sdf"]])["Volumes"]
    assert (made["SnapshotId"], made["Size"], made["State"]) == (snapshot, 15, "in-use")
    assert {"Key": "dpra:for", "Value": "look"} in made["Tags"]
    looking.ec2.terminate_instances(InstanceIds=[instance])
    assert looking.ec2.describe_volumes()["Volumes"] == []
    assert looking.described(instance)["State"]["Name"] == "terminated"
    with refusal("InvalidSnapshot.NotFound"):
        looking.start("snap-00000000000000000")
    small = {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot, "VolumeSize": 1}}
    with refusal("InvalidBlockDeviceMapping", "smaller than snapshot"):
        looking.start(snapshot, BlockDeviceMappings=[small])


# ---- The look


def test_the_files_of_an_ami_are_seen_behind_a_device_and_come_by_the_bucket(looking):
    ami, snapshot = looking.image()
    instance = looking.start(snapshot)
    looking.ready(instance)
    told, key = looking.look(instance, looking.volumes(instance)["/dev/sdf"])
    assert (told["Status"], told["StandardErrorContent"]) == ("Success", "")
    assert len(told["StandardOutputContent"]) <= 24000
    assert told["StandardOutputUrl"] == f"https://s3.eu-west-1.amazonaws.com/store/demo/looked-at/{key}"
    assert looking.kept() == [f"demo/looked-at/{key}"]
    content = looking.s3.get_object(Bucket="store", Key=f"demo/looked-at/{key}")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert tar.extractfile("./etc/made").read() == b"by a component"
        assert tar.getmember("./etc/shadow").mode == 0o640
        assert "./.dpra" not in tar.getnames()
    assert not (roots.of_instance(instance, looking.newest) / "etc/made").exists()  # its own root is another AMI's
    assert not (roots.KEPT[ami] / "mnt/looked-at").exists()


def test_what_its_role_may_not_put_into_a_bucket_is_not_there(looking):
    instance = looking.start(looking.image()[1])
    looking.ready(instance)
    told, _ = looking.look(instance, looking.volumes(instance)["/dev/sdf"], "elsewhere")
    assert (told["Status"], looking.kept()) == ("Success", [])
    assert looking.run(instance, "echo none")[0]["StandardOutputUrl"] == ""


def test_lsblk_and_mount_refuse_as_the_real_ones(looking):
    instance = looking.start(looking.image()[1])
    looking.ready(instance)
    volume = looking.volumes(instance)["/dev/sdf"]
    listed = looking.run(instance, "lsblk --json --bytes --output NAME,SERIAL,FSTYPE,SIZE,PATH,TYPE")[0]
    root, disk = json.loads(listed["StandardOutputContent"])["blockdevices"]
    assert root["serial"] != disk["serial"] == volume.replace("-", "")
    assert (disk["name"], disk["path"], disk["fstype"], disk["size"]) == ("nvme1n1", "/dev/nvme1n1", None, 15 << 30)
    kinds = {one["path"]: (one["fstype"], one["type"]) for one in disk["children"]}
    assert kinds["/dev/nvme1n1p1"] == ("ext4", "part")
    for command, code in {
        "lsblk --json --bytes --output COLOUR": 1,
        "mount -o ro /dev/nvme1n1p1 /nowhere": 32,
        "mount -o ro /dev/nvme9n1p1 /mnt": 32,
        "mount -o ro,nouuid /dev/nvme1n1p1 /mnt": 32,
        "mount -t xfs -o ro /dev/nvme1n1p1 /mnt": 32,
        "mount -o ro /dev/nvme1n1 /mnt": 32,
        "umount /mnt": 32,
    }.items():
        told = looking.run(instance, command)[0]
        assert (told["ResponseCode"], bool(told["StandardErrorContent"])) == (code, True), command
    again = "mount -o ro /dev/nvme1n1p1 /mnt && cat /mnt/etc/made && umount /mnt && ls /mnt"
    assert looking.run(instance, again)[0]["StandardOutputContent"] == "by a component"


def test_a_lost_instance_takes_no_command(looking):
    instance = looking.start(looking.image()[1])
    looking.ready(instance)
    looking.ec2.terminate_instances(InstanceIds=[instance])
    with refusal("InvalidInstanceId"):
        looking.run(instance, "true")


# ---- Snapshots that are lent


@pytest.mark.parametrize("words", ["permissions", "operation"])
def test_a_snapshot_is_used_by_whom_it_is_lent_to(looking, client, words):
    ami, snapshot = looking.image()
    theirs = client("ec2", account=OTHER)
    looking.ec2.modify_image_attribute(ImageId=ami, LaunchPermission={"Add": [{"UserId": OTHER}]})
    asked = {"MinCount": 1, "MaxCount": 1}
    volume = [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot}}]
    theirs.run_instances(ImageId=ami, **asked)  # its AMI's own volume needs no more
    with refusal("InvalidSnapshot.NotFound"):
        theirs.run_instances(ImageId=ami, BlockDeviceMappings=volume, **asked)
    with refusal("InvalidRequest", "permission to access the storage of this ami"):
        theirs.copy_image(SourceImageId=ami, SourceRegion="eu-west-1", Name="copy")
    if words == "permissions":
        more = {"CreateVolumePermission": {"Add": [{"UserId": OTHER}]}}
    else:
        more = {"OperationType": "add", "UserIds": [OTHER]}
    looking.ec2.modify_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission", **more)
    found = looking.ec2.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    assert found["CreateVolumePermissions"] == [{"UserId": OTHER}]
    theirs.run_instances(ImageId=ami, BlockDeviceMappings=volume, **asked)
    theirs.copy_image(SourceImageId=ami, SourceRegion="eu-west-1", Name="copy")
    with refusal("InvalidSnapshot.NotFound"):
        theirs.modify_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission", **more)
    [seen] = theirs.describe_images(ImageIds=[ami])["Images"]
    assert seen["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == snapshot


# ---- Rights


@pytest.fixture
def may(looking, cloud, client):
    """Look as a job with a role that has these statements."""

    def may(*statements):
        name = f"role-{len(cloud.keys)}"
        made = looking.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        looking.iam.put_role_policy(RoleName=name, PolicyName="x", PolicyDocument=document)
        other = Looking.__new__(Looking)
        other.__dict__ |= {**looking.__dict__, **{name: client(name) for name in ("ec2", "ssm", "logs")}}
        for api in (other.ec2, other.ssm, other.logs):
            cloud.roles[api._request_signer._credentials.access_key] = made
        return other

    return may


def allow(action, resource, **condition):
    more = {"Condition": {"StringEquals": condition}} if condition else {}
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def test_a_snapshot_may_be_lent_to_one_account_only_and_of_an_image_no_condition_says_so(looking, may):
    ami, snapshot = looking.image()
    bound = may(
        allow("ec2:ModifySnapshotAttribute", "arn:aws:ec2:*::snapshot/*", **{"ec2:Add/userId": OTHER}),
        allow("ec2:ModifyImageAttribute", "arn:aws:ec2:*::image/*", **{"ec2:Add/userId": OTHER}),
    )
    asked = {"SnapshotId": snapshot, "Attribute": "createVolumePermission"}

    def lend(*accounts):
        return {"CreateVolumePermission": {"Add": [{"UserId": one} for one in accounts]}}

    bound.ec2.modify_snapshot_attribute(**asked, **lend(OTHER))
    bound.ec2.modify_snapshot_attribute(**asked, OperationType="add", UserIds=[OTHER])
    for more in (
        lend("999999999999"),
        {"OperationType": "add", "UserIds": ["999999999999"]},
        {"OperationType": "remove", "UserIds": [OTHER]},
        {"OperationType": "add", "GroupNames": ["all"]},
    ):
        with refusal("UnauthorizedOperation", snapshot):
            bound.ec2.modify_snapshot_attribute(**asked, **more)
    with refusal("UnauthorizedOperation", ami):
        bound.ec2.modify_image_attribute(ImageId=ami, LaunchPermission={"Add": [{"UserId": OTHER}]})


def test_parameters_of_aws_are_of_no_account_and_logs_are_named(looking, may):
    of_aws, group = "arn:aws:ssm:*::parameter/aws/service/*", f"arn:aws:logs:*:{HERE}:log-group:/aws/imagebuilder/a:*"
    bound = may(allow("ssm:GetParameter", of_aws), allow("logs:GetLogEvents", group))
    assert bound.ssm.get_parameter(Name=NEWEST)["Parameter"]["Value"] == looking.newest
    with refusal("AccessDenied", f"arn:aws:ssm:eu-west-1:{HERE}:parameter/own"):
        bound.ssm.get_parameter(Name="/own")
    with refusal("ResourceNotFoundException"):  # it was let
        bound.logs.get_log_events(logGroupName="/aws/imagebuilder/a", logStreamName="1/1")
    with refusal("AccessDenied", "log-group:/aws/imagebuilder/b:log-stream:1/1"):
        bound.logs.get_log_events(logGroupName="/aws/imagebuilder/b", logStreamName="1/1")


def test_an_instance_by_a_launch_template_needs_it_its_role_and_the_snapshot(looking, may):
    _, snapshot = looking.image()
    base = f"arn:aws:ec2:eu-west-1:{HERE}"
    role = f"arn:aws:iam::{HERE}:role/dpra-demo-look"
    template = f"{base}:launch-template/{looking.said['Template']}"
    started = [f"{base}:{kind}/*" for kind in ("instance", "network-interface", "volume", "subnet")]
    parts = {
        "template": [template],
        "group": [f"{base}:security-group/{looking.said['Group']}"],
        "snapshot": [f"arn:aws:ec2:eu-west-1::snapshot/{snapshot}"],
    }
    amazon = {"Condition": {"StringEquals": {"ec2:Owner": "amazon"}}}
    by = {"Condition": {"ArnEquals": {"ec2:LaunchTemplate": template}}}

    def started_by(passes=True, **parts):
        run = [*started, *(arn for some in parts.values() for arn in some)]
        statements = [
            {"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": run, **by},
            {"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": "arn:aws:ec2:eu-west-1::image/*", **amazon},
            {"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "*"},
        ]
        if passes:
            statements.append({"Effect": "Allow", "Action": "iam:PassRole", "Resource": role})
        return may(*statements)

    assert started_by(**parts).start(snapshot).startswith("i-")
    for part, resources in parts.items():
        with refusal("UnauthorizedOperation", f"ec2:RunInstances on resource: {resources[0]}"):
            started_by(**{name: arns for name, arns in parts.items() if name != part}).start(snapshot)
    with refusal("UnauthorizedOperation", f"iam:PassRole on resource: {role}"):
        started_by(passes=False, **parts).start(snapshot)
    mine = looking.ec2.register_image(Name="other")["ImageId"]
    with refusal("UnauthorizedOperation", f"ec2:RunInstances on resource: arn:aws:ec2:eu-west-1::image/{mine}"):
        started_by(**parts).start(snapshot, ImageId=mine)
