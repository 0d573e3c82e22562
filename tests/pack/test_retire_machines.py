"""The end of a machine image's life, where it is published and where it was built; what uses an AMI protects it.

The real action and the real AWS CLI, against the rehearsal's EC2 and Image Builder, with a role that may do no more."""

import datetime
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest
import rights
from dpra.rehearsal import permissions
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer

pytestmark = pytest.mark.slow  # an account for each test

ACCOUNT, OTHER = "333333333333", "444444444444"
REGION, FAR = "eu-west-1", "us-east-1"
DAY = 86400
HERE = {"LocationConstraint": REGION}
SPEC = f"""name: shop
pipeline: compute-image
repository: acme/shop
regions: [{REGION}, {FAR}]
environments: {{test: {{account: "%s"}}, prod: {{account: "%s"}}}}
image: {{kind: machine, parent: /aws/service/debian%s}}
"""
PUBLISHED = (SPEC % (OTHER, ACCOUNT, ""), "prod", "ProdRetireRole")
BUILT = (SPEC % (ACCOUNT, OTHER, ""), "test", "TestRetireRole")
PACKED = (SPEC % (ACCOUNT, OTHER, ", with: packer"), "test", "TestRetireRole")
OURS = {"dpra:component": "shop"}
BUCKET = f"dpra-shop-{ACCOUNT}-{REGION}"


class World:
    """The AMIs of the component shop, in an account in which nothing is used."""

    def __init__(self, job: Any, cloud: Cloud, region: str = REGION, account: str = ACCOUNT) -> None:
        self.job, self.cloud, self.region, self.account = job, cloud, region, account

    def __call__(self, service: str) -> Any:
        session = self.cloud.give(f"arn:aws:iam::{self.account}:role/admin", "test", 12 * 3600)
        given = {"aws_access_key_id": session.access_key_id, "aws_secret_access_key": session.secret_access_key}
        given |= {"aws_session_token": session.session_token, "endpoint_url": self.cloud.url}
        return boto3.client(service, region_name=self.region, **given)

    @property
    def ec2(self) -> Any:
        from moto.ec2.models import ec2_backends

        return ec2_backends[self.account][self.region]

    def ami(self, name: str, days: float, **tags: str) -> str:
        """An AMI as it is after so many days."""
        ec2 = self("ec2")
        public = next(one.id for one in self.ec2.amis.values() if one.owner_id != self.account)
        instance = ec2.run_instances(ImageId=public, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        made = str(ec2.create_image(InstanceId=instance, Name=name)["ImageId"])
        ec2.terminate_instances(InstanceIds=[instance])
        if tags:
            ec2.create_tags(Resources=[made], Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
        self.aged(made, days)
        return made

    def aged(self, ami: str, days: float) -> None:
        then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days)
        self.ec2.amis[ami].creation_date = then.replace(tzinfo=None)

    def publish(self, version: str, days: float, ami: str = "", released: str = "") -> str:
        """A version as its deployment left it; its AMI."""
        from moto.ssm.models import ssm_backends

        ami = ami or self.ami(version, days, **{"dpra:component": "shop", "dpra:version": version})
        tags = [{"Key": "dpra:released", "Value": released or f"digest-{version}/commit-{version}"}]
        self.put(f"/images/shop/{version}", ami, Tags=tags)
        found = ssm_backends[self.account][self.region].get_parameter(f"/images/shop/{version}")
        found.last_modified_date = time.time() - days * DAY
        return ami

    def put(self, name: str, value: str, kind: str = "aws:ec2:image", **more: Any) -> None:
        self("ssm").put_parameter(Name=name, Type="String", DataType=kind, Value=value, **more)

    def mark(self, version: str, days: float) -> None:
        since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * DAY))
        tags = [{"Key": "dpra:deprecated", "Value": since}]
        about = {"ResourceType": "Parameter", "ResourceId": f"/images/shop/{version}"}
        self("ssm").add_tags_to_resource(**about, Tags=tags)

    def tags(self, version: str) -> dict[str, str]:
        asked = {"ResourceType": "Parameter", "ResourceId": f"/images/shop/{version}"}
        return {tag["Key"]: tag["Value"] for tag in self("ssm").list_tags_for_resource(**asked)["TagList"]}

    def record(self, **known: Any) -> None:
        kept = {"schema": 1, "lock": None, "waiting": None, "current": None, "history": [], "regions": {}} | known
        self("s3").put_object(Bucket=BUCKET, Key="shop/record.json", Body=json.dumps(kept))

    @property
    def versions(self) -> set[str]:
        found = self("ssm").get_paginator("get_parameters_by_path").paginate(Path="/images/shop")
        return {one["Name"].rpartition("/")[2] for page in found for one in page["Parameters"]} - {"latest"}

    @property
    def amis(self) -> set[str]:
        return {one.id for one in self.ec2.amis.values() if one.owner_id == self.account}

    def snapshot(self, ami: str) -> str:
        return str(self.ec2.amis[ami].ebs_snapshot.id)

    def retire(self, kind: str = "machine", **inputs: str) -> Any:
        given = {"kind": kind, "component": "shop", "account": ACCOUNT, "regions": REGION, "record_region": REGION}
        if kind == "machine":
            given |= {"parameters": "/images/shop", "record": f"s3://{BUCKET}/shop/record.json"}
        return self.job.use("retire-images", **{**given, "keep": "1", "dry_run": "false", **inputs})

    def said(self, version: str, region: str = REGION) -> str:
        content = json.loads((self.job.evidence / "retired-images.json").read_text())
        found = {(one["region"], one["version"]): f"{one['state']}, {one['why']}" for one in content["versions"]}
        return found[region, version]


