"""The end of an image's life: the real action and the real AWS CLI against moto; what uses an image protects it."""

import hashlib
import importlib
import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import rights
from dpra.rehearsal import permissions

pytestmark = pytest.mark.slow  # an account for each test

ACCOUNT, REGION, OTHER = "123456789012", "eu-west-1", "us-east-1"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DAY = 86400
ROLE = f"arn:aws:iam::{ACCOUNT}:role/x"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class World:
    """The images of the component shop, in an account in which nothing is used."""

    def __init__(self, job: Any, server: dict[str, str], region: str = REGION) -> None:
        self.job, self.server, self.region = job, server, region

    def __call__(self, service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, region_name=self.region, endpoint_url=self.server["AWS_ENDPOINT_URL"], **keys)

    @property
    def registry(self) -> str:
        return f"{ACCOUNT}.dkr.ecr.{self.region}.amazonaws.com/images/shop"

    def digest(self, version: str) -> str:
        return f"sha256:{sha(version)}"

    def platform(self, version: str, platform: str = "amd64") -> str:
        return f"sha256:{sha(f'{version} {platform}')}"

    def uri(self, version: str) -> str:
        return f"{self.registry}@{self.digest(version)}"

    @property
    def repository(self) -> Any:
        from moto.ecr.models import ecr_backends

        return ecr_backends[ACCOUNT][self.region].repositories["images/shop"]

    def parameter(self, name: str) -> Any:
        from moto.ssm.models import ssm_backends

        return ssm_backends[ACCOUNT][self.region].get_parameter(f"/images/shop/{name}")

    def push(self, version: str, days: float, parts: tuple[str, ...] | None = None, **more: str) -> None:
        """A version as it is after so many days; `parts` are the digests of its platforms.

        `more` may be its digest, its parameter's value, and the release that brought it: digest/commit."""
        digest = more.get("digest", self.digest(version))
        parts = (self.platform(version), self.platform(version, "arm64")) if parts is None else parts
        for part in parts:
            if part not in self.images:
                self.put(part, {"mediaType": MANIFEST, "layers": [{"digest": part}]}, days)
        manifest = {"mediaType": INDEX, "manifests": [{"digest": part} for part in parts], "digest": digest}
        if not parts:
            manifest = {"mediaType": MANIFEST, "layers": [], "digest": digest}
        self.put(digest, manifest, days, version)
        release = more.get("release", f"{sha(f'release {version}')}/{sha(f'commit {version}')[:40]}")
        self("ssm").put_parameter(
            Name=f"/images/shop/{version}",
            Type="String",
            Value=more.get("value", f"{self.registry}@{digest}"),
            Tags=[{"Key": "dpra:released", "Value": release}] if release else [],
        )
        self.parameter(version).last_modified_date = time.time() - days * DAY
        if days < 90:
            self.point("latest", self.uri(version))

    def put(self, digest: str, manifest: dict[str, Any], days: float, tag: str = "") -> None:
        about = {"imageDigest": digest} | ({"imageTag": tag} if tag else {})
        self("ecr").put_image(
            repositoryName="images/shop",
            imageManifest=json.dumps(manifest),
            imageManifestMediaType=manifest["mediaType"],
            **about,
        )
        self.pushed(digest, days)

    def pushed(self, digest: str, days: float) -> None:
        [image] = [one for one in self.repository.images if one.get_image_digest() == digest]
        image.image_pushed_at = int(time.time() - days * DAY)

    def point(self, name: str, value: str) -> None:
        self("ssm").put_parameter(Name=f"/images/shop/{name}", Type="String", Value=value, Overwrite=True)

    @property
    def images(self) -> set[str]:
        return {image.get_image_digest() for image in self.repository.images}

    @property
    def versions(self) -> set[str]:
        found = self("ssm").get_paginator("get_parameters_by_path").paginate(Path="/images/shop")
        return {one["Name"].rpartition("/")[2] for page in found for one in page["Parameters"]} - {"latest"}

    def tags(self, version: str) -> dict[str, str]:
        asked = {"ResourceType": "Parameter", "ResourceId": f"/images/shop/{version}"}
        return {tag["Key"]: tag["Value"] for tag in self("ssm").list_tags_for_resource(**asked)["TagList"]}

    def mark(self, version: str, days: float) -> None:
        since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * DAY))
        self("ssm").add_tags_to_resource(
            ResourceType="Parameter",
            ResourceId=f"/images/shop/{version}",
            Tags=[{"Key": "dpra:deprecated", "Value": since}],
        )

    def record(self, **known: Any) -> None:
        kept = {"schema": 1, "lock": None, "waiting": None, "current": None, "history": [], "regions": {}} | known
        self("s3").put_object(Bucket="prod", Key="shop/record.json", Body=json.dumps(kept))

    def retire(self, **inputs: str) -> Any:
        given = {"component": "shop", "account": ACCOUNT, "regions": REGION, "repository": "images/shop", "keep": "1"}
        given |= {"parameters": "/images/shop", "record": "s3://prod/shop/record.json", "record_region": REGION}
        return self.job.use("retire-images", **{**given, "dry_run": "false", **inputs})

    def report(self) -> dict[str, str]:
        """Region and version -> what became of it."""
        content = json.loads((self.job.evidence / "retired-images.json").read_text())
        return {f"{one['region']} {one['version']}": f"{one['state']}, {one['why']}" for one in content["versions"]}

    def said(self, version: str, region: str = REGION) -> str:
        return self.report()[f"{region} {version}"]


