"""The golden image that a component is made on: the latest one is taken, and who has an older one is told."""

import base64
import json
from typing import Any

import boto3
import pytest
from dpra import deployers

from .conftest import ACCOUNT, COMMIT, ONE, REGION

OWNER, OTHER = "777777777777", "us-east-1"  # the image's account; a second region
OLD, NEW = "2026.11.02-9", "2026.11.28-10"
IDS = {OLD: "ami-0123456789abcdef1", NEW: "ami-0123456789abcdef2"}
ABOUT = {"component": "shop", "image": "base", "image_region": REGION, "account": ACCOUNT, "region": REGION}
ABOUT |= {"reader": f"arn:aws:iam::{OWNER}:role/dpra-base-readers"}
REGISTRY = f"{OWNER}.dkr.ecr.{REGION}.amazonaws.com/images/base"
TITLE = "shop: a newer base image base"


class Shop:
    """A job of the component shop, in an AWS with the image base."""

    def __init__(self, job: Any, server: dict[str, str]) -> None:
        from dpra.rehearsal import mends
        from moto.iam.models import iam_backends

        mends.forget()
        self.job, self.server = job, server
        job.env |= server
        iam_backends[OWNER]["aws"].create_role("dpra-base-readers", "{}", "/", None, "", [], 3600)

    def publish(self, version: str, *regions: str, latest: bool = True, value: str = "") -> None:
        from dpra.rehearsal.deployers.published import put

        for region in regions or (REGION, OTHER):
            for word in (version, "latest") if latest else (version,):
                put(OWNER, region, f"/images/base/{word}", value or IDS[version])

    def released(self, digest: str, version: str, image: str = "base") -> None:
        s3 = boto3.client(
            "s3", REGION, endpoint_url=self.server["AWS_ENDPOINT_URL"], aws_access_key_id="a", aws_secret_access_key="b"
        )
        if not s3.list_buckets()["Buckets"]:
            s3.create_bucket(Bucket="store", CreateBucketConfiguration={"LocationConstraint": REGION})
        said = {"image": image, "version": version, "amis": {}}
        s3.put_object(Bucket="store", Key=f"shop/{digest}/base.json", Body=json.dumps(said).encode())

    def take(self, regions: str = f"{REGION} {OTHER}", **more: str) -> Any:
        (self.job.workspace / "release").mkdir(exist_ok=True)
        return self.job.use("base", do="take", regions=regions, **ABOUT, **more)

    @property
    def taken(self) -> Any:
        path = self.job.workspace / "release/base.json"
        return json.loads(path.read_bytes()) if path.exists() else None

    def watch(self, web: Any, *answers: Any, **more: str) -> Any:
        web.answers = [(200, {}, json.dumps(one).encode()) for one in answers]
        web.requests.clear()
        self.job.env["GITHUB_API_URL"] = web.url
        given = {"regions": REGION, "bucket": "store"} | more
        return self.job.use("base", do="watch", **ABOUT, **given)


@pytest.fixture
def shop(job: Any, server: dict[str, str]) -> Shop:
    return Shop(job, server)


# ---- What a release is made on


def test_a_release_is_made_on_the_latest_version_in_each_region(shop: Shop) -> None:
    shop.publish(NEW)
    shop.publish(OLD, latest=False)
    ran = shop.take()
    assert ran.code == 0, ran.out
    assert shop.taken == {"image": "base", "version": NEW, "amis": {REGION: IDS[NEW], OTHER: IDS[NEW]}}
    assert (ran.record["action"], ran.record["result"], ran.record["where"]) == ("base-image", "pass", f"base {NEW}")
    assert IDS[NEW] in ran.summary


def test_what_went_back_is_not_taken_though_it_is_newer(shop: Shop) -> None:
    shop.publish(NEW)
    shop.publish(OLD)  # latest was moved back
    assert shop.take().code == 0
    assert shop.taken["version"] == OLD


def test_of_two_versions_of_one_image_it_is_the_later_run(shop: Shop) -> None:
    shop.publish("2026.11.02-10", latest=False, value=IDS[OLD])
    shop.publish(OLD)
    assert shop.take().code == 0
    assert shop.taken["version"] == "2026.11.02-10"  # not by its letters


@pytest.mark.parametrize(
    ("published", "says"),
    [
        ({}, "no version of the image base is the latest in eu-west-1: was one published?"),
        (
            {"regions": (REGION,)},
            f"base {NEW} is not in us-east-1, where shop runs: its pipeline must publish it there",
        ),
        ({"value": f"{REGISTRY}@sha256:{'a' * 64}"}, "and no AMI: a container's image is named by its Dockerfile"),
    ],
)
def test_what_cannot_be_taken_stops_the_release_with_the_reason(
    shop: Shop, published: dict[str, Any], says: str
) -> None:
    if published:
        shop.publish(NEW, *published.pop("regions", ()), **published)
    ran = shop.take()
    assert (ran.code, shop.taken, ran.record["result"]) == (1, None, "fail")
    assert says in ran.errors[0]


# ---- Who gets it

TEMPLATE = """Parameters: {BaseImage: {Type: String, Default: none}}
Resources: {Queue: {Type: AWS::SQS::Queue}}
Outputs: {Base: {Value: !Ref BaseImage}}
"""


def made_on(bench: Any, digest: str) -> None:
    said = {"image": "base", "version": NEW, "amis": {REGION: IDS[NEW]}}
    (bench.job.workspace / digest / "base.json").write_text(json.dumps(said))