@pytest.fixture
def cloud(job: Any) -> Iterator[Cloud]:
    with Cloud(Issuer("acme/shop", "main", "a" * 40)) as cloud:
        job.env |= {"AWS_ENDPOINT_URL": cloud.url}
        yield cloud


def as_role(world: World, statements: list[dict[str, Any]]) -> None:
    """The job's role has these rights and no more."""
    iam = world("iam")
    role = iam.create_role(RoleName="retire", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName="retire", PolicyName="retire", PolicyDocument=document)
    session = world.cloud.give(role, "test", 12 * 3600)
    world.cloud.roles[session.access_key_id] = role
    world.job.env |= {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }


@pytest.fixture
def world(job: Any, cloud: Cloud) -> World:
    """One version that is deprecated since long ago and unused, `old`, and one that is new."""
    made = World(job, cloud)
    made("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=HERE)
    made.record(current={"digest": "digest-new", "commit": "c", "run": "1"})
    made.publish("old", 200)
    made.mark("old", 40)
    made.put("/images/shop/latest", made.publish("new", 1))
    as_role(made, rights.of(*PUBLISHED))
    return made


def old(world: World) -> str:
    value: str = world("ssm").get_parameter(Name="/images/shop/old")["Parameter"]["Value"]
    return value


# ---- What is published


def test_an_old_version_that_nothing_uses_is_deprecated_and_deleted_when_its_time_has_come(world: World) -> None:
    gone = old(world)
    snapshot, older = world.snapshot(gone), world.publish("older", 300)
    done = world.retire()
    assert (done.code, done.errors) == (0, []), done.out
    assert world.versions == {"older", "new"}
    assert gone not in world.amis
    assert snapshot not in world.ec2.snapshots
    assert world.snapshot(older) in world.ec2.snapshots
    assert world.tags("older")["dpra:deprecated"] == time.strftime("%Y-%m-%d", time.gmtime())
    [ami] = world("ec2").describe_images(ImageIds=[older])["Images"]
    moment = datetime.datetime.fromisoformat(ami["DeprecationTime"])
    assert 23 < (moment - datetime.datetime.now(datetime.UTC)).total_seconds() / 3600 < 25
    assert done.record["findings"] == {"kept": 1, "deprecated": 1, "deleted": 1}
    assert (done.record["tool"], done.record["where"]) == ("ami", "/images/shop")
    assert world.said("new") == "kept, it is one of the newest 1"
    world.mark("older", 30)
    assert world.retire().code == 0
    assert world.versions == {"new"}
    assert len(world.amis) == 1


def test_a_dry_run_changes_nothing(world: World) -> None:
    older = world.publish("older", 300)
    done = world.retire(dry_run="true")
    assert (done.code, world.versions, len(world.amis)) == (0, {"older", "old", "new"}, 3)
    assert (world.said("old").split(",")[0], world.said("older").split(",")[0]) == ("to be deleted", "to be deprecated")
    assert "DeprecationTime" not in world("ec2").describe_images(ImageIds=[older])["Images"][0]


def test_what_a_run_that_died_left_is_finished(world: World) -> None:
    world("ec2").deregister_image(ImageId=old(world))
    assert world.retire().code == 0
    assert world.versions == {"new"}


def test_what_is_needed_again_is_deprecated_no_more(world: World) -> None:
    used = old(world)
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
    world("ec2").enable_image_deprecation(ImageId=used, DeprecateAt=soon)
    world.record(history=[{"digest": "digest-old", "commit": "c", "run": "1"}])
    assert world.retire().code == 0
    assert world.said("old").endswith("it is in the record's history; deprecated no more")
    assert "dpra:deprecated" not in world.tags("old")
    assert "DeprecationTime" not in world("ec2").describe_images(ImageIds=[used])["Images"][0]


def test_the_latest_and_the_newest_stay(world: World) -> None:
    world.put("/images/shop/latest", old(world), Overwrite=True)
    assert world.retire().code == 0
    assert world.said("old") == "kept, it is the latest; deprecated no more"
    assert world.retire(keep="2", days="0", deprecate_days="0").code == 0
    assert world.versions == {"old", "new"}


def test_what_was_launched_lately_stays_though_nothing_runs_of_it(world: World) -> None:
    used = old(world)
    for days in (80, 91):
        then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * DAY))
        world.ec2.amis[used].last_launched_time = then
        world.mark("old", 40)
        assert world.retire().code == 0
        if days == 80:
            assert world.said("old").startswith("kept, it was launched on 20")
    assert world.versions == {"new"}