@pytest.fixture
def world(job: Any, server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> World:
    """One version that is deprecated since long ago and unused, `old`, and one that is new."""
    from dpra.rehearsal import mends
    from moto.ecr.models import ECRBackend

    mends.forget()
    monkeypatch.setattr(ECRBackend, "batch_delete_image", as_ecr_deletes(ECRBackend.batch_delete_image))
    job.env |= server
    made = World(job, server)
    made("s3").create_bucket(Bucket="prod", CreateBucketConfiguration={"LocationConstraint": REGION})
    made.record(current={"digest": sha("release new"), "commit": "c", "run": "1"})
    made("ecr").create_repository(repositoryName="images/shop")
    made.push("old", 200)
    made.mark("old", 40)
    made.push("new", 1)
    return made


def as_ecr_deletes(real: Any) -> Any:
    """ECR deletes nothing that an index names; moto does."""

    def delete(self: Any, repository_name: str, registry_id: str | None, image_ids: list[dict[str, str]]) -> Any:
        manifests = [json.loads(one.image_manifest) for one in self.repositories[repository_name].images]
        named = {part["digest"] for manifest in manifests for part in manifest.get("manifests", ())}
        refused = [one for one in image_ids if one.get("imageDigest") in named]
        code = {"failureCode": "ImageReferencedByManifestList", "failureReason": "an index names it"}
        left = [one for one in image_ids if one not in refused]
        answer = real(self, repository_name, registry_id, left) if left else {"imageIds": [], "failures": []}
        answer["failures"] += [{"imageId": one, **code} for one in refused]
        return answer

    return delete


# ---- What goes


def test_an_old_version_that_nothing_uses_is_deprecated_and_deleted_when_its_time_has_come(world: World) -> None:
    world.push("older", 300)
    world.push("newest", 0)
    done = world.retire()
    assert (done.code, done.errors) == (0, []), done.out
    assert world.versions == {"older", "new", "newest"}
    assert world.tags("older")["dpra:deprecated"] == time.strftime("%Y-%m-%d", time.gmtime())
    assert world.images.isdisjoint({world.digest("old"), world.platform("old"), world.platform("old", "arm64")})
    assert len(world.images) == 9  # each of the others with its platforms
    assert done.record["findings"] == {"kept": 2, "deprecated": 1, "deleted": 1}
    assert (done.record["action"], done.record["result"], done.record["where"]) == (
        "retire-images", "pass", "/images/shop",
    )  # fmt: skip
    assert world.said("newest") == "kept, it is one of the newest 1"
    assert world.said("new") == "kept, it is younger than 90 days"
    assert world.said("old").startswith("deleted, deprecated since 20")
    assert f"| `{REGION}` | `old` | 200 days | `deleted, deprecated since" in done.summary
    assert f"{REGION} older, 300 days old: deprecated, since" in done.out
    again = world.retire()
    assert (again.code, world.versions) == (0, {"older", "new", "newest"})  # its grace has begun, not ended
    assert "to be deleted on" in world.said("older")
    world.mark("older", 30)
    assert world.retire().code == 0
    assert world.versions == {"new", "newest"}
    assert len(world.images) == 6


def test_an_image_of_one_platform_is_deleted_and_without_grace_at_once(world: World) -> None:
    world.push("plain", 100, ())
    world.push("newest", 0)
    assert world.retire(deprecate_days="0").code == 0
    assert world.versions == {"new", "newest"}
    assert world.digest("plain") not in world.images


def test_a_dry_run_shows_what_would_be_done_and_changes_nothing(world: World) -> None:
    world.push("older", 300)
    world.push("newest", 0)
    before = (world.versions, world.images, world.tags("older"), world.tags("old"))
    done = world.retire(dry_run="true")
    assert (done.code, done.errors) == (0, [])
    assert (world.versions, world.images, world.tags("older"), world.tags("old")) == before
    assert "nothing is changed" in done.summary
    assert world.said("old").startswith("to be deleted, deprecated since")
    assert world.said("older").startswith("to be deprecated, since")
    assert done.record["findings"] == {"kept": 2, "to be deprecated": 1, "to be deleted": 1}


def test_what_a_run_that_died_left_is_finished(world: World) -> None:
    world("ecr").batch_delete_image(repositoryName="images/shop", imageIds=[{"imageDigest": world.digest("old")}])
    assert world.retire().code == 0
    assert world.versions == {"new"}


# ---- Service Catalog


@pytest.fixture
def product(world: World) -> str:
    """A product that offers both versions, and one of somebody's."""
    world("s3").put_object(Bucket="prod", Key="a.yml", Body='{"Resources": {"A": {"Type": "AWS::SNS::Topic"}}}')
    made = world("servicecatalog").create_product(Name="shop", Owner="us", ProductType="CLOUD_FORMATION_TEMPLATE")
    found = str(made["ProductViewDetail"]["ProductViewSummary"]["ProductId"])
    for version in ("old", "new", "by-hand"):
        info = {"LoadTemplateFromURL": f"https://prod.s3.{REGION}.amazonaws.com/a.yml"}
        world("servicecatalog").create_provisioning_artifact(
            ProductId=found, Parameters={"Name": version, "Info": info}
        )
    assert offered(world, found) == {"old", "new", "by-hand"}
    return found


def offered(world: World, product: str) -> set[str]:
    return {one["Name"] for one in world("servicecatalog").describe_product(Id=product)["ProvisioningArtifacts"]}


@pytest.mark.parametrize("marked", [True, False])
def test_what_is_deprecated_or_deleted_is_offered_no_more(world: World, product: str, marked: bool) -> None:
    """A version that was deprecated before there was a product, too."""
    if not marked:
        about = {"ResourceType": "Parameter", "ResourceId": "/images/shop/old"}
        world("ssm").remove_tags_from_resource(**about, TagKeys=["dpra:deprecated"])
    done = world.retire(products=json.dumps({REGION: product, OTHER: "prod-zzzzzzzzzzzzz"}))
    assert (done.code, done.errors) == (0, []), done.out
    assert world.versions == ({"new"} if marked else {"old", "new"})
    assert offered(world, product) == {"new", "by-hand"}
    assert f"{product}, version old in {REGION}: cannot be launched from now on" in done.out


def test_a_dry_run_and_what_is_kept_take_no_offer_back(world: World, product: str) -> None:
    assert world.retire(products=json.dumps({REGION: product}), dry_run="true").code == 0
    assert world.retire(products=json.dumps({REGION: product}), keep="2").code == 0
    assert offered(world, product) == {"old", "new", "by-hand"}


def test_an_offer_that_cannot_be_taken_back_keeps_the_image(world: World) -> None:
    done = world.retire(products=json.dumps({REGION: "prod-zzzzzzzzzzzzz"}))
    assert (done.code, done.record["result"]) == (1, "error")
    assert f"there is no product prod-zzzzzzzzzzzzz in {REGION}" in done.errors[0]
    assert (world.versions, len(world.images)) == ({"old", "new"}, 6)
    assert "dpra:deprecated" in world.tags("old")


SPEC = f"""name: shop
pipeline: compute-image
repository: acme/shop
regions: [{REGION}]
environments: {{test: {{account: "444444444444"}}, prod: {{account: "{ACCOUNT}"}}}}
image: """


@pytest.mark.parametrize("kind", ["kind: container", "kind: machine, parent: /debian"])
def test_the_role_may_take_back_what_the_components_products_offer_and_nothing_else(kind: str) -> None:
    arn, actions = f"arn:aws:catalog:{REGION}:{ACCOUNT}:product/", ("List", "Update", "Create", "Delete")

    def may(image: str, product: str) -> set[str]:
        found = [{"Statement": rights.of(f"{SPEC}{{{image}}}\n", "prod", "ProdRetireRole")}]
        asked = [f"servicecatalog:{one}ProvisioningArtifact{'s' * (one == 'List')}" for one in actions]
        return {one for one in asked if permissions.allows(found, one, f"{arn}{product}", {})}

    given = f"{kind}, products: {{{REGION}: prod-abcd1234efgh5}}"
    own = {"servicecatalog:ListProvisioningArtifacts", "servicecatalog:UpdateProvisioningArtifact"}
    assert may(given, "prod-abcd1234efgh5") == own
    assert may(given, "prod-zzzzzzzzzzzzz") == may(kind, "prod-abcd1234efgh5") == set()


# ---- What stays


def test_the_newest_stay_however_old_they_are(world: World) -> None:
    world.push("older", 300)
    assert world.retire(keep="3", days="0", deprecate_days="0").code == 0
    assert world.versions == {"older", "old", "new"}
    assert world.retire(keep="2", days="0", deprecate_days="0").code == 0
    assert world.versions == {"old", "new"}  # in the order of their age
    world.push("theirs", 0, (), release="")
    world.mark("old", 40)
    assert world.retire(keep="2", days="0", deprecate_days="0").code == 0
    assert world.versions == {"theirs", "old", "new"}  # what is not the component's takes no place


def test_the_latest_stays_though_others_are_newer(world: World) -> None:
    world.point("latest", world.uri("old"))
    assert world.retire().code == 0
    assert world.said("old") == "kept, it is the latest; deprecated no more"
    assert "old" in world.versions


def release(version: str, **more: Any) -> dict[str, Any]:
    return {"digest": sha(f"release {version}"), "commit": "c" * 40, "run": "1", **more}


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"lock": release("old", until=0)}, "it is being released"),
        ({"waiting": release("old")}, "it waits for its release"),
        ({"current": release("old")}, "it is the last good release"),
        ({"history": [release("new"), release("old")]}, "it is in the record's history"),
        ({"regions": {"us-east-1": {"good": release("old"), "now": None}}}, "us-east-1 goes back to it"),
        ({"regions": {REGION: {"good": None, "now": release("old")}}}, f"{REGION} runs it"),
        ({"history": [{"digest": "another", "commit": sha("commit old")[:40]}]}, "it is in the record's history"),
    ],
)
def test_what_the_release_record_knows_stays(world: World, known: dict[str, Any], says: str) -> None:
    world.record(**known)
    assert world.retire().code == 0
    assert world.versions == {"old", "new"}
    assert world.said("old") == f"kept, needed by the release record, {says}; deprecated no more"


