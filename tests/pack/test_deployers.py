"""Each deploy tool brings a first release, a second one, and the first one again; what stops it says the way out.

Against moto, with the real CLI and the real Terraform; ECS and AppConfig have files of their own."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from .conftest import ACCOUNT, ONE, REGION, TWO, Bench, failed, stop

# ---- S3


SITE = {
    "bucket": "site-{environment}-{account}",
    "immutable": ["assets/*"],
    "url": "https://{environment}.shop.example",
}


@pytest.fixture
def site(bench: Bench, cloud: Any) -> Any:
    """The objects of a site's bucket: key -> content and what a browser is told."""
    s3 = cloud("s3")
    name = f"site-gamma-{ACCOUNT}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=name, Key="robots.txt", Body=b"not dpra's")
    bench.use("s3", **SITE)

    def objects() -> dict[str, tuple[str, str]]:
        found = {}
        for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
            one = s3.get_object(Bucket=name, Key=item["Key"])
            found[item["Key"]] = (one["Body"].read().decode(), one.get("CacheControl", ""))
        found.pop(".dpra.json", None)
        return found

    return objects


PAGES = {"index.html": "<p>1</p>", "about/index.html": "same", "assets/app.1.js": "one"}
PAGES_TWO = {"index.html": "<p>2</p>", "about/index.html": "same", "assets/app.2.js": "two"}