def test_what_somebody_protects_stays(world: World) -> None:
    world("ec2").enable_image_deregistration_protection(ImageId=old(world))
    done = world.retire()
    assert (done.code, world.versions) == (0, {"old", "new"})
    assert "is protected against deregistration (enabled-without-cooldown)" in world.said("old")


def test_what_is_not_the_components_stays(world: World) -> None:
    theirs = World(world.job, world.cloud, account=OTHER).ami("theirs", 300)
    World(world.job, world.cloud, account=OTHER)("ec2").modify_image_attribute(
        ImageId=theirs, LaunchPermission={"Add": [{"UserId": ACCOUNT}]}
    )
    plain = world.ami("plain", 300)
    bank = world.ami("bank", 300, **{"dpra:component": "bank", "dpra:version": "bank"})
    another = world.ami("another", 300, **{"dpra:component": "shop", "dpra:version": "another"})
    says = {
        "theirs": (theirs, f"names {theirs}, of {OTHER}"),
        "plain": (plain, f"names {plain}, which is not tagged as this version"),
        "bank": (bank, f"names {bank}, which is not tagged as this version"),
        "moved": (another, f"names {another}, which is not tagged as this version"),
    }
    for name, (ami, _) in says.items():
        world.publish(name, 300, ami)
        world.mark(name, 40)
    world.put("/images/shop/words", "words", "text")
    world.publish("unknown", 300, released="x")
    before = world.amis - {old(world)}
    assert world.retire().code == 0
    assert (world.versions, world.amis) == ({"new", "words", "unknown", *says}, before)
    for name, (_, why) in says.items():
        assert why in world.said(name)
    assert world.said("words").startswith("kept, its parameter is words, no AMI")
    assert world.said("unknown").startswith("kept, which release brought it, its parameter does not say")


def test_what_is_retired_is_offered_by_service_catalog_no_more(world: World) -> None:
    api = world("servicecatalog")
    world("s3").put_object(Bucket=BUCKET, Key="a.yml", Body='{"Resources": {"A": {"Type": "AWS::SNS::Topic"}}}')
    made = api.create_product(Name="shop", Owner="us", ProductType="CLOUD_FORMATION_TEMPLATE")
    product = str(made["ProductViewDetail"]["ProductViewSummary"]["ProductId"])
    world.publish("older", 300)
    for version in ("older", "old", "new"):
        info = {"LoadTemplateFromURL": f"https://{BUCKET}.s3.{REGION}.amazonaws.com/a.yml"}
        api.create_provisioning_artifact(ProductId=product, Parameters={"Name": version, "Info": info})
    offering = SPEC % (OTHER, ACCOUNT, f", products: {{{REGION}: {product}}}")
    document = json.dumps({"Version": "2012-10-17", "Statement": rights.of(offering, "prod", "ProdRetireRole")})
    world("iam").put_role_policy(RoleName="retire", PolicyName="retire", PolicyDocument=document)
    done = world.retire(products=json.dumps({REGION: product}))
    assert (done.code, world.cloud.refusals) == (0, []), done.out
    assert done.record["findings"] == {"kept": 1, "deprecated": 1, "deleted": 1}
    assert [one["Name"] for one in api.describe_product(Id=product)["ProvisioningArtifacts"]] == ["new"]


