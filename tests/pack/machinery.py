"""An account in which a machine's image is made, on the rehearsal's AWS, and a job in it with the rights of a duty."""

import json
import os
from pathlib import Path
from typing import Any

import boto3
import rights
from dpra.rehearsal.aws import Cloud

HERE, PRODUCTION, REGION = "111111111111", "222222222222", "eu-west-1"
PARENT = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
BUILDER = f"arn:aws:imagebuilder:{REGION}:{HERE}"
DOCUMENT = """
schemaVersion: 1.0
phases:
  - name: build
    steps:
      - name: Install
        action: ExecuteBash
        inputs:
          commands:
            - mkdir -p /opt/shop
            - echo shop > /opt/shop/name
            - chmod 0777 /opt/shop/name
            - head -c 70000 /dev/zero > /opt/shop/data
  - name: validate
    steps:
      - {name: Look, action: ExecuteBash, inputs: {commands: ['test -s /opt/shop/name']}}
"""


def allow(*actions: str, resource: Any = "*", **condition: dict[str, str]) -> dict[str, Any]:
    said = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return said | ({"Condition": condition} if condition else {})


# The roles of the duties, as the templates of the infrastructure say them.
SPEC = f"""name: base
pipeline: compute-image
repository: acme/base
regions: [{REGION}]
environments: {{test: {{account: "{HERE}"}}, prod: {{account: "{PRODUCTION}"}}}}
image: {{kind: machine, parent: {PARENT}}}
"""
ROLES = {"bake": "TestBuildRole", "inspect": "TestBuildRole", "try": "TestImagesRole", "sweep": "TestSweepRole"}
ROLES |= {"packer": "TestBakeRole", "look": "TestBuildRole"}  # where Packer makes it
MACHINE, BUCKET = "dpra-base-machine", f"dpra-base-{HERE}-{REGION}"


def may(duty: str) -> list[dict[str, Any]]:
    """What the role of a duty may do; each statement with a list of actions. To inspect is to bake with Inspector."""
    more = {"inspect": " inspector: true,", "packer": " with: packer,", "look": " with: packer,"}.get(duty, "")
    spec = SPEC.replace("machine,", f"machine,{more}")
    found: list[dict[str, Any]] = rights.of(spec, "test", ROLES[duty])
    return [{**one, "Action": one["Action"] if isinstance(one["Action"], list) else [one["Action"]]} for one in found]


class World:
    """An account in which the component base is built, and a job in it."""

    def __init__(self, cloud: Cloud, job: Any) -> None:
        self.cloud, self.job = cloud, job
        agent = allow("ssm:UpdateInstanceInformation")
        puts = allow("s3:PutObject", resource=f"arn:aws:s3:::{BUCKET}/base/looked-at/*")
        iam = self.client("iam")
        for name, more in {"build": [], "look": [puts], "test": []}.items():
            role = f"{MACHINE}-{name}"
            iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
            self.policy(role, [agent, *more])
            iam.create_instance_profile(InstanceProfileName=role)
            iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
            data = {"IamInstanceProfile": {"Name": role}, "InstanceType": "t3.small"}
            if more or name == "test":
                self.client("ec2").create_launch_template(LaunchTemplateName=role, LaunchTemplateData=data)
        self.client("imagebuilder").create_infrastructure_configuration(
            name="dpra-base", instanceProfileName=f"{MACHINE}-build", instanceTypes=["t3.small"]
        )
        where = {"LocationConstraint": REGION}
        self.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        job.env |= {"AWS_ENDPOINT_URL": cloud.url, "GITHUB_RUN_NUMBER": "42", "AWS_MAX_ATTEMPTS": "1"}
        job.env |= {"GITHUB_WORKSPACE": str(job.workspace), "AWS_CONFIG_FILE": os.devnull}
        job.write("components/shop.yml", DOCUMENT)

    def client(self, service: str, account: str = HERE) -> Any:
        session = self.cloud.give(f"arn:aws:iam::{account}:role/administrator", "test", 12 * 3600)
        keys = {"aws_access_key_id": session.access_key_id, "aws_secret_access_key": session.secret_access_key}
        keys |= {"aws_session_token": session.session_token, "endpoint_url": self.cloud.url}
        return boto3.client(service, region_name=REGION, **keys)

    def policy(self, role: str, statements: list[dict[str, Any]]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.client("iam").put_role_policy(RoleName=role, PolicyName="x", PolicyDocument=document)

    def may(self, duty: str, *, but: str = "") -> None:
        """The job is one of a duty, with its rights but for an action."""
        role, statements = f"dpra-base-{duty}-{os.urandom(4).hex()}", may(duty)
        for one in statements:
            one["Action"] = [action for action in one["Action"] if action != but]
        self.client("iam").create_role(RoleName=role, AssumeRolePolicyDocument="{}")
        self.policy(role, [one for one in statements if one["Action"]])
        arn = f"arn:aws:iam::{HERE}:role/{role}"
        session = self.cloud.give(arn, "test", 12 * 3600)
        self.cloud.roles[session.access_key_id] = arn
        self.job.env["AWS_ACCESS_KEY_ID"] = session.access_key_id
        self.job.env |= {"AWS_SECRET_ACCESS_KEY": session.secret_access_key, "AWS_SESSION_TOKEN": session.session_token}

    def use(self, do: str, **inputs: str) -> Any:
        given = {"template": f"{MACHINE}-{'look' if do == 'bake' else 'test'}"} | inputs
        if do == "bake":
            given = {"parent": PARENT, "infrastructure": "dpra-base", "bucket": BUCKET} | given
        return self.job.use("machine", do=do, component="base", account=HERE, region=REGION, **given)

    def bake(self, **inputs: str) -> Path:
        self.may("bake")
        done = self.use("bake", **inputs)
        assert done.code == 0, done.out
        assert self.cloud.refusals == []
        return Path(done.outputs["path"])

    @property
    def instances(self) -> dict[str, str]:
        """The instances that are there: id -> what for."""
        alive = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        found = self.client("ec2").describe_instances(Filters=alive)["Reservations"]
        tags = {
            one["InstanceId"]: {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
            for reservation in found
            for one in reservation["Instances"]
        }
        return {instance: said.get("dpra:for", "") for instance, said in tags.items()}
