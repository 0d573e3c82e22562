"""The deploy tool ami: production's own copy of an AMI, by the rehearsal's Image Builder, and what names it."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import rights
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer

pytestmark = pytest.mark.slow  # machines are made

PROD, TEST, CONSUMER = "333333333333", "444444444444", "555555555555"
HERE, FAR = "eu-west-1", "us-east-1"  # where AMIs are built, and another region
LATEST, ORGANIZATION = "/images/base/latest", f"arn:aws:organizations::{PROD}:organization/o-abcdefghij"
VERSIONS = {"one": "2026.11.28-1", "two": "2026.11.28-2.2"}
PRODUCT = """Resources:
  Template:
    Type: AWS::EC2::LaunchTemplate
    Properties: {LaunchTemplateData: {ImageId: "{{resolve:ssm:/images/base/VERSION}}"}}
"""
EXECUTION = f"arn:aws:iam::{PROD}:role/dpra-base-prod-execution"
SPEC = f"""name: base
pipeline: compute-image
repository: acme/base
regions: [{HERE}, {FAR}]
environments: {{test: {{account: "{TEST}"}}, prod: {{account: "{PROD}"}}}}
image: {{kind: machine, parent: /debian%s}}
"""

Client = Callable[..., Any]


@pytest.fixture
def client(acting: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A rehearsal's AWS, and a job's environment with production's role, that has no right more; clients with all."""
    with Cloud(Issuer("acme/base", "main", "a" * 40)) as cloud:

        def client(service: str, region: str = HERE, account: str = PROD) -> Any:
            session = cloud.give(f"arn:aws:iam::{account}:role/admin", "test", 12 * 3600)
            given = {"aws_access_key_id": session.access_key_id, "aws_secret_access_key": session.secret_access_key}
            given |= {"aws_session_token": session.session_token, "endpoint_url": cloud.url}
            return boto3.client(service, region_name=region, **given)

        iam = client("iam")
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "imagebuilder.amazonaws.com"}}]}
        iam.create_role(RoleName="dpra-base-prod-execution", AssumeRolePolicyDocument=json.dumps(trust))
        role = iam.create_role(RoleName="dpra-base-prod", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        document = json.dumps({"Version": "2012-10-17", "Statement": rights.of(SPEC % "", "prod", "ProdRole")})
        iam.put_role_policy(RoleName="dpra-base-prod", PolicyName="deploy", PolicyDocument=document)
        acting(cloud, role, GITHUB_RUN_ID="7", GITHUB_RUN_ATTEMPT="1")
        monkeypatch.setattr("time.sleep", lambda _: None)
        yield client


@pytest.fixture
def releases(client: Client, tmp_path: Path) -> dict[str, Path]:
    """Two releases, whose AMIs the account of tests built and lends to production."""
    return {word: release(client, tmp_path / word) for word in VERSIONS}


def release(client: Client, folder: Path, account: str = TEST, said: dict[str, Any] | None = None) -> Path:
    folder.mkdir()
    ami, digest = built(client, folder.name, account), f"sha256:{folder.name.encode().hex():0>64}"
    content = {"name": "base", "version": VERSIONS[folder.name], "digest": digest, "platforms": {"linux/amd64": digest}}
    content |= {"recipe": digest, "base": {"image": "/debian", "digest": "ami-0a1b2c3d4e5f60718"}}
    content |= {"ami": {"id": ami, "region": HERE, "account": account, **(said or {})}}
    (folder / "image.json").write_text(json.dumps(content))
    return folder


def built(client: Client, word: str, account: str = TEST) -> str:
    """An AMI as baking leaves it."""
    from moto.ec2.models import ec2_backends

    ec2 = client("ec2", account=account)
    public = next(one.id for one in ec2_backends[account][HERE].amis.values() if one.owner_id != account)
    instance = ec2.run_instances(ImageId=public, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    ami = str(ec2.create_image(InstanceId=instance, Name=word)["ImageId"])
    tags = {"dpra:component": "base", "dpra:version": VERSIONS[word]}
    ec2.create_tags(Resources=[ami], Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
    added = {"Add": [{"UserId": PROD}]}
    ec2.modify_image_attribute(ImageId=ami, LaunchPermission=added)
    [made] = ec2.describe_images(ImageIds=[ami])["Images"]
    snapshot = made["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]  # which a copy reads
    ec2.modify_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission", CreateVolumePermission=added)
    return ami


def ami_of(path: Path) -> str:
    return str(json.loads((path / "image.json").read_text())["ami"]["id"])


def target(region: str = HERE, **settings: Any) -> Any:
    from deployment import Target

    return Target("base", "prod", PROD, region, f"dpra-base-{PROD}-{region}", "", settings, EXECUTION)


def deploy(path: Path, region: str = HERE, before: Any = lambda: None, **more: Any) -> Any:
    import deployment
    from deployers import ami

    settings = {key: more.pop(key) for key in ("accounts", "organization", "products") if key in more}
    change = deployment.Change(path, f"{path.name:0>64}", "c" * 40, before, True, **more)
    return ami.deploy(target(region, **settings), change)


def running(region: str = HERE) -> str:
    from deployers import ami

    return ami.running(target(region)).lstrip("0")


def parameters(client: Client, region: str = HERE) -> dict[str, str]:
    found = client("ssm", region).get_parameters_by_path(Path="/images/base")["Parameters"]
    return {one["Name"]: one["Value"] for one in found}


def copies(client: Client, region: str = HERE) -> dict[str, dict[str, Any]]:
    """Production's own AMIs."""
    found = client("ec2", region).describe_images(Owners=["self"])["Images"]
    return {one["ImageId"]: {**one, "Tags": {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}} for one in found}


def permissions(client: Client, ami: str, region: str = HERE) -> list[dict[str, str]]:
    asked = {"ImageId": ami, "Attribute": "launchPermission"}
    return list(client("ec2", region).describe_image_attribute(**asked)["LaunchPermissions"])


@pytest.mark.parametrize("region", [HERE, FAR])
def test_consumers_find_productions_own_copy_and_every_version_stays(
    client: Client, releases: dict[str, Path], region: str
) -> None:
    assert running(region) == ""
    for word, path in releases.items():
        done = deploy(path, region)
        own = parameters(client, region)[LATEST]
        assert running(region) == word
        assert done.outputs == {"ImageId": own, "ImageVersion": VERSIONS[word], "Parameter": LATEST}
        made = copies(client, region)[own]
        assert (made["OwnerId"], made["SourceImageId"], made["State"]) == (PROD, ami_of(path), "available")
        assert made["Name"].startswith(f"base {VERSIONS[word]} 20")
        assert (made["Tags"]["dpra:component"], made["Tags"]["dpra:version"]) == ("base", VERSIONS[word])
        assert parameters(client, region)[f"/images/base/{VERSIONS[word]}"] == own
    assert len(copies(client, region)) == len(parameters(client, region)) - 1 == 2
    kinds = client("ssm", region).describe_parameters()["Parameters"]
    assert {one["DataType"] for one in kinds} == {"aws:ec2:image"}
    ec2 = client("ec2", region)
    assert ec2.run_instances(ImageId=f"resolve:ssm:{LATEST}", MinCount=1, MaxCount=1)["Instances"]


def test_those_whom_the_settings_name_may_use_the_copy_also_an_older_one(
    client: Client, releases: dict[str, Path]
) -> None:
    deploy(releases["one"], accounts=[CONSUMER])
    own = parameters(client)[LATEST]
    assert permissions(client, own) == [{"UserId": CONSUMER}]
    deploy(releases["one"], accounts=[CONSUMER, PROD], organization=ORGANIZATION)  # the copy is there
    assert permissions(client, own) == [{"UserId": CONSUMER}, {"OrganizationArn": ORGANIZATION}]
    deploy(releases["two"], accounts=[CONSUMER], organization=ORGANIZATION)
    made = client("imagebuilder").list_image_build_versions()["imageSummaryList"]
    assert len(made) == 2
    [configured] = client("imagebuilder").list_distribution_configurations()["distributionConfigurationSummaryList"]
    assert configured["name"] == f"dpra-base-{HERE}"
    found = client("imagebuilder").get_distribution_configuration(distributionConfigurationArn=configured["arn"])
    [said] = found["distributionConfiguration"]["distributions"]
    sharing = said["amiDistributionConfiguration"]["launchPermission"]
    assert sharing == {"userIds": [CONSUMER], "organizationArns": [ORGANIZATION]}


def test_a_rollback_needs_nothing_but_the_copy(client: Client, releases: dict[str, Path]) -> None:
    for path in releases.values():
        deploy(path)
    for path in releases.values():
        client("ec2", account=TEST).deregister_image(ImageId=ami_of(path))
    before = copies(client).keys()
    deploy(releases["one"], back=True, at_once=True)
    assert (running(), copies(client).keys()) == ("one", before)


def test_the_region_is_about_to_be_changed_before_anybody_can_find_the_copy(
    client: Client, releases: dict[str, Path]
) -> None:
    import runner

    seen: list[Any] = []
    deploy(releases["one"], before=lambda: seen.append((copies(client), parameters(client))))
    assert seen == [({}, {})]

    def stop() -> None:
        raise runner.Failed("the record cannot be written")

    with pytest.raises(runner.Failed, match="cannot be written"):
        deploy(releases["two"], before=stop)
    assert (running(), len(copies(client))) == ("one", 1)


def test_a_copy_that_is_there_is_taken(
    client: Client, releases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner was lost when it was made."""
    import published

    with monkeypatch.context() as patch:
        patch.setattr(published, "put", lambda *_, **__: sys.exit())
        with pytest.raises(SystemExit):
            deploy(releases["one"])
    [own] = copies(client)
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "2")
    assert deploy(releases["one"]).outputs["ImageId"] == own
    assert ([*copies(client)], running()) == ([own], "one")


def test_a_copy_that_a_lost_runner_began_is_awaited(
    client: Client, releases: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from deployers import ami

    with monkeypatch.context() as patch:
        patch.setattr(ami, "polls", lambda: sys.exit())
        with pytest.raises(SystemExit):
            deploy(releases["one"])
    assert not copies(client)
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "2")
    deploy(releases["one"])
    assert (len(copies(client)), running()) == (1, "one")
    assert len(client("imagebuilder").list_image_build_versions()["imageSummaryList"]) == 1
    assert "is under way already" in capsys.readouterr().out


def test_a_copy_that_ec2_still_makes_is_awaited(
    client: Client, releases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import aws
    from moto.ec2.models import ec2_backends

    deploy(releases["one"])
    [own] = copies(client)
    client("ssm").delete_parameters(Names=[*parameters(client)])
    ec2_backends[PROD][HERE].amis[own].state = "pending"
    real, looks = aws.call, list[str]()

    def call(*words: Any, **more: Any) -> Any:
        answer = real(*words, **more)
        looks.extend(["look"] if words[2] == "describe-images" else [])
        if len(looks) > 3:
            ec2_backends[PROD][HERE].amis[own].state = "available"
        return answer

    monkeypatch.setattr(aws, "call", call)
    assert deploy(releases["one"]).outputs["ImageId"] == own
    assert (len(copies(client)), len(looks)) == (1, 5)


def test_a_copy_that_fails_says_why_and_latest_stays(client: Client, releases: dict[str, Path]) -> None:
    import runner
    from dpra.rehearsal.mends.imagebuilder import images

    deploy(releases["one"])
    images.DOOMED.add((PROD, HERE))
    with pytest.raises(runner.Failed, match=f"did not copy {ami_of(releases['two'])} to {HERE}: .*internal error"):
        deploy(releases["two"])
    assert running() == "one"


def test_progress_is_said(client: Client, releases: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    deploy(releases["one"])
    said = [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines() if line.startswith("Image Build")]
    assert said == ["DISTRIBUTING", "AVAILABLE"]


def test_an_ami_of_the_same_account_and_region_is_used_itself(client: Client, tmp_path: Path) -> None:
    path = release(client, tmp_path / "one", PROD)
    done = deploy(path, accounts=[CONSUMER])
    assert done.outputs["ImageId"] == ami_of(path) == parameters(client)[LATEST]
    assert (running(), len(copies(client))) == ("one", 1)
    assert {"UserId": CONSUMER} in permissions(client, ami_of(path))
    assert not client("imagebuilder").list_image_build_versions()["imageSummaryList"]
    done = deploy(path, FAR)
    assert (running(FAR), copies(client, FAR)[done.outputs["ImageId"]]["SourceImageId"]) == ("one", ami_of(path))


def test_an_ami_that_is_not_lent_is_told(client: Client, releases: dict[str, Path]) -> None:
    import runner

    client("ec2", account=TEST).modify_image_attribute(
        ImageId=ami_of(releases["one"]), LaunchPermission={"Remove": [{"UserId": PROD}]}
    )
    with pytest.raises(runner.Failed, match=f"{PROD} sees no {ami_of(releases['one'])} in {HERE}"):
        deploy(releases["one"])
    assert parameters(client) == {}


def test_an_ami_that_is_no_copy_of_the_tested_one_is_not_taken_whatever_its_tags_say(
    client: Client, releases: dict[str, Path]
) -> None:
    forged = built(client, "one", PROD)
    done = deploy(releases["one"])
    assert done.outputs["ImageId"] != forged
    assert copies(client)[done.outputs["ImageId"]]["SourceImageId"] == ami_of(releases["one"])


def test_what_image_builder_made_of_something_else_is_not_published(
    client: Client, releases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody changed the configuration meanwhile; the AMI says what it is."""
    import runner
    from dpra.rehearsal.mends import machines

    with monkeypatch.context() as patch:
        patch.setattr(machines, "from_source", lambda made, *_: made)
        with pytest.raises(runner.Failed, match=f"is no copy of {ami_of(releases['one'])}, which was tested"):
            deploy(releases["one"])
    real = machines.copied

    def copied(*words: Any) -> Any:
        made = real(*words)
        made.add_tags = lambda tags: type(made).add_tags(made, {**tags, "dpra:version": VERSIONS["one"]})
        return made

    monkeypatch.setattr(machines, "copied", copied)
    with pytest.raises(runner.Failed, match=r"has the dpra:version '2026.11.28-1', and it must be 2026.11.28-2.2"):
        deploy(releases["two"])
    assert parameters(client) == {}


def test_a_copy_of_a_copy_is_one(client: Client, releases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As EC2 says it where Image Builder goes by another region."""
    from moto.ec2.models import ec2_backends

    deploy(releases["one"])
    deploy(releases["one"], FAR)
    [own], [far] = copies(client), copies(client, FAR)
    ec2_backends[PROD][FAR].amis[far].source_image_id = own
    assert deploy(releases["one"], FAR).outputs["ImageId"] == far
    client("ec2").deregister_image(ImageId=own)
    import runner

    with pytest.raises(runner.Failed, match="choose another version"):
        deploy(releases["one"], FAR)


def test_a_version_is_written_once(client: Client, releases: dict[str, Path]) -> None:
    import runner

    deploy(releases["one"])
    deploy(releases["two"])
    said = json.loads((releases["two"] / "image.json").read_text())
    (releases["two"] / "image.json").write_text(json.dumps({**said, "version": VERSIONS["one"]}))
    with pytest.raises(runner.Failed, match="no AMI of this release here: choose another version"):
        deploy(releases["two"], before=lambda: pytest.fail("nothing is about to change"))
    assert (running(), len(copies(client))) == ("two", 2)


def test_a_version_whose_copy_is_gone_is_told(client: Client, releases: dict[str, Path]) -> None:
    import runner

    for path in releases.values():
        deploy(path)
    client("ec2").deregister_image(ImageId=parameters(client)[f"/images/base/{VERSIONS['one']}"])
    with pytest.raises(runner.Failed, match="no AMI of this release here: choose another version"):
        deploy(releases["one"], back=True)
    assert running() == "two"


def test_who_moves_latest_meanwhile_is_not_overrun(client: Client, releases: dict[str, Path]) -> None:
    import runner

    deploy(releases["one"])
    mine = built(client, "two", PROD)

    def moved() -> None:
        client("ssm").put_parameter(Name=LATEST, Value=mine, Type="String", DataType="aws:ec2:image", Overwrite=True)

    with pytest.raises(runner.Failed, match=f"somebody moved {LATEST} meanwhile, to {mine}"):
        deploy(releases["two"], before=moved)
    assert (parameters(client)[LATEST], running()) == (mine, "")  # of no release: no version's parameter names it
    deploy(releases["two"])
    assert running() == "two"


def test_a_parameter_that_systems_manager_does_not_keep_is_told(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is where the role may not see AMIs: the request is answered as ever."""
    import published
    import runner
    from dpra.rehearsal.mends import machines

    path = release(client, tmp_path / "one", PROD)
    monkeypatch.setattr(published, "LOOKS", 2)
    monkeypatch.setattr(machines, "visible", lambda *_: None)
    with pytest.raises(runner.Failed, match=f"did not keep {ami_of(path)} in /images/base/{VERSIONS['one']}"):
        deploy(path)
    assert (parameters(client), running()) == ({}, "")


def test_a_version_names_its_release_and_another_word_none(client: Client, releases: dict[str, Path]) -> None:
    from deployers import ami

    deploy(releases["one"])
    assert ami.named(target(), VERSIONS["one"]).lstrip("0") == "one"
    for word in ("2026.11.28-3", "latest", "c0ffee0", ""):
        assert ami.named(target(), word) == ""


@pytest.mark.parametrize(
    "said", [{"id": "ami-x"}, {"id": "/images/x"}, {"region": "eu west"}, {"account": "x"}, {"id": None}]
)
def test_an_image_json_that_names_no_ami_is_refused(client: Client, tmp_path: Path, said: dict[str, Any]) -> None:
    import runner

    with pytest.raises(runner.Failed, match=r"image\.json (names no AMI|does not say what image it is)"):
        deploy(release(client, tmp_path / "one", said=said))


def test_without_an_execution_role_nothing_is_copied(client: Client, releases: dict[str, Path]) -> None:
    import dataclasses

    import deployment
    import runner
    from deployers import ami

    change = deployment.Change(releases["one"], "1" * 64, "c" * 40, lambda: None, True)
    with pytest.raises(runner.Failed, match="'execution-role' must be an ARN"):
        ami.deploy(dataclasses.replace(target(), execution_role=""), change)


def product(client: Client) -> str:
    """A product of Service Catalog, as an administrator makes it, and the role of a spec that has it; its id."""
    s3, bucket = client("s3"), f"dpra-base-{PROD}-{HERE}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": HERE})
    s3.put_object(Bucket=bucket, Key="none.yml", Body=PRODUCT.encode())
    place = f"https://{bucket}.s3.{HERE}.amazonaws.com/none.yml"
    first = {"Name": "none", "Info": {"LoadTemplateFromURL": place}, "Type": "CLOUD_FORMATION_TEMPLATE"}
    made = client("servicecatalog").create_product(
        Name="base", Owner="platform", ProductType="CLOUD_FORMATION_TEMPLATE", ProvisioningArtifactParameters=first
    )
    found = str(made["ProductViewDetail"]["ProductViewSummary"]["ProductId"])
    statements = rights.of(SPEC % f", products: {{{HERE}: {found}}}", "prod", "ProdRole")
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    client("iam").put_role_policy(RoleName="dpra-base-prod", PolicyName="deploy", PolicyDocument=document)
    return found


def test_service_catalog_offers_what_runs_and_not_what_went_back(client: Client, releases: dict[str, Path]) -> None:
    own = product(client)
    for path in releases.values():
        (path / "template.yml").write_text(PRODUCT)
        deploy(path, products={HERE: own})
    deploy(releases["one"], back=True, products={HERE: own})
    found = client("servicecatalog").list_provisioning_artifacts(ProductId=own)["ProvisioningArtifactDetails"]
    offered = {one["Name"]: one["Active"] for one in found if one["Name"] != "none"}
    assert offered == {VERSIONS["one"]: True, VERSIONS["two"]: False}


def test_the_role_can_move_latest_and_no_version_and_reaches_nothing_of_others(
    client: Client, releases: dict[str, Path]
) -> None:
    import aws

    deploy(releases["one"])
    own = parameters(client)[LATEST]
    theirs = built(client, "two", PROD)
    client("ec2").create_tags(Resources=[theirs], Tags=[{"Key": "dpra:component", "Value": "bank"}])
    put = {"Value": own, "Type": "String", "Overwrite": True}
    for operation, asked in (
        ("ssm put-parameter", {"Name": f"/images/base/{VERSIONS['one']}", **put}),
        ("ssm put-parameter", {"Name": "/images/bank/latest", **put}),
        ("ec2 modify-image-attribute", {"ImageId": theirs, "LaunchPermission": {"Add": [{"UserId": CONSUMER}]}}),
        ("ec2 deregister-image", {"ImageId": own}),
        (
            "imagebuilder create-distribution-configuration",
            {"name": "dpra-bank-x", "distributions": [{"region": HERE}]},
        ),
    ):
        with pytest.raises(aws.Refused, match=r"AccessDenied|UnauthorizedOperation"):
            aws.call(HERE, *operation.split(), **asked)