# ---- What uses an AMI protects it


def template(world: World, image: str, name: str = "web") -> str:
    data = {"ImageId": image}
    made = world("ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def earlier_template(world: World, image: str) -> None:
    made = template(world, image)
    world("ec2").create_launch_template_version(LaunchTemplateId=made, LaunchTemplateData={"ImageId": "ami-00000000"})


def template_by_parameter(world: World, image: str) -> None:
    template(world, "resolve:ssm:/images/shop/old")


def template_by_another_parameter(world: World, image: str) -> None:
    world.put("/app/words", image, "text")
    template(world, "resolve:ssm:/app/words")


def configuration(world: World, image: str) -> None:
    about = {"LaunchConfigurationName": "web", "ImageId": image, "InstanceType": "t3.micro"}
    world("autoscaling").create_launch_configuration(**about)


def group(world: World, image: str) -> None:
    specification = {"LaunchTemplateId": template(world, "ami-00000000"), "Version": "1"}
    overrides = [{"InstanceType": "t3.micro", "ImageId": image}]
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": specification, "Overrides": overrides}}
    about = {"AutoScalingGroupName": "web", "MinSize": 0, "MaxSize": 0, "AvailabilityZones": [f"{REGION}a"]}
    world("autoscaling").create_auto_scaling_group(**about, MixedInstancesPolicy=policy)


def instance(world: World, image: str) -> None:
    world("ec2").run_instances(ImageId=image, MinCount=1, MaxCount=1)


def stopped(world: World, image: str) -> None:
    instance(world, image)
    ids = [one.id for one in world.ec2.all_instances() if one.image_id == image]
    world("ec2").stop_instances(InstanceIds=ids)


def made_from_it(world: World, image: str) -> None:
    world("ec2").copy_image(SourceImageId=image, SourceRegion=REGION, Name="copy")


def parameter(world: World, image: str) -> None:
    world.put("/app/image", image)


KINDS: dict[Callable[[World, str], Any], str] = {
    template: "launch template, version 1 lt-",
    earlier_template: "launch template, version 1 lt-",
    template_by_parameter: "launch template, version 1 lt-",
    template_by_another_parameter: "launch template, version 1 lt-",
    configuration: f"launch configuration arn:aws:autoscaling:{REGION}:{ACCOUNT}:launchConfiguration:",
    group: f"Auto Scaling group arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:",
    instance: "instance, running i-",
    stopped: "instance, stopped i-",
    made_from_it: "AMI made from it ami-",
    parameter: f"parameter arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/app/image",
}


@pytest.mark.parametrize("use", KINDS, ids=lambda use: use.__name__)
def test_an_image_in_use_is_never_deleted(world: World, use: Callable[[World, str], Any]) -> None:
    use(world, used := old(world))
    done = world.retire()
    assert (done.code, world.versions) == (0, {"old", "new"}), done.out
    assert used in world.amis
    assert world.said("old").startswith(f"kept, in use by {KINDS[use]}")


def test_what_may_not_be_read_is_not_known_and_nothing_is_changed(world: World) -> None:
    world.publish("older", 300)
    denied = {"Effect": "Deny", "Action": "autoscaling:DescribeLaunchConfigurations", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [*rights.of(*PUBLISHED), denied]})
    world("iam").put_role_policy(RoleName="retire", PolicyName="retire", PolicyDocument=document)
    done = world.retire()
    assert (done.code, done.record["result"], world.versions) == (1, "error", {"older", "old", "new"})
    assert "not known, of launch configurations: nothing is deprecated or deleted" in done.errors[0]
    assert "dpra:deprecated" not in world.tags("older")


def template_now(world: World, image: str) -> None:
    world.ec2.create_launch_template("web", "", {"ImageId": image}, {})


def latest_now(world: World, image: str) -> None:
    from moto.ssm.models import ssm_backends

    ssm, about = ssm_backends[ACCOUNT][REGION], ("String", "", "", True, [], "aws:ec2:image", "Standard", "")
    ssm.put_parameter("/images/shop/latest", "", image, *about)


def protected_now(world: World, image: str) -> None:
    world.ec2.amis[image].deregistration_protection = "enabled-without-cooldown"