def test_the_time_of_one_that_was_needed_meanwhile_begins_anew(world: World) -> None:
    world.record(current=release("old"))
    assert world.retire().code == 0
    assert "dpra:deprecated" not in world.tags("old")
    world.record()
    assert world.retire().code == 0
    assert world.versions == {"old", "new"}
    assert world.tags("old")["dpra:deprecated"] == time.strftime("%Y-%m-%d", time.gmtime())


def test_what_is_not_the_components_stays(world: World) -> None:
    registry = f"dkr.ecr.{REGION}.amazonaws.com"
    theirs = [
        ({"release": ""}, "which release brought it, its parameter does not say"),
        ({"release": "0" * 64}, "which release brought it, its parameter does not say"),
        ({"release": f"/{'0' * 40}"}, "which release brought it, its parameter does not say"),
        ({"value": "ami-0123456789abcdef0"}, "no image of images/shop by digest"),
        ({"value": f"{ACCOUNT}.{registry}/images/shop:theirs4"}, "no image of images/shop by digest"),
        ({"value": f"{ACCOUNT}.{registry}/images/bank@sha256:{'0' * 64}"}, "no image of images/shop by digest"),
        ({"value": f"210987654321.{registry}/images/shop@sha256:{'0' * 64}"}, "no image of images/shop by digest"),
        (
            {"value": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/images/shop@sha256:{'0' * 64}"},
            "no image of images/shop by digest",
        ),
    ]
    for number, (more, _) in enumerate(theirs):
        world.push(f"theirs{number}", 300, (), **more)
        world.mark(f"theirs{number}", 40)
    assert world.retire().code == 0
    assert world.versions == {"new", *(f"theirs{number}" for number in range(len(theirs)))}
    for number, (_, says) in enumerate(theirs):
        assert says in world.said(f"theirs{number}")
        assert world.digest(f"theirs{number}") in world.images
    assert "dpra:deprecated" in world.tags("theirs3")  # whoever wrote that, it is theirs


def test_an_image_without_a_version_or_with_a_tag_of_somebody_stays(world: World) -> None:
    world.put(world.digest("alone"), {"mediaType": MANIFEST, "layers": [], "digest": "alone"}, 400, "alone")
    [image] = [one for one in world.repository.images if one.get_image_digest() == world.digest("old")]
    image.update_tag("stable")
    assert world.retire().code == 0
    assert world.versions == {"old", "new"}
    assert {world.digest("alone"), world.digest("old")} <= world.images
    assert "somebody gave it the tag stable" in world.said("old")


def test_an_image_that_is_a_kept_versions_too_stays_and_so_does_a_platform_that_others_share(world: World) -> None:
    shared = world.platform("old")
    world.push("again", 300, (shared,))
    world.push("newest", 0, (shared,))
    world.mark("again", 40)
    assert world.retire().code == 0
    assert world.versions == {"new", "newest"}
    assert shared in world.images
    assert world.images.isdisjoint({world.digest("old"), world.digest("again"), world.platform("old", "arm64")})
    world.push("double", 300, (), value=world.uri("new"))
    world.pushed(world.digest("new"), 200)  # an old image of a new version
    assert world.retire(deprecate_days="0").code == 0
    assert world.said("double") == "kept, its image is one of new"
    assert world.digest("new") in world.images


@pytest.mark.parametrize("part", ["arm64", ""])
def test_what_was_pulled_lately_stays_whoever_pulled_it(world: World, part: str) -> None:
    wanted = world.platform("old", part) if part else world.digest("plain")
    if not part:
        world.push("plain", 200, ())
        world.mark("plain", 40)
        world.push("newest", 0)
    [image] = [one for one in world.repository.images if one.get_image_digest() == wanted]
    image.last_recorded_pull_time = int(time.time() - 80 * DAY)
    assert world.retire().code == 0
    assert wanted in world.images
    assert "it was pulled on 20" in world.said("old" if part else "plain")
    image.last_recorded_pull_time = int(time.time() - 91 * DAY)
    world.mark("old" if part else "plain", 40)
    assert world.retire().code == 0
    assert wanted not in world.images


# ---- What uses an image protects it


def tasks(world: World, image: str, *, active: bool = True) -> str:
    ecs = world("ecs")
    made = ecs.register_task_definition(
        family="web", containerDefinitions=[{"name": "web", "image": image, "memory": 128}]
    )
    arn = str(made["taskDefinition"]["taskDefinitionArn"])
    if not active:
        ecs.deregister_task_definition(taskDefinition=arn)
    return arn


def task_definition(world: World, image: str) -> None:
    tasks(world, image)


def earlier_task_definition(world: World, image: str) -> None:
    tasks(world, image)
    tasks(world, "nginx")


def service(world: World, image: str) -> None:
    arn = tasks(world, image)
    world("ecs").create_cluster(clusterName="main")
    world("ecs").create_service(cluster="main", serviceName="web", taskDefinition=arn, desiredCount=0)
    world("ecs").deregister_task_definition(taskDefinition=arn)


def run(world: World, image: str) -> Any:
    """A task that runs on, of a revision that nobody can start any more."""
    from moto.ecs.models import ecs_backends

    arn = tasks(world, image)
    world("ecs").create_cluster(clusterName="main")
    subnet = world("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet]}}
    world("ecs").run_task(cluster="main", taskDefinition=arn, launchType="FARGATE", networkConfiguration=network)
    world("ecs").deregister_task_definition(taskDefinition=arn)
    return [*ecs_backends[ACCOUNT][world.region].tasks["main"].values()][-1]


def task(world: World, image: str) -> None:
    run(world, image)


def task_that_begins(world: World, image: str) -> None:
    """ECS does not say its containers yet."""
    run(world, image).containers = []


def task_by_its_digest(world: World, image: str) -> None:
    """Its tag has moved since: what it runs only its digest says, here of a platform."""
    container = run(world, f"{world.registry}:moved").containers[0]
    container.image_digest = world.platform("old", "arm64")


def function(world: World, image: str) -> Any:
    role = world("iam").create_role(RoleName="x", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    return world("lambda").create_function(
        FunctionName="web", Role=role, PackageType="Image", Code={"ImageUri": image}, Publish=False
    )


def function_version(world: World, image: str) -> None:
    """Published, behind an alias; the function itself has gone on."""
    from moto.awslambda.models import lambda_backends

    function(world, image)
    number = world("lambda").publish_version(FunctionName="web")["Version"]
    world("lambda").create_alias(FunctionName="web", Name="live", FunctionVersion=number)
    versions = lambda_backends[ACCOUNT][world.region]
    versions.get_function("web", number).code = {"ImageUri": image}  # moto's versions share one
    world("lambda").update_function_code(FunctionName="web", ImageUri=f"{world.registry}@sha256:{'9' * 64}")


def job_definition(world: World, image: str) -> None:
    properties = {"image": image, "vcpus": 1, "memory": 128}
    world("batch").register_job_definition(jobDefinitionName="job", type="container", containerProperties=properties)


def model(world: World, image: str) -> None:
    world("sagemaker").create_model(
        ModelName="model", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image, "ModelDataUrl": "s3://a/b"}
    )


def inference_pipeline(world: World, image: str) -> None:
    containers = [{"Image": "nginx"}, {"Image": image}]
    world("sagemaker").create_model(ModelName="model", ExecutionRoleArn=ROLE, Containers=containers)


def project(world: World, image: str) -> None:
    about = {"type": "LINUX_CONTAINER", "image": image, "computeType": "BUILD_GENERAL1_SMALL"}
    world("codebuild").create_project(
        name="project",
        source={"type": "S3", "location": "bucket/path"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment=about,
        serviceRole=ROLE,
    )


KINDS: dict[Callable[[World, str], Any], str] = {
    task_definition: f"ECS task definition arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:1",
    earlier_task_definition: f"ECS task definition arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:1",
    service: f"ECS service arn:aws:ecs:{REGION}:{ACCOUNT}:service/main/web",
    task: f"ECS task arn:aws:ecs:{REGION}:{ACCOUNT}:task/main/",
    task_that_begins: f"ECS task arn:aws:ecs:{REGION}:{ACCOUNT}:task/main/",
    task_by_its_digest: f"ECS task arn:aws:ecs:{REGION}:{ACCOUNT}:task/main/",
    function: f"Lambda function arn:aws:lambda:{REGION}:{ACCOUNT}:function:web:$LATEST",
    function_version: f"Lambda function arn:aws:lambda:{REGION}:{ACCOUNT}:function:web:1",
    job_definition: f"AWS Batch job definition arn:aws:batch:{REGION}:{ACCOUNT}:job-definition/job:1",
    model: f"SageMaker model arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/model",
    inference_pipeline: f"SageMaker model arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/model",
    project: f"CodeBuild project arn:aws:codebuild:{REGION}:{ACCOUNT}:project/project",
}


@pytest.mark.parametrize("use", KINDS, ids=lambda use: use.__name__)
def test_what_uses_an_image_protects_it(world: World, use: Callable[[World, str], Any]) -> None:
    use(world, world.uri("old"))
    done = world.retire()
    assert (done.code, world.versions) == (0, {"old", "new"}), done.out
    assert {world.digest("old"), world.platform("old")} <= world.images
    assert world.said("old").startswith(f"kept, in use by {KINDS[use]}"), world.said("old")
    assert f"kept, in use by {KINDS[use]}" in done.summary


def test_it_may_be_named_by_tag_by_a_platforms_digest_or_by_another_of_the_registrys_names(world: World) -> None:
    names = [
        "{registry}:{version}",
        "{registry}:{version}@sha256:" + "7" * 64,
        "{registry}@{platform}",
        f"{ACCOUNT}.dkr.ecr-fips.{REGION}.amazonaws.com/images/shop:{{version}}",
        f"{ACCOUNT}.dkr-ecr.{REGION}.on.aws/images/shop:{{version}}",
        f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/images/shop:{{version}}",  # where a copy of it lies
    ]
    for number, name in enumerate(names):
        world.push(version := f"v{number}", 200)
        world.mark(version, 40)
        tasks(world, name.format(registry=world.registry, version=version, platform=world.platform(version, "arm64")))
    assert world.retire().code == 0
    assert world.versions == {"new", *(f"v{number}" for number in range(len(names)))}


def test_another_image_protects_nothing(world: World) -> None:
    for image in (
        f"{world.registry}:new",
        world.registry,
        f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/images/shop/old:old",
        f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop:old",
        f"210987654321.dkr.ecr.{REGION}.amazonaws.com/images/shop:old",
        "images/shop:old",
        "localhost:5000/images/shop:old",
    ):
        tasks(world, image)
    assert world.retire().code == 0
    assert world.versions == {"new"}


def test_a_use_in_one_region_protects_the_version_in_all_of_them(world: World, job: Any, server: Any) -> None:
    there = World(job, server, OTHER)
    there("ecr").create_repository(repositoryName="images/shop")
    for version, days in (("older", 300), ("old", 200), ("new", 1)):
        there.push(version, days)
        there.mark(version, 40)
    tasks(there, there.uri("old"))
    done = world.retire(regions=f"{REGION} {OTHER}")
    assert (done.code, world.versions, there.versions) == (0, {"old", "new"}, {"old", "new"}), done.out
    assert f"arn:aws:ecs:{OTHER}:{ACCOUNT}:task-definition/web:1" in world.said("old")
    assert world.said("older", OTHER).startswith("deleted")


# ---- More than a page


def paged(monkeypatch: pytest.MonkeyPatch, service: str, operation: str, key: str, size: int = 2) -> None:
    """moto gives so many at a time, as AWS does where there are many; the tokens are those of the service's model."""
    import botocore.session
    from moto.core.responses import ActionResult

    session = botocore.session.get_session()
    pages = session.get_paginator_model(service).get_paginator(operation)
    assert pages["result_key"] == key
    shape = session.get_service_model(service).operation_model(operation).input_shape
    wire = shape.members[pages["input_token"]].serialization.get("name", pages["input_token"])
    cls, name = answering(service, operation)
    real = getattr(cls, name)

    def page(self: Any, *arguments: Any) -> Any:
        answer = real(self, *arguments)
        wrapped = isinstance(answer, ActionResult)
        content: Any = answer.result if wrapped else json.loads(answer)
        at = int(self._get_param(wire) or 0)
        every = [*content[key]]
        content = {**content, key: every[at : at + size]}
        if at + size < len(every):
            content[pages["output_token"]] = str(at + size)
        return ActionResult(content) if wrapped else json.dumps(content)

    monkeypatch.setattr(cls, name, page)


def answering(service: str, operation: str) -> tuple[Any, str]:
    """The class and the method of moto that answer."""
    from botocore import xform_name
    from moto.core.responses import BaseResponse

    module = importlib.import_module(f"moto.{'awslambda' if service == 'lambda' else service}.responses")
    [cls] = [one for one in BaseResponse.__subclasses__() if one.__module__ == module.__name__]
    return cls, operation.lower() if service == "batch" else xform_name(operation)


def test_every_page_of_versions_and_images_is_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    paged(monkeypatch, "ecr", "DescribeImages", "imageDetails")
    for number in range(12):  # SSM, and moto, give ten at a time, by their names
        world.push(f"a{number}", 100, ())
    assert world.retire().code == 0
    assert world.versions == {"new", *(f"a{number}" for number in range(12))}
    assert len(world.images) == 15
    assert all("dpra:deprecated" in world.tags(f"a{number}") for number in range(12))


@pytest.mark.parametrize(
    ("service", "operation", "key", "others", "use"),
    [
        ("ecs", "ListTaskDefinitions", "taskDefinitionArns", lambda world: tasks(world, "nginx"), task_definition),
        ("ecs", "ListClusters", "clusterArns", lambda world: cluster(world), service),
        ("ecs", "ListServices", "serviceArns", lambda world: another_service(world), service),
        ("ecs", "ListTasks", "taskArns", lambda world: another_task(world), task),
        ("lambda", "ListFunctions", "Functions", lambda world: another_function(world), function_version),
        ("batch", "DescribeJobDefinitions", "jobDefinitions", lambda world: job_definition(world, "x"), job_definition),
        ("sagemaker", "ListModels", "Models", lambda world: another_model(world), model),
        ("codebuild", "ListProjects", "projects", lambda world: another_project(world), project),
    ],
)
def test_every_page_of_uses_is_looked_at(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    operation: str,
    key: str,
    others: Callable[[World], Any],
    use: Callable[[World, str], Any],
) -> None:
    for _ in range(3):
        others(world)
    use(world, world.uri("old"))
    paged(monkeypatch, service, operation, key)
    done = world.retire()
    assert (done.code, world.versions) == (0, {"old", "new"}), done.out
    assert "in use by" in world.said("old")


def cluster(world: World) -> None:
    world("ecs").create_cluster(clusterName=f"a{len(world('ecs').list_clusters()['clusterArns'])}")


def another_service(world: World) -> None:
    """Twelve of them: more than ECS describes at a time."""
    world("ecs").create_cluster(clusterName="main")
    arn = tasks(world, "nginx")
    for _ in range(4):
        number = len(world("ecs").list_services(cluster="main")["serviceArns"])
        world("ecs").create_service(cluster="main", serviceName=f"a{number}", taskDefinition=arn, desiredCount=0)


def another_task(world: World) -> None:
    world("ecs").create_cluster(clusterName="main")
    subnet = world("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet]}}
    about = {"launchType": "FARGATE", "networkConfiguration": network, "count": 10}
    for _ in range(4):  # ECS describes a hundred at a time
        world("ecs").run_task(cluster="main", taskDefinition=tasks(world, "nginx"), **about)


def another_function(world: World) -> None:
    name = f"a{len(world('lambda').list_functions()['Functions'])}"
    if name == "a0":
        world("iam").create_role(RoleName="y", AssumeRolePolicyDocument="{}")
    role = world("iam").get_role(RoleName="y")["Role"]["Arn"]
    world("lambda").create_function(FunctionName=name, Role=role, PackageType="Image", Code={"ImageUri": "a/b:1"})


def another_model(world: World) -> None:
    name = f"a{len(world('sagemaker').list_models()['Models'])}"
    world("sagemaker").create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "nginx"})


def another_project(world: World) -> None:
    name = f"a{len(world('codebuild').list_projects()['projects'])}"
    about = {"type": "LINUX_CONTAINER", "image": "nginx", "computeType": "BUILD_GENERAL1_SMALL"}
    source = {"type": "S3", "location": "bucket/path"}
    world("codebuild").create_project(
        name=name, source=source, artifacts={"type": "NO_ARTIFACTS"}, environment=about, serviceRole=ROLE
    )


# ---- What is not known, and what changes meanwhile


def denied(monkeypatch: pytest.MonkeyPatch, service: str, operation: str, *, after: int = 0) -> list[str]:
    """AWS denies the operation, from the first call on or after so many; the calls."""
    from moto.core.exceptions import JsonRESTError

    cls, name = answering(service, operation)
    real, calls = getattr(cls, name), list[str]()

    def deny(self: Any, *arguments: Any) -> Any:
        calls.append(operation)
        if len(calls) > after:
            raise JsonRESTError("AccessDeniedException", "User: x is not authorized to perform this")
        return real(self, *arguments)

    monkeypatch.setattr(cls, name, deny)
    return calls


@pytest.mark.parametrize(
    ("service", "operation", "says", "use"),
    [
        ("ecs", "ListTaskDefinitions", "Amazon ECS", None),
        ("ecs", "ListClusters", "Amazon ECS", None),
        ("ecs", "ListServices", "Amazon ECS", lambda world: cluster(world)),
        ("ecs", "ListTasks", "Amazon ECS", lambda world: cluster(world)),
        ("ecs", "DescribeServices", "Amazon ECS", lambda world: service(world, "nginx")),
        ("ecs", "DescribeTasks", "Amazon ECS", lambda world: task(world, "nginx")),
        ("ecs", "DescribeTaskDefinition", "Amazon ECS", lambda world: tasks(world, "nginx")),
        ("lambda", "ListFunctions", "AWS Lambda", None),
        ("lambda", "GetFunction", "AWS Lambda", lambda world: function(world, "a/b:1")),
        ("batch", "DescribeJobDefinitions", "AWS Batch", None),
        ("sagemaker", "ListModels", "Amazon SageMaker AI", None),
        ("sagemaker", "DescribeModel", "Amazon SageMaker AI", lambda world: model(world, "nginx")),
        ("codebuild", "ListProjects", "AWS CodeBuild", None),
        ("codebuild", "BatchGetProjects", "AWS CodeBuild", lambda world: project(world, "nginx")),
    ],
)
def test_a_use_that_may_not_be_read_is_not_known_and_nothing_is_changed(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    operation: str,
    says: str,
    use: Callable[[World], Any] | None,
) -> None:
    world.push("older", 300)
    if use:
        use(world)
    calls = denied(monkeypatch, service, operation)
    done = world.retire()
    assert calls
    assert (done.code, done.record["result"]) == (1, "error")
    assert f"what uses images in {REGION} is not known, of {says}: nothing is deprecated or deleted" in done.errors[0]
    assert "AccessDeniedException" in done.out
    assert world.versions == {"older", "old", "new"}
    assert len(world.images) == 9
    assert "dpra:deprecated" not in world.tags("older")
    assert world.said("old") == "kept, whether it is needed is not known"


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("ecr", "DescribeImages"),
        ("ecr", "BatchGetImage"),
        ("ecr", "BatchDeleteImage"),
        ("ssm", "GetParametersByPath"),
        ("ssm", "ListTagsForResource"),
    ],
)
def test_a_denied_call_deletes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, service: str, operation: str
) -> None:
    with monkeypatch.context() as patched:
        assert not denied(patched, service, operation)
        done = world.retire()
    assert (done.code, done.record["result"]) == (1, "error")
    assert "AccessDeniedException" in done.errors[0]
    assert (world.versions, len(world.images)) == ({"old", "new"}, 6)
    if operation == "BatchDeleteImage":
        assert world.said("old").startswith("to be deleted, but that failed")