def test_s3_there_and_back(bench: Bench, site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = bench.release(ONE, PAGES), bench.release(TWO, PAGES_TWO)
    assert bench.running == ""
    done = bench.deploy(one)
    assert (bench.running, done.outputs) == (
        one,
        {"Bucket": f"site-gamma-{ACCOUNT}", "Url": "https://gamma.shop.example"},
    )
    asked, kept = "public, max-age=0, must-revalidate", "public, max-age=31536000, immutable"
    first = {
        "about/index.html": ("same", asked),
        "assets/app.1.js": ("one", kept),
        "index.html": ("<p>1</p>", asked),
        "robots.txt": ("not dpra's", ""),
    }
    assert site() == first
    bench.says(capsys)
    bench.deploy(two, TWO)
    said = bench.says(capsys)
    assert [line for line in said.splitlines() if "  " in line or line.startswith(("add", "change", "delete"))] == [
        "add assets/app.2.js",
        "change index.html",
        "delete assets/app.1.js",
    ]
    assert set(site()) == {"about/index.html", "assets/app.2.js", "index.html", "robots.txt"}
    bench.back(one)
    assert (site(), bench.running) == (first, one)
    bench.deploy(one)
    assert "no changes" in bench.says(capsys)


def test_s3_changes_nothing_before_it_may(bench: Bench, site: Any) -> None:
    one = bench.release(ONE, PAGES)
    with failed("the record cannot be written"):
        bench.deploy(one, before=stop)
    assert set(site()) == {"robots.txt"}
    assert bench.running == ""


def test_s3_what_did_not_end_is_ended_by_the_next(
    bench: Bench, site: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import aws

    one, two = bench.release(ONE, PAGES), bench.release(TWO, PAGES_TWO)
    bench.deploy(one)
    call = aws.call
    monkeypatch.setattr(aws, "call", lambda *a, **b: stop() if b.get("Delete") else call(*a, **b))
    with failed("cannot be written"):
        bench.deploy(two, TWO)
    monkeypatch.setattr(aws, "call", call)
    assert bench.running == ""  # nobody knows
    bench.back(one)
    assert "did not end; this one replaces it" in bench.says(capsys)
    assert bench.running == one
    assert set(site()) == {"about/index.html", "assets/app.1.js", "index.html", "robots.txt"}
    assert site()["index.html"][0] == "<p>1</p>"


def test_s3_tells_cloudfront_and_waits(bench: Bench, site: Any, cloud: Any) -> None:
    import runner

    origin = {"Id": "o", "DomainName": "site.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    behaviour = {"TargetOriginId": "o", "ViewerProtocolPolicy": "https-only", "MinTTL": 0}
    behaviour["ForwardedValues"] = {"QueryString": False, "Cookies": {"Forward": "none"}}  # type: ignore[assignment]
    configuration = {
        "CallerReference": "1", "Comment": "", "Enabled": True, "Origins": {"Quantity": 1, "Items": [origin]},
        "Aliases": {"Quantity": 1, "Items": ["gamma.shop.example"]}, "DefaultCacheBehavior": behaviour,
    }  # fmt: skip
    made = cloud("cloudfront").create_distribution(DistributionConfig=configuration)["Distribution"]
    bench.use("s3", **SITE, distribution="{environment}.shop.example")
    done = bench.deploy(bench.release(ONE, PAGES))
    [listed] = cloud("cloudfront").list_invalidations(DistributionId=made["Id"])["InvalidationList"]["Items"]
    assert done.change == listed["Id"]
    bench.use("s3", **SITE, distribution="other.example")
    with pytest.raises(
        runner.Failed, match=r"no CloudFront distribution has the domain name other\.example: correct deploy"
    ):
        bench.deploy(bench.release(TWO, PAGES))


def test_s3_by_the_actions_and_back_by_the_record(
    bench: Bench, job: Any, cloud: Any, site: Any, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same through `deploy` and `release`: what a wave brought goes back, as the record says, from the store."""
    import record
    import release
    import signature
    import store

    key = cloud("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    job.env |= server | {"PATH": f"{server['PATH']}"}
    monkeypatch.setenv("GITHUB_REPOSITORY_ID", "1")
    monkeypatch.setenv("GITHUB_WORKFLOW_REF", "acme/shop/.github/workflows/pipeline.yml@refs/heads/main")
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
    job.env["GITHUB_REPOSITORY_ID"] = "1"
    digests = [bench.release(commit, pages) for commit, pages in ((ONE, PAGES), (TWO, PAGES_TWO))]
    for digest, commit in zip(digests, (ONE, TWO), strict=True):
        folder = job.workspace / digest
        monkeypatch.setenv("GITHUB_SHA", commit)
        (folder / "provenance.json").write_text(json.dumps(release.statement(folder, digest)))
        signature.sign(folder, key)
        store.put(REGION, "packages", ACCOUNT, "shop", digest, folder)
    place = record.Place(REGION, "packages", "shop/record.json", ACCOUNT)
    good, new = ({"digest": digest, "commit": commit} for digest, commit in zip(digests, (ONE, TWO), strict=True))

    def lock(kept: Any) -> None:
        record.acquire_lock(kept, "7", new, lambda *_: "ahead", 1e12, 100.0, False)
        kept["regions"][REGION] = {"good": good, "now": None}

    record.change(place, lock)
    bench.deploy(digests[0])
    common = {"component": "shop", "account": ACCOUNT, "bucket": "packages", "signing_key": key, "tool": "s3"}
    common["built_by"] = ".github/workflows/pipeline.yml@refs/heads/main"
    common |= {"settings": json.dumps(SITE), "record": "s3://packages/shop/record.json", "record_region": REGION}
    common["environment"] = "gamma"
    job.env["GITHUB_SHA"] = TWO
    about = {"region": REGION, "store": "packages", "store_region": REGION, "wave": "1", "digest": digests[1]}
    ran = job.use("deploy", **common, **about)
    assert (ran.code, ran.errors, ran.record["tool"]) == (0, [], "s3")
    assert json.loads(ran.outputs["deployment-outputs"])["Url"] == "https://gamma.shop.example"
    assert site()["index.html"][0] == "<p>2</p>"
    ran = job.use("release", do="rollback", regions=REGION, token="none", **common)
    assert (ran.code, ran.errors) == (0, [])
    assert (site()["index.html"][0], bench.running) == ("<p>1</p>", digests[0])
    assert record.read(place)[0]["regions"][REGION] == {"good": good, "now": None}


def test_s3_needs_its_bucket(bench: Bench, cloud: Any) -> None:
    bench.use("s3", bucket="nowhere")
    with failed("there is no bucket nowhere: create it first"):
        bench.deploy(bench.release(ONE, PAGES))


# ---- Lambda


def zipped(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("app.py", text)
    return file.getvalue()


@pytest.fixture
def function(bench: Bench, cloud: Any) -> Any:
    """A function; what the alias does."""
    role = cloud("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    lambda_ = cloud("lambda")
    lambda_.create_function(
        FunctionName="shop-gamma", Runtime="python3.13", Role=role, Handler="app.handler",
        Code={"ZipFile": zipped("0")},
    )  # fmt: skip
    bench.use("lambda", function="shop-{environment}", strategy="linear", percent=40, pause=3)

    def code() -> str:
        """What callers of the alias get."""
        alias = lambda_.get_alias(FunctionName="shop-gamma", Name="live")
        assert not (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights")
        from moto.awslambda.models import lambda_backends

        version = lambda_backends[ACCOUNT][REGION].get_function("shop-gamma", alias["FunctionVersion"])
        return zipfile.ZipFile(io.BytesIO(version.code_bytes)).read("app.py").decode()

    return code


def watched(cloud: Any, name: str = "errors", state: str = "OK") -> str:
    cloudwatch = cloud("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name, MetricName="m", Namespace="n", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"


def test_lambda_there_and_back(bench: Bench, cloud: Any, function: Any, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = bench.release(ONE, {"app.py": "one"}), bench.release(TWO, {"app.py": "two"})
    alarm = watched(cloud)
    assert bench.running == ""
    done = bench.deploy(one)
    assert (function(), bench.running) == ("one", one)
    assert done.outputs["FunctionArn"].endswith(":function:shop-gamma:live")
    assert not any("slept 180" in what for what in bench.happened)  # there was nothing to shift from
    bench.says(capsys)
    bench.deploy(two, TWO, triggers=[alarm])
    said = bench.says(capsys)
    assert "40% then 80% then 100%" in said
    assert [line for line in said.splitlines() if "of the calls go" in line] == [
        "40% of the calls go to version 2",
        "80% of the calls go to version 2",
    ]
    assert bench.happened.count("slept 180") == 2
    assert (function(), bench.running) == ("two", two)
    bench.back(one)
    assert (function(), bench.running) == ("one", one)


def test_lambda_goes_back_where_an_alarm_fires(bench: Bench, cloud: Any, function: Any) -> None:
    one, two = bench.release(ONE, {"app.py": "one"}), bench.release(TWO, {"app.py": "two"})
    bench.deploy(one)
    for alarm, says in (
        (watched(cloud, "errors", "ALARM"), "the traffic shift is rolled back: errors: in ALARM"),
        (f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:gone", "gone: inconclusive: gone from CloudWatch"),
    ):
        with failed(says):
            bench.deploy(two, TWO, triggers=[alarm])
        assert (function(), bench.running) == ("one", one)


def test_lambda_an_alias_in_a_traffic_shift_is_left_alone_and_a_rollback_ends_it(
    bench: Bench, cloud: Any, function: Any
) -> None:
    one, two = bench.release(ONE, {"app.py": "one"}), bench.release(TWO, {"app.py": "two"})
    bench.deploy(one)
    lambda_ = cloud("lambda")
    lambda_.update_function_code(FunctionName="shop-gamma", ZipFile=zipped("x"))
    lambda_.publish_version(FunctionName="shop-gamma")
    lambda_.update_alias(
        FunctionName="shop-gamma",
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
    )
    assert bench.running == ""
    with failed(
        r"is in a traffic shift: 10% go to version 2.*aws lambda update-alias --function-name shop-gamma --name live"
    ):
        bench.deploy(two, TWO)
    assert bench.happened.count("before") == 1  # of the first one
    bench.back(one)
    assert (function(), bench.running) == ("one", one)


def test_lambda_changes_nothing_before_it_may(bench: Bench, cloud: Any, function: Any) -> None:
    before = cloud("lambda").get_function_configuration(FunctionName="shop-gamma")
    with failed("the record cannot be written"):
        bench.deploy(bench.release(ONE, {"app.py": "one"}), before=stop)
    after = cloud("lambda").get_function_configuration(FunctionName="shop-gamma")
    assert (after["CodeSha256"], after["LastModified"]) == (before["CodeSha256"], before["LastModified"])
    bench.use("lambda", function="nobody")
    with failed("there is no function nobody"):
        bench.deploy(bench.release(TWO, {"app.py": "one"}))


# ---- Terraform


MODULE = """
terraform {
  backend "s3" {}
}
variable "dpra_digest" {}
variable "dpra_environment" {}
resource "terraform_data" "release" {
  input = "NUMBER in ${var.dpra_environment}"
}
output "dpra_digest" { value = var.dpra_digest }
output "Url" { value = "https://${var.dpra_environment}.example/${terraform_data.release.output}" }
output "secret" {
  value     = "hidden"
  sensitive = true
}
"""


@pytest.fixture
def terraform(bench: Bench, cloud: Any, needs: Any) -> Any:
    needs("terraform")
    cloud("s3").create_bucket(Bucket="state", CreateBucketConfiguration={"LocationConstraint": REGION})
    bench.use("terraform", bucket="state", folder="infra")
    return cloud("s3")


KEY = "dpra/shop/gamma/eu-west-1.tfstate"


def test_terraform_there_and_back(bench: Bench, terraform: Any, capsys: pytest.CaptureFixture[str]) -> None:
    one = bench.release(ONE, {"infra/main.tf": MODULE.replace("NUMBER", "one")})
    two = bench.release(TWO, {"infra/main.tf": MODULE.replace("NUMBER", "two")})
    assert bench.running == ""
    done = bench.deploy(one)
    assert done.outputs == {"dpra_digest": one, "Url": "https://gamma.example/one in gamma"}
    assert "create terraform_data.release" in bench.says(capsys)
    bench.deploy(two, TWO)
    assert "update terraform_data.release" in bench.says(capsys)
    assert bench.running == two
    bench.back(one)
    assert bench.running == one
    state = json.loads(terraform.get_object(Bucket="state", Key=KEY)["Body"].read())
    assert state["outputs"]["Url"]["value"] == "https://gamma.example/one in gamma"


def test_terraform_applies_nothing_before_it_may(bench: Bench, terraform: Any) -> None:
    one = bench.release(ONE, {"infra/main.tf": MODULE})
    with failed("the record cannot be written"):
        bench.deploy(one, before=stop)
    assert terraform.list_objects_v2(Bucket="state").get("KeyCount") == 0
    for files, says in (
        (
            {"infra/main.tf": MODULE.replace('output "dpra_digest" { value = var.dpra_digest }', "")},
            "must output the digest",
        ),
        ({"infra/main.tf": MODULE + "\nresource {"}, "terraform init failed"),
        ({"main.tf": MODULE}, "the package has no Terraform module in 'infra': pack one"),
    ):
        with failed(says):
            bench.deploy(bench.release(ONE, files))
    assert bench.happened.count("before") == 1
    assert terraform.list_objects_v2(Bucket="state").get("KeyCount") == 0


def test_terraform_a_lock_that_is_held_is_told_with_the_way_out(bench: Bench, terraform: Any) -> None:
    one = bench.release(ONE, {"infra/main.tf": MODULE})
    lock = {"ID": "0a1b", "Operation": "OperationTypeApply", "Info": "", "Who": "runner@other", "Version": "1.11.4",
            "Created": "2026-11-24T10:00:00Z", "Path": f"state/{KEY}"}  # fmt: skip
    terraform.put_object(Bucket="state", Key=f"{KEY}.tflock", Body=json.dumps(lock).encode())
    says = "locked by runner@other since 2026-11-24.*terraform force-unlock 0a1b"
    with failed(says):
        bench.deploy(one)
    with failed(says):
        bench.tool.settled(bench.target)
    assert "before" not in bench.happened


# ---- CloudFormation and SAM


PARAMETER = """
Parameters: {ArtifactKey: {Type: String}, Environment: {Type: String}}
Resources:
  Release: {Type: AWS::SSM::Parameter, Properties: {Name: /shop, Type: String, Value: !Ref ArtifactKey}}
Outputs: {Url: {Value: !Sub "https://${Environment}.example/NUMBER"}}
"""


def value(cloud: Any, name: str = "/shop") -> str:
    return str(cloud("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def test_cloudformation_there_and_back(bench: Bench, cloud: Any) -> None:
    one, two = (bench.release(commit, {"a": commit}, PARAMETER.replace("NUMBER", commit[0])) for commit in (ONE, TWO))
    bench.use("cloudformation", stack="shop")
    assert bench.running == ""
    assert bench.deploy(one).outputs == {"Url": "https://gamma.example/1"}
    assert bench.deploy(two, TWO).outputs == {"Url": "https://gamma.example/2"}
    assert (value(cloud), bench.running) == (f"shop/{two}/package.zip", two)
    bench.back(one)
    assert (value(cloud), bench.running) == (f"shop/{one}/package.zip", one)


SERVERLESS = """
Transform: AWS::Serverless-2016-10-31
Parameters: {ArtifactBucket: {Type: String}, ArtifactKey: {Type: String}}
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: shop
      Runtime: python3.13
      Handler: app.handler
      CodeUri: {Bucket: !Ref ArtifactBucket, Key: !Ref ArtifactKey}
      FunctionUrlConfig: {AuthType: NONE}
Outputs: {Url: {Value: !GetAtt FunctionUrl.FunctionUrl}}
"""


def test_sam_there_and_back(bench: Bench, cloud: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The transform is AWS's own, which `dpra rehearse` applies, too."""
    one, two = (bench.release(commit, {"app.py": commit}, SERVERLESS) for commit in (ONE, TWO))
    bench.use("sam", stack="shop")

    def code() -> str:
        from moto.awslambda.models import lambda_backends

        function = lambda_backends[ACCOUNT][REGION].get_function("shop")
        return zipfile.ZipFile(io.BytesIO(function.code_bytes)).read("app.py").decode()

    assert bench.deploy(one).outputs["Url"].endswith("/shop/")
    assert "Add FunctionRole AWS::IAM::Role -" in bench.says(capsys)  # what the transform made is shown, too
    assert (code(), bench.running) == (ONE, one)
    bench.deploy(two, TWO)
    assert (code(), bench.running) == (TWO, two)
    bench.back(one)
    assert (code(), bench.running) == (ONE, one)


def test_sam_changes_nothing_before_it_may_or_where_the_template_is_wrong(bench: Bench, cloud: Any) -> None:
    bench.use("sam", stack="shop")
    with failed("the record cannot be written"):
        bench.deploy(bench.release(ONE, {"app.py": ""}, SERVERLESS), before=stop)
    assert cloud("lambda").list_functions()["Functions"] == []
    with failed("Invalid Serverless Application"):
        bench.deploy(bench.release(TWO, {"app.py": ""}, SERVERLESS.replace("Handler:", "Handlers:")))


def test_sam_is_refused_as_plain_cloudformation(bench: Bench, cloud: Any) -> None:
    bench.use("cloudformation", stack="shop")
    with failed("CAPABILITY_AUTO_EXPAND"):
        bench.deploy(bench.release(ONE, {"app.py": ""}, SERVERLESS))


# ---- CDK


ASSETS = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"


def parameters(name: str, text: Any, **outputs: Any) -> dict[str, Any]:
    """A template that makes one SSM parameter."""
    version = {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk-bootstrap/hnb659fds/version"}
    made = {"Type": "AWS::SSM::Parameter", "Properties": {"Name": name, "Type": "String", "Value": text}}
    return {"Parameters": {"BootstrapVersion": version}, "Resources": {"P": made}, "Outputs": outputs}


def asset(path: str, packaging: str, key: str) -> dict[str, Any]:
    place = {"bucketName": ASSETS, "region": "${AWS::Region}", "assumeRoleArn": "arn:${AWS::Partition}:iam::…"}
    return {"source": {"path": path, "packaging": packaging}, "destinations": {"d": {**place, "objectKey": key}}}


def assembly(number: str, folder: str = "cdk.out", **changes: Any) -> dict[str, str]:
    """What `cdk synth` leaves for two stacks, the second of which needs the first one; with a file and a folder."""
    code, template = asset("asset.f", "zip", f"f{number}.zip"), asset("Shop.template.json", "file", f"t{number}.json")
    manifest = {"files": {"f": code, "t": template}, "dockerImages": {}} | changes.pop("manifest", {})
    base = parameters("/base", number, Name={"Value": {"Ref": "P"}, "Export": {"Name": "base"}})
    shop = parameters(
        "/shop", {"Fn::Sub": f"s3://{ASSETS}/f{number}.zip"}, Url={"Value": f"https://shop.example/{number}"}
    )
    stack = {"type": "aws:cloudformation:stack", "environment": "aws://unknown-account/unknown-region"}
    artifacts = {
        "Shop.assets": {"type": "aws:cdk:asset-manifest", "properties": {"file": "Shop.assets.json"}},
        "Shop": {**stack, "dependencies": ["Base", "Shop.assets"], "properties": {
            "templateFile": "Shop.template.json", "stackName": "Shop-gamma", "tags": {"team": "web"}}},
        "Base": {**stack, "properties": {"templateFile": "Base.template.json", "stackName": "Base-gamma"}},
        "Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}},
    }  # fmt: skip
    for name, change in changes.items():
        artifacts[name] = {**artifacts[name], **change}
    files = {"manifest.json": {"version": "48.0.0", "artifacts": artifacts}, "Shop.assets.json": manifest}
    files |= {"Shop.template.json": shop, "Base.template.json": base}
    return {f"{folder}/{name}": json.dumps(text) for name, text in files.items()} | {f"{folder}/asset.f/app.py": number}


@pytest.fixture
def bootstrapped(bench: Bench, cloud: Any) -> Any:
    bucket = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
    cloud("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    cloud("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Type="String", Value="29")
    bench.use("cdk", stack="Shop-gamma Base-gamma", stacks=["Shop-{environment}", "Base-{environment}"])
    return lambda key: cloud("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def test_cdk_there_and_back(bench: Bench, cloud: Any, bootstrapped: Any, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = bench.release(ONE, assembly("1")), bench.release(TWO, assembly("2"))
    assert bench.running == ""
    done = bench.deploy(one)
    assert done.outputs == {"Name": "/base", "Url": "https://shop.example/1"}
    assert bench.says(capsys).index("stacks: Base-gamma, Shop-gamma") >= 0  # in the assembly's order
    where = f"s3://cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
    assert (value(cloud), value(cloud, "/base"), bench.running) == (f"{where}/f1.zip", "1", one)
    assert zipfile.ZipFile(io.BytesIO(bootstrapped("f1.zip"))).read("app.py") == b"1"
    bench.deploy(two, TWO)
    assert (value(cloud), value(cloud, "/base"), bench.running) == (f"{where}/f2.zip", "2", two)
    bench.back(one)
    assert (value(cloud), value(cloud, "/base"), bench.running) == (f"{where}/f1.zip", "1", one)
    [stack] = cloud("cloudformation").describe_stacks(StackName="Shop-gamma")["Stacks"]
    assert {"Key": "team", "Value": "web"} in stack["Tags"]


def test_cdk_a_large_template_comes_from_the_bucket(bench: Bench, cloud: Any, bootstrapped: Any) -> None:
    files = assembly("1")
    shop = json.loads(files["cdk.out/Shop.template.json"])
    shop["Metadata"] = {"long": "x" * 60_000}
    files["cdk.out/Shop.template.json"] = json.dumps(shop)
    bench.deploy(bench.release(ONE, files))
    assert value(cloud).endswith("/f1.zip")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"app.py": ""}, "the package has no cloud assembly in cdk.out: pack what cdk synth made"),
        (assembly("1", Base={"properties": {"templateFile": "Base.template.json", "stackName": "Other"}}),
         "the assembly has no stack Base-gamma: set deploy.cdk.stacks to some of Other, Shop-gamma"),
        (assembly("1", Base={"environment": "aws://111111111111/eu-west-1"}), "is for 111111111111 eu-west-1, not"),
        (assembly("1", manifest={"dockerImages": {"d": {}}}), "has a container image to build"),
        (assembly("1", manifest={"files": {"e": {"source": {"executable": ["sh"]}}}}), "a program makes"),
        (assembly("1", manifest={"files": {"e": {"source": {"path": "../../x"}}}}), "is not in the assembly"),
    ],
    ids=["none", "stack", "account", "image", "program", "outside"],
)  # fmt: skip
def test_cdk_what_cannot_be_deployed_changes_nothing(
    bench: Bench, cloud: Any, bootstrapped: Any, files: dict[str, str], says: str
) -> None:
    with failed(says):
        bench.deploy(bench.release(ONE, files))
    assert cloud("cloudformation").list_stacks()["StackSummaries"] == []
    assert "before" not in bench.happened


def test_cdk_a_stack_that_is_needed_must_be_named(bench: Bench, cloud: Any, bootstrapped: Any) -> None:
    bench.use("cdk", stack="Shop-gamma")
    with failed("Shop-gamma needs the stack Base-gamma: name it in deploy.cdk.stacks, too"):
        bench.deploy(bench.release(ONE, assembly("1")))


# ---- Scripts


SCRIPT = {
    "preview": 'echo "would write $(cat text)"; [[ ! -e broken ]]',
    "command": """./deploy "$DPRA_DIGEST"
echo "{\\"Url\\": \\"https://$DPRA_ENVIRONMENT.example\\"}" > "$DPRA_OUTPUTS\"""",
    "running": 'cat "$PLACE" 2> /dev/null || true',
}


@pytest.fixture
def place(bench: Bench, job: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    bench.use("script", **SCRIPT)
    monkeypatch.setenv("PLACE", str(job.root / "place"))
    return Path(job.root / "place")


OWN = {"deploy": '#!/bin/sh\nprintf %s "$1" > "$PLACE"\n', "text": "something"}


def test_a_script_there_and_back(bench: Bench, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, two = bench.release(ONE, OWN), bench.release(TWO, OWN | {"text": "else"})
    assert bench.running == ""
    assert bench.deploy(one).outputs == {"Url": "https://gamma.example"}
    assert "would write something" in capfd.readouterr().out
    bench.deploy(two, TWO)
    assert (place.read_text(), bench.running) == (two, two)
    bench.back(one)
    assert bench.running == one


def test_a_script_that_fails_is_told_and_a_failing_preview_stops_it(bench: Bench, place: Path) -> None:
    with failed("the record cannot be written"):
        bench.deploy(bench.release(ONE, OWN), before=stop)
    with failed("deploy.script.preview failed with exit code 1"):
        bench.deploy(bench.release(ONE, OWN | {"broken": ""}))
    assert bench.happened.count("before") == 1
    assert not place.exists()
    with failed("deploy.script.command failed with exit code 3"):
        bench.deploy(bench.release(TWO, OWN | {"deploy": "#!/bin/sh\nexit 3\n"}))


def test_a_script_is_in_the_targets_region_whichever_the_jobs_is(
    bench: Bench, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")  # of the record, as in the job that rolls back
    said = """printf %s "$(python3 -c 'import boto3; print(boto3.client("sts").meta.region_name)') $AWS_REGION" """
    bench.use("script", **SCRIPT | {"command": f'{said} > "$PLACE"', "running": said})
    bench.deploy(bench.release(ONE, OWN))
    assert (place.read_text(), bench.running) == ("eu-west-1 eu-west-1",) * 2


def test_a_script_acts_with_the_execution_role(bench: Bench, cloud: Any, place: Path) -> None:
    cloud("iam").create_role(RoleName="execution", AssumeRolePolicyDocument="{}")
    bench.given(execution_role=f"arn:aws:iam::{ACCOUNT}:role/execution")
    own = {"deploy": '#!/bin/sh\nprintf %s "$AWS_SESSION_TOKEN" > "$PLACE"\n', "text": ""}
    bench.deploy(bench.release(ONE, own))
    assert len(place.read_text()) > 20