@pytest.mark.parametrize(
    ("happens", "says"),
    [
        (template_now, "in use by launch template"),
        (latest_now, "it is the latest"),
        (protected_now, "is protected against deregistration"),
    ],
)
def test_what_happens_between_look_and_deletion_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch, happens: Callable[[World, str], Any], says: str
) -> None:
    from moto.s3.responses import S3Response

    real, reads, used = S3Response.get_object, list[str](), old(world)

    def read(self: Any, *arguments: Any) -> Any:
        reads.append("")
        if len(reads) == 2:
            happens(world, used)
        return real(self, *arguments)

    monkeypatch.setattr(S3Response, "get_object", read)
    done = world.retire()
    assert (done.code, used in world.amis, len(reads)) == (0, True, 2), done.out
    assert says in world.said("old")


def test_each_region_has_its_own_amis(world: World) -> None:
    far = World(world.job, world.cloud, FAR)
    gone = far.publish("old", 200)
    far.mark("old", 40)
    far.put("/images/shop/latest", far.publish("new", 1))
    instance(world, old(world))
    assert world.retire(regions=f"{REGION} {FAR}").code == 0
    assert (world.versions, far.versions, gone in far.amis) == ({"old", "new"}, {"new"}, False)


# ---- What was built


class Built(World):
    """What Image Builder built of shop."""

    def prepare(self) -> None:
        iam = self("iam")
        iam.create_role(RoleName="machine", AssumeRolePolicyDocument="{}")
        agent = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:Update*", "Resource": "*"}]}
        )
        iam.put_role_policy(RoleName="machine", PolicyName="agent", PolicyDocument=agent)
        iam.create_instance_profile(InstanceProfileName="machine")
        iam.add_role_to_instance_profile(InstanceProfileName="machine", RoleName="machine")
        made = self("imagebuilder").create_infrastructure_configuration(name="dpra-shop", instanceProfileName="machine")
        self.infrastructure = made["infrastructureConfigurationArn"]

    def build(self, number: str, days: float, command: str = "true", **labels: str) -> str:
        """A version as bake makes it; the ARN of its image."""
        tags = {**OURS, "dpra:version": f"v{number}", **labels}
        api = self("imagebuilder")
        steps = [{"name": "Run", "action": "ExecuteBash", "inputs": {"commands": [command]}}]
        said = {"name": "dpra-shop-hello", "semanticVersion": number, "platform": "Linux"}
        data = json.dumps({"schemaVersion": 1.0, "phases": [{"name": "build", "steps": steps}]})
        part = api.create_component(**said, data=data, tags=tags)["componentBuildVersionArn"]
        update = f"arn:aws:imagebuilder:{REGION}:aws:component/update-linux/x.x.x"
        recipe = api.create_image_recipe(
            name="dpra-shop",
            semanticVersion=number,
            parentImage="ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
            components=[{"componentArn": update}, {"componentArn": part}],
            amiTags=tags,
            tags=tags,
        )["imageRecipeArn"]
        return self.again(recipe, days, tags)

    def again(self, recipe: str, days: float, tags: Mapping[str, str] = OURS) -> str:
        from dpra.rehearsal.mends.imagebuilder.store import STORES

        api = self("imagebuilder")
        where = {"imageRecipeArn": recipe, "infrastructureConfigurationArn": self.infrastructure}
        made: str = api.create_image(**where, tags=tags)["imageBuildVersionArn"]
        while api.get_image(imageBuildVersionArn=made)["image"]["state"]["status"] not in ("AVAILABLE", "FAILED"):
            pass
        then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * DAY))
        STORES[ACCOUNT][REGION].images[made].said["dateCreated"] = then
        if ami := self.ami_of(made):
            self.aged(ami, days)
        return made

    def ami_of(self, image: str) -> str:
        found = self("imagebuilder").get_image(imageBuildVersionArn=image)["image"].get("outputResources", {})
        return next((str(one["image"]) for one in found.get("amis", [])), "")

    def deprecated(self, image: str, days: float) -> None:
        since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * DAY))
        self("imagebuilder").tag_resource(resourceArn=image, tags={"dpra:deprecated": since})

    @property
    def there(self) -> dict[str, set[str]]:
        """What Image Builder has, by its kind."""
        from dpra.rehearsal.mends.imagebuilder.store import STORES

        store = STORES[ACCOUNT][REGION]
        kinds = {"images": store.images, "recipes": store.recipes, "components": store.components}
        return {kind: {"/".join(arn.split("/")[1:]) for arn in found} for kind, found in kinds.items()}