def test_after_a_failure_nothing_more_is_changed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.push("older", 300)
    world.mark("older", 40)
    with monkeypatch.context() as patched:
        denied(patched, "ssm", "DeleteParameter")
        done = world.retire()
    assert done.code == 1
    assert world.versions == {"older", "old", "new"}
    assert world.digest("older") in world.images
    assert world.said("older").startswith("to be deleted, deprecated since")
    assert done.record["findings"] == {"kept": 1, "to be deleted, but that failed": 1, "to be deleted": 1}
    assert world.retire().code == 0  # the next run goes on
    assert world.versions == {"new"}


@pytest.mark.parametrize("key", ["s3://prod/shop/records.json", "s3://nowhere/shop/record.json"])
def test_without_the_release_record_nothing_is_deleted(world: World, key: str) -> None:
    done = world.retire(record=key)
    assert (done.code, done.record["result"], world.versions) == (1, "error", {"old", "new"})
    if key.startswith("s3://prod"):
        assert f"there is no release record {key}: nothing is deprecated or deleted" in done.errors[0]
        assert world.said("old") == "kept, whether it is needed is not known"


def test_before_the_first_release_there_is_nothing_to_retire(world: World) -> None:
    for name in ("old", "new", "latest"):
        world("ssm").delete_parameter(Name=f"/images/shop/{name}")
    done = world.retire(record="s3://prod/shop/records.json")
    assert (done.code, done.record["result"], done.record["findings"]) == (0, "pass", {})
    assert len(world.images) == 6


