"""The deploy tool ecr: an image by digest in a region's repository, by the real skopeo, and parameters that name it."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from dpra.rehearsal import buildah
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer

pytestmark = pytest.mark.slow  # images are built

ACCOUNT, REGION, REPOSITORY = "333333333333", "eu-west-1", "images/base"
LATEST, BUCKET = "/images/base/latest", f"dpra-base-{ACCOUNT}-{REGION}"
VERSIONS = {"one": "2026.11.28-1", "two": "2026.11.28-2.2"}
PRODUCT = """Resources:
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      ContainerDefinitions: [{Name: base, Image: "{{resolve:ssm:/images/base/VERSION}}"}]
"""


def admin(cloud: Cloud, service: str) -> Any:
    """A client with all rights."""
    session = cloud.give(f"arn:aws:iam::{ACCOUNT}:role/admin", "test")
    given = {"aws_access_key_id": session.access_key_id, "aws_secret_access_key": session.secret_access_key}
    given |= {"aws_session_token": session.session_token, "endpoint_url": cloud.url}
    return boto3.client(service, region_name=REGION, **given)


def product(cloud: Cloud, folder: Path) -> str:
    """A product of Service Catalog, as an administrator makes it; its id."""
    s3 = admin(cloud, "s3")
    s3.create_bucket(Bucket="made-by-hand", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="made-by-hand", Key="none.yml", Body=PRODUCT.encode())
    place = f"https://made-by-hand.s3.{REGION}.amazonaws.com/none.yml"
    first = {"Name": "none", "Info": {"LoadTemplateFromURL": place}, "Type": "CLOUD_FORMATION_TEMPLATE"}
    made = admin(cloud, "servicecatalog").create_product(
        Name="base", Owner="platform", ProductType="CLOUD_FORMATION_TEMPLATE", ProvisioningArtifactParameters=first
    )
    return str(made["ProductViewDetail"]["ProductViewSummary"]["ProductId"])


@pytest.fixture
def cloud(request: pytest.FixtureRequest, needs: Any, tmp_path: Path, acting: Any) -> Iterator[Cloud]:
    """A rehearsal's AWS with the repository, and a job's environment with the role that dpra makes for production."""
    from dpra.rehearsal import accounts
    from moto.iam.models import iam_backends

    needs("skopeo", "buildah", "busybox")
    made = tmp_path / "made"
    made.mkdir()
    with Cloud(Issuer("acme/base", "main", "a" * 40)) as cloud:
        products = (
            f"image: {{products: {{{REGION}: {product(cloud, tmp_path)}}}}}\n" if hasattr(request, "param") else ""
        )
        (made / "dpra.yml").write_text(
            f"name: base\npipeline: compute-image\nrepository: acme/base\nregions: [{REGION}]\n{products}"
            f'environments: {{test: {{account: "444444444444"}}, prod: {{account: "{ACCOUNT}"}}}}\n'
        )
        (made / "Dockerfile").write_text("FROM scratch\n")
        subprocess.run(["python", "-m", "dpra", "generate"], cwd=made, check=True, capture_output=True)
        for name in ("prod", "registry", "store"):
            path = f"infrastructure/dpra/{name}.yml"
            text = (made / path).read_text("utf-8")
            accounts.create(path, text, ACCOUNT, REGION, f"dpra-base-{name}", {"CreateProvider": "true"})
        role = iam_backends[ACCOUNT]["aws"].get_role("dpra-base-prod")
        (tmp_path / "bin").mkdir()
        cloud.registry.install(tmp_path / "bin", cloud.url)
        buildah.install(tmp_path / "bin", tmp_path)
        acting(cloud, role.arn, tmp_path / "bin", GITHUB_RUN_ID="7", GITHUB_RUN_ATTEMPT="1")
        yield cloud


@pytest.fixture
def releases(cloud: Cloud, tmp_path: Path) -> dict[str, Path]:
    """Two releases, the second for two platforms."""
    return {"one": release(tmp_path, "one", "linux/amd64"), "two": release(tmp_path, "two", "linux/amd64,linux/arm64")}


def release(folder: Path, word: str, platforms: str) -> Path:
    """A release of an image, as the image action and the package action make it."""
    import image

    made = folder / word
    made.mkdir()
    (made / "Dockerfile").write_text(f"FROM scratch\nCOPY Dockerfile /{word}\n")
    several = "," in platforms
    name = ["--manifest", word] if several else ["--tag", word]
    ran = ["buildah", "build", "--quiet", "--platform", platforms, *name, "--file", f"{made}/Dockerfile", str(made)]
    subprocess.run(ran, check=True, capture_output=True)
    push = ["manifest", "push", "--all", "--quiet"] if several else ["push", "--quiet"]
    subprocess.run(["buildah", *push, word, f"oci-archive:{made}/image.tar"], check=True, capture_output=True)
    digest, found = image.layout(made / "image.tar")
    said = {"name": "base", "version": VERSIONS[word], "digest": digest, "platforms": found, "base": {}}
    (made / "image.json").write_text(json.dumps(said))
    with zipfile.ZipFile(made / "package.zip", "w") as package:
        package.write(made / "image.tar", "image.tar")
    return made


def target(**settings: Any) -> Any:
    from deployment import Target

    return Target("base", "prod", ACCOUNT, REGION, BUCKET, "", settings, "")


def deploy(path: Path, before: Any = lambda: None, products: Any = None, **more: Any) -> Any:
    import deployment
    from deployers import ecr

    return ecr.deploy(
        target(products=products or {}), deployment.Change(path, f"{path.name:0>64}", "c" * 40, before, True, **more)
    )


def running() -> str:
    from deployers import ecr

    return ecr.running(target()).lstrip("0")


def parameters(cloud: Cloud) -> dict[str, str]:
    from moto.ssm.models import ssm_backends

    there = ssm_backends[ACCOUNT][REGION]._parameters
    return {name: versions[-1].value for name, versions in there.items() if name.startswith("/images/")}


def test_consumers_find_the_image_by_its_digest_and_every_version_stays(
    cloud: Cloud, releases: dict[str, Path]
) -> None:
    digests = {word: json.loads((path / "image.json").read_text())["digest"] for word, path in releases.items()}
    registry = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}"
    assert running() == ""
    for word, path in releases.items():
        done = deploy(path)
        assert running() == word
        assert done.outputs["ImageUri"] == parameters(cloud)[LATEST] == f"{registry}@{digests[word]}"
    assert parameters(cloud) == {
        LATEST: f"{registry}@{digests['two']}",
        **{f"/images/base/{VERSIONS[word]}": f"{registry}@{digest}" for word, digest in digests.items()},
    }
    client: Any = boto3.Session().client("ecr", region_name=REGION, endpoint_url=cloud.url)
    there = {
        tag: one["imageDigest"]
        for one in client.describe_images(repositoryName=REPOSITORY)["imageDetails"]
        for tag in one.get("imageTags", ())
    }
    assert there == {VERSIONS[word]: digest for word, digest in digests.items()}


def test_a_version_keeps_what_was_new_in_it(cloud: Cloud, releases: dict[str, Path]) -> None:
    deploy(releases["one"], notes="the first image")
    deploy(releases["two"], notes="1 package upgraded, " + "x" * 2000)
    from moto.ssm.models import ssm_backends

    there = ssm_backends[ACCOUNT][REGION]._parameters
    told = {name: versions[-1].description for name, versions in there.items()}
    assert told[f"/images/base/{VERSIONS['one']}"] == "the first image"
    assert told[f"/images/base/{VERSIONS['two']}"].startswith("1 package upgraded")
    assert len(told[f"/images/base/{VERSIONS['two']}"]) == 1024
    assert not told["/images/base/latest"]


def test_all_platforms_of_an_image_arrive(cloud: Cloud, releases: dict[str, Path]) -> None:
    deploy(releases["two"])
    for digest in json.loads((releases["two"] / "image.json").read_text())["platforms"].values():
        manifest = json.loads(cloud.registry.blobs[digest])
        assert all(layer["digest"] in cloud.registry.blobs for layer in manifest["layers"])


def test_a_rollback_moves_latest_back_and_pushes_nothing(cloud: Cloud, releases: dict[str, Path]) -> None:
    for path in releases.values():
        deploy(path)
    before = len(cloud.registry.uploads), dict(cloud.registry.blobs)
    deploy(releases["one"], back=True, at_once=True)
    assert running() == "one"
    assert (len(cloud.registry.uploads), dict(cloud.registry.blobs)) == before


def test_latest_is_moved_last(cloud: Cloud, releases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while the image is on its way gets the one before."""
    import images

    deploy(releases["one"])
    real, seen = images.push, []

    def push(*words: Any) -> str:
        said = real(*words)
        seen.append(running())
        return said

    monkeypatch.setattr(images, "push", push)
    deploy(releases["two"])
    assert (seen, running()) == (["one"], "two")