@pytest.fixture
def built(job: Any, cloud: Cloud) -> Built:
    if os.geteuid():
        pytest.skip("machines are built in a chroot, which only root can enter")
    made = Built(job, cloud)
    made.prepare()
    as_role(made, rights.of(*BUILT))
    return made


def test_what_was_built_goes_with_its_image_recipe_and_components(built: Built) -> None:
    gone, older, _ = built.build("1.0.0", 200), built.build("2.0.0", 150), built.build("3.0.0", 1)
    built.deprecated(gone, 40)
    ami = built.ami_of(gone)
    snapshot = built.snapshot(ami)
    done = built.retire("built-machine")
    assert (done.code, done.errors) == (0, []), done.out
    assert (ami in built.amis, snapshot in built.ec2.snapshots) == (False, False)
    assert built.there == {
        "images": {"dpra-shop/2.0.0/1", "dpra-shop/3.0.0/1"},
        "recipes": {"dpra-shop/2.0.0", "dpra-shop/3.0.0"},
        "components": {"dpra-shop-hello/2.0.0/1", "dpra-shop-hello/3.0.0/1"},
    }
    assert done.record["findings"] == {"kept": 1, "deprecated": 1, "deleted": 1}
    assert (done.record["tool"], done.record["where"]) == ("imagebuilder", "shop")
    assert "dpra:deprecated" in built("imagebuilder").list_tags_for_resource(resourceArn=older)["tags"]
    assert "DeprecationTime" in built("ec2").describe_images(ImageIds=[built.ami_of(older)])["Images"][0]
    assert built.said("v3.0.0") == "kept, it is one of the newest 1"


def test_a_built_ami_in_use_stays_also_for_a_parameter_of_the_component(built: Built) -> None:
    """As it is where production is in the same account and region."""
    arn, _ = built.build("1.0.0", 200), built.build("3.0.0", 1)
    ami = built.ami_of(arn)
    for use, says in ((instance, "instance, running"), (None, "parameter arn:")):
        built.deprecated(arn, 40)
        if use:
            use(built, ami)
        else:
            ids = [one.id for one in built.ec2.all_instances() if one.image_id == ami]
            built("ec2").terminate_instances(InstanceIds=ids)
            built.ec2.amis[ami].last_launched_time = None
            built.publish("v1.0.0", 200, ami)
        assert built.retire("built-machine").code == 0
        assert built.said("v1.0.0").startswith(f"kept, in use by {says}")
        assert "deprecated no more" in built.said("v1.0.0")
        assert ami in built.amis