def after_the_first_look(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Any]) -> None:
    """Right before the record is read a second time."""
    from moto.s3.responses import S3Response

    real, reads = S3Response.get_object, list[str]()

    def read(self: Any, *arguments: Any) -> Any:
        reads.append("")
        if len(reads) == 2:
            happens()
        return real(self, *arguments)

    monkeypatch.setattr(S3Response, "get_object", read)


def moved(world: World) -> None:
    world("ssm").put_parameter(Name="/images/shop/old", Type="String", Value=world.uri("new"), Overwrite=True)


def unmarked(world: World) -> None:
    """Somebody takes the mark away: a veto."""
    about = {"ResourceType": "Parameter", "ResourceId": "/images/shop/old"}
    world("ssm").remove_tags_from_resource(**about, TagKeys=["dpra:deprecated"])


@pytest.mark.parametrize(
    ("happens", "says"),
    [
        (lambda world: tasks(world, world.uri("old")), "kept, in use by ECS task definition"),
        (lambda world: function(world, world.uri("old")), "kept, in use by Lambda function"),
        (lambda world: world.record(current=release("old")), "kept, needed by the release record"),
        (lambda world: world.point("latest", world.uri("old")), "kept, it is the latest"),
        (moved, "kept, somebody else changed it a moment ago"),
        (unmarked, "to be deprecated, since"),
    ],
)
def test_what_happens_between_look_and_deletion_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch, happens: Callable[[World], Any], says: str
) -> None:
    after_the_first_look(monkeypatch, lambda: happens(world))
    done = world.retire()
    assert (done.code, world.versions) == (0, {"old", "new"}), done.out
    assert len(world.images) == 6
    assert world.said("old").startswith(says)