def test_who_moves_latest_meanwhile_is_not_overrun(cloud: Cloud, releases: dict[str, Path]) -> None:
    import runner
    from moto.ssm.models import ssm_backends

    deploy(releases["one"])
    ssm = ssm_backends[ACCOUNT][REGION]
    put = lambda: ssm.put_parameter(LATEST, "", "mine", "String", "", "", True, [], "text", "Standard", "")  # noqa: E731
    with pytest.raises(runner.Failed, match="somebody moved /images/base/latest meanwhile, to mine"):
        deploy(releases["two"], before=put)
    assert parameters(cloud)[LATEST] == "mine"
    assert running() == ""  # of no release
    deploy(releases["two"])
    assert running() == "two"


def test_a_version_is_written_once(cloud: Cloud, releases: dict[str, Path]) -> None:
    import runner

    deploy(releases["one"])
    said = json.loads((releases["two"] / "image.json").read_text())
    (releases["two"] / "image.json").write_text(json.dumps({**said, "version": VERSIONS["one"]}))
    with pytest.raises(runner.Failed, match="and the release's is sha256"):
        deploy(releases["two"])
    assert running() == "one"


def test_an_image_that_is_not_what_was_signed_is_not_published(cloud: Cloud, releases: dict[str, Path]) -> None:
    """image.json is signed; the archive is held against it when it arrives."""
    import runner

    deploy(releases["one"])
    with zipfile.ZipFile(releases["two"] / "package.zip", "w") as package:
        package.write(releases["one"] / "image.tar", "image.tar")
    with pytest.raises(runner.Failed, match="and the release's is sha256"):
        deploy(releases["two"])
    assert running() == "one"