def test_these_deploy_tools_give_it_to_a_deployment() -> None:
    assert {tool.name for tool in deployers.every().values() if tool.base} == {
        *("cloudformation", "sam", "script", "terraform"),
    }


@pytest.mark.parametrize("tool", ["cloudformation", "sam"])
def test_a_template_gets_the_ami_of_its_region_as_a_parameter(bench: Any, cloud: Any, tool: str) -> None:
    bench.use(tool, "shop")
    digest = bench.release(ONE, {"a": "b"}, TEMPLATE)
    assert bench.deploy(digest).outputs["Base"] == "none"
    made_on(bench, digest)
    assert bench.deploy(digest).outputs["Base"] == IDS[NEW]


def test_a_script_and_terraform_get_it_as_a_variable(bench: Any, cloud: Any) -> None:
    import deployment
    from deployers import terraform

    bench.use("script", command='printf "%s" "$DPRA_BASE_IMAGE" > "$RUNNER_TEMP/base"', preview="true", running="true")
    digest = bench.release(ONE, {"a": "b"})
    made_on(bench, digest)
    bench.deploy(digest)
    assert (bench.job.temp / "base").read_text() == IDS[NEW]

    change = deployment.Change(bench.job.workspace / digest, digest, ONE, lambda: None, False)
    bench.use("terraform", bucket="state", folder="t")
    assert terraform.environment(bench.target, change)["TF_VAR_dpra_base_image"] == IDS[NEW]


# ---- Who is told


def test_an_older_release_is_told_by_one_issue_which_is_closed_when_it_is_mended(shop: Shop, web: Any) -> None:
    shop.publish(NEW)
    shop.released("a" * 64, OLD)
    ran = shop.watch(web, [], {"number": 7})
    assert (ran.code, ran.record["findings"]) == (0, {"older": 1}), ran.out
    asked, opened = web.requests
    assert asked[:2] == ("GET", "/repos/acme/shop/issues?state=open&labels=base-image&per_page=100")
    issue = json.loads(opened[2])
    assert (opened[0], issue["title"], issue["labels"]) == ("POST", TITLE, ["base-image"])
    assert f"is **{NEW}** now" in issue["body"]
    assert f"`{'a' * 12}`, is made on `base {OLD}`" in issue["body"]
    there = {"number": 7, "title": TITLE, "body": issue["body"]}
    assert shop.watch(web, [there]).code == 0
    assert [one[0] for one in web.requests] == ["GET"]  # it says so already
    assert shop.watch(web, [{**there, "body": "of an older one"}], {}).code == 0
    assert [one[:2] for one in web.requests][1:] == [("PATCH", "/repos/acme/shop/issues/7")]
    shop.released("b" * 64, NEW)
    ran = shop.watch(web, [there, {**there, "number": 8, "title": "another"}, {**there, "pull_request": {}}], {})
    assert (ran.code, ran.record["findings"]) == (0, {})
    assert [(one[0], json.loads(one[2] or "{}")) for one in web.requests][1:] == [
        ("PATCH", {"state": "closed", "state_reason": "completed"})
    ]


def test_where_no_release_is_made_on_it_nobody_is_told(shop: Shop, web: Any) -> None:
    shop.publish(NEW)
    shop.released("a" * 64, OLD, image="another")
    assert "is made on `another" in json.loads(shop_opened(shop, web))["body"]
    from moto.s3.models import s3_backends

    s3_backends[ACCOUNT]["aws"].buckets["store"].keys.clear()
    ran = shop.watch(web, [])
    assert (ran.code, ran.record["findings"]) == (0, {}), ran.out


def shop_opened(shop: Shop, web: Any) -> Any:
    assert shop.watch(web, [], {"number": 7}).code == 0
    return web.requests[1][2]


def dockerfile(digest: str, region: str = REGION) -> str:
    name = REGISTRY.replace(REGION, region)
    return f"ARG X\nFROM debian@sha256:{'d' * 64} AS build\nFROM {name}@sha256:{digest} AS tools\nFROM tools\n"


@pytest.mark.parametrize("region", [REGION, "ap-southeast-2"])
def test_an_older_dockerfile_is_told_with_the_lines_to_write(shop: Shop, web: Any, region: str) -> None:
    shop.publish(NEW, value=f"{REGISTRY}@sha256:{'b' * 64}")
    text = {"content": base64.encodebytes(dockerfile("a" * 64, region).encode()).decode()}
    ran = shop.watch(web, text, [], {"number": 7}, regions="", file="docker/Dockerfile 1")
    assert ran.code == 0, ran.out
    assert web.requests[0][:2] == ("GET", f"/repos/acme/shop/contents/docker/Dockerfile%201?ref={COMMIT}")
    body = json.loads(web.requests[2][2])["body"]
    named = REGISTRY.replace(REGION, region)
    assert f"line 3, is made on `sha256:{'a' * 64}`. Write `FROM {named}@sha256:{'b' * 64}`." in body
    assert body.count("Write") == 2  # and the stage that is made from that one
    text = {"content": base64.encodebytes(dockerfile("b" * 64, region).encode()).decode()}
    assert shop.watch(web, text, [], regions="").record["findings"] == {}


def test_a_dockerfile_that_is_made_from_something_else_is_an_error(shop: Shop, web: Any) -> None:
    shop.publish(NEW, value=f"{REGISTRY}@sha256:{'b' * 64}")
    text = {"content": base64.encodebytes(dockerfile("a" * 64).replace(OWNER, "1" * 12).encode()).decode()}
    ran = shop.watch(web, text, regions="")
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "it is not made on base" in ran.errors[0]