def test_a_published_ami_that_was_built_here_is_left_to_the_other_job(built: Built) -> None:
    arn = built.build("1.0.0", 200)
    ami = built.ami_of(arn)
    built.publish("v1.0.0", 200, ami)
    built.mark("v1.0.0", 40)
    built.publish("new", 1)
    built("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=HERE)
    built.record()
    document = json.dumps({"Version": "2012-10-17", "Statement": rights.of(*PUBLISHED)})
    built("iam").put_role_policy(RoleName="retire", PolicyName="retire", PolicyDocument=document)
    done = built.retire()
    assert (done.code, built.versions, ami in built.amis) == (0, {"new"}, True), done.out
    assert f"{ami} was built here, and stays until" in done.out


def test_a_build_that_failed_goes_and_takes_no_place_of_the_newest(built: Built) -> None:
    good, _ = built.build("1.0.0", 200), built.build("2.0.0", 150, "exit 1")
    done = built.retire("built-machine", deprecate_days="0")
    assert (done.code, done.errors) == (0, []), done.out
    assert built.there["images"] == {"dpra-shop/1.0.0/1"}
    assert built.there["components"] == {"dpra-shop-hello/1.0.0/1"}
    assert built.ami_of(good) in built.amis


def test_the_recipe_of_another_build_of_the_version_stays(built: Built) -> None:
    built.build("1.0.0", 200)
    recipe = f"arn:aws:imagebuilder:{REGION}:{ACCOUNT}:image-recipe/dpra-shop/1.0.0"
    built.again(recipe, 100)
    done = built.retire("built-machine", deprecate_days="0")
    assert (done.code, built.there["images"]) == (0, {"dpra-shop/1.0.0/2"}), done.out
    assert built.there["recipes"] == {"dpra-shop/1.0.0"}
    assert built.said("v1.0.0 (build 2)") == "kept, it is one of the newest 1"


def test_what_a_run_that_died_left_of_a_build_is_finished(built: Built) -> None:
    gone, _ = built.build("1.0.0", 200), built.build("3.0.0", 1)
    built.deprecated(gone, 40)
    built("ec2").deregister_image(ImageId=built.ami_of(gone))
    built("imagebuilder").delete_image_recipe(
        imageRecipeArn=f"arn:aws:imagebuilder:{REGION}:{ACCOUNT}:image-recipe/dpra-shop/1.0.0"
    )
    done = built.retire("built-machine")
    assert done.code == 0, done.out
    assert built.there["components"] == {"dpra-shop-hello/3.0.0/1"}
    assert built.there["images"] == {"dpra-shop/3.0.0/1"}


def test_what_somebody_copied_or_another_component_built_stays(built: Built) -> None:
    arn, _ = built.build("1.0.0", 200), built.build("3.0.0", 1)
    theirs = built.ami("theirs", 300, **{"dpra:component": "shop", "dpra:version": "v0"})
    other = built.build("4.0.0", 200, **{"dpra:component": "bank"})
    for one in (arn, other):
        built.deprecated(one, 40)
    done = built.retire("built-machine")
    assert done.code == 0, done.out
    assert {theirs, built.ami_of(other)} <= built.amis
    assert "is not tagged as a version of shop" in built.said("v4.0.0")
    assert "dpra-shop/1.0.0/1" not in built.there["images"]


# ---- What Packer made


@pytest.fixture
def packed(job: Any, cloud: Cloud) -> World:
    made = World(job, cloud)
    as_role(made, rights.of(*PACKED))
    return made


def by_packer(world: World, version: str, days: float, **tags: str) -> str:
    """An AMI as Packer leaves it, and its snapshot; its id."""
    tags = {**OURS, "dpra:version": version, "dpra:for": "build", "dpra:parent": "ami-0a1b2c3d4e5f60718", **tags}
    made = world.ami(f"dpra-shop-{version}", days, **tags)
    said = [{"Key": key, "Value": value} for key, value in tags.items()]
    world("ec2").create_tags(Resources=[world.snapshot(made)], Tags=said)
    return made


def test_what_packer_made_is_deprecated_and_then_goes_with_its_snapshot(packed: World) -> None:
    since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 40 * DAY))
    gone = by_packer(packed, "v1", 200, **{"dpra:deprecated": since})
    older, newest = by_packer(packed, "v2", 150), by_packer(packed, "v3", 1)
    copy = packed.ami("copy", 300, **{"dpra:component": "shop", "dpra:version": "v0"})
    theirs = by_packer(packed, "v9", 300, **{"dpra:component": "bank", "dpra:deprecated": since})
    snapshot = packed.snapshot(gone)
    done = packed.retire("packed-machine")
    assert (done.code, done.errors) == (0, []), done.out
    assert packed.cloud.refusals == []
    assert packed.amis == {older, newest, copy, theirs}
    assert snapshot not in packed.ec2.snapshots
    assert done.record["findings"] == {"kept": 1, "deprecated": 1, "deleted": 1}
    assert (done.record["tool"], done.record["where"]) == ("packer", "shop")
    [there] = packed("ec2").describe_images(ImageIds=[older])["Images"]
    assert "DeprecationTime" in there
    assert "dpra:deprecated" in {tag["Key"] for tag in there["Tags"]}
    assert packed.said("v3") == "kept, it is one of the newest 1"


def test_what_packer_made_and_something_uses_stays_and_is_deprecated_no_more(packed: World) -> None:
    since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 40 * DAY))
    used = by_packer(packed, "v1", 200, **{"dpra:deprecated": since})
    by_packer(packed, "v3", 1)
    packed.put("/images/shop/v1", used)  # production is in the same account and region
    done = packed.retire("packed-machine")
    assert done.code == 0, done.out
    assert packed.cloud.refusals == []
    assert packed.said("v1").startswith("kept, in use by parameter arn:")
    assert "deprecated no more" in packed.said("v1")
    [there] = packed("ec2").describe_images(ImageIds=[used])["Images"]
    assert "dpra:deprecated" not in {tag["Key"] for tag in there["Tags"]}