def test_a_second_look_that_is_denied_deletes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = denied(monkeypatch, "batch", "DescribeJobDefinitions", after=1)
    done = world.retire()
    assert (done.code, len(calls), len(world.images)) == (1, 2, 6)
    assert "not known, of AWS Batch" in done.errors[0]


# ---- Inputs


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"keep": "0"}, "the input 'keep' is '0': needs a number, 1 or more"),
        ({"days": "-1"}, "the input 'days' is '-1': needs a number, 0 or more"),
        ({"deprecate_days": "ten"}, "the input 'deprecate-days' is 'ten': needs a number, 0 or more"),
        ({"dry_run": "no"}, "the input 'dry-run' is 'no': needs true or false"),
        ({"repository": "images/bank"}, "the input 'repository' is 'images/bank': needs one that ends with 'shop'"),
        ({"parameters": "/images"}, "the input 'parameters' is '/images': needs one that ends with 'shop'"),
        ({"regions": ""}, "the input 'regions' is required"),
        ({"products": "[1]"}, "the input 'products' is '[1]': needs a JSON object by region"),
        ({"account": "210987654321"}, f"the credentials are of account {ACCOUNT}, not 210987654321"),
    ],
)
def test_inputs_that_are_wrong_are_refused_before_anything_is_read(
    world: World, inputs: dict[str, str], says: str
) -> None:
    done = world.retire(**inputs)
    assert (done.code, done.record["result"], world.versions) == (1, "error", {"old", "new"})
    assert says in done.errors[0]


def test_left_to_its_defaults_it_is_a_dry_run_that_keeps_ten(world: World, job: Any) -> None:
    about = {"record": "s3://prod/shop/record.json", "record_region": REGION, "parameters": "/images/shop"}
    done = job.use(
        "retire-images", component="shop", account=ACCOUNT, regions=REGION, repository="images/shop", **about
    )
    assert (done.code, world.versions) == (0, {"old", "new"})
    assert world.said("old") == "kept, it is one of the newest 10"


def test_hostile_values_stay_data(
    world: World, job: Any, hostile: dict[str, str], inert: Callable[[Any, Any], None]
) -> None:
    for number, text in enumerate(hostile.values()):
        world.push(f"v{number}", 200, (), value=text[:4000] or "x")
    done = world.retire()
    assert done.code == 0, done.out
    inert(job, done)
    assert world.versions == {"new", *(f"v{number}" for number in range(len(hostile)))}