def test_what_runs_is_known_where_one_image_has_several_versions(
    cloud: Cloud, releases: dict[str, Path], tmp_path: Path
) -> None:
    """The same commit, built again: another release and version, and the image is the same byte by byte."""
    import images

    said = json.loads((releases["one"] / "image.json").read_text())
    for word, version in {"again": "2026.11.28-1.2", "more": "2026.11.28-1.3"}.items():
        shutil.copytree(releases["one"], tmp_path / word)
        (tmp_path / word / "image.json").write_text(json.dumps({**said, "version": version}))
    for word in ("one", "again", "two", "again", "one", "two", "one", "again"):
        deploy(tmp_path / word)
        assert running() == word
    # A runner that was lost before the parameter of the version was written leaves a tag of the image alone.
    images.push(tmp_path / "more/package.zip", REGION, ACCOUNT, REPOSITORY, "2026.11.28-1.3")
    assert running() == "again"
    deploy(tmp_path / "more")
    assert running() == "more"


def test_a_rollback_to_a_commit_asks_no_region_for_a_version(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The region that is asked may be the one that fails."""
    import aws
    from deployers import ecr

    monkeypatch.setattr(aws, "call", lambda *_, **__: pytest.fail("it asks"))
    for word in ("c0ffee0", "latest", "2026.11.28", "a b"):
        assert ecr.named(target(), word) == ""


@pytest.mark.parametrize("version", ["latest", "", "../other/latest", "2026.11.28-1/x", 1])
def test_a_version_that_dpra_did_not_make_is_refused(cloud: Cloud, releases: dict[str, Path], version: Any) -> None:
    """The job that builds runs the repository's own commands: what it says is data, and held against what it may be."""
    import runner

    said = json.loads((releases["one"] / "image.json").read_text())
    (releases["one"] / "image.json").write_text(json.dumps({**said, "version": version}))
    with pytest.raises(runner.Failed, match="does not say what image it is"):
        deploy(releases["one"])
    assert parameters(cloud) == {}


def test_a_version_names_its_release(cloud: Cloud, releases: dict[str, Path]) -> None:
    from deployers import ecr

    deploy(releases["one"])
    assert ecr.named(target(), VERSIONS["one"]).lstrip("0") == "one"
    assert ecr.named(target(), "2026.11.28-3") == ""


def test_a_rollback_by_hand_takes_the_version_and_any_other_word_as_it_is(
    cloud: Cloud, releases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import deployment

    deploy(releases["one"])
    for name, value in {"TOOL": "ecr", "COMPONENT": "base", "ENVIRONMENT": "prod", "ACCOUNT": ACCOUNT}.items():
        monkeypatch.setenv(f"INPUT_{name}", value)
    assert deployment.release_named(VERSIONS["one"], REGION, "bucket").lstrip("0") == "one"
    for word in ("", "c0ffee0", "latest"):
        assert deployment.release_named(word, REGION, "bucket") == word


@pytest.mark.parametrize("cloud", ["product"], indirect=True)
def test_service_catalog_offers_what_runs_and_not_what_went_back(
    cloud: Cloud, releases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import published

    catalog = admin(cloud, "servicecatalog")
    [own] = re.findall(r"prod-\w+", (tmp_path / "made/dpra.yml").read_text())

    def offered() -> dict[str, bool]:
        found = catalog.list_provisioning_artifacts(ProductId=own)["ProvisioningArtifactDetails"]
        return {one["Name"]: one["Active"] for one in found if one["Name"] != "none"}

    for path in releases.values():
        (path / "template.yml").write_text(PRODUCT)
        deploy(path, products={REGION: own})
    assert offered() == {VERSIONS["one"]: True, VERSIONS["two"]: True}
    with monkeypatch.context() as patch:  # the runner is lost in the middle of the rollback
        patch.setattr(published, "put", lambda *_, **__: sys.exit())
        with pytest.raises(SystemExit):
            deploy(releases["one"], back=True, products={REGION: own})
        patch.undo()
        patch.setattr(published, "offer", lambda *_: sys.exit())
        with pytest.raises(SystemExit):
            deploy(releases["one"], back=True, products={REGION: own})
    deploy(releases["one"], back=True, products={REGION: own})
    assert offered() == {VERSIONS["one"]: True, VERSIONS["two"]: False}
    deploy(releases["two"], products={REGION: own})
    assert offered() == {VERSIONS["one"]: True, VERSIONS["two"]: True}


def test_the_role_can_move_latest_and_no_version(cloud: Cloud, releases: dict[str, Path]) -> None:
    import aws

    deploy(releases["one"])
    own = f"/images/base/{VERSIONS['one']}"
    with pytest.raises(aws.Refused, match="AccessDenied"):
        aws.call(REGION, "ssm", "put-parameter", Name=own, Value="x", Type="String", Overwrite=True)
    assert parameters(cloud)[own] == parameters(cloud)[LATEST]


def test_the_role_reaches_no_other_components_image(cloud: Cloud, releases: dict[str, Path]) -> None:
    import aws

    with pytest.raises(aws.Refused, match="AccessDenied"):
        aws.call(REGION, "ssm", "put-parameter", Name="/images/other/latest", Value="x", Type="String", Overwrite=True)
    asked = {"registryId": ACCOUNT, "repositoryName": "images/other", "imageIds": [{"imageTag": "x"}]}
    with pytest.raises(aws.Refused, match="AccessDenied"):
        aws.call(REGION, "ecr", "describe-images", **asked)