def test_a_published_ami_that_packer_made_here_is_left_to_the_other_job(packed: World) -> None:
    ami = by_packer(packed, "v1", 200)
    packed.publish("v1", 200, ami)
    packed.mark("v1", 40)
    packed.publish("new", 1)
    packed("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=HERE)
    packed.record()
    document = json.dumps({"Version": "2012-10-17", "Statement": rights.of(*PUBLISHED)})
    packed("iam").put_role_policy(RoleName="retire", PolicyName="retire", PolicyDocument=document)
    done = packed.retire()
    assert (done.code, packed.versions, ami in packed.amis) == (0, {"new"}, True), done.out


@pytest.mark.parametrize(
    ("component", "keys", "allowed"),
    [
        ("shop", ["dpra:deprecated"], True),
        ("shop", ["dpra:deprecated", "dpra:component"], False),
        ("bank", ["dpra:deprecated"], False),
        ("shop", [], False),
    ],
)
def test_the_role_marks_what_packer_made_of_its_component(component: str, keys: list[str], allowed: bool) -> None:
    context = {"aws:ResourceTag/dpra:component": component, **({"aws:TagKeys": keys} if keys else {})}
    found = [{"Statement": rights.of(*PACKED)}]
    target = f"arn:aws:ec2:{REGION}::image/ami-0a1b2c3d4e5f60718"
    assert permissions.allows(found, "ec2:CreateTags", target, context) is allowed


# ---- Inputs


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"kind": "vm"}, "the input 'kind' is 'vm': needs one of container, machine, built-machine, packed-machine"),
        ({"repository": "images/shop"}, "the input 'repository' goes not together with kind 'machine'"),
        ({"parameters": ""}, "the input 'parameters' is required"),
        ({"parameters": "/images/bank"}, "needs one that ends with 'shop'"),
        ({"record": ""}, "the input 'record' is required"),
        ({"kind": "built-machine"}, "the input 'parameters' goes not together with kind 'built-machine'"),
        (
            {"kind": "built-machine", "parameters": "", "record": "s3://a/b"},
            "the input 'record' goes not together with kind 'built-machine'",
        ),
        ({"account": OTHER}, f"the credentials are of account {ACCOUNT}, not {OTHER}"),
    ],
)
def test_inputs_that_are_wrong_are_refused_before_anything_is_read(
    world: World, inputs: dict[str, str], says: str
) -> None:
    given = {"parameters": "/images/shop", "record": f"s3://{BUCKET}/shop/record.json", **inputs}
    done = world.retire(inputs.get("kind", "machine"), **{key: value for key, value in given.items() if key != "kind"})
    assert (done.code, done.record["result"], world.versions) == (1, "error", {"old", "new"})
    assert says in done.errors[0]


def test_hostile_values_stay_data(world: World, hostile: dict[str, str], inert: Callable[[Any, Any], None]) -> None:
    for number, text in enumerate(hostile.values()):
        world.put(f"/images/shop/v{number}", text[:4000] or "x", "text")
    done = world.retire()
    assert done.code == 0, done.out
    inert(world.job, done)
    assert world.versions == {"new", *(f"v{number}" for number in range(len(hostile)))}


# ---- What the roles reach


@pytest.mark.parametrize(
    ("action", "name", "owner", "allowed"),
    [
        ("DeleteImage", "image/dpra-shop/1.0.0/1", "shop", True),
        ("DeleteComponent", "component/dpra-shop-hello/1.0.0/1", "", True),  # it is gone
        ("DeleteComponent", "component/dpra-shop-x-hello/1.0.0/1", "shop-x", False),
        ("DeleteImage", "image/dpra-bank/1.0.0/1", "", False),
        ("TagResource", "image/dpra-shop/1.0.0/1", "", False),
    ],
)
def test_the_role_deletes_what_was_built_of_its_component_and_may_ask_twice(
    action: str, name: str, owner: str, allowed: bool
) -> None:
    target, tags = f"arn:aws:imagebuilder:{REGION}:{ACCOUNT}:{name}", {"aws:ResourceTag/dpra:component": owner}
    found = [{"Statement": rights.of(*BUILT)}]
    assert permissions.allows(found, f"imagebuilder:{action}", target, tags if owner else {}) is allowed


@pytest.mark.parametrize("image", ["kind: container", "kind: machine, parent: /debian"])
def test_a_role_that_retires_is_told_by_s3_that_there_is_no_record(image: str) -> None:
    """Who may not list a bucket is refused what is not there, as if it were somebody's."""
    spec = (SPEC % (OTHER, ACCOUNT, "")).replace("kind: machine, parent: /aws/service/debian", image)
    found = [{"Statement": rights.of(spec, "prod", "ProdRetireRole")}]
    assert permissions.allows(found, "s3:ListBucket", f"arn:aws:s3:::{BUCKET}", {})
